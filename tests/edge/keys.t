# The keys that tokens are verified with: files of every kind, and sets that are fetched in the background.
use strict;
use warnings;
use Test::More;
use Storytelling::Edge;
use File::Temp ();
use IO::Socket::INET;
use IO::Socket::UNIX;
use MIME::Base64 qw(encode_base64url);
use Time::HiRes qw(sleep time);

my $E   = 'Storytelling::Edge';
my $dir = Storytelling::Edge::dir() . '/tmp';
my @edges;
Storytelling::Edge::echo('echo');

*file = \&Storytelling::Edge::file;
sub set  { my (@keys) = @_; return JSON::PP->new->encode({keys => \@keys}) }
sub jwk  { return Storytelling::Edge::jwk(@_) }
sub edge { my (%with) = @_; my $edge = $E->nginx(keys => [], %with); push @edges, $edge; $edge->start or die $edge->error_log; return $edge }
sub me   { my ($edge, @token) = map { ref eq 'ARRAY' ? @$_ : $_ } @_; return $edge->get('/v1/me', bearer(@token))->{status} }
sub by   { my ($key, $kid, %more) = @_; return (-key => $key, -header => {kid => $kid}, %more) }
sub hmac { my ($secret, $alg) = @_; return (-alg => $alg // 'HS256', -sign => sub { Digest::SHA::hmac_sha256($_[0], $secret) }) }

# --- files ---
{
    my $set = file('set.json', set(jwk('identity', kid => 'ec'), jwk('ed', kid => 'ed'), jwk('rsa', kid => 'rs'), jwk('rsa', kid => 'enc', use => 'enc')));
    my $secret = file('secret', 's' x 40 . "\n");
    my $edge = edge(http => "api_jwt_key_file $set; api_jwt_secret_file $secret; api_realm tales;");
    is me($edge, by('identity', 'ec')), 200, 'a JWKS: ES256';
    is me($edge, by('ed', 'ed')), 200, 'EdDSA';
    is me($edge, by('rsa', 'rs')), 200, 'RS256';
    is me($edge, hmac('s' x 40)), 200, 'a secret';
    is me($edge, hmac('s' x 40, 'HS512')), 401, 'for its own algorithm only';
    is me($edge, hmac('t' x 40)), 401, 'and not another';
    is me($edge, by('rsa', 'enc')), 401, 'a key that is for something else is left out';
    is me($edge, by('ed', 'ec')), 401, 'the kid decides, and with it the algorithm';
    is $edge->get('/v1/me')->{headers}{'www-authenticate'}, 'Bearer realm="tales"', 'the realm';
    like $edge->error_log, qr/left out: key 4: its use is not sig/, 'the log tells what was left out';
}
{
    my $edge = edge(http => 'api_jwt_key_file ' . Storytelling::Edge::public_key('rsa') . ' PS256; api_jwt_type JWT;');
    is me($edge, -key => 'rsa', -header => {typ => 'JWT'}), 401, 'RS256 by a key for PS256';
    my $sign = sub { my $in = file('signed', $_[0]);
        return scalar `openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest -sign @{[Storytelling::Edge::key('rsa')]} $in` };
    is me($edge, -alg => 'PS256', -sign => $sign, -header => {typ => 'JWT'}), 200, 'PS256, and another type';
    is me($edge, -alg => 'PS256', -sign => $sign), 401, 'but not the usual one then';
}

# --- claims as variables ---
{
    my $edge = edge(keys => ['identity'], http => 'api_jwt_claim $api_claim_name name; api_jwt_claim $api_claim_list /deep/list;'
            . ' api_jwt_claim $api_claim_number n; api_jwt_claim $api_roles /realm_access/roles; api_jwt_claim $api_session jti;'
            . 'proxy_set_header X-Name $api_claim_name; proxy_set_header X-List $api_claim_list; proxy_set_header X-Number $api_claim_number;'
            . 'log_format claims "$status [$api_claim_name]";',
        more => "access_log $dir/claims.log claims;");
    my $seen = sub { return json($edge->get(@_)->{body})->{headers} };
    my @token = (name => 'Zoë B', deep => {list => ['a', 'b']}, n => 7, realm_access => {roles => ['author']}, roles => ['admin'], sid => undef, jti => 'j-1');
    for my $time ('verified', 'cached') {
        my $h = $seen->('/v1/me', bearer(@token));
        is $h->{'x-name'}, "Zo\xc3\xab B", "a claim goes to the service ($time)";
        is $h->{'x-list'}, 'a,b', 'strings of a list by their pointer';
        is $h->{'x-number'}, '7', 'a number';
        is $h->{'x-api-roles'}, 'author', 'the roles from another place';
        is $h->{'x-api-session'}, 'j-1', 'and the session';
    }
    is $seen->('/v1/me', bearer(@token, name => "a\r\nX-Evil: 1"))->{'x-name'} // '', '', 'what no header could carry is left out';
    is $seen->('/v1/me', bearer(@token, name => 'x' x 2000))->{'x-name'} // '', '', 'and what is too long';
    is $seen->('/v1/me', bearer(@token, name => {}))->{'x-name'} // '', '', 'and what is no text';
    is $edge->get('/v1/me', bearer(@token, name => 'Eve', exp => 5))->{status}, 401, 'a token that is refused';
    is $seen->('/v1/free', bearer(@token))->{'x-name'} // '', '', 'nothing is taken from a token that nobody looked at';
    ok wait_for(sub { Storytelling::Nginx::slurp("$dir/claims.log") =~ /^200 \[\]$/m }), 'the log is written';
    like Storytelling::Nginx::slurp("$dir/claims.log"), qr/^200 \[Zo.* B\]$/m, 'with the claim';
    like Storytelling::Nginx::slurp("$dir/claims.log"), qr/^401 \[-?\]$/m, 'of verified tokens only';
}

# --- sets that are fetched ---
my $answer = "$dir/answer";
sub answers { my ($body, $status) = @_; file('answer', $status && $status eq 'raw' ? $body : Storytelling::Edge::http_answer($body, $status)) }
my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 16) or die "listen: $!";
my $url    = 'http://127.0.0.1:' . $listen->sockport . '/jwks';
answers(set(jwk('one', kid => 'k1')));
my $server = Storytelling::Edge::serve_file($listen, $answer);
my $state  = Storytelling::Edge::state_file();

{
    my $edge = edge(workers => 2, http => "api_jwt_jwks $url interval=60s;", state => $state);
    is me($edge, by('one', 'k1')), 200, 'a token that comes before the keys waits for them';
    is me($edge, by('one', 'k1', jti => $_)), 200, 'every worker knows them' for 1 .. 8;
    cmp_ok Storytelling::Edge::served($answer), '<=', $ENV{RELOAD} ? 2 : 1, 'one fetch, and one for a worker that a reload cut short';
    like Storytelling::Nginx::slurp("$answer.count"), qr{^GET /jwks HTTP/1.1$}m, 'of what the URL names';

    answers(set(jwk('one', kid => 'k1'), jwk('two', kid => 'k2')));
    my $waited;
    is me($edge, by('two', 'k2', jti => $_)), 200, 'a key that has just been published fails nobody' for 1 .. 4;
    my $before = Storytelling::Edge::served($answer);
    is me($edge, by('two', "random-$_", jti => $_)), 401, "a kid that nobody knows" for 1 .. 40;
    cmp_ok Storytelling::Edge::served($answer) - $before, '<=', 1, 'costs one fetch in an interval, whoever sends it';
    is $edge->get('/v1/me', bearer(by('two', 'random')))->{headers}{'www-authenticate'},
        'Bearer realm="api", error="invalid_token", error_description="unknown key"', 'and is told so';

    $before = Storytelling::Edge::served($answer);
    $edge->reload;
    is me($edge, by('two', 'k2', jti => 'reload')), 200, 'a reload keeps the keys';
    is Storytelling::Edge::served($answer), $before, 'and fetches nothing';
}
{
    my $edge = edge(workers => 2, http => "api_jwt_jwks $url interval=1s timeout=1s;");
    is me($edge, by('one', 'k1')), 200, 'a set with two keys';
    answers(set(jwk('two', kid => 'k2')));
    ok wait_for(sub { !grep { me($edge, by('one', 'k1')) != 401 } 1 .. 4 }), 'a key that has gone is gone, in caches too';
    is me($edge, by('two', 'k2', jti => $_)), 200, 'the others are there' for 1 .. 4;

    # Whatever comes instead of a set changes nothing.
    my $elsewhere = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 16) or die "listen: $!";
    Storytelling::Edge::serve_file($elsewhere, file('elsewhere', Storytelling::Edge::http_answer(set(jwk('three', kid => 'k3')))));
    my $other = 'http://127.0.0.1:' . $elsewhere->sockport . '/jwks';
    my %bad = (
        'an error' => ['', '500 Internal Server Error'], 'a redirect' => ['', "302 Found\r\nLocation: $other"], 'no JSON' => ['hello'],
        'another JSON' => ['{"keys":{}}'], 'no keys' => [set()], 'keys of no use' => [set({kty => 'x'})],
        'a private key' => [set(jwk('two', kid => 'k2', d => 'AA'))], 'a secret' => [set({kty => 'oct', kid => 'k2', k => encode_base64url('s' x 32)})],
        'too much' => [set(jwk('one', kid => 'k1')) . ' ' x 70000], 'deep nesting' => ['[' x 5000], 'an end too early' => ["HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", 'raw'],
        'no HTTP' => ["hello\r\n\r\n", 'raw'], 'nobody' => ['-', 'raw'], 'silence' => ['', 'raw'],
    );
    for my $what (sort keys %bad) {
        answers(@{$bad{$what}});
        my $before = Storytelling::Edge::served($answer);
        ok wait_for(sub { Storytelling::Edge::served($answer) > $before + 1 }), "$what: it is asked for again";
        is me($edge, by('two', 'k2', jti => $what)), 200, "$what: the last keys go on";
        is me($edge, $_), 401, "$what: and no others" for [hmac('s' x 32)], [by('three', 'k3', jti => $what)];
    }
    answers(set(jwk('one', kid => 'k1')));
    ok wait_for(sub { me($edge, by('one', 'k1')) == 200 }), 'and good ones are taken again';
    like $edge->error_log, qr/no new keys from \Q$url\E, the last known go on: there is no public key that can be used/, 'the log tells why';
    is scalar(() = $edge->error_log =~ /are here again/g), 1, 'and once that it is over';
    answers('', 'raw');
    sleep 1.2;
    ok eval { $edge->stop('QUIT'); 1 }, 'a fetch that hangs does not keep a worker from leaving' or diag $@;
}
{
    # With the server away, after a restart: what the state file has kept.
    Storytelling::Edge::stop_child($server, 'KILL');
    my $edge = edge(http => "api_jwt_jwks $url;", state => $state);
    is me($edge, by('two', 'k2', jti => 'file')), 200, 'a restart without the server knows the keys from the file';
    my $other = edge(http => 'api_jwt_jwks http://127.0.0.1:1/jwks;', state => $state);
    is me($other, by('two', 'k2', jti => 'other')), 401, 'but not for another URL';
    my $secret = edge(http => 'api_jwt_jwks http://reader:hu/s@h@127.0.0.1:1/jwks?key=quiet;');
    ok wait_for(sub { $secret->error_log =~ m{no new keys from http://127\.0\.0\.1:1/jwks, the last} }), 'the log tells which';
    unlike $secret->error_log, qr{hu/s|reader|quiet}, 'without user, password and query';
}
{
    my $path = Storytelling::Edge::dir() . '/run/jwks.sock';
    my $unix = IO::Socket::UNIX->new(Local => $path, Listen => 8) or die "unix: $!";
    chmod 0666, $path;
    answers(set(jwk('one', kid => 'k1'), jwk('rsa', kid => 'r')));
    Storytelling::Edge::serve_file($unix, $answer);
    my $edge = edge(http => "api_jwt_jwks http://unix:$path:/keys alg=ES256;");
    is me($edge, by('one', 'k1')), 200, 'over a unix socket';
    is me($edge, by('rsa', 'r')), 401, 'for one algorithm';
    like Storytelling::Nginx::slurp("$answer.count"), qr{^GET /keys HTTP/1.1$}m, 'the path behind the socket';
}
SKIP: {
    eval { require IO::Socket::SSL; 1 } or skip 'IO::Socket::SSL is not here', 2;
    system("openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -keyout $dir/tls.key -out $dir/tls.crt 2>/dev/null") == 0
        or die 'openssl req';
    my $tls = IO::Socket::SSL->new(LocalAddr => '127.0.0.1', Listen => 8, SSL_cert_file => "$dir/tls.crt", SSL_key_file => "$dir/tls.key") or die "TLS: $!";
    Storytelling::Edge::serve_file($tls, $answer);
    my $https = 'https://127.0.0.1:' . $tls->sockport . '/jwks';
    is me(edge(http => "api_jwt_jwks $https ca=$dir/tls.crt;"), by('one', 'k1')), 200, 'over TLS, with the authority that is named';
    is me(edge(http => "api_jwt_jwks $https;"), by('one', 'k1')), 401, 'and not with one that nobody knows';
}

# --- what nginx -t refuses ---
my $bad = $E->nginx;
sub refused {
    my ($what, $http, $says) = @_;
    $E->configure($bad, keys => [], http => "$http;");
    my ($ok, $output) = $bad->check;
    ok !$ok, "$what is refused";
    like $output, $says, "$what: and why" or diag $output;
}
my $pem = Storytelling::Edge::public_key('identity');
refused('no keys at all', 'api_jwt_leeway 0', qr/contract\.yaml:\d+: listThings needs "api_jwt_key_file", "api_jwt_secret_file" or "api_jwt_jwks"/);
refused('a private key', 'api_jwt_key_file ' . Storytelling::Edge::key('identity'), qr/is a private key/);
refused('a private JWK', 'api_jwt_key_file ' . file('private.json', set(jwk('identity', d => 'AA'))), qr/is a private key/);
refused('a file without keys', "api_jwt_key_file $dir/claims.log", qr/not a PEM key, JWK/);
refused('a set without a key that can be used', 'api_jwt_key_file ' . file('none.json', set({kty => 'x'})), qr/no key can be used: key 1: its kty/);
refused('an algorithm that the key is not for', "api_jwt_key_file $pem RS256", qr/no key can be used: the key is not for RS256/);
refused('an unknown algorithm', "api_jwt_key_file $pem none", qr/knows no such algorithm/);
refused('a short secret', 'api_jwt_secret_file ' . file('short', 'x' x 31), qr/must have 32 to 1024 bytes/);
refused('a weak RSA key', do { `openssl genrsa 1024 2>/dev/null | openssl rsa -pubout -out $dir/weak.pem 2>/dev/null`; "api_jwt_key_file $dir/weak.pem" }, qr/2048 to 8192 bits/);
refused('a URL of another kind', 'api_jwt_jwks file:///etc/passwd', qr/wants a URL of http or https/);
refused('a socket without a path', 'api_jwt_jwks http://unix:/x', qr{wants http://unix:/socket:/path});
refused('an option that is none', "api_jwt_jwks $url every=1s", qr/wants alg=, interval=, timeout= and ca=/);
refused('a fetched secret', "api_jwt_jwks $url alg=HS256", qr/no such algorithm of public keys/);
refused('an interval of nothing', "api_jwt_jwks $url interval=0", qr/interval of a second or more/);
refused('a claim for a variable that is not ours', 'api_jwt_claim $host name', qr/wants \$api_user/);
refused('a realm with a quote', qq{api_jwt_key_file $pem; api_realm 'a"b'}, qr/may not have any/);

for my $edge (@edges) {
    $edge->stop if $edge->{pid};
    is $edge->reports, '', 'the sanitizers have nothing to report';
    unlike $edge->error_log, qr/\[(?:alert|crit|emerg)\]/, 'nothing alarming in the log';
    unlike join("\n", grep { !/\[info\]/ } split /\n/, $edge->error_log), qr/eyJ/, 'no token in the log';
}
done_testing;
