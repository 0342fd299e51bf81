# storyctl schema validate: verdicts, mistakes, and what is no verdict, with its exit codes.
use strict;
use warnings;
use Test::More;
use JSON::PP;
use Storytelling::Edge;

my $dir = Storytelling::Edge::dir() . '/tmp';
my $ctl = Storytelling::Edge::storyctl();
*file = \&Storytelling::Edge::file;
*run  = \&Storytelling::Edge::ctl;

sub says {
    my ($exit, $wanted, $what, $schema, $instance) = @_;
    my ($got, $said) = run('schema', 'validate', ref $schema ? $$schema : file('schema.json', $schema), file('doc.json', $instance));
    is $got, $exit, "$what: exit $exit" or diag $said;
    like $said, $wanted, "$what: what it says";
}

my $story = '{"type": "object", "required": ["title"], "properties": {"title": {"type": "string", "maxLength": 5}}}';
says 0, qr/\A\z/, 'a valid document', $story, '{"title": "x"}';
says 1, qr{\A/title: must be at most 5 characters long\n\z}, 'a mistake', $story, '{"title": "xxxxxx"}';
says 1, qr{\A: must be an object\n\z}, 'a mistake of the whole', $story, '3';
says 0, qr/\A\z/, 'a number beyond all', '{"type": "integer", "minimum": 3}', '1e400';
says 1, qr/must be less than 3/, 'a number of many digits', '{"exclusiveMaximum": 3}', '3.000000000000000000000000000001';
says 0, qr/\A\z/, 'U+0000 in a string', '{"const": "a\u0000b"}', '"a\u0000b"';
says 1, qr/must be/, 'U+0000 in a string, another', '{"const": "a\u0000b"}', '"a\u0000c"';

says 2, qr{at #/minlength: minlength is not a known keyword}, 'an unknown keyword', '{"minlength": 5}', '1';
says 2, qr{at #/items/\$ref: \$ref: there is no b.json}, 'another document', '{"items": {"$ref": "b.json"}}', '[]';
says 2, qr{schema\.json: is not valid JSON \(line 1, column 10}, 'a schema that is not JSON', '{"type": }', '1';
says 2, qr{has a number that is too big}, 'a schema with a number beyond int64', '{"maximum": 18446744073709551616}', '1';
says 2, qr{has a number with more digits}, 'a schema with too many digits', '{"maximum": 1.00000000000000000000001}', '1';
says 2, qr{at #/\$ref: \\u0000 is not supported here}, 'a reference with U+0000', '{"$ref": "#\u0000/x"}', '1';
says 2, qr{doc\.json: is not valid JSON \(line 2, column 2}, 'a document that is not JSON', '{}', "{\n}}";
says 2, qr{duplicate object key}, 'a member that is there twice', '{}', '{"a": 1, "a": 2}';
says 2, qr{is nested more than 512 levels deep}, 'a document nested too deep', '{}', '[' x 600 . ']' x 600;
says 2, qr{at #.*is nested too deep}, 'a check that goes too deep', '{"items": {"allOf": [{"$ref": "#"}]}}', '[' x 300 . ']' x 300;
says 2, qr{nowhere\.json: No such file}, 'no schema', \"$dir/nowhere.json", '1';

my $api = file('api.yaml', <<'YAML');
components:
  schemas:
    Name: {type: string, pattern: '^[a-z]+$', x-message: must be lower case}
    "a b/c": {$ref: '#/components/schemas/Name'}
YAML
says 0, qr/\A\z/, 'a schema in a YAML document', \"$api#/components/schemas/Name", '"abc"';
says 1, qr/: must be lower case/, 'a schema in a YAML document, with its message', \"$api#/components/schemas/a%20b~1c", '"ABC"';
says 2, qr{at #/components/schemas/Nobody: there is no such schema}, 'no such schema in it', \"$api#/components/schemas/Nobody", '1';

my $schema = file('schema.json', '{"items": {"type": "integer"}}');
my ($exit, $said) = run('--json', 'schema', 'validate', $schema, file('doc.json', '[1, "a", null]'));
is $exit, 1, 'with --json: exit 1';
is_deeply decode_json($said), [map { {pointer => "/$_", message => 'must be an integer'} } 1, 2], 'with --json: a list';
($exit, $said) = run('--json', 'schema', 'validate', $schema, file('doc.json', '[1]'));
is "$exit $said", "0 []\n", 'with --json: a valid document has an empty list';

is system("echo '[1]' | \Q$ctl\E schema validate \Q$schema\E - >/dev/null") >> 8, 0, 'standard input, valid';
is system("echo '[true]' | \Q$ctl\E schema validate \Q$schema\E - >/dev/null") >> 8, 1, 'standard input, invalid';
is system("\Q$ctl\E schema validate \Q$schema\E - </dev/null 2>/dev/null") >> 8, 2, 'standard input, empty';
is((run('schema', 'validate', $schema))[0], 2, 'no document: exit 2');
is((run('schema', 'check', $schema, $schema))[0], 2, 'another verb: exit 2');
is((run('schema', 'validate', $schema, '/nowhere'))[0], 2, 'a document that is not there: exit 2');
is((run('schema', 'validate', $schema, $dir))[0], 2, 'a document that is a folder: exit 2');
like((run('schema', '--help'))[1], qr/Exit code 0 valid, 1 invalid, 2 no verdict/, '--help explains the exit codes');

done_testing;
