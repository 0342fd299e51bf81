package Storytelling::Films;
# A stand-in for Runway, Luma and fal's queue (Pika), in one: whatever is asked for is done at the second look, at the
# first where there is DIR/quick, never where there is DIR/slow. DIR/others: how many others stand before it in Luma's list.
#
#   perl -Itests/lib -MStorytelling::Films -e Storytelling::Films::main DIR    prints its port, serves until it is killed
#
# DIR/film.mp4 is what it has filmed. DIR/faults holds what befalls the next requests, one word a line: an HTTP status,
# `quota` (an account that is used up), `reset` (it is done, but the connection breaks), `held` (the same, and not before
# DIR/held is gone), `late` (held, then answered), `garbage` (no JSON), `strange` (a state that nobody knows),
# `throttled` (it is queued), `empty` (it is done, but there is nothing), `daily` (429: that was enough for today), `wrong`
# (the request is, in the provider's eyes), `cut` (half of a file), `html` (a page in place of a file), `ok`, or what
# befalls that which was asked for: `content` and `internal`; at Runway `cancelled`, `asset`, `preprocessing`; at fal
# `runner`, `timeout`, `client`, `retryable`, `invalid`. DIR/jwks.json are the keys that
# fal signs with. DIR/log gets method and path of each, DIR/bodies what was sent, DIR/callbacks where to call back.
use strict;
use warnings;
use IO::Socket::INET;
use JSON::PP ();
use Socket qw(SOL_SOCKET SO_LINGER);
use Storytelling::S3;

my $JSON = JSON::PP->new->utf8->canonical;
my ($port, $dir, %made, $count);

# fal repeats what it was sent.
use constant REFUSED => {
    detail => [{loc => ['body', 'prompt'], msg => 'content policy', type => 'content_policy_violation', input => 'He lost his balance, and his credit.'}]
};

use constant INVALID => {detail => [{loc => ['body', 'prompt'], msg => 'ensure this value has at most 500 characters', type => 'value_error.any_str.max_length', input => 'It was unsafe, whatever the policy.'}]};

# How a model or fal itself has failed: status, error_type or detail, X-Fal-Retryable.
my %FAL = (
    content => [422, REFUSED, 'X-Fal-Retryable: false'], invalid => [422, INVALID], retryable => [422, {detail => 'downstream'}, 'X-Fal-Retryable: true'],
    (map { ($_->[0] => [$_->[1], {detail => 'x', error_type => $_->[2]}, "X-Fal-Error-Type: $_->[2]"]) } ['internal', 500, 'internal_error'],
        ['runner', 503, 'runner_disconnected'], ['timeout', 504, 'request_timeout'], ['client', 499, 'client_cancelled']),
);
my %RUNWAY = (content => 'SAFETY.INPUT.TEXT', internal => 'INTERNAL.BAD_OUTPUT.01', asset => 'ASSET.INVALID', preprocessing => 'INPUT_PREPROCESSING.INTERNAL');

# Members that are not among those it has, or are not there though they must.
sub is_odd {
    my ($body, $must, $may) = @_;
    my %known = map { ($_ => 1) } @$must, @$may;
    return (grep { !$known{$_} } keys %$body) || grep { !defined $body->{$_} } @$must;
}

sub uuid { return sprintf '0193c7e2-0000-4000-8000-%012d', ++$count }

sub film { return "http://127.0.0.1:$port/files/film.mp4" }

# One more look at what was begun: how far is it?
sub look {
    my ($m) = @_;
    $m->{looks}++;
    return -e "$dir/slow" || $m->{looks} < 2 && !-e "$dir/quick" ? 'runs' : $m->{fails} // 'done';
}

# It is not to be done any more, and cannot be seen again.
sub cancel { my ($id) = @_; delete $made{$id}; return [204, ''] }

sub runway {
    my ($r) = @_;
    return [400, {error => 'X-Runway-Version'}] if ($r->{header}{'x-runway-version'} // '') ne '2024-11-06';
    if ($r->{method} eq 'POST') {
        my $b = $r->{json};
        return [400, {error => 'Validation', issues => []}]
            if $r->{path} ne ($b->{promptImage} ? '/v1/image_to_video' : '/v1/text_to_video') || is_odd($b, [qw(model promptText ratio duration)], [qw(seed promptImage)]) || $b->{ratio} !~ /\A(?:1280:720|720:1280)\z/ || $b->{duration} !~ /\A(?:[2-9]|10)\z/ || length $b->{promptText} > 1000 || $b->{model} ne 'gen4.5';
        my $id = uuid();
        $made{$id} = {fails => $r->{fails}};
        return [200, {id => $id, estimatedCost => {credits => 25}}];
    }
    my ($id) = $r->{path} =~ m{\A/v1/tasks/(.+)\z};
    my $m = $made{$id} or return [404, {error => 'gone'}];
    return cancel($id) if $r->{method} eq 'DELETE';
    my $state = look($m);
    return [200, {id => $id, status => 'RUNNING', progress => 0.5}] if $state eq 'runs';
    return [200, {id => $id, status => 'SUCCEEDED', output => [film()]}] if $state eq 'done';
    return [200, {id => $id, status => 'CANCELLED', cost => {credits => 0}}] if $state eq 'cancelled';
    return [200, {id => $id, status => 'FAILED', failure => 'x', failureCode => $RUNWAY{$state}}];
}

sub generation {
    my ($id, $state) = @_;
    my %state = (runs => 'dreaming', done => 'completed', content => 'failed', internal => 'failed');
    return {
        id => $id, generation_type => 'video', state => $state{$state}, failure_reason => $state eq 'content' ? 'Moderated: unsafe prompt' : $state eq 'internal' ? 'engine' : undef,
        assets => $state eq 'done' ? {video => film()} : undef, request => $made{$id}{request},
    };
}

sub others { open my $in, '<', "$dir/others" or return 0; return int <$in> }

# What was begun, newest first, behind as many of others as DIR/others says.
sub luma_list {
    my ($limit, $offset) = $_[0] =~ /\Alimit=(\d+)&offset=(\d+)\z/ or return [400, {detail => 'limit, offset'}];
    return [400, {detail => 'limit'}] if $limit < 1 || $limit > 100;
    my @all = ((map { {id => "other-$_", state => 'completed', request => {}} } 1 .. others()),
        map { generation($_, 'runs') } grep { $made{$_}{request} } reverse sort keys %made);
    my $last = $offset + $limit < @all ? $offset + $limit : @all;
    return [200, {generations => [@all[$offset .. $last - 1]], count => scalar @all, limit => $limit, offset => $offset, has_more => $last < @all ? JSON::PP::true : JSON::PP::false}];
}

sub luma {
    my ($r) = @_;
    if ($r->{method} eq 'POST') {
        my $b = $r->{json};
        return [404, {detail => 'Not Found'}] if $r->{path} ne '/generations/video';
        return [400, {detail => 'Members'}] if is_odd($b, [qw(model prompt aspect_ratio resolution duration)], [qw(keyframes callback_url)]);
        return [400, {detail => 'Format'}] if $b->{aspect_ratio} !~ /\A(?:16:9|9:16)\z/ || $b->{resolution} !~ /\A(?:720p|1080p)\z/;
        return [400, {detail => 'Keyframe'}] if $b->{keyframes} && $b->{keyframes}{frame0}{type} ne 'image';
        return [400, {detail => 'Prompt is required'}] if length($b->{prompt} // '') < 3 || $b->{duration} !~ /\A[59]s\z/ || $b->{model} ne 'ray-2';
        my $id = uuid();
        $made{$id} = {fails => $r->{fails}, request => $b};
        note(callbacks => $b->{callback_url});
        return [201, {id => $id, state => 'queued', request => $b}];
    }
    return luma_list($r->{query}) if $r->{path} eq '/generations';
    my ($id) = $r->{path} =~ m{\A/generations/(.+)\z};
    return cancel($id) if $made{$id} && $r->{method} eq 'DELETE';
    return $made{$id} ? [200, generation($id, look($made{$id}))] : [404, {detail => 'not found'}];
}

sub fal {
    my ($r) = @_;
    if ($r->{method} eq 'POST') {
        my $b = $r->{json};
        my ($from) = $r->{path} =~ m{\A/fal-ai/pika/v2\.2/(text|image)-to-video\z} or return [404, {detail => 'no such model'}];
        return [422, {detail => [{loc => ['body'], msg => 'bad', type => 'value_error.missing'}]}]
            if is_odd($b, [qw(prompt resolution duration), $from eq 'text' ? 'aspect_ratio' : 'image_url'], ['seed']) || $b->{resolution} !~ /\A(?:720p|1080p)\z/ || ($b->{aspect_ratio} // '16:9') !~ /\A(?:16:9|9:16)\z/;
        return [422, {detail => [{loc => ['body', 'duration'], msg => 'bad', type => 'value_error'}]}] if ($b->{duration} // '') !~ /\A(?:5|10)\z/ || !$b->{prompt};
        my $id = uuid();
        $made{$id} = {fails => $r->{fails}};
        note(callbacks => Storytelling::S3::decode($r->{query} =~ s/\Afal_webhook=//r));
        return [200, {status => 'IN_QUEUE', request_id => $id, queue_position => 0}];
    }
    my ($id, $status) = $r->{path} =~ m{\A/fal-ai/pika/requests/([^/]+)(/status|/cancel)?\z};
    my $m = $made{$id} or return [404, {detail => 'not found'}];
    return look($m) eq 'runs' ? [202, {status => 'CANCELLATION_REQUESTED'}] : [400, {status => 'ALREADY_COMPLETED'}] if $r->{method} eq 'PUT';
    if ($status) {
        return [202, {status => 'IN_PROGRESS', request_id => $id}] if look($m) eq 'runs';
        return [200, {status => 'COMPLETED', request_id => $id, metrics => {inference_time => 1}}];
    }
    return $FAL{$m->{fails}} if $m->{fails};
    return [200, {video => {url => film(), content_type => 'video/mp4'}}];
}

# [status, body as JSON or text, headers...]
sub answer {
    my ($r, $fault) = @_;
    if (my ($file) = $r->{path} =~ m{\A/(?:files|\.well-known)/([a-z0-9.]+)\z}) {
        return [403, {error => 'expired'}] if $r->{header}{authorization};    # it was signed, and our key is nobody's business
        open my $in, '<:raw', "$dir/$file" or return [404, {error => 'gone'}];
        local $/;
        return [200, scalar <$in>];
    }
    my ($scheme, $key) = split / /, $r->{header}{authorization} // '';
    return [401, {error => 'bad key'}] if ($key // '') ne 'secret-key' || $scheme ne ($r->{path} =~ m{\A/fal-ai/} ? 'Key' : 'Bearer');
    $r->{fails} = $fault if $RUNWAY{$fault} || $FAL{$fault} || $fault eq 'cancelled';
    return [429, {error => 'You have reached the daily limit of this model.'}] if $fault eq 'daily';
    return $r->{path} =~ m{\A/fal-ai/} ? [422, INVALID] : [400, {error => 'Validation of body failed', issues => []}] if $fault eq 'wrong';
    $r->{json} = $JSON->decode($r->{body}) if $r->{body} ne '';
    return $r->{path} =~ m{\A/v1/} ? runway($r) : $r->{path} =~ m{\A/fal-ai/} ? fal($r) : luma($r);
}

sub note { my ($name, $line) = @_; open my $out, '>>', "$dir/$name" or die "$dir/$name: $!"; print $out "$line\n" }

sub serve_one {
    my ($socket) = @_;
    my $r     = Storytelling::S3::read_request($socket) or return;
    my $fault = Storytelling::S3::next_fault($dir);
    note(log => "$r->{method} $r->{path}");
    note(bodies => $r->{body}) if $r->{method} eq 'POST';
    my ($status, $body, @headers) = @{$fault =~ /\A\d+\z/ ? [$fault, $fault == 422 ? REFUSED : {error => 'asked for'}] : $fault eq 'quota' ? [400, {error => 'You do not have enough credits'}] : answer($r, $fault)};
    select undef, undef, undef, 0.01 while $fault =~ /\A(?:held|late)\z/ && -e "$dir/held";
    if ($fault =~ /\A(?:reset|held)\z/) {
        setsockopt($socket, SOL_SOCKET, SO_LINGER, pack 'll', 1, 0);
        return;
    }
    delete @$body{qw(output assets video)} if $fault eq 'empty';
    $body = $JSON->encode($body) if ref $body;
    $body =~ s/"status":"\K\w+/THROTTLED/ if $fault eq 'throttled';
    $body =~ s/"(?:status|state)":"\K\w+/paused/ if $fault eq 'strange';
    $body = '{"id": ' if $fault eq 'garbage';
    $body = '<html><video></html>' . "\0" x 3000 if $fault eq 'html';
    my $size = length $body;
    $body = substr $body, 0, $size / 2 if $fault eq 'cut';
    print $socket join("\r\n", "HTTP/1.1 $status X", 'Connection: close', "Content-Length: $size", @headers), "\r\n\r\n$body";
    $socket->flush;
}

sub main {
    ($dir) = @ARGV;
    local $SIG{PIPE} = 'IGNORE';
    my $listener = IO::Socket::INET->new(Listen => 16, LocalAddr => '127.0.0.1', Proto => 'tcp') or die "listen: $!";
    $port = $listener->sockport;
    $| = 1;
    print "$port\n";
    while (1) {
        my $socket = $listener->accept or next;    # a signal
        binmode $socket;
        serve_one($socket);
        close $socket;
    }
}

1;
