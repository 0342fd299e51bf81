package Storytelling::Sql;

# SQL of the tests, in one session for each process and database: a session of its own for each question costs more than
# most questions.
#
#   my $lines = Storytelling::Sql::lines($conninfo, $sql)   rows as lines of tab-separated text, as `psql -At` prints
#                                                           them; of several statements the last one's; dies with what
#                                                           the server says
use strict;
use warnings;
use DBI;

my %session;

sub lines {
    my ($conninfo, $sql) = @_;
    my $session = \$session{"$$ $conninfo"};
    $$session = _connect($conninfo) if !$$session || !$$session->ping;
    my $asked = $$session->prepare($sql, {pg_direct => 1});
    $asked->execute;
    return [] if !$asked->{NUM_OF_FIELDS};
    no warnings 'uninitialized';    # null
    return [split /\n/, join "\n", map { join "\t", @$_ } @{$asked->fetchall_arrayref}];
}

# Text is bytes, and arrays and booleans are as the server writes them. A child leaves its parent's session alone.
sub _connect {
    my ($conninfo) = @_;
    return DBI->connect("dbi:Pg:$conninfo", undef, undef, {
        RaiseError => 1, PrintError => 0, PrintWarn => 0, AutoInactiveDestroy => 1,
        pg_enable_utf8 => 0, pg_bool_tf => 1, pg_expand_array => 0,
    });
}

1;
