# The workers' connections to Redis: one each, and worker 0's subscription; what they do when Redis is odd.
use strict;
use warnings;
use Test::More;
use Storytelling::Edge;
use Storytelling::Nginx;
use IO::Select;
use IO::Socket::UNIX;

my $E = 'Storytelling::Edge';
Storytelling::Edge::echo('echo');
my $port  = Storytelling::Port::free_port();
my $redis = Storytelling::Edge::start_redis('--port', $port, '--bind', '127.0.0.1', '::1');
Storytelling::Edge::set_roles();

sub connections { return scalar grep { !/cmd=client/ } split /\n/, Storytelling::Edge::redis('CLIENT', 'LIST') }
sub quiet {
    my ($edge) = @_;
    $edge->stop('QUIT');
    is $edge->reports, '', 'the sanitizers have nothing to report';
    unlike $edge->error_log, qr/\[(?:alert|crit|emerg)\]/, 'nothing alarming in the log';
}

for my $where ("127.0.0.1:$port", "[::1]:$port", "localhost:$port", Storytelling::Edge::redis_socket()) {
    my $edge = $E->nginx(redis => $where, no_state => 1, workers => 3);
    $edge->start or die $edge->error_log;
    my $name = $where =~ m{^/} ? 'a unix socket' : $where =~ s/:\d+$//r;
    ok wait_for(sub { $edge->get('/v1/things', bearer())->{status} == 200 }), "Redis at $name";
    ok wait_for(sub { connections() == 4 }), 'three workers, four connections';
    $edge->reload;
    ok wait_for(sub { connections() == 4 }), 'a reload leaves none behind';
    Storytelling::Edge::redis('CLIENT', 'KILL', 'TYPE', 'normal');
    Storytelling::Edge::redis('CLIENT', 'KILL', 'TYPE', 'pubsub');
    ok wait_for(sub { connections() == 4 }), 'cut connections come back';
    quiet($edge);
}

# --- a Redis that is loading ---
Storytelling::Edge::stop_child($redis);
unlink Storytelling::Edge::redis_socket();
my $listen = IO::Socket::UNIX->new(Local => Storytelling::Edge::redis_socket(), Listen => 8) or die $!;
my $loading = Storytelling::Edge::start_child(sub {
    my $select = IO::Select->new($listen);
    while (my @ready = $select->can_read) {
        for my $socket (@ready) {
            if ($socket == $listen) { $select->add($listen->accept); next }
            if (!sysread $socket, my $text, 65536) { $select->remove($socket); next }
            else { syswrite $socket, "-LOADING Redis is loading the dataset in memory\r\n" for $text =~ /^\*\d+\r$/mg }
        }
    }
});
close $listen;
my $edge = $E->nginx(redis => Storytelling::Edge::redis_socket(), workers => 2);
$edge->start or die $edge->error_log;
ok wait_for(sub { $edge->error_log =~ /Redis answers: LOADING/ }), 'a Redis that loads is told in the log';
is $edge->metric('redis_up'), 0, 'and does not count as up';
is $edge->get('/v1/things', bearer())->{status}, 200, 'requests go on';
Storytelling::Edge::stop_child($loading);
unlink Storytelling::Edge::redis_socket();
$redis = Storytelling::Edge::start_redis();
Storytelling::Edge::set_roles();
ok wait_for(sub { $edge->metric('redis_up') }), 'it is when it has loaded';

# --- a Redis whose lists are not of text ---
Storytelling::Edge::stop_child($redis);
unlink Storytelling::Edge::redis_socket();
$listen = IO::Socket::UNIX->new(Local => Storytelling::Edge::redis_socket(), Listen => 8) or die $!;
my $odd = Storytelling::Edge::start_child(sub {
    my %says = (PING => "+PONG\r\n", SUBSCRIBE => "*3\r\n\$9\r\nsubscribe\r\n\$7\r\nst:edge\r\n:1\r\n", GET => "\$12\r\n{\"roles\":{}}\r\n",
        HGETALL => "*2\r\n:1\r\n:2\r\n", ZRANGEBYSCORE => "*2\r\n:1\r\n*1\r\n:2\r\n", MGET => "*2\r\n:1\r\n*0\r\n");
    my $select = IO::Select->new($listen);
    while (my @ready = $select->can_read) {
        for my $socket (@ready) {
            if ($socket == $listen) { $select->add($listen->accept); next }
            if (!sysread $socket, my $text, 65536) { $select->remove($socket); next }
            else { syswrite $socket, $says{$1} // "-ERR\r\n" while $text =~ /^(PING|SUBSCRIBE|GET|HGETALL|ZRANGEBYSCORE|MGET)\r$/mg }
        }
    }
});
close $listen;
ok wait_for(sub { $edge->error_log =~ /an override from Redis is left out: it is not text/ }), 'lists that are not of text are left out';
ok wait_for(sub { $edge->metric('redis_resyncs_total') > 0 }), 'and the rest goes on';
unlike $edge->error_log, qr/exited on signal/, 'in the same workers';
Storytelling::Edge::stop_child($odd);
unlink Storytelling::Edge::redis_socket();
$redis = Storytelling::Edge::start_redis();
Storytelling::Edge::set_roles();
ok wait_for(sub { $edge->metric('redis_up') }), 'a good one takes its place';

# --- a reload, and an end, while Redis is stopped ---
kill STOP => $redis;
ok wait_for(sub { !$edge->metric('redis_up') }), 'a Redis that is stopped';
ok $edge->metric('redis_unanswered_total') > 0, 'answers nothing';
$edge->reload;
is $edge->get('/v1/things', bearer())->{status}, 200, 'a reload meanwhile';
quiet($edge);
kill CONT => $redis;
done_testing;
