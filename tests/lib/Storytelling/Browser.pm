package Storytelling::Browser;

# What people see, in a real browser without a window.
#
#   missing()                  why there is none here, to skip by; a container may let it start nothing
#   dom($url)                  the page as it stands when its scripts have run, as HTML
#   shot($url, $width, $png)   its picture, in a window so many pixels wide; true when there is one
#   complaints()               what the browser has said of all of them, a refused script or style among it
use strict;
use warnings;
use File::Temp ();

my $SCRIPTS_MS = 2000;    # of the page's own clock, which runs ahead when nothing is left to do
my $PATIENCE   = 120;     # seconds; a page takes one
my $dir = File::Temp->newdir;

# As root in a container it has no sandbox; and the certificate is one of a test.
sub _run {
    my ($url, @how) = @_;
    my @browser = ('chromium', '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars', '--ignore-certificate-errors',
        "--user-data-dir=$dir/profile", "--virtual-time-budget=$SCRIPTS_MS", @how, $url);
    local $ENV{HOME} = "$dir";
    open my $page, '-|', 'sh', '-c', 'exec "$@" 2>>"$0"', "$dir/log", 'timeout', $PATIENCE, @browser or die "chromium: $!\n";
    local $/;
    return scalar(<$page>) // '';
}

sub missing {
    return _run('data:text/html,<p>here', '--dump-dom') =~ /<p>here/ ? undef : 'the browser of this machine does not start: ' . (complaints() =~ /([^\n]*)/)[0];
}

sub dom { my ($url) = @_; return _run($url, '--dump-dom') }

sub shot {
    my ($url, $width, $png) = @_;
    _run($url, "--window-size=$width,1400", "--screenshot=$png");
    return -s $png;
}

sub complaints { open my $in, '<', "$dir/log" or return ''; local $/; return scalar(<$in>) // '' }

1;
