# From a monolith to services: the configuration of ngx_modules/README.md ("Moving from a monolith"), as it stands there,
# before a small monolith and two services.
use strict;
use warnings;
use Test::More;
use Storytelling::Edge;
use Digest::SHA qw(hmac_sha256_hex);
use IO::Socket::UNIX;
use POSIX ();
use Time::HiRes qw(sleep time);

my $dir   = Storytelling::Edge::dir();
my $root  = Storytelling::Edge->root;
my $edge  = Storytelling::Nginx->new(dir => File::Temp::tempdir('nginx-XXXXXX', TMPDIR => 1, CLEANUP => 1));
my @parts = Storytelling::Nginx::slurp("$root/ngx_modules/README.md") =~ /^## Moving from a monolith\n(.*?)^## /ms;
my @phases = $parts[0] =~ /^```nginx\n(.*?)^```/msg;
is scalar @phases, 4, 'the README has a configuration for each of four phases';

Storytelling::Edge::secret();
Storytelling::Edge::write_file("$dir/identity.pub.pem", Storytelling::Nginx::slurp(Storytelling::Edge::public_key('identity')));
Storytelling::Edge::write_file("$dir/edge.key", Storytelling::Edge::secret() . "\n");
Storytelling::Edge::write_file("$dir/contracts/$_", Storytelling::Nginx::slurp("$root/tests/edge/migration/$_")) for qw(identity.yaml notification.yaml);
Storytelling::Edge::write_file("$dir/state/edge.json", Storytelling::Nginx::slurp(Storytelling::Edge::state_file()));

# --- a monolith, and what is taken out of it: each says who it is, and what it was told ---
sub server {
    my ($name, $more) = @_;
    my $listen = IO::Socket::UNIX->new(Local => "$dir/run/$name.sock", Listen => 64) or die "$name: $!";
    chmod 0666, "$dir/run/$name.sock";
    return Storytelling::Edge::start_child(sub {
        local $SIG{PIPE} = 'IGNORE';
        while (my $socket = $listen->accept) {
            my ($head, $got) = ('', 1);
            $got = sysread $socket, $head, 65536, length $head while $got && $head !~ /\r\n\r\n/;
            my ($method, $uri) = split / /, $head;
            my ($length) = $head =~ /^content-length: (\d+)/mi;
            my ($body) = $head =~ /\r\n\r\n(.*)/s;
            $got = sysread $socket, $body, 65536, length $body while $got && $length && length $body < $length;
            my %h = $head =~ /^([\w-]+): (.*?)\r$/mg;
            $h{lc $_} = delete $h{$_} for keys %h;
            my $signed = hmac_sha256_hex(join('', map { ($_ // '') . "\n" } $method, $uri,
                    map { $h{"x-api-$_"} } qw(operation user session roles tier correlation-id address time)), Storytelling::Edge::secret());
            my %answer = (from => $name, method => $method, uri => $uri, user => $h{'x-api-user'}, operation => $h{'x-api-operation'},
                token => $h{authorization} ? 'yes' : 'no', signed => ($h{'x-api-signature'} // '') eq $signed ? 'yes' : 'no', body => $body);
            my ($status, $text) = $more ? $more->($uri, \%h) : ();
            $text //= JSON::PP->new->canonical->encode(\%answer);
            print $socket "HTTP/1.1 ", $status // '200 OK', "\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ", length $text, "\r\n\r\n",
                $method eq 'HEAD' ? '' : $text;
            close $socket;
        }
    });
}

# In shadow, users meet each kind of difference.
my %fresh = (
    same   => '{"name": "A", "tags": [1, 2.0], "servedAt": "later"}',
    differ => '{"name": "B", "tags": [1, 2], "servedAt": "later", "a/b": 1}',
    other  => '{"name": "A", "tags": [1, 2, 3]}',
    text   => 'not JSON',
);
my $old = '{"tags": [1, 2], "name": "A", "servedAt": "now"}';
server(legacy => sub { my ($uri, $h) = @_; return $uri eq '/me' && exists $fresh{$h->{'x-api-user'} // ''} || ($h->{'x-api-user'} // '') =~ /^(?:gone|large)$/ ? ('200 OK', $old) : () });
server(identity => sub {
    my ($uri, $h) = @_;
    my $user = $h->{'x-api-user'} // '';
    sleep 0.5 if $user eq 'slow';
    return $user eq 'gone' ? ('404 Not Found', '{}') : $user eq 'large' ? ('200 OK', '"' . 'x' x (1024 * 1024) . '"') : $fresh{$user} ? ('200 OK', $fresh{$user}) : ();
});
server('notification');

sub phase {
    my ($n) = @_;
    my $text = $phases[$n - 1];
    $text =~ s{/etc/edge}{$dir}g;
    $text =~ s{unix:/run/}{unix:$dir/run/}g;
    $text =~ s{listen 8080;}{listen 127.0.0.1:$edge->{port};} or die 'the block listens nowhere';
    my $user = $> == 0 ? 'user root;' : '';
    my $temp = join ' ', map { "${_}_temp_path $edge->{dir}/nginx/$_;" } qw(client_body proxy fastcgi uwsgi scgi);
    $edge->write_conf(<<"CONF");
$user
@{[Storytelling::Edge::main_config()]}
worker_processes 1;
error_log $edge->{dir}/log/error.log info;
pid $edge->{dir}/nginx/nginx.pid;
events { worker_connections 512; }
http { access_log off; $temp
$text
}
CONF
    my ($ok, $output) = $edge->check;
    ok $ok, "phase $n: nginx accepts the README's configuration" or diag $output;
    if ($n == 1) { $edge->start or BAIL_OUT($edge->error_log) }
    else         { ok $edge->reload, "phase $n: it is taken over without a stop" or diag $edge->error_log }
}

sub from { my ($method, $path, $body, @headers) = @_; my $r = $edge->request($method, $path, $body, @headers); return ($r, json($r->{body}) // {}) }
my @json = ('Content-Type: application/json');

# --- 1: everything goes to the monolith, the edge looks at it ---
phase(1);
my ($r, $told) = from(GET => '/any/page?x=1');
is_deeply [@$told{qw(from method uri signed)}, $told->{user}], ['legacy', 'GET', '/any/page?x=1', 'yes', undef], 'what no contract names is the monolith\'s; nobody asks';
($r, $told) = from(POST => '/form', 'a=b', 'Content-Type: application/x-www-form-urlencoded');
is_deeply [@$told{qw(from method body)}], [qw(legacy POST a=b)], 'with its body';
($r, $told) = from(GET => '/any', undef, bearer(sub => 'u1'));
is_deeply [@$told{qw(from user signed token)}], [qw(legacy u1 yes yes)], 'a token is verified: the monolith is told who, and may look itself';
is((from(GET => '/any', undef, bearer(exp => 1)))[0]{status}, 401, 'a token that is not good gets nowhere');
is((from(GET => '/any', undef, 'X-Api-User: root'))[1]{user}, undef, 'nobody says who they are');
is((from(GET => $_))[0]{status}, 400, "$_ is refused before the monolith, too") for '/a/../b', '/a//b', '/a;x', '/%2e%2e/b';
is((from(OPTIONS => '/any'))[1]{method}, 'OPTIONS', 'any method');
is((from(HEAD => '/any'))[0]{status}, 200, 'HEAD');
($r, $told) = from(POST => '/login', '{"email": "a@b"}', @json);
is_deeply [@$told{qw(from operation signed)}], [qw(legacy login yes)], 'what has a contract is answered by the monolith still';
is((from(POST => '/login', '{}', @json))[0]{status}, 422, 'but the contract holds');
is((from(GET => '/me'))[0]{status}, 401, 'and its security');
is((from(DELETE => '/me', undef, bearer()))[1]{from}, 'legacy', 'a method that the contract does not name is the monolith\'s');

# --- 2: in shadow ---
phase(2);
sub shadow_of {
    my ($user) = @_;
    my $before = () = Storytelling::Nginx::slurp("$dir/shadow.log") =~ /\n/g;
    my $got = $edge->get('/me', bearer(sub => $user));
    my $line = wait_for(sub { (split /\n/, Storytelling::Nginx::slurp("$dir/shadow.log"))[$before] });
    return ($got, json($line // '') // {});
}
my ($answer, $line) = shadow_of('same');
is $answer->{body}, $old, 'the monolith\'s answer is the client\'s';
is_deeply [@$line{qw(operation result)}, @{$line->{status}}, @{$line->{differ}}], ['getMe', 'same', 200, 200], 'the new one is the same, but for order and what is ignored';
like $line->{correlationId}, qr/^[0-9a-f-]{36}$/, 'the line names the request';
($answer, $line) = shadow_of('differ');
is $answer->{body}, $old, 'a difference is not the client\'s to see';
is_deeply [$line->{result}, sort @{$line->{differ}}], ['differ', '/a~1b', '/name'], 'the members that differ are told';
unlike Storytelling::Nginx::slurp("$dir/shadow.log"), qr/"B"|later|"A"/, 'their values are not';
is_deeply((shadow_of('other'))[1]{differ}, ['/tags'], 'a list of another length');
is_deeply((shadow_of('text'))[1]{differ}, [''], 'what is not JSON differs as a whole');
($answer, $line) = shadow_of('gone');
is $answer->{status}, 200, 'the new service fails';
is_deeply [$line->{result}, @{$line->{status}}], ['status', 200, 404], 'which is told';
is((shadow_of('large'))[1]{result}, 'too_large', 'an answer without end is not compared');
my $lines = () = Storytelling::Nginx::slurp("$dir/shadow.log") =~ /\n/g;
for my $n (1 .. 3) {    # clients that go before the new service has answered: one with the answer, two without
    my $socket = $edge->connect;
    $edge->send_bytes($socket, "GET /me HTTP/1.1\r\nHost: a\r\n" . bearer(sub => 'slow') . "\r\n\r\n");
    is $edge->read_response($socket, \(my $buffer = ''), 'GET')->{status}, 200, 'the client does not wait for the shadow' if $n == 1;
    close $socket;
}
ok wait_for(sub { (() = Storytelling::Nginx::slurp("$dir/shadow.log") =~ /\n/g) >= $lines + 3 }), 'a shadow outlives its client';
($answer, $line) = shadow_of('u1');
is_deeply [json($answer->{body})->{signed}, $line->{differ}], ['yes', ['/from', '/token']], 'both are told the same, but the token, which stays out of services';
is((from(HEAD => '/me', undef, bearer()))[0]{status}, 200, 'only a GET has a shadow');
($r, $told) = from(POST => '/login', '{"email": "a@b"}', @json);
is $told->{from}, 'legacy', 'what is not in shadow goes on as before';

# --- 3: a share of the users ---
phase(3);
is((from(GET => '/me', undef, bearer(sub => 'u1')))[1]{from}, 'identity', 'identity has moved');
($r, $told) = from(GET => '/me', undef, bearer(sub => 'u1'));
is $told->{token}, 'no', 'a service does not get the token';
my %side = map { my $user = $_; $user => (from(GET => '/notifications', undef, bearer(sub => $user)))[1]{from} } map { "user-$_" } 1 .. 80;
my $moved = grep { $_ eq 'notification' } values %side;
ok $moved > 8 && $moved < 36, "about a quarter of the users have moved ($moved of 80)";
is_deeply {map { my $user = $_; $user => (from(GET => '/notifications', undef, bearer(sub => $user, sid => 'another')))[1]{from} } (sort keys %side)[0 .. 9]},
    {map { $_ => $side{$_} } (sort keys %side)[0 .. 9]}, 'and stay where they are';
is((from(POST => '/notifications', undef, bearer(sub => $_)))[1]{from}, 'legacy', 'an operation of its own share') for (grep { $side{$_} eq 'notification' } sort keys %side)[0 .. 2];
is((from(GET => '/pages'))[1]{from}, 'legacy', 'the rest is the monolith\'s');

# --- 4: the monolith is empty ---
phase(4);
is((from(GET => '/notifications', undef, bearer(sub => $_)))[1]{from}, 'notification', 'all have moved') for (sort keys %side)[0 .. 3];
is((from(GET => '/any/page'))[0]{status}, 404, 'what no contract names is not there');
is((from(DELETE => '/me'))[0]{status}, 405, 'nor are other methods');
is $edge->reports, '', 'the sanitizers have nothing to report';
$edge->stop;

# --- what nginx -t refuses ---
sub refused {
    my ($more, $says) = @_;
    my $server = Storytelling::Edge::server_config();
    Storytelling::Edge->configure($edge, http => $more, server => $server);
    my ($ok, $output) = $edge->check;
    ok !$ok, "$more is refused";
    like $output, qr/\Q$says\E/, 'and the reason told';
}
refused('api_migrate getFree 25%;',                              'needs an api_fallback');
refused('api_fallback echo; api_migrate nothing 25%;',           'there is no such operation or service');
refused('api_fallback echo; api_migrate getFree 101%;',          'wants a share from 0% to 100%');
refused('api_fallback echo; api_migrate getFree half;',          'wants a share from 0% to 100%');
refused('api_fallback echo; api_migrate echo 1%; api_migrate echo 2%;', 'is there twice');
refused('api_fallback echo; api_shadow postFree;',               'only a GET that is not transformed has a shadow');
refused('api_fallback echo; api_shadow nothing;',                'there is no such operation');
refused('api_fallback echo; api_shadow getFree without=a;',      'wants ignore=');
refused('api_fallback nowhere;',                                 'there is no upstream "nowhere"');
done_testing;
