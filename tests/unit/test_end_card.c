/* Who is named at the end of a film: all, once each, legibly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <unistd.h>

#include "base/base.h"
#include "base/spawn.h"
#include "video/render_internal.h"

enum { SOUND_MS = 60000, CARD_MS = 4000 };

static struct st_arena arena;
static char script[] = "/tmp/st-test-end-card-XXXXXX";
static const int sizes[][2] = {{1280, 720}, {720, 1280}};

static int begin(void **state)
{
    (void)state;
    int fd = mkstemp(script);
    return fd < 0 ? -1 : close(fd);
}

static int end(void **state)
{
    (void)state;
    return unlink(script);
}

static int release(void **state)
{
    (void)state;
    st_arena_release(&arena);
    return 0;
}

/* Writes the script of a film; gives how many pages there are. */
static int64_t write_script(const int *size, const char *const *voices)
{
    const struct st_video_job job = {.title = "A title", .width = size[0], .height = size[1], .voices = voices};
    assert_int_equal(st_ass_write(script, &job, NULL, 0, SOUND_MS, 40, false), 0);
    int64_t ms = st_end_card(&job, SOUND_MS);
    assert_int_equal(ms % CARD_MS, 0); /* long enough to be read */
    return ms / CARD_MS;
}

static void test_all_are_named(void **state)
{
    (void)state;
    enum { LYING = 20, UPRIGHT = 25 /* names on a page */, LINE_MAX = 4000 };
    static const int many[] = {1, 8, 30, 60, 1000};
    for (size_t k = 0; k < ST_COUNT(sizes) * ST_COUNT(many); k++) {
        int n = many[k / ST_COUNT(sizes)], named = 0;
        const char **voices = st_new_n(&arena, const char *, (size_t)n + 1);
        for (int i = 0; i < n; i++)
            voices[i] = st_printf(&arena, "Voice %04d.", i);
        int64_t pages = write_script(sizes[k % ST_COUNT(sizes)], voices);
        assert_in_range(pages, (n + UPRIGHT - 1) / UPRIGHT, (n + LYING - 1) / LYING);
        char *seen = st_alloc(&arena, (size_t)n), line[LINE_MAX];
        FILE *f = fopen(script, "re");
        assert_non_null(f);
        while (fgets(line, LINE_MAX, f))
            for (const char *at = line; (at = strstr(at, "Voice ")); at++) {
                int64_t i;
                assert_true(st_parse_i64(st_strndup(&arena, at + strlen("Voice "), 4), 0, n - 1, &i));
                assert_int_equal(seen[i]++, 0);
                named++;
            }
        fclose(f);
        assert_int_equal(named, n);
    }
}

/* How much is written in a part of the picture at a time. */
static int bright_pixels(const int *size, double at, const char *crop)
{
    const char *source = st_printf(&arena, "color=black:s=%dx%d:r=5:d=100", size[0], size[1]);
    const char *filter = st_printf(&arena, "ass=%s,crop=%s,format=gray", script, crop),
               *from = st_printf(&arena, "%g", at);
    const char *argv[] = {"ffmpeg", "-v",  "error", "-ss",       from, "-copyts", "-f",       "lavfi", "-i",
                          source,   "-vf", filter,  "-frames:v", "1",  "-f",      "rawvideo", "-",     NULL};
    struct st_spawn_result r;
    assert_int_equal(
        st_spawn(&arena, &(struct st_spawn){.argv = argv, .timeout_us = 30 * ST_SECOND, .max_out = 8 << 20}, &r), 0);
    int n = 0;
    for (size_t i = 0; i < r.out_len; i++)
        n += (unsigned char)r.out[i] > 125;
    return n;
}

/* Long names of many take lines of their own, in columns beside each other, within the picture. */
static void test_long_names(void **state)
{
    (void)state;
    enum { NAMES = 20 };
    const char *voices[NAMES + 1] = {NULL};
    for (int i = 0; i < NAMES; i++)
        voices[i] = "Bartholomew Featherstonehaugh - the lighthouse keeper";
    assert_int_equal(write_script(sizes[0], voices), 2);
    for (double at = 62; at < 68; at += 4) {
        assert_true(bright_pixels(sizes[0], at, "520:52:90:399") > 100); /* first and last, of each column */
        assert_true(bright_pixels(sizes[0], at, "520:52:90:607") > 100);
        assert_true(bright_pixels(sizes[0], at, "520:52:670:399") > 100);
        assert_true(bright_pixels(sizes[0], at, "520:52:670:607") > 100);
        assert_int_equal(bright_pixels(sizes[0], at, "40:320:620:399"), 0); /* between them, beside, below */
        assert_int_equal(bright_pixels(sizes[0], at, "60:320:0:399"), 0);
        assert_int_equal(bright_pixels(sizes[0], at, "1280:54:0:666"), 0);
    }
    assert_int_equal(write_script(sizes[1], voices), 2);
    assert_true(bright_pixels(sizes[1], 62, "600:52:60:580") > 100);
    assert_true(bright_pixels(sizes[1], 62, "600:52:60:1152") > 100);
    assert_int_equal(bright_pixels(sizes[1], 62, "720:40:0:1240"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_all_are_named, release),
        cmocka_unit_test_teardown(test_long_names, release),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, begin, end);
}
