package Storytelling::ElevenLabs;
# A stand-in for ElevenLabs: learns, lists and forgets voices, and speaks with those that it knows.
#
#   perl -Itests/lib -MStorytelling::ElevenLabs -e Storytelling::ElevenLabs::main DIR    prints its port, serves until
#   it is killed
#
# DIR/faults holds what befalls the next requests about voices, one word a line: an HTTP status, alone or
# with the code that the refusal has (`400:voice_not_found`), `reset` (it is done, but the connection breaks), `drop` (it
# is not done, and the connection breaks), `garbage` (done, no JSON), or `ok`.
# DIR/slots, if it is there, is how many voices it has places for. DIR/others has voices that the account has anyway, lines
# of id, name, gender and age; DIR/page is how many voices it lists at a time. DIR/log gets method and path of each request,
# DIR/samples the bytes of each sample, DIR/voices the voices that it knows: id and name.
use strict;
use warnings;
use IO::Socket::INET;
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use Socket qw(SOL_SOCKET SO_LINGER);
use Storytelling::S3;

my $JSON = JSON::PP->new->utf8->canonical;
my ($dir, %voices, $count);

sub write_file { my ($name, $text, $mode) = @_; open my $out, $mode // '>', "$dir/$name" or die "$dir/$name: $!"; binmode $out; print $out $text; close $out }
sub read_file { my ($name) = @_; open my $in, '<:raw', "$dir/$name" or return; local $/; return scalar <$in> }
sub keep { write_file(voices => join '', map { "$_ $voices{$_}\n" } sort keys %voices) }

sub refusal { my ($status, $code) = @_; return [$status, {detail => {status => $code, message => "It is so: $code"}}] }

# Parts of multipart/form-data by name.
sub parts {
    my ($r) = @_;
    my ($boundary) = ($r->{header}{'content-type'} // '') =~ /boundary=(\S+)/ or return;
    my %part;
    for (split /(?:\A|\r\n)--\Q$boundary\E(?:\r\n|--\r\n?)/, $r->{body}) {
        my ($head, $body) = split /\r\n\r\n/, $_, 2;
        $part{$1} = $body if ($head // '') =~ /\bname="([^"]+)"/;
    }
    return \%part;
}

sub add {
    my ($r) = @_;
    my $part = parts($r) or return [422, {detail => [{loc => ['body'], msg => 'no form', type => 'value_error'}]}];
    return [422, {detail => [{loc => ['body', 'files'], msg => 'field required', type => 'missing'}]}] if !length($part->{files} // '') || !length($part->{name} // '');
    return refusal(400, 'invalid_parameters') if $part->{files} !~ /\A\xff[\xe0-\xff]/;
    my $slots = read_file('slots');
    return refusal(400, 'voice_limit_reached') if defined $slots && keys %voices >= $slots;
    my $id = sprintf 'vc%018d', ++$count;
    $voices{$id} = $part->{name};
    keep();
    write_file(samples => $part->{files}, '>>');
    return [200, {voice_id => $id, requires_verification => JSON::PP::false}];
}

sub others { return map { my ($id, $name, $gender, $age) = split / /; {voice_id => $id, name => $name, category => 'premade', labels => {gender => $gender, age => $age}} } split /\n/, read_file('others') // '' }

sub speak {
    my ($r, $id) = @_;
    return refusal(404, 'voice_not_found') if !$voices{$id} && !grep { $_->{voice_id} eq $id } others();
    my $pcm = join '', map { pack 's<*', map { 8000 * sin $_ / 8 } 1 .. 1440 } 1 .. length $JSON->decode($r->{body})->{text};
    return [200, {audio_base64 => encode_base64($pcm, ''), alignment => undef}];
}

sub answer {
    my ($r) = @_;
    my $what = "$r->{method} $r->{path}";
    return refusal(401, 'invalid_api_key') if ($r->{header}{'xi-api-key'} // '') ne 'secret-key';
    return add($r) if $what eq 'POST /v1/voices/add';
    return speak($r, $1) if $what =~ m{\APOST /v1/text-to-speech/(\w+)/with-timestamps\z};
    if ($what eq 'GET /v2/voices') {
        my ($search, $from) = map { $r->{query} =~ /\b$_=([^&]*)/ ? $1 : '' } qw(search next_page_token);
        my @found = grep { index($_->{name}, $search) >= 0 } (map { {voice_id => $_, name => $voices{$_}, category => 'cloned'} } sort keys %voices), others();
        my $page  = read_file('page') || 100;
        my $more  = ($from || 0) + $page < @found;
        return [200, {voices => [grep { $_ } @found[($from || 0) .. ($from || 0) + $page - 1]], has_more => $more ? JSON::PP::true : JSON::PP::false,
                total_count => scalar @found, next_page_token => $more ? '' . (($from || 0) + $page) : undef}];
    }
    if ($what =~ m{\ADELETE /v1/voices/(\w+)\z}) {
        return refusal(404, 'voice_not_found') if !delete $voices{$1};
        keep();
        return [200, {status => 'ok'}];
    }
    return [404, {detail => 'Not Found'}];
}

sub serve_one {
    my ($socket) = @_;
    my $r     = Storytelling::S3::read_request($socket) or return;
    my $fault = $r->{path} =~ m{/voices} ? Storytelling::S3::next_fault($dir) : 'ok';
    write_file(log => "$r->{method} $r->{path}\n", '>>');
    my ($status, $body) = @{$fault =~ /\A(\d+):(\w+)\z/ ? refusal($1, $2) : $fault =~ /\A\d+\z/ ? [$fault, {detail => 'asked for'}] : $fault eq 'drop' ? [500, {}] : answer($r)};
    if ($fault eq 'reset' || $fault eq 'drop') {
        setsockopt($socket, SOL_SOCKET, SO_LINGER, pack 'll', 1, 0);
        return;
    }
    $body = $fault eq 'garbage' ? '{"voice' : $JSON->encode($body);
    print $socket "HTTP/1.1 $status X\r\nConnection: close\r\nContent-Length: ", length $body, "\r\n\r\n$body";
    $socket->flush;
}

sub main {
    ($dir) = @ARGV;
    local $SIG{PIPE} = 'IGNORE';
    keep();
    my $listener = IO::Socket::INET->new(Listen => 16, LocalAddr => '127.0.0.1', Proto => 'tcp') or die "listen: $!";
    $| = 1;
    print $listener->sockport, "\n";
    while (my $socket = $listener->accept) {
        binmode $socket;
        serve_one($socket);
        close $socket;
    }
}

1;
