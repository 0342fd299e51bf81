package Storytelling::S3;
# A stand-in for S3: one bucket in memory, one request a connection. It checks every signature by the recipe of
# Signature Version 4, in headers and in addresses, and what is signed against the body.
#
#   perl -Itests/lib -MStorytelling::S3 -e Storytelling::S3::main DIR     prints its port and serves until it is killed
#
# DIR/faults holds what befalls the next requests, one word a line, the first line first: an HTTP status (503 comes with
# Retry-After), `reset` (the connection breaks before the answer), `cut` (in the middle of the body), `flip` (a byte of
# the body is another), `stall` (the body stops coming), `list` (a page that is no XML), or `ok`.
# DIR/log gets a line of method, path and status for each.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex hmac_sha256 hmac_sha256_hex);
use IO::Socket::INET;
use POSIX qw(strftime);
use Socket qw(SOL_SOCKET SO_LINGER);
use Time::Local qw(timegm);

use constant {BUCKET => 'stories', REGION => 'eu-test-1', KEY_ID => 'AKIDTEST', SECRET => 'a secret/of+some kind', PAGE => 2, SKEW => 900};

sub decode { $_[0] =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ger }
sub encode { $_[0] =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ger }

sub signature {
    my ($date, $scope, $request) = @_;
    my $key = 'AWS4' . SECRET;
    $key = hmac_sha256($_, $key) for split m{/}, $scope;
    return hmac_sha256_hex(join("\n", 'AWS4-HMAC-SHA256', $date, $scope, sha256_hex($request)), $key);
}

# A link to a key as S3's own tools make it.
sub presign {
    my ($port, $key, %query) = @_;
    my $date  = strftime('%Y%m%dT%H%M%SZ', gmtime);
    my $scope = substr($date, 0, 8) . '/' . REGION . '/s3/aws4_request';
    %query = (%query, 'X-Amz-Algorithm' => 'AWS4-HMAC-SHA256', 'X-Amz-Credential' => KEY_ID . "/$scope", 'X-Amz-Date' => $date,
        'X-Amz-Expires' => 60, 'X-Amz-SignedHeaders' => 'host');
    my $query = join '&', map { encode($_) . '=' . encode($query{$_}) } sort keys %query;
    my $path  = '/' . BUCKET . "/$key";
    return "http://127.0.0.1:$port$path?$query&X-Amz-Signature=" . signature($date, $scope, "GET\n$path\n$query\nhost:127.0.0.1:$port\n\nhost\nUNSIGNED-PAYLOAD");
}

sub seconds { my ($date) = @_; return $date =~ /\A(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z\z/ ? timegm($6, $5, $4, $3, $2 - 1, $1) : 0 }

# Why the request is refused: [status, code], or nothing.
sub refuse {
    my ($r) = @_;
    my %q = map { my ($n, $v) = split /=/, $_, 2; ($n => decode($v // '')) } split /&/, $r->{query};
    my ($date, $scope, $signed, $given, $payload, $query) = ($r->{header}{'x-amz-date'}, undef, undef, undef, $r->{header}{'x-amz-content-sha256'}, $r->{query});
    if ($q{'X-Amz-Signature'}) {
        return [400, 'InvalidArgument'] if $r->{header}{authorization};
        ($date, $scope, $signed, $given, $payload) = (@q{qw(X-Amz-Date X-Amz-Credential X-Amz-SignedHeaders X-Amz-Signature)}, 'UNSIGNED-PAYLOAD');
        $query =~ s/&?X-Amz-Signature=[^&]*//;
        return [403, 'AccessDenied'] if seconds($date) + $q{'X-Amz-Expires'} < time;
    } else {
        ($scope, $signed, $given) = ($r->{header}{authorization} // '') =~ /\AAWS4-HMAC-SHA256 Credential=([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})\z/
            or return [403, 'AccessDenied'];
        return [403, 'RequestTimeTooSkewed'] if abs(seconds($date) - time) > SKEW;
        return [400, 'XAmzContentSHA256Mismatch'] if ($payload // '') ne sha256_hex($r->{body});
    }
    (my $id, $scope) = split m{/}, $scope, 2;
    return [403, 'InvalidAccessKeyId'] if $id ne KEY_ID;
    return [403, 'SignatureDoesNotMatch'] if $scope ne substr($date, 0, 8) . '/' . REGION . '/s3/aws4_request';
    my $canonical = join '&', sort split /&/, $query;
    my $headers   = join '', map { "$_:" . ($r->{header}{$_} // '') . "\n" } split /;/, $signed;
    my $request   = join "\n", $r->{method}, $r->{path}, $canonical, $headers, $signed, $payload;
    return $given eq signature($date, $scope, $request) ? undef : [403, 'SignatureDoesNotMatch'];
}

sub error { my ($status, $code) = @_; return [$status, ['Content-Type: application/xml'], "<?xml version=\"1.0\"?><Error><Code>$code</Code><Message/></Error>"] }

sub list {
    my ($objects, $query) = @_;
    my %q     = map { my ($n, $v) = split /=/, $_, 2; ($n => decode($v)) } split /&/, $query;
    my @keys  = grep { index($_, $q{prefix} // '') == 0 && $_ gt ($q{'continuation-token'} // '') } sort keys %$objects;
    my $more  = @keys > PAGE;
    my $items = join '', map {
        my $at = strftime('%Y-%m-%dT%H:%M:%S.000Z', gmtime $objects->{$_}{at});
        "<Contents><Key>$_</Key><LastModified>$at</LastModified><ETag>&quot;x&quot;</ETag><Size>" . length($objects->{$_}{body}) . '</Size></Contents>'
    } @keys[0 .. ($more ? PAGE : @keys) - 1];
    my $next = $more ? '<NextContinuationToken>' . $keys[PAGE - 1] . '</NextContinuationToken>' : '';
    return [200, ['Content-Type: application/xml'],
        '<?xml version="1.0"?><ListBucketResult><IsTruncated>' . ($more ? 'true' : 'false') . "</IsTruncated>$items$next</ListBucketResult>"];
}

sub get {
    my ($object, $r) = @_;
    my ($type) = $r->{query} =~ /response-content-type=([^&]+)/;
    my @headers = ('x-amz-request-id: 42', 'Accept-Ranges: bytes', 'Content-Type: ' . decode($type // 'application/octet-stream'),
        'ETag: "' . sha256_hex($object->{body}) . '"', map { "$_: $object->{meta}{$_}" } keys %{$object->{meta}});
    my $size = length $object->{body};
    if (my ($from, $to) = ($r->{header}{range} // '') =~ /\Abytes=(\d+)-(\d*)\z/) {
        return error(416, 'InvalidRange') if $from >= $size;
        $to = $size - 1 if $to eq '' || $to >= $size;
        return [206, [@headers, "Content-Range: bytes $from-$to/$size"], substr $object->{body}, $from, $to - $from + 1];
    }
    return [200, \@headers, $object->{body}];
}

sub answer {
    my ($objects, $r) = @_;
    my $refused = refuse($r);
    return error(@$refused) if $refused;
    my ($bucket, $key) = $r->{path} =~ m{\A/([^/]+)/?(.*)\z}s or return error(400, 'InvalidURI');
    return error(404, 'NoSuchBucket') if $bucket ne BUCKET;
    if ($r->{method} eq 'PUT') {
        $objects->{$key} = {body => $r->{body}, at => time, meta => {map { ($_ => $r->{header}{$_}) } grep { /^x-amz-meta-/ } keys %{$r->{header}}}};
        return [200, [], ''];
    }
    return list($objects, $r->{query}) if $key eq '';
    return do { delete $objects->{$key}; [204, [], ''] } if $r->{method} eq 'DELETE';
    return $objects->{$key} ? get($objects->{$key}, $r) : error(404, 'NoSuchKey');
}

sub read_request {
    my ($socket) = @_;
    my ($method, $path, $query) = (scalar(<$socket>) // '') =~ m{\A(\S+) ([^? ]*)\??(\S*) HTTP/1\.} or return;
    my %header;
    while (defined(my $line = <$socket>)) {
        last if $line =~ /\A\r?\n\z/;
        $header{lc $1} = $2 if $line =~ /\A([^:]+):\s*(.*?)\s*\r?\n\z/;
    }
    print $socket "HTTP/1.1 100 Continue\r\n\r\n" if ($header{expect} // '') =~ /100-continue/i;
    my $body = '';
    read($socket, $body, $header{'content-length'}) if $header{'content-length'};
    return {method => $method, path => $path, query => $query, header => \%header, body => $body};
}

sub next_fault {
    my ($dir) = @_;
    open my $in, '<', "$dir/faults" or return 'ok';
    my ($first, @rest) = <$in>;
    open my $out, '>', "$dir/faults" or die "$dir/faults: $!";
    print $out @rest;
    close $out;
    return defined $first ? $first =~ s/\s+//gr : 'ok';
}

sub serve_one {
    my ($dir, $objects, $socket) = @_;
    my $r     = read_request($socket) or return;
    my $fault = next_fault($dir);
    my ($status, $headers, $body) = @{$fault =~ /\A\d+\z/ ? error($fault, 'SlowDown') : answer($objects, $r)};
    push @$headers, 'Retry-After: 1' if $fault eq '503';
    my $size = length $body;
    substr($body, $size / 2, 1) ^= "\x01" if $fault eq 'flip' && $size;
    $body = substr $body, 0, $size / 2 if $fault eq 'cut' || $fault eq 'stall';
    $body = '<html>' . ' ' x ($size - 6) if $fault eq 'list';
    open my $log, '>>', "$dir/log" or die "$dir/log: $!";
    print $log "$r->{method} $r->{path} " . ($fault eq 'ok' ? $status : $fault) . "\n";
    close $log;
    if ($fault eq 'reset') {
        setsockopt($socket, SOL_SOCKET, SO_LINGER, pack 'll', 1, 0);
        return;
    }
    my $length = $status == 204 ? '' : "Content-Length: $size\r\n";
    print $socket join("\r\n", "HTTP/1.1 $status X", 'Connection: close', @$headers), "\r\n$length\r\n";
    print $socket $body if $r->{method} ne 'HEAD';
    $socket->flush;
    sysread $socket, my $rest, 1 if $fault eq 'stall';    # until the client gives up
}

sub main {
    my ($dir) = @ARGV;
    local $SIG{PIPE} = 'IGNORE';
    my $listener = IO::Socket::INET->new(Listen => 16, LocalAddr => '127.0.0.1', Proto => 'tcp') or die "listen: $!";
    my %objects;
    $| = 1;
    print $listener->sockport, "\n";
    while (1) {
        my $socket = $listener->accept or next;    # a signal
        binmode $socket;
        serve_one($dir, \%objects, $socket);
        close $socket;
    }
}

1;
