# Limits of every kind, on one node: what they count by, costs, several at once, shares, reloads.
use strict;
use warnings;
use Test::More;
use Storytelling::Edge;

my $E = 'Storytelling::Edge';
my $contract = Storytelling::Edge::root() . '/tests/edge/limits.yaml';
# The address of a client is what the test says it is.
# And somebody reads a variable of the identity before there is one, which must not matter.
my @with = (contract => $contract, http => 'set_real_ip_from 127.0.0.1; real_ip_header X-Test-Address;', workers => 2,
    more => 'set $early "$api_session$arg_shop";');
Storytelling::Edge::echo('echo');
my $edge = $E->nginx(@with);
$edge->start or die $edge->error_log;

sub from { return "X-Test-Address: $_[0]" }
my $block = 0;
sub elsewhere { $block++; return from("10.0.$block.1") }
# The statuses of so many requests, such as "200 200 429".
sub statuses {
    my ($n, $method, $path, @headers) = @_;
    return join ' ', map { $edge->request($method, $path, undef, @headers)->{status} } 1 .. $n;
}
sub metric { return $edge->metric(@_) }

# --- by a header, by a variable ---
is statuses(4, GET => '/v1/tenant', 'X-Tenant: a'), '200 200 200 429', 'three for a tenant';
is statuses(1, GET => '/v1/tenant', 'x-tenant: b'), '200', 'another has its own';
is statuses(4, GET => '/v1/tenant'), '200 200 200 429', 'who names none has one bucket with all who name none';
is statuses(1, GET => '/v1/tenant', 'X-Tenant: '), '429', 'and an empty one is none';
is statuses(1, GET => '/v1/tenant', 'X-Tenant: ' . 'x' x 4000), '200', 'a long one is one more';
is statuses(4, GET => '/v1/tenant', 'X-Tenant: ' . 'y' x 4000), '200 200 200 429', 'and limited as others';
is statuses(4, GET => '/v1/shop?shop=a'), '200 200 200 429', 'by a variable';
is statuses(1, GET => '/v1/shop?shop=b'), '200', 'another value';
is statuses(4, GET => '/v1/shop'), '200 200 200 429', 'no value';
is statuses(4, GET => '/v1/session', bearer(sid => 'a')), '200 200 200 429', 'by a variable that is known after authentication';
is statuses(1, GET => '/v1/session', bearer(sid => 'b')), '200', 'another session';

# --- by tier: all of it together, each at its rate ---
is statuses(4, GET => '/v1/tier', bearer(sub => 'a')), '200 200 200 429', 'three for a tier';
is statuses(1, GET => '/v1/tier', bearer(sub => 'b')), '429', 'whoever asks';
is statuses(6, GET => '/v1/tier', bearer(tier => 'premium')), '200 200 200 200 200 429', 'five for another';

# --- costs ---
is statuses(3, POST => '/v1/work', bearer()), '200 200 429', 'ten units are two of four';
is statuses(3, GET => '/v1/work', bearer()), '200 200 429', 'and two of one';
my $r = $edge->request(POST => '/v1/work', undef, bearer(sub => 'costs'));
like $r->{headers}{ratelimit}, qr/^"work";r=6;t=14(?:40|[0-3]\d)$/, 'the header tells units';
$edge->request(POST => '/v1/work', undef, bearer(sub => 'costs'));
like $edge->request(POST => '/v1/work', undef, bearer(sub => 'costs'))->{headers}{'retry-after'}, qr/^(?:720|7[01]\d|6[5-9]\d)$/, 'and when so many are there again';

# --- several: who is refused by one gets back what the others took ---
my @at = (elsewhere(), 'X-Tenant: pair');
is statuses(3, GET => '/v1/pair', @at, bearer(sub => 'p1')), '200 200 429', 'a limit refuses';
is statuses(5, GET => '/v1/pair', @at, bearer(sub => 'p1')), join(' ', (429) x 5), 'again and again';
is statuses(2, GET => '/v1/pair', $at[0], 'X-Tenant: other', bearer(sub => 'p1')), '200 200', 'and the others have not counted that';
$r = $edge->get('/v1/pair', $at[0], 'X-Tenant: third', bearer(sub => 'p1'));
is $r->{status}, 429, 'what they counted they have counted';
like $r->{headers}{ratelimit}, qr/^"pair\.user";r=0;t=3(?:600|5\d\d), "pair\.address";r=2;t=2(?:400|3\d\d)$/, 'the headers tell it, the tightest first';
is statuses(2, GET => '/v1/pair', $at[0], 'X-Tenant: third', bearer(sub => 'p2')), '200 200', 'the address has two left';
is statuses(1, GET => '/v1/pair', $at[0], 'X-Tenant: fourth', bearer(sub => 'p2')), '429', 'and no more';

# --- a share of the address ---
my $nat = elsewhere();
is statuses(4, GET => '/v1/fair', $nat, bearer(sub => 'greedy')), '200 200 200 429', 'a user takes three tenths of an address';
is statuses(9, GET => '/v1/fair', $nat, bearer(sub => 'greedy')), join(' ', (429) x 9), 'refused ones take nothing of it';
is statuses(4, GET => '/v1/fair', $nat, bearer(sub => 'second')), '200 200 200 429', 'the next user';
is statuses(3, GET => '/v1/fair', $nat, bearer(sub => 'third')), '200 200 200', 'and the next';
is statuses(2, GET => '/v1/fair', $nat, bearer(sub => 'fourth')), '200 429', 'until the address has nothing left';
is statuses(3, GET => '/v1/fair', elsewhere(), bearer(sub => 'greedy')), '200 200 200', 'elsewhere the user has another share';

# --- addresses ---
is statuses(6, GET => '/v1/five', from('2001:db8:1:2::1')), '200 200 200 200 200 429', 'five for an IPv6 address';
is statuses(1, GET => '/v1/five', from('2001:db8:1:2:ffff:ffff:ffff:ffff')), '429', 'its /64 counts as one';
is statuses(1, GET => '/v1/five', from('2001:db8:1:3::1')), '200', 'the next /64 is another';
is statuses(6, GET => '/v1/five', from('192.0.2.1')), '200 200 200 200 200 429', 'five for an IPv4 address';
is statuses(1, GET => '/v1/five', from('::ffff:192.0.2.1')), '429', 'also when it is written as IPv6';
is statuses(1, GET => '/v1/five', from('192.0.2.2')), '200', 'its neighbour is another';
is statuses(1, GET => '/v1/five', from('::ffff:192.0.2.3')), '200', 'of either kind';

# --- reloads ---
is statuses(3, GET => '/v1/five', from('10.9.9.9')), '200 200 200', 'three of five';
$edge->reload;
is statuses(3, GET => '/v1/five', from('10.9.9.9')), '200 200 429', 'a reload forgets nothing';
my $changed = Storytelling::Edge::write_file(Storytelling::Edge::dir() . '/contracts/changed.yaml',
    Storytelling::Nginx::slurp($contract) =~ s{rate: 5/1h}{rate: 2/1m}r);
$E->configure($edge, @with, contract => $changed);
$edge->reload;
$r = $edge->get('/v1/five', from('10.9.9.9'));
is $r->{status}, 429, 'a lower rate holds for who has used up the old one';
cmp_ok $r->{headers}{'retry-after'}, '<=', 60, 'for no longer than its own';

# --- what is counted ---
is metric('limit_passed_total{limit="tenant"}'), 11, 'passed, by limit';
is metric('limit_rejected_total{limit="fair.share"}'), 11, 'refused, by the share';
is metric('limit_fallback_total{limit="five"}'), 0, 'nothing is shared here';
cmp_ok metric('zone_entries{zone="limits",table="limits"}'), '>', 20, 'the keys in use';
is metric('zone_evicted_total{zone="limits"}'), 0, 'none had to go';

# --- a small zone ---
$E->configure($edge, @with, http => "$with[3] api_zone limits 64k;");
$edge->reload;
is statuses(1, GET => '/v1/tenant', "X-Tenant: t$_"), '200', "tenant $_" for 1 .. 3;
$edge->exchange(join('', map { "GET /v1/tenant HTTP/1.1\r\nHost: x\r\nX-Tenant: f$_\r\n\r\n" } 1 .. 900), ('GET') x 900) for 1 .. 4;
is statuses(4, GET => '/v1/tenant', 'X-Tenant: new'), '200 200 200 429', 'a full zone goes on and counts';
cmp_ok metric('zone_evicted_total{zone="limits"}'), '>', 0, 'the oldest had to go';

# --- what is refused ---
sub refused {
    my ($name, $why, $from, $to, %more) = @_;
    my $text = Storytelling::Nginx::slurp($contract);
    $text =~ s/\Q$from\E/$to/ or die $from;
    my $file = Storytelling::Edge::write_file(Storytelling::Edge::dir() . '/contracts/refused.yaml', $text);
    my ($ok, $said) = $E->nginx(@with, contract => $file, %more)->check;
    ok !$ok && $said =~ $why, $name or diag $said;
}
refused('a variable that nobody knows', qr/refused\.yaml:30: shop has a limit by the variable "nonsense"/, 'variable:arg_shop', 'variable:nonsense');
refused('a credential as a key', qr/header:authorization would count what nobody has verified/, 'header:x-tenant', 'header:authorization');
refused('a cookie as a key', qr/variable:cookie_id would count/, 'variable:arg_shop', 'variable:cookie_id');
refused('by user without security', qr/limit by user on an operation without security/, 'by: address', 'by: user');
refused('too many limits', qr/has more than 8 limits/, '- {name: five, rate: 5/1h, by: address}',
    join "\n        ", map { "- {name: five$_, rate: 5/1h, by: address}" } 1 .. 9);
refused('sharing without Redis', qr/"api_limit_share" needs "api_redis"/, 'openapi', 'openapi', http => 'api_limit_share on;');

$edge->stop('QUIT');
is $edge->reports, '', 'the sanitizers have nothing to report';
unlike $edge->error_log, qr/\[(?:alert|crit|emerg)\]/, 'nothing alarming in the log';
done_testing;
