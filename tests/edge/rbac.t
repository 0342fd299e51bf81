# May they: the operation's permissions against what the caller's roles give.
use Test::Nginx::Socket 'no_plan';
use Storytelling::Edge;

Storytelling::Edge::echo('echo');
run_tests();

__DATA__

=== a role that has the permission
--- request
GET /v1/things
--- more_headers eval: bearer(roles => ['reader'])
--- response_body_like: "x-api-roles":"reader"

=== a role that has not; the answer names what is missing
--- request
POST /v1/things
{"title":"a"}
--- more_headers eval: bearer(roles => ['reader']) . "\nContent-Type: application/json"
--- error_code: 403
--- response_headers
Content-Type: application/problem+json
--- response_body_like: "status":403,"detail":"The permission thing:create is needed.*"code":"forbidden"

=== the permissions of several roles add up
--- request eval
['GET /v1/things', "POST /v1/things\n{\"title\":\"a\"}", 'DELETE /v1/things/a']
--- more_headers eval
[map { bearer(roles => ['reader', 'author']) . "\nContent-Type: application/json" } 1 .. 3]
--- error_code eval
[200, 200, 403]

=== wildcards count by segment
--- request eval
['DELETE /v1/things/a', 'DELETE /v1/things/a', 'DELETE /v1/things/a', 'DELETE /v1/things/a', 'DELETE /v1/things/a']
--- http_config eval
Storytelling::Edge::http_config(state => Storytelling::Edge::state_file(roles => {roles => {
    verb => ['*:delete'], all => ['*:*'], one => ['*'], deep => ['thing:delete:*'], part => ['thi*:delete']}}))
--- more_headers eval
[map { bearer(roles => [$_]) } qw(verb all one deep part)]
--- error_code eval
[200, 200, 403, 403, 403]

=== a role that nobody knows, and none at all
--- request eval
['GET /v1/things', 'GET /v1/things', 'GET /v1/things']
--- more_headers eval
[bearer(roles => ['wizard']), bearer(roles => []), bearer(roles => undef)]
--- error_code eval
[403, 403, 403]

=== parts and spellings of a role's name are other roles
--- request eval
[map { 'GET /v1/things' } 1 .. 4]
--- more_headers eval
[map { bearer(roles => [$_]) } 'reade', 'readers', 'Reader', 'x,reader']
--- error_code eval
[403, 403, 403, 403]

=== any user may do what needs no permission
--- request
GET /v1/me
--- more_headers eval: bearer(roles => [])
--- response_body_like: "x-api-user":"user-1"

=== an override wins over the roles in the token, both ways
--- http_config eval
Storytelling::Edge::http_config(state => Storytelling::Edge::state_file(users => {
    up => {value => 'admin', until => time + 600}, down => {value => '', until => time + 600}, over => {value => 'admin', until => time - 1}}))
--- request eval
['DELETE /v1/things/a', 'GET /v1/things', 'DELETE /v1/things/a']
--- more_headers eval
[bearer(sub => 'up', roles => ['reader']), bearer(sub => 'down', roles => ['admin']), bearer(sub => 'over', roles => ['reader'])]
--- error_code eval
[200, 403, 403]
--- response_body_like eval
['"x-api-roles":"admin"', 'thing:read', 'thing:delete']

=== a session that has ended
--- http_config eval
Storytelling::Edge::http_config(state => Storytelling::Edge::state_file(revoked => {'session-1' => {value => '', until => time + 600}}))
--- request
GET /v1/me
--- more_headers eval: bearer()
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="api", error="invalid_token", error_description="the session has ended"

=== no state at all: nobody is let in, but what is public goes on
--- http_config eval
Storytelling::Edge::http_config(no_state => 1)
--- request eval
['GET /v1/me', 'GET /v1/things', 'GET /v1/free', 'GET /v1/me']
--- more_headers eval
[bearer(), bearer(), '', '']
--- error_code eval
[503, 503, 200, 401]
--- response_headers eval
["Retry-After: 2\nContent-Type: application/problem+json", 'Retry-After: 2', '', '']

=== a state file that makes no sense is as good as none, and the log says so
--- http_config eval
Storytelling::Edge::http_config(state => Storytelling::Edge::write_file(Storytelling::Edge::dir() . '/state/broken.json', '{"roles":'))
--- request
GET /v1/me
--- more_headers eval: bearer()
--- error_code: 503
--- error_log
the last known state was not read

=== a dry run lets pass and tells the log
--- http_config eval
Storytelling::Edge::http_config() . 'api_rbac_dry_run on; add_header X-Decision $api_decision;'
--- request
DELETE /v1/things/a
--- more_headers eval: bearer(roles => ['reader'])
--- response_headers
X-Decision: deny_dry_run
--- error_log
api: dry run: user-1 needs the permission thing:delete

=== the decision as a variable: allowed, denied, nothing to decide
--- http_config eval
Storytelling::Edge::http_config() . 'add_header X-Decision $api_decision always;'
--- request eval
['GET /v1/things', 'DELETE /v1/things/a', 'GET /v1/free', 'GET /v1/things']
--- more_headers eval
[(map { bearer(roles => ['reader']) } 1 .. 3), '']
--- error_code eval
[200, 403, 200, 401]
--- response_headers eval
['X-Decision: allow', 'X-Decision: deny', '!X-Decision', '!X-Decision']
