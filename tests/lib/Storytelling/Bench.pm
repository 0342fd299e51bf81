# What the benchmarks share: figures as a table and as JSON, stories, and a client whose clock is close to the wire.
#
#   my $bench = Storytelling::Bench->new;                 reads --build DIR --out FILE
#   $bench->figure('all daemons ready', 's', '< 3', @seconds);            the median counts
#   $bench->figure('answered, p99', 'ms', undef, @ms, {value => $p99});   another value counts; the rest is the spread
#   exit $bench->finish($platform->stop);                 writes the file; 1 when there were complaints
#
#   my $story = Storytelling::Bench::story('story-1000.txt');             {title, content}
#   my $posted = Storytelling::Bench::post($client, $user, $story);       {storyId, ..., at => time of the request}
#   Storytelling::Bench::ready($client, $user, $posted, 'narration')      the answer, with seconds => since the request
#
#   Storytelling::Bench::memory($platform->pid($_)) for Storytelling::Bench::daemons($platform);     MB
#
#   my $wire = Storytelling::Bench->wire($platform);      one HTTPS connection that is kept
#   my ($status, $seconds, $body) = $wire->ask(GET => $path, $token, $json);
package Storytelling::Bench;
use strict;
use warnings;
use Cwd qw(abs_path);
use Encode qw(decode);
use Getopt::Long;
use IO::Socket::INET;
use IO::Socket::SSL;
use JSON::PP ();
use List::Util qw(max min);
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Storytelling::Platform;
use Time::HiRes qw(sleep time);

my $JSON    = JSON::PP->new->utf8->canonical;
my $PATIENT = 180;    # seconds that a narration or a video may take before something is broken

sub new {
    my ($class) = @_;
    my %option;
    GetOptions(\%option, 'build=s', 'out=s') && $option{out} or die "usage: $0 --build DIR --out FILE\n";
    $ENV{PLATFORM_BUILD} = abs_path($option{build}) // die "$option{build} is not built\n" if $option{build};
    $| = 1;
    $SIG{$_} = sub { exit 130 } for qw(INT TERM HUP);
    open my $in, '<', '/proc/loadavg' or die "/proc/loadavg: $!\n";
    my ($load) = split ' ', <$in>;
    my $processors = () = glob '/sys/devices/system/cpu/cpu[0-9]*';
    print "$processors processors; load before the start: $load", $load > 0.5 ? ' (others are at work: expect worse figures)' : '', "\n";
    printf "%-66s %9s %-4s %-19s %-8s %s\n", 'figure', 'value', 'unit', 'spread', 'target', 'met';
    return bless {figures => [], out => $option{out}}, $class;
}

sub median {
    my @sorted = sort { $a <=> $b } @_;
    return @sorted % 2 ? $sorted[@sorted / 2] : ($sorted[@sorted / 2 - 1] + $sorted[@sorted / 2]) / 2;
}

# The share of the values (0 to 1) that is not above the result.
sub percentile {
    my ($share, @values) = @_;
    my @sorted = sort { $a <=> $b } @values;
    return $sorted[min($#sorted, int($share * @sorted))];
}

sub _round { return 0 + sprintf '%.4g', $_[0] }

# target: '< 3', '<= 3', '> 70', '>= 70' or undef.
sub figure {
    my ($self, $name, $unit, $target, @values) = @_;
    my $value = ref $values[-1] ? (pop @values)->{value} : median(@values);
    die "$name: nothing was measured\n" if !defined $value;
    my ($than, $limit) = split ' ', $target // '';
    my %holds = ('<' => $value < ($limit // 0), '<=' => $value <= ($limit // 0), '>' => $value > ($limit // 0), '>=' => $value >= ($limit // 0));
    my $met = !defined $than ? undef : $holds{$than} // die "$name: $target\n";
    my @spread = @values > 1 ? (_round(min @values), _round(max @values)) : ();
    push @{$self->{figures}}, {
        figure => $name, value => _round($value), unit => $unit, target => $target, spread => @spread ? \@spread : undef,
        met => !defined $met ? undef : $met ? JSON::PP::true : JSON::PP::false,
    };
    printf "%-66s %9.4g %-4s %-19s %-8s %s\n", $name, $value, $unit, join(' .. ', @spread), $target // '',
        !defined $met ? '' : $met ? 'yes' : 'NO';
}

sub finish {
    my ($self, @complaints) = @_;
    open my $out, '>', $self->{out} or die "$self->{out}: $!\n";
    print $out JSON::PP->new->utf8->canonical->pretty->encode($self->{figures});
    close $out or die "$self->{out}: $!\n";
    print "written to $self->{out}\n", @complaints;
    return @complaints ? 1 : 0;
}

# --- stories -----------------------------------------------------------------------------------------------------

# A text of this folder: its first line is the title.
sub story {
    my ($name) = @_;
    my $path = "$Storytelling::Platform::ROOT/tests/bench/$name";
    open my $in, '<:encoding(UTF-8)', $path or die "$path: $!\n";
    my ($title, $content) = split /\n+/, do { local $/; <$in> }, 2;
    return {title => $title, content => $content};
}

sub post {
    my ($client, $user, $story) = @_;
    my $at = time;
    my $answer = $client->post('/v1/stories', json => $story, token => $user->{token});
    die "POST /v1/stories: $answer->{status} $answer->{content}\n" if $answer->{status} != 201;
    return {%{$answer->{json}}, at => $at};
}

sub ready {
    my ($client, $user, $posted, $what) = @_;
    while (time < $posted->{at} + $PATIENT) {
        my $answer = $client->get("/v1/stories/$posted->{storyId}/$what", token => $user->{token});
        my $status = $answer->{status} == 404 ? 'unknown' : $answer->{json}{status};    # that service has not heard of it yet
        die "GET $what: $answer->{status} $answer->{content}\n" if !$status;
        return {%{$answer->{json}}, seconds => time - $posted->{at}} if $status eq 'ready';
        die "$what failed: $answer->{content}\n" if $status eq 'failed';
        sleep 0.1;
    }
    die "$what is not ready after $PATIENT s\n";
}

# --- memory ------------------------------------------------------------------------------------------------------

# MB (PSS) of processes and all they have started.
sub memory {
    my (@pids) = @_;
    my (%children, $kb);
    for my $file (glob '/proc/[0-9]*/stat') {
        open my $in, '<', $file or next;
        my ($pid, $parent) = (<$in> // '') =~ /^(\d+) \(.*\) \S (\d+)/s or next;
        push @{$children{$parent}}, $pid;
    }
    while (defined(my $pid = shift @pids)) {
        push @pids, @{$children{$pid} // []};
        open my $in, '<', "/proc/$pid/smaps_rollup" or next;
        while (my $line = <$in>) { $kb += $1 if $line =~ /^Pss:\s+(\d+)/ }
    }
    return ($kb // 0) / 1024;
}

# Names of the services of a platform.
sub daemons { my ($platform) = @_; return map { m{([^/]+)\.env\z} } glob "$platform->{var}/env/*.env" }

# --- the wire ----------------------------------------------------------------------------------------------------

sub wire {
    my ($class, $platform) = @_;
    my $socket = IO::Socket::SSL->new(
        PeerAddr => '127.0.0.1', PeerPort => $platform->port, SSL_ca_file => $platform->ca, SSL_verifycn_name => 'localhost',
        Timeout => 10
    ) or die "no connection: $SSL_ERROR\n";
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
    return bless {socket => $socket}, 'Storytelling::Bench::Wire';
}

package Storytelling::Bench::Wire;
use Time::HiRes qw(time);

# From before the first byte of the request until after the last byte of the answer.
sub ask {
    my ($self, $method, $path, $token, $json) = @_;
    my $body = defined $json ? $JSON->encode($json) : '';
    my $request = join "\r\n", "$method $path HTTP/1.1", 'Host: localhost', "Authorization: Bearer $token",
        length $body ? ('Content-Type: application/json', 'Content-Length: ' . length $body) : (), '', $body;
    my ($socket, $buffer) = ($self->{socket}, '');
    my $start = time;
    syswrite($socket, $request) == length $request or die "$method $path: not sent\n";
    my $head;
    while (($head = 4 + index $buffer, "\r\n\r\n") < 4) {
        sysread $socket, $buffer, 65536, length $buffer or die "$method $path: no answer\n";
    }
    my ($status) = $buffer =~ m{^HTTP/1\.1 (\d+)} or die "$method $path: $buffer\n";
    my ($length) = $buffer =~ /^content-length: *(\d+)/im or die "$method $path: an answer without Content-Length\n";
    while (length $buffer < $head + $length) {
        sysread $socket, $buffer, 65536, length $buffer or die "$method $path: the answer breaks off\n";
    }
    return ($status, time - $start, substr $buffer, $head);
}

1;
