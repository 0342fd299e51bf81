# Stories from files and as files: what people have, what is broken, and what means harm.
use strict;
use warnings;
use utf8;
use Test::More;
use Encode qw(encode encode_utf8);
use File::Temp qw(tempdir);
use IO::Compress::Zip qw(:all);
use JSON::PP ();
use POSIX ();
use Storytelling::Platform;
use Storytelling::Client;
use Storytelling::Contract;

binmode Test::More->builder->$_, ':utf8' for qw(output failure_output todo_output);
my $platform = Storytelling::Platform->shared;
my $client   = $platform->client;
my $api      = Storytelling::Contract->new($platform, $client);
my $UNKNOWN  = '0193c7e2-1111-7111-8111-111111111111';
my ($ada, $eve, $max) = map { $client->register_user(displayName => $_) } 'Ada & Co', 'Eve', 'Max';
my $dir  = tempdir(CLEANUP => 1);
my $JSON = JSON::PP->new->utf8;

sub slurp { my ($file) = @_; open my $in, '<:raw', $file or die "$file: $!\n"; local $/; return scalar <$in> }
sub spit { my ($file, $bytes) = @_; open my $out, '>:raw', $file or die "$file: $!\n"; print $out $bytes; close $out; return $file }

# --- books ------------------------------------------------------------------------------------------------------------

sub zipped {
    my (@files) = @_;
    my $bytes = '';
    my $zip;
    while (my ($name, $data) = splice @files, 0, 2) {
        my @how = (Name => $name, Method => $name eq 'mimetype' ? ZIP_CM_STORE : ZIP_CM_DEFLATE);
        $zip ? $zip->newStream(@how) : ($zip = IO::Compress::Zip->new(\$bytes, @how, Append => 1)) or die $ZipError;
        $zip->print($data);
    }
    $zip->close;
    return $bytes;
}
my $CONTAINER = '<?xml version="1.0"?><container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile full-path="OPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>';
sub package_of {
    my ($metadata, @hrefs) = @_;
    my $n = 0;
    my $items = join '', map { $n++; qq(<item id="i$n" href="$_" media-type="application/xhtml+xml"/>) } @hrefs;
    return qq(<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">$metadata</metadata>)
        . "<manifest>$items</manifest><spine>" . join('', map { qq(<itemref idref="i$_"/>) } 1 .. @hrefs) . '</spine></package>';
}
sub book {
    my ($package, %files) = @_;
    return zipped(mimetype => 'application/epub+zip', 'META-INF/container.xml' => $CONTAINER, 'OPS/book.opf' => encode_utf8($package), map { $_ => ref $files{$_} ? ${$files{$_}} : encode_utf8($files{$_}) } sort keys %files);
}

# --- the reader alone -------------------------------------------------------------------------------------------------

sub read_file {
    my ($kind, $bytes, $charset) = @_;
    spit("$dir/in", $kind . ($charset // '') . "\n" . $bytes);
    my $said = $platform->run('sh', '-c', 'exec "$0" <"$1"', Storytelling::Platform::build() . '/bin/story-import', "$dir/in");
    my $json = eval { $JSON->decode($said->{out}) } // {};
    return {%$json, exit => $said->{exit}, out => $said->{out}};
}
my %text = (
    'UTF-8'           => [t => encode_utf8("Grüße – “hallo”"), 'Grüße – “hallo”'],
    'UTF-8 with BOM'  => [t => encode_utf8("\x{feff}Grüße"), 'Grüße'],
    'UTF-16 LE'       => [t => encode('UTF-16LE', "\x{feff}Grüße 🦉"), 'Grüße 🦉'],
    'UTF-16 BE'       => [t => encode('UTF-16BE', "\x{feff}Grüße 🦉"), 'Grüße 🦉'],
    'Windows-1252'    => [t => "Gr\xfc\xdfe \x96 \x93hallo\x94", 'Grüße – “hallo”'],
    'lines of DOS'    => [t => "one\r\ntwo\r\n\r\n\r\n\r\nthree  \r\n", "one\ntwo\n\nthree"],
    'blank lines'     => [t => " \n\t\none\n  \n\t\n \ntwo", "one\n\ntwo"],
    'lines of old'    => [t => "one\rtwo", "one\ntwo"],
    'control'         => [t => "one\x{1b}[2J " . 'word ' x 60 . "\x{7f}\x{c2}\x{85}end", 'one[2J ' . 'word ' x 60 . 'end'],
    'Markdown'        => [m => "# The title\n\nSome *text*.\n\n## Two\n\nMore.\n", "# The title\n\nSome *text*.\n\n## Two\n\nMore."],
);
for my $what (sort keys %text) {
    my ($kind, $bytes, $expected) = @{$text{$what}};
    is read_file($kind, $bytes)->{content}, $expected, "$what: the text";
}
my $russian = 'Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему.';
my @tongues = (
    [CP1251 => $russian], ['KOI8-R' => $russian], [CP866 => $russian], ['ISO-8859-5' => $russian], ['UTF-16LE' => $russian],
    [CP932 => '国境の長いトンネルを抜けると雪国であった。'], ['EUC-JP' => '国境の長いトンネルを抜けると雪国であった。'], [CP932 => 'こんにちは'],
    [GB18030 => '从前有座山，山里有座庙，庙里有个老和尚。'],
    [CP1250 => 'W Szczebrzeszynie chrząszcz brzmi w trzcinie, mówiła żaba.'], [CP1250 => 'Příliš žluťoučký kůň úpěl ďábelské ódy.'],
    [CP1253 => 'Μια φορά κι έναν καιρό'],
);
for (@tongues) {
    my ($charset, $words) = @$_;
    my $bytes = encode($charset eq 'GB18030' ? 'gbk' : $charset, $words);
    is read_file(t => $bytes, $charset)->{content}, $words, "$charset, which is said: the text, " . substr $words, 0, 20;
    like read_file(t => $bytes)->{error} // '', qr/charset/, "$charset: else its author is asked";
}
for (['French', 'À l’été, le cœur « naïf » rêvait déjà : où ça ?'], ['German', 'Übermütige Füße, größer: „Süß!“'], ['Spanish', '¿Dónde está el niño? ¡Aquí!'], ['Danish', 'Rødgrød med fløde på en ø.'],
    ['English', 'The naïve señor met Ångström and Dvořák at a café. ' =~ s/ř/r/r . 'He said no more of it than that. ' x 200])
{
    is read_file(t => encode('CP1252', $_->[1]))->{content}, $_->[1] =~ s/ $//r, "$_->[0]: Windows-1252 is known by its letters";
}
is read_file(t => encode_utf8("\x{feff}$russian"), 'CP1252')->{content}, $russian, 'what a file says of itself comes before what is said of it';
like read_file(t => "Gr\xfc\xdfe", 'UTF-8')->{error} // '', qr/charset/, 'what is said must be so';
like read_file(t => encode('CP932', '国')  =~ s/.$//sr, 'CP932')->{error} // '', qr/charset/, 'to the last letter';
is read_file(t => 'x', 'NOSUCH')->{exit}, 3, 'no other charset is opened';
is read_file(m => "# The title\n\nText")->{title}, 'The title', 'a first heading is the title';
my %chapters = ('OPS/a.xhtml' => '<html><head><title>x</title><style>p{}</style></head><body><h1>One</h1><p>A&nbsp;<b>bold</b>  <ruby>word<rp>(</rp><rt>wort</rt><rp>)</rp></ruby>&#8212;<br/>and more.</p><audio src="a.mp3">no sound</audio><script>alert(1)</script></body></html>',
    'OPS/b c.xhtml' => '<html><body><h2>Two</h2><div><p>It &lt;ends&gt;.</p></div></body></html>');
my $read = read_file(e => book(package_of('<dc:title> The  &amp; Book </dc:title><dc:language>en-GB</dc:language>', 'a.xhtml', './b%20c.xhtml'), %chapters));
is $read->{title}, 'The & Book', 'a book has its title';
is $read->{language}, 'en-GB', 'its language';
is $read->{content} =~ s/\x{a0}/ /gr, "# One\n\nA bold word—\nand more.\n\n## Two\n\nIt <ends>.", 'and its text, in order, each heading of its level';
sub page { my ($body) = @_; return read_file(e => book(package_of('', 'a.xhtml'), 'OPS/a.xhtml' => "<html><body>$body</body></html>"))->{content} // '' }
my @marked = (
    ['<p><i>I should go,</i> he thought. “<em>Now</em>!”</p>' => '*I should go,* he thought. “*Now*!”', 'what is emphasised, as thoughts are'],
    ['<p>He<i> read</i><i> on </i>in <em class="x">Emma</em>—<i>twice</i>’s enough.</p>' => 'He *read on* in *Emma*—*twice*’s enough.', 'in one go, without the spaces around it'],
    ['<p>un<i>believ</i>able <em>Ab</em>bot<i>s</i> <i> </i><em></em>x</p>' => 'unbelievable Abbots x', 'but no part of a word, nor nothing'],
    ['<p><i>2 * 3</i> <em>a<br/>b</em> <i><em>both</em></i></p><i><p>c</p><p>d</p></i>' => "2 * 3 a\nb *both*\n\nc\n\nd", 'nor where it has marks, or is longer than a line'],
    ['<h3><i>Emma</i> <hr/>again</h3>' => '### Emma again', 'nor in headings'],
    ['<hr/><p>He slept.</p><hr/><p>Day.</p>' => "He slept.\n\n* * *\n\nDay.", 'where a scene ends'],
    ['<h6>Six</h6><p># 1 rule</p><p>a # b<br/>### c</p><p>#d</p>' => "###### Six\n\n#\x{a0}1 rule\n\na # b\n###\x{a0}c\n\n#d", 'and words that only look like a heading are none'],
);
is page($_->[0]), $_->[1], "a book: $_->[2]" for @marked;
# Books that are older than UTF-8, or say that they are.
sub old_book {
    my ($charset, $head, $words) = @_;
    return read_file(e => book(package_of('', 'a.xhtml'), 'OPS/a.xhtml' => \encode($charset, "$head<body><p class=\"first\">$words</p></body></html>")));
}
my $xml = '<?xml version="1.0" encoding="%s"?><html><head><title>x</title></head>';
my @old = (
    [CP1251 => sprintf($xml, 'windows-1251') => $russian],
    [CP1251 => '<html><head><meta http-equiv="Content-Type" content="text/html; charset=Windows-1251"/></head>' => $russian],
    [CP1251 => "<html><head><meta name='a'><meta charset = 'cp1251' ></head>" => $russian],
    ['KOI8-R' => sprintf($xml, 'koi8-r') => $russian], [CP932 => sprintf($xml, 'Shift_JIS') => '国境の長いトンネルを抜けると雪国であった。'],
    [CP1252 => sprintf($xml, 'windows-1252') => '“Grüße” – he said, ‘no’'], [CP1252 => sprintf($xml, 'ISO-8859-1') => '“Grüße” – he said, ‘no’'],
    [CP1252 => '<html><head><style>p {}</style></head>' => '“Grüße” – he said, ‘no’'], [CP1252 => sprintf($xml, 'utf-8') => '“Grüße” – he said, ‘no’'],
    (map { [CP1252 => sprintf($xml, $_) => '“Grüße” – he said, ‘no’'] } 'klingon', '../../../../etc/passwd', 'x' x 5000, 'utf-8//IGNORE'),
    ['UTF-8' => "\x{feff}" . sprintf($xml, 'windows-1251') => $russian], ['UTF-16' => sprintf($xml, 'UTF-16') => $russian], ['UTF-16LE' => sprintf($xml, 'UTF-16') => $russian],
);
is old_book(@$_)->{content}, $_->[2], "a book in $_->[0]: " . substr $_->[1], 0, 90 for @old;
is read_file(e => book(package_of('', 'a.xhtml', 'b.xhtml'), 'OPS/a.xhtml' => \encode('CP1251', sprintf("$xml<p>%s</p>", 'windows-1251', $russian)), 'OPS/b.xhtml' => "<html><p>Größe</p>"))->{content}, "$russian\n\nGröße", 'each document of its own';
is old_book(CP1251 => sprintf($xml, $_), $russian)->{error}, 'It cannot be told which letters the book is written in.', "Russian letters of no charset, but '$_', are not guessed" for 'utf-8', 'klingon', '';
is old_book(CP1251 => sprintf($xml, 'utf-8') . '<!-- ' . 'style ' x 2000 . '-->', $russian)->{content}, undef, 'however much markup is around them';
is read_file(e => book(package_of('', 'a.xhtml'), 'OPS/a.xhtml' => \(encode_utf8("<html><body><p>“Grüße”, he said.</p><p>No") . "\xff." . 'He said no more. ' x 20)))->{content} =~ s/He.*//r, "“Grüße”, he said.\n\nNo\x{fffd}.", 'one broken letter is one, and no more';
is read_file(e => book(package_of('', 'a.xhtml'), 'OPS/a.xhtml' => \("<html><body><p>" . "He said no more. " x 20 . "A caf\xa9s, no \x9d.</p>")))->{content} =~ s/.*(?=A caf)//r, "A caf\x{fffd}s, no \x{fffd}.", 'also where all else is of ASCII';
is read_file(e => zipped('META-INF/container.xml' => $CONTAINER, 'OPS/book.opf' => encode($_, ($_ eq 'CP1251' ? '' : "\x{feff}") . package_of('<dc:title>Мастер</dc:title>', 'a.xhtml') =~ s/\?>/ encoding="windows-1251"?>/r), 'OPS/a.xhtml' => '<html><p>x</p></html>'))->{title}, 'Мастер', "a title in $_" for 'CP1251', 'UTF-8';
my %title = ("The Bell\n\nIt rang." => 'The Bell', "# The Bell\n\nIt rang." => 'The Bell', "## The Bell\nIt rang." => 'The Bell', "It rang.\nTwice.\n\nAgain." => undef, "It rang." => undef, '# Bell' => 'Bell', "word " x 25 . "\n\nEnd." => undef, "***\n\nEnd." => undef);
is read_file(t => $_)->{title}, $title{$_}, 'the title of a text: ' . ($title{$_} // 'none') for sort keys %title;
is read_file(t => "The Bell\n\nIt rang.")->{content}, "The Bell\n\nIt rang.", 'no word of it is lost';
is read_file(m => '# Bell')->{content}, '# Bell', 'nor where there is no other';

is read_file(e => book(package_of('', 'a.xhtml'), 'OPS/a.xhtml' => '<html><body><h1>One<br/>Two <div>Three</div></h1><table><tr><th>Year</th><th>Ships</th></tr><tr><td>1805</td><td>27</td></tr></table></body></html>'))->{content},
    "# One Two Three\n\nYear Ships\n\n1805 27", 'a heading is one line, and cells of a table are apart';

my $text = 'word ' x 300_000;
my %wrong = (
    'nothing'            => [t => ''],
    'spaces'             => [t => " \n\t \n"],
    'a picture'          => [t => "\x89PNG\r\n\x1a\n\0\0\0\rIHDR" . join '', map { chr int rand 256 } 1 .. 2000],
    'a program'          => [m => "\x7fELF\2\1\1" . "\0" x 400],
    'a book as text'     => [t => book(package_of('', 'a.xhtml'), %chapters)],
    'two million bytes'  => [t => 'word ' x 400_000],
    'text as a book'     => [e => 'Once upon a time'],
    'half a book'        => [e => substr book(package_of('', 'a.xhtml'), %chapters), 0, 300],
    'no container'       => [e => zipped('OPS/book.opf' => package_of('', 'a.xhtml'))],
    'no package'         => [e => zipped('META-INF/container.xml' => $CONTAINER)],
    'no chapter'         => [e => book(package_of('', 'nowhere.xhtml'))],
    'no spine'           => [e => book('<package xmlns="http://www.idpf.org/2007/opf"><metadata/><manifest/></package>')],
    'no XML'             => [e => book("\x{1}\x{2}<<<<")],
    'a bomb'             => [e => book(package_of('', 'a.xhtml'), 'OPS/a.xhtml' => '<p>' . 'a' x 60_000_000)],
    'many bombs'         => [e => book(package_of('', ('a.xhtml') x 40), 'OPS/a.xhtml' => '<p>' . 'ab ' x 2_000_000)],
    'way out'            => [e => book(package_of('', '../../../../../../etc/passwd'))],
    'way out, hidden'    => [e => book(package_of('', '%2e%2e/%2e%2e/%2e%2e/etc/passwd'))],
    'way out, absolute'  => [e => book(package_of('', 'file:///etc/passwd'))],
    'a container abroad' => [e => zipped('META-INF/container.xml' => $CONTAINER =~ s{OPS/book.opf}{../../etc/passwd}r, '../../etc/passwd' => 'x')],
    'an empty book'      => [e => book(package_of('', 'a.xhtml'), 'OPS/a.xhtml' => '<html><body><img src="x"/></body></html>')],
    'deep markup'        => [e => book(package_of('', 'a.xhtml'), 'OPS/a.xhtml' => '<div>' x 100_000)],
    'endless tags'       => [e => book(package_of('', 'a.xhtml'), 'OPS/a.xhtml' => '<p ' . join(' ', map { "a$_" } 1 .. 500_000) . '>x')],
    'an endless package' => [e => book(package_of('', 'a.xhtml') =~ s/<spine/"<spine " . join '', map { qq(a$_="" ) } 1 .. 400_000/er, %chapters)],
    'a flipped byte'     => [e => do { my $b = book(package_of('', 'a.xhtml'), %chapters); my $at = index $b, 'OPS/a.xhtml'; substr $b, $at + 40, 1, chr(255 ^ ord substr $b, $at + 40, 1); $b }],
);
for my $what (sort keys %wrong) {
    my $said = read_file(@{$wrong{$what}});
    ok $said->{exit} || ($said->{error} // '') =~ /\w{3} \w/, "$what: is refused" or diag substr $said->{out}, 0, 300;
    ok !defined $said->{content}, "$what: and nothing comes of it";
    unlike $said->{out}, qr/root:/, "$what: nor of this machine's files";
}
my $long = read_file(e => book(package_of('', ('a.xhtml') x 4900), %chapters));
is length($long->{content} // ''), 4900 * length("# One\n\nA bold word—\nand more.\n\n") - 2, 'a book of thousands of chapters is read in one go';
my $entities = '<!DOCTYPE package [<!ENTITY x SYSTEM "file:///etc/passwd">' . join('', map { "<!ENTITY l$_ \"" . ("&l" . ($_ - 1) . ';') x 10 . '">' } 1 .. 9) . '<!ENTITY l0 "lol">]>';
my $lol = read_file(e => book(package_of('<dc:title>A&x;B&l9;</dc:title>', 'a.xhtml') =~ s/\?>/?>$entities/r, %chapters));
unlike $lol->{out}, qr/root:|lollol/, 'entities are not expanded, wherever they lead';
like read_file(e => book(package_of('', 'a.xhtml'), 'OPS/a.xhtml' => '<html><body><p>Open <b>for ever, &nosuch; <i>' . '<x ' x 50))->{content} // '', qr/^Open for ever/, 'what browsers would read is read';

# --- through the API --------------------------------------------------------------------------------------------------

my $sender = $ada;    # so many an hour
sub imports {
    my ($type, $bytes, %query) = @_;
    return {content => $bytes, content_type => $type, query => \%query, token => $sender->{token}};
}
sub outcome {
    my ($answer) = @_;
    my $seen;
    wait_for(sub { $seen = $api->call(getImport => {path => {importId => $answer->{json}{importId}}, token => $sender->{token}}); $seen->{json}{status} ne 'pending' });
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply [$api->complaints(getImport => $seen)], [], 'the answer keeps to the contract';
    return $seen->{json};
}
sub story { my ($id) = @_; return $api->call(getStory => {path => {storyId => $id}, token => $sender->{token}})->{json} }

my $posted = $api->succeeds(202, createImport => imports('application/epub+zip', book(package_of('<dc:title>Imported</dc:title><dc:language>en</dc:language>', 'a.xhtml'), %chapters), draft => 'true'), 'a book is posted');
is $posted->{headers}{location}, "/v1/imports/$posted->{json}{importId}", 'Location says where to ask';
my $done = outcome($posted);
is $done->{status}, 'ready', 'it is read' or diag $done->{reason};
my $story = story($done->{storyId});
is_deeply [@$story{qw(title language visibility state)}], ['Imported', 'en', 'private', 'draft'], 'and is a story';
like $story->{content}, qr/^# One\n\nA/, 'of its words';
$api->fails(404, 'not_found', getImport => {path => {importId => $posted->{json}{importId}}, token => $eve->{token}}, 'others do not see it');
$api->fails(404, 'not_found', getImport => {path => {importId => $UNKNOWN}, token => $ada->{token}}, 'nor anybody what is not there');
my $keyed = {%{imports('text/plain; charset=utf-8', "The \xe2\x80\x9cfirst\xe2\x80\x9d text.", title => 'Named', visibility => 'link')}, headers => {'Idempotency-Key' => 'file-1'}};
my ($once, $twice) = map { $api->succeeds(202, createImport => $keyed, 'a text, sent twice under one key') } 1, 2;
is $twice->{json}{importId}, $once->{json}{importId}, 'is one import';
$api->fails(422, 'idempotency_key_reused', createImport => {%$keyed, content => 'Another.'}, 'another text is another one');
my $plain = story(outcome($once)->{storyId});
is_deeply [@$plain{qw(title visibility content)}], ['Named', 'link', 'The “first” text.'], 'and one story, named as was asked';
is story(outcome($api->succeeds(202, createImport => imports('text/plain', "The Bell\n\nIt rang.", draft => 'true'), 'a text without a title'))->{storyId})->{title}, 'The Bell', 'has the title of its first line';
my $western = story(outcome($api->succeeds(202, createImport => imports('Text/Plain; Charset="Windows-1251"', encode('CP1251', $russian)), 'a text of another charset'))->{storyId});
is $western->{content}, $russian, 'is read as it is said';
is outcome($api->succeeds(202, createImport => imports('Application/EPUB+Zip', book(package_of('', 'a.xhtml'), %chapters), draft => 'true'), 'a type in other letters'))->{status}, 'ready', 'is the same type';
$sender = $max;
$api->fails(415, 'unsupported_media_type', createImport => imports('text/plain; charset=klingon', 'x'), 'a charset that nobody knows is not taken');
my %headed = (draft => 'true');
is_deeply [@{story(outcome($api->succeeds(202, createImport => imports('text/markdown', "# The Bell\n\nIt rang.", %headed), 'a heading'))->{storyId})}{qw(title content)}], ['The Bell', 'It rang.'], 'is the title alone';
is_deeply [@{story(outcome($api->succeeds(202, createImport => imports('text/plain', "# The Bell\n\nIt rang.", %headed, title => 'Named'), 'another title'))->{storyId})}{qw(title content)}], ['Named', "# The Bell\n\nIt rang."], 'takes nothing from the text';
$sender = $ada;
# The reader is held while it works, and what it may use is looked at.
my $storyd = $platform->pid('story');
pipe(my $watched, my $watching) or die "pipe: $!\n";
my $watcher = fork // die "fork: $!\n";
if (!$watcher) {
    my ($reader, $until) = (undef, time + $Storytelling::Wait::PATIENCE);
    while (!$reader && time < $until) {    # it may be there for some milliseconds
        ($reader) = grep { (readlink "/proc/$_/exe" // '') =~ m{/story-import$} && kill STOP => $_ } map { eval { split " ", slurp($_) } } glob "/proc/$storyd/task/*/children";
    }
    syswrite $watching, slurp("/proc/$reader/limits") if $reader;
    kill CONT => $reader if $reader;
    POSIX::_exit(0);
}
close $watching;
my $lengthy = outcome($api->succeeds(202, createImport => imports('application/epub+zip', book(package_of('', 'a.xhtml'), 'OPS/a.xhtml' => '<html><body>' . '<p>A <i>word</i>.</p>' x 90_000 . '</body></html>'), draft => 'true'), 'a long book'));
my %limit = join('', <$watched>) =~ /^Max (.+?) {2,}(\S+)/mg;
waitpid $watcher, 0;
is_deeply [@limit{'cpu time', 'file size', 'core file size'}], [10, 1, 0], 'is read within ten seconds of a processor, and nothing is written to a file';
ok $ENV{ASAN} || $limit{'address space'} == 512 << 20, 'in 512 MB at the most' or diag explain \%limit;
is $lengthy->{status}, 'ready', 'and is a story' or diag $lengthy->{reason};
my $refused = outcome($api->succeeds(202, createImport => imports('application/epub+zip', 'PK or not'), 'what is no book is taken'));
is $refused->{status}, 'failed', 'and refused';
like $refused->{reason}, qr/no EPUB/, 'with a reason';
is_deeply [$platform->sql('story', "select count(*) from story_imports where file is not null and user_id = '$ada->{userId}'")], [0], 'no file is kept';
$sender = $max;
$api->fails(415, 'unsupported_media_type', createImport => imports($_, 'x'), "$_ is not taken") for 'application/pdf', 'text/html', 'image/png';
$api->fails(400, 'invalid_request', createImport => imports('text/plain', ''), 'an empty body neither');
$api->fails(413, 'too_large', createImport => imports('text/plain', 'x' x (10 * 1024 * 1024 + 1)), 'nor more than 10 MiB');
$api->fails(400, 'invalid_request', createImport => imports('text/plain', 'x', visibility => 'all'), 'nor another visibility', '/query/visibility');
$platform->sql('story', "insert into blocks values ('$eve->{userId}', now() + interval '1 day')");
$api->fails(402, 'payment_required', createImport => {%{imports('text/plain', 'x')}, token => $eve->{token}}, 'nor what the tier does not have');
$platform->sql('story', "insert into story_imports (import_id, user_id, tier, kind, visibility, draft, file) values ('$UNKNOWN', '$eve->{userId}', 'free', 't', 'private', true, 'x')");
$platform->sql('story', "insert into jobs (name, unique_key, payload, metadata) values ('import', '$UNKNOWN', '{\"importId\":\"$UNKNOWN\"}', '{\"correlationId\":\"test\"}')");
$sender = $eve;
my $beyond = outcome({json => {importId => $UNKNOWN}});
is $beyond->{status}, 'failed', 'nor what was posted before that';
like $beyond->{reason}, qr/number of stories is used up/, 'with a reason';
$platform->sql('story', "delete from blocks where user_id = '$eve->{userId}'");
my $lines = '# ' . 'word ' x 100 . "last\n\nEnd.";
is_deeply [@{story(outcome($api->succeeds(202, createImport => imports('text/plain', $lines, %headed), 'a first line that is longer than a title'))->{storyId})}{qw(title content)}], ['word ' x 40, $lines], 'loses no word';

# --- as files ---------------------------------------------------------------------------------------------------------

my $words = "Before **all** [<chapters>](https://x.org) & more.\n\n# One “first”\n\nThe bell \"rang\".\nTwice.\n\n## Two\n\nمرحبا \x{10fffd} 🦉 \x{fdd0}end.\n\nCHAPTER III.\n\nHe closed the chapter.\n\n### Notes\n\nNone.";
my $id = $api->call(createStory => {json => {title => 'Glück & "Söhne" / <b>', content => $words, language => 'de', draft => JSON::PP::true}, token => $ada->{token}})->{json}{storyId};
sub exported { my ($who, %query) = @_; return {path => {storyId => $id}, token => $who->{token}, query => \%query} }
sub file_of { my ($format) = @_; return $api->call(exportStory => {%{exported($ada, format => $format)}, raw => 1}) }
my %type = (txt => 'text/plain; charset=utf-8', md => 'text/markdown; charset=utf-8', epub => 'application/epub+zip');
for my $format (sort keys %type) {
    my $file = file_of($format);
    is $file->{status}, 200, "$format: a story as a file";
    is $file->{headers}{'content-type'}, $type{$format}, "$format: of its type";
    like $file->{headers}{'content-disposition'}, qr/^attachment; filename="Glck_[\w_]*\.$format"; filename\*=UTF-8''Gl%C3%BCck%20%26[\w%]*\.$format$/, "$format: with a name";
}
is file_of('md')->{content}, encode_utf8(qq(# Glück & "Söhne" / <b>\n\n$words\n)), 'Markdown is as it was written';
like Encode::decode_utf8(file_of('txt')->{content}), qr/^Glück & "Söhne" \/ <b>\n.*^Before all <chapters> & more.\n\nOne “first”$/ms, 'text has no marks';
$api->fails(404, 'not_found', exportStory => exported($eve, format => $_), "$_: not for others") for sort keys %type;
$api->fails(404, 'not_found', exportStory => {%{exported($ada)}, path => {storyId => $UNKNOWN}}, 'nor what is not there');
$api->fails(400, 'invalid_request', exportStory => exported($ada, format => 'pdf'), 'there is no other format', '/query/format');
my $epub = file_of('epub')->{content};
is $epub, file_of('epub')->{content}, 'the same story is the same book';
my $again = read_file(e => $epub);
is $again->{title}, 'Glück & "Söhne" / <b>', 'which can be read again';
is $again->{content} =~ s/^# .*\n\n//r, "Before all <chapters> & more.\n\n# One “first”\n\nThe bell \"rang\". Twice.\n\n## Two\n\nمرحبا \x{10fffd} 🦉 end.\n\n# CHAPTER III.\n\nHe closed the chapter.\n\n### Notes\n\nNone.", 'to the same words';
is_deeply [map { Encode::decode_utf8($_) } $epub =~ m{<li><a href="c\d+\.xhtml">(.*?)</a>}g], ['Glück &amp; &quot;Söhne&quot; / &lt;b&gt;', 'One “first”', 'Two', 'CHAPTER III.'], 'whose chapters are the story\'s';
$api->succeeds(200, updateStory => {path => {storyId => $id}, headers => {'If-Match' => '*'}, json => {content => "$again->{content}\n\n* * *\n\n*Who is it?* she thought."}, token => $ada->{token}}, 'as a story again');
my $third = read_file(e => file_of('epub')->{content});
is $third->{content}, "$again->{content}\n\n* * *\n\nWho is it? she thought.", 'it is the same book again';
my $damaged = $epub =~ s/Before all/Before ill/r;
like read_file(e => $damaged)->{error} // '', qr/damaged/, 'one letter of which is not changed unnoticed';
my $checked = $platform->run('java', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Xshare:auto', '-jar', '/usr/share/java/epubcheck.jar', spit("$dir/book.epub", $epub));
is $checked->{exit}, 0, 'and is a good book by epubcheck' or diag $checked->{out};

$api->call(deleteStory => {path => {storyId => $_->{storyId}}, token => $ada->{token}}) for @{$api->call(listStories => {token => $ada->{token}, query => {limit => 100}})->{json}{items}};
done_testing;
