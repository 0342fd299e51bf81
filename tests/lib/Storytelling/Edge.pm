# The world of the edge's tests: keys and tokens, the contract in tests/edge, a service that echoes, Redis.
#
#   use Test::Nginx::Socket 'no_plan';
#   use Storytelling::Edge;          # blocks without http_config / config / main_config get the edge's own
#
# In blocks (by `eval`): bearer(roles => ['author'], exp => …) gives an Authorization header. In files that do without
# blocks: Storytelling::Edge->nginx(%parts) gives a configured Storytelling::Nginx; main_config, http_config and
# server_config give the text to build on. Everything lies in one temporary directory, gone at the end.
package Storytelling::Edge;
use strict;
use warnings;
use Cwd qw(abs_path);
use Digest::SHA qw(hmac_sha256 hmac_sha256_hex);
use Exporter 'import';
use File::Basename qw(dirname);
use File::Temp ();
use IO::Select;
use IO::Socket::UNIX;
use JSON::PP ();
use MIME::Base64 qw(encode_base64url);
use POSIX ();
use Storytelling::Nginx;
use Storytelling::Wait;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(bearer token json wait_for);

my $ROOT  = dirname(dirname(dirname(dirname(abs_path(__FILE__)))));
my $BUILD = $ENV{PLATFORM_BUILD} // "$ROOT/build";
my $OWNER = $$;
my $DIR   = File::Temp::tempdir('edge-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $JSON  = JSON::PP->new->canonical->allow_nonref;
my (@children, %tokens, $files);
pipe(my $alive_reader, my $alive_writer) or die "pipe: $!";    # its end tells the children that the test has gone

chmod 0755, $DIR;
mkdir "$DIR/$_" for qw(run secrets contracts state tmp);

sub root   { $ROOT }
sub dir    { $DIR }
sub module { abs_path("$BUILD/ngx_http_api_module.so") // die "the module is not built in $BUILD\n" }
sub ui     { abs_path(-e "$BUILD/ui" ? "$BUILD/ui" : "$ROOT/build/ui") // die "the pages are not built in $BUILD\n" }
sub json   { my ($text) = @_; return eval { $JSON->decode($text) } }

sub write_file {
    my ($path, $text) = @_;
    open my $out, '>', "$path.new" or die "$path: $!";
    print $out $text;
    close $out;
    rename "$path.new", $path or die "$path: $!";
    return $path;
}

# A file of the test's own, by its name; and storyctl with these words: its exit code, and all that it says.
sub file { my ($name, $text) = @_; return write_file("$DIR/tmp/$name", $text) }

sub storyctl { "$BUILD/bin/storyctl" }
sub ctl {
    my $words = join ' ', map { quotemeta } storyctl(), @_;
    my $said = `$words 2>&1`;
    return ($? >> 8, $said);
}

# --- keys and tokens ---

sub key {
    my ($name) = @_;
    my $pem = "$DIR/secrets/$name.pem";
    if (!-e $pem) {
        my $make = $name =~ /^rsa/ ? 'genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048'
            : $name =~ /^ed/ ? 'genpkey -algorithm ED25519'
            :                  'ecparam -name prime256v1 -genkey -noout';
        system("openssl $make -out $pem 2>/dev/null") == 0 or die "openssl $make";
        system("openssl pkey -in $pem -pubout -out $DIR/secrets/$name.pub.pem") == 0 or die 'openssl pkey';
    }
    return $pem;
}

sub public_key { my ($name) = @_; key($name); return "$DIR/secrets/$name.pub.pem" }

# The public key as a JWK with these members besides.
sub jwk {
    my ($name, %more) = @_;
    my $text = `openssl pkey -pubin -in @{[public_key($name)]} -noout -text`;
    my $hex  = sub { pack 'H*', join '', $_[0] =~ /([0-9a-f]{2})/g };
    my %jwk;
    if ($name =~ /^rsa/) {
        my ($n) = $text =~ /Modulus:\s*([0-9a-f:\s]+?)Exponent/s;
        %jwk = (kty => 'RSA', n => encode_base64url($hex->($n) =~ s/\A\0//r), e => 'AQAB');
    } elsif ($name =~ /^ed/) {
        %jwk = (kty => 'OKP', crv => 'Ed25519', x => encode_base64url($hex->($text =~ s/.*pub://sr)));
    } else {
        my ($point) = $text =~ /pub:\s*([0-9a-f:\s]+)ASN1/s;
        my $bytes = $hex->($point);
        %jwk = (kty => 'EC', crv => 'P-256', x => encode_base64url(substr $bytes, 1, 32), y => encode_base64url(substr $bytes, 33));
    }
    return {%jwk, %more};
}
# A raw signature by a key file; ES256 as r || s.
sub sign {
    my ($alg, $key, $data) = @_;
    return '' if $alg eq 'none';
    return hmac_sha256($data, $key) if $alg =~ /^HS/i;
    my $in  = write_file("$DIR/tmp/signed.$$", $data);
    my $how = $alg eq 'EdDSA' ? "pkeyutl -sign -rawin -inkey $key -in $in" : "dgst -sha@{[$alg =~ /(\d+)/]} -sign $key $in";
    my $sig = `openssl $how`;
    return $sig if $alg !~ /^ES/i;
    my $at = 2;
    my @ints;
    for (1, 2) {
        my $len = ord substr $sig, $at + 1, 1;
        my $int = substr $sig, $at + 2, $len;
        $int =~ s/\A\0+//;
        push @ints, ("\0" x (32 - length $int)) . $int;
        $at += 2 + $len;
    }
    return join '', @ints;
}

# Claims override the usual ones (undef removes); -header => {…}, -key => name, -alg, -sign => sub change the rest.
sub token {
    my (%claims) = @_;
    my ($header, $key, $alg, $sign) = delete @claims{qw(-header -key -alg -sign)};
    my $cached = !$sign && $JSON->encode([\%claims, $header, $key, $alg]);
    return $tokens{$cached} if $cached && $tokens{$cached};
    my $now = time;
    my %all = (
        iss => 'https://storytelling.local', aud => 'storytelling', sub => 'user-1', sid => 'session-1', jti => 'token-1',
        iat => int $now, nbf => int $now, exp => int($now) + 600, roles => ['author'], tier => 'free', sv => 1, %claims
    );
    delete $all{$_} for grep { !defined $all{$_} } keys %all;
    $key //= 'identity';
    $alg //= $key =~ /^rsa/ ? 'RS256' : $key =~ /^ed/ ? 'EdDSA' : 'ES256';
    my %head = (typ => 'at+jwt', alg => $alg, %{$header // {}});
    delete $head{$_} for grep { !defined $head{$_} } keys %head;
    my $signed = join '.', map { encode_base64url($JSON->encode($_)) } \%head, \%all;
    my $token = "$signed." . encode_base64url($sign ? $sign->($signed) : sign($alg, key($key), $signed));
    $tokens{$cached} = $token if $cached;
    return $token;
}

sub bearer { return 'Authorization: Bearer ' . token(@_) }

# --- configuration ---

my $ROLES = {
    version => 1,
    roles   => {author => ['thing:create', 'thing:read'], reader => ['thing:read'], editor => ['thing:*'], admin => ['*:*']}
};

# A state file of its own for each call: blocks are all evaluated before the first one runs.
sub state_file {
    my (%more) = @_;
    return write_file("$DIR/state/" . ++$files . '.json', $JSON->encode({roles => $ROLES, users => {}, tiers => {}, revoked => {}, %more}));
}

sub secret { my $f = "$DIR/secrets/edge.key"; write_file($f, "0123456789abcdef" x 4 . "\n") if !-e $f; return '0123456789abcdef' x 4 }

sub main_config { return "load_module @{[module()]};" }

sub contract { return "$ROOT/tests/edge/contract.yaml" }

sub http_config {
    my (%with) = @_;
    secret();
    my $contract = $with{contract} // contract();
    my $state = $with{no_state} ? '' : 'api_state_file ' . ($with{state} // state_file()) . ';';
    my $redis = $with{redis} ? 'api_redis ' . ($with{redis} =~ m{^/} ? "unix:$with{redis}" : $with{redis}) . ';' : '';
    my $keys = join ' ', map { "api_jwt_key_file " . public_key($_) . ';' } @{$with{keys} // ['identity']};
    my $upstreams = $with{upstreams} // join "\n", map { "upstream $_ { server unix:$DIR/run/$_.sock; keepalive 8; }" } qw(echo slow dead);
    return <<"CONF";
        client_max_body_size 256k;
        client_body_buffer_size 128k;
        large_client_header_buffers 4 16k;
        @{[$contract ? "api_contracts $contract;" : '']}
        api_signing_key_file $DIR/secrets/edge.key;
        $state $redis $keys
        api_jwt_issuer https://storytelling.local;
        api_jwt_audience storytelling;
        proxy_http_version 1.1;
        proxy_set_header Connection '';
        map \$api_method \$upstream_method { HEAD GET; default \$api_method; }
        proxy_method \$upstream_method;
        $upstreams
CONF
}

sub server_config {
    return <<'CONF';
        api on;
        error_page 400 403 404 405 413 414 416 500 501 502 503 504 /_problem;
        error_page 494 =431 /_problem;
        location = /_problem { internal; api_problem; }
        location = /health { api_health; }
        location = /health/live { api_health live; }
        location = /health/ready { api_health ready; }
        location = /metrics { api_metrics; }
        location = /status { api_status; }
        location = /openapi.json { api_openapi; }
        location / { client_max_body_size 256k; api_pass; }
CONF
}

sub nginx {
    my ($class, %with) = @_;
    my $nginx = Storytelling::Nginx->new(dir => File::Temp::tempdir('nginx-XXXXXX', TMPDIR => 1, CLEANUP => 1));
    $class->configure($nginx, %with);
    return $nginx;
}

sub configure {
    my ($class, $nginx, %with) = @_;
    $nginx->configure(
        workers => $with{workers},
        main    => main_config(),
        http    => http_config(%with) . ($with{http} // ''),
        server  => ($with{server} // server_config()) . ($with{more} // '')
    );
}

# --- Redis ---

sub start_child {
    my ($run) = @_;
    defined(my $pid = fork) or die "fork: $!";
    if (!$pid) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
        close $alive_writer;
        open STDOUT, '>>', "$DIR/tmp/children.log";
        open STDERR, '>&', \*STDOUT;
        eval { $run->(); 1 } or print STDERR $@;
        POSIX::_exit(1);
    }
    push @children, $pid;
    return $pid;
}

sub stop_child {
    my ($pid, $signal) = @_;
    kill $signal // 'TERM', $pid;
    waitpid $pid, 0;
    @children = grep { $_ != $pid } @children;
}

sub redis_socket { return "$DIR/run/redis.sock" }

sub start_redis {
    my (@more) = @_;
    my $pid = start_child(sub {
        exec 'redis-server', '--port', 0, '--unixsocket', redis_socket(), '--save', '', '--appendonly', 'no', '--dir', $DIR,
            @more;
    });
    wait_for(sub { eval { redis('PING') } }) or die "Redis does not start\n";
    return $pid;
}

# One command; strings, numbers and undef as they come.
sub redis {
    my (@args) = @_;
    my $socket = IO::Socket::UNIX->new(Peer => redis_socket()) or die "Redis: $!\n";
    print $socket '*', scalar @args, "\r\n", map { '$' . length($_) . "\r\n$_\r\n" } @args;
    my $line = <$socket> // die "Redis has gone\n";
    die "Redis: $line" if $line =~ /^-/;
    return $line =~ s/^[+:]|\r\n//gr if $line =~ /^[+:]/;
    my ($length) = $line =~ /^\$(-?\d+)/ or return $line;
    return undef if $length < 0;
    my $data = '';
    read $socket, $data, $length;
    return $data;
}

# What authorization, subscription and identity do: write, then tell.
sub set_roles {
    my ($roles) = @_;
    redis('SET', 'st:edge:roles', $JSON->encode({version => int(time * 1000), roles => $roles // $ROLES->{roles}}));
    redis('PUBLISH', 'st:edge', '{"kind":"roles"}');
}

sub set_user {
    my ($user, $roles, $until) = @_;
    $until //= time + 600;
    redis('HSET', 'st:edge:users', $user, $JSON->encode({roles => $roles, until => int $until}));
    redis('PUBLISH', 'st:edge', $JSON->encode({kind => 'user', userId => $user, roles => $roles, until => int $until}));
}

sub set_tier {
    my ($user, $tier) = @_;
    redis('HSET', 'st:edge:tiers', $user, $JSON->encode({tier => $tier, until => int(time + 600)}));
    redis('PUBLISH', 'st:edge', $JSON->encode({kind => 'tier', userId => $user, tier => $tier, until => int(time + 600)}));
}

sub revoke {
    my ($session) = @_;
    redis('ZADD', 'st:edge:revoked', int(time + 600), $session);
    redis('PUBLISH', 'st:edge', $JSON->encode({kind => 'session', sessionId => $session, until => int(time + 600)}));
}

# An API key: what Redis knows of it, by the SHA-256 of its text; and one that has been removed.
sub set_key {
    my ($text, %key) = @_;
    my $hash = Digest::SHA::sha256_hex($text);
    redis('HSET', 'st:edge:keys', $hash, $JSON->encode(\%key));
    redis('PUBLISH', 'st:edge', $JSON->encode({kind => 'key', hash => $hash, %key}));
}

sub remove_key {
    my ($text) = @_;
    my $hash = Digest::SHA::sha256_hex($text);
    redis('HDEL', 'st:edge:keys', $hash);
    redis('PUBLISH', 'st:edge', $JSON->encode({kind => 'key-gone', hash => $hash}));
}

# --- another HTTP server ---

# Answers every request with the file's bytes: a whole HTTP answer, read each time; "-" hangs up, "" never answers. The
# requests are counted in "$file.count". $listen is a socket that listens, or makes one of TLS.
sub serve_file {
    my ($listen, $file) = @_;
    return start_child(sub {
        local $SIG{PIPE} = 'IGNORE';
        while (1) {
            my $socket = $listen->accept or next;
            my $head = '';
            while ($head !~ /\r\n\r\n/) { sysread $socket, $head, 4096, length $head or last }
            next if $head !~ /\r\n\r\n/;
            open my $count, '>>', "$file.count";
            print $count substr($head, 0, index $head, "\r\n"), "\n";
            close $count;
            my $answer = Storytelling::Nginx::slurp($file);
            if ($answer eq '') { push @children, $socket; next }
            syswrite $socket, $answer if $answer ne '-';
            close $socket;
        }
    });
}

sub served { my ($file) = @_; return scalar(() = Storytelling::Nginx::slurp("$file.count") =~ /\n/g) }

sub http_answer {
    my ($body, $status) = @_;
    return "HTTP/1.1 @{[$status // '200 OK']}\r\nContent-Type: application/json\r\nContent-Length: @{[length $body]}\r\nConnection: close\r\n\r\n$body";
}

# --- the services ---

# Answers each request with what arrived, as JSON; /v1/slow after 3 s, /v1/file with X-Accel-Redirect.
sub echo { my ($name) = @_; return serve($name, \&answer) }

# A service of the name: $answer->($socket, \$buffer) takes one request from the front of the buffer and answers it.
sub serve {
    my ($name, $answer) = @_;
    unlink "$DIR/run/$name.sock";
    my $listen = IO::Socket::UNIX->new(Local => "$DIR/run/$name.sock", Listen => 64) or die "$name: $!";
    chmod 0666, "$DIR/run/$name.sock";
    return start_child(sub {
        my $select = IO::Select->new($listen, $alive_reader);
        my %buffer;
        $SIG{PIPE} = 'IGNORE';
        while (my @ready = $select->can_read) {
            for my $socket (@ready) {
                if ($socket == $alive_reader) {
                    POSIX::_exit(0);
                } elsif ($socket == $listen) {
                    my $new = $listen->accept or next;
                    $select->add($new);
                    $buffer{$new} = '';
                } elsif (!sysread $socket, $buffer{$socket}, 65536, length $buffer{$socket}) {
                    $select->remove($socket);
                    delete $buffer{$socket};
                    close $socket;
                } else {
                    $answer->($socket, \$buffer{$socket}) while $buffer{$socket} =~ /\r\n\r\n/ && complete($buffer{$socket});
                }
            }
        }
    });
}

sub complete {
    my ($head, $body) = split /\r\n\r\n/, $_[0], 2;
    return $head !~ /^content-length:\s*(\d+)/mi || length $body >= $1;
}

sub answer {
    my ($socket, $buffer) = @_;
    $$buffer =~ s/\A(.*?)\r\n\r\n//s;
    my ($line, @lines) = split /\r\n/, $1;
    my ($method, $uri) = split / /, $line;
    my %headers = map { /^([^:]+):\s*(.*)/ ? (lc $1 => $2) : () } @lines;
    my $body = substr $$buffer, 0, $headers{'content-length'} // 0, '';
    sleep 3 if $uri =~ m{^/v1/slow};
    my $more = $uri =~ m{^/v1/file} ? "X-Accel-Redirect: /_objects/hello.txt\r\n" : '';
    my $text = $JSON->encode({method => $method, uri => $uri, headers => \%headers, body => $body}) . "\n";
    print $socket "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Correlation-Id: of-the-service\r\n$more",
        'Content-Length: ' . length($text) . "\r\n\r\n", $method eq 'HEAD' ? '' : $text;
    $socket->flush;
}

# A service whose behaviour the test changes while it runs: what($name, $how) with a status, "close" (the connection,
# without an answer), "hang" (says nothing), "half" (breaks off in the body), or several, one for each request and the
# last for all that follow: "503 200". seen($name) tells how many requests came.
sub actor {
    my ($name) = @_;
    what($name, 200);
    write_file("$DIR/tmp/$name.seen", '');
    return serve($name, sub {
        my ($socket, $buffer) = @_;
        $$buffer =~ s/\A(.*?)\r\n\r\n//s;
        substr $$buffer, 0, ($1 =~ /^content-length:\s*(\d+)/mi)[0] // 0, '';
        open my $seen, '>>', "$DIR/tmp/$name.seen";
        print $seen "x";
        close $seen;
        my ($how, @next) = split ' ', Storytelling::Nginx::slurp("$DIR/tmp/$name.how");
        what($name, "@next") if @next;
        return if $how eq 'hang';
        return shutdown $socket, 2 if $how eq 'close';
        print $socket "HTTP/1.1 ", ($how eq 'half' ? 200 : $how), " As told\r\nContent-Length: 5\r\n\r\n", $how eq 'half' ? 'he' : 'hello';
        $socket->flush;
        shutdown $socket, 2 if $how eq 'half';
    });
}
sub what { my ($name, $how) = @_; write_file("$DIR/tmp/$name.how", $how) }
sub seen { my ($name) = @_; return -s "$DIR/tmp/$name.seen" }

# The signature that the edge must have sent with what the service echoed.
sub expected_signature {
    my ($echo) = @_;
    my $h = $echo->{headers};
    my @values = ($echo->{method}, $echo->{uri}, map { $h->{"x-api-$_"} // '' }
            qw(operation user session roles tier correlation-id address time));
    return hmac_sha256_hex(join('', map { "$_\n" } @values), secret());
}

# --- blocks ---

if ($INC{'Test/Nginx/Socket.pm'}) {
    *Test::Base::Filter::bearer = \&bearer;    # `eval` sections run there
    *Test::Base::Filter::token  = \&token;
    Test::Nginx::Socket::no_root_location();
    Test::Nginx::Socket::no_long_string();
    Test::Nginx::Socket::add_block_preprocessor(sub {
        my ($block) = @_;
        $block->set_value(main_config => main_config()) if !defined $block->main_config;
        my $http = $block->http_config;
        $block->set_value(http_config => http_config() . ($block->more_http_config // '')) if !defined $http;
        $block->set_value(config => server_config() . ($block->more_config // '')) if !defined $block->config;
    });
}

END {
    if ($$ == $OWNER) {
        local $?;
        my @all = reverse @children;
        stop_child($_) for @all;
    }
}

1;
