# A story's states, its revisions, and how it goes and comes back.
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
my ($ada, $eve) = map { $client->register_user(displayName => $_) } 'Ada', 'Eve';

sub of { my ($who, $id, %more) = @_; return {path => {storyId => $id}, token => $who->{token}, %more} }
sub at { my ($who, $id, $revision, %more) = @_; return {path => {storyId => $id, revision => $revision}, token => $who->{token}, %more} }
sub state_of { return $api->call(getStory => of($ada, $_[0]))->{json}{state} // '' }
sub settled { my ($id) = @_; return wait_for(sub { state_of($id) =~ /^(?:ready|published)$/ }) }
sub changed {
    my ($id, $name, %what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $api->succeeds(200, updateStory => of($ada, $id, json => \%what, headers => {'If-Match' => '*'}), $name)->{json};
}

# --- draft, analysed, published, taken back ---------------------------------------------------------------------------

my $draft = $api->succeeds(201, createStory => {json => {title => 'Later', content => 'The first words.', draft => JSON::PP::true}, token => $ada->{token}}, 'a draft')->{json};
my $id = $draft->{storyId};
is $draft->{state}, 'draft', 'is one';
is $draft->{revision}, 1, 'its text is the first revision';
is $draft->{language}, 'en', 'whose language is known';
is $api->succeeds(200, getAnalysis => of($ada, $id), 'it can be asked for its analysis')->{json}{status}, 'none', 'there is none, and none is under way';
is changed($id, 'a draft changes', content => 'Tom laughed. “I am happy,” he said.')->{state}, 'draft', 'and stays one';
$api->fails(409, 'conflict', publishStory => of($ada, $id), 'a draft is not published');
$api->fails(409, 'conflict', unpublishStory => of($ada, $id), 'nor taken back');
$api->fails(404, 'not_found', $_ => of($eve, $id), "$_: not by others") for qw(analyseStory publishStory unpublishStory);
$api->fails(404, 'not_found', $_ => of($ada, $UNKNOWN), "$_: nor what is not there") for qw(analyseStory unpublishStory);
$api->fails(412, 'precondition_failed', analyseStory => of($ada, $id, headers => {'If-Match' => '"1"'}), 'not as it was before');
my $begun = $api->succeeds(202, analyseStory => of($ada, $id), 'its author has it analysed');
is $begun->{json}{state}, 'analyzing', 'that is under way';
ok settled($id), 'and comes to an end';
is $api->call(getAnalysis => of($ada, $id))->{json}{characters}[0]{name}, 'Tom', 'as that of any other story';
ok wait_for(sub { (($platform->sql('narration', "select status from narrations where story_id = '$id'"))[0] // '') eq 'ready' }), 'once it has been spoken';
ok wait_for(sub { state_of($id) eq 'ready' }), 'it is ready';
$platform->sql('narration', "insert into events (event_id, event_type, aggregate_type, aggregate_id, aggregate_version, version, metadata, payload) values "
        . "(gen_random_uuid(), 'NarrationProgressed', 'narration', '$UNKNOWN', 1, '1.0.0', '{\"correlationId\": \"test\"}', "
        . "'{\"narrationId\": \"$UNKNOWN\", \"storyId\": \"$id\", \"done\": 1, \"total\": 2}')");
ok wait_for(sub { state_of($id) eq 'narrating' }), 'while it is spoken again, it says so';
$api->fails(409, 'conflict', unpublishStory => of($ada, $id), 'what is not published cannot be taken back');
is $api->succeeds(200, publishStory => of($ada, $id), 'it is published')->{json}{state}, 'published', 'and says so';
changed($id, 'for all', visibility => 'public');
$api->succeeds(200, getStory => of($eve, $id), 'everybody reads it');
my $back = $api->succeeds(200, unpublishStory => of($ada, $id), 'its author takes it back')->{json};
is $back->{state}, 'ready', 'then it is ready';
is $back->{publishedAt}, undef, 'and not published';
$api->fails(404, 'not_found', getStory => of($eve, $id), 'others no longer read it');
ok wait_for(sub { $client->get("/v1/stories/$id/narration", token => $eve->{token})->{status} == 404 }), 'nor hear it';
$api->fails(409, 'conflict', unpublishStory => of($ada, $id), 'it is taken back once');
my $analysis = $api->call(getAnalysis => of($ada, $id))->{json}{analysisId};
is $api->succeeds(202, analyseStory => of($ada, $id), 'it may be analysed again')->{json}{state}, 'ready', 'but nothing has changed';
is $api->call(getAnalysis => of($ada, $id))->{json}{analysisId}, $analysis, 'so it is what it was';
is_deeply [$platform->sql('story', "select count(*) from events where event_type = 'StoryAnalyzed' and aggregate_id = '$id'")], [1], 'and nobody need speak or film it anew';
$platform->sql('story', "update story_analyses set analyser_version = 1 where story_id = '$id'");
is $api->succeeds(202, analyseStory => of($ada, $id), 'by a later analyser')->{json}{state}, 'analyzing', 'it is analysed again';
ok settled($id), 'to its end';
isnt $api->call(getAnalysis => of($ada, $id))->{json}{analysisId}, $analysis, 'with another analysis';

$api->succeeds(200, publishStory => of($ada, $id), 'it is published again');
changed($id, 'for all', visibility => 'public');
$platform->sql('story', "update stories set state = 'analyzing' where story_id = '$id'");
my $early = $api->succeeds(200, unpublishStory => of($ada, $id), 'while it is analysed anew it is taken back')->{json};
is_deeply [@$early{qw(state publishedAt)}], ['analyzing', undef], 'at once';
$api->fails(404, 'not_found', getStory => of($eve, $id), 'nobody else reads it');
$api->fails(409, 'conflict', unpublishStory => of($ada, $id), 'once');
$platform->sql('story', "insert into jobs (name, unique_key, payload, metadata) values ('analyse', '$id', '{\"storyId\":\"$id\"}', '{\"correlationId\":\"test\"}')");
ok wait_for(sub { state_of($id) eq 'ready' }), 'and it is ready when that ends';

# --- an analysis that fails -------------------------------------------------------------------------------------------

my ($broken) = map { $_->{json}{storyId} } $api->succeeds(201, createStory => {json => {title => 'T', content => 'A text.', draft => JSON::PP::true}, token => $ada->{token}}, 'a text');
$platform->sql('story', "update stories set content = '', content_hash = encode(sha256(''), 'hex') where story_id = '$broken'");
$platform->sql('story', "update stories set state = 'analyzing' where story_id = '$broken'");
$api->fails(409, 'conflict', $_ => of($ada, $broken), "$_: not while it is analysed") for qw(publishStory unpublishStory analyseStory);
$platform->sql('story', "insert into jobs (name, unique_key, payload, metadata, attempts) values ('analyse', '$broken', '{\"storyId\":\"$broken\"}', '{\"correlationId\":\"test\"}', 4)");
my $failed = wait_for(sub { my $seen = $api->call(getAnalysis => of($ada, $broken)); $seen->{json}{status} eq 'failed' && $seen });
ok $failed, 'a text that cannot be analysed';
is_deeply [$api->complaints(getAnalysis => $failed)], [], 'is told of as the contract says';
like $failed->{json}{reason}, qr/cannot be analysed/, 'with a reason';
is state_of($broken), 'draft', 'and is a draft again';
my ($dead) = $platform->sql('story', "select job_id from jobs where ended = 'dead' and unique_key = '$broken'");
is $platform->storyctl('dead', 'drop', 'story', "job-$dead")->{exit}, 0, 'the operator has seen its dead letter';
is changed($broken, 'another title', title => 'U')->{state}, 'draft', 'mends nothing';
is changed($broken, 'another text', content => 'Better words.')->{state}, 'analyzing', 'begins anew';
ok settled($broken), 'to its end';
is $api->call(getAnalysis => of($ada, $broken))->{json}{status}, 'ready', 'so nothing has failed';
is $api->call(deleteStory => of($ada, $broken))->{status}, 204, 'gone';

my $kept = $api->succeeds(201, createStory => {json => {title => 'T', content => 'A text that has an analysis.'}, token => $ada->{token}}, 'one more')->{json}{storyId};
ok settled($kept), 'is analysed';
my $had = $api->call(getAnalysis => of($ada, $kept))->{json}{analysisId};
$platform->sql('story', "update stories set content = '', state = 'analyzing' where story_id = '$kept'");
$platform->sql('story', "insert into jobs (name, unique_key, payload, metadata, attempts) values ('analyse', '$kept', '{\"storyId\":\"$kept\"}', '{\"correlationId\":\"test\"}', 4)");
ok wait_for(sub { state_of($kept) ne 'analyzing' }), 'it cannot be analysed again';
is state_of($kept), 'ready', 'then it is as it was';
is $api->call(getAnalysis => of($ada, $kept))->{json}{analysisId}, $had, 'with the analysis that it had';
is $platform->storyctl('dead', 'drop', 'story', map { "job-$_" } $platform->sql('story', "select job_id from jobs where ended = 'dead' and unique_key = '$kept'"))->{exit}, 0, 'its dead letter is seen';
$platform->sql('story', "update stories set content = 'A text that has an analysis.' where story_id = '$kept'");
$api->succeeds(200, describeCharacter => of($ada, $kept, json => {name => 'Zoe'}), 'which can be corrected');
ok wait_for(sub { $api->call(getAnalysis => of($ada, $kept))->{json}{analysisId} ne $had }), 'and is made anew with what is corrected';
$platform->sql('story', "update stories set state = 'draft' where story_id = '$kept'");
$api->fails(409, 'conflict', describeCharacter => of($ada, $kept, json => {name => 'Ulf'}), 'of a draft there is nothing to correct');
is $api->call(deleteStory => of($ada, $kept))->{status}, 204, 'gone';

my $out = $api->succeeds(201, createStory => {json => {title => 'T', content => 'A text that is out.'}, token => $ada->{token}}, 'another')->{json}{storyId};
ok settled($out), 'is analysed';
$api->succeeds(200, publishStory => of($ada, $out), 'and published');
$platform->sql('story', "update stories set content = '', content_hash = '', state = 'analyzing' where story_id = '$out'");
$platform->sql('story', "insert into jobs (name, unique_key, payload, metadata, attempts) values ('analyse', '$out', '{\"storyId\":\"$out\"}', '{\"correlationId\":\"test\"}', 4)");
ok wait_for(sub { $api->call(getAnalysis => of($ada, $out))->{json}{status} eq 'failed' }), 'its next text cannot be';
is state_of($out), 'published', 'it is what it was, for its readers';
is $platform->storyctl('dead', 'drop', 'story', map { "job-$_" } $platform->sql('story', "select job_id from jobs where ended = 'dead' and unique_key = '$out'"))->{exit}, 0, 'its dead letter is seen, too';
$api->succeeds(200, unpublishStory => of($ada, $out), 'and can be taken back');
is $api->call(deleteStory => of($ada, $out))->{status}, 204, 'gone';

# --- revisions --------------------------------------------------------------------------------------------------------

my $story = $api->succeeds(201, createStory => {json => {title => 'One', content => 'First.'}, token => $ada->{token}}, 'a story')->{json}{storyId};
is changed($story, 'another title', title => 'Two')->{revision}, 2, 'is a revision';
is changed($story, 'another text', content => 'Second.')->{revision}, 3, 'is one';
is changed($story, 'another language', language => 'de')->{revision}, 4, 'is one';
is changed($story, 'another audience', visibility => 'link')->{revision}, 4, 'is none';
is changed($story, 'the same words', title => 'Two', content => 'Second.')->{revision}, 4, 'are none';
my $list = $api->succeeds(200, listRevisions => of($ada, $story), 'its past')->{json}{items};
is_deeply [map { [@$_{qw(revision title language restoredFrom)}] } @$list], [[4, 'Two', 'de', undef], [3, 'Two', undef, undef], [2, 'Two', undef, undef], [1, 'One', undef, undef]],
    'is there, newest first';
is $list->[0]{contentHash}, $list->[1]{contentHash}, 'what has not changed is the same';
my $page = $api->succeeds(200, listRevisions => of($ada, $story, query => {limit => 3}), 'page by page')->{json};
is_deeply [map { $_->{revision} } @{$page->{items}}], [4, 3, 2], 'the first';
is_deeply [map { $_->{revision} } @{$api->succeeds(200, listRevisions => of($ada, $story, query => {limit => 3, cursor => $page->{nextCursor}}), 'the second page')->{json}{items}}], [1], 'and the last';
my $first = $api->succeeds(200, getRevision => at($ada, $story, 1), 'a revision')->{json};
is "$first->{title}: $first->{content}", 'One: First.', 'has its text';
is $first->{characters}, 6, 'and says how long it is';
$api->fails(404, 'not_found', getRevision => at($ada, $story, $_), "there is no revision $_") for 5, 2147483647;
$api->fails(400, 'invalid_request', getRevision => at($ada, $story, $_), "$_ is none", '/path/revision') for 0, -1, '1.5', 'x', 99999999999;
$api->fails(404, 'not_found', listRevisions => of($_, $story), 'others see no past') for $eve;
$api->fails(404, 'not_found', getRevision => at($eve, $story, 1), 'nor a revision');
$api->fails(404, 'not_found', restoreRevision => at($eve, $story, 1, headers => {'If-Match' => '*'}), 'nor restore one');
$api->fails(404, 'not_found', listRevisions => of($ada, $UNKNOWN), 'what is not there has none');
$api->fails(428, 'precondition_required', restoreRevision => at($ada, $story, 1), 'restoring needs If-Match');
$api->fails(412, 'precondition_failed', restoreRevision => at($ada, $story, 1, headers => {'If-Match' => '"1"'}), 'that fits');
$api->fails(404, 'not_found', restoreRevision => at($ada, $story, 9, headers => {'If-Match' => '*'}), 'and a revision');
my $etag = $api->call(getStory => of($ada, $story))->{headers}{etag};
my $restored = $api->succeeds(200, restoreRevision => at($ada, $story, 1, headers => {'If-Match' => $etag}), 'a revision comes back');
is $restored->{json}{revision}, 5, 'as the newest';
isnt $restored->{headers}{etag}, $etag, 'the story is another';
my $now = $api->call(getStory => of($ada, $story))->{json};
is "$now->{title}: $now->{content}", 'One: First.', 'with that text';
is $now->{language}, 'und', 'whose language nobody had said';
is $now->{visibility}, 'link', 'its audience is not part of the past';
is $api->call(getRevision => at($ada, $story, 5))->{json}{restoredFrom}, 1, 'and says where it comes from';
is $api->call(getRevision => at($ada, $story, 4))->{json}{content}, 'Second.', 'what lies between is still there';
$platform->sql('story', "insert into story_revisions select story_id, n, title, content, content_hash, language from story_revisions, generate_series(6, 130) n where story_id = '$story' and revision = 5");
$platform->sql('story', "update stories set revision = 130 where story_id = '$story'");
changed($story, 'one change of many', title => 'Many');
is_deeply [$platform->sql('story', "select count(*), min(revision), max(revision) from story_revisions where story_id = '$story' and revision > 1")], ["100\t32\t131"], 'the latest hundred are kept';
is $api->call(getRevision => at($ada, $story, 1))->{json}{title}, 'One', 'and the first';

# --- deleted and restored ---------------------------------------------------------------------------------------------

ok settled($story), 'a story';
$api->fails(404, 'not_found', restoreStory => of($ada, $story), 'what is not deleted is not restored');
$api->succeeds(204, deleteStory => of($ada, $story), 'goes');
$api->fails(404, 'not_found', $_ => of($ada, $story), "$_: it is gone") for qw(getStory getAnalysis deleteStory publishStory analyseStory unpublishStory listRevisions listShareLinks);
$api->fails(404, 'not_found', updateStory => of($ada, $story, json => {title => 'x'}, headers => {'If-Match' => '*'}), 'it does not change');
is_deeply [grep { $_->{storyId} eq $story } @{$api->call(listStories => {token => $ada->{token}})->{json}{items}}], [], 'nor is it listed';
my ($gone) = grep { $_->{storyId} eq $story } @{$api->succeeds(200, listDeletedStories => {token => $ada->{token}}, 'but among the deleted ones')->{json}{items}};
is $gone->{title}, 'Many', 'it is there';
ok $gone->{purgedAt} gt $gone->{deletedAt}, 'for a while';
is_deeply $api->succeeds(200, listDeletedStories => {token => $eve->{token}}, 'others have others')->{json}{items}, [], 'none';
$api->fails(404, 'not_found', restoreStory => of($eve, $story), 'they do not restore it');
my $returned = $api->succeeds(200, restoreStory => of($ada, $story), 'its author does');
is $returned->{json}{visibility}, 'private', 'for themselves';
is $returned->{json}{publishedAt}, undef, 'unpublished';
is $returned->{json}{state}, 'analyzing', 'it is analysed anew';
is $api->call(getStory => of($ada, $story))->{json}{content}, 'First.', 'with its text';
is $api->call(listRevisions => of($ada, $story))->{json}{items}[0]{revision}, 131, 'and its past';
ok settled($story), 'to the end';
ok wait_for(sub { ($client->get("/v1/stories/$story/narration", token => $ada->{token})->{json}{status} // '') eq 'ready' }), 'and narrated anew';
$api->fails(404, 'not_found', restoreStory => of($ada, $story), 'it comes back once');

$api->succeeds(204, deleteStory => of($ada, $id), 'another goes');
$platform->sql('story', "update stories set deleted_at = now() - interval '31 days' where story_id = '$id'");
$platform->sql('story', "update schedules set last_run = '-infinity' where name = 'purge'");
$api->fails(404, 'not_found', restoreStory => of($ada, $id), 'after thirty days it does not come back');
ok wait_for(sub { ($platform->sql('story', "select count(*) from stories where story_id = '$id'"))[0] == 0 }), 'and is really gone';
is_deeply [$platform->sql('story', "select (select count(*) from story_revisions where story_id = '$id'), (select count(*) from story_analyses where story_id = '$id')")], ["0\t0"], 'with its past, and what was found in it';

done_testing;
