/* Writes the same sound to several formats, and gives the files their names when all are whole. */
#include "narration/encode.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct output {
    const struct encode_format *format;
    void *state;
    FILE *file;
    char *path, *part;
};

struct st_encoder {
    struct output outputs[2];
    int64_t samples;
};

static bool output_open(struct output *o, const struct encode_format *format, const char *path)
{
    o->format = format;
    o->path = strdup(path);
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
    free(o->path);
    free(o->part);
}

static bool output_flush(struct output *o)
{
    return o->format->finish(o->state) && fflush(o->file) == 0 && !ferror(o->file) && fsync(fileno(o->file)) == 0;
}

int st_encoder_open(const char *opus_path, const char *mp3_path, struct st_encoder **ret_encoder)
{
    struct st_encoder *enc = calloc(1, sizeof(*enc));
    if (!enc)
        abort();
    if (!output_open(&enc->outputs[0], &encode_opus, opus_path) ||
        !output_open(&enc->outputs[1], &encode_mp3, mp3_path)) {
        st_encoder_abort(enc);
        return ST_E_UNAVAILABLE;
    }
    *ret_encoder = enc;
    return 0;
}

int st_encoder_write(struct st_encoder *enc, const int16_t *samples, size_t count)
{
    for (size_t i = 0; i < ST_COUNT(enc->outputs); i++) {
        struct output *o = &enc->outputs[i];
        if (!o->format->write(o->state, samples, count) || ferror(o->file))
            return ST_E_UNAVAILABLE;
    }
    enc->samples += (int64_t)count;
    return 0;
}

int st_encoder_silence(struct st_encoder *enc, int ms)
{
    static const int16_t zero[ST_PCM_RATE / 10];
    int r = 0;
    for (size_t left = (size_t)ms * ST_PCM_RATE / 1000; left && r == 0;) {
        size_t n = left < ST_COUNT(zero) ? left : ST_COUNT(zero);
        r = st_encoder_write(enc, zero, n);
        left -= n;
    }
    return r;
}

int64_t st_encoder_ms(const struct st_encoder *enc)
{
    return (enc->samples * 1000 + ST_PCM_RATE / 2) / ST_PCM_RATE;
}

int st_encoder_finish(struct st_encoder *enc)
{
    int r = 0;
    for (size_t i = 0; i < ST_COUNT(enc->outputs) && r == 0; i++)
        if (!output_flush(&enc->outputs[i]))
            r = ST_E_UNAVAILABLE;
    for (size_t i = 0; i < ST_COUNT(enc->outputs) && r == 0; i++)
        if (rename(enc->outputs[i].part, enc->outputs[i].path) < 0)
            r = ST_E_UNAVAILABLE;
    for (size_t i = 0; i < ST_COUNT(enc->outputs) && r < 0; i++)
        unlink(enc->outputs[i].path);
    st_encoder_abort(enc);
    return r;
}

void st_encoder_abort(struct st_encoder *enc)
{
    if (!enc)
        return;
    int saved = errno;
    for (size_t i = 0; i < ST_COUNT(enc->outputs); i++)
        output_release(&enc->outputs[i]);
    free(enc);
    errno = saved;
}
