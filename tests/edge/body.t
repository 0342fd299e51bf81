# Bodies are checked against the contract before a service sees them.
use Test::Nginx::Socket 'no_plan';
use Storytelling::Edge;

Storytelling::Edge::echo('echo');
our $type = 'Content-Type: application/json';
our $post = sub { "POST /v1/free\n$_[0]" };
run_tests();

__DATA__

=== a good body arrives as it was sent
--- request
POST /v1/free
{"title": "Ünïcode \u00e9",  "count": 1}
--- more_headers
Content-Type: application/json; charset=utf-8
--- response_body_like: "body":"\{\\"title\\": \\".*\\",  \\"count\\": 1\}"

=== every error is named by its pointer
--- request
POST /v1/free
{"title":"","count":-1,"tags":["a",2,"c","d"],"extra":true}
--- more_headers
Content-Type: application/json
--- error_code: 422
--- response_headers
Content-Type: application/problem+json
--- response_body_like: "status":422,.*"code":"unprocessable","errors":\[(?=.*"pointer":"/title")(?=.*"pointer":"/count")(?=.*"pointer":"/tags/1")(?=.*"pointer":"/tags")(?=.*"pointer":"/extra").*\]

=== what is missing
--- request
POST /v1/free
{}
--- more_headers
Content-Type: application/json
--- error_code: 422
--- response_body_like: "errors":\[\{"pointer":"/title","message":"[^"]+"\}\]

=== what is not JSON
--- request eval
[map { $::post->($_) } '{', '{"title":"a"}}', '{"title":"a","title":"b"}', "{\"title\":\"\xff\"}", '{"title":"a\u0000"}', '[' x 500, "{'title':'a'}", "\x00"]
--- more_headers eval
[($::type) x 8]
--- error_code eval
[(400) x 8]
--- response_body_like eval
[('"code":"invalid_request","errors":\[') x 8]

=== other types of content
--- request eval
[map { $::post->('{"title":"a"}') } 1 .. 4]
--- more_headers eval
['Content-Type: text/plain', '', 'Content-Type: application/jsonx', 'Content-Type: application/json; charset=utf-16']
--- error_code eval
[(415) x 4]

=== a body that has to be there
--- request
POST /v1/things
--- more_headers eval: bearer() . "\n$::type"
--- error_code: 400

=== a body that nobody asked for
--- request eval
["POST /v1/knock\n{}", "GET /v1/free\n{}"]
--- more_headers eval
[($::type) x 2]
--- error_code eval
[400, 400]

=== larger than the operation allows, by its announcement and without one
--- request eval
[$::post->('{"title":"' . 'x' x 1100 . '"}'), "POST /v1/free\n450\r\n" . ' ' x 0x450 . "\r\n0\r\n\r\n"]
--- more_headers eval
[$::type, "$::type\nTransfer-Encoding: chunked"]
--- error_code eval
[413, 413]
--- response_body_like eval
[('"detail":"The body may have at most 1024 bytes."') x 2]

=== larger than nginx allows
--- config eval
Storytelling::Edge::server_config() . 'lingering_timeout 100ms;'
--- raw_request eval
"POST /v1/free HTTP/1.1\r\nHost: a\r\n$::type\r\nContent-Length: 2000000\r\nConnection: close\r\n\r\n" . 'x' x 2000
--- error_code: 413
--- response_body_like: "status":413

=== without an announcement, larger than nginx allows
--- config eval
Storytelling::Edge::server_config() . 'lingering_timeout 100ms;'
--- raw_request eval
"POST /v1/free HTTP/1.1\r\nHost: a\r\n$::type\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" . ("8000\r\n" . 'x' x 32768 . "\r\n") x 10 . "0\r\n\r\n"
--- error_code: 413

=== chunks
--- raw_request eval
"POST /v1/free HTTP/1.1\r\nHost: a\r\n$::type\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\n{\"tit\r\n8;x=y\r\nle\":\"a\"}\r\n0\r\n\r\n"
--- response_body_like: "body":"\{\\"title\\":\\"a\\"\}","headers":\{(?=.*"content-length":13)

=== a body in many packets
--- request eval
[["POST /v1/free\n{\"ti", {value => 'tle":', delay_before => 0.1}, {value => '"a"', delay_before => 0.1}, {value => '}', delay_before => 0.1}]]
--- more_headers
Content-Type: application/json
--- response_body_like: "body":"\{\\"title\\":\\"a\\"\}"

=== a large body in many packets, for a caller with a limit
--- request eval
[["POST /v1/things\n{\"title\":\"a\",\"tags\":[\"" . 'x' x 30000, {value => 'y' x 30000, delay_before => 0.1}, {value => '"]}', delay_before => 0.1}]]
--- more_headers eval
[bearer() . "\n$::type"]
--- response_body_like: "tags\\":\[\\"x{30000}y{30000}\\"\]

=== a body that stops in the middle
--- config eval
Storytelling::Edge::server_config() . 'client_body_timeout 300ms;'
--- raw_request eval
"POST /v1/free HTTP/1.1\r\nHost: a\r\n$::type\r\nContent-Length: 100\r\n\r\n{"
--- error_code eval: ''

=== a body that trickles: the whole of it has a deadline, too
--- config eval
Storytelling::Edge::server_config() . 'api_body_timeout 300ms;'
--- raw_request eval
["POST /v1/free HTTP/1.1\r\nHost: a\r\n$::type\r\nContent-Length: 100\r\n\r\n{"]
--- error_code eval: ''
--- error_log
the body took too long to arrive

=== the caller's rights come first: who may not send it is not asked for the body
--- config eval
Storytelling::Edge::server_config() . 'lingering_timeout 100ms;'
--- raw_request eval
"POST /v1/things HTTP/1.1\r\nHost: a\r\n$::type\r\nContent-Length: 50000\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
--- error_code: 401

=== who asks before sending is told to go on
--- raw_request eval
"POST /v1/free HTTP/1.1\r\nHost: a\r\n$::type\r\nContent-Length: 13\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n{\"title\":\"a\"}"
--- error_code: 100

=== parameters
--- request eval
['GET /v1/things?limit=5&q=a', 'GET /v1/things?limit=0', 'GET /v1/things?limit=x', 'GET /v1/things?limit=1&limit=2', 'GET /v1/things?page=1',
 'GET /v1/things?q=%ff', 'GET /v1/things?q=%zz', 'GET /v1/things/UPPER', 'GET /v1/things?limit=99999999999999999999', 'GET /v1/free?x']
--- more_headers eval
[(bearer()) x 10]
--- error_code eval
[200, (400) x 9]
--- response_body_like eval
['', map { qq("errors":\\[\\{"pointer":"$_","message":") } '/query/limit', '/query/limit', '/query/limit', '/query/page', '/query/q',
 '/query/q', '/path/thingId', '/query/limit', '/query/x']

=== header parameters
--- request eval
[("PATCH /v1/things/a\n{\"title\":\"b\"}") x 3]
--- more_headers eval
[map { bearer(roles => ['admin']) . "\n$::type$_" } '', "\nIf-Match: 3", "\nIf-Match: \"3\""]
--- error_code eval
[400, 400, 200]
--- response_body_like eval
[('"pointer":"/header/if-match"') x 2, '']

=== parameters of other styles, and cookies
--- request eval
['GET /v1/styled/1,2?sort=a|b&filter[age]=3', 'GET /v1/styled/1,x', 'GET /v1/styled/1?sort=a%7Cb%7Cc', 'GET /v1/styled/1?filter[age]=x',
 'GET /v1/styled/1', 'GET /v1/styled/1', 'GET /v1/styled/1', 'GET /v1/styled/1']
--- more_headers eval
[('') x 4, 'Cookie: a=b; theme=dark', 'Cookie: theme=red', 'Cookie: theme=dark; theme=light', "Cookie: theme=dark\nCookie: theme=light"]
--- error_code eval
[200, 400, 400, 400, 200, 400, 400, 400]
--- response_body_like eval
['', map({ qq("errors":\\[\\{"pointer":"$_","message":") } '/path/ids/1', '/query/sort', '/query/filter/age'), '',
 map({ qq("errors":\\[\\{"pointer":"$_","message":") } '/cookie/theme', '/cookie/theme'), 'The header cookie came more than once']
