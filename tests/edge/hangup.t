# Clients that hang up, trickle, or never end, over HTTP/1.1 and HTTP/2: nothing is left behind.
use strict;
use warnings;
use Test::More;
use Storytelling::Edge;
use Time::HiRes qw(sleep time);

Storytelling::Edge::echo($_) for qw(echo slow);
my $edge = Storytelling::Edge->nginx;
my $h2   = Storytelling::Port::free_port();
my ($key, $cert) = map { Storytelling::Edge::dir() . "/secrets/tls.$_" } qw(key crt);
system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $key -out $cert -days 2 -subj /CN=localhost 2>/dev/null") == 0
    or die 'openssl';
# A client that has gone while its body was refused is noticed by nginx when its idle connection ends.
Storytelling::Edge->configure($edge, more => "listen 127.0.0.1:$h2 ssl http2; ssl_certificate $cert; ssl_certificate_key $key;
    api_body_timeout 500ms; keepalive_timeout 1s;");
$edge->start or die $edge->error_log;
my ($token, $other) = map { bearer(roles => ['admin'], sub => $_) } qw(one other);    # each with a limit of their own

# --- every prefix of a request, then silence or a closed connection ---
srand 42;
my $long = '{"title":"' . 'x' x 60 . '","tags":["' . 'y' x 20000 . '"]}';
my @requests = (
    "GET /v1/things?limit=5 HTTP/1.1\r\nHost: a\r\n$token\r\nX-Api-User: x\r\n\r\n",
    "POST /v1/free HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"title\":\"a\"}",
    "POST /v1/free HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nd\r\n{\"title\":\"a\"}\r\n0\r\n\r\n",
    "POST /v1/things HTTP/1.1\r\nHost: a\r\n$token\r\nContent-Type: application/json\r\nContent-Length: @{[length $long]}\r\n\r\n$long",
    "POST /v1/things HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n" . 'x' x 4000,
    "GET /v1/slow HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /v1/dead HTTP/1.1\r\nHost: a\r\n\r\n",
);
my @open;
for my $n (1 .. 300) {
    my $request = $requests[$n % @requests];
    my $socket  = $edge->connect or next;
    $edge->send_bytes($socket, substr $request, 0, 1 + int rand length $request);
    if ($n % 3) {
        close $socket;
    } else {
        push @open, $socket;
        shift @open if @open > 20;
    }
}
@open = ();

# --- the same over HTTP/2 ---
Storytelling::Edge::write_file(Storytelling::Edge::dir() . '/tmp/body.json', $long);
sub curl {
    my (@args) = @_;
    my $status = '';
    open my $in, '-|', 'curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', '-k', @args or die;
    { local $/; $status = <$in> // '' }
    close $in;
    return $status;
}
my $url  = "https://127.0.0.1:$h2";
my @post = ('-H', 'Content-Type: application/json', '-H', $other, '--data-binary', '@' . Storytelling::Edge::dir() . '/tmp/body.json');
is curl("$url/v1/free"), 200, 'HTTP/2 works';
is curl("$url/v1/things", @post), 200, 'with a body';
is curl("$url/v1//free"), 400, 'a path that is not canonical';
is curl("$url/v1/free", '-H', 'X-Api-User: root'), 200, 'with a header that is stripped';
is curl("$url/v1/me"), 401, 'without a token';
like curl("$url/v1/things", @post, '--limit-rate', '2k', '--max-time', 60), qr/^(?:000|408)$/, 'a body that trickles is cut off';
isnt $? >> 8, 28, 'by the edge, not because curl ran out of time';
for my $ms (1 .. 15) {
    curl("$url/v1/things", @post, '--limit-rate', '20k', '--max-time', 0.01 * $ms);
    curl("$url/v1/slow", '--max-time', 0.02 * $ms);
}

# --- afterwards ---
is $edge->get('/v1/things', $token)->{status}, 200, 'the edge still answers';
ok wait_for(sub { ($edge->get('/metrics')->{body} =~ /edge_connections\{state="active"\} (\d+)/)[0] == 1 }), 'every connection is gone';
unlike $edge->error_log, qr/exited on signal|\[(?:alert|emerg)\]/, 'no worker has died';
$edge->stop('QUIT');
unlike $edge->error_log, qr/open socket|\[alert\]/, 'nothing is left open';
is $edge->reports, '', 'the sanitizers have nothing to report';
done_testing;
