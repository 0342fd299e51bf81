# The modules alone: a contract, an upstream, tokens and roles that have nothing to do with this platform. nginx and a
# small pet shop run here, no Redis, and nothing of workers/.
use strict;
use warnings;
use Test::More;
use Cwd qw(abs_path);
use Digest::SHA qw(hmac_sha256);
use File::Basename qw(dirname);
use File::Temp ();
use IO::Socket::INET;
use JSON::PP ();
use MIME::Base64 qw(encode_base64url);
use Storytelling::Nginx;

my $root   = dirname(dirname(dirname(abs_path(__FILE__))));
my $module = abs_path(($ENV{PLATFORM_BUILD} // "$root/build") . '/ngx_http_api_module.so');
my $dir    = File::Temp::tempdir('petshop-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $JSON   = JSON::PP->new->canonical;
chmod 0755, $dir;

sub file {
    my ($name, $text) = @_;
    open my $out, '>', "$dir/$name" or die "$name: $!";
    print $out ref $text ? $JSON->encode($text) : $text;
    close $out;
    return "$dir/$name";
}

# --- the shop ---
my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 16, ReuseAddr => 1) or die "shop: $!";
my $port   = $listen->sockport;
my $shop   = fork // die "fork: $!";
if (!$shop) {
    $SIG{CHLD} = 'IGNORE';
    while (my $client = $listen->accept) {
        next if fork;
        my $text = '';
        while ($text !~ /\r\n\r\n/) { sysread($client, $text, 65536, length $text) or POSIX::_exit(0) }
        my ($head, $body) = split /\r\n\r\n/, $text, 2;
        my ($length) = $head =~ /^content-length: (\d+)/mi;
        while (length $body < ($length // 0)) { sysread($client, $body, 65536, length $body) or last }
        my ($method, $uri) = $head =~ /^(\S+) (\S+)/;
        my %h = map { /^([^:]+):\s*(.*?)\r?$/ ? (lc $1 => $2) : () } split /\n/, $head;
        my $answer = $JSON->encode({method => $method, uri => $uri, body => $body, customer => $h{'x-customer'}, cookie => $h{cookie}, secrets => [grep { /^authorization$|signature/ } keys %h]});
        print $client "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " . length($answer) . "\r\nConnection: close\r\n\r\n$answer";
        POSIX::_exit(0);
    }
    POSIX::_exit(0);
}
close $listen;
END { kill 'TERM', $shop if $shop; local $?; waitpid $shop, 0 if $shop }

# --- its contract, in JSON, and what several contracts of it would share, in YAML ---
file('shared.yaml', <<'YAML');
components:
  schemas:
    Name: {type: string, minLength: 1, maxLength: 30}
  parameters:
    Page: {name: page, in: query, schema: {type: integer, minimum: 1, default: 1}}
YAML
file('petshop.json', {
    openapi => '3.1.0', info => {title => 'Pet Shop', version => '2.0'}, 'x-service' => 'shop',
    servers => [{url => 'https://pets.example/shop'}], security => [{bearer => ['pets:read']}],
    paths => {
        '/pets' => {
            get => {
                operationId => 'browse', security => [],
                parameters => [
                    {'$ref' => 'shared.yaml#/components/parameters/Page'},
                    {name => 'kinds', in => 'query', explode => JSON::PP::false, schema => {type => 'array', items => {type => 'string', enum => ['cat', 'dog']}}},
                    {name => 'currency', in => 'cookie', schema => {type => 'string', enum => ['EUR', 'USD']}},
                ],
                responses => {200 => {description => 'Pets.'}},
            },
            post => {
                operationId => 'offer', security => [{bearer => ['pets:sell']}],
                requestBody => {required => JSON::PP::true, content => {'application/x-www-form-urlencoded' => {schema => {
                    type => 'object', required => ['name', 'price'], additionalProperties => JSON::PP::false,
                    properties => {name => {'$ref' => 'shared.yaml#/components/schemas/Name'}, price => {type => 'number', minimum => 0}, tags => {type => 'array', maxItems => 2, items => {type => 'string'}}},
                }}}},
                responses => {200 => {description => 'Offered.'}},
            },
        },
        '/pets/{petId}/picture' => {
            put => {
                operationId => 'show', 'x-body-max' => '1m',
                parameters => [{name => 'petId', in => 'path', required => JSON::PP::true, schema => {type => 'integer'}}],
                requestBody => {required => JSON::PP::true, content => {'image/*' => {}}},
                responses => {200 => {description => 'Shown.'}},
            },
        },
        '/basket' => {
            get => {
                operationId => 'basket', security => [{bearer => []}],
                'x-rate-limit' => [{name => 'basket', rate => '2/1h', by => 'user'}],
                responses => {200 => {description => 'Yours.'}},
            },
        },
    },
});
file('roles.json', {roles => {version => 1, roles => {clerk => ['pets:*'], guest => ['pets:read']}}, users => {}, tiers => {}, revoked => {}});
my $secret = 'tokens of the shop are signed with this secret';
file('token.secret', $secret);

sub bearer {
    my ($role, %more) = @_;
    my %claims = (iss => 'https://login.example', aud => 'shop', sub => 'ann', jti => 'one', exp => time + 600, realm_access => {roles => [$role]}, %more);
    my $signed = join '.', map { encode_base64url($JSON->encode($_)) } {typ => 'JWT', alg => 'HS256'}, \%claims;
    return "Authorization: Bearer $signed." . encode_base64url(hmac_sha256($signed, $secret));
}

my $nginx = Storytelling::Nginx->new(dir => "$dir/nginx");
$nginx->configure(
    main => "load_module $module;",
    http => <<"CONF",
        client_max_body_size 1m;
        client_body_buffer_size 64k;
        api_contracts $dir/petshop.json;
        api_title "Pets of the World";
        api_state_file $dir/roles.json;
        api_jwt_secret_file $dir/token.secret;
        api_jwt_issuer https://login.example;
        api_jwt_audience shop;
        api_jwt_type JWT;
        api_jwt_claim \$api_roles /realm_access/roles;
        api_jwt_claim \$api_session jti;
        api_realm "Pet Shop";
        upstream shop { server 127.0.0.1:$port; }
CONF
    server => <<'CONF',
        api on;
        error_page 400 403 404 405 413 414 422 500 502 503 504 /_problem;
        location = /_problem { internal; api_problem; }
        location = /openapi.json { api_openapi; }
        location / {
            proxy_pass http://$api_service;
            proxy_request_buffering off;
            proxy_http_version 1.1;
            proxy_set_header X-Customer $api_user;
        }
CONF
);
my ($ok, $said) = $nginx->check;
ok $ok, 'nginx takes the contract' or diag $said;
$nginx->start or die $nginx->error_log;

sub form { my ($body, @headers) = @_; return $nginx->request('POST', '/shop/pets', $body, 'Content-Type: application/x-www-form-urlencoded', @headers) }
sub pointer { my ($r) = @_; return (eval { $JSON->decode($r->{body}) } // {})->{errors}[0]{pointer} }

my $r = $nginx->get('/shop/pets?kinds=cat,dog&page=2', 'Cookie: session=x; currency=EUR');
is $r->{status}, 200, 'a public operation';
is $JSON->decode($r->{body})->{uri}, '/shop/pets?kinds=cat,dog&page=2', 'arrives at the shop as it was sent';
is pointer($nginx->get('/shop/pets?kinds=cat,cow')), '/query/kinds/1', 'lists are checked';
is pointer($nginx->get('/shop/pets', 'Cookie: currency=DM')), '/cookie/currency', 'cookies are checked';
is pointer($nginx->get('/shop/pets?page=0')), '/query/page', 'and what another file says';
is $nginx->get('/pets')->{status}, 404, 'the path of the servers is part of every route';

$r = form('name=Tom&price=5');
is $r->{status}, 401, 'who sells must say who they are';
like $r->{headers}{'www-authenticate'}, qr/^Bearer realm="Pet Shop"/, 'in the realm of the shop';
is form('name=Tom&price=5', bearer('guest'))->{status}, 403, 'and be allowed to';
$r = form('name=Tom%20Cat&price=5.5&tags=a&tags=b', bearer('clerk'));
is $r->{status}, 200, 'as a clerk is';
is_deeply [@{$JSON->decode($r->{body})}{qw(customer body secrets)}], ['ann', 'name=Tom%20Cat&price=5.5&tags=a&tags=b', []],
    'whose form arrives, with the name, without the token, and unsigned where no key was given';
is pointer(form('name=&price=5', bearer('clerk'))), '/name', 'a form is checked';
is pointer(form('name=Tom&price=much', bearer('clerk'))), '/price', 'number by number';
is form('{}', bearer('clerk', aud => 'zoo'))->{status}, 401, 'tokens of others are not ours';

is $nginx->request('PUT', '/shop/pets/7/picture', 'x' x 500_000, 'Content-Type: image/png', bearer('guest'))->{status}, 200, 'a picture passes';
is $nginx->request('PUT', '/shop/pets/7/picture', 'x', 'Content-Type: text/html', bearer('guest'))->{status}, 415, 'a page does not';
is_deeply [map { $nginx->get('/shop/basket', bearer('guest'))->{status} } 1 .. 3], [200, 200, 429], 'limits work';

$r = $JSON->decode($nginx->get('/openapi.json')->{body});
is $r->{info}{title}, 'Pets of the World', 'the contract is shown under its title';
is $r->{paths}{'/shop/pets'}{post}{operationId}, 'offer', 'with whole paths';
ok $r->{components}{schemas}{Name}, 'and all that it needs';
unlike $JSON->encode($r), qr/storytelling|shared\.yaml/i, 'and nothing else';

$nginx->stop;
unlike $nginx->error_log, qr/\[(?:alert|crit|emerg)\]/, 'nothing went wrong';
is $nginx->reports, '', 'the sanitizers have nothing to report';
done_testing;
