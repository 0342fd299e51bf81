# What is counted: requests, refusals with one cause each, decisions, shared memory, Redis; over all workers.
use strict;
use warnings;
use Test::More;
use Storytelling::Edge;
use Time::HiRes qw(sleep);

my $E = 'Storytelling::Edge';
Storytelling::Edge::echo('echo');
mkdir Storytelling::Edge::dir() . '/tmp';
my @with = (workers => 2, server => 'client_header_timeout 2s; api_body_timeout 2s; access_log logs/a.log b;' . Storytelling::Edge::server_config(),
    state => Storytelling::Edge::state_file(revoked => {gone => {value => '', until => time + 600}}),
    http => 'log_format b "$status $api_refused $api_operation $api_scheme $api_decision $request_uri";');
my $edge = $E->nginx(@with);
mkdir "$edge->{dir}/nginx/logs";
$edge->start or die $edge->error_log;

sub metrics { return {$edge->get('/metrics')->{body} =~ /^api_edge_(\S+) (\S+)$/mg} }
my %before = %{metrics()};

# The series that have grown since the last look, but for what looking itself counts.
sub grown {
    my %now = %{metrics()};
    my %more = map { $_ => $now{$_} - $before{$_} } grep { $now{$_} != ($before{$_} //= 0) } grep { /^(?:refusals|rbac|limit_passed|limit_rejected|retries)_total/ } keys %now;
    %before = %now;
    return \%more;
}

# The same, when the named one must be among them: a request is counted when it has ended, which may be a little later.
sub grown_with {
    my ($name, $times) = @_;
    my %all;
    wait_for(sub { my $more = grown(); $all{$_} += $more->{$_} for keys %$more; ($all{$name} // 0) >= ($times // 1) });
    return \%all;
}

# --- every refusal has one cause ---
my $json = 'Content-Type: application/json';
my @key  = ('Idempotency-Key: a1b2c3d4');
for my $case (
    ['path',        400, GET  => '/v1//things'],
    ['path',        400, GET  => '/v1/%2e%2e/free'],
    ['header',      400, GET  => '/v1/free', undef, 'Content-Type: a/b', 'Content-Type: a/b'],
    ['not_found',   404, GET  => '/v1/nothing'],
    ['method',      405, PUT  => '/v1/free', ''],
    ['credentials', 401, GET  => '/v1/me'],
    ['token',       401, GET  => '/v1/me', undef, 'Authorization: Bearer a.b.c'],
    ['expired',     401, GET  => '/v1/me', undef, bearer(exp => int(time) - 100, jti => 'late')],
    ['revoked',     401, GET  => '/v1/me', undef, bearer(sid => 'gone')],
    ['parameters',  400, GET  => '/v1/things?limit=0', undef, bearer()],
    ['parameters',  400, POST => '/v1/keyed', ''],
    ['permission',  403, DELETE => '/v1/things/a', undef, bearer()],
    ['body_size',   413, POST => '/v1/free', 'x' x 2000, $json],
    ['media_type',  415, POST => '/v1/free', '{}', 'Content-Type: text/plain'],
    ['body',        400, POST => '/v1/free', '{', $json],
    ['schema',      422, POST => '/v1/free', '{}', $json],
    ['upstream',    503, GET  => '/v1/dead'],
    ['malformed',   431, GET  => '/v1/free', undef, 'X-Long: ' . 'x' x 20000],
    ['malformed',   400, GET  => '/v1/free', undef, 'Content-Length: x'],
) {
    my ($cause, $status, $method, $path, $body, @headers) = @$case;
    my $r = $edge->request($method, $path, $body, @headers);
    is $r->{status}, $status, "$method $path" or diag $r->{body};
    my $grown = grown_with("refusals_total{cause=\"$cause\"}");
    delete $grown->{'rbac_total{decision="allow"}'};
    is delete $grown->{"refusals_total{cause=\"$cause\"}"}, 1, "is refused because of: $cause" or diag explain $grown;
    delete $grown->{'rbac_total{decision="deny"}'} if $cause eq 'permission';
    is_deeply $grown, {}, 'and of nothing else';
}
{
    my $r;
    $r = $edge->post('/v1/knock', '') for 1 .. 6;
    is $r->{status}, 429, 'the sixth';
    is_deeply grown_with('refusals_total{cause="limit"}'), {'refusals_total{cause="limit"}' => 1, 'limit_passed_total{limit="knock"}' => 5, 'limit_rejected_total{limit="knock"}' => 1}, 'was over the limit';
    my $socket = $edge->connect;
    print $socket "POST /v1/free HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{";
    ok wait_for(sub { (grown()->{'refusals_total{cause="slow_client"}'} // 0) == 1 }), 'a body that does not come';
    $edge->get('/v1/free') for 1 .. 3;
    is_deeply grown(), {}, 'what succeeds was not refused';
    $edge->get('/v1/things', bearer()) for 1 .. 3;
    is_deeply grown_with('rbac_total{decision="allow"}', 3), {'rbac_total{decision="allow"}' => 3}, 'who may, may';
}
my $log = Storytelling::Nginx::slurp("$edge->{dir}/nginx/logs/a.log");
like $log, qr{^403 permission deleteThing bearer deny /v1/things/a$}m, 'the access log has the cause, the scheme and the decision';
like $log, qr{^200  getFree   /v1/free$}m, 'or none';
unlike $log, qr/Bearer|eyJ/, 'and no secret';

# --- requests ---
wait_for(sub { (metrics()->{'request_duration_seconds_count{operation="listThings"}'} // 0) >= 4 });
my %m = %{metrics()};
is $m{'requests_total{operation="getFree",status="200"}'}, 3, 'requests by operation and status';
is $m{'requests_total{operation="postFree",status="422"}'}, 1, 'each status for itself';
is $m{'requests_total{operation="postFree",status="415"}'}, 1, 'all of them';
is $m{'request_duration_seconds_count{operation="getFree"}'}, 3, 'durations';
cmp_ok $m{'request_duration_seconds_bucket{operation="getFree",le="1"}'}, '>=', $m{'request_duration_seconds_bucket{operation="getFree",le="0.005"}'}, 'cumulative';
$edge->reload;
is metrics()->{'requests_total{operation="getFree",status="200"}'}, 3, 'they live through a reload';
my @clients;    # each asks as soon as it is there: who waits is hung up on
for my $round (1 .. 5) {
    for my $i (0 .. 19) {
        my ($s, $buffer) = ($clients[$i] //= $edge->connect, '');
        print $s "GET /v1/free HTTP/1.1\r\nHost: a\r\n\r\n";
        $edge->read_response($s, \$buffer, 'GET');
    }
}
ok wait_for(sub { metrics()->{'requests_total{operation="getFree",status="200"}'} == 103 }), 'and are summed over the workers';

# --- memory, processes, Redis ---
%m = %{metrics()};
for my $zone (qw(state tokens limits)) {
    cmp_ok $m{"zone_bytes{zone=\"$zone\",kind=\"used\"}"}, '>', 0, "$zone: some is used";
    cmp_ok $m{"zone_bytes{zone=\"$zone\",kind=\"used\"}"}, '<=', $m{"zone_bytes{zone=\"$zone\",kind=\"total\"}"}, 'and no more than there is';
}
is $m{'zone_entries{zone="state",table="revoked"}'}, 1, 'entries of a table';
is $m{workers}, 2, 'workers';
cmp_ok $m{'connections{state="active"}'}, '>=', 20, 'connections';
is $m{redis_up}, 0, 'no Redis';
is $m{redis_heard_age_seconds}, -1, 'never heard';
is $m{state_ready}, 1, 'roles are known';
is $m{'breaker_state{service="echo"}'}, 0, 'breakers';
$edge->stop;

Storytelling::Edge::start_redis();
Storytelling::Edge::set_roles();
$E->configure($edge, @with, redis => Storytelling::Edge::redis_socket());
$edge->start or die $edge->error_log;
ok wait_for(sub { my $now = metrics(); $now->{redis_up} && $now->{redis_round_trip_seconds} > 0 && $now->{state_age_seconds} >= 0 }), 'Redis is heard, and how fast';
$edge->stop;
is $edge->reports, '', 'the sanitizers have nothing to report';
done_testing;
