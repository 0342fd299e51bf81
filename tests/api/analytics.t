# Figures over all events.
use strict;
use warnings;
use Test::More;
use POSIX qw(strftime);
use Storytelling::Platform;
use Storytelling::Client;
use Storytelling::Contract;

my $platform = Storytelling::Platform->shared;
my $client   = $platform->client;
my $api      = Storytelling::Contract->new($platform, $client);
my $admin    = $platform->admin;
my $author   = $client->register_user;

sub day { return strftime('%Y-%m-%d', gmtime(time + 86400 * $_[0])) }
sub figures { my (%query) = @_; return {token => $admin->{token}, query => \%query} }
sub count_of {
    my ($type) = @_;
    my $days = $api->call(getDailyAnalytics => figures())->{json}{days};
    my $sum = 0;
    $sum += $_->{counts}{$type} // 0 for @$days;
    return $sum;
}

$api->fails(403, 'forbidden', getDailyAnalytics => {token => $author->{token}}, 'an author sees no figures');
my $figures = $api->succeeds(200, getDailyAnalytics => figures(), 'an administrator does')->{json};
is $figures->{from}, day(-6), 'those of the last seven days';
is $figures->{to}, day(0), 'until today';
ok $figures->{watermark}, 'with their watermark';
for my $day (@{$figures->{days}}) {
    my $sum = 0;
    $sum += $_ for values %{$day->{counts}};
    is $day->{total}, $sum, "the total of $day->{date} is the sum";
}

my $before = count_of('StoryCreated');
$client->post('/v1/stories', json => {title => "Counted $_", content => 'A.'}, token => $author->{token}) for 1 .. 3;
ok wait_for(sub { count_of('StoryCreated') >= $before + 3 }), 'three stories count three times';
is count_of('StoryCreated'), $before + 3, 'and no more';

is_deeply $api->succeeds(200, getDailyAnalytics => figures(from => '2001-01-01', to => '2001-12-31'), 'a year without events')->{json}{days}, [], 'is empty';
is $api->succeeds(200, getDailyAnalytics => figures(from => day(0)), 'from today')->{json}{to}, day(0), 'is until today';
is $api->succeeds(200, getDailyAnalytics => figures(to => day(-1)), 'until yesterday')->{json}{from}, day(-7), 'is a week';
$api->succeeds(200, getDailyAnalytics => figures(from => day(0), to => day(0)), 'one day');
$api->succeeds(200, getDailyAnalytics => figures(from => day(-365), to => day(0)), '366 days');
$api->fails(400, 'invalid_request', getDailyAnalytics => figures(from => day(-366), to => day(0)), 'not more');
$api->fails(400, 'invalid_request', getDailyAnalytics => figures(from => day(0), to => day(-1)), 'not backwards');
$api->fails(400, 'invalid_request', getDailyAnalytics => figures(from => day(1)), 'not from tomorrow until today');
for my $bad ('yesterday', '2026-02-30', '2026-13-01', '20260101', '2026-1-1', '0000-00-00', "2026-01-01' or 1=1", '2026-01-01T00:00:00Z') {
    $api->fails(400, 'invalid_request', getDailyAnalytics => figures(from => $bad), "no day: $bad", '/query/from');
}
$api->succeeds(200, getDailyAnalytics => figures(from => '9999-12-31', to => '9999-12-31'), 'the end of time');

done_testing;
