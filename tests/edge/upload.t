# Bodies that are streamed: checked while they pass, too large for memory, refused in the middle.
use strict;
use warnings;
use Test::More;
use Digest::SHA qw(sha1_hex);
use IO::Select;
use IO::Socket::UNIX;
use Storytelling::Edge;
use Time::HiRes qw(sleep);

my $E   = 'Storytelling::Edge';
my $dir = Storytelling::Edge::dir();
my $contract = Storytelling::Edge::write_file("$dir/contracts/upload.yaml", <<'YAML');
openapi: 3.1.0
info: {title: Uploads, version: 1.0.0}
x-service: echo
security: []
paths:
  /v1/voices:
    post:
      operationId: postVoice
      x-body-max: 200m
      requestBody:
        required: true
        content:
          application/json: {x-body-max: 1k, schema: {type: object, required: [title]}}
          audio/*: {}
          audio/wav: {x-body-max: 2m}
          multipart/form-data:
            encoding: {audio: {contentType: audio/mpeg}}
            schema:
              type: object
              required: [title, audio]
              additionalProperties: false
              properties:
                title: {type: string, minLength: 1}
                audio: {type: string, maxLength: 150000000}
      responses: {'201': {description: Kept.}}
  /v1/after:
    get: {operationId: getAfter, security: [], responses: {'200': {description: The next request.}}}
YAML

# --- a service that tells what has come, and notes when a body began, and when it stopped before its end ---
my $journal = "$dir/tmp/journal";
sub note_of { open my $out, '>>', $journal; print $out "$_[0]\n" }
sub journal { return Storytelling::Nginx::slurp($journal) }
sub fresh   { unlink $journal }

sub serve {
    my ($socket) = @_;
    my $buffer = '';
    while (1) {
        while ($buffer !~ /\r\n\r\n/) { sysread($socket, $buffer, 65536, length $buffer) or return }
        $buffer =~ s/\A(.*?)\r\n\r\n//s;
        my $head = $1;
        my ($length) = $head =~ /^content-length: (\d+)/mi;
        my $sha = Digest::SHA->new(1);
        my $got = 0;
        note_of('begins');
        if ($head =~ /^transfer-encoding: chunked/mi) {
            while (1) {
                if ($buffer =~ /\A([0-9a-f]+)\r\n/i && length($buffer) >= $+[0] + hex($1) + 2) {
                    my ($from, $size) = ($+[0], hex $1);
                    $sha->add(substr $buffer, $from, $size);
                    $got += $size;
                    $buffer = substr $buffer, $from + $size + 2;
                    last if !$size;
                } else {
                    sysread($socket, $buffer, 65536, length $buffer) or return note_of('cut off');
                }
            }
        } elsif ($length) {
            while (1) {
                my $take = $length - $got < length $buffer ? $length - $got : length $buffer;
                $sha->add(substr $buffer, 0, $take, '');
                $got += $take;
                last if $got == $length;
                sysread($socket, $buffer, 65536, length $buffer) or return note_of('cut off');
            }
        }
        my $text = $sha->hexdigest . " $got";
        syswrite $socket, "HTTP/1.1 200 OK\r\nContent-Length: " . length($text) . "\r\n\r\n$text";
    }
}
my $listen = IO::Socket::UNIX->new(Local => "$dir/run/echo.sock", Listen => 64) or die;
chmod 0666, "$dir/run/echo.sock";
Storytelling::Edge::start_child(sub {
    $SIG{CHLD} = 'IGNORE';
    while (my $socket = $listen->accept) {
        defined(my $pid = fork) or die;
        next if $pid;
        serve($socket);
        POSIX::_exit(0);
    }
});

my $edge = $E->nginx(contract => $contract);
my $h2   = Storytelling::Port::free_port();
my ($key, $cert) = map { "$dir/secrets/tls.$_" } qw(key crt);
system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $key -out $cert -days 2 -subj /CN=localhost 2>/dev/null") == 0
    or die 'openssl';

sub configure {
    my ($buffering, $more) = @_;
    my $server = Storytelling::Edge::server_config();
    $server =~ s/400 403/400 403 408 422/;
    $server =~ s/api on;/api on; client_max_body_size 200m;/;
    $server =~ s/client_max_body_size 256k;/proxy_request_buffering $buffering;/;
    $E->configure($edge, contract => $contract, server => $server,
        more => "listen 127.0.0.1:$h2 ssl http2; ssl_certificate $cert; ssl_certificate_key $key; lingering_timeout 200ms; " . ($more // ''));
}

sub part { my ($name, $value, $type) = @_; return "--b\r\nContent-Disposition: form-data; name=\"$name\"" . ($type ? "\r\nContent-Type: $type" : '') . "\r\n\r\n$value\r\n" }
my $END   = "--b--\r\n";
my $AUDIO = join '', map { chr($_ * 7 % 256) } 1 .. 100_000;
my $good  = part('title', 'Hello') . part('audio', $AUDIO, 'audio/mpeg') . $END;

sub post {
    my ($body, $type) = @_;
    return $edge->request('POST', '/v1/voices', $body, "Content-Type: " . ($type // 'multipart/form-data; boundary=b'));
}
sub chunks { my ($body, $size) = @_; return join '', map { sprintf("%x\r\n%s\r\n", length $_, $_) } unpack "(a$size)*", $body }
sub head {
    my ($type, @more) = @_;
    return join "\r\n", 'POST /v1/voices HTTP/1.1', 'Host: a', "Content-Type: $type", @more, '', '';
}
my $TYPE = 'multipart/form-data; boundary=b';

for my $buffering (qw(off on)) {
    configure($buffering);
    $edge->start or die $edge->error_log;
    my $how = "buffering $buffering:";

    my $r = post($good);
    is "$r->{status} $r->{body}", '200 ' . sha1_hex($good) . ' ' . length $good, "$how a good upload arrives as it was sent";
    $r = $edge->exchange(head($TYPE, 'Transfer-Encoding: chunked') . chunks($good, 3000) . "0\r\n\r\n", 'POST');
    is "$r->{status} $r->{body}", '200 ' . sha1_hex($good) . ' ' . length $good, "$how in chunks, too";
    my ($first, $second) = $edge->exchange(head($TYPE, 'Content-Length: ' . length $good) . $good . "GET /v1/after HTTP/1.1\r\nHost: a\r\n\r\n", 'POST', 'GET');
    is "$first->{status} $second->{status}", '200 200', "$how and the connection goes on";
    $r = post($AUDIO, 'audio/ogg');
    is "$r->{status} $r->{body}", '200 ' . sha1_hex($AUDIO) . ' 100000', "$how raw bytes";
    is post('{"title":"a"}', 'application/json')->{status}, 200, "$how JSON by the side of it";
    is post('{}', 'application/json')->{status}, 422, "$how which is checked as ever";
    is post('{"title":"' . 'x' x 2000 . '"}', 'application/json')->{status}, 413, "$how and has a limit of its own";

    for my $case (
        ['a part that nobody knows', 422, '/extra', part('title', 'a') . part('extra', 'x' x 50000) . part('audio', $AUDIO, 'audio/mpeg') . $END],
        ['a part of another type', 422, '/audio', part('title', 'a') . part('audio', $AUDIO, 'text/html') . $END],
        ['a value that the schema refuses', 422, '/title', part('title', '') . part('audio', $AUDIO, 'audio/mpeg') . $END],
        ['a part that is missing', 422, '/title', part('audio', $AUDIO, 'audio/mpeg') . $END],
        ['no end', 400, '', part('title', 'a') . part('audio', $AUDIO, 'audio/mpeg')],
        ['something before the beginning', 400, '', 'x' . $good],
        ['something behind the end', 400, '', $good . 'x' x 30000],
    ) {
        my ($what, $status, $pointer, $body) = @$case;
        for my $length ('Content-Length: ' . length $body, 'Transfer-Encoding: chunked') {
            fresh();
            my $sent = $length =~ /chunked/ ? chunks($body, 5000) . "0\r\n\r\n" : $body;
            my @r = $edge->exchange(head($TYPE, $length) . $sent . "GET /v1/after HTTP/1.1\r\nHost: a\r\n\r\n", 'POST', 'GET');
            is $r[0]{status}, $status, "$how $what, $length";
            my $problem = json($r[0]{body}) // {};
            is $problem->{errors}[0]{pointer}, $pointer, 'is a problem with its place' or diag $r[0]{body};
            is $r[0]{headers}{'content-type'}, 'application/problem+json', 'in the usual shape';
            is $r[1]{status}, 0, 'and what was left of it is no request';
            ok wait_for(sub { journal() !~ /begins/ || journal() =~ /cut off/ }), 'the service has not seen its end' or diag journal();
            unlike journal(), qr/begins/, 'nor its beginning' if $buffering eq 'on';
        }
    }

    is post($good, 'multipart/form-data')->{status}, 415, "$how no boundary";
    is post($good, 'text/plain')->{status}, 415, "$how another type";
    like post($good, 'text/plain')->{body}, qr/Send application\/json or audio\/\* or audio\/wav or multipart\/form-data/, 'tells what to send';
    is $edge->exchange(head('audio/ogg', 'Content-Length: 3', 'Content-Encoding: gzip') . 'abc', 'POST')->{status}, 415, "$how a compressed body";
    is $edge->exchange(head('audio/ogg', 'Content-Length: 300000000', 'Connection: close'), 'POST')->{status}, 413, "$how larger than the operation takes";

    my $file = "$dir/tmp/voice";
    Storytelling::Edge::write_file($file, $AUDIO);
    my @curl = ('curl', '-sk', '-w', ' %{http_code}', "https://127.0.0.1:$h2/v1/voices", '-F', "audio=\@$file;type=audio/mpeg");
    my $run = sub { open my $in, '-|', @curl, @_ or die; local $/; return <$in> // '' };
    like $run->('-F', 'title=Hello'), qr/^[0-9a-f]{40} \d+ 200$/, "$how over HTTP/2";
    like $run->('-F', 'title='), qr/"pointer":"\/title".* 422$/s, "$how a bad one over HTTP/2";
    like $run->('-F', 'title=a', '-F', 'more=x'), qr/"pointer":"\/more".* 422$/s, "$how and another";
    unlike $edge->error_log, qr/\[(?:alert|crit|emerg)\]/, "$how nothing went wrong on the way";
    $edge->stop;
}

# --- it is a stream: the service has the beginning before the client has sent the end; memory stays as it is ---
configure('off');
$edge->start or die $edge->error_log;
{
    fresh();
    my $socket = $edge->connect;
    $edge->send_bytes($socket, head($TYPE, 'Content-Length: ' . length $good) . substr($good, 0, 50000));
    ok wait_for(sub { journal() =~ /begins/ }), 'the service has the beginning of a body that has not ended';
    $edge->send_bytes($socket, substr $good, 50000);
    my $buffer = '';
    is $edge->read_response($socket, \$buffer, 'POST')->{status}, 200, 'and gets the rest';
}
{
    my $worker = ($edge->error_log =~ /start worker process (\d+)/g)[-1];
    my $peak = sub { Storytelling::Nginx::slurp("/proc/$worker/status") =~ /VmHWM:\s+(\d+) kB/ ? $1 : die };
    my $before = $peak->();
    my $piece = 'x' x 1_000_000;
    my $all = 120;
    my $start = part('title', 'Large') . "--b\r\nContent-Disposition: form-data; name=\"audio\"\r\nContent-Type: audio/mpeg\r\n\r\n";
    my $end = "\r\n$END";
    my $socket = $edge->connect;
    $edge->send_bytes($socket, head($TYPE, 'Content-Length: ' . (length($start) + $all * length($piece) + length $end)) . $start);
    $edge->send_bytes($socket, $piece) for 1 .. $all;
    $edge->send_bytes($socket, $end);
    my $buffer = '';
    local $edge->{timeout} = 30;
    is $edge->read_response($socket, \$buffer, 'POST')->{status}, 200, '120 MB pass';
    cmp_ok $peak->() - $before, '<', 8192, 'through less than 8 MB of memory' if !$ENV{ASAN};
}
{
    my $r = $edge->exchange(head('audio/wav', 'Transfer-Encoding: chunked', 'Connection: close') . chunks('x' x 3_000_000, 100_000), 'POST');
    is $r->{status}, 413, 'more than the operation takes, without an announcement';
}
$edge->stop;

# --- who does not send is not waited for ---
configure('off', 'api_body_timeout 300ms;');
$edge->start or die $edge->error_log;
{
    fresh();
    my $socket = $edge->connect;
    $edge->send_bytes($socket, head($TYPE, 'Content-Length: ' . length $good) . substr($good, 0, 50000));
    my $buffer = '';
    is $edge->read_response($socket, \$buffer, 'POST')->{error}, 'closed', 'a body that stops';
    like $edge->error_log, qr/the body took too long to arrive/, 'has a deadline';
    ok wait_for(sub { journal() =~ /cut off/ }), 'and the service is told';
}
for my $n (1 .. 100) { # clients that hang up anywhere
    my $socket = $edge->connect;
    my $all = head($TYPE, 'Content-Length: ' . length $good) . $good;
    $edge->send_bytes($socket, substr $all, 0, 1 + $n * int(length($all) / 101));
    close $socket;
}
is post($good)->{status}, 200, 'clients that hang up leave the others alone';
unlike $edge->error_log, qr/\[(?:alert|crit|emerg)\]/, 'nothing went wrong on the way';
$edge->stop;

# --- nginx -t ---
$E->configure($edge, contract => $contract, server => 'api on; client_max_body_size 200m; location / { proxy_pass http://$api_service; }');
my ($ok, $output) = $edge->check;
ok !$ok, 'streamed bodies need a page for what they are refused with';
like $output, qr/"error_page 400" is needed.*postVoice, .*upload\.yaml:\d+/, 'which nginx -t asks for';
$E->configure($edge, contract => $contract, server => 'api on; client_max_body_size 100m; location / { proxy_pass http://$api_service; }');
($ok, $output) = $edge->check;
like $output, qr/"client_max_body_size" is less than the 209715200 bytes of postVoice/, 'and for room';

is $edge->reports, '', 'the sanitizers have nothing to report';
done_testing;
