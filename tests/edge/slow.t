# Clients that take their time on purpose: to send a request, and to read the answer (HTTP/1.1 and HTTP/2).
use strict;
use warnings;
use Test::More;
use Storytelling::Edge;
use Time::HiRes qw(sleep);

my $E = 'Storytelling::Edge';
$SIG{PIPE} = 'IGNORE';
Storytelling::Edge::echo('echo');
my $edge = $E->nginx;
$E->configure($edge, server => "listen unix:$edge->{dir}/h2.sock http2; client_header_timeout 400ms; client_body_timeout 400ms; send_timeout 2s; keepalive_timeout 400ms;"
        . Storytelling::Edge::server_config());
$edge->start or die $edge->error_log;

sub active { return ($edge->get('/metrics')->{body} =~ /^api_edge_connections\{state="active"\} (\d+)$/m)[0] }
sub all_gone { my ($what) = @_; ok wait_for(sub { active() == 1 }), $what }

# --- sending ---
my @clients = map { my $s = $edge->connect; print $s "GET /v1/free HTTP/1.1\r\n"; $s } 1 .. 20;
for my $i (1 .. 5) { print $_ "X-$i: y\r\n" for @clients; sleep 0.15 }    # a byte now and then does not help
all_gone('headers that trickle are cut off');
@clients = map { my $s = $edge->connect; print $s "POST /v1/free HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"; $s } 1 .. 20;
all_gone('bodies that stop are cut off');

# --- HTTP/2: a client that opens streams and lets nothing come ---
sub frame { my ($type, $flags, $stream, $payload) = @_; return substr(pack('N', length $payload), 1) . pack('CCN', $type, $flags, $stream) . $payload }
sub text  { my ($s) = @_; return chr(length $s) . $s }
sub h2 {
    my ($window) = @_;
    my $s = IO::Socket::UNIX->new(Peer => "$edge->{dir}/h2.sock") or die "h2: $!";
    my $request = "\x82\x86\x01" . text('a') . "\x04" . text('/openapi.json');
    print $s "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", frame(4, 0, 0, pack('nN', 4, $window)), map { frame(1, 5, $_, $request) } map { 2 * $_ - 1 } 1 .. 4;
    $s->flush;
    return $s;
}
my $reader = h2(65535);
my $got = '';
ok wait_for(sub { sysread $reader, $got, 65536, length $got; $got =~ /openapi/ }), 'a client that reads gets its answer';
close $reader;
@clients = map { h2(0) } 1 .. 10;
ok wait_for(sub { active() >= 10 }), 'ten that do not are there';
all_gone('and are cut off');
is $edge->get('/v1/free')->{status}, 200, 'the edge still answers';
$edge->stop('QUIT');
is $edge->reports, '', 'the sanitizers have nothing to report';
unlike $edge->error_log, qr/open socket|\[alert\]/, 'nothing is left open';
done_testing;
