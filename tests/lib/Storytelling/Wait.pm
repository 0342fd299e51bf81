package Storytelling::Wait;

# Waiting for what must come true. How fast it does, only `make bench` judges: nobody waits so long but for a failure, and
# what is done in a second may take a minute on a machine that has other things to do.
#
#   wait_for(sub { ... })             its first true value, or nothing after $PATIENCE seconds
#   wait_for(sub { ... }, $seconds)   the same where more time would hide what is tested
use strict;
use warnings;
use Exporter qw(import);
use Time::HiRes qw(sleep time);

our @EXPORT   = qw(wait_for);
our $PATIENCE = 300;

sub wait_for {
    my ($check, $seconds) = @_;
    my $until = time + ($seconds // $PATIENCE);
    while (1) {
        my $value = $check->();
        return $value if $value;
        return if time >= $until;
        sleep 0.05;
    }
}

1;
