/* MP3 by LAME. */
#include <lame/lame.h>

#include "narration/encode.h"

enum {
    KBPS = 64, /* constant, so that a byte range is a time range; below, a frame has no room for the tag */
    QUALITY = 5,
    BLOCK = ST_PCM_RATE,
    OUT_MAX = BLOCK * 5 / 4 + 7200, /* the manual's worst case */
};

struct mp3 {
    lame_t lame;
    FILE *out;
    unsigned char bytes[OUT_MAX];
};

static void quiet(const char *format, va_list ap)
{
    (void)format;
    (void)ap;
}

static void mp3_free(void *self)
{
    struct mp3 *m = self;
    lame_close(m->lame);
    free(m);
}

static void *mp3_open(FILE *out)
{
    struct mp3 *m = calloc(1, sizeof(*m));
    if (!m)
        abort();
    m->out = out;
    m->lame = lame_init();
    if (!m->lame)
        abort();
    lame_set_errorf(m->lame, quiet);
    lame_set_debugf(m->lame, quiet);
    lame_set_msgf(m->lame, quiet);
    lame_set_num_channels(m->lame, 1);
    lame_set_mode(m->lame, MONO);
    lame_set_in_samplerate(m->lame, ST_PCM_RATE);
    lame_set_out_samplerate(m->lame, ST_PCM_RATE);
    lame_set_brate(m->lame, KBPS);
    lame_set_quality(m->lame, QUALITY);
    lame_set_bWriteVbrTag(m->lame, 1); /* its first frame tells players the delay and the exact length */
    if (lame_init_params(m->lame) < 0) {
        mp3_free(m);
        return NULL;
    }
    return m;
}

static bool put(struct mp3 *m, int len)
{
    return len >= 0 && fwrite(m->bytes, 1, (size_t)len, m->out) == (size_t)len;
}

static bool mp3_write(void *self, const int16_t *samples, size_t count)
{
    struct mp3 *m = self;
    for (size_t n; count; samples += n, count -= n) {
        n = count < BLOCK ? count : BLOCK;
        if (!put(m, lame_encode_buffer(m->lame, samples, samples, (int)n, m->bytes, sizeof(m->bytes))))
            return false;
    }
    return true;
}

/* The first frame was left empty; its contents are known only now. */
static bool mp3_finish(void *self)
{
    struct mp3 *m = self;
    if (!put(m, lame_encode_flush(m->lame, m->bytes, sizeof(m->bytes))))
        return false;
    size_t tag = lame_get_lametag_frame(m->lame, m->bytes, sizeof(m->bytes));
    if (tag == 0 || tag > sizeof(m->bytes) || fseek(m->out, 0, SEEK_SET) < 0)
        return false;
    return put(m, (int)tag);
}

const struct encode_format encode_mp3 = {mp3_open, mp3_write, mp3_finish, mp3_free};
