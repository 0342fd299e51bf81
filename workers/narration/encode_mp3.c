/* MP3 by LAME. */
#include <lame/lame.h>

#include "narration/encode.h"

enum {
    KBPS = 64, /* constant, so that a byte range is a time range; below, a frame has no room for the tag */
    QUALITY = 5,
    FRAME = ST_PIECE_BLOCK / 5,                   /* samples; a frame of MPEG 2 */
    FRAME_BYTES = 72 * KBPS * 1000 / ST_PCM_RATE, /* exactly, so none is padded */
    MORE = 2,                                     /* frames that hold what the encoder's delay has kept back */
    DELAY = 576,                                  /* samples of LAME; decoders know their own 529 */
    SLACK = 7200,                                 /* the manual's worst case for buffers */
    TAG_AT = 4 + 9,                               /* behind the header and the side information of mono */
    TOC = 100,
};

static void quiet(const char *format, va_list ap)
{
    (void)format;
    (void)ap;
}

static lame_t encoder_new(void)
{
    lame_t l = lame_init();
    if (!l)
        abort();
    lame_set_errorf(l, quiet);
    lame_set_debugf(l, quiet);
    lame_set_msgf(l, quiet);
    lame_set_num_channels(l, 1);
    lame_set_mode(l, MONO);
    lame_set_in_samplerate(l, ST_PCM_RATE);
    lame_set_out_samplerate(l, ST_PCM_RATE);
    lame_set_brate(l, KBPS);
    lame_set_quality(l, QUALITY);
    lame_set_disable_reservoir(l, 1); /* a frame needs no bits of those before it: they may be another piece's */
    lame_set_bWriteVbrTag(l, 0);
    if (lame_init_params(l) >= 0 && lame_get_encoder_delay(l) == DELAY)
        return l;
    lame_close(l);
    return NULL;
}

static bool mp3_encode_piece(const int16_t *samples, size_t blocks, bool wide, struct st_buf *sizes, struct st_buf *out)
{
    (void)wide;
    size_t count = blocks * ST_PIECE_BLOCK, room = count * 5 / 4 + 2 * SLACK, wanted = blocks * 5 + MORE;
    unsigned char *bytes = malloc(room);
    lame_t l = encoder_new();
    if (!bytes)
        abort();
    int n = l ? lame_encode_buffer(l, samples, samples, (int)count, bytes, (int)(room - SLACK)) : -1;
    int rest = n >= 0 ? lame_encode_flush(l, bytes + n, SLACK) : -1;
    size_t len = rest >= 0 ? (size_t)(n + rest) : 0;
    bool ok = len >= wanted * FRAME_BYTES && len % FRAME_BYTES == 0;
    const uint16_t size = FRAME_BYTES;
    for (size_t i = 0; ok && i < wanted; i++) {
        st_buf_add(sizes, &size, sizeof(size));
        st_buf_add(out, bytes + i * FRAME_BYTES, FRAME_BYTES);
    }
    if (l)
        lame_close(l);
    free(bytes);
    return ok;
}

struct mp3 {
    FILE *out;
    int64_t frames;
    unsigned char head[4]; /* of any frame: all are alike */
};

static void *mp3_open(FILE *out)
{
    static const unsigned char none[FRAME_BYTES]; /* the tag's place: what it says is known at the end */
    struct mp3 *m = calloc(1, sizeof(*m));
    if (!m)
        abort();
    m->out = out;
    if (fwrite(none, 1, sizeof(none), out) == sizeof(none))
        return m;
    free(m);
    return NULL;
}

static bool mp3_packet(void *self, const unsigned char *packet, size_t len, bool last)
{
    struct mp3 *m = self;
    (void)last;
    m->frames++;
    if (len != FRAME_BYTES)
        return false;
    memcpy(m->head, packet, sizeof(m->head));
    return fwrite(packet, 1, len, m->out) == len;
}

static unsigned char *put_number(unsigned char *at, uint64_t n, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--)
        *at++ = (unsigned char)(n >> (8 * i));
    return at;
}

/* CRC-16 as LAME's tag has it: polynomial 8005, bits reversed. */
static uint16_t crc16(const unsigned char *s, size_t len)
{
    uint16_t crc = 0;
    for (size_t i = 0; i < len; i++) {
        crc ^= s[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? (uint16_t)(crc >> 1 ^ 0xa001) : (uint16_t)(crc >> 1);
    }
    return crc;
}

/* The first frame tells players the delay and the exact length: "Info" as Xing made it, and LAME's part behind it. */
static bool mp3_finish(void *self, int64_t samples)
{
    struct mp3 *m = self;
    unsigned char tag[FRAME_BYTES] = {0}, *at = tag + TAG_AT;
    int64_t bytes = (m->frames + 1) * FRAME_BYTES, padding = m->frames * FRAME - samples - DELAY;
    memcpy(tag, m->head, sizeof(m->head));
    tag[1] |= 1;                     /* without a checksum */
    memcpy(at, "Info\0\0\0\x0f", 8); /* frames, bytes, table and quality follow */
    at = put_number(at + 8, (uint64_t)m->frames, 4);
    at = put_number(at, (uint64_t)bytes, 4);
    for (int i = 0; i < TOC; i++)
        *at++ = (unsigned char)(i * 256 / TOC);
    at = put_number(at, 100 - QUALITY * 10, 4);
    memcpy(at, "LAME3.100\x01", 10);  /* constant bitrate */
    at = put_number(at + 10, 120, 1); /* low-pass, in 100 Hz */
    at += 4 + 2 + 2 + 1;              /* peak and gains that nobody has measured, flags */
    *at++ = KBPS;
    at = put_number(at, (uint64_t)DELAY << 12 | (uint64_t)(padding > 0 && padding < 4096 ? padding : 0), 3);
    at += 1 + 1 + 2; /* what else LAME says of itself */
    at = put_number(at, (uint64_t)bytes, 4);
    at += 2; /* a checksum of the sound, which no player compares */
    put_number(at, crc16(tag, (size_t)(at - tag)), 2);
    return fseek(m->out, 0, SEEK_SET) == 0 && fwrite(tag, 1, sizeof(tag), m->out) == sizeof(tag);
}

const struct encode_format encode_mp3 = {5, MORE, mp3_encode_piece, mp3_open, mp3_packet, mp3_finish, free};
