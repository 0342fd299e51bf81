# Old events: archived, out of the log, and from both to one service again, exactly once, in order.
use strict;
use warnings;
use utf8;
use Test::More;
use JSON::PP ();
use Storytelling::Platform;
use Storytelling::Client;

my $platform = Storytelling::Platform->start;
my $client   = $platform->client;
my $JSON     = JSON::PP->new->utf8->canonical;
my @SERVICES = qw(analytics authorization collaboration identity narration notification story subscription video);

sub one { my ($service, $sql) = @_; return ($platform->sql($service, $sql))[0] }
sub replay {
    my ($service, @words) = @_;
    my $said = $platform->storyctl('--json', 'events', 'replay', '--to-service', $service, @words);
    my $json = eval { $JSON->decode($said->{out}) } // {};
    return {%$said, %$json};
}
sub stop { my ($service) = @_; my $pid = $platform->pid($service); $platform->kill($service, 'TERM'); wait_for(sub { !-d "/proc/$pid" }) or die "$service goes on\n" }

# --- a week ago ---------------------------------------------------------------------------------------------------------

my $user  = $client->register_user(displayName => 'Ada');
my @posts = map { $client->post('/v1/stories', json => {title => "Story $_", content => 'Once.'}, token => $user->{token})->{json}{storyId} } 1 .. 3;
ok $client->wait_for_mail($user->{email}, qr/^Welcome/), 'somebody is welcomed';
ok wait_for(sub { one('story', "select count(*) from events where event_type = 'StoryAnalyzed'") == 3 }), 'and tells stories';
$client->patch("/v1/stories/$posts[0]", json => {title => 'Another title'}, token => $user->{token}, headers => {'If-Match' => '*'});
my $TYPES = q{event_type in ('StoryCreated', 'StoryUpdated', 'StoryAnalyzed', 'CharactersExtracted')};
sub counted { return one('analytics', "select coalesce(sum(events), 0) from daily_counts where $TYPES") }
my $old = one('story', "select count(*) from events where $TYPES");
my $logged = one('story', 'select count(*) from events');
ok wait_for(sub { counted() == $old }), 'which analytics counts';
stop('story');
stop('identity');
$platform->sql($_, "update events set recorded_at = recorded_at - interval '9 days'") for qw(story identity);
$platform->sql('story', 'delete from relay_batches where batch_no < (select max(batch_no) from relay_batches)');
$platform->sql('story', "update relay_batches set after_seq = (select max(seq) from events)");    # as if long sent and forgotten
my @window = ('--from', one('story', "select to_char(now() - interval '10 days', 'YYYY-MM-DD')"), '--until', one('story', "select to_char(now() - interval '8 days', 'YYYY-MM-DD')"));
$platform->up;

ok wait_for(sub { one('story', "select count(*) from archives where state = 'done'") && !one('story', "select count(*) from events where event_type = 'StoryAnalyzed'") }), 'its events are archived, and leave the log';
cmp_ok one('story', "select count(*) from events where event_type = 'StoryCreated'"), '>', 0, 'but for those that its tables are made of';
ok wait_for(sub { one('identity', "select count(*) from archives where state = 'done'") }), 'so are those of identity';
cmp_ok one('identity', 'select count(*) from events'), '>', 0, 'which stay in a log that is the source of truth';
my ($path) = $platform->sql('story', 'select path from archives');
like $path, qr{^archive/story/\d{4}/\d\d/\d\d/\d+-\d+\.ndjson\.gz$}, 'by day and number';
my @lines = split /\n/, $platform->run('gzip', '-dc', $platform->var . "/objects/$path")->{out};
is scalar @lines, $logged, 'a line for each event';
is_deeply [grep { !eval { $JSON->decode($_)->{event}{eventId} } } @lines], [], 'in JSON';
my $all = join '', map { $platform->run('gzip', '-dc', $_)->{out} } split /\n/, $platform->run('find', $platform->var . '/objects/archive', '-name', '*.gz')->{out};
like $all, qr/UserRegistered/, 'an account is among them';
unlike $all, qr/\Q$user->{email}\E/i, 'but no address';

# --- once more ----------------------------------------------------------------------------------------------------------

my $dry = replay('analytics', @window, '--type', 'StoryCreated', '--dry-run');
is_deeply [@$dry{qw(exit events queued handledBefore)}], [0, 3, 0, 3], 'a dry run counts what is archived, and what was handled';
my $said = replay('analytics', @window, '--type', 'StoryCreated');
is_deeply [@$said{qw(exit queued)}], [0, 0], 'what was handled is not handled again';
is replay('analytics', @window, '--again')->{exit}, 2, 'but for a reason';
is counted(), $old, 'so far nothing has changed';
$said = replay('analytics', @window, '--type', 'StoryCreated', '--again', '--reason', 'a test');
is_deeply [@$said{qw(exit events queued)}], [0, 3, 3], 'with one, it is';
ok wait_for(sub { counted() == $old + 3 }), 'each once';
is_deeply [$platform->sql('analytics', "select reason, asked->>'type', queued, finished_at is not null, operator <> '' from replays where (asked->>'again')::boolean")],
    ["a test\tStoryCreated\t3\tt\tt"], 'and it is on record';

# A service that has lost what it knew: from the archive, and what is newer from the log.
$platform->sql('analytics', 'delete from daily_counts');
$platform->sql('analytics', 'delete from inbox');
sub today { return one('story', "select count(*) from events where $TYPES and recorded_at > now() - interval '1 day'") }
my $new = $client->post('/v1/stories', json => {title => 'New', content => 'Once.'}, token => $user->{token})->{json}{storyId};
ok wait_for(sub { one('story', "select count(*) from events where event_type = 'StoryAnalyzed'") == 1 && counted() >= today() }), 'a story of today';
my $today = today();
stop('analytics');
my @until_now = (@window[0, 1], '--until', one('story', q{select to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')}));
$said = replay('analytics', @until_now);
is $said->{exit}, 0, 'a replay of everything' or diag $said->{out};
is one('analytics', "select count(*) from parked_events where stream like 'story:%' and envelope->'payload'->>'storyId' <> '$new'"), $old, 'brings all that is archived';
is one('analytics', 'select count(*) from (select stream, aggregate_id from parked_events group by 1, 2 having count(*) filter (where run_at < now() + interval \'1 hour\') <> 1) x'), 0,
    'one of each aggregate is due';
is one('analytics', q{select count(*) from (select envelope->>'timestamp' as at, lag(envelope->>'timestamp') over (partition by stream, aggregate_id order by position) as before from parked_events) x where at < before}),
    0, 'in the order in which they happened';
my $again = replay('analytics', @until_now);
is $again->{queued}, 0, 'a second one adds nothing';
$platform->up;
ok wait_for(sub { one('analytics', 'select count(*) from parked_events') == 0 }), 'the service works it off';
is counted(), $old + $today, 'and has counted each event once';

# Interrupted: the same command goes on where it was.
my $half = one('analytics', "select progress->>'story' from replays where finished_at is not null and not (asked->>'again')::boolean and queued > 0 order by started_at desc limit 1");
ok $half, 'how far a replay is, is on record';
my ($middle) = sort { $a <=> $b } map { $_->{seq} } grep { $_->{event}{eventType} eq 'StoryCreated' } map { $JSON->decode($_) } @lines;
my $asked = $JSON->encode({from => "$window[1]T00:00:00Z", until => "$window[3]T00:00:00Z", type => 'StoryCreated', again => JSON::PP::true});
my $begun = one('analytics', "insert into replays (replay_id, asked, reason, operator, progress) values ('01890000-0000-7000-8000-000000000001', '$asked', 'interrupted', 'x', '{\"story\": $middle}') returning replay_id");
$said = replay('analytics', @window, '--type', 'StoryCreated', '--again', '--reason', 'interrupted');
is $said->{replayId}, $begun, 'a replay that was interrupted goes on';
is $said->{queued}, 2, 'with what is left of it';
ok wait_for(sub { counted() == $old + $today + 2 }), 'which is handled';

# --- of somebody who is gone --------------------------------------------------------------------------------------------

is $client->delete('/v1/me', token => $user->{token})->{status}, 204, 'the account is deleted';
ok wait_for(sub { ($JSON->decode($platform->storyctl('--json', 'erasures', 'show', $user->{userId})->{out})->{state} // '') eq 'closed' }), 'and everywhere erased';
my @holds = ([notification => 'contacts where user_id'], [story => 'authors where author_id'], [collaboration => 'people where user_id'],
    [subscription => 'user_subscriptions where user_id'], [authorization => 'user_roles where user_id']);
for (@holds) {
    my ($service) = @$_;
    my $said = replay($service, @window[0, 1], '--type', 'UserRegistered', '--again', '--reason', 'nothing comes back');
    is_deeply [@$said{qw(exit queued)}], [0, 1], "$service is told of the registration again" or diag $said->{out};
}
my $mails = () = $client->mails($user->{email});
for (@holds) {
    my ($service, $where) = @$_;
    ok wait_for(sub { one($service, 'select count(*) from parked_events') == 0 }), "$service copes";
    is one($service, "select count(*) from $where = '$user->{userId}'"), 0, 'and nothing comes back';
}
is scalar(() = $client->mails($user->{email})), $mails, 'nor is another mail sent';

# --- what is refused ----------------------------------------------------------------------------------------------------

is replay('story', @window, '--type', 'VideoGenerated')->{exit}, 1, 'a service that does not subscribe to it gets nothing';
is replay('nobody', @window)->{exit}, 1, 'nor does one that is not there';
is replay('analytics', '--from', 'yesterday')->{exit}, 2, 'a time is a time';
$platform->run('sh', '-c', 'printf x >>"$1"', 'sh', $platform->var . "/objects/$path");
$said = replay('analytics', @window, '--dry-run');
is $said->{exit}, 1, 'a file that was changed is not read';
like $said->{out}, qr/\Q$path\E is missing or was changed/, 'and named';

is_deeply [$platform->stop], [], 'everything stops';
done_testing;
