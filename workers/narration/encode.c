/* Encodes pieces in all formats, joins them to files, and gives the files their names when all are whole. */
#include "narration/encode.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define MAGIC 0x43455054u /* "TPEC" */

enum { FORMATS = 2 };
static const struct encode_format *const formats[FORMATS] = {&encode_opus, &encode_mp3};

/* Then for each format its sizes and its packets. */
struct header {
    uint32_t magic, blocks;
    uint32_t bytes[FORMATS]; /* of packets */
};

/* --- pieces ------------------------------------------------------------------------------------------------------ */

static size_t packets_of(const struct encode_format *f, size_t blocks)
{
    return blocks * (size_t)f->packets_per_block + (size_t)f->more_packets;
}

int st_piece_encode(const int16_t *samples, size_t blocks, bool wide, struct st_buf *out)
{
    struct header h = {.magic = MAGIC, .blocks = (uint32_t)blocks};
    struct st_buf sizes[FORMATS], packets[FORMATS];
    bool ok = blocks > 0 && blocks <= ST_PIECE_BLOCKS_MAX;
    for (int i = 0; i < FORMATS; i++) {
        sizes[i] = ST_BUF(ST_PIECE_MAX / 4);
        packets[i] = ST_BUF(ST_PIECE_MAX / 4);
        ok = ok && formats[i]->encode(samples, blocks, wide, &sizes[i], &packets[i]) &&
             sizes[i].len == packets_of(formats[i], blocks) * sizeof(uint16_t);
        h.bytes[i] = (uint32_t)packets[i].len;
    }
    st_buf_add(out, &h, sizeof(h));
    for (int i = 0; i < FORMATS; i++) {
        st_buf_add(out, sizes[i].data, sizes[i].len);
        st_buf_add(out, packets[i].data, packets[i].len);
        ok = ok && !sizes[i].failed && !packets[i].failed;
        st_buf_release(&sizes[i]);
        st_buf_release(&packets[i]);
    }
    return ok && !out->failed ? 0 : ST_E_INTERNAL;
}

struct packets {
    const unsigned char *sizes, *bytes;
    size_t count, of_blocks;
};

/* Where everything is; false when it is not where it should be. */
static bool piece_read(const void *piece, size_t len, struct header *ret_h, struct packets ret[FORMATS])
{
    const unsigned char *at = piece, *end = at + len;
    struct header h;
    if (len < sizeof(h))
        return false;
    memcpy(&h, at, sizeof(h));
    at += sizeof(h);
    if (h.magic != MAGIC || h.blocks == 0 || h.blocks > ST_PIECE_BLOCKS_MAX)
        return false;
    for (int i = 0; i < FORMATS; i++) {
        size_t count = packets_of(formats[i], h.blocks), sizes = count * sizeof(uint16_t), sum = 0;
        if ((size_t)(end - at) < sizes || (size_t)(end - at) - sizes < h.bytes[i])
            return false;
        ret[i] = (struct packets){at, at + sizes, count, count - (size_t)formats[i]->more_packets};
        for (size_t n = 0; n < count; n++) {
            uint16_t size;
            memcpy(&size, at + n * sizeof(size), sizeof(size));
            sum += size;
        }
        if (sum != h.bytes[i])
            return false;
        at += sizes + h.bytes[i];
    }
    *ret_h = h;
    return at == end;
}

int64_t st_piece_samples(const void *piece, size_t len)
{
    struct header h;
    struct packets p[FORMATS];
    return piece_read(piece, len, &h, p) ? (int64_t)h.blocks * ST_PIECE_BLOCK : -1;
}

/* --- files ------------------------------------------------------------------------------------------------------- */

struct output {
    const struct encode_format *format;
    void *state;
    FILE *file;
    char *path, *part;
    struct st_buf rest; /* the packets behind the blocks of the newest piece, each with its size before it */
};

struct st_encoder {
    struct output outputs[FORMATS];
    int64_t samples;
};

static bool output_open(struct output *o, const struct encode_format *format, const char *path)
{
    o->format = format;
    o->path = strdup(path);
    o->rest = ST_BUF(1 << 20);
    if (!o->path || asprintf(&o->part, "%s.part", path) < 0)
        abort();
    int fd = open(o->part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0)
        return false;
    o->file = fdopen(fd, "w+");
    if (!o->file)
        abort();
    o->state = format->open(o->file);
    return o->state != NULL;
}

/* Removes the file unless it has been renamed. */
static void output_release(struct output *o)
{
    if (o->state)
        o->format->free(o->state);
    if (o->file) {
        fclose(o->file);
        unlink(o->part);
    }
    st_buf_release(&o->rest);
    free(o->path);
    free(o->part);
}

static bool output_flush(struct output *o, int64_t samples)
{
    uint16_t size;
    bool ok = true;
    for (size_t at = 0; ok && at < o->rest.len; at += sizeof(size) + size) {
        memcpy(&size, o->rest.data + at, sizeof(size));
        const char *packet = o->rest.data + at + sizeof(size);
        ok = o->format->packet(o->state, (const unsigned char *)packet, size, at + sizeof(size) + size == o->rest.len);
    }
    return ok && o->format->finish(o->state, samples) && fflush(o->file) == 0 && !ferror(o->file) &&
           fsync(fileno(o->file)) == 0;
}

static bool output_add(struct output *o, const struct packets *p)
{
    const unsigned char *packet = p->bytes;
    bool ok = true;
    st_buf_clear(&o->rest);
    for (size_t n = 0; ok && n < p->count; n++) {
        uint16_t size;
        memcpy(&size, p->sizes + n * sizeof(size), sizeof(size));
        if (n < p->of_blocks) {
            ok = o->format->packet(o->state, packet, size, false);
        } else {
            st_buf_add(&o->rest, &size, sizeof(size));
            st_buf_add(&o->rest, packet, size);
        }
        packet += size;
    }
    return ok && !ferror(o->file);
}

int st_encoder_open(const char *opus_path, const char *mp3_path, struct st_encoder **ret_encoder)
{
    const char *const paths[FORMATS] = {opus_path, mp3_path};
    struct st_encoder *enc = calloc(1, sizeof(*enc));
    if (!enc)
        abort();
    for (int i = 0; i < FORMATS; i++)
        if (!output_open(&enc->outputs[i], formats[i], paths[i])) {
            st_encoder_abort(enc);
            return ST_E_UNAVAILABLE;
        }
    *ret_encoder = enc;
    return 0;
}

int st_encoder_add(struct st_encoder *enc, const void *piece, size_t len)
{
    struct header h;
    struct packets p[FORMATS];
    if (!piece_read(piece, len, &h, p))
        return ST_E_INVALID;
    for (int i = 0; i < FORMATS; i++)
        if (!output_add(&enc->outputs[i], &p[i]))
            return ST_E_UNAVAILABLE;
    enc->samples += (int64_t)h.blocks * ST_PIECE_BLOCK;
    return 0;
}

int64_t st_encoder_samples(const struct st_encoder *enc)
{
    return enc->samples;
}

int st_encoder_finish(struct st_encoder *enc)
{
    int r = 0;
    for (int i = 0; i < FORMATS && r == 0; i++)
        if (!output_flush(&enc->outputs[i], enc->samples))
            r = ST_E_UNAVAILABLE;
    for (int i = 0; i < FORMATS && r == 0; i++)
        if (rename(enc->outputs[i].part, enc->outputs[i].path) < 0)
            r = ST_E_UNAVAILABLE;
    for (int i = 0; i < FORMATS && r < 0; i++)
        unlink(enc->outputs[i].path);
    st_encoder_abort(enc);
    return r;
}

void st_encoder_abort(struct st_encoder *enc)
{
    if (!enc)
        return;
    int saved = errno;
    for (int i = 0; i < FORMATS; i++)
        output_release(&enc->outputs[i]);
    free(enc);
    errno = saved;
}
