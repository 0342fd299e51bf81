# Videos: from a narration to pictures, for whom; files and captions.
use strict;
use warnings;
use utf8;
use Test::More;
use Storytelling::Platform;
use Storytelling::Client;
use Storytelling::Contract;

binmode Test::More->builder->$_, ':utf8' for qw(output failure_output todo_output);
my $platform = Storytelling::Platform->shared;
my $client   = $platform->client;
my $api      = Storytelling::Contract->new($platform, $client);
my $UNKNOWN  = '0193c7e2-1111-7111-8111-111111111111';
my $ada      = $platform->set_tier($client->register_user, 'premium');    # who may ask for many films
my $eve      = $client->register_user;

sub of { my ($who, $id) = @_; return {path => {storyId => $id}, token => $who->{token}} }
sub part { my ($who, $id) = @_; return {path => {videoId => $id}, token => $who->{token}} }

my $story = $client->post('/v1/stories', json => {title => 'Der „Mond“: 100% <b>', content => "“Stop!” shouted Mary.\n\nTom laughed. مرحبا 漢字"}, token => $ada->{token})->{json}{storyId};
my ($video, @complaints);
wait_for(sub {
    my $seen = $api->call(getVideo => of($ada, $story));
    push @complaints, $api->complaints(getVideo => $seen);
    $video = $seen->{json};
    return $video->{status} ne 'pending';
});
is_deeply \@complaints, [], 'every answer on the way keeps to the contract';
is $video->{status}, 'ready', 'a story is filmed' or diag $video->{reason};
my $id = $video->{videoId};
my $narration = $client->get("/v1/stories/$story/narration", token => $ada->{token})->{json};
my $longer = $video->{durationMs} - $narration->{durationMs};
ok $longer > 300 && $longer < 5000, 'as long as its narration and an end card' or diag $longer;
is_deeply [@$video{qw(aspectRatio resolution captions)}], ['16:9', '720p', 'burned'], 'in the usual format';

my $whole = $api->call(getVideoFile => part($ada, $id));
is $whole->{status}, 200, 'the file can be fetched';
is $whole->{headers}{'content-type'}, 'video/mp4', 'and says what it is';
like $whole->{content}, qr/^....ftyp/s, 'and is that';
cmp_ok index($whole->{content}, 'moov'), '<', index($whole->{content}, 'mdat'), 'it plays while it loads';
my $size = length $whole->{content};
my $part = $client->get($video->{url}, token => $ada->{token}, headers => {Range => 'bytes=1000-1999'});
is $part->{status}, 206, 'a part can be asked for';
is $part->{headers}{'content-range'}, "bytes 1000-1999/$size", 'and says which';
is $part->{content}, substr($whole->{content}, 1000, 1000), 'and is that';
is $client->get($video->{url}, token => $ada->{token}, headers => {Range => "bytes=$size-"})->{status}, 416, 'there is nothing behind the end';
is $client->get("/v1/videos/$id/file")->{status}, 401, 'not without a token';
is $client->get($video->{url}, headers => {Range => 'bytes=0-99'})->{status}, 206, 'but by the link that was given, as a player does';

my $captions = $api->call(getVideoCaptions => part($ada, $id));
is $captions->{status}, 200, 'captions';
like $captions->{headers}{'content-type'}, qr{^text/vtt; *charset=utf-8$}i, 'as WebVTT';
my $text = $captions->{content};
utf8::decode($text);
like $text, qr/^WEBVTT\n/, 'really';
like $text, qr/Stop!/, 'with what is said';
like $text, qr/漢字/, 'in every script';
like $text, qr/\n<v Mary>Mary: Stop!/, 'and who says it';
my @times = $text =~ /(?:(\d\d):)?(\d\d):(\d\d)\.(\d{3}) -->/g;
ok @times, 'and times';

my $poster = $api->call(getVideoPoster => part($ada, $id));
is $poster->{status}, 200, 'a poster';
like $poster->{content}, qr/^\xff\xd8\xff/, 'which is a JPEG';

# --- how far it is ---
my $long = $client->post('/v1/stories', json => {title => 'Long', content => join ' ', map { "The ship sailed for $_ days." } 1 .. 40}, token => $ada->{token})->{json}{storyId};
my @shares;
ok wait_for(sub {
    my $v = $api->call(getVideo => of($ada, $long))->{json} // {};
    push @shares, $v->{progress} // ();
    return ($v->{status} // '') eq 'ready';
}), 'a longer story';
ok scalar(grep { $_ > 0 && $_ < 1 } @shares), 'one sees how far it is' or diag "@shares";
is_deeply \@shares, [sort { $a <=> $b } @shares], 'and that it goes on';

# --- another format ---
my $upright = {aspectRatio => '9:16', captions => 'track'};
my $asked = $api->succeeds(202, makeVideo => {%{of($ada, $story)}, json => $upright}, 'an upright film is asked for');
is $asked->{json}{aspectRatio}, '9:16', 'and promised';
isnt $asked->{json}{videoId}, $id, 'it is another film';
my $during = $api->succeeds(200, getVideo => of($ada, $story), 'meanwhile')->{json};
is "$during->{status} $during->{videoId}", "ready $id", 'the film that is there is shown';
is_deeply [@{$during->{next}}{qw(status videoId aspectRatio captions)}], ['pending', $asked->{json}{videoId}, '9:16', 'track'], 'and told of the other';
# The story's film once it is that one, and what else there was to be seen on the way.
my @unseen;
sub seen_at_last {
    my ($who, $story, $wanted) = @_;
    return wait_for(sub {
        my $v = $api->call(getVideo => of($who, $story))->{json};
        push @unseen, $v if !$v->{url};
        return ($v->{videoId} // '') eq $wanted && $v;
    });
}
my $tall = seen_at_last($ada, $story, $asked->{json}{videoId});
ok $tall, 'it is made, and is the one that is shown';
ok !exists $tall->{next}, 'there is nothing behind it';
open my $out, '>:raw', $platform->var . '/tall.mp4' or die $!;
print $out $client->get($tall->{url}, token => $ada->{token})->{content};
close $out;
my $probe = sub { join ' ', sort split /\n/, `ffprobe -v error -select_streams $_[0] -show_entries stream=$_[1] -of csv=p=0 '@{[$platform->var]}/tall.mp4'` };
is $probe->('v', 'width,height'), '720,1280', 'upright';
is join(' ', map { $probe->($_, 'codec_name') } qw(v a s)), 'h264 aac mov_text', 'with a track of captions';
is $api->call(makeVideo => {%{of($ada, $story)}, json => $upright})->{json}{videoId}, $tall->{videoId}, 'asked for again it is the same';
is $api->call(makeVideo => {%{of($ada, $story)}, json => {}})->{json}{videoId}, $id, 'and so is the first';
is $api->call(getVideo => of($ada, $story))->{json}{videoId}, $id, 'which is shown again';
$api->fails(404, 'not_found', makeVideo => {%{of($eve, $story)}, json => {}}, 'others cannot ask');
$api->fails(403, 'forbidden', makeVideo => {%{of($ada, $story)}, json => {pictures => 'filmed'}}, 'nor where nobody films');
$api->fails(404, 'not_found', clipProgressed => {path => {clipId => $UNKNOWN}, query => {token => 'x' x 32}, json => {id => 'x'}}, 'a call back without the right token');
$api->fails(422, 'unprocessable', makeVideo => {%{of($ada, $story)}, json => {resolution => '8k'}}, 'nor for everything', '/resolution');

$api->fails(404, 'not_found', getVideo => of($eve, $story), 'others do not see it');
$api->fails(404, 'not_found', getVideo => of($ada, $UNKNOWN), 'like what is not there');
for my $operation (qw(getVideoFile getVideoCaptions getVideoPoster)) {
    $api->fails(404, 'not_found', $operation => part($eve, $id), "$operation: not for others");
    $api->fails(404, 'not_found', $operation => part($ada, $UNKNOWN), "$operation: not what is not there");
}
is $client->patch("/v1/stories/$story", json => {visibility => 'link'}, token => $ada->{token}, headers => {'If-Match' => '*'})->{status}, 200, 'it gets a link';
$api->fails(404, 'not_found', getVideo => of($eve, $story), 'which counts when it is published');
is $client->post("/v1/stories/$story/publish", token => $ada->{token})->{status}, 200, 'as it is now';
ok wait_for(sub { $api->call(getVideoFile => part($eve, $id))->{status} == 200 }), 'so that others see it';
my $given = $api->call(getVideo => of($eve, $story))->{json}{url};
is $client->get($given, headers => {Range => 'bytes=0-99'})->{status}, 206, 'by a link, too';
is $client->post("/v1/stories/$story/unpublish", token => $ada->{token})->{status}, 200, 'it is taken back';
ok wait_for(sub { $client->get($given)->{status} == 404 }), 'and that link ends';

# A narration that fails takes nothing away.
is $client->patch("/v1/stories/$story", json => {content => '... !!! ???'}, token => $ada->{token}, headers => {'If-Match' => '*'})->{status}, 200, 'an edit that nobody can speak';
my $mute = wait_for(sub { my $v = $api->call(getVideo => of($ada, $story))->{json}; push @unseen, $v if !$v->{url}; $v->{next} && $v });
is_deeply [@{$mute->{next}}{qw(status videoId)}], ['failed', undef], 'it is told that there is no newer film';
is $mute->{next}{reason}, $client->get("/v1/stories/$story/narration", token => $ada->{token})->{json}{next}{reason}, 'and why';
is $client->get($mute->{url}, headers => {Range => 'bytes=0-99'})->{status}, 206, 'the last one can still be seen';
my $wide = $api->succeeds(202, makeVideo => {%{of($ada, $story)}, json => {captions => 'track'}}, 'another format is asked for')->{json}{videoId};
$wide = seen_at_last($ada, $story, $wide);
ok $wide, 'is made, and shown';
like $api->call(getVideoCaptions => part($ada, $wide->{videoId}))->{content}, qr/Stop!/, 'with the words that are heard in it, not those of the edit';

# Two edits in a row: the video that is waited for is the last one.
for my $text ('The first edit is spoken by nobody.', 'The last edit.') {
    is $client->patch("/v1/stories/$story", json => {content => $text}, token => $ada->{token}, headers => {'If-Match' => '*'})->{status}, 200, 'an edit';
}
my $last = wait_for(sub {
    my $v = $api->call(getVideo => of($ada, $story))->{json};
    push @unseen, $v if !$v->{url};
    $v->{videoId} ne $id && $api->call(getVideoCaptions => part($ada, $v->{videoId}))->{content} =~ /The last edit/ && $v;
});
ok $last, 'is filmed as it is now';
is_deeply \@unseen, [], 'and all the time there was a film to be seen';

$platform->sql('video', "update video_jobs set finished_at = now() - interval '2 days' where video_id = '$last->{videoId}'");
$platform->sql('video', "update analyses set told_at = now() - interval '2 days' where story_id = '$story'");
$platform->sql('video', "update schedules set last_run = '-infinity' where name = 'drop_superseded'");
ok wait_for(sub { !-e $platform->var . "/objects/video/$id/video.mp4" }), 'what was filmed before goes a day later';
is $api->call(getVideo => of($ada, $story))->{json}{videoId}, $last->{videoId}, 'the last one stays';
is_deeply [$platform->sql('video', "select count(*) from video_jobs where story_id = '$story'")], [1], 'alone';
is_deeply [$platform->sql('video', "select count(*) from analyses where story_id = '$story'")], [1], 'with what it was made of';

is $client->request(DELETE => "/v1/stories/$story", {token => $ada->{token}})->{status}, 204, 'the story is deleted';
ok wait_for(sub { $api->call(getVideoFile => part($ada, $last->{videoId}))->{status} == 404 }), 'its video is gone';
ok wait_for(sub { !-e $platform->var . "/objects/video/$last->{videoId}/video.mp4" }), 'also on the disk';

# --- when the tier's videos are used up ---------------------------------------------------------------------------------

sub limit_videos { $platform->sql('subscription', "update subscription_tiers set limits = limits || '{\"videos\": $_[0]}' where tier = 'free'") }
my $max = $client->register_user;
my $state_of = sub { my ($id) = @_; return $api->call(getVideo => of($max, $id))->{json} // {} };
ok wait_for(sub { $api->call(getUsage => {token => $max->{token}})->{status} == 200 }), 'another author';
limit_videos(1);
my $first = $client->post('/v1/stories', json => {title => 'One', content => 'The sea was calm.'}, token => $max->{token})->{json}{storyId};
ok wait_for(sub { ($state_of->($first)->{status} // '') eq 'ready' }), 'has one film';
ok wait_for(sub { ($platform->sql('video', "select count(*) from blocks where user_id = '$max->{userId}'"))[0] == 1 }), 'and no more until the period ends';
my $other_format = sub { return (makeVideo => {%{of($max, $first)}, json => {aspectRatio => '9:16'}}) };
my $refused = $api->fails(402, 'payment_required', $other_format->(), 'another format is refused');
like $refused->{json}{detail}, qr/videos is used up until \d{4}-/, 'and says until when';
is $api->call(makeVideo => {%{of($max, $first)}, json => {}})->{status}, 202, 'the film that is there is not';
is $client->patch("/v1/stories/$first", json => {content => 'The sea was wild.'}, token => $max->{token}, headers => {'If-Match' => '*'})->{status}, 200, 'an edit';
ok wait_for(sub { ($state_of->($first)->{next}{reason} // '') =~ /used up/ }), 'is not filmed';
is $state_of->($first)->{status}, 'ready', 'and the film that is there is shown';
my $second = $client->post('/v1/stories', json => {title => 'Two', content => 'The wind rose.'}, token => $max->{token})->{json}{storyId};
ok wait_for(sub { ($state_of->($second)->{status} // '') eq 'failed' }), 'another story gets none';
like $state_of->($second)->{reason}, qr/used up/, 'and says why';
for my $shared ($first, $second) {
    is $client->patch("/v1/stories/$shared", json => {visibility => 'link'}, token => $max->{token}, headers => {'If-Match' => '*'})->{status}, 200, 'it gets a link';
    ok wait_for(sub { $client->post("/v1/stories/$shared/publish", token => $max->{token})->{status} == 200 }), 'and is published';
    ok wait_for(sub { $api->call(getVideo => of($eve, $shared))->{status} == 200 }), 'so that others see it';
    my $seen = $api->succeeds(200, getVideo => of($eve, $shared), 'as it is')->{json};
    $seen = $seen->{next} // $seen;
    is_deeply [@$seen{qw(status reason)}], ['failed', undef], 'but not why there is no film';
}
limit_videos(50);
$api->succeeds(202, changeSubscription => {json => {tier => 'premium', paymentToken => 'tok_visa'}, token => $max->{token}}, 'a tier with more of them');
ok wait_for(sub { ($platform->sql('video', "select count(*) from blocks where user_id = '$max->{userId}'"))[0] == 0 }), 'lifts that';
$platform->sql('video', "with gone as (insert into analyses (analysis_id, story_id, text_ref) values (gen_random_uuid(), '$first', 'story/$first/gone.json') returning analysis_id) update video_jobs set analysis_id = (select analysis_id from gone) where story_id = '$first'");
my $remade = $api->succeeds(202, $other_format->(), 'and the other format is made')->{json}{videoId};
ok seen_at_last($max, $first, $remade), 'also when what its narration was made of has gone';

done_testing;
