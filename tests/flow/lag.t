# A stall explains itself: storyctl lag says how far everybody is, and --why what holds it up.
use strict;
use warnings;
use JSON::PP ();
use Test::More;
use Storytelling::Platform;
use Storytelling::Client;

my $JSON     = JSON::PP->new;
my $platform = Storytelling::Platform->start;
my $client   = $platform->client;

sub lag {
    my @all = @{$JSON->decode($platform->storyctl('--json', 'lag', @_)->{out})};
    return {map { $_->{service} => $_ } @all};
}
sub why {
    my ($service, $what) = @_;
    return grep { $_->{what} eq $what } @{lag('--service', $service, '--why')->{$service}{why}};
}

# --- all is well --------------------------------------------------------------------------------------------------------

my $user = $client->register_user;
ok wait_for(sub {
    my $lag = lag();
    !grep { $_->{unpublished} || grep { $_ } values %{$_->{groups}} } values %$lag;
}), 'after a while nothing is under way';
my $lag = lag('--service', 'identity')->{identity};
is_deeply [grep { !exists $lag->{groups}{$_} } qw(story subscription notification analytics)], [], 'the readers of a service are named';
like $platform->storyctl('lag')->{out}, qr/^identity +0 not on the bus; all is read$/m, 'people see it in a line';
is_deeply [why('identity', 'relay'), why('story', 'blocked session')], [], 'and nothing holds anything up';

# --- a session that blocks a reader -------------------------------------------------------------------------------------

# The operator's own psql session, left open with a lock on the inbox.
my $env = $platform->environment('story');
pipe my $from, my $to or die;
my $psql = fork // die "fork: $!";
if (!$psql) {
    close $to;
    open STDIN, '<&', $from;
    open STDOUT, '>', '/dev/null';
    $ENV{PGAPPNAME} = 'forgotten';
    exec 'psql', '-qX', $env->{ST_DATABASE};
    die;
}
close $from;
$to->autoflush;
print $to "begin; lock table inbox in access exclusive mode;\n";
ok wait_for(sub { grep { /forgotten/ } map { $_->{line} } why('story', 'long transaction') }),
    'a transaction that stays open is named';
$client->register_user;
ok wait_for(sub { (lag('--service', 'identity')->{identity}{groups}{story} // 0) > 0 }), 'story falls behind';
ok wait_for(sub { grep { $_->{line} =~ /^session \d+ \(story\/events.*\| blocked by session \d+ \(forgotten/ } why('story', 'blocked session') }),
    'who is blocked and by whom is said' or diag explain lag('--service', 'story', '--why');
print $to "rollback;\n\\q\n";
close $to;
waitpid $psql, 0;
ok wait_for(sub { (lag('--service', 'identity')->{identity}{groups}{story} // 1) == 0 }), 'then it catches up';

sub metric {
    my ($line) = @_;
    my ($value) = ($client->get('/metrics/identity', raw => 1)->{content} // '') =~ /^\Q$line\E (\S+)$/m;
    return $value;
}
is metric('storytelling_unpublished_events{service="identity"}'), 0, 'the metrics say the same: nothing is unpublished';
is metric(qq(storytelling_group_lag_events{service="identity",partition="$_",group="story"})), 0, "nothing of partition $_ is unread" for 0 .. 3;

# --- an event that fails, and those behind it ---------------------------------------------------------------------------

$platform->sql('story', q{insert into parked_events (event_id, stream, aggregate_id, event_type, correlation_id, envelope, attempts, run_at, error)
    values ('01890a5d-ac96-774b-bcce-b302099a8057', 'x:0', 'aggregate-1', 'UserRegistered', 'c', '{}', 3, now() + interval '1 hour', 'no such column'),
           ('01890a5d-ac96-774b-bcce-b302099a8058', 'x:0', 'aggregate-1', 'UserDeleted', 'c', '{}', 0, 'infinity', null),
           ('01890a5d-ac96-774b-bcce-b302099a8059', 'x:0', 'aggregate-2', 'UserDeleted', 'c', '{}', 0, now(), 'poison')});
$platform->sql('story', q{update parked_events set state = 'dead' where aggregate_id = 'aggregate-2'});
my ($blocked) = why('story', 'blocked aggregate');
like $blocked->{line}, qr/^aggregate-1: event 01890a5d-ac96-774b-bcce-b302099a8057 \(UserRegistered\) from x:0 failed 3 times, .* 1 wait behind it: no such column$/,
    'a blocked aggregate, the event, its error, and how many wait';
my ($dead) = why('story', 'dead letter');
like $dead->{line}, qr/^event-\d+: UserDeleted 01890a5d-ac96-774b-bcce-b302099a8059 of aggregate-2: poison$/, 'a poisonous event by its id';

done_testing;
