# Texts whose quotations, speakers and characters people have annotated, and how far an analysis agrees with them.
#
#   my @texts = Storytelling::Annotated::find($folder);    what there is of PDNC and LitBank below it
#   my @texts = Storytelling::Annotated::own();            tests/bench/annotated
#
# A text is {name, path, text, quotes, characters}, or, from LitBank, {name, path, text, spans, names}:
#   quotes        [{spans => [[from, to], ...], speaker, type => 'explicit' | 'anaphoric' | 'implicit', emotion, thought}]
#   characters    [{name, gender => 'm' | 'f' | '-', aliases => [...]}]; the narrator's have Narrator among them
#   feelings      [{spans, emotion}]: narration whose emotion is known
#   names         names of persons that occur
#
#   my $found = Storytelling::Annotated::analyse($program, $text, cast => 1, rounds => 3);
#   my $score = Storytelling::Annotated::score($text, $found, cast => 1);
#
# Positions are counted in letters and digits from the text's beginning, so that marks and white space around a quotation
# do not matter, and the segments, which hold each word once and in order, need no positions of their own.
package Storytelling::Annotated;
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use File::Temp ();
use List::Util qw(max min sum0);

my $OWN  = abs_path(dirname(__FILE__) . '/../../bench/annotated');
my %TYPE = (e => 'explicit', a => 'anaphoric', i => 'implicit');

sub slurp {
    my ($path) = @_;
    open my $in, '<:encoding(UTF-8)', $path or die "$path: $!\n";
    local $/;
    return scalar <$in>;
}

# --- positions ---------------------------------------------------------------------------------------------------

# Of a text: a function that gives the number of letters before a character. The mask is a string of bytes, for Perl
# looks up places in those at once, and in others by counting from their beginning.
sub letters_before {
    my ($text) = @_;
    (my $mask = $text) =~ s/[\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1FFF}\x{3041}-\x{D7FF}]/x/g;
    $mask =~ s/[^\x00-\x7F]/./g;
    utf8::downgrade($mask);
    my @sums = (0);
    for (my $at = 0; $at < length $mask; $at += 1024) {
        push @sums, $sums[-1] + (substr($mask, $at, 1024) =~ tr/A-Za-z0-9//);
    }
    return sub {
        my ($at) = @_;
        my $block = $at >> 10;
        return $sums[$block] + (substr($mask, $block << 10, $at & 1023) =~ tr/A-Za-z0-9//);
    };
}

# --- our own -----------------------------------------------------------------------------------------------------

# What README.md of the folder says.
sub own {
    return map { _read_own($_) } sort glob "$OWN/*.txt";
}

sub _read_own {
    my ($path) = @_;
    my ($cast, $marked) = split /\n\n/, slurp($path), 2;
    my @characters = map {
        my ($name, $gender, @aliases) = split /\s*\|\s*/;
        {name => $name, gender => $gender, aliases => [$name, @aliases]}
    } split /\n/, $cast;
    my (@quotes, @feelings);
    my $text = '';
    for my $piece (split /(\{[^{}]*\})/, $marked) {
        my @fields = $piece =~ /^\{(.*)\}$/s ? split /\|/, $1, -1 : ();
        my $from = length $text;
        $text .= @fields ? pop @fields : $piece;
        next if !@fields;
        my ($speaker, @about) = @fields;
        my $span = [$from, length $text];
        push @{$quotes[-1]{spans}}, $span and next if $speaker eq '+';
        my ($emotion) = grep { !$TYPE{$_} && $_ ne 'thought' } @about;
        push @feelings, {spans => [$span], emotion => $emotion} and next if $speaker eq '';
        my ($type) = map { $TYPE{$_} // () } @about;
        die "$path: $piece: no type\n" if !$type;
        push @quotes, {spans => [$span], speaker => $speaker, type => $type, emotion => $emotion, thought => scalar grep { $_ eq 'thought' } @about};
    }
    my $before = letters_before($text);
    $_->{spans} = [map { [map { $before->($_) } @$_] } @{$_->{spans}}] for @quotes, @feelings;
    return {name => basename($path, '.txt'), text => $text, quotes => \@quotes, feelings => \@feelings, characters => \@characters};
}

# --- public corpora ----------------------------------------------------------------------------------------------

sub find {
    my ($folder) = @_;
    my @texts = map { _read_pdnc(dirname($_)) } sort map { glob "$folder/${_}data/*/quotation_info.csv" } '', '*/';
    push @texts, map { _read_litbank(dirname($_), basename($_, '.txt')) } sort map { glob "$folder/${_}original/*.txt" } '', '*/';
    die "$folder has neither PDNC (data/*/quotation_info.csv) nor LitBank (original/*.txt) in it\n" if !@texts;
    return @texts;
}

# Rows of a CSV file, each by the names of the first.
sub _read_csv {
    my ($path) = @_;
    my $csv = slurp($path);
    my (@rows, @row);
    while ($csv =~ /\G(?:"([^"]*(?:""[^"]*)*)"|([^,\n]*))(,|\n|\z)/g) {
        my ($field, $end) = ($1 // $2, $3);
        $field =~ s/""/"/g;
        push @row, $field;
        next if $end eq ',';
        push @rows, [@row] if @row > 1;
        @row = ();
        last if $end eq '';
    }
    my $names = shift @rows;
    return map { my %row; @row{@$names} = @$_; \%row } @rows;
}

# A list or set of strings as Python prints it.
sub _strings {
    my ($printed) = @_;
    my @strings;
    while ($printed =~ /'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"/g) {
        my $string = $1 // $2;
        $string =~ s/\\(.)/$1/g;
        push @strings, $string;
    }
    return @strings;
}

sub _read_pdnc {
    my ($folder) = @_;
    my $text = slurp("$folder/novel_text.txt");
    my (@characters, %main);
    for my $row (_read_csv("$folder/character_info.csv")) {
        my @aliases = map { /^_?narr(?:ator)?$/i ? 'Narrator' : $_ } _strings($row->{Aliases});
        $main{$_} //= $row->{'Main Name'} for @aliases, $row->{'Main Name'};
        next if $row->{'Main Name'} =~ /^_(?!narr)/;
        my $gender = {M => 'm', F => 'f'}->{$row->{Gender}} // '-';
        push @characters, {name => $row->{'Main Name'}, gender => $gender, aliases => \@aliases};
    }
    my $before = letters_before($text);
    my $gap    = sub { substr $text, $_[0][1], $_[1][0] - $_[0][1] };
    my @quotes = map {
        my $row = $_;
        my @spans = map { [split /,\s*/] } $row->{quoteByteSpans} =~ /\[(\d+, \d+)\]/g;
        @spans = sort { $a->[0] <=> $b->[0] } @spans;
        for (my $i = 0; $i < $#spans;) {
            $gap->(@spans[$i, $i + 1]) =~ /"/ ? $i++ : splice @spans, $i, 2, [$spans[$i][0], $spans[$i + 1][1]];    # narration
        }
        my ($type) = lc($row->{quoteType}) =~ /^(explicit|anaphoric|implicit)/;
        {spans => \@spans, speaker => $main{$row->{speaker}} // $row->{speaker}, type => $type // 'implicit'}
    } _read_csv("$folder/quotation_info.csv");
    my @marked;    # what a speaker quotes is cut out of some: from mark to mark it is one
    for my $piece (sort { $a->[0] <=> $b->[0] } map { my $who = $_->{speaker}; map { [@$_, $who] } @{$_->{spans}} } @quotes) {
        my $nested  = @marked && $piece->[0] < $marked[-1][1];
        my $goes_on = @marked && $marked[-1][2] eq $piece->[2] && ($nested || $gap->($marked[-1], $piece) !~ /["()]|\n\s*\n/);
        $goes_on ? ($marked[-1][1] = max($marked[-1][1], $piece->[1])) : push @marked, [@$piece];
    }
    my $letters = sub { [map { [map { $before->($_) } @{$_}[0, 1]] } @_] };
    $_->{spans} = $letters->(@{$_->{spans}}) for @quotes;
    return {
        name => basename($folder), path => "$folder/novel_text.txt", text => $text,
        quotes => \@quotes, marked => $letters->(@marked), characters => \@characters,
    };
}

# What is annotated are the first 2,000 words, cut into tokens; the letters are those of the original.
sub _read_litbank {
    my ($folder, $name) = @_;
    my $root   = dirname($folder);
    my $tokens = slurp("$root/quotations/tsv/${name}_brat.txt");
    my (@from, @to);    # by line and token
    my $at = 0;
    for my $line (split /\n/, $tokens) {
        push @from, [];
        push @to,   [];
        for my $token (split / /, $line, -1) {
            push @{$from[-1]}, $at;
            push @{$to[-1]}, $at + length $token;
            $at += 1 + length $token;
        }
    }
    my $before = letters_before($tokens);
    my @spans  = map {
        my (undef, undef, $line, $token, $last_line, $last) = split /\t/;
        [$before->($from[$line][$token]), $before->($to[$last_line][$last])]
    } grep { /^QUOTE/ } split /\n/, slurp("$root/quotations/tsv/${name}_brat.ann");
    my %names = map { /^\S+\tPROP_PER [^\t]*\t(.*)/ ? (plain($1) => 1) : () } split /\n/, slurp("$root/coref/brat/${name}_brat.ann");
    my $text = _cut(slurp("$folder/$name.txt"), $before->(length $tokens));
    return {name => $name, text => $text, spans => \@spans, names => [sort keys %names]};
}

# The beginning of the text with that many letters.
sub _cut {
    my ($text, $letters) = @_;
    my $before = letters_before($text);
    my ($low, $high) = (0, length $text);
    while ($low < $high) {
        my $middle = int(($low + $high) / 2);
        ($before->($middle) < $letters) ? ($low = $middle + 1) : ($high = $middle);
    }
    return substr $text, 0, $low;
}

# --- an analysis -------------------------------------------------------------------------------------------------

# {language, bytes, seconds, characters => [{name, gender, aliases}], segments, spans => of what is spoken or thought}
sub analyse {
    my ($program, $text, %option) = @_;
    my $dir = File::Temp->newdir;
    _write("$dir/text", $text->{text});
    my @cast = map { join("\t", $_->{name}, $_->{gender}, grep { $_ ne '' } @{$_->{aliases}}) . "\n" } @{$text->{characters} // []};
    _write("$dir/cast", join '', @cast);
    my @command = ($program, '-n', $option{rounds} // 1, $option{cast} ? ('-c', "$dir/cast") : (), "$dir/text");
    open my $in, '-|:encoding(UTF-8)', @command or die "$program: $!\n";
    my %found = (characters => [], segments => [], spans => []);
    while (defined(my $line = <$in>)) {
        chomp $line;
        my ($record, @fields) = split /\t/, $line;
        @found{qw(language bytes seconds)} = @fields if $record eq 'T';
        push @{$found{characters}}, {name => $fields[0], gender => $fields[1], aliases => [@fields[0, 2 .. $#fields]]} if $record eq 'C';
        next if $record ne 'S';
        my %segment;
        @segment{qw(from to paragraph kind character confidence emotion evidence)} = @fields;
        my $last = $found{segments}[-1];
        push @{$found{segments}}, \%segment;
        next if $segment{kind} eq 'narration';
        my $goes_on = $last && $last->{kind} ne 'narration' && $last->{paragraph} == $segment{paragraph} && $last->{character} == $segment{character};
        $goes_on ? ($found{spans}[-1][1] = $segment{to}) : push @{$found{spans}}, [@segment{qw(from to)}];
    }
    close $in or die "$program: fails with $text->{name}\n";
    my $letters = letters_before($text->{text})->(length $text->{text});
    my $told = @{$found{segments}} ? $found{segments}[-1]{to} : 0;
    die "$text->{name}: $letters letters, and $told in its segments\n" if $letters != $told;
    return \%found;
}

# Nanoseconds of processor time for each byte of a text.
sub cost {
    my ($program, $text) = @_;
    my $dir = File::Temp->newdir;
    _write("$dir/text", $text);
    my ($found) = `'$program' -n 2 '$dir/text'` =~ /^T\t\S+\t(\d+\t\S+)/ or die "$program: fails\n";
    my ($bytes, $seconds) = split /\t/, $found;
    return 1e9 * $seconds / $bytes;
}

sub _write {
    my ($path, $text) = @_;
    open my $out, '>:encoding(UTF-8)', $path or die "$path: $!\n";
    print $out $text;
    close $out or die "$path: $!\n";
}

# --- scores ------------------------------------------------------------------------------------------------------

# A name without articles, dots and capitals.
sub plain {
    my ($name) = @_;
    $name = lc $name;
    $name =~ s/[.,_"]//g;
    $name =~ s/\s+/ /g;
    $name =~ s/ '/'/g;
    $name =~ s/^ ?(?:(?:the|a|an|der|die|das|ein|eine|le|la|l'|un|une|el) ?(?=\w))//;
    return $name =~ s/^ | $//gr;
}

# How a set found agrees with the one annotated: {hits, found, gold}.
sub f1 {
    my ($hits, $found, $gold) = @_;
    return $hits ? 2 * $hits / ($found + $gold) : 0;
}

# Spans as the analysis would have them if it were right: a paragraph's end, as it sees them, ends a span, too.
sub cut_spans {
    my ($found, @spans) = @_;
    my @ends;
    my $last;
    for my $segment (@{$found->{segments}}) {
        push @ends, $segment->{from} if defined $last && $segment->{paragraph} != $last;
        $last = $segment->{paragraph};
    }
    my (@cut, %seen);
    for my $span (sort { $a->[0] <=> $b->[0] } @spans) {
        my ($from, $to) = @$span;
        shift @ends while @ends && $ends[0] <= $from;
        for my $end (@ends) {
            last if $end >= $to;
            push @cut, [$from, $end];
            $from = $end;
        }
        push @cut, [$from, $to] if $to > $from;
    }
    return grep { !$seen{"@$_"}++ } @cut;
}

sub score_spans {
    my ($found, @spans) = @_;
    my @gold = cut_spans($found, @spans);
    my %gold = map { ("@$_" => 1) } @gold;
    my $hits = grep { $gold{"@$_"} } @{$found->{spans}};
    return {hits => $hits, found => scalar @{$found->{spans}}, gold => scalar @gold};
}

# The segment that has most of the letters of these spans.
sub segment_of {
    my ($found, $spans) = @_;
    my $segments = $found->{segments};
    my (%letters, %first);
    for my $span (@$spans) {
        my ($low, $high) = (0, scalar @$segments);
        while ($low < $high) {
            my $middle = int(($low + $high) / 2);
            ($segments->[$middle]{to} <= $span->[0]) ? ($low = $middle + 1) : ($high = $middle);
        }
        for (my $i = $low; $i < @$segments && $segments->[$i]{from} < $span->[1]; $i++) {
            my $who = $segments->[$i]{character};
            $first{$who} //= $segments->[$i];
            $letters{$who} += min($segments->[$i]{to}, $span->[1]) - max($segments->[$i]{from}, $span->[0]);
        }
    }
    my ($most) = sort { $letters{$b} <=> $letters{$a} || $a <=> $b } keys %letters;
    return defined $most ? $first{$most} : undef;
}

# Which character found is which annotated one: they share a name, and each has at most one partner: of several that share
# a name, the one that says most of what it should.
sub match_characters {
    my ($text, $found, $said) = @_;
    my %called;
    for my $i (0 .. $#{$text->{characters}}) {
        $called{plain($_)}{$i} = 1 for @{$text->{characters}[$i]{aliases}};
    }
    my @pairs;
    for my $i (0 .. $#{$found->{characters}}) {
        my %shared;
        for my $name (map { plain($_) } @{$found->{characters}[$i]{aliases}}) {
            $shared{$_}++ for keys %{$called{$name} // {}};
        }
        push @pairs, map { [$i, $_, $said->{$i, $text->{characters}[$_]{name}} // 0, $shared{$_}] } keys %shared;
    }
    my (%is, %taken);
    for my $pair (sort { $b->[2] <=> $a->[2] || $b->[3] <=> $a->[3] || $a->[0] <=> $b->[0] || $a->[1] <=> $b->[1] } @pairs) {
        my ($i, $gold) = @$pair;
        next if defined $is{$i} || $taken{$gold}++;
        $is{$i} = $text->{characters}[$gold]{name};
    }
    return \%is;
}

# B-cubed over the names that the annotation gives to one character alone and the text has: {precision, recall, names}.
sub score_clusters {
    my ($text, $found) = @_;
    my (%owner, %cluster);
    my $body = plain($text->{text} =~ s/\n/ /gr);
    for my $i (0 .. $#{$text->{characters}}) {
        for my $name (map { plain($_) } @{$text->{characters}[$i]{aliases}}) {
            next if $body !~ /\b\Q$name\E\b/;
            $owner{$name} = defined $owner{$name} && $owner{$name} != $i ? -1 : $i;
        }
    }
    for my $i (0 .. $#{$found->{characters}}) {
        $cluster{plain($_)} //= $i for @{$found->{characters}[$i]{aliases}};
    }
    my @names = grep { $owner{$_} >= 0 } keys %owner;
    my @known = grep { defined $cluster{$_} } @names;
    my ($precision, $recall) = (0, 0);
    for my $name (@known) {
        my @with = grep { $cluster{$_} == $cluster{$name} } @known;
        my $right = grep { $owner{$_} == $owner{$name} } @with;
        my $gold  = grep { $owner{$_} == $owner{$name} } @names;
        $precision += $right / @with;
        $recall    += $right / $gold;
    }
    return {precision => $precision, recall => $recall, known => scalar @known, names => scalar @names};
}

# {spans, clusters, quotes => [{...annotated, found => name or undef, segment, right}]}; feelings, thoughts: [annotated, found]
sub score {
    my ($text, $found, %option) = @_;
    my (%said, @quotes);
    for my $quote (@{$text->{quotes}}) {
        my $segment = segment_of($found, $quote->{spans}) or next;
        push @quotes, {%$quote, segment => $segment};
        $said{$segment->{character}, $quote->{speaker}}++;
    }
    my $is = $option{cast} ? {map { ($_ => $found->{characters}[$_]{name}) } 0 .. $#{$found->{characters}}} : match_characters($text, $found, \%said);
    for my $quote (@quotes) {
        my $who = $quote->{segment}{character};
        $quote->{found} = $who < 0 ? undef : $found->{characters}[$who]{name};
        $quote->{right} = $who >= 0 && defined $is->{$who} && $is->{$who} eq $quote->{speaker} ? 1 : 0;
    }
    return {
        spans    => score_spans($found, $text->{marked} ? @{$text->{marked}} : map { @{$_->{spans}} } @quotes),
        clusters => score_clusters($text, $found),
        quotes   => [grep { $_->{speaker} !~ /^(?:_(?!narr)|\?$)/ } @quotes],    # by a crowd, by nobody knows whom: not judged
        feelings => [map { [$_->{emotion}, segment_of($found, $_->{spans})->{emotion}] } grep { $_->{emotion} } @quotes, @{$text->{feelings} // []}],
        thoughts => [map { [$_->{thought} ? 1 : 0, $_->{segment}{kind} eq 'thought' ? 1 : 0] } @quotes],
    };
}

1;
