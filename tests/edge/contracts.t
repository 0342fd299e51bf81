# nginx -t refuses contracts and settings that are wrong, and says where.
use strict;
use warnings;
use Test::More;
use Storytelling::Edge;

my $E    = 'Storytelling::Edge';
my $dir  = Storytelling::Edge::dir() . '/contracts';
my $good = Storytelling::Nginx::slurp(Storytelling::Edge::contract());
my $edge = $E->nginx;

# What nginx -t says to the contract after a change of its text.
sub contract {
    my ($from, $to) = @_;
    my $text = $good;
    $text =~ s/$from/$to/ or die "the contract has no $from";
    Storytelling::Edge::write_file("$dir/one.yaml", $text);
    $E->configure($edge, contract => "$dir/one.yaml");
    return $edge->check;
}

sub line_of { my ($pattern) = @_; my $text = Storytelling::Nginx::slurp("$dir/one.yaml"); $text =~ /$pattern/ or return 0; return 1 + (() = substr($text, 0, $-[0]) =~ /\n/g) }

sub refused {
    my ($what, $from, $to, $says, $where) = @_;
    my ($ok, $output) = contract($from, $to);
    ok !$ok, "$what is refused";
    my $line = $where && line_of($where);
    like $output, $line ? qr/one\.yaml:$line: .*$says/ : qr/one\.yaml:\d+: .*$says/, "$what: file, line and reason" or diag $output;
}

my ($ok, $output) = $edge->check;
ok $ok, 'the contract of the tests is accepted' or diag $output;

refused('broken YAML', 'title: Things,', 'title: [Things,', '');
refused('an operationId that is there twice', 'operationId: getFree', 'operationId: listThings', 'listThings');
refused('a route that is there twice', '/v1/free:\n', "/v1/things:\n", '');
refused('an ambiguous template', '/v1/free:\n', "/v1/things/{other}:\n", '');
refused('a broken $ref', '#/components/schemas/Thing', '#/components/schemas/Nothing', '', 'Nothing');
refused('an unknown schema keyword', 'minLength: 1, maxLength: 100', 'minLenght: 1', 'minLenght', 'minLenght');
refused('an unknown extension', 'x-timeout: 300ms', 'x-timeuot: 300ms', 'x-timeuot', 'x-timeuot');
refused('a rate that makes no sense', '10/1h', '10 per hour', '', '10 per hour');
refused('a limit by something else', 'by: address\}', 'by: colour}', '', 'colour');
refused('a parameter of the path that is not declared', '\{name: thingId,', '{name: other,', '');
refused('another security scheme', 'security: \[\{bearer: \[thing:create\]\}\]', 'security: [{basic: []}]', '', 'basic');
refused('a service without an upstream', 'x-service: slow', 'x-service: nowhere', 'there is no upstream for the service "nowhere"');
refused('a limit by user where there is none', 'knock, rate: 5/1m, by: address', 'knock, rate: 5/1m, by: user', 'would count nobody');
refused('a body that the location does not take', 'x-body-max: 64k', 'x-body-max: 200k', 'bodies are checked');

sub setting {
    my ($what, $says, %with) = @_;
    $E->configure($edge, %with);
    my ($fine, $text) = $edge->check;
    ok !$fine, "$what is refused";
    like $text, $says, "$what: the reason" or diag $text;
    like $text, qr/\.(?:conf|yaml):\d+/, "$what: file and line" or diag $text;
}

Storytelling::Edge::write_file("$dir/short.key", "short\n");
Storytelling::Edge::write_file("$dir/no.pem",    "no key\n");
setting('a pattern that matches nothing', qr/no contract matches/, contract => "$dir/*.nothing");
setting('"api on" without contracts', qr/there are no "api_contracts"/, contract => '', server => 'api on;');
setting('a private key for tokens', qr/is a private key/, http => 'api_jwt_key_file ' . Storytelling::Edge::key('identity') . ';');
setting('a file that is no key', qr/not a PEM key/, http => "api_jwt_key_file $dir/no.pem;");
setting('a key that is not there', qr/cannot open/, http => "api_jwt_key_file $dir/nothing.pem;");
setting('a signing key twice', qr/is duplicate/, http => "api_signing_key_file $dir/short.key;");
setting('no key for tokens', qr/getThing|listThings/, keys => []);
setting('a Redis without a path', qr/empty path/, http => 'api_redis unix:;');
setting('a Redis with a strange port', qr/invalid port/, http => 'api_redis localhost:99999;');
setting('a Redis that nobody knows', qr/host not found/, http => 'api_redis nowhere.invalid:6379;');
setting('a Redis with a path behind it', qr/invalid host/, http => 'api_redis localhost:6379/1;');
setting('a zone that nobody knows', qr/knows the zones/, http => 'api_zone other 1m;');
setting('a zone that is too small', qr/64k or more/, http => 'api_zone limits 1k;');
setting('a health of another kind', qr/takes "live" or "ready"/, server => 'location /h { api_health well; }');
setting('a breaker of nonsense', qr/"share=200%" is not of off/, http => 'api_breaker share=200%;');
setting('a breaker without a unit', qr/"share=50" is not of/, http => 'api_breaker min=10 share=50;');
setting('a breaker twice', qr/is duplicate/, http => 'api_breaker off; api_breaker off;');
setting('a breaker of a location', qr/not allowed here/, server => 'api_breaker off;');
setting('a leeway that is too long', qr/more than 60 seconds/, http => 'api_jwt_leeway 10m;');
setting('a body limit below the contract\'s', qr/"client_max_body_size" is less than .* createThing, .*contract\.yaml:\d+/,
    server => 'api on; client_max_body_size 32k; location / { proxy_pass http://$api_service; }');
setting('a buffer below the contract\'s', qr/"client_body_buffer_size" is less than/,
    server => 'api on; client_body_buffer_size 32k; location / { proxy_pass http://$api_service; }');

{
    Storytelling::Edge::write_file("$dir/a.v1.yaml", $good);
    Storytelling::Edge::write_file("$dir/b.v1.yaml", $good =~ s/operationId: /operationId: b/gr =~ s{/v1/}{/v2/}gr =~ s{/.well-known/jwks}{/.well-known/other}r);
    $E->configure($edge, contract => "$dir/[ab].v1.yaml");
    ($ok, $output) = $edge->check;
    ok $ok, 'two contracts make one API' or diag $output;
    Storytelling::Edge::write_file("$dir/b.v1.yaml", $good);
    ($ok, $output) = $edge->check;
    ok !$ok, 'if they do not clash';
    my @lines = $output =~ /v1\.yaml:\d+: /g;
    cmp_ok scalar @lines, '>', 1, 'and every clash is told';
}
{
    $E->configure($edge);
    $edge->start or die $edge->error_log;
    is $edge->get('/v1/me')->{status}, 401, 'a worker serves, so the master waits for signals';
    Storytelling::Edge::write_file("$dir/one.yaml", 'openapi: 3.0.0');
    $E->configure($edge, contract => "$dir/one.yaml");
    kill HUP => $edge->{pid};
    ok wait_for(sub { $edge->error_log =~ /one\.yaml:1: / }), 'a reload with a broken contract fails';
    is $edge->get('/v1/me')->{status}, 401, 'and the old one goes on';
    $edge->stop;
}
is $edge->reports, '', 'the sanitizers have nothing to report';
done_testing;
