# The servers of the edge's benchmark: a gateway of some kind from tests/bench/peers, the service behind it, load.
#
#   my $service = Storytelling::Gateway->service;                     the trivial service, on a unix socket and on a port
#   my $gateway = Storytelling::Gateway->start('edge', 2, NAME => $value ...);     kind, workers; NAMEs of its template
#   $gateway->port; $gateway->port('HS256_PORT')                      @PORT@ and each @..._PORT@ of the template is a free one
#   $gateway->cpu                                                     seconds of CPU that all of its processes have used
#   $gateway->mapped(64)                                              bytes in use of its shared memory of that many MiB
#   $gateway->get('/metrics'); $gateway->reload; $gateway->check; $gateway->stop;   nginx: reads its configuration again; nginx -t
#
#   Storytelling::Gateway::load($port, $request, name => value ...)   what build/bench/load prints, as a hash
#
# Everything lies in the directory of Storytelling::Edge, whose keys and Redis are used.
package Storytelling::Gateway;
use strict;
use warnings;
use Cwd qw(abs_path);
use POSIX ();
use Storytelling::Edge ();
use Storytelling::Wait;
use Storytelling::Nginx;
use Time::HiRes qw(sleep time);

our $PEERS = Storytelling::Edge::root() . '/tests/bench/peers';
my $SECRET = 'a secret of the benchmark and of nothing else at all';    # HS256

sub secret { $SECRET }
sub tool { my ($name) = @_; return abs_path(($ENV{PLATFORM_BUILD} // Storytelling::Edge::root() . '/build') . "/bench/$name") }

# How each kind is started: the template that is its configuration, and the command.
my %KIND = (
    haproxy => {template => 'haproxy.cfg', command => sub { ('haproxy', '-db', '-f', $_[0]{conf}) }},
    fastify => {command => sub { ('node', "$_[0]{dir}/gateway.js") }},
    map { $_ => {template => "$_.conf", command => sub { nginx_command(@_) }} } qw(plain edge lua njs),
);

sub nginx_command {
    my ($self, @more) = @_;
    return ('nginx', '-e', "$self->{dir}/error.log", '-p', $self->{dir}, '-c', $self->{conf}, @more ? @more : ('-g', 'daemon off;'));
}

# Names in a template: one of its own port for each that ends in PORT.
sub fill {
    my ($self, $text) = @_;
    $text =~ s{\@([A-Z][A-Z0-9_]*)\@}{
        $self->{value}{$1} //= $1 =~ /PORT$/ ? Storytelling::Port::free_port() : die "\@$1\@ has no value\n"
    }ge;
    return $text;
}

sub write_template {
    my ($self, $from, $to) = @_;
    return Storytelling::Edge::write_file("$self->{dir}/" . ($to // $from), $self->fill(Storytelling::Nginx::slurp("$PEERS/$from")));
}

my $made = 0;

sub prepare {
    my ($class, $kind, $workers, %value) = @_;
    my $dir = Storytelling::Edge::dir() . "/$kind-" . ++$made;
    mkdir $dir or die "$dir: $!\n";
    Storytelling::Edge::secret();
    my $self = bless {
        kind => $kind, dir => $dir, owner => $$,
        value => {
            DIR => $dir, HERE => $dir, WORKERS => $workers, SECRETS => Storytelling::Edge::dir() . '/secrets',
            MODULE => Storytelling::Edge::module(), REDIS => Storytelling::Edge::redis_socket(), SECRET => $SECRET, MORE => '',
            CONTRACTS => "$PEERS/edge.yaml", UPSTREAM => Storytelling::Edge::dir() . '/run/thing.sock', %value
        },
    }, $class;
    $self->{value}{KEYS} //= "api_jwt_key_file $self->{value}{SECRETS}/ES256.pub.pem;";
    $self->write_template($_) for qw(nginx.main nginx.common gateway.lua);
    if (-e "$self->{value}{SECRETS}/ES256.pub.pem") {
        my $pem = Storytelling::Nginx::slurp("$self->{value}{SECRETS}/ES256.pub.pem");
        $self->{value}{SPKI} = join '', $pem =~ /^([A-Za-z0-9+\/=]+)$/mg;
        $self->write_template('gateway.js');
    }
    $self->{conf} = $self->write_template($KIND{$kind}{template}) if $KIND{$kind}{template};
    $self->prepare_fastify if $kind eq 'fastify';
    return $self;
}

# make has installed its packages.
sub prepare_fastify {
    my ($self) = @_;
    Storytelling::Edge::write_file("$self->{dir}/gateway.js", Storytelling::Nginx::slurp("$PEERS/fastify/gateway.js"));
    Storytelling::Edge::write_file("$self->{dir}/package.json", '{"type": "module"}');
    symlink tool('fastify') . '/node_modules', "$self->{dir}/node_modules" or die "node_modules: $!\n";
    my %env = map { $_ => $self->fill("\@$_\@") } qw(PORT PLAIN_PORT UPSTREAM REDIS WORKERS);
    $self->{env} = {%env, PUBLIC_KEY => "$self->{value}{SECRETS}/ES256.pub.pem", NODE_ENV => 'production'};
}

sub port { my ($self, $name) = @_; return $self->{value}{$name // 'PORT'} }

sub run_child {
    my ($self, @command) = @_;
    defined(my $pid = fork) or die "fork: $!\n";
    return $pid if $pid;
    $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
    %ENV = (%ENV, %{$self->{env} // {}});
    open STDIN,  '<', '/dev/null';
    open STDOUT, '>>', "$self->{dir}/output.log";
    open STDERR, '>&', \*STDOUT;
    exec @command or POSIX::_exit(127);
}

sub start {
    my ($class, $kind, $workers, %value) = @_;
    my $self = ref $class ? $class : $class->prepare($kind, $workers, %value);
    my @command = $KIND{$self->{kind}}{command}->($self);
    $self->{pid} = $self->run_child(@command);
    $self->await;
    return $self;
}

# The service that answers at once.
sub service {
    my ($class) = @_;
    my $self = bless {kind => 'service', dir => Storytelling::Edge::dir(), owner => $$, value => {PORT => Storytelling::Port::free_port()}}, $class;
    unlink "$self->{dir}/run/thing.sock";
    $self->{pid} = $self->run_child(tool('upstream'), "$self->{dir}/run/thing.sock", $self->port);
    $self->await;
    chmod 0666, "$self->{dir}/run/thing.sock";
    return $self;
}

sub await {
    my ($self) = @_;
    wait_for(sub {
        waitpid($self->{pid}, POSIX::WNOHANG()) == $self->{pid} and die "$self->{kind} does not start\n", $self->log;
        IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->port, Timeout => 2);
    }) or die "$self->{kind} does not listen\n", $self->log;
}

sub log { my ($self) = @_; return join '', map { Storytelling::Nginx::slurp("$self->{dir}/$_") } qw(error.log output.log) }

# The body of a page of its own.
sub get {
    my ($self, $path) = @_;
    my $client = bless {port => $self->port, timeout => 5, owner => 0}, 'Storytelling::Nginx';
    return $client->get($path)->{body};
}

# A reload of nginx: all workers of before have gone.
sub reload {
    my ($self) = @_;
    my %old = map { $_ => 1 } grep { $_ != $self->{pid} } $self->pids;
    kill HUP => $self->{pid};
    wait_for(sub { my @now = $self->pids; @now > keys %old && !grep { $old{$_} } @now })
        or die "$self->{kind} does not reload\n", $self->log;
}

sub check {
    my ($self) = @_;
    system("@{[nginx_command($self, '-t')]} >>$self->{dir}/output.log 2>&1") == 0 or die "nginx -t\n", $self->log;
}

sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    my $until = time + 10;
    kill TERM => $pid;
    while (waitpid($pid, POSIX::WNOHANG()) == 0) {
        kill KILL => $pid if time > $until;
        sleep 0.005;
    }
}

sub DESTROY {
    my ($self) = @_;
    local ($?, $@, $!);
    eval { $self->stop } if $$ == $self->{owner};
}

# --- what it uses ---

sub pids {
    my ($self) = @_;
    my @all = ($self->{pid});
    for my $pid (@all) {
        push @all, map { split ' ', Storytelling::Nginx::slurp($_) } glob "/proc/$pid/task/*/children";
    }
    return @all;
}

sub cpu {
    my ($self) = @_;
    my $ns = 0;
    for my $pid ($self->pids) {
        $ns += (split ' ', Storytelling::Nginx::slurp($_))[0] // 0 for glob "/proc/$pid/task/*/schedstat";
    }
    return $ns / 1e9;
}

# The pages of one shared mapping that any of the processes has touched, in bytes; undef where none has that size.
sub mapped {
    my ($self, $megabytes) = @_;
    no warnings 'portable';    # addresses have 64 bits
    my $most;
    for my $pid ($self->pids) {
        my $size;
        for (split /\n/, Storytelling::Nginx::slurp("/proc/$pid/smaps")) {
            $size = hex($2) - hex($1) if /^([0-9a-f]+)-([0-9a-f]+) rw-s .*\/dev\/zero/;
            undef $size if /^[0-9a-f]+-[0-9a-f]+ (?!rw-s .*\/dev\/zero)/;
            $most = $1 * 1024 if defined $size && $size == $megabytes * 1024 * 1024 && /^Rss:\s+(\d+)/ && $1 * 1024 > ($most // -1);
        }
    }
    return $most;
}

# Memory of all its processes that no other has, in bytes.
sub private {
    my ($self) = @_;
    my $kb = 0;
    for my $pid ($self->pids) {
        my $text = Storytelling::Nginx::slurp("/proc/$pid/smaps_rollup");
        $kb += $1 while $text =~ /^Anonymous:\s+(\d+)/mg;
    }
    return 1024 * $kb;
}

# --- load ---

sub load {
    my ($port, $request, %option) = @_;
    my $command = join ' ', tool('load'), $port, $request, map { "$_=$option{$_}" } sort keys %option;
    my $said = `$command`;
    die "$command: failed\n" if $?;
    return {map { split /=/ } split ' ', $said};
}

1;
