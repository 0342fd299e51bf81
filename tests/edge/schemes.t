# Who, by more than a token: API keys, session cookies, several schemes at once, and streams that outlive them.
use strict;
use warnings;
use Test::More;
use Storytelling::Edge;
use IO::Select;
use Time::HiRes qw(sleep time);

my $E = 'Storytelling::Edge';
Storytelling::Edge::echo('echo');
# A stream: its head and one event at once, then nothing; the connection stays.
Storytelling::Edge::serve('events', sub { my ($socket, $buffer) = @_;
    $$buffer = '';
    syswrite $socket, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Accel-Buffering: no\r\nConnection: close\r\n\r\ndata: hello\n\n" });
my $redis = Storytelling::Edge::start_redis();
my $edge  = $E->nginx(contract => Storytelling::Edge::root() . '/tests/edge/schemes.yaml', redis => Storytelling::Edge::redis_socket(), workers => 2,
    upstreams => join ' ', map { "upstream $_ { server unix:" . Storytelling::Edge::dir() . "/run/$_.sock; }" } qw(echo events));
my $far = int time + 600;
my @key = (keyId => 'k1', userId => 'owner', roles => ['author'], tier => 'free', until => $far);
Storytelling::Edge::set_roles();
Storytelling::Edge::set_key('live-key-0123456789abcdef', @key);
$edge->start or die $edge->error_log;
my $key = 'X-Api-Key: live-key-0123456789abcdef';
ok wait_for(sub { $edge->get('/v1/key', $key)->{status} == 200 }), 'a key that Redis had before is known';

sub get { return $edge->get(@_) }
sub status { return $edge->get(@_)->{status} }
sub seen { my $r = $edge->get(@_); return json($r->{body})->{headers} // {} }
sub challenge { my ($r) = @_; return $r->{headers}{'www-authenticate'} // '' }
# Both workers have heard of it: four in a row agree.
sub everywhere {
    my ($what, $check) = @_;
    ok wait_for(sub { my $all = 1; $all &&= $check->() for 1 .. 4; $all }), $what;
}

# --- keys ---
{
    my $h = seen('/v1/key', $key);
    is $h->{'x-api-user'}, 'owner', 'a key stands for its owner';
    is $h->{'x-api-roles'}, 'author', 'with the roles';
    is $h->{'x-api-session'} // '', '', 'and without a session';
    is $h->{'x-api-key'} // '', '', 'the service does not see the key';
    my $r = get('/v1/key');
    is $r->{status}, 401, 'no key';
    is challenge($r), 'ApiKey realm="api"', 'is asked for one';
    for my $bad ('another-key-0123456789abcdef', 'short', 'x' x 300, 'live-key-0123456789abcde', 'LIVE-KEY-0123456789ABCDEF') {
        my $r = get('/v1/key', "X-Api-Key: $bad");
        is $r->{status}, 401, 'a key that is none: ' . substr $bad, 0, 12;
        is challenge($r), 'ApiKey realm="api", error="invalid_token", error_description="the key is not known"', 'and says so';
    }
    $r = get('/v1/key', $key, $key);
    is $r->{status}, 400, 'two keys';
    like challenge($r), qr/^ApiKey realm="api", error="invalid_request"/, 'are a broken request';
    is status('/v1/key', 'Authorization: Bearer live-key-0123456789abcdef'), 401, 'a key is no token';
    is status('/v1/bearer', $key), 401, 'and opens nothing that wants one';
    is status('/v1/bearer', 'Authorization: Bearer live-key-0123456789abcdef'), 401, 'wherever it stands';
    is status('/v1/key', bearer()), 401, 'a token is no key';
    is seen('/v1/public', $key)->{'x-api-key'} // '', '', 'a public operation does not see it either';

    $r = $edge->request('DELETE', '/v1/key', undef, $key);
    is $r->{status}, 403, 'a permission that the owner lacks';
    is challenge($r), 'ApiKey realm="api", error="insufficient_scope", error_description="a permission is missing", scope="thing:delete"', 'is named';
    Storytelling::Edge::set_key('scoped-key-0123456789abc', @key, keyId => 'k2', scopes => ['thing:create']);
    everywhere('a key with scopes that do not do', sub { status('/v1/key', 'X-Api-Key: scoped-key-0123456789abc') == 403 });
    Storytelling::Edge::set_key('scoped-key-0123456789abc', @key, keyId => 'k2', roles => ['author'], scopes => ['thing:*']);
    everywhere('with a pattern that does', sub { status('/v1/key', 'X-Api-Key: scoped-key-0123456789abc') == 200 });
    is $edge->request('DELETE', '/v1/key', undef, 'X-Api-Key: scoped-key-0123456789abc')->{status}, 403, 'a scope gives nothing that the owner lacks';
    Storytelling::Edge::set_key('scoped-key-0123456789abc', @key, keyId => 'k2', scopes => []);
    everywhere('a key without any scope', sub { status('/v1/key', 'X-Api-Key: scoped-key-0123456789abc') == 403 });

    # What is no record of a key is no key: never one for everything, or for ever.
    my @odd = ([scopes => 'thing:read'], [scopes => {}], [scopes => undef], [until => 'tomorrow'], [until => undef], [until => 0], [roles => 'author']);
    Storytelling::Edge::set_key("odd-$_-key-0123456789abcdef", @key, keyId => "odd-$_", @{$odd[$_]}) for 0 .. $#odd;
    Storytelling::Edge::set_key('even-key-0123456789abcdef', @key, keyId => 'even');
    ok wait_for(sub { status('/v1/key', 'X-Api-Key: even-key-0123456789abcdef') == 200 }), 'a key that came later';
    isnt status('/v1/key', "X-Api-Key: odd-$_-key-0123456789abcdef"), 200, "a key with odd $odd[$_][0] ($_)" for 0 .. $#odd;

    Storytelling::Edge::set_user('owner', ['reader', 'editor']);
    everywhere("the owner's new roles", sub { $edge->request('DELETE', '/v1/key', undef, $key)->{status} == 200 });
    Storytelling::Edge::set_user('owner', []);
    everywhere('all of them taken', sub { status('/v1/key', $key) == 403 });
    Storytelling::Edge::set_user('owner', ['author'], int time + 2);
    everywhere('a key for three seconds', sub {
        Storytelling::Edge::set_key('brief-key-0123456789abcde', @key, until => int time + 3);
        wait_for(sub { status('/v1/key', 'X-Api-Key: brief-key-0123456789abcde') == 200 }, 2) });
    ok wait_for(sub { status('/v1/key', 'X-Api-Key: brief-key-0123456789abcde') == 401 }), 'has ended then';
    is status('/v1/limited', $key), 200, 'a limit by key' for 1 .. 3;
    is status('/v1/limited', $key), 429, 'counts';

    Storytelling::Edge::remove_key('live-key-0123456789abcdef');
    everywhere('a key that was removed', sub { status('/v1/key', $key) == 401 });
    Storytelling::Edge::set_key('live-key-0123456789abcdef', @key);
    everywhere('and made again', sub { status('/v1/key', $key) == 200 });
}

# --- cookies ---
my $post = sub { return $edge->request('POST', '/v1/cookie', undef, @_)->{status} };
{
    my $cookie = 'Cookie: __Host-session=' . token();
    is status('/v1/cookie', $cookie), 200, 'a token in the cookie';
    my $h = seen('/v1/cookie', 'Cookie: a=1; __Host-session=' . token() . '; b="2"');
    is $h->{'x-api-user'}, 'user-1', 'identifies';
    is $h->{cookie}, 'a=1; b="2"', 'the service sees the other cookies only';
    is seen('/v1/cookie', 'Cookie: a=1;b=2;__Host-session=' . token() . ';c=3;d=4')->{cookie}, 'a=1; b=2; c=3; d=4', 'however they are set apart';
    is seen('/v1/public', 'Cookie: ' . join ';', 'a' .. 'k')->{cookie}, join('; ', 'a' .. 'k'), 'even where that takes more room than they had';
    is seen('/v1/public', $cookie)->{cookie} // '', '', 'a public operation sees none';
    is status('/v1/cookie', 'Cookie: __Host-session=x'), 401, 'a broken one';
    is status('/v1/cookie', 'Cookie: session=' . token()), 401, 'one of another name';
    is status('/v1/cookie', 'Cookie: __Host-session=' . token(exp => time - 5)), 401, 'one that has expired';
    is status('/v1/cookie', bearer()), 401, 'a token in the header is not what was asked for';
    my $r = get('/v1/cookie', 'Cookie: __Host-session=' . token() . '; __Host-session=' . token(sub => 'eve'));
    is $r->{status}, 400, 'two sessions';
    like challenge($r), qr/^Bearer realm="api", error="invalid_request"/, 'are a broken request';

    my $host = 'Host: localhost';
    is $post->($cookie, "Sec-Fetch-Site: $_"), 200, "a change from a page: $_" for 'same-origin', 'none';
    is $post->($cookie, "Sec-Fetch-Site: $_"), 403, "not from elsewhere: $_" for 'cross-site', 'same-site', 'SAME-ORIGIN', '';
    is $post->($cookie, 'Sec-Fetch-Site: same-origin', 'Sec-Fetch-Site: cross-site'), 403, 'nor twice';
    is $post->($cookie), 403, 'nor from who says nothing';
    is $post->($cookie, 'Origin: https://localhost'), 200, 'an older browser says its origin';
    is $post->($cookie, "Origin: $_"), 403, "another origin: $_" for 'https://evil.example', 'https://localhost.evil.example', 'null', 'localhost', 'https://localhost:81', '';
    is $post->($cookie, 'Origin: https://localhost', 'Sec-Fetch-Site: cross-site'), 403, 'the newer header has the last word';
    $r = $edge->request('POST', '/v1/cookie', undef, $cookie);
    is json($r->{body})->{code}, 'csrf', 'it has a code of its own';
    is $post->('Sec-Fetch-Site: same-origin'), 401, 'without the cookie it is another matter';
}

# --- several ---
{
    is status('/v1/any', bearer()), 200, 'one of three: a token';
    is status('/v1/any', $key), 200, 'a key';
    is status('/v1/any', 'Cookie: __Host-session=' . token(roles => [])), 200, 'a cookie, which needs no permission there';
    my $r = get('/v1/any');
    is $r->{status}, 401, 'none';
    is challenge($r), 'Bearer realm="api", ApiKey realm="api"', 'all ways are told';
    is status('/v1/any', bearer(exp => 5), $key), 401, 'the first that was sent decides, and does not fall through';
    is status('/v1/any', bearer(roles => ['reader'])), 200, 'each has permissions of its own';
    is status('/v1/any', bearer(roles => [])), 403, 'which are checked';

    is status('/v1/both', bearer(), $key), 200, 'a token and a key';
    is seen('/v1/both', bearer(), $key)->{'x-api-user'}, 'user-1', 'the token says who';
    is status('/v1/both', bearer()), 401, 'not the one';
    is status('/v1/both', $key), 401, 'nor the other alone';
    is status('/v1/both', bearer(), 'X-Api-Key: another-key-0123456789abcdef'), 401, 'both must be good';
    Storytelling::Edge::set_key('scoped-key-0123456789abc', @key, keyId => 'k2', scopes => ['thing:create']);
    everywhere('and both must permit', sub { status('/v1/both', bearer(), 'X-Api-Key: scoped-key-0123456789abc') == 403 });

    is status('/v1/optional'), 200, 'an operation for anybody';
    is seen('/v1/optional')->{'x-api-user'} // '', '', 'knows nobody then';
    is seen('/v1/optional', bearer())->{'x-api-user'}, 'user-1', 'but who comes with a token';
    is status('/v1/optional', bearer(exp => 5)), 401, 'which must be good';
    is status('/v1/optional', bearer(roles => [])), 403, 'and have its permissions';
    is status('/v1/optional', 'X-Api-Key: nonsense'), 200, 'what was not asked for is not looked at';
}

# --- streams ---
sub stream {
    my (@headers) = @_;
    my $socket = $edge->connect;
    print $socket join "\r\n", 'GET /v1/events HTTP/1.1', 'Host: localhost', @headers, '', '';
    my $text = '';
    wait_for(sub { IO::Select->new($socket)->can_read(0.1) && sysread $socket, $text, 4096, length $text; $text =~ /data: hello/ }) or diag $text;
    return $socket;
}
sub ended { my ($socket) = @_; return IO::Select->new($socket)->can_read(0) && !sysread($socket, my $more, 4096) }
{
    my $end = int(time) + 5;
    my %streams = (
        'of a token that expires' => stream(bearer(exp => $end)), 'of a session that is revoked' => stream(bearer(sid => 'stream')),
        'of a key that is removed' => stream($key), 'of neither' => stream(bearer()));
    sleep 1.2;
    ok !ended($streams{$_}) || /expires/ && time >= $end, "a stream goes on: $_" for sort keys %streams;
    Storytelling::Edge::revoke('stream');
    Storytelling::Edge::remove_key('live-key-0123456789abcdef');
    ok wait_for(sub { ended($streams{$_}) }), "and ends: $_" for grep { !/neither/ } sort keys %streams;
    ok !ended($streams{'of neither'}), 'the other goes on';
}

# --- after a restart without Redis ---
Storytelling::Edge::set_key('live-key-0123456789abcdef', @key);
everywhere('the key is there again', sub { status('/v1/key', $key) == 200 });

# --- what nginx -t refuses ---
my $good = Storytelling::Nginx::slurp(Storytelling::Edge::root() . '/tests/edge/schemes.yaml');
my $bad  = $E->nginx;
sub refused {
    my ($what, $from, $to, $says) = @_;
    my $text = $good;
    $text =~ s/$from/$to/ or die "the contract has no $from";
    $E->configure($bad, contract => Storytelling::Edge::write_file(Storytelling::Edge::dir() . '/contracts/bad.yaml', $text),
        upstreams => join ' ', map { "upstream $_ { server unix:/nowhere; }" } qw(echo events));
    my ($ok, $output) = $bad->check;
    ok !$ok, "$what is refused";
    like $output, qr/bad\.yaml:\d+: .*$says/, "$what: and why" or diag $output;
}
refused('a key in the query', 'in: header', 'in: query', 'would end in logs');
refused('a cookie that other hosts may set', '__Host-session', 'session', 'must begin with __Host-');
refused('a key in Authorization', 'name: X-Api-Key', 'name: Authorization', 'a header of its own');
refused('passwords', 'scheme: bearer', 'scheme: basic', 'the only supported HTTP scheme is bearer');
refused('a scheme of another type', 'type: oauth2', 'type: mutualTLS', 'type must be');
refused('a scheme that is not there', '\{session: \[thing:read\]\}', '{nobody: []}', 'there is no such security scheme');
refused('two tokens at once', '\{bearer: \[thing:read\], key: \[\]\}', '{bearer: [], session: []}', 'cannot both be asked for');
refused('alternatives that nothing tells apart', '\{\}, \{oauth', '{bearer: []}, {oauth', 'different kinds');
refused('a security that is none', 'security: \[\{\}, \{oauth: \[thing:read\]\}\]', 'security: [{}]', 'security must be \[\]');
refused('a limit by user for anybody', "security: \\[\\{key: \\[\\]\\}\\]\n", "security: [{}, {key: []}]\n", 'would count nobody');

$edge->stop('QUIT');
is $edge->reports, '', 'the sanitizers have nothing to report';
unlike $edge->error_log, qr/\[(?:alert|crit|emerg)\]/, 'nothing alarming in the log';
unlike join("\n", grep { !/\[info\]/ } split /\n/, $edge->error_log), qr/eyJ|live-key/, 'no secret in the log';
done_testing;
