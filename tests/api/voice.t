# Voices that people lend: samples brought in pieces, whatever breaks off; consent; a provider that learns the voice,
# which a stand-in is; and all of it taken back.
use strict;
use warnings;
use Digest::SHA ();
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

put('key', 'secret-key');
put('others', "21m00Tcm4TlvDq8ikWAM Rachel female middle_aged\nodd/id Odd male young\nJBFqnCBsd6RMkjVDRZzb George male old\n");
put('page', 2);    # voices at a time
pipe(my $said, my $say) or die "pipe: $!\n";
my $pid = fork // die "fork: $!\n";
if (!$pid) {
    open STDOUT, '>&', $say;
    exec $^X, "-I$Storytelling::Platform::ROOT/tests/lib", '-MStorytelling::ElevenLabs', '-e', 'Storytelling::ElevenLabs::main', $dir or POSIX::_exit(127);
}
END { local $?; kill 'KILL', $pid if $pid; waitpid $pid, 0 if $pid }
chomp(my $port = <$said> // die "no stand-in\n");

my $platform = Storytelling::Platform->start(env => {
    ST_ELEVENLABS_URL => "http://127.0.0.1:$port", ST_ELEVENLABS_KEY_FILE => "$dir/key", ST_SPEECH_TIERS => 'free:embedded,elevenlabs',
});
my $client = $platform->client;
my $api    = Storytelling::Contract->new($platform, $client);
my ($ada, $eve) = map { $client->register_user } 1, 2;
my $BYTES = 'application/offset+octet-stream';

sub sample  { my ($id, $who, %more) = @_; return {path => {sampleId => $id}, token => ($who // $ada)->{token}, %more} }
sub bytes   { my ($id, $at, $bytes, $who) = @_; return sample($id, $who, content => $bytes, content_type => $BYTES, headers => {'Upload-Offset' => $at, 'Tus-Resumable' => '1.0.0'}) }
sub create  { my ($length, $who) = @_; return {token => ($who // $ada)->{token}, headers => {'Upload-Length' => $length, 'Tus-Resumable' => '1.0.0'}} }
sub begin   { my ($length, $who) = @_; return $api->call(createVoiceSample => create($length, $who))->{json}{sampleId} }
sub far     { my ($id) = @_; my $h = $client->request(HEAD => "/v1/voice-samples/$id", {token => $ada->{token}, headers => {'Tus-Resumable' => '1.0.0'}}); return $h->{headers}{'upload-offset'} // "status $h->{status}" }
# Waiting asks the database: a slow machine must not use up the limits of the API.
sub row     { my ($service, $sql) = @_; return +($platform->sql($service, $sql))[0] // '' }
sub checked { my ($id, $who) = @_; wait_for(sub { row('narration', "select status from voice_samples where sample_id = '$id'") =~ /\A(?:ready|refused)\z/ }); return $api->call(getVoiceSample => sample($id, $who))->{json} }

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
# Narration is killed, and comes back at the hour of a schedule.
sub die_and_catch_up {
    my ($schedule) = @_;
    $platform->sql('narration', "update schedules set last_run = '-infinity' where name = '$schedule'");
    $platform->kill('narration', 'KILL');
    $platform->up;
}
my $socket = bring_some(2_500_000);
ok wait_for(sub { far($id) == $kept }), 'what comes is kept while the rest does not' or diag far($id);
begin(10, $eve) for 1 .. 10;
$api->fails(403, 'forbidden', createVoiceSample => create(10, $eve), 'nobody brings more than ten');
$platform->sql('narration', "update voice_samples set expires_at = now() - interval '1 s' where user_id = '$eve->{userId}'");
die_and_catch_up('expire_samples');
close $socket;
is far($id), $kept, 'whoever is killed';
ok wait_for(sub { row('narration', "select count(*) from voice_samples where user_id = '$eve->{userId}'") == 0 }), 'what is not brought in time is dropped';
$api->succeeds(201, createVoiceSample => create(10, $eve), 'which makes room');
$kept += 1048576;
$socket = bring_some(1_100_000);
ok wait_for(sub { far($id) == $kept }), 'it goes on from there' or diag far($id);
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
    ok wait_for(sub { !-e $platform->var . "/objects/narration/$other" }), 'with its file';
} else {
    SKIP: { skip 'npm could not fetch tus-js-client: no client of tus has been tried', 8 }
    ok wait_for(sub { my $at = far($id); $api->call(appendVoiceSample => bytes($id, $at, substr $wav, $at))->{status} == 204 }), 'it goes on to the end';
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
is row('narration', 'select count(*) from voice_sample_pieces'), 0, 'nothing else is left of it';
$api->fails(409, 'conflict', appendVoiceSample => bytes($id, 0, 'x'), 'nothing is added to it any more');
is_deeply [map { $_->{sampleId} } @{$api->succeeds(200, listVoiceSamples => {token => $ada->{token}}, 'samples are listed')->{json}{items}}], [$id], 'one is there';

my $text = begin(40);
$api->call(appendVoiceSample => bytes($text, 0, "#EXTM3U\nfile:///etc/passwd\n" . ' ' x 13));
my $refused = checked($text);
is $refused->{status}, 'refused', 'what is no sound is refused';
like $refused->{reason}, qr/no sound file/, 'and the reason is said';
$api->fails(404, 'not_found', getVoiceSampleAudio => sample($text), 'there is no sound of it');
# --- consent ---------------------------------------------------------------------------------------------------------

sub log_of { my $all = get("$dir/log"); put('log', ''); return [grep { !m{text-to-speech} } split /\n/, $all] }
sub voices { return [map { (split / /)[0] } split /\n/, get("$dir/voices")] }
sub profile { my ($profile, $who) = @_; return {path => {profileId => $profile}, token => ($who // $ada)->{token}} }
sub consent { my ($scope, $who) = @_; return $api->succeeds(200, getVoiceConsent => {query => {scope => $scope}, token => ($who // $ada)->{token}}, "what is agreed to: $scope")->{json} }
sub lend { my ($sample, $consent, $who) = @_; return {json => {sampleId => $sample, name => 'Evening', %$consent}, token => ($who // $ada)->{token}} }
sub status_of { my ($profile, $who) = @_; return $api->call(getVoiceProfile => profile($profile, $who))->{json} }
sub becomes { my ($profile, $status, $name, $who) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; wait_for(sub { row('narration', "select status from voice_profiles where profile_id = '$profile' and (status <> 'waiting' or reason is not null)") eq $status }); my $p = status_of($profile, $who); is $p->{status}, $status, $name or diag $p->{reason}; return $p }
# Another sample, all of it.
sub another { my ($who) = @_; my $new = begin($whole, $who); $api->call(appendVoiceSample => bytes($new, 0, $wav, $who)); is checked($new, $who)->{status}, 'ready', 'another sample'; return $new }

my $agreed = consent('own');
ok wait_for(sub { row('narration', 'select count(*) from provider_voices') }), 'the provider has been asked what voices there are';
is_deeply [grep { !m{^GET /v2/voices} } @{log_of()}], [], 'nobody outside has heard of the sample';
$api->fails(422, 'unprocessable', createVoiceProfile => lend($id, {%$agreed, statement => 'Yes.'}), 'consent is to the text', '/statement');
$api->fails(422, 'unprocessable', createVoiceProfile => lend($id, {%$agreed, version => '2001-01'}), 'that is in force', '/version');
$api->fails(422, 'unprocessable', createVoiceProfile => {json => {sampleId => $id, name => 'x'}, token => $ada->{token}}, 'and there is no voice without it', '/statement');
$api->fails(409, 'conflict', createVoiceProfile => lend($text, $agreed), 'nor of what was refused');
$api->fails(404, 'not_found', createVoiceProfile => lend($id, $agreed, $eve), 'nor of what is not yours');
put('faults', "reset\n");
my $lent = $api->succeeds(201, createVoiceProfile => lend($id, $agreed), 'a voice is lent')->{json};
my $profile = $lent->{profileId};
like $lent->{voiceId}, qr/^voice:[0-9a-f]{32}$/, 'it has a name';
$api->fails(409, 'conflict', createVoiceProfile => lend($id, $agreed), 'once');
my $given = row('narration', "select payload->>'userId', payload->>'scope', payload->>'version', payload->>'statementSha256' from events where event_type = 'VoiceConsentGiven' and payload->>'profileId' = '$profile'");
is $given, join("\t", $ada->{userId}, 'own', $agreed->{version}, Digest::SHA::sha256_hex($agreed->{statement})), 'who has agreed to what is recorded';

# --- the provider ----------------------------------------------------------------------------------------------------

becomes($profile, 'ready', 'the answer was lost: it is found by its name');
is_deeply [grep { /^POST/ } @{log_of()}], ['POST /v1/voices/add'], 'and was sent once';
is scalar(@{voices()}), 1, 'the provider knows it';
is get("$dir/samples"), $sound->{content}, 'by the sample that was kept, and nothing else';
$api->fails(404, 'not_found', getVoiceProfile => profile($profile, $eve), 'nobody else sees it');
$api->fails(404, 'not_found', deleteVoiceProfile => profile($profile, $eve), 'or takes it back');

my $story = $client->post('/v1/stories', json => {title => 'Lent', content => '“The tide is coming,” said Mary. “Run,” said Tom.'}, token => $ada->{token})->{json}{storyId};
sub of { my ($who, %more) = @_; return {path => {storyId => $story}, token => $who->{token}, %more} }
sub narrated { my ($old) = @_; return wait_for(sub { my $n = $api->call(getNarration => of($ada))->{json}; $n = $n->{next} // $n; ($n->{narrationId} // $old) ne $old && $n->{status} ne 'pending' && $n }) || {status => 'never'} }
sub speaker { my ($n, $who) = @_; return +(map { $_->{voiceId} } grep { ($_->{character} // '') eq $who } @{$n->{voices}})[0] // 'nobody' }
sub change { my ($json, $who) = @_; my $etag = $api->call(getCast => of($ada))->{headers}{etag}; return of($who // $ada, json => $json, headers => {'If-Match' => $etag}) }
my $first = narrated('');
is $first->{status}, 'ready', 'a story is told';
ok scalar(grep { $_->{voiceId} eq $lent->{voiceId} && $_->{description} eq 'Evening' } @{$api->succeeds(200, listVoices => {token => $ada->{token}}, 'voices are listed')->{json}{items}}), 'with the own one';
ok !scalar(grep { $_->{voiceId} eq $lent->{voiceId} } @{$api->call(listVoices => {token => $eve->{token}})->{json}{items}}), 'which others do not have';
my $preview = $api->succeeds(202, previewVoice => {path => {voiceId => $lent->{voiceId}}, json => {text => 'Hello.'}, token => $ada->{token}}, 'it can be tried')->{json}{previewId};
ok wait_for(sub { $api->call(getVoicePreview => {path => {previewId => $preview}, token => $ada->{token}})->{json}{status} eq 'ready' }), 'and speaks';
$api->fails(404, 'not_found', previewVoice => {path => {voiceId => $lent->{voiceId}}, json => {text => 'Hello.'}, token => $eve->{token}}, 'not for others');
$api->succeeds(200, changeCast => change({characters => [{character => 'Mary', voiceId => $lent->{voiceId}}]}), 'Mary gets it');
$api->succeeds(202, narrateStory => of($ada, json => {}), 'and speaks');
my $spoken = narrated($first->{narrationId});
is speaker($spoken, 'Mary'), $lent->{voiceId}, 'with it' or diag $spoken->{reason};
is $client->get($spoken->{audio}[0]{url}, token => $ada->{token})->{status}, 200, 'so it can be heard';
sub films { return row('video', "select count(*) from video_jobs where narration_id = '$spoken->{narrationId}'") }
ok wait_for(\&films, 60), 'and is filmed';

# Its files are being made, of which one is nobody's: it was taken back meanwhile.
sub export_of { my ($format, $when) = @_; return "insert into jobs (name, unique_key, payload, metadata, run_at, delayed) values ('export', '$spoken->{narrationId}/$format', '{\"narrationId\": \"$spoken->{narrationId}\", \"format\": \"$format\"}', '{}', $when, true)" }
sub export_state { my ($format) = @_; return row('narration', "select state from jobs where unique_key = '$spoken->{narrationId}/$format'") }
$platform->sql('narration', export_of('m4b', 'now()'));
ok wait_for(sub { export_state('m4b') eq 'done' }), 'a file is made that nobody wants any more';
ok !-e $platform->var . "/objects/narration/$spoken->{narrationId}/story.m4b", 'and not kept';
$platform->sql('narration', export_of('epub', "now() + interval '1 hour'"));

# --- taken back ------------------------------------------------------------------------------------------------------

put('faults', "500\n429\n");
$api->succeeds(204, deleteVoiceProfile => profile($profile), 'it is taken back');
is $client->get($spoken->{audio}[0]{url}, token => $ada->{token})->{status}, 404, 'what it has spoken is not heard any more';
ok wait_for(sub { !films() }), 'nor seen';
is export_state('epub'), 'cancelled', 'nor put into a file';
$api->fails(404, 'not_found', getVoicePreview => {path => {previewId => $preview}, token => $ada->{token}}, 'not even when it was tried');
my $other = narrated($spoken->{narrationId});
is $other->{status}, 'ready', 'it is spoken anew' or diag $other->{reason};
is speaker($other, 'Mary'), speaker($first, 'Mary'), 'by the voice that Mary had before';
ok wait_for(sub { !@{voices()} }), 'the provider has forgotten it, though it did not answer at first' or diag @{log_of()};
$api->fails(404, 'not_found', getVoiceSample => sample($id), 'its sample is gone');
ok wait_for(sub { !-e $platform->var . "/objects/narration/$id" }), 'with the file';
my $past = status_of($profile);
is_deeply [@{$past}{qw(status name)}], ['withdrawn', ''], 'what remains is that it was lent';
ok $past->{consent}{givenAt} && $past->{consent}{withdrawnAt}, 'from when to when';
is row('narration', "select count(*) from events where event_type = 'VoiceConsentWithdrawn' and payload->>'profileId' = '$profile' and payload->>'reason' = 'withdrawn'"), 1, 'and the record says so';
$api->fails(422, 'unprocessable', changeCast => change({narrator => $lent->{voiceId}}), 'nobody speaks with it again', '/narrator');

# --- no place, no answer, no key ---------------------------------------------------------------------------------------

put('slots', 0);
my $sample = another($ada);
my $full = $api->succeeds(201, createVoiceProfile => lend($sample, consent('collaborations')), 'another voice')->{json}{profileId};
like becomes($full, 'waiting', 'waits while the provider has no place')->{reason}, qr/no place/, 'and says so';
unlink "$dir/slots";
die_and_catch_up('keep_voices');
becomes($full, 'ready', 'until it has');
$platform->sql('narration', "update voice_profiles set status = 'sent', provider_voice = null where profile_id = '$full'");
log_of();
die_and_catch_up('keep_voices');
becomes($full, 'ready', 'who was killed before the answer finds it again');
ok !scalar(grep { /^POST/ } @{log_of()}), 'and does not send it twice';

my $stand_by = 'voice:' . $full =~ tr/-//dr;
$api->succeeds(200, changeCast => change({narrator => 'elevenlabs:nobody', narratorFallback => $stand_by}), 'a voice that was lent is to speak when another cannot');
$api->succeeds(202, narrateStory => of($ada, json => {}), 'which cannot');
my $stood_by = narrated($other->{narrationId});
is_deeply [@{$stood_by->{voices}[0]}{qw(voiceId insteadOf)}], [$stand_by, 'elevenlabs:nobody'], 'it does' or diag $stood_by->{next}{reason} // $stood_by->{reason};

# --- voices that the account has anyway --------------------------------------------------------------------------------

die_and_catch_up('list_voices');
my $all;
ok wait_for(sub { $all = $api->call(listVoices => {token => $ada->{token}})->{json}{items}; grep { $_->{voiceId} eq 'elevenlabs:21m00Tcm4TlvDq8ikWAM' } @$all }), 'the voices of the account are listed';
is_deeply [map { [@$_{qw(voiceId gender age description)}] } grep { $_->{voiceId} =~ /^elevenlabs:/ } @$all],
    [['elevenlabs:JBFqnCBsd6RMkjVDRZzb', 'male', 'old', 'George'], ['elevenlabs:21m00Tcm4TlvDq8ikWAM', 'female', 'adult', 'Rachel']], 'all of them, but none that somebody has lent';
$api->succeeds(202, previewVoice => {path => {voiceId => 'elevenlabs:21m00Tcm4TlvDq8ikWAM'}, json => {text => 'nuqneH.', language => 'tlh'}, token => $ada->{token}}, 'they speak what ours do not');
is_deeply [grep { $_->{provider} eq 'embedded' } @{$api->succeeds(200, listVoices => {token => $ada->{token}, query => {language => 'tlh'}}, 'their languages are listed')->{json}{items}}], [], 'and nobody else does';
my $foreign = $client->post('/v1/stories', json => {title => 'Far', language => 'tlh', content => 'nuqneH. tlhIngan maH!'}, token => $ada->{token})->{json}{storyId};
sub far_off { return {path => {storyId => $foreign}, token => $ada->{token}, @_} }
sub heard_far { my ($old) = @_; return wait_for(sub { my $n = $api->call(getNarration => far_off())->{json}; ($n->{narrationId} // $old) ne $old && $n->{status} ne 'pending' && $n }) || {} }
my $silent = heard_far('');
like $silent->{reason}, qr/No voice speaks the language/, 'a story in such a language is not heard';
$api->succeeds(200, changeCast => far_off(json => {narrator => 'elevenlabs:21m00Tcm4TlvDq8ikWAM'}, headers => {'If-Match' => $api->call(getCast => far_off())->{headers}{etag}}), 'until one of them is chosen');
$api->succeeds(202, narrateStory => far_off(json => {}), 'to tell it');
my $far_heard = heard_far($silent->{narrationId});
is $far_heard->{status}, 'ready', 'then it is' or diag $far_heard->{reason};

# --- lent to others ----------------------------------------------------------------------------------------------------

my $tale = $client->post('/v1/stories', json => {title => 'Theirs', content => '“Come in,” said Alice. “Thank you,” said Bob.'}, token => $eve->{token})->{json}{storyId};
my $room = $client->post('/v1/collaborations', json => {storyId => $tale}, token => $eve->{token})->{json}{collaborationId};
$client->post("/v1/collaborations/$room/invitations", json => {email => $ada->{email}, role => 'voice'}, token => $eve->{token});
$client->post('/v1/invitations/accept', json => {token => code_of($client->wait_for_mail($ada->{email}, qr/Theirs/))}, token => $ada->{token});
sub part { my ($names, $who) = @_; return {path => {collaborationId => $room, userId => $ada->{userId}}, json => {characters => $names}, token => ($who // $eve)->{token}} }
sub their { my ($old) = @_; return wait_for(sub { my $n = $client->get("/v1/stories/$tale/narration", token => $eve->{token})->{json}; $n = $n->{next} // $n; ($n->{narrationId} // $old) ne $old && $n->{status} ne 'pending' && $n }) || {status => 'never'} }
my $before = their('');
is $before->{status}, 'ready', 'somebody else has a story';
ok wait_for(sub { row('collaboration', "select characters from stories where story_id = '$tale'") =~ /Alice/ }), 'whoever is in it can be given to those who take part';
$api->fails(422, 'unprocessable', assignCharacters => part(['Nobody']), 'and nobody else', '/characters');
$api->fails(404, 'not_found', assignCharacters => part(['Alice'], $ada), 'by the host alone');
my $given_part = $api->succeeds(200, assignCharacters => part(['Alice']), 'Alice is given')->{json}{participants}[0];
is_deeply [@$given_part{qw(characters voice)}], [['Alice'], 'ready'], 'to somebody whose voice is there';
my $theirs = their($before->{narrationId});
like speaker($theirs, 'Alice'), qr/^voice:/, 'then it is told with it' or diag $theirs->{reason};
is speaker($theirs, 'Bob'), speaker($before, 'Bob'), 'and the others speak as before';
ok wait_for(sub { row('video', qq(select "character" from story_readers where story_id = '$tale' and user_id = '$ada->{userId}')) eq 'Alice' }), 'its film will name who spoke Alice';

# A story that is deleted and restored is its author's alone: nobody else's voice comes back with it.
my $binned = $client->post('/v1/stories', json => {title => 'Binned', content => '“Good night,” said Carol.'}, token => $eve->{token})->{json}{storyId};
sub binned { my ($old) = @_; return wait_for(sub { my $n = $client->get("/v1/stories/$binned/narration", token => $eve->{token})->{json}; ($n->{narrationId} // $old) ne $old && $n->{status} ne 'pending' && $n }) || {status => 'never'} }
my $early = binned('');
$platform->sql('narration', "update casts set fallback = voice, voice = '$stand_by', chosen = true where story_id = '$binned' and \"character\" = 'Carol'");
is $client->delete("/v1/stories/$binned", token => $eve->{token})->{status}, 204, 'a story is deleted';
ok wait_for(sub { row('narration', "select count(*) from stories where story_id = '$binned'") == 0 }), 'which narration hears';
$api->succeeds(200, restoreStory => {path => {storyId => $binned}, token => $eve->{token}}, 'and restored');
my $late = binned($early->{narrationId});
is_deeply [map { [@$_{qw(voiceId insteadOf)}] } grep { ($_->{character} // '') eq 'Carol' } @{$late->{voices}}], [[speaker($early, 'Carol'), undef]], 'without the voice of who took part' or diag explain $late;

is $client->delete('/v1/me', token => $ada->{token})->{status}, 204, 'who closes the account';
ok wait_for(sub { !@{voices()} }), 'takes all voices back';
my $last = their($theirs->{narrationId});
is speaker($last, 'Alice'), speaker($before, 'Alice'), 'Alice has the voice again that she had';
is_deeply [$platform->sql('narration', "select profile_id from voice_profiles union all select sample_id from voice_samples where user_id = '$ada->{userId}'")], [], 'nothing is left of them';

is_deeply [$platform->stop], [], 'everything stops by itself, and no sanitizer has anything to report';

done_testing;
