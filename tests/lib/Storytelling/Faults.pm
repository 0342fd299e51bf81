package Storytelling::Faults;

# Servers, daemons and clients of a test that breaks them: two services (tests/fault/orders.c publishes, billing.c
# consumes and has an outside service called), a PostgreSQL, a Redis, and a stand-in for the outside with a ledger of
# its own. At the end the tables and the ledger say what was lost, what was doubled, and whether order was kept.
#
#   my $w = Storytelling::Faults->new;          servers run, databases are there; all of it is gone when the test ends
#   $w->start('orders'); $w->start('billing', via => ['postgres', 'redis'], env => {ST_X => 1}, with => ['faketime', ..]);
#   $w->{via}{postgres}, {via}{redis}           the Storytelling::Between of daemons that were started `via`
#   $w->end('billing', 'KILL')                  a signal, and waits for the end; start() starts it again
#   $w->place($key, $basket, %more)             one request: {status, headers, json}
#   $w->surely($key, $basket, %more)            as a careful client: with its key, until the answer is known
#   my $load = $w->load(clients => 3);  ...;  $w->rest($load)     clients that order all the time; rest waits for them
#   $w->sound('after ...')                      assertions: everything has come to its end; lost, doubled, order
#   $w->postgres_stop('INT'), postgres_start, redis_stop('KILL'), redis_start(@options), redis(@command), sql($db, $sql)
use strict;
use warnings;
use Digest::SHA qw(hmac_sha256_hex);
use File::Temp qw(tempdir);
use IO::Select;
use IO::Socket::UNIX;
use JSON::PP ();
use POSIX qw(WNOHANG);
use Storytelling::Between;
use Storytelling::Platform;
use Storytelling::Sql;
use Storytelling::Wait;
use Test::More ();
use Time::HiRes qw(sleep time);

our $SERVICES = "$Storytelling::Platform::ROOT/tests/fault";
my @DATABASES = qw(orders billing audit);
my $KEY       = 'k' x 40;
my $JSON      = JSON::PP->new->utf8->canonical;
our ($PG_BIN) = reverse sort glob '/usr/lib/postgresql/*/bin';

our $ROUNDS = $ENV{FAULT_ROUNDS} // 1;    # how often what happens at random is done, times what is usual

sub new {
    my ($class, %option) = @_;
    my $dir = tempdir('storytelling-fault-XXXXXX', TMPDIR => 1);
    chmod 0755, $dir;
    my $self = bless {dir => $dir, owner => $$, daemons => {}, clients => {}, option => \%option, via => {}}, $class;
    mkdir "$dir/$_" for qw(pg run redis sql via objects env log);
    _write("$dir/edge.key", "$KEY\n");
    $self->{watch} = $self->_guard;
    $self->_make_postgres;
    $self->redis_start(@{$option{redis} // []});
    $self->_make_databases;
    $self->_stand_in;
    $self->{via}{postgres} = Storytelling::Between->start("$dir/via/.s.PGSQL.5432", "$dir/pgrun/.s.PGSQL.5432", $self->{rope});
    $self->{via}{redis} = Storytelling::Between->start("$dir/via/redis.sock", "$dir/run/redis.sock", $self->{rope});
    return $self;
}

sub _write { my ($path, $text) = @_; open my $out, '>', $path or die "$path: $!\n"; print $out $text; close $out }
sub _slurp { my ($path) = @_; open my $in, '<', $path or return ''; local $/; return scalar(<$in>) // '' }

# When the test ends, however it does, this process ends what it has left.
sub _guard {
    my ($self) = @_;
    pipe my $read, my $rope or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    return ($self->{guard} = $pid, $self->{rope} = $rope)[0] if $pid;
    POSIX::setsid();
    $0 = "$Storytelling::Platform::GUARD $self->{dir}";
    $_ == fileno $read or POSIX::close($_) for 3 .. 255;
    $SIG{$_} = 'IGNORE' for qw(INT TERM HUP PIPE);
    open $_->[0], $_->[1], '/dev/null' for [*STDIN, '<'], [*STDOUT, '>'], [*STDERR, '>'];
    sysread $read, my $byte, 1;
    for (1 .. 50) {
        my @left = grep { (readlink "/proc/$_/cwd" // '') =~ m{^\Q$self->{dir}\E(?:/|$)} } map { m{(\d+)$} } glob '/proc/[0-9]*';
        last if !@left;
        kill CONT => @left;
        kill KILL => @left;
        sleep 0.05;
    }
    system 'rm', '-rf', '--', $self->{dir};
    POSIX::_exit(0);
}

# Runs the code in a process of its own, in our folder, whatever becomes of it. Gives the pid.
sub aside {
    my ($self, $code) = @_;
    my $pid = fork // die "fork: $!\n";
    return $pid if $pid;
    close $self->{rope};
    chdir $self->{dir};
    $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
    my $ok = eval { $code->(); 1 };
    print STDERR $@ if !$ok;
    POSIX::_exit($ok ? 0 : 1);
}

# A process in our folder (that is how the guard knows it), its words in a log. Gives the pid.
sub launch {
    my ($self, $log, $env, @command) = @_;
    my $pid = fork // die "fork: $!\n";
    return $pid if $pid;
    $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP QUIT PIPE);
    chdir($self->{in} // $self->{dir}) or POSIX::_exit(126);
    open STDIN, '<', '/dev/null';
    open STDOUT, '>>', "$self->{dir}/log/$log" or POSIX::_exit(126);
    open STDERR, '>&', \*STDOUT;
    $ENV{$_} = $env->{$_} for keys %$env;
    delete @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS)};
    exec { $command[0] } @command or POSIX::_exit(127);
}

# Bare systems have no pgrep.
sub children {
    my ($parent) = @_;
    return grep { _slurp("/proc/$_/stat") =~ /\) \S $parent /a } map { m{^/proc/(\d+)/}a } glob '/proc/[0-9]*/stat';
}

sub as_postgres { return $> == 0 ? ('/usr/bin/setpriv', '--reuid=postgres', '--regid=postgres', '--init-groups', @_) : @_ }

sub until_true {
    my ($what, $true) = @_;
    return wait_for($true) || (defined $what ? die "waited in vain for $what\n" : undef);
}

# --- PostgreSQL ---

sub _make_postgres {
    my ($self) = @_;
    my $dir = $self->{dir};
    mkdir "$dir/pgrun";
    my @owner = $> == 0 ? (getpwnam 'postgres')[2, 3] : ($>, $( + 0);
    chown @owner, "$dir/pg", "$dir/pgrun";
    my $said = Storytelling::Platform::capture(as_postgres("$PG_BIN/initdb", '-D', "$dir/pg/data", '-A', 'trust', '-U', 'postgres', '--no-sync', '--no-instructions', '--locale=C.UTF-8'));
    die $said->{out} if $said->{exit};
    my %setting = (
        listen_addresses => "''", unix_socket_directories => "'$dir/pgrun'", fsync => 'off', shared_buffers => '32MB',
        max_connections => 80, deadlock_timeout => '20ms', restart_after_crash => 'on', %{$self->{option}{postgres} // {}},
    );
    open my $out, '>>', "$dir/pg/data/postgresql.conf" or die "$dir/pg/data: $!\n";
    print $out map { "$_ = $setting{$_}\n" } sort keys %setting;
    close $out;
    $self->postgres_start;
}

sub postgres_start {
    my ($self) = @_;
    local $self->{in} = "$self->{dir}/pg";
    # The backends of a killed server need a moment to notice.
    until_true('PostgreSQL', sub {
        return if $self->{postgres} && waitpid($self->{postgres}, WNOHANG) == 0 && !$self->_ready;
        $self->{postgres} = $self->launch('postgres.log', {}, as_postgres("$PG_BIN/postgres", '-D', "$self->{dir}/pg/data")) if !$self->{postgres} || !kill 0, $self->{postgres};
        return $self->_ready;
    });
}

sub _ready { my ($self) = @_; return !Storytelling::Platform::capture("$PG_BIN/pg_isready", '-q', '-h', "$self->{dir}/pgrun")->{exit} }

sub postgres_stop {
    my ($self, $signal) = @_;
    kill $signal => $self->{postgres};
    waitpid delete $self->{postgres}, 0;
}

# Rows as lines of tab-separated text; undef when the database did not answer.
sub try_sql {
    my ($self, $database, $sql) = @_;
    return eval { Storytelling::Sql::lines("host=$self->{dir}/pgrun user=postgres dbname=$database", $sql) };
}

sub sql {
    my ($self, $database, $sql) = @_;
    my $rows = $self->try_sql($database, $sql) // die "$database: $@";
    return wantarray ? @$rows : $rows->[0];
}

sub _make_databases {
    my ($self) = @_;
    my $dir = $self->{dir};
    symlink "$Storytelling::Platform::ROOT/sql/common", "$dir/sql/common";
    for my $name (@DATABASES) {
        symlink "$SERVICES/sql/$name", "$dir/sql/$name";
        $self->sql('postgres', "create role $name login");
        $self->sql('postgres', "create database $name owner $name");
        _write("$dir/env/$name.env", join '', map { "$_->[0]=$_->[1]\n" } sort { $a->[0] cmp $b->[0] } map { [$_, $self->environment($name)->{$_}] } keys %{$self->environment($name)});
    }
    my $said = $self->storyctl('migrate');
    die $said->{out} if $said->{exit};
}

sub storyctl {
    my ($self, @arguments) = @_;
    local @ENV{qw(ST_ENV_DIR ST_SQL_DIR)} = ("$self->{dir}/env", "$self->{dir}/sql");
    return Storytelling::Platform::capture(Storytelling::Platform::build() . '/bin/storyctl', @arguments);
}

# --- Redis ---

sub redis_start {
    my ($self, @options) = @_;
    my $dir = $self->{dir};
    @options = ('--appendonly', 'no') if !@options;
    local $SIG{XFSZ} = 'IGNORE';    # a full disk is an error, not a signal
    my @limit = $self->{redis_disk} ? ('/usr/bin/prlimit', "--fsize=$self->{redis_disk}:unlimited") : ();
    $self->{redis} = $self->launch('redis.log', {}, @limit, '/usr/bin/redis-server', '--port', 0, '--unixsocket', "$dir/run/redis.sock", '--dir', "$dir/redis", '--save', '', '--maxmemory-policy', 'noeviction', @options);
    until_true('Redis', sub { $self->redis('PING') eq 'PONG' });
}

sub redis_stop {
    my ($self, $signal) = @_;
    kill $signal => $self->{redis};
    waitpid delete $self->{redis}, 0;
}

sub redis {
    my ($self, @command) = @_;
    my $out = Storytelling::Platform::capture('redis-cli', '-s', "$self->{dir}/run/redis.sock", @command)->{out};
    chomp $out;
    return $out;
}

# --- daemons ---

sub environment {
    my ($self, $service, %option) = @_;
    my $dir = $self->{dir};
    my %via = map { $_ => 1 } @{$option{via} // []};
    return {
        ST_CONFIG_DIR => "$SERVICES/config", ST_RUN_DIR => "$dir/run", ST_OBJECT_DIR => "$dir/objects", ST_EDGE_KEY_FILE => "$dir/edge.key",
        ST_DATABASE => 'host=' . ($via{postgres} ? "$dir/via" : "$dir/pgrun") . " dbname=$service user=$service",
        ST_REDIS => $via{redis} ? "$dir/via/redis.sock" : "$dir/run/redis.sock",
        ST_OUTSIDE => "$dir/run/outside.sock", ST_DRAIN_SECONDS => 10, %{$option{env} // {}},
    };
}

# as: another name, for a second process of the service.
sub start {
    my ($self, $service, %option) = @_;
    my $name = $option{as} // $service;
    my $lines = () = _slurp("$self->{dir}/log/$name.log") =~ /"Ready"/g;
    my $pid = $self->launch("$name.log", $self->environment($service, %option), @{$option{with} // []}, Storytelling::Platform::build() . "/tests/fault/${service}d");
    $self->{daemons}{$name} = {pid => $pid, service => $service, option => \%option};
    return $pid if $option{early};
    until_true("$name to be ready", sub {
        die "$name ended:\n" . _slurp("$self->{dir}/log/$name.log") if waitpid($pid, WNOHANG) == $pid;
        return $lines < (() = _slurp("$self->{dir}/log/$name.log") =~ /"Ready"/g);
    });
    return $pid;
}

sub pid { my ($self, $name) = @_; return ($self->{daemons}{$name} // {})->{pid} }

# Sends the signal and waits; gives the status as waitpid does.
sub end {
    my ($self, $name, $signal) = @_;
    my $daemon = delete $self->{daemons}{$name} or die "$name does not run\n";
    kill $signal => $daemon->{pid};
    waitpid $daemon->{pid}, 0;
    return $?;
}

# Has it ended by itself? Then it is forgotten.
sub ended {
    my ($self, $name) = @_;
    my $daemon = $self->{daemons}{$name} or return 1;
    return if waitpid($daemon->{pid}, WNOHANG) == 0;
    delete $self->{daemons}{$name};
    return 1;
}

# Work of a dead process is taken over when its leases have ended. Once it is dead they may end at once.
sub end_leases {
    my ($self, $name) = @_;
    $self->sql('billing', "update jobs set lease_until = clock_timestamp() where state = 'running'") if $name eq 'billing';
    my @keys = split /\n/, $self->redis('KEYS', "st:lease:$name:*");
    $self->redis('DEL', @keys) if @keys;
}
sub log_of { my ($self, $name) = @_; return _slurp("$self->{dir}/log/$name.log") }

# The next handler that comes to this point (fault_point in tests/fault) kills or stops its process; only that one.
sub kill_at { my ($self, $where) = @_; _write("$self->{dir}/run/kill-$where", ''); return }
sub stop_at { my ($self, $where) = @_; _write("$self->{dir}/run/stop-$where", ''); return }
# Who comes to this point is held there until he is let go.
sub hold_at { my ($self, $where) = @_; _write("$self->{dir}/run/hold-$where", ''); return }
sub is_held { my ($self, $where) = @_; return -e "$self->{dir}/run/held-$where" }
sub let_go {
    my ($self, $where) = @_;
    unlink "$self->{dir}/run/hold-$where" or die "nobody is to be held at $where: $!\n";
    until_true("who is held at $where to go on", sub { !$self->is_held($where) });
    return;
}

# --- the outside ---

# PUT /charges/KEY/ORDER charges, once for each key; GET tells whether it was. `forgets`: every so many-th PUT is done
# but not answered. Each request is a line of the ledger before it is answered: method, key, order, what was done.
sub _stand_in {
    my ($self) = @_;
    my $forgets = $self->{option}{forgets} // 0;
    my $socket = IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => "$self->{dir}/run/outside.sock", Listen => 128) or die "outside.sock: $!\n";
    $self->{outside} = $self->aside(sub { $self->_serve($socket, $forgets) });
}

sub _serve {
    my ($self, $socket, $forgets) = @_;
    $SIG{PIPE} = 'IGNORE';
    open my $ledger, '>>', "$self->{dir}/ledger" or die "ledger: $!\n";
    my (%charged, $puts);
    while (my $client = $socket->accept) {
        my $head = '';
        while ($head !~ /\r\n\r\n/) { sysread $client, $head, 4096, length $head or last }
        my ($method, $key, $order) = $head =~ m{^(GET|PUT) /charges/([^/ ]+)/([^/ ]+) } or next;
        my $known = $charged{$key};
        my $done = $method eq 'GET' ? ($known ? 'found' : 'missing') : $known ? 'repeat' : 'charged';
        $charged{$key} = 1 if $method eq 'PUT';
        syswrite $ledger, "$method\t$key\t$order\t$done\n";
        next if $method eq 'PUT' && $forgets && ++$puts % $forgets == 0;
        my $status = $done eq 'missing' ? '404 Not Found' : '200 OK';
        syswrite $client, "HTTP/1.1 $status\r\nContent-Length: " . length($done) . "\r\nConnection: close\r\n\r\n$done";
    }
}

# --- clients ---

sub _request {
    my ($self, $path, $key, $body) = @_;
    my %who = (operation => '', user => '00000000-0000-7000-8000-000000000001', session => '', roles => '', tier => '', correlation => "c-$key", address => '192.0.2.1', time => int time);
    my $text = $JSON->encode($body);
    my $signature = hmac_sha256_hex(join('', map { "$_\n" } 'POST', $path, @who{qw(operation user session roles tier correlation address time)}), $KEY);
    return join "\r\n", "POST $path HTTP/1.1", 'Host: orders', 'Connection: close', 'Content-Type: application/json', 'Content-Length: ' . length $text,
        "Idempotency-Key: $key", "X-Api-User: $who{user}", "X-Api-Correlation-Id: $who{correlation}", "X-Api-Address: $who{address}", "X-Api-Time: $who{time}", "X-Api-Signature: $signature", '', $text;
}

sub post {
    my ($self, $path, $key, $body, $seconds) = @_;
    return $self->_ask('orders', $self->_request($path, $key, $body), $seconds);
}

# A probe: /health, /metrics.
sub get {
    my ($self, $service, $path) = @_;
    return $self->_ask($service, "GET $path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
}

# Waits until a daemon's /health says so of the database or the eventBus, and gives all of it.
sub health {
    my ($self, $service, $part, $state) = @_;
    return until_true(undef, sub {
        my $health = $self->get($service, '/health')->{json};
        return ($health->{dependencies}{$part} // '') eq $state && $health;
    });
}

# Status 0: no answer, or none within the time.
sub _ask {
    my ($self, $service, $request, $seconds) = @_;
    local $SIG{PIPE} = 'IGNORE';
    my $socket = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => "$self->{dir}/run/$service.sock") or return {status => 0};
    syswrite $socket, $request or return {status => 0};
    my $answer = '';
    my $until = time + ($seconds // 90);
    while ($answer !~ /\r\n\r\n/ || length($answer) < $+[0] + ($answer =~ /^content-length: (\d+)/im ? $1 : 1e9)) {
        my $left = $until - time;
        return {status => 0} if $left <= 0 || !IO::Select->new($socket)->can_read($left);
        sysread $socket, $answer, 65536, length $answer or last;
    }
    my ($head, $content) = split /\r\n\r\n/, $answer, 2;
    my ($status) = ($head // '') =~ m{^HTTP/1\.1 (\d+)} or return {status => 0};
    my %headers = $head =~ /^([\w-]+): *([^\r\n]*)/mg;
    %headers = map { lc $_ => $headers{$_} } keys %headers;
    return {status => $status, headers => \%headers, content => $content, json => eval { $JSON->decode($content) } // {}};
}

sub place { my ($self, $key, $basket, %more) = @_; return $self->post('/v1/orders', $key, {clientKey => $key, basket => $basket, %more}) }

sub _patiently {
    my ($self, $path, $key, $body, $note) = @_;
    return until_true("an answer to $key", sub {
        my $answer = $self->post($path, $key, $body);
        $note->($answer) if $note && $answer->{status} != 201;
        die "$key: $answer->{status} " . $JSON->encode($answer->{json}) . "\n" if $answer->{status} !~ /^(?:0|201|409|50[0-9])$/;
        return $answer if $answer->{status} == 201;
        sleep 0.05;
        return;
    });
}

sub surely {
    my ($self, $key, $basket, %more) = @_;
    my $answer = $self->_patiently('/v1/orders', $key, {clientKey => $key, basket => $basket, %more});
    $self->{accepted}{$key} = $answer->{json}{orderId};
    return $answer;
}

# Clients in processes of their own, until rest. count: so many each, then they end. path: '/v1/transfers'.
sub load {
    my ($self, %option) = @_;
    my $number = ++$self->{loads};
    my $file = "$self->{dir}/load-$number";
    my @pids;
    for my $client (1 .. $option{clients} // 3) {
        push @pids, $self->aside(sub { srand $client; $self->_client("$file-$client", "$number-$client", %option) });
    }
    return {file => $file, pids => \@pids};
}

sub _client {
    my ($self, $file, $name, %option) = @_;
    open my $out, '>', $file or die "$file: $!\n";
    my $stop = "$self->{dir}/load-" . ($name =~ /^(\d+)/)[0] . '.stop';
    for my $i (1 .. $option{count} // 1e9) {
        last if -e $stop;
        my $key = "load-$name-$i";
        my $basket = 'basket-' . int rand($option{baskets} // 5);
        my ($path, $body, $same) = $option{request} ? $option{request}->($key) : ('/v1/orders', {clientKey => $key, basket => $basket});
        $key = $same if defined $same;
        my $note = sub { my ($answer) = @_; syswrite $out, join("\t", 'refused', $answer->{status}, $answer->{headers}{'retry-after'} // '') . "\n" };
        my $answer = $self->_patiently($path, $key, $body, $note);
        syswrite $out, "accepted\t$key\t$answer->{json}{orderId}\n";
        sleep rand 2 * ($option{pause} // 0.005);
    }
}

# Waits until the clients have that many answers that accept.
sub goes_on {
    my ($self, $load, $n) = @_;
    until_true("$n requests to be accepted", sub { $n <= (() = join('', map { _slurp($_) } grep { !/stop$/ } glob "$load->{file}-*") =~ /^accepted/mg) });
}

# Waits until the clients have ended; what they were told is kept. Gives the number of accepted requests.
sub rest {
    my ($self, $load) = @_;
    _write("$load->{file}.stop", '');
    my $bad = 0;
    for (@{$load->{pids}}) { waitpid $_, 0; $bad++ if $? }
    die "$bad clients did not come to an end\n" if $bad;
    my $n = 0;
    for (map { split /\n/, _slurp($_) } grep { !/stop$/ } glob "$load->{file}-*") {
        my ($what, @value) = split /\t/;
        if ($what eq 'accepted') { $self->{accepted}{$value[0]} = $value[1]; $n++ }
        else { push @{$self->{refused}}, [$value[0], $value[1] // ''] }
    }
    return $n;
}

# --- the account ---

# Order within a basket: of rows (basket, n) in the order of their positions, those that come before a smaller n.
my $SWAPPED = 'select count(*) from (select n, lag(n) over (partition by basket order by position) as before from %s) t where before >= n';

sub _tally {
    my ($wanted, @have) = @_;
    my (%count, $lost, $doubled);
    $count{$_}++ for @have;
    $lost = grep { !$count{$_} } @$wanted;
    $doubled += $_ - 1 for values %count;
    return [$lost, $doubled // 0];
}

# Of each station: [lost, doubled].
sub account {
    my ($self) = @_;
    my @keys = keys %{$self->{accepted}};
    my @orders = values %{$self->{accepted}};
    my %station = (
        'orders by key' => _tally(\@keys, $self->sql('orders', 'select client_key from orders')),
        'orders' => _tally(\@orders, $self->sql('orders', 'select order_id from orders')),
    );
    my @live = $self->_live(@orders);
    $station{bookings} = _tally(\@live, $self->sql('billing', 'select order_id from bookings'));
    $station{charged} = _tally(\@live, $self->sql('billing', 'select order_id from charged'));
    $station{ledger} = _tally(\@live, map { /^PUT\t\S+\t(\S+)\tcharged$/ ? $1 : () } split /\n/, _slurp("$self->{dir}/ledger"));
    $station{"confirmed $_"} = _tally(\@live, $self->sql('orders', "select order_id from confirmations where what = '$_'")) for qw(OrderBooked OrderCharged);
    return \%station;
}

# PUTs of a key that had been charged: an outside that knows no keys would have charged twice.
sub repeats { my ($self) = @_; return scalar grep { /\trepeat$/ } split /\n/, _slurp("$self->{dir}/ledger") }

# The orders that are no dead letters; there are dead letters that no order is behind.
sub _live {
    my ($self, @orders) = @_;
    my %rejected = map { $_ => 1 } $self->sql('billing', "select envelope->'payload'->>'orderId' from parked_events where state = 'dead' and envelope->'payload' ? 'orderId'");
    return grep { !$rejected{$_} } @orders;
}

sub settled {
    my ($self) = @_;
    my @live = $self->_live($self->sql('orders', 'select order_id from orders'));
    my $waiting = $self->sql('billing', "select (select count(*) from jobs where state in ('waiting', 'running')) + (select count(*) from parked_events where state = 'waiting')");
    my $confirmed = $self->sql('orders', 'select count(distinct (order_id, what)) from confirmations');
    return $waiting == 0 && $confirmed >= 2 * @live;
}

sub sound {
    my ($self, $name, %option) = @_;
    my $settled = until_true(undef, sub { $self->settled });
    Test::More::ok($settled, "$name: everything comes to its end") or Test::More::diag($self->story);
    my $stations = $self->account;
    Test::More::is_deeply({map { $_ => $stations->{$_}[0] } keys %$stations}, {map { $_ => 0 } keys %$stations}, "$name: lost = 0 (of " . keys(%{$self->{accepted}}) . ')');
    Test::More::is_deeply({map { $_ => $stations->{$_}[1] } keys %$stations}, {map { $_ => 0 } keys %$stations}, "$name: doubled = 0");
    my $swapped = $self->sql('billing', sprintf $SWAPPED, 'bookings') + $self->sql('orders', sprintf $SWAPPED, "(select * from confirmations where what = 'OrderBooked') c");
    Test::More::is($swapped, 0, "$name: the order of each basket is kept");
    Test::More::is($self->repeats, $self->{repeated} // 0, "$name: no outside call is repeated blindly") if !$option{repeats};
    my $dead = $self->sql('billing', "select (select count(*) from parked_events where state = 'dead') + (select count(*) from jobs where state = 'dead')") + $self->sql('orders', "select count(*) from parked_events where state = 'dead'");
    Test::More::is($dead, $option{dead} // 0, "$name: dead letters: " . ($option{dead} // 0));
}

# For a failure: where things stand.
sub story {
    my ($self) = @_;
    my @lines;
    for my $database (@DATABASES) {
        push @lines, "$database parked: $_" for @{$self->try_sql($database, 'select state, attempts, run_at, error, count(*) from parked_events group by 1, 2, 3, 4 limit 10') // []};
        push @lines, "$database jobs: $_" for @{$self->try_sql($database, 'select state, attempts, run_at, lease_until, error, count(*) from jobs group by 1, 2, 3, 4, 5 limit 10') // []};
        push @lines, "$database position: $_" for @{$self->try_sql($database, 'select stream, ms, n, fence from stream_positions') // []};
        push @lines, "$database log: $_" for (split /\n/, $self->log_of($database))[-15 .. -1];
    }
    return join "\n", grep { defined } @lines;
}

sub stop {
    my ($self) = @_;
    return if $self->{owner} != $$ || !$self->{rope};
    $_ and $_->stop for values %{$self->{via}};
    for my $pid (map { $_->{pid} } values %{$self->{daemons}}) { kill CONT => $pid; kill KILL => $pid; waitpid $pid, 0 }
    kill(KILL => $self->{outside}), waitpid $self->{outside}, 0 if $self->{outside};
    kill(KILL => $self->{redis}), waitpid $self->{redis}, 0 if $self->{redis};
    kill(CONT => $self->{postgres}), kill(QUIT => $self->{postgres}), waitpid $self->{postgres}, 0 if $self->{postgres};
    system 'cp', '-r', '--', "$self->{dir}/log", $ENV{FAULT_LOGS} if $ENV{FAULT_LOGS};
    close delete $self->{rope};
    waitpid $self->{guard}, 0;
}

sub DESTROY { my ($self) = @_; local ($?, $@, $!); $self->stop }

1;
