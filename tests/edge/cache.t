# Answers to public GETs that are kept in Redis: x-cache.
use strict;
use warnings;
use Test::More;
use Storytelling::Edge;
use Time::HiRes qw(sleep time);

my $E        = 'Storytelling::Edge';
my $dir      = Storytelling::Edge::dir();
my $contract = Storytelling::Edge->root . '/tests/edge/cache.yaml';
Storytelling::Edge::echo('echo');
my $redis = Storytelling::Edge::start_redis();
my $upstream = "upstream canned { server unix:$dir/run/canned.sock; } api_cache_answer 512k;";
my $canned   = $upstream . <<"CONF";
    gzip on; gzip_types application/json; gzip_min_length 100; gzip_proxied any; gzip_vary on;
    server {
        listen unix:$dir/run/canned.sock;
        default_type application/json;
        location = /v1/answers/private { add_header Cache-Control private; return 200 '{"id":"\$request_id"}'; }
        location = /v1/answers/cookie { add_header Set-Cookie a=b; return 200 '{"id":"\$request_id"}'; }
        location = /v1/answers/encoded { add_header Content-Encoding br; return 200 '{"id":"\$request_id"}'; }
        location = /v1/answers/forbidden { add_header Cache-Control max-age=9; add_header Cache-Control no-store; return 200 '{"id":"\$request_id"}'; }
        location = /v1/answers/varying { add_header Vary 'Accept-Encoding, X-Tenant'; return 200 '{"id":"\$request_id"}'; }
        location = /v1/answers/attached { add_header Content-Disposition attachment; return 200 '{"id":"\$request_id"}'; }
        location = /v1/answers/gone { return 404 '{"id":"\$request_id"}'; }
        location = /v1/answers/large { alias $dir/large; }
        location = /v1/answers/long { alias $dir/long; }
        location = /v1/answers/tagged { add_header ETag '"v7"'; add_header Last-Modified 'Thu, 01 Jan 2026 00:00:00 GMT'; add_header Cache-Control 'max-age=1'; return 200 '{"id":"\$request_id"}'; }
    }
CONF
Storytelling::Edge::write_file("$dir/large", 'x' x (512 * 1024 + 1));
Storytelling::Edge::write_file("$dir/long", join '', map { "line $_ of a long story\n" } 1 .. 12_000);
my @bare = (redis => Storytelling::Edge::redis_socket(), contract => $contract, more => 'add_header X-Verdict $api_cache always;');
my @with = (redis => Storytelling::Edge::redis_socket(), contract => $contract, http => $canned);
my $edge = $E->nginx(@with, more => 'add_header X-Verdict $api_cache always;');
$edge->start or die $edge->error_log;

my $last;
sub get { my ($path, @headers) = @_; return $last = $edge->get($path, @headers) }
sub verdict { return $last->{headers}{'x-verdict'} // '' }
sub metric { my ($result) = @_; return $edge->metric(qq(cache_total{result="$result"})) }
ok wait_for(sub { get('/v1/answers/gone'); verdict() eq 'MISS' }), 'the link to Redis is up';

# --- a miss, and hits ---
my $first = get('/v1/pages/a');
is $first->{status}, 200, 'the first answer is the service\'s';
is verdict(), 'MISS', 'a miss';
is $first->{headers}{'cache-control'}, 'public, max-age=60, s-maxage=60, stale-while-revalidate=60', 'a CDN may keep it';
like $first->{headers}{etag}, qr/^"[0-9a-f]{32}"$/, 'it has an entity tag';
like $first->{headers}{vary}, qr/Accept-Language/, 'and says what it varies by';
ok !exists $first->{headers}{age}, 'it is new';
my $hits = metric('hit');
sleep 1.1;
my $second = get('/v1/pages/a');
is verdict(), 'HIT', 'the next is a hit';
is $second->{body}, $first->{body}, 'the same body';
is $second->{headers}{$_}, $first->{headers}{$_}, "the same $_" for qw(etag content-type content-length cache-control vary);
like $second->{headers}{age}, qr/^[1-9]$/, 'it tells its age';
isnt $second->{headers}{'x-correlation-id'}, $first->{headers}{'x-correlation-id'}, 'each request has an id of its own';
is metric('hit'), $hits + 1, 'hits are counted';

# --- conditions, HEAD, compression, origins ---
is get('/v1/pages/a', "If-None-Match: $first->{headers}{etag}")->{status}, 304, 'a client that has it is told so';
is get('/v1/pages/a', 'If-None-Match: "other"')->{status}, 200, 'another has it sent';
my $head = $edge->request('HEAD', '/v1/pages/a');
is $head->{headers}{etag}, $first->{headers}{etag}, 'HEAD is served from the copy';
is $head->{headers}{'content-length'}, length $first->{body}, 'with its length';
my $zipped = get('/v1/pages/a', 'Accept-Encoding: gzip');
is $zipped->{headers}{'content-encoding'}, 'gzip', 'the copy is compressed on its way out';
is $zipped->{headers}{etag}, "W/$first->{headers}{etag}", 'its entity tag is weak then';
is get('/v1/pages/a', 'Accept-Encoding: gzip', "If-None-Match: $zipped->{headers}{etag}")->{status}, 304, 'and is known again';
is get('/v1/pages/a', 'Origin: https://app.example.com')->{headers}{'access-control-allow-origin'}, 'https://app.example.com', 'an allowed origin is named';
ok !exists get('/v1/pages/a', 'Origin: https://evil.example')->{headers}{'access-control-allow-origin'}, 'for that request alone';
is verdict(), 'HIT', 'all of them hits';
my $conditional = get('/v1/pages/cond', 'If-None-Match: "x"', 'Range: bytes=0-1');
is $conditional->{status}, 200, 'a miss with conditions';
unlike $conditional->{body}, qr/if-none-match|"range"/, 'asks the service for all of it';

# --- what makes another answer ---
isnt get('/v1/pages/b')->{body}, $first->{body}, 'another path';
isnt get('/v1/pages/a?part=2')->{body}, $first->{body}, 'another query';
isnt get('/v1/pages/a', 'Accept-Language: de')->{body}, $first->{body}, 'another language';
my $german = get('/v1/pages/a', 'Accept-Language: de');
is verdict(), 'HIT', 'which is kept, too';
isnt get('/v1/pages/a', 'Accept-Language: de', 'Accept-Language: fr')->{body}, $german->{body}, 'two languages';
is verdict(), '', 'are for the service to decide, and are not kept';
is get('/v1/pages/a?part=2', 'X-Else: 1')->{body}, get('/v1/pages/a?part=2')->{body}, 'other headers do not matter';
{
    my $socket = $edge->connect;
    $edge->send_bytes($socket, "GET /v1/pages/a HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    is $edge->read_response($socket, \(my $buffer = ''), 'GET')->{headers}{'x-verdict'}, 'MISS', 'another host';
}
my $old = get('/v0/pages/a');
is_deeply [sort keys %{json($old->{body})}], [qw(body method uri)], 'a transformed answer';
is get('/v0/pages/a')->{body}, $old->{body}, 'is kept as it was sent';
is verdict(), 'HIT', 'a hit';
is get('/v1/pages/a?part=x')->{status}, 400, 'what the contract refuses is refused';

# --- dropped by its tag ---
is Storytelling::Edge::redis('UNLINK', 'st:cache:page/a'), 1, 'the thing has changed: its answers are dropped at once';
my $after = get('/v1/pages/a');
is verdict(), 'MISS', 'then the service is asked';
isnt $after->{body}, $first->{body}, 'and the answer is new';
is get('/v1/pages/b')->{status}, 200, 'another thing';
is verdict(), 'HIT', 'is still there';
cmp_ok Storytelling::Edge::redis('PTTL', 'st:cache:page/b'), '>', 0, 'and will go by itself';

# --- time ---
my $short = get('/v1/short')->{body};
ok wait_for(sub { get('/v1/short')->{body} ne $short }), 'an answer gets old';

# --- what is not kept ---
for my $kind (qw(private cookie encoded forbidden varying attached gone large)) {
    my ($one, $two) = map { get("/v1/answers/$kind") } 1, 2;
    is verdict(), 'MISS', "$kind is not kept";
    isnt $one->{body}, $two->{body}, "$kind: each is its own" if $kind ne 'large';
    unlike $one->{headers}{'cache-control'} // '', qr/public/, "$kind: and no CDN is told to";
}
my $tagged = get('/v1/answers/tagged');
my $again  = get('/v1/answers/tagged');
is $again->{body}, $tagged->{body}, 'an answer with an entity tag of its own is kept';
is $again->{headers}{etag}, '"v7"', 'with it';
is $again->{headers}{'last-modified'}, 'Thu, 01 Jan 2026 00:00:00 GMT', 'and with its time';
is get('/v1/answers/tagged', 'If-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT')->{status}, 304, 'which is compared';
unlike $again->{headers}{'cache-control'}, qr/max-age=1$/, 'what the service says of caching is replaced';

# --- what is long, and what bounds it ---
my ($long, $kept) = map { get('/v1/answers/long') } 1, 2;
is verdict(), 'HIT', 'a long answer is kept';
ok $kept->{body} eq $long->{body} && length $kept->{body} > 256 * 1024, 'all of it';
is get('/v1/answers/long', "If-None-Match: $long->{headers}{etag}")->{status}, 304, 'whoever has it is told so';
for (['api_cache_memory 256k;', 'BYPASS', 'no room for it'], ['api_cache_redis 256k;', 'HIT', 'none in Redis']) {
    my ($limit, $verdict, $why) = @$_;
    my $bounded = $E->nginx(@bare, http => "$upstream $limit");
    $bounded->start or die $bounded->error_log;
    ok wait_for(sub { ($bounded->get('/v1/answers/gone')->{headers}{'x-verdict'} // '') eq 'MISS' }), "$why: the link to Redis is up";
    my $ask = sub { my $answer = $bounded->get('/v1/answers/long'); return $answer->{body} eq $long->{body} && $answer->{headers}{'x-verdict'} };
    ok wait_for(sub { $ask->() eq $verdict }), "$why: whether what is there is served";
    Storytelling::Edge::redis('DEL', 'st:cache:answers');
    Storytelling::Edge::redis('DEL', 'st:cache:spent');
    is $ask->(), 'MISS', "$why: it passes" for 1, 2;
    is Storytelling::Edge::redis('HLEN', 'st:cache:answers'), 0, "$why: and is not kept";
    $bounded->stop;
    get('/v1/answers/long');
}

# --- many ask for what is not there ---
my @sockets = map { $edge->connect } 1 .. 6;
$edge->send_bytes($_, "GET /v1/slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n") for @sockets[0 .. 4];
$edge->send_bytes($sockets[5], "GET /v1/slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
close $sockets[5];    # one that waits goes away
{
    local $edge->{timeout} = 20;
    my %bodies;
    my $buffer;
    $bodies{$edge->read_response($_, \($buffer = ''), 'GET')->{body}}++ for @sockets[0 .. 4];
    is_deeply [values %bodies], [5], 'the service is asked once, and all get its answer';
    like((keys %bodies)[0], qr/"uri":"\/v1\/slow"/, 'which is one');
}
is get('/v1/dead')->{status}, 503, 'a service that is away';

# --- nonsense in Redis ---
get('/v1/pages/n');
my $field = wait_for(sub { Storytelling::Edge::redis('EVAL', "return redis.call('HKEYS', KEYS[1])[1]", 1, 'st:cache:page/n') });
for my $junk ('', 'x', "st1\n", "st1\n1\n2\n", "st1\nx\ny\n\n\n\n{}", "st1\n1\n99999999999\n" . 'x' x 300 . "\n\n\n{}") {
    Storytelling::Edge::redis('HSET', 'st:cache:page/n', $field, $junk);
    my $got = get('/v1/pages/n');
    is $got->{status}, 200, 'an entry that makes no sense is none';
    is verdict(), 'MISS', 'the service is asked';
    ok wait_for(sub { Storytelling::Edge::redis('HGET', 'st:cache:page/n', $field) ne $junk }), 'and its answer takes the place';
}
Storytelling::Edge::redis('SET', 'st:cache:page/w', 'a string');
is get('/v1/pages/w')->{status}, 200, 'a key of another type does no harm';

# --- a tag's answers are bounded ---
get("/v1/pages/many?part=$_") for 1 .. 70;
cmp_ok Storytelling::Edge::redis('EVAL', "return redis.call('HLEN', KEYS[1])", 1, 'st:cache:page/many'), '<=', 64, 'not more than 64 of one tag';

# --- a contract that changes makes all answers old; Redis away ---
is get('/v1/pages/b')->{status}, 200, 'before the contract changes';
Storytelling::Edge::write_file("$dir/contracts/cache.yaml", Storytelling::Nginx::slurp($contract) =~ s/A page\./Another page./r);
$E->configure($edge, @with, contract => "$dir/contracts/cache.yaml", more => 'add_header X-Verdict $api_cache always;');
$edge->reload or diag $edge->error_log;
ok wait_for(sub { get('/v1/pages/b'); verdict() =~ /MISS|HIT/ }), 'after it';
Storytelling::Edge::stop_child($redis);
ok wait_for(sub { get('/v1/pages/b')->{status} == 200 && verdict() eq 'BYPASS' }), 'with Redis away the service is asked each time';
isnt get('/v1/pages/b')->{body}, get('/v1/pages/b')->{body}, 'really';
is $edge->reports, '', 'the sanitizers have nothing to report';

# --- what nginx -t refuses ---
sub refused {
    my ($from, $to, $says) = @_;
    my $text = Storytelling::Nginx::slurp($contract) =~ s/$from/$to/r;
    Storytelling::Edge::write_file("$dir/contracts/cache.yaml", $text);
    $E->configure($edge, @with, contract => "$dir/contracts/cache.yaml");
    my ($ok, $output) = $edge->check;
    ok !$ok, "$to is refused";
    like $output, qr/cache\.yaml:\d+: .*\Q$says\E/, 'and the reason told';
}
refused('for: 60s', 'for: 0s', 'for must be a time in whole seconds');
refused('for: 60s', 'for: 90ms', 'for must be a time in whole seconds');
refused('page/\{pageId\}', 'page/{other}', 'the path has no {other}');
refused('page/\{pageId\}', 'page *', 'tag must be of');
refused('vary: \[Accept-Language\]', 'vary: [Cookie]', 'what varies by Cookie is not public');
refused('vary: \[Accept-Language\]', 'until: 3', 'until is not a known member of x-cache');
refused('name: part, in: query', 'name: X-Part, in: header', 'vary must name the header X-Part, which is read');
refused('name: part, in: query', 'name: part, in: cookie', 'what reads the cookie part is not public');
refused('operationId: getShort', "operationId: getShort\n      security: [{bearer: []}]", 'only a GET that is public');
$edge->stop;
done_testing;
