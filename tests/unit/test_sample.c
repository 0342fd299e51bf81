/* Samples of voices: what is taken, what is refused and why, what is left of a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <unistd.h>

#include "base/base.h"
#include "base/spawn.h"
#include "narration/sample.h"

static struct st_arena arena;
static char dir[] = "/tmp/st-sample-XXXXXX";
static int64_t ms;
static const char *why;

static const char *in_dir(const char *name)
{
    return st_printf(&arena, "%s/%s", dir, name);
}

static int setup(void **state)
{
    (void)state;
    ms = 0;
    why = "";
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    st_arena_release(&arena);
    return 0;
}

/* ffmpeg -v error -y ARGUMENTS in the folder. */
#define make(...) make_((const char *const[]){"ffmpeg", "-v", "error", "-nostdin", "-y", __VA_ARGS__, NULL})
static void make_(const char *const *argv)
{
    struct st_spawn_result out;
    int r = st_spawn(&arena, &(struct st_spawn){.argv = argv, .dir = dir, .timeout_us = 60 * ST_SECOND}, &out);
    if (r != 0)
        fail_msg("ffmpeg: %d %s", r, out.err);
}
#define TONE(seconds) "-f", "lavfi", "-i", "sine=frequency=200:sample_rate=8000:duration=" seconds

static char *slurp(const char *name, size_t *ret_len)
{
    FILE *f = fopen(in_dir(name), "re");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    *ret_len = (size_t)ftell(f);
    rewind(f);
    char *data = st_alloc(&arena, *ret_len + 1);
    assert_int_equal(fread(data, 1, *ret_len, f), *ret_len);
    fclose(f);
    return data;
}

static void put(const char *name, const void *data, size_t len)
{
    FILE *f = fopen(in_dir(name), "we");
    assert_true(f && fwrite(data, 1, len, f) == len && fclose(f) == 0);
}

static int convert(const char *name)
{
    return st_sample_convert(&arena, in_dir(name), in_dir("raw"), in_dir("out.mp3"), NULL, NULL, &ms, &why);
}

static bool left(const char *bytes)
{
    size_t len;
    const char *data = slurp("out.mp3", &len);
    return memmem(data, len, bytes, strlen(bytes)) != NULL;
}

#define refused(name, words)                                                                                           \
    do {                                                                                                               \
        assert_int_equal(convert(name), ST_E_UNPROCESSABLE);                                                           \
        if (!strstr(why, words))                                                                                       \
            fail_msg("%s: %s", name, why);                                                                             \
    } while (0)

static void test_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *name, *codec;
    } kinds[] = {{"a.wav", "pcm_s16le"}, {"a.flac", "flac"}, {"a.mp3", "libmp3lame"}, {"a.opus", "libopus"},
                 {"a.ogg", "libvorbis"}, {"a.m4a", "aac"},   {"a.webm", "libopus"}};
    for (size_t i = 0; i < ST_COUNT(kinds); i++) {
        make(TONE("12"), "-ar", "48000", "-c:a", kinds[i].codec, "-metadata", "title=<script>here I live</script>",
             kinds[i].name);
        if (convert(kinds[i].name) != 0)
            fail_msg("%s: %s", kinds[i].name, why);
        assert_in_range(ms, 11900, 12200);
        assert_false(left("here I live"));
    }
}

/* Nobody is told that their file is damaged because our disk is full. */
static void test_a_full_disk(void **state)
{
    (void)state;
    make(TONE("12"), "good.wav");
    assert_int_equal(unlink(in_dir("raw")), 0);
    assert_int_equal(symlink("/dev/full", in_dir("raw")), 0);
    assert_int_equal(convert("good.wav"), ST_E_UNAVAILABLE);
    assert_int_equal(unlink(in_dir("raw")), 0);
    assert_int_equal(convert("good.wav"), 0);
}

static void test_what_else_is_in_it_goes(void **state)
{
    (void)state;
    size_t len;
    make("-f", "lavfi", "-i", "color=red:size=64x64:duration=1", "-frames:v", "1", "cover.png");
    make(TONE("12"), "-i", "cover.png", "-map", "0", "-map", "1", "-c:v", "copy", "-disposition:v", "attached_pic",
         "-metadata", "comment=at home", "-id3v2_version", "3", "cover.mp3");
    assert_int_equal(convert("cover.mp3"), 0);
    assert_false(left("at home") || left("PNG"));
    make(TONE("12"), "two.wav"); /* a sound, and an archive behind it */
    const char *wav = slurp("two.wav", &len);
    char *both = st_alloc(&arena, len + 30);
    memcpy(both, wav, len);
    memcpy(both + len, "PK\003\004 <?php evil(); ?> PK\005\006", 27);
    put("two.wav", both, len + 27);
    assert_int_equal(convert("two.wav"), 0);
    assert_false(left("evil"));
    make(TONE("11"), "-metadata", st_printf(&arena, "title=%0*d", 60000, 7), "-metadata", "artist=\x1b[31m\n\"}]",
         "loud.flac");
    assert_int_equal(convert("loud.flac"), 0);
}

static void test_what_is_no_sample(void **state)
{
    (void)state;
    static const char list[] = "#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n";
    put("list.mp3", list, strlen(list));
    refused("list.mp3", "no sound file");
    put("empty", "", 0);
    refused("empty", "no sound file");
    put("riff", "RIFF\4\0\0\0AVI ", 12);
    refused("riff", "no sound file");
    put("text.wav", "RIFF\4\0\0\0WAVE", 12);
    assert_int_equal(convert("text.wav"), ST_E_UNPROCESSABLE);
    put("noise.ogg", "OggS\0\2................................", 38);
    assert_int_equal(convert("noise.ogg"), ST_E_UNPROCESSABLE);
    make("-f", "lavfi", "-i", "testsrc=size=64x64:duration=11", TONE("11"), "-c:v", "mpeg4", "-c:a", "aac", "film.mp4");
    refused("film.mp4", "film");
    make("-f", "lavfi", "-i", "testsrc=size=64x64:duration=11", "-c:v", "mpeg4", "mute.mp4");
    refused("mute.mp4", "film");
    make(TONE("11"), "-c:a", "adpcm_ms", "odd.wav");
    refused("odd.wav", "something else");
    make(TONE("11"), TONE("11"), "-map", "0", "-map", "1", "-c:a", "aac", "two.m4a");
    refused("two.m4a", "several sounds");
}

static void test_lengths(void **state)
{
    (void)state;
    size_t len;
    make(TONE("3"), "short.wav");
    refused("short.wav", "shorter than 10 seconds");
    make("-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", "0", "none.wav");
    refused("none.wav", "There is no sound in the file");
    make("-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", "12", "still.flac");
    refused("still.flac", "nothing to be heard");
    make("-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", "620", "-c:a", "pcm_u8", "long.wav");
    refused("long.wav", "longer than 10 minutes");
    make(TONE("12"), "ten-hours.flac"); /* by its own word: 36 bits of samples in STREAMINFO */
    char *flac = slurp("ten-hours.flac", &len);
    const uint64_t samples = UINT64_C(36000) * 8000;
    flac[21] = (char)((flac[21] & 0xf0) | (samples >> 32 & 15));
    for (int i = 0; i < 4; i++)
        flac[22 + i] = (char)(samples >> (24 - 8 * i));
    put("ten-hours.flac", flac, len);
    refused("ten-hours.flac", "longer than 10 minutes");
    make("-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", "620", "-c:a", "libmp3lame", "-b:a", "8k", "-write_xing",
         "0", "-id3v2_version", "0", "unsaid.mp3"); /* without a word of its length */
    refused("unsaid.mp3", "longer than 10 minutes");
}

static void test_cut_off(void **state)
{
    (void)state;
    enum { OGG = 5 }; /* from here on they are */
    static const char *const names[][2] = {{"cut.wav", "pcm_s16le"}, {"cut.flac", "flac"},      {"cut.m4a", "aac"},
                                           {"cut.webm", "libopus"},  {"cut.mp3", "libmp3lame"}, {"cut.opus", "libopus"},
                                           {"cut.ogg", "libvorbis"}, {"cut.oga", "flac"}};
    for (size_t i = 0; i < ST_COUNT(names); i++) {
        size_t len;
        const char *name = names[i][0];
        make(TONE("20"), "-ar", "48000", "-c:a", names[i][1], name);
        const char *data = slurp(name, &len);
        for (size_t tenths = 6; tenths < 10; tenths += 3) {
            put(name, data, len * tenths / 10);
            refused(name, "damaged");
        }
        if (i < OGG)
            continue;
        put(name, data, len - 1);
        refused(name, "damaged");
        char *more = st_alloc(&arena, len + 100);
        memcpy(more, data, len);
        memset(more + len, 'x', 100);
        put(name, more, len + 100);
        if (convert(name) != 0)
            fail_msg("%s with something behind it: %s", name, why);
    }
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (!mkdtemp(dir))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kinds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_else_is_in_it_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_no_sample, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lengths, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_full_disk, setup, teardown),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    static const char *const rm[] = {"rm", "-rf", dir, NULL};
    struct st_spawn_result out;
    (void)!st_spawn(&arena, &(struct st_spawn){.argv = rm, .timeout_us = 10 * ST_SECOND}, &out);
    st_arena_release(&arena);
    return failed;
}
