# The event registry: it fits what was released, its catalogue names everything, and /docs/events shows it.
use strict;
use warnings;
use File::Copy qw(copy);
use File::Temp ();
use JSON::PP ();
use Test::More;
use Storytelling::Platform;
use Storytelling::Client;

my $platform = Storytelling::Platform->shared;
my $JSON     = JSON::PP->new->canonical;
my $ROOT     = $Storytelling::Platform::ROOT;
my ($old, $new) = ("$ROOT/tests/released/events", "$ROOT/config/events");

sub slurp { open my $f, '<:raw', $_[0] or die "$_[0]: $!"; local $/; return scalar <$f> }

# --- compatible with what was released ----------------------------------------------------------------------------------

my $said = $platform->storyctl('events', 'diff', $old, $new);
is $said->{exit}, 0, 'the registry may follow the released one' or diag $said->{out};

# A copy of the released registry in which one schema is another.
sub changed {
    my ($change, $name) = (@_, 'InvitationSent.v1.json');
    my $dir = File::Temp::tempdir(CLEANUP => 1);
    copy($_, $dir) for glob "$old/*.json";
    my $schema = $JSON->decode(slurp("$dir/$name"));
    $change->($schema);
    open my $f, '>:raw', "$dir/$name" or die $!;
    print $f $JSON->encode($schema);
    close $f;
    return $dir;
}
my %breaks = (
    'a member that is gone'              => sub { delete $_[0]{properties}{storyTitle} },
    'another type'                       => sub { $_[0]{properties}{locale}{type} = 'integer' },
    'a tighter bound'                    => sub { $_[0]{properties}{inviterName}{maxLength} = 40 },
    'a wider bound'                      => sub { $_[0]{properties}{inviterName}{maxLength} = 400 },
    'a new rule'                         => sub { $_[0]{properties}{inviterName}{pattern} = '^x' },
    'a rule that is gone'                => sub { delete $_[0]{properties}{inviteeEmail}{format} },
    'a new member that is required'      => sub { $_[0]{properties}{n} = {type => 'integer'}; push @{$_[0]{required}}, 'n' },
    'a member that need not be there'    => sub { $_[0]{required} = [grep { $_ ne 'link' } @{$_[0]{required}}] },
    'another topic'                      => sub { $_[0]{'x-topic'} = 'collaboration.other' },
    'another aggregate'                  => sub { $_[0]{'x-aggregate'} = 'story' },
    'another publisher'                  => sub { $_[0]{'x-service'} = 'story' },
);
for my $what (sort keys %breaks) {
    my $said = $platform->storyctl('events', 'diff', $old, changed($breaks{$what}));
    is $said->{exit}, 1, "$what breaks" or diag $said->{out};
    like $said->{out}, qr/^BREAKS +InvitationSent\.v1\b/m, 'and it says where';
}
my %fits = (
    'a new optional member' => sub { $_[0]{properties}{n} = {type => 'integer'} },
    'other words'           => sub { $_[0]{description} = 'Other words.'; $_[0]{properties}{token}{description} = 'Others.' },
    'a later minor version' => sub { $_[0]{'x-version'} = '1.1.0' },
    'longer retention'      => sub { $_[0]{'x-retention'} = 'audit' },
);
for my $what (sort keys %fits) {
    my $said = $platform->storyctl('events', 'diff', $old, changed($fits{$what}));
    is $said->{exit}, 0, "$what fits" or diag $said->{out};
}
my $nested = changed(sub { $_[0]{properties}{segments}{items}{properties}{paragraph}{minimum} = 1 }, 'StoryAnalyzed.v1.json');
$said = $platform->storyctl('--json', 'events', 'diff', $old, $nested);
is $said->{exit}, 1, 'a change deep inside breaks';
is_deeply [map { $_->{where} } grep { $_->{breaking} } @{$JSON->decode($said->{out})}], ['/properties/segments/items/properties/paragraph' =~ s{/properties}{}gr],
    'and is found' or diag $said->{out};
my $gone = changed(sub { });
unlink "$gone/StoryDeleted.v1.json";
$said = $platform->storyctl('events', 'diff', $old, $gone);
is $said->{exit}, 1, 'a type that is gone breaks';
is $platform->storyctl('events', 'diff', $gone, $old)->{exit}, 0, 'a type that is new fits';
is $platform->storyctl('events', 'diff', $old, "$ROOT/nowhere")->{exit}, 2, 'a folder that is not there is another matter';

# --- the catalogue ------------------------------------------------------------------------------------------------------

my %schemas = map { m{([^/]+)\.json\z} ? ($1 => $JSON->decode(slurp($_))) : () } glob "$new/*.json";
my $client = $platform->client;
my $r      = $client->get('/docs/events/asyncapi.json');
is $r->{status}, 200, '/docs/events/asyncapi.json is served' or diag $r->{body};
my $api = $JSON->decode($r->{content});
is $api->{asyncapi}, '3.0.0', 'it is AsyncAPI 3';
is_deeply [sort keys %{$api->{components}{messages}}], [sort keys %schemas], 'with a message for each schema';
is_deeply [sort keys %{$api->{channels}}], [sort keys %{{map { $_->{'x-topic'} => 1 } values %schemas}}], 'and a channel for each topic';
my @broken;
my @look = ($api);
while (defined(my $node = shift @look)) {
    push @look, ref $node eq 'HASH' ? values %$node : ref $node eq 'ARRAY' ? @$node : ();
    my $ref = ref $node eq 'HASH' && !ref $node->{'$ref'} ? $node->{'$ref'} // '' : '';
    next unless $ref =~ s{^#/}{};
    my $at = $api;
    $at = ref $at eq 'HASH' ? $at->{$_} : undef for split m{/}, $ref;
    push @broken, $ref unless defined $at;
}
is_deeply \@broken, [], 'every reference leads somewhere';
my %said = map { my $d = $JSON->decode($platform->run($_, '--describe')->{out}); ($d->{service} => $d) } glob Storytelling::Platform::build() . '/bin/*d';
my %consumers;
for my $service (sort keys %said) {
    my %takes = map { $_ => 1 } @{$said{$service}{subscriptions}};
    push @{$consumers{$_}}, $service for grep { my $s = $schemas{$_}; $takes{$s->{title}} || $takes{'*'} && $s->{'x-service'} ne $service } keys %schemas;
}
is_deeply {map { $_ => [sort @{$api->{components}{messages}{$_}{'x-consumers'} // []}] } keys %schemas}, {map { $_ => $consumers{$_} // [] } keys %schemas},
    'consumers are those whose daemons say so';
ok((grep { $_ eq 'narration' } @{$api->{components}{messages}{'StoryAnalyzed.v1'}{'x-consumers'}}), 'narration consumes StoryAnalyzed');

$r = $client->get('/docs/events/');
is $r->{status}, 200, '/docs/events/ is a page';
my $page = $r->{content};
is_deeply [sort map { /article id="([^"]+)"/g } $page], [sort keys %schemas], 'with an article for each event';
unlike $page, qr/<script|style=|javascript:/, 'that needs no script';
my $html = $platform->storyctl('events', 'catalog', '--html', '--dir', $new, '--bin', Storytelling::Platform::build() . '/bin');
is $html->{out}, $page, 'as storyctl writes it' or diag "exit $html->{exit}";
my $evil = changed(sub { $_[0]{description} = '<script>alert("1")</script>&' });
$html = $platform->storyctl('events', 'catalog', '--html', '--dir', $evil, '--bin', Storytelling::Platform::build() . '/bin');
like $html->{out}, qr/&lt;script&gt;alert\(&quot;1&quot;\)&lt;\/script&gt;&amp;/, 'what a schema says is text there';
unlike $html->{out}, qr/<script/, 'and nothing else';

# --- an event, as its readers have it -----------------------------------------------------------------------------------

my $user = $platform->client->register_user;
my ($id) = $platform->sql('identity', "select event_id from events where event_type = 'UserRegistered' and aggregate_id = '$user->{userId}'");
my $shown;
ok wait_for(sub {
    $shown = $JSON->decode($platform->storyctl('--json', 'events', 'show', $id)->{out});
    @{$shown->{handled}} >= 4
}), 'events show names those who have handled it';
is $shown->{event}{eventId}, $id, 'and has the event';
is $shown->{service}, 'identity', 'and who has published it';
is_deeply [grep { $_->{state} ne 'handled' } @{$shown->{handled}}], [], 'all is well';
like $platform->storyctl('events', 'show', $id)->{out}, qr/^subscription +\S+ +handled$/m, 'people see it line by line';
my $ce = $JSON->decode($platform->storyctl('events', 'show', $id, '--cloudevents', '--dir', $new)->{out});
is $ce->{type}, 'storytelling.UserRegistered', 'as a CloudEvent it has its type';
is $ce->{source}, '/storytelling/identity', 'its source';
is $ce->{dataschema}, $schemas{'UserRegistered.v1'}{'$id'}, 'and its schema';
is $platform->storyctl('events', 'show', '01890a5d-ac96-774b-bcce-b302099a8057')->{exit}, 1, 'one that is not there is not found';
is $platform->storyctl('events', 'show', 'x')->{exit}, 2, 'what is no id is wrong usage';
my @tail = map { $JSON->decode($_) } split /\n/, $platform->storyctl('events', 'tail', '--service', 'identity', '--last', 3, '--cloudevents', '--dir', $new)->{out};
is scalar @tail, 3, 'tail gives as many as were asked for';
is_deeply [map { $_->{time} } @tail], [sort map { $_->{time} } @tail], 'oldest first';

done_testing;
