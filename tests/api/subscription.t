# Tiers and usage.
use strict;
use warnings;
use Test::More;
use Storytelling::Platform;
use Storytelling::Client;
use Storytelling::Contract;

my $platform = Storytelling::Platform->shared;
my $client   = $platform->client;
my $api      = Storytelling::Contract->new($platform, $client);
my ($user, $other) = map { $client->register_user } 1, 2;

ok wait_for(sub { $api->call(getSubscription => {token => $user->{token}})->{status} == 200 }, 10), 'a new account has a subscription within a moment';
my $subscription = $api->succeeds(200, getSubscription => {token => $user->{token}}, 'it is read')->{json};
is $subscription->{tier}, 'free', 'the free tier';
is $subscription->{status}, 'active', 'active';
is_deeply $subscription->{price}, {value => 0, currency => 'EUR'}, 'free of charge';
is $subscription->{limits}{stories}, 50, 'with the limits of config/tiers.yaml';
cmp_ok $subscription->{periodStart}, 'lt', $subscription->{periodEnd}, 'a period has an end';
isnt $api->call(getSubscription => {token => $other->{token}})->{json}{subscriptionId}, $subscription->{subscriptionId}, 'everybody has their own';

sub used {
    my ($whom) = @_;
    my $usage = $api->call(getUsage => {token => $whom->{token}});
    return {map { $_->{metric} => $_->{used} } @{$usage->{json}{metrics} // []}};
}
my $usage = $api->succeeds(200, getUsage => {token => $user->{token}}, 'usage is read')->{json};
is_deeply [map { $_->{metric} } @{$usage->{metrics}}], [qw(collaborations invitations narrationCharacters stories videos)], 'every metric of the tier';
is_deeply [grep { $_->{used} } @{$usage->{metrics}}], [], 'nothing is used yet';
is $usage->{tier}, $subscription->{tier}, 'the tier is that of the subscription';
is_deeply [@{$usage->{period}}{qw(start end)}], [@{$subscription}{qw(periodStart periodEnd)}], 'and so is the period';
my $old = $api->succeeds(200, getUsageV1 => {token => $user->{token}}, 'the same in the first version');
is_deeply $old->{json}{metrics}, $usage->{metrics}, 'has the same metrics';
is_deeply [@{$old->{json}}{qw(periodStart periodEnd)}], [@{$usage->{period}}{qw(start end)}], 'and the period in its older form';
is $old->{headers}{link}, '</v2/usage>; rel="successor-version"', 'it names its successor';
like $old->{headers}{deprecation}, qr/^@\d+$/, 'it is deprecated';
like $old->{headers}{sunset}, qr/GMT$/, 'and says until when it is there';

my $text = 'The moon rose. Nobody saw it.';
my $story = $client->post('/v1/stories', json => {title => 'Counted', content => $text}, token => $user->{token})->{json}{storyId};
ok wait_for(sub { used($user)->{stories} == 1 }, 10), 'a story counts';
my $room = wait_for(sub {
    my $made = $client->post('/v1/collaborations', json => {storyId => $story}, token => $user->{token});
    $made->{status} == 201 && $made->{json}{collaborationId};
}, 10);
$client->post("/v1/collaborations/$room/invitations", json => {email => 'guest@example.org', role => 'voice'}, token => $user->{token}) for 1, 2;
ok wait_for(sub { my $used = used($user); $used->{collaborations} == 1 && $used->{invitations} == 2 }, 10), 'so do collaborations and invitations'
    or diag explain used($user);
ok wait_for(sub { my $used = used($user); $used->{videos} == 1 && $used->{narrationCharacters} > 0 }, 40), 'and narration and video';
cmp_ok used($user)->{narrationCharacters}, '<=', length $text, 'in characters that were spoken';
is $client->request('DELETE', "/v1/stories/$story", {token => $user->{token}})->{status}, 204, 'the story goes';
is used($user)->{stories}, 1, 'what was used stays used';
is_deeply [grep { $_ } values %{used($other)}], [], 'and nobody else has used anything';

# A limit that is reached is told once.
ok wait_for(sub { $api->call(getUsage => {token => $other->{token}})->{status} == 200 }, 10), 'another account';
sub limit_stories { $platform->sql('subscription', "update subscription_tiers set limits = limits || '{\"stories\": $_[0]}' where tier = 'free'") }
limit_stories(2);
$client->post('/v1/stories', json => {title => "Story $_", content => 'A.'}, token => $other->{token}) for 1 .. 3;
ok wait_for(sub { used($other)->{stories} >= 2 }, 10), 'uses up its stories';
ok wait_for(sub { ($platform->sql('subscription', "select count(*) from events where event_type = 'UsageLimitReached' and payload->>'userId' = '$other->{userId}'"))[0] == 1 }, 10),
    'and is told so once';
limit_stories(50);

done_testing;
