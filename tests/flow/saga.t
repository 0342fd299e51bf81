# The saga of an invitation: sent with one unit of quota used, or cancelled with none; never a third thing, whoever is
# killed between any two steps. What counts is in the tables and in the outbox.
use strict;
use warnings;
use JSON::PP ();
use Test::More;
use Storytelling::Platform;
use Storytelling::Client;

my $JSON     = JSON::PP->new;
my $platform = Storytelling::Platform->start;
my $client   = $platform->client;
my $host     = $client->register_user(displayName => 'Host');

# A story, and the room to tell it in; collaboration must hear of the story first.
sub open_room {
    my ($title) = @_;
    my $story = $client->post('/v1/stories', json => {title => $title, content => 'The moon rose.'}, token => $host->{token})->{json}{storyId};
    my $room = wait_for(sub { $client->post('/v1/collaborations', json => {storyId => $story}, token => $host->{token})->{json}{collaborationId} });
    return ($story, $room);
}
my ($story, $room) = open_room('Shared');

my $guests = 0;
sub invite {
    my $email  = sprintf 'guest-%d@example.org', ++$guests;
    my $answer = $client->post("/v1/collaborations/$room/invitations", json => {email => $email, role => 'voice'}, token => $host->{token});
    return ($answer->{status}, $email, $answer->{json}{invitationId});
}
sub invitation {
    my ($id) = @_;
    my ($found) = grep { $_->{invitationId} eq $id } @{$client->get("/v1/collaborations/$room/invitations?limit=100", token => $host->{token})->{json}{items} // []};
    return $found // {status => ''};
}
sub becomes { my ($id, $status) = @_; return wait_for(sub { invitation($id)->{status} eq $status }) }
sub used { return ($platform->sql('subscription', "select coalesce(sum(amount), 0) from usage_tracking where user_id = '$host->{userId}' and metric = 'invitations'"))[0] }
sub sagas { return join ' ', $platform->sql('collaboration', "select state || ':' || count(*) from sagas group by state order by 1") }

# --- straight on --------------------------------------------------------------------------------------------------------

my ($status, $email, $id) = invite();
is $status, 201, 'somebody is invited';
ok becomes($id, 'sent'), 'the invitation is sent' or diag $platform->storyctl('sagas', 'list')->{out};
ok $client->wait_for_mail($email, qr/Shared/), 'by mail';
is used(), 1, 'and one unit is used';
ok wait_for(sub { sagas() eq 'done:1' }), 'the saga is over' or diag sagas();
my ($tracked) = $platform->sql('analytics', "select sum(events) from daily_counts where event_type = 'InvitationDispatched'");
is $tracked, 1, 'and in the figures';

# --- no quota -----------------------------------------------------------------------------------------------------------

$platform->sql('subscription', q{update subscription_tiers set limits = limits || '{"invitations": 1}'});
($status, $email, $id) = invite();
is $status, 201, 'collaboration does not know yet that the quota is used up';
ok becomes($id, 'cancelled'), 'subscription does, and the invitation is cancelled';
like invitation($id)->{reason}, qr/used up/, 'with the reason';
is used(), 1, 'nothing more is used';
ok wait_for(sub { sagas() eq 'compensated:1 done:1' }), 'the saga is undone' or diag sagas();
is_deeply [$client->mails($email)], [], 'and there is no mail';
$platform->sql('subscription', q{update subscription_tiers set limits = limits || '{"invitations": 100}'});

# --- the story goes while an invitation is under way --------------------------------------------------------------------

$platform->kill('subscription', 'STOP');
my ($other, $elsewhere) = open_room('Other');
my $lost = $client->post("/v1/collaborations/$elsewhere/invitations", json => {email => 'lost@example.org', role => 'voice'}, token => $host->{token})->{json}{invitationId};
is $client->request(DELETE => "/v1/stories/$other", {token => $host->{token}})->{status}, 204, 'a story is deleted while somebody is invited to it';
ok wait_for(sub { ($platform->sql('collaboration', "select status from invitations where invitation_id = '$lost'"))[0] eq 'cancelled' }), 'the invitation goes with it';
$platform->kill('subscription', 'CONT');
ok wait_for(sub { sagas() eq 'compensated:2 done:1' }), 'what was reserved for it is given back' or diag sagas();
is used(), 1, 'and is not used';
is_deeply [$client->mails('lost@example.org')], [], 'nobody gets a mail';

# --- everybody is killed, before and after their step -------------------------------------------------------------------

my @invited;
for my $part (qw(subscription notification analytics collaboration)) {
    $platform->kill($part, 'KILL') if $part ne 'collaboration';    # before its step
    my ($status, $email, $id) = invite();
    is $status, 201, "somebody is invited while $part is dead" if $part ne 'collaboration';
    push @invited, [$id, $email];
    $platform->kill('collaboration', 'KILL');                      # wherever it stands
    $platform->up;
    ($status, $email, $id) = invite();
    push @invited, [$id, $email];
    $platform->kill($part, 'KILL') if $part ne 'collaboration';    # in the midst of it, or after
    $platform->up;
}
my @open = grep { !becomes($_->[0], 'sent') } @invited;
is scalar @open, 0, 'all are sent in the end' or diag $platform->storyctl('--json', 'sagas', 'list')->{out};
ok wait_for(sub { sagas() eq 'compensated:2 done:' . (1 + @invited) }), 'every saga has come to its end' or diag sagas();
is used(), 1 + @invited, 'each has used one unit';
is_deeply [map { scalar(my @m = $client->mails($_->[1])) } @invited], [(1) x @invited], 'and each guest has one mail';
my $rows = join ' ', $platform->sql('collaboration', "select status || ':' || count(*) from invitations group by status order by 1");
is $rows, 'cancelled:2 sent:' . (1 + @invited), 'there is no third thing';

done_testing;
