# Who reads a story besides its author: by a share link, as a follower, by searching.
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
my ($ada, $eve, $max) = map { $client->register_user(displayName => $_) } 'Ada', 'Eve', 'Max';
my $word = sprintf 'zq%06x%x', rand 0xffffff, $$;    # is in the stories of this run alone

sub of { my ($who, $id, %more) = @_; return {path => {storyId => $id}, token => $who->{token}, %more} }
sub post {
    my ($who, %story) = @_;
    return $api->call(createStory => {json => {title => 'Told', %story}, token => $who->{token}})->{json}{storyId};
}
sub published {
    my ($who, $id) = @_;
    return wait_for(sub { $api->call(publishStory => of($who, $id))->{status} == 200 });
}

# --- share links ------------------------------------------------------------------------------------------------------

my $private = post($ada, content => "A private text of $word.");
sub opened { return {json => {token => $_[0]}, client => $platform->client} }
my $link = $api->succeeds(201, createShareLink => of($ada, $private, json => {}), 'a private story gets a link')->{json};
like $link->{token}, qr/^[\w-]{22}$/, 'with a token of 128 bits';
like $link->{url}, qr{^https://[^/]+/shared#\Q$link->{token}\E$}, 'and a page to read it on';
my $shown_on = $platform->client->get('/shared');
is $shown_on->{status}, 200, 'which is there';
like $shown_on->{headers}{'content-type'}, qr{^text/html}, 'as a page';
is $platform->client->get($_)->{status}, 200, "with $_" for $shown_on->{content} =~ m{(?:href|src)="(/[^"]+)"}g;
my $seen = $api->succeeds(200, openSharedStory => opened($link->{token}), 'whoever has it reads the story')->{json};
is $seen->{content}, "A private text of $word.", 'all of it';
ok wait_for(sub { $api->call(openSharedStory => opened($link->{token}))->{json}{authorName} eq 'Ada' }), 'and who has written it';
is_deeply [$platform->sql('story', "select count(*) from story_links where token_hash = '$link->{token}'")], [0], 'the token itself is not kept';
my $shown = $api->succeeds(200, listShareLinks => of($ada, $private), 'the author sees the links')->{json}{items};
is $shown->[0]{linkId}, $link->{linkId}, 'this one';
cmp_ok $shown->[0]{opened}, '>=', 2, 'how often it was opened';
ok !exists $shown->[0]{token}, 'but not its token';
$api->fails(404, 'not_found', createShareLink => of($eve, $private, json => {}), 'others make no links');
$api->fails(404, 'not_found', createShareLink => of($ada, $UNKNOWN, json => {}), 'nor are there any to what is not there');
$api->fails(404, 'not_found', listShareLinks => of($eve, $private), 'others do not see them');
$api->fails(404, 'not_found', revokeShareLink => {path => {storyId => $private, linkId => $link->{linkId}}, token => $eve->{token}}, 'nor revoke them');
$api->fails(404, 'not_found', revokeShareLink => {path => {storyId => $private, linkId => $UNKNOWN}, token => $ada->{token}}, 'nor one that is not there');
$api->fails(422, 'unprocessable', createShareLink => of($ada, $private, json => {expiresAt => '2001-01-01T00:00:00Z'}), 'a link ends in the future');
$api->fails(422, 'unprocessable', createShareLink => of($ada, $private, json => {expiresAt => 'tomorrow'}), 'at a time', '/expiresAt');
my $short = $api->succeeds(201, createShareLink => of($ada, $private, json => {expiresAt => '2099-01-01T00:00:00.1234567891-20:00'}), 'a link that ends')->{json};
is $short->{expiresAt}, '2099-01-01T20:00:00.123Z', 'says when';
$platform->sql('story', "update story_links set expires_at = now() where link_id = '$short->{linkId}'");
$api->succeeds(204, revokeShareLink => {path => {storyId => $private, linkId => $link->{linkId}}, token => $ada->{token}}, 'the other is revoked');
$api->fails(404, 'not_found', openSharedStory => opened($_->[0]), "$_->[1]: nothing is read")
    for [$short->{token}, 'expired'], [$link->{token}, 'revoked'], ['A' x 22, 'unknown'];
$api->fails(422, 'unprocessable', openSharedStory => opened($_), "'$_' is no token", '/token') for '', 'a b', 'x' x 65;
my $friend = sprintf 'friend%d.%06x@example.org', $$, rand 0xffffff;
$api->fails(422, 'unprocessable', createShareLink => of($ada, $private, json => {email => 'nobody'}), 'a link goes to an address', '/email');
my $mailed = $api->succeeds(201, createShareLink => of($ada, $private, json => {email => $friend}), 'a link goes out by mail')->{json};
my $mail = $client->wait_for_mail($friend, qr/Ada shares/);
like $mail->{text}, qr/^\Q$mailed->{token}\E$/m, 'with its token';
is_deeply [$platform->sql('story', "select count(*) from events where payload::text like '%$friend%' or payload::text like '%$mailed->{token}%'")], [0], 'which nobody else may read';
$api->succeeds(204, revokeShareLink => {path => {storyId => $private, linkId => $mailed->{linkId}}, token => $ada->{token}}, 'which is revoked');
$platform->sql('story', "insert into story_mails select '$ada->{userId}' from generate_series(1, 29)");
$api->fails(422, 'unprocessable', createShareLink => of($ada, $private, json => {email => $friend}), 'so many mails a day, whatever has become of their links');
$platform->sql('story', "update story_mails set mailed_at = now() - interval '1 day' where author_id = '$ada->{userId}'");
my ($last, $same) = map { $api->succeeds(201, createShareLink => of($ada, $private, json => {}, headers => {'Idempotency-Key' => 'link-1'}), 'the next day another, under a key')->{json} } 1, 2;
is_deeply $same, $last, 'is told again';
is_deeply [$platform->sql('story', "select count(*) from idempotency_keys where user_id = '$ada->{userId}' and (body like '%$last->{token}%' or body like '%token%')")], [0], 'from what nobody can read in the database';
$api->fails(404, 'not_found', getStory => of($eve, $private), 'a link opens nothing but itself');

# --- follows ----------------------------------------------------------------------------------------------------------

sub to { my ($who, $author) = @_; return {path => {authorId => $author->{userId}}, token => $who->{token}} }
ok wait_for(sub { $api->call(followAuthor => to($eve, $ada))->{status} == 204 }), 'somebody follows an author';
$api->succeeds(204, followAuthor => to($eve, $ada), 'twice is once');
$api->succeeds(204, followAuthor => to($eve, $max), 'and another');
$api->fails(422, 'unprocessable', followAuthor => to($eve, $eve), 'nobody follows themselves');
$api->fails(404, 'not_found', followAuthor => to($eve, {userId => $UNKNOWN}), 'nor somebody who is not there');
my %names = map { $_->{authorId} => $_->{authorName} } @{$api->succeeds(200, listFollowedAuthors => {token => $eve->{token}}, 'those are listed')->{json}{items}};
is_deeply \%names, {$ada->{userId} => 'Ada', $max->{userId} => 'Max'}, 'by name';
my $page = $api->call(listFollowedAuthors => {token => $eve->{token}, query => {limit => 1}})->{json};
is scalar @{$page->{items}}, 1, 'page by page';
is scalar @{$api->succeeds(200, listFollowedAuthors => {token => $eve->{token}, query => {limit => 1, cursor => $page->{nextCursor}}}, 'the next')->{json}{items}}, 1, 'to the last';
is_deeply $api->call(listFollowedAuthors => {token => $ada->{token}})->{json}{items}, [], 'that is nobody else\'s matter';
is_deeply $api->succeeds(200, getFeed => {token => $eve->{token}}, 'there is a feed')->{json}{items}, [], 'of what is published for all';
my @public = map { post($ada, title => "Public $_", content => "Running cats, $word number $_.", visibility => 'public', language => 'en') } 1, 2;
my $linked = post($ada, title => 'Linked', content => 'By address.', visibility => 'link');
my $other  = post($max, title => 'Other', content => "Der Wolf läuft. $word. Häuser.", visibility => 'public', language => 'de');
ok published($_->[0], $_->[1]), 'a story is published' for [$ada, $public[0]], [$ada, $linked], [$max, $other], [$ada, $public[1]];
is_deeply [map { $_->{storyId} } @{$api->succeeds(200, getFeed => {token => $eve->{token}}, 'then it is there')->{json}{items}}], [$public[1], $other, $public[0]], 'the latest first';
my ($cursor, @pages);
do {
    my $answer = $api->succeeds(200, getFeed => {token => $eve->{token}, query => {limit => 1, defined $cursor ? (cursor => $cursor) : ()}}, 'a page of the feed')->{json};
    push @pages, map { $_->{storyId} } @{$answer->{items}};
    $cursor = $answer->{nextCursor};
} while defined $cursor && @pages < 5;
is_deeply \@pages, [$public[1], $other, $public[0]], 'each once';
my @told;
ok wait_for(sub { (@told = map { $_->{text} } grep { $_->{campaign} eq 'author.published' } @{$client->get('/v1/notifications', token => $eve->{token})->{json}{items}}) >= 3 }), 'followers are told';
is_deeply [sort @told], ['Ada has published “Public 1”.', 'Ada has published “Public 2”.', 'Max has published “Other”.'], 'of each public story, once';
is $api->call(unpublishStory => of($max, $other))->{status}, 200, 'one is taken back';
is $api->call(publishStory => of($max, $other))->{status}, 200, 'and published again';
is_deeply [$platform->sql('story', "select count(*) from events where event_type = 'FollowedAuthorPublished' and payload->>'storyId' = '$other'")], [1], 'of which nobody hears twice';
is_deeply [map { $_->{storyId} } @{$api->call(getFeed => {token => $eve->{token}})->{json}{items}}], [$other, $public[1], $public[0]], 'it is the latest then';
$api->succeeds(204, unfollowAuthor => to($eve, $ada), 'they follow no longer') for 1, 2;
is_deeply [map { $_->{storyId} } @{$api->call(getFeed => {token => $eve->{token}})->{json}{items}}], [$other], 'so those stories are gone';
is_deeply [map { s/\t.*//r } $platform->sql('story', "select event_type from events where event_type ~ '^Author.*ollowed' and aggregate_id = '$eve->{userId}' order by seq")], [qw(AuthorFollowed AuthorFollowed AuthorUnfollowed)],
    'others can hear of it, once each';

# --- search -----------------------------------------------------------------------------------------------------------

sub found {
    my ($who, $q, %more) = @_;
    my $answer = $api->call(searchStories => {token => $who->{token}, query => {q => $q, %more}});
    push my @complaints, $api->complaints(searchStories => $answer);
    diag join "\n", @complaints if @complaints;
    return [sort map { $_->{storyId} } @{$answer->{json}{items} // []}];
}
ok wait_for(sub { @{found($ada, $word)} == 4 }), 'one finds one\'s own and what is for all' or diag explain found($ada, $word);
is_deeply found($eve, $word), [sort @public, $other], 'others what is for all alone';
is_deeply found($eve, "$word run cat"), [sort @public], 'words in other forms, by the language of the text';
is_deeply found($eve, "$word Haus"), [$other], 'each in its own';
is_deeply found($eve, "$word -cats"), [$other], 'without a word';
is_deeply found($eve, qq("number 2" $word)), [$public[1]], 'side by side';
is_deeply found($eve, $word, language => 'de'), [$other], 'in one language';
is_deeply found($eve, $_), [], "nothing: $_" for "$word unheard", "':* & | !", '<->', '%', "\x{0}"x0 . '\\';
$api->fails(400, 'invalid_request', searchStories => {token => $eve->{token}, query => {q => 'x' x 201}}, 'a question has an end', '/query/q');
my $best = $api->succeeds(200, searchStories => {token => $eve->{token}, query => {q => $word, limit => 2}}, 'page by page')->{json};
like $best->{items}[0]{excerpt}, qr/$word/, 'with the place';
my $rest = $api->succeeds(200, searchStories => {token => $eve->{token}, query => {q => $word, limit => 2, cursor => $best->{nextCursor}}}, 'to the last')->{json};
is_deeply [sort map { $_->{storyId} } @{$best->{items}}, @{$rest->{items}}], [sort @public, $other], 'each once';
my %tongue = (
    zh => ['月亮的故事', '从前有一个小女孩，她住在山里。'],
    ja => ['月の話', 'むかしむかし、あるところに女の子がいました。学校へ行きました。'],
    ko => ['달 이야기', '옛날 옛적에 학교에서 소녀가 노래를 불렀습니다.'],
    he => ['סיפור הירח', 'לפני שנים רבות ילדה קטנה גרה בהרים.'],
);
my %told_in = map { $_ => post($ada, title => $tongue{$_}[0], content => "$tongue{$_}[1] $word tongues", language => $_, draft => JSON::PP::true) } sort keys %tongue;
is_deeply found($ada, "$word tongues"), [sort values %told_in], 'in every language';
is_deeply found($ada, "$word tongues", language => $_), [$told_in{$_}], "in $_ alone" for sort keys %told_in;
is_deeply found($ada, "$word tongues", language => 'ja-JP'), [$told_in{ja}], 'or what is a part of it';
is_deeply found($ada, "$_->[1] $word"), [$told_in{$_->[0]}], "a word, where nothing stands around it: $_->[1]" for [zh => '女孩'], [ja => '学校'], [ko => '학교'], [he => 'ילדה'];
is_deeply found($ada, "$_ $word"), [], "no word: $_" for '孩女', '校学', '교학';
like $api->call(searchStories => {token => $ada->{token}, query => {q => "女孩 $word"}})->{json}{items}[0]{excerpt}, qr/女孩，她住在山里。/, 'its place is shown as it is written';
my $book = post($ada, title => "Voyage of $word", language => 'en', draft => JSON::PP::true, content => join "\n\n",
    map { "# Chapter $_\n\n" . ($_ == 1 ? 'The harpooner wakes. ' : $_ == 20 ? 'At last a wandering albatross circled the mast. ' : '') . 'They sailed on and on. ' x 500 } 1 .. 20);
is_deeply found($ada, "$word albatrosses"), [$book], 'a word of the twentieth chapter is found';
is_deeply found($ada, "$word albatross harpooner"), [$book], 'beside one of the first';
is_deeply found($ada, qq("wandering albatross circled" $word)), [$book], 'side by side';
is_deeply found($ada, "voyage $word -albatross"), [], 'or what must not be there';
is_deeply found($ada, "$word unheard or harpooner $word"), [$book], 'or another word';
like $api->call(searchStories => {token => $ada->{token}, query => {q => "$word albatross"}})->{json}{items}[0]{excerpt}, qr/a wandering albatross circled/, 'and its place is shown';
my $parts = "select hash, xmin from story_search where story_id = '$book' order by hash";
my %made = map { split /\t/ } $platform->sql('story', $parts);
my $text = $api->call(getStory => of($ada, $book))->{json}{content} =~ s/\n\n# Chapter 9/ A petrel called.$&/r;
is $api->call(updateStory => of($ada, $book, json => {content => $text}, headers => {'If-Match' => '*'}))->{status}, 200, 'a sentence comes in between';
is_deeply found($ada, "$word petrel albatross"), [$book], 'and is found beside the others';
my %now = map { split /\t/ } $platform->sql('story', $parts);
cmp_ok scalar(grep { ($made{$_} // q()) ne $now{$_} } keys %now), q(<), keys(%now) / 3, 'where what is not near it was not indexed again';
is_deeply found($ada, '-albatross'), [], 'who says only what must not be there finds nothing';
is $api->call(updateStory => of($ada, $private, json => {title => "Named anew $word"}, headers => {'If-Match' => '*'}))->{status}, 200, 'a title changes';
ok wait_for(sub { "@{found($ada, qq(anew $word))}" eq $private }), 'and is found at once';
my $all = join ' ', map { sprintf '%x%s', $_, chr(0x400 + $_ % 256) x 3 } 1 .. 60000;
my $many = post($max, content => $all);
ok wait_for(sub { $api->call(getAnalysis => of($max, $many))->{json}{status} eq 'ready' }), 'sixty thousand different words can be indexed';

# --- without an account -----------------------------------------------------------------------------------------------

my $guest = $platform->client;
sub anybody { my (%more) = @_; return {client => $guest, %more} }
my $read = $api->succeeds(200, getPublicStory => anybody(path => {storyId => $public[0]}), 'a public story is for everybody')->{json};
is "$read->{authorName}: $read->{content}", "Ada: Running cats, $word number 1.", 'whole';
$api->succeeds(200, getPublicStory => anybody(path => {storyId => $linked}), 'so is one by its address');
$api->fails(404, 'not_found', getPublicStory => anybody(path => {storyId => $_}), 'any other is not') for $private, $UNKNOWN;
is_deeply [map { $_->{storyId} } @{$api->succeeds(200, listAuthorStories => anybody(path => {authorId => $ada->{userId}}), 'the public stories of an author')->{json}{items}}], [reverse @public],
    'newest first';
is_deeply $api->succeeds(200, listAuthorStories => anybody(path => {authorId => $UNKNOWN}), 'nobody')->{json}{items}, [], 'has none';
my %listed = map { $_->{storyId} => $_ } @{$api->succeeds(200, listPublicStories => anybody(query => {limit => 100}), 'all public stories')->{json}{items}};
is_deeply [map { $listed{$_}{title} } @public, $other], ['Public 1', 'Public 2', 'Other'], 'are listed';
ok !$listed{$linked}, 'those by address are not';
is_deeply [grep { $_ ne 'de' } map { $_->{language} } @{$api->succeeds(200, listPublicStories => anybody(query => {language => 'de'}), 'those in one language')->{json}{items}}], [], 'alone';
my %kept = (
    "story/$public[0]"       => [getPublicStory    => path => {storyId => $public[0]}],
    "author/$ada->{userId}"  => [listAuthorStories => path => {authorId => $ada->{userId}}],
    'stories'                => [listPublicStories => query => {limit => 100}],
);
# What the edge keeps is made to last, so that only a change takes it away.
sub keeps {
    my ($tag) = @_;
    my ($operation, @how) = @{$kept{$tag}};
    return 0 if !wait_for(sub { $api->call($operation => anybody(@how)); $platform->redis('EXISTS', "st:cache:$tag")->{out} == 1 });
    $platform->redis('HSET', "st:cache:$tag", 'kept', 'for ever');
    return $platform->redis('PERSIST', "st:cache:$tag")->{exit} == 0;
}
sub forgets {
    my ($what, $change, @tags) = @_;
    ok keeps($_), "the edge keeps $_" for @tags;
    $change->();
    for my $tag (@tags) {
        ok wait_for(sub { $platform->redis('HEXISTS', "st:cache:$tag", 'kept')->{out} == 0 }), "$what: it forgets $tag";
    }
}
forgets('it changes', sub { $api->call(updateStory => of($ada, $public[0], json => {title => 'Renamed'}, headers => {'If-Match' => '*'})) }, sort keys %kept);
ok wait_for(sub { ($api->call(getPublicStory => anybody(path => {storyId => $public[0]}))->{json}{title} // '') eq 'Renamed' }), 'everybody reads it as it is now';
forgets('its author has another name', sub { $client->patch('/v1/me', token => $ada->{token}, json => {displayName => 'Ada L.'}, headers => {'If-Match' => '*'}) }, sort keys %kept);
ok wait_for(sub { ($api->call(getPublicStory => anybody(path => {storyId => $public[0]}))->{json}{authorName} // '') eq 'Ada L.' }), 'which everybody reads';
my $room = $api->call(createCollaboration => {json => {storyId => $public[0]}, token => $ada->{token}})->{json}{collaborationId};
$api->call(createInvitation => {path => {collaborationId => $room}, json => {email => $eve->{email}, role => 'voice'}, token => $ada->{token}});
my ($code) = $client->wait_for_mail($eve->{email}, qr/nvit/)->{text} =~ /^([\w-]{22})$/m;
forgets('somebody helps', sub { $api->succeeds(200, acceptInvitation => {json => {token => $code}, token => $eve->{token}}, 'somebody collaborates') }, 'author/' . $ada->{userId}, 'stories');
$platform->sql('story', "update story_analyses set analyser_version = 1 where story_id = '$public[0]'");
forgets('it is analysed anew', sub { $api->call(analyseStory => of($ada, $public[0])) }, sort keys %kept);
ok wait_for(sub { $api->call(getStory => of($ada, $public[0]))->{json}{state} eq 'published' }), 'to the end';
is $api->call(unpublishStory => of($ada, $public[0]))->{status}, 200, 'it is taken back';
ok wait_for(sub { $api->call(getPublicStory => anybody(path => {storyId => $public[0]}))->{status} == 404 }), 'from everybody';

# --- what a deletion does ---------------------------------------------------------------------------------------------

$api->succeeds(204, deleteStory => of($ada, $private), 'a story goes');
$api->fails(404, 'not_found', openSharedStory => opened($last->{token}), 'so does its link');
is_deeply found($ada, "anew $word"), [], 'and it is not found any more';
$api->call(deleteStory => of($ada, $_)) for @public, $linked, $book, values %told_in;
$api->call(deleteStory => of($max, $_)) for $other, $many;

done_testing;
