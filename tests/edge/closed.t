# Nothing fails open: ways around the steps that a configuration, an error, a subrequest or a service could offer.
use Test::Nginx::Socket 'no_plan';
use Storytelling::Edge;

my $dir = Storytelling::Edge::dir();
mkdir "$dir/$_" for qw(tmp objects objects/in);
Storytelling::Edge::write_file("$dir/objects/in/a.txt", "inside\n");
Storytelling::Edge::write_file("$dir/objects/secret.txt", "secret\n");
our $objects = "$dir/objects/in/";
Storytelling::Edge::echo('echo');

# A service that does with the client's request what the request asks for; it stands for one that is not to be trusted.
Storytelling::Edge::serve(slow => sub {
    my ($socket, $buffer) = @_;
    $$buffer =~ s/\A(.*?)\r\n\r\n//s;
    my ($do) = $1 =~ /^x-do: (.*)\r$/mi;
    my $body = $do =~ s/^body //r;
    my $head = $do =~ /^body / ? "HTTP/1.1 200 OK\r\nContent-Type: text/html" : "HTTP/1.1 $do";
    $body = 'mine' if $do !~ /^body /;
    $head =~ s/\\n/\r\n/g;
    print $socket "$head\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
    $socket->flush;
});
run_tests();

__DATA__

=== a location that is not the API has no service to go to
--- config eval
Storytelling::Edge::server_config() . 'location /aside { api off; proxy_pass http://$api_service; }'
--- request
GET /aside
--- error_code: 500
--- error_log
invalid URL prefix in "http://"

=== "api on" in a location alone is refused: it would never be matched
--- config
location / { api on; proxy_pass http://$api_service; }
--- must_die
--- error_log
"api on" of a location needs it in the server

=== a location within one that opted out is the API again
--- config eval
Storytelling::Edge::server_config() . 'location /v1/f { api off; location /v1/free { api on; proxy_pass http://$api_service; } }'
--- request eval
['GET /v1/free', 'GET /v1/file']
--- error_code eval
[200, 404]

=== a rewrite cannot change what was matched
--- config eval
Storytelling::Edge::server_config() . 'location /v1/free { rewrite ^ /v1/things last; }'
--- request
GET /v1/free
--- error_code: 500
--- error_log
api: the target was rewritten after it was matched

=== nor one of the server, nor one that makes an operation of something else
--- config eval
Storytelling::Edge::server_config() . 'rewrite ^/v1/free$ /v1/things; rewrite ^/public$ /v1/things;'
--- request eval
['GET /v1/free', 'GET /public']
--- error_code eval
[500, 404]

=== an if block is the same location
--- config eval
Storytelling::Edge::server_config() . 'location /v1/things { if ($arg_limit) { proxy_pass http://$api_service; } proxy_pass http://$api_service; }'
--- request eval
['GET /v1/things?limit=5', 'GET /v1/things?limit=5']
--- more_headers eval
['', bearer()]
--- error_code eval
[401, 200]

=== named locations, try_files
--- config eval
Storytelling::Edge::server_config() . 'location /v1/things { api off; try_files /nothing @api; } location @api { proxy_pass http://$api_service; }'
--- request eval
['GET /v1/things', 'GET /v1/things']
--- more_headers eval
['', bearer()]
--- error_code eval
[401, 200]

=== an error page that is an operation: the request was none
--- config eval
Storytelling::Edge::server_config() =~ s/error_page 400 /error_page 400 =200 \/v1\/free;\nerror_page /r
--- raw_request eval
"GET /v1/things HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\nConnection: close\r\n\r\n"
--- error_code: 404

=== what is refused is not sent to an error page of the configuration
--- config eval
Storytelling::Edge::server_config() =~ s/error_page 400 403 404/error_page 401 403 404 =200 \@open;\nerror_page 400/r . 'location @open { api off; proxy_pass http://echo; }'
--- request eval
['GET /v1/things', 'DELETE /v1/things/a', 'GET /v1/nothing']
--- more_headers eval
['', bearer(), '']
--- error_code eval
[401, 403, 404]

=== auth_request and mirror see a service no earlier than the request itself
--- config eval
Storytelling::Edge::server_config() . 'location /v1/free { auth_request /v1/me; mirror /v1/things; proxy_pass http://$api_service; }'
--- request
GET /v1/free
--- error_code: 500

=== a subrequest has no service, even when its request has one
--- config eval
Storytelling::Edge::server_config() . 'location = /v1/slow { ssi on; proxy_set_header X-Do $http_x_do; proxy_pass http://$api_service; }'
--- request
GET /v1/slow
--- more_headers
X-Do: body <!--#include virtual="/v1/things" -->.<!--#include virtual="/v1/free" -->
--- response_body_unlike: "uri"

=== a service cannot send its client elsewhere: out of the folder, to another's operation, to a page for this machine
--- config eval
Storytelling::Edge::server_config() =~ s/location = .metrics \{/location = \/metrics { deny all;/r . "location /_objects/ { internal; api off; alias $::objects; }"
--- request eval
[map { 'GET /v1/slow' } 1 .. 6]
--- more_headers eval
[map { "X-Do: 200 OK\\nX-Accel-Redirect: $_" } '/_objects/a.txt', '/_objects/../secret.txt', '/_objects/%2e%2e/secret.txt', '/_objects/..%2fsecret.txt', '/metrics', '/v1/things']
--- error_code eval
[200, 404, 404, 404, 403, 500]
--- response_body_like eval
["inside", '404', '404', '404', '403', '500']
--- response_body_unlike eval
['secret', 'secret', 'secret', 'secret', 'api_edge', '"uri"']

=== a service that answers by an unasked 101, by nothing, or by garbage
--- request eval
[map { 'GET /v1/slow' } 1 .. 5]
--- more_headers eval
['X-Do: 101 Switching Protocols', 'X-Do: ', 'X-Do: 99 x', 'X-Do: 100 Continue', 'X-Do: 200 OK']
--- error_code eval
[503, 503, 503, 503, 200]
--- error_log
api: the service of slow sent what is no answer

=== a dry run of limits or permissions lets nobody in who is unknown
--- http_config eval
Storytelling::Edge::http_config() . 'api_rbac_dry_run on; api_limit_dry_run on;'
--- request eval
['GET /v1/things', 'GET /v1/things', "POST /v1/things\n{"]
--- more_headers eval
['', 'Authorization: Bearer a.b.c', bearer() . "\nContent-Type: application/json"]
--- error_code eval
[401, 401, 400]

=== nor while nobody's permissions are known
--- http_config eval
Storytelling::Edge::http_config(no_state => 1) . 'api_rbac_dry_run on; api_limit_dry_run on;'
--- request
GET /v1/things
--- more_headers eval: bearer()
--- error_code: 503

=== what the edge refuses says nothing of a service, and reaches none, whatever comes behind it on the connection
--- pipelined_requests eval
['GET /v1/things', "POST /v1/things\n{\"title\":\"a\"}", 'GET /v1/free']
--- error_code eval
[401, 401, 200]
