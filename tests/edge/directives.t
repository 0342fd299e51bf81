# The tables of directives, variables and metrics in ngx_modules/README.md, against the code, both ways; and the tests
# that ngx_modules/THREATS.md names.
use strict;
use warnings;
use Test::More;
use Storytelling::Edge;

my $root   = Storytelling::Edge::root();
my $readme = Storytelling::Nginx::slurp("$root/ngx_modules/README.md");
my $code   = join '', map { Storytelling::Nginx::slurp($_) } glob "$root/ngx_modules/*/*.c";

# The first cells of the table below a heading, with the cells behind them: [code spans, second cell].
sub rows {
    my ($heading) = @_;
    my ($section) = $readme =~ /^## \Q$heading\E\n(.*?)(?=^## |\z)/ms or die "no $heading";
    my @rows = map { s/\\\|/\x01/gr } grep { /^\| `/ } split /\n/, $section;
    return map { my @cells = split /\s*\|\s*/; [[map { s/\x01/|/gr } $cells[1] =~ /`([^`]*)`/g], $cells[2]] } @rows;
}

# --- directives ---
my %PLACE = (MAIN => 'http', SRV => 'server', LOC => 'location', UPS => 'upstream', LIF => 'if in location');
my %TAKES = (NOARGS => [0, 0], FLAG => [1, 1], (map { ("TAKE$_" => [$_, $_]) } 1 .. 7), TAKE12 => [1, 2], TAKE13 => [1, 3], TAKE23 => [2, 3],
    TAKE123 => [1, 3], TAKE1234 => [1, 4], '1MORE' => [1, 99], '2MORE' => [2, 99], ANY => [0, 99]);
my %coded;
my %macros = $code =~ /^(?:#define (?=\w)|enum \{ )(\w+)\s+=?\s*\(?(NGX_HTTP_\w+_CONF[^\n)}]*)/mg;
while ($code =~ /\{\s*ngx_string\("(api(?:_\w+)?)"\),\s*([A-Z][A-Z0-9_|\s]+),/g) {
    my ($name, $flags) = ($1, $2);
    $flags =~ s/\b(\w+)\b/$macros{$1} \/\/ $1/ge;
    next if $flags !~ /_CONF\b/;    # a variable, a zone
    my @places = map { $PLACE{$_} // die "$name: $_" } $flags =~ /NGX_HTTP_(\w+?)_CONF/g;
    my @takes  = map { $TAKES{$_} // die "$name: $_" } $flags =~ /NGX_CONF_(\w+)/g;
    $coded{$name} = {places => join(', ', sort @places), least => (sort { $a <=> $b } map { $_->[0] } @takes)[0], most => (sort { $b <=> $a } map { $_->[1] } @takes)[0],
        flag => scalar($flags =~ /NGX_CONF_FLAG/)};
}
cmp_ok scalar keys %coded, '>=', 18, 'the code has ' . keys(%coded) . ' directives';

# Arguments of a form such as "api_x <file> [a=1] on|off": [at least, at most]; "…" for any number more.
sub arguments {
    my ($form) = @_;
    my (undef, @words) = split / (?![^\[<]*[\]>])/, $form;
    my $optional = grep { /^\[/ } @words;
    return [@words - $optional - grep({ $_ eq '…' } @words), (grep { /…/ } @words) ? 99 : scalar @words];
}

my %told;
for (rows('Directives')) {
    my ($forms, $where) = @$_;
    for my $form (@$forms) {
        my ($name) = $form =~ /^(api\w*)/ or fail("a form without a name: $form"), next;
        push @{$told{$name}}, {form => $form, where => join(', ', sort split /,\s*/, $where), arguments => arguments($form)};
    }
}
is_deeply [sort keys %told], [sort keys %coded], 'each directive is in the table, and each of the table is in the code';
for my $name (sort keys %coded) {
    my $c = $coded{$name};
    for my $told (@{$told{$name} // []}) {
        is $told->{where}, $c->{places}, "$name: where it may stand";
        my ($least, $most) = @{$told->{arguments}};
        # (Of a list of options, each may be left out, but not all.)
        ok $least >= $c->{least} || $c->{least} == 1 && $least == 0 && $c->{most} == 99, "$told->{form}: not fewer arguments than the code wants";
        cmp_ok $most, '<=', $c->{most}, "$told->{form}: not more";
        like $told->{form}, qr/^\w+ on\|off$/, "$name is on or off" if $c->{flag};
    }
}

# --- threats: each has its test ---
my @lines = grep { /^\| / && !/^\| (?:---|threat|trusted) / } split /\n/, Storytelling::Nginx::slurp("$root/ngx_modules/THREATS.md") =~ s/^## What is trusted\n.*?(?=^## )//msr;
cmp_ok scalar @lines, '>=', 50, 'there are ' . @lines . ' threats';
for my $line (@lines) {
    my ($threat, undef, $tests) = $line =~ /^\| (.*?) \| (.*) \| (.*?) \|\z/;
    my @tests = map { m{/} ? $_ : "tests/edge/$_" } ($tests // '') =~ /`([^`]+)`/g;
    ok @tests && !grep({ !-f "$root/$_" } @tests), "@tests: @{[$threat // $line]}";
}

# --- nginx itself says so: where a directive may not stand, it is refused ---
my $edge = Storytelling::Edge->nginx;
for my $name (sort keys %coded) {
    my @outside = grep { index($coded{$name}{places}, $_) < 0 } qw(http server location);
    my $arguments = ' x' x $coded{$name}{least};
    for my $place (@outside) {
        my $text = "$name$arguments;";
        my %part = $place eq 'http' ? (http => $text) : (server => $place eq 'server' ? $text : "location /x { $text }");
        Storytelling::Edge->configure($edge, %part);
        my ($ok, $output) = $edge->check;
        ok !$ok && $output =~ /"$name" directive is not allowed here in \S+nginx\.conf:\d+/, "$name is refused in $place, with file and line" or diag $output;
    }
    Storytelling::Edge->configure($edge, http => "$name" . ' x' x 9 . ';') if $coded{$name}{places} =~ /http/ && $coded{$name}{most} < 9;
    next if $coded{$name}{places} !~ /http/ || $coded{$name}{most} >= 9;
    my ($ok, $output) = $edge->check;
    ok !$ok && $output =~ /invalid number of arguments in "$name" directive in \S+nginx\.conf:\d+/, "$name with nine arguments is refused, with file and line" or diag $output;
}

# --- variables ---
my ($table) = $code =~ /\} variables\[\] = \{(.*?)\n\};/s or die 'no table of variables';
my %variables = map { $_ => 1 } $table =~ /ngx_string\("(\w+)"\)/g;
my %documented = map { $_ => 1 } map { map { s/^\$//r } @{$_->[0]} } rows('Variables');
is_deeply [sort keys %documented], [sort keys %variables], 'each variable is in the table, and each of the table is in the code';
my %used = map { $_ => 1 } map { Storytelling::Nginx::slurp($_) =~ /\$(api_\w+)/g } glob "$root/nginx.conf.d/*.conf";
is_deeply [grep { !$variables{$_} } sort keys %used], [], 'nginx.conf.d uses none that is not there';

# --- metrics ---
Storytelling::Edge->configure($edge);
$edge->start or die $edge->error_log;
my %emitted = map { $_ => 1 } $edge->get('/metrics')->{body} =~ /^# TYPE api_edge_(\w+) /mg;
my %families = map { $_ => 1 } map { @{$_->[0]} } rows('Metrics');
is_deeply [sort keys %families], [sort keys %emitted], 'each metric is in the table, and each of the table is there';
$edge->stop;
done_testing;
