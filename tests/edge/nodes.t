# Two nodes that share their limits through one Redis: exact ones, leased ones, Redis that is away, stopped, or odd.
use strict;
use warnings;
use Test::More;
use Storytelling::Edge;
use Time::HiRes qw(time);

my $E = 'Storytelling::Edge';
my @with = (contract => Storytelling::Edge::root() . '/tests/edge/limits.yaml', redis => Storytelling::Edge::redis_socket(), workers => 2,
    http => 'api_limit_timeout 2s;');    # a busy machine must not make a node decide alone
Storytelling::Edge::echo('echo');
my $redis = Storytelling::Edge::start_redis();
Storytelling::Edge::set_roles();
my $h2 = Storytelling::Port::free_port();
my @nodes = ($E->nginx(@with, more => "listen 127.0.0.1:$h2 http2;"), $E->nginx(@with));
for (@nodes) { $_->start or die $_->error_log }

sub both { my ($name) = @_; return $nodes[0]->metric($name) + $nodes[1]->metric($name) }
# All workers of both nodes have asked Redis whether it is there: four connections, and two subscriptions.
sub connected { return (grep { !/cmd=(?:client|NULL)/ } split /\n/, Storytelling::Edge::redis('CLIENT', 'LIST')) >= 6 }
ok wait_for(\&connected), 'both nodes are connected';

# So many requests on a connection to a node; how many were answered by each status.
sub many {
    my ($node, $n, $path, @headers) = @_;
    my %by;
    my $socket = $node->connect or return {0 => $n};
    my ($buffer, $request) = ('', join("\r\n", "GET $path HTTP/1.1", 'Host: x', @headers) . "\r\n\r\n");
    for (1 .. $n) {
        $node->send_bytes($socket, $request);
        $by{$node->read_response($socket, \$buffer, 'GET')->{status}}++;
    }
    return \%by;
}

# The same from many processes at once, half of them at each node: the sum.
sub crowd {
    my ($processes, $n, $path, @headers) = @_;
    my (%sum, @pipes);
    pipe my $gate_reader, my $gate;
    for my $i (0 .. $processes - 1) {
        pipe my $reader, my $writer;
        if (!fork) {
            close $gate;
            sysread $gate_reader, my $byte, 1;    # all begin at once: when the gate is closed
            my $by = many($nodes[$i % 2], $n, $path, @headers);
            print $writer join(' ', %$by), "\n";
            close $writer;
            POSIX::_exit(0);
        }
        push @pipes, $reader;
    }
    close $gate;
    for my $pipe (@pipes) {
        my %by = split / /, <$pipe> // '';
        $sum{$_} += $by{$_} for keys %by;
    }
    1 while wait_child();
    return \%sum;
}
sub wait_child { return waitpid(-1, POSIX::WNOHANG()) > 0 }

# --- exact ---
my $got = crowd(20, 50, '/v1/ten', bearer(sub => 'crowd'));
is_deeply $got, {200 => 10, 429 => 990}, '1,000 tries at once on two nodes: ten in an hour are exactly 10';
my $exact = both('limit_exact_total{limit="ten"}');
cmp_ok $exact, '>=', 10, 'each that passed has asked Redis';
is_deeply crowd(4, 100, '/v1/ten', bearer(sub => 'crowd')), {429 => 400}, 'and no more later';
is both('limit_exact_total{limit="ten"}'), $exact, 'who is known to be refused is refused without asking';
is both('limit_fallback_total{limit="ten"}'), 0, 'no node has decided alone';

sub ten { my ($node, $user) = @_; return $nodes[$node]->get('/v1/ten', bearer(sub => $user)) }
my $r;
$r = ten($_ % 2, 'turns') for 1 .. 7;
like $r->{headers}{ratelimit}, qr/^"ten";r=3;t=2(?:520|5[01]\d|4\d\d)$/, 'what is left is told over both nodes';
my @keys = split /\n/, `redis-cli -s @{[Storytelling::Edge::redis_socket()]} --raw KEYS 'st:limit:*'`;
is scalar(grep { !/^st:limit:ten:[0-9a-f]{32}$/ } @keys), 0, 'the names in Redis tell nobody who it is';
is scalar(@keys), 2, 'one for each key';
cmp_ok Storytelling::Edge::redis('PTTL', $keys[0]) =~ s/^://r, '<=', 3600000, 'and they end by themselves';

# --- requests that wait go on with all that they brought, over HTTP/2 too ---
my $text = 'x' x 100_000;
$r = $nodes[0]->post('/v1/work', qq({"text":"$text"}), bearer(sub => 'body'));
is $r->{status}, 200, 'a request with a body waits for Redis';
is length(json($r->{body})->{body}), 100_011, 'and brings it to the service';
like $nodes[1]->post('/v1/work', '', bearer(sub => 'body'))->{headers}{ratelimit}, qr/^"work";r=2;t=28(?:80|[0-7]\d)$/, 'eight units are gone';
my $curl = `curl -sZ --parallel-immediate --http2-prior-knowledge -w '%{http_version} %{http_code}\n' -H '@{[bearer(sub => 'h2')]}' @{[join ' ', map { "-o /dev/null http://127.0.0.1:$h2/v1/ten" } 1 .. 12]} 2>/dev/null`;
is join(' ', sort split /\n/, $curl), join(' ', ('2 200') x 10, ('2 429') x 2), 'twelve at once over HTTP/2: ten pass';

# --- a reload, and scripts that Redis has forgotten ---
$nodes[0]->reload;
is_deeply crowd(4, 20, '/v1/ten', bearer(sub => 'turns')), {200 => 3, 429 => 77}, 'a reload keeps the counts of the node and of Redis';
Storytelling::Edge::redis('SCRIPT', 'FLUSH');
is_deeply crowd(8, 20, '/v1/ten', bearer(sub => 'flush')), {200 => 10, 429 => 150}, 'a Redis that has forgotten the script is told it again';
is both('limit_fallback_total{limit="ten"}'), 0, 'and no node has decided alone';

# --- given back, on both nodes ---
sub pair { my ($node, $user, $tenant) = @_; return $nodes[$node]->get('/v1/pair', bearer(sub => $user), "X-Tenant: $tenant")->{status} }
is join(' ', map { pair($_ % 2, 'p1', 'a') } 1 .. 4), '200 200 429 429', 'a limit refuses on either node';
is join(' ', map { pair($_ % 2, 'p1', 'b') } 1 .. 2), '200 200', 'what was refused has cost nothing in the others';
is pair(0, 'p1', 'c'), 429, 'what was not has';
is join(' ', map { pair($_ % 2, 'p2', 'd') } 1 .. 2), '200 200', 'nor of the address';
is pair(1, 'p2', 'e'), 429, 'which is used up now';

my $questions = sub { both('limit_exact_total{limit="fair"}') + both('limit_leases_total{limit="fair"}') };
is_deeply many($nodes[0], 3, '/v1/fair', bearer(sub => 'greedy')), {200 => 3}, 'a user takes a share of an address';
my $asked = $questions->();
is_deeply many($nodes[0], 400, '/v1/fair', bearer(sub => 'greedy')), {429 => 400}, 'and no more';
cmp_ok $questions->() - $asked, '<', 400, 'a flood of what one limit refuses does not ask Redis about the other each time';
is_deeply many($nodes[1], 3, '/v1/fair', bearer(sub => 'other')), {200 => 3}, 'and has cost the address nothing';

# --- leased: 1000/s, burst 1000; each node may be ahead of Redis by two slacks of 25 ---
my $from = time;
$got = crowd(8, 500, '/v1/fast', 'X-Tenant: flood');
my $bound = 1000 + 1000 * (time - $from) + 2 * 50;
is $got->{200} + $got->{429}, 4000, 'every request of a flood is answered';
cmp_ok $got->{200}, '<=', $bound, 'a leased limit lets no more pass than it may';
cmp_ok $got->{200}, '>=', 900, 'and nearly all that it may';
cmp_ok both('limit_leases_total{limit="fast"}'), '>', 0, 'it was leased';
cmp_ok both('limit_exact_total{limit="fast"}'), '<', 2000, 'few requests have waited for Redis';
is both('limit_fallback_total{limit="fast"}'), 0, 'and no node has decided alone';

# --- keys that are used rarely do not reach Redis; a slow limit is told of later ---
my $before = both('limit_leases_total{limit="many"}') + both('limit_exact_total{limit="many"}');
many($nodes[$_ % 2], 1, '/v1/many', "X-Tenant: rare$_") for 1 .. 50;
is both('limit_leases_total{limit="many"}') + both('limit_exact_total{limit="many"}'), $before, 'fifty keys used once cost no question';
$got = crowd(6, 50, '/v1/many', 'X-Tenant: busy');
cmp_ok $got->{200}, '<=', 108, 'a hundred in an hour are a hundred, and two slacks of two for each node';
cmp_ok $got->{200}, '>=', 95, 'and nothing is lost';

# --- Redis is full: each node decides ---
Storytelling::Edge::redis('CONFIG', 'SET', 'maxmemory', '1');
is_deeply crowd(4, 20, '/v1/ten', bearer(sub => 'full')), {200 => 20, 429 => 60}, 'Redis without room: ten on each node';
cmp_ok both('limit_fallback_total{limit="ten"}'), '>=', 20, 'which is counted';
like $nodes[0]->error_log, qr/Redis answers: OOM/, 'and in the log';
Storytelling::Edge::redis('CONFIG', 'SET', 'maxmemory', '0');

# --- Redis hangs: requests are answered all the same; clients that do not wait ---
is ten(0, 'hang')->{status}, 200, 'one before';
kill STOP => $redis;
my @gone = map { my $s = $nodes[0]->connect; $nodes[0]->send_bytes($s, "GET /v1/ten HTTP/1.1\r\nHost: x\r\n" . bearer(sub => "gone$_") . "\r\n\r\n"); $s } 1 .. 20;
close $_ for @gone;
is_deeply crowd(4, 20, '/v1/ten', bearer(sub => 'hang')), {200 => 19, 429 => 61}, 'a Redis that hangs: each node decides';
kill CONT => $redis;
sub up { return $nodes[0]->metric('redis_up') && $nodes[1]->metric('redis_up') && connected() }
ok wait_for(\&up, 10), 'it goes on';
is_deeply crowd(4, 20, '/v1/ten', bearer(sub => 'hang')), {429 => 80}, 'what was let pass meanwhile was counted';

# --- Redis goes, in the middle of it, and comes back ---
is ten($_ % 2, 'away')->{status}, 200, 'before' for 1 .. 4;
Storytelling::Edge::stop_child($redis, 'KILL');
ok wait_for(sub { !$nodes[0]->metric('redis_up') && !$nodes[1]->metric('redis_up') }), 'Redis is away';
is_deeply crowd(4, 20, '/v1/ten', bearer(sub => 'away')), {200 => 13, 429 => 67}, 'each node goes on with what it knew';
is ten(0, 'alone')->{status}, 200, 'a key that Redis does not know' for 1 .. 3;
$redis = Storytelling::Edge::start_redis();
ok wait_for(\&up, 10), 'Redis is back, empty';
is ten(0, 'alone')->{status}, 200, 'the next request tells it what it has missed';
my $left = ten(1, 'alone')->{headers}{ratelimit};
like $left, qr/"ten";r=5;/, 'and the other node knows';
is_deeply crowd(4, 20, '/v1/ten', bearer(sub => 'back')), {200 => 10, 429 => 70}, 'ten are ten again';

# --- killed while requests wait for it ---
kill STOP => $redis;
my @waiting = map { my $s = $nodes[$_ % 2]->connect; $nodes[$_ % 2]->send_bytes($s, "GET /v1/ten HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" . bearer(sub => "killed$_") . "\r\n\r\n"); [$nodes[$_ % 2], $s] } 1 .. 20;
Storytelling::Edge::stop_child($redis, 'KILL');
my %killed;
$killed{$_->[0]->read_response($_->[1], \(my $buffer = ''), 'GET')->{status}}++ for @waiting;
is_deeply \%killed, {200 => 20}, 'Redis killed while requests wait: they are answered';

# --- sharing switched off ---
$redis = Storytelling::Edge::start_redis();
ok wait_for(\&up, 10), 'Redis is back';
for (@nodes) { $E->configure($_, @with, http => 'api_limit_share off;'); $_->reload }
is_deeply crowd(4, 20, '/v1/ten', bearer(sub => 'off')), {200 => 20, 429 => 60}, 'sharing switched off: ten on each node';

for (@nodes) {
    $_->stop('QUIT');
    is $_->reports, '', 'the sanitizers have nothing to report';
    unlike $_->error_log, qr/\[(?:alert|crit|emerg)\]/, 'nothing alarming in the log';
}
done_testing;
