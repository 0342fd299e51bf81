# Which pages of other origins may call the API from a browser.
use Test::Nginx::Socket 'no_plan';
use Storytelling::Edge;

Storytelling::Edge::echo('echo');
my $dir = Storytelling::Edge::dir();
our $contract = Storytelling::Edge->root . '/tests/edge/cors.yaml';
our $off = Storytelling::Edge::http_config(contract => $contract) . <<"CONF";
    upstream canned { server unix:$dir/run/canned.sock; }
    server {
        listen unix:$dir/run/canned.sock;
        location / { add_header Access-Control-Allow-Origin *; add_header Access-Control-Allow-Credentials true; return 200 '{}'; }
    }
CONF
our $on = "$off api_cors_origin https://app.example.com http://localhost:3000;";
our $pre = "Access-Control-Request-Method: POST\nAccess-Control-Request-Headers: authorization, content-type";
our @none = map { "! Access-Control-Allow-$_" } qw(Origin Credentials Methods Headers);

# The edge with another x-cors.
our ($n, $with) = (0);
$with = sub {
    my ($cors) = @_;
    my $text = Storytelling::Nginx::slurp($contract) =~ s/x-cors: \{origins: \['\*'\]\}/x-cors: $cors/r;
    my $file = Storytelling::Edge::write_file("$dir/contracts/cors-" . ++$n . '.yaml', $text);
    return $off =~ s/\Q$contract\E/$file/r;
};
run_tests();

__DATA__

=== off unless somebody says otherwise
--- http_config eval: $::off
--- request eval
['GET /v1/plain', 'OPTIONS /v1/plain']
--- more_headers eval
['Origin: https://app.example.com', "Origin: https://app.example.com\n$::pre"]
--- error_code eval
[200, 204]
--- response_headers eval
[(CORE::join("\n", @::none, '! Access-Control-Expose-Headers', '! Vary')) x 2]

=== a preflight of an allowed origin needs no token and tells what may be sent
--- http_config eval: $::on
--- request
OPTIONS /v1/plain
--- more_headers eval
"Origin: https://app.example.com\n$::pre\nAccess-Control-Request-Private-Network: true"
--- error_code: 204
--- response_headers
Access-Control-Allow-Origin: https://app.example.com
Access-Control-Allow-Methods: GET, HEAD, POST, OPTIONS
Access-Control-Allow-Headers: Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Range, X-Correlation-Id, X-Colour
Access-Control-Max-Age: 600
Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers
Allow: GET, HEAD, POST, OPTIONS
! Access-Control-Allow-Credentials
! Access-Control-Allow-Private-Network

=== an answer names the origin, also a refusal
--- http_config eval: $::on
--- request eval
['GET /v1/plain', 'POST /v1/plain', 'GET /v1/nothing']
--- more_headers eval
[('Origin: http://localhost:3000') x 3]
--- error_code eval
[200, 401, 404]
--- response_headers eval
[("Access-Control-Allow-Origin: http://localhost:3000\nVary: Origin\n! Access-Control-Allow-Credentials") x 3]
--- response_headers_like eval
[('Access-Control-Expose-Headers: .*ETag.*RateLimit.*X-Correlation-Id') x 3]

=== others, and what only looks alike, get nothing
--- http_config eval: $::on
--- request eval
[('OPTIONS /v1/plain') x 9]
--- more_headers eval
[map { "$::pre\n$_" } 'Origin: https://evil.example', 'Origin: null', 'Origin: https://app.example.com.evil.example', 'Origin: https://app.example.com:443',
'Origin: http://app.example.com', 'Origin: HTTPS://APP.EXAMPLE.COM', "Origin: https://app.example.com\nOrigin: https://evil.example", 'Origin: *', 'X: y']
--- error_code eval
[(204) x 9]
--- response_headers eval
[(CORE::join("\n", @::none)) x 9]
--- response_headers_like eval
[('Vary: Origin.*') x 9]

=== a preflight for a method that the path has not
--- http_config eval: $::on
--- request
OPTIONS /v1/plain
--- more_headers
Origin: https://app.example.com
Access-Control-Request-Method: DELETE
--- error_code: 204
--- response_headers
! Access-Control-Allow-Origin

=== caches keep answers apart, also when no origin was sent
--- http_config eval: $::on
--- request
GET /v1/plain
--- response_headers
Vary: Origin
! Access-Control-Allow-Origin

=== credentials, for origins by name
--- http_config eval: "$::on api_cors_credentials on;"
--- request eval
['GET /v1/plain', 'OPTIONS /v1/plain', 'GET /v1/plain']
--- more_headers eval
['Origin: http://localhost:3000', "Origin: http://localhost:3000\n$::pre", 'Origin: https://evil.example']
--- error_code eval
[200, 204, 200]
--- response_headers eval
['Access-Control-Allow-Credentials: true', 'Access-Control-Allow-Credentials: true', '! Access-Control-Allow-Credentials']

=== the contract's word for one operation goes before the configuration's
--- http_config eval: $::on
--- request eval
['GET /v1/any', 'GET /v1/other', 'GET /v1/other']
--- more_headers eval
['Origin: https://evil.example', 'Origin: https://app.example.com', 'Origin: https://other.example']
--- response_headers eval
["Access-Control-Allow-Origin: *\n! Vary", '! Access-Control-Allow-Origin', "Access-Control-Allow-Origin: https://other.example\nAccess-Control-Allow-Credentials: true"]

=== a service has no say
--- http_config eval: $::on
--- request eval
['GET /v1/headers', 'GET /v1/headers']
--- more_headers eval
['Origin: https://evil.example', 'Origin: https://app.example.com']
--- response_headers eval
['! Access-Control-Allow-Origin', "Access-Control-Allow-Origin: https://app.example.com\n! Access-Control-Allow-Credentials"]

=== origins that are none
--- http_config eval: "$::off api_cors_origin https://app.example.com/;"
--- must_die
--- error_log
"https://app.example.com/" is no origin

=== everybody with credentials
--- http_config eval: "$::off api_cors_origin *; api_cors_credentials on;"
--- must_die
--- error_log
api_cors_credentials needs origins by name

=== everybody beside somebody
--- http_config eval: "$::off api_cors_origin * https://app.example.com;"
--- must_die
--- error_log
has * beside another origin

=== in a contract, too
--- http_config eval: $::with->("{origins: ['*'], credentials: true}")
--- must_die
--- error_log
cors-1.yaml:21: the origin '*' stands alone, and without credentials

=== and its mistakes
--- http_config eval: $::with->("{origins: ['example.com']}")
--- must_die
--- error_log
cors-2.yaml:21: an origin must be such as https://app.example.com, or '*'

=== and what it does not know
--- http_config eval: $::with->("{origins: ['*'], headers: [A]}")
--- must_die
--- error_log
cors-3.yaml:21: headers is not a known member of x-cors
