# The launcher: idempotent, isolated, and nothing is lost when everything is killed.
use strict;
use warnings;
use IO::Socket::INET;
use JSON::PP;
use Test::More;
use Storytelling::Platform;
use Storytelling::Client;

my $platform = Storytelling::Platform->start;
my $var      = $platform->var;
my @services = map { m{([^/]+)\.env$} } sort glob "$var/env/*.env";
my @parts    = ('postgres', 'redis', @services, 'edge');

sub launcher {
    my ($verb, @arguments) = @_;
    return $platform->run("$Storytelling::Platform::ROOT/systemd/platform", $verb, '--var', $var, '--build', Storytelling::Platform::build(), @arguments);
}
sub pids { return join ' ', map { $platform->pid($_) } @parts }
sub redis { return $platform->run('redis-cli', '-s', "$var/run/redis.sock", @_)->{out} }

my @units = map { m{storytelling-(\w+)\.service$} && $1 ne 'edge' ? $1 : () } glob "$Storytelling::Platform::ROOT/systemd/*.service";
is_deeply \@services, [sort @units], 'all services of the units';
my $status = launcher('status', '--json');
is $status->{exit}, 0, 'status says healthy by its exit code';
my $json = decode_json($status->{out});
is $json->{status}, 'healthy', 'and in words';
is_deeply [map { $_->{name} } @{$json->{parts}}], \@parts, 'for each part';
is scalar(grep { $_->{health} eq 'healthy' && $_->{memoryKb} > 0 } @{$json->{parts}}), @parts, 'with its memory';

my $before = pids();
is launcher('up')->{exit}, 0, 'a second up succeeds';
is pids(), $before, 'and starts nothing again';

for my $part (@parts) {
    my $fds = '/proc/' . $platform->pid($part) . '/fd';
    is readlink("$fds/0"), '/dev/null', "$part has no terminal";
    my @pipes = grep { defined && /^pipe:/ } map { readlink } map { "$fds/$_" } 0 .. 2;
    is_deeply \@pipes, [], "$part holds no pipe of whoever started it";
}

sub contents { open my $in, '<', shift or return ''; local $/; return <$in> }
for my $service (@services) {
    my $nice = $service eq 'video' ? 10 : 0;    # as its unit has it
    my $pid  = $platform->pid($service);
    is((split ' ', contents("/proc/$pid/stat") =~ s/^.*\) //sr)[16], $nice, "$service " . ($nice ? 'lets the others go before' : 'is as nice as any'));
    my ($session) = contents("/proc/$pid/autogroup") =~ /nice (-?\d+)/;
    is $session, $nice, 'and its session' if defined $session;
}

for my $secret (qw(edge.key identity.pem master.key tls.key), map { "database/$_" } @services) {
    is((stat "$var/secrets/$secret")[2] & 077, 0, "secrets/$secret is nobody else's");
}
is((stat "$var/env/$_.env")[2] & 077, 0, "env/$_.env is nobody else's") for @services;

# Own role and password, any other database.
for my $service (@services) {
    my $other = $service eq 'story' ? 'identity' : 'story';
    my $conninfo = $platform->environment($service)->{ST_DATABASE} =~ s/dbname=\w+/dbname=$other/r;
    my $said = $platform->run('psql', '-XqAt', '-d', $conninfo, '-c', 'select 1');
    isnt $said->{exit}, 0, "$service cannot connect to the database of $other";
}
my $wrong = $platform->environment('story')->{ST_DATABASE} =~ s/password=\w+/password=guess/r;
isnt $platform->run('psql', '-XqAt', '-d', $wrong, '-c', 'select 1')->{exit}, 0, 'nor without its password';

if ($> == 0) {
    my ($uid) = map { /^Uid:\s+(\d+)/ ? $1 : () } do { open my $in, '<', '/proc/' . $platform->pid('story') . '/status'; <$in> };
    is $uid, scalar getpwnam('storytelling'), 'the daemons gave up root';
}

# A taken port is told, and nothing that runs is disturbed.
my $taken = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 1) or die;
my $refused = launcher('up', '--port', $taken->sockport);
isnt $refused->{exit}, 0, 'a taken port fails';
like $refused->{out}, qr/port \d+ is taken/, 'and says so';
is launcher('up', '--port', $platform->port)->{exit}, 0, 'the old port serves again';
is $platform->client->get('/health')->{status}, 200, 'over HTTPS';

# Everything dies at once.
$platform->sql('story', 'create table survivor (n int)');
$platform->sql('story', 'insert into survivor values (7)');
redis(qw(set survivor 7));
sleep 2;    # Redis promises what is older than a second
$platform->kill($_, 'KILL') for reverse @parts;
isnt launcher('status')->{exit}, 0, 'status says that it is gone';
is launcher('up')->{exit}, 0, 'it starts again';
is_deeply [$platform->sql('story', 'select n from survivor')], [7], 'the database has lost nothing';
is redis(qw(get survivor)), "7\n", 'nor has Redis';
is $platform->client->get('/health')->{status}, 200, 'and it serves';

# One daemon dies.
my ($story, $identity) = map { $platform->pid($_) } qw(story identity);
$platform->kill('story', 'KILL');
isnt launcher('status')->{exit}, 0, 'status sees one that is missing';
is launcher('up')->{exit}, 0, 'up starts it';
isnt $platform->pid('story'), $story, 'anew';
is $platform->pid('identity'), $identity, 'and leaves the others';

# A record that names a process which is not ours.
my $analytics = $platform->pid('analytics');
open my $record, '<', "$var/process/analytics" or die;
my (undef, $start, $boot) = split ' ', <$record>;
open $record, '>', "$var/process/analytics" or die;
my $stranger = fork // die;
if (!$stranger) { sleep 60; exit }
print $record "$stranger $start $boot\nx\n";
close $record;
my $down = launcher('down');
is $down->{exit}, 0, 'down succeeds' or diag $down->{out};
ok kill(0, $stranger), 'and leaves a stranger alone whose pid stands in a record';
kill 'KILL', $stranger, $analytics;
waitpid $stranger, 0;
is launcher('down')->{exit}, 0, 'down twice is no error';

done_testing;
