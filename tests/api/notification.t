# The in-app inbox.
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
my $user     = $client->register_user(displayName => 'Zoë', locale => 'de');
my $other    = $client->register_user;

sub inbox { my ($whom, %query) = @_; return $api->call(listNotifications => {token => $whom->{token}, query => \%query})->{json}{items} // [] }

ok wait_for(sub { @{inbox($user)} }), 'a new account finds a message';
my $welcome = $api->succeeds(200, listNotifications => {token => $user->{token}}, 'the inbox is read')->{json}{items}[-1];
is $welcome->{campaign}, 'user.registered', 'the welcome';
like $welcome->{text}, qr/Willkommen, Zoë!/, 'in the language of its reader';
is $client->get($welcome->{link}, token => $user->{token})->{status}, 200, 'with a link that leads somewhere';
is $welcome->{readAt}, undef, 'unread';

my $story = $client->post('/v1/stories', json => {title => 'Der „Mond“ <b>', content => 'Der Mond ging auf.'}, token => $user->{token})->{json}{storyId};
ok wait_for(sub { grep { $_->{campaign} eq 'video.generated' } @{inbox($user)} }), 'a story is narrated and filmed';
my @messages = @{inbox($user)};
is_deeply [map { $_->{campaign} } @messages], [qw(video.generated narration.generation.completed user.registered)], 'newest first';
like $messages[1]{text}, qr/Der „Mond“ <b>/, 'titles come as they are: this is no HTML';
is $client->get($_->{link}, token => $user->{token})->{status}, 200, "the link of $_->{campaign} leads somewhere" for @messages;
is scalar(grep { $_->{campaign} =~ /narration|video/ } @{inbox($other)}), 0, 'nobody else is told';

# --- pages ------------------------------------------------------------------------------------------------------------

my (@seen, $cursor);
for (1 .. 5) {
    my $page = $api->succeeds(200, listNotifications => {token => $user->{token}, query => {limit => 1, defined $cursor ? (cursor => $cursor) : ()}}, "page $_");
    push @seen, @{$page->{json}{items}};
    $cursor = $page->{json}{nextCursor} // last;
}
is_deeply \@seen, \@messages, 'page by page the same';
my $mine = $api->call(listNotifications => {token => $user->{token}, query => {limit => 1}})->{json}{nextCursor};
$api->fails(400, 'invalid_request', listNotifications => {token => $other->{token}, query => {cursor => $mine}}, 'another\'s cursor is refused');
$api->fails(400, 'invalid_request', listNotifications => {token => $user->{token}, query => {cursor => 'x.y'}}, 'so is a forged one');

# --- read -------------------------------------------------------------------------------------------------------------

sub mark { my ($whom, $id) = @_; return {path => {notificationId => $id}, token => $whom->{token}} }
my $id = $messages[0]{notificationId};
$api->fails(404, 'not_found', markNotificationRead => mark($other, $id), 'nobody reads for others');
$api->fails(404, 'not_found', markNotificationRead => mark($user, '0193c7e2-1111-7111-8111-111111111111'), 'nor what is not there');
is inbox($user)->[0]{readAt}, undef, 'still unread';
$api->succeeds(204, markNotificationRead => mark($user, $id), 'it is marked');
my $read_at = inbox($user)->[0]{readAt};
ok $read_at, 'and says since when';
$api->succeeds(204, markNotificationRead => mark($user, $id), 'marking it again');
is inbox($user)->[0]{readAt}, $read_at, 'changes nothing';
is inbox($user)->[1]{readAt}, undef, 'nor the others';

# --- mails ------------------------------------------------------------------------------------------------------------

my ($mail) = grep { $_->{headers}{'x-campaign'} eq 'narration.generation.completed' } $client->mails($user->{email});
like $mail->{subject}, qr/Der „Mond“ <b>/, 'the mail has the title';
like $mail->{html}, qr/Der „Mond“ &lt;b&gt;/, 'escaped where it is HTML';
like $mail->{html}, qr/<html lang="de" dir="ltr">/, 'and its language';
my %sent;
$sent{$_->{headers}{'message-id'}}++ for $client->mails($user->{email});
is_deeply [grep { $sent{$_} > 1 } keys %sent], [], 'none is sent twice';

done_testing;
