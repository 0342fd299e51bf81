# Sound looked at with a ruler: levels, pitch, timbre, and what a recogniser hears. Samples are 16 bits, mono.
#
#   my $sound = Storytelling::Sound->decode($file);          whatever ffmpeg reads, as {rate => 16000, data => bytes}
#   $sound->ms                                               its length
#   $sound->levels                                           dB of full scale, one for each 10 ms
#   my $voice = $sound->voice([$from_ms, $to_ms], ...);      {pitch (Hz, median), bands (dB), halves}; undef without voice
#   Storytelling::Sound::semitones($a, $b), timbre($a, $b)   how far two voices are from each other
#   $sound->recognise([$from_ms, $to_ms], ...)               words that pocketsphinx hears, each span in a process
#   Storytelling::Sound::heard(\@told, \@words)              LCS: for each word told, whether it was heard, in order
package Storytelling::Sound;
use strict;
use warnings;
use File::Temp ();
use List::Util qw(max min sum0);

my $RATE = 16000;
my $STEP = 10;     # ms of a level

# Pitch: frames of 40 ms at half the rate, so that two periods of the lowest voice fit; a frame counts as voiced when it
# resembles itself a period later.
my ($FRAMES, $FRAME, $LOWEST, $HIGHEST, $VOICED) = (250, 320, 60, 600, 0.7);

# Timbre: bands of equal width in mel, in frames of 512 samples.
my ($FFT, $BANDS, $LOW, $HIGH) = (512, 24, 100, 7000);

sub decode {
    my ($class, $file) = @_;
    my @command = ('ffmpeg', '-v', 'error', '-nostdin', '-i', $file, '-vn', '-ac', 1, '-ar', $RATE, '-f', 's16le', '-');
    open my $in, '-|', @command or die "ffmpeg: $!\n";
    binmode $in;
    my $data = do { local $/; <$in> };
    close $in or die "ffmpeg does not read $file\n";
    return bless {rate => $RATE, data => $data}, $class;
}

sub ms { return length($_[0]{data}) / 2 / $RATE * 1000 }

# The samples from a place on, as a list.
sub samples {
    my ($self, $from, $count) = @_;
    return () if $from < 0 || 2 * ($from + $count) > length $self->{data};
    return unpack 's<*', substr $self->{data}, 2 * $from, 2 * $count;
}

sub levels {
    my ($self) = @_;
    my $n = $RATE * $STEP / 1000;
    return $self->{levels} //= [
        map {
            my $power = 0;
            $power += $_ * $_ for $self->samples($_ * $n, $n);
            10 * log(($power / $n + 1e-3) / 32768**2) / log 10
        } 0 .. int(length($self->{data}) / 2 / $n) - 1
    ];
}

# --- voices ------------------------------------------------------------------------------------------------------

# The pitch of one frame in Hz; nothing where there is none.
sub _pitch {
    my (@x) = @_;
    my $rate = $RATE / 2;
    my ($shortest, $longest) = (int $rate / $HIGHEST, int $rate / $LOWEST);
    my $n = @x - $longest - 1;
    my $mean = sum0(@x) / @x;
    $_ -= $mean for @x;
    my $own = 0;
    $own += $_ * $_ for @x[0 .. $n - 1];
    return if $own / $n < 250**2;
    my @like;
    for my $lag ($shortest - 1 .. $longest + 1) {
        my ($product, $power) = (0, 0);
        for my $i (0 .. $n - 1) {
            my $y = $x[$i + $lag] or next;
            $product += $x[$i] * $y;
            $power   += $y * $y;
        }
        $like[$lag] = $power > 0 ? $product / sqrt($own * $power) : 0;
    }
    my $best = max @like[$shortest .. $longest];
    return if $best < $VOICED;
    # The first peak that is nearly the highest: later ones are two periods and more.
    for my $lag ($shortest .. $longest) {
        my ($before, $here, $after) = @like[$lag - 1 .. $lag + 1];
        next if $here < 0.9 * $best || $here < $before || $here < $after;
        my $bend = $before - 2 * $here + $after;
        return $rate / ($lag + ($bend < 0 ? ($before - $after) / (2 * $bend) : 0));
    }
    return;
}

# |FFT|^2 of real samples, the lower half.
sub _power {
    my (@re) = @_;
    my $n  = @re;
    my @im = (0) x $n;
    my $j  = 0;
    for my $i (1 .. $n - 1) {
        my $bit = $n >> 1;
        for (; $j & $bit; $bit >>= 1) { $j ^= $bit }
        $j ^= $bit;
        @re[$i, $j] = @re[$j, $i] if $i < $j;
    }
    for (my $size = 2; $size <= $n; $size *= 2) {
        my $half = $size / 2;
        for my $k (0 .. $half - 1) {
            my $angle = -2 * 3.14159265358979 * $k / $size;
            my ($c, $s) = (cos $angle, sin $angle);
            for (my $i = $k; $i < $n; $i += $size) {
                my $o = $i + $half;
                my ($a, $b) = ($re[$o] * $c - $im[$o] * $s, $re[$o] * $s + $im[$o] * $c);
                ($re[$o], $im[$o]) = ($re[$i] - $a, $im[$i] - $b);
                $re[$i] += $a;
                $im[$i] += $b;
            }
        }
    }
    return map { $re[$_]**2 + $im[$_]**2 } 0 .. $n / 2 - 1;
}

sub _mel { return 1127 * log(1 + $_[0] / 700) }

# The power in each band, in dB.
sub _bands {
    my (@x) = @_;
    my @window = map { $x[$_] * (0.5 - 0.5 * cos(2 * 3.14159265358979 * $_ / $FFT)) } 0 .. $FFT - 1;
    my @power  = _power(@window);
    my @band   = (1e-3) x $BANDS;
    my ($low, $high) = (_mel($LOW), _mel($HIGH));
    for my $i (0 .. $#power) {
        my $b = int((_mel($i * $RATE / $FFT) - $low) / ($high - $low) * $BANDS);
        $band[$b] += $power[$i] if $b >= 0 && $b < $BANDS && $i * $RATE / $FFT >= $LOW;
    }
    return map { 10 * log($_) / log 10 } @band;
}

# The mean of the frames' bands without their common level.
sub _profile {
    my (@frames) = @_;
    my @mean = map { my $b = $_; sum0(map { $_->[$b] } @frames) / @frames } 0 .. $BANDS - 1;
    my $level = sum0(@mean) / $BANDS;
    return [map { $_ - $level } @mean];
}

sub voice {
    my ($self, @spans) = @_;
    my $total = sum0(map { $_->[1] - $_->[0] } @spans) or return;
    my $apart = max(20, $total / $FRAMES);
    my (@pitch, @bands);
    for my $span (@spans) {
        for (my $ms = $span->[0]; $ms < $span->[1]; $ms += $apart) {
            my @x = $self->samples(int($ms * $RATE / 1000), 2 * $FRAME) or next;
            my $pitch = _pitch(map { ($x[2 * $_] + $x[2 * $_ + 1]) / 2 } 0 .. $FRAME - 1) // next;
            push @pitch, $pitch;
            push @bands, [_bands(@x[0 .. $FFT - 1])] if @pitch % 2;
        }
    }
    return if @bands < 8;
    my @sorted = sort { $a <=> $b } @pitch;
    return {
        pitch  => $sorted[$#sorted / 2],
        frames => scalar @pitch,
        bands  => _profile(@bands),
        halves => [map { my $odd = $_; _profile(@bands[grep { $_ % 2 == $odd } 0 .. $#bands]) } 0, 1],
    };
}

sub semitones { my ($a, $b) = @_; return abs 12 * log($a->{pitch} / $b->{pitch}) / log 2 }

# dB, root mean square over the bands; below 2 or so is one voice saying different things.
sub timbre {
    my ($a, $b) = map { ref eq 'HASH' ? $_->{bands} : $_ } @_;
    return sqrt(sum0(map { ($a->[$_] - $b->[$_])**2 } 0 .. $BANDS - 1) / $BANDS);
}

# --- words -------------------------------------------------------------------------------------------------------

sub words { return map { lc } $_[0] =~ s/\x{2019}/'/gr =~ /[A-Za-z]+(?:'[A-Za-z]+)*/g }

sub _write_wav {
    my ($path, $data) = @_;
    open my $out, '>:raw', $path or die "$path: $!\n";
    print $out pack('A4 V A4 A4 V v v V V v v A4 V', 'RIFF', 36 + length $data, 'WAVE', 'fmt ', 16, 1, 1, $RATE, 2 * $RATE, 2,
        16, 'data', length $data), $data;
    close $out or die "$path: $!\n";
}

sub recognise {
    my ($self, @spans) = @_;
    my $dir = File::Temp->newdir;
    my @pipes = map {
        my ($from, $to) = map { 2 * int($_ * $RATE / 1000) } @{$spans[$_]};
        _write_wav("$dir/$_.wav", substr $self->{data}, $from, $to - $from);
        open my $pipe, '-|', 'pocketsphinx_continuous', '-logfn', '/dev/null', '-infile', "$dir/$_.wav"
            or die "pocketsphinx_continuous: $!\n";
        $pipe;
    } 0 .. $#spans;
    my @words;
    for my $pipe (@pipes) {
        push @words, words($_) while <$pipe>;
        close $pipe or die "pocketsphinx_continuous failed\n";
    }
    return @words;
}

sub heard {
    my ($told, $words) = @_;
    my @rows = ([(0) x (@$words + 1)]);
    for my $i (1 .. @$told) {
        my ($above, $word, @row) = ($rows[-1], $told->[$i - 1], 0);
        for my $j (1 .. @$words) {
            push @row, $word eq $words->[$j - 1] ? $above->[$j - 1] + 1 : $above->[$j] > $row[-1] ? $above->[$j] : $row[-1];
        }
        push @rows, \@row;
    }
    my @heard = (0) x @$told;
    my ($i, $j) = (scalar @$told, scalar @$words);
    while ($i && $j) {
        if ($told->[$i - 1] eq $words->[$j - 1]) { $heard[--$i] = 1; $j-- }
        elsif ($rows[$i - 1][$j] >= $rows[$i][$j - 1]) { $i-- }
        else                                           { $j-- }
    }
    return @heard;
}

1;
