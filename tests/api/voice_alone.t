# A voice that is lent where no provider learns voices: nothing is made of it, and it says so.
use strict;
use warnings;
use Test::More;
use Storytelling::Platform;
use Storytelling::Client;
use Storytelling::Contract;

my $platform = Storytelling::Platform->shared;
my $client   = $platform->client;
my $api      = Storytelling::Contract->new($platform, $client);
my $ada      = $client->register_user;

# 12 s of a tone: 8,000 samples of 8 bits a second.
my $tone = join '', map { chr 128 + int 90 * sin $_ / 7 } 1 .. 96_000;
my $wav  = pack 'A4 V A4 A4 V v v V V v v A4 V', 'RIFF', 36 + length $tone, 'WAVE', 'fmt ', 16, 1, 1, 8000, 8000, 1, 8, 'data', length $tone;
my $made = $api->succeeds(201, createVoiceSample => {token => $ada->{token}, headers => {'Upload-Length' => length "$wav$tone"}}, 'a sample is brought')->{json}{sampleId};
sub sample { return {path => {sampleId => $made}, token => $ada->{token}, @_} }
$api->succeeds(204, appendVoiceSample => sample(content => "$wav$tone", content_type => 'application/offset+octet-stream', headers => {'Upload-Offset' => 0}), 'all of it');
ok wait_for(sub { $api->call(getVoiceSample => sample())->{json}{status} eq 'ready' }), 'and is fit';

my $consent = $api->succeeds(200, getVoiceConsent => {token => $ada->{token}}, 'there is something to agree to')->{json};
my $lent = $api->succeeds(201, createVoiceProfile => {json => {sampleId => $made, name => 'Mine', %$consent}, token => $ada->{token}}, 'it is lent')->{json};
is $lent->{status}, 'waiting', 'and waits';
like $lent->{reason}, qr/No provider .* sample is kept, and nothing is made of it/, 'the reason says what becomes of it';
my $story = $client->post('/v1/stories', json => {title => 'Alone', content => 'The moon rose.'}, token => $ada->{token})->{json}{storyId};
my $cast;
ok wait_for(sub { $cast = $api->call(getCast => {path => {storyId => $story}, token => $ada->{token}}); $cast->{status} == 200 }), 'a story is there';
$api->fails(422, 'unprocessable', changeCast => {path => {storyId => $story}, json => {narrator => $lent->{voiceId}}, token => $ada->{token}, headers => {'If-Match' => $cast->{headers}{etag}}},
    'which it does not tell', '/narrator');
$api->succeeds(204, deleteVoiceSample => sample(), 'the sample is deleted');
my $past = $api->succeeds(200, getVoiceProfile => {path => {profileId => $lent->{profileId}}, token => $ada->{token}}, 'and with it')->{json};
is $past->{status}, 'withdrawn', 'the voice';
is_deeply [map { $_->{profileId} } @{$api->succeeds(200, listVoiceProfiles => {token => $ada->{token}}, 'voices are listed')->{json}{items}}], [$lent->{profileId}], 'those of the past too';

done_testing;
