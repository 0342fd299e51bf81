# Tricks with the path: what a normalisation would change is refused, so that matching and authorisation see one path.
use Test::Nginx::Socket 'no_plan';
use Storytelling::Edge;

Storytelling::Edge::echo('echo');
our $get = sub { map { "GET $_" } @_ };
run_tests();

__DATA__

=== segments that climb or vanish
--- request eval
[$::get->(qw(
    //v1/free /v1//free /v1/free// /v1/./free /./v1/free /v1/../v1/free /v1/free/.. /v1/free/. /../v1/free /..
    /v1/free/../me /v1/free/../../../etc/passwd
))]
--- error_code eval
[(400) x 12]
--- response_headers eval
[('Content-Type: application/problem+json') x 12]

=== escapes that hide something
--- request eval
[$::get->(qw(
    /v1/%66ree /v1%2ffree /v1%2Ffree /v1/%2e%2e/me /v1/%2E/free /v1/free%2e /v1/things/a%5cb /v1/things/a%00b
    /v1/things/a%0d%0aX: /v1/things/a%252fb /v1/things/%25 /v1/things/a%3bb /v1/things/a%7fb /v1/things/%7e /v1/things/%
    /v1/things/%4 /v1/things/%zz /v1/things/%u002e
))]
--- error_code eval
[(400) x 18]
--- response_headers eval
[('Content-Type: application/problem+json') x 18]

=== bytes that have no business in a path
--- request eval
[map { "GET $_" } '/v1/things/a;b', '/v1/free;.css', '/v1/..;/me', '/v1\\free', '/v1/things/a"b', '/v1/things/a<b', '/v1/things/{a}',
    '/v1/things/a|b', '/v1/things/a^b', '/v1/things/a`b', '/v1/free#fragment', "/v1/things/\xc3\xa9", "/v1/things/a\x01b",
    "/v1/things/a\x7fb", '/v1/things/[a]']
--- error_code eval
[(400) x 15]

=== overlong and broken UTF-8, and surrogates
--- request eval
[$::get->(qw(/v1/things/%c0%af /v1/things/%c0%ae%c0%ae /v1/things/%e0%80%af /v1/things/%ff /v1/things/%c3 /v1/things/%ed%a0%80))]
--- error_code eval
[(400) x 6]

=== a path that is too long, and a request line that is too long
--- request eval
['GET /v1/' . 'x' x 3000, 'GET /v1/' . 'x' x 40000]
--- error_code eval
[400, 414]
--- response_headers eval
[('Content-Type: application/problem+json') x 2]

=== a value that needs its escapes keeps them on the way to the service
--- request
GET /v1/things/%C3%A9-1
--- more_headers eval: bearer()
--- response_body_like: "uri":"/v1/things/%C3%A9-1"

=== lower-case escapes are as good
--- request
GET /v1/things/%c3%a9?limit
--- more_headers eval: bearer()
--- error_code: 400
--- response_body_like: "pointer":"/query/limit"

=== a target in absolute form is the same path
--- request eval
['GET http://localhost/v1/free', 'GET http://localhost/v1/../free', 'GET http://evil.example//v1/free', 'GET http://localhost']
--- error_code eval
[200, 400, 400, 404]

=== a target that is no path
--- request eval
['OPTIONS *', 'GET v1/free', 'GET ?x']
--- error_code eval
[400, 400, 400]

=== a query is left as it is
--- request
GET /v1/things?q=a%2f..%2fb
--- more_headers eval: bearer()
--- response_body_like: "uri":"/v1/things\?q=a%2f..%2fb"

=== what follows a question mark is no path
--- request
GET /v1/free?/../me
--- error_code: 400
--- response_body_like: "pointer":"/query

=== a health check cannot be reached by another spelling
--- request eval
['GET /health', 'GET //health', 'GET /%68ealth', 'GET /health/', 'GET /v1/../health']
--- error_code eval
[200, 400, 400, 404, 400]

=== inner locations are not for clients
--- request eval
['GET /_problem', 'GET /_objects/x']
--- error_code eval
[404, 404]
