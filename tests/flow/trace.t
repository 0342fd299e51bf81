# One trace from the HTTPS request to the last notification, as a collector gets it; and the figures of all that work.
use strict;
use warnings;
use Test::More;
use File::Temp qw(tempdir);
use IO::Socket::INET;
use JSON::PP ();
use Storytelling::Platform;
use Storytelling::Client;

my $JSON = JSON::PP->new->utf8;
my $dir  = tempdir(CLEANUP => 1);

# --- a collector that keeps what it gets --------------------------------------------------------------------------------

my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 20, ReuseAddr => 1) or die "listen: $!";
my $collector = fork // die "fork: $!";
if (!$collector) {
    while (my $c = $listen->accept) {
        my ($head, $body) = ('', '');
        $head .= $_ while $head !~ /\r\n\r\n\z/ && defined($_ = readline $c);
        my ($length) = $head =~ /^Content-Length: (\d+)/mi;
        read $c, $body, $length // 0;
        open my $f, '>>', "$dir/spans" or die;
        syswrite $f, ($head =~ m{\APOST /v1/traces HTTP} ? '' : 'BAD ') . "$body\n";
        print $c "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
    }
    exit 0;
}
END { local $?; kill TERM => $collector if $collector }
my $port = $listen->sockport;
close $listen;

sub spans {
    my ($trace) = @_;
    open my $f, '<', "$dir/spans" or return ();
    my @all;
    while (my $line = <$f>) {
        my $resource = $JSON->decode($line)->{resourceSpans}[0];
        my ($service) = map { $_->{value}{stringValue} } grep { $_->{key} eq 'service.name' } @{$resource->{resource}{attributes}};
        push @all, map { {%$_, service => $service} } @{$resource->{scopeSpans}[0]{spans}};
    }
    return grep { $_->{traceId} eq $trace } @all;
}

# --- a story ------------------------------------------------------------------------------------------------------------

my $platform = Storytelling::Platform->start(env => {ST_TRACE_ENDPOINT => "http://127.0.0.1:$port"});
my $client   = $platform->client;
my $author   = $client->register_user;
my ($trace, $span) = ('0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331');
my $posted = $client->post('/v1/stories', json => {title => 'A walk', content => '"Come," said Ada. "I am glad," said Ben.'}, token => $author->{token},
    headers => {traceparent => "00-$trace-$span-01"});
is $posted->{status}, 201, 'a story is posted with a trace of the client\'s own' or BAIL_OUT($posted->{content});
ok $client->wait_for_mail($author->{email}, qr/video/i), 'and goes its way to the last mail';

# Spans come in batches, those of a parent often after those of its children.
my (@spans, %by_id, @roots);
ok wait_for(sub {
    @spans = spans($trace);
    %by_id = map { $_->{spanId} => $_ } @spans;
    @roots = grep { !$by_id{$_->{parentSpanId} // ''} } @spans;
    my %seen = map { ("$_->{service}/$_->{name}" => 1) } @spans;
    $seen{'notification/VideoGenerated'} && $seen{'story/createStory'} && $seen{'video/StoryAnalyzed'} && @roots == 1;
}), 'the collector gets the spans' or diag join "\n", map { "$_->{service}/$_->{name}" } @spans;
is scalar keys %by_id, scalar @spans, 'each has an id of its own';
is_deeply [map { "$_->{service}/$_->{name}" } @roots], ['story/createStory'], 'all hang on the request' or diag explain \@roots;
isnt $roots[0]{parentSpanId}, $span, 'which is a child of the edge\'s own span';
my %services = map { $_->{service} => 1 } @spans;
is_deeply [sort keys %services], [sort keys %{{%services, map { $_ => 1 } qw(analytics narration notification story subscription video)}}], 'in all services that took part';
is_deeply [sort { $a <=> $b } keys %{{map { $_->{kind} => 1 } @spans}}], [2, 5], 'requests are served, events and jobs consumed';
is_deeply [grep { $_->{endTimeUnixNano} < $_->{startTimeUnixNano} || $_->{startTimeUnixNano} !~ /^\d{19}$/ } @spans], [], 'times are nanoseconds, and run forwards';
my ($correlation) = map { $_->{value}{stringValue} } grep { $_->{key} eq 'storytelling.correlation_id' } @{$roots[0]{attributes}};
is $correlation, $posted->{headers}{'x-correlation-id'}, 'and the correlation id is there';

# What is not sampled goes on, but is not sent; what is none of a traceparent begins a trace.
my $quiet = '1af7651916cd43dd8448eb211c80319c';
$client->get('/v1/stories', token => $author->{token}, headers => {traceparent => "00-$quiet-$span-00"});
my $loud = '2af7651916cd43dd8448eb211c80319c';
$client->get('/v1/stories', token => $author->{token}, headers => {traceparent => "00-$loud-$span-01"});
ok wait_for(sub { scalar spans($loud) }), 'a later trace is there';
is scalar(spans($quiet)), 0, 'one that is not sampled before it is not';

# --- figures ------------------------------------------------------------------------------------------------------------

sub metric {
    my ($service, $line) = @_;
    my ($value) = ($client->get("/metrics/$service", raw => 1)->{content} // '') =~ /^\Q$line\E (\S+)$/m;
    return $value;
}
is metric('story', 'storytelling_work_seconds_count{service="story",kind="request",name="createStory"}'), 1, 'the request is counted';
is metric('story', 'storytelling_work_seconds_bucket{service="story",kind="request",name="createStory",le="+Inf"}'), 1, 'in its histogram';
is metric('story', 'storytelling_work_failures_total{service="story",kind="request",name="createStory"}'), 0, 'and not among the failures';
is metric('story', 'storytelling_work_seconds_count{service="story",kind="job",name="analyse"}'), 1, 'so is the job';
is metric('narration', 'storytelling_work_seconds_count{service="narration",kind="event",name="StoryAnalyzed"}'), 1, 'and the event';
$platform->sql('video', "insert into jobs (name, payload, metadata, ended, error) values ('compose', '{}', '{}', 'dead', 'for the test')");
is metric('video', 'storytelling_jobs{service="video",name="compose",state="dead"}'), 1, 'a dead letter shows';

# --- a collector that is away -------------------------------------------------------------------------------------------

kill TERM => $collector;
waitpid $collector, 0;
undef $collector;
is $client->get('/v1/stories', token => $author->{token})->{status}, 200, 'without a collector the platform works';
ok wait_for(sub { (metric('story', 'storytelling_spans_dropped_total{service="story"}') // 0) > 0 }), 'and counts the spans that nobody took';

done_testing;
