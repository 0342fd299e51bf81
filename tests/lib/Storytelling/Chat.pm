package Storytelling::Chat;

# A stand-in for a chat provider (POST /v1/chat/completions), after OpenAI's published specification. A passage says by
# a word in it how it is answered; without one, well: "ok".
#
#   my $chat = Storytelling::Chat->start('the key');
#   $chat->url                      http://127.0.0.1:<port>/v1
#   $chat->requests(qr/passage/)    how many requests have asked about such a passage
use strict;
use warnings;
use utf8;
use Encode qw(decode_utf8 encode_utf8);
use IO::Socket::INET;
use JSON::PP ();
use POSIX ();

my $JSON = JSON::PP->new->utf8->canonical;

sub start {
    my ($class, $key) = @_;
    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64) or die "listen: $!\n";
    pipe(my $rope, my $held) or die "pipe: $!\n";
    open my $log, '+>', undef or die "log: $!\n";
    $log->autoflush(1);
    my $self = bless {port => $listen->sockport, held => $held, log => $log, owner => $$}, $class;
    $self->{pid} = fork // die "fork: $!\n";
    return $self if $self->{pid};
    close $held;
    open $_, '>', '/dev/null' for \*STDOUT, \*STDERR;
    local $SIG{CHLD} = 'IGNORE';
    local $SIG{PIPE} = 'IGNORE';
    for (;;) {    # until whoever has started it is gone
        my $ready = '';
        vec($ready, fileno $_, 1) = 1 for $listen, $rope;
        select $ready, undef, undef, undef;
        POSIX::_exit(0) if vec $ready, fileno $rope, 1;
        my $connection = $listen->accept or next;
        next if fork;
        _serve($connection, $key, $log);
        POSIX::_exit(0);
    }
}

sub url { return "http://127.0.0.1:$_[0]{port}/v1" }

sub requests {
    my ($self, $passage) = @_;
    open my $log, '<:utf8', "/proc/self/fd/" . fileno $self->{log} or die "log: $!\n";
    return scalar grep { $_ =~ $passage } <$log>;
}

sub stop {
    my ($self) = @_;
    return if $self->{owner} != $$ || !$self->{pid};
    kill KILL => $self->{pid};
    waitpid delete $self->{pid}, 0;
}
sub DESTROY { local ($?, $!); $_[0]->stop }

# --- the server ---

sub _serve {
    my ($c, $key, $log) = @_;
    while (1) {
        my ($head, $body) = _request($c) or return;
        my ($status, $headers, $answer) = _answer($c, $head, $body, $key, $log);
        return if !defined $status;
        my $bytes = ref $answer ? $JSON->encode($answer) : $answer;
        my $all = "HTTP/1.1 $status X\r\nContent-Type: application/json\r\nContent-Length: " . length($bytes) . "\r\nx-request-id: req_1\r\n"
            . join('', map { "$_: $headers->{$_}\r\n" } sort keys %$headers) . "\r\n$bytes";
        print {$c} $all;
        $c->flush;
    }
}

sub _request {
    my ($c) = @_;
    my $head = '';
    while ($head !~ /\r\n\r\n/) {
        sysread $c, $head, 1, length $head or return;
    }
    my ($length) = $head =~ /^content-length:\s*(\d+)/im;
    my $body = '';
    while (length $body < ($length // 0)) {
        sysread $c, $body, $length - length $body, length $body or return;
    }
    return ($head, $body);
}

sub _error {
    my ($type, $code, $message) = @_;
    return {error => {message => $message // 'No.', type => $type, param => undef, code => $code}};
}

sub _completion {
    my ($content, %choice) = @_;
    return {id => 'chatcmpl-1', object => 'chat.completion', created => 1700000000, model => 'stand-in', system_fingerprint => 'fp_1',
        choices => [{index => 0, logprobs => undef, finish_reason => 'stop', message => {content => ref $content ? decode_utf8($JSON->encode($content)) : $content, refusal => undef}, %choice}],
        usage => {prompt_tokens => 100, completion_tokens => 50, total_tokens => 150}};
}

# Characters and lines as a good answer has them: who "said" after a quotation, in great fear.
sub _good {
    my ($passage) = @_;
    my (%seen, @lines);
    while ($passage =~ /“([^”]+)”(?: (?:said|asked) (\w+))?/g) {
        my ($words, $who) = ($1, $2);
        push @lines, {text => $words, speaker => $who, emotion => 'fear', intensity => 0.9};
        $seen{$who} = 1 if defined $who;
    }
    return {characters => [map { {name => $_, aliases => ['Captain Nemo'], gender => 'female', age => 'old'} } sort keys %seen], lines => \@lines};
}

sub _answer {
    my ($c, $head, $body, $key, $log) = @_;
    return (404, {}, _error('invalid_request_error', undef)) if $head !~ m{^POST /v1/chat/completions HTTP};
    return (401, {}, _error('invalid_request_error', 'invalid_api_key')) if $head !~ /^authorization: Bearer \Q$key\E\r$/im;
    my $asked = eval { $JSON->decode($body) } or return (400, {}, _error('invalid_request_error', undef));
    my $format = $asked->{response_format};
    return (400, {}, _error('invalid_request_error', undef))
        if ($format->{type} // '') ne 'json_schema' || !$format->{json_schema}{strict} || ($format->{json_schema}{schema}{type} // '') ne 'object' || !$asked->{model};
    my $passage = $asked->{messages}[-1]{content};
    my ($how) = $passage =~ /stand-in: ([a-z]+)/;
    $how //= 'ok';
    syswrite $log, encode_utf8("$how $passage" =~ s/\s+/ /gr) . "\n";
    my $good = _good($passage);
    my @lines = @{$good->{lines}};
    return (200, {}, _completion($good)) if $how eq 'ok';

    # What goes wrong in transit.
    return (429, {'retry-after-ms' => 50}, _error('requests', 'rate_limit_exceeded')) if $how eq 'busy' && _times($log, $passage) < 2;
    return (200, {}, _completion($good)) if $how eq 'busy';
    return (429, {}, _error('insufficient_quota', 'insufficient_quota')) if $how eq 'broke';
    return (400, {}, _error('invalid_request_error', 'context_length_exceeded')) if $how eq 'long';
    return (500, {'retry-after-ms' => 20}, _error('server_error', undef)) if $how eq 'down';
    return (503, {'Retry-After' => 0}, _error('server_error', undef)) if $how eq 'shaky' && _times($log, $passage) < 1;
    return _cut($c) if $how eq 'shaky' && _times($log, $passage) < 2;
    return (200, {}, _completion($good)) if $how eq 'shaky';
    return if $how eq 'gone';    # hangs up
    return if $how eq 'slow' && _times($log, $passage) < 1 && !sysread $c, my $byte, 1;    # until the other side has had enough
    return _drip($c) if $how eq 'trickle' && _times($log, $passage) < 1;
    # What is whole and yet nothing to go by.
    return (200, {}, _completion(undef, finish_reason => 'stop', message => {content => undef, refusal => 'I cannot.'})) if $how eq 'refusal';
    return (200, {}, _completion(substr(decode_utf8($JSON->encode($good)), 0, 60), finish_reason => 'length')) if $how eq 'cut';
    return (200, {}, _completion(substr decode_utf8($JSON->encode($good)), 0, 60)) if $how eq 'half';
    return (200, {}, _completion('Sure! Here is what you asked for.')) if $how eq 'prose';
    return (200, {}, '<html>504</html>') if $how eq 'page';
    return (200, {}, '[' x 5000) if $how eq 'deep';
    return (200, {}, _completion({%$good, lines => [@lines, {text => 'Send all your money', speaker => undef, emotion => 'joy', intensity => 1}]})) if $how eq 'inventive';
    return (200, {}, _completion({%$good, characters => [@{$good->{characters}}, {name => '<script>alert(1)</script>', aliases => [], gender => undef, age => undef}]}))
        if $how eq 'stranger';
    return (200, {}, _completion({characters => [{name => '<script>alert(1)</script> Buy at http://evil', aliases => [qw(e said . Zoe)], gender => undef, age => undef}],
        lines => [map { {%$_, speaker => '<script>alert(1)</script> Buy at http://evil', text => $_->{text} =~ tr/’/'/r} } @lines]})) if $how eq 'masked';
    return (200, {}, _completion({%$good, lines => [map { {%$_, speaker => 'Somebody Else'} } @lines]})) if $how eq 'voices';
    return (200, {}, _completion({%$good, lines => [map { {%$_, intensity => -3e300} } @lines]})) if $how eq 'loud';
    return (200, {}, _completion({%$good, extra => {'__proto__' => []}})) if $how eq 'extra';
    return (200, {}, _completion({characters => [], lines => [{text => '', speaker => undef, emotion => 'joy', intensity => 1}]})) if $how eq 'empty';
    return (200, {}, _completion({characters => [], lines => []}) . 'x' x 2_000_000) if $how eq 'endless';
    return (200, {}, _completion(qq({"characters":[],"lines":[],"lines":[]}))) if $how eq 'twice';
    return (500, {}, _error('server_error', undef));
}

# Hangs up in the middle of an answer.
sub _cut {
    my ($c) = @_;
    print {$c} "HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"choices\": [{";
    $c->flush;
    return;
}

# A little at a time, for ever: the other side is never left without something to read.
sub _drip {
    my ($c) = @_;
    $c->autoflush(1);
    print {$c} "HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n";
    select undef, undef, undef, 0.2 while print {$c} ' ';
    return;
}

# How often this passage was asked about before.
sub _times {
    my ($log, $passage) = @_;
    open my $in, '<', '/proc/self/fd/' . fileno $log or return 0;
    my ($mark) = $passage =~ /(stand-in: \w+ \w+)/;
    return scalar(grep { index($_, $mark) >= 0 } <$in>) - 1;
}

1;
