# What the edge knows from Redis: deltas, resyncs, Redis that goes away and comes back, the state file.
use strict;
use warnings;
use Test::More;
use Storytelling::Edge;
use File::Temp ();
use Time::HiRes qw(sleep time);

my $E = 'Storytelling::Edge';
Storytelling::Edge::echo('echo');
my $redis = Storytelling::Edge::start_redis();
my $state = File::Temp::tempdir(TMPDIR => 1, CLEANUP => 1) . '/state/edge.json';
my @with  = (redis => Storytelling::Edge::redis_socket(), state => $state, workers => 2);
my $edge  = $E->nginx(@with);

sub status { my ($method, $path, @token) = @_; return $edge->request($method, $path, undef, bearer(@token))->{status} }
sub metric { return $edge->metric(@_) }

# It comes to hold, in every worker.
sub holds {
    my ($what, $check) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok wait_for(sub { my $all = 1; $all &&= $check->() for 1 .. 4; $all }), $what;
}

# --- nothing is known yet ---
$edge->start or die $edge->error_log;
is status(GET => '/v1/things'), 503, 'Redis is empty: nobody is let in';
is $edge->get('/health')->{status}, 503, 'and the edge says that it is unhealthy';
Storytelling::Edge::set_roles();
holds('the roles have come', sub { status(GET => '/v1/things') == 200 });

# --- deltas ---
is status(DELETE => '/v1/things/a', sub => 'u1'), 403, 'an author may not delete';
Storytelling::Edge::set_user('u1', ['author', 'editor']);
holds('a role that was given', sub { status(DELETE => '/v1/things/a', sub => 'u1') == 200 });
Storytelling::Edge::set_user('u1', []);
holds('all roles taken', sub { status(GET => '/v1/things', sub => 'u1') == 403 });
Storytelling::Edge::set_user('u2', ['reader'], time + 4);
holds('an override with an end', sub { status(DELETE => '/v1/things/a', sub => 'u2', roles => ['admin']) == 403 });
ok wait_for(sub { status(DELETE => '/v1/things/a', sub => 'u2', roles => ['admin']) == 200 }), 'and it has ended';

is status(GET => '/v1/me', sid => 's1', sub => 'u3'), 200, 'a session';
Storytelling::Edge::revoke('s1');
holds('that has been revoked', sub { status(GET => '/v1/me', sid => 's1', sub => 'u3') == 401 });
is status(GET => '/v1/me', sid => 's2', sub => 'u3'), 200, "the user's other session goes on";

Storytelling::Edge::set_tier('u3', 'premium');
holds('a tier that was bought', sub { $edge->get('/v1/me', bearer(sub => 'u3'))->{body} =~ /"x-api-tier":"premium"/ });

Storytelling::Edge::set_roles({author => ['thing:read']});
holds('a permission that a role has lost', sub {
    $edge->post('/v1/things', '{"title":"a"}', bearer(sub => 'u' . rand))->{status} == 403 });
Storytelling::Edge::set_roles({author => ['thing:read', 'thing:create'], admin => ['*:*'], editor => ['thing:*'], reader => ['thing:read']});

# --- messages that make no sense ---
Storytelling::Edge::redis('PUBLISH', 'st:edge', $_)
    for '', '{', '[]', '7', '{"kind":"other"}', '{"kind":"user"}', '{"kind":"user","userId":7,"roles":"admin"}', '{"kind":"session","until":-1}',
    '{"kind":"user","userId":"u9","roles":["a b","c\r\nX: y"],"until":99999999999}', '{"kind":"tier","userId":"' . 'x' x 500 . '","tier":"t","until":99999999999}',
    '{"kind":"user","userId":"u9","roles":["' . 'y' x 2000 . '"],"until":99999999999}', "\xff\xfe", '[' x 100;
Storytelling::Edge::redis('SET', 'st:edge:roles', '{"roles":[]}');
Storytelling::Edge::redis('PUBLISH', 'st:edge', '{"kind":"roles"}');
Storytelling::Edge::redis('SET', 'st:edge:roles', 'no JSON');
Storytelling::Edge::redis('PUBLISH', 'st:edge', '{"kind":"roles"}');
ok wait_for(sub { metric('state_dropped_total') >= 8 }), 'messages without sense are counted';
is status(GET => '/v1/things', sub => 'u9'), 200, 'and change nothing';
Storytelling::Edge::set_roles();

# --- the health of services ---
sub health { return json($edge->get('/health')->{body}) }
my $well = '{"status":"healthy","version":"0.1.0","dependencies":{"database":"healthy","eventBus":"healthy"}}';
Storytelling::Edge::redis('SET', "st:health:$_", $well) for qw(echo slow dead);
ok wait_for(sub { health()->{status} eq 'healthy' }), 'all are well';
is_deeply health(), {status => 'healthy', version => '0.1.0',
    dependencies => {map({ $_ => 'healthy' } qw(echo slow dead database eventBus))}}, 'the shape of the document';
is $edge->get('/health')->{status}, 200, 'is 200';
Storytelling::Edge::redis('SET', 'st:health:slow', $well =~ s/"status":"healthy"/"status":"degraded"/r =~ s/"database":"healthy"/"database":"unhealthy"/r);
ok wait_for(sub { health()->{status} eq 'degraded' }), 'one is not: degraded';
is health()->{dependencies}{slow}, 'degraded', 'and the answer says which';
is health()->{dependencies}{database}, 'unhealthy', 'and of what';
is $edge->get('/health')->{status}, 200, 'still 200';
Storytelling::Edge::redis('DEL', 'st:health:slow');
ok wait_for(sub { health()->{dependencies}{slow} eq 'unhealthy' }), 'one that is not heard of is unhealthy';
Storytelling::Edge::redis('DEL', "st:health:$_") for qw(echo dead);
ok wait_for(sub { health()->{status} eq 'unhealthy' }), 'when no service is well, the whole is not';
is $edge->get('/health')->{status}, 503, 'and that is 503';
Storytelling::Edge::redis('SET', "st:health:$_", $well) for qw(echo slow dead);
ok wait_for(sub { health()->{status} eq 'healthy' }), 'and it comes back';

# --- Redis goes away ---
ok wait_for(sub { -s $state && Storytelling::Nginx::slurp($state) =~ /"s1"/ }), 'the state is in its file';
is +(stat $state)[2] & 07777, 0600, 'which only the edge reads';
kill STOP => $redis;
is_deeply [map { status(GET => '/v1/me') } 1 .. 20], [(200) x 20], 'no request waits for a Redis that hangs';
Storytelling::Edge::stop_child($redis, 'KILL');
ok wait_for(sub { (health()->{dependencies}{eventBus} // '') eq 'unhealthy' }), 'health tells that Redis is away';
is health()->{status}, 'degraded', 'degraded, not down';
is $edge->get('/health')->{status}, 200, 'and 200';
is_deeply json($edge->get('/health/ready')->{body}), {status => 'degraded', version => '0.1.0', dependencies => {permissions => 'healthy', eventBus => 'unhealthy'}},
    'the edge itself is ready all the same';
is status(GET => '/v1/things'), 200, 'requests go on with the last known state';
is status(GET => '/v1/me', sid => 's1', sub => 'u3'), 401, 'revoked stays revoked';
is status(GET => '/v1/things', sub => 'u1'), 403, 'overrides stay';
is metric('redis_up'), 0, 'metrics tell';
is_deeply [map { status(GET => '/v1/me') } 1 .. 20], [(200) x 20], 'no request waits for Redis';

# --- and nginx starts anew meanwhile ---
$edge->stop;
$edge->start or die $edge->error_log;
is status(GET => '/v1/things'), 200, 'a restart without Redis knows the roles from the file';
is status(GET => '/v1/me', sid => 's1', sub => 'u3'), 401, 'and the revoked session';
is status(GET => '/v1/things', sub => 'u1'), 403, 'and the overrides';
$edge->reload;
is status(GET => '/v1/me', sid => 's1', sub => 'u3'), 401, 'so does a reload';

# --- Redis comes back, empty ---
my $resyncs = metric('redis_resyncs_total');
$redis = Storytelling::Edge::start_redis();
ok wait_for(sub { metric('redis_up') }), 'Redis is heard again';
is status(GET => '/v1/things'), 200, 'a Redis that has lost its state takes none from us';
is status(GET => '/v1/things', sub => 'u1'), 403, 'nor the overrides';
is status(GET => '/v1/me', sid => 's1', sub => 'u3'), 401, 'nor the revocations';
Storytelling::Edge::redis('HSET', 'st:edge:users', map { ("bad$_", '{"roles":["no sense"],"until":99999999999}', "worse$_", 'no JSON') } 1 .. 20);
Storytelling::Edge::redis('HSET', 'st:edge:users', 'u4', '{"roles":["admin"],"until":' . int(time + 600) . '}');
Storytelling::Edge::redis('ZADD', 'st:edge:revoked', int(time + 600), 's9');
Storytelling::Edge::set_roles();    # written before: read with the rest at the latest
ok wait_for(sub { metric('redis_resyncs_total') > $resyncs }), 'the whole state is read after a gap';
holds('what was written without a message is known', sub { status(DELETE => '/v1/things/a', sub => 'u4', roles => []) == 200 });
is status(GET => '/v1/me', sid => 's9'), 401, 'the session too';
is status(GET => '/v1/things', sub => 'u1'), 200, 'and an override that Redis no longer has is gone';

# --- Redis that hangs ---
kill STOP => $redis;
is status(GET => '/v1/me'), 200, 'requests do not notice a Redis that hangs' for 1 .. 3;
ok wait_for(sub { !metric('redis_up') }), 'the edge does';
kill CONT => $redis;
ok wait_for(sub { metric('redis_up') }), 'and when it is over';

# --- churn: the link goes down and up while changes come ---
for (1 .. 5) {
    Storytelling::Edge::redis('CLIENT', 'KILL', 'TYPE', 'pubsub');
    Storytelling::Edge::set_user("churn$_", ['admin']);
}
holds('changes made while the link was down', sub { !grep { status(DELETE => '/v1/things/a', sub => "churn$_", roles => []) != 200 } 1 .. 5 });

# --- a zone that is too small for what Redis says ---
Storytelling::Edge::redis('DEL', 'st:edge:users', 'st:edge:revoked');
my $small = $E->nginx(@with, state => "$state.small", http => 'api_zone state 256k;');
$small->start or die $small->error_log;
my $small_status = sub { $small->request('GET', $_[0], undef, $_[0] eq '/v1/free' ? () : bearer())->{status} };
ok wait_for(sub { $small_status->('/v1/me') == 200 }), 'what there is finds room';
Storytelling::Edge::revoke(sprintf 'ended-%0100d', $_) for 1 .. 2000;
ok wait_for(sub { $small_status->('/v1/me') == 503 }), 'who has logged out is not known any more: nobody is let in by a part of the list';
is $small_status->('/v1/free'), 200, 'what is public goes on';
like $small->error_log, qr/no room: enlarge "api_zone state"/, 'the log says what to do';
Storytelling::Edge::redis('DEL', 'st:edge:revoked');
ok wait_for(sub { $small_status->('/v1/me') == 200 }), 'until all of it finds room';
$small->stop('QUIT');

$edge->stop('QUIT');
is $edge->reports, '', 'the sanitizers have nothing to report';
unlike $edge->error_log, qr/\[(?:alert|crit|emerg)\]/, 'nothing alarming in the log';
done_testing;
