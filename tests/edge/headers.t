# Headers: forged ones, repeated ones, and requests that two parsers would read differently.
use Test::Nginx::Socket 'no_plan';
use Storytelling::Edge;

Storytelling::Edge::echo('echo');
run_tests();

__DATA__

=== identity headers of a client are stripped
--- request
GET /v1/free
--- more_headers
X-Api-User: root
x-api-roles: admin
X-API-SESSION: s
X-Api-Tier: premium
X-Api-Operation: me
X-Api-Signature: 00
X-Api-Anything: x
X-Forwarded-For: 10.0.0.1
X-Forwarded-User: root
X-Real-Ip: 10.0.0.1
Forwarded: for=10.0.0.1
X-Accel-Redirect: /_objects/x
X-Original-Url: /admin
X-Rewrite-Url: /admin
X-Http-Method-Override: DELETE
Proxy: http://evil
tracestate: a=b
Accept: text/x-kept
--- response_body_like: "accept":"text/x-kept"
--- response_body_unlike: root|admin|premium|10\.0\.0\.1|evil|DELETE|anything|forward|accel|original|tracestate|"x-api-user"|"x-api-roles"|"x-api-session"|"x-api-tier"

=== so are their spellings with underscores, where nginx is told to let those in
--- http_config eval
Storytelling::Edge::http_config() . 'underscores_in_headers on;'
--- request
GET /v1/free
--- more_headers
X_Api_User: root
x-api_roles: admin
X_Forwarded_For: 10.0.0.1
--- response_body_unlike: root|admin|10\.0\.0\.1

=== the rest of a long list survives the stripping
--- request
GET /v1/free
--- more_headers eval
CORE::join "\n", (map { "X-Kept-$_: k$_" } 1 .. 30), 'X-Api-User: root', map { "X-Kept-$_: k$_" } 31 .. 50
--- response_body_like: "x-kept-1":"k1".*"x-kept-30":"k30".*"x-kept-31":"k31".*"x-kept-50":"k50"
--- response_body_unlike: root

=== the service hears the edge's values
--- request
GET /v1/things?limit=5
--- more_headers eval: bearer(sub => 'u-7', sid => 's-7', roles => ['author', 'reader'], tier => 'premium') . "\nX-Api-User: root\nCookie: a=b"
--- response_body_like: "x-api-address":"127.0.0.1","x-api-correlation-id":"[^"]+","x-api-operation":"listThings","x-api-roles":"author,reader","x-api-session":"s-7","x-api-signature":"[0-9a-f]{64}","x-api-tier":"premium","x-api-time":"\d+","x-api-user":"u-7"
--- response_body_unlike: root|"authorization"

=== headers that may come once
--- request eval
[map { 'GET /v1/free' } 1 .. 6]
--- more_headers eval
["Authorization: Bearer a\nAuthorization: Bearer b", "Host: a\nHost: b", "Content-Type: a/b\nContent-Type: application/json",
 "If-Match: \"a\"\nIf-Match: \"b\"", "Idempotency-Key: a\nidempotency-key: b", "Range: bytes=0-1\nRange: bytes=2-3"]
--- error_code eval
[(400) x 6]
--- response_headers eval
[('Content-Type: application/problem+json') x 6]

=== two lengths
--- raw_request eval
"POST /v1/free HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"
--- error_code: 400

=== a length and chunks
--- raw_request eval
"POST /v1/free HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
--- error_code: 400

=== lengths that are no numbers
--- raw_request eval
"POST /v1/free HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello"
--- error_code: 400

=== an encoding that nobody knows
--- raw_request eval
"POST /v1/free HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"
--- error_code: 501
--- response_body_like: "status":501

=== an encoding twice
--- raw_request eval
"POST /v1/free HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"
--- error_code: 400

=== a space before the colon
--- raw_request eval
"POST /v1/free HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\nConnection: close\r\n\r\nhello"
--- error_code: 400

=== a folded header
--- raw_request eval
"GET /v1/free HTTP/1.1\r\nHost: a\r\nX-A: b\r\n Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
--- error_code: 400

=== a NUL, and a bare carriage return
--- raw_request eval
"GET /v1/free HTTP/1.1\r\nHost: a\r\nX-A: b\0c\r\nConnection: close\r\n\r\n"
--- error_code: 400

=== chunks with a bad size
--- raw_request eval
"POST /v1/free HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"
--- error_code: 400
--- response_body_like: "status":400

=== no host
--- raw_request eval
"GET /v1/free HTTP/1.1\r\n\r\n"
--- error_code: 400

=== a header that is too large
--- request
GET /v1/free
--- more_headers eval
'X-Large: ' . 'x' x 40000
--- error_code: 431
--- response_headers
Content-Type: application/problem+json
--- error_log
client sent too long header line

=== a refused request does not become the next one: the body is read, or the connection ends
--- raw_request eval
my $inner = "GET /v1/free HTTP/1.1\r\nHost: a\r\n\r\n";
"POST /v1/nothing HTTP/1.1\r\nHost: a\r\nContent-Length: " . length($inner) . "\r\n\r\n$inner"
    . "GET /v1/old HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
--- error_code: 404

=== two requests on one connection are two
--- pipelined_requests eval
["POST /v1/free\n{\"title\":\"a\"}", 'GET /v1/nothing', 'GET /v1/free']
--- more_headers eval
["Content-Type: application/json", '', '']
--- error_code eval
[200, 404, 200]

=== an entity tag that compression has weakened is whole again for the service
--- request
PATCH /v1/things/a
{"title":"b"}
--- more_headers eval: bearer(roles => ['editor']) . qq{\nContent-Type: application/json\nIf-Match: W/"3"}
--- response_body_like: "if-match":"\\"3\\""
