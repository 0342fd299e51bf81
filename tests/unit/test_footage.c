/* Films of somebody else's: what is one becomes a clip of ours with nothing else in it, whatever else is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "base/spawn.h"
#include "io/json.h"
#include "video/footage.h"

static struct st_arena arena;
static char dir[] = "/tmp/st-test-footage-XXXXXX";
static const char *why;
static int64_t taken_ms;

static char *path(const char *name)
{
    return st_printf(&arena, "%s/%s", dir, name);
}

static int run(const char *const *argv, struct st_spawn_result *ret)
{
    return st_spawn(&arena, &(struct st_spawn){.argv = argv, .timeout_us = 120 * ST_SECOND, .max_out = 8 << 20}, ret);
}

/* ffmpeg makes a file of the test's; the name is its last argument. */
#define make(...)                                                                                                      \
    do {                                                                                                               \
        const char *const argv_[] = {"ffmpeg", "-v", "error", "-nostdin", "-y", __VA_ARGS__, NULL};                    \
        struct st_spawn_result made_;                                                                                  \
        if (run(argv_, &made_) != 0)                                                                                   \
            fail_msg("%s", made_.err);                                                                                 \
    } while (0)
#define H264 "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"

static char *read_file(const char *file, size_t *ret_len)
{
    char *text;
    const char *bad;
    assert_int_equal(st_file_read(&arena, file, &text, ret_len, &bad), 0);
    return text;
}

static void write_file(const char *file, const void *data, size_t len)
{
    FILE *f = fopen(file, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    assert_non_null(mkdtemp(dir));
    make("-f", "lavfi", "-i", "testsrc=d=0.8:s=320x180:r=10", "-f", "lavfi", "-i", "sine=d=0.8", H264, "-c:a", "aac",
         path("good.mp4"));
    st_arena_release(&arena);
    return 0;
}

static int cleanup(void **state)
{
    (void)state;
    const char *const argv[] = {"rm", "-r", dir, NULL};
    struct st_spawn_result r;
    return run(argv, &r);
}

static int release(void **state)
{
    (void)state;
    (void)unlink(path("clip.mp4"));
    st_arena_release(&arena);
    return 0;
}

static int take_for(const char *name, int64_t ms)
{
    why = "";
    int r = st_footage_take(
        &arena,
        &(struct st_footage){.path = path(name), .width = 1280, .height = 720, .ms = ms, .clip = path("clip.mp4")},
        &taken_ms, &why);
    if (r < 0)
        assert_true(access(path("clip.mp4"), F_OK) < 0);
    return r;
}

static int take(const char *name)
{
    return take_for(name, 1200);
}

static void is_refused(const char *name, const char *because)
{
    int r = take(name);
    if (r != ST_E_UNPROCESSABLE || !strstr(why, because))
        fail_msg("%s: %s, %s", name, r < 0 ? st_err_code(r) : "it was taken", why);
}

static const char *probe(const char *entries)
{
    const char *const argv[] = {"ffprobe", "-v",  "error", "-show_chapters", "-show_entries",
                                entries,   "-of", "csv",   path("clip.mp4"), NULL};
    struct st_spawn_result r;
    assert_int_equal(run(argv, &r), 0);
    return r.out;
}

static bool holds(const char *name, const char *words)
{
    size_t len;
    const char *all = read_file(path(name), &len);
    return memmem(all, len, words, strlen(words)) != NULL;
}

/* Whether the whole picture changes between two times of the clip. */
static bool changes(const char *from, const char *to)
{
    const char *filter = st_printf(&arena, "select='gte(t,%s)',scale=1:1:flags=area,format=gray", from);
    const char *argv[] = {"ffmpeg", "-v",       "error",     "-to",         to,  "-i", path("clip.mp4"), "-vf", filter,
                          "-f",     "rawvideo", "-fps_mode", "passthrough", "-", NULL};
    struct st_spawn_result r;
    assert_int_equal(run(argv, &r), 0);
    assert_true(r.out_len > 2);
    for (size_t i = 1; i < r.out_len; i++)
        if (abs((unsigned char)r.out[i] - (unsigned char)r.out[0]) > 100)
            return true;
    return false;
}

/* Black for most of a second, then white: when does that come, in clips of several lengths? */
static void test_a_film(void **state)
{
    (void)state;
    make("-f", "lavfi", "-i", "color=black:d=0.8:s=320x180:r=10,drawbox=c=white:t=fill:enable='gte(t,0.4)'", H264,
         path("turns.mp4"));
    assert_int_equal(take_for("turns.mp4", 500), 0); /* cut */
    assert_int_equal(taken_ms, 500);
    assert_string_equal(probe("stream=codec_name,width,height,duration"), "stream,h264,1280,720,0.500000\n");
    assert_false(changes("0", "0.35"));
    assert_true(changes("0.3", "0.5"));
    assert_int_equal(take_for("turns.mp4", 1200), 0); /* slowed by half */
    assert_int_equal(taken_ms, 1200);
    assert_false(changes("0", "0.52"));
    assert_true(changes("0.45", "0.7"));
    assert_false(changes("0.7", "1.2"));
    assert_int_equal(take_for("turns.mp4", 3000),
                     0); /* that would be too slow: it ends earlier, and does not begin again */
    assert_int_equal(taken_ms, 800);
    assert_string_equal(probe("stream=duration"), "stream,0.791667\n");
    assert_false(changes("0", "0.35"));
    assert_false(changes("0.45", "0.8"));
}

static void test_wrong_types(void **state)
{
    (void)state;
    write_file(path("page.mp4"), "<!doctype html><video>", 22);
    is_refused("page.mp4", "ffprobe");
    write_file(path("empty.mp4"), "", 0);
    is_refused("empty.mp4", "ffprobe");
    write_file(path("list.mp4"), "#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n", 39);
    is_refused("list.mp4", "ffprobe");
    write_file(path("concat.mp4"), "ffconcat version 1.0\nfile good.mp4\n", 35);
    is_refused("concat.mp4", "ffprobe");
    make("-f", "lavfi", "-i", "sine=d=1", "-c:a", "aac", path("sound.mp4"));
    is_refused("sound.mp4", "not one moving picture");
    make("-i", path("good.mp4"), "-c", "copy", "-f", "matroska", path("other.mp4"));
    is_refused("other.mp4", "ffprobe");
    make("-f", "lavfi", "-i", "testsrc=d=1:s=320x180:r=10", "-c:v", "mjpeg", "-f", "mov", path("stills.mp4"));
    is_refused("stills.mp4", "not on whitelist");
    make("-i", path("good.mp4"), "-i", path("good.mp4"), "-map", "0:v", "-map", "1:v", "-c", "copy", path("two.mp4"));
    is_refused("two.mp4", "not one moving picture");
}

static void test_truncated(void **state)
{
    (void)state;
    size_t len;
    const char *all = read_file(path("good.mp4"), &len);
    write_file(path("cut.mp4"), all, len / 2); /* its table of contents is at the end */
    is_refused("cut.mp4", "ffprobe");
    make("-i", path("good.mp4"), "-c", "copy", "-movflags", "+faststart", path("fast.mp4"));
    all = read_file(path("fast.mp4"), &len);
    write_file(path("half.mp4"), all, len - len / 3); /* and here at the beginning */
    is_refused("half.mp4", "ffmpeg");
}

static void test_lengths(void **state)
{
    (void)state;
    make("-f", "lavfi", "-i", "color=s=64x64:r=1/60:d=36000", H264, path("hours.mp4"));
    is_refused("hours.mp4", "it lasts 36000.0 s");
    make("-f", "lavfi", "-i", "color=s=64x64:r=25:d=1", "-frames:v", "1", H264, path("moment.mp4"));
    is_refused("moment.mp4", "it lasts 0.0 s");
    make("-f", "lavfi", "-i", "color=s=64x64:r=25:d=1", "-frames:v", "0", H264, path("nothing.mp4"));
    is_refused("nothing.mp4", "not one moving picture");
}

/* A few kilobytes that become hundreds of megabytes. */
static void test_bombs(void **state)
{
    (void)state;
    struct stat st;
    make("-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size", "8000x8000", "-framerate", "1", "-i", "/dev/zero",
         "-frames:v", "2", "-c:v", "mpeg4", "-threads", "1", path("bomb.mp4"));
    assert_int_equal(stat(path("bomb.mp4"), &st), 0);
    assert_true(st.st_size < 2 << 20);
    is_refused("bomb.mp4", "it is of 0x0 pixels"); /* the decoder has refused */
    make("-f", "rawvideo", "-pix_fmt", "monob", "-video_size", "16000x16000", "-framerate", "1", "-i", "/dev/zero",
         "-frames:v", "1", "-c:v", "png", "-f", "mov", path("png.mp4"));
    is_refused("png.mp4", "not on whitelist");
    make("-f", "lavfi", "-i", "color=s=8000x32:r=2:d=1", H264, path("wide.mp4"));
    is_refused("wide.mp4", "it is of 8000x32 pixels");
}

static void append(const char *from, const char *to, const char *more, size_t more_len)
{
    size_t len;
    const char *all = read_file(path(from), &len);
    char *joined = st_alloc(&arena, len + more_len);
    memcpy(joined, all, len);
    memcpy(joined + len, more, more_len);
    write_file(path(to), joined, len + more_len);
}

/* Files that are also something else: of that nothing is left. */
static void test_polyglots(void **state)
{
    (void)state;
    static const char zip[] = "PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x15\0a comment of an archive";
    static const char box[] = "\0\0\0\x29"
                              "free<script>alert(\"polyglot\")</script>";
    append("good.mp4", "archive.mp4", zip, sizeof(zip) - 1);
    assert_int_equal(take("archive.mp4"), 0);
    assert_false(holds("clip.mp4", "archive"));
    append("good.mp4", "script.mp4", box, sizeof(box) - 1);
    assert_true(holds("script.mp4", "<script>"));
    assert_int_equal(take("script.mp4"), 0);
    assert_false(holds("clip.mp4", "script"));
}

static void test_metadata(void **state)
{
    (void)state;
    char *long_words = st_alloc(&arena, 100001);
    memset(long_words, 'w', 100000);
    const char *title = "title=EVIL\x1b[31m\n<script>$(reboot)";
    const char *chapters = ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=EVIL chapter\n";
    write_file(path("chapters"), chapters, strlen(chapters));
    make("-i", path("good.mp4"), "-f", "ffmetadata", "-i", path("chapters"), "-map", "0", "-map_chapters", "1", "-c",
         "copy", "-metadata", title, "-metadata", st_printf(&arena, "comment=%s", long_words), "-metadata:s:v",
         "handler_name=EVIL handler", "-metadata", "location=+51.5-000.1/", path("words.mp4"));
    assert_true(holds("words.mp4", "EVIL"));
    assert_int_equal(take("words.mp4"), 0);
    assert_false(holds("clip.mp4", "EVIL"));
    assert_false(holds("clip.mp4", "wwww"));
    assert_false(holds("clip.mp4", "+51.5"));
    assert_string_equal(probe("stream=codec_type"), "stream,video\n"); /* no chapter, no sound */
}

/* It may be as good as any. */
static void test_a_full_disk(void **state)
{
    (void)state;
    assert_int_equal(symlink("/dev/full", path("clip.mp4")), 0);
    assert_int_equal(take("good.mp4"), ST_E_UNAVAILABLE);
    assert_non_null(strstr(why, "No space left on device"));
    assert_int_equal(take("good.mp4"), 0);
}

static bool always(void *arg)
{
    (void)arg;
    return true;
}

static void test_cancelled(void **state)
{
    (void)state;
    const struct st_footage f = {.path = path("good.mp4"),
                                 .width = 1280,
                                 .height = 720,
                                 .ms = 1200,
                                 .clip = path("clip.mp4"),
                                 .cancelled = always};
    assert_int_equal(st_footage_take(&arena, &f, &taken_ms, &why), ST_E_CANCELLED);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_film, release),    cmocka_unit_test_teardown(test_wrong_types, release),
        cmocka_unit_test_teardown(test_truncated, release), cmocka_unit_test_teardown(test_lengths, release),
        cmocka_unit_test_teardown(test_bombs, release),     cmocka_unit_test_teardown(test_polyglots, release),
        cmocka_unit_test_teardown(test_metadata, release),  cmocka_unit_test_teardown(test_a_full_disk, release),
        cmocka_unit_test_teardown(test_cancelled, release),
    };
    return cmocka_run_group_tests(tests, setup, cleanup);
}
