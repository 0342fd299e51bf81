# Which operation: routes, methods, ids, and what every answer carries.
use Test::Nginx::Socket 'no_plan';
use Storytelling::Edge;

Storytelling::Edge::echo($_) for qw(echo slow);
mkdir Storytelling::Edge::dir() . '/objects';
Storytelling::Edge::write_file(Storytelling::Edge::dir() . '/objects/hello.txt', 'Hello, ranges!');
our $objects = Storytelling::Edge::dir() . '/objects/';
run_tests();

__DATA__

=== a public operation reaches its service
--- request
GET /v1/free
--- response_headers_like
X-Correlation-Id: [0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{21}
--- response_body_like: "method":"GET","uri":"/v1/free"

=== a path that no contract has
--- request
GET /v1/nothing
--- error_code: 404
--- response_headers
Content-Type: application/problem+json
Cache-Control: no-store
--- response_headers_like
X-Correlation-Id: [0-9a-f-]{36}
--- response_body_like chomp
\A\{"type":"about:blank","title":"[^"]+","status":404,"detail":"[^"]+","instance":"/v1/nothing","correlationId":"[0-9a-f-]{36}","code":"not_found"\}\n\z

=== a trailing slash is another path
--- request
GET /v1/free/
--- error_code: 404

=== paths have a case
--- request
GET /V1/free
--- error_code: 404

=== an empty template value
--- request
GET /v1/things/
--- error_code: 404

=== the query is not part of the path
--- request
GET /v1/nothing?secret=1
--- error_code: 404
--- response_body_unlike: secret

=== a method that the path does not have
--- request
DELETE /v1/free
--- error_code: 405
--- response_headers
Allow: GET, HEAD, POST, OPTIONS
--- response_body_like: "code":"method_not_allowed"

=== a method that nobody has
--- request
BREW /v1/free
--- error_code: 405

=== methods have a case
--- request
get /v1/free
--- error_code: 400

=== TRACE
--- request
TRACE /v1/free
--- error_code: 405
--- response_body_like: "status":405

=== CONNECT
--- raw_request eval
"CONNECT /v1/free HTTP/1.1\r\nHost: a\r\n\r\n"
--- error_code: 405

=== OPTIONS is answered by the edge
--- request
OPTIONS /v1/things
--- error_code: 204
--- response_headers
Allow: GET, HEAD, POST, OPTIONS
! Content-Type
--- response_headers_like
X-Correlation-Id: .+

=== HEAD is GET without the body, for the service too
--- request
HEAD /v1/free
--- response_headers_like
Content-Length: [1-9]\d+
--- response_body:

=== HEAD on a path that only has POST
--- request
HEAD /v1/knock
--- error_code: 405
--- response_headers
Allow: POST, OPTIONS

=== a well-known path may begin with a dot
--- request
GET /.well-known/jwks.json
--- response_body_like: "x-api-operation":"keys"

=== the client's correlation id goes to the service and back
--- request
GET /v1/free
--- more_headers
X-Correlation-Id: my-id_1.2
--- response_headers
X-Correlation-Id: my-id_1.2
--- response_body_like: "x-api-correlation-id":"my-id_1.2"

=== what is no correlation id is replaced
--- request eval
[map { 'GET /v1/nothing' } 1 .. 4]
--- more_headers eval
['X-Correlation-Id: a b', 'X-Correlation-Id: ' . 'x' x 65, "X-Correlation-Id: one\nX-Correlation-Id: two", 'X-Correlation-Id: "><script>']
--- error_code eval
[404, 404, 404, 404]
--- response_headers_like eval
[map { 'X-Correlation-Id: [0-9a-f]{8}-[0-9a-f-]{27}' } 1 .. 4]

=== a trace is continued, with the edge's own span
--- request
GET /v1/free
--- more_headers
traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00
--- response_body_like: "traceparent":"00-0af7651916cd43dd8448eb211c80319c-(?!b7ad6b7169203331)[0-9a-f]{16}-00"

=== what is no traceparent starts a new trace
--- request eval
[map { 'GET /v1/free' } 1 .. 4]
--- more_headers eval
['traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01',
 'traceparent: 00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01', 'traceparent: x', '']
--- error_code eval
[200, 200, 200, 200]
--- response_body_like eval
[map { '"traceparent":"00-(?!0{32})(?!(?i:0af765))[0-9a-f]{32}-[0-9a-f]{16}-01"' } 1 .. 4]

=== the age of an operation is told
--- request
GET /v1/old
--- response_headers
Deprecation: @1735689600
Sunset: Sun, 01 Jun 2031 00:00:00 GMT

=== an idempotency key can be required
--- request eval
['POST /v1/keyed', 'POST /v1/keyed']
--- more_headers eval
['', 'Idempotency-Key: k1']
--- error_code eval
[400, 200]

=== a service that is not there
--- request eval
["GET /v1/dead", "POST /v1/dead"]
--- error_code eval
[503, 503]
--- response_headers eval
["Retry-After: 2\nContent-Type: application/problem+json", "Retry-After: 2"]
--- response_body_like eval
[('"title":"The service is not available now","status":503,.*"instance":"/v1/dead".*"code":"unavailable"') x 2]
--- error_log
[crit]

=== a service that is too slow for the operation
--- request
GET /v1/slow
--- timeout: 2
--- error_code: 503
--- response_headers
Retry-After: 2
--- response_body_like: too long
--- error_log
upstream timed out

=== a file that the service points to, with ranges
--- config eval
Storytelling::Edge::server_config() . "location /_objects/ { internal; api off; alias $::objects; }"
--- request eval
['GET /v1/file', 'GET /v1/file', 'GET /_objects/hello.txt', 'GET /v1/file']
--- more_headers eval
['X-Correlation-Id: c1', 'Range: bytes=7-12', '', 'Range: bytes=100-']
--- error_code eval
[200, 206, 404, 416]
--- response_body_like eval
['\AHello, ranges!\z', '\Aranges\z', '"code":"not_found"', '"code":"range_not_satisfiable"']
--- response_headers eval
["X-Correlation-Id: c1\nContent-Type: application/json", 'Content-Range: bytes 7-12/14', 'Content-Type: application/problem+json',
 'Content-Type: application/problem+json']

=== an api location cannot be opened by "satisfy any"
--- config
api on;
satisfy any;
location / { proxy_pass http://$api_service; }
--- must_die
--- error_log
"satisfy any" would let people past "api on"

=== without "api on" the variables of the service stay empty, so nothing is forwarded
--- config
location / { proxy_pass http://$api_service; }
--- request
GET /v1/me
--- error_code: 500
--- error_log
invalid URL prefix

=== nor by api_pass
--- config
location / { api_pass; }
--- request
GET /v1/me
--- error_code: 500
--- error_log
invalid URL prefix

=== api_pass is proxy_pass: a location has one
--- config
api on;
location / { api_pass; api_pass; }
--- must_die
--- error_log
"api_pass" directive is duplicate

=== api_pass beside proxy_pass
--- config
api on;
location / { proxy_pass http://echo; api_pass; }
--- must_die
--- error_log
"api_pass" directive is duplicate

=== a location that opts out below one that is on
--- config
api on;
location / { proxy_pass http://$api_service; }
location = /plain { api off; return 200 "plain $api_correlation_id\n"; }
--- request
GET /plain
--- more_headers
X-Correlation-Id: c1
--- response_body
plain c1

=== HTTP/1.0
--- request
GET /v1/free HTTP/1.0
--- response_body_like: "uri":"/v1/free"

=== HTTP/0.9 is refused (by an answer without a header, as it has none)
--- raw_request eval
"GET /v1/free\r\n"
--- error_code eval: ''
