# `make test` ends with what failed, and leaves nothing running: tests/run fails when something that a test started outlives it, and ends it.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Test::More;
use Storytelling::Platform;

my $dir = tempdir(CLEANUP => 1);

# tests/run on one test, whose Perl text is given.
sub run_test {
    my ($text) = @_;
    open my $out, '>', "$dir/one.t" or die;
    print $out "use strict; use warnings; use Test::More;\n$text\ndone_testing;\n";
    close $out;
    delete local @ENV{grep { /^(?:PLATFORM_|HARNESS_)/ } keys %ENV};
    return Storytelling::Platform::capture("$Storytelling::Platform::ROOT/tests/run", '--build',
        Storytelling::Platform::build(), "$dir/one.t");
}

my $clean = run_test(q{ok 1, 'quiet';});
is $clean->{exit}, 0, 'a test that ends what it starts passes' or diag $clean->{out};

my $failing = run_test(q{is 1, 2, 'one is two'; ok 1 for 1 .. 9;});
isnt $failing->{exit}, 0, 'one that fails fails the run';
like $failing->{out}, qr{^What failed.*one\.t\n#   Failed test 'one is two'\n(?:#.*\n)*\z}ms, 'which ends with what that was';

# As a daemon is started: a session of its own, an empty environment, its parent gone.
my $daemon = run_test(qq{system 'env -i setsid sleep 1234 </dev/null >/dev/null 2>&1 & echo \$! >$dir/pid'; ok 1, 'done';});
open my $in, '<', "$dir/pid" or die;
chomp(my $pid = <$in>);
isnt $daemon->{exit}, 0, 'one that leaves a daemon behind fails the run';
like $daemon->{out}, qr/^left running: $pid sleep 1234\b/m, 'which names it';
ok !kill(0, $pid), 'and ends it';

# A test that dies with a platform running: its guard stops that, and the run waits for it.
my $dead = run_test(q{use Storytelling::Platform; my $p = Storytelling::Platform->start; print '# var ', $p->var, "\n"; diag $p->var; kill KILL => $$;});
isnt $dead->{exit}, 0, 'a test that is killed fails the run';
my ($var) = $dead->{out} =~ m{^# (/\S+)$}m;
unlike $dead->{out}, qr/left running/, 'but leaves nothing behind' or diag $dead->{out};
ok defined $var && !-e $var, 'not even its directory' or diag $dead->{out};

done_testing;
