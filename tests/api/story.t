# Stories: post, read, list, change, publish, delete, and what the analysis finds.
use strict;
use warnings;
use utf8;
use Test::More;
use Encode qw(encode_utf8);
use JSON::PP qw(encode_json);
use Storytelling::Platform;
use Storytelling::Client;
use Storytelling::Contract;

binmode Test::More->builder->$_, ':utf8' for qw(output failure_output todo_output);
my $platform = Storytelling::Platform->shared;
my $client   = $platform->client;
my $api      = Storytelling::Contract->new($platform, $client);
my $UNKNOWN  = '0193c7e2-1111-7111-8111-111111111111';
my ($ada, $eve) = map { $client->register_user(displayName => $_) } 'Ada', 'Eve';
my $author;

# Ten stories an hour: a new author when one is used up.
sub author {
    my $posts = $author ? $author->{posts}++ : 99;
    return $posts < 9 ? $author : ($author = {%{$client->register_user}, posts => 1});
}

sub story { my (%with) = @_; return {json => {title => 'The lighthouse', content => 'The bell rang.', %with}} }

sub posted {
    my ($who, $name, %with) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $api->succeeds(201, createStory => {%{story(%with)}, token => $who->{token}}, $name);
}

sub of { my ($who, $id, %more) = @_; return {path => {storyId => $id}, token => $who->{token}, %more} }

sub analysed {
    my ($who, $id, $name) = @_;
    my $seen;
    my $there = wait_for(sub { $seen = $api->call(getAnalysis => of($who, $id)); ($seen->{json}{status} // '') ne 'pending' });
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply [$api->complaints('getAnalysis', $seen)], [], "$name: the answer keeps to the contract";
    is $seen->{json}{status}, 'ready', "$name: analysed";
    return $seen->{json};
}

# What has been looked at goes, so that nobody narrates it for the rest of the tests.
sub deleted { my ($who, $id) = @_; return $api->call(deleteStory => of($who, $id)) }

# --- post and read ----------------------------------------------------------------------------------------------------

my $content = "“Stop!” shouted Mary angrily.\n\nTom laughed. “I am so happy,” he said. “We are safe.”";
my $new = posted($ada, 'somebody posts a story', title => 'At the sea', content => $content);
my $id = $new->{json}{storyId};
is $new->{headers}{location}, "/v1/stories/$id", 'Location says where it is';
is $new->{headers}{etag}, '"1"', 'the version is the first';
is $new->{json}{authorId}, $ada->{userId}, 'it is its author\'s';
is $new->{json}{visibility}, 'private', 'private';
is $new->{json}{state}, 'analyzing', 'and being analysed';
ok !exists $new->{json}{content}, 'the text is not sent back';
my $read = $api->succeeds(200, getStory => of($ada, $id), 'the author reads it');
is $read->{json}{content}, $content, 'as it was written';
is $client->get($new->{headers}{location}, token => $ada->{token})->{status}, 200, 'Location leads there';

my $analysis = analysed($ada, $id, 'the story');
is $analysis->{language}, 'en', 'its language is found';
is_deeply [sort map { $_->{name} } @{$analysis->{characters}}], ['Mary', 'Tom'], 'and its characters';
my %speaker = map { $_->{text} => $_ } @{$analysis->{segments}};
is $speaker{'Stop!'}{speaker}, 'Mary', 'who says what';
is $speaker{'Stop!'}{emotion}, 'anger', 'and how';
is $speaker{'We are safe.'}{speaker}, 'Tom', 'also when the name is not said again';
is scalar(grep { $_->{kind} eq 'narration' && defined $_->{speaker} } @{$analysis->{segments}}), 0, 'the narrator has no name';
my %once;
is scalar(grep { $once{$_->{segmentId}}++ } @{$analysis->{segments}}), 0, 'each segment has an id of its own';
is $api->call(getStory => of($ada, $id))->{json}{language}, 'en', 'the story knows its language now';

# --- somebody else's --------------------------------------------------------------------------------------------------

for my $operation (qw(getStory getAnalysis)) {
    $api->fails(404, 'not_found', $operation => of($eve, $id), "$operation: a private story is not there for others");
    $api->fails(404, 'not_found', $operation => of($ada, $UNKNOWN), "$operation: like one that does not exist");
}
$api->fails(404, 'not_found', updateStory => of($eve, $id, json => {title => 'Mine'}, headers => {'If-Match' => '*'}), 'others do not change it');
$api->fails(404, 'not_found', deleteStory => of($eve, $id), 'nor delete it');
$api->fails(404, 'not_found', publishStory => of($eve, $id), 'nor publish it');
is_deeply $api->succeeds(200, listStories => {token => $eve->{token}}, 'others list their own')->{json}{items}, [], 'and do not find it there';
is $api->call(getStory => of($ada, $id))->{json}{title}, 'At the sea', 'nothing has changed';

# --- what a story may not be ------------------------------------------------------------------------------------------

my %bad = (
    'no title'                => [{title => ''}, '/title'],
    'a blank title'           => [{title => " \t\x{3000}\x{200b}"}, '/title'],
    'a title of two lines'    => [{title => "a\nb"}, '/title'],
    'a title with ESC'        => [{title => "\e[31mred"}, '/title'],
    'a title with U+2028'     => [{title => "a\x{2028}b"}, '/title'],
    'a long title'            => [{title => 'x' x 201}, '/title'],
    'an empty text'           => [{content => ''}, '/content'],
    'a blank text'            => [{content => " \r\n\t\x{a0}"}, '/content'],
    'a text with a bell'      => [{content => "ding\a"}, '/content'],
    'a text with ESC'         => [{content => "\e[2J"}, '/content'],
    'a text with DEL'         => [{content => "a\x7f"}, '/content'],
    'a text with backspace'   => [{content => "a\bb"}, '/content'],
    'a language in words'     => [{language => 'English'}, '/language'],
    'a path as language'      => [{language => '../en'}, '/language'],
    'another visibility'      => [{visibility => 'friends'}, '/visibility'],
    'a state'                 => [{state => 'published'}, '/state'],
    'another author'          => [{authorId => $eve->{userId}}, '/authorId'],
);
for my $what (sort keys %bad) {
    my ($with, @pointers) = @{$bad{$what}};
    $api->fails(422, 'unprocessable', createStory => {%{story(%$with)}, token => author()->{token}}, "$what is refused", @pointers);
}
$api->fails(413, 'too_large', createStory => {%{story(content => 'ä' x 1_000_000)}, token => author()->{token}}, '2 MB are refused');
$api->fails(413, 'too_large', createStory => {%{story(content => 'ä' x 600_000)}, token => author()->{token}}, 'so is more than 1 MiB of text');
is_deeply $api->call(listStories => {token => author()->{token}})->{json}{items}, [], 'none of them has left anything behind';

# --- every script -----------------------------------------------------------------------------------------------------

my %texts = (
    ar => ['الراعي والذئب', "كان يا ما كان، عاش راعٍ صغير في قرية بعيدة. قال الراعي: «جاء الذئب!» وضحك الناس من بعيد."],
    he => ['הנסיך הקטן', "היה היה נסיך קטן שגר על כוכב רחוק. \"צייר לי כבשה\", אמר הנסיך. הטייס חייך אליו בשמחה."],
    zh => ['月亮的故事', "从前有一个小女孩，她住在山里。“月亮真美！”小女孩高兴地说。奶奶笑了。"],
    ja => ['桃太郎', "むかしむかし、おじいさんとおばあさんがいました。「鬼を退治してきます」と桃太郎は言いました。"],
    de => ['Der Leuchtturm', "„Halt!“, rief Maria wütend. Der alte Mann lächelte. „Wir sind gerettet“, sagte er leise."],
    fr => ['Le phare', "« Arrête ! » cria Marie avec colère. Le vieil homme sourit. « Nous sommes sauvés », dit-il doucement."],
    ru => ['Маяк', "Жил-был старик у самого моря. «Стой!» — крикнула Мария. Старик улыбнулся и ничего не сказал."],
    hi => ['चाँद की कहानी', "एक गाँव में एक छोटी लड़की रहती थी। \"चाँद कितना सुंदर है!\" लड़की ने कहा। दादी मुस्कुराई।"],
    ko => ['달 이야기', "옛날 옛적에 작은 소녀가 산속에 살았습니다. \"달이 참 예쁘다!\" 소녀가 말했습니다."],
);
for my $language (sort keys %texts) {
    my ($title, $text) = @{$texts{$language}};
    my $who = author();
    my $story = posted($who, "$language: a story is posted", title => $title, content => $text)->{json};
    is $story->{title}, $title, "$language: the title comes back";
    is $api->call(getStory => of($who, $story->{storyId}))->{json}{content}, $text, "$language: the text comes back";
    my $found = analysed($who, $story->{storyId}, $language);
    is $found->{language}, $language, "$language: is recognised";
    ok @{$found->{segments}} >= 2, "$language: speech and narration are told apart" or diag scalar @{$found->{segments}};
    deleted($who, $story->{storyId});
}

my %odd = (
    'emoji only'             => '🦉🌙✨ 🐺',
    'one letter'             => 'a',
    'one quotation mark'     => '"',
    'quotation marks only'   => '"" “” «» 「」 \'\'',
    'punctuation only'       => '... --- !!! ???',
    'digits only'            => '1 2 3 42',
    'an open quotation'      => '"I never end, said Mary',
    'a quotation in another' => '"He said \'stop\' to me," said Mary.',
    'mixed directions'       => "Mary said \x{202e}\"abc\"\x{202c} and مرحبا then left.",
    'combining characters'   => "Z\x{0308}" . "\x{0301}" x 200 . ' said Tom.',
    'zero width'             => "M\x{200b}a\x{200d}r\x{feff}y said hello.",
    'private use'            => "\x{e000}\x{f8ff}\x{10fffd}",
    'noncharacters'          => "\x{fdd0} x",
    'markup'                 => '<script>alert(1)</script> {{title}} $1 %s \' or 1=1 --',
    'lines of all kinds'     => "one\r\ntwo\rthree\n\n\n\nfour\tfive",
    'a very long word'       => 'x' x 20000,
    'a very long line'       => join(' ', ('and Mary said so') x 1000),
    'many short paragraphs'  => join("\n\n", ('"Yes," said Tom.') x 500),
    'no speech'              => 'The sea was calm. Nobody said a word. The moon rose over the hills.',
);
for my $what (sort keys %odd) {
    my $who = author();
    my $story = posted($who, "$what: a story is posted", content => $odd{$what})->{json};
    is $api->call(getStory => of($who, $story->{storyId}))->{json}{content}, $odd{$what}, "$what: the text comes back";
    my $found = analysed($who, $story->{storyId}, $what);
    is_deeply $found->{segments}, [], "$what: there is nothing to say" if $what =~ /quotation marks? only|one quotation|punctuation only/;
    is_deeply [grep { $_->{kind} ne 'narration' } @{$found->{segments}}], [], "$what: it is all the narrator's" if $what eq 'no speech';
    deleted($who, $story->{storyId});
}

# One megabyte, in characters of one byte and of three.
for (['ASCII', join(' ', map { qq("Page $_," said Tom. Mary smiled at page $_.\n\n) } 1 .. 30000)], ['CJK', '她说：“你好！”他笑了。' x 40000]) {
    my ($what, $text) = @$_;
    $text = substr $text, 0, $what eq 'ASCII' ? 1_048_576 : 1_048_576 / 3;
    $text =~ s/\s+\z/./;
    my $who = author();
    my $story = posted($who, "$what: one megabyte is taken", content => $text)->{json};
    my $found = wait_for(sub {
        my $seen = $api->call(getAnalysis => of($who, $story->{storyId}, raw => 1))->{content};
        $seen =~ /^\{"status":"ready"/ ? $seen : undef;
    }) // '';
    my $segments = () = $found =~ /"segmentId"/g;
    cmp_ok $segments, '>', 10000, "$what: and analysed";
    my $files = $platform->var . "/objects/story/$story->{storyId}";
    ok -d $files, "$what: its segments go to narration as a file";
    if ($what eq 'ASCII') {
        my ($first) = $found =~ /"analysisId":"([^"]+)"/;
        $api->succeeds(200, updateStory => of($who, $story->{storyId}, json => {content => substr $text, 0, 500_000}, headers => {'If-Match' => '*'}), 'it is changed');
        ok wait_for(sub { ($platform->sql('story', "select count(*) from jobs where name = 'remove_files' and unique_key = '$first' and run_at > now() + interval '6 days'"))[0] == 1 }),
            'the segments of before will go, when nobody can be at them';
        my ($second) = $platform->sql('story', "select analysis_id from story_analyses where story_id = '$story->{storyId}'");
        my @keys = map { "story/$story->{storyId}/$_.json" } $first, $second, $UNKNOWN;
        is_deeply [sort $platform->sql('story', "select story_objects('" . encode_json([@keys, 'story/x']) . "')")], [sort @keys[0, 1]], 'those of an analysis that came to nothing are collected';
        $platform->sql('story', "insert into jobs (name, unique_key, payload, metadata) values ('remove_files', '$story->{storyId}', '{\"storyId\":\"$story->{storyId}\"}', '{\"correlationId\":\"late\"}')");
        ok wait_for(sub { ($platform->sql('story', "select count(*) from jobs where name = 'remove_files' and metadata->>'correlationId' = 'late' and ended is null"))[0] == 0 }), 'what was to go with a deletion';
        ok -e "$files/$second.json", 'stays when the story is there again';
    }
    $api->succeeds(204, deleteStory => of($who, $story->{storyId}), "$what: deleted before it is narrated");
    ok wait_for(sub { !-e $files }), "$what: and the file with it";
}

my $endless = posted(author(), 'one megabyte without a space is taken', content => 'x' x 1_048_576)->{json}{storyId};
my $cut = analysed($author, $endless, 'without a space');
is $cut->{status}, 'ready', 'and analysed';
is join('', map { $_->{text} } @{$cut->{segments}}), 'x' x 1_048_576, 'to the last letter';
deleted($author, $endless);

# --- language by the author -------------------------------------------------------------------------------------------

my $given = posted(author(), 'the author says the language', language => 'de-AT', content => 'The text is English, as anybody can see who reads what it says.')->{json};
is $given->{language}, 'de-AT', 'it holds';
like analysed($author, $given->{storyId}, 'given')->{language}, qr/^de\b/, 'also for the analysis';
my %open = (headers => {'If-Match' => '*'}, json => {language => undef});
is $api->succeeds(200, updateStory => of($author, $given->{storyId}, %open), 'the author no longer says it')->{json}{language}, 'en', 'then it is the one that is found';
is analysed($author, $given->{storyId}, 'open')->{language}, 'en', 'by the analysis, too';
$api->fails(422, 'unprocessable', updateStory => of($author, $given->{storyId}, headers => {'If-Match' => '*'}, json => {language => 'English'}), 'what is said is a language', '/language');

# --- change -----------------------------------------------------------------------------------------------------------

sub change { my ($etag, %what) = @_; return of($ada, $id, json => \%what, headers => {defined $etag ? ('If-Match' => $etag) : ()}) }
my $etag = $api->call(getStory => of($ada, $id))->{headers}{etag};
$api->fails(428, 'precondition_required', updateStory => change(undef, title => 'x'), 'a change needs If-Match');
$api->fails(412, 'precondition_failed', updateStory => change($_, title => 'x'), "If-Match $_ does not fit") for '"99"', '"', 'x';
$api->fails(422, 'unprocessable', updateStory => change($etag, content => ''), 'the same rules hold', '/content');
my $changed = $api->succeeds(200, updateStory => change($etag, title => 'By the sea', visibility => 'link'), 'title and visibility change');
is $changed->{json}{title}, 'By the sea', 'as asked';
is $changed->{json}{version}, 2, 'the version moves on';
is $changed->{json}{state}, $api->call(getStory => of($ada, $id))->{json}{state}, 'no new analysis for that';
$api->fails(412, 'precondition_failed', updateStory => change($etag, title => 'Lost'), 'a lost update is noticed');
my $rewritten = $api->succeeds(200, updateStory => change($changed->{headers}{etag}, content => '“Go!” cried Anna. The dog barked.'), 'the text changes');
is $rewritten->{json}{state}, 'analyzing', 'and is analysed again';
is $rewritten->{json}{language}, 'en', 'in its language meanwhile';
my $second = analysed($ada, $id, 'the new text');
is_deeply [map { $_->{name} } @{$second->{characters}}], ['Anna'], 'with its own characters';
my ($before) = map { $_->{segmentId} } grep { $_->{text} eq 'The dog barked.' } @{$second->{segments}};
$etag = $api->call(getStory => of($ada, $id))->{headers}{etag};
$api->succeeds(200, updateStory => change($etag, content => '“Come back!” cried Anna. The dog barked.'), 'an edit elsewhere');
my ($after) = map { $_->{segmentId} } grep { $_->{text} eq 'The dog barked.' } @{analysed($ada, $id, 'edited')->{segments}};
is $after, $before, 'leaves a segment its id';
is $api->succeeds(200, updateStory => change('*', content => '„Komm zurück!“, rief Anna. Der Hund bellte, und sie war nicht da.'), 'a translation')->{json}{language}, 'de', 'is of its language at once';
is analysed($ada, $id, 'translated')->{language}, 'de', 'and analysed in it';

# --- publish ----------------------------------------------------------------------------------------------------------

my $early = posted($eve, 'a story', content => join "\n\n", ('"Yes," said Tom.') x 2000)->{json};
my $publishing = $api->call(publishStory => of($eve, $early->{storyId}));
ok $publishing->{status} == 409 || $publishing->{status} == 200, 'publishing waits for the analysis';
is $publishing->{json}{code}, 'conflict', 'and says so' if $publishing->{status} == 409;
deleted($eve, $early->{storyId});
my $published = $api->succeeds(200, publishStory => of($ada, $id), 'an analysed story is published');
is $published->{json}{state}, 'published', 'it says so';
ok $published->{json}{publishedAt}, 'and since when';
my $again = $api->succeeds(200, publishStory => of($ada, $id), 'publishing again');
is $again->{json}{publishedAt}, $published->{json}{publishedAt}, 'changes nothing';
$api->succeeds(200, getStory => of($eve, $id), 'whoever has the link reads it now');
$api->succeeds(200, getAnalysis => of($eve, $id), 'and its analysis');
$api->fails(404, 'not_found', updateStory => of($eve, $id, json => {title => 'x'}, headers => {'If-Match' => '*'}), 'but changes nothing');
is_deeply [grep { $_->{storyId} eq $id } @{$api->call(listStories => {token => $eve->{token}})->{json}{items}}], [], 'nor is it among theirs';
$api->succeeds(200, updateStory => change('*', visibility => 'private'), 'the author takes it back');
$api->fails(404, 'not_found', getStory => of($eve, $id), 'and it is gone for others');

# --- pages ------------------------------------------------------------------------------------------------------------

my $lister = $client->register_user(displayName => 'Lister');
my @ids = map { posted($lister, "story $_ of the list", title => "Story $_")->{json}{storyId} } 1 .. 7;
my (@seen, $cursor);
for (1 .. 10) {
    my $page = $api->succeeds(200, listStories => {token => $lister->{token}, query => {limit => 3, defined $cursor ? (cursor => $cursor) : ()}}, "page $_");
    cmp_ok scalar @{$page->{json}{items}}, '<=', 3, 'is not longer than asked';
    push @seen, @{$page->{json}{items}};
    $cursor = $page->{json}{nextCursor};
    last if !defined $cursor;
}
is_deeply [map { $_->{storyId} } @seen], [reverse @ids], 'all come once, newest first';
ok wait_for(sub { $api->call(listStories => {token => $lister->{token}})->{json}{items}[0]{authorName} eq 'Lister' }), 'with the author\'s name';
is $seen[0]{collaboratorCount}, 0, 'and how many take part';
my $whole = $api->succeeds(200, listStories => {token => $lister->{token}, query => {limit => 7}}, 'a page that just fits');
ok !exists $whole->{json}{nextCursor}, 'is the last one';
my $first = $api->call(listStories => {token => $lister->{token}, query => {limit => 2}})->{json}{nextCursor};
deleted($lister, $_) for @ids;
for my $forged ('x', '.', 'AAAA.BBBB', "$first.", "x$first", scalar reverse($first), $first =~ s/^./_/r, '0' x 512) {
    $api->fails(400, 'invalid_request', listStories => {token => $lister->{token}, query => {cursor => $forged}}, 'a forged cursor is refused: ' . substr $forged, 0, 20);
}
$api->fails(400, 'invalid_request', listStories => {token => $ada->{token}, query => {cursor => $first}}, 'so is somebody else\'s');
$api->fails(400, 'invalid_request', listStories => {token => $lister->{token}, query => {cursor => 'x' x 513}}, 'and one that is too long', '/query/cursor');

# --- idempotency keys -------------------------------------------------------------------------------------------------

my $keyed = $client->register_user;
sub with_key { my ($who, $key, %with) = @_; return {%{story(%with)}, token => $who->{token}, headers => {'Idempotency-Key' => $key}} }
my $once = $api->succeeds(201, createStory => with_key($keyed, 'key-1'), 'a post with a key');
my $twice = $api->succeeds(201, createStory => with_key($keyed, 'key-1'), 'sent again');
is $twice->{json}{storyId}, $once->{json}{storyId}, 'gives the same story';
is $twice->{headers}{$_}, $once->{headers}{$_}, "and the same $_" for qw(etag location);
is $twice->{headers}{'idempotent-replayed'}, 'true', 'and says so';
my $reordered = '{"content":"The bell rang.", "title":"The lighthouse"}';
is $api->succeeds(201, createStory => {content => $reordered, token => $keyed->{token}, headers => {'Idempotency-Key' => 'key-1'}}, 'the same in other words')->{json}{storyId},
    $once->{json}{storyId}, 'is the same';
$api->fails(422, 'idempotency_key_reused', createStory => with_key($keyed, 'key-1', title => 'Another'), 'another body is refused');
$api->fails(400, 'invalid_request', createStory => with_key($keyed, $_), 'a key must be one: ' . length($_) . ' characters', '/header/idempotency-key') for 'a b', 'x' x 129;
isnt $api->succeeds(201, createStory => with_key($eve, 'key-1'), 'the key of somebody else')->{json}{storyId}, $once->{json}{storyId}, 'is another key';
$api->fails(422, 'unprocessable', createStory => with_key($keyed, 'key-2', title => ''), 'what was refused');
$api->succeeds(201, createStory => with_key($keyed, 'key-2'), 'does not use up the key');
is scalar @{$api->call(listStories => {token => $keyed->{token}})->{json}{items}}, 2, 'so there are two stories';

# --- limits -----------------------------------------------------------------------------------------------------------

my $busy = $client->register_user;
my @answers = map { $api->call(createStory => {%{story()}, token => $busy->{token}}) } 1 .. 11;
is scalar(grep { $_->{status} == 201 } @answers), 10, 'ten stories an hour';
is_deeply [$api->complaints(createStory => $answers[10])], [], 'the refusal keeps to the contract';
deleted($busy, $_->{json}{storyId}) for @answers[0 .. 9];
is $answers[10]{json}{code}, 'rate_limited', 'and names its reason';
cmp_ok $answers[10]{headers}{'retry-after'}, '<=', 360, 'and when to come again';

my $paying = $client->register_user;
ok wait_for(sub { $client->get('/v1/subscription', token => $paying->{token})->{status} == 200 }), 'a tier';
sub limit_stories { $platform->sql('subscription', "update subscription_tiers set limits = limits || '{\"stories\": $_[0]}' where tier = 'free'") }
limit_stories(1);
posted($paying, 'the last story of the tier');
ok wait_for(sub { $api->call(createStory => {%{story()}, token => $paying->{token}})->{status} == 402 }), 'then the tier is used up';
limit_stories(50);
$api->fails(402, 'payment_required', createStory => {%{story()}, token => $paying->{token}}, 'and says so');

# --- delete -----------------------------------------------------------------------------------------------------------

$api->fails(412, 'precondition_failed', deleteStory => of($ada, $id, headers => {'If-Match' => '"1"'}), 'not when it has changed since');
$api->fails(412, 'precondition_failed', publishStory => of($ada, $id, headers => {'If-Match' => '"1"'}), 'nor published');
$api->succeeds(204, deleteStory => of($ada, $id), 'the author deletes the story');
$api->fails(404, 'not_found', $_ => of($ada, $id), "$_: it is gone") for qw(getStory getAnalysis deleteStory publishStory);
ok wait_for(sub { $client->get("/v1/stories/$id/$_", token => $ada->{token})->{status} == 404 }), "so is its $_" for qw(narration video);

done_testing;
