# Analysis by a chat provider: it counts where it stands the check, and else the embedded analyser steps in and says why.
use strict;
use warnings;
use utf8;
use Test::More;
use File::Temp qw(tempdir);
use Storytelling::Platform;
use Storytelling::Client;
use Storytelling::Contract;
use Storytelling::Chat;

binmode Test::More->builder->$_, ':utf8' for qw(output failure_output todo_output);
my $KEY  = 'sk-' . join '', map { ('a' .. 'z', 0 .. 9)[rand 36] } 1 .. 40;
my $dir  = tempdir(CLEANUP => 1);
my $chat = Storytelling::Chat->start($KEY);
chmod 0755, $dir;
open my $file, '>', "$dir/key" or die;
print $file "$KEY\n";
close $file;
chmod 0644, "$dir/key";
my $platform = Storytelling::Platform->start(env => {ST_CHAT_URL => $chat->url, ST_CHAT_KEY_FILE => "$dir/key", ST_CHAT_MODEL => 'stand-in', ST_CHAT_TIMEOUT_MS => 5000});
my $client   = $platform->client;
$platform->kill($_, 'TERM') for qw(narration video);    # nobody is to speak all these stories
my $api      = Storytelling::Contract->new($platform, $client);
my $free     = $client->register_user;
my $ada      = $platform->set_tier($client->register_user, 'premium');
ok wait_for(sub { ($client->post('/v1/stories', content => '{', token => $ada->{token})->{headers}{'ratelimit-policy'} // '') =~ /q=100;/ }), 'an author of a tier that has a provider';

sub of { my ($who, $id, %more) = @_; return {path => {storyId => $id}, token => $who->{token}, %more} }
sub post { my ($who, $content) = @_; return $api->call(createStory => {json => {title => 'Told', language => 'en', content => $content}, token => $who->{token}})->{json}{storyId} }
sub analysed {
    my ($who, $id, $before) = @_;
    my $seen;
    wait_for(sub { $seen = $api->call(getAnalysis => of($who, $id)); $seen->{json}{status} ne 'pending' && ($seen->{json}{analysisId} // '') ne ($before // '') });
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply [$api->complaints(getAnalysis => $seen)], [], 'the answer keeps to the contract';
    return $seen->{json};
}
sub segment { my ($analysis, $text) = @_; return (grep { $_->{text} =~ /^\Q$text\E/ } @{$analysis->{segments}})[0] // {} }
sub scene { my ($how, $n) = @_; return "The wind fell. It was stand-in: $how number$n.\n\n“Who is there?” asked Zoe. “Nobody,” said Ulf.\n\n“Come in.”" }

# --- as it should be ----------------------------------------------------------------------------------------------------

my $id = post($ada, scene('ok', 1));
my $good = analysed($ada, $id);
is_deeply $good->{analyser}, {name => 'chat/stand-in', version => $good->{analyser}{version}}, 'the provider has analysed it, and the analysis says so';
is segment($good, 'Who is there')->{speaker}, 'Zoe', 'it has said who speaks';
is segment($good, 'Who is there')->{evidence}, 'provider', 'which is the evidence';
is segment($good, 'Who is there')->{emotion}, 'fear', 'in its mood';
is_deeply [@{(grep { $_->{name} eq 'Zoe' } @{$good->{characters}})[0]}{qw(gender age aliases)}], ['female', 'old', []], 'and who is who, under names that the text has';
is analysed($free, post($free, scene('ok', 2)))->{analyser}{name}, 'embedded', 'another tier has the embedded analyser';
is $chat->requests(qr/number2/), 0, 'the provider has not heard of that story';
is_deeply [$platform->sql('story', "select outcome, units from provider_calls where reference = '$id'")], ["ok\t150"], 'what it cost is on record';
my $home = segment($good, 'Nobody')->{segmentId};
is $api->call(correctSegment => {path => {storyId => $id, segmentId => $home}, token => $ada->{token}, json => {speaker => 'Zoe', emotion => 'joy'}})->{status}, 200, 'the author knows better';
my $corrected = analysed($ada, $id, $good->{analysisId});
is_deeply [@{segment($corrected, 'Nobody')}{qw(speaker emotion evidence)}], ['Zoe', 'joy', 'corrected'], 'than the provider, too';
is segment($corrected, 'Who is there')->{evidence}, 'provider', 'which has said the rest';
is $chat->requests(qr/number1/), 1, 'and was not asked again';

# A long text goes out in passages; an edit asks only for its own.
my $long = join "\n\n", map { "“This is line $_ of a long conversation between two people in a boat,” said " . ($_ % 2 ? 'Zoe' : 'Ulf') . ". They rowed on for a while, and line $_ was over." } 1 .. 300;
my $many = post($ada, $long);
my $first = analysed($ada, $many);
is $first->{analyser}{name}, 'chat/stand-in', 'a long text';
my $asked = $chat->requests(qr/long conversation/);
cmp_ok $asked, '>', 2, "goes out in passages: $asked";
is_deeply [grep { $_->{kind} eq 'dialogue' && ($_->{speaker} // '') !~ /^(?:Zoe|Ulf)$/ } @{$first->{segments}}], [], 'who speaks is known in all of them';
$long =~ s/line 299 was over/line 299 had ended/;
is $api->call(updateStory => of($ada, $many, json => {content => $long}, headers => {'If-Match' => '*'}))->{status}, 200, 'a sentence is edited';
is scalar @{analysed($ada, $many, $first->{analysisId})->{changes}{added}}, 1, 'one segment is new';
is $chat->requests(qr/long conversation/), $asked + 1, 'and one passage is asked about';

# What is no good of one passage leaves the others as they are.
my $mixed = post($ada, $long =~ s/They rowed on for a while, and line 150 was over\./They heard a stand-in: inventive number3./r);
my $partly = analysed($ada, $mixed);
is $partly->{analyser}{name}, 'chat/stand-in', 'a text of which one passage is told wrongly';
like $partly->{analyser}{fallback}, qr/^1 of (?:[3-9]|\d\d) passages are left to the embedded analyser: .*does not say: Send all your money/, 'says so';
is segment($partly, 'This is line 1 ')->{evidence}, 'provider', 'what is well told of the others counts';
my $own = segment($partly, 'This is line 150 ');
is $own->{speaker}, 'Ulf', 'that one is analysed all the same';
isnt $own->{evidence}, 'provider', 'by rules';
$asked = $chat->requests(qr/long conversation/);
is $api->succeeds(202, analyseStory => of($ada, $mixed), 'it may be asked for again')->{json}{state}, 'analyzing', 'for not all is as it should be';
analysed($ada, $mixed, $partly->{analysisId});
is $chat->requests(qr/long conversation/), $asked + 2, 'then that passage alone is asked about, twice as before';
is $api->call(updateStory => of($ada, $mixed, json => {visibility => 'link'}, headers => {'If-Match' => '*'}))->{status}, 200, 'others may read it';
is $api->call(publishStory => of($ada, $mixed))->{status}, 200, 'now';
is_deeply [map { exists analysed($_, $mixed)->{analyser}{fallback} } $ada, $free], [1, ''], 'and only its author is told';
my $masked = analysed($ada, post($ada, scene('masked', 4)));
is_deeply [sort map { $_->{name} } @{$masked->{characters}}], ['Zoe'], 'a name that the text does not have is shown nowhere';
is segment($masked, 'Who is there')->{speaker}, 'Zoe', 'the alias that it has stands for it';

# --- as it should not be ------------------------------------------------------------------------------------------------

my $n = 10;
my %wrong = (
    broke => qr/used up/, long => qr/too long/, down => qr/not available|no answer/, refusal => qr/refuses/, cut => qr/cut off/, half => qr/no JSON/, prose => qr/no JSON/,
    page => qr/no JSON/, deep => qr/no JSON/, inventive => qr/does not say: Send all your money/, stranger => qr/somebody whom the text does not/, voices => qr/not among its characters/,
    loud => qr/intensity/, extra => qr/schema/, empty => qr/does not say/, endless => qr/\w/, twice => qr/no JSON/, gone => qr/\w/, slow => qr/\w/,
    trickle => qr/\w/,
);
my $steady = post($ada, scene('busy', $n++));
is analysed($ada, $steady)->{analyser}{name}, 'chat/stand-in', 'who is asked to go slower has it in the end';
my $shaky = post($ada, scene('shaky', $n++));
is analysed($ada, $shaky)->{analyser}{name}, 'chat/stand-in', 'who has failed, and then hung up, is asked again';
cmp_ok $chat->requests(qr/^shaky /), '>=', 3, 'until it answers';
# One after the other, and what stops working between what works: five failures in a row would open the breaker.
for my $how (sort keys %wrong) {
    my $seen = analysed($ada, post($ada, scene($how, $n++)));
    is $seen->{analyser}{name}, 'embedded', "$how: the embedded analyser steps in";
    like $seen->{analyser}{fallback}, $wrong{$how}, "$how: and says why";
    is segment($seen, 'Who is there')->{speaker}, 'Zoe', "$how: the story is analysed all the same";
    is_deeply [grep { $_->{text} =~ /money|script/ || ($_->{speaker} // '') =~ /script|Somebody/ } @{$seen->{segments}}], [], "$how: with nothing of that answer";
    cmp_ok $chat->requests(qr/^$how /), '<=', 6, "$how: after a few tries";
}
is_deeply [$platform->sql('story', "select count(*) from story_chat_answers where answer ~ 'money|script'")], [0], 'nothing that was wrong is kept';
# What the author changes while it is analysed is found at once, and stays so.
is analysed($ada, post($ada, scene('ok', $n++)))->{analyser}{name}, 'chat/stand-in', 'the provider works';
my $held = post($ada, scene('slow', 5));
ok wait_for(sub { $chat->requests(qr/number5/) }), 'a story is being analysed';
sub found { my ($q) = @_; return [map { $_->{storyId} } @{$api->call(searchStories => {token => $ada->{token}, query => {q => $q}})->{json}{items}}] }
is_deeply found('wind "number5"'), [$held], 'and found meanwhile';
is $api->call(updateStory => of($ada, $held, json => {title => 'Bramblewick'}, headers => {'If-Match' => '*'}))->{status}, 200, 'its title changes';
is_deeply found('Bramblewick'), [$held], 'and is found';
is analysed($ada, $held)->{analyser}{name}, 'embedded', 'it is analysed in the end';
is_deeply found('Bramblewick'), [$held], 'the title is found still';
is_deeply [$platform->sql('story', "select payload->>'title' from events where event_type = 'StoryAnalyzed' and aggregate_id = '$held'")], ['Bramblewick'], 'and said to those who speak and show it';
is analysed($ada, post($ada, scene('ok', $n++)))->{analyser}{name}, 'chat/stand-in', 'the provider works';
is $api->call(updateStory => of($ada, $held, json => {content => scene('slow', 6) =~ s/wind/quagmire/r}, headers => {'If-Match' => '*'}))->{status}, 200, 'a word is taken out';
is_deeply found('wind "number5"'), [], 'and found no more';
is_deeply found('quagmire'), [$held], 'but the one in its place';
is $api->call(getStory => of($ada, $held))->{json}{state}, 'analyzing', 'before that is analysed';
analysed($ada, $held, 'none');

my $key_seen = $platform->run('grep', '-rl', $KEY, $platform->var . '/log', $platform->var . '/process')->{out};
is $key_seen, '', 'the key is in no log';

is_deeply [$platform->stop], [], 'nothing is left';
done_testing;
