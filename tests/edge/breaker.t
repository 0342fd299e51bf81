# The circuit breakers: what opens one, what an open one answers, how it closes, and that nodes tell each other.
use strict;
use warnings;
use Test::More;
use Storytelling::Edge;
use Time::HiRes qw(sleep time);

my $E   = 'Storytelling::Edge';
my $run = Storytelling::Edge::dir() . '/run';
my $contract = Storytelling::Edge::write_file(Storytelling::Edge::dir() . '/contracts/breaker.yaml', <<'YAML');
openapi: 3.1.0
info: {title: Two services, version: 1.0.0}
x-service: one
security: []
paths:
  /v1/one/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    get: {operationId: getOne, x-timeout: 200ms, responses: {'200': {description: Fine.}}}
    post: {operationId: postOne, x-timeout: 200ms, responses: {'200': {description: Fine.}}}
  /v1/mine:
    get: {operationId: getMine, security: [{bearer: []}], responses: {'200': {description: Fine.}}}
  /v1/kept:
    get: {operationId: getKept, x-cache: {for: 60s}, responses: {'200': {description: Fine.}}}
  /v1/other:
    get: {operationId: getOther, x-cache: {for: 60s}, responses: {'200': {description: Fine.}}}
  /v1/two:
    get: {operationId: getTwo, x-service: two, responses: {'200': {description: Fine.}}}
components: {securitySchemes: {bearer: {type: http, scheme: bearer}}}
YAML
my @tuned = (
    contract  => $contract,
    upstreams => "upstream one { server unix:$run/one.sock; keepalive 4; }
        upstream two { server unix:$run/two.sock; api_breaker off; }
        api_breaker share=50% min=10 window=5s open=3s probes=2;"
);
my @log = (more => 'access_log logs/a.log b;', http => 'log_format b "$status $api_breaker $api_refused";');
mkdir Storytelling::Edge::dir() . '/tmp';
Storytelling::Edge::actor($_) for qw(one two);
my $edge = $E->nginx(@tuned, workers => 2);

sub get { my ($path, @headers) = @_; return $edge->get($path, @headers) }
sub state { my ($e) = @_; return ('closed', 'half-open', 'open')[($e // $edge)->get('/metrics')->{body} =~ /^api_edge_breaker_state\{service="one"\} (\d)$/m ? $1 : die 'no state'] }
sub opens { my ($what, $how, $n) = @_; Storytelling::Edge::what(one => $how); get("/v1/one/$_") for 1 .. $n; is state(), 'open', $what }
sub closes {
    Storytelling::Edge::what(one => 200);
    ok wait_for(sub { get('/v1/one/x')->{status} == 200 && state() eq 'closed' }), 'and it closes when the service is well again';
}

$edge->start or die $edge->error_log;
is get('/v1/one/a')->{status}, 200, 'all is well';
is state(), 'closed', 'closed';

# --- what counts, and what does not ---
Storytelling::Edge::what(one => 503);
get("/v1/one/$_") for 1 .. 9;
is state(), 'open', 'nine of ten failed' or diag $edge->get('/metrics')->{body};
my $seen = Storytelling::Edge::seen('one');
my $r = get('/v1/one/other');
is $r->{status}, 503, 'open: 503';
like $r->{headers}{'retry-after'}, qr/^[123]$/, 'with Retry-After';
is json($r->{body})->{code}, 'unavailable', 'as a problem';
is $edge->post('/v1/one/x', '{}')->{status}, 503, 'another operation of the service too: the key is the service';
is get('/v1/nothing')->{status}, 404, 'what is no operation is still 404';
is Storytelling::Edge::seen('one'), $seen, 'and the service hears nothing';
is get('/v1/two')->{status}, 200, 'another service goes on';
closes();

opens('connections that break: open', 'close', 10);
closes();
opens('answers that do not come in time: open', 'hang', 10);
closes();
opens('answers that break off: open', 'half', 10);
closes();
for my $status (400, 404, 409, 429, 500, 501) {
    Storytelling::Edge::what(one => $status);
    get("/v1/one/$_") for 1 .. 12;
    is state(), 'closed', "$status is an answer";
}
Storytelling::Edge::what(one => 'hang');
for (1 .. 12) { my $socket = $edge->connect; print $socket "GET /v1/one/x HTTP/1.1\r\nHost: a\r\n\r\n"; sleep 0.01; close $socket }
sleep 0.3;
is state(), 'closed', 'clients that hang up tell nothing about the service';
Storytelling::Edge::what(one => 200);
get('/v1/one/x') for 1 .. 30;
Storytelling::Edge::what(one => 504);
get('/v1/one/x') for 1 .. 9;
is state(), 'closed', 'a share below half does not open it';
sleep 5.1;    # the window

# --- half-open ---
opens('open', 502, 10);
is get('/v1/one/x')->{status}, 503, 'still open';
sleep 3.05;
is get('/v1/mine')->{status}, 401, 'who may not come in is no probe';
$seen = Storytelling::Edge::seen('one');
get('/v1/one/x');
is Storytelling::Edge::seen('one'), $seen + 1, 'when its time is over one goes through';
is state(), 'open', 'and when that fails it is open again';
get('/v1/one/x') for 1 .. 5;
is Storytelling::Edge::seen('one'), $seen + 1, 'for all others';
sleep 3.05;
Storytelling::Edge::what(one => 'hang');
my @sockets = map { my $s = $edge->connect; print $s "GET /v1/one/p HTTP/1.1\r\nHost: a\r\n\r\n"; $s } 1 .. 6;
ok wait_for(sub { Storytelling::Edge::seen('one') >= $seen + 3 }), 'half-open: some go through';
sleep 0.1;
is Storytelling::Edge::seen('one'), $seen + 3, 'two at a time';
close $_ for @sockets;
Storytelling::Edge::what(one => 200);
ok wait_for(sub { state() eq 'half-open' || state() eq 'open' }), 'probes whose clients left decide nothing good';
closes();
like $edge->error_log, qr/the breaker of one is open: \d+ of the last \d+ requests failed/, 'the log tells why it opened';
like $edge->error_log, qr/the breaker of one is half-open/, 'when it is tried';
like $edge->error_log, qr/the breaker of one is closed: its probes succeeded/, 'and when it closed';

# --- counted over all workers, and through a reload ---
opens('open', 503, 12);
$edge->reload;
is state(), 'open', 'a reload changes nothing';
is get('/v1/one/x')->{status}, 503, 'indeed';
closes();

# --- off ---
Storytelling::Edge::what(two => 503);
get('/v1/two') for 1 .. 40;
$seen = Storytelling::Edge::seen('two');
get('/v1/two');
is Storytelling::Edge::seen('two'), $seen + 1, 'a breaker that is off never opens';
$edge->stop;
is $edge->reports, '', 'the sanitizers have nothing to report';

# --- two nodes ---
my $redis = Storytelling::Edge::start_redis();
Storytelling::Edge::set_roles();
my ($a, $b) = map { my $e = $E->nginx(@tuned, redis => Storytelling::Edge::redis_socket(), @log); mkdir "$e->{dir}/nginx/logs"; $e } 1 .. 2;
for ($a, $b) { $_->start or die $_->error_log }
ok wait_for(sub { $a->get('/metrics')->{body} =~ /^api_edge_redis_up 1$/m && $b->get('/metrics')->{body} =~ /^api_edge_redis_up 1$/m }), 'two nodes at one Redis';
ok wait_for(sub { $a->get('/v1/kept')->{headers}{age} }), 'an answer is kept';
Storytelling::Edge::what(one => 503);
$a->get('/v1/one/x') for 1 .. 10;
is state($a), 'open', 'one has seen it';
is $a->get('/v1/kept')->{status}, 200, 'what is kept is served all the same';
is $a->get('/v1/other')->{status}, 503, 'what is not, is not';
ok wait_for(sub { state($b) eq 'open' }), 'the other has been told';
$seen = Storytelling::Edge::seen('one');
is $b->get('/v1/one/x')->{status}, 503, 'and spares the service';
is Storytelling::Edge::seen('one'), $seen, 'without asking it';
like $b->error_log, qr/the breaker of one is open: another node says so/, 'its log says who told';
Storytelling::Edge::what(one => 200);
ok wait_for(sub { $a->get('/v1/one/x')->{status} == 200 && state($a) eq 'closed' }), 'the one closes';
ok wait_for(sub { $b->get('/v1/one/x')->{status} == 200 && state($b) eq 'closed' }), 'the other tries for itself';
Storytelling::Edge::redis('PUBLISH', 'st:edge', $_)
    for '{"kind":"breaker"}', '{"kind":"breaker","service":"nobody","state":"open","until":99999999999999}',
    '{"kind":"breaker","service":7,"state":{},"until":"x"}', '{"kind":"breaker","service":"one","state":"open","until":1}';
sleep 0.1;
is state($b), 'closed', 'what makes no sense changes nothing';
Storytelling::Edge::redis('PUBLISH', 'st:edge', '{"kind":"breaker","service":"one","state":"open","until":99999999999999}');
ok wait_for(sub { state($b) eq 'open' }), 'whatever another node says';
ok wait_for(sub { $b->get('/v1/one/x')->{status} == 200 }), 'it is open for no longer than this node would be';
$_->stop for $a, $b;
my $log = Storytelling::Nginx::slurp("$b->{dir}/nginx/logs/a.log");
like $log, qr/^503 open breaker$/m, 'the access log tells the state and the cause';
is $_->reports, '', 'the sanitizers have nothing to report' for $a, $b;
done_testing;
