# Ports for servers of tests, also of those that run side by side.
#
#   use Storytelling::Port;
#   my $port = free_port();      # this process's until it ends
#
# They lie below those that the kernel hands out, and each is claimed by an abstract Unix socket: between the look and the
# start of its server nobody else gets it, and nothing is left behind.
package Storytelling::Port;
use strict;
use warnings;
use Exporter 'import';
use IO::Socket::INET;
use IO::Socket::UNIX;
use Socket qw(SOCK_STREAM);

our @EXPORT = qw(free_port);
my ($FIRST, $COUNT) = (18000, 14000);
my @claims;

sub free_port {
    for (1 .. 200) {
        my $port = $FIRST + int rand $COUNT;
        my $claim = IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => "\0storytelling-port-$port") or next;
        IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 1, ReuseAddr => 1) or next;
        push @claims, $claim;
        return $port;
    }
    die "no free port\n";
}

1;
