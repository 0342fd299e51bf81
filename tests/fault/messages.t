# Messages that come fifty times, in any order, or that nobody can read: one effect each, in order, and what is poison
# is a dead letter that the operator sees, while all others go on.
use strict;
use warnings;
use JSON::PP ();
use List::Util qw(shuffle);
use Test::More;
use Time::HiRes qw(sleep time);
use Storytelling::Faults;

my $JSON = JSON::PP->new->utf8->canonical;
my $w = Storytelling::Faults->new;
$w->start($_) for qw(orders billing audit);
sub figure { my ($service, $name) = @_; return ($w->get($service, '/metrics')->{content} =~ /^storytelling_$name\{service="$service"\} (\d+)$/m)[0] // 0 }

# All entries of a service's streams: [stream, envelope].
sub entries {
    my ($service) = @_;
    my @all;
    for my $stream (map { "st:events:$service:$_" } 0 .. 3) {
        my @lines = split /\n/, $w->redis('XRANGE', $stream, '-', '+');
        push @all, map { [$stream, $_] } grep { /^\{/ } @lines;
    }
    return @all;
}

# Many commands over one connection.
sub add {
    my (@entries) = @_;
    my $socket = IO::Socket::UNIX->new(Type => Socket::SOCK_STREAM, Peer => "$w->{dir}/run/redis.sock") or die "redis: $!\n";
    my $ids = 0;
    for (@entries) {
        my ($stream, $text, $field) = @$_;
        my @words = ('XADD', $stream, '*', $field // 'e', $text);
        my $command = join '', '*' . @words . "\r\n", map { '$' . length($_) . "\r\n$_\r\n" } @words;
        for (my $at = 0; $at < length $command;) { $at += syswrite($socket, $command, 65536, $at) // die "redis: $!\n" }
        my $answer = '';
        while ($answer !~ /\r\n\d+-\d+\r\n/) {
            sysread $socket, $answer, 4096, length $answer or die "redis: $!\n";
            die "redis: $answer" if $answer =~ /^-/;
        }
        $ids++;
    }
    return $ids;
}

# --- one key, fifty requests at once -------------------------------------------------------------------------------------------

{
    my $load = $w->load(clients => 50, count => 1, pause => 0, request => sub { ('/v1/orders', {clientKey => 'same', basket => 'same'}, 'same') });
    waitpid $_, 0 for splice @{$load->{pids}};
    my $accepted = $w->rest($load);
    is $accepted, 50, 'one key fifty times at once: each is told in the end';
    is $w->sql('orders', "select count(*) from orders where client_key = 'same'"), 1, 'one key fifty times at once: there is one order';
    is_deeply [grep { $_->[0] != 409 } @{$w->{refused} // []}], [], 'meanwhile nothing but 409 (the first is still at work)';
    my @ids = map { (split /\t/)[2] } grep { /^accepted/ } map { split /\n/, Storytelling::Faults::_slurp($_) } glob "$load->{file}-*";
    is scalar(keys %{{map { $_ => 1 } @ids}}), 1, 'and all were told the same';
    $w->sound('one key fifty times at once');
}

# --- a thousand events, then the same again, shuffled, and one of them fifty times ------------------------------------------------

{
    my $load = $w->load(clients => 8, count => 125, pause => 0, baskets => 20);
    waitpid $_, 0 for splice @{$load->{pids}};
    my $accepted = $w->rest($load);
    cmp_ok $accepted, '>=', 1000, "a thousand events ($accepted)";
    $w->sound('a thousand events of eight writers');
    my $before = figure(billing => 'events_duplicate_total');
    my @all = entries('orders');
    my $added = add(shuffle @all);
    cmp_ok $added, '>=', 1000, "all of them come again, shuffled ($added)";
    ok Storytelling::Faults::until_true(undef, sub { figure(billing => 'events_duplicate_total') - $before >= $added }), 'each is known';
    $w->sound('a thousand shuffled events');
    $before = figure(billing => 'events_duplicate_total');
    $w->surely('fifty', 'fifty');
    my ($one) = grep { $_->[1] =~ /"fifty"/ } (Storytelling::Faults::until_true('the event', sub { grep { $_->[1] =~ /"fifty"/ } entries('orders') }), entries('orders'))[1 .. 2000];
    add(($one) x 50);
    ok Storytelling::Faults::until_true(undef, sub { figure(billing => 'events_duplicate_total') - $before >= 50 }), 'fifty duplicates at once: each is known';
    $w->sound('fifty duplicates at once');
    is $w->sql('audit', 'select count(*) - count(distinct event_id) from seen'), 0, 'audit saw no event twice';
}

# --- poison -------------------------------------------------------------------------------------------------------------------------

# As OrderPlaced would be, but for what is said.
sub envelope {
    my (%with) = @_;
    my $id = sprintf '01900000-0000-7000-8000-%012x', int rand 1e12;
    return $JSON->encode({
        eventId => $id, eventType => 'OrderPlaced', aggregateId => 'poisoned', aggregateType => 'basket', timestamp => '2026-01-01T00:00:00.000Z',
        version => '1.0.0', metadata => {correlationId => 'c-poison'}, payload => {orderId => $id, basket => 'poisoned', n => 1}, %with,
    });
}
my $dead = 0;
for (
    ['broken JSON', '{"eventId": "01', qr/not JSON/],
    ['no JSON at all', "\x00\xff\xfe", qr/not JSON/],
    ['no envelope', 'x', qr/no envelope/, 'other'],
    ['an incomplete envelope', envelope(aggregateId => undef), qr/incomplete/],
    ['an unknown type', envelope(eventType => 'NobodyKnows'), qr/does not know this event type/],
    ['an unknown version', envelope(version => '9.0.0'), qr/does not know this version/],
    ['a payload that does not fit', envelope(payload => {orderId => 'x'}), qr/does not fit its schema/],
    ['10 MB', envelope(payload => {orderId => '01900000-0000-7000-8000-000000000001', basket => 'x' x 10_000_000, n => 1}), qr/schema|larger/],
    ['10 MB of nothing', '[' x 10_000_000, qr/not JSON|larger/],
) {
    my ($name, $text, $why, $field) = @$_;
    my $service = 'billing';
    my $before = $w->sql($service, "select count(*) from parked_events where state = 'dead'");
    my $counted = figure($service, 'dead_letters_total');
    add(['st:events:orders:2', $text, $field]);
    $w->surely("after-$name", 'poisoned-' . $dead % 4);
    ok Storytelling::Faults::until_true(undef, sub { $w->sql($service, "select count(*) from parked_events where state = 'dead'") == $before + 1 }), "$name: is a dead letter of $service";
    like $w->sql($service, "select error from parked_events where state = 'dead' order by position desc limit 1"), $why, "$name: with its cause";
    is figure($service, 'dead_letters_total'), $counted + 1, "$name: counted";
    $dead++;
}
ok Storytelling::Faults::until_true(undef, sub { $w->sql('audit', "select count(*) from parked_events where state = 'dead' and error like '%does not know this event type%'") == 1 }), 'also of who takes all types there are';
ok !$w->ended($_), "$_ goes on" for qw(billing audit);
like $w->log_of('billing'), qr/"Event is a dead letter".*c-poison|c-poison.*"Event is a dead letter"/, 'the log has them, with the correlation id';
my $listed = $w->storyctl('--json', 'dead', 'list');
cmp_ok scalar(() = $listed->{out} =~ /event-\d+/g), '>=', $dead, 'and the operator sees them';
my $poison = $w->sql('billing', "select count(*) from parked_events where state = 'dead'");
$w->sound('poison', dead => $poison);

# --- a handler that fails, and one that ends its process ---------------------------------------------------------------------------

# As systemd does: started again whenever it ends.
sub tended {
    my ($until) = @_;
    my $starts = 0;
    my $came = Storytelling::Faults::until_true(undef, sub {
        if ($w->ended('billing')) {
            $w->end_leases('billing');
            $w->start('billing', early => 1);
            $starts++;
        }
        return $until->();
    });
    return $came ? $starts : undef;
}
{
    $w->surely('crash', 'crashing', manner => 'crash');
    $w->surely("behind-$_", 'crashing') for 1 .. 3;
    $w->surely("beside-$_", "beside-$_") for 1 .. 8;
    my $starts = tended(sub { $w->sql('billing', "select count(*) from parked_events where state = 'dead'") == $poison + 1 });
    ok $starts, 'an event that ends every process that handles it becomes a dead letter (after ' . ($starts // 'too many') . ' starts)';
    cmp_ok $starts // 99, '<=', 9, 'after few';
    like $w->sql('billing', "select error from parked_events where state = 'dead' order by position desc limit 1"), qr/process/, 'with its cause';
    ok defined tended(sub { $w->settled }), 'all others go on, also those of its basket';
    sleep 1;
    ok !$w->ended('billing'), 'and nothing ends the process any more';
    $w->sound('a handler that crashes', dead => $poison + 1);
    is $w->sql('billing', "select count(*) from bookings where basket = 'crashing'"), 3, 'those behind it in its basket, too';
}

# Of a handler that fails, the first attempts; the others of its basket wait, all else goes on.
{
    $w->surely('fails', 'failing', manner => 'fail');
    $w->surely('waits', 'failing');
    $w->surely('goes-on', 'other');
    ok Storytelling::Faults::until_true(undef, sub { $w->sql('billing', "select coalesce(max(attempts), 0) from parked_events where state = 'waiting'") >= 2 }), 'what fails is tried again';
    is $w->sql('billing', "select count(*) from bookings b where basket = 'failing'"), 0, 'the next of its basket waits';
    ok Storytelling::Faults::until_true(undef, sub { $w->sql('billing', "select count(*) from bookings b where basket = 'other'") }), 'another basket goes on';
    # The last attempt is made now, instead of some twenty minutes later.
    $w->sql('billing', "update parked_events set attempts = 11, run_at = now() where aggregate_id = 'failing' and run_at < 'infinity'");
    ok Storytelling::Faults::until_true(undef, sub { $w->sql('billing', "select count(*) from parked_events where state = 'dead'") == $poison + 2 }), 'not for ever: then it is a dead letter';
    $w->sound('a handler that fails', dead => $poison + 2);
}

$w->stop;
done_testing;
