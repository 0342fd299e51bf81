# Access tokens at the edge: each forgery that is known from the field is refused, and looks like any other refusal.
use strict;
use warnings;
use Test::More;
use Digest::SHA qw(hmac_sha256);
use File::Temp qw(tempdir);
use JSON::PP ();
use MIME::Base64 qw(encode_base64url decode_base64url);
use Storytelling::Platform;
use Storytelling::Client;
use Storytelling::Contract;

my $platform = Storytelling::Platform->shared;
my $client   = $platform->client;
my $api      = Storytelling::Contract->new($platform, $client);
my $dir      = tempdir(CLEANUP => 1);
my $JSON     = JSON::PP->new->canonical;
my $own      = $platform->var . '/secrets/identity.pem';
my $user     = $client->register_user;
my ($header, $claims) = map { $JSON->decode(decode_base64url($_)) } (split /\./, $user->{token})[0, 1];

sub slurp { open my $in, '<:raw', $_[0] or die "$_[0]: $!\n"; local $/; return scalar <$in> }

# ES256 by openssl: DER to r || s.
sub sign {
    my ($text, $key) = @_;
    open my $out, '>:raw', "$dir/text" or die;
    print $out $text;
    close $out;
    system('openssl', 'dgst', '-sha256', '-sign', $key, '-out', "$dir/sig", "$dir/text") == 0 or die "openssl\n";
    my ($r, $s) = slurp("$dir/sig") =~ /^\x30.\x02(.)/s ? unpack 'x3 C/a x C/a', slurp("$dir/sig") : die "DER\n";
    return join '', map { substr "\0" x 32 . $_, -32 } $r, $s;
}

sub token {
    my ($more_claims, $more_header, $key) = @_;
    my %header = (%$header, %{$more_header // {}});
    my %claims = (%$claims, %{$more_claims // {}});
    delete @header{grep { !defined $header{$_} } keys %header};
    delete @claims{grep { !defined $claims{$_} } keys %claims};
    my $text = join '.', map { encode_base64url($JSON->encode($_)) } \%header, \%claims;
    return "$text." . encode_base64url(sign($text, $key // $own));
}

sub accepted { my ($token, $name) = @_; return $api->succeeds(200, getMe => {token => $token}, $name) }
sub refused {
    my ($token, $name) = @_;
    my $answer = $api->fails(401, 'unauthenticated', getMe => {headers => {Authorization => "Bearer $token"}}, $name);
    like $answer->{headers}{'www-authenticate'}, qr/^Bearer realm="storytelling", error="invalid_token", error_description="[^"]+"$/, 'and says so in the header';
    return $answer;
}

accepted(token(), 'a token that is made like ours is accepted: the others are refused for what is wrong with them');

my $now = time;
refused(token({exp => $now - 60}), 'expired');
refused(token({exp => undef}), 'without an end');
refused(token({exp => 'never'}), 'with an end that is no date');
refused(token({exp => JSON::PP::true}), 'with a true end');
refused(token({nbf => $now + 120}), 'not valid yet');
refused(token({iss => 'https://evil.example'}), 'of another issuer');
refused(token({aud => 'elsewhere'}), 'for somebody else');
refused(token({aud => undef}), 'for nobody');
refused(token({sub => undef}), 'of nobody');
refused(token({sid => undef}), 'without a session');
refused(token({sub => "x\r\nX-Api-Roles: admin"}), 'that would forge a header');
refused(token({}, {typ => 'JWT'}), 'of another type');
refused(token({}, {typ => undef}), 'without a type');
refused(token({}, {kid => 'unknown'}), 'of an unknown key');
refused(token({}, {kid => '../../../dev/null'}), 'of a key that is a path');
refused(token({}, {crit => ['exp']}), 'with critical extensions');
refused(token({}, {alg => $_}), "signed by $_") for qw(none None HS256 RS256 ES384 es256);

system("openssl ecparam -name prime256v1 -genkey -noout -out $dir/foreign.pem 2>/dev/null") == 0 or die;
refused(token({}, {}, "$dir/foreign.pem"), 'of a foreign key');
my $jwk = {kty => 'EC', crv => 'P-256', x => 'A' x 43, y => 'A' x 43};
refused(token({}, {jwk => $jwk}, "$dir/foreign.pem"), 'that brings its own key');
refused(token({}, {jku => 'https://evil.example/jwks', x5u => 'https://evil.example/x'}, "$dir/foreign.pem"), 'that says where its key is');

my ($head, $body, $signature) = split /\./, $user->{token};
refused("$head.$body.", 'without a signature');
my $none = encode_base64url('{"alg":"none","typ":"at+jwt"}');
refused("$none.$body.", 'that needs none');
my $admin = encode_base64url($JSON->encode({%$claims, roles => ['admin']}));
refused("$head.$admin.$signature", 'with other claims than were signed');
my $hs = encode_base64url($JSON->encode({%$header, alg => 'HS256'}));
refused("$hs.$admin." . encode_base64url(hmac_sha256("$hs.$admin", slurp($platform->var . "/secrets/$_"))), "signed with what everybody knows ($_)") for 'identity.pub.pem';
refused("$head.$body." . encode_base64url("\0" x 64), 'with an empty signature');
refused("$user->{token}=", 'with padding');
refused("$user->{token}.x", 'with a fourth part');
refused($_, "no token: $_") for 'x', '..', 'a.b.c', 'null', 'undefined', '[object Object]';
refused('A' x 9000, 'a token that is too long');
refused("$head.$body." . 'A' x 86, 'with any signature');

# How a token is sent.
$api->succeeds(200, getMe => {headers => {Authorization => "bearer $user->{token}"}}, 'the scheme has no case');
for my $value ('', 'Bearer', 'Bearer ', "Basic $user->{token}", $user->{token}, "Bearer$user->{token}") {
    my $answer = $api->fails(401, 'unauthenticated', getMe => {headers => {Authorization => $value}}, "no token: '" . substr($value, 0, 12) . "'");
    is $answer->{headers}{'www-authenticate'}, 'Bearer realm="storytelling"', 'and none is asked for by error';
}
is $client->get("/v1/me?access_token=$user->{token}")->{status}, 401, 'a token in the address does not count';
is $client->get('/v1/me', headers => {Cookie => "access_token=$user->{token}"})->{status}, 401, 'nor in a cookie';

# Revocation is by session, not by the token's bytes.
my $twin = token({jti => 'another'});
accepted($twin, 'another token of the session');
is $client->post('/v1/auth/logout', token => $user->{token})->{status}, 204, 'the session ends';
ok wait_for(sub { $client->get('/v1/me', token => $twin)->{status} == 401 }), 'for every token of it';
refused(token({jti => 'made later'}), 'also for one that was never seen');

# The operator's tool sees it like the edge.
my $fresh = $client->login($user)->{token};
for ([$fresh, 0], [token({exp => $now - 60}), 1], ["$none.$body.", 1]) {
    my ($token, $exit) = @$_;
    open my $out, '>', "$dir/token" or die;
    print $out "$token\n";
    close $out;
    my $said = $platform->storyctl('--json', 'token', 'verify', '--pem', $platform->var . '/secrets/identity.pub.pem', '--iss', 'https://storytelling.local', '--aud', 'storytelling', "$dir/token");
    is $said->{exit}, $exit, 'storyctl token verify: ' . ($exit ? 'refused' : 'accepted') or diag $said->{out};
    is $JSON->decode($said->{out})->{accepted} ? 0 : 1, $exit, 'in JSON, too';
}

# --- past the edge ---
{
    require IO::Socket::UNIX;
    my $call = sub {
        my $socket = IO::Socket::UNIX->new(Peer => $platform->var . '/run/identity.sock') or die "identity.sock: $!";
        print $socket "GET /v1/me HTTP/1.1\r\nHost: a\r\nConnection: close\r\n", (map { "$_\r\n" } @_), "\r\n";
        local $/;
        return scalar <$socket>;
    };
    my @who = ('X-Api-Operation: getMe', "X-Api-User: $claims->{sub}", "X-Api-Session: $claims->{sid}", 'X-Api-Roles: admin', 'X-Api-Time: ' . time);
    like $call->(@who), qr{^HTTP/1.1 401 .*Only the edge may call a service}s, 'a service refuses who comes past the edge';
    like $call->(@who, 'X-Api-Signature: ' . '0' x 64), qr{^HTTP/1.1 401 }, 'with any signature, too';
    like $call->(@who, 'X-Api-Signature: '), qr{^HTTP/1.1 401 }, 'and with an empty one';
}

done_testing;
