package Storytelling::Contract;

# Calls operations by their operationId, and checks each answer against the contract: status, headers, type, schema.
#
#   my $api = Storytelling::Contract->new($platform);
#   my $answer = $api->succeeds(201, createStory => {json => {...}, token => $t}, 'a story is posted');
#   $api->fails(404, 'not_found', getStory => {path => {storyId => $id}, token => $t}, 'and is private');
#   $api->fails(422, 'unprocessable', createStory => {json => {}, token => $t}, 'needs a title', '/title');
#
#   request: path and query (hashes), client (instead of the one of $api), and what Storytelling::Client->request
#   takes: json, content, token, headers
#   behind the name of a failure: JSON pointers that must be among its errors
#   $api->client, $api->operations, $api->operation($id) {id, method, path, ...} as in the document
use strict;
use warnings;
no warnings 'experimental::builtin';
use Test::More ();
use JSON::PP ();

sub new {
    my ($class, $platform, $client) = @_;
    $client //= $platform->client;
    my $document = $client->get('/openapi.json')->{json} or die "no /openapi.json\n";
    my %operations;
    for my $path (keys %{$document->{paths}}) {
        my $item = $document->{paths}{$path};
        for my $method (grep { ref $item->{$_} eq 'HASH' } qw(get post put patch delete)) {
            my $operation = $item->{$method};
            my @parameters = (@{$item->{parameters} // []}, @{$operation->{parameters} // []});
            $operations{$operation->{operationId}} = {
                %$operation,
                id         => $operation->{operationId},
                service    => $operation->{'x-service'} // $operation->{tags}[0],
                method     => uc $method,
                path       => $path,
                parameters => \@parameters,
            };
        }
    }
    my $self = bless {client => $client, document => $document, operations => \%operations}, $class;
    $_->{parameters} = [map { $self->resolve($_) } @{$_->{parameters}}] for values %operations;
    return $self;
}

sub client     { return $_[0]{client} }
sub operations { my ($self) = @_; return map { $self->{operations}{$_} } sort keys %{$self->{operations}} }
sub operation  { my ($self, $id) = @_; return $self->{operations}{$id} // die "no operation $id\n" }

sub path_of {
    my ($self, $id, $values) = @_;
    my $path = $self->operation($id)->{path};
    $path =~ s/\{(\w+)\}/$values->{$1} \/\/ die "$id needs $1\n"/ge;
    return $path;
}

sub call {
    my ($self, $id, $request) = @_;
    my %option = %{$request // {}};
    my ($values, $query) = (delete $option{path} // {}, delete $option{query} // {});
    my $client = delete $option{client} // $self->{client};
    my $target = $self->path_of($id, $values);
    $target .= '?' . join '&', map { my $v = $query->{$_}; utf8::encode($v); $v =~ s/([^\w.~-])/sprintf '%%%02X', ord $1/ge; "$_=$v" } sort keys %$query
        if %$query;
    return $client->request($self->operation($id)->{method}, $target, \%option);
}

sub succeeds {
    my ($self, $status, $id, $request, $name) = @_;
    my $answer = $self->call($id, $request);
    my @complaints = $self->complaints($id, $answer);
    unshift @complaints, "the status is $answer->{status}, not $status" if $answer->{status} != $status;
    local $Test::Builder::Level = $Test::Builder::Level + 2;
    _report($answer, $name, @complaints);
    return $answer;
}

sub fails {
    my ($self, $status, $code, $id, $request, $name, @pointers) = @_;
    my $answer = $self->call($id, $request);
    my @complaints = $self->complaints($id, $answer);
    unshift @complaints, "the status is $answer->{status}, not $status" if $answer->{status} != $status;
    my $problem = ref $answer->{json} eq 'HASH' ? $answer->{json} : {};
    push @complaints, 'the code is ' . ($problem->{code} // 'missing') . ", not $code" if ($problem->{code} // '') ne $code;
    my %told = map { $_->{pointer} => 1 } @{$problem->{errors} // []};
    push @complaints, "no error points to '$_'" for grep { !$told{$_} } @pointers;
    local $Test::Builder::Level = $Test::Builder::Level + 2;
    _report($answer, $name, @complaints);
    return $answer;
}

sub _report {
    my ($answer, $name, @complaints) = @_;
    Test::More::ok(!@complaints, $name);
    return if !@complaints;
    Test::More::diag(join "\n", map { "  $_" } @complaints, "$answer->{status} " . substr $answer->{content} // '', 0, 1500);
}

# --- an answer against its contract --------------------------------------------------------------------------------

# What is wrong with an answer of the operation; nothing when all is well.
sub complaints {
    my ($self, $id, $answer) = @_;
    my $responses = $self->operation($id)->{responses};
    my $status = $answer->{status};
    return "no answer: $answer->{content}" if $status == 599;
    my $failure = $status >= 400;
    my $response = $responses->{$status} // ($failure ? $responses->{default} : undef) or return "the contract knows no status $status";
    $response = $self->resolve($response);
    my @complaints = $answer->{headers}{'x-correlation-id'} ? () : 'no X-Correlation-Id';
    for my $header (sort keys %{$response->{headers} // {}}) {
        my $value = $answer->{headers}{lc $header};
        push @complaints, defined $value ? $self->check($response->{headers}{$header}{schema} // $self->resolve($response->{headers}{$header})->{schema}, $value, $header)
            : "no header $header";
    }
    my ($type) = ($answer->{headers}{'content-type'} // '') =~ /^([^;]+)/;
    my $content = $response->{content};
    return @complaints, length $answer->{content} ? 'a body where the contract has none' : () if !$content;
    my $media = $content->{$type // ''} or return @complaints, 'the content type is ' . ($type // 'missing');
    return @complaints if !$media->{schema};
    return @complaints, 'the body is not JSON' if !defined $answer->{json};
    push @complaints, $self->check($media->{schema}, $answer->{json}, '');
    push @complaints, _problem_complaints($answer) if $failure;
    return @complaints;
}

sub _problem_complaints {
    my ($answer) = @_;
    my $problem = $answer->{json};
    return 'the problem is no object' if ref $problem ne 'HASH';
    my @complaints;
    push @complaints, 'status differs from the HTTP status' if ($problem->{status} // 0) != $answer->{status};
    push @complaints, 'correlationId differs from X-Correlation-Id'
        if ($problem->{correlationId} // '') ne ($answer->{headers}{'x-correlation-id'} // '');
    push @complaints, 'no WWW-Authenticate' if $answer->{status} == 401 && $problem->{code} eq 'unauthenticated' && !$answer->{headers}{'www-authenticate'};
    push @complaints, 'no Retry-After' if $answer->{status} =~ /^(?:429|503)$/ && !$answer->{headers}{'retry-after'};
    push @complaints, 'no Allow' if $answer->{status} == 405 && !$answer->{headers}{allow};
    return @complaints;
}

sub resolve {
    my ($self, $node) = @_;
    while (ref $node eq 'HASH' && defined $node->{'$ref'}) {
        my ($pointer) = $node->{'$ref'} =~ m{^#(/.*)} or die "cannot follow $node->{'$ref'}\n";
        my $target = $self->{document};
        for my $token (split m{/}, substr $pointer, 1) {
            $token =~ s/~1/\//g;
            $token =~ s/~0/~/g;
            $target = $target->{$token};
        }
        my %beside = %$node;
        delete $beside{'$ref'};
        $node = {%$target, %beside};
    }
    return $node;
}

# --- JSON Schema, as far as the contracts use it for answers -------------------------------------------------------

sub _type_of {
    my ($value) = @_;
    return 'null' if !defined $value;
    return {HASH => 'object', ARRAY => 'array', 'JSON::PP::Boolean' => 'boolean'}->{ref $value} // ref $value if ref $value;
    return 'string' if !builtin::created_as_number($value);
    return $value == int $value ? 'integer' : 'number';
}

my %FORMAT = (
    uuid        => qr/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
    'date-time' => qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
    date        => qr/^\d{4}-\d\d-\d\d$/,
    email       => qr/^[^@\s]+@[^@\s]+$/,
);

sub check {
    my ($self, $schema, $value, $at) = @_;
    $schema = $self->resolve($schema);
    my $type = _type_of($value);
    if (defined $schema->{type}) {
        my %allowed = map { $_ => 1 } ref $schema->{type} ? @{$schema->{type}} : $schema->{type};
        return "$at is of type $type" if !$allowed{$type} && !($type eq 'integer' && $allowed{number});
    }
    my @complaints = map { $self->check($_, $value, $at) } @{$schema->{allOf} // []};
    push @complaints, "$at is not " . $schema->{const} if exists $schema->{const} && ($value // '') ne $schema->{const};
    push @complaints, "$at is none of the enumeration: $value" if $schema->{enum} && !grep { ($_ // '') eq ($value // '') } @{$schema->{enum}};
    return @complaints, $self->_check_object($schema, $value, $at) if $type eq 'object';
    return @complaints, $self->_check_array($schema, $value, $at) if $type eq 'array';
    push @complaints, _check_string($schema, $value, $at) if $type eq 'string';
    push @complaints, _check_number($schema, $value, $at) if $type =~ /^(?:integer|number)$/;
    return @complaints;
}

sub _check_object {
    my ($self, $schema, $value, $at) = @_;
    my $properties = $schema->{properties} // {};
    my @complaints = map { "$at/$_ is missing" } grep { !exists $value->{$_} } @{$schema->{required} // []};
    for my $name (sort keys %$value) {
        push @complaints, $self->check($schema->{propertyNames}, $name, "$at/$name") if $schema->{propertyNames};
        my $rest = $schema->{additionalProperties};
        if ($properties->{$name}) {
            push @complaints, $self->check($properties->{$name}, $value->{$name}, "$at/$name");
        } elsif (ref $rest eq 'HASH') {
            push @complaints, $self->check($rest, $value->{$name}, "$at/$name");
        } elsif (defined $rest && !$rest) {
            push @complaints, "$at/$name is not in the contract";
        }
    }
    return @complaints;
}

sub _check_array {
    my ($self, $schema, $value, $at) = @_;
    my @complaints;
    push @complaints, "$at has too few items" if @$value < ($schema->{minItems} // 0);
    push @complaints, "$at has too many items" if defined $schema->{maxItems} && @$value > $schema->{maxItems};
    return @complaints if !$schema->{items};
    return @complaints, map { $self->check($schema->{items}, $value->[$_], "$at/$_") } 0 .. $#$value;
}

sub _check_string {
    my ($schema, $value, $at) = @_;
    my @complaints;
    my $format = $FORMAT{$schema->{format} // ''};
    push @complaints, "$at is no $schema->{format}: $value" if $format && $value !~ $format;
    push @complaints, "$at is too short" if length $value < ($schema->{minLength} // 0);
    push @complaints, "$at is too long" if defined $schema->{maxLength} && length $value > $schema->{maxLength};
    if (defined $schema->{pattern}) {
        (my $pattern = $schema->{pattern}) =~ s/\\u([0-9a-fA-F]{4})/\\x{$1}/g;
        push @complaints, "$at does not match its pattern" if $value !~ /$pattern/;
    }
    return @complaints;
}

sub _check_number {
    my ($schema, $value, $at) = @_;
    return "$at is less than $schema->{minimum}" if defined $schema->{minimum} && $value < $schema->{minimum};
    return "$at is more than $schema->{maximum}" if defined $schema->{maximum} && $value > $schema->{maximum};
    return;
}

1;
