package Storytelling::Client;

# An API client as the tests need it: HTTPS with keep-alive, JSON in and out, mails read from the outbox.
#
#   my $c = Storytelling::Platform->shared->client;
#   my $r = $c->request(POST => '/v1/stories', {json => {title => 'T', content => 'C'}, token => $user->{token}});
#   $r->{status}, $r->{json}, $r->{content}, $r->{headers}{location}
#
#   options: json (any value), content (bytes, with content_type), token, headers, raw (true: the answer is not decoded)
#   redirects are not followed; a connection that fails gives status 599, as HTTP::Tiny says it
#
#   my $user = $c->register_user(displayName => 'Ada');   {email, password, userId, token, refresh, displayName}
#   my $mail = $c->wait_for_mail($email, qr/welcome/i);   {subject, text, html, headers, file}
#   wait_for(sub { ... });                                as Storytelling::Wait has it
#
# Each client speaks from a loopback address of its own, because limits count by address.
use strict;
use warnings;
use Exporter qw(import);
use Encode ();
use HTTP::Tiny;
use JSON::PP ();
use MIME::Base64 ();
use MIME::QuotedPrint ();
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Storytelling::Wait;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(wait_for code_of);

# HTTP::Tiny writes head and body apart; without this the second waits 40 ms for the first to be acknowledged.
{
    no warnings 'redefine';
    my $connect = \&HTTP::Tiny::Handle::connect;
    *HTTP::Tiny::Handle::connect = sub {
        my $handle = $connect->(@_);
        setsockopt $handle->{fh}, IPPROTO_TCP, TCP_NODELAY, 1;
        return $handle;
    };
}

my $JSON = JSON::PP->new->utf8->canonical->allow_nonref;

sub new {
    my ($class, $platform) = @_;
    my $address = join '.', 127, map { 1 + int rand 254 } 1 .. 3;
    my $http = HTTP::Tiny->new(
        agent         => 'storytelling-tests',
        keep_alive    => 1,
        local_address => $address,
        max_redirect  => 0,
        timeout       => 60,
        verify_SSL    => 1,
        SSL_options   => {SSL_ca_file => $platform->ca},
    );
    return bless {platform => $platform, http => $http, address => $address}, $class;
}

sub address { return $_[0]{address} }

sub request {
    my ($self, $method, $path, $option) = @_;
    $option //= {};
    my %headers = %{$option->{headers} // {}};
    my %send = (headers => \%headers);
    if (exists $option->{json}) {
        $headers{'Content-Type'} //= 'application/json';
        $send{content} = $JSON->encode($option->{json});
    } elsif (defined $option->{content}) {
        $headers{'Content-Type'} //= $option->{content_type} // 'application/json';
        $send{content} = $option->{content};
    }
    $headers{Authorization} //= "Bearer $option->{token}" if defined $option->{token};
    my $answer = $self->{http}->request($method, $self->{platform}->url . $path, \%send);
    my $json;
    if (!$option->{raw} && ($answer->{headers}{'content-type'} // '') =~ m{[/+]json\b}) {
        $json = eval { $JSON->decode($answer->{content}) };
    }
    return {status => $answer->{status}, headers => $answer->{headers}, content => $answer->{content}, json => $json};
}

sub get    { my ($self, $path, %option) = @_; return $self->request(GET    => $path, \%option) }
sub post   { my ($self, $path, %option) = @_; return $self->request(POST   => $path, \%option) }
sub put    { my ($self, $path, %option) = @_; return $self->request(PUT    => $path, \%option) }
sub patch  { my ($self, $path, %option) = @_; return $self->request(PATCH  => $path, \%option) }
sub delete { my ($self, $path, %option) = @_; return $self->request(DELETE => $path, \%option) }

# --- people ------------------------------------------------------------------------------------------------------

my $people = 0;

# Registers, confirms the address from the mail, logs in.
sub register_user {
    my ($self, %with) = @_;
    $people++;
    my $user = {
        email       => sprintf('person%d.%d.%06x@example.org', $$, $people, rand 0xffffff),
        password    => sprintf('correct horse battery %08x', rand 0xffffffff),
        displayName => "Person $people",
        %with,
    };
    my $registration = {map { $_ => $user->{$_} } grep { exists $user->{$_} } qw(email password displayName locale)};
    $self->_expect(202, POST => '/v1/auth/register', {json => $registration});
    my $code = $self->wait_for_code($user->{email}) // die "no confirmation mail for $user->{email}\n";
    $self->_expect(204, POST => '/v1/auth/verify', {json => {token => $code}});
    return $self->login($user);
}

# Adds token, refresh and userId to a hash that has email and password.
sub login {
    my ($self, $user) = @_;
    my $tokens = $self->_expect(200, POST => '/v1/auth/login', {json => {map { $_ => $user->{$_} } qw(email password)}});
    @$user{qw(token refresh)} = @{$tokens->{json}}{qw(accessToken refreshToken)};
    my ($claims) = (split /\./, $user->{token})[1];
    $user->{userId} = $JSON->decode(MIME::Base64::decode_base64url($claims))->{sub};
    return $user;
}

# Waits and tries again when a limit says so.
sub _expect {
    my ($self, $status, $method, $path, $option) = @_;
    my $answer;
    for (1 .. 5) {
        $answer = $self->request($method, $path, $option);
        last if $answer->{status} != 429;
        sleep(($answer->{headers}{'retry-after'} // 1) + 0.1);
    }
    die "$method $path gave $answer->{status}, not $status: $answer->{content}\n" if $answer->{status} != $status;
    return $answer;
}

# --- mails -------------------------------------------------------------------------------------------------------

# All mails to an address, oldest first.
sub mails {
    my ($self, $email) = @_;
    my $address = quotemeta lc $email;
    my @found;
    my %written = map { $_ => (Time::HiRes::stat($_))[9] // 0 } glob $self->{platform}->outbox . '/*.eml';
    for my $file (sort { $written{$a} <=> $written{$b} or $a cmp $b } keys %written) {
        my $mail = $self->{mails}{$file} //= _read_mail($file) // next;
        push @found, $mail if lc($mail->{headers}{to} // '') =~ /(?:^|[<\s])$address(?:[>\s]|$)/;
    }
    return @found;
}

# The newest mail to the address whose subject or text fits.
sub wait_for_mail {
    my ($self, $email, $pattern) = @_;
    $pattern //= qr//;
    return wait_for(sub {
        my @fit = grep { $_->{subject} =~ /$pattern/ || $_->{text} =~ /$pattern/ } $self->mails($email);
        return $fit[-1];
    });
}

# The code in the newest mail that asks to confirm the address.
sub wait_for_code {
    my ($self, $email) = @_;
    my $mail = wait_for(sub {
        (grep { ($_->{headers}{'x-campaign'} // '') eq 'user.email_verification.requested' } $self->mails($email))[-1];
    }) or return;
    return code_of($mail);
}

# The code that stands on a line of its own.
sub code_of {
    my ($mail) = @_;
    return $mail->{text} =~ /^([A-Za-z0-9_-]{16,})\s*$/m ? $1 : undef;
}

sub _read_mail {
    my ($file) = @_;
    open my $in, '<:raw', $file or return;
    my $raw = do { local $/; <$in> };
    my ($headers, @parts) = _read_part($raw);
    my %mail = (file => $file, headers => $headers, subject => $headers->{subject} // '', text => '', html => '');
    for my $part (@parts) {
        my $kind = $part->{type} =~ m{^text/html}i ? 'html' : $part->{type} =~ m{^text/plain}i ? 'text' : next;
        $mail{$kind} .= $part->{body};
    }
    return \%mail;
}

# Headers and leaf parts of a MIME entity (RFC 2045 and 2046, as far as mails of ours go).
sub _read_part {
    my ($raw) = @_;
    $raw =~ s/\r\n/\n/g;
    my ($head, $body) = split /\n\n/, $raw, 2;
    $head =~ s/\n[ \t]+/ /g;
    my %headers = map { /^([\w-]+):\s*(.*)$/ ? (lc $1 => Encode::decode('MIME-Header', $2)) : () } split /\n/, $head;
    my $type = $headers{'content-type'} // 'text/plain';
    if ($type =~ m{^multipart/.*boundary="?([^";]+)"?}is) {
        my (undef, @inner) = split /^--\Q$1\E(?:--)?[ \t]*\n/m, "\n" . ($body // '') . "\n";
        return (\%headers, map { (_read_part($_))[1 .. 1] } grep { /\S/ } @inner);
    }
    my $coding = lc($headers{'content-transfer-encoding'} // '');
    $body = $coding eq 'base64' ? MIME::Base64::decode_base64($body)
        : $coding eq 'quoted-printable' ? MIME::QuotedPrint::decode_qp($body) : $body;
    return (\%headers, {type => $type, body => Encode::decode('UTF-8', $body // '')});
}

1;
