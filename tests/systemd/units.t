# The units: clean for systemd-analyze, hardened, and one for each daemon.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use File::Temp qw(tempdir);
use Test::More;

my $root  = abs_path(dirname(__FILE__) . '/../..');
my $build = $ENV{PLATFORM_BUILD} // "$root/build";
my $stage = tempdir(CLEANUP => 1);
chmod 0755, $stage;

# verify wants each ExecStart at its place, so the copies name the build's.
system('cp', '-r', "$root/systemd", "$stage/units") == 0 or die;
my @services = sort grep { !/-edge\.service$/ } glob "$stage/units/storytelling-*.service";
for my $unit (@services) {
    local ($^I, @ARGV) = ('', $unit);
    while (<>) { s{/usr/lib/storytelling/bin}{$build/bin}; print }
}

sub run_tool {
    my (@command) = @_;
    my $out = qx{@{[join ' ', map { quotemeta } @command]} 2>&1};
    return ($? >> 8, $out);
}

my @daemons = map { m{/(\w+)/\1\.c$} && $1 ne 'storyctl' ? $1 : () } glob "$root/workers/*/*.c";
is_deeply [map { /storytelling-(\w+)\.service$/ } @services], [sort @daemons], 'one unit for each daemon';

# A warning (an unknown key, say) leaves the exit code 0: the output must be empty too.
for my $unit (@services, "$stage/units/storytelling-edge.service", "$stage/units/storytelling.target") {
    my ($exit, $out) = run_tool('systemd-analyze', 'verify', $unit);
    is $exit, 0, basename($unit) . ' passes systemd-analyze verify';
    is $out, '', basename($unit) . ' gives no warning';
}

# Exposure times ten; a unit without hardening has 96.
for my $unit (@services) {
    my ($exit, $out) = run_tool(qw(systemd-analyze security --no-pager --offline=yes --threshold=10), $unit);
    is $exit, 0, basename($unit) . ' is hardened' or diag $out;
}
my ($exit, $out) = run_tool(qw(systemd-analyze security --no-pager --offline=yes --threshold=30), "$stage/units/storytelling-edge.service");
is $exit, 0, 'the edge is hardened as far as a listening nginx can be' or diag $out;

for my $unit (@services) {
    my $text = do { local (@ARGV, $/) = $unit; <> };
    my ($name) = $unit =~ /storytelling-(\w+)\.service$/;
    like $text, qr/^Type=notify$/m, "$name says when it is ready";
    like $text, qr/^WatchdogSec=\d+$/m, "$name is watched";
    like $text, qr/^TimeoutStopSec=35$/m, "$name has time to drain";
    like $text, qr{^EnvironmentFile=/etc/storytelling/$name\.env$}m, "$name has its own environment";
}

done_testing;
