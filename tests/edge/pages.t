# What the edge answers itself: the contract, the counters, and its signature on what it forwards.
use strict;
use warnings;
use Test::More;
use Storytelling::Edge;

Storytelling::Edge::echo('echo');
my $edge = Storytelling::Edge->nginx(http => 'api_title "All Things";');
$edge->start or die $edge->error_log;

# --- /openapi.json ---
my $r = $edge->get('/openapi.json');
is $r->{status}, 200, 'the contract';
is $r->{headers}{'content-type'}, 'application/json', 'is JSON';
my $api = json($r->{body});
is $api->{openapi}, '3.1.0', 'OpenAPI';
is $api->{info}{title}, 'All Things', 'under the title that was configured';
is $api->{paths}{'/v1/things'}{post}{operationId}, 'createThing', 'with its operations';
like $r->{headers}{etag}, qr/^"[0-9a-f]{32}"$/, 'it has an entity tag';
is $edge->get('/openapi.json', "If-None-Match: $r->{headers}{etag}")->{status}, 304, 'and is not sent twice';
is $edge->request('HEAD', '/openapi.json')->{headers}{'content-length'}, length $r->{body}, 'HEAD tells its length';
$r = $edge->post('/openapi.json', '{}');
is $r->{status}, 405, 'POST is refused';
is $r->{headers}{allow}, 'GET, HEAD', 'with the methods there are';
is json($r->{body})->{code}, 'method_not_allowed', 'as a problem';

# --- /health without Redis: nobody reports, so a service is well until it fails ---
$r = $edge->get('/health');
is $r->{status}, 200, 'no service has failed: healthy';
is_deeply json($r->{body}), {status => 'healthy', version => '0.1.0', dependencies => {map { $_ => 'healthy' } qw(dead echo slow)}}, 'in the shape of the document';
is $r->{headers}{'cache-control'}, 'no-store', 'nobody keeps it';
$edge->get('/v1/dead') for 1 .. 20;
$r = json($edge->get('/health')->{body});
is $r->{status}, 'degraded', 'a service whose breaker is open';
is $r->{dependencies}{dead}, 'unhealthy', 'is not well';
is_deeply json($edge->get('/health/live')->{body}), {status => 'healthy', version => '0.1.0', dependencies => {}}, 'the edge lives';
$r = $edge->get('/health/ready');
is $r->{status}, 200, 'and is ready';
is_deeply json($r->{body})->{dependencies}, {permissions => 'healthy'}, 'because it knows who may what';
{
    my $other = Storytelling::Edge->nginx(no_state => 1);
    $other->start or die $other->error_log;
    is $other->get('/health/ready')->{status}, 503, 'an edge that knows nothing is not ready';
    is $other->get('/health/live')->{status}, 200, 'but lives';
    is $other->get('/health')->{status}, 503, 'and is of no use';
}

# --- /metrics ---
$edge->get('/v1/nothing');
$edge->get('/v1/free');
$r = $edge->get('/metrics');
is $r->{headers}{'content-type'}, 'text/plain; version=0.0.4', 'Prometheus text';
my (%type, @bad, %seen);
for (split /\n/, $r->{body}) {
    next if /^# HELP \w+ .+\.$/;
    if (/^# TYPE (\w+) (counter|gauge|histogram)$/) {
        push @bad, "twice: $_" if $type{$1}++;
        next;
    }
    my ($name, $labels) = /^(\w+)(?:\{((?:\w+="[^"]*",?)*)\})? -?[0-9.e+-]+$/;
    push @bad, $_ if !$name || $seen{$name . ($labels // '')}++;
    my $family = ($name // '') =~ s/_(?:bucket|sum|count)$//r;
    push @bad, "no TYPE: $_" if !$type{$name // ''} && !$type{$family};
}
is_deeply \@bad, [], 'every line is well-formed, and every series there once';
like $r->{body}, qr/requests_total\{operation="getFree",status="200"\} 1\n/, 'requests by operation';
like $r->{body}, qr/requests_total\{operation="",status="404"\} [1-9]/, 'what was no operation';
like $r->{body}, qr/request_duration_seconds_bucket\{operation="getFree",le="\+Inf"\} 1\n/, 'durations';

# --- the signature ---
for my $case (
    ['GET',    '/v1/things?limit=5&q=%C3%A9', undef, bearer(tier => 'premium')],
    ['GET',    '/v1/free'],
    ['POST',   '/v1/free', '{"title":"a"}'],
    ['GET',    'http://localhost/v1/free'],
    ['DELETE', '/v1/things/%C3%A9', undef, bearer(roles => ['admin', 'author'])],
) {
    my ($method, $uri, $body, @headers) = @$case;
    my $echo = json($edge->request($method, $uri, $body, @headers)->{body});
    is $echo->{headers}{'x-api-signature'}, Storytelling::Edge::expected_signature($echo), "$method $uri is signed over what is forwarded";
    cmp_ok abs($echo->{headers}{'x-api-time'} - time), '<=', 2, 'with the time';
}

$edge->stop;
is $edge->reports, '', 'the sanitizers have nothing to report';
done_testing;
