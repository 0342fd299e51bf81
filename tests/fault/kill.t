# kill -9 at any instruction: before and after the call, between COMMIT and acknowledgement, between XADD and the cursor.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep);
use Storytelling::Faults;

my $COMMITTED = "C\0\0\0\x0bCOMMIT\0";    # as PostgreSQL tells it

my $w   = Storytelling::Faults->new;
my %via = (via => ['postgres', 'redis']);
$w->start($_, %via) for qw(orders billing);
my $n = 0;
sub order { my ($basket) = @_; return $w->surely('k' . ++$n, $basket // 'one') }

sub dies {
    my ($name, $what) = @_;
    ok Storytelling::Faults::until_true(undef, sub { $w->ended($name) }), $what;
    $w->end_leases($name);
    $w->start($name, %via);
}

order('basket-' . $_ % 3) for 1 .. 12;
$w->sound('without a fault');

# Where a handler can be when its process ends.
for ([orders => 'request', 'in a request'], [billing => 'event', 'in an event handler, its rows not committed'], [billing => 'before-call', 'before the outside call'],
    [billing => 'after-call', 'after the outside call'], [orders => 'confirm', 'in the handler of the answer']) {
    my ($name, $where, $what) = @$_;
    $w->kill_at($where);
    my $pid = $w->aside(sub { $w->surely("killed-$where", 'one') });
    dies($name, "$name is killed $what");
    waitpid $pid, 0;
    $w->surely("killed-$where", 'one');
    order() for 1 .. 3;
    $w->sound("$name killed $what");
}

# After COMMIT: the database has it, the bus has no acknowledgement, or the client no answer.
for ([billing => 'billing/events', 'an event is committed, not acknowledged'], [billing => 'billing/job', 'a job is committed'], [orders => 'orders/events', 'an answer is committed, not acknowledged'],
    [orders => 'orders/api', 'a request is committed, not answered']) {
    my ($name, $hello, $what) = @$_;
    $w->{via}{postgres}->rule(from => 'server', match => $COMMITTED, hello => $hello, do => 'kill');
    my $pid = $w->aside(sub { $w->surely("committed-$hello", 'two') });
    dies($name, "$name is killed when $what");
    waitpid $pid, 0;
    $w->surely("committed-$hello", 'two');
    order('two') for 1 .. 3;
    $w->sound("$name killed when $what");
}

# The relay: the bus has the entries, the log does not know it.
for ([orders => 1], [billing => 2]) {
    my ($name, $times) = @$_;
    for (1 .. $times) {
        $w->{via}{redis}->rule(from => 'client', match => 'OrderPlaced', answer => 1, do => 'kill') if $name eq 'orders';
        $w->{via}{redis}->rule(from => 'client', match => 'OrderBooked', answer => 1, do => 'kill') if $name eq 'billing';
        my $key = "relayed-$name-$_";
        my $pid = $w->aside(sub { $w->surely($key, 'three') });    # the daemon may end before it answers
        dies($name, "$name is killed between XADD and the cursor");
        waitpid $pid, 0;
        $w->surely($key, 'three');
    }
    order('three') for 1 .. 5;
    $w->sound("$name killed between XADD and the cursor");
}

# Random moments, under load.
srand 1;
for my $name (qw(orders billing)) {
    my $load = $w->load(clients => 3, pause => 0.01);
    for (1 .. 20 * $Storytelling::Faults::ROUNDS) {
        sleep rand 0.3;
        $w->end($name, 'KILL');
        $w->end_leases($name);
        $w->start($name, %via);
    }
    $w->goes_on($load, 21);    # on a busy machine few come through between the kills
    my $accepted = $w->rest($load);
    cmp_ok $accepted, '>', 20, "$name killed at 20 random moments under load ($accepted orders)";
    $w->sound("$name killed at 20 random moments");
}

$w->stop;
done_testing;
