# README.md's commands do what it says: each line of its sh blocks is run, with a directory and a port of the test's own.
use strict;
use warnings;
use Test::More;
use Storytelling::Platform;

my $platform = Storytelling::Platform->reserve;
my ($var, $port) = ($platform->var, $platform->port);
chdir $Storytelling::Platform::ROOT or die;
delete @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS PLATFORM_VAR)};
@ENV{qw(VAR PORT)} = ($var, $port);

sub shell {
    my ($line) = @_;
    $line =~ s/localhost:8443/localhost:$port/g;
    $line =~ s{(?<![\w/])var/}{$var/}g;
    return $platform->run('bash', '-c', $line);
}

my @lines;
{
    open my $readme, '<', 'README.md' or die;
    my $inside;
    while (<$readme>) {
        $inside = /^```sh$/ ? 1 : 0, next if /^```/;
        push @lines, $1 if $inside && /^(\S.*?)\s*$/;
    }
}
is_deeply [@lines[0, 1]], ['make run', 'make test'], 'the two commands come first';
is $lines[-1], 'make down', 'and the last one cleans up';

unlike shell('make build')->{out}, qr/\b(?:CC|LINK)\b/, 'what is built is not built again: others run it';

for my $line (@lines) {
    if ($line eq 'make test') {
        is shell('make -n test')->{exit}, 0, "$line is known";
        next;
    }
    if ($line eq 'make down') {
        my $again = shell('make run STORY=config/examples/the-lighthouse-bell.txt');
        is $again->{exit}, 0, 'a second make run works on the running platform' or diag $again->{out};
    }
    my $said = shell($line);
    is $said->{exit}, 0, $line or diag $said->{out};
    next if $line ne 'make run';
    like $said->{out}, qr{https://localhost:$port}, 'it says where the platform is';
    is scalar(my @stages = $said->{out} =~ /\bdone\b/g), 6, 'each stage was reached';
    my @mails = glob "$var/outbox/*.eml";
    cmp_ok scalar @mails, '>=', 4, 'mails arrived: welcome, confirmation, narration, video';
    ($ENV{TOKEN}) = $said->{out} =~ /^\s*TOKEN=(\S+)$/m;
    my @curl = $said->{out} =~ /^\s*(curl .*)$/mg;
    is scalar @curl, 3, 'it says what to try next';
    for my $next (@curl) {
        my $answer = shell("cd $var && $next --fail --silent --show-error");
        is $answer->{exit}, 0, $next =~ s/-H.*"//r or diag $answer->{out};
    }
}
isnt shell('make status')->{exit}, 0, 'after make down nothing is healthy';
is_deeply [$platform->stop], [], 'and nothing runs';

done_testing;
