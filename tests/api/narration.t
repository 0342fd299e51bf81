# Narrations: from a story to sound, for whom, in which languages; and what cannot be narrated.
use strict;
use warnings;
use utf8;
use File::Copy qw(copy);
use File::Temp ();
use JSON::PP ();
use Test::More;
use Storytelling::Platform;
use Storytelling::Client;
use Storytelling::Contract;

binmode Test::More->builder->$_, ':utf8' for qw(output failure_output todo_output);
my $platform = Storytelling::Platform->shared;
my $client   = $platform->client;
my $api      = Storytelling::Contract->new($platform, $client);
my $UNKNOWN  = '0193c7e2-1111-7111-8111-111111111111';
my ($ada, $eve) = map { $client->register_user } 1, 2;

sub post { my ($who, %story) = @_; return $client->post('/v1/stories', json => {title => 'Told', %story}, token => $who->{token})->{json}{storyId} }
sub of { my ($who, $id) = @_; return {path => {storyId => $id}, token => $who->{token}} }
sub audio { my ($who, $id, %more) = @_; return {path => {narrationId => $id}, token => $who->{token}, raw => 1, %more} }

# The narration when it has come to its end; every answer on the way keeps to the contract.
sub narrated {
    my ($who, $story, $name) = @_;
    my ($seen, @complaints);
    wait_for(sub {
        $seen = $api->call(getNarration => of($who, $story));
        push @complaints, $api->complaints(getNarration => $seen);
        return (($seen->{json}{next} // $seen->{json})->{status} // '') ne 'pending';
    });
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply \@complaints, [], "$name: the answers keep to the contract";
    return $seen->{json};
}

# --- a story is heard -------------------------------------------------------------------------------------------------

my $story = post($ada, content => "“Stop!” shouted Mary angrily.\n\nTom laughed. “I am so happy,” he said.");
$api->succeeds(200, getNarration => of($ada, $story), 'it can be asked for at once');
my $narration = narrated($ada, $story, 'English');
is $narration->{status}, 'ready', 'a story is narrated';
my $id = $narration->{narrationId};
my $analysis = $client->get("/v1/stories/$story/analysis", token => $ada->{token})->{json};
is_deeply [map { $_->{segmentId} } @{$narration->{segments}}], [map { $_->{segmentId} } @{$analysis->{segments}}], 'each segment of the analysis is heard, in order';
my $at = 0;
for (@{$narration->{segments}}) {
    ok $_->{startMs} >= $at && $_->{endMs} > $_->{startMs} && $_->{endMs} <= $narration->{durationMs}, 'one after the other, inside the sound';
    $at = $_->{endMs};
}
my %voice = map { $_->{character} // 'narrator' => $_->{voice} } @{$narration->{voices}};
is_deeply [sort keys %voice], [qw(Mary Tom narrator)], 'everybody has a voice';
my %different = reverse %voice;
is scalar keys %different, 3, 'of their own';

for (['opus', 'audio/ogg', qr/^OggS/], ['mp3', 'audio/mpeg', qr/^(?:ID3|\xff[\xe0-\xff])/]) {
    my ($format, $type, $magic) = @$_;
    my ($url) = map { $_->{url} } grep { $_->{format} eq $format } @{$narration->{audio}};
    ok $url, "$format: has an address";
    my $whole = $client->get($url, token => $ada->{token});
    is $whole->{status}, 200, "$format: can be fetched";
    is $whole->{headers}{'content-type'}, $type, "$format: and says what it is";
    like $whole->{content}, $magic, "$format: and is that";
    is $whole->{headers}{'content-length'}, length $whole->{content}, "$format: whole";
    is $whole->{headers}{'accept-ranges'}, 'bytes', "$format: parts can be asked for";
    my $size = length $whole->{content};
    my $part = $client->get($url, token => $ada->{token}, headers => {Range => 'bytes=100-199'});
    is $part->{status}, 206, "$format: a part";
    is $part->{headers}{'content-range'}, "bytes 100-199/$size", "$format: says which";
    is $part->{content}, substr($whole->{content}, 100, 100), "$format: and is that";
    is $client->get($url, token => $ada->{token}, headers => {Range => 'bytes=-50'})->{content}, substr($whole->{content}, -50), "$format: the end";
    is $client->get($url, token => $ada->{token}, headers => {Range => "bytes=$size-"})->{status}, 416, "$format: there is nothing behind the end";
    my $etag = $whole->{headers}{etag};
    is $client->get($url, token => $ada->{token}, headers => {'If-None-Match' => $etag})->{status}, 304, "$format: unchanged is told";
    is $client->get($url, token => $ada->{token}, headers => {Range => 'bytes=0-9', 'If-Range' => $etag})->{status}, 206, "$format: a download goes on";
    is $client->get($url, token => $ada->{token}, headers => {Range => 'bytes=0-9', 'If-Range' => '"other"'})->{status}, 200, "$format: or starts anew";
    my $head = $client->request(HEAD => $url, {token => $ada->{token}});
    is "$head->{status} $head->{headers}{'content-length'}", "200 $size", "$format: HEAD says how long it is";
    is $client->get($url, headers => {Range => 'bytes=0-9'})->{status}, 206, "$format: a player needs no token";
    is $client->get($url =~ s/&expires=.*//r)->{status}, 401, "$format: but it needs the link that was given";
}
is $api->call(getNarrationAudio => audio($ada, $id))->{headers}{'content-type'}, 'audio/ogg', 'Opus is the default';
$api->fails(400, 'invalid_request', getNarrationAudio => {%{audio($ada, $id, query => {format => $_})}, raw => 0}, "no such format: $_", '/query/format') for 'wav', 'OPUS', '../opus';

# --- who speaks -------------------------------------------------------------------------------------------------------

my $voices = $api->succeeds(200, listVoices => {token => $ada->{token}}, 'the voices are listed')->{json}{items};
cmp_ok scalar(grep { $_->{gender} eq 'female' && $_->{age} eq 'adult' } @$voices), '>=', 6, 'women among them';
cmp_ok scalar(grep { $_->{age} eq 'child' } @$voices), '>=', 6, 'and children';
$api->fails(422, 'unprocessable', listVoices => {token => $ada->{token}, query => {language => 'tlh'}}, 'not of a language that nobody speaks');
my $cast = $api->succeeds(200, getCast => of($ada, $story), 'the cast of a story');
my %of = map { $_->{character} => $_ } @{$cast->{json}{characters}};
my %spoke = map { $_->{character} // '' => $_->{voiceId} } @{$narration->{voices}};
is $of{$_}{voiceId}, $spoke{$_}, "$_ has the voice that was heard" for qw(Mary Tom);
ok !$of{Mary}{chosen}, 'which nobody has chosen';
my ($mary) = grep { $_->{gender} eq 'female' && $_->{voiceId} ne $of{Mary}{voiceId} } @$voices;
my @match = (headers => {'If-Match' => $cast->{headers}{etag}});
my %change = (narrator => 'elder-man-1', characters => [{character => 'Mary', voiceId => $mary->{voiceId}}]);
$api->fails(428, 'precondition_required', changeCast => {%{of($ada, $story)}, json => \%change}, 'it is changed by those who have read it');
$api->fails(404, 'not_found', changeCast => {%{of($eve, $story)}, json => \%change, @match}, 'its author alone');
$api->fails(404, 'not_found', getCast => of($eve, $story), 'who alone sees it');
$api->fails(422, 'unprocessable', changeCast => {%{of($ada, $story)}, json => {narrator => 'nobody-1'}, @match}, 'there is no such voice', '/narrator');
$api->fails(422, 'unprocessable', changeCast => {%{of($ada, $story)}, json => {characters => [{character => 'Zoe', voiceId => 'man-1'}]}, @match},
    'nor such a character', '/characters/0/character');
my $changed = $api->succeeds(200, changeCast => {%{of($ada, $story)}, json => \%change, @match}, 'voices are chosen');
is $changed->{json}{narrator}{voiceId}, 'elder-man-1', 'the narrator is an old man';
$api->fails(412, 'precondition_failed', changeCast => {%{of($ada, $story)}, json => \%change, @match}, 'but not twice by the same reading');

my $rules = {rules => [{word => 'Mary', say => 'Mahree'}, {word => 'nowhere', say => 'now here'}]};
$api->fails(428, 'precondition_required', replaceStoryPronunciations => {%{of($ada, $story)}, json => $rules}, 'rules are changed by those who have read them');
is $api->succeeds(200, getStoryPronunciations => of($ada, $story), 'there are none yet')->{json}{version}, 0, 'in version 0';
is $api->succeeds(200, replaceStoryPronunciations => {%{of($ada, $story)}, json => $rules, headers => {'If-Match' => '"0"'}}, 'words are to be said otherwise')->{json}{version}, 1, 'in version 1';
is_deeply $api->succeeds(200, getStoryPronunciations => of($ada, $story), 'they are kept')->{json}{rules}, $rules->{rules}, 'as they were given';
$api->fails(404, 'not_found', getStoryPronunciations => of($eve, $story), 'others do not see them');
my $newest = {rules => [{word => 'Mary', say => 'Maree'}]};
is $api->succeeds(200, replaceStoryPronunciations => {%{of($ada, $story)}, json => $newest, headers => {'If-Match' => '"1"'}}, 'and otherwise again')->{json}{version}, 2, 'in version 2';
is_deeply $api->succeeds(200, getStoryPronunciations => {%{of($ada, $story)}, query => {version => $_->[0]}}, "version $_->[0] can be read")->{json}, {version => $_->[0], %{$_->[1]}}, 'as it was'
    for [1, $rules], [2, $newest];
$api->fails(404, 'not_found', getStoryPronunciations => {%{of($ada, $story)}, query => {version => 3}}, 'one that never was cannot');
$api->fails(404, 'not_found', getMyPronunciations => {token => $ada->{token}, query => {version => 1}}, 'nor one of all stories');
is $api->succeeds(200, replaceStoryPronunciations => {%{of($ada, $story)}, json => $rules, headers => {'If-Match' => '"2"'}}, 'and as at first')->{json}{version}, 3, 'which is a version, too';
is $api->succeeds(200, replaceMyPronunciations => {token => $ada->{token}, json => {rules => []}, headers => {'If-Match' => '"0"'}}, 'rules of all stories')->{json}{version}, 1, 'have versions of their own';
is $api->succeeds(200, getMyPronunciations => {token => $ada->{token}, @$_}, 'they can be read')->{json}{version}, 1, 'too' for [], [query => {version => 1}];
$api->fails(412, 'precondition_failed', replaceMyPronunciations => {token => $ada->{token}, json => {rules => []}, headers => {'If-Match' => '"0"'}}, 'whoever is late is told');

# Tom has said nothing new: what he says comes from the cache.
my %again = (%{of($ada, $story)}, json => {}, headers => {'Idempotency-Key' => "again-$story"});
$api->fails(404, 'not_found', narrateStory => {%{of($eve, $story)}, json => {}}, 'others do not have it narrated');
my $retold = $api->succeeds(202, narrateStory => \%again, 'it is narrated again')->{json}{narrationId};
is $api->call(narrateStory => \%again)->{json}{narrationId}, $retold, 'once for each key';
$narration = narrated($ada, $story, 'again');
is $narration->{narrationId}, $retold, 'it is the new one that is heard';
%spoke = map { $_->{character} // '' => $_->{voiceId} } @{$narration->{voices}};
is $spoke{Mary}, $mary->{voiceId}, 'with the voice that was chosen';
is $spoke{''}, 'elder-man-1', 'and the narrator';
is $spoke{Tom}, $of{Tom}{voiceId}, 'Tom has kept his own';
is_deeply $narration->{pronunciations}, {story => 3, user => 1}, 'by the rules of today';
cmp_ok $narration->{cachedShare}, '>', 0, 'some of it had been spoken before';
cmp_ok $narration->{cachedShare}, '<', 1, 'not all of it';
$id = $retold;
$api->fails(422, 'unprocessable', narrateStory => {%{of($ada, $story)}, json => {again => [$narration->{segments}[0]{segmentId}, 'nonsense']}}, 'nobody speaks a segment that is not there', '/again/1');
$api->succeeds(202, narrateStory => {%{of($ada, $story)}, json => {again => [$narration->{segments}[0]{segmentId}]}}, 'one segment once more');
$narration = narrated($ada, $story, 'a take');
$id = $narration->{narrationId};
cmp_ok $narration->{cachedShare}, '<', 1, 'is another take';
cmp_ok $narration->{cachedShare}, '>', 0.5, 'of that one alone';

# Another is made, and fails: what there is, is heard all the same.
my $later = 'ffffffff-0000-7000-8000-000000000000';
$platform->sql('narration', "insert into narrations (narration_id, story_id, analysis_id, language, characters, parts) select '$later', story_id, gen_random_uuid(), language, characters, '[{\"part\": 1, \"startMs\": 0, \"endMs\": 9}]' from narrations where narration_id = '$id'");
sub heard { my $n = $api->succeeds(200, getNarration => of($ada, $story), $_[0])->{json}; return [@$n{qw(status narrationId)}, map { $_->{status}, $_->{narrationId}, $_->{reason}, scalar @{$_->{parts} // []} } $n->{next}] }
is_deeply heard('another is being made'), ['ready', $id, 'pending', $later, undef, 1], 'the one before is heard meanwhile';
my $files = $platform->var . '/objects/narration';
mkdir "$files/$later" and copy("$files/$id/audio.opus", "$files/$later/part-1.opus") or die "$files/$later: $!\n";
is $api->call(getNarrationAudio => audio($ada, $later, query => {part => 1}))->{status}, 200, 'and what there is of the other';
$platform->sql('narration', "update narrations set status = 'failed', reason = 'So it is.' where narration_id = '$later'");
is_deeply heard('it has failed'), ['ready', $id, 'failed', $later, 'So it is.', 0], 'and after it has failed';
is $api->call(getNarrationAudio => audio($ada, $id))->{status}, 200, 'by its sound';
$api->fails(404, 'not_found', getNarrationAudio => {%{audio($ada, $later, query => {part => 1})}, raw => 0}, 'and of the other nothing');
unlink "$files/$later/part-1.opus" and rmdir "$files/$later" or die "$files/$later: $!\n";
$platform->sql('narration', "delete from narrations where narration_id = '$later'");

# A chapter alone: its title and what is said in it are other takes, and the other chapter is as it was.
my $reader = $client->register_user;
my $chaptered = post($reader, title => 'Two chapters', content => "Chapter 1\n\nThe door was shut. It was late.\n\nChapter 2\n\nNobody came.");
my $before = narrated($reader, $chaptered, 'two chapters');
is scalar @{$before->{chapters}}, 2, 'a narration has chapters';
$api->fails(422, 'unprocessable', narrateStory => {%{of($reader, $chaptered)}, json => {chapters => [2, 3]}}, 'one that is not there', '/chapters/1');
$api->succeeds(202, narrateStory => {%{of($reader, $chaptered)}, json => {chapters => [2]}}, 'one of them once more');
narrated($reader, $chaptered, 'a chapter');
my @second = map { $_->{segmentId} } grep { $_->{startMs} >= $before->{chapters}[1]{startMs} } @{$before->{segments}};
is_deeply [sort $platform->sql('narration', "select segment_id from takes where story_id = '$chaptered'")], [sort @second], 'is another take of its segments';
$api->succeeds(202, narrateStory => {%{of($reader, $chaptered)}, json => {all => JSON::PP::true}}, 'or all of it');
is narrated($reader, $chaptered, 'all')->{cachedShare}, 0, 'everything is spoken anew';
is_deeply [$platform->sql('narration', "select count(*) from events where event_type = 'NarrationRegenerated' and payload->>'storyId' = '$chaptered'")], [2], 'others hear of it';

$api->fails(404, 'not_found', previewVoice => {path => {voiceId => 'nobody'}, token => $ada->{token}, json => {text => 'Hello.'}}, 'nobody cannot be heard');
$api->fails(422, 'unprocessable', previewVoice => {path => {voiceId => 'girl-1'}, token => $ada->{token}, json => {text => 'Hello.', language => 'xx'}}, 'nor in no language', '/language');
my $preview = $api->succeeds(202, previewVoice => {path => {voiceId => 'girl-1'}, token => $ada->{token}, json => {text => 'Can you hear me?', emotion => 'joy'}},
    'a voice can be heard before it is chosen')->{json}{previewId};
my %preview = (path => {previewId => $preview}, token => $ada->{token});
my $sound = wait_for(sub { my $p = $api->call(getVoicePreview => \%preview)->{json}; $p->{status} ne 'pending' && $p });
is $sound->{status}, 'ready', 'soon';
like $client->get($sound->{audioUrl})->{content}, qr/^OggS/, 'it is sound';
$api->fails(404, 'not_found', getVoicePreview => {%preview, token => $eve->{token}}, 'for who has asked for it');
$api->fails(404, 'not_found', getVoicePreviewAudio => {%preview, token => $eve->{token}}, 'alone');

# --- somebody else's --------------------------------------------------------------------------------------------------

$api->fails(404, 'not_found', getNarration => of($eve, $story), 'others do not see it');
$api->fails(404, 'not_found', getNarration => of($ada, $UNKNOWN), 'like what is not there');
$api->fails(404, 'not_found', getNarrationAudio => {%{audio($eve, $id)}, raw => 0}, 'nor hear it');
$api->fails(404, 'not_found', getNarrationAudio => {%{audio($ada, $UNKNOWN)}, raw => 0}, 'nor what is not there');
is $client->get("/_objects/narration/$id/audio.opus", token => $ada->{token})->{status}, 404, 'files are not reached from outside';
is $client->post("/v1/stories/$story/publish", token => $ada->{token})->{status}, 200, 'a private story is published';
$api->fails(404, 'not_found', getNarration => of($eve, $story), 'it stays private');
is $client->patch("/v1/stories/$story", json => {visibility => 'public'}, token => $ada->{token}, headers => {'If-Match' => '*'})->{status}, 200, 'then it is for all';
ok wait_for(sub { $api->call(getNarration => of($eve, $story))->{status} == 200 }), 'everybody may hear it';
is $api->call(getNarrationAudio => audio($eve, $id))->{status}, 200, 'really';
my ($hers, $readers) = map { $api->call(getNarration => of($_, $story))->{json}{audio}[0]{url} } $ada, $eve;
is $client->get($readers)->{status}, 200, 'a reader has a link of their own';
is $client->get($readers =~ s/viewer=\K[\w-]+/$ada->{userId}/r)->{status}, 401, 'and nobody else\'s';
$platform->sql('narration', "insert into narrations (narration_id, story_id, analysis_id, language, characters, reason) select '$later', story_id, gen_random_uuid(), language, characters, 'The tier has no such voice.' from narrations where narration_id = '$id'");
sub why { my ($who) = @_; my $n = $api->succeeds(200, getNarration => of($who, $story), 'another is to come')->{json}{next}; return [@$n{qw(status reason)}] }
for my $status (qw(pending failed)) {
    $platform->sql('narration', "update narrations set status = '$status' where narration_id = '$later'");
    is_deeply [map { why($_) } $ada, $eve], [[$status, 'The tier has no such voice.'], [$status, undef]], "$status: why, its author alone reads";
}
$platform->sql('narration', "delete from narrations where narration_id = '$later'");
is $client->patch("/v1/stories/$story", json => {visibility => 'private'}, token => $ada->{token}, headers => {'If-Match' => '*'})->{status}, 200, 'the author takes it back';
ok wait_for(sub { $api->call(getNarrationAudio => audio($eve, $id))->{status} == 404 }), 'and nobody else hears it any more';
is $client->get($readers)->{status}, 404, 'nor by the link that a reader was given';
is $client->get($hers)->{status}, 200, 'unlike the author by theirs';

# --- a changed text ---------------------------------------------------------------------------------------------------

is $client->patch("/v1/stories/$story", json => {content => 'Quite another text.'}, token => $ada->{token}, headers => {'If-Match' => '*'})->{status}, 200, 'the text changes';
my $newer = wait_for(sub { my $n = $api->call(getNarration => of($ada, $story))->{json}; $n->{status} eq 'ready' && $n->{narrationId} ne $id && $n });
ok $newer, 'and is narrated anew';
is scalar @{$newer->{segments}}, 1, 'as it is now';

# Who is called otherwise keeps the voice: as it was chosen; else as long as it suits what is known of them.
my $ball = post($ada, content => "“Good morning,” said Darcy. “Is it late?” asked Bennet.\n\nTom laughed. “It is,” said Tom.");
is narrated($ada, $ball, 'a ball')->{status}, 'ready', 'people meet';
my %gender = map { $_->{voiceId} => $_->{gender} } @$voices;
sub cast_of { my $c = $api->succeeds(200, getCast => of($ada, $ball), 'the cast'); return ($c->{headers}{etag}, map { $_->{character} => $_ } @{$c->{json}{characters}}) }
my ($etag, %were) = cast_of();
is $gender{$were{Darcy}{voiceId}}, 'female', 'whose gender is not known has any voice';
$api->succeeds(200, changeCast => {%{of($ada, $ball)}, json => {characters => [{character => 'Bennet', voiceId => 'boy-2', fallbackVoiceId => 'girl-2'}]}, headers => {'If-Match' => $etag}}, 'one is chosen');
is $client->patch("/v1/stories/$ball", json => {content => "“Good morning,” said Mr. Darcy. “Is it late?” asked Miss Bennet.\n\nTom laughed. “It is,” said Tom. Darcy and Bennet went home."},
    token => $ada->{token}, headers => {'If-Match' => '*'})->{status}, 200, 'they get other names';
ok wait_for(sub { my (undef, %c) = cast_of(); ($gender{($c{'Mr. Darcy'} // {})->{voiceId} // ''} // '') eq 'male' }), 'a man speaks with a voice of one';
(undef, my %are) = cast_of();
is_deeply [@{$are{'Miss Bennet'}}{qw(voiceId chosen fallbackVoiceId)}], ['boy-2', JSON::PP::true, 'girl-2'], 'the voice that was chosen stays';
is $are{Tom}{voiceId}, $were{Tom}{voiceId}, 'so does one that suits';

# --- files to keep ----------------------------------------------------------------------------------------------------

my $book = post($ada, title => 'Chapters & <signs>', content => "Chapter 1\n\nThe door was shut. “Who is there?” asked Mary & Tom.\n\n## The *second*\n\nNobody <answered>. A --> B.");
my $bound = narrated($ada, $book, 'chapters');
is_deeply [map { $_->{title} } @{$bound->{chapters}}], ['Chapter 1', 'The second'], 'chapters are found';
my $vtt = $client->get($bound->{captionsUrl});
is $client->get("/v1/narrations/$bound->{narrationId}/captions", token => $ada->{token})->{content}, $vtt->{content}, 'with a token, or by a link';
is $client->get("/v1/narrations/$bound->{narrationId}/captions")->{status}, 401, 'but not without either';
$api->fails(404, 'not_found', getNarrationCaptions => {path => {narrationId => $bound->{narrationId}}, token => $eve->{token}}, 'nor by the token of others');
like $vtt->{headers}{'content-type'}, qr{^text/vtt}, 'captions are there';
like $vtt->{content}, qr/\AWEBVTT\n\n00:00:00\.\d{3} --> 00:00:0\d\.\d{3}\nChapter 1\n/, 'in the format of players';
like $vtt->{content}, qr/\n<v Mary>“Who is there\?”\n|\n<v Mary>.*Who is there/, 'with who speaks';
unlike $vtt->{content}, qr/<answered>|A -->/, 'signs are escaped';
my $dir = File::Temp::tempdir(CLEANUP => 1);
sub exported {
    my ($format) = @_;
    my %export = (path => {narrationId => $bound->{narrationId}}, token => $ada->{token});
    $api->succeeds(202, exportNarration => {%export, json => {format => $format}}, "$format: is asked for");
    $api->fails(404, 'not_found', getNarrationExport => {path => {%{$export{path}}, format => $format}, token => $eve->{token}}, "$format: by who may hear it");
    my $made = wait_for(sub { my $x = $api->call(getNarrationExport => {%export, path => {%{$export{path}}, format => $format}})->{json}; $x->{status} ne 'pending' && $x });
    is $made->{status}, 'ready', "$format: is made" or diag $made->{reason};
    open my $out, '>:raw', "$dir/story.$format" or die $!;
    print $out $client->get($made->{url})->{content};
    is $client->get($made->{url} =~ s/\?.*//r)->{status}, 401, "$format: it needs the link that was given";
    is $client->get($made->{url} =~ s/\?.*//r, token => $eve->{token})->{status}, 404, "$format: or the right token";
    close $out;
    return "$dir/story.$format";
}
$api->fails(404, 'not_found', exportNarration => {path => {narrationId => $bound->{narrationId}}, token => $eve->{token}, json => {format => 'm4b'}}, 'nobody else has it made');
my $m4b = JSON::PP::decode_json($platform->run('ffprobe', '-v', 'error', '-show_format', '-show_streams', '-show_chapters', '-of', 'json', exported('m4b'))->{out});
is $m4b->{streams}[0]{codec_name}, 'aac', 'an audiobook';
is_deeply [map { $_->{tags}{title} } @{$m4b->{chapters}}], ['Chapter 1', 'The second'], 'with its chapters';
is $m4b->{format}{tags}{title}, 'Chapters & <signs>', 'and its title';
cmp_ok abs($m4b->{format}{duration} * 1000 - $bound->{durationMs}), '<', 150, 'as long as the narration';
my $epub = exported('epub');
my $checked = $platform->run('java', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Xshare:auto', '-jar', '/usr/share/java/epubcheck.jar', $epub);
is $checked->{exit}, 0, 'which is a good book by epubcheck' or diag $checked->{out};
open my $zip, '<:raw', $epub or die $!;
my $bytes = do { local $/; <$zip> };
is substr($bytes, 30, 28), 'mimetypeapplication/epub+zip', 'a book says what it is where readers look';
my ($opf) = $bytes =~ m{(<package .*?</package>)}s;
like $opf, qr{<dc:title>Chapters &amp; &lt;signs&gt;</dc:title>}, 'its title';
is scalar(() = $opf =~ /media-overlay="o\d"/g), 2, 'an overlay for each chapter';
my %clip = $bytes =~ m{<text src="c\d\.xhtml#s(\w+)"/><audio src="audio\.mp3" clipBegin="0:00:([\d.]+)"}g;
is_deeply {map { $_ => 1000 * $clip{$_} } keys %clip}, {map { $_->{segmentId} => $_->{startMs} } @{$bound->{segments}}}, 'in which each segment is heard at its time';
like $bytes, qr{<span id="s\w+">Nobody &lt;answered&gt;\.}, 'and can be read';

# One that cannot be made says so, and can be asked for again.
unlink $platform->var . "/objects/narration/$bound->{narrationId}/audio.mp3" or die "no MP3: $!\n";
$platform->sql('narration', "delete from exports where narration_id = '$bound->{narrationId}' and format = 'm4b'");
my %failing = (path => {narrationId => $bound->{narrationId}}, token => $ada->{token});
$api->succeeds(202, exportNarration => {%failing, json => {format => 'm4b'}}, 'a file that cannot be made');
my %of_it = (%failing, path => {%{$failing{path}}, format => 'm4b'});
my $unmade = wait_for(sub { my $x = $api->call(getNarrationExport => \%of_it)->{json}; $x->{status} ne 'pending' && $x });
is_deeply [@$unmade{qw(status url reason)}], ['failed', undef, 'The file could not be made.'], 'is not made, and it is said';
$api->fails(404, 'not_found', getNarrationExportFile => \%of_it, 'there is no file');
is $api->succeeds(202, exportNarration => {%failing, json => {format => 'm4b'}}, 'it is asked for again')->{json}{status}, 'pending', 'and tried again';
ok wait_for(sub { $api->call(getNarrationExport => \%of_it)->{json}{status} eq 'failed' }), 'in vain';
my @dead;
ok wait_for(sub { @dead = $platform->sql('narration', "select 'job-' || job_id from jobs where ended = 'dead' and unique_key = '$bound->{narrationId}/m4b'"); @dead == 2 }), 'each leaves a dead letter';
is_deeply [map { $platform->storyctl('dead', 'drop', 'narration', $_)->{exit} } @dead], [0, 0], 'which the operator has seen';

# --- what a tier lets -------------------------------------------------------------------------------------------------

sub limit_characters { $platform->sql('subscription', "update subscription_tiers set limits = limits || '{\"narrationCharacters\": $_[0]}' where tier = 'free'") }
my $poor = $client->register_user;
sub blocked { return +($platform->sql('narration', "select count(*) from blocks where user_id = '$poor->{userId}'"))[0] }
ok wait_for(sub { $api->call(getUsage => {token => $poor->{token}})->{status} == 200 }), 'another author';
limit_characters(10);
my $tale = post($poor, content => 'Once upon a time, limits came.');
is narrated($poor, $tale, 'to the limit')->{status}, 'ready', 'what begins within the limit of a tier is narrated';
ok wait_for(sub { blocked() == 1 }), 'and no more until the period ends';
like $api->fails(402, 'payment_required', narrateStory => {%{of($poor, $tale)}, json => {}}, 'it is not narrated again')->{json}{detail}, qr/characters is used up until \d{4}-/, 'and it is said until when';
my $second = narrated($poor, post($poor, content => 'There was a king of limits.'), 'beyond the limit');
is $second->{status}, 'failed', 'nor is another';
like $second->{reason}, qr/used up until/, 'for that reason';
limit_characters(5_000_000);
$api->succeeds(202, changeSubscription => {json => {tier => 'premium', paymentToken => 'tok_visa'}, token => $poor->{token}}, 'another tier is taken');
ok wait_for(sub { blocked() == 0 }), 'which lifts that';
$api->succeeds(202, narrateStory => {%{of($poor, $tale)}, json => {}}, 'then it is narrated again');
narrated($poor, $tale, 'in another tier');

# --- languages --------------------------------------------------------------------------------------------------------

my %texts = (
    de => '„Halt!“, rief Maria. Der alte Mann lächelte.',
    ar => 'قال الراعي: «جاء الذئب!» وضحك الناس من بعيد.',
    he => 'היה היה נסיך קטן שגר על כוכב רחוק.',
    zh => '从前有一个小女孩，她住在山里。“月亮真美！”小女孩说。',
    ja => 'むかしむかし、おじいさんがいました。「鬼だ」と桃太郎は言いました。',
    ru => 'Жил-был старик у самого моря. «Стой!» — крикнула Мария.',
);
my %told = map { $_ => post($_ lt 'h' ? $ada : $eve, content => $texts{$_}) } sort keys %texts;
for my $language (sort keys %texts) {
    my $n = narrated($language lt 'h' ? $ada : $eve, $told{$language}, $language);
    is $n->{status}, 'ready', "$language: is narrated" or diag $n->{reason};
    cmp_ok $n->{durationMs} // 0, '>', 500, "$language: audibly";
    like $n->{voices}[0]{voice}, qr/espeak/, "$language: by a voice that speaks it";
    is $n->{incomplete}, scalar(grep { $_->{incomplete} } @{$n->{segments}}), "$language: what of it is not heard whole is counted";
    cmp_ok $n->{incomplete}, $language eq 'ja' ? '>' : '==', 0, "$language: " . ($language eq 'ja' ? 'nobody reads 桃太郎 aloud' : 'nothing');
    is +($platform->sql('narration', "select payload->>'incomplete' from events where event_type = 'NarrationGenerated' and aggregate_id = '$n->{narrationId}'"))[0], $n->{incomplete}, "$language: others hear of it";
}

# --- what cannot be narrated ------------------------------------------------------------------------------------------

my $author = $client->register_user;
my %unspoken = (
    'quotation marks only' => {content => '"" “” «» ""'},
    'punctuation only'     => {content => '... !!! ???'},
    'no voice'             => {content => 'nuqneH. tlhIngan maH!', language => 'xx'},
);
for my $what (sort keys %unspoken) {
    my $failed = post($author, title => $what, %{$unspoken{$what}});
    my $n = narrated($author, $failed, $what);
    is $n->{status}, 'failed', "$what: has an end";
    like $n->{reason}, qr/\w{3} \w{2}/, "$what: with a reason" and note $n->{reason};
    my $video = wait_for(sub { my $v = $client->get("/v1/stories/$failed/video", token => $author->{token})->{json}; $v->{status} eq 'failed' && $v });
    is $video->{reason}, $n->{reason}, "$what: so does the video";
    ok $client->wait_for_mail($author->{email}, qr/\Q$n->{reason}\E/), "$what: the author is told";
}

# Whatever is posted comes to an end: it is heard, or it is said why not.
my %odd = (
    'emoji'                   => '🦉🌙✨',
    'one letter'              => 'a',
    'mixed directions'        => "Mary said \x{202e}\"abc\"\x{202c} and مرحبا then left. שלום, said Tom.",
    'marks upon marks'        => "Z\x{0308}" . "\x{0301}" x 200 . ' said Tom.',
    'nothing to be seen'      => "M\x{200b}a\x{200d}r\x{feff}y said hello.",
    'of private use'          => "\x{e000}\x{f8ff}\x{10fffd}",
    'markup'                  => '<speak><audio src="file:///etc/passwd"/></speak> {{title}} $1 %s [[h@]] # * _',
    'every script'            => 'Hello. Привет. مرحبا. שלום. नमस्ते. สวัสดี. こんにちは. 你好. 안녕. Γειά. გამარჯობა. ሰላም. བོད. ᚠᚢᚦ.',
    'a megabyte, not a space' => 'a' x 1_048_576,
);
my ($one, $two) = map { $client->register_user } 1, 2;    # a tier has so many stories
my %who    = map { $_ => $_ lt 'marl' ? $one : $two } keys %odd;
my %posted = map { $_ => post($who{$_}, title => $_, content => $odd{$_}) } sort keys %odd;
for my $what (sort keys %odd) {
    my $n = narrated($who{$what}, $posted{$what}, $what);
    like $n->{status}, qr/^(?:ready|failed)$/, "$what: has an end";
    if ($n->{status} eq 'ready') { cmp_ok $n->{durationMs}, '>', 0, "$what: is heard" }
    else                         { like $n->{reason}, qr/\w{3} \w{2}/, "$what: is not, and why is said" and note $n->{reason} }
}

# It is long, and for everybody: the edge keeps it all the same.
my $million = $posted{'a megabyte, not a space'};
is $client->patch("/v1/stories/$million", json => {visibility => 'public'}, token => $one->{token}, headers => {'If-Match' => '*'})->{status}, 200, 'a megabyte is for all';
ok wait_for(sub { $client->post("/v1/stories/$million/publish", token => $one->{token})->{status} == 200 }), 'and published';
ok wait_for(sub { ($client->get("/v1/public/stories/$million")->{headers}{age} // 0) > 0 }), 'and read without the service';
is $client->request(DELETE => "/v1/stories/$million", {token => $one->{token}})->{status}, 204, 'then it goes, for its film would take an hour';
ok scalar(grep { $_->{incomplete} } @{narrated($who{'every script'}, $posted{'every script'}, 'scripts')->{segments}}), 'what nobody reads is told';
ok !(grep { $_->{incomplete} } @{$newer->{segments}}), 'unlike what is whole';

# --- what another has taken the place of ------------------------------------------------------------------------------

my $never = '00000000-0000-7000-8000-000000000000';    # the story changed while it was spoken
$platform->sql('narration', "insert into narrations (narration_id, story_id, analysis_id, language, characters, ordinal) select '$never', story_id, gen_random_uuid(), language, characters, 0 from narrations where narration_id = '$newer->{narrationId}'");
$platform->sql('narration', "update narrations set finished_at = now() - interval '2 days' where narration_id = '$newer->{narrationId}'");
$platform->sql('narration', "update schedules set last_run = '-infinity' where name = 'trim_cache'");
ok wait_for(sub { !-e $platform->var . "/objects/narration/$id/audio.opus" && $api->call(getNarrationAudio => {%{audio($ada, $id)}, raw => 0})->{status} == 404 }), 'an old narration goes';
is_deeply [$platform->sql('narration', "select narration_id from narrations where story_id = '$story'")], [$newer->{narrationId}], 'so does one that was never finished';
is narrated($ada, $story, 'the new one')->{narrationId}, $newer->{narrationId}, 'the new one stays';

# --- deleted ----------------------------------------------------------------------------------------------------------

is $client->request(DELETE => "/v1/stories/$story", {token => $ada->{token}})->{status}, 204, 'the story is deleted';
ok wait_for(sub { $api->call(getNarrationAudio => {%{audio($ada, $newer->{narrationId})}, raw => 0})->{status} == 404 }), 'its sound is gone';
ok wait_for(sub { !-e $platform->var . "/objects/narration/$newer->{narrationId}/audio.opus" }), 'also on the disk';
$api->fails(404, 'not_found', $_ => of($ada, $story), "nobody reaches what was chosen for it: $_") for qw(getCast getStoryPronunciations);

# It comes back as it was: no voice changes silently, no word is said otherwise.
$api->succeeds(200, restoreStory => of($ada, $story), 'it is restored');
ok wait_for(sub { $api->call(getNarration => of($ada, $story))->{status} == 200 }), 'and known again';
my $back = narrated($ada, $story, 'restored');
is $back->{status}, 'ready', 'and narrated';
is_deeply [$back->{voices}[0]{voiceId}, $back->{pronunciations}{story}], ['elder-man-1', 3], 'by the voice and the rules that its author had chosen';
is_deeply $api->succeeds(200, getStoryPronunciations => of($ada, $story), 'which are there')->{json}{rules}, $rules->{rules}, 'as they were';
my $chosen = join ' + ', map { "(select count(*) from $_ where story_id = '$story')" } qw(casts takes story_pronunciations);
sub chosen { return +($platform->sql('narration', "select $chosen"))[0] }
is $client->request(DELETE => "/v1/stories/$story", {token => $ada->{token}})->{status}, 204, 'it is deleted for good';
ok wait_for(sub { ($platform->sql('narration', "select count(*) from stories where story_id = '$story'"))[0] == 0 }), 'which narration hears';
my %days = (31 => chosen(), 33 => 0);
cmp_ok $days{31}, '>=', 2, 'there is something to keep';
for my $days (sort keys %days) {
    $platform->sql('narration', "update deleted_stories set deleted_at = now() - interval '$days days' where story_id = '$story'; update schedules set last_run = '-infinity' where name = 'trim_cache'");
    ok wait_for(sub { ($platform->sql('narration', "select last_run > now() - interval '1 day' from schedules where name = 'trim_cache'"))[0] eq 't' }), "$days days pass";
    is chosen(), $days{$days}, 'as long as it may come back, it is kept, and no longer';
}

# A deleted story is not spoken to its end: that would take minutes.
my $long = post($author, title => 'Never told', content => join "\n\n", map { "Tom counted to $_ thousand." } 1 .. 3000);
ok wait_for(sub { ($api->call(getNarration => of($author, $long))->{json}{progress}{done} // 0) > 0 }), 'a long story is being spoken';
is_deeply [$platform->sql('narration', "select j.name from jobs j join narrations n on j.unique_key = n.narration_id::text where n.story_id = '$long' and j.ended is null")], ['speak_long'], 'among those that are';
my $part = wait_for(sub { my $n = $api->call(getNarration => of($author, $long))->{json}; $n->{status} eq 'pending' && $n->{parts} && $n->{parts}[0] });
is $part->{startMs}, 0, 'its first part can be heard while the rest is made';
for my $audio (@{$part->{audio}}) {
    my $heard = $client->get($audio->{url}, token => $author->{token});
    like $heard->{content}, $audio->{format} eq 'mp3' ? qr/^\xff[\xe0-\xff]/ : qr/^OggS/, "as $audio->{format}";
    is $client->get($audio->{url}, token => $eve->{token})->{status}, 404, 'by its author';
}
(my $beyond = $part->{audio}[0]{url}) =~ s/part=\d+/part=100/;
is $client->get($beyond, token => $author->{token})->{status}, 404, 'a part that is not there is not found';

# It is broken off: the parts that are there stay as they are.
my $told = ($platform->sql('narration', "select narration_id from narrations where story_id = '$long'"))[0];
my $file = $platform->var . "/objects/narration/$told/part-1.opus";
my $made = (stat $file)[9] or die "no part: $!\n";
my $daemon = $platform->pid('narration');
$platform->kill('narration', 'TERM');
ok wait_for(sub { !-d "/proc/$daemon" }), 'its daemon ends';
$platform->up;
sub parts { return scalar @{$api->call(getNarration => of($author, $long))->{json}{parts} // []} }
my $parts = parts();
ok wait_for(sub { parts() > $parts }), 'another makes the next part';
is((stat $file)[9], $made, 'and not those that were there');

# None of it was ever heard whole, and its segments are known all the same.
my ($counted) = @{$client->get("/v1/stories/$long/analysis", token => $author->{token})->{json}{segments}};
$api->succeeds(202, narrateStory => {%{of($author, $long)}, json => {again => [$counted->{segmentId}]}}, 'a segment of it can be spoken anew');
is $client->request(DELETE => "/v1/stories/$long", {token => $author->{token}})->{status}, 204, 'and deleted meanwhile';
my $next = post($eve, content => 'The next one.');
is narrated($eve, $next, 'the next')->{status}, 'ready', 'the next one need not wait for it';
is scalar(grep { $_->{subject} =~ /Never told/ } $client->mails($author->{email})), 0, 'nobody hears of it';

done_testing;
