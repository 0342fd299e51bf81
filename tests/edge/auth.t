# Who: every kind of token that is not one of ours, and the caches.
use strict;
use warnings;
use Test::More;
use Storytelling::Edge;
use MIME::Base64 qw(encode_base64url decode_base64url);

Storytelling::Edge::echo('echo');
my $edge = Storytelling::Edge->nginx(keys => ['identity']);
$edge->start or die $edge->error_log;

sub me { my (@headers) = @_; return $edge->get('/v1/me', @headers) }

sub refused {
    my ($what, $description, @headers) = @_;
    my $r = me(@headers);
    is $r->{status}, 401, "$what: 401" or diag $r->{body};
    my $wanted = 'Bearer realm="api"';
    $wanted .= qq{, error="invalid_token", error_description="$description"} if defined $description;
    is $r->{headers}{'www-authenticate'}, $wanted, "$what: what the header says";
    is json($r->{body})->{code}, 'unauthenticated', "$what: a problem";
}

sub refused_token { my ($what, $description, @token) = @_; refused($what, $description, 'Authorization: Bearer ' . token(@token)) }

my $now = time;
is me(bearer())->{status}, 200, 'a good token is accepted';

# --- how it is sent ---
refused('no token',             undef);
refused('another scheme',       undef, 'Authorization: Basic dXNlcjpwYXNz');
refused('the scheme alone',     undef, 'Authorization: Bearer');
refused('the scheme and space', undef, 'Authorization: Bearer ');
refused('no scheme',            undef, 'Authorization: ' . token());
is me('authorization: bearer ' . token())->{status}, 200, 'the scheme has no case';
is me(bearer(), bearer())->{status}, 400, 'two headers are one too many';
is $edge->get('/v1/me?access_token=' . token())->{status}, 401, 'a token in the query is none';
refused('in a cookie', undef, 'Cookie: access_token=' . token());

# --- shapes ---
refused('not a token', 'not a token', 'Authorization: Bearer abc');
refused('two parts',   'not a token', 'Authorization: Bearer ' . token() =~ s/\.[^.]*\z//r);
refused('four parts',  'not a token', 'Authorization: Bearer ' . token() . '.x');
refused('too long',    'the token is too long', 'Authorization: Bearer ' . 'x' x 9000);
refused('padding',     'the signature is not right', 'Authorization: Bearer ' . token() . '=');
refused('plain base64 instead of url-safe', 'the signature is not right',
    'Authorization: Bearer ' . do { my $t; do { $t = token(jti => rand) } until $t =~ /[-_][^.]*\z/; $t =~ tr{-_}{+/}r });
refused('a space inside', 'the signature is not right', 'Authorization: Bearer ' . token() . ' x');
refused('stray bits at the end', 'the signature is not right', 'Authorization: Bearer ' . flip_last_bit(token()));

# The last character of 86 carries four bits that must be zero.
sub flip_last_bit {
    my ($token) = @_;
    my $last = chop $token;
    my $alphabet = join '', 'A' .. 'Z', 'a' .. 'z', 0 .. 9, '-', '_';
    return $token . substr $alphabet, index($alphabet, $last) ^ 1, 1;
}

# --- algorithms ---
my $public = Storytelling::Nginx::slurp(Storytelling::Edge::public_key('identity'));
my $hmac = sub { my ($key) = @_; return sub { Digest::SHA::hmac_sha256($_[0], $key) } };
my $wrong = 'the algorithm is not the key\'s';
refused_token("alg $_", $wrong, -alg => $_, -sign => sub { '' }) for qw(none None NONE nOnE);
refused_token('HS256 by the public key', $wrong, -alg => 'HS256', -sign => $hmac->($public));
refused_token('hs256 by the public key', $wrong, -alg => 'hs256', -sign => $hmac->($public));
refused_token('ES256 in the header, HMAC by the public key', 'the signature is not right', -sign => $hmac->($public));
refused_token('ES256 with the wrong case', $wrong, -alg => 'es256');
refused_token('ES384', $wrong, -alg => 'ES384');
refused_token('RS256 by another key', $wrong, -key => 'rsa-foreign');
refused_token('EdDSA by another key', $wrong, -key => 'ed-foreign');
refused_token('no alg', $wrong, -header => {alg => undef});
refused_token('alg is a number', $wrong, -header => {alg => 256});
refused_token('crit', 'critical header extensions are not supported', -header => {crit => ['exp']});
refused_token('a key that the token brings along', 'the signature is not right', -key => 'foreign',
    -header => {jwk => {kty => 'EC'}, jku => 'https://evil.example/jwks.json', x5u => 'https://evil.example/'});
refused_token('an unknown kid', 'unknown key', -header => {kid => 'nobody'});
refused_token('a kid that is a path', 'unknown key', -header => {kid => '../../dev/null'});
refused_token('a kid that is no text', 'unknown key', -header => {kid => ['x']});
refused_token("typ $_", 'not an access token: its typ is another', -header => {typ => $_}) for 'JWT', 'refresh+jwt', '';
refused_token('no typ', 'not an access token: its typ is another', -header => {typ => undef});
is me(bearer(-header => {typ => 'application/at+jwt'}))->{status}, 200, 'the long form of typ is accepted';

# --- signatures ---
refused_token('a foreign key', 'the signature is not right', -key => 'foreign');
refused_token('no signature',  'the signature is not right', -sign => sub { '' });
refused_token('zeroes as r and s', 'the signature is not right', -sign => sub { "\0" x 64 });
refused_token('r and s beyond the order', 'the signature is not right', -sign => sub { "\xff" x 64 });
refused_token('a DER signature', 'the signature is not right',
    -sign => sub { Storytelling::Edge::sign('RS256', Storytelling::Edge::key('identity'), $_[0]) });
{
    my ($head, $claims, $signature) = split /\./, token();
    my $other = encode_base64url(decode_base64url($claims) =~ s/author/admin/r);
    refused('claims that were changed', 'the signature is not right', "Authorization: Bearer $head.$other.$signature");
}

# --- claims ---
my $dates = 'exp, nbf or iat is not a date';
refused_token('expired', 'the token has expired', exp => $now - 1);
refused_token('not valid yet', 'the token is not valid yet', nbf => $now + 60);
refused_token('no exp', $dates, exp => undef);
refused_token("exp is $_->[0]", $dates, exp => $_->[1])
    for ['text', '' . ($now + 600) . ''], ['null', JSON::PP::null()], ['true', JSON::PP::true()], ['a list', [$now + 600]], ['beyond all time', 1e300],
    ['negative', -5];
refused_token('nbf is text', $dates, nbf => 'now');
refused_token('iat is text', $dates, iat => 'now');
refused_token('another issuer', 'unknown issuer', iss => 'https://evil.example');
refused_token('no issuer', 'unknown issuer', iss => undef);
refused_token('the issuer in a list', 'unknown issuer', iss => ['https://storytelling.local']);
refused_token('another audience', 'the token is for somebody else', aud => 'other');
refused_token('no audience', 'the token is for somebody else', aud => undef);
is me(bearer(aud => ['other', 'storytelling']))->{status}, 200, 'we may be one of several audiences';
refused_token("without $_", 'sub or sid is missing', $_ => undef) for qw(sub sid);
refused_token('sub is a number', 'sub or sid is missing', sub => \1);
refused_token('a user with a line feed', 'the claims are not usable', sub => "u\nX-Api-Roles: admin");
refused_token('a user with a space', 'the claims are not usable', sub => 'a b');
refused_token('a session that is too long', 'the claims are not usable', sid => 's' x 200);
refused_token('too many roles', 'the claims are not usable', roles => [map { "role-$_" } 1 .. 300]);
is me(bearer(roles => ['author', 7, undef, "x\ny", 'a,b', {}]))->{status}, 200, 'roles that are none are left out';
like me(bearer(roles => ['author', 7, "x\ny", 'a,b']))->{body}, qr/"x-api-roles":"author"/, 'and the others remain';
{
    my $text = sub { my ($claims) = @_; my $s = encode_base64url('{"typ":"at+jwt","alg":"ES256"}') . '.' . encode_base64url($claims);
        return "Authorization: Bearer $s." . encode_base64url(Storytelling::Edge::sign('ES256', Storytelling::Edge::key('identity'), $s)) };
    my $rest = qq("iss":"https://storytelling.local","aud":"storytelling","sid":"s","exp":@{[$now + 600]});
    refused('a claim twice', 'the claims are not JSON', $text->(qq({"sub":"a","sub":"b",$rest})));
    refused('claims that are a list', 'the claims are not JSON', $text->('[]'));
    refused('bytes behind the claims', 'the claims are not JSON', $text->(qq({"sub":"a",$rest} x)));
    refused('claims that are nested too deep', 'the claims are not JSON', $text->('{"a":' x 50 . '1' . '}' x 50));
    is me($text->(qq({"sub":"a",$rest})))->{status}, 200, 'the same without that is accepted';
    refused('a header twice', 'not a token', do { my $t = token() =~ s/\A[^.]*/encode_base64url('{"typ":"at+jwt","alg":"ES256","alg":"none"}')/er; "Authorization: Bearer $t" });
}

# --- caches ---
sub metric { return $edge->metric(@_) }
{
    my @before = map { metric("tokens_total{result=\"$_\"}") } qw(verified l1 refused);
    my $token = bearer(jti => 'cached');
    is me($token)->{status}, 200, 'a token is accepted again' for 1 .. 5;
    my @after = map { metric("tokens_total{result=\"$_\"}") } qw(verified l1 refused);
    is $after[0] - $before[0], 1, 'its signature was checked once';
    is $after[1] - $before[1], 4, 'then it was found in the cache';
    is me($token =~ s/.\z/chr(ord($&) ^ 1)/er)->{status}, 401, 'a token that differs in its last character is not found there';
}
{
    my ($short, $end, $status);
    do {    # once more, should this machine have slept over its end
        $short = bearer(exp => $end = int time + 2);
        $status = me($short)->{status};
    } while $status != 200 && time >= $end;
    is $status, 200, 'a token that is about to expire is accepted';
    ok wait_for(sub { me($short)->{status} == 401 }), 'and refused when it has expired, though it was in the cache';
}

# --- two keys, and the rule in the cache's key ---
$edge->stop;
my $two = Storytelling::Edge->nginx(keys => ['identity', 'ed-next'], workers => 2);
$two->start or die $two->error_log;
my ($kid) = map { chomp; $_ } `openssl pkey -pubin -in @{[Storytelling::Edge::public_key('ed-next')]} -outform DER | tail -c 32 | base64 | tr '+/' '-_' | tr -d '=\n'`;
my $thumb = Digest::SHA::sha256_base64(qq({"crv":"Ed25519","kty":"OKP","x":"$kid"})) =~ tr{+/}{-_}r;
is $two->get('/v1/me', bearer(-key => 'ed-next', -header => {kid => $thumb}))->{status}, 200, 'the kid chooses among two keys';
is $two->get('/v1/me', bearer())->{status}, 200, 'without a kid, the one key of the algorithm is taken';
is $two->get('/v1/me', bearer(-key => 'ed-next', -header => {kid => $thumb}, -alg => 'ES256', -sign => sub { 'x' x 64 }))->{status}, 401,
    'the algorithm belongs to the key, not to the token';
{
    my $token = bearer(-key => 'ed-next', -header => {kid => $thumb}, jti => 'rule');
    is $two->get('/v1/me', $token)->{status}, 200, 'a token under one rule';
    $two->reload;
    is $two->get('/v1/me', $token)->{status}, 200, 'is taken by a new worker';
    like $two->get('/metrics')->{body}, qr/tokens_total\{result="l2"\} [1-9]/, 'which found it in the shared cache';
    Storytelling::Edge->configure($two, keys => ['identity'], workers => 2);
    $two->reload;
    ok wait_for(sub { $two->get('/v1/me', $token)->{status} == 401 }), 'is not taken under another, in which its key is gone';
    is $two->get('/v1/me', $token)->{status}, 401, 'by no worker' for 1 .. 4;
}
$two->stop;
is $_->reports, '', 'the sanitizers have nothing to report' for $edge, $two;
unlike $_->error_log, qr/\[(?:alert|crit|emerg)\]/, 'nothing alarming in the log' for $edge, $two;
unlike join("\n", grep { !/\[info\]/ } split /\n/, $edge->error_log), qr/eyJ/, 'no token in the log';
done_testing;
