# Blocks of tests for nginx, with the names and meanings of Test::Nginx::Socket, which Debian does not have: the files
# in tests/edge that use it run unchanged under the original. On Test::Base; each block has an nginx of its own.
#
# Sections: main_config, http_config, config; request, pipelined_requests, raw_request, more_headers; error_code,
# response_headers, response_headers_like, raw_response_headers_like, raw_response_headers_unlike, response_body,
# response_body_like, response_body_unlike; error_log, no_error_log; must_die, timeout, ignore_response, SKIP. request,
# more_headers and what is expected of an answer may be arrays (by `eval`): several requests in turn.
#
# (Subs have prototypes so that Spiffy, which Test::Base brings, leaves them as they are.)
package Test::Nginx::Socket;
use strict;
use warnings;
use Test::Base -Base;
use File::Temp ();
use Storytelling::Nginx;

our @EXPORT = qw(run_tests repeat_each workers no_root_location no_long_string no_shuffle log_level
    add_block_preprocessor server_port timeout master_on);

my ($Repeat, $Workers, $LogLevel, $Timeout, $NoRoot) = (1, 1, 'info', 5, 0);
my (@Preprocessors, $Port);

sub repeat_each (@)            { return @_ ? $Repeat = $_[0] : $Repeat }
sub workers (@)                { return @_ ? $Workers = $_[0] : $Workers }
sub log_level (@)              { return @_ ? $LogLevel = $_[0] : $LogLevel }
sub timeout (@)                { return @_ ? $Timeout = $_[0] : $Timeout }
sub server_port ()             { return $Port }
sub no_root_location ()        { $NoRoot = 1 }
sub no_long_string ()          { return }
sub no_shuffle ()              { return }
sub master_on ()               { return }
sub add_block_preprocessor (&) { push @Preprocessors, $_[0] }

# The value for the n-th request: of an array its n-th entry, else the value itself.
sub nth ($$) {
    my ($value, $n) = @_;
    return ref $value eq 'ARRAY' ? $value->[$n] : $value;
}

sub section ($$) {
    my ($block, $name) = @_;
    return scalar $block->$name;
}

# "GET /path [HTTP/1.1]" and the body in the lines behind it.
sub build_request ($$$) {
    my ($text, $more, $connection) = @_;
    my @packets = ref $text ? map { ref ? $_ : {value => $_} } @$text : {value => $text};
    my $first = $packets[0]{value};
    $first =~ s/\A\s+//;
    $first =~ s/\A(\S+)(?:[ \t]+(\S+))?(?:[ \t]+(\S+))?[ \t]*(?:\n|\z)// or die "no request line in: $first";
    my ($method, $uri, $version) = ($1, $2 // '/', $3 // 'HTTP/1.1');
    my $body = join '', $first, map { $_->{value} } @packets[1 .. $#packets];
    my $chunked = $more =~ /^Transfer-Encoding:\s*chunked/mi;
    if (@packets == 1) {
        $first =~ s/\A\s+|\s+\z//g if !$chunked;
        $body = $first;
    }
    $more =~ s/\A\n+//;
    $more .= "\n" if length $more && $more !~ /\n\z/;
    $more =~ s/(?<!\r)\n/\r\n/g;
    my $head = "$method $uri $version\r\n";
    $head .= "Host: localhost\r\n" if $more !~ /^Host:/mi;
    $head .= "Connection: $connection\r\n" if $more !~ /^Connection:/mi;
    $head .= $more;
    $head .= 'Content-Length: ' . length($body) . "\r\n" if length $body && !$chunked && $more !~ /^Content-Length:/mi;
    my @out = ({%{$packets[0]}, value => "$head\r\n$first"}, @packets[1 .. $#packets]);
    return ($method, \@out);
}

# What is sent, connection by connection: [packets, methods].
sub requests_of ($) {
    my ($block) = @_;
    my $more = section($block, 'more_headers') // '';
    if (defined(my $raw = section($block, 'raw_request'))) {
        return [ref $raw ? [map { {value => $_} } @$raw] : [{value => $raw}], ['GET']];
    }
    if (my $all = section($block, 'pipelined_requests')) {
        my (@packets, @methods);
        for my $i (0 .. $#$all) {
            my ($method, $out) = build_request($all->[$i], nth($more, $i) // '', $i == $#$all ? 'close' : 'keep-alive');
            push @packets, @$out;
            push @methods, $method;
        }
        return [\@packets, \@methods];
    }
    my $request = section($block, 'request');
    return if !defined $request;
    my @out;
    for my $i (0 .. (ref $request ? $#$request : 0)) {
        my ($method, $packets) = build_request(nth($request, $i), nth($more, $i) // '', 'close');
        push @out, [$packets, [$method]];
    }
    return @out;
}

sub check_headers ($$$) {
    my ($name, $answer, $wanted) = @_;
    for my $line (split /\n/, $wanted // '') {
        if ($line =~ /^\s*!\s*(\S+)/) {
            ok !exists $answer->{headers}{lc $1}, "$name - header $1 not present in the raw headers";
        } elsif ($line =~ /^\s*([^:]+?)\s*:\s*(.*?)\s*$/) {
            Test::More::is $answer->{headers}{lc $1} // '', $2, "$name - header $1 ok";
        }
    }
}

sub check_answer ($$$) {
    my ($block, $answer, $n) = @_;
    my $name = $block->name;
    my $get = sub { nth(section($block, $_[0]), $n) };
    Test::More::is $answer->{status} || '', $get->('error_code') // 200, "$name - status code ok"
        or diag "the answer: $answer->{raw_headers}$answer->{body}" . ($answer->{error} // '');
    check_headers $name, $answer, $get->('response_headers');
    for (split /\n/, $get->('response_headers_like') // '') {
        my ($header, $pattern) = /^\s*([^:]+?)\s*:\s*(.*?)\s*$/ or next;
        like $answer->{headers}{lc $header} // '', qr/^$pattern$/, "$name - header $header like ok";
    }
    my ($like, $unlike) = map { $get->("raw_response_headers_$_") } qw(like unlike);
    like $answer->{raw_headers}, qr/$like/sm, "$name - raw resp headers like" if defined $like;
    unlike $answer->{raw_headers}, qr/$unlike/sm, "$name - raw resp headers unlike" if defined $unlike;
    my ($body, $body_like, $body_unlike) = map { $get->("response_body$_") } '', '_like', '_unlike';
    Test::More::is $answer->{body}, $body, "$name - response_body - response is expected" if defined $body;
    like $answer->{body}, qr/$body_like/sm, "$name - response_body_like - response is expected" if defined $body_like;
    unlike $answer->{body}, qr/$body_unlike/sm, "$name - response_body_unlike - response is expected" if defined $body_unlike;
}

sub patterns ($) {
    my ($value) = @_;
    return () if !defined $value;
    return ref $value eq 'ARRAY' ? @$value : ref $value ? $value : split /\n+/, $value;
}

sub check_log ($$) {
    my ($block, $log) = @_;
    my $name = $block->name;
    my @lines = split /\n/, $log;
    my $matches = sub { my ($p) = @_; return scalar grep { ref $p ? /$p/ : index($_, $p) >= 0 } @lines };
    my @wanted = patterns section($block, 'error_log');
    for (@wanted) {
        ok $matches->($_), "$name - pattern \"$_\" matches a line in error.log" or diag $log;
    }
    for (patterns section($block, 'no_error_log')) {
        ok !$matches->($_), "$name - pattern \"$_\" does not match a line in error.log" or diag $log;
    }
    return if defined section($block, 'must_die') || grep { /\[(?:alert|crit|emerg)/ } @wanted;
    my @bad = grep { /\[(?:alert|crit|emerg)\]/ } @lines;
    fail "$name - error.log has nothing of alert or worse: @bad" if @bad;
}

sub run_block ($) {
    my ($block) = @_;
    my $name = $block->name;
    my $nginx = Storytelling::Nginx->new(
        dir       => File::Temp::tempdir('nginx-XXXXXX', TMPDIR => 1, CLEANUP => 1),
        log_level => $LogLevel,
        timeout   => section($block, 'timeout') // $Timeout
    );
    $Port = $nginx->{port};
    my $root = $NoRoot ? '' : "location / { root $nginx->{dir}; }";
    $nginx->configure(
        workers => $Workers,
        main    => section($block, 'main_config'),
        http    => section($block, 'http_config'),
        server  => 'client_max_body_size 30M; ' . (section($block, 'config') // '') . $root
    );
    my $up = $nginx->start;
    if (defined section($block, 'must_die')) {
        ok !$up, "$name - nginx refuses to start";
    } elsif (ok $up, "$name - nginx starts") {
        my $n = 0;
        for my $request (requests_of $block) {
            for my $answer ($nginx->exchange($request->[0], @{$request->[1]})) {
                check_answer $block, $answer, $n++ if !defined section($block, 'ignore_response');
            }
        }
        $nginx->stop;
    } else {
        diag $nginx->error_log . Storytelling::Nginx::slurp("$nginx->{dir}/log/start.log");
    }
    check_log $block, $nginx->error_log;
    my $reports = $nginx->reports;
    fail "$name - the sanitizers have nothing to report: $reports" if $reports;
}

sub run_tests () {
    for my $block (Test::Base::blocks()) {
        next if defined section($block, 'SKIP');
        $_->($block) for @Preprocessors;
        run_block $block for 1 .. $Repeat;
    }
}

1;
