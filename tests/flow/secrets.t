# What is personal in events: sealed wherever events are kept, read by those alone who need it, gone with the account.
use strict;
use warnings;
use utf8;
use Test::More;
use Storytelling::Platform;
use Storytelling::Client;

binmode Test::More->builder->$_, ':utf8' for qw(output failure_output todo_output);
my $platform = Storytelling::Platform->shared;
my $client   = $platform->client;
my @SERVICES = qw(analytics authorization collaboration identity narration notification story subscription video);

# Where an address stands in clear, of the places where it must not.
sub places {
    my ($address) = @_;
    my @found;
    for my $service (@SERVICES) {
        for my $table (qw(events parked_events)) {
            my ($n) = $platform->sql($service, "select count(*) from $table t where t::text ilike '%$address%'");
            push @found, "$service.$table" if $n;
        }
        for my $partition (0 .. 3) {
            my $stream = "st:events:$service:$partition";
            push @found, $stream if index(lc $platform->redis('XRANGE', $stream, '-', '+')->{out}, $address) >= 0;
        }
    }
    push @found, split /\n/, $platform->run('grep', '-rlia', '--', $address, map { $platform->var . "/$_" } qw(redis objects log))->{out};
    return @found;
}

my $author = $client->register_user(displayName => 'Ada');
my $guest = sprintf 'guest%d.%06x@example.org', $$, rand 0xffffff;
ok $client->wait_for_mail($author->{email}, qr/^Welcome/), 'a mail finds its way';
my $story = $client->post('/v1/stories', json => {title => 'Secret', content => 'A story.'}, token => $author->{token})->{json}{storyId};
my $room = $client->post('/v1/collaborations', json => {storyId => $story}, token => $author->{token})->{json}{collaborationId};
is $client->post("/v1/collaborations/$room/invitations", json => {email => $guest, role => 'voice'}, token => $author->{token})->{status}, 201, 'somebody is invited';
my $code = code_of($client->wait_for_mail($guest, qr/Secret/));
ok $code, 'by a mail with a code';

is_deeply [places($author->{email})], [], 'the address of the author is in clear in no log, on no stream and in no file';
is_deeply [places($guest)], [], 'nor is that of the guest';
is_deeply [places(lc $code)], [], 'nor the code';
my ($sealed) = $platform->sql('identity', "select payload->>'email' from events where event_type = 'UserRegistered' and aggregate_id = '$author->{userId}'");
my ($key) = $platform->sql('identity', "select key_id from user_keys where user_id = '$author->{userId}'");
like $sealed, qr/^enc:1:\Q$key\E:[\w-]+$/, 'it is sealed by the key of its user';
my ($guest_key) = map { /^enc:1:([\w-]+):/ } $platform->sql('collaboration', "select payload->>'inviteeEmail' from events where event_type = 'InvitationSent' and payload->>'collaborationId' = '$room'");
is $guest_key, $key, 'and so is that of whom the user invites';
unlike $platform->storyctl('--json', 'events', 'tail', '--last', 1000)->{out}, qr/\Q$author->{email}\E/i, 'the operator does not see it pass';

# Identity keeps the keys: while it does not answer, whoever needs one that is not at hand cannot go on, and says so.
my $other  = $client->register_user;
my $theirs = $client->post('/v1/stories', json => {title => 'Stalled', content => 'A story.'}, token => $other->{token})->{json}{storyId};
my $second = $client->post('/v1/collaborations', json => {storyId => $theirs}, token => $other->{token})->{json}{collaborationId};
sub invite { return $client->post("/v1/collaborations/$second/invitations", json => {email => "stalled.$guest", role => 'voice'}, token => $other->{token}) }
$platform->kill('identity', 'STOP');
my $refused = invite();
my $story_goes_on = $client->post('/v1/stories', json => {title => 'Goes on', content => 'A story.'}, token => $other->{token})->{status};
$platform->kill('identity', 'CONT');
is $refused->{status}, 503, 'without a key nothing personal is written';
ok $refused->{headers}{'retry-after'}, 'and the client is told to come again';
is $story_goes_on, 201, 'what needs none goes on';
is invite()->{status}, 201, 'and so does everything when the key can be had';
is_deeply [$platform->sql('collaboration', "select count(*) from invitations where email = 'stalled.$guest'")], [1], 'once';

is $client->delete('/v1/me', token => $author->{token})->{status}, 204, 'the account is deleted';
is_deeply [$platform->sql('identity', "select count(*) from user_keys where user_id = '$author->{userId}'")], [0], 'the key goes with it, and what it has sealed';

done_testing;
