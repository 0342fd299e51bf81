# What a daemon says of options that it cannot work with, before it does anything.
use strict;
use warnings;
use Test::More;
use File::Temp qw(tempdir);

my $build = $ENV{PLATFORM_BUILD} // 'build';
my $dir   = tempdir(CLEANUP => 1);
open my $key, '>', "$dir/key" or die;
print $key 'k' x 40, "\n";
close $key;

sub check {
    my (%env) = @_;
    local %ENV = (
        %ENV,
        ST_CONFIG_DIR => 'config', ST_RUN_DIR => $dir, ST_OBJECT_DIR => $dir, ST_EDGE_KEY_FILE => "$dir/key",
        ST_DATABASE => 'dbname=none', ST_REDIS => "$dir/none.sock", %env
    );
    my $said = `$build/bin/storyd --check 2>&1`;
    return ($? >> 8, $said);
}

my ($exit, $said) = check();
is $exit, 0, 'the options as they come are fine' or diag $said;
($exit, $said) = check(ST_BUS => 'kafka');
isnt $exit, 0, 'a bus that there is not is refused';
like $said, qr/the option bus is \\"kafka\\"; there are: redis/, 'and the log says which there are';
done_testing;
