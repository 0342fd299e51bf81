# What an author knows better than the analysis: it holds, also when the text is analysed again; and what an edit changes.
use strict;
use warnings;
use utf8;
use Test::More;
use JSON::PP ();
use Storytelling::Platform;
use Storytelling::Client;
use Storytelling::Contract;

binmode Test::More->builder->$_, ':utf8' for qw(output failure_output todo_output);
my $platform = Storytelling::Platform->shared;
my $client   = $platform->client;
my $api      = Storytelling::Contract->new($platform, $client);
my $UNKNOWN  = '0193c7e2-1111-7111-8111-111111111111';
my ($ada, $eve) = map { $client->register_user(displayName => $_) } 'Ada', 'Eve';

sub of { my ($who, $id, %more) = @_; return {path => {storyId => $id}, token => $who->{token}, %more} }
sub at { my ($who, $id, $segment, %more) = @_; return {path => {storyId => $id, segmentId => $segment}, token => $who->{token}, %more} }
sub analysis { return $api->call(getAnalysis => of($ada, $_[0]))->{json} }
# The analysis that comes after another one.
sub next_analysis {
    my ($id, $before) = @_;
    my $seen = wait_for(sub { my $a = analysis($id); $a->{status} eq 'ready' && $a->{analysisId} ne ($before->{analysisId} // '') && $a });
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok $seen, 'an analysis is made' or return {};
    return $seen;
}
# Told until it fits: corrections that come one after the other may be heeded one after the other.
sub becomes {
    my ($id, $name, $test) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok wait_for(sub { my $a = analysis($id); $a->{status} eq 'ready' && $test->($a) }), $name or diag explain analysis($id);
}
sub segment { my ($analysis, $text) = @_; return (grep { $_->{text} =~ /^\Q$text\E/ } @{$analysis->{segments}})[0] // {} }
sub names { return join ',', sort map { $_->{name} } @{$_[0]{characters}} }

my $text = "“Where were you?” said Ann.\n\n“At home,” said Ben.\n\n“It was raining.”\n\n“Good,” said Benjamin.\n\nThe dog barked.";
my $id = $api->call(createStory => {json => {title => 'Told', content => $text, language => 'en'}, token => $ada->{token}})->{json}{storyId};
$api->fails(409, 'conflict', correctSegment => at($ada, $api->call(createStory => {json => {title => 'Draft', content => 'x', draft => JSON::PP::true}, token => $ada->{token}})->{json}{storyId},
    'abc', json => {speaker => undef}), 'without an analysis there is nothing to correct');
my $first = next_analysis($id, {});
is_deeply [$api->complaints(getAnalysis => $api->call(getAnalysis => of($ada, $id)))], [], 'the answer keeps to the contract';
is $first->{analyser}{name}, 'embedded', 'it says who has made it';
ok !exists $first->{changes}, 'the first has changed nothing';
is segment($first, 'At home')->{speaker}, 'Ben', 'somebody speaks';
ok segment($first, 'At home')->{confidence} > 0.5, 'with some confidence';
ok segment($first, 'At home')->{evidence}, 'and evidence';

# --- an edit changes what it touches ----------------------------------------------------------------------------------

$text =~ s/The dog barked/The cat slept/;
$api->succeeds(200, updateStory => of($ada, $id, json => {content => $text}, headers => {'If-Match' => '*'}), 'a sentence is edited');
my $second = next_analysis($id, $first);
is $second->{changes}{since}, $first->{analysisId}, 'against the analysis before';
is_deeply $second->{changes}{added}, [segment($second, 'The cat slept')->{segmentId}], 'one segment is new';
is_deeply $second->{changes}{removed}, [segment($first, 'The dog barked')->{segmentId}], 'one is gone';
is_deeply $second->{changes}{changed}, [], 'nothing else';
my ($told) = map { JSON::PP->new->decode($_) } $platform->sql('story', "select payload->'changes' from events where event_type = 'StoryAnalyzed' and payload->>'analysisId' = '$second->{analysisId}'");
is_deeply $told, $second->{changes}, 'so it is told to the others';
is_deeply [$platform->sql('story', "select count(*) from story_analyses where story_id = '$id'")], [1], 'what was before is not kept';

# --- who speaks, and how ----------------------------------------------------------------------------------------------

my $home = segment($second, 'At home')->{segmentId};
my $etag = $api->call(listCorrections => of($ada, $id))->{headers}{etag};
for (['another speaker', {speaker => 'Nobody There'}, '/speaker'], ['a number', {speaker => 7}, '/speaker'], ['no mood', {emotion => 'hungry'}, '/emotion'],
    ['too much of it', {emotion => 'joy', intensity => 2}, '/intensity'], ['a mood of nothing', {intensity => 0.5}, '/emotion'], ['nothing', {}, '']) {
    my ($what, $json, $pointer) = @$_;
    $api->fails(422, 'unprocessable', correctSegment => at($ada, $id, $home, json => $json), "$what is refused", $pointer);
}
$api->fails(422, 'unprocessable', correctSegment => at($ada, $id, segment($second, 'The cat slept')->{segmentId}, json => {speaker => 'Ann'}), 'narration has no speaker', '/speaker');
$api->fails(404, 'not_found', correctSegment => at($ada, $id, 'x' x 20, json => {speaker => 'Ann'}), 'a segment must be there');
$api->fails(404, 'not_found', correctSegment => at($eve, $id, $home, json => {speaker => 'Ann'}), 'others correct nothing');
$api->fails(404, 'not_found', correctSegment => at($ada, $UNKNOWN, $home, json => {speaker => 'Ann'}), 'nor anybody what is not there');
$api->fails(412, 'precondition_failed', correctSegment => at($ada, $id, $home, json => {speaker => 'Ann'}, headers => {'If-Match' => '"99"'}), 'nor what has changed');
$api->fails(404, 'not_found', $_ => of($eve, $id), "$_: not others'") for qw(listCorrections dropCorrections);
$api->fails(404, 'not_found', dropSegmentCorrection => at($ada, $id, $home), 'nothing is corrected');
$api->fails(404, 'not_found', dropSegmentCorrection => at($eve, $id, $home), 'for others neither');
is_deeply $api->succeeds(200, listCorrections => of($ada, $id), 'what is corrected')->{json}, {characters => [], segments => []}, 'is nothing so far';
my $corrected = $api->succeeds(200, correctSegment => at($ada, $id, $home, json => {speaker => 'Ann', emotion => 'fear', intensity => 0.75}, headers => {'If-Match' => $etag}), 'the author knows better');
is_deeply $corrected->{json}{segments}, [{segmentId => $home, speaker => 'Ann', emotion => 'fear', intensity => 0.75}], 'that is kept';
isnt $corrected->{headers}{etag}, $etag, 'the corrections are others';
my $third = next_analysis($id, $second);
my $known = segment($third, 'At home');
is_deeply [@$known{qw(segmentId speaker emotion intensity evidence confidence)}], [$home, 'Ann', 'fear', 0.75, 'corrected', 1], 'and heeded';
is_deeply $known->{corrected}, ['speaker', 'emotion'], 'it says what was corrected';
ok scalar(grep { $_ eq $home } @{$third->{changes}{changed}}), 'others hear that it is told otherwise';
is_deeply [@{$third->{changes}}{qw(added removed)}], [[], []], 'by the same words';
is $api->call(getStory => of($ada, $id))->{json}{content}, $text, 'the text is as it was';
$text .= "\n\nAnn left.";
$api->succeeds(200, updateStory => of($ada, $id, json => {content => $text}, headers => {'If-Match' => '*'}), 'an edit elsewhere');
my $fourth = next_analysis($id, $third);
is_deeply [@{segment($fourth, 'At home')}{qw(speaker emotion)}], ['Ann', 'fear'], 'a correction outlives it';
(my $without = $text) =~ s/At home/Elsewhere/;
$api->succeeds(200, updateStory => of($ada, $id, json => {content => $without}, headers => {'If-Match' => '*'}), 'the words change');
my $fifth = next_analysis($id, $fourth);
is segment($fifth, 'Elsewhere')->{speaker}, 'Ben', 'other words are not corrected';
$api->succeeds(200, updateStory => of($ada, $id, json => {content => $text}, headers => {'If-Match' => '*'}), 'the words come back');
is segment(next_analysis($id, $fifth), 'At home')->{speaker}, 'Ann', 'and the correction with them';
$api->succeeds(200, correctSegment => at($ada, $id, $home, json => {speaker => undef}), 'nobody says it');
becomes($id, 'then nobody does', sub { !defined segment($_[0], 'At home')->{speaker} });
is segment(analysis($id), 'At home')->{emotion}, 'fear', 'in the mood that was said before';
$api->succeeds(200, dropSegmentCorrection => at($ada, $id, $home), 'the analysis shall say');
becomes($id, 'and does', sub { (segment($_[0], 'At home')->{speaker} // '') eq 'Ben' });

# --- who is who -------------------------------------------------------------------------------------------------------

my $before = analysis($id);
ok names($before) =~ /Ann/, 'there are characters: ' . names($before);
sub merge { my ($who, %json) = @_; return of($who, $id, json => \%json) }
$api->fails(422, 'unprocessable', mergeCharacters => merge($ada, names => ['Ann', 'Nobody There']), 'only who is there is merged', '/names');
$api->fails(422, 'unprocessable', mergeCharacters => merge($ada, names => []), 'at least one', '/names');
$api->fails(422, 'unprocessable', mergeCharacters => merge($ada, names => ['Ann'], name => 'Ben'), 'not under the name of another', '/name');
$api->fails(404, 'not_found', mergeCharacters => merge($eve, names => ['Ann']), 'not by others');
$api->fails(404, 'not_found', splitCharacter => of($eve, $id, json => {name => 'Ann', aliases => ['A']}), 'nor split');
$api->succeeds(200, mergeCharacters => merge($ada, names => [grep { /^Ben/ } map { $_->{name} } @{$before->{characters}}], name => 'Old Ben'), 'two are one, with a name of the author\'s');
becomes($id, 'so they are', sub { names($_[0]) eq 'Ann,Old Ben' && segment($_[0], 'At home')->{speaker} eq 'Old Ben' && segment($_[0], 'Good')->{speaker} eq 'Old Ben' });
my ($ben) = grep { $_->{name} eq 'Old Ben' } @{analysis($id)->{characters}};
is_deeply [grep { /^Ben/ } sort @{$ben->{aliases}}], ['Ben', 'Benjamin'], 'under all their names';
$api->succeeds(200, updateStory => of($ada, $id, json => {content => "$text Ben slept."}, headers => {'If-Match' => '*'}), 'the text goes on');
becomes($id, 'they stay one', sub { names($_[0]) eq 'Ann,Old Ben' && grep { $_->{text} =~ /Ben slept/ } @{$_[0]{segments}} });
sub split_off { my (%json) = @_; return of($ada, $id, json => \%json) }
$api->fails(422, 'unprocessable', splitCharacter => split_off(name => 'Nobody There', aliases => ['x']), 'who is not there is not split', '/name');
$api->fails(422, 'unprocessable', splitCharacter => split_off(name => 'Old Ben', aliases => ['Bob']), 'nor by an alias of nobody', '/aliases');
$api->fails(422, 'unprocessable', splitCharacter => split_off(name => 'Old Ben', aliases => ['Benjamin'], newName => $_), "nor into $_, who is there", '/newName') for 'Ann', 'Old Ben', 'Ben';
my $parted = $api->succeeds(200, splitCharacter => split_off(name => 'Old Ben', aliases => ['Benjamin']), 'one is two')->{json};
is_deeply [map { $_->{name} } @{$parted->{characters}}], ['Benjamin', 'Old Ben'], 'both are kept';
becomes($id, 'each says their own', sub { segment($_[0], 'At home')->{speaker} eq 'Old Ben' && segment($_[0], 'Good')->{speaker} eq 'Benjamin' });

# --- whom the analysis has missed -------------------------------------------------------------------------------------

sub describe { my ($who, %json) = @_; return of($who, $id, json => \%json) }
$api->fails(422, 'unprocessable', describeCharacter => describe($ada, name => 'Ben'), 'a name of somebody is not another\'s', '/name');
$api->fails(422, 'unprocessable', describeCharacter => describe($ada, name => 'Zoe', aliases => ['Zo', 'Ann']), 'nor an alias', '/aliases');
$api->fails(422, 'unprocessable', describeCharacter => describe($ada, name => 'Zoe', gender => 'cat'), 'nor any gender', '/gender');
$api->fails(404, 'not_found', describeCharacter => describe($eve, name => 'Zoe'), 'nor by others');
$api->fails(422, 'unprocessable', correctSegment => at($ada, $id, $home, json => {speaker => 'Zoe'}), 'nobody knows her', '/speaker');
my $zoe = $api->succeeds(200, describeCharacter => describe($ada, name => 'Zoe', aliases => ['Zo'], gender => 'female'), 'the author does')->{json};
is_deeply [grep { $_->{name} eq 'Zoe' } @{$zoe->{characters}}], [{name => 'Zoe', aliases => ['Zo'], gender => 'female'}], 'that is kept';
$api->succeeds(200, correctSegment => at($ada, $id, $home, json => {speaker => 'Zoe'}), 'so she may speak');
becomes($id, 'and does', sub { (segment($_[0], 'At home')->{speaker} // '') eq 'Zoe' && grep { $_->{name} eq 'Zoe' && ($_->{gender} // '') eq 'female' } @{$_[0]{characters}} });
my $older = $api->succeeds(200, describeCharacter => describe($ada, name => 'Zoe', age => 'old'), 'more of her')->{json};
is_deeply [grep { $_->{name} eq 'Zoe' } @{$older->{characters}}], [{name => 'Zoe', aliases => ['Zo'], gender => 'female', age => 'old'}], 'beside what was known';
$api->succeeds(200, describeCharacter => describe($ada, name => 'Ann', gender => 'male', age => 'child'), 'one whom it has found');
becomes($id, 'is as the author says', sub { grep { $_->{name} eq 'Ann' && $_->{gender} eq 'male' && $_->{age} eq 'child' } @{$_[0]{characters}} });

# --- equal words ------------------------------------------------------------------------------------------------------

(my $twice = $text) =~ s/At home/Good/;
$api->succeeds(200, updateStory => of($ada, $id, json => {content => $twice}, headers => {'If-Match' => '*'}), 'two say the same');
becomes($id, 'so it is', sub { 2 == grep { $_->{text} =~ /^Good/ } @{$_[0]{segments}} });
my $last = (grep { $_->{text} =~ /^Good/ } @{analysis($id)->{segments}})[1]{segmentId};
$api->succeeds(200, correctSegment => at($ada, $id, $last, json => {speaker => 'Zoe'}), 'the second is corrected');
$api->succeeds(200, updateStory => of($ada, $id, json => {content => "“Good,” said Ann.\n\n$twice"}, headers => {'If-Match' => '*'}), 'and another comes before both');
becomes($id, 'the correction stays where it was', sub { join(',', map { $_->{speaker} // '' } grep { $_->{text} =~ /^Good/ } @{$_[0]{segments}}) =~ /^Ann,[^,]+,Zoe$/ });
$api->succeeds(204, deleteStory => of($ada, $id), 'the story goes');
$api->succeeds(200, restoreStory => of($ada, $id), 'and comes back');
becomes($id, 'with it the correction, where it was', sub { join(',', map { $_->{speaker} // '' } grep { $_->{text} =~ /^Good/ } @{$_[0]{segments}}) =~ /^Ann,[^,]+,Zoe$/ });
ok !exists analysis($id)->{changes}, 'to all others it is new';
$api->succeeds(200, updateStory => of($ada, $id, json => {content => $text}, headers => {'If-Match' => '*'}), 'the text as it was');
becomes($id, 'and its words', sub { 1 == grep { $_->{text} =~ /^Good/ } @{$_[0]{segments}} });
$api->succeeds(200, dropCorrections => of($ada, $id), 'the author corrects nothing any more');
becomes($id, 'then it is as at first', sub { names($_[0]) eq names($before) });
is_deeply $api->call(listCorrections => of($ada, $id))->{json}, {characters => [], segments => []}, 'nothing is left';

$api->call(deleteStory => of($ada, $_->{storyId})) for @{$api->call(listStories => {token => $ada->{token}})->{json}{items}};
done_testing;
