# storyctl beside a running platform: every command explains itself, answers people and programs, and says by its exit
# code whether it has done what it was asked.
use strict;
use warnings;
use JSON::PP ();
use Test::More;
use Storytelling::Platform;
use Storytelling::Client;

my $platform = Storytelling::Platform->shared;
my $JSON     = JSON::PP->new;

sub ctl { return $platform->storyctl(@_) }
sub succeeds {
    my ($name, @command) = @_;
    my $said = ctl(@command);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $said->{exit}, 0, $name or diag $said->{out};
    return $said->{out};
}
sub refused {
    my ($exit, $like, @command) = @_;
    my $said = ctl(@command);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $said->{exit}, $exit, "refused: @command" or diag $said->{out};
    like $said->{out}, $like, 'and says why';
}

# --- help ---------------------------------------------------------------------------------------------------------------

my @commands = succeeds('storyctl explains itself', '--help') =~ /^  (\w+)  /mg;
is_deeply [sort @commands], [qw(api bench dead erasures events jobs lag migrate rebuild reload sagas schema status tell token user)], 'it names its commands';
for my $command (@commands) {
    like succeeds("$command --help", $command, '--help'), qr/^Usage: storyctl $command\b/, "explains $command";
}
refused(2, qr/\w/);
refused(2, qr/there is no command sing/, 'sing');
refused(2, qr/$_->[0] has no option --nope/, @$_, '--nope') for ['status'], ['migrate'], ['rebuild', 'story'], ['tell', '/dev/null'], ['dead', 'list'];
refused(2, qr/expected: status/, 'status', 'story');
refused(2, qr/--from wants a value/, 'events', 'replay', '--from');
refused(2, qr/later than --from/, qw(events replay --from 2026-01-02 --until 2026-01-01 --to-service analytics));
refused(2, qr/dead list/, 'dead');
refused(2, qr/no id/, 'dead', 'show', 'story', 'x');
refused(2, qr/rebuild SERVICE/, 'rebuild');
refused(1, qr/no service nobody/, 'rebuild', 'nobody');
refused(1, qr/keeps no tables/, 'rebuild', 'video');

# --- status, migrate ----------------------------------------------------------------------------------------------------

sub status { return $JSON->decode($platform->storyctl('--json', 'status')->{out}) }
ok wait_for(sub { !grep { $_->{status} ne 'healthy' } values %{status()} }), 'the platform is well';
my $status = $JSON->decode(succeeds('status', '--json', 'status'));
is_deeply [grep { $_->{status} ne 'healthy' } values %$status], [], 'everything is healthy';
like succeeds('status for people', 'status'), qr/^narration\s+healthy\b/m, 'line by line';
my $sql = "$Storytelling::Platform::ROOT/sql";
my @before = $platform->sql('story', 'select * from schema_migrations order by 1');
succeeds('migrate, when there is nothing to do', '--json', 'migrate', '--sql', $sql);
is_deeply [$platform->sql('story', 'select * from schema_migrations order by 1')], \@before, 'changes nothing';
refused(1, qr/nobody/, 'migrate', '--sql', $sql, 'nobody');

# --- reload -------------------------------------------------------------------------------------------------------------

sub rung { my ($service) = @_; open my $in, '<', $platform->var . "/log/$service.log" or return 0; return scalar grep { /The options were read again/ } <$in> }
my @rung = map { rung($_) } qw(video story);
is $JSON->decode(succeeds('reload', '--json', 'reload', '--service', 'video'))->{rung}, 1, 'rings one service';
ok wait_for(sub { rung('video') > $rung[0] }), 'which reads its options again';
is rung('story'), $rung[1], 'unlike another';
like succeeds('reload all', 'reload'), qr/logs/, 'rings all';
ok wait_for(sub { rung('story') > $rung[1] }), 'then the other does, too';
refused(2, qr/expected: reload/, 'reload', 'video');

# --- dead letters -------------------------------------------------------------------------------------------------------

my ($id) = $platform->sql('authorization', "insert into jobs (name, unique_key, payload, metadata, ended, attempts, error) "
        . "values ('publish_roles', 'storyctl', '{}', '{}', 'dead', 5, 'the bus was away') returning job_id");
my $list = $JSON->decode(succeeds('dead list', '--json', 'dead', 'list'));
my ($letter) = grep { $_->{id} eq "job-$id" && $_->{service} eq 'authorization' } @$list;
is $letter->{error}, 'the bus was away', 'names the job and why';
ok wait_for(sub { status()->{authorization}{dependencies}{deadLetters} eq 'degraded' }), 'and the health of the service does';
is $platform->storyctl('status')->{exit}, 1, 'so that the status is not well';
like succeeds('dead list of a service', 'dead', 'list', '--service', 'authorization'), qr/^authorization +job-$id +publish_roles/m, 'has it for people';
unlike succeeds('dead list of another', 'dead', 'list', '--service', 'video'), qr/job-$id\b/, 'not of this service';
is $JSON->decode(succeeds('dead show', '--json', 'dead', 'show', 'authorization', "job-$id"))->{unique_key}, 'storyctl', 'shows all of it';
refused(1, qr/no dead letter/, 'dead', 'show', 'authorization', 'event-999999999');
refused(1, qr/no dead letter/, 'dead', 'retry', 'authorization', 'job-999999999');
is $JSON->decode(succeeds('dead retry', '--json', 'dead', 'retry', 'authorization', "job-$id"))->{retried}, 1, 'takes it up again';
ok wait_for(sub { ($platform->sql('authorization', "select count(*) from jobs where job_id = $id and state in ('waiting', 'running', 'dead')"))[0] == 0 }),
    'and it is done';
refused(1, qr/no dead letter/, 'dead', 'retry', 'authorization', "job-$id");

($id) = $platform->sql('authorization', "insert into jobs (name, payload, metadata, ended, attempts, error) "
        . "values ('publish_roles', '{}', '{}', 'dead', 5, 'the bus was away') returning job_id");
is $JSON->decode(succeeds('dead drop', '--json', 'dead', 'drop', 'authorization', "job-$id"))->{error}, 'the bus was away', 'prints what it drops';
is_deeply [$platform->sql('authorization', "select state from jobs where job_id = $id")], ['cancelled'], 'which is then over';
refused(1, qr/no dead letter/, 'dead', 'drop', 'authorization', "job-$id");
my ($event) = ('01890a5d-ac96-774b-bcce-b302099a8057');
($id) = $platform->sql('story', "insert into parked_events (event_id, stream, aggregate_id, event_type, correlation_id, envelope, state, error) "
        . "values ('$event', 'identity:0', 'a', 'UserRegistered', 'c', '{}', 'dead', 'no such column') returning position");
is $JSON->decode(succeeds('dead drop', '--json', 'dead', 'drop', 'story', "event-$id"))->{event_id}, $event, 'drops an event';
is_deeply [$platform->sql('story', "select event_id from inbox where event_id = '$event'")], [$event], 'that now counts as handled';
is_deeply [$platform->sql('story', "select event_id from parked_events where event_id = '$event'")], [], 'and waits for nobody';
ok wait_for(sub { !grep { $_->{status} ne 'healthy' } values %{status()} }), 'without dead letters all is well again';

# --- bench --------------------------------------------------------------------------------------------------------------

my $bench = $JSON->decode(succeeds('bench', '--json', 'bench', '--seconds', 1, '--service', 'video'));
is_deeply [map { $_->{probe} } @$bench], ['database read', 'database commit', 'redis', 'doorbell', 'service'], 'measures each part';
is_deeply [grep { !($_->{samples} > 1 && $_->{p50Us} > 0 && $_->{p99Us} >= $_->{p50Us}) } @$bench], [], 'with figures of each';
refused(2, qr/--seconds/, 'bench', '--seconds', 0);
refused(1, qr/nobody/, 'bench', '--service', 'nobody');

# --- jobs ---------------------------------------------------------------------------------------------------------------

($id) = $platform->sql('authorization', "insert into jobs (name, unique_key, payload, metadata, run_at, delayed, priority) "
        . "values ('publish_roles', 'later', '{}', '{}', now() + interval '1 hour', true, 7) returning job_id");
my ($job) = grep { $_->{id} eq "job-$id" } @{$JSON->decode(succeeds('jobs list', '--json', 'jobs', 'list', '--service', 'authorization'))};
is_deeply [@$job{qw(name state key priority attempts)}], ['publish_roles', 'waiting', 'later', 7, 0], 'names what waits';
like succeeds('jobs list of a kind', 'jobs', 'list', '--name', 'publish_roles', '--state', 'waiting'), qr/^authorization +job-$id +publish_roles +waiting +later/m, 'has it for people';
unlike succeeds('jobs list of a state', 'jobs', 'list', '--state', 'dead'), qr/job-$id\b/, 'not of another state';
is $JSON->decode(succeeds('jobs show', '--json', 'jobs', 'show', 'authorization', "job-$id"))->{unique_key}, 'later', 'shows all of it';
is $JSON->decode(succeeds('jobs cancel', '--json', 'jobs', 'cancel', 'authorization', "job-$id"))->{cancelled}, 1, 'cancels it';
is_deeply [$platform->sql('authorization', "select state, error from jobs where job_id = $id")], ["cancelled\tcancelled by the operator"], 'for good';
refused(1, qr/no job that waits or runs/, 'jobs', 'cancel', 'authorization', "job-$id");
is $JSON->decode(succeeds('jobs retry', '--json', 'jobs', 'retry', 'authorization', "job-$id"))->{retried}, 1, 'takes it up again';
ok wait_for(sub { ($platform->sql('authorization', "select state from jobs where job_id = $id"))[0] eq 'done' }), 'at once, and it is done';
refused(1, qr/dead or cancelled/, 'jobs', 'retry', 'authorization', "job-$id");
refused(1, qr/no job/, 'jobs', 'show', 'authorization', 'job-999999999');
refused(2, qr/job-N/, 'jobs', 'show', 'authorization', 'event-1');
refused(2, qr/a state is one of/, 'jobs', 'list', '--state', 'odd');
refused(2, qr/jobs list/, 'jobs');

# --- sagas --------------------------------------------------------------------------------------------------------------

my ($saga) = $platform->sql('collaboration', "insert into sagas (saga_id, name, key, state, step, data, metadata, error) "
        . "values (gen_random_uuid(), 'odd', 'k', 'parked', 'odd.step', '{}', '{\"correlationId\": \"c-odd\"}', 'it is stuck') returning saga_id");
my ($stuck) = grep { $_->{id} eq $saga } @{$JSON->decode(succeeds('sagas list', '--json', 'sagas', 'list', '--service', 'collaboration'))};
is_deeply [@$stuck{qw(name state step direction error service)}], ['odd', 'parked', 'odd.step', 'forward', 'it is stuck', 'collaboration'], 'names what is stuck';
like succeeds('sagas list of a state', 'sagas', 'list', '--state', 'parked'), qr/^collaboration +$saga odd +parked .*it is stuck$/m, 'has it for people';
unlike succeeds('sagas list of another', 'sagas', 'list', '--state', 'done'), qr/$saga/, 'not of another state';
is $JSON->decode(succeeds('sagas show', '--json', 'sagas', 'show', 'collaboration', $saga))->{metadata}{correlationId}, 'c-odd', 'shows all of it';
is $JSON->decode(succeeds('sagas retry', '--json', 'sagas', 'retry', 'collaboration', $saga))->{retried}, 1, 'lets it go on';
sub saga { return $JSON->decode($platform->storyctl('--json', 'sagas', 'show', 'collaboration', $saga)->{out}) }
ok wait_for(sub { my $s = saga(); $s->{state} eq 'parked' && $s->{error} =~ /no such saga/ }), 'which it cannot, for the service has no such saga';
is_deeply [map { $_->{did} } @{saga()->{history}}], ['retried by the operator', 'parked'], 'and its history says so';
like succeeds('sagas retry all', 'sagas', 'retry', 'collaboration', 'all'), qr/^\d+ will go on$/, 'takes all that are parked';
ok wait_for(sub { my $s = saga(); $s->{state} eq 'parked' && @{$s->{history}} == 4 }), 'this one, too';
$platform->sql('collaboration', "delete from sagas where saga_id = '$saga'");
refused(1, qr/no saga/, 'sagas', 'show', 'collaboration', $saga);
refused(1, qr/no parked saga/, 'sagas', 'retry', 'collaboration', $saga);
refused(2, qr/no id of a saga/, 'sagas', $_, 'collaboration', 'x') for qw(show retry);
refused(2, qr/sagas list/, 'sagas');

# --- events -------------------------------------------------------------------------------------------------------------

my $user = $platform->client->register_user;
ok wait_for(sub {
    grep { $_->{aggregateId} eq $user->{userId} } map { $JSON->decode($_) } grep { /^\{/ } split /\n/, ctl('--json', 'events', 'tail', '--type', 'UserRegistered', '--last', 50)->{out};
}), 'events tail shows who has registered';

done_testing;
