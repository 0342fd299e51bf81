# PostgreSQL restarts, crashes, stalls, has no connection left, loses the answer to COMMIT, meets deadlocks: 503 with
# Retry-After meanwhile, daemons come back by themselves, and each request is in effect once.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use Storytelling::Faults;

my $COMMITTED = "C\0\0\0\x0bCOMMIT\0";
my $w   = Storytelling::Faults->new(postgres => {max_connections => 40});
my %via = (via => ['postgres']);
$w->start($_, %via) for qw(orders billing);
my %pids = map { $_ => $w->pid($_) } qw(orders billing);

# What clients were told meanwhile: 503, with Retry-After. (409: the first request with that key is still at work.)
sub answered_well {
    my ($name, $wanted) = @_;
    my @refused = @{$w->{refused} // []};
    cmp_ok scalar(grep { $_->[0] == 503 } @refused), '>', 0, "$name: clients were told 503" if $wanted;
    is_deeply [grep { $_->[0] != 409 && !($_->[0] == 503 && $_->[1] =~ /^\d+$/) } @refused], [], "$name: and nothing but 503 with Retry-After";
}

sub fault {
    my ($name, $make, %option) = @_;
    delete $w->{refused};
    my $load = $w->load(clients => 3, pause => 0.01);
    sleep 0.5;
    $make->();
    sleep 0.3;
    my $accepted = $w->rest($load);
    answered_well($name, $option{refuses});
    $w->sound("$name ($accepted orders)");
    ok $w->health($_, database => 'healthy'), "$name: $_ is healthy again" for qw(orders billing);
}

fault('fast restart', sub {
    $w->postgres_stop('INT');
    for (qw(orders billing)) {
        my $health = $w->health($_, database => 'unhealthy');
        is $health->{status}, 'unhealthy', "fast restart: /health of $_ names the database";
        is $w->get($_, '/health')->{status}, 503, "fast restart: $_ is not ready";
    }
    my $answer = $w->place('while-away', 'basket-0');
    is $answer->{status}, 503, 'fast restart: 503 meanwhile';
    like $answer->{headers}{'retry-after'}, qr/^\d+$/, 'with Retry-After';
    is $answer->{json}{correlationId}, 'c-while-away', 'and the correlation id';
    $w->postgres_start;
    $w->surely('while-away', 'basket-0');
}, refuses => 1);
like $w->log_of('orders'), qr/"Request failed".*c-while-away|c-while-away.*"Request failed"/, 'the log has that request with its correlation id';
cmp_ok(($w->get('orders', '/metrics')->{content} =~ /^storytelling_request_errors_total\{service="orders"\} (\d+)$/m)[0], '>', 0, 'and a metric counts it');

# How many runs of the job have failed.
sub failures {
    return ($w->get('billing', '/metrics')->{content} =~ /^storytelling_work_failures_total\{service="billing",kind="job",name="charge"\} (\d+)$/m) ? $1 : 0;
}

# A job whose result the database cannot take has not failed: it runs again, and the attempt does not count.
fault('away while a job runs', sub {
    my $where = 'after-call-basket-held';
    $w->hold_at($where);
    my $order = $w->surely('job-held', 'basket-held')->{json}{orderId};
    for my $time ('once', 'again') {
        Storytelling::Faults::until_true("the job to run $time", sub { $w->is_held($where) });
        $w->postgres_stop('INT');
        $w->health('billing', database => 'unhealthy');
        my $failed = failures();
        $w->let_go($where);
        Storytelling::Faults::until_true('its result to be refused', sub { failures() > $failed });
        $w->hold_at($where) if $time eq 'once';
        $w->postgres_start;
    }
    my $job = "jobs where name = 'charge' and payload->>'orderId' = '$order'";
    Storytelling::Faults::until_true('the job to be done', sub { ($w->sql('billing', "select ended from $job") // '') eq 'done' });
    is $w->sql('billing', "select attempts from $job and error is null"), 1, 'away while a job runs: the attempts do not count';
}, refuses => 1);

fault('a backend is killed with -9', sub {
    my ($backend) = $w->sql('postgres', "select pid from pg_stat_activity where application_name = 'billing/events'");
    ok $backend, 'a backend of the consumer';
    kill KILL => $backend;
}, refuses => 0);

fault('the postmaster is killed with -9', sub {
    $w->postgres_stop('KILL');
    sleep 0.5;
    $w->postgres_start;
}, refuses => 1);

# The answer to COMMIT never arrives: at the request, the event, the job, the relay.
for my $hello (qw(orders/api billing/events billing/job orders/events orders/relay billing/relay)) {
    fault("the answer to COMMIT is cut, $hello", sub {
        $w->{via}{postgres}->rule(from => 'server', match => $COMMITTED, hello => $hello, do => 'cut', times => 3);
        ok Storytelling::Faults::until_true(undef, sub { $w->{via}{postgres}->hits >= 3 }), "$hello: three times";
    }, refuses => $hello eq 'orders/api');
}

fault('stalled, then going on', sub {
    my @all = Storytelling::Faults::children($w->{postgres});
    kill STOP => $w->{postgres}, @all;
    my $health = $w->health('orders', database => 'unhealthy');
    is $health->{status}, 'unhealthy', 'stalled: /health says so';
    is $w->place('while-stalled', 'basket-1')->{status}, 503, 'stalled: 503 meanwhile';
    kill CONT => $w->{postgres}, @all;
    $w->surely('while-stalled', 'basket-1');
}, refuses => 1);

fault('stalled without a reset', sub {
    $w->{via}{postgres}->mode('lose');
    ok $w->health('orders', database => 'unhealthy'), 'stalled without a reset: /health says so';
    is $w->place('while-lost', 'basket-1')->{status}, 503, 'stalled without a reset: 503 meanwhile';
    $w->{via}{postgres}->mode('pass');
    $w->surely('while-lost', 'basket-1');
}, refuses => 1);

fault('no connection is left', sub {
    my @holders;
    my $answer = Storytelling::Faults::until_true(undef, sub {
        # Who has a connection keeps it; those of the clients' requests are taken away, and others take their places.
        $w->sql('postgres', "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'orders/api'");
        push @holders, map { $w->aside(sub { open STDERR, '>', '/dev/null'; exec "$Storytelling::Faults::PG_BIN/psql", '-XqAt', '-h', "$w->{dir}/pgrun", '-U', 'orders', '-d', 'orders', '-c', 'select pg_sleep(600)' }) } 1 .. 20;
        my $answer = $w->place('while-full', 'basket-2');
        return $answer->{status} == 503 && $answer;
    });
    ok $answer, 'no connection is left: 503 meanwhile';
    like $answer->{headers}{'retry-after'}, qr/^\d+$/, 'with Retry-After';
    kill TERM => @holders;
    waitpid $_, 0 for @holders;
    $w->sql('postgres', "select pg_terminate_backend(pid) from pg_stat_activity where query = 'select pg_sleep(600)'");    # they do not notice
    $w->surely('while-full', 'basket-2');
}, refuses => 1);

# Transfers, which have a table of their own: that each is there once.
sub transferred {
    my ($name, $wanted, %load) = @_;
    my %orders = %{delete $w->{accepted}};
    my $load = $w->load(pause => 0.001, %load);
    $load{meanwhile}->() if $load{meanwhile};
    waitpid $_, 0 for splice @{$load->{pids}};
    my $accepted = $w->rest($load);
    my @keys = keys %{delete $w->{accepted}};
    $w->{accepted} = \%orders;
    is $accepted, $wanted, "$name: every transfer was accepted in the end";
    my %rows;
    $rows{$_}++ for $w->sql('orders', 'select client_key from transfers');
    is scalar(grep { !$rows{$_} } @keys), 0, "$name: lost = 0";
    is scalar(grep { $_ > 1 } values %rows), 0, "$name: doubled = 0";
    is $w->sql('orders', "select count(*) from baskets b where units <> 100 + (select count(*) from transfers where taker = basket) - (select count(*) from transfers where giver = basket)"), 0, "$name: each account is what its transfers make of it";
}

# A deadlock for certain: who has changed one of these baskets waits until both who transfer between them have theirs.
{
    $w->surely("open-meeting-$_", "meeting-$_") for 0, 1;
    $w->sound('before the deadlock');
    my $gate = "pg_locks where locktype = 'advisory' and objid = 4711";
    $w->sql('orders', q{create function meet() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock_shared(4711); return null; end $$});
    $w->sql('orders', q{create trigger meet after update on baskets for each row when (new.basket like 'meeting-%') execute function meet()});
    my $before = $w->sql('postgres', "select deadlocks from pg_stat_database where datname = 'orders'");
    my $keeper = $w->aside(sub { open STDERR, '>', '/dev/null'; exec "$Storytelling::Faults::PG_BIN/psql", '-XqAt', '-h', "$w->{dir}/pgrun", '-U', 'postgres', '-d', 'orders', '-c', 'select pg_advisory_lock(4711)', '-c', 'select pg_sleep(600)' });
    Storytelling::Faults::until_true('the gate', sub { $w->sql('orders', "select count(*) from $gate and granted") == 1 });
    transferred('a deadlock', 2, clients => 2, count => 1, request => sub {
        my ($from) = $_[0] =~ /^load-\d+-(\d)/;
        return ('/v1/transfers', {clientKey => $_[0], from => 'meeting-' . $from % 2, to => 'meeting-' . ($from + 1) % 2});
    }, meanwhile => sub {
        ok Storytelling::Faults::until_true(undef, sub { $w->sql('orders', "select count(*) from $gate and not granted") == 2 }), 'a deadlock: each has one basket and waits';
        $w->sql('orders', "select pg_terminate_backend(pid) from $gate and granted");
        waitpid $keeper, 0;
    });
    ok Storytelling::Faults::until_true(undef, sub { $w->sql('postgres', "select deadlocks from pg_stat_database where datname = 'orders'") > $before }), 'a deadlock: the server has counted it';
    is $w->sql('orders', "select string_agg(units::text, ' ') from baskets where basket like 'meeting-%'"), '100 100', 'a deadlock: both transfers are done';
    $w->sql('orders', 'drop trigger meet on baskets; drop function meet');
}

# Deadlocks, as they come: transfers between three baskets, in all directions at once.
{
    $w->surely("open-$_", "account-$_") for 0 .. 2;
    $w->sound('before the transfers');
    transferred('deadlocks', 120 * $Storytelling::Faults::ROUNDS, clients => 8, count => 15 * $Storytelling::Faults::ROUNDS, request => sub {
        my ($from, $to) = (int rand 3, 1 + int rand 2);
        return ('/v1/transfers', {clientKey => $_[0], from => "account-$from", to => 'account-' . ($from + $to) % 3});
    });
    is $w->sql('orders', "select sum(units) from baskets where basket like 'account-%'"), 300, 'deadlocks: the sum is kept';
}

is_deeply {map { $_ => $w->pid($_) } qw(orders billing)}, \%pids, 'no daemon was started again';
ok !$w->ended($_), "$_ still runs" for qw(orders billing);
$w->stop;
done_testing;
