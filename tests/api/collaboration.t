# Collaborations: open a story, invite, accept, take part.
use strict;
use warnings;
use utf8;
use Test::More;
use Storytelling::Platform;
use Storytelling::Client;
use Storytelling::Contract;

binmode Test::More->builder->$_, ':utf8' for qw(output failure_output todo_output);
my $platform = Storytelling::Platform->shared;
my $client   = $platform->client;
my $api      = Storytelling::Contract->new($platform, $client);
my $UNKNOWN  = '0193c7e2-1111-7111-8111-111111111111';
my ($host, $guest, $eve) = map { $client->register_user(displayName => $_) } 'Host „H“', 'Guest', 'Eve';

my $story = $client->post('/v1/stories', json => {title => 'Shared', content => 'The moon rose.'}, token => $host->{token})->{json}{storyId};
sub open_room { my ($who, $id, %more) = @_; return {json => {storyId => $id}, token => $who->{token}, %more} }
sub room { my ($who, $id, %more) = @_; return {path => {collaborationId => $id}, token => $who->{token}, %more} }
sub invite { my ($who, $id, %with) = @_; return room($who, $id, json => {email => $guest->{email}, role => 'voice', %with}) }
sub acceptance { my ($who, $code) = @_; return {json => {token => $code}, token => $who->{token}} }

# --- open -------------------------------------------------------------------------------------------------------------

my $new = $api->succeeds(201, createCollaboration => open_room($host, $story), 'an author opens a story, at once');
my $id = $new->{json}{collaborationId};
is $new->{headers}{location}, "/v1/collaborations/$id", 'Location says where';
is $new->{json}{storyTitle}, 'Shared', 'with its title';
is_deeply $new->{json}{participants}, [], 'nobody takes part yet';
is_deeply $api->succeeds(200, getCollaboration => room($host, $id), 'the host looks at it')->{json}, $new->{json}, 'and finds it so';
$api->fails(404, 'not_found', createCollaboration => open_room($eve, $story), 'nobody opens others\' stories');
$api->fails(404, 'not_found', createCollaboration => open_room($host, $UNKNOWN), 'nor what is not there');
$api->fails(422, 'unprocessable', createCollaboration => open_room($host, $_), "no story: $_", '/storyId') for 'x', '', "$story ";
$api->fails(404, 'not_found', getCollaboration => room($eve, $id), 'others do not see it');
$api->fails(404, 'not_found', getCollaboration => room($host, $UNKNOWN), 'like what is not there');

my $keyed = $api->succeeds(201, createCollaboration => open_room($host, $story, headers => {'Idempotency-Key' => 'room'}), 'another, with a key');
is $api->succeeds(201, createCollaboration => open_room($host, $story, headers => {'Idempotency-Key' => 'room'}), 'sent again')->{json}{collaborationId},
    $keyed->{json}{collaborationId}, 'is the same';

# --- invite -----------------------------------------------------------------------------------------------------------

my $invitation = $api->succeeds(201, createInvitation => invite($host, $id), 'the host invites');
is $invitation->{json}{status}, 'pending', 'it is under way';
unlike $invitation->{content}, qr/token/i, 'the code is not in the answer';
$api->fails(404, 'not_found', createInvitation => invite($eve, $id), 'others do not invite');
$api->fails(404, 'not_found', createInvitation => invite($host, $UNKNOWN), 'nor into what is not there');
my %bad = ('/email' => [{email => 'guest'}, {email => "a\@b.example\nBcc: x\@y.example"}], '/role' => [{role => 'owner'}, {role => 'admin'}]);
for my $pointer (sort keys %bad) {
    $api->fails(422, 'unprocessable', createInvitation => invite($host, $id, %$_), "refused: @{[%$_]}", $pointer) for @{$bad{$pointer}};
}
ok wait_for(sub { $api->call(listInvitations => room($host, $id))->{json}{items}[0]{status} eq 'sent' }), 'then it is sent';
my $mail = $client->wait_for_mail($guest->{email}, qr/Shared/);
is $mail->{headers}{'x-campaign'}, 'collaboration.invitation.sent', 'a mail invites to the story';
like $mail->{text}, qr/Host „H“/, 'and says who invites';
my $code = code_of($mail);
ok $code, 'and how to accept';

my $invitations = $api->succeeds(200, listInvitations => room($host, $id), 'the host lists the invitations')->{json}{items};
is_deeply [map { $_->{email} } @$invitations], [$guest->{email}], 'there is one';
$api->fails(404, 'not_found', listInvitations => room($eve, $id), 'others do not list them');

# --- accept -----------------------------------------------------------------------------------------------------------

$api->fails(404, 'not_found', acceptInvitation => acceptance($guest, $_), "no code: $_") for 'x', 'A' x 22, scalar reverse $code;
$api->fails(409, 'conflict', acceptInvitation => acceptance($host, $code), 'the host need not accept');
is $client->get("/v1/stories/$story", token => $guest->{token})->{status}, 404, 'the guest does not see the story yet';
my $membership = $api->succeeds(200, acceptInvitation => acceptance($guest, $code), 'the guest accepts');
is_deeply $membership->{json}, {collaborationId => $id, storyId => $story, role => 'voice'}, 'and learns what to';
$api->fails(404, 'not_found', acceptInvitation => acceptance($_, $code), 'a code holds once') for $guest, $eve;
my $seen = $api->succeeds(200, getCollaboration => room($guest, $id), 'the guest sees the collaboration')->{json};
is_deeply [map { "$_->{userId} $_->{displayName} $_->{role}" } @{$seen->{participants}}], ["$guest->{userId} Guest voice"], 'and takes part';
is $api->call(listInvitations => room($host, $id))->{json}{items}[0]{status}, 'accepted', 'the host sees that';
$api->fails(404, 'not_found', $_->[0] => $_->[1], "$_->[0]: a guest does not lead") for [listInvitations => room($guest, $id)], [createInvitation => invite($guest, $id)];

ok wait_for(sub { $client->get("/v1/stories/$story", token => $guest->{token})->{status} == 200 }), 'the guest reads the story';
for my $part (qw(analysis narration video)) {
    ok wait_for(sub { $client->get("/v1/stories/$story/$part", token => $guest->{token})->{status} == 200 }), "and its $part";
}
is $client->patch("/v1/stories/$story", json => {title => 'Mine'}, token => $guest->{token}, headers => {'If-Match' => '*'})->{status}, 404, 'but does not change it';
my ($item) = grep { $_->{storyId} eq $story } @{$client->get('/v1/stories', token => $guest->{token})->{json}{items}};
is $item->{collaboratorCount}, 1, 'it stands in the guest\'s list';
is $item->{authorName}, 'Host „H“', 'as its author\'s';
is $client->get("/v1/stories/$story", token => $eve->{token})->{status}, 404, 'and nobody else has got in';
ok $client->wait_for_mail($host->{email}, qr/Guest/), 'the host is told by mail';

# Two who race for one code: one wins.
$api->succeeds(201, createInvitation => invite($host, $id, email => $eve->{email}, role => 'listener'), 'another invitation');
my $contested = code_of($client->wait_for_mail($eve->{email}, qr/Shared/));
my @children = map {
    my $who = $_;
    pipe(my $read, my $write) or die;
    my $pid = fork // die;
    if (!$pid) {
        syswrite $write, $platform->client->post('/v1/invitations/accept', json => {token => $contested}, token => $who->{token})->{status};
        require POSIX;
        POSIX::_exit(0);
    }
    close $write;
    [$pid, $read];
} ($eve, $client->register_user) x 3;
my @statuses = map { my ($pid, $read) = @$_; my $said = <$read>; waitpid $pid, 0; $said } @children;
is_deeply [sort @statuses], [200, (404) x 5], 'of many who accept at once, one gets in';
is scalar @{$api->call(getCollaboration => room($host, $id))->{json}{participants}}, 2, 'and is one participant';

# An invitation that has expired.
$api->succeeds(201, createInvitation => invite($host, $id, email => 'late@example.org'), 'one that nobody answers');
ok wait_for(sub { $api->call(listInvitations => room($host, $id))->{json}{items}[0]{status} eq 'sent' }), 'is sent';
my $late = code_of($client->wait_for_mail('late@example.org', qr/Shared/));
my $unanswered = $api->call(listInvitations => room($host, $id))->{json}{items}[0]{invitationId};
$platform->sql('collaboration', "update jobs set run_at = now() where name = 'expire_invitation' and unique_key = '$unanswered'");    # as after its days
ok wait_for(sub { $api->call(listInvitations => room($host, $id))->{json}{items}[0]{status} eq 'expired' }), 'expires';
ok $client->wait_for_mail($host->{email}, qr/has expired/), 'which the host is told';
$api->fails(404, 'not_found', acceptInvitation => acceptance($client->register_user, $late), 'and cannot be accepted any more');

# --- decline, take back, hand in, leave, end ----------------------------------------------------------------------------

my $leader = $client->register_user(displayName => 'Leader');
my $other  = $client->post('/v1/stories', json => {title => 'Other', content => 'The sun rose over the hills, and nobody in the village knew what the day would bring to all of them.'}, token => $leader->{token})->{json}{storyId};
# A film of it as its leader sees it, and how much is written on its end card besides that it is the end; -1: it cannot be looked at.
sub film { return $client->get("/v1/stories/$other/video", token => $leader->{token})->{json} // {} }
sub names_written {
    my ($video) = @_;
    my $file = $platform->var . '/seen.mp4';
    open my $out, '>:raw', $file or die "$file: $!";
    print $out $client->get($video->{url}, token => $leader->{token})->{content};
    close $out;
    my @command = (qw(ffmpeg -v error -nostdin -sseof -0.55 -i), $file, qw(-frames:v 1 -f rawvideo -vf), 'crop=1000:150:140:370,format=gray', '-');
    open my $in, '-|', @command or die "ffmpeg: $!";
    my $picture = do { local $/; <$in> } // '';
    return -1 if !close $in or length $picture != 1000 * 150;
    return $picture =~ tr/\x7e-\xff//;
}
ok wait_for(sub { (film()->{status} // '') eq 'ready' }), 'a story of somebody alone';
is names_written(film()), 0, 'ends without names';
my $place  = $api->succeeds(201, createCollaboration => open_room($leader, $other), 'another room')->{json}{collaborationId};
my ($ada, $bob) = map { $client->register_user(displayName => $_) } 'Ada', 'Bob';
sub code_for { my ($email) = @_; return code_of($client->wait_for_mail($email, qr/Other/)) }
sub invited { my ($n) = @_; return $api->call(listInvitations => room($leader, $place))->{json}{items}[$n // 0] }
sub one { my ($invitation) = @_; return {path => {collaborationId => $place, invitationId => $invitation}} }
sub member { my ($who, $whom) = @_; return {path => {collaborationId => $place, userId => $whom->{userId}}, token => $who->{token}} }

$api->succeeds(201, createInvitation => invite($leader, $place, email => 'no@example.org'), 'somebody is invited');
my $no = code_for('no@example.org');
$api->fails(404, 'not_found', declineInvitation => acceptance($eve, $_), "no code: $_") for 'x', scalar reverse $no;
$api->succeeds(204, declineInvitation => acceptance($eve, $no), 'and declines');
is invited()->{status}, 'declined', 'which the host sees';
ok $client->wait_for_mail($leader->{email}, qr/was declined/), 'and is told';
$api->fails(404, 'not_found', $_ => acceptance($eve, $no), "then the code is used up: $_") for qw(declineInvitation acceptInvitation);

my $mistake = $api->succeeds(201, createInvitation => invite($leader, $place, email => 'wrong@example.org'), 'an invitation to a wrong address')->{json}{invitationId};
my $wrong = code_for('wrong@example.org');
$api->fails(404, 'not_found', cancelInvitation => {%{one($mistake)}, token => $eve->{token}}, 'others do not take it back');
$api->fails(404, 'not_found', cancelInvitation => {%{one($UNKNOWN)}, token => $leader->{token}}, 'nor is there another');
$api->succeeds(204, cancelInvitation => {%{one($mistake)}, token => $leader->{token}}, 'the host does');
is invited()->{status}, 'cancelled', 'and sees it';
$api->fails(404, 'not_found', acceptInvitation => acceptance($eve, $wrong), 'its code does not hold');
$api->fails(409, 'conflict', cancelInvitation => {%{one($mistake)}, token => $leader->{token}}, 'that happens once');

for my $who ($ada, $bob) {
    $api->succeeds(201, createInvitation => invite($leader, $place, email => $who->{email}), 'somebody is invited');
    $api->succeeds(200, acceptInvitation => acceptance($who, code_for($who->{email})), 'and takes part');
}
sub people { return $api->call(getCollaboration => room($leader, $place))->{json}{participants} }
is_deeply [map { [$_->{displayName}, $_->{submittedAt}] } @{people()}], [['Ada', undef], ['Bob', undef]], 'two take part, nobody has handed in';
$api->fails(404, 'not_found', completeSubmission => room($_, $place), 'who does not take part hands nothing in') for $eve, $leader;
$platform->sql('collaboration', qq(update stories set characters = '["Sun", "Moon"]' where story_id = '$other'));    # as its analysis would say
sub given { my ($who, $whom, @names) = @_; return {%{member($who, $whom)}, json => {characters => \@names}} }
is_deeply $api->succeeds(200, assignCharacters => given($leader, $ada, 'Sun'), 'Ada is to speak the Sun')->{json}{participants}[0]{characters}, ['Sun'], 'which everybody sees';
ok wait_for(sub { (($platform->sql('video', "select \"character\" from story_readers where story_id = '$other' and user_id = '$ada->{userId}'"))[0] // '') eq 'Sun' }), 'also at the end of films';
$api->fails(409, 'conflict', assignCharacters => given($leader, $bob, 'Moon', 'Sun'), 'so Bob is not');
$api->fails(422, 'unprocessable', assignCharacters => given($leader, $bob, 'Mars'), 'nor is there another', '/characters');
$api->fails(422, 'unprocessable', assignCharacters => given($leader, $bob, 'Moon', 'Moon'), 'once is enough', '/characters');
$api->fails(404, 'not_found', assignCharacters => given($_->[0], $_->[1], 'Moon'), $_->[2]) for [$ada, $ada, 'nobody gives that to themselves'], [$leader, $eve, 'or to who does not take part'];
is_deeply $api->succeeds(200, assignCharacters => given($leader, $ada), 'it is taken from her')->{json}{participants}[0]{characters}, [], 'who speaks nobody then';
is $api->succeeds(200, assignCharacters => given($leader, $bob, 'Sun', 'Moon'), 'and given to Bob')->{json}{participants}[1]{voice}, 'none', 'whose voice is not there';
my $done = $api->succeeds(200, completeSubmission => room($ada, $place), 'one hands in')->{json}{participants};
like $done->[0]{submittedAt}, qr/^20\d\d-.*Z$/, 'and when is known';
is_deeply $api->succeeds(200, completeSubmission => room($ada, $place), 'said again')->{json}{participants}, $done, 'it stays so';
ok $client->wait_for_mail($_->{email}, qr/Ada has finished/), 'all others are told' for $bob, $leader;

ok wait_for(sub { 2 == grep { $client->get("/v1/stories/$other", token => $_->{token})->{status} == 200 } $ada, $bob }), 'both read the story';
$api->fails(404, 'not_found', removeParticipant => member(@$_), 'nobody removes others') for [$ada, $bob], [$eve, $bob], [$eve, $eve], [$leader, $eve];
$api->succeeds(204, removeParticipant => member($bob, $bob), 'one leaves');
$api->fails(404, 'not_found', getCollaboration => room($bob, $place), 'and sees the collaboration no more');
ok wait_for(sub { $client->get("/v1/stories/$other", token => $bob->{token})->{status} == 404 }), 'nor the story';
is $client->get("/v1/stories/$other", token => $ada->{token})->{status}, 200, 'unlike the other';

my $again = $api->succeeds(201, createInvitation => invite($leader, $place, email => 'open@example.org'), 'somebody is invited')->{json}{invitationId};
my $open = code_for('open@example.org');
$api->fails(404, 'not_found', $_ => room($ada, $place), "a guest does not end it: $_") for qw(completeCollaboration cancelCollaboration);
is $api->succeeds(200, completeCollaboration => room($leader, $place), 'the host completes it')->{json}{status}, 'completed', 'then it is';
is invited()->{status}, 'cancelled', 'the open invitation goes with it';
ok $client->wait_for_mail($ada->{email}, qr/is completed/), 'who took part is told';
ok wait_for(sub { join(',', map { $_->{displayName} } @{$client->get("/v1/stories/$other", token => $leader->{token})->{json}{contributors}}) eq 'Ada' }), 'and named with the story';
ok wait_for(sub { ($platform->sql('video', "select count(*) from video_jobs where story_id = '$other' and collaboration_id = '$place'"))[0] == 1 }), 'a film is made of it';
my ($together) = $platform->sql('video', "select video_id from video_jobs where collaboration_id = '$place'");
ok wait_for(sub { (film()->{videoId} // '') eq $together }), 'and shown';
cmp_ok names_written(film()), '>', 100, 'which names who took part';
is_deeply [grep { $_->{subject} =~ /is completed|Ada has finished/ } map { $client->mails($_->{email}) } $leader], [grep { $_->{subject} =~ /Ada has finished/ } $client->mails($leader->{email})], 'and nobody of what they have done';
$api->fails(404, 'not_found', acceptInvitation => acceptance($eve, $open), 'nobody comes in any more');
$api->fails(409, 'conflict', $_->[0] => $_->[1], "nor does anything else: $_->[0]")
    for [createInvitation => invite($leader, $place)], [completeSubmission => room($ada, $place)], [completeCollaboration => room($leader, $place)], [cancelCollaboration => room($leader, $place)];
$api->succeeds(204, removeParticipant => member($leader, $ada), 'the host removes somebody');
ok wait_for(sub { 3 == grep { $client->get("/v1/stories/$other$_", token => $ada->{token})->{status} == 404 } '', '/narration', '/video' }), 'who does not read, hear or see the story any more';
my $short = $api->succeeds(201, createCollaboration => open_room($leader, $other), 'a third room')->{json}{collaborationId};
my $cal = $client->register_user(displayName => 'Cal');
sub reads { my ($who, $status) = @_; return 3 == grep { $client->get("/v1/stories/$other$_", token => $who->{token})->{status} == $status } '', '/narration', '/video' }
$api->succeeds(201, createInvitation => invite($leader, $short, email => $cal->{email}), 'somebody is invited');
$api->succeeds(200, acceptInvitation => acceptance($cal, code_for($cal->{email})), 'and takes part');
ok wait_for(sub { reads($cal, 200) }), 'reads, hears and sees the story';
is $api->succeeds(200, cancelCollaboration => room($leader, $short), 'is cancelled')->{json}{status}, 'cancelled', 'then it is';
ok wait_for(sub { reads($cal, 404) }), 'and nobody has a part in the story by it any more';
is $client->delete('/v1/me', token => $ada->{token})->{status}, 204, 'who took part has no account any more';
ok wait_for(sub { names_written(film()) == 0 }), 'and is not named any more either';
is film()->{videoId}, $together, 'it is the same film';
is_deeply [$platform->sql('video', "select count(*) from events where aggregate_id = '$together' and event_type = 'VideoGenerated'")], [1], 'which nobody is told of again';
my %told = map { $_ => 1 } $platform->sql('collaboration', "select event_type from events where aggregate_id in ('$place', '$short')");
ok $told{$_}, "$_ is in the log" for qw(InvitationDeclined InvitationCancelled SubmissionCompleted ParticipantLeft CollaborationCompleted CollaborationCancelled);

# --- lists ------------------------------------------------------------------------------------------------------------

my $list = $api->succeeds(200, listCollaborations => {token => $host->{token}}, 'the host lists collaborations')->{json}{items};
is_deeply [map { $_->{collaborationId} } @$list], [$keyed->{json}{collaborationId}, $id], 'newest first';
is_deeply [map { $_->{collaborationId} } @{$api->succeeds(200, listCollaborations => {token => $guest->{token}}, 'so does the guest')->{json}{items}}], [$id], 'who takes part';
my $page = $api->succeeds(200, listCollaborations => {token => $host->{token}, query => {limit => 1}}, 'a page')->{json};
my $rest = $api->succeeds(200, listCollaborations => {token => $host->{token}, query => {limit => 1, cursor => $page->{nextCursor}}}, 'and the next')->{json};
is $rest->{items}[0]{collaborationId}, $id, 'go on where the first ended';
ok !exists $rest->{nextCursor}, 'to the end';
$api->fails(400, 'invalid_request', listCollaborations => {token => $guest->{token}, query => {cursor => $page->{nextCursor}}}, 'a cursor is its owner\'s');
$api->fails(400, 'invalid_request', listInvitations => room($host, $id, query => {cursor => $page->{nextCursor}}), 'and its list\'s');

# --- limits and the end -----------------------------------------------------------------------------------------------

$platform->sql('collaboration', "update people set invitation_limit = (select count(*) from invitations i where i.host_id = people.user_id) where user_id = '$host->{userId}'");
$api->fails(402, 'payment_required', createInvitation => invite($host, $id), 'a tier has so many invitations');
is $client->request(DELETE => "/v1/stories/$story", {token => $host->{token}})->{status}, 204, 'the story is deleted';
ok wait_for(sub { $api->call(getCollaboration => room($host, $id))->{json}{status} eq 'cancelled' }), 'its collaborations end';
$platform->sql('collaboration', "update people set invitation_limit = null where user_id = '$host->{userId}'");
$api->fails(409, 'conflict', createInvitation => invite($host, $id), 'nobody is invited any more');
$api->fails(404, 'not_found', createCollaboration => open_room($host, $story), 'nor is it opened again');

done_testing;
