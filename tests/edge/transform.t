# Bodies, headers and answers that the contract wants otherwise than they came.
use Test::Nginx::Socket 'no_plan';
use Storytelling::Edge;

Storytelling::Edge::echo('echo');
my $E = 'Storytelling::Edge';
my $dir = Storytelling::Edge::dir();
# The service of /v1/answers: an nginx that says what it is told.
our $http = $E->can('http_config')->(contract => "@{[$E->root]}/tests/edge/versions.yaml") . <<"CONF";
    upstream canned { server unix:$dir/run/canned.sock; keepalive 2; }
    gzip_types application/json;
    gzip_min_length 1;
    server {
        listen unix:$dir/run/canned.sock;
        default_type application/json;
        add_header X-Old gone always;
        location = /v1/answers/plain { add_header ETag '"e1"'; add_header Last-Modified 'Thu, 01 Jan 2026 00:00:00 GMT'; return 200 '{"a":1,"b":[true]}'; }
        location = /v1/answers/text { default_type text/plain; return 200 'a: 1'; }
        location = /v1/answers/broken { return 200 '{"a":1'; }
        location = /v1/answers/other { return 200 '{"b":1}'; }
        location = /v1/answers/empty { return 204; }
        location = /v1/answers/problem { default_type application/problem+json; return 404 '{"a":1}'; }
        location = /v1/answers/error { return 500 '{"a":1}'; }
        location = /v1/answers/encoded { add_header Content-Encoding br; return 200 '{"a":1}'; }
        location = /v1/answers/ranged { add_header Accept-Ranges bytes; return 200 '{"a":1,"range":"\$http_range"}'; }
        location = /v1/answers/large { root $dir/canned; }
        location = /v1/answers/long { root $dir/canned; }
    }
CONF
mkdir $_ for map { "$dir/canned$_" } '', '/v1', '/v1/answers';
Storytelling::Edge::write_file("$dir/canned/v1/answers/large", '{"a":"' . 'x' x (1024 * 1024) . '"}');
Storytelling::Edge::write_file("$dir/canned/v1/answers/long", '{"a":1,"b":"' . 'x' x 900_000 . '"}');
our $json = "Content-Type: application/json";
run_tests();

__DATA__

=== a JSON answer is patched; its length, entity tag and headers are right
--- http_config eval: $::http
--- request
GET /v1/answers/plain
--- response_body chop
{"a":2,"b":[true]}
--- response_headers
Content-Length: 18
Content-Type: application/json
ETag: W/"e1"
X-Shape: new
Cache-Control: no-store
! X-Old
! Last-Modified
! Accept-Ranges

=== the entity tag is what a conditional request is compared with
--- http_config eval: $::http
--- request
GET /v1/answers/plain
--- more_headers
If-None-Match: W/"e1"
--- error_code: 304
--- response_body:

=== compression comes after the patch
--- http_config eval: $::http
--- config eval: "gzip on; gzip_proxied any; " . Storytelling::Edge::server_config()
--- request
GET /v1/answers/plain
--- more_headers
Accept-Encoding: gzip
--- response_headers
Content-Encoding: gzip
ETag: W/"e1"
! Content-Length
--- response_body_like eval: qr/\A\x1f\x8b/

=== HEAD has the headers and no body
--- http_config eval: $::http
--- request
HEAD /v1/answers/plain
--- response_headers
ETag: W/"e1"
X-Shape: new
! Content-Length
--- response_body:

=== no part of the service's answer is asked for
--- http_config eval: $::http
--- request
GET /v1/answers/ranged
--- more_headers
Range: bytes=0-3
If-Range: "x"
--- response_body chop
{"a":2,"range":""}

=== what is not JSON, has no body, or is no success stays as it is
--- http_config eval: $::http
--- request eval
[map { "GET /v1/answers/$_" } qw(text empty problem error)]
--- error_code eval
[200, 204, 404, 500]
--- response_body eval
['a: 1', '', '{"a":1}', '{"a":1}']

=== an answer that cannot be transformed is a 502, and the log says why
--- http_config eval: $::http
--- request eval
[map { "GET /v1/answers/$_" } qw(broken other encoded large)]
--- error_code eval
[(502) x 4]
--- response_headers eval
[("Content-Type: application/problem+json\n! X-Shape\n! X-Old") x 4]
--- response_body_like eval
[('"code":"bad_gateway"') x 4]
--- error_log
the answer to getAnswer cannot be transformed: is not valid JSON
the answer to getAnswer cannot be transformed: replace /a: there is no such value
the answer to getAnswer cannot be transformed: it is encoded
the answer to getAnswer cannot be transformed: it is too large

=== a long answer in many pieces
--- http_config eval: $::http
--- config eval: "proxy_buffer_size 4k; proxy_buffers 4 4k; proxy_busy_buffers_size 8k; " . Storytelling::Edge::server_config()
--- request
GET /v1/answers/long
--- response_headers
Content-Length: 900014
--- response_body_like: \A\{"a":2,"b":"x{900}.*x"\}\z

=== a body is patched before the service sees it
--- http_config eval: $::http
--- request
POST /v1/parts/t-1
{"name": "wheel", "size": 1.50}
--- more_headers eval
Storytelling::Edge::bearer() . "\n$::json"
--- response_body_like: "body":"\{\\"size\\":1.5,\\"title\\":\\"wheel\\",\\"kind\\":\\"part\\",\\"thing\\":\\"t-1\\"\}".*"content-length":56

=== and made where there was none
--- http_config eval: $::http
--- request
POST /v1/parts/t-1
--- more_headers eval: Storytelling::Edge::bearer()
--- response_body_like: "body":"\{\\"kind\\":\\"part\\",\\"thing\\":\\"t-1\\"\}".*"content-type":"application/json"

=== a chunked body, too
--- http_config eval: $::http
--- raw_request eval
"POST /v1/parts/t-1 HTTP/1.1\r\nHost: a\r\n" . Storytelling::Edge::bearer() . "\r\n$::json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" .
"9\r\n{\"name\": \r\n4\r\n\"w\"}\r\n0\r\n\r\n"
--- response_body_like: "body":"\{\\"title\\":\\"w\\",\\"kind\\":\\"part\\",\\"thing\\":\\"t-1\\"\}"

=== the contract of the old version holds before anything is changed
--- http_config eval: $::http
--- request
POST /v1/parts/t-1
{"name": 7}
--- more_headers eval
Storytelling::Edge::bearer() . "\n$::json"
--- error_code: 422
--- response_body_like: "pointer":"/name"

=== a patch that does not fit is the client's to mend
--- http_config eval: $::http
--- request eval
["POST /v1/strict\n{\"title\":\"a\"}", "POST /v1/strict\n{\"name\":\"a\"}"]
--- more_headers eval
[$::json, $::json]
--- error_code eval
[422, 200]
--- response_body_like eval
['cannot be brought into today.s form: move /name: there is no such value', '"body":"\{\\\\"title\\\\":\\\\"a\\\\"\}"']
