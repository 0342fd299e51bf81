# The page for people: what it shows, and that a browser renders it.
use strict;
use warnings;
use Test::More;
use Storytelling::Browser;
use Storytelling::Edge;
use Time::HiRes qw(sleep);

my $E   = 'Storytelling::Edge';
my $dir = Storytelling::Edge::dir();
Storytelling::Edge::echo('echo');
mkdir "$dir/tmp";
my $policy = "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";
my $edge = $E->nginx(workers => 2, server => qq{add_header Content-Security-Policy "$policy";} . Storytelling::Edge::server_config());
$edge->start or die $edge->error_log;

$edge->get('/v1/things', bearer()) for 1 .. 30;
$edge->get('/v1/me') for 1 .. 4;
$edge->get('/v1/dead') for 1 .. 25;
$edge->post('/v1/knock', '') for 1 .. 7;
$edge->get('/v1/slow');
$edge->post('/v1/things', '{}', bearer());

my $page;
sub row { my ($with) = @_; my ($row) = grep { index($_, $with) >= 0 } $page =~ m{<tr>(.*?)</tr>}gs; return [map { s/<[^>]*>/ /gr =~ s/\s+/ /gr =~ s/^ | $//gr } ($row // '') =~ m{<td[^>]*>(.*?)</td>}gs] }
ok wait_for(sub { $page = $edge->get('/status')->{body}; (row('>knock<')->[2] // 0) == 2 && (row('>listThings<')->[1] // 0) == 30 }), 'the page has what went on'
    or diag explain row('>listThings<'), row('>knock<');
my $r = $edge->get('/status');
is $r->{headers}{'content-type'}, 'text/html; charset=utf-8', 'it is HTML';
is $r->{headers}{'cache-control'}, 'no-store', 'that nobody keeps';
like $page, qr/<meta http-equiv="refresh" content="5">/, 'and that renews itself';
unlike $page, qr/<script|<style|style=|https?:|src=|\bon\w+=/, 'without scripts, inline styles or anything from elsewhere';
is_deeply row('>dead<'), ['dead', 'unhealthy', 'open', '1'], 'a service whose breaker is open';
is_deeply row('>echo<'), ['echo', 'healthy', 'closed', '0'], 'and one that is well';
is row('>credentials<')->[1], 4, 'refusals by cause';
cmp_ok row('<td class="">breaker<')->[1], '>=', 5, 'all of them';
like row('>tokens<')->[3], qr/^\d+$/, 'shared memory';
like row('createThing')->[-1], qr{^thing\.create 10 / 3600 s$}, 'limits';
like $page, qr{<small>GET /v1/things/\{thingId\}</small>}, 'paths';
$r = $edge->get('/status?style');
is $r->{headers}{'content-type'}, 'text/css', 'the style comes from the same address';
like $r->{headers}{'cache-control'}, qr/max-age/, 'and is kept';
is $edge->post('/status', '')->{status}, 405, 'it is only for reading';
is $edge->request('HEAD', '/status')->{status}, 200, 'HEAD';
my ($depth, @open) = (0);
for ($page =~ m{<(/?\w+)[^>]*>}g) {
    next if /^(?:meta|link|br|!doctype)$/;
    if (m{^/(.*)}) { is pop @open, $1, 'tags are closed in order' if !@open || $open[-1] ne $1; pop @open if @open && $open[-1] eq $1 }
    else           { push @open, $_ }
}
is_deeply \@open, [], 'every tag is closed';

# --- a browser ---
SKIP: {
    my $missing = Storytelling::Browser::missing();
    skip $missing, 4 if $missing;
    my $url = "http://127.0.0.1:$edge->{port}/status";
    like Storytelling::Browser::dom($url), qr{<td[^>]*>listThings<br>}, 'a browser shows the operations';
    for ([1280, 'wide'], [390, 'phone']) {
        my ($width, $name) = @$_;
        ok Storytelling::Browser::shot($url, $width, ($ENV{SHOTS} // "$dir/tmp") . "/status-$name.png"), "and draws it ($name)";
    }
    unlike Storytelling::Browser::complaints(), qr/Content Security Policy|Refused to/, 'under a strict policy';
}
$edge->stop;
is $edge->reports, '', 'the sanitizers have nothing to report';
done_testing;
