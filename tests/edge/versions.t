# One operation in several versions: x-operation-of.
use Test::Nginx::Socket 'no_plan';
use Storytelling::Edge;

Storytelling::Edge::echo('echo');
my $contract = Storytelling::Edge->root . '/tests/edge/versions.yaml';
our $http = Storytelling::Edge::http_config(contract => $contract) . ' upstream canned { server 127.0.0.1:1; }';
our $good = Storytelling::Nginx::slurp($contract);
our $n    = 0;

# The edge with a changed contract.
our $with = sub {
    my ($from, $to) = @_;
    my $text = $good;
    $to =~ s/\\n/\n/g;
    $text =~ s/$from/$to/ or die "the contract has no $from";
    my $file = Storytelling::Edge::write_file(Storytelling::Edge::dir() . '/contracts/versions-' . ++$n . '.yaml', $text);
    return Storytelling::Edge::http_config(contract => $file) . ' upstream canned { server 127.0.0.1:1; }';
};
add_block_preprocessor(sub { my ($block) = @_; $block->set_value(http_config => $http) if !defined $block->with });
add_block_preprocessor(sub { my ($block) = @_; $block->set_value(http_config => $with->(split ' => ', $block->with =~ s/\n\z//r)) if defined $block->with });
run_tests();

__DATA__

=== the service is asked for today's operation, under its own path and query
--- request
GET /v1/parts/caf%C3%A9?max=7
--- more_headers eval
bearer() . "\nColour: red"
--- response_body_like: (?=.*"target":"/v2/things/caf%C3%A9/parts\?limit=7&order=up")(?=.*"asked":7)(?=.*"x-api-operation":"listParts")(?=.*"x-colour":"red")(?=.*"x-old":"yes")(?!.*"colour":"red".*"colour")
--- response_headers
X-Version: 1
Deprecation: @1767225600
Sunset: Sun, 01 Jun 2031 00:00:00 GMT
Link: </v2/things/caf%C3%A9/parts>; rel="successor-version"

=== a line break in a parameter begins no header, of the request or of the answer
--- request
GET /v1/parts/x?label=a%0D%0AX-Api-User:root%0D%0ASet-Cookie:b
--- more_headers eval
bearer()
--- response_body_like: (?=.*"x-api-user":"user-1")(?=.*"x-label":"a  X-Api-User:root  Set-Cookie:b")
--- response_headers
X-Label: a  X-Api-User:root  Set-Cookie:b
! Set-Cookie

=== a header parameter that comes twice
--- request
GET /v1/parts/x
--- more_headers eval
bearer() . "\nColour: red\ncolour: blue"
--- error_code: 400
--- response_body_like: "detail":"The header Colour came more than once\."

=== parameters have their defaults; what did not come is left out
--- request
GET /v1/parts/t-1
--- more_headers eval: bearer()
--- response_body_like: (?=.*"target":"/v2/things/t-1/parts\?limit=5&order=up")(?=.*"asked":5)(?!.*"x-colour")

=== without a mapping the names are the same
--- request
GET /v0/things/t-1/parts?limit=3
--- more_headers eval: bearer()
--- response_body_like: "uri":"/v2/things/t-1/parts\?limit=3"
--- response_headers
! Deprecation
! Link

=== a parameter of the newer version only is unknown to the old one
--- request
GET /v0/things/t-1/parts?order=up
--- more_headers eval: bearer()
--- error_code: 400

=== who may and how often are decided as for today's operation
--- request eval
['GET /v1/parts/t-1', 'GET /v1/parts/t-1', 'GET /v1/parts/t-1']
--- more_headers eval
['', bearer(roles => ['nobody']), bearer()]
--- error_code eval
[401, 403, 200]
--- response_headers_like eval
['', '', 'RateLimit: "parts".*']

=== a value that cannot stand in a path is refused
--- request eval
['GET /v1/parts/..%20', 'GET /v1/parts/%2e%2e']
--- more_headers eval
[bearer(), bearer()]
--- error_code eval
[200, 400]

=== the signature is over what the service is asked for
--- request
GET /v0/things/t-1/parts?limit=3
--- more_headers eval: bearer()
--- response_body_like: "x-api-signature":"[0-9a-f]{64}"

=== another method
--- with: (?s)/v0.*?\Kget: => delete:
--- must_die
--- error_log
listParts must have the same method and service

=== an operation that is not there
--- with: x-operation-of: listParts => x-operation-of: nothing
--- must_die
--- error_log
there is no other operation nothing

=== an operation of an operation
--- with: listPartsV0\n\s+x-operation-of: \KlistParts => listPartsV1
--- must_die
--- error_log
is itself an operation of another

=== other security
--- with: listPartsV0 => listPartsV0\n      security: [{bearer: []}]
--- must_die
--- error_log
security must be that of listParts

=== a limit that is missing
--- with: (?s)listPartsV0.*?\K- \{name: parts, => - {name: others,
--- must_die
--- error_log
the rate limit parts of listParts is missing

=== a path parameter that nothing gives
--- with: path: \{thingId: \{\$param: id\}\}\n\s+query => query
--- must_die
--- error_log
nothing gives listParts its {thingId}

=== a query parameter that is not there
--- with: \{limit: => {lim:
--- must_die
--- error_log
listParts has no query parameter lim

=== a parameter that is not there
--- with: \$param: max\}, => $param: most},
--- must_die
--- error_log
versions-8.yaml:44: the operation has no parameter most

=== a broken patch
--- with: op: move, from: /uri, path: /target => op: shift, from: /uri, path: /target
--- must_die
--- error_log
versions-9.yaml:49: op must be add, remove, replace, move, copy or test

=== a header that is not the contract's
--- with: X-Old: 'yes' => X-Api-User: 'root'
--- must_die
--- error_log
the header X-Api-User is not a contract's to change

=== a mapping without another operation
--- with: x-operation-of: listParts\n\s+x-dep => x-dep
--- must_die
--- error_log
path is not a known member of x-request-transform here
