# Voices of a provider outside, which a stand-in is: one call for each changed segment, no voice that nobody has chosen.
use strict;
use warnings;
use File::Temp qw(tempdir);
use IO::Socket::INET;
use JSON::PP qw(decode_json encode_json);
use MIME::Base64 qw(encode_base64);
use Test::More;
use Storytelling::Platform;
use Storytelling::Client;
use Storytelling::Contract;

# --- the stand-in: POST /audio/speech answers with a tone of 60 ms for each character, or refuses; ElevenLabs below /eleven

my $dir    = tempdir(CLEANUP => 1);
chmod 0755, $dir;    # for the daemon
my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 20) or die "no port: $!\n";
my $url    = 'http://127.0.0.1:' . $server->sockport;

sub put { my ($name, $text, $mode) = @_; open my $f, $mode // '>', "$dir/$name" or die "$dir/$name: $!\n"; print $f $text; close $f }
sub get { my ($name) = @_; open my $f, '<', "$dir/$name" or return ''; local $/; return scalar <$f> // '' }

sub tone { my ($text) = @_; return join '', map { pack 's<*', map { 8000 * sin $_ / 8 } 1 .. 1440 } 1 .. length($text // '') }

# ElevenLabs: away for as many calls as the file of that name says.
sub eleven {
    my ($head, $request) = @_;
    return ('200 OK', encode_json({voices => [], has_more => JSON::PP::false})) if $head !~ m{/text-to-speech/(\w+)/};
    put('said', "$1: $request->{text}\n", '>>');
    my $away = get('away') || 0;
    return ('200 OK', encode_json({audio_base64 => encode_base64(tone($request->{text}), ''), alignment => undef})) if !$away;
    put('away', $away - 1);
    return ('503 Away', '{"detail":"away"}');
}

sub answer {
    my ($socket) = @_;
    my ($head, $body) = ('', '');
    while (my $line = <$socket>) { last if $line eq "\r\n"; $head .= $line }
    read $socket, $body, $1 if $head =~ /^content-length: (\d+)/mi;
    my $request = eval { decode_json($body) } // {};
    return reply($socket, eleven($head, $request)) if $head =~ m{^\w+ /eleven/};
    put('said', "$request->{voice}: $request->{input}\n", '>>');
    my ($status, $answer) = ('200 OK', tone($request->{input}));
    ($status, $answer) = ('429 Slow', '{"error":{"message":"no","type":"insufficient_quota","code":"insufficient_quota"}}') if get('mode') eq 'quota';
    $answer = "\0" x length $answer if get('mode') eq 'silence';
    ($status, $answer) = ("429 Later\r\nRetry-After: 600", '{"error":{"message":"later","type":"requests","code":"rate_limit_exceeded"}}') if get('mode') eq 'later';
    put('mode', $1) if get('mode') =~ /^one, then (.*)/;
    return if get('mode') eq 'hang up';
    while (get('mode') eq 'slow') { select undef, undef, undef, 0.1 }
    if (get('mode') eq 'cut once') { $answer = substr $answer, 0, 2 * int(length($answer) / 12); put('mode', '') }
    reply($socket, $status, $answer);
}

sub reply { my ($socket, $status, $answer) = @_; print $socket "HTTP/1.1 $status\r\nConnection: close\r\nContent-Length: " . length($answer) . "\r\n\r\n$answer" }

my $pid = fork // die "fork: $!\n";
if (!$pid) {
    while (my $socket = $server->accept) { answer($socket); close $socket }
    POSIX::_exit(0);
}
END { local $?; kill 'KILL', $pid if $pid; waitpid $pid, 0 if $pid }

put('key', 'sk-stand-in');
put('mode', '');

# --- a story told by it ---------------------------------------------------------------------------------------------------

my $platform = Storytelling::Platform->start(env => {
    ST_OPENAI_URL => $url, ST_OPENAI_KEY_FILE => "$dir/key", ST_SPEECH_TIERS => 'free:embedded,openai,elevenlabs premium:embedded',
    ST_ELEVENLABS_URL => "$url/eleven", ST_ELEVENLABS_KEY_FILE => "$dir/key",
});
my $client = $platform->client;
my $api    = Storytelling::Contract->new($platform, $client);
my $user   = $client->register_user;
my $story  = $client->post('/v1/stories', json => {title => 'Outside', content => "The wind rose. The sea was dark.\n\nNobody came."}, token => $user->{token})->{json}{storyId};

sub of { my (%more) = @_; return {path => {storyId => $story}, token => $user->{token}, %more} }
sub said { my @lines = split /\n/, get('said'); put('said', ''); @lines = sort @lines; return @lines }

# The newest narration once it has come to an end and is another than $old.
sub next_narration {
    my ($old) = @_;
    return wait_for(sub {
        my $n = $api->call(getNarration => of())->{json};
        $n = $n->{next} // $n;
        return ($n->{narrationId} // '') ne $old && $n->{status} ne 'pending' && $n;
    });
}
sub choose {
    my ($change, $name) = @_;
    my $etag = $api->call(getCast => of())->{headers}{etag};
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $api->succeeds(200, changeCast => of(json => $change, headers => {'If-Match' => $etag}), $name)->{json};
}
sub again {
    my ($old, @segments) = @_;
    $api->succeeds(202, narrateStory => of(json => {again => \@segments}), 'it is narrated again');
    return next_narration($old);
}

# The characters that usage counts for a narration; those for all of them, as was told, and as it has them.
sub counted { my ($n) = @_; return +($platform->sql('narration', "select payload->>'narrationCharacters' from events where payload ? 'narrationCharacters' and aggregate_id = '$n->{narrationId}'"))[0] }
sub told { return +($platform->sql('narration', "select sum((payload->>'narrationCharacters')::int) from events"))[0] }
sub used { return map { $_->{used} } grep { $_->{metric} eq 'narrationCharacters' } @{$api->call(getUsage => {token => $user->{token}})->{json}{metrics}} }

my $first = next_narration('');
is $first->{status}, 'ready', 'a story is narrated by embedded voices';
is scalar(my @none = said()), 0, 'nobody is paid for what nobody has chosen';
ok scalar(grep { $_->{voiceId} eq 'openai:nova' && $_->{provider} eq 'openai' } @{$api->succeeds(200, listVoices => {token => $user->{token}}, 'voices are listed')->{json}{items}}),
    'those of the provider among them';
is choose({narrator => 'openai:nova', narratorFallback => 'woman-2'}, 'the narrator is to be one of them')->{narrator}{fallbackVoiceId}, 'woman-2', 'with another to fall back to';

my $remote = again($first->{narrationId});
is $remote->{status}, 'ready', 'it speaks' or diag $remote->{reason};
is $remote->{voices}[0]{voiceId}, 'openai:nova', 'as was chosen';
is_deeply [said()], [map { "nova: $_" } 'Nobody came.', 'The wind rose. The sea was dark.'], 'a call for each segment';
my ($paid) = $platform->sql('narration', "select count(*), sum(units), sum(price_micros) from provider_calls where outcome = 'ok'");
is $paid, "2\t44\t660", 'each with its price';

my $edit = $client->patch("/v1/stories/$story", json => {content => "The wind rose. The sea was grey.\n\nNobody came."}, token => $user->{token}, headers => {'If-Match' => '*'});
is $edit->{status}, 200, 'a sentence changes';
my $edited = next_narration($remote->{narrationId});
is $edited->{status}, 'ready', 'and is narrated';
is_deeply [said()], ['nova: The wind rose. The sea was grey.'], 'by one call';
is $edited->{cachedShare}, 0.5, 'all else had been spoken before';
is_deeply [map { counted($_) } $remote, $edited], [44, 32], 'and is not counted twice';

# --- sound that is not all of it ------------------------------------------------------------------------------------------

my $segment = $edited->{segments}[0]{segmentId};
put('mode', 'cut once');
my $mended = again($edited->{narrationId}, $segment);
is $mended->{voices}[0]{voiceId}, 'openai:nova', 'a sound that was cut' or diag $mended->{reason};
is_deeply [said()], [('nova: The wind rose. The sea was grey.') x 2], 'is asked for once more';
cmp_ok $mended->{segments}[0]{endMs} - $mended->{segments}[0]{startMs}, '>', 1800, 'and heard to its end';
put('mode', 'silence');
my $mute = again($mended->{narrationId}, $segment);
is_deeply [@{$mute->{voices}[0]}{qw(voiceId insteadOf)}], ['woman-2', 'openai:nova'], 'who is silent counts as one who is not there';
is scalar(my @tries = said()), 3, 'after a few tries';

# --- an edit that changes the mood ----------------------------------------------------------------------------------------

# What stands beside the changed sentence is read in another mood with it: by the same call.
put('mode', '');
choose({narrator => 'openai:nova'}, 'the narrator speaks on');
my $calm = join ' ', map { "The $_ stood beside the road that led from the village down to the river." }
    qw(mill barn inn chapel school forge bakery tannery cottage);
is $client->patch("/v1/stories/$story", json => {content => $calm}, token => $user->{token}, headers => {'If-Match' => '*'})->{status}, 200, 'a long paragraph';
my $even = next_narration($mute->{narrationId});
is $even->{status}, 'ready', 'is narrated' or diag $even->{reason};
my @even = said();
cmp_ok scalar(@even), '<', 9, 'by fewer calls than it has sentences';
my $afraid = $calm =~ s/forge stood/forge stood, in terrible fear and horror,/r;
is $client->patch("/v1/stories/$story", json => {content => $afraid}, token => $user->{token}, headers => {'If-Match' => '*'})->{status}, 200, 'one of its sentences gets a mood';
my $feared = next_narration($even->{narrationId});
is $feared->{status}, 'ready', 'and is narrated' or diag $feared->{reason};
my @moody = said();
ok scalar(grep { /in terrible fear/ } @moody), 'with what is new';
cmp_ok scalar(@moody), '<=', 2, 'by one call, or two where a border moves' or diag explain \@moody;
my ($terrible) = grep { $_->{text} =~ /terrible/ } @{$client->get("/v1/stories/$story/analysis", token => $user->{token})->{json}{segments}};
is $terrible->{emotion}, 'fear', 'in its mood';
$mute = $feared;
$segment = $mute->{segments}[0]{segmentId};
choose({narrator => 'openai:nova', narratorFallback => 'woman-2'}, 'there is another to fall back to');

# --- the provider is not to be had ----------------------------------------------------------------------------------------

put('mode', 'quota');
my $fallen = again($mute->{narrationId}, $segment);
is $fallen->{status}, 'ready', 'the account is used up: it is narrated all the same' or diag $fallen->{reason};
is_deeply [@{$fallen->{voices}[0]}{qw(voiceId insteadOf)}], ['woman-2', 'openai:nova'], 'by the voice that the author has mapped, and says so';
ok scalar(my @asked = said()), 'the provider was asked';

choose({narrator => 'openai:nova'}, 'now without a fallback');
my $refused = again($fallen->{narrationId}, $segment);
is $refused->{status}, 'failed', 'without one there is no narration';
like $refused->{reason}, qr/openai:nova of the narrator is not to be had.*used up.*fallback/, 'the reason says what to do';

my $heard = $api->call(getNarration => of())->{json};
is_deeply [@$heard{qw(status narrationId)}, $heard->{next}{narrationId}], ['ready', $fallen->{narrationId}, $refused->{narrationId}], 'and the one before is heard';

# It is away for some seconds, and is waited for; nobody else's voice takes its place.
put('mode', '');
$platform->sql('narration', "update providers set failures = 0, open_until = now() + interval '5 seconds' where provider = 'openai_speech'");
my $patient = again($refused->{narrationId}, $segment);
is_deeply [$patient->{status}, $patient->{voices}[0]{voiceId}, $patient->{voices}[0]{insteadOf}], ['ready', 'openai:nova', undef], 'a provider that is away is waited for'
    or diag $patient->{reason};

# It asks to be left alone for ten minutes: that spends no attempt, and nobody is asked meanwhile; after a day it is given up.
sub let_wait {
    my ($mode, $what, $calls) = @_;
    put('mode', $mode);
    said();
    $api->succeeds(202, narrateStory => of(json => $what), 'it asks for ten minutes');
    waits($calls);
}
sub waits {
    my ($calls, $waits) = @_;
    my ($job) = wait_for(sub { ($platform->sql('narration', "select round(extract(epoch from run_at - now()) / 60), attempts, payload->'away'->'openai'->>'waits' from jobs where name = 'speak' and state = 'waiting' and run_at > now() + interval '1 minute'"))[0] });
    is $job, "10\t0\t" . ($waits // 1), 'which it gets';
    is scalar(my @calls = said()), $calls, 'it is not asked any more';
    my $next = $api->call(getNarration => of())->{json}{next};
    is $next->{status}, 'pending', 'and the narration is still to come';
    like $next->{reason}, qr/openai:nova of the narrator is not to be had.*asked again/, 'as its author can read';
}

sub go_on { $platform->sql('narration', "update jobs set run_at = now()$_[0] where name = 'speak' and state = 'waiting'") }
sub away_for {    # what the job knows of a provider
    my ($provider, $seconds, %more) = @_;
    my $known = "jsonb_build_object('since', (extract(epoch from now()) * 1000)::bigint - $seconds * 1000) || '" . encode_json(\%more) . "'";
    return ", payload = jsonb_set(payload, '{away,$provider}', payload->'away'->'$provider' || $known)";
}
sub is_back { put('mode', $_[0]); $platform->sql('narration', "update providers set failures = 0, open_until = null, pause_until = null where provider = 'openai_speech'") }
let_wait('one, then later', {all => JSON::PP::true}, 2);
is_back('one, then later');
go_on(away_for(openai => 86400, waits => 7));
waits(2);
is_back('');
go_on('');
my $waited = next_narration($patient->{narrationId});
is_deeply [$waited->{status}, $waited->{voices}[0]{voiceId}], ['ready', 'openai:nova'], 'then it speaks' or diag $waited->{reason};
is $waited->{cachedShare}, 0, 'what it had said before it asked is part of that';
my $all = 0;
$all += length $_->{text} for @{$client->get("/v1/stories/$story/analysis", token => $user->{token})->{json}{segments}};
is counted($waited), $all, 'and counted';

# The daemon ends while it speaks: who goes on finds it in the cache, and it is counted.
put('mode', 'slow');
$api->succeeds(202, narrateStory => of(json => {all => JSON::PP::true}), 'it speaks slowly');
ok wait_for(sub { get('said') }), 'and has begun';
my $daemon = $platform->pid('narration');
$platform->kill('narration', 'TERM');
put('mode', '');
ok wait_for(sub { !-d "/proc/$daemon" }), 'when the daemon ends';
$platform->up;
my $resumed = next_narration($waited->{narrationId});
is_deeply [$resumed->{status}, counted($resumed)], ['ready', $all], 'another goes on, and what was said is counted';
$platform->sql('narration', "update narrations set status = 'failed' where narration_id = '$resumed->{narrationId}'");
my $withdrawn = $resumed->{narrationId};
$resumed = again($withdrawn);
is_deeply [$resumed->{status}, counted($resumed)], ['ready', 0], 'once, whatever becomes of that narration';

# A voice says some, and its fallback all: that is not more than all.
choose({narrator => 'openai:nova', narratorFallback => 'man-2'}, 'there is another');
put('mode', 'one, then quota');
$api->succeeds(202, narrateStory => of(json => {all => JSON::PP::true}), 'it says some of it');
my $halved = next_narration($resumed->{narrationId});
is_deeply [@{$halved->{voices}[0]}{qw(voiceId insteadOf)}], ['man-2', 'openai:nova'], 'before its account is used up' or diag $halved->{reason};
is $halved->{cachedShare}, 0, 'and the other says everything';
cmp_ok counted($halved), '<=', $all, 'which is counted once';
choose({narrator => 'openai:nova'}, 'now without');
is_back('');
$waited = $halved;
said();

# It is waited for, and the text changes: whoever finds in the cache what was spoken pays for it.
let_wait('one, then later', {all => JSON::PP::true}, 2);
my ($kept, $stale) = split /\t/, ($platform->sql('narration', "select spoken_characters, narration_id from narrations where story_id = '$story' order by narration_id desc limit 1"))[0];
cmp_ok $kept, '>', 0, 'some of it was spoken';
is_back('');
said();
my $changed = again($waited->{narrationId});
is_deeply [$changed->{status}, counted($changed)], ['ready', $all], 'the next one counts what was spoken for it and before' or diag $changed->{reason};
cmp_ok length join('', map { s/^nova: //r } said()), '<', $all, 'which it was not itself';
$platform->sql('narration', "select jobs_retry(job_id) from jobs where unique_key = '$stale' and ended = 'cancelled'");
ok wait_for(sub { ($platform->sql('narration', "select count(*) from jobs where unique_key = '$stale' and ended is null"))[0] == 0 }), 'the one that was cancelled begins once more';
is +($platform->sql('narration', "select status from narrations where narration_id = '$stale'"))[0], 'pending', 'and nobody speaks what has changed since';
$waited = $changed;

# Its account is used up when it has said some: what was spoken for a narration that fails is counted with that.
put('mode', 'one, then quota');
$api->succeeds(202, narrateStory => of(json => {all => JSON::PP::true}), 'it says some of it');
my $broken = next_narration($waited->{narrationId});
is $broken->{status}, 'failed', 'and no more' or diag $broken->{status};
cmp_ok counted($broken), '>', 0, 'which is counted';
is_back('');
my $whole = again($broken->{narrationId});
is_deeply [$whole->{status}, counted($whole)], ['ready', $all - counted($broken)], 'and the rest with the next one';
ok wait_for(sub { my ($used) = used(); $used == told() }), 'nothing is counted twice' or diag join ' ', used(), told();
$waited = $whole;
let_wait('later', {again => [$segment]}, 1);
go_on(away_for(openai => 86400));
my $over = next_narration($waited->{narrationId});
is $over->{status}, 'failed', 'nobody is waited for longer than a day';
like $over->{reason}, qr/openai:nova of the narrator is not to be had/, 'and it is said who';

# It hangs up: what may have been done, and charged, is asked for again some times.
is_back('hang up');
$api->succeeds(202, narrateStory => of(json => {again => [$segment]}), 'it does not answer');
is wait_for(sub { ($platform->sql('narration', "select payload->'away'->'openai'->>'unanswered' from jobs where name = 'speak' and state = 'waiting'"))[0] }), 1, 'which is counted';
is_back('hang up');
go_on(away_for(openai => 1, unanswered => 9));
$over = next_narration($over->{narrationId});
is $over->{status}, 'failed', 'until it is enough' or diag $over->{status};
is_back('later');
choose({narrator => 'openai:nova', narratorFallback => 'woman-2'}, 'whoever has mapped another voice');
my $replaced = again($over->{narrationId}, $segment);
is_deeply [@{$replaced->{voices}[0]}{qw(voiceId insteadOf)}], ['woman-2', 'openai:nova'], 'hears it at once when the wait is known to be long';

# A story is deleted while its narration waits for the rest.
choose({narrator => 'openai:nova'}, 'without another it is waited for');
is_back('one, then later');
let_wait('one, then later', {all => JSON::PP::true}, 2);
my ($begun, $unmade) = split /\t/, ($platform->sql('narration', "select spoken_characters, narration_id from narrations where story_id = '$story' order by narration_id desc limit 1"))[0];
is $client->delete("/v1/stories/$story", token => $user->{token})->{status}, 204, 'the story is deleted';
is wait_for(sub { counted({narrationId => $unmade}) }), $begun, 'what was spoken for it is counted';
ok wait_for(sub { my ($used) = used(); $used == told() }), 'once' or diag join ' ', used(), told();
is_back('');
$story = $client->post('/v1/stories', json => {title => 'Another', content => 'The wind rose.'}, token => $user->{token})->{json}{storyId};

# Two of them, each with a wait of its own: one has asked for ten minutes, or been away for two, and the voice of the other
# is back in a moment.
my $narrated = $story;
$story = $client->post('/v1/stories', json => {title => 'Both', content => "\"Stop!\" shouted Mary angrily.\n\nThe wind rose."}, token => $user->{token})->{json}{storyId};
my $alone = next_narration('');
choose({narrator => 'openai:nova', characters => [{character => 'Mary', voiceId => 'elevenlabs:mary', fallbackVoiceId => 'woman-2'}]}, 'two providers speak');
$platform->sql('narration', "update providers set pause_until = now() + interval '10 minutes' where provider = 'openai_speech'");
put('away', 4);
let_wait('', {}, 5);
$platform->sql('narration', "insert into takes (story_id, segment_id) select distinct '$story'::uuid, s->>'segmentId' from narrations, jsonb_array_elements(segments) s where story_id = '$story' on conflict (story_id, segment_id) do update set take = takes.take + 1");
put('away', 4);
go_on(away_for(openai => 120));
waits(5, 2);
is_back('');
go_on('');
my $both = next_narration($alone->{narrationId});
is_deeply [map { [@$_{qw(character voiceId insteadOf)}] } @{$both->{voices}}], [[undef, 'openai:nova', undef], ['Mary', 'elevenlabs:mary', undef]], 'no fallback speaks for the wait of another'
    or diag $both->{reason};

# A voice and its fallback are both away: what is known of each is kept, until it is enough.
choose({narrator => 'openai:nova', narratorFallback => 'elevenlabs:mary', characters => [{character => 'Mary', voiceId => 'woman-2'}]}, 'one takes the place of the other');
$platform->sql('narration', "update providers set open_until = now() + interval '30 seconds' where provider in ('openai_speech', 'elevenlabs_speech')");
sub waits_for {
    my ($providers, $what) = @_;
    my $known = "select string_agg(key || ' ' || coalesce(value->>'waits', '0'), ', ' order by key) from jobs, jsonb_each(case jsonb_typeof(payload->'away') when 'object' then payload->'away' end) where name = 'speak' and state = 'waiting'";
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok wait_for(sub { (($platform->sql('narration', $known))[0] // '') eq $providers }), $what or diag $platform->sql('narration', $known);
}
$api->succeeds(202, narrateStory => of(json => {all => JSON::PP::true}), 'both are away');
waits_for('openai 1', 'one is waited for');
go_on(q(, payload = payload || '{"away": "openai", "awaySince": 1, "waits": 7, "unanswered": 9}'));
waits_for('openai 1', 'by a job of before, too');
go_on(away_for(openai => 120));
waits_for('elevenlabs 1, openai 1', 'then the other');
go_on('');
waits_for('elevenlabs 2, openai 1', 'for longer each time');
go_on(away_for(elevenlabs => 86400));
my $neither = next_narration($both->{narrationId});
is $neither->{status}, 'failed', 'and not for ever';
like $neither->{reason}, qr/elevenlabs:mary of the narrator is not to be had/, 'who is not there is said';
is_back('');
$story = $narrated;

# --- previews -------------------------------------------------------------------------------------------------------------

sub preview { my ($voice) = @_; return (previewVoice => {path => {voiceId => $voice}, token => $user->{token}, json => {text => 'Hello.'}}) }
$platform->sql('narration', "insert into blocks values ('$user->{userId}', now() + interval '1 day')");
$api->fails(402, 'payment_required', preview('openai:nova'), 'whose characters are used up does not hear voices that cost');
$api->succeeds(202, preview('girl-1'), 'but others');
$platform->sql('narration', 'delete from blocks');
sub becomes { my ($preview, $status) = @_; return wait_for(sub { $api->call(getVoicePreview => {path => {previewId => $preview}, token => $user->{token}})->{json}{status} eq $status }) }
put('mode', 'slow');
my ($slow, $quick) = map { $api->succeeds(202, preview($_), "$_ is to be heard")->{json}{previewId} } 'openai:nova', 'girl-2';
ok becomes($quick, 'ready'), 'who waits for a slow provider does not hold up others';
ok becomes($slow, 'pending'), 'and waits';
put('mode', '');
ok becomes($slow, 'ready'), 'until it answers';
$platform->sql('narration', "update providers set open_until = now() + interval '1 second' where provider = 'openai_speech'");
$slow = $api->succeeds(202, previewVoice => {path => {voiceId => 'openai:nova'}, token => $user->{token}, json => {text => 'Are you there?'}}, 'it is away for a moment')->{json}{previewId};
is wait_for(sub { my $s = $api->call(getVoicePreview => {path => {previewId => $slow}, token => $user->{token}})->{json}{status}; $s ne 'pending' && $s }), 'ready', 'a preview is tried again, too';

# --- who may have it ------------------------------------------------------------------------------------------------------

$platform->set_tier($user, 'premium');
ok wait_for(sub {
    my $etag = $api->call(getCast => of())->{headers}{etag};
    $api->call(changeCast => of(json => {narrator => 'openai:nova'}, headers => {'If-Match' => $etag}))->{status} == 402;
}), 'a tier without that provider may not choose its voices';
my $metrics = $platform->run('curl', '-s', '--unix-socket', $platform->var . '/run/narration.sock', 'http://x/metrics');
like $metrics->{out}, qr/^storytelling_provider_calls_total\{service="narration",provider="openai_speech",outcome="quota"\} [1-9]/m, 'calls are counted';
unlike $metrics->{out} . $platform->sql('narration', 'select * from provider_calls'), qr/sk-stand-in/, 'the key is nowhere';

done_testing;
