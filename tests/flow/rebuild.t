# Tables that are projections: the log makes the same rows again, while the service goes on, and whatever ends a rebuild.
use strict;
use warnings;
use JSON::PP ();
use Test::More;
use Storytelling::Platform;
use Storytelling::Client;

my $platform = Storytelling::Platform->shared;
my $client   = $platform->client;
my $JSON     = JSON::PP->new;
my $BIN      = Storytelling::Platform::build() . '/bin';

my @services = grep {
    @{$JSON->decode($platform->run("$BIN/${_}d", '--describe')->{out})->{projections}};
} qw(analytics authorization collaboration identity narration notification story subscription video);

sub rebuild {
    my ($service, @option) = @_;
    return $platform->storyctl('--json', 'rebuild', $service, @option);
}
sub check { return $JSON->decode(rebuild($_[0], '--check')->{out}) }

# All rows of the tables, as text.
my %tables;
sub dump_of {
    my ($service) = @_;
    $tables{$service} //= [map { $_->{table} } @{check($service)->{tables}}];
    return join "\n", map { ("$_:", $platform->sql($service, "select t::text from $_ t order by 1")) } @{$tables{$service}};
}

# --- something of everything happens ---

my $author = $client->register_user(displayName => 'Ada');
my $gone   = $client->register_user(displayName => 'Gone');
my $again  = sprintf 'again%d.%06x@example.org', $$, rand 0xffffff;
for my $name ('First', 'Second') {
    is $client->post('/v1/auth/register', json => {email => $again, password => 'a password to forget', displayName => $name})->{status}, 202,
        "an address is registered: $name";
}
my $me = $client->get('/v1/me', token => $author->{token});
my $named = $client->patch('/v1/me', json => {displayName => 'Ada Lovelace', locale => 'de'}, token => $author->{token}, headers => {'If-Match' => $me->{headers}{etag}});
is $named->{status}, 200, 'a profile changes';
is $client->post('/v1/stories', json => {title => "Story $_", content => 'A story.'}, token => $author->{token})->{status}, 201, 'a story is posted' for 1 .. 3;
for my $host ($author, $gone) {    # of the one who goes, addresses go too
    my $friend = $client->register_user(displayName => 'Friend');
    my $silent = sprintf 'silent%d.%06x@example.org', $$, rand 0xffffff;
    my $told = $client->post('/v1/stories', json => {title => 'Told together', content => 'A story.'}, token => $host->{token})->{json}{storyId};
    my $room = wait_for(sub { $client->post('/v1/collaborations', json => {storyId => $told}, token => $host->{token})->{json}{collaborationId} });
    $client->post("/v1/collaborations/$room/invitations", json => {email => $_, role => 'voice'}, token => $host->{token}) for $friend->{email}, $silent;
    ok $client->wait_for_mail($silent, qr/Told together/), 'somebody is invited';
    my $code = code_of($client->wait_for_mail($friend->{email}, qr/Told together/));
    is $client->post('/v1/invitations/accept', json => {token => $code}, token => $friend->{token})->{status}, 200, 'and another takes part';
}
is $client->delete('/v1/me', token => $gone->{token})->{status}, 204, 'an account is closed';
ok wait_for(sub { ($platform->sql('subscription', "select count(*) from usage_tracking where user_id = '$author->{userId}' and metric = 'stories'"))[0] == 4 }),
    'what is used is counted';
ok wait_for(sub { ($platform->sql('subscription', "select count(*) from user_subscriptions where user_id = '$gone->{userId}'"))[0] == 0 }),
    'who has gone has no subscription';
ok wait_for(sub { ($platform->sql('collaboration', "select count(*) from invitations where host_id = '$gone->{userId}' and (email <> '' or token_hash is not null or status in ('pending', 'sending', 'sent'))"))[0] == 0 }),
    'nor has invited anybody';
is_deeply [$platform->sql('identity', "select display_name, state, verified_at is null from users where email = '$again'")], ["Second\tactive\tt"],
    'the later name counts';

# --- the same rows ---

for my $service (@services) {
    my ($said, $tries, $before, $after) = (undef, 0);
    do {    # what still arrives from other services may come between
        $before = dump_of($service);
        $said = rebuild($service);
        $after = dump_of($service);
    } until $before eq $after || ++$tries == 5;
    is $said->{exit}, 0, "$service is rebuilt" or diag $said->{out};
    is $after, $before, 'to the same rows';
    cmp_ok $JSON->decode($said->{out})->{events}, '>', 0, 'of its events';
    my $checked = check($service);
    ok $checked->{same}, 'a comparison says so' or diag $JSON->encode($checked);
    is_deeply [$platform->sql($service, "select count(*) from pg_namespace where nspname = 'rebuild'")], [0], 'and nothing is left over';
}
like $platform->storyctl('rebuild', 'identity')->{out}, qr/^identity: the tables are as \d+ events of its log make them$/m, 'for people it is a sentence';

# --- what differs is shown, and mended ---

$platform->sql('identity', "update users set display_name = 'Mallory' where user_id = '$author->{userId}'");
my $differs = $platform->storyctl('rebuild', 'identity', '--check');
is $differs->{exit}, 1, 'a row that no event made is found';
like $differs->{out}, qr/^ +in the table .*"Mallory"/m, 'and shown';
like $differs->{out}, qr/^ +in the log .*"Ada Lovelace"/m, 'beside what the log says';
is rebuild('identity')->{exit}, 0, 'a rebuild mends it';
is $client->get('/v1/me', token => $author->{token})->{json}{displayName}, 'Ada Lovelace', 'for those who read';

# --- while somebody writes ---

my $writer = fork // die "fork: $!\n";
if (!$writer) {
    my ($n, $stop) = (0, 0);
    local $SIG{TERM} = sub { $stop = 1 };
    my $answer = $client->get('/v1/me', token => $author->{token});
    while (!$stop && $n < 250) {
        $answer = $client->patch('/v1/me', json => {displayName => 'Ada ' . ++$n}, token => $author->{token},
            headers => {'If-Match' => $answer->{headers}{etag}, 'X-Forwarded-For' => '127.0.0.1'});
        if ($answer->{status} != 200) {
            print STDERR "# a write was answered: $answer->{status} $answer->{content}\n";
            POSIX::_exit(1);
        }
        select undef, undef, undef, 0.3;
    }
    POSIX::_exit($n < 3);
}
my ($began, @exits) = time;
push @exits, rebuild($services[@exits % @services])->{exit} until @exits >= 6 && time - $began > 3;    # so that some writes meet it
CORE::kill TERM => $writer;
waitpid $writer, 0;
is $?, 0, 'every write is taken while tables are exchanged, and none is lost';
is_deeply \@exits, [(0) x @exits], 'and every rebuild ends';
ok check($_)->{same}, "$_ is what its log says" for @services;

# --- killed on its way ---

my $holder = fork // die "fork: $!\n";
if (!$holder) {    # it may not exchange the table, so it waits with all it has built
    exec 'psql', '-XqAt', '-d', $platform->environment('identity')->{ST_DATABASE}, '-c', 'begin; lock table users in access share mode; select pg_sleep(120)';
}
ok wait_for(sub { ($platform->sql('identity', "select count(*) from pg_locks where relation = 'users'::regclass and mode = 'AccessShareLock' and granted and pid <> pg_backend_pid()"))[0] }),
    'somebody reads a table for long';
my $before = dump_of('identity');
my $builder = fork // die "fork: $!\n";
if (!$builder) {
    %ENV = (%ENV, %{$platform->environment('identity')});
    open STDOUT, '>', '/dev/null';
    exec "$BIN/identityd", '--rebuild';
}
ok wait_for(sub { ($platform->sql('identity', "select count(*) from pg_stat_activity where application_name = 'identity/rebuild' and query like '%rebuild_lock%'"))[0] }),
    'the rebuild waits for it';
CORE::kill KILL => $builder;
waitpid $builder, 0;
is dump_of('identity'), $before, 'killed, it leaves the old tables';
is $client->get('/v1/me', token => $author->{token})->{status}, 200, 'which serve';
CORE::kill TERM => $holder;
waitpid $holder, 0;
$platform->sql('identity', "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(120)%' and pid <> pg_backend_pid()");
is rebuild('identity')->{exit}, 0, 'a second run finishes';
is dump_of('identity'), $before, 'to the same rows';

done_testing;
