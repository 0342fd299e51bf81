# The example of ngx_modules/README.md ("In an nginx of your own"), as it stands there, before a small service.
use strict;
use warnings;
use Test::More;
use Storytelling::Edge;

my $dir  = Storytelling::Edge::dir();
my $root = Storytelling::Edge->root;
my $edge = Storytelling::Nginx->new(dir => File::Temp::tempdir('nginx-XXXXXX', TMPDIR => 1, CLEANUP => 1));
my ($part) = Storytelling::Nginx::slurp("$root/ngx_modules/README.md") =~ /^## In an nginx of your own\n(.*?)^## /ms;
my %file = $part =~ /^`\/etc\/edge\/([\w.\/]+)`[^\n]*\n(?:[^\n]+\n)*\n```\w+\n(.*?)^```/msg;
is_deeply [sort keys %file], [qw(contracts/notes.yaml nginx.conf state/edge.json)], 'the README has the files';

Storytelling::Edge::echo('notes');
Storytelling::Edge::write_file("$dir/$_", $file{$_}) for 'contracts/notes.yaml', 'state/edge.json';
Storytelling::Edge::write_file("$dir/issuer.pub.pem", Storytelling::Nginx::slurp(Storytelling::Edge::public_key('identity')));

# Where this machine's files and ports are; the rest is nginx's own.
my $conf = $file{'nginx.conf'};
my $temp = join '', map { "${_}_temp_path $edge->{dir}/nginx/$_;\n" } qw(client_body proxy fastcgi uwsgi scgi);
my $user = $> == 0 ? 'user root;' : '';
$conf =~ s{/etc/edge/ngx_http_api_module\.so}{@{[Storytelling::Edge::module()]}} or die 'no module is loaded';
$conf =~ s{/etc/edge}{$dir}g;
$conf =~ s{server 127\.0\.0\.1:9000;}{server unix:$dir/run/notes.sock;} or die 'no service';
$conf =~ s{listen 8080;}{listen 127.0.0.1:$edge->{port};} or die 'nothing listens';
$conf =~ s/^http \{\n/http {\naccess_log off;\n$temp/m or die 'no http';
$edge->write_conf("$user\nerror_log $edge->{dir}/log/error.log info;\npid $edge->{dir}/nginx/nginx.pid;\n$conf");

my ($ok, $said) = $edge->check;
ok $ok, 'nginx takes them' or BAIL_OUT($said);
$edge->start or BAIL_OUT($edge->error_log);

sub note_by { my ($body, %claims) = @_; return $edge->post('/notes', $body, %claims ? bearer(iss => 'https://login.example', aud => 'notes', %claims) : ()) }

my $r = $edge->get('/notes/7');
is_deeply [$r->{status}, json($r->{body})->{uri}], [200, '/notes/7'], 'a public operation arrives at the service';
is $edge->get('/notes/x')->{status}, 400, 'not with a parameter that is none';
is $edge->get('/else')->{status}, 404, 'nor what no contract names';
is note_by('{"text": "a"}')->{status}, 401, 'who writes says who they are';
is note_by('{"text": "a"}', roles => ['reader'])->{status}, 403, 'and may do so';
$r = note_by('{"text": "a"}', roles => ['writer'], sub => 'ann');
is_deeply [$r->{status}, json($r->{body})->{headers}{'x-api-user'}], [200, 'ann'], 'the service is told who it is';
$r = note_by('{"text": 1}', roles => ['writer'], sub => 'ann');
is_deeply [$r->{status}, json($r->{body})->{errors}[0]{pointer}], [422, '/text'], 'the body is checked';
is note_by('{"text": "a"}', roles => ['writer'], sub => 'ann')->{status}, 429, 'and requests are counted';
is json($edge->get('/health')->{body})->{status}, 'healthy', 'all is well';
$edge->stop;
unlike $edge->error_log, qr/\[(?:alert|crit|emerg)\]/, 'nothing went wrong';
done_testing;
