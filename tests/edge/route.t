# Routes, methods, and what every answer carries.
use Test::Nginx::Socket 'no_plan';
use Storytelling::Edge;

Storytelling::Edge::echo($_) for qw(echo slow);
run_tests();

__DATA__

=== a public operation reaches its service
--- request
GET /v1/free
--- response_body_like: "uri":"/v1/free"
