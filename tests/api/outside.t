# What is kept and made outside: sounds and films in S3, passages filmed by a provider. Both are stand-ins.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use JSON::PP ();
use MIME::Base64 qw(encode_base64url);
use Test::More;
use Storytelling::Platform;
use Storytelling::Client;
use Storytelling::Contract;
use Storytelling::StandIn;

my ($s3, $fal) = map { Storytelling::StandIn->start("Storytelling::$_") } qw(S3 Films);
sub tool { my (@command) = @_; my $said = Storytelling::Platform::capture(@command); die "@command: $said->{out}" if $said->{exit}; return $said->{out} }
tool(qw(ffmpeg -v error -f lavfi -i color=0x00ff00:d=4:s=320x180:r=10 -c:v libx264 -preset ultrafast -pix_fmt yuv420p), $fal->dir . '/film.mp4');
tool(qw(openssl genpkey -algorithm ed25519 -out), $fal->dir . '/fal.pem');
my $public = substr tool(qw(openssl pkey -pubout -outform DER -in), $fal->dir . '/fal.pem'), -32;
$fal->put('jwks.json', JSON::PP::encode_json({keys => [{kty => 'OKP', crv => 'Ed25519', x => encode_base64url($public)}]}));
$fal->put(quick => '');

my $platform = Storytelling::Platform->start(env => {
    ST_STORE => 's3', ST_S3_URL => $s3->url . '/stories', ST_S3_REGION => 'eu-test-1', ST_S3_KEY_ID => 'AKIDTEST',
    ST_S3_SECRET => 'a secret/of+some kind', ST_OBJECT_GRACE_HOURS => 0,
    ST_FAL_URL => $fal->url, ST_FAL_KEY_FILE => $fal->put(key => "secret-key\n"), ST_FAL_KEYS_URL => $fal->url . '/.well-known/jwks.json',
});
my $client = $platform->client;
my $api    = Storytelling::Contract->new($platform, $client);
my $author = $platform->set_tier($client->register_user, 'premium');
my $story  = $client->post('/v1/stories', json => {title => 'Dawn', content => 'The ship left the harbour at dawn.'}, token => $author->{token})->{json}{storyId};

sub of { my (%more) = @_; return {path => {storyId => $story}, token => $author->{token}, %more} }
# The story's newest video, once it has come to an end.
sub film {
    return wait_for(sub { my $v = $api->call(getVideo => of())->{json} // {}; $v = $v->{next} // $v; ($v->{status} // 'pending') ne 'pending' && $v }) || {status => 'none'};
}
sub used { return {map { $_->{metric} => $_->{used} } @{$api->call(getUsage => {token => $author->{token}})->{json}{metrics} // []}}->{videos} }

# --- what is kept in S3 -----------------------------------------------------------------------------------------------

my $drawn = film();

is $drawn->{status}, 'ready', 'a story is filmed' or diag explain $drawn;
like $s3->get('log'), qr{^PUT /stories/video/$drawn->{videoId}/$_ 200$}m, "$_ is put" for qw(video.mp4 captions.vtt poster.jpg);
is_deeply [glob $platform->var . '/objects/{video,narration}/*'], [], 'and not on this machine';
my $narration = $client->get("/v1/stories/$story/narration", token => $author->{token})->{json};
for (['video', $drawn->{url}, qr/^....ftyp/s], (map { [$_->{format}, $_->{url}, qr/^(?:OggS|ID3|\xff)/] } @{$narration->{audio}}), ['poster', $drawn->{posterUrl}, qr/^\xff\xd8/]) {
    my ($what, $url, $magic) = @$_;
    my $whole = $client->get($url);
    is $whole->{status}, 200, "$what: a link needs no token";
    like $whole->{content}, $magic, "$what: and leads there";
    my $part = $client->get($url, headers => {Range => 'bytes=100-299'});
    is $part->{status}, 206, "$what: parts of it";
    is $part->{content}, substr($whole->{content}, 100, 200), "$what: are right";
    is $client->get($url =~ s/[?&]expires=.*//r)->{status}, 401, "$what: without it there is nothing";
    is $client->get($url =~ s/(expires=\d)(\d)/$1 . ($2 + 1) % 10/er)->{status}, 401, "$what: nor by another";
}
is $client->get($drawn->{url} =~ s{/file}{/poster}r)->{status}, 401, 'a link is good for one file';
my $other = $client->register_user;
is $client->get($drawn->{url}, token => $other->{token})->{status}, 404, 'who sends a token is judged by it';
ok wait_for(sub { (used() // 0) == 1 }), 'a drawn film is one of the tier';

# --- passages filmed by a provider ------------------------------------------------------------------------------------

# Calls back as fal does, for what it was asked last; `as`: what is sent, when it is not what is signed.
sub call_back {
    my (%how) = @_;
    my $url  = wait_for(sub { $fal->get('callbacks') =~ /([^\n]+)\n\z/ && $1 }) =~ s{^https?://[^/]+}{}r;
    my $body = JSON::PP->new->canonical->encode({request_id => 'r-1', status => 'OK', payload => {}});
    my $at   = time + ($how{late} // 0);
    my $file = $fal->put(signed => join "\n", 'r-1', 'u-1', $at, sha256_hex($body));
    my $signature = unpack 'H*', tool(qw(openssl pkeyutl -sign -rawin -inkey), $fal->dir . '/fal.pem', '-in', $file);
    return $client->post($url, content => $how{as} // $body, content_type => 'application/json', headers => {'X-Fal-Webhook-Request-Id' => 'r-1',
        'X-Fal-Webhook-User-Id' => 'u-1', 'X-Fal-Webhook-Timestamp' => $at, 'X-Fal-Webhook-Signature' => $signature})->{status};
}
sub ask { my (%format) = @_; $fal->put(callbacks => ''); return $api->succeeds(202, makeVideo => of(json => {pictures => 'filmed', %format}), 'a film is asked for')->{json} }

ask();
ok wait_for(sub { call_back() == 200 }), 'the provider calls back' or diag call_back();
is call_back(as => '{"request_id":"r-1","status":"OK","payload":{"x":1}}'), 403, 'not with other words than it has signed';
is call_back(late => -400), 403, 'nor with what it has signed long ago';
is call_back(), 200, 'twice is once';
my $filmed = film();
is $filmed->{status}, 'ready', 'the film is made' or diag explain $filmed;
is $filmed->{pictures}, 'filmed', 'with a filmed passage';
isnt $filmed->{videoId}, $drawn->{videoId}, 'beside the drawn one';
# What is told of the film's passages, and by whom it was made.
sub passages { my ($v) = @_; return [map { [@$_{qw(state provider reason)}] } @{$v->{passages} // []}] }
sub told { my ($v) = @_; return join ' ', map { $_ // '-' } $platform->sql('video', "select concat_ws(' ', payload->>'provider', payload->>'filmedPassages', payload->>'passages') from events where event_type = 'VideoGenerated' and aggregate_id = '$v->{videoId}'") }
is_deeply passages($filmed), [['filmed', 'pika', undef]], 'its author is told by whom';
is $drawn->{passages}, undef, 'a drawn film has none';
is_deeply [map { told($_) } $drawn, $filmed], ['ffmpeg', 'pika 1 1'], 'so is everybody who hears of it';
$fal->put('out.mp4', $client->get($filmed->{url})->{content});
my @rgb = unpack 'C3', tool(qw(ffmpeg -v error -ss 1 -i), $fal->dir . '/out.mp4', qw(-frames:v 1 -vf), 'crop=iw:ih/3:0:0,scale=1:1:flags=area,format=rgb24', qw(-f rawvideo -));
ok $rgb[1] > 150 && $rgb[0] < 90, 'which is to be seen' or diag "@rgb";
ok wait_for(sub { used() == 3 }), 'it takes one of the tier, and one for the passage' or diag used();

sub limit { $platform->sql('subscription', "update subscription_tiers set limits = limits || '{\"videos\": $_[0]}' where tier = 'free'") }
limit(4);
ask(aspectRatio => '9:16', pictures => 'animated');
my $refused = film();
is $refused->{status}, 'failed', 'where there is not enough left, nothing is filmed';
like $refused->{reason}, qr/used up/, 'and it is said why';
is $fal->get('callbacks'), '', 'the provider was not asked';
is used(), 3, 'and nothing is taken';
limit(50);
$fal->put(faults => "content\n");
my $again = ask(aspectRatio => '9:16', pictures => 'animated');
is_deeply [$platform->sql('video', 'select count(*) from video_jobs')], [3], 'when there is more, it can be asked for again, and begins anew';
ok wait_for(sub { call_back() == 200 }), 'the provider says that it is done with it';
my ($picture) = $fal->get('bodies') =~ m{"image_url":"https://[^/]+([^"]+)"};
my $shown = $client->get($picture);
is "$shown->{status} $shown->{headers}{'content-type'}", '200 image/jpeg', 'it may look at the picture to begin with';
like $shown->{content}, qr/^\xff\xd8/, 'which is one';
is $client->get($picture =~ s/signature=\K./x/r)->{status}, 401, 'and at nothing else';
my $stays = film();
is $stays->{status}, 'ready', 'what it does not film stays drawn' or diag explain $stays;
is_deeply passages($stays), [['drawn', undef, 'The provider does not film this passage.']], 'and it is said why';
is told($stays), 'ffmpeg 0 1', 'to all';
ok wait_for(sub { used() == 4 }), 'and is given back' or diag used();
sub sagas { return join ' ', $platform->sql('video', "select state || count(*) from sagas where name = 'filming' group by state order by 1") }
ok wait_for(sub { sagas() eq 'compensated1 done2' }), 'all has come to its end' or diag sagas();

# --- what nothing refers to -------------------------------------------------------------------------------------------

sub deleted { my ($key) = @_; return $s3->get('log') =~ m{^DELETE /stories/\Q$key\E 204$}m }
my $lost = 'narration/0193c7e2-1111-7111-8111-111111111111/audio.opus';
sub lose { my ($key) = @_; return tool(qw(curl -sf --aws-sigv4 aws:amz:eu-test-1:s3 --user), 'AKIDTEST:a secret/of+some kind', '-H', 'x-amz-content-sha256: ' . sha256_hex('lost'), qw(-X PUT -d lost), $s3->url . "/stories/$key") }
lose($lost);
$platform->kill('narration', 'KILL');
$platform->up;
ok wait_for(sub { deleted($lost) }), 'when a daemon starts again, what nothing refers to is removed';
is $client->get($_->{url}, headers => {Range => 'bytes=0-9'})->{status}, 206, "not what is of use: $_->{format}" for @{$narration->{audio}};

# A film that is stopped while a passage is being filmed; the next one has the same.
sub under_way { return ($platform->sql('video', "select count(*) from clips where state = 'sent'"))[0] }
my $before = () = $fal->get('log') =~ /^POST /mg;
$fal->put(slow => '');
my $stopped = ask(captions => 'track', aspectRatio => '9:16');
ok wait_for(sub { under_way() == 1 }), 'another film is under way';
is $client->post("/v1/stories/$story/narration", json => {all => JSON::PP::true}, token => $author->{token})->{status}, 202, 'the story is narrated anew';
ok wait_for(sub { (film()->{videoId} // $stopped->{videoId}) ne $stopped->{videoId} }), 'which has a film of its own';
is_deeply [$platform->sql('video', "select status || ': ' || reason from video_jobs where video_id = '$stopped->{videoId}'")], ['failed: The story has changed.'], 'the other has come to its end';
ok wait_for(sub { used() == 5 }), 'what the other would have taken is given back' or diag used();
ask(captions => 'track', aspectRatio => '9:16');
ok wait_for(sub { used() == 7 }), 'it is asked for again' or diag used();
unlink $fal->dir . '/slow';
is film()->{status}, 'ready', 'and made' or diag explain film();
my $after = () = $fal->get('log') =~ /^POST /mg;
is $after - $before, 1, 'the provider was asked once';

my ($clip)    = $platform->sql('video', "select object_key from clips where video_id = '$filmed->{videoId}' and state = 'done'");
my ($picture_of) = $platform->sql('video', "select picture from clips where video_id = '$again->{videoId}'");
my $stray     = "video/$filmed->{videoId}/clips/0193c7e2-1111-7111-8111-111111111111.mp4";
lose($stray);
$platform->sql('video', "update video_jobs set finished_at = finished_at - interval '2 days'");
$platform->sql('video', "update schedules set last_run = '-infinity' where name = 'drop_superseded'");
ok wait_for(sub { ($platform->sql('video', "select status from video_jobs where video_id = '$filmed->{videoId}'"))[0] eq 'failed' }), 'a film of an older narration is to be seen no more';
my $current = film()->{videoId};
my ($beside) = $platform->sql('video', "update video_jobs set status = 'failed' where status = 'ready' and video_id <> '$current' returning video_id");    # as one that cannot be made anew
ok $beside && !deleted("video/$beside/video.mp4"), 'another has failed since it was there';
$platform->kill('video', 'KILL');
$platform->up;
ok wait_for(sub { deleted($stray) }), 'what no passage of a film refers to is removed, too';
ok wait_for(sub { deleted("video/$_/video.mp4") }), 'and is not kept for ever' for $filmed->{videoId}, $again->{videoId}, $beside;
ok !deleted($_), 'what was filmed for it is, to be taken again' for $clip, $picture_of;
ok !deleted("video/$current/video.mp4"), 'and the film that is to be seen';

$fal->put(slow => '');
ask(resolution => '1080p');
ok wait_for(sub { used() == 9 && under_way() == 1 }), 'one more is under way' or diag used();
is $client->request(DELETE => "/v1/stories/$story", {token => $author->{token}})->{status}, 204, 'the story is deleted';
ok wait_for(sub { deleted("video/$current/video.mp4") }), 'and its film with it';
ok wait_for(sub { used() == 7 }), 'what one that was under way would have taken is given back' or diag used();
ok wait_for(sub { $fal->get('log') =~ m{^PUT /fal-ai/pika/requests/[^/]+/cancel$}m }), 'and the provider need not go on';

done_testing;
