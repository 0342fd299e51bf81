# Reloads, killed workers and load: no request fails, and what was counted and remembered stays.
use strict;
use warnings;
use Test::More;
use Storytelling::Edge;
use Time::HiRes qw(sleep time);

my $E = 'Storytelling::Edge';
Storytelling::Edge::echo('echo');
my $edge = $E->nginx(workers => 2);
$edge->start or die $edge->error_log;

sub counted { my ($n) = @_; return wait_for(sub { $edge->get('/metrics')->{body} =~ /requests_total\{operation="createThing",status="200"\} $n\n/ }) }

# --- limits and counters live through a reload, and through the death of a worker ---
my $body = '{"title":"a"}';
is $edge->post('/v1/things', $body, bearer())->{status}, 200, "request $_ of 10" for 1 .. 6;
$edge->reload;
is $edge->post('/v1/things', $body, bearer())->{status}, 200, "request $_ of 10" for 7 .. 8;
ok counted(8), 'eight have been counted';
my @workers = $edge->error_log =~ /start worker process (\d+)/g;
kill KILL => $_ for @workers[-2, -1];
ok wait_for(sub { (() = $edge->error_log =~ /start worker process \d/g) == @workers + 2 }), 'killed workers are replaced';
is $edge->post('/v1/things', $body, bearer())->{status}, 200, "request $_ of 10" for 9 .. 10;
is $edge->post('/v1/things', $body, bearer())->{status}, 429, 'the next one is one too many';
ok counted(10), 'all ten were counted';

# --- a contract that changes ---
my $contract = Storytelling::Nginx::slurp(Storytelling::Edge::contract());
my $other = Storytelling::Edge::write_file(Storytelling::Edge::dir() . '/contracts/other.yaml',
    $contract =~ s/operationId: me\n/operationId: me\n      security: [{bearer: ['a:first']}]\n/r =~ s{/v1/old:}{/v1/new:}r);
is $edge->get('/v1/me', bearer())->{status}, 200, 'before';
$E->configure($edge, workers => 2, contract => $other);
$edge->reload;
is $edge->get('/v1/me', bearer())->{status}, 403, 'permissions are numbered anew, for tokens in the cache too';
is $edge->get('/v1/things', bearer())->{status}, 200, 'and the others are still right';
is $edge->get('/v1/new')->{status}, 200, 'a new path';
is $edge->get('/v1/old')->{status}, 404, 'an old one';
$E->configure($edge, workers => 2);
$edge->reload;

# --- load: four clients with kept connections, while the configuration is read again and again ---
my @pipes;
for my $client (1 .. 4) {
    pipe my $read, my $write or die "pipe: $!";
    defined(my $pid = fork) or die "fork: $!";
    if (!$pid) {
        close $read;
        my ($good, $bad, $dropped, $until) = (0, '', 0, time + 3);
        my $token = bearer(sub => "load$client");
        my ($socket, $buffer) = ($edge->connect, '');
        while (time < $until) {
            my ($method, $what) = $good % 2 ? ('POST', "POST /v1/free HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n$body")
                : ('GET', "GET /v1/things HTTP/1.1\r\nHost: a\r\n$token\r\n\r\n");
            $edge->send_bytes($socket, $what);
            my $r = $edge->read_response($socket, \$buffer, $method);
            if ($r->{status} == 200) {
                $good++;
            } elsif (!$r->{status} && !length $r->{raw}) {
                $dropped++;    # an idle connection that was closed before it took the request: a client sends it again
            } else {
                $bad ||= "$method: $r->{status} " . ($r->{error} // "");
            }
            if (!$r->{status} || ($r->{headers}{connection} // '') eq 'close') {
                ($socket, $buffer) = ($edge->connect, '');
            }
        }
        print $write "$good $dropped $bad\n";
        close $write;
        POSIX::_exit(0);
    }
    push @pipes, $read;
}
for (1 .. 4) {
    sleep 0.5;
    $edge->reload;
}
for my $read (@pipes) {
    my ($good, $dropped, $bad) = split ' ', <$read> // '0 0 no answer', 3;
    ok $good > 4, "a client got $good answers during four reloads";
    is $bad // '', '', 'none of them was an error';
    cmp_ok $dropped, '<=', 4, 'and at most one idle connection for each reload was closed';
}
1 while wait > 0 && !$edge->{pid};

$edge->stop('QUIT');
is $edge->reports, '', 'the sanitizers have nothing to report';
unlike $edge->error_log =~ s/^.*(?:exited on signal 9|ngx_slab).*$//mgr, qr/\[(?:alert|crit|emerg)\]/, 'nothing alarming in the log';
done_testing;
