# A deleted account: every service erases what it holds, and says so; who does not is told of.
use strict;
use warnings;
use utf8;
use Test::More;
use JSON::PP ();
use Storytelling::Platform;
use Storytelling::Client;

my $platform = Storytelling::Platform->shared;
my $client   = $platform->client;
my $JSON     = JSON::PP->new->utf8->canonical;
my @SERVICES = qw(analytics authorization collaboration identity narration notification story subscription video);

# Columns that name a user or say something personal.
my $PERSONAL = '(^|_)(user|author|host|owner|inviter|invitee|granted_by|actor|email|phone|recipient|display_name)(_|$)|^(address|subject)$';

# One whose services do not answer; the alarm is looked for at the end.
my $late = $client->register_user;
$platform->sql('identity', "insert into erasures (user_id, requested_at, deadline_at) values ('$late->{userId}', now() - interval '4 days', now() - interval '1 day')");
$platform->sql('identity', "update schedules set last_run = '-infinity' where name = 'watch_erasures'");

my $author = $client->register_user(displayName => 'Ada Erased');
my $friend = $client->register_user(displayName => 'Grace Kept');
my $id     = $author->{userId};
my $story  = $client->post('/v1/stories', json => {title => 'Forget me', content => '“Yes,” said Tom. “No,” said Ann.'}, token => $author->{token},
    headers => {'Idempotency-Key' => "erase$$"})->{json}{storyId};
ok wait_for(sub { ($client->get("/v1/stories/$story/narration", token => $author->{token})->{json}{status} // '') eq 'ready' }), 'a story is told';
my $room  = $client->post('/v1/collaborations', json => {storyId => $story}, token => $author->{token})->{json}{collaborationId};
my $guest = sprintf 'guest%d.%06x@example.org', $$, rand 0xffffff;
$client->post("/v1/collaborations/$room/invitations", json => {email => $_, role => 'voice'}, token => $author->{token}) for $guest, $friend->{email};
ok $client->wait_for_mail($guest, qr/Forget me/), 'somebody has told a story, and invited others';
$client->post('/v1/invitations/accept', json => {token => code_of($client->wait_for_mail($friend->{email}, qr/Forget me/))}, token => $friend->{token});
my $theirs = $client->post('/v1/stories', json => {title => 'Kept', content => 'Another.'}, token => $friend->{token})->{json}{storyId};

# One that they have deleted themselves, and could still restore.
my $binned = $client->post('/v1/stories', json => {title => 'Binned', content => '“Yes,” said Tom.'}, token => $author->{token})->{json}{storyId};
sub cast_of { return +($platform->sql('narration', "select count(*) from casts where story_id = '$_[0]'"))[0] }
ok wait_for(sub { cast_of($_) }), 'who speaks is cast' for $story, $binned;
is $client->delete("/v1/stories/$binned", token => $author->{token})->{status}, 204, 'another is deleted';
ok wait_for(sub { ($platform->sql('narration', "select count(*) from deleted_stories where author_id = '$id'"))[0] == 1 }), 'and kept for a while';

is $client->delete('/v1/me', token => $author->{token})->{status}, 204, 'then they close the account';

sub shown { return eval { $JSON->decode($platform->storyctl('--json', 'erasures', 'show', $id)->{out}) } // {} }
my $erasure = wait_for(sub { my $e = shown(); ($e->{state} // '') eq 'closed' && $e }) || shown();
is $erasure->{state}, 'closed', 'the request is closed';
is_deeply [map { $_->{service} } @{$erasure->{answers}}], \@SERVICES, 'when every service has answered';
like $platform->storyctl('erasures', 'show', $id)->{out}, qr/^\s+subscription\s+usage_tracking\s+erased\b/m, 'the operator reads what was done';
is_deeply [grep { $_->{userId} eq $id } @{$JSON->decode($platform->storyctl('--json', 'erasures', 'list', '--open')->{out})}], [], 'it is no longer open';
like $platform->storyctl('erasures', 'list')->{out}, qr/^$id  closed /m, 'but listed';
is $platform->storyctl('erasures', 'show', '01890000-0000-7000-8000-000000000000')->{exit}, 1, 'an account that was not deleted has none';

is_deeply [map { cast_of($_) } $story, $binned], [0, 0], 'nobody is cast any more';

# Every table has a rule, and it was followed.
my @personal = ($author->{email}, $guest, 'Ada Erased', 'Forget me');
for my $service (@SERVICES) {
    my ($answer) = grep { $_->{service} eq $service } @{$erasure->{answers}};
    my %rule = map { $_->{table} => $_ } @{$answer->{tables}};
    my @columns = map { [split /\t/] } $platform->sql($service, "select c.table_name, c.column_name from information_schema.columns c "
        . "join information_schema.tables t using (table_schema, table_name) where table_schema = 'public' and t.table_type = 'BASE TABLE' "
        . "and c.column_name ~ '$PERSONAL' order by 1, 2");
    my %tables = map { $_->[0] => 1 } @columns;
    is_deeply [grep { !$rule{$_} } sort keys %tables], [], "$service: each table that knows users has a rule";
    is_deeply [grep { $rule{$_}{rule} eq 'kept' && !$rule{$_}{reason} } keys %rule], [], "$service: what is kept has a reason";
    my %seen = map { split /\t/ } $platform->sql($service, join ' union all ', map {
        my $table = $_;
        my $kept  = ($rule{$table}{rule} // '') ne 'erased';
        map { qq(select '$table knows $_', count(*) from "$table" t where t::text ilike '%$_%') } @personal, $kept ? () : $id;
    } sort(keys %tables), 'jobs');
    is_deeply [grep { $seen{$_} } sort keys %seen], [], "$service: and keeps to it";
    my @all = $platform->sql($service, "select table_name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE' order by 1");
    is_deeply [$platform->sql($service, join ' union all ', map { qq(select '$_' where exists (select from "$_" t where t::text ~* '$author->{email}|$guest')) } @all)], [],
        "$service: no table at all has an address";
}
my $me = $client->get('/v1/stories', token => $friend->{token})->{json}{items};
is_deeply [map { $_->{storyId} } @$me], [$theirs], 'what belongs to others is still there';
is $client->get("/v1/stories/$story", token => $friend->{token})->{status}, 404, 'the stories of the user are gone for all';
ok wait_for(sub { !$platform->run('find', $platform->var . '/objects', '-path', "*$story*")->{out} }), 'and so are their files';

my $overdue = $JSON->decode($platform->storyctl('--json', 'erasures', 'show', $late->{userId})->{out});
is $overdue->{state}, 'overdue', 'an erasure that is late is shown to be';
is_deeply $overdue->{missing}, \@SERVICES, 'and who has not answered';
ok wait_for(sub { grep { /An erasure is overdue/ && /\Q$late->{userId}\E/ && /notification/ } split /\n/, do { open my $in, '<', $platform->var . '/log/identity.log'; local $/; <$in> } }),
    'the log alarms';
sub identity { return $JSON->decode($platform->storyctl('--json', 'status')->{out})->{identity} // {} }
ok wait_for(sub { (identity()->{dependencies}{erasures} // '') eq 'degraded' }), 'and so does the health of identity';
is identity()->{status}, 'degraded', 'as a whole';
$platform->sql('identity', "update erasures set closed_at = now() where user_id = '$late->{userId}'");
ok wait_for(sub { (identity()->{dependencies}{erasures} // '') eq 'healthy' }), 'until it is closed';

done_testing;
