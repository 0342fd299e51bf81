# x-retry: what is tried again, how often, and within which time.
use strict;
use warnings;
use Test::More;
use Storytelling::Edge;
use Time::HiRes qw(sleep time);

my $E   = 'Storytelling::Edge';
my $run = Storytelling::Edge::dir() . '/run';
my $contract = Storytelling::Edge::write_file(Storytelling::Edge::dir() . '/contracts/retry.yaml', <<'YAML');
openapi: 3.1.0
info: {title: Tried again, version: 1.0.0}
x-service: one
security: []
paths:
  /v1/all:
    get: {operationId: getAll, x-retry: {attempts: 3, on: [error, timeout, 502, 503, 504]}, x-timeout: 900ms, responses: {'200': {description: Fine.}}}
    delete: {operationId: deleteAll, x-retry: {attempts: 2, on: [error]}, responses: {'200': {description: Fine.}}}
    post:
      operationId: postAll
      x-idempotency: required
      x-retry: {attempts: 2, on: [error, 503]}
      requestBody: {content: {application/json: {schema: {type: object}}}}
      responses: {'200': {description: Fine.}}
  /v1/busy:
    get: {operationId: getBusy, x-retry: {attempts: 2, on: [503]}, responses: {'200': {description: Fine.}}}
  /v1/none:
    get: {operationId: getNone, responses: {'200': {description: Fine.}}}
    post: {operationId: postNone, requestBody: {content: {application/json: {schema: {type: object}}}}, responses: {'200': {description: Fine.}}}
  /v1/pair:
    get: {operationId: getPair, x-service: pair, x-retry: {attempts: 2, on: [error, 503]}, responses: {'200': {description: Fine.}}}
YAML
Storytelling::Edge::actor($_) for qw(one left right);
my @with = (contract => $contract, upstreams => <<"CONF");
    upstream one { server unix:$run/one.sock; keepalive 4; }
    upstream pair { server unix:$run/left.sock max_fails=0; server unix:$run/right.sock max_fails=0; keepalive 4; }
    api_breaker off;
    proxy_next_upstream error;
CONF
my $edge = $E->nginx(@with);
$edge->start or die $edge->error_log;

# The status, and how many requests the service has seen, when it behaves so.
sub tried {
    my ($how, $method, $path, @more) = @_;
    Storytelling::Edge::what(one => $how);
    my $seen = Storytelling::Edge::seen('one') // 0;
    my $r = $edge->request($method, $path, @more);
    return [$r->{status}, Storytelling::Edge::seen('one') - $seen];
}

is_deeply tried('200',         GET => '/v1/all'), [200, 1], 'what succeeds is asked once';
is_deeply tried('503 200',     GET => '/v1/all'), [200, 2], '503 is tried again';
is_deeply tried('502 504 200', GET => '/v1/all'), [200, 3], 'three attempts';
is_deeply tried('503 503 503 200', GET => '/v1/all'), [503, 3], 'and no more';
is_deeply tried('close 200',   GET => '/v1/all'), [200, 2], 'a connection that breaks';
is_deeply tried('hang 200',    GET => '/v1/all'), [200, 2], 'an answer that does not come in its part of the time';
is_deeply tried('500 200',     GET => '/v1/all'), [500, 1], 'a 500 is an answer';
is_deeply tried('404 200',     GET => '/v1/all'), [404, 1], 'a 404 too';
is_deeply tried('503 200',     HEAD => '/v1/all'), [200, 2], 'HEAD is GET';
my $from = time;
is_deeply tried('hang', GET => '/v1/all'), [503, 3], 'three timeouts';
note sprintf 'three attempts took %.0f ms of 900', 1000 * (time - $from);
is_deeply tried('503 200',   GET => '/v1/busy'), [200, 2], 'on 503';
is_deeply tried('502 200',   GET => '/v1/busy'), [502, 1], 'and on nothing else';
is_deeply tried('200',       GET => '/v1/busy'), [200, 1], '(a connection is kept)';
is_deeply tried('close 200', GET => '/v1/busy'), [200, 2], 'a kept connection that has gone is no attempt';
is_deeply tried('close 200', DELETE => '/v1/all'), [200, 2], 'DELETE';

my @key = ('{}', 'Content-Type: application/json', 'Idempotency-Key: 01234567');
is_deeply tried('503 200',   POST => '/v1/all', @key), [200, 2], 'a POST with a key, and its body';
is_deeply tried('close 200', POST => '/v1/all', @key), [200, 2], 'after a broken connection, too';
is_deeply tried('502 200',   POST => '/v1/all', @key), [502, 1], 'not on what was not named';
is_deeply tried('503 200', GET  => '/v1/none'), [503, 1], 'without x-retry nothing is tried again';
is_deeply tried('503 200', POST => '/v1/none', @key), [503, 1], 'a POST even less';
$edge->stop;
$edge->start;
is_deeply tried('close 200', POST => '/v1/none', @key), [503, 1], 'not after a broken connection';

# --- several servers ---
Storytelling::Edge::what(left => 503);
is $edge->get('/v1/pair')->{status}, 200, "another server answers ($_)" for 1 .. 4;
Storytelling::Edge::what(right => 503);
my $seen = Storytelling::Edge::seen('left') + Storytelling::Edge::seen('right');
is $edge->get('/v1/pair')->{status}, 503, 'none does';
is Storytelling::Edge::seen('left') + Storytelling::Edge::seen('right'), $seen + 2, 'each was asked once';

# --- with a breaker ---
like $edge->get('/metrics')->{body}, qr/^api_edge_retries_total [1-9]/m, 'retries are counted';
$edge->stop;
$E->configure($edge, @with[0, 1], upstreams => $with[3] =~ s/api_breaker off/api_breaker min=2 open=30s/r);
$edge->start or die $edge->error_log;
is_deeply tried('503', GET => '/v1/all'), [503, 2], 'when the breaker opens nothing is tried any more';
is_deeply tried('200', GET => '/v1/all'), [503, 0], 'it is open';
$edge->stop;
is $edge->reports, '', 'the sanitizers have nothing to report';
unlike $edge->error_log, qr/\[(?:alert|crit|emerg)\]/, 'nothing alarming in the log';
done_testing;
