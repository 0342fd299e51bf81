# A session in a cookie: for pages, which need not keep a token.
use strict;
use warnings;
use Test::More;
use Storytelling::Platform;
use Storytelling::Client;
use Storytelling::Contract;

my $platform = Storytelling::Platform->shared;
my $client   = $platform->client;
my $api      = Storytelling::Contract->new($platform, $client);
my $user     = $client->register_user;
my @who      = map { $_ => $user->{$_} } qw(email password);

my $login = $api->succeeds(200, login => {json => {@who, cookie => JSON::PP::true()}}, 'a login with a cookie');
like $login->{headers}{'set-cookie'}, qr/^__Host-session=[\w.-]+; Path=\/; Secure; HttpOnly; SameSite=Lax; Max-Age=600$/, 'sets one that no script and no other site gets';
ok !$api->succeeds(200, login => {json => {@who}}, 'a login without')->{headers}{'set-cookie'}, 'sets none';
my ($cookie) = $login->{headers}{'set-cookie'} =~ /^([^;]+)/;
my @page = ('Cookie' => $cookie, 'Sec-Fetch-Site' => 'same-origin');

my $me = $api->succeeds(200, getMe => {headers => {Cookie => $cookie}}, 'the account, by the cookie');
is $me->{json}{userId}, $user->{userId}, 'is the right one';
my %change = (json => {displayName => 'By a page'});
$api->succeeds(200, updateMe => {%change, headers => {@page, 'If-Match' => $me->{headers}{etag}}}, 'a page of this site changes it');
$api->fails(403, 'csrf', updateMe => {%change, headers => {Cookie => $cookie, 'Sec-Fetch-Site' => $_, 'If-Match' => '*'}}, "a page elsewhere does not: $_") for qw(cross-site same-site);
$api->fails(403, 'csrf', updateMe => {%change, headers => {Cookie => $cookie, 'If-Match' => '*'}}, 'nor somebody who does not say');
$api->fails(401, 'unauthenticated', listApiKeys => {headers => {Cookie => $cookie}}, 'other operations do not take it');

my $renewed = $api->succeeds(200, refresh => {json => {refreshToken => $login->{json}{refreshToken}, cookie => JSON::PP::true()}}, 'a refresh');
like $renewed->{headers}{'set-cookie'}, qr/^__Host-session=/, 'renews the cookie';
my $out = $api->succeeds(204, logout => {headers => {@page}}, 'a logout by the cookie');
like $out->{headers}{'set-cookie'}, qr/^__Host-session=; .*Max-Age=0$/, 'takes it away';
for (1 .. 20) { last if $client->request(GET => '/v1/me', {headers => {Cookie => $cookie}})->{status} == 401; select undef, undef, undef, 0.05 }
$api->fails(401, 'unauthenticated', getMe => {headers => {Cookie => $cookie}}, 'and it is worth nothing any more');
done_testing;
