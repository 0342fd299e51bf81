# storyctl api lint and diff: what the edge would say to contracts, and what a change of them does to those who call.
use strict;
use warnings;
use Test::More;
use Storytelling::Edge;

my $dir = Storytelling::Edge::dir() . '/tmp';
*file = \&Storytelling::Edge::file;
sub run { return Storytelling::Edge::ctl('api', @_) }

my $BASE = <<'YAML';
openapi: 3.1.0
info: {title: Pets, version: 1.0.0}
x-service: pets
security: [{bearer: [pet:read]}]
paths:
  /v1/pets/{petId}:
    parameters:
      - {name: petId, in: path, required: true, schema: {type: string}}
    put:
      operationId: putPet
      x-body-max: 32k
      parameters:
        - {name: dry, in: query, schema: {type: boolean}}
        - {name: X-Trace, in: header, schema: {type: string}}
        - {name: kinds, in: query, schema: {type: array, items: {type: string, enum: [cat, dog]}, maxItems: 3}}
      requestBody:
        content:
          application/json: {schema: {$ref: '#/components/schemas/Pet'}}
          application/merge-patch+json: {schema: {type: object}}
      responses:
        '200': {description: The pet., headers: {ETag: {schema: {type: string}}}, content: {application/json: {schema: {$ref: '#/components/schemas/Shown'}}}}
        '404': {description: None.}
    get:
      operationId: getPet
      responses: {'200': {description: The pet.}}
components:
  schemas:
    Pet:
      type: object
      additionalProperties: false
      required: [name]
      properties:
        name: {type: string, minLength: 1, maxLength: 40}
        age: {type: integer, minimum: 0}
        kind: {type: string, enum: [cat, dog]}
        parent: {$ref: '#/components/schemas/Pet'}
    Shown:
      type: object
      required: [id]
      properties:
        id: {type: string, format: uuid}
        state: {type: string, enum: [here, gone]}
        tags: {type: array, items: {type: string, maxLength: 10}}
YAML

# A change of the text, and what it is: forwards, and backwards.
my @CHANGES = (
    ['an operation',            "    get:\n      operationId: getPet\n      responses: {'200': {description: The pet.}}\n", '', 'breaking operation-removed', 'compatible operation-added'],
    ['an operationId',          'operationId: getPet', 'operationId: readPet', ('breaking operation-id') x 2],
    ['a permission',            "      operationId: getPet\n", "      operationId: getPet\n      security: [{bearer: [pet:read, pet:more]}]\n", 'breaking security', 'compatible security'],
    ['a public operation',      "      operationId: getPet\n", "      operationId: getPet\n      security: []\n", 'compatible security', 'breaking security'],
    ['a name of a template',    qr/petId/, 'id', '', ''],
    ['a query parameter',       "        - {name: dry, in: query, schema: {type: boolean}}\n", '', 'breaking parameter-removed', 'compatible parameter-added'],
    ['a header parameter',      "        - {name: X-Trace, in: header, schema: {type: string}}\n", '', 'compatible parameter-removed', 'compatible parameter-added'],
    ['a required parameter',    'in: query, schema: {type: boolean}', 'in: query, required: true, schema: {type: boolean}', 'breaking parameter-required', 'compatible parameter-required'],
    ['a new required one',      'parameters:' . "\n        - {name: dry", 'parameters:' . "\n        - {name: new, in: query, required: true, schema: {type: string}}\n        - {name: dry", 'breaking parameter-added', 'breaking parameter-removed'],
    ['a style',                 'name: kinds, in: query', 'name: kinds, explode: false, in: query', ('breaking parameter-style') x 2],
    ['the type of a parameter', 'schema: {type: boolean}', 'schema: {type: string}', ('breaking request-narrowed') x 2],
    ['items of a parameter',    'enum: [cat, dog]}, max', 'enum: [cat, dog, cow]}, max', 'compatible request-widened', 'breaking request-narrowed'],
    ['a number of items',       'maxItems: 3', 'maxItems: 2', 'breaking request-narrowed', 'compatible request-widened'],
    ['a media type',            "          application/merge-patch+json: {schema: {type: object}}\n", '', 'breaking media-type-removed', 'compatible media-type-added'],
    ['a size of bodies',        'x-body-max: 32k', 'x-body-max: 16k', 'breaking body-max', ''],
    ['a required body',         "requestBody:\n", "requestBody:\n        required: true\n", 'breaking body-required', 'compatible body-required'],
    ['an Idempotency-Key',      'x-body-max: 32k', "x-body-max: 32k\n      x-idempotency: required", 'breaking idempotency-required', ''],
    ['a required member',       'required: [name]', 'required: [name, age]', 'breaking request-narrowed', 'compatible request-widened'],
    ['a member of a body',      "        age: {type: integer, minimum: 0}\n", '', 'breaking member-removed', 'compatible member-added'],
    ['a length',                'maxLength: 40', 'maxLength: 30', 'breaking request-narrowed', 'compatible request-widened'],
    ['a minimum',               'minimum: 0', 'minimum: 1', 'breaking request-narrowed', 'compatible request-widened'],
    ['a pattern',               'minLength: 1, maxLength', "pattern: '^a', minLength: 1, maxLength", 'breaking request-narrowed', 'compatible request-widened'],
    ['a wider type',            'age: {type: integer', 'age: {type: number', 'compatible request-widened', 'breaking request-narrowed'],
    ['open members',            "      additionalProperties: false\n", '', 'compatible request-widened', 'breaking request-narrowed'],
    ['an answer',               "        '404': {description: None.}\n", '', 'compatible answer-removed', 'compatible answer-added'],
    ['a header of an answer',   'headers: {ETag: {schema: {type: string}}}, ', '', 'breaking header-removed', 'compatible header-added'],
    ['a member of an answer',   "        state: {type: string, enum: [here, gone]}\n", '', 'breaking member-removed', 'compatible member-added'],
    ['a value of an answer',    'enum: [here, gone]', 'enum: [here, gone, lost]', 'breaking answer-widened', 'compatible answer-narrowed'],
    ['a sure member',           'required: [id]', 'required: [id, state]', 'compatible answer-narrowed', 'breaking answer-widened'],
    ['an item of an answer',    'maxLength: 10', 'maxLength: 20', 'breaking answer-widened', 'compatible answer-narrowed'],
    ['a format of an answer',   ', format: uuid', '', 'breaking answer-widened', 'compatible answer-narrowed'],
    ['what people read',        'description: The pet.', 'description: Your pet.', '', ''],
);
for my $change (@CHANGES) {
    my ($what, $from, $to, @wanted) = @$change;
    my $text = $BASE;
    my $pattern = ref $from ? $from : qr/\Q$from\E/;
    ref $from ? $text =~ s/$pattern/$to/g : $text =~ s/$pattern/$to/ or die "there is no $from";
    my @files = (file('before.yaml', $BASE), file('after.yaml', $text));
    for my $way (0, 1) {
        my ($exit, $said) = run('--json', 'diff', $way ? reverse @files : @files);
        my $diff = json($said) // {};
        my $name = $what . ($way ? ', the other way round' : '');
        my ($kind, $rule) = split / /, $wanted[$way];
        is $exit, ($kind // '') eq 'breaking' ? 1 : 0, "$name: exit code" or diag $said;
        my %found = map { my $k = $_; map { ("$k $_->{rule}" => 1) } @{$diff->{$k} // []} } qw(breaking compatible);
        is_deeply [grep { /^breaking/ } sort keys %found], [grep { /^breaking/ } $wanted[$way]], "$name: what breaks" or diag $said;
        ok !$kind || $found{$wanted[$way]}, "$name: is $wanted[$way]" or diag $said;
    }
}

# --- diff as people read it ---
{
    mkdir "$dir/$_" for qw(before after);
    file('before/a.yaml', $BASE);
    file('after/a.yaml', $BASE =~ s/required: \[name\]/required: [name, age]/r);
    file('after/b.yaml', $BASE =~ s{/v1/}{/v2/}r =~ s/(operationId: \w+)/${1}2/gr =~ s/required: \[name\]/required: [name, age]/r);
    my ($exit, $said) = run('diff', "$dir/before", "$dir/after");
    is $exit, 1, 'folders are compared';
    like $said, qr{^breaking:\n  \S*after/a\.yaml:9: PUT /v1/pets/\{petId\}: the body: age is required now \(request-narrowed\)\n}m, 'with place, operation and rule';
    like $said, qr{^compatible:\n.*GET /v2/pets/\{petId\}: the operation is new \(operation-added\)}ms, 'and apart what does not break';
    ($exit, $said) = run('diff', "$dir/before", "$dir/before");
    is "$exit $said", "0 nothing is different\n", 'nothing is different';
    ($exit, $said) = run('diff', "$dir/before", "$dir/nothing.yaml");
    is $exit, 2, 'a file that is not there';
    file('before/broken.yaml', 'openapi: 3.0.0');
    ($exit, $said) = run('diff', "$dir/before", "$dir/after");
    is $exit, 2, 'a contract that is wrong';
    like $said, qr{before/broken\.yaml:1: }, 'and where';
}

# --- lint ---
{
    my ($exit, $said) = run('lint', Storytelling::Edge::root() . '/config/api');
    is $exit, 0, 'the contracts of the platform are right';
    unlike $said, qr/warning/, 'without a warning';
    my $bad = file('bad.yaml', $BASE =~ s/maxLength: 40/maxLenght: 40/r =~ s/name: dry/nmae: dry/r);
    ($exit, $said) = run('lint', $bad);
    is $exit, 1, 'mistakes';
    is $said, "$bad:13: nmae is not a known member of a parameter\n$bad:13: name is missing in a parameter\n"
        . "$bad:33: maxLenght is not a known keyword\n", 'one in a line, with its place';
    ($exit, $said) = run('--json', 'lint', $bad);
    is_deeply json($said)->{mistakes}[0], {file => $bad, line => 13, reason => 'nmae is not a known member of a parameter'}, 'or as JSON';
    ok !json($said)->{valid}, 'which says so';
    my $open = file('open.yaml', $BASE =~ s/security: .*/security: []/r =~ s/x-body-max: 32k/x-sunset: 2020-01-01/r);
    ($exit, $said) = run('lint', $open);
    is $exit, 0, 'warnings are no mistakes';
    like $said, qr/open\.yaml:9: warning: anybody may call putPet/, 'a public operation that writes, without a limit';
    like $said, qr/open\.yaml:9: warning: the sunset of putPet has passed/, 'a sunset that has passed';
    ($exit, $said) = run('lint', "$dir/nothing.yaml");
    is $exit, 1, 'a file that is not there';
    ($exit, $said) = run('lint');
    is $exit, 2, 'no file';
    ($exit, $said) = run('unknown', 'x');
    is $exit, 2, 'no such verb';
}
done_testing;
