# Processes that stop for a while and come back late, that are replaced while clients work, that have a wrong clock,
# that are started again in any order.
use strict;
use warnings;
use List::Util qw(shuffle);
use Test::More;
use Time::HiRes qw(sleep time);
use Storytelling::Faults;

my $ROUNDS = $Storytelling::Faults::ROUNDS;
my $w = Storytelling::Faults->new(redis => ['--appendonly', 'yes', '--appendfsync', 'everysec']);
$w->start($_) for qw(orders billing);

# --- a newer binary is started, then the old one is told to end -------------------------------------------------------------

for my $service (qw(orders billing)) {
    delete $w->{refused};
    my $load = $w->load(clients => 3, pause => 0.005);
    my $old = $service;
    my $bad = 0;
    for my $n (1 .. 10 * $ROUNDS) {
        my $new = "$service-$n";
        $w->start($service, as => $new);
        $bad++ if $w->end($old, 'TERM');
        $old = $new;
    }
    $w->end($old, 'TERM') if $service eq 'billing';
    my $accepted;
    if ($service eq 'orders') {
        $accepted = $w->rest($load);
        $w->end($old, 'TERM');
        $w->start('orders');
    } else {
        $w->start('billing');
        $accepted = $w->rest($load);
    }
    is $bad, 0, "$service replaced 10 times under load: each old one drains and ends by itself";
    is_deeply $w->{refused} // [], [], "$service replaced 10 times under load: none of $accepted orders was refused or left without an answer";
    $w->sound("$service replaced 10 times under load");
}

# --- stopped past its lease, then it goes on --------------------------------------------------------------------------------

# The job has asked the outside, and sleeps before it can say so; another process takes it over; then the first wakes up.
my $lates = 0;    # results that came late
for my $where ('event', 'before-call', 'after-call') {
    my $name = "SIGSTOP past the lease, $where";
    $w->stop_at($where);
    $w->surely("stopped-$where", 'stopped');
    ok Storytelling::Faults::until_true(undef, sub { state_of($w->pid('billing')) eq 'T' }), "$name: the process is stopped";
    $w->start('billing', as => 'second');
    $w->surely("stopped-$where-$_", 'stopped') for 1 .. 3;
    my $late = $w->pid('billing');
    ok Storytelling::Faults::until_true(undef, sub { $w->settled }), "$name: the second process does the work";
    kill CONT => $late;
    $w->surely("stopped-$where-after", 'stopped');
    $w->sound($name, repeats => $where eq 'before-call');    # there the key is what makes the second call harmless
    is $w->sql('billing', "select count(*) from charged where process = $late and order_id = '$w->{accepted}{\"stopped-$where\"}'"), 0, "$name: the late one's result is refused" if $where ne 'event';
    ok Storytelling::Faults::until_true(undef, sub { (() = $w->log_of('billing') =~ /not ours any more/g) >= $lates }), "$name: and told in its log" if $where ne 'event' && ++$lates;
    $w->{repeated} = $w->repeats if $where eq 'before-call';
    ok !$w->ended('billing'), "$name: it goes on working";
    is $w->end('second', 'TERM'), 0, "$name: the second ends";
}
sub state_of { my ($pid) = @_; return (Storytelling::Faults::_slurp("/proc/$pid/stat") =~ /\) (\S)/)[0] // '' }

# --- a wrong clock ------------------------------------------------------------------------------------------------------------

# Whoever relays, consumes and works has the wrong clock; the requests come in at a right one, as the edge's does.
for my $shift ('+300', '-300') {
    my ($library) = glob '/usr/lib/*/faketime/libfaketimeMT.so.1';
    my %env = (LD_PRELOAD => $library, FAKETIME => $shift, FAKETIME_DONT_FAKE_MONOTONIC => 1, DONT_FAKE_MONOTONIC => 1);
    for my $service (qw(orders billing)) {
        my $name = "clock $shift s in $service";
        $w->end($service, 'TERM');
        $w->start('orders', as => 'api', env => {ST_ROLES => 'api'}) if $service eq 'orders';
        $w->start($service, env => {%env, ST_ROLES => 'events,jobs'});
        my $load = $w->load(clients => 2, pause => 0.01);
        sleep 1;
        $w->end($service, 'KILL');    # and back to the right one, in the middle
        $w->end_leases($service);
        $w->start($service, env => {ST_ROLES => 'events,jobs'});
        sleep 0.5;
        my $accepted = $w->rest($load);
        $w->sound("$name ($accepted orders)");
        $w->end($_, 'TERM') for $service, $service eq 'orders' ? 'api' : ();
        $w->start($service);
    }
}

# --- everything, in random order ----------------------------------------------------------------------------------------------

srand 1;
{
    my $load = $w->load(clients => 3, pause => 0.01);
    for my $round (1 .. 10 * $ROUNDS) {
        for my $part (shuffle qw(orders billing redis postgres)) {
            my $hard = rand > 0.5;
            if ($part eq 'redis') { $w->redis_stop($hard ? 'KILL' : 'TERM'); $w->redis_start }
            elsif ($part eq 'postgres') { $w->postgres_stop($hard ? 'QUIT' : 'INT'); $w->postgres_start }
            else { $w->end($part, $hard ? 'KILL' : 'TERM'); $w->end_leases($part) if $hard; $w->start($part) }
            sleep rand 0.1;
        }
    }
    my $accepted = $w->rest($load);
    $w->sound("everything restarted in random order 10 times ($accepted orders)");
}

$w->stop;
done_testing;
