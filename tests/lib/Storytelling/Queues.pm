# Job queues that others use, run by the programs of tests/bench/peers beside the servers of tests/lib/with_servers.
#
#   for my $peer (Storytelling::Queues->all) {            those that are installed with `make deps-bench`
#       $peer->label                                      "BullMQ 6.7.0", when it has run
#       my $r = $peer->drain('noop', 50_000);             {enqueued => jobs/s, done => jobs/s}; also 'effect': a row for each
#       my @us = $peer->latency(1000, 200);               from before a job is added until it starts, 200 a second
#   }
#   Storytelling::Queues::clear();                        Redis and all databases are empty
#   Storytelling::Queues::psql($database, $sql); Storytelling::Queues::redis(@command)
#
# Each time both stores begin empty. A worker's clock starts with the first job and ends when all are done and nothing is
# left in the queue; what it takes to start the processes and connect does not count.
package Storytelling::Queues;
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Copy qw(copy);
use List::Util qw(max min sum0);
use POSIX ();
use Time::HiRes qw(clock_gettime sleep time CLOCK_MONOTONIC);

my $ROOT    = abs_path(dirname(abs_path(__FILE__)) . '/../../..');
my $PEERS   = "$ROOT/tests/bench/peers";
my $PATIENT = 120;     # seconds without anything done before something is broken
my $LOOK    = 0.005;

sub build { return abs_path($ENV{PLATFORM_BUILD} // "$ROOT/build") }

# --- the servers ---

sub run_out {
    my (@command) = @_;
    open my $out, '-|', @command or die "$command[0]: $!\n";
    my $said = do { local $/; <$out> };
    close $out or die "@command: failed\n";
    chomp $said;
    return $said;
}

sub psql {
    my ($database, $sql) = @_;
    return run_out('psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-c', $sql, "$ENV{ST_TEST_PG} dbname=$database");
}

sub redis { return run_out('redis-cli', '-s', $ENV{ST_REDIS}, @_) }

sub clear {
    psql('postgres', qq{drop database "$_" with (force)})
        for split /\n/, psql('postgres', "select datname from pg_database where not datistemplate and datname <> 'postgres'");
    redis('FLUSHALL');
    psql('postgres', 'checkpoint');
}

# --- the queues ---

# How each is run: processes, jobs at a time in each of them, what is left in its store; the share of the jobs that a slow
# one gets; the one kind of work that it is for.
my $NODE = {
    setup   => sub { ('setup') },
    command => sub { my ($self, @args) = @_; return (node(), build() . '/bench/queues/queue.js', $self->{kind}, @args) },
    work    => sub { my ($self, $job) = @_; return $self->{how}{command}->($self, 'work', $job) },
};
my %GRAPHILE = (%$NODE, postgresql => 1, left => sub { psql('queue', 'select count(*) from graphile_worker._private_jobs') });
my %PGBOSS = (%$NODE, postgresql => 1, left => sub { psql('queue', "select count(*) from pgboss.job where name = 'bench' and state < 'completed'") });

my @KINDS = (
    ['bullmq', {
        %$NODE, name => 'BullMQ', processes => 1, concurrency => 50,
        left => sub { sum0(map { redis('LLEN', "bull:bench:$_") } qw(wait active)) },
    }],
    ['graphile-batched', {%GRAPHILE, name => 'graphile-worker', suffix => ' batched', processes => 2, concurrency => 24}],
    ['graphile', {%GRAPHILE, name => 'graphile-worker', processes => 2, concurrency => 24, share => 0.2}],
    ['pgboss', {%PGBOSS, name => 'pg-boss', processes => 1, concurrency => 2}],
    ['pgboss-batched', {%PGBOSS, name => 'pg-boss', suffix => ', a batch in one insert', processes => 1, concurrency => 2, only => 'effect'}],
    ['sidekiq', {
        name => 'Sidekiq', processes => 2, concurrency => 10,
        command => sub { my ($self, @args) = @_; return ('/usr/bin/ruby', "$PEERS/sidekiq.rb", @args) },
        work    => sub { my ($self) = @_; return ('/usr/bin/sidekiq', '-r', "$PEERS/sidekiq.rb", '-c', $self->{how}{concurrency}) },
        left    => sub { redis('LLEN', 'queue:default') },
    }],
    ['celery', {
        name => 'Celery', processes => 1, concurrency => 2, share => 0.1,
        command => sub { my ($self, @args) = @_; return ('/usr/bin/python3', "$PEERS/celery_queue.py", @args) },
        work    => sub {
            my ($self) = @_;
            return (qw(/usr/bin/python3 -m celery --quiet --workdir), $PEERS, qw(-A celery_queue worker -P prefork -l WARNING --without-gossip --without-mingle -c),
                $self->{how}{concurrency});
        },
        left => sub { redis('LLEN', 'celery') + redis('HLEN', 'unacked') },
    }],
);

# npm brings a Node of the version that these queues want.
sub node {
    my ($node) = (glob(build() . '/bench/queues/node_modules/node-linux-*/bin/node'), 'node');
    return $node;
}

# The programs stand beside the packages that they import, which make has installed.
sub all {
    my ($class) = @_;
    copy($_, build() . '/bench/queues') or die "$_: $!\n" for glob "$PEERS/queues/*.js";
    return map { bless {kind => $_->[0], how => $_->[1]}, $class } @KINDS;
}

sub only {
    my ($class, @kinds) = @_;
    my %wanted = map { $_ => 1 } @kinds;
    return grep { $wanted{$_->{kind}} } $class->all;
}

sub does { my ($self, $job) = @_; return !$self->{how}{only} || $self->{how}{only} eq $job }
sub in_redis { my ($self) = @_; return !$self->{how}{postgresql} }
sub kind { my ($self) = @_; return $self->{kind} }
sub label { my ($self) = @_; return "$self->{how}{name} $self->{version}" . ($self->{how}{suffix} // '') }

# --- processes ---

sub start {
    my ($self, @command) = @_;
    pipe my $read, my $write or die "pipe: $!\n";
    defined(my $pid = fork) or die "fork: $!\n";
    if (!$pid) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
        %ENV = (
            %ENV, REDIS => $ENV{ST_REDIS}, PGHOST => $ENV{ST_TEST_PG} =~ /host=(\S+)/, PGUSER => 'postgres', PGDATABASE => 'queue',
            CONCURRENCY => $self->{how}{concurrency}, REPORT => $self->{report}, NODE_ENV => 'production', C_FORCE_ROOT => 1,
            PYTHONDONTWRITEBYTECODE => 1,
        );
        open STDIN,  '<&',  $read;
        open STDOUT, '>>', "$self->{report}.log";
        open STDERR, '>&', \*STDOUT;
        close $write;
        exec @command or POSIX::_exit(127);
    }
    push @{$self->{running}}, {pid => $pid, stdin => $write};
    return $pid;
}

sub finish {
    my ($self, $pid) = @_;
    waitpid $pid, 0;
    my $status = $?;
    @{$self->{running}} = grep { $_->{pid} != $pid } @{$self->{running}};
    die "$self->{kind}: a process has failed\n", $self->log if $status;
}

sub log {
    my ($self) = @_;
    open my $in, '<', "$self->{report}.log" or return '';
    local $/;
    return <$in>;
}

sub stop {
    my ($self) = @_;
    my @pids = map { $_->{pid} } splice @{$self->{running} // []};
    kill TERM => @pids;
    my $until = time + 10;
    for my $pid (@pids) {
        while (waitpid($pid, POSIX::WNOHANG()) == 0) {
            kill KILL => $pid if time > $until;
            sleep $LOOK;
        }
    }
}

sub DESTROY {
    my ($self) = @_;
    local ($?, $@, $!);
    $self->stop;
}

# --- reports ---

# Reads what the processes have reported since.
sub look {
    my ($self) = @_;
    my $r = $self->{seen};
    seek $self->{in}, 0, 1;
    while (defined(my $line = readline $self->{in})) {
        $self->{partial} .= $line;
        last if $self->{partial} !~ /\n\z/;
        my ($what, @values) = split ' ', $self->{partial};
        $self->{partial} = '';
        $self->{changed} = time;
        if    ($what eq 'done')    { $r->{done} += $values[0]; $r->{first} = min($r->{first} // $values[1], $values[1]); $r->{last} = max($r->{last} // 0, $values[2]) }
        elsif ($what eq 'late')    { push @{$r->{late}}, $values[0] }
        elsif ($what eq 'ready')   { $r->{ready}++ }
        elsif ($what eq 'version') { $self->{version} = $values[0] }
        elsif ($what eq 'enqueued') { $r->{enqueued} = 1e6 * $values[0] / ($values[2] - $values[1]) }
    }
    return $r;
}

sub await {
    my ($self, $enough) = @_;
    $self->{changed} = time;
    until ($enough->($self->look)) {
        die "$self->{kind} goes no further\n", $self->log if time > $self->{changed} + $PATIENT;
        for my $process (@{$self->{running}}) {
            die "$self->{kind}: a process has ended\n", $self->log if waitpid($process->{pid}, POSIX::WNOHANG()) == $process->{pid};
        }
        sleep $LOOK;
    }
    return $self->{seen};
}

# --- what is measured ---

my $made = 0;

sub prepare {
    my ($self) = @_;
    clear();
    psql('postgres', 'create database queue');
    psql('queue',    'create table effects (id bigint primary key)');
    $self->{report} = "$ENV{ST_TEST_DIR}/$self->{kind}-" . ++$made;
    open my $new, '>', $self->{report} or die "$self->{report}: $!\n";
    open $self->{in}, '<', $self->{report} or die "$self->{report}: $!\n";
    @$self{qw(seen partial running)} = ({done => 0, ready => 0, late => []}, '', []);
    $self->finish($self->start($self->{how}{command}->($self, 'setup')));
    $self->look;
}

sub start_workers {
    my ($self, $job, $processes) = @_;
    $self->start($self->{how}{work}->($self, $job)) for 1 .. $processes;
    $self->await(sub { $_[0]{ready} == $processes });
    syswrite $_->{stdin}, "go\n" for @{$self->{running}};
}

sub drain {
    my ($self, $job, $count) = @_;
    $count *= $self->{how}{share} // 1;
    $self->prepare;
    $self->finish($self->start($self->{how}{command}->($self, 'enqueue', $job, $count)));
    psql('queue', 'vacuum analyze') if $self->{how}{postgresql};
    $self->start_workers($job, $self->{how}{processes});
    my $r = $self->await(sub { $_[0]{done} >= $count });
    my $end = $r->{last};
    while ($self->{how}{left}->() > 0) {
        $end = 1e6 * clock_gettime(CLOCK_MONOTONIC);
        die "$self->{kind}: jobs are left\n", $self->log if time > $self->{changed} + $PATIENT;
    }
    $self->stop;
    die "$self->{kind}: $r->{done} jobs of $count were done\n" if $r->{done} != $count;
    my $rows = $job eq 'effect' ? psql('queue', 'select count(*) from effects') : $count;
    die "$self->{kind}: $rows rows of $count jobs\n" if $rows != $count;
    return {enqueued => $r->{enqueued}, done => 1e6 * $count / ($end - $r->{first})};
}

# One process works: at this rate several only take turns.
sub latency {
    my ($self, $count, $rate) = @_;
    $self->prepare;
    $self->start_workers('latency', 1);
    my $warm = int $rate / 2;
    for my $jobs ($warm, $count) {
        $self->{seen}{late} = [];
        $self->finish($self->start($self->{how}{command}->($self, 'produce', 'latency', $jobs, $rate)));
        $self->await(sub { @{$_[0]{late}} >= $jobs });
    }
    $self->stop;
    return @{$self->{seen}{late}};
}

1;
