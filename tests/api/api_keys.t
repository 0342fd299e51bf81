# API keys: made, listed, revoked; and what the edge then knows of them.
use strict;
use warnings;
use Test::More;
use Digest::SHA qw(sha256_hex);
use Storytelling::Platform;
use Storytelling::Client;
use Storytelling::Contract;

my $platform = Storytelling::Platform->shared;
my $client   = $platform->client;
my $api      = Storytelling::Contract->new($platform, $client);
my ($user, $other) = map { $client->register_user } 1 .. 2;
my @mine = (token => $user->{token});

my $made = $api->succeeds(201, createApiKey => {@mine, json => {name => 'A robot', scopes => ['story:read'], expiresAt => '2099-01-01T00:00:00Z'}}, 'a key is made');
my $key = $made->{json};
like $key->{key}, qr/^stk_[A-Za-z0-9_-]{43}\z/, 'its secret is told';
is $key->{prefix}, substr($key->{key}, 0, 11), 'with its beginning';
is_deeply $key->{scopes}, ['story:read'], 'and its scopes';
is $made->{headers}{'cache-control'}, 'no-store', 'to nobody in between';
my $plain = $api->succeeds(201, createApiKey => {@mine, json => {name => 'Another'}}, 'without scopes and end')->{json};
ok !exists $plain->{scopes} && !exists $plain->{expiresAt}, 'they are absent';

my $list = $api->succeeds(200, listApiKeys => {@mine}, 'the keys are listed')->{json}{items};
is_deeply [map { $_->{keyId} } @$list], [$plain->{keyId}, $key->{keyId}], 'newest first';
ok !grep({ exists $_->{key} } @$list), 'without their secrets';
is_deeply $api->succeeds(200, listApiKeys => {token => $other->{token}}, "somebody else's")->{json}{items}, [], 'are others';

$api->fails(422, 'unprocessable', createApiKey => {@mine, json => {name => 'x', %{$_->[1]}}}, $_->[0], $_->[2])
    for ['a scope that is none', {scopes => ['everything']}, '/scopes/0'], ['no scope at all', {scopes => []}, '/scopes'], ['an end that is no time', {expiresAt => 'soon'}, '/expiresAt'];
$api->fails(422, 'unprocessable', createApiKey => {@mine, json => {name => 'x', expiresAt => $_}}, "an end in the past: $_") for '2001-01-01T00:00:00Z', '0000-01-01T00:00:00-23:59';
$api->fails(404, 'not_found', deleteApiKey => {token => $other->{token}, path => {keyId => $key->{keyId}}}, "somebody else's key");

# What the edge reads.
my $known = sub { my $out = $platform->redis('HGET', 'st:edge:keys', sha256_hex($_[0]{key}))->{out}; return $out =~ /\S/ ? $out : undef };
my $text;
for (1 .. 100) { last if $text = $known->($key); select undef, undef, undef, 0.05 }
my $seen = JSON::PP::decode_json($text // '{}');
is_deeply [@$seen{qw(keyId userId scopes)}], [$key->{keyId}, $user->{userId}, ['story:read']], 'the edge is told, by the hash';
is $seen->{until}, 4070908800, 'and until when';

# A program works with it.
my $story = $client->post('/v1/stories', @mine, json => {title => 'T', content => 'Once upon a time.'})->{json}{storyId};
my $as = sub { $client->request(GET => $_[1], {headers => {'X-Api-Key' => $_[0]{key}}})->{status} };
my $known_at_edge;
for (1 .. 100) { last if ($known_at_edge = $as->($key, "/v1/stories/$story")) == 200; select undef, undef, undef, 0.05 }
is $known_at_edge, 200, 'a program reads a story with the key';
is $as->({key => "$key->{key}x"}, "/v1/stories/$story"), 401, 'not with another';
is $as->($key, '/v1/me'), 401, 'nor where no key is taken';

$api->succeeds(204, deleteApiKey => {@mine, path => {keyId => $key->{keyId}}}, 'a key is revoked');
my $gone;
for (1 .. 100) { last if $gone = !defined $known->($key); select undef, undef, undef, 0.05 }
ok $gone, 'and gone from what the edge reads';
my $refused;
for (1 .. 20) { last if ($refused = $as->($key, "/v1/stories/$story")) == 401; select undef, undef, undef, 0.05 }
is $refused, 401, 'and refused by it within a second';
$api->fails(404, 'not_found', deleteApiKey => {@mine, path => {keyId => $key->{keyId}}}, 'once');
$api->succeeds(201, createApiKey => {@mine, json => {name => "key $_"}}, "key $_") for 2 .. 20;
$api->fails(422, 'unprocessable', createApiKey => {@mine, json => {name => 'one too many'}}, 'twenty are enough');
done_testing;
