/* Trimming, resampling and loudness of mono sound. */
#include "narration/pcm.h"

#include <ebur128.h>
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

double st_pcm_loudness(const struct st_pcm *pcm)
{
    const double silence = -70;
    double loudness = silence;
    ebur128_state *meter = pcm->count ? ebur128_init(1, pcm->rate, EBUR128_MODE_I) : NULL;
    if (!meter)
        return silence;
    /* A sound that is shorter than a block of 400 ms is measured as if it went on. */
    size_t least = pcm->rate / 2, times = pcm->count < least ? least / pcm->count + 1 : 1;
    while (times-- > 0)
        if (ebur128_add_frames_short(meter, pcm->samples, pcm->count) != EBUR128_SUCCESS)
            abort(); /* it has no memory */
    if (ebur128_loudness_global(meter, &loudness) != EBUR128_SUCCESS || !(loudness > silence))
        loudness = silence;
    ebur128_destroy(&meter);
    return loudness;
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
