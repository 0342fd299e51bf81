package Storytelling::Between;

# A socket between a daemon and a server, which a test can break in the ways that networks do.
#
#   my $between = Storytelling::Between->start("$dir/via.sock", $server_socket, @handles_to_close);
#   $between->mode('hold');       nothing passes, nothing is closed: the bytes of both sides wait ('pass' lets them go on)
#   $between->mode('lose');       as hold, but what was sent meanwhile never arrives; connections stay open
#   $between->mode('refuse');     connections are cut, and new ones are refused
#   $between->rule(from => 'server', match => $bytes, do => 'cut');
#                                 the next piece from that side which holds these bytes is not passed on: 'cut' closes
#                                 the connection, 'kill' kills the process at the client's end as well
#                                 answer => 1: that piece is passed on, and the answer to it is the one that is not;
#                                 hello => $bytes: only on connections whose client said these at first
#   $between->hits                how often the rule has struck since it was given; it strikes `times` (1) times, after
#                                 `skip` (0) pieces that it let pass
#   $between->stop
#
# It is a process of its own, so that it goes on while the test waits.
use strict;
use warnings;
use IO::Select;
use IO::Socket::UNIX;
use JSON::PP ();
use POSIX ();
use Socket qw(AF_UNIX PF_UNSPEC SOCK_STREAM SOL_SOCKET);

my $SO_PEERCRED = 17;
my $PIECE       = 65536;
my $JSON        = JSON::PP->new->latin1->canonical;

sub start {
    my ($class, $path, $server, @close) = @_;
    my $self = bless {path => $path, server => $server, owner => $$}, $class;
    socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die "socketpair: $!\n";
    my $listener = _listen($path);
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        close $_ for $ours, @close;
        chdir '/';
        $SIG{PIPE} = 'IGNORE';
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
        eval { _Loop->new($path, $server, $listener, $theirs)->run; 1 } or print STDERR "between: $@";
        POSIX::_exit(0);
    }
    close $theirs;
    close $listener;
    @$self{qw(pid control)} = ($pid, $ours);
    return $self;
}

sub _listen {
    my ($path) = @_;
    unlink $path;
    my $listener = IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => $path, Listen => 128) or die "$path: $!\n";
    chmod 0777, $path;
    return $listener;
}

# Each word is answered, so that what follows in the test finds it done.
sub _say {
    my ($self, %word) = @_;
    syswrite $self->{control}, $JSON->encode(\%word) . "\n" or die "between: $!\n";
    my $answer = '';
    while ($answer !~ /\n/) {
        sysread $self->{control}, $answer, 4096, length $answer or die "the process in between has died\n";
    }
    return $answer + 0;
}

sub mode { my ($self, $mode) = @_; $self->_say(mode => $mode); return }
sub rule { my ($self, %rule) = @_; $self->_say(rule => {times => 1, skip => 0, %rule}); return }
sub hits { my ($self) = @_; return $self->_say }

sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    return if $self->{owner} != $$;
    close $self->{control};
    kill KILL => $pid;
    waitpid $pid, 0;
    unlink $self->{path};
}

sub DESTROY { my ($self) = @_; local ($?, $!, $@); $self->stop }

package _Loop;

sub new {
    my ($class, $path, $server, $listener, $control) = @_;
    my $select = IO::Select->new($control);
    my $self = bless {path => $path, server => $server, control => $control, select => $select, mode => 'pass', links => {}, hits => 0}, $class;
    $self->listen_to($listener);
    return $self;
}

sub listen_to {
    my ($self, $listener) = @_;
    $self->{listener} = $listener;
    $self->{select}->add($listener);
}

# A link has two ends; each end knows the other, and what must still be written to it.
sub accept_one {
    my ($self) = @_;
    my $client = $self->{listener}->accept or return;
    my $credentials = getsockopt $client, Socket::SOL_SOCKET, $SO_PEERCRED;
    my ($pid) = unpack 'l', $credentials;
    my $server = IO::Socket::UNIX->new(Type => Socket::SOCK_STREAM, Peer => $self->{server}) or return close $client;
    $_->blocking(0) for $client, $server;
    my $one = {socket => $client, side => 'client', pid => $pid, out => '', seen => ''};
    my $two = {socket => $server, side => 'server', pid => $pid, out => '', seen => ''};
    $one->{other} = $two;
    $two->{other} = $one;
    $self->{links}{fileno $_->{socket}} = $_ for $one, $two;
    $self->{select}->add($_->{socket}) for $one, $two;
}

sub cut {
    my ($self, $end) = @_;
    for my $each ($end, $end->{other}) {
        delete $self->{links}{fileno $each->{socket}};
        $self->{select}->remove($each->{socket});
        close $each->{socket};
    }
}

# True when the piece must not go on.
sub strikes {
    my ($self, $end, $piece) = @_;
    $end->{hello} //= $piece;
    return $self->strike($end, delete $end->{answers}) if $end->{answers};
    my $rule = $self->{rule} or return;
    return if $rule->{from} ne $end->{side};
    return if defined $rule->{hello} && index($end->{side} eq 'client' ? $end->{hello} : $end->{other}{hello}, $rule->{hello}) < 0;
    my $text = $end->{seen} . $piece;    # the bytes may lie across two pieces
    $end->{seen} = substr $text, -100;
    return if index($text, $rule->{match}) < 0;
    $end->{seen} = '';
    return if $rule->{skip}-- > 0;
    if ($rule->{answer}) {
        $end->{other}{answers} = $rule->{do};
        delete $self->{rule};
        return;
    }
    return $self->strike($end, $rule->{do}, $rule);
}

sub strike {
    my ($self, $end, $do, $rule) = @_;
    $self->{hits}++;
    delete $self->{rule} if $rule && --$rule->{times} <= 0;
    kill KILL => $end->{pid} if $do eq 'kill';
    return 1;
}

sub read_from {
    my ($self, $end) = @_;
    my $piece;
    my $n = sysread $end->{socket}, $piece, $PIECE;
    return if !defined $n && $!{EAGAIN};
    return $self->cut($end) if !$n || $self->strikes($end, $piece);
    return if $self->{mode} eq 'lose';
    $end->{other}{out} .= $piece;
    $self->write_to($end->{other});
}

sub write_to {
    my ($self, $end) = @_;
    return if !length $end->{out} || $self->{mode} eq 'hold';
    my $n = syswrite $end->{socket}, $end->{out};
    return $self->cut($end) if !defined $n && !$!{EAGAIN};
    substr $end->{out}, 0, $n // 0, '';
}

sub obey {
    my ($self) = @_;
    sysread $self->{control}, $self->{words}, 4096, length($self->{words} //= '') or POSIX::_exit(0);
    while ($self->{words} =~ s/^(.*)\n//) {
        my $word = $JSON->decode($1);
        $self->set_mode($word->{mode}) if $word->{mode};
        @$self{qw(rule hits)} = ($word->{rule}, 0) if $word->{rule};
        syswrite $self->{control}, "$self->{hits}\n";
    }
}

sub set_mode {
    my ($self, $mode) = @_;
    $self->{mode} = $mode;
    if ($mode eq 'refuse') {
        $self->{select}->remove($self->{listener});
        close delete $self->{listener};
        unlink $self->{path};
        my %done;
        for my $end (my @ends = values %{$self->{links}}) {
            $self->cut($end) if !$done{$end}++ && !$done{$end->{other}}++;
        }
    } elsif (!$self->{listener}) {
        $self->listen_to(Storytelling::Between::_listen($self->{path}));
    }
}

sub run {
    my ($self) = @_;
    for (;;) {
        my $waits = IO::Select->new(map { length $_->{out} && $self->{mode} ne 'hold' ? $_->{socket} : () } values %{$self->{links}});
        my ($readable, $writable) = IO::Select->select($self->{select}, $waits);
        for my $socket (@{$readable // []}) {
            if ($socket == $self->{control}) { $self->obey }
            elsif ($self->{listener} && $socket == $self->{listener}) { $self->accept_one }
            elsif (my $end = defined fileno $socket ? $self->{links}{fileno $socket} : undef) { $self->read_from($end) }
        }
        for my $socket (@{$writable // []}) {
            my $end = defined fileno $socket ? $self->{links}{fileno $socket} : undef;
            $self->write_to($end) if $end;
        }
    }
}

1;
