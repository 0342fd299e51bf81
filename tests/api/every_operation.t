# What holds for every operation of every contract, so also for those that are added later: who may call it, and that
# nothing that breaks the contract reaches a service.
use strict;
use warnings;
use Test::More;
use Storytelling::Platform;
use Storytelling::Client;
use Storytelling::Contract;

my $platform = Storytelling::Platform->shared;
my $client   = $platform->client;
my $api      = Storytelling::Contract->new($platform, $client);
my $ID       = '0193c7e2-1111-7111-8111-111111111111';

# Somebody whose role may do nothing: the operator has defined it.
$platform->sql('authorization', "insert into roles (role, description) values ('nobody', 'may do nothing') on conflict do nothing");
my $admin  = $platform->admin;
my $nobody = $client->register_user;
$platform->redis('HSET', 'st:edge:users', $nobody->{userId}, '{"roles":["nobody"],"until":4000000000}');
$platform->redis('PUBLISH', 'st:edge', qq({"kind":"user","userId":"$nobody->{userId}","roles":["nobody"],"until":4000000000}));
ok wait_for(sub { $client->get('/v1/me', token => $nobody->{token})->{status} == 403 }), 'a role that may do nothing holds';

# Administrators on the premium tier, one for each service, or some of its operations: the checks of bodies come behind the
# limits, which operations share, and there are many of them.
my (%user, %count, %who);
for my $operation ($api->operations) {
    my $some = $operation->{service} . int($count{$operation->{service}}++ / 15);
    $user{$operation->{id}} = $who{$some} //= do {
        my $email = sprintf '%s.%d.%06x@example.org', $some, $$, rand 0xffffff;
        my $made = $platform->storyctl('--json', 'user', 'create', '--email', $email, '--role', 'admin');
        $platform->set_tier($client->login(JSON::PP::decode_json($made->{out})), 'premium');
    };
}
my $user = $user{createStory};
ok wait_for(sub {
    ($client->post('/v1/stories', content => '{', token => $user->{token})->{headers}{'ratelimit-policy'} // '') =~ /q=100;/
}), 'a tier changes limits';

# A request that the operation's contract accepts, but for its body.
sub request_for {
    my ($operation, %more) = @_;
    my (%path, %query, %headers);
    for my $parameter (@{$operation->{parameters}}) {
        my $schema = $api->resolve($parameter->{schema});
        my $value = ($schema->{format} // '') eq 'uuid' ? $ID : ($schema->{type} // '') eq 'integer' ? 1 : 'author';
        $path{$parameter->{name}} = $value if $parameter->{in} eq 'path';
        $query{$parameter->{name}} = $value if $parameter->{in} eq 'query' && $parameter->{required};
    }
    my @alone = $more{token} ? () : (client => $platform->client);    # limits by address
    return {path => \%path, query => \%query, headers => \%headers, @alone, %more};
}

sub schema_of {
    my ($operation) = @_;
    my $body = $operation->{requestBody} or return;
    return $api->resolve($api->resolve($body)->{content}{'application/json'}{schema});
}

my $deep = 100;
for my $operation ($api->operations) {
    my ($id, $method) = @$operation{qw(id method)};
    my $public = !@{$operation->{security} // $api->{document}{security} // [1]};
    my @token = $public ? () : (token => $user{$id}{token});
    subtest $id => sub {
        my $path = $api->path_of($id, request_for($operation)->{path});

        # Who, and may they?
        if (!$public) {
            $api->fails(401, 'unauthenticated', $id, request_for($operation), 'not without a token');
            $api->fails(401, 'unauthenticated', $id, request_for($operation, token => 'x.y.z'), 'not with a broken one');
            my $scopes = $operation->{security}[0]{bearer} // [];
            $api->fails(403, 'forbidden', $id, request_for($operation, token => $nobody->{token}), 'not without the permission') if @$scopes;
        }

        # Method and path.
        my $other = $client->request('PROPFIND', $path, {@token});
        is $other->{status}, 405, 'an unknown method is refused';
        like $other->{headers}{allow} // '', qr/\b$method\b/, 'and Allow names the right one';
        my $options = $client->request('OPTIONS', $path);
        is $options->{status}, 204, 'OPTIONS is answered';
        like $options->{headers}{allow} // '', qr/\b$method\b/, 'with Allow';
        is $client->request($method, "$path/", {@token})->{status}, 404, 'a trailing slash is another path';
        for my $parameter (grep { $_->{in} eq 'path' && ($_->{schema}{format} // '') eq 'uuid' } @{$operation->{parameters}}) {
            my $request = request_for($operation, @token);
            $request->{path}{$parameter->{name}} = 'not-a-uuid';
            $api->fails(400, 'invalid_request', $id, $request, "$parameter->{name} must be a UUID", "/path/$parameter->{name}");
        }
        $api->fails(400, 'invalid_request', $id, request_for($operation, @token, query => {surprise => 1}), 'an unknown query parameter is refused', '/query/surprise');
        for my $parameter (grep { $_->{in} eq 'query' } @{$operation->{parameters}}) {
            my ($name, $schema) = ($parameter->{name}, $api->resolve($parameter->{schema}));
            my @bad = $schema->{type} eq 'integer' ? ('x', '1.5', '', '0', $schema->{maximum} + 1, '-1', '99999999999999999999') : $schema->{format} || $schema->{enum} ? ('x', '') : ('');
            $api->fails(400, 'invalid_request', $id, request_for($operation, @token, query => {$name => $_}), "$name: '$_' is refused", "/query/$name") for @bad;
        }
        if ($method eq 'GET') {
            my $head = $client->request('HEAD', $path, {@token});
            my $get = $client->request('GET', $path, {@token});
            is $head->{status}, $get->{status}, 'HEAD has the status of GET';
            is $head->{content} // '', '', 'and no body';
        }

        # The body.
        my $schema = schema_of($operation);
        if (!$schema) {
            my @refusal = $operation->{requestBody} ? (415, 'unsupported_media_type') : (400, 'invalid_request');
            $api->fails(@refusal, $id, request_for($operation, @token, json => {}), 'a body is refused where none is wanted, or another') if $method ne 'GET';
            return;
        }
        my %bodies = (
            'no body'              => '',
            'broken JSON'          => '{"a":',
            'a comma too many'     => '{"a":1,}',
            'bytes behind it'      => '{} x',
            'not UTF-8'            => "{\"a\":\"\xff\xfe\"}",
            'overlong UTF-8'       => "{\"a\":\"\xc0\xaf\"}",
            'half a surrogate'     => '{"a":"\ud800"}',
            'NUL'                  => '{"a":"\u0000"}',
            'a raw NUL'            => "{\"a\":\"\0\"}",
            'a raw line feed'      => "{\"a\":\"\n\"}",
            'a duplicate name'     => '{"a":1,"a":2}',
            'deep nesting'         => '{"a":' . '[' x $deep . ']' x $deep . '}',
            'endless nesting'      => '[' x 20000,
            'a huge number'        => '{"a":1e999}',
            'a comment'            => '{/**/}',
        );
        for my $what (sort keys %bodies) {
            my $request = request_for($operation, @token, content => $bodies{$what}, content_type => 'application/json');
            $api->fails(400, 'invalid_request', $id, $request, "$what is refused", '');
        }
        $api->fails(422, 'unprocessable', $id, request_for($operation, @token, content => $_), "$_ is not what is wanted", '') for '[]', '"x"', '7', 'null', 'true';
        my %all = map { $_ => {surprise => 1} } keys %{$schema->{properties}};
        $api->fails(422, 'unprocessable', $id, request_for($operation, @token, json => {%all, surprise => 1}), 'unknown members and wrong types are named',
            '/surprise', map { "/$_" } keys %all) if %all;    # else it is the language of somebody else's call
        if (my @required = @{$schema->{required} // []}) {
            $api->fails(422, 'unprocessable', $id, request_for($operation, @token, json => {}), 'so are missing members', map { "/$_" } @required);
        }
        $api->fails(415, 'unsupported_media_type', $id, request_for($operation, @token, content => '{}', content_type => $_), "$_ is not taken")
            for 'text/plain', 'application/xml', 'application/json; charset=utf-16', 'application/x-www-form-urlencoded';
        $api->fails(413, 'too_large', $id, request_for($operation, @token, content => '{"a":"' . 'x' x 2_000_000 . '"}'), '2 MB are too large');
    };
}

# --- what no contract names ------------------------------------------------------------------------------------------

for my $path ('/', '/v1', '/v2/stories', '/v1/Stories', '/v1/stories/x/y/z', '/internal', '/_objects/x', '/_problem', '/admin') {
    my $answer = $client->get($path, token => $user->{token});
    is $answer->{status}, 404, "$path is nothing";
    is $answer->{json}{code}, 'not_found', 'as a problem';
}
for my $path ('/v1//stories', '/v1/./stories', '/v1/x/../stories', '/v1/%73tories', '/v1/stories%2f', '/v1/stories;x=1', '/v1/stories/%00', '/v1/%ff', '/docs/../v1/stories') {
    is $client->get($path, token => $user->{token})->{status}, 400, "$path is no way round";
}

# --- what clients may not say ----------------------------------------------------------------------------------------

my $forged = $client->get('/v1/me', headers => {'X-Api-User' => $admin->{userId}, 'X-Api-Roles' => 'admin', 'X-Api-Signature' => '0' x 64, 'X-Api-Time' => time});
is $forged->{status}, 401, 'nobody is who their headers say';
$forged = $client->get('/v1/me', token => $user->{token}, headers => {'X-Api-User' => $admin->{userId}, X_Api_Roles => 'admin'});
is $forged->{json}{userId}, $user->{userId}, 'nor beside a token';
for my $id ('my-id_1.2', 'x' x 64) {
    is $client->get('/v1/me', headers => {'X-Correlation-Id' => $id})->{json}{correlationId}, $id, "a correlation id is kept: $id";
}
for my $id ('x' x 65, 'a b', 'a"b', '<x>', '') {
    my $kept = $client->get('/v1/me', headers => {'X-Correlation-Id' => $id})->{json}{correlationId};
    like $kept, qr/^[0-9a-f-]{36}$/, "one that is none is replaced: '$id'";
}

# --- around the operations -------------------------------------------------------------------------------------------

my $health = $client->get('/health');
is $health->{status}, 200, '/health';
ok wait_for(sub { $health = $client->get('/health'); $health->{json}{status} eq 'healthy' }), 'is healthy' or diag $health->{content};
is_deeply [grep { $_ ne 'healthy' } values %{$health->{json}{dependencies}}], [], 'as is each dependency';
is $client->get('/metrics')->{status}, 200, '/metrics is there for this machine';
like $client->get('/docs/')->{content}, qr/<html/, '/docs is a page';
is $client->get('/openapi.json')->{json}{openapi}, '3.1.0', '/openapi.json is the document';
my $plain = HTTP::Tiny->new(max_redirect => 0)->get('http://127.0.0.1:' . $platform->port . '/v1/me');
is $plain->{status}, 400, 'plain HTTP is refused';

done_testing;
