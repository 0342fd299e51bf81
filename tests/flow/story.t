# A story's whole way, as a client sees it: from the registration of its author to narration, video, mails and figures;
# and behind the scenes, that each event happened once and was counted once.
use strict;
use warnings;
use utf8;
use Test::More;
use File::Temp qw(tempdir);
use JSON::PP ();
use Time::HiRes qw(time);
use Storytelling::Platform;
use Storytelling::Client;

binmode Test::More->builder->$_, ':utf8' for qw(output failure_output todo_output);
my $platform = Storytelling::Platform->shared;
my $client   = $platform->client;
my $JSON     = JSON::PP->new->utf8;
my $dir      = tempdir(CLEANUP => 1);
my @SERVICES = qw(analytics authorization collaboration identity narration notification story subscription video);

sub slurp { my ($file) = @_; open my $in, '<:raw', $file or die "$file: $!\n"; local $/; return scalar <$in> }

my ($example) = glob "$Storytelling::Platform::ROOT/config/examples/*.txt";
my $text = slurp($example);
utf8::decode($text);

# The operator looks on.
my $tail = fork // die "fork: $!\n";
if (!$tail) {
    open STDOUT, '>', "$dir/tail" or die;
    $ENV{ST_ENV_DIR} = $platform->var . '/env';
    exec Storytelling::Platform::build() . '/bin/storyctl', '--json', 'events', 'tail', '--last', 1, '--follow';
    die "storyctl: $!\n";
}
END { local $?; kill TERM => $tail if $tail }

# --- an author ----------------------------------------------------------------------------------------------------------

my $author = $client->register_user(displayName => 'Ada Ž.', locale => 'en');
ok $author->{token}, 'somebody registers, confirms the address from the mail, and logs in';
ok $client->wait_for_mail($author->{email}, qr/^Welcome/), 'is welcomed by mail';

# --- post, analysis, narration, video -----------------------------------------------------------------------------------

my $began = time;
my $correlation = sprintf 'flow-%d-%06x', $$, rand 0xffffff;
my $posted = $client->post('/v1/stories', json => {title => 'The lighthouse bell', content => $text}, token => $author->{token},
    headers => {'X-Correlation-Id' => $correlation});
is $posted->{status}, 201, 'posts a story';
is $posted->{headers}{'x-correlation-id'}, $correlation, 'under an id of their own choice';
my $story = $posted->{json}{storyId};

my %took;
sub reached {
    my ($part) = @_;
    my $seen = wait_for(sub {
        my $answer = $client->get("/v1/stories/$story/$part", token => $author->{token});
        ($answer->{json}{status} // '') ne 'pending' && $answer->{json};
    });
    $took{$part} = time - $began;
    is $seen->{status}, 'ready', sprintf '%s is ready after %.1f s', $part, $took{$part};
    return $seen;
}
my $analysis = reached('analysis');
cmp_ok scalar @{$analysis->{characters}}, '>=', 3, 'three characters and more are found';
my %emotions = map { $_->{emotion} => 1 } @{$analysis->{segments}};
cmp_ok scalar keys %emotions, '>=', 3, 'several moods';
my %speakers = map { ($_->{speaker} // '') => 1 } @{$analysis->{segments}};
cmp_ok scalar keys %speakers, '>=', 4, 'and who speaks when';
my $narration = reached('narration');
my $video = reached('video');

# --- what came of it ----------------------------------------------------------------------------------------------------

sub probe {
    my ($file) = @_;
    my $said = $platform->run('ffprobe', '-v', 'error', '-of', 'json', '-show_format', '-show_streams', $file);
    return $said->{exit} ? {} : $JSON->decode($said->{out});
}
sub fetched {
    my ($url, $name) = @_;
    my $answer = $client->get($url, token => $author->{token});
    is $answer->{status}, 200, "$name can be fetched";
    open my $out, '>:raw', "$dir/$name" or die;
    print $out $answer->{content};
    close $out;
    return probe("$dir/$name");
}
for my $format (qw(opus mp3)) {
    my ($url) = map { $_->{url} } grep { $_->{format} eq $format } @{$narration->{audio}};
    my $seen = fetched($url, "audio.$format");
    is $seen->{streams}[0]{codec_name}, $format, "and is $format";
    cmp_ok abs($seen->{format}{duration} * 1000 - $narration->{durationMs}), '<', 500, 'as long as it says';
}
my $volume = $platform->run('ffmpeg', '-nostdin', '-i', "$dir/audio.opus", '-af', 'volumedetect', '-f', 'null', '-')->{out};
like $volume, qr/mean_volume: -(?:1\d|2\d)\.\d dB/, 'it can be heard';
my $seen = fetched($video->{url}, 'video.mp4');
my %codec = map { $_->{codec_type} => $_ } @{$seen->{streams}};
is $codec{video}{codec_name}, 'h264', 'its pictures are H.264';
is $codec{audio}{codec_name}, 'aac', 'its sound is AAC';
cmp_ok $codec{video}{width}, '>=', 640, 'large enough to see';
my $longer = $seen->{format}{duration} * 1000 - $narration->{durationMs};
ok $longer > 1000 && $longer < 6000, 'as long as the narration and an end card' or diag $longer;
my $part = $client->get($video->{url}, token => $author->{token}, headers => {Range => 'bytes=0-99'});
is "$part->{status} " . length $part->{content}, '206 100', 'and comes in parts where asked';

# Captions are in step with the sound.
my $captions = $client->get($video->{captionsUrl}, token => $author->{token})->{content};
utf8::decode($captions);
my %starts = map { $_->{segmentId} => $_->{startMs} } @{$narration->{segments}};
my @cues;
push @cues, [((($1 // 0) * 60 + $2) * 60 + $3) * 1000 + $4, $5] while $captions =~ /^(?:(\d+):)?(\d\d):(\d\d)\.(\d{3}) --> [^\n]*\n(.*?)(?=\n\n|\z)/gms;
cmp_ok scalar @cues, '>=', scalar(@{$analysis->{segments}}) / 2, 'the captions tell the story';
my $compared = 0;
for my $segment (@{$analysis->{segments}}) {
    my $words = substr $segment->{text}, 0, 12;
    next if length $words < 12 || grep({ index($_->{text}, $words) >= 0 } @{$analysis->{segments}}) != 1;
    my ($cue) = grep { index($_->[1] =~ s/<[^>]*>//gr =~ s/\n/ /gr, $words) >= 0 } @cues or next;
    $compared++;
    cmp_ok abs($cue->[0] - $starts{$segment->{segmentId}}), '<', 700, "in step: $words" or last;
}
cmp_ok $compared, '>', 5, 'as far as can be told';

# --- who was told -------------------------------------------------------------------------------------------------------

ok $client->wait_for_mail($author->{email}, qr/can be heard/), 'a mail says that it can be heard';
ok $client->wait_for_mail($author->{email}, qr/can be watched/), 'and another that it can be watched';
my ($link) = $client->wait_for_mail($author->{email}, qr/can be watched/)->{text} =~ m{^https://[^/\s]+(/v1/\S+)}m;
is $client->get($link, token => $author->{token})->{status}, 200, 'its link leads there';
my $inbox = wait_for(sub { my $items = $client->get('/v1/notifications', token => $author->{token})->{json}{items}; @$items >= 3 && $items });
is_deeply [map { $_->{campaign} } @$inbox], [qw(video.generated narration.generation.completed user.registered)], 'the inbox says the same';
my @mails = $client->mails($author->{email});
is scalar @mails, 4, 'four mails in all, none twice';

# --- together -----------------------------------------------------------------------------------------------------------

my $room = $client->post('/v1/collaborations', json => {storyId => $story}, token => $author->{token})->{json}{collaborationId};
my $friend = {email => sprintf('friend%d.%06x@example.org', $$, rand 0xffffff)};
is $client->post("/v1/collaborations/$room/invitations", json => {email => $friend->{email}, role => 'voice'}, token => $author->{token})->{status}, 201,
    'a friend without an account is invited';
my $code = code_of($client->wait_for_mail($friend->{email}, qr/The lighthouse bell/));
$friend = $client->register_user(%$friend, displayName => 'Grace');
is $client->post('/v1/invitations/accept', json => {token => $code}, token => $friend->{token})->{status}, 200, 'opens one, and accepts';
ok wait_for(sub {
    my ($item) = grep { $_->{storyId} eq $story } @{$client->get('/v1/stories', token => $author->{token})->{json}{items}};
    $item->{collaboratorCount} == 1;
}), 'the story counts a collaborator';
is_deeply [map { $_->{displayName} } @{$client->get("/v1/collaborations/$room", token => $author->{token})->{json}{participants}}], ['Grace'], 'who is listed';
ok wait_for(sub { $client->get($video->{url}, token => $friend->{token})->{status} == 200 }), 'and may see the video';
ok $client->wait_for_mail($author->{email}, qr/Grace/), 'the author is told';

# --- behind the scenes --------------------------------------------------------------------------------------------------

# The story's events in the logs of the services.
sub log_of_story {
    return map {
        my $service = $_;
        map { my ($type, $metadata) = split /\t/; {type => $type, service => $service, metadata => $JSON->decode($metadata)} }
            $platform->sql($service, "select event_type, metadata from events where payload->>'storyId' = '$story' order by seq");
    } qw(story narration video);
}
my @log = log_of_story();
my %times;
$times{$_->{type}}++ for @log;
ok delete $times{NarrationProgressed}, 'progress was told';
is_deeply \%times, {map { $_ => 1 } qw(CharactersExtracted CollaboratorsChanged NarrationGenerated StoryAnalyzed StoryCreated VideoGenerated VideoProcessing)}, 'everything else happened once';

# What was said is what was heard, to the last number.
my ($said) = $platform->sql('story', "select payload->'segments' from events where event_type = 'StoryAnalyzed' and payload->>'storyId' = '$story'");
is_deeply [$platform->sql('video', "select segments from analyses where story_id = '$story'")], [$said], 'the segments arrive as they were told';
like $said, qr/"intensity": 0\.[1-9]/, 'with intensities';
is_deeply [grep { $_->{type} ne 'CollaboratorsChanged' && $_->{metadata}{correlationId} ne $correlation } @log], [], 'all under the id of the first request';
is_deeply [grep { $_->{service} ne 'story' && !$_->{metadata}{causationId} } @log], [], 'and what others did knows what caused it';

# What the operator saw pass on the bus.
my @seen = map { $JSON->decode($_) } grep { /^\{.*\}$/ } split /\n/, slurp("$dir/tail");
kill TERM => $tail;
waitpid $tail, 0;
undef $tail;
ok scalar(grep { ($_->{payload}{storyId} // '') eq $story } @seen), 'storyctl events tail has shown it';
my %twice;
is_deeply [grep { $twice{$_->{eventId}}++ } @seen], [], 'each event once';

# Every event of every service is counted, once.
sub logged {
    my %count;
    for my $service (@SERVICES) {
        for ($platform->sql($service, 'select event_type, count(*) from events group by 1')) {
            my ($type, $n) = split /\t/;
            $count{$type} += $n;
        }
    }
    return \%count;
}
sub counted { return {map { split /\t/ } $platform->sql('analytics', 'select event_type, sum(events) from daily_counts group by 1')} }
my ($logged, $counted);
wait_for(sub { $counted = counted(); $logged = logged(); $JSON->canonical->encode({map { $_ => $logged->{$_} + 0 } keys %$logged}) eq $JSON->encode({map { $_ => $counted->{$_} + 0 } keys %$counted}) });
is_deeply {map { $_ => $counted->{$_} + 0 } keys %$counted}, {map { $_ => $logged->{$_} + 0 } keys %$logged}, 'analytics has counted every event of every service once';

my $dead = $platform->storyctl('--json', 'dead', 'list');
is $dead->{exit}, 0, 'the operator lists dead letters';
unlike $dead->{out}, qr/$story/, 'and finds nothing of this story';
my $status = $platform->storyctl('--json', 'status');
is $status->{exit}, 0, 'every service is healthy' or diag $status->{out};

# Logs have the document's shape, and hold no secrets.
my @secrets = ($author->{password}, $author->{token}, $author->{refresh}, $code, $friend->{password}, $friend->{token}, $author->{email}, $friend->{email},
    map { slurp($_) =~ /(\S+)/ } $platform->var . '/secrets/edge.key', glob $platform->var . '/secrets/database/*');
my ($lines, @odd, @leaks) = 0;
for my $name (@SERVICES, 'edge.access') {
    for my $line (split /\n/, slurp($platform->var . "/log/$name.log")) {
        my $entry = eval { $JSON->decode($line) };
        $lines++;
        push @odd, "$name: $line" if !$entry || grep { !defined $entry->{$_} } qw(timestamp service level message metadata);
        push @leaks, "$name: $line" if grep { index($line, $_) >= 0 } @secrets;
    }
}
cmp_ok $lines, '>', 20, 'there are logs';
is_deeply [@odd[0 .. ($#odd > 3 ? 3 : $#odd)]], [], 'each line is JSON of the document\'s shape';
is_deeply [@leaks[0 .. ($#leaks > 3 ? 3 : $#leaks)]], [], 'and none holds a secret or an address';

note sprintf 'analysis %.1f s, narration %.1f s, video %.1f s', @took{qw(analysis narration video)};
done_testing;
