# nginx.conf.d as it runs, with the real contracts: TLS, HTTP/2, headers, the access log, what is around the API.
use strict;
use warnings;
use Test::More;
use Digest::SHA qw(sha256_hex);
use Storytelling::Browser;
use Storytelling::Edge;
use Storytelling::S3;
use File::Temp ();
use IO::Socket::SSL;
use Time::HiRes qw(sleep time);

my $root = Storytelling::Edge::root();
my $var  = File::Temp::tempdir('edge-var-XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $var;
mkdir "$var/$_" for qw(log nginx run secrets objects prefix);
symlink "$root/config", "$var/prefix/config";
Storytelling::Edge::write_file("$var/objects/voice.mp3", 'ID3 sound');

# --- the instance, as the launcher makes it ---
Storytelling::Edge::secret();
Storytelling::Edge::public_key('identity');
for ('edge.key', 'identity.pub.pem') {
    Storytelling::Edge::write_file("$var/secrets/$_", Storytelling::Nginx::slurp(Storytelling::Edge::dir() . "/secrets/$_"));
}
system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $var/secrets/tls.key "
        . "-out $var/secrets/tls.crt -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>/dev/null") == 0 or die;
my $edge = Storytelling::Nginx->new(dir => $var, conf => "$var/nginx/conf/nginx.conf");
my $user = $> == 0 ? 'user root;' : '';
mkdir "$var/nginx/conf";
for my $file (glob "$root/nginx.conf.d/*.conf") {
    my %value = (VAR => $var, ROOT => "$var/prefix", UI => Storytelling::Edge::ui(), PORT => $edge->{port}, RESOLVER => '127.0.0.53', MODULE => Storytelling::Edge::module(), USER_DIRECTIVE => $user);
    my $text = Storytelling::Nginx::slurp($file) =~ s{@(VAR|ROOT|UI|PORT|RESOLVER|MODULE|USER_DIRECTIVE)@}{$value{$1}}gr;
    unlike $text, qr/^[^#]*\@[A-Z_]+\@/m, "$file: no mark is left";
    $text =~ s/^(error_log .*) warn;/$1 info;/m;
    Storytelling::Edge::write_file("$var/nginx/conf/" . ($file =~ s{.*/}{}r), $text);
}
my ($ok, $output) = $edge->check;
ok $ok, 'nginx -t accepts the configuration and the contracts of the platform' or BAIL_OUT($output);
unlike $output, qr/\[(?:warn|alert|crit)\]/, 'without a warning';

# --- what runs behind it ---
my $dir = Storytelling::Edge::dir();
symlink "$dir/run/$_.sock", "$var/run/$_.sock" for qw(identity story redis);
Storytelling::Edge::echo($_) for qw(identity story);
my $redis = Storytelling::Edge::start_redis();
Storytelling::Edge::redis('SET', 'st:edge:roles', '{"version":1,"roles":{"author":["*:*"]}}');
$edge->start or BAIL_OUT($edge->error_log);

my $base = "https://localhost:$edge->{port}";
sub curl {
    my ($path, @more) = @_;
    open my $in, '-|', 'curl', '-s', '-i', '--max-time', 5, '--cacert', "$var/secrets/tls.crt", @more, "$base$path" or die;
    local $/;
    my $text = <$in> // '';
    my ($head, $body) = split /\r\n\r\n/, $text, 2;
    my %r = (head => $head // '', body => $body // '');
    @r{qw(protocol status)} = ($head // '') =~ /\A(\S+) (\d+)/;
    return \%r;
}

# --- TLS ---
my $r = curl('/v1/auth/login', '-d', '{"email":"a@example.org","password":"correct horse"}', '-H', 'Content-Type: application/json');
is $r->{status}, 200, 'a login reaches identity' or diag $r->{head}, $r->{body};
is $r->{protocol}, 'HTTP/2', 'over HTTP/2';
is json($r->{body})->{headers}{'x-api-operation'}, 'login', 'as the operation of the contract';
is curl('/v1/auth/login', '--http1.1', '-X', 'OPTIONS')->{protocol}, 'HTTP/1.1', 'HTTP/1.1 is there for who wants it';
for my $version (qw(SSLv3 TLSv1 TLSv1_1 TLSv1_2 TLSv1_3)) {
    my $socket = IO::Socket::SSL->new(PeerAddr => "127.0.0.1:$edge->{port}", SSL_verify_mode => 0, SSL_version => $version,
        SSL_cipher_list => 'ALL:@SECLEVEL=0');
    is !!$socket, $version =~ /_[23]$/, "$version is " . ($version =~ /_[23]$/ ? 'spoken' : 'refused');
}
$r = $edge->get('/v1/me');
is $r->{status}, 400, 'plain HTTP on the port is refused';
is json($r->{body})->{status}, 400, 'by a problem';

# --- headers ---
my @secure = ('strict-transport-security: max-age=\d+', 'x-content-type-options: nosniff', 'x-frame-options: DENY', 'referrer-policy: no-referrer',
    'content-security-policy: .*', 'x-correlation-id: [0-9a-f-]{36}');
for my $path ('/v1/auth/nothing', '/v1/me', '/health', '/docs/', '/docs/nothing.js', '/openapi.json') {
    $r = curl($path);
    for my $header (@secure) {
        like $r->{head}, qr/^$header\r?$/mi, "$path has $header";
    }
    unlike $r->{head}, qr/^server: nginx\//mi, "$path does not tell the version";
    if ($r->{status} >= 400 && $path ne '/health') {
        like $r->{head}, qr/^content-type: application\/problem\+json/mi, "$path is a problem";
        is json($r->{body})->{status}, $r->{status}, 'with its status';
    }
}

# --- around the API ---
is curl('/docs')->{status}, 308, '/docs leads to /docs/';
my $docs = curl('/docs/');
like $docs->{body}, qr/<title>Storytelling API/, 'which is a page';
my @assets = $docs->{body} =~ /(?:src|href)="([^"]+\.(?:js|css))"/g;
is scalar @assets, 4, 'of two scripts and two styles';
SKIP: {
    skip "npm's registry was not there when the renderer of /docs was to be fetched", 2 * @assets + 3 if !-e "$root/build/ui/docs/swagger-ui.css";
    for (@assets) {
        my $asset = curl($_);
        is $asset->{status}, 200, "$_ is served here";
        like $asset->{head}, qr{^content-type: text/(?:javascript|css); charset=utf-8\r?$}mi, "$_ has its type";
    }
    my $missing = Storytelling::Browser::missing();
    skip $missing, 3 if $missing;
    ok index(Storytelling::Browser::dom("$base/docs/"), 'data-path="/v1/auth/login"') > 0, 'a browser shows the operations';
    ok Storytelling::Browser::shot("$base/docs/", 1280, ($ENV{SHOTS} // $var) . '/docs.png'), 'and draws them';
    unlike Storytelling::Browser::complaints(), qr/Content Security Policy|Refused to/, 'under the policy';
}
unlike $docs->{body}, qr{<script(?![^>]*src=)|<style|\son\w+=|https?://}, 'nothing stands inline, nothing is elsewhere';
like $docs->{head}, qr{^content-security-policy: default-src 'self'; img-src 'self' data:;(?!.*unsafe)}mi, 'and the policy would not let it';
is curl('/docs/../../secrets/edge.key', '--path-as-is')->{status}, 400, 'and no way out of its folder';
is curl('/docs/%2e%2e/%2e%2e/secrets/edge.key', '--path-as-is')->{status}, 400, 'in no spelling';
is json(curl('/openapi.json')->{body})->{paths}{'/v1/auth/login'}{post}{operationId}, 'login', '/openapi.json has all contracts';
is json(curl('/openapi.json')->{body})->{info}{title}, 'Storytelling API', 'under one title';
like curl('/openapi.json', '--compressed')->{head}, qr/^content-encoding: gzip/mi, 'compressed for who asks';
like curl('/metrics')->{body}, qr/api_edge_requests_total\{operation="login",status="200"\} 1/, '/metrics for this machine';
is curl('/metrics/story')->{status}, 200, "the daemon's own";
is curl('/metrics/nothing')->{status}, 503, 'one that is not there';
is curl('/metrics/..')->{status}, 404, 'and no other place';
is curl('/_objects/voice.mp3')->{status}, 404, 'stored files are reached through a service only';
is curl('/v1/stories', '-H', bearer())->{status}, 200, 'a token, a role, a service' for 1 .. 2;
is curl('/v1/narrations/01890000-0000-7000-8000-000000000000/audio', '-H', bearer())->{status}, 503, 'a service that is not there: 503';

# --- objects in S3: the service signs an address, the edge fetches it ---
{
    my $pid = open my $said, '-|', $^X, "-I$root/tests/lib", '-MStorytelling::S3', '-e', 'Storytelling::S3::main', "$dir/tmp" or die;
    chomp(my $port = <$said>);
    my $film = join '', map { chr(33 + $_ % 90) } 0 .. 99_999;
    Storytelling::Edge::write_file("$dir/tmp/film", $film);
    system('curl', '-sf', '--max-time', 30, '--aws-sigv4', 'aws:amz:' . Storytelling::S3::REGION . ':s3', '--user',
        Storytelling::S3::KEY_ID . ':' . Storytelling::S3::SECRET, '-H', 'x-amz-content-sha256: ' . sha256_hex($film), '-H',
        'x-amz-meta-sha256: ' . sha256_hex($film), '-T', "$dir/tmp/film", "http://127.0.0.1:$port/stories/video/1/video.mp4") == 0 or die 'curl';
    my $url = Storytelling::S3::presign($port, 'video/1/video.mp4', 'response-content-type' => 'video/mp4');
    Storytelling::Edge::serve('video', sub {
        my ($socket, $buffer) = @_;
        $$buffer =~ s/\A(.*?)\r\n\r\n//s;
        my $to = $1 =~ /000000000001/ ? $url : $1 =~ /000000000002/ ? $url =~ s/Signature=./Signature=-/r : 'http://127.0.0.1:1/x';
        print $socket "HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nX-Accel-Redirect: /_remote\r\nX-Object-Url: $to\r\nContent-Length: 0\r\n\r\n";
        $socket->flush;
    });
    symlink "$dir/run/video.sock", "$var/run/video.sock";
    my $file = '/v1/videos/01890000-0000-7000-8000-00000000000';
    $r = curl("${file}1/file", '-H', bearer());
    is $r->{status}, 200, 'an object comes from S3 through the edge' or diag $edge->error_log;
    is $r->{body}, $film, 'whole';
    like $r->{head}, qr{^content-type: video/mp4\r?$}mi, 'with its type';
    like $r->{head}, qr{^content-security-policy:}mi, 'and the headers of the edge';
    unlike $r->{head}, qr{^(?:x-amz|x-object)}mi, 'and none of the bucket';
    $r = curl("${file}1/file", '-H', bearer(), '-H', 'Range: bytes=5-14');
    is $r->{status}, 206, 'a part of it';
    is $r->{body}, substr($film, 5, 10), 'as S3 cuts it';
    like $r->{head}, qr{^content-range: bytes 5-14/100000\r?$}mi, 'and says so';
    is curl("${file}1/file", '-H', bearer(), '-H', 'Range: bytes=200000-')->{status}, 416, 'no such part: 416';
    is curl("${file}1/file", '-I', '-H', bearer())->{status}, 200, 'HEAD';
    $r = curl("${file}2/file", '-H', bearer());
    is $r->{status}, 503, 'what S3 refuses is our failure';
    is json($r->{body})->{code}, 'unavailable', 'said as a problem';
    is curl("${file}3/file", '-H', bearer())->{status}, 503, 'S3 is away';
    is curl('/_remote')->{status}, 404, 'and nobody gets there from outside';
    kill 'KILL', $pid;
    close $said;
}

# --- bodies ---
my $big = Storytelling::Edge::write_file("$var/big.json", '{"title":"T","content":"' . 'x' x 1_000_000 . '"}');
is curl('/v1/stories', '-H', bearer(), '-H', 'Content-Type: application/json', '--data-binary', "\@$big")->{status}, 200, 'a story of 1 MB, over HTTP/2';
is curl('/v1/stories', '-H', bearer(), '-H', 'Content-Type: application/json', '--http1.1', '-H', 'Transfer-Encoding: chunked', '--data-binary', "\@$big")
    ->{status}, 200, 'and in chunks';
Storytelling::Edge::write_file($big, '{"title":"T","content":"' . 'x' x 3_000_000 . '"}');
$r = curl('/v1/stories', '-H', bearer(), '-H', 'Content-Type: application/json', '--data-binary', "\@$big");
is $r->{status}, 413, 'one of 3 MB is too large';
is json($r->{body})->{code}, 'too_large', 'a problem says so';

# --- the log ---
# (Each worker writes its lines when it has many, or after a while.)
for my $part ('"operation":"login"', '"userId":"user-1".*"operation":"listStories"', '"status":413') {
    wait_for(sub { Storytelling::Nginx::slurp("$var/log/edge.access.log") =~ /$part/ });
}
my @all = map { json($_) // "broken: $_" } split /\n/, Storytelling::Nginx::slurp("$var/log/edge.access.log");
is_deeply [grep { !ref } @all], [], 'every line of the access log is JSON';
my ($login) = grep { $_->{metadata}{operation} eq 'login' && $_->{metadata}{method} eq 'POST' } @all;
like $login->{timestamp}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'timestamp';
is $login->{service}, 'edge', 'service';
is $login->{level}, 'info', 'level';
is $login->{metadata}{uri}, '/v1/auth/login', 'uri';
is $login->{metadata}{status}, 200, 'status';
is $login->{metadata}{upstream}, 'identity', 'upstream';
ok $login->{metadata}{durationMs} >= 0, 'duration';
my ($listed) = grep { $_->{metadata}{operation} eq 'listStories' && $_->{userId} } @all;
is $listed->{userId}, 'user-1', 'userId';
is $listed->{metadata}{scheme}, 'bearer', 'and by what';
my ($large) = grep { $_->{metadata}{status} == 413 } @all;
is_deeply [@$large{qw(level)}, @{$large->{metadata}}{qw(method uri)}], ['warning', 'POST', '/v1/stories'], 'an error keeps its method and path';
curl('/v1/nothing?token=secret-in-the-query');
wait_for(sub { Storytelling::Nginx::slurp("$var/log/edge.access.log") =~ m{/v1/nothing} });
unlike Storytelling::Nginx::slurp("$var/log/edge.access.log"), qr/secret-in-the-query|eyJ/, 'no query and no token in it';

is curl('/v1/me', '-H', 'X-Large: ' . 'x' x 70000, '--http1.1')->{status}, 431, 'a header beyond all bounds';

$edge->stop('QUIT');
is $edge->reports, '', 'the sanitizers have nothing to report';
unlike join("\n", grep { !/connect\(\) to unix:.*narration\.sock failed/ } split /\n/, Storytelling::Nginx::slurp("$var/log/nginx.error.log")),
    qr/\[(?:alert|crit|emerg)\]/, 'nothing alarming in the log';
done_testing;
