package Storytelling::Platform;

# A whole platform of the tests' own: private directory, free port, all servers, and gone afterwards whatever happens.
#
#   my $p = Storytelling::Platform->shared;           the one of this test run (tests/run starts it), else one of our own
#   my $p = Storytelling::Platform->start(env => {ST_HTTP_THREADS => 2});   one that the test may break
#
#   $p->url, var, port, ca, outbox      where it is
#   $p->storyctl('dead', 'list')        {exit, out}: what the operator would type
#   $p->admin                           a logged-in administrator, as Storytelling::Client's register_user gives
#   $p->set_tier($user, 'premium')      another tier at the edge
#   $p->kill('redis', 'KILL')           a signal to one part, by its recorded pid
#   $p->up                              starts again what is not running
#   $p->run('redis-cli', ...)           {exit, out} of any program
#   $p->redis('PING')                   {exit, out} of one Redis command
#   $p->sql('story', 'select 1')        rows as the service's own role sees them, lines of tab-separated text
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use JSON::PP ();
use POSIX ();
use Storytelling::Client;
use Storytelling::Port;
use Storytelling::Sql;

our $ROOT = abs_path(dirname(__FILE__) . '/../../..');
our $GUARD = 'storytelling-guard';    # what `ps` calls the processes that stop platforms
my $shared;

sub build { return $ENV{PLATFORM_BUILD} // "$ROOT/build" }

sub shared {
    my ($class) = @_;
    return $shared if $shared;
    return $shared = $ENV{PLATFORM_VAR} ? $class->attach($ENV{PLATFORM_VAR}) : $class->start;
}

sub attach {
    my ($class, $var) = @_;
    my $self = bless {var => $var, env => {}}, $class;
    open my $port, '<', "$var/process/port" or die "no platform in $var: $!\n";
    chomp($self->{port} = <$port>);
    return $self;
}

sub start {
    my ($class, %option) = @_;
    my $self = $class->reserve(%option);
    $self->up;
    return $self;
}

# Directory and port, and the promise that they are cleared; nothing runs yet.
sub reserve {
    my ($class, %option) = @_;
    my $var = tempdir('storytelling-XXXXXX', TMPDIR => 1);
    chmod 0755, $var;
    my $self = bless {var => $var, port => free_port(), env => $option{env} // {}, owner => $$}, $class;
    $self->_guard;
    return $self;
}

# A process that outlives us: when our end of the pipe closes, for whatever reason, it stops the platform.
sub _guard {
    my ($self) = @_;
    pipe(my $read, my $write) or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        POSIX::setsid();
        $0 = "$GUARD $self->{var}";
        # Nothing of the test is held open here, least of all the rope of another platform.
        $_ == fileno $read or POSIX::close($_) for 3 .. 255;
        $SIG{$_} = 'IGNORE' for qw(INT TERM HUP PIPE);
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', '/dev/null';
        open STDERR, '>', '/dev/null';
        sysread $read, my $byte, 1;
        system "$ROOT/systemd/platform", 'down', '--var', $self->{var};
        my $place = readlink($self->{var});
        system 'rm', '-rf', '--', $self->{var}, defined $place ? $place : ();
        POSIX::_exit(0);
    }
    close $read;
    @$self{qw(guard rope)} = ($pid, $write);
}

sub up {
    my ($self) = @_;
    local %ENV = (%ENV, %{$self->{env}});
    delete local @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS)};
    my @command = ("$ROOT/systemd/platform", 'up', '--var', $self->{var}, '--port', $self->{port}, '--build', build());
    my $said = capture(@command);
    die "the platform did not start:\n$said->{out}" if $said->{exit};
    return $said->{out};
}

# Stops, and gives complaints: what did not stop, or not by itself, and what sanitizers found.
sub stop {
    my ($self) = @_;
    my $rope = delete $self->{rope} or return;
    return if $self->{owner} != $$;
    my $said = capture("$ROOT/systemd/platform", 'down', '--var', $self->{var});
    my @complaints = $said->{exit} ? ($said->{out}) : ();
    for my $log (glob "$self->{var}/log/*") {
        open my $in, '<', $log or next;
        my @found = grep { /ERROR: \w+Sanitizer|runtime error:/ } <$in>;
        push @complaints, map { "$log: $_" } @found[0 .. ($#found > 4 ? 4 : $#found)];
    }
    for my $process (grep { (readlink "$_/cwd" // '') =~ m{^\Q$self->{var}\E(?:/|$)} } glob '/proc/[0-9]*') {
        my ($pid) = $process =~ /(\d+)$/;
        push @complaints, "left running: $pid " . (readlink "$process/exe") . "\n";
        CORE::kill('KILL', $pid);
    }
    $self->save_logs($self->{keep_logs}) if $self->{keep_logs};
    close $rope;
    waitpid $self->{guard}, 0;
    return @complaints;
}

sub save_logs {
    my ($self, $to) = @_;
    system 'rm', '-rf', '--', $to;
    system 'cp', '-r', '--', "$self->{var}/log", $to;
}

sub DESTROY {
    my ($self) = @_;
    local ($?, $@, $!);
    $self->stop;
}

END { undef $shared }

sub var    { return $_[0]{var} }
sub port   { return $_[0]{port} }
sub url    { return "https://127.0.0.1:$_[0]{port}" }
sub ca     { return "$_[0]{var}/secrets/tls.crt" }
sub outbox { return "$_[0]{var}/outbox" }
sub client { return Storytelling::Client->new($_[0]) }

# The environment file of a service, as a hash.
sub environment {
    my ($self, $service) = @_;
    open my $in, '<', "$self->{var}/env/$service.env" or die "no environment of $service: $!\n";
    return {map { chomp; split /=/, $_, 2 } <$in>};
}

sub storyctl {
    my ($self, @arguments) = @_;
    local $ENV{ST_ENV_DIR} = "$self->{var}/env";
    return capture(build() . '/bin/storyctl', @arguments);
}

# One for each test program.
sub admin {
    my ($self) = @_;
    return $self->{admin} //= do {
        my $email = sprintf 'admin%d.%06x@example.org', $$, rand 0xffffff;
        my $said = $self->storyctl('--json', 'user', 'create', '--email', $email, '--role', 'admin');
        die "no administrator: $said->{out}" if $said->{exit};
        $self->client->login(JSON::PP::decode_json($said->{out}));
    };
}

# As subscription tells the edge; limits depend on it.
sub set_tier {
    my ($self, $user, $tier) = @_;
    my $holds = qq("tier":"$tier","until":4000000000);
    $self->redis('HSET', 'st:edge:tiers', $user->{userId}, "{$holds}");
    $self->redis('PUBLISH', 'st:edge', qq({"kind":"tier","userId":"$user->{userId}",$holds}));
    return $user;
}

sub redis {
    my ($self, @command) = @_;
    return capture('redis-cli', '-s', "$self->{var}/run/redis.sock", @command);
}

sub pid {
    my ($self, $part) = @_;
    open my $in, '<', "$self->{var}/process/$part" or die "$part is not running: $!\n";
    return (split ' ', <$in>)[0];
}

sub kill {
    my ($self, $part, $signal) = @_;
    return CORE::kill($signal, $self->pid($part));
}

sub sql {
    my ($self, $service, $sql) = @_;
    return @{Storytelling::Sql::lines($self->environment($service)->{ST_DATABASE}, $sql)};
}

# Any program: {exit, out}, its two outputs in one.
sub run {
    my ($self, @command) = @_;
    return capture(@command);
}

sub capture {
    my (@command) = @_;
    my $pid = open(my $out, '-|') // die "fork: $!\n";
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        open STDIN, '<', '/dev/null';
        exec { $command[0] } @command or print "$command[0]: $!\n";
        POSIX::_exit(127);
    }
    my $text = do { local $/; <$out> } // '';
    close $out;
    return {exit => $? >> 8, out => $text};
}

1;
