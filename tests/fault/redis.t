# Redis restarts, loses everything, fills up, is gone, stalls: requests are answered 2xx all the time, and afterwards
# everything is delivered.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use Storytelling::Faults;

my @AOF = ('--appendonly', 'yes', '--appendfsync', 'everysec');
my $w   = Storytelling::Faults->new(redis => \@AOF);
my %via = (via => ['redis']);
$w->start($_, %via) for qw(orders billing);

# Clients order before, during and after the fault; nobody is refused because of it.
sub fault {
    my ($name, $make, $mend) = @_;
    delete $w->{refused};
    my $load = $w->load(clients => 2, pause => 0.02);
    sleep 0.5;
    $make->();
    my $during = 'd' . ++$w->{faults};
    my $answer = $w->place("$during-a", 'during');
    is $answer->{status}, 201, "$name: an order is accepted meanwhile";
    $w->surely("$during-$_", 'during') for 'a', 'b';
    $mend->();
    $w->surely("$during-c", 'during');
    sleep 0.3;
    my $accepted = $w->rest($load);
    is_deeply $w->{refused} // [], [], "$name: none of $accepted orders is refused";
    $w->sound($name);
    ok $w->health($_, eventBus => 'healthy'), "$name: $_ is healthy again" for qw(orders billing);
}
sub degraded { ok $w->health($_, eventBus => 'unhealthy'), "$_[0]: /health of $_ names the bus" for qw(orders billing) }

fault('clean restart', sub { $w->redis_stop('TERM') }, sub { $w->redis_start(@AOF) });

fault('FLUSHALL', sub { $w->redis('FLUSHALL') }, sub { });

fault('refusing', sub { $w->{via}{redis}->mode('refuse'); degraded('refusing') }, sub { $w->{via}{redis}->mode('pass') });

fault('stalled, then going on', sub { kill STOP => $w->{redis}; degraded('stalled, then going on') }, sub { kill CONT => $w->{redis} });

fault('stalled without a reset', sub { $w->{via}{redis}->mode('lose'); degraded('stalled without a reset') }, sub { $w->{via}{redis}->mode('pass') });

fault('out of memory', sub {
    $w->redis(qw(CONFIG SET maxmemory 1mb));
    degraded('out of memory');
    is $w->get('orders', '/health')->{status}, 200, 'out of memory: degraded, not down';
}, sub { $w->redis(qw(CONFIG SET maxmemory 0)) });

# What is full must not keep anybody from reading, also not who needs a new lease for it.
{
    my $name = 'full while a consumer that has lost its lease has a backlog';
    kill STOP => $w->pid('billing');
    my $load = $w->load(clients => 3, pause => 0);
    ok Storytelling::Faults::until_true(undef, sub { !$w->redis('EXISTS', 'st:lease:billing:orders:0') }), "$name: the lease has ended";
    my $accepted = $w->rest($load);
    my $sent = 'select count(*) from relay_batches where sent_at is null';
    ok Storytelling::Faults::until_true(undef, sub { $w->sql('orders', $sent) == 0 }), "$name: the bus has $accepted orders";
    sleep 0.5;
    $w->redis(qw(CONFIG SET maxmemory 1mb));
    kill CONT => $w->pid('billing');
    ok Storytelling::Faults::until_true(undef, sub { $w->sql('billing', 'select count(*) from bookings') == $w->sql('orders', 'select count(*) from orders') }), "$name: they are read";
    $w->redis(qw(CONFIG SET maxmemory 0));
    $w->sound($name, repeats => 1);
}

$w->redis_stop('KILL');
unlink glob "$w->{dir}/redis/appendonlydir/*";
fault('kill -9 without persistence', sub { $w->redis_start('--appendonly', 'no'); $w->redis_stop('KILL') }, sub { $w->redis_start('--appendonly', 'no') });

# The disk of its append-only file is full: a limit of the size of its files does the same as a small disk.
$w->redis_stop('KILL');
$w->{redis_disk} = 100_000_000;
$w->redis_start(@AOF);
$w->sound('with a disk');
fault('full disk', sub {
    my ($size) = sort { $b <=> $a } map { -s } glob "$w->{dir}/redis/appendonlydir/*.incr.aof";
    system 'prlimit', '--pid', $w->{redis}, '--fsize=' . ($size + 2000) . ':unlimited';
    degraded('full disk');
    like $w->redis('SET', 'x', 'y'), qr/^MISCONF/, 'full disk: Redis refuses to write';
}, sub { system 'prlimit', '--pid', $w->{redis}, '--fsize=unlimited:unlimited' });

for my $service (qw(orders billing)) {
    like $w->log_of($service), qr/"The (?:relay|consumer) waits"/, "$service told of it in its log";
    like $w->log_of($service), qr/"The (?:relay|consumer) works again"/, 'and of the end of it';
}
my ($republished) = $w->get('orders', '/metrics')->{content} =~ /^storytelling_events_republished_total\{service="orders"\} (\d+)$/m;
cmp_ok $republished, '>', 0, "what was lost was published again ($republished events), and counted";

$w->stop;
done_testing;
