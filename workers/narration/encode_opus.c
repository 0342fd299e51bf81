/* Opus by libopus, in Ogg by libogg (RFC 7845). */
#include <ogg/ogg.h>
#include <opus.h>

#include "narration/encode.h"

/*
 * Wideband voice, for flite's voices have nothing above 8 kHz; of others, all that there is at this rate: a decoder
 * follows from packet to packet. Measured on one core, times real time: complexity 0 142, 1 131,
 * 3 104, 5 92, 10 64; a recogniser finds as many words with each, and the files differ by 4 %.
 */
enum {
    BITRATE = 28000,
    COMPLEXITY = 1,
    FRAME = ST_PIECE_BLOCK / 6,
    PACKET_MAX = 1500,
    GRANULES = 48000 / ST_PCM_RATE, /* a sample's, in Ogg */
    LOOKAHEAD = 156,                /* samples that libopus' output is late, at this rate and application */
    PRE_SKIP = LOOKAHEAD * GRANULES,
    PAGE_PACKETS = 50, /* a page a second */
};

static OpusEncoder *encoder_new(bool wide)
{
    int failed = 0;
    opus_int32 late = 0;
    OpusEncoder *e = opus_encoder_create(ST_PCM_RATE, 1, OPUS_APPLICATION_AUDIO, &failed);
    if (!e || opus_encoder_ctl(e, OPUS_SET_BITRATE(BITRATE)) || opus_encoder_ctl(e, OPUS_SET_COMPLEXITY(COMPLEXITY)) ||
        opus_encoder_ctl(e, OPUS_SET_SIGNAL(OPUS_SIGNAL_VOICE)) ||
        opus_encoder_ctl(e, OPUS_SET_MAX_BANDWIDTH(wide ? OPUS_BANDWIDTH_SUPERWIDEBAND : OPUS_BANDWIDTH_WIDEBAND)) ||
        opus_encoder_ctl(e, OPUS_GET_LOOKAHEAD(&late)) || late != LOOKAHEAD) {
        opus_encoder_destroy(e);
        return NULL;
    }
    return e;
}

static bool opus_encode_piece(const int16_t *samples, size_t blocks, bool wide, struct st_buf *sizes,
                              struct st_buf *out)
{
    static const int16_t silence[FRAME];
    unsigned char packet[PACKET_MAX];
    size_t frames = blocks * 6;
    OpusEncoder *e = encoder_new(wide);
    bool ok = e != NULL;
    for (size_t n = 0; ok && n <= frames; n++) {
        /* what the decoder knows when a piece begins is another piece */
        ok = opus_encoder_ctl(e, OPUS_SET_PREDICTION_DISABLED(n == 0)) == OPUS_OK;
        int len = opus_encode(e, n < frames ? samples + n * FRAME : silence, FRAME, packet, sizeof(packet));
        uint16_t size = (uint16_t)len;
        ok = ok && len > 0;
        if (ok) {
            st_buf_add(sizes, &size, sizeof(size));
            st_buf_add(out, packet, size);
        }
    }
    if (e)
        opus_encoder_destroy(e);
    return ok;
}

struct opus {
    FILE *out;
    ogg_stream_state stream;
    int64_t packets, granule; /* of sound: how many, and where the last page ends */
    struct st_buf last;       /* a packet waits for the next one: whoever is the last must know it */
};

static bool put_pages(struct opus *o, bool all)
{
    ogg_page page;
    while (all ? ogg_stream_flush(&o->stream, &page) : ogg_stream_pageout(&o->stream, &page))
        if (fwrite(page.header, 1, (size_t)page.header_len, o->out) != (size_t)page.header_len ||
            fwrite(page.body, 1, (size_t)page.body_len, o->out) != (size_t)page.body_len)
            return false;
    return true;
}

static bool put_packet(struct opus *o, const void *data, size_t len, int64_t number, int64_t granule, bool last)
{
    ogg_packet p = {.packet = (unsigned char *)data,
                    .bytes = (long)len,
                    .b_o_s = number == 0,
                    .e_o_s = last,
                    .granulepos = granule,
                    .packetno = number};
    return ogg_stream_packetin(&o->stream, &p) == 0;
}

static void opus_free(void *self)
{
    struct opus *o = self;
    ogg_stream_clear(&o->stream);
    st_buf_release(&o->last);
    free(o);
}

/* The two packets that open the stream, each on a page of its own. */
static bool put_heads(struct opus *o)
{
    static const unsigned char head[19] = {'O',
                                           'p',
                                           'u',
                                           's',
                                           'H',
                                           'e',
                                           'a',
                                           'd',
                                           1,
                                           1,
                                           PRE_SKIP & 0xff,
                                           PRE_SKIP >> 8,
                                           ST_PCM_RATE & 0xff,
                                           ST_PCM_RATE >> 8 & 0xff,
                                           0,
                                           0};
    static const char tags[] = "OpusTags\x0c\0\0\0storytelling\0\0\0";
    return put_packet(o, head, sizeof(head), 0, 0, false) && put_pages(o, true) &&
           put_packet(o, tags, sizeof(tags), 1, 0, false) && put_pages(o, true);
}

static void *opus_open(FILE *out)
{
    struct opus *o = calloc(1, sizeof(*o));
    uint16_t serial;
    if (!o)
        abort();
    o->out = out;
    o->last = ST_BUF(PACKET_MAX);
    st_random_id(&serial, sizeof(serial));
    if (ogg_stream_init(&o->stream, serial) == 0 && put_heads(o))
        return o;
    opus_free(o);
    return NULL;
}

static bool put_waiting(struct opus *o, int64_t granule, bool last)
{
    if (!o->last.len)
        return true;
    bool ok = put_packet(o, o->last.data, o->last.len, 1 + o->packets, granule, last);
    return ok && put_pages(o, last || o->packets % PAGE_PACKETS == 0);
}

static bool opus_packet(void *self, const unsigned char *packet, size_t len, bool last)
{
    struct opus *o = self;
    (void)last;
    bool ok = put_waiting(o, o->packets * FRAME * GRANULES, false);
    o->packets++;
    st_buf_clear(&o->last);
    st_buf_add(&o->last, packet, len);
    return ok && !o->last.failed;
}

static bool opus_finish(void *self, int64_t samples)
{
    return put_waiting(self, samples * GRANULES + PRE_SKIP, true);
}

const struct encode_format encode_opus = {6, 1, opus_encode_piece, opus_open, opus_packet, opus_finish, opus_free};
