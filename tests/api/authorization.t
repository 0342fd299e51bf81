# Roles: reading them, giving and taking them, and that a change holds at the edge soon.
use strict;
use warnings;
use Test::More;
use JSON::PP ();
use MIME::Base64 qw(decode_base64url);
use Storytelling::Platform;
use Storytelling::Client;
use Storytelling::Contract;

my $platform = Storytelling::Platform->shared;
my $client   = $platform->client;
my $api      = Storytelling::Contract->new($platform, $client);
my $admin    = $platform->admin;
my ($user, $other) = map { $client->register_user } 1, 2;

sub roles_of { return [sort @{JSON::PP::decode_json(decode_base64url((split /\./, $_[0])[1]))->{roles}}] }

sub to { my ($whom, $role, $by) = @_; return {path => {userId => $whom->{userId}, role => $role}, token => ($by // $admin)->{token}} }

sub figures { my ($whom) = @_; return $api->call(getDailyAnalytics => {token => $whom->{token}})->{status} }

# --- the roles --------------------------------------------------------------------------------------------------------

$api->fails(403, 'forbidden', listRoles => {token => $user->{token}}, 'an author does not read the roles');
my $roles = $api->succeeds(200, listRoles => {token => $admin->{token}}, 'an administrator does');
my %role = map { $_->{role} => $_ } @{$roles->{json}{items}};
ok $role{$_}, "$_ is one" for qw(guest listener collaborator author moderator admin);
is_deeply $role{admin}{permissions}, ['*:*'], 'admin may do everything';
my %may = map { $_ => 1 } @{$role{author}{permissions}};
ok $may{$_}, "an author may $_" for qw(story:create story:read me:read collaboration:invite);
ok !$may{$_}, "and may not $_" for qw(role:assign analytics:read user:create *:*);
ok !grep({ $_ eq 'story:read' } @{$role{guest}{permissions}}), 'a guest reads no stories';

# Everything the contracts ask for belongs to some role's permissions, admin apart.
my %asked = map { $_ => 1 } map { @{$_->{security}[0]{bearer} // []} } $api->operations;
my %given = map { $_ => 1 } map { @{$_->{permissions}} } values %role;
is_deeply [grep { !$asked{$_} } grep { !/\*/ } sort keys %given], [], 'no role may do what no operation asks for';

# Who makes accounts gives them roles, any of them.
is_deeply [sort @{$api->operation('createUser')->{security}[0]{bearer}}], ['role:assign', 'user:create'], 'making accounts needs leave to give roles';

# --- give and take ----------------------------------------------------------------------------------------------------

is figures($user), 403, 'an author sees no figures';
$api->succeeds(204, assignRole => to($user, 'moderator'), 'an administrator makes a moderator');
ok wait_for(sub { figures($user) == 200 }), 'the same token may soon see them';
$api->succeeds(204, assignRole => to($user, 'moderator'), 'giving it twice changes nothing');
$api->succeeds(200, listRoles => {token => $user->{token}}, 'a moderator reads the roles');
ok wait_for(sub { $client->login($user); "@{roles_of($user->{token})}" eq 'author moderator' }), 'new tokens carry the role';
is_deeply [sort @{$api->call(getMe => {token => $user->{token}})->{json}{roles}}], ['author', 'moderator'], 'as does the account';
is figures($other), 403, 'nobody else has got it';

$api->fails(403, 'forbidden', assignRole => to($other, 'moderator', $user), 'a moderator gives no roles');
$api->fails(403, 'forbidden', unassignRole => to($other, 'author', $user), 'and takes none');
$api->fails(403, 'forbidden', assignRole => to($other, 'admin', $other), 'nobody helps themselves');
$api->fails(404, 'not_found', assignRole => to($other, 'emperor'), 'an unknown role is not there');
$api->fails(404, 'not_found', unassignRole => to($other, 'emperor'), 'nor to be taken');
$api->fails(400, 'invalid_request', assignRole => to($other, $_), "no role: $_", '/path/role') for 'Admin', 'x' x 65, '1st';

$api->succeeds(204, unassignRole => to($user, 'moderator'), 'the role is taken again');
ok wait_for(sub { figures($user) == 403 }), 'and is soon gone';
$api->succeeds(204, unassignRole => to($user, 'moderator'), 'taking it twice changes nothing');
ok wait_for(sub { $client->login($user); "@{roles_of($user->{token})}" eq 'author' }), 'new tokens are without it';

# A role that may give roles, but not more than it holds.
$platform->sql('authorization', $_) for
    "insert into roles (role, description, inherits) values ('registrar', 'gives roles', '{listener}') on conflict do nothing",
    "insert into permissions values ('role:assign') on conflict do nothing",
    "insert into role_permissions values ('registrar', 'role:assign') on conflict do nothing",
    "insert into jobs (name, unique_key, payload, metadata) values ('publish_roles', 'all', '{}', '{}') on conflict do nothing";
$api->succeeds(204, assignRole => to($user, 'registrar'), 'an operator\'s own role is given');
$api->succeeds(204, unassignRole => to($user, 'author'), 'and the other taken');
ok wait_for(sub { $api->call(assignRole => to($other, 'listener', $user))->{status} == 204 }), 'its holder gives what they hold';
my $refused = $api->fails(403, 'forbidden', assignRole => to($other, 'moderator', $user), 'but not what they do not hold');
like $refused->{json}{detail}, qr/moderator/, 'and is told so';
$api->fails(403, 'forbidden', assignRole => to($user, 'admin', $user), 'least of all to themselves');
$api->fails(403, 'forbidden', unassignRole => to($admin, 'admin', $user), 'nor do they take it');

# --- the last administrator -------------------------------------------------------------------------------------------

my @others = $platform->sql('authorization', "with gone as (delete from user_roles where role = 'admin' and user_id <> '$admin->{userId}' returning user_id) select user_id from gone");
$api->fails(409, 'conflict', unassignRole => to($admin, 'admin'), 'the last administrator stays');
is figures($admin), 200, 'and may do what they could';
$platform->sql('authorization', "insert into user_roles (user_id, role) values ('$_', 'admin')") for @others, $other->{userId};
$api->succeeds(204, unassignRole => to($admin, 'admin'), 'one of several may go');
ok wait_for(sub { figures($admin) == 403 }), 'and can no more';

is_deeply [map { (split /\t/)[0] } $platform->sql('authorization', "select action from audit_logs where subject = '$user->{userId}' order by audit_id")],
    [qw(role.assigned role.assigned role.unassigned role.assigned role.unassigned)], 'the audit log knows it all';

done_testing;
