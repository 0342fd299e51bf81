/* Samples of voices: looked at, decoded and encoded anew by processes of their own. */
#include "narration/sample.h"

#include "base/spawn.h"
#include "io/json.h"

#include <math.h>

enum {
    HEAD_LEN = 12,
    RATE = 44100,
    WORK_S = 120, /* for each of the processes */
    RAW_MAX = (ST_SAMPLE_SECONDS_MAX + 2) * RATE * 2,
    BLOCK = 1 << 15,
};
#define MEMORY_MAX (UINT64_C(2) << 30)

/* Kinds of files, by how they begin, and ffmpeg's names of who may read them, and of what may be inside. */
static const struct kind {
    const char *head;
    size_t at, len;
    const char *demuxer, *codecs;
} kinds[] = {
    {"WAVE", 8, 4, "wav", "pcm_u8,pcm_s16le,pcm_s24le,pcm_s32le,pcm_f32le"},
    {"fLaC", 0, 4, "flac", "flac"},
    {"OggS", 0, 4, "ogg", "opus,libopus,vorbis,flac"},
    {"ID3", 0, 3, "mp3", "mp3float,mp3"},
    {"\xff\xfb", 0, 2, "mp3", "mp3float,mp3"},
    {"\xff\xfa", 0, 2, "mp3", "mp3float,mp3"},
    {"\xff\xf3", 0, 2, "mp3", "mp3float,mp3"},
    {"\xff\xf2", 0, 2, "mp3", "mp3float,mp3"},
    {"\xff\xe3", 0, 2, "mp3", "mp3float,mp3"},
    {"\xff\xe2", 0, 2, "mp3", "mp3float,mp3"},
    {"ftyp", 4, 4, "mov", "aac,alac"},
    {"\x1a\x45\xdf\xa3", 0, 4, "matroska", "opus,libopus,vorbis"},
};

struct sample {
    struct st_arena *a;
    const char *from;
    const struct kind *kind;
    double declared_s; /* what the file says of its length; 0: nothing */
    bool (*cancelled)(void *);
    void *ctx;
    const char **ret_why;
};

static int refuse(const struct sample *s, const char *why)
{
    *s->ret_why = why;
    return ST_E_UNPROCESSABLE;
}

static int damaged(const struct sample *s)
{
    return refuse(s, "The file cannot be read: it is damaged, or cut off.");
}

static uint32_t little_endian(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/*
 * Is the last page of an Ogg file there to its end, and says that it is the last? Its reader takes the sound as over
 * wherever the file ends. Page: "OggS", version 0, flags (4: the last), 20 bytes, the number of lengths, the lengths.
 */
static bool ogg_ends(FILE *f, long size)
{
    enum { HEAD = 27, LAST = 4, TAIL = 128 << 10 }; /* a page has 64 KiB at most; what follows the sound is forgiven */
    unsigned char tail[TAIL];
    static const unsigned char start[] = {'O', 'g', 'g', 'S', 0};
    long from = size > TAIL ? size - TAIL : 0;
    size_t len = fseek(f, from, SEEK_SET) == 0 ? fread(tail, 1, TAIL, f) : 0;
    for (size_t at = len < HEAD ? 0 : len - HEAD + 1; at-- > 0;) {
        if (memcmp(tail + at, start, sizeof(start)) != 0)
            continue;
        size_t lengths = tail[at + HEAD - 1], end = at + HEAD + lengths;
        for (size_t i = 0; i < lengths && at + HEAD + i < len; i++)
            end += tail[at + HEAD + i];
        return end <= len && (tail[at + 5] & LAST);
    }
    return false;
}

/* By its first bytes. RIFF says how long it is, which its reader forgives when it is not so. */
static int sniff(struct sample *s)
{
    unsigned char head[HEAD_LEN] = {0};
    FILE *f = fopen(s->from, "re");
    if (!f)
        return ST_E_UNAVAILABLE;
    size_t len = fread(head, 1, sizeof(head), f);
    bool ends = fseek(f, 0, SEEK_END) == 0;
    long size = ends ? ftell(f) : 0;
    bool whole = memcmp(head, "OggS", 4) != 0 || ogg_ends(f, size);
    fclose(f);
    for (size_t i = 0; i < ST_COUNT(kinds) && !s->kind; i++)
        if (kinds[i].at + kinds[i].len <= len && memcmp(head + kinds[i].at, kinds[i].head, kinds[i].len) == 0)
            s->kind = &kinds[i];
    if (!s->kind || (st_streq(s->kind->demuxer, "wav") && memcmp(head, "RIFF", 4) != 0))
        return refuse(s, "This is no sound file that is understood here: WAV, FLAC, MP3, Ogg, M4A and WebM are.");
    uint32_t said = little_endian(head + 4);
    bool streamed = said == 0 || said == UINT32_MAX || said == UINT32_MAX - 8; /* the writer could not go back */
    if (st_streq(s->kind->demuxer, "wav") && !streamed && (int64_t)said + 8 > (int64_t)size + 1)
        return damaged(s);
    return whole ? 0 : damaged(s);
}

static int run(const struct sample *s, const char *const *argv, struct st_spawn_result *ret)
{
    int r = st_spawn(s->a,
                     &(struct st_spawn){.argv = argv,
                                        .timeout_us = WORK_S * ST_SECOND,
                                        .max_memory = MEMORY_MAX,
                                        .max_file = RAW_MAX + BLOCK,
                                        .max_cpu_s = WORK_S,
                                        .cancelled = s->cancelled,
                                        .arg = s->ctx},
                     ret);
    r = st_spawn_verdict(r, ret);
    return r == ST_E_UNPROCESSABLE || r == ST_E_TIMEOUT ? damaged(s) : r;
}

/* What is inside: one sound, pictures of a cover at most, of no more than the longest length. */
static int probe(struct sample *s)
{
    const char *argv[] = {"ffprobe",
                          "-v",
                          "error",
                          "-protocol_whitelist",
                          "file",
                          "-codec_whitelist",
                          st_printf(s->a, "%s,mjpeg,png", s->kind->codecs), /* covers */
                          "-f",
                          s->kind->demuxer,
                          "-show_entries",
                          "stream=codec_type:stream_disposition=attached_pic:format=duration",
                          "-of",
                          "json",
                          st_printf(s->a, "file:%s", s->from),
                          NULL};
    struct st_spawn_result out;
    json_t *j, *one;
    const char *why;
    size_t sounds = 0, films = 0, i;
    int r = run(s, argv, &out);
    if (r == ST_E_UNPROCESSABLE && strstr(out.err, "not on whitelist"))
        return refuse(s,
                      "The file holds something else than a sound that is understood here: a film, perhaps. Bring its "
                      "sound alone.");
    if (r < 0)
        return r;
    if (st_json_parse(s->a, out.out, out.out_len, ST_JSON_DEPTH, &j, &why) < 0)
        return damaged(s);
    json_array_foreach (json_object_get(j, "streams"), i, one) {
        const char *type = st_json_str(one, "codec_type", "");
        sounds += st_streq(type, "audio");
        films += st_streq(type, "video") && !st_json_int(json_object_get(one, "disposition"), "attached_pic", 0);
    }
    if (films)
        return refuse(s, "This is a film. Bring its sound alone.");
    if (sounds != 1)
        return refuse(s, sounds ? "There are several sounds in the file. Bring one alone."
                                : "There is no sound in the file.");
    const char *length = st_json_str(json_object_get(j, "format"), "duration", "");
    if (!st_parse_double(length, &s->declared_s) || !(s->declared_s > 0))
        s->declared_s = 0;
    if (s->declared_s > ST_SAMPLE_SECONDS_MAX)
        return refuse(s, "It is longer than 10 minutes. A minute or two is best.");
    return 0;
}

/* Samples only, and never more than a little over the longest length, whatever the file says of itself. */
static int decode(const struct sample *s, const char *raw)
{
    const char *argv[] = {"ffmpeg",
                          "-v",
                          "error",
                          "-nostdin",
                          "-y",
                          "-xerror",
                          "-threads",
                          "1",
                          "-protocol_whitelist",
                          "file",
                          "-codec_whitelist",
                          s->kind->codecs,
                          "-f",
                          s->kind->demuxer,
                          "-i",
                          st_printf(s->a, "file:%s", s->from),
                          "-map",
                          "0:a:0",
                          "-t",
                          st_printf(s->a, "%d", ST_SAMPLE_SECONDS_MAX + 1),
                          "-ac",
                          "1",
                          "-ar",
                          st_printf(s->a, "%d", RATE),
                          "-f",
                          "s16le",
                          st_printf(s->a, "file:%s", raw),
                          NULL};
    struct st_spawn_result out;
    return run(s, argv, &out);
}

/* How much sound it is, and whether there is anything in it. */
static int listen(const struct sample *s, const char *raw, int64_t *ret_ms)
{
    int16_t block[BLOCK / sizeof(int16_t)];
    int64_t count = 0;
    double energy = 0;
    const double quiet = 33; /* -60 dB of full scale, root mean square: a voice is far above */
    FILE *f = fopen(raw, "re");
    if (!f)
        return ST_E_UNAVAILABLE;
    for (size_t n; (n = fread(block, sizeof(*block), ST_COUNT(block), f)) > 0; count += (int64_t)n)
        for (size_t i = 0; i < n; i++)
            energy += (double)block[i] * block[i];
    fclose(f);
    double seconds = (double)count / RATE;
    if (count == 0)
        return refuse(s, "There is no sound in the file.");
    if (seconds > ST_SAMPLE_SECONDS_MAX)
        return refuse(s, "It is longer than 10 minutes. A minute or two is best.");
    if (s->declared_s > 0 && seconds < s->declared_s * 0.97 - 0.5)
        return damaged(s);
    if (seconds < ST_SAMPLE_SECONDS_MIN)
        return refuse(s, "It is shorter than 10 seconds. A minute or two is best.");
    if (sqrt(energy / (double)count) < quiet)
        return refuse(s, "There is nothing to be heard in it.");
    *ret_ms = count * 1000 / RATE;
    return 0;
}

static int encode(const struct sample *s, const char *raw, const char *to)
{
    const char *argv[] = {"ffmpeg",
                          "-v",
                          "error",
                          "-nostdin",
                          "-y",
                          "-protocol_whitelist",
                          "file",
                          "-f",
                          "s16le",
                          "-ac",
                          "1",
                          "-ar",
                          st_printf(s->a, "%d", RATE),
                          "-i",
                          st_printf(s->a, "file:%s", raw),
                          "-c:a",
                          "libmp3lame",
                          "-b:a",
                          "128k",
                          "-id3v2_version",
                          "0",
                          "-f",
                          "mp3",
                          st_printf(s->a, "file:%s", to),
                          NULL};
    struct st_spawn_result out;
    int r = run(s, argv, &out);
    return r == ST_E_UNPROCESSABLE ? ST_E_UNAVAILABLE : r; /* these are our own samples */
}

int st_sample_convert(struct st_arena *a, const char *from, const char *raw, const char *to, bool (*cancelled)(void *),
                      void *ctx, int64_t *ret_ms, const char **ret_why)
{
    struct sample s = {.a = a, .from = from, .cancelled = cancelled, .ctx = ctx, .ret_why = ret_why};
    int64_t ms = 0;
    int r;
    if ((r = sniff(&s)) < 0 || (r = probe(&s)) < 0 || (r = decode(&s, raw)) < 0 || (r = listen(&s, raw, &ms)) < 0 ||
        (r = encode(&s, raw, to)) < 0)
        return r;
    *ret_ms = ms;
    return 0;
}
