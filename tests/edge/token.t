# storyctl token verify: what the edge would say, for every kind of key, with its exit codes.
use strict;
use warnings;
use Test::More;
use Storytelling::Edge;
use MIME::Base64 qw(encode_base64url decode_base64url);

my $dir = Storytelling::Edge::dir() . '/tmp';
my $ctl = Storytelling::Edge::storyctl();
*file = \&Storytelling::Edge::file;
my @claims = ('--iss', 'https://storytelling.local', '--aud', 'storytelling');

sub verify {
    my ($token, @args) = @_;
    my $path = ref $token ? $$token : file('token', "$token\n");
    my ($exit, $said) = Storytelling::Edge::ctl(@args, $path);
    return {exit => $exit, said => $said};
}

sub says {
    my ($exit, $wanted, $what, $token, @args) = @_;
    my $r = verify($token, 'token', 'verify', @args);
    is $r->{exit}, $exit, "$what: exit $exit" or diag $r->{said};
    like $r->{said}, $wanted, "$what: what it says";
}

sub jwks { my ($name, @keys) = @_; return file($name, JSON::PP->new->encode({keys => \@keys})) }

my $pem = Storytelling::Edge::public_key('identity');
my $set = jwks('set.json', Storytelling::Edge::jwk('identity', kid => 'ec'), Storytelling::Edge::jwk('rsa', kid => 'rsa'), Storytelling::Edge::jwk('rsa', kid => 'pss', alg => 'PS256'),
    Storytelling::Edge::jwk('ed', kid => 'ed'), {kty => 'unheard of', kid => 'x'});

# --- keys ---
says(0, qr/^accepted: user user-1, session session-1, roles author$/, 'a PEM', token(), '--pem', $pem, @claims);
says(0, qr/^accepted/, 'a PEM, and the algorithm said', token(), '--pem', $pem, '--alg', 'ES256', @claims);
says(0, qr/^accepted/, 'a PEM and a kid that it does not know', token(-header => {kid => 'any'}), '--pem', $pem, @claims);
says(0, qr/^accepted/, "a JWKS: $_->[0]", token(-key => $_->[1], -header => {kid => $_->[0]}), '--jwks', $set, @claims)
    for ['ec', 'identity'], ['rsa', 'rsa'], ['ed', 'ed'];
says(0, qr/^accepted/, 'no kid, and one key of its algorithm', token(), '--jwks', $set, @claims);
says(1, qr/^refused: unknown key \(key 5: /, 'a kid that is not in the set', token(-header => {kid => 'x'}), '--jwks', $set, @claims);
says(1, qr/^refused: the algorithm is not the key's/, "another key's kid", token(-header => {kid => 'rsa'}), '--jwks', $set, @claims);
says(0, qr/^accepted/, 'a single JWK', token(), '--jwks', file('one.json', JSON::PP->new->encode(Storytelling::Edge::jwk('identity'))), @claims);
says(1, qr/^refused: the algorithm is not the key's/, 'HS256 by the public key',
    token(-alg => 'HS256', -sign => sub { Digest::SHA::hmac_sha256($_[0], Storytelling::Nginx::slurp($pem)) }), '--pem', $pem, @claims);
{
    my $secret = file('secret', 'x' x 32 . "\n");
    my $token  = token(-alg => 'HS256', -sign => sub { Digest::SHA::hmac_sha256($_[0], 'x' x 32) });
    says(0, qr/^accepted/, 'a secret', $token, '--secret', $secret, @claims);
    says(1, qr/^refused: .*32 to 1024 bytes/, 'a secret that is too short', $token, '--secret', file('short', 'x' x 31), @claims);
    says(1, qr/^refused: .*a secret among public keys/, 'a secret among public keys', $token, '--jwks',
        jwks('mixed.json', Storytelling::Edge::jwk('identity', kid => 'ec'), {kty => 'oct', kid => 'h', k => encode_base64url('x' x 32)}), @claims);
}

# --- the algorithm ---
says(1, qr/^refused: unknown key \(the key is not for RS256\)/, 'a key of another algorithm', token(), '--pem', $pem, '--alg', 'RS256', @claims);
says(1, qr/^refused: the algorithm is not the key's/, 'a token of another algorithm', token(), '--jwks', $set, '--alg', 'EdDSA', @claims);
says(1, qr/^refused: the algorithm $_ is not supported/, "the algorithm $_", token(), '--pem', $pem, '--alg', $_, @claims) for 'none', 'es256', 'ES256K';

# --- header and claims ---
says(1, qr/^refused: the token has expired$/, 'expired', token(exp => time - 1), '--pem', $pem, @claims);
says(1, qr/^refused: unknown issuer$/, 'another issuer', token(), '--pem', $pem, '--iss', 'other');
says(1, qr/^refused: the token is for somebody else$/, 'another audience', token(), '--pem', $pem, '--aud', 'other');
says(0, qr/^accepted/, 'neither asked for', token(), '--pem', $pem);
says(1, qr/^refused: not an access token: its typ is another$/, 'another type', token(-header => {typ => 'JWT'}), '--pem', $pem);
says(0, qr/^accepted/, 'that type wanted', token(-header => {typ => 'JWT'}), '--pem', $pem, '--typ', 'JWT');
says(0, qr/^accepted/, 'the signature only', token(-header => {typ => 'x'}, exp => 1, iss => undef), '--pem', $pem, '--signature-only');
says(1, qr/^refused: critical/, 'crit, the signature only', token(-header => {crit => ['exp']}), '--pem', $pem, '--signature-only');
says(1, qr/^refused: a payload that is not encoded/, 'b64', token(-header => {b64 => JSON::PP::false()}), '--pem', $pem, '--signature-only');

# --- the file ---
my $token = token();
says(0, qr/^accepted/, "a token that ends with $_->[0]", \file('t', $token . $_->[1]), '--pem', $pem) for ['nothing', ''], ['LF', "\n"], ['CR LF', "\r\n"];
says(1, qr/^refused/,  "a token and $_->[0]", \file('t', $token . $_->[1]), '--pem', $pem, '--signature-only')
    for ['two line feeds', "\n\n"], ['a second line', "\nx\n"], ['a space', ' '], ['a NUL', "\0"], ['padding', '='];
says(1, qr/^refused: not a token/, 'an empty file', \file('t', ''), '--pem', $pem);
says(1, qr/^refused: the token is too long/, 'more than 8 KB', \file('t', 'x' x 8193), '--pem', $pem);
says(1, qr/^refused: not a token/, '8 KB', \file('t', 'x' x 8192 . "\n"), '--pem', $pem);
{
    my $said = `printf %s $token | $ctl --json token verify --pem $pem -`;
    is $? >> 8, 0, 'a token from standard input';
    is json($said)->{claims}{sub}, 'user-1', 'in JSON, with its claims';
    $said = `printf %s x | $ctl --json token verify --pem $pem -`;
    is $? >> 8, 1, 'and one that is none';
    is_deeply json($said), {accepted => JSON::PP::false(), reason => 'not a token'}, 'with the reason';
}

# --- what is no verdict ---
says(2, qr/No such file/, 'no token file', \"$dir/none", '--pem', $pem);
says(2, qr/No such file/, 'no key file', $token, '--pem', "$dir/none");
says(2, qr/not a PEM key, JWK/, 'no key in the file', $token, '--pem', file('junk', 'hello'));
says(2, qr/not valid JSON/, 'broken JSON', $token, '--jwks', file('junk', '{"keys":['));
says(2, qr/not a JWK or JWKS/, 'a PEM as a JWKS', $token, '--jwks', $pem);
says(2, qr/see --help/, 'no key', $token);
says(2, qr/see --help/, 'two keys', $token, '--pem', $pem, '--jwks', $set);
done_testing;
