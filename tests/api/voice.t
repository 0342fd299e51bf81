# Samples of voices: brought in pieces, whatever breaks off; looked at; kept as sound and nothing else.
use strict;
use warnings;
use File::Temp qw(tempdir);
use IO::Socket::SSL;
use Test::More;
use Storytelling::Platform;
use Storytelling::Client;
use Storytelling::Contract;

my $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;    # for the daemons

sub put  { my ($name, $text) = @_; open my $f, '>:raw', "$dir/$name" or die "$dir/$name: $!\n"; print $f $text; close $f }
sub get  { my ($path) = @_; open my $f, '<:raw', $path or return ''; local $/; return scalar <$f> // '' }
sub make { system('ffmpeg', '-v', 'error', '-nostdin', '-y', @_) == 0 or die "ffmpeg @_\n" }

my $platform = Storytelling::Platform->start;
my $client = $platform->client;
my $api    = Storytelling::Contract->new($platform, $client);
my ($ada, $eve) = map { $client->register_user } 1, 2;
my $BYTES = 'application/offset+octet-stream';

sub sample  { my ($id, $who, %more) = @_; return {path => {sampleId => $id}, token => ($who // $ada)->{token}, %more} }
sub bytes   { my ($id, $at, $bytes, $who) = @_; return sample($id, $who, content => $bytes, content_type => $BYTES, headers => {'Upload-Offset' => $at, 'Tus-Resumable' => '1.0.0'}) }
sub create  { my ($length, $who) = @_; return {token => ($who // $ada)->{token}, headers => {'Upload-Length' => $length, 'Tus-Resumable' => '1.0.0'}} }
sub begin   { my ($length, $who) = @_; return $api->call(createVoiceSample => create($length, $who))->{json}{sampleId} }
sub far     { my ($id) = @_; my $h = $client->request(HEAD => "/v1/voice-samples/$id", {token => $ada->{token}, headers => {'Tus-Resumable' => '1.0.0'}}); return $h->{headers}{'upload-offset'} // "status $h->{status}" }
sub checked { my ($id, $who) = @_; return wait_for(sub { my $s = $api->call(getVoiceSample => sample($id, $who))->{json}; $s->{status} =~ /\A(?:ready|refused)\z/ && $s }, 60) || {status => 'never'} }

# --- by hand ---------------------------------------------------------------------------------------------------------

make('-f', 'lavfi', '-i', 'sine=frequency=180:sample_rate=44100:duration=20', '-ac', 2, '-metadata', 'title=at home', '-metadata', 'artist=<script>', "$dir/voice.wav");
my $wav   = get("$dir/voice.wav");
my $whole = length $wav;

my $made = $api->succeeds(201, createVoiceSample => create($whole), 'a sample is begun');
my $id   = $made->{json}{sampleId};
is $made->{headers}{location}, "/v1/voice-samples/$id", 'with an address';
is $made->{headers}{'tus-resumable'}, '1.0.0', 'in the version of tus';
like $made->{headers}{'upload-expires'}, qr/^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/, 'and a day to bring it';
my $options = $client->request(OPTIONS => '/v1/voice-samples');
is_deeply [@{$options->{headers}}{qw(tus-version tus-extension tus-max-size)}], ['1.0.0', 'creation,termination,expiration', 33554432], 'a client can ask what is spoken';
is $client->get('/v1/voices', token => $ada->{token})->{headers}{'tus-resumable'}, undef, 'elsewhere nothing is said of it';
$api->fails(400, 'invalid_request', createVoiceSample => {token => $ada->{token}}, 'a length is needed');
$api->fails(413, 'too_large', createVoiceSample => create(33554433), 'of 32 MiB at most');
$api->fails(412, 'precondition_failed', createVoiceSample => {token => $ada->{token}, headers => {'Upload-Length' => 1, 'Tus-Resumable' => '0.2.2'}}, 'another version is not spoken');
my $patched = $api->succeeds(204, appendVoiceSample => bytes($id, 0, substr $wav, 0, 1000), 'bytes come');
is $patched->{headers}{'upload-offset'}, 1000, 'and are counted';
$api->fails(409, 'conflict', appendVoiceSample => bytes($id, $_, 'xyz'), "bytes at $_ are not next") for 0, 999, 1001;
$api->fails(413, 'too_large', appendVoiceSample => bytes($id, 1000, 'x' x $whole), 'nor more than it has');
$api->fails(404, 'not_found', getVoiceSample => sample($id, $eve), 'nobody else sees it');
$api->fails(404, 'not_found', appendVoiceSample => bytes($id, 1000, 'x', $eve), 'or adds to it');
$api->fails(404, 'not_found', deleteVoiceSample => sample($id, $eve), 'or deletes it');
$api->fails(404, 'not_found', getVoiceSampleAudio => sample($id), 'there is no sound of a part');
is far($id), 1000, 'HEAD tells how far it is';

# --- broken off ------------------------------------------------------------------------------------------------------

# A request that says it brings all, and brings so many bytes.
sub bring_some {
    my ($some) = @_;
    my $socket = IO::Socket::SSL->new(PeerAddr => '127.0.0.1', PeerPort => $platform->port, SSL_ca_file => $platform->ca, SSL_verifycn_scheme => 'none') or die "no connection: $!\n";
    my $at = far($id);
    print $socket join "\r\n", "PATCH /v1/voice-samples/$id HTTP/1.1", 'Host: localhost', "Authorization: Bearer $ada->{token}", "Content-Type: $BYTES",
        "Upload-Offset: $at", 'Tus-Resumable: 1.0.0', 'Content-Length: ' . ($whole - $at), '', substr $wav, $at, $some;
    return $socket;
}
my $kept = 1000 + 2 * 1048576;
my $socket = bring_some(2_500_000);
ok wait_for(sub { far($id) == $kept }, 60), 'what comes is kept while the rest does not' or diag far($id);
$platform->kill('narration', 'KILL');
$platform->up;
close $socket;
is far($id), $kept, 'whoever is killed';
$kept += 1048576;
$socket = bring_some(1_100_000);
ok wait_for(sub { far($id) == $kept }, 60), 'it goes on from there' or diag far($id);
close $socket;

my $modules = Storytelling::Platform::build() . '/tests/tus/node_modules';
if (-d "$modules/tus-js-client") {
    local @ENV{qw(NODE_PATH NODE_EXTRA_CA_CERTS)} = ($modules, $platform->ca);
    my @tus = ('node', "$Storytelling::Platform::ROOT/tests/lib/tus/upload.js", "$dir/voice.wav", $platform->url . '/v1/voice-samples', $ada->{token});
    my $resumed = $platform->run(@tus, $platform->url . "/v1/voice-samples/$id")->{out};
    cmp_ok $resumed =~ /^from (\d+)$/m ? $1 : 0, '>=', $kept, 'a tus client goes on with what broke off';
    like $resumed, qr/^done /m, 'to the end' or diag $resumed;
    my $new = $platform->run(@tus)->{out};
    like $new, qr{^from 0\ndone \S+/v1/voice-samples/[0-9a-f-]{36}$}m, 'and brings another by itself' or diag $new;
    my ($other) = $new =~ m{/([0-9a-f-]{36})\s*$};
    is checked($other)->{status}, 'ready', 'which is a voice';
    like $api->call(getVoiceSample => sample($other))->{headers}{'upload-metadata'}, qr/^filename dm9pY2Ugb2YgbWluZS53YXY=,filetype /, 'what it said of it is given back';
    $api->succeeds(204, deleteVoiceSample => sample($other), 'it can be deleted');
    $api->fails(404, 'not_found', getVoiceSample => sample($other), 'and is gone');
    ok wait_for(sub { !-e $platform->var . "/objects/narration/$other" }, 60), 'with its file';
} else {    # npm could not fetch it
    ok wait_for(sub { my $at = far($id); $api->call(appendVoiceSample => bytes($id, $at, substr $wav, $at))->{status} == 204 }, 60), 'it goes on to the end';
}

# --- what is kept ----------------------------------------------------------------------------------------------------

my $ready = checked($id);
is $ready->{status}, 'ready', 'the sample is ready' or diag $ready->{reason};
cmp_ok abs($ready->{durationMs} - 20_000), '<', 200, 'as long as it is';
my $sound = $client->get($ready->{audioUrl}, token => $ada->{token});
is "$sound->{status} $sound->{headers}{'content-type'}", '200 audio/mpeg', 'it can be heard';
put('kept.mp3', $sound->{content});
my $tags = $platform->run('ffprobe', '-v', 'error', '-show_entries', 'format_tags:stream=codec_name,channels', '-of', 'json', "$dir/kept.mp3")->{out};
like $tags, qr/"codec_name": "mp3",\s*"channels": 1/, 'as one voice';
unlike $tags . $sound->{content}, qr/at home|<script>/, 'and nothing else that the file said';
is $client->get($ready->{audioUrl}, token => $eve->{token})->{status}, 404, 'by nobody else';
is +($platform->sql('narration', 'select count(*) from voice_sample_pieces'))[0], 0, 'nothing else is left of it';
$api->fails(409, 'conflict', appendVoiceSample => bytes($id, 0, 'x'), 'nothing is added to it any more');
is_deeply [map { $_->{sampleId} } @{$api->succeeds(200, listVoiceSamples => {token => $ada->{token}}, 'samples are listed')->{json}{items}}], [$id], 'one is there';

my $text = begin(40);
$api->call(appendVoiceSample => bytes($text, 0, "#EXTM3U\nfile:///etc/passwd\n" . ' ' x 13));
my $refused = checked($text);
is $refused->{status}, 'refused', 'what is no sound is refused';
like $refused->{reason}, qr/no sound file/, 'and the reason is said';
$api->fails(404, 'not_found', getVoiceSampleAudio => sample($text), 'there is no sound of it');
begin(10, $eve) for 1 .. 10;
$api->fails(403, 'forbidden', createVoiceSample => create(10, $eve), 'nobody brings more than ten');
$platform->sql('narration', "update voice_samples set expires_at = now() - interval '1 s' where user_id = '$eve->{userId}'");
$platform->sql('narration', "update schedules set last_run = '-infinity' where name = 'expire_samples'");
ok wait_for(sub { $api->call(createVoiceSample => create(10, $eve))->{status} == 201 }, 60), 'what is not brought in time is dropped';

done_testing;
