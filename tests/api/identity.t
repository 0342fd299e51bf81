# Accounts and sessions: register, verify, log in, refresh, log out, read, change, delete.
use strict;
use warnings;
use utf8;
use Test::More;
use JSON::PP ();
use MIME::Base64 qw(decode_base64url);
use Storytelling::Platform;
use Storytelling::Client;
use Storytelling::Contract;

binmode Test::More->builder->$_, ':utf8' for qw(output failure_output todo_output);
my $platform = Storytelling::Platform->shared;
my $client   = $platform->client;
my $api      = Storytelling::Contract->new($platform, $client);
my $PASSWORD = 'a sentence is fine 漢🦉';
my $n        = 0;

sub new_email { $n++; return sprintf 'identity%d.%d.%06x@example.org', $$, $n, rand 0xffffff }

sub registration { my (%with) = @_; return {email => new_email(), password => $PASSWORD, displayName => 'Zoë 漢字 🦉', %with} }

sub claims { my ($part) = (split /\./, $_[0])[$_[1] // 1]; return JSON::PP::decode_json(decode_base64url($part)) }

# --- register ---------------------------------------------------------------------------------------------------------

my $account = registration(locale => 'de-AT');
my $answer = $api->succeeds(202, register => {json => $account}, 'somebody registers');
my $code = $client->wait_for_code($account->{email});
ok $code, 'a code arrives by mail';
like $client->wait_for_mail($account->{email})->{text}, qr/Zoë 漢字 🦉/, 'that names the person';
my ($mail) = grep { $_->{text} =~ /\Q$code\E/ } $client->mails($account->{email});
like $mail->{text}, qr/Hallo/, 'in the language of the person';

my %bad = (
    'no address'             => [{email => 'ada'}, '/email'],
    'two at signs'           => [{email => 'a@b@example.org'}, '/email'],
    'an address with a line' => [{email => "a\@example.org\nBcc: x\@example.org"}, '/email'],
    'a quoted local part'    => [{email => '"a b"@example.org'}, '/email'],
    'a host by its number'   => [{email => 'a@[127.0.0.1]'}, '/email'],
    'a long address'         => [{email => 'a' x 250 . '@example.org'}, '/email'],
    'a short password'       => [{password => 'x' x 14}, '/password'],
    'a long password'        => [{password => 'x' x 129}, '/password'],
    'no name'                => [{displayName => ''}, '/displayName'],
    'a blank name'           => [{displayName => "\x{200b}\x{3000} "}, '/displayName'],
    'a name with a line'     => [{displayName => "Ada\nLovelace"}, '/displayName'],
    'a name with a bell'     => [{displayName => "Ada\a"}, '/displayName'],
    'a long name'            => [{displayName => 'x' x 81}, '/displayName'],
    'no language tag'        => [{locale => 'english please'}, '/locale'],
    'a path for a locale'    => [{locale => '../../etc'}, '/locale'],
    'roles of one\'s choice' => [{roles => ['admin']}, '/roles'],
    'all at once'            => [{email => 7, password => undef, displayName => [], locale => {}}, qw(/email /password /displayName /locale)],
);
for my $what (sort keys %bad) {
    my ($with, @pointers) = @{$bad{$what}};
    $api->fails(422, 'unprocessable', register => {json => registration(%$with), client => $platform->client}, "$what is refused", @pointers);
}
$api->succeeds(202, register => {json => registration(displayName => $_)}, "a name may be $_") for '𝒜da', 'شهرزاد', 'שרה', '👩‍🚀', 'x' x 80, "O'Brien; drop table users";

# --- verify -----------------------------------------------------------------------------------------------------------

sub login { my ($who, %with) = @_; return {json => {email => $who->{email}, password => $who->{password}, %with}} }

my $unverified = $api->fails(401, 'invalid_credentials', login => login($account), 'nobody logs in before that');
$api->fails(400, 'invalid_request', verifyEmail => {json => {token => $_}}, "a wrong code is refused: $_") for 'x', 'A' x 22, substr($code, 0, 21) . ($code =~ /A$/ ? 'B' : 'A');
$api->succeeds(204, verifyEmail => {json => {token => $code}}, 'the right one confirms');
$api->fails(400, 'invalid_request', verifyEmail => {json => {token => $code}}, 'once');

my $late = registration();
$api->succeeds(202, register => {json => $late}, 'another registers');
my $first_code = $client->wait_for_code($late->{email});
$platform->sql('identity', "update email_tokens set expires_at = now() - interval '1 second' where user_id = (select user_id from users where email = '$late->{email}')");
$api->fails(400, 'invalid_request', verifyEmail => {json => {token => $first_code}}, 'a code expires');
$api->succeeds(202, register => {json => {%$late, password => 'the password given last counts'}}, 'registering again gives another');
my $second_code = wait_for(sub { my $c = $client->wait_for_code($late->{email}); defined $c && $c ne $first_code && $c });
$api->succeeds(204, verifyEmail => {json => {token => $second_code}}, 'that confirms');
$api->fails(401, 'invalid_credentials', login => login($late), 'the first password does not hold');
$api->succeeds(200, login => login($late, password => 'the password given last counts'), 'the last one does');

# --- a taken address --------------------------------------------------------------------------------------------------

my $taken = $api->succeeds(202, register => {json => registration(email => uc $account->{email}, password => 'of somebody else entirely')}, 'a taken address is answered alike');
is $taken->{content}, $answer->{content}, 'to the byte';
ok $client->wait_for_mail($account->{email}, qr/bereits|schon|already/i), 'its owner is told by mail';
$api->fails(401, 'invalid_credentials', login => login($account, password => 'of somebody else entirely'), 'and nothing has changed');

# --- log in -----------------------------------------------------------------------------------------------------------

my $login = $api->succeeds(200, login => login($account, email => ucfirst $account->{email}), 'the owner logs in');
my $tokens = $login->{json};
is $login->{headers}{'cache-control'}, 'no-store', 'and nobody keeps the answer';
my ($header, $claims) = (claims($tokens->{accessToken}, 0), claims($tokens->{accessToken}));
is $header->{typ}, 'at+jwt', 'the token says what it is';
is $header->{alg}, 'ES256', 'and how it is signed';
is $claims->{iss}, 'https://storytelling.local', 'by whom';
is $claims->{aud}, 'storytelling', 'for whom';
is $claims->{exp} - $claims->{iat}, 600, 'and that it lives ten minutes';
is_deeply $claims->{roles}, ['author'], 'a new account is an author';
is $claims->{tier}, 'free', 'on the free tier';
ok $claims->{$_}, "with $_" for qw(sub sid jti nbf);

my ($first, $second) = map { $api->succeeds(200, login => {%{login($account)}, headers => {'Idempotency-Key' => "login$$"}}, 'a key at the login') } 1, 2;
isnt $second->{json}{refreshToken}, $first->{json}{refreshToken}, 'replays no tokens';
is_deeply [$platform->sql('identity', "select count(*) from idempotency_keys where operation = 'login'")], [0], 'nor does it keep any';

my @refused = map { $api->fails(401, 'invalid_credentials', login => $_->[0], $_->[1]) } (
    [login($account, password => "$PASSWORD "), 'a wrong password is refused'],
    [login($account, email => new_email()), 'so is an unknown address'],
    [login($account, email => "' or 1=1 --"), 'and one that is none'],
)[0, 1];
my @bodies = map { my %body = %{$_->{json}}; delete $body{correlationId}; JSON::PP->new->canonical->encode(\%body) } $unverified, @refused;
is $bodies[$_], $bodies[0], 'all alike' for 1 .. $#bodies;

# --- keys -------------------------------------------------------------------------------------------------------------

my $keys = $api->succeeds(200, getJwks => {}, 'the keys are public');
is $keys->{json}{keys}[0]{kid}, $header->{kid}, 'and the token\'s is among them';
like $keys->{headers}{'cache-control'}, qr/max-age=\d+/, 'they may be kept';

# --- me ---------------------------------------------------------------------------------------------------------------

my $token = $tokens->{accessToken};
my $me = $api->succeeds(200, getMe => {token => $token}, 'one reads one\'s account');
is $me->{json}{userId}, $claims->{sub}, 'it is the right one';
is $me->{json}{email}, $account->{email}, 'as it was registered';
is $me->{json}{displayName}, $account->{displayName}, 'with its name';
is $me->{json}{locale}, 'de-AT', 'and language';
ok $me->{json}{emailVerified}, 'confirmed';

sub change { my ($etag, %what) = @_; return {json => \%what, token => $token, headers => {defined $etag ? ('If-Match' => $etag) : ()}} }
my $etag = $me->{headers}{etag};
$api->fails(428, 'precondition_required', updateMe => change(undef, displayName => 'Ada'), 'a change needs If-Match');
$api->fails(412, 'precondition_failed', updateMe => change($_, displayName => 'Ada'), "If-Match $_ does not fit") for '"0"', '"x"', 'x';
$api->fails(422, 'unprocessable', updateMe => change($etag), 'a change must change something', '');
$api->fails(422, 'unprocessable', updateMe => change($etag, email => 'other@example.org'), 'the address is not for changing', '/email');
my $changed = $api->succeeds(200, updateMe => change($etag, displayName => 'Ada Lovelace'), 'the name changes');
is $changed->{json}{displayName}, 'Ada Lovelace', 'as asked';
is $changed->{json}{locale}, 'de-AT', 'and nothing else';
isnt $changed->{headers}{etag}, $etag, 'the version moves on';
$api->fails(412, 'precondition_failed', updateMe => change($etag, displayName => 'Lost'), 'a lost update is noticed');
$api->succeeds(200, updateMe => change($changed->{headers}{etag}, locale => 'ar'), 'the version from the answer fits');
$api->succeeds(200, updateMe => change('*', displayName => '<b>Ada</b>'), 'so does an asterisk');

# --- refresh ----------------------------------------------------------------------------------------------------------

sub refresh { return {json => {refreshToken => $_[0]}} }

my $one = $tokens->{refreshToken};
my $two = $api->succeeds(200, refresh => refresh($one), 'a refresh token gives new tokens')->{json};
isnt $two->{refreshToken}, $one, 'another one to go on with';
is claims($two->{accessToken})->{sid}, $claims->{sid}, 'of the same session';
$api->succeeds(200, getMe => {token => $two->{accessToken}}, 'that work');
my $again = $api->succeeds(200, refresh => refresh($one), 'a client that lost the answer asks again')->{json};
is $again->{refreshToken}, $two->{refreshToken}, 'and gets the current one';
my $three = $api->succeeds(200, refresh => refresh($two->{refreshToken}), 'it goes on')->{json};
$api->fails(401, 'invalid_credentials', refresh => refresh($_), "no refresh token: $_")
    for 'x', 'a.b.c', '..', '0193c7e2-1111-7111-8111-111111111111.0.AAAA', ($three->{refreshToken} =~ s/\.\d+\./.99./r), ($three->{refreshToken} =~ s/.$/_/r) . 'x';
$api->succeeds(200, getMe => {token => $two->{accessToken}}, 'guessing ends nobody\'s session');
$api->fails(401, 'invalid_credentials', refresh => refresh($one), 'one from long ago is a stolen one');
$api->fails(401, 'invalid_credentials', refresh => refresh($three->{refreshToken}), 'so the session ends for everybody');
ok wait_for(sub { $client->get('/v1/me', token => $three->{accessToken})->{status} == 401 }), 'soon at the edge too';

my $session = $api->succeeds(200, login => login($account), 'another session')->{json};
my $next = $api->succeeds(200, refresh => refresh($session->{refreshToken}), 'rotates')->{json};
$platform->sql('identity', "update sessions set rotated_at = now() - interval '1 minute' where session_id = '" . claims($next->{accessToken})->{sid} . "'");
$api->fails(401, 'invalid_credentials', refresh => refresh($session->{refreshToken}), 'the last one, used too late, is a stolen one too');
$api->fails(401, 'invalid_credentials', refresh => refresh($next->{refreshToken}), 'with the same end');

# --- log out ----------------------------------------------------------------------------------------------------------

my ($here, $there) = map { $api->succeeds(200, login => login($account), "a session $_")->{json} } qw(here there);
$api->succeeds(200, getMe => {token => $here->{accessToken}}, 'in use');
$api->succeeds(204, logout => {token => $here->{accessToken}}, 'one logs out');
ok wait_for(sub { $client->get('/v1/me', token => $here->{accessToken})->{status} == 401 }), 'the token is soon refused';
my $ended = $api->fails(401, 'unauthenticated', getMe => {token => $here->{accessToken}}, 'as any other that is not valid');
like $ended->{headers}{'www-authenticate'}, qr/error="invalid_token"/, 'and says why';
$api->fails(401, 'invalid_credentials', refresh => refresh($here->{refreshToken}), 'nor can it be refreshed');
$api->succeeds(200, getMe => {token => $there->{accessToken}}, 'the other session goes on');

# --- accounts by the operator -----------------------------------------------------------------------------------------

my $admin = $platform->admin;
my $made = registration(roles => ['listener']);
$api->fails(403, 'forbidden', createUser => {json => $made, token => $there->{accessToken}}, 'an author creates no accounts');
my $created = $api->succeeds(201, createUser => {json => $made, token => $admin->{token}, headers => {'Idempotency-Key' => "k$$"}}, 'an administrator does');
ok $created->{json}{emailVerified}, 'confirmed ones';
is_deeply $created->{json}{roles}, ['listener'], 'with the role asked for';
my $replayed = $api->succeeds(201, createUser => {json => $made, token => $admin->{token}, headers => {'Idempotency-Key' => "k$$"}}, 'the same key gives the same answer');
is $replayed->{content}, $created->{content}, 'to the byte';
is $replayed->{headers}{etag}, $created->{headers}{etag}, 'with its headers';
is $replayed->{headers}{'idempotent-replayed'}, 'true', 'and says so';
$api->fails(422, 'idempotency_key_reused', createUser => {json => registration(), token => $admin->{token}, headers => {'Idempotency-Key' => "k$$"}}, 'not with another request');
$api->fails(409, 'already_exists', createUser => {json => {%$made, email => uc $made->{email}}, token => $admin->{token}}, 'a taken address is a conflict');
$api->fails(422, 'unprocessable', createUser => {json => registration(roles => $_), token => $admin->{token}}, 'roles are checked: ' . JSON::PP::encode_json($_))
    for [], ['author', 'author'], ['Author'], ['author', 'listener'], ['nobody'], [7];
my $listener = $api->succeeds(200, login => login($made), 'the new account logs in')->{json};
$api->fails(403, 'forbidden', createStory => {json => {title => 'T', content => 'C'}, token => $listener->{accessToken}}, 'and may do what its role may');

# --- delete -----------------------------------------------------------------------------------------------------------

my $id = $claims->{sub};
my $story = $api->succeeds(201, createStory => {json => {title => 'Mine', content => 'A story.'}, token => $there->{accessToken}}, 'somebody with a story')->{json}{storyId};
sub rows_of {
    return join ' ', map {
        my ($service, $sql) = @$_;
        $platform->sql($service, $sql =~ s/ID/'$id'/gr);
    } (
        [identity => 'select count(*) from sessions where user_id = ID and ended_at is null'],
        [story => 'select (select count(*) from stories where author_id = ID) + (select count(*) from authors where author_id = ID)'],
        [subscription => 'select count(*) from user_subscriptions where user_id = ID'],
        [authorization => 'select count(*) from user_roles where user_id = ID'],
        [notification => 'select count(*) from contacts where user_id = ID'],
        [notification => 'select count(*) from inbox_messages where user_id = ID'],
        [collaboration => 'select count(*) from people where user_id = ID'],
    );
}
ok wait_for(sub { rows_of() =~ /^[1-9]\d* 2 1 1 1 [1-9]\d* 1$/ }), 'every service knows them' or diag rows_of();
$api->succeeds(204, deleteMe => {token => $there->{accessToken}}, 'they close their account');
ok wait_for(sub { $client->get('/v1/me', token => $there->{accessToken})->{status} == 401 }), 'their tokens are soon refused';
$api->fails(401, 'invalid_credentials', refresh => refresh($there->{refreshToken}), 'no refresh');
$api->fails(401, 'invalid_credentials', login => login($account), 'no login');
ok wait_for(sub { rows_of() eq '0 0 0 0 0 0 0' }), 'and no service holds anything of them' or diag rows_of();
is_deeply [$platform->sql('identity', "select length(email || display_name || locale) + (select count(*) from credentials where user_id = '$id') from users where user_id = '$id'")], [0],
    'identity keeps a tombstone without personal data';
is_deeply [$platform->sql('identity', "select distinct length(address) from sessions where user_id = '$id'")], [0], 'nor does it keep where they were';
$api->succeeds(202, register => {json => {%$account, password => 'a wholly new beginning'}}, 'the address is free again');
my $fresh = wait_for(sub { my $c = $client->wait_for_code($account->{email}); defined $c && $c ne $code && $c });
$api->succeeds(204, verifyEmail => {json => {token => $fresh}}, 'for a new account');
isnt claims($api->succeeds(200, login => login($account, password => 'a wholly new beginning'), 'that can log in')->{json}{accessToken})->{sub}, $id, 'and is another one';

done_testing;
