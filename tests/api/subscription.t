# Tiers and usage.
use strict;
use warnings;
use JSON::PP ();
use Test::More;
use Storytelling::Platform;
use Storytelling::Client;
use Storytelling::Contract;

my $platform = Storytelling::Platform->shared;
my $client   = $platform->client;
my $api      = Storytelling::Contract->new($platform, $client);
my ($user, $other) = map { $client->register_user } 1, 2;

ok wait_for(sub { $api->call(getSubscription => {token => $user->{token}})->{status} == 200 }), 'a new account has a subscription within a moment';
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

my $text = 'The moon of usage rose. Nobody counted it.';
my $story = $client->post('/v1/stories', json => {title => 'Counted', content => $text}, token => $user->{token})->{json}{storyId};
ok wait_for(sub { used($user)->{stories} == 1 }), 'a story counts';
my $room = wait_for(sub {
    my $made = $client->post('/v1/collaborations', json => {storyId => $story}, token => $user->{token});
    $made->{status} == 201 && $made->{json}{collaborationId};
});
$client->post("/v1/collaborations/$room/invitations", json => {email => 'guest@example.org', role => 'voice'}, token => $user->{token}) for 1, 2;
ok wait_for(sub { my $used = used($user); $used->{collaborations} == 1 && $used->{invitations} == 2 }), 'so do collaborations and invitations'
    or diag explain used($user);
ok wait_for(sub { my $used = used($user); $used->{videos} == 1 && $used->{narrationCharacters} > 0 }), 'and narration and video';
cmp_ok used($user)->{narrationCharacters}, '<=', length $text, 'in characters that were spoken';
is $client->request('DELETE', "/v1/stories/$story", {token => $user->{token}})->{status}, 204, 'the story goes';
is used($user)->{stories}, 1, 'what was used stays used';
is_deeply [grep { $_ } values %{used($other)}], [], 'and nobody else has used anything';

# A limit that is reached is told once.
ok wait_for(sub { $api->call(getUsage => {token => $other->{token}})->{status} == 200 }), 'another account';
sub limit_stories { $platform->sql('subscription', "update subscription_tiers set limits = limits || '{\"stories\": $_[0]}' where tier = 'free'") }
limit_stories(2);
$client->post('/v1/stories', json => {title => "Story $_", content => 'A.'}, token => $other->{token}) for 1 .. 3;
ok wait_for(sub { used($other)->{stories} >= 2 }), 'uses up its stories';
ok wait_for(sub { ($platform->sql('subscription', "select count(*) from events where event_type = 'UsageLimitReached' and payload->>'userId' = '$other->{userId}'"))[0] == 1 }),
    'and is told so once';
limit_stories(50);

# --- paid tiers ---

my $payer = $client->register_user;
sub standing { return $api->call(getSubscription => {token => $payer->{token}})->{json} // {} }
sub change { return (changeSubscription => {json => {@_}, token => $payer->{token}}) }
sub told {
    my ($type) = @_;
    return map { JSON::PP->new->decode($_) } $platform->sql('subscription',
        "select payload from events where event_type = '$type' and payload->>'userId' = '$payer->{userId}' order by seq");
}
# The clock goes on: the log says that what is paid ends now, and the tables are made of it again.
sub bill { $platform->sql('subscription', "insert into jobs (name, payload, metadata) values ('bill', '{\"userId\": \"$payer->{userId}\"}', '{\"correlationId\": \"t\"}')") }
sub time_passes {
    my ($member) = @_;
    $platform->sql('subscription', "update events set payload = jsonb_set(payload, '{$member}', to_jsonb(now())) "
            . "where seq = (select max(seq) from events where payload ? '$member' and payload->>'userId' = '$payer->{userId}')");
    my $exit = $platform->storyctl('rebuild', 'subscription')->{exit};
    bill();    # which the schedule would, too
    return $exit;
}

ok wait_for(sub { standing()->{tier} }), 'a third account';
$api->fails(422, 'unprocessable', change(tier => 'gold'), 'there is no such tier', '/tier');
$api->fails(422, 'unprocessable', change(tier => 'premium'), 'a tier with a price wants a means of payment');
$api->fails(409, 'conflict', change(tier => 'free'), 'who is there already');
$api->fails(409, 'conflict', cancelSubscription => {token => $payer->{token}}, 'nor is there anything to leave');
$api->succeeds(202, change(tier => 'premium', paymentToken => 'tok_chargeDeclined'), 'a payment may be refused');
ok wait_for(sub { told('PaymentFailed') }), 'which is told';
is standing()->{tier}, 'free', 'and changes nothing';

limit_stories(1);
$client->post('/v1/stories', json => {title => 'First', content => 'A.'}, token => $payer->{token});
ok wait_for(sub { told('UsageLimitReached') }), 'the free tier is used up';
sub posts { return $client->post('/v1/stories', json => {title => 'Second', content => 'A.'}, token => $payer->{token})->{status} }
ok wait_for(sub { posts() == 402 }), 'so nothing more is posted';
$api->succeeds(202, change(tier => 'premium', paymentToken => 'tok_visa'), 'the next one is taken');
ok wait_for(sub { standing()->{tier} eq 'premium' }), 'and the tier holds';
ok wait_for(sub { posts() == 201 }), 'with more to be posted';
limit_stories(50);
my ($paid) = told('PaymentProcessed');
is_deeply $paid->{amount}, {value => 999, currency => 'EUR'}, 'a first period is paid in full';
is scalar(my @lifted = told('UsageLimitLifted')), 1, 'what was used up is free again';
is standing()->{limits}{stories}, 500, 'with its limits';

$api->succeeds(202, change(tier => 'family'), 'a dearer tier needs no other means of payment');
ok wait_for(sub { standing()->{tier} eq 'family' }), 'and holds at once';
is((told('PaymentProcessed'))[1]{amount}{value}, 500, 'for what is left of the period, the difference');
$api->succeeds(202, change(tier => 'premium'), 'a cheaper one');
is_deeply [@{standing()}{qw(tier nextTier)}], ['family', 'premium'], 'follows';
is time_passes('periodEnd'), 0, 'when the period has ended';
ok wait_for(sub { standing()->{tier} eq 'premium' }), 'it does' or diag explain standing();
is((told('SubscriptionDowngraded'))[0]{fromTier}, 'family', 'and says so');

$platform->sql('subscription', "update payment_methods set token = 'tok_chargeDeclined' where user_id = '$payer->{userId}'");
time_passes('periodEnd');
ok wait_for(sub { standing()->{status} eq 'past_due' }), 'when it cannot be renewed, it is past due';
is standing()->{tier}, 'premium', 'and still holds';
$platform->sql('subscription', "update payment_methods set token = 'tok_visa' where user_id = '$payer->{userId}'");
time_passes('retryAt');
ok wait_for(sub { standing()->{status} eq 'active' }), 'until it is tried again';
is scalar(my @renewed = told('SubscriptionRenewed')), 1, 'then it is renewed, once';

$api->succeeds(202, cancelSubscription => {token => $payer->{token}}, 'it is left');
is standing()->{nextTier}, 'free', 'for the free tier';
$api->succeeds(202, change(tier => 'premium'), 'which may be taken back');
is standing()->{nextTier}, undef, 'while it runs';
$api->succeeds(202, cancelSubscription => {token => $payer->{token}}, 'and left again') for 1, 2;
$platform->sql('subscription', "update events set payload = jsonb_set(payload, '{periodEnd}', to_jsonb(now())) "
        . "where event_type = 'SubscriptionRenewed' and payload->>'userId' = '$payer->{userId}'");
is $platform->storyctl('rebuild', 'subscription')->{exit}, 0, 'when it has ended'; # and now the schedule finds it
ok wait_for(sub { standing()->{tier} eq 'free' }), 'it goes';
is scalar(my @expired = told('SubscriptionExpired')), 1, 'which is told once';
is $platform->storyctl('rebuild', 'subscription', '--check')->{exit}, 0, 'and all of it is what the log says';
is_deeply [$platform->sql('subscription', "select string_agg(status || amount_value, ' ' order by created_at) from payment_history where user_id = '$payer->{userId}'")],
    ['failed999 succeeded999 succeeded500 succeeded999 failed999 succeeded999'], 'every payment is there';

done_testing;
