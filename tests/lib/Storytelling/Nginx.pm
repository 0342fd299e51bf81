# One nginx of a test: a directory, a free port, and a plain HTTP client that sends exactly what it is told.
#
#   my $nginx = Storytelling::Nginx->new(dir => $dir);
#   $nginx->configure(main => $text, http => $text, server => $text);   # writes nginx.conf
#   my ($ok, $output) = $nginx->check;                                  # nginx -t
#   $nginx->start; $nginx->reload; $nginx->stop;            new(session => 1): in a session of its own, as daemons are
#   my $r = $nginx->get('/path', 'Header: value', ...);                 # {status, reason, headers, raw_headers, body}
#
# In the environment: RELOAD=1 has nginx read its configuration once more before a test meets it. ASAN=1 preloads the
# sanitizers' runtime, VALGRIND=1 starts nginx under memcheck; `reports` gives what they had to say, and a test whose nginx
# was reported fails at its end.
package Storytelling::Nginx;
use strict;
use warnings;
use Errno qw(EAGAIN EINTR);
use IO::Select;
use IO::Socket::INET;
use POSIX ':sys_wait_h';
use Scalar::Util qw(weaken);
use Storytelling::Port;
use Time::HiRes qw(sleep time);

my $PATIENT = $ENV{VALGRIND} ? 120 : 20;    # seconds that nginx may take before something is broken
my $SLOWER  = $ENV{VALGRIND} ? 10 : 1;
my (@all, $reported);

sub new {
    my ($class, %given) = @_;
    my $self = bless {port => free_port(), timeout => 5, log_level => 'info', owner => $$, %given}, $class;
    $self->{timeout} *= $SLOWER;
    push @all, $self;
    weaken $all[-1];
    mkdir $self->{dir};
    mkdir "$self->{dir}/$_" for qw(log nginx conf);
    return $self;
}

sub configure {
    my ($self, %part) = @_;
    my $dir    = $self->{dir};
    my $user   = $> == 0 ? 'user root;' : '';
    my $temp   = join "\n    ", map { "${_}_temp_path $dir/nginx/$_;" } qw(client_body proxy fastcgi uwsgi scgi);
    my $listen = $part{listen} // "listen 127.0.0.1:$self->{port};";
    $self->write_conf(<<"CONF");
$user
worker_processes @{[$part{workers} // 1]};
error_log $dir/log/error.log $self->{log_level};
pid $dir/nginx/nginx.pid;
@{[$part{main} // '']}
events { worker_connections 512; }
http {
    access_log off;
    default_type text/plain;
    $temp
    @{[$part{http} // '']}
    server {
        $listen
        @{[$part{server} // '']}
    }
}
CONF
}

sub write_conf {
    my ($self, $text) = @_;
    open my $out, '>', "$self->{dir}/conf/nginx.conf" or die "nginx.conf: $!";
    print $out $text;
    close $out;
}

sub command {
    my ($self, @more) = @_;
    my $dir = $self->{dir};
    my @under;
    if ($ENV{ASAN}) {
        chomp(my $runtime = `gcc -print-file-name=libasan.so`);
        @under = ('env', "LD_PRELOAD=$runtime", "ASAN_OPTIONS=detect_leaks=0:log_path=$dir/log/asan",
            "UBSAN_OPTIONS=print_stacktrace=1:log_path=$dir/log/asan");
    } elsif ($ENV{VALGRIND}) {
        @under = ('valgrind', '-q', "--log-file=$dir/log/valgrind", '--num-callers=30');
    }
    return (@under, 'nginx', '-e', "$dir/log/error.log", '-c', $self->{conf} // "$dir/conf/nginx.conf", '-p', "$dir/nginx",
        @more);
}

# nginx -t: whether it accepts the configuration, and all that it says.
sub check {
    my ($self) = @_;
    my $pid = open my $out, '-|';
    die "fork: $!" if !defined $pid;
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        exec $self->command('-t') or die "nginx: $!";
    }
    my $text = do { local $/; <$out> };
    close $out;
    return ($? == 0, $text);
}

sub start {
    my ($self) = @_;
    defined(my $pid = fork) or die "fork: $!";
    if (!$pid) {
        POSIX::setsid() if $self->{session};
        open STDIN,  '<', '/dev/null';
        open STDOUT, '>', "$self->{dir}/log/start.log";
        open STDERR, '>&', \*STDOUT;
        exec $self->command('-g', 'daemon off;') or POSIX::_exit(127);
    }
    $self->{pid} = $pid;
    my $until = time + $PATIENT;
    while (time < $until) {
        my $up = defined $self->connect;    # its connection is closed by now, and holds no worker
        return $self->renew if $up;
        if (waitpid($pid, WNOHANG) == $pid) {
            delete $self->{pid};
            return 0;
        }
        sleep 0.005;
    }
    die "nginx does not listen\n" . $self->error_log;
}

# With RELOAD=1 the first workers make way for those of a reload.
sub renew {
    my ($self) = @_;
    return 1 if !$ENV{RELOAD};
    my $children = sub { split ' ', slurp("/proc/$self->{pid}/task/$self->{pid}/children") };
    # A master blocks signals before it has workers, and listens to them when it has all.
    $self->await('start its workers', sub { $children->() && slurp("/proc/$self->{pid}/status") =~ /^SigBlk:\s*0+$/m });
    my %old = map { $_ => 1 } $children->();
    kill HUP => $self->{pid};
    return $self->await('reload', sub { my @now = $children->(); @now && !grep { $old{$_} } @now });
}

sub await {
    my ($self, $what, $check) = @_;
    my $until = time + $PATIENT;
    while (time < $until) {
        return 1 if $check->();
        sleep 0.005;
    }
    die "nginx does not $what\n" . $self->error_log;
}

# The configuration is read again, and its workers have taken over.
sub reload {
    my ($self) = @_;
    my @old = $self->error_log =~ /start worker process (\d+)/g;
    kill HUP => $self->{pid};
    return $self->await('reload', sub {
        my $log = $self->error_log;
        my @all = $log =~ /start worker process (\d+)/g;
        @all > @old && !grep { $log !~ /\b$_#$_: (?:gracefully shutting down|exiting)|worker process $_ exited/ } @old;
    });
}

sub stop {
    my ($self, $signal) = @_;
    my $pid = delete $self->{pid} or return;
    kill $signal // 'TERM', $pid;
    my $until = time + $PATIENT;
    while (time < $until) {
        return if waitpid($pid, WNOHANG) == $pid;
        sleep 0.005;
    }
    kill KILL => $pid;
    waitpid $pid, 0;
    die "nginx had to be killed\n";
}

sub DESTROY {
    my ($self) = @_;
    local ($?, $@, $!);
    return if $$ != $self->{owner};
    eval { $self->stop };
    $reported .= $self->reports;
}

# A test whose nginx was reported has failed, whatever it looked at.
END {
    { local $?; $_->DESTROY for grep { $_ } @all }
    if ($reported) {
        print STDERR $reported;
        $? ||= 1;
    }
}

sub slurp {
    my ($path) = @_;
    open my $in, '<', $path or return '';
    local $/;
    return <$in> // '';
}

sub error_log { slurp("$_[0]{dir}/log/error.log") }

# What the sanitizers and memcheck found.
sub reports {
    my ($self) = @_;
    return join '', map({ slurp($_) } glob "$self->{dir}/log/{asan,valgrind}*"), $self->error_log =~ /^.*: runtime error: .*$/mg;
}

# --- the client ---

sub connect {
    my ($self) = @_;
    return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port}, Timeout => 2);
}

# Sends the bytes (an array: packets, {value => $bytes, delay_before => $seconds} among them) on a connection.
sub send_bytes {
    my ($self, $socket, $bytes) = @_;
    local $SIG{PIPE} = 'IGNORE';
    for my $packet (ref $bytes ? @$bytes : $bytes) {
        my ($value, $delay) = ref $packet ? @$packet{qw(value delay_before)} : ($packet);
        sleep $delay if $delay;
        my $at = 0;
        while ($at < length $value) {
            my $n = syswrite $socket, $value, length($value) - $at, $at;
            if (!defined $n) {
                next if $! == EINTR;
                return 0;    # an early answer may have come; the reader will see
            }
            $at += $n;
        }
    }
    return 1;
}

# More bytes of the connection into $$buffer: 1, 0 at its end, undef when time is up.
sub more {
    my ($self, $socket, $buffer, $until) = @_;
    my $left = $until - time;
    return undef if $left <= 0 || !IO::Select->new($socket)->can_read($left);
    my $n = sysread $socket, $$buffer, 65536, length $$buffer;
    return $n ? 1 : 0;
}

# One answer from the connection. $$buffer holds what came too early and what is left over.
sub read_response {
    my ($self, $socket, $buffer, $method) = @_;
    my $until = time + $self->{timeout};
    while ($$buffer !~ /\r\n\r\n/) {
        my $got = $self->more($socket, $buffer, $until);
        return {error => defined $got ? 'closed' : 'timeout', raw => $$buffer, status => 0, body => '', headers => {}, raw_headers => ''}
            if !$got;
    }
    $$buffer =~ s/\A(.*?\r\n)\r\n//s;
    my ($first, @lines) = split /\r\n/, $1;
    my %r = (raw_headers => join("\r\n", $first, @lines) . "\r\n", headers => {}, body => '');
    @r{qw(protocol status reason)} = split / /, $first, 3;
    for (@lines) {
        my ($name, $value) = /^([^:]+):\s*(.*?)\s*$/ or next;
        my $key = lc $name;
        $r{headers}{$key} = defined $r{headers}{$key} ? "$r{headers}{$key}, $value" : $value;
    }
    return \%r if $method eq 'HEAD' || $r{status} < 200 || $r{status} == 204 || $r{status} == 304;
    my $length = $r{headers}{'content-length'};
    if (($r{headers}{'transfer-encoding'} // '') eq 'chunked') {
        while (1) {
            my ($from, $size);
            while (1) {
                ($from, $size) = ($+[0], hex $1) if $$buffer =~ /\A([0-9a-fA-F]+)[^\r]*\r\n/;
                last if defined $from && length($$buffer) >= $from + $size + 2;
                $self->more($socket, $buffer, $until) or return {%r, error => 'body'};
            }
            $r{body} .= substr $$buffer, $from, $size;
            substr $$buffer, 0, $from + $size + 2, '';
            last if !$size;
        }
    } else {
        while (!defined $length || length $$buffer < $length) {
            my $got = $self->more($socket, $buffer, $until);
            last if !$got && !defined $length;
            return {%r, error => 'body'} if !$got;
        }
        $length //= length $$buffer;
        $r{body} = substr $$buffer, 0, $length, '';
    }
    return \%r;
}

# Sends bytes on a connection of their own and reads one answer for each method.
sub exchange {
    my ($self, $bytes, @methods) = @_;
    my $socket = $self->connect or return {status => 0, error => "connect: $!", body => '', headers => {}, raw_headers => ''};
    my $buffer = '';
    $self->send_bytes($socket, $bytes);
    my @answers = map { $self->read_response($socket, \$buffer, $_) } @methods ? @methods : 'GET';
    return wantarray ? @answers : $answers[0];
}

sub request {
    my ($self, $method, $path, $body, @headers) = @_;
    my @length = defined $body ? "Content-Length: " . length $body : ();
    unshift @headers, 'Content-Type: application/json' if defined $body && !grep { /^content-type:/i } @headers;
    my $head = join "\r\n", "$method $path HTTP/1.1", 'Host: localhost', 'Connection: close', @length, @headers;
    return scalar $self->exchange("$head\r\n\r\n" . ($body // ''), $method);
}

sub get  { my ($self, $path, @headers) = @_; return $self->request('GET', $path, undef, @headers) }
sub post { my ($self, $path, $body, @headers) = @_; return $self->request('POST', $path, $body, @headers) }

# A number of /metrics, by its name (and labels) behind "api_edge_".
sub metric { my ($self, $name) = @_; return ($self->get('/metrics')->{body} =~ /^api_edge_\Q$name\E (-?\d+)$/m)[0] }

1;
