# Parts are killed and taken away while clients work: nothing is lost, nothing happens twice, and nobody has to repair.
use strict;
use warnings;
use utf8;
use Test::More;
use JSON::PP ();
use Time::HiRes qw(time sleep);
use Storytelling::Platform;
use Storytelling::Client;
use Storytelling::Contract;

binmode Test::More->builder->$_, ':utf8' for qw(output failure_output todo_output);
my $platform = Storytelling::Platform->start;
my $client   = $platform->client;
my $api      = Storytelling::Contract->new($platform, $client);
my @SERVICES = qw(analytics authorization collaboration identity narration notification story subscription video);
my $author   = $platform->set_tier($client->register_user, 'premium');    # what a dead service did not answer counts, too

sub story {
    my ($who, $key, %with) = @_;
    return {json => {title => "Story $key", content => "“Hello,” said Tom. This is story $key.", %with}, token => $who->{token}, headers => {'Idempotency-Key' => $key}};
}

# As a careful client posts: with a key, again until there is an answer that says what has happened.
sub post_surely {
    my ($who, $key, %with) = @_;
    return wait_for(sub {
        my $answer = $api->call(createStory => story($who, $key, %with));
        die "$answer->{status} $answer->{content}" if $answer->{status} !~ /^(?:201|409|50[0-9]|599)$/;
        return $answer->{status} == 201 && $answer->{json}{storyId};
    });
}

sub part_of { my ($who, $id, $part) = @_; return $client->get("/v1/stories/$id/$part", token => $who->{token})->{json} // {} }
sub reached { my ($who, $id, $part) = @_; return wait_for(sub { (part_of($who, $id, $part)->{status} // '') eq 'ready' }) }

# Events by type, of the story.
sub happened {
    my ($id) = @_;
    my %count;
    for my $service (qw(story narration video)) {
        $count{(split /\t/)[0]} += (split /\t/)[1] for $platform->sql($service, "select event_type, count(*) from events where payload->>'storyId' = '$id' group by 1");
    }
    delete $count{NarrationProgressed};
    return \%count;
}
my %ONCE = map { $_ => 1 } qw(StoryCreated CharactersExtracted StoryAnalyzed NarrationGenerated VideoProcessing VideoGenerated);

# --- a service is killed while stories are posted -------------------------------------------------------------------------

my @ids;
my %pids = map { $_ => $platform->pid($_) } @SERVICES;
for my $n (1 .. 6) {
    if ($n == 3) {
        $platform->kill('story', 'KILL');
        my $answer = wait_for(sub { my $a = $api->call(createStory => story($author, "dead-$n")); $a->{status} == 503 && $a });
        ok $answer, 'a service that is away answers 503';
        is_deeply [$answer ? $api->complaints(createStory => $answer) : 'none'], [], 'as the contract says, with Retry-After';
        is $client->get('/v1/me', token => $author->{token})->{status}, 200, 'the others go on';
        $platform->up;
        isnt $platform->pid('story'), $pids{story}, 'it is started again';
    }
    push @ids, post_surely($author, "k$n");
}
my %distinct = map { $_ => 1 } @ids;
is scalar keys %distinct, 6, 'six stories are posted';
is scalar @{$client->get('/v1/stories', token => $author->{token})->{json}{items}}, 6, 'and are there, once each';
is $client->get('/v1/stories', token => $author->{token})->{json}{items}[-1]{storyId}, $ids[0], 'those from before, too';
is $api->call(createStory => story($author, 'k1'))->{json}{storyId}, $ids[0], 'keys from before the end are remembered';

# --- those that work on them are killed in the middle ----------------------------------------------------------------------

# Their jobs are taken over when the leases have ended; that is waited for below, while other things go on.
my $long = post_surely($client->register_user, 'long', content => join "\n\n", map { "“Number $_,” said Tom. Mary counted on, and the sea was calm." } 1 .. 50);
ok wait_for(sub { ($platform->sql('narration', "select count(*) from jobs where state = 'running'"))[0] > 0 }), 'narration is at work';
$platform->kill($_, 'KILL') for qw(narration video notification analytics);
$platform->up;
pass 'narration, video, notification and analytics are killed and started again';

# --- Redis goes ---------------------------------------------------------------------------------------------------------------

my $second = $platform->set_tier($client->register_user, 'premium');
my $listed = $client->get('/v1/stories', token => $second->{token});
is $listed->{status}, 200, 'a second author';
$platform->kill('redis', 'KILL');
ok wait_for(sub { !$platform->redis('PING')->{out} || $platform->redis('PING')->{out} !~ /PONG/ }), 'Redis is gone';
my $without = $api->succeeds(201, createStory => story($second, 'no-redis'), 'stories are posted all the same')->{json}{storyId};
is $client->get('/v1/me', token => $second->{token})->{status}, 200, 'people are known';
is $client->get('/v1/analytics/daily', token => $second->{token})->{status}, 403, 'and what they may not do';
is $client->get('/v1/me', token => 'x.y.z')->{status}, 401, 'and who they are not';
is $client->post('/v1/auth/login', json => {email => $second->{email}, password => $second->{password}})->{status}, 200, 'one can log in';
ok wait_for(sub { ($client->get('/health')->{json}{status} // '') ne 'healthy' }), '/health says that something is missing';
isnt $client->get('/health')->{json}{status}, 'unhealthy', 'but not everything';
ok reached($second, $without, 'analysis'), 'what a service does alone is done';
isnt part_of($second, $without, 'narration')->{status} // '', 'ready', 'what needs others waits';
$platform->up;
ok reached($second, $without, 'narration'), 'and goes on when Redis is there';
ok wait_for(sub { $client->get('/health')->{json}{status} eq 'healthy' }), 'all is healthy again';

# A bus that has lost everything is filled again from the logs.
my $session = $client->login({%$second});
is $client->post('/v1/auth/logout', token => $session->{token})->{status}, 204, 'somebody logs out';
ok wait_for(sub { $client->get('/v1/me', token => $session->{token})->{status} == 401 }), 'and is out';
$platform->redis('FLUSHALL');
$platform->set_tier($second, 'premium');
is $client->get('/v1/me', token => $second->{token})->{status}, 200, 'when Redis has lost everything, people are still known';
is $client->get('/v1/me', token => $session->{token})->{status}, 401, 'and who has logged out';
my $after_loss = post_surely($second, 'after-loss');
ok reached($second, $after_loss, 'narration'), 'and stories find their way';
is $client->get('/v1/analytics/daily', token => $platform->admin->{token})->{status}, 200, 'roles are known, too';

# --- PostgreSQL goes -----------------------------------------------------------------------------------------------------------

%pids = map { $_ => $platform->pid($_) } @SERVICES;
$platform->kill('postgres', 'INT');
my $unavailable = wait_for(sub { my $a = $api->call(createStory => story($second, 'no-database')); $a->{status} == 503 && $a });
ok $unavailable, 'without its database a service answers 503';
is_deeply [$unavailable ? $api->complaints(createStory => $unavailable) : 'none'], [], 'as the contract says, with Retry-After';
$api->fails(503, 'unavailable', $_ => {token => $second->{token}}, "$_: so do the others") for qw(listStories getMe getSubscription listNotifications);
is $client->get('/v1/me', token => 'x.y.z')->{status}, 401, 'nobody gets in meanwhile';
ok wait_for(sub { ($client->get('/health')->{json}{dependencies}{database} // '') ne 'healthy' }), '/health names it';
$platform->up;
my $again = wait_for(sub { $api->call(createStory => story($second, 'no-database'))->{json}{storyId} });
ok $again, 'with the database the same request succeeds';
is_deeply {map { $_ => $platform->pid($_) } @SERVICES}, \%pids, 'and no service had to be started again';
is $client->get('/v1/me', token => $second->{token})->{status}, 200, 'the others are back, too';
ok reached($second, $again, 'video'), 'and what follows comes to its end';

# --- events that come in another order than they happened ---------------------------------------------------------------------

$platform->kill($_, 'KILL') for qw(video notification);
my $made = $platform->storyctl('--json', 'user', 'create', '--email', 'late@example.org', '--name', 'Late');
my $late = $client->login({%{JSON::PP::decode_json($made->{out})}, displayName => 'Late'});
my $told = post_surely($late, 'late');
ok reached($late, $told, 'narration'), 'a story is narrated while video and notification are away';
$platform->up;
ok reached($late, $told, 'video'), 'it is filmed afterwards';
ok $client->wait_for_mail('late@example.org', qr/can be $_/), "and its author told that it can be $_" for qw(heard watched);

# --- the sum of it -------------------------------------------------------------------------------------------------------------

my @all = (@ids, $long, $without, $after_loss, $again, $told);
my @open = @all;
ok wait_for(sub { shift @open while @open && happened($open[0])->{VideoGenerated}; !@open }), 'every story has come to its end'    # a film that was under way is begun anew when its lease has ended
    or diag explain {map { $_ => happened($_) } @open};
is_deeply happened($_), \%ONCE, 'everything happened once' for @all;

# Leave the last mails and figures a moment to arrive, then count.
sub counts {
    my %count;
    for my $service (@SERVICES) {
        $count{(split /\t/)[0]} += (split /\t/)[1] for $platform->sql($service, 'select event_type, count(*) from events group by 1');
    }
    return \%count;
}
sub figures { return {map { (split /\t/)[0] => (split /\t/)[1] + 0 } $platform->sql('analytics', 'select event_type, sum(events) from daily_counts group by 1')} }
my ($logged, $counted);
ok wait_for(sub {
    sleep 0.3;
    ($logged, $counted) = (counts(), figures());
    return ($logged->{NotificationSent} // 0) == ($logged->{NotificationRequested} // -1) && JSON::PP->new->canonical->encode($logged) eq JSON::PP->new->canonical->encode($counted);
}), 'every message was sent, and every event counted once' or is_deeply $counted, $logged;
my %sent;
for my $file (glob $platform->outbox . '/*.eml') {
    open my $in, '<', $file or die;
    my ($to, $campaign, $subject) = ('', '', '');
    while (<$in>) { $to = $1 if /<(\S+\@example\.org)>/ && !$to; $campaign = $1 if /^X-Campaign: (\S+)/; $subject = $1 if /^Subject: (.*)/; last if /^\r?$/ }
    $sent{"$to $campaign $subject"}++;
}
is_deeply [grep { $sent{$_} > 1 } sort keys %sent], [], 'no mail twice';
is scalar(grep { / narration\.generation\.completed / } keys %sent), scalar @all, 'one mail for each narration';
my $dead = $platform->storyctl('--json', 'dead', 'list');
is_deeply [grep { ref ? %$_ : $_ } map { ref eq 'ARRAY' ? @$_ : $_ } JSON::PP->new->allow_nonref->decode($dead->{out} || '[]')], [], 'there are no dead letters' or diag $dead->{out};

is_deeply [$platform->stop], [], 'all ends in good order';
done_testing;
