# `make new-service` in a copy of the checkout: what it makes builds, keeps the house's rules, runs and passes.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Test::More;
use Storytelling::Platform;

my $copy = tempdir(CLEANUP => 1);
chmod 0755, $copy;
delete @ENV{grep { /^PLATFORM_/ } keys %ENV};
delete @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS)};

sub shell {
    my ($line) = @_;
    my $said = Storytelling::Platform::capture('bash', '-c', "cd '$copy' && $line");
    return wantarray ? @$said{qw(exit out)} : $said->{exit};
}
sub succeeds {
    my ($line) = @_;
    my ($exit, $out) = shell($line);
    return is($exit, 0, $line) || diag $out;
}

my $left_out = join ' ', map { "--exclude=./$_" } qw(var .git build/asan build/fuzz build/bench build/test-logs);
my $root = $Storytelling::Platform::ROOT;
is system("tar -C '$root' $left_out -cf - . | tar -C '$copy' -xf -"), 0, 'the checkout is copied';

succeeds('make new-service NAME=ratings');
succeeds('make build');
succeeds('tests/lint');
succeeds('tests/run tests/api/ratings.t');
succeeds('tests/run tests/systemd/units.t');
isnt scalar shell('make new-service NAME=ratings'), 0, 'a name is taken once';
isnt scalar shell("make new-service NAME='$_'"), 0, "'$_' is no name" for '', '../x', 'Ratings', 'story', 'lib', 'a b';

done_testing;
