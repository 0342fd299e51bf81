package Storytelling::StandIn;
# A stand-in for a provider, as a process beside the test; it ends with the test, however that ends.
#
#   my $s3 = Storytelling::StandIn->start('Storytelling::S3');   runs Storytelling::S3::main($dir)
#   $s3->port, dir, url
#   $s3->put(faults => "500\n"), $s3->get('log')                 files of its folder, by which it is told and tells
use strict;
use warnings;
use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use POSIX ();
use Storytelling::Platform;

sub start {
    my ($class, $module) = @_;
    my $dir = tempdir('storytelling-XXXXXX', TMPDIR => 1);
    chmod 0755, $dir;    # daemons read keys there
    my $owner = $$;
    my $pid = open(my $out, '-|') // die "fork: $!\n";
    if (!$pid) {
        my $program = "require Storytelling::StandIn; Storytelling::StandIn::watch($owner); ${module}::main()";
        exec $^X, "-I$Storytelling::Platform::ROOT/tests/lib", "-M$module", '-e', $program, $dir or POSIX::_exit(127);
    }
    chomp(my $port = <$out> // die "$module does not start\n");
    return bless {dir => $dir, port => $port, pid => $pid, out => $out, owner => $owner}, $class;
}

# In the child: SIGALRM looks once a second whether the test is still there.
sub watch {
    my ($owner) = @_;
    $SIG{ALRM} = sub { getppid() == $owner or POSIX::_exit(0); alarm 1 };
    alarm 1;
}

sub port { return $_[0]{port} }
sub dir  { return $_[0]{dir} }
sub url  { return "http://127.0.0.1:$_[0]{port}" }

sub put {
    my ($self, $name, $text) = @_;
    open my $out, '>:raw', "$self->{dir}/$name" or die "$self->{dir}/$name: $!\n";
    print $out $text;
    close $out or die "$self->{dir}/$name: $!\n";
    return "$self->{dir}/$name";
}

sub get {
    my ($self, $name) = @_;
    open my $in, '<:raw', "$self->{dir}/$name" or return '';
    local $/;
    return scalar(<$in>) // '';
}

sub DESTROY {
    my ($self) = @_;
    return if $self->{owner} != $$;
    local ($?, $@, $!);
    kill KILL => $self->{pid};
    close $self->{out};    # waits for it
    remove_tree($self->{dir});    # now: it writes there while daemons still ask it
}

1;
