# The whole platform while stories are posted: each of its parts is killed with -9, and everything is restarted in random
# order ten times. Every story comes to its end once, every event is counted once, every mail is sent once.
use strict;
use warnings;
use JSON::PP ();
use List::Util qw(shuffle);
use Test::More;
use Time::HiRes qw(time sleep);
use Storytelling::Platform;
use Storytelling::Client;

my $ROUNDS   = $ENV{FAULT_ROUNDS} // 1;
my @SERVICES = qw(analytics authorization collaboration identity narration notification story subscription video);
my $platform = Storytelling::Platform->start;
my $client   = $platform->client;
my $author   = $platform->set_tier($client->register_user, 'premium');
srand($ENV{FAULT_SEED} // 1);

# As a careful client posts: with a key, again until there is an answer that says what has happened.
my %story;
sub post {
    my ($key) = @_;
    my %told;
    my $id = wait_for(sub {
        my $answer = eval { $client->post('/v1/stories', token => $author->{token}, headers => {'Idempotency-Key' => $key}, json => {title => "Story $key", content => "“Hello,” said Tom. This is $key."}) } // {status => 599};
        die "$key: $answer->{status} $answer->{content}" if $answer->{status} !~ /^(?:201|401|403|409|429|50[0-9]|599)$/;    # who is known is told again after a loss
        $told{"$answer->{status} " . ($answer->{json}{code} // '')}++;
        eval { $client->login($author) } if $answer->{status} == 401;    # a slow machine needs more time than a token holds
        return $answer->{status} == 201 && $answer->{json}{storyId};
    });
    diag "$key was not accepted: ", explain \%told if !$id;
    $story{$key} = $id if $id;
    return $id;
}

ok post('before'), 'a story is posted';

for my $service (shuffle @SERVICES) {
    $platform->kill($service, 'KILL');
    sleep rand 0.2;
    $platform->up;
}
ok post('after-kill'), 'each of the nine daemons was killed with -9, and a story is posted';

# In each round every part ends, some with -9, some as they are told to; what has ended is started now and then.
my $posted = 0;
for my $round (1 .. 10 * $ROUNDS) {
    my ($n, %ending) = (0);
    for my $part (shuffle @SERVICES, 'edge', 'redis', 'postgres') {
        my $signal = rand > 0.5 ? 'KILL' : $part eq 'postgres' ? 'INT' : $part eq 'edge' ? 'QUIT' : 'TERM';
        my $pid = eval { $platform->pid($part) };
        kill $signal => $pid if $pid;
        $ending{$pid} = 1 if $pid;
        sleep rand 0.1;
        next if ++$n % 6;
        # Who still drains counts as running: it would not be started.
        wait_for(sub { delete @ending{grep { !kill 0, $_ } keys %ending}; !%ending });
        $platform->up;
    }
    $posted++ if post("round-$round");
}
is $posted, 10 * $ROUNDS, 'everything was restarted in random order 10 times, and after each time a story is posted';

my %ONCE = map { $_ => 1 } qw(StoryCreated CharactersExtracted StoryAnalyzed NarrationGenerated VideoProcessing VideoGenerated);
sub happened {
    my ($id) = @_;
    my %count;
    for my $service (qw(story narration video)) {
        $count{(split /\t/)[0]} += (split /\t/)[1] for $platform->sql($service, "select event_type, count(*) from events where payload->>'storyId' = '$id' group by 1");
    }
    delete $count{NarrationProgressed};
    return \%count;
}
is scalar(@{$client->get('/v1/stories?limit=100', token => $author->{token})->{json}{items}}), scalar keys %story, 'each story is there once';
my @open = values %story;
ok wait_for(sub { shift @open while @open && happened($open[0])->{VideoGenerated}; !@open }), 'lost = 0: every story comes to its end';
my %differs = map { my $h = happened($story{$_}); JSON::PP->new->canonical->encode($h) eq JSON::PP->new->canonical->encode(\%ONCE) ? () : ($_ => $h) } keys %story;
is_deeply \%differs, {}, 'doubled = 0: everything happened once to each';

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
}), 'every message was sent, and analytics has counted every event of all services once' or is_deeply $counted, $logged;

my %sent;
for my $file (glob $platform->outbox . '/*.eml') {
    open my $in, '<', $file or die "$file: $!\n";
    my ($to, $campaign, $subject) = ('', '', '');
    while (<$in>) { $to = $1 if /<(\S+\@example\.org)>/ && !$to; $campaign = $1 if /^X-Campaign: (\S+)/; $subject = $1 if /^Subject: (.*)/; last if /^\r?$/ }
    $sent{"$to $campaign $subject"}++;
}
is_deeply [grep { $sent{$_} > 1 } sort keys %sent], [], 'no mail is sent twice';
my $dead = JSON::PP->new->allow_nonref->decode($platform->storyctl('--json', 'dead', 'list')->{out} || '[]');
is_deeply [grep { ref eq 'ARRAY' ? @$_ : ref ? %$_ : () } ref $dead eq 'HASH' ? values %$dead : ($dead)], [], 'there are no dead letters' or diag explain $dead;
is_deeply [$platform->stop], [], 'all ends in good order';
done_testing;
