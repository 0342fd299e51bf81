/* Trimming, resampling and loudness of mono sound. */
#include "narration/pcm.h"

#include <math.h>

void st_pcm_trim(struct st_pcm *pcm)
{
    enum { QUIET = 104 }; /* -50 dB of 32,768 */
    size_t keep = pcm->rate * 15 / 1000, from = 0, to = pcm->count;
    while (from < to && abs(pcm->samples[from]) < QUIET)
        from++;
    while (to > from && abs(pcm->samples[to - 1]) < QUIET)
        to--;
    if (from == to) {
        pcm->count = 0;
        return;
    }
    from = from > keep ? from - keep : 0;
    to = pcm->count - to > keep ? to + keep : pcm->count;
    memmove(pcm->samples, pcm->samples + from, (to - from) * sizeof(*pcm->samples));
    pcm->count = to - from;
}

static int16_t to_sample(double x)
{
    return (int16_t)lrint(x > 32767 ? 32767 : x < -32768 ? -32768 : x);
}

/* Polyphase resampling by up/down: for each of the up phases a windowed sinc of TAPS taps. */
enum { TAPS = 32 };

static unsigned gcd(unsigned a, unsigned b)
{
    while (b) {
        unsigned t = a % b;
        a = b;
        b = t;
    }
    return a;
}

/* cutoff: of the input's Nyquist frequency. Each phase sums to 1, so that a constant stays what it is. */
static void filter_make(float *taps, unsigned up, double cutoff)
{
    for (unsigned phase = 0; phase < up; phase++) {
        float *t = &taps[phase * TAPS], sum = 0;
        for (int i = 0; i < TAPS; i++) {
            double x = i - (TAPS / 2 - 1) - (double)phase / up;
            double window = 0.42 + 0.5 * cos(2 * M_PI * x / TAPS) + 0.08 * cos(4 * M_PI * x / TAPS);
            double sinc = fabs(x) < 1e-9 ? cutoff : sin(M_PI * cutoff * x) / (M_PI * x);
            t[i] = (float)(sinc * window);
            sum += t[i];
        }
        for (int i = 0; i < TAPS; i++)
            t[i] /= sum;
    }
}

static int16_t filter_at(const float *taps, const struct st_pcm *in, ssize_t at)
{
    ssize_t first = at - (TAPS / 2 - 1);
    float sum = 0;
    if (first >= 0 && first + TAPS <= (ssize_t)in->count) {
        for (int i = 0; i < TAPS; i++)
            sum += taps[i] * in->samples[first + i];
    } else {
        for (int i = 0; i < TAPS; i++)
            if (first + i >= 0 && first + i < (ssize_t)in->count)
                sum += taps[i] * in->samples[first + i];
    }
    return to_sample(sum);
}

bool st_pcm_resample(struct st_pcm *pcm)
{
    if (pcm->rate < 8000 || pcm->rate > 48000)
        return false;
    unsigned g = gcd(ST_PCM_RATE, pcm->rate), up = ST_PCM_RATE / g, down = pcm->rate / g;
    if (up == down)
        return true;
    size_t count = (size_t)((uint64_t)pcm->count * up / down);
    float *taps = malloc((size_t)up * TAPS * sizeof(*taps));
    int16_t *out = malloc((count + 1) * sizeof(*out));
    if (!taps || !out)
        abort();
    filter_make(taps, up, 0.94 * (up < down ? (double)up / down : 1));
    for (size_t i = 0; i < count; i++) {
        uint64_t at = (uint64_t)i * down;
        out[i] = filter_at(&taps[at % up * TAPS], pcm, (ssize_t)(at / up));
    }
    free(taps);
    free(pcm->samples);
    *pcm = (struct st_pcm){out, count, ST_PCM_RATE};
    return true;
}

struct biquad {
    double b0, b1, b2, a1, a2, z1, z2;
};

static double biquad_run(struct biquad *q, double x)
{
    double y = q->b0 * x + q->z1;
    q->z1 = q->b1 * x - q->a1 * y + q->z2;
    q->z2 = q->b2 * x - q->a2 * y;
    return y;
}

/* The two filters of ITU-R BS.1770 by their analogue design, for any sample rate. */
static void k_weighting(double rate, struct biquad *shelf, struct biquad *highpass)
{
    double k = tan(M_PI * 1681.974450955533 / rate), q = 0.7071752369554196;
    double vh = pow(10, 3.999843853973347 / 20), vb = pow(vh, 0.4996667741545416), a0 = 1 + k / q + k * k;
    *shelf = (struct biquad){.b0 = (vh + vb * k / q + k * k) / a0,
                             .b1 = 2 * (k * k - vh) / a0,
                             .b2 = (vh - vb * k / q + k * k) / a0,
                             .a1 = 2 * (k * k - 1) / a0,
                             .a2 = (1 - k / q + k * k) / a0};
    k = tan(M_PI * 38.13547087602444 / rate);
    q = 0.5003270373238773;
    a0 = 1 + k / q + k * k;
    *highpass = (struct biquad){.b0 = 1, .b1 = -2, .b2 = 1, .a1 = 2 * (k * k - 1) / a0, .a2 = (1 - k / q + k * k) / a0};
}

static double lufs(double power)
{
    return power > 0 ? -0.691 + 10 * log10(power) : -INFINITY;
}

/* The mean of the powers above the threshold; 0 when there is none. */
static double gated_mean(const double *powers, size_t n, double threshold)
{
    double sum = 0;
    size_t used = 0;
    for (size_t i = 0; i < n; i++)
        if (lufs(powers[i]) > threshold) {
            sum += powers[i];
            used++;
        }
    return used ? sum / (double)used : 0;
}

double st_pcm_loudness(const struct st_pcm *pcm)
{
    const double silence = -70, relative_gate = -10;
    size_t step = pcm->rate / 10, steps = step ? pcm->count / step : 0; /* blocks of four steps, each a step apart */
    if (!pcm->count)
        return silence;
    if (steps < 4) { /* shorter than a block: one block of all there is */
        step = pcm->count;
        steps = 1;
    }
    size_t per_block = steps < 4 ? 1 : 4, blocks = steps - per_block + 1;
    struct biquad shelf, highpass;
    k_weighting(pcm->rate, &shelf, &highpass);
    double *powers = calloc(steps, sizeof(*powers));
    if (!powers)
        abort();
    for (size_t i = 0; i < steps * step; i++) {
        double y = biquad_run(&highpass, biquad_run(&shelf, pcm->samples[i] / 32768.0));
        powers[i / step] += y * y / (double)step;
    }
    for (size_t i = 0; i < blocks && per_block == 4; i++) /* in place: block i needs no step before i */
        powers[i] = (powers[i] + powers[i + 1] + powers[i + 2] + powers[i + 3]) / 4;
    double loudness = lufs(gated_mean(powers, blocks, silence));
    if (loudness > silence)
        loudness = lufs(gated_mean(powers, blocks, loudness + relative_gate));
    free(powers);
    return loudness > silence ? loudness : silence;
}

void st_pcm_gain(struct st_pcm *pcm, double db)
{
    const double knee = 0.708, top = 0.891; /* of full scale: -3 and -1 dB */
    double factor = pow(10, db / 20) / 32768;
    for (size_t i = 0; i < pcm->count; i++) {
        double x = pcm->samples[i] * factor, size = fabs(x);
        if (size > knee)
            x = copysign(knee + (top - knee) * tanh((size - knee) / (top - knee)), x);
        pcm->samples[i] = to_sample(x * 32768);
    }
}
