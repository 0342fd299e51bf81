/* The embedded video renderer: captions, scenes, and whole films looked at with ffmpeg. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "base/spawn.h"
#include "video/render_internal.h"

static struct st_arena arena;
static char dir[] = "/tmp/st-test-render-XXXXXX";
static const char *sound; /* 4 s of Ogg Opus */

enum { SOUND_MS = 4000 };

static char *path(const char *name)
{
    return st_printf(&arena, "%s/%s", dir, name);
}

static struct st_spawn_result run(const char *const *argv)
{
    struct st_spawn_result r;
    int rc = st_spawn(&arena, &(struct st_spawn){.argv = argv, .timeout_us = 30 * ST_SECOND, .max_out = 8 << 20}, &r);
    if (rc != 0)
        fail_msg("%s: %d %s", argv[0], rc, r.err);
    return r;
}

static char *read_file(const char *file)
{
    FILE *f = fopen(file, "re");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    size_t size = (size_t)ftell(f);
    rewind(f);
    char *text = st_alloc(&arena, size + 1);
    assert_int_equal(fread(text, 1, size, f), size);
    fclose(f);
    return text;
}

static bool exists(const char *file)
{
    return access(file, F_OK) == 0;
}

static int setup(void **state)
{
    (void)state;
    static char sound_path[sizeof(dir) + 16];
    assert_non_null(mkdtemp(dir));
    snprintf(sound_path, sizeof(sound_path), "%s/sound.opus", dir);
    sound = sound_path;
    const char *argv[] = {"ffmpeg",          "-v",   "error",   "-f",  "lavfi", "-i",
                          "sine=duration=4", "-c:a", "libopus", sound, NULL};
    run(argv);
    assert_int_equal(mkdir(path("work"), 0700), 0);
    st_arena_release(&arena);
    return 0;
}

static int cleanup(void **state)
{
    (void)state;
    const char *argv[] = {"rm", "-r", dir, NULL};
    run(argv);
    st_arena_release(&arena);
    return 0;
}

static int release(void **state)
{
    (void)state;
    st_arena_release(&arena);
    return 0;
}

/* --- text -------------------------------------------------------------------------------------------------------- */

static void test_clean(void **state)
{
    (void)state;
    assert_string_equal(st_text_clean(&arena,
                                      "  a \t\n b\xc2\xa0\xe2\x80\xa8"
                                      "c\r\n",
                                      100),
                        "a b c");
    assert_string_equal(st_text_clean(&arena,
                                      "a\x01\x1b[31m\x7f"
                                      "b",
                                      100),
                        "a[31mb");
    assert_string_equal(st_text_clean(&arena,
                                      "a\xe2\x80\xae"
                                      "b\xe2\x81\xa6"
                                      "c",
                                      100),
                        "abc"); /* RLO, LRI */
    assert_string_equal(st_text_clean(&arena, "abcdef", 6), "abcdef");
    assert_string_equal(st_text_clean(&arena, "abcdefg", 6), "abcde\xe2\x80\xa6");
    assert_string_equal(st_text_clean(&arena, " \n\t ", 100), "");
    struct st_buf pile = ST_BUF(10000);
    st_buf_char(&pile, 'a');
    for (int i = 0; i < 1000; i++)
        st_buf_str(&pile, "\xcc\x81");
    st_buf_str(&pile, "b\xcc\x81");
    assert_int_equal(st_utf8_length(st_text_clean(&arena, pile.data, 5000), 19), 11); /* a + 8 marks, b + 1 */
    st_buf_release(&pile);
}

static char *without_spaces(const char *s)
{
    char *out = st_alloc(&arena, strlen(s) + 1), *o = out;
    for (; *s; s++)
        if (*s != ' ')
            *o++ = *s;
    return out;
}

/* Splits, and checks what must hold for any text: nothing is lost or doubled, no line is empty or overlong. */
static struct st_piece *split(const char *text, size_t *ret_count)
{
    struct st_piece *p = st_text_split(&arena, text, ret_count);
    struct st_buf all = ST_BUF(64 << 20);
    for (size_t i = 0; i < *ret_count; i++) {
        assert_true(p[i].weight > 0);
        assert_non_null(p[i].lines[0]);
        for (int l = 0; l < 2 && p[i].lines[l]; l++) {
            size_t len = strlen(p[i].lines[l]), chars = st_utf8_length(p[i].lines[l], len);
            assert_true(len > 0 && st_utf8_valid(p[i].lines[l], len));
            assert_true(p[i].lines[l][0] != ' ' && p[i].lines[l][len - 1] != ' ');
            assert_true(chars <= 90 * 9);
            st_buf_add(&all, p[i].lines[l], len);
        }
    }
    assert_string_equal(without_spaces(all.data ? all.data : ""),
                        without_spaces(st_text_clean(&arena, text, SIZE_MAX)));
    st_buf_release(&all);
    return p;
}

static void test_split_sentences(void **state)
{
    (void)state;
    size_t n;
    struct st_piece *p = split("Hello, world.", &n);
    assert_int_equal(n, 1);
    assert_string_equal(p[0].lines[0], "Hello, world.");
    assert_null(p[0].lines[1]);
    p = split("The old lighthouse had stood on the cliff for two hundred years. Every evening Mara climbed the "
              "hundred and twelve steps to the lamp room.",
              &n);
    assert_int_equal(n, 2);
    assert_string_equal(p[0].lines[0], "The old lighthouse had stood on");
    assert_string_equal(p[0].lines[1], "the cliff for two hundred years.");
    assert_true(st_starts(p[1].lines[0], "Every evening"));
    split("", &n);
    assert_int_equal(n, 0);
    split(" \n\xe2\x80\x8b", &n);
    assert_int_equal(n, 0);
}

static void test_split_scripts(void **state)
{
    (void)state;
    size_t n;
    struct st_piece *p = split("从前，在海边的悬崖上有一座古老的灯塔，"
                               "它已经矗立了两百年。每天傍晚，当太阳落到西边的岛屿后面，"
                               "渔船点着灯笼回家的时候，"
                               "玛拉就会爬上一百一十二级台阶，来到灯室。“看！”她说。",
                               &n);
    assert_true(n >= 2);
    for (size_t i = 0; i < n; i++)
        for (int l = 0; l < 2 && p[i].lines[l]; l++) {
            assert_false(st_starts(p[i].lines[l], "，") || st_starts(p[i].lines[l], "。") ||
                         st_starts(p[i].lines[l], "”") || st_starts(p[i].lines[l], "！"));
            assert_false(st_ends(p[i].lines[l], "“"));
            assert_true(st_utf8_length(p[i].lines[l], strlen(p[i].lines[l])) <= 25);
        }
    p = split("옛날 옛적에 바닷가 절벽 위에 "
              "오래된 등대가 있었습니다 그리고 아무도 살지 않았습니다",
              &n);
    assert_int_equal(n, 1);
    assert_true(st_ends(p[0].lines[0], "등대가") || st_ends(p[0].lines[0], "있었습니다")); /* between words */
    split("كان يا ما كان، في قديم الزمان، صيادٌ عجوزٌ "
          "يعيش وحده على شاطئ البحر "
          "وكان يخرج كل يوم قبل الفجر.",
          &n);
    assert_true(n >= 1);
}

static void test_split_keeps_signs_whole(void **state)
{
    (void)state;
    static const char family[] = "\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7";
    static const char flag[] = "\xf0\x9f\x87\xa9\xf0\x9f\x87\xaa";
    const char *signs[] = {family, flag, "e\xcc\x81"};
    for (size_t k = 0; k < ST_COUNT(signs); k++) {
        struct st_buf b = ST_BUF(1 << 20);
        for (int i = 0; i < 300; i++)
            st_buf_str(&b, signs[k]);
        size_t n;
        struct st_piece *p = split(b.data, &n);
        assert_true(n > 1);
        for (size_t i = 0; i < n; i++)
            for (int l = 0; l < 2 && p[i].lines[l]; l++) {
                assert_int_equal(strlen(p[i].lines[l]) % strlen(signs[k]), 0);
                assert_true(st_starts(p[i].lines[l], signs[k]));
            }
        st_buf_release(&b);
    }
}

static void test_split_hostile(void **state)
{
    (void)state;
    const char *units[] = {"a",
                           "W",
                           "\xcc\x81",
                           "\xe2\x80\x8d",
                           "\xf0\x9f\x87\xa9",
                           "a ",
                           ". ",
                           "\xe4\xb8\xad",
                           "\xe3\x80\x82",
                           "\xe2\x80\x94",
                           "\xf0\x9f\x8f\xbb",
                           "i\xe2\x80\x8d"};
    int64_t from = st_mono();
    for (size_t k = 0; k < ST_COUNT(units); k++) {
        struct st_buf b = ST_BUF(1 << 20);
        while (b.len < 100000)
            st_buf_str(&b, units[k]);
        size_t n;
        split(b.data, &n);
        st_buf_release(&b);
        st_arena_release(&arena);
    }
    assert_true(st_mono() - from < 120 * ST_SECOND); /* hours, were it quadratic */
}

static void test_wrap(void **state)
{
    (void)state;
    const char *lines[3];
    assert_int_equal(st_text_wrap(&arena, "", 15, 3, lines), 0);
    assert_int_equal(st_text_wrap(&arena, "A Short One", 15, 3, lines), 1);
    assert_int_equal(st_text_wrap(&arena, "The Lighthouse Keeper and the Sea", 15, 3, lines), 2);
    assert_string_equal(lines[0], "The Lighthouse"); /* even, not full */
    assert_int_equal(
        st_text_wrap(&arena, "word word word word word word word word word word word word word", 5, 3, lines), 3);
    assert_true(st_ends(lines[2], "\xe2\x80\xa6"));
}

/* --- time -------------------------------------------------------------------------------------------------------- */

static struct st_video_job job_of(const struct st_video_segment *segments, size_t count)
{
    return (struct st_video_job){.title = "A title",
                                 .language = "en",
                                 .segments = segments,
                                 .segment_count = count,
                                 .audio_path = sound,
                                 .work_dir = path("work"),
                                 .output_path = path("out.mp4"),
                                 .vtt_path = path("out.vtt"),
                                 .poster_path = path("out.jpg")};
}

static struct st_cue *cues_of(const struct st_video_job *job, int64_t duration, size_t *ret_count)
{
    struct st_cue *cues = st_cues_plan(&arena, job, duration, ret_count);
    int64_t at = 0;
    for (size_t i = 0; i < *ret_count; i++) {
        assert_true(cues[i].start_ms >= at);
        assert_true(cues[i].end_ms > cues[i].start_ms);
        assert_true(cues[i].end_ms <= duration);
        at = cues[i].end_ms;
    }
    return cues;
}

static void test_cues(void **state)
{
    (void)state;
    const struct st_video_segment segments[] = {
        {"First sentence, quite long.", NULL, "joy", 1, 500, 3000},
        {"Oh!", "Mara", "joy", 1, 3100, 3400},
        {"No.", "Mara", "joy", 1, 3450, 3800},
        {"Never spoken", NULL, "joy", 1, 4000, 4000},
        {"This one is spoken slowly.", "Ben", "joy", 1, 4200, 8200},
    };
    struct st_video_job job = job_of(segments, ST_COUNT(segments));
    size_t n;
    struct st_cue *c = cues_of(&job, 10000, &n);
    assert_int_equal(n, 3);
    assert_int_equal(c[0].start_ms, 500);
    assert_int_equal(c[0].end_ms, 3000);
    assert_null(c[0].speaker);
    assert_string_equal(c[1].piece.lines[0], "Oh! No.");
    assert_string_equal(c[1].speaker, "Mara");
    assert_int_equal(c[1].start_ms, 3100);
    assert_int_equal(c[1].end_ms, 4200); /* it stays until the next begins, rather than flash */
    assert_string_equal(c[2].speaker, "Ben");
}

static void test_cues_share_time(void **state)
{
    (void)state;
    struct st_buf text = ST_BUF(1 << 20);
    for (int i = 0; i < 40; i++)
        st_buf_printf(&text, "Sentence number %02d has just as many letters as all the others have. ", i);
    const struct st_video_segment segment = {text.data, NULL, "neutral", 0, 1000, 121000};
    struct st_video_job job = job_of(&segment, 1);
    size_t n;
    struct st_cue *c = cues_of(&job, 200000, &n);
    assert_int_equal(n, 40);
    assert_int_equal(c[0].start_ms, 1000);
    assert_int_equal(c[39].end_ms, 121000);
    for (size_t i = 0; i < n; i++)
        assert_in_range(c[i].end_ms - c[i].start_ms, 2900, 3100);
    st_buf_release(&text);
}

static void test_cues_hostile_times(void **state)
{
    (void)state;
    const struct st_video_segment segments[] = {
        {"one", NULL, NULL, 0, INT64_MIN, 2000},
        {"two", "", NULL, 0, 1000, 500},
        {"three", NULL, "?", 0, 1500, 3000},
        {"four", "\n", NULL, 0, 2500, 2600},
        {"five", NULL, NULL, 0, 9000, INT64_MAX},
        {"six", NULL, NULL, 0, INT64_MAX, INT64_MIN},
        {"", NULL, NULL, 0, 100, 200},
    };
    struct st_video_job job = job_of(segments, ST_COUNT(segments));
    size_t n;
    struct st_cue *c = cues_of(&job, 10000, &n);
    assert_int_equal(n, 3);
    assert_string_equal(c[0].piece.lines[0], "one");
    assert_string_equal(c[1].piece.lines[0], "three");
    assert_int_equal(c[1].start_ms, 2000);
    assert_int_equal(c[2].end_ms, 10000);
    struct st_scene *s = st_scenes_plan(&arena, &job, 10000, &n);
    assert_int_equal(s[n - 1].end_ms, 10000);
}

static size_t check_scenes(const struct st_scene *s, size_t n, int64_t duration)
{
    assert_true(n > 0);
    int64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(s[i].start_ms, at);
        assert_true(s[i].end_ms > at);
        assert_in_range(s[i].mood, 0, ST_MOODS - 1);
        assert_in_range(s[i].variant, 0, ST_PICTURE_VARIANTS - 1);
        at = s[i].end_ms;
    }
    assert_int_equal(at, duration);
    return n;
}

static void test_scenes(void **state)
{
    (void)state;
    const struct st_video_segment segments[] = {
        {"a", NULL, "joy", 1, 0, 1000},          {"b", NULL, "sadness", 0.8, 1000, 9000},
        {"c", NULL, "anger", 1, 9000, 20000},    {"d", NULL, "fear", 0.01, 20000, 28000},
        {"e", NULL, "no such", 1, 28000, 40000},
    };
    struct st_video_job job = job_of(segments, ST_COUNT(segments));
    size_t n;
    struct st_scene *s = st_scenes_plan(&arena, &job, 40000, &n);
    assert_int_equal(check_scenes(s, n, 40000), 3);
    assert_int_equal(s[0].mood, st_mood_find("sadness")); /* what lasts longer decides */
    assert_int_equal(s[0].end_ms, 9000);
    assert_int_equal(s[1].mood, st_mood_find("anger"));
    assert_int_equal(s[2].mood, st_mood_find("neutral")); /* faint fear and an unknown word */
    job.segment_count = 0;
    s = st_scenes_plan(&arena, &job, 100000, &n);
    assert_int_equal(check_scenes(s, n, 100000), 5);
    assert_int_not_equal(s[0].variant, s[1].variant);
    s = st_scenes_plan(&arena, &job, 1, &n);
    assert_int_equal(check_scenes(s, n, 1), 1);
}

static void test_places(void **state)
{
    (void)state;
    assert_int_equal(st_place_find("The ship lay in the harbour.", ST_PLACE_OPEN), ST_PLACE_SEA);
    assert_int_equal(st_place_find("In the season of the captains.", ST_PLACE_ROOM), ST_PLACE_SEA); /* of one captain */
    assert_int_equal(st_place_find("Tief im Wald standen TANNEN und Eichen.", ST_PLACE_OPEN), ST_PLACE_FOREST);
    assert_int_equal(st_place_find("Elle ouvrit la fenêtre de la cuisine", ST_PLACE_OPEN), ST_PLACE_ROOM);
    assert_int_equal(st_place_find("L'\xc3\x8ele!", ST_PLACE_OPEN), ST_PLACE_SEA); /* capitals beyond ASCII */
    assert_int_equal(st_place_find("\xc3\x81RBOLES", ST_PLACE_OPEN), ST_PLACE_FOREST);
    assert_int_equal(st_place_find("Nothing is said of it; unseasoned wordplay.", ST_PLACE_CITY), ST_PLACE_CITY);
    assert_int_equal(st_place_find("", ST_PLACE_DESERT), ST_PLACE_DESERT);
    assert_int_equal(st_place_find("\xd7\x90\xd7\x91 \xe6\xb5\xb7", ST_PLACE_OPEN), ST_PLACE_OPEN);
    const struct st_video_segment segments[] = {
        {"On the ship.", NULL, "joy", 1, 0, 8000},
        {"Hello.", NULL, "joy", 1, 8000, 16000},
        {"In the forest.", NULL, "joy", 1, 16000, 24000},
    };
    struct st_video_job job = job_of(segments, ST_COUNT(segments));
    size_t n;
    struct st_scene *s = st_scenes_plan(&arena, &job, 24000, &n);
    assert_int_equal(n, 2);
    assert_int_equal(s[0].place, ST_PLACE_SEA);
    assert_int_equal(s[1].place, ST_PLACE_FOREST);
    assert_int_equal(s[1].start_ms, 16000);
}

enum { PICTURE_W = 96, PICTURE_H = 54, PICTURE_BYTES = PICTURE_W * PICTURE_H * 3 / 2, LOOKS = ST_MOODS * ST_PLACES };

/* A picture for each mood and place, of one seed: [mood * ST_PLACES + place]. */
static const unsigned char *const *all_pictures(uint64_t seed)
{
    struct st_picture *p = st_picture_new(&arena, PICTURE_W, PICTURE_H);
    const unsigned char **all = st_new_n(&arena, const unsigned char *, LOOKS);
    for (int i = 0; i < LOOKS; i++) {
        unsigned char *copy = st_alloc(&arena, PICTURE_BYTES);
        st_picture_draw(p, i / ST_PLACES, (enum st_place)(i % ST_PLACES), seed);
        all[i] = memcpy(copy, p->plane[0], PICTURE_BYTES);
    }
    return all;
}

/* None is of one colour, and the same seed gives the same. */
static void test_pictures(void **state)
{
    (void)state;
    const unsigned char *const *all = all_pictures(7), *const *again = all_pictures(7);
    for (int i = 0; i < LOOKS; i++) {
        int low = 255, high = 0;
        assert_memory_equal(all[i], again[i], PICTURE_BYTES);
        for (int k = 0; k < PICTURE_W * PICTURE_H; k++) {
            low = all[i][k] < low ? all[i][k] : low;
            high = all[i][k] > high ? all[i][k] : high;
        }
        assert_true(high - low > 30);
    }
}

/* How far two pictures are from each other, in hundredths of a step of brightness and colour for each byte. */
static int differ(const unsigned char *a, const unsigned char *b)
{
    int64_t sum = 0;
    for (int i = 0; i < PICTURE_BYTES; i++)
        sum += abs(a[i] - b[i]);
    return (int)(sum * 100 / PICTURE_BYTES);
}

/* Of each two pictures: those of one place differ by their mood, those of one mood by their place. */
static void test_pictures_differ(void **state)
{
    (void)state;
    const unsigned char *const *all = all_pictures(7);
    for (int i = 0; i < LOOKS; i++)
        for (int k = 0; k < i; k++)
            if ((i / ST_PLACES == k / ST_PLACES || i % ST_PLACES == k % ST_PLACES) && differ(all[i], all[k]) < 200)
                fail_msg("moods %d and %d, places %d and %d: %d", i / ST_PLACES, k / ST_PLACES, i % ST_PLACES,
                         k % ST_PLACES, differ(all[i], all[k]));
}

static void test_scenes_are_bounded(void **state)
{
    (void)state;
    enum { COUNT = 60000, HOUR_MS = 3600 * 1000 };
    struct st_video_segment *segments = st_new_n(&arena, struct st_video_segment, COUNT);
    for (int i = 0; i < COUNT; i++)
        segments[i] = (struct st_video_segment){"x", NULL, i % 2 ? "joy" : "fear", 1, i * 1080LL, i * 1080LL + 1080};
    struct st_video_job job = job_of(segments, COUNT);
    size_t n;
    struct st_scene *s = st_scenes_plan(&arena, &job, 18 * HOUR_MS, &n);
    assert_in_range(check_scenes(s, n, 18 * HOUR_MS), 500, 2001);
}

/* --- the scripts ---------------------------------------------------------------------------------------------------
 */

static const char wicked[] = "{\\p1}m 0 0 l 9 9{\\p0} \\N\\n\\h C:\\new {\\fs300\n\nDialogue: "
                             "0,0:00:00.00,0:09:00.00,Title,,0,0,0,,x --> <b>&amp; \\{";

static void test_ass_is_not_injectable(void **state)
{
    (void)state;
    const struct st_video_segment segments[] = {{wicked, wicked, "joy", 1, 0, 9000}};
    struct st_video_job job = job_of(segments, 1);
    const char *const voices[] = {wicked, NULL};
    job.title = wicked;
    job.voices = voices;
    job.language = "en\nStyle: x";
    size_t n, events = 0;
    struct st_cue *cues = cues_of(&job, 10000, &n);
    assert_true(n > 1);
    assert_int_equal(st_ass_write(path("x.ass"), &job, cues, n, 10000, 200, false), 0);
    char *state_ptr, *text = strstr(read_file(path("x.ass")), "[Events]\n");
    assert_non_null(text);
    for (char *line = strtok_r(text, "\n", &state_ptr); line; line = strtok_r(NULL, "\n", &state_ptr)) {
        if (!st_starts(line, "Dialogue: "))
            continue;
        events++;
        assert_null(strstr(line, "\\fs300}"));
        /* Our own codes stand in front; behind them a brace is always escaped, a backslash never has its meaning. */
        char *p = strchr(strstr(line, ",,0,0,0,,"), '}');
        assert_non_null(p);
        bool shape = strstr(line, ",Shape,") != NULL;
        for (p++; *p && !shape; p++) {
            assert_true(*p != '{' && *p != '}');
            if (*p != '\\')
                continue;
            p++;
            assert_true(*p == '{' || *p == '}' || *p == 'N' || st_starts(p, "\xe2\x81\xa0"));
        }
    }
    assert_int_equal(events, 7 + n + 1); /* title and end cards; captions; one name over all of them */
}

static void test_vtt(void **state)
{
    (void)state;
    const struct st_video_segment segments[] = {{"Tom & <i>Jerry</i> --> end", "A<b>\nc", "joy", 1, 1500, 3723004},
                                                {"And on.", "A<b>\nc", "joy", 1, 3724000, 3726000}};
    struct st_video_job job = job_of(segments, 2);
    size_t n;
    struct st_cue *cues = cues_of(&job, 4000000, &n);
    assert_int_equal(st_vtt_write(path("x.vtt"), cues, n), 0);
    assert_string_equal(
        read_file(path("x.vtt")),
        "WEBVTT\n\n00:00:01.500 --> 01:02:03.004\n"
        "<v A&lt;b&gt; c>A&lt;b&gt; c: Tom &amp; &lt;i&gt;Jerry&lt;/i&gt; --&gt; end\n\n"
        "01:02:04.000 --> 01:02:06.000\n<v A&lt;b&gt; c>And on.\n\n"); /* named where the speaker changes */
    assert_int_equal(st_vtt_write(path("y.vtt"), NULL, 0), 0);
    assert_string_equal(read_file(path("y.vtt")), "WEBVTT\n\n");
    assert_int_equal(st_vtt_write("/no/such/dir/x.vtt", cues, n), ST_E_UNAVAILABLE);
}

/* --- films -------------------------------------------------------------------------------------------------------- */

struct watcher {
    int last, calls, cancel_at;
};

static void on_progress(void *arg, int permille)
{
    struct watcher *w = arg;
    assert_true(permille > w->last && permille <= 1000);
    w->last = permille;
    w->calls++;
}

static bool on_cancel(void *arg)
{
    struct watcher *w = arg;
    return w->cancel_at && w->calls++ >= w->cancel_at;
}

static int render(struct st_video_job job, struct st_video_info *info, char **ret_reason)
{
    struct st_buf reason = ST_BUF(1000);
    int rc = st_video_render(&job, &reason, info);
    *ret_reason = st_strdup(&arena, reason.data ? reason.data : "");
    st_buf_release(&reason);
    /* Whatever the outcome, the work directory is as it was. */
    DIR *d = opendir(path("work"));
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        assert_true(e->d_name[0] == '.');
    closedir(d);
    return rc;
}

/* How many pixels of a part of the film are nearly white at a time: that is text. */
static int bright_pixels(const char *film, double at, const char *crop, int level)
{
    const char *filter = st_printf(&arena, "trim=start=%g,crop=%s,format=gray", at, crop);
    const char *argv[] = {"ffmpeg",    "-v", "error", "-i",       film, "-vf", filter,
                          "-frames:v", "1",  "-f",    "rawvideo", "-",  NULL};
    struct st_spawn_result r = run(argv);
    assert_true(r.out_len > 0);
    int n = 0;
    for (size_t i = 0; i < r.out_len; i++)
        n += (unsigned char)r.out[i] > level;
    return n;
}

static int white_pixels(const char *film, double at, const char *crop)
{
    return bright_pixels(film, at, crop, 235);
}

#define CAPTION_AREA "1000:120:140:560"
#define TITLE_AREA   "1000:160:140:210"

static void test_film(void **state)
{
    (void)state;
    const struct st_video_segment segments[] = {
        {"The first words are spoken here.", NULL, "anger", 1, 1200, 2200},
        {"An answer.", "Mara", "anger", 1, 3000, 4000},
    };
    struct watcher w = {0};
    struct st_video_job job = job_of(segments, 2);
    job.progress = on_progress;
    job.arg = &w;
    struct st_video_info info;
    char *reason;
    int rc = render(job, &info, &reason);
    assert_string_equal(reason, "");
    assert_int_equal(rc, 0);
    assert_in_range(info.duration_ms, SOUND_MS + 800, SOUND_MS + 1900); /* and the end card */
    assert_int_equal(w.last, 1000);
    struct stat st;
    assert_int_equal(stat(job.output_path, &st), 0);
    assert_int_equal(info.bytes, st.st_size);
    char *film = read_file(job.output_path);
    char *moov = memmem(film, (size_t)st.st_size, "moov", 4), *mdat = memmem(film, (size_t)st.st_size, "mdat", 4);
    assert_true(moov && mdat && moov < mdat); /* can be played while it loads */
    assert_memory_equal(read_file(job.poster_path), "\xff\xd8\xff", 3);
    assert_true(st_starts(read_file(job.vtt_path), "WEBVTT\n\n00:00:01.200 --> 00:00:02.400\nThe first"));
    assert_true(white_pixels(job.output_path, 0.2, TITLE_AREA) > 1000);
    assert_true(white_pixels(job.poster_path, 0, TITLE_AREA) > 1000);
    assert_int_equal(white_pixels(job.output_path, 0.6, CAPTION_AREA), 0);
    assert_true(white_pixels(job.output_path, 1.6, CAPTION_AREA) > 1000);
    assert_int_equal(white_pixels(job.output_path, 2.7, CAPTION_AREA), 0);
    assert_true(white_pixels(job.output_path, 3.4, CAPTION_AREA) > 300);
    assert_int_equal(white_pixels(job.output_path, 1.6, "400:34:440:500"), 0);
    assert_true(white_pixels(job.output_path, 3.4, "400:34:440:500") > 100); /* the name */
}

/* Who has lent a voice is named, for as long as it takes. */
static void test_end_card(void **state)
{
    (void)state;
    enum { NAMES = 12, FADED = 125, PAGES_MS = 8000 };
    const struct st_video_segment segment = {"The first words.", NULL, "joy", 1, 500, 3500};
    const char *voices[NAMES + 1] = {NULL};
    struct st_video_job job = job_of(&segment, 1);
    struct st_video_info info;
    char *reason;
    assert_int_equal(render(job, &info, &reason), 0);
    double at = (double)info.duration_ms / 1000 - 0.55;
    assert_int_equal(bright_pixels(job.output_path, at, "1000:340:140:380", FADED), 0);
    for (int i = 0; i < NAMES; i++)
        voices[i] = "Bartholomew Featherstonehaugh - the lighthouse keeper";
    job.voices = voices;
    assert_int_equal(render(job, &info, &reason), 0);
    assert_in_range(info.duration_ms, SOUND_MS + PAGES_MS - 500, SOUND_MS + PAGES_MS + 500);
    for (int page = 0; page < 2; page++)
        assert_true(bright_pixels(job.output_path, 6 + 4 * page, "1000:60:140:390", FADED) > 100);
}

static void test_film_streams(void **state)
{
    (void)state;
    const struct st_video_segment segment = {"Not in the picture.", NULL, "joy", 1, 500, 3500};
    const char *const voices[] = {"{\\b0}Mara", "Ben", NULL};
    struct st_video_job job = job_of(&segment, 1);
    job.width = 720;
    job.height = 1280;
    job.no_captions = true;
    job.voices = voices;
    job.title = "--help \xf0\x9f\x98\x80 'x':y[z];\n=%s";
    job.language = "de-AT";
    struct st_video_info info;
    char *reason;
    int rc = render(job, &info, &reason);
    assert_string_equal(reason, "");
    assert_int_equal(rc, 0);
    const char *argv[] = {"ffprobe",
                          "-v",
                          "error",
                          "-show_entries",
                          "stream=codec_name,width,height,pix_fmt:stream_tags=language:format_tags=title",
                          "-of",
                          "default=nw=1:nk=1",
                          job.output_path,
                          NULL};
    assert_string_equal(
        run(argv).out,
        "h264\n720\n1280\nyuv420p\nund\naac\ndeu\nmov_text\nN/A\nN/A\ndeu\n--help \xf0\x9f\x98\x80 'x':y[z]; =%s\n");
}

/* The track says who speaks, where that changes. */
static void test_film_track(void **state)
{
    (void)state;
    const struct st_video_segment segments[] = {{"Who is there?", "Mara", "joy", 1, 0, 1000},
                                                {"Is it you?", "Mara", "joy", 1, 1000, 2000},
                                                {"Nobody answered.", NULL, "joy", 1, 2000, 2700},
                                                {"It is I, & Ben.", "Ben", "joy", 1, 2700, 3900}};
    struct st_video_job job = job_of(segments, ST_COUNT(segments));
    job.no_captions = true;
    struct st_video_info info;
    char *reason;
    assert_int_equal(render(job, &info, &reason), 0);
    const char *argv[] = {"ffmpeg", "-v", "error", "-i", job.output_path, "-map", "0:s", "-f", "srt", "-", NULL};
    assert_string_equal(run(argv).out, "1\n00:00:00,000 --> 00:00:01,000\nMara: Who is there?\n\n"
                                       "2\n00:00:01,000 --> 00:00:02,000\nIs it you?\n\n"
                                       "3\n00:00:02,000 --> 00:00:02,700\nNobody answered.\n\n"
                                       "4\n00:00:02,700 --> 00:00:03,900\nBen: It is I, & Ben.\n\n");
}

/* Every size that a film may have. */
static void test_film_sizes(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1280, 720}, {720, 1280}, {1920, 1080}, {1080, 1920}};
    const struct st_video_segment segment = {"The first words are spoken here.", "Mara", "joy", 1, 500, 3500};
    for (size_t i = 0; i < ST_COUNT(sizes); i++) {
        struct st_video_job job = job_of(&segment, 1);
        job.width = sizes[i][0];
        job.height = sizes[i][1];
        struct st_video_info info;
        char *reason;
        int rc = render(job, &info, &reason);
        assert_string_equal(reason, "");
        assert_int_equal(rc, 0);
        const char *const files[] = {job.output_path, job.poster_path};
        for (size_t j = 0; j < ST_COUNT(files); j++) {
            const char *argv[] = {
                "ffprobe", "-v",     "error", "-select_streams", "v", "-show_entries", "stream=width,height", "-of",
                "csv=p=0", files[j], NULL};
            assert_string_equal(run(argv).out, st_printf(&arena, "%d,%d\n", sizes[i][0], sizes[i][1]));
        }
    }
}

/* The brightness of a frame of a feed, pixel by pixel. */
enum { FRAME_W = 320, FRAME_H = 180, FRAME_PIXELS = FRAME_W * FRAME_H };
static const unsigned char *frame_at(const struct st_scene *scenes, size_t count, int64_t ms)
{
    const struct st_feed feed = {.scenes = scenes,
                                 .count = count,
                                 .title = "A title",
                                 .w = FRAME_W,
                                 .h = FRAME_H,
                                 .fps = 24,
                                 .film_ms = scenes[count - 1].end_ms};
    assert_int_equal(st_feed_still(&feed, ms, path("frame")), 0);
    return (const unsigned char *)read_file(path("frame"));
}

/* How far two frames are from each other, in thousandths of a step of brightness for each pixel. */
static int64_t apart(const unsigned char *a, const unsigned char *b)
{
    int64_t sum = 0;
    for (int i = 0; i < FRAME_PIXELS; i++)
        sum += abs(a[i] - b[i]);
    return sum * 1000 / FRAME_PIXELS;
}

/* The camera moves over a still picture: always, and never by a jump. */
static void test_camera(void **state)
{
    (void)state;
    for (int variant = 0; variant < ST_PICTURE_VARIANTS; variant++) {
        const struct st_scene scene = {.end_ms = 12000, .mood = st_mood_find("joy"), .variant = variant};
        for (int64_t ms = 1000; ms <= 9000; ms += 2000) {
            const unsigned char *at = frame_at(&scene, 1, ms);
            int64_t next = apart(at, frame_at(&scene, 1, ms + 42)), later = apart(at, frame_at(&scene, 1, ms + 2000));
            if (next < 1 || next > 2000 || later < 2 * next || later > 30000)
                fail_msg("variant %d at %d ms: %d, %d", variant, (int)ms, (int)next, (int)later);
        }
    }
}

/* From one scene to the next by degrees. */
static void test_scenes_fade(void **state)
{
    (void)state;
    const struct st_scene scenes[] = {
        {.end_ms = 6000, .mood = st_mood_find("joy"), .place = ST_PLACE_SEA},
        {.start_ms = 6000, .end_ms = 12000, .mood = st_mood_find("fear"), .place = ST_PLACE_FOREST}};
    const unsigned char *before = frame_at(scenes, 2, 5500), *behind = frame_at(scenes, 2, 6500);
    int64_t whole = apart(before, behind), last = 0;
    assert_true(whole > 5000); /* they are two pictures */
    for (int64_t ms = 5600; ms <= 6400; ms += 100) {
        int64_t gone = apart(before, frame_at(scenes, 2, ms));
        if (gone <= last || gone - last > whole / 4)
            fail_msg("at %d ms: %d, %d before, of %d", (int)ms, (int)gone, (int)last, (int)whole);
        last = gone;
    }
    assert_true(last > whole * 3 / 4);
}

/* The mean colour of the upper half of the film at a time; captions are below. */
static void colour_at(const char *film, double at, int rgb[3])
{
    const char *filter = st_printf(&arena, "trim=start=%g,crop=iw:ih/2:0:0,scale=1:1:flags=area,format=rgb24", at);
    const char *argv[] = {"ffmpeg",    "-v", "error", "-i",       film, "-vf", filter,
                          "-frames:v", "1",  "-f",    "rawvideo", "-",  NULL};
    struct st_spawn_result r = run(argv);
    assert_int_equal(r.out_len, 3);
    for (int i = 0; i < 3; i++)
        rgb[i] = (unsigned char)r.out[i];
}

static const char *clip_of(const char *name, const char *colour)
{
    const char *source = st_printf(&arena, "color=%s:s=1280x720:r=24:d=2", colour);
    const char *argv[] = {"ffmpeg",  "-v",      "error",     "-f",       "lavfi",   "-i",       source, "-c:v",
                          "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", path(name), NULL};
    run(argv);
    return path(name);
}

/* Clips stand before the drawn pictures while they last, one behind the other; words stand before the clips. */
static void test_film_with_clips(void **state)
{
    (void)state;
    const struct st_video_segment segment = {"The first words are spoken here.", NULL, "sadness", 1, 800, 3000};
    const struct st_video_clip clips[] = {{clip_of("green.mp4", "0x00ff00"), 800, 2000},
                                          {clip_of("red.mp4", "0xff0000"), 2000, 3600}};
    struct st_video_job job = job_of(&segment, 1);
    job.clips = clips;
    job.clip_count = 2;
    struct st_video_info info;
    char *reason;
    int before[3], first[3], second[3], behind[3];
    int rc = render(job, &info, &reason);
    assert_string_equal(reason, "");
    assert_int_equal(rc, 0);
    colour_at(job.output_path, 0.6, before);
    colour_at(job.output_path, 1.4, first);
    colour_at(job.output_path, 2.8, second);
    colour_at(job.output_path, 3.8, behind);
    assert_true(first[1] > 200 && first[0] < 60 && first[2] < 60);
    assert_true(second[0] > 200 && second[1] < 60 && second[2] < 60);
    for (int i = 0; i < 3; i++)
        assert_true(before[i] < 200 && behind[i] < 200);
    assert_true(white_pixels(job.output_path, 1.4, CAPTION_AREA) > 1000);
    assert_in_range(info.duration_ms, SOUND_MS + 800, SOUND_MS + 1900); /* as long as without them */
}

/* One too short to fade in and out in the usual time, with which the film begins. */
static void test_film_with_a_short_clip(void **state)
{
    (void)state;
    const struct st_video_segment segment = {"Hi.", NULL, "sadness", 1, 0, 500};
    const struct st_video_clip clip = {clip_of("short.mp4", "0x00ff00"), 0, 500};
    struct st_video_job job = job_of(&segment, 1);
    job.clips = &clip;
    job.clip_count = 1;
    struct st_video_info info;
    char *reason;
    int first[3], behind[3];
    int rc = render(job, &info, &reason);
    assert_string_equal(reason, "");
    assert_int_equal(rc, 0);
    colour_at(job.output_path, 0.25, first);
    colour_at(job.output_path, 0.8, behind);
    assert_true(first[1] > behind[1] + 50);
}

static void test_film_of_many_hostile_segments(void **state)
{
    (void)state;
    enum { COUNT = 12000 };
    struct st_video_segment *segments = st_new_n(&arena, struct st_video_segment, COUNT);
    for (int i = 0; i < COUNT; i++)
        segments[i] = (struct st_video_segment){wicked, i % 3 ? wicked : NULL, "%s", 2, i / 3, i / 3 + i % 2};
    struct st_buf huge = ST_BUF(1 << 20);
    while (huge.len < 300000)
        st_buf_str(&huge, "W\xd7\x90{");
    segments[0] = (struct st_video_segment){huge.data, NULL, NULL, 0, 0, 1000};
    struct st_video_info info;
    char *reason;
    int rc = render(job_of(segments, COUNT), &info, &reason);
    assert_string_equal(reason, "");
    assert_int_equal(rc, 0);
    assert_in_range(info.duration_ms, SOUND_MS + 800, SOUND_MS + 1900); /* and the end card */
    st_buf_release(&huge);
}

static void test_cancel(void **state)
{
    (void)state;
    for (int at = 1; at <= 3; at++) { /* while probing, drawing, encoding */
        struct watcher w = {.cancel_at = at};
        struct st_video_job job = job_of(NULL, 0);
        job.cancelled = on_cancel;
        job.arg = &w;
        struct st_video_info info;
        char *reason;
        assert_int_equal(render(job, &info, &reason), ST_E_CANCELLED);
        assert_false(exists(job.output_path) || exists(job.vtt_path) || exists(job.poster_path));
    }
}

static int render_sound(const char *file)
{
    struct st_video_job job = job_of(NULL, 0);
    job.audio_path = file;
    struct st_video_info info;
    char *reason;
    int rc = render(job, &info, &reason);
    assert_true(*reason);
    assert_false(exists(job.output_path) || exists(job.vtt_path) || exists(job.poster_path));
    return rc;
}

static void test_bad_sound(void **state)
{
    (void)state;
    assert_int_equal(render_sound(path("none.opus")), ST_E_UNPROCESSABLE);
    assert_int_equal(render_sound("/etc/passwd"), ST_E_UNPROCESSABLE);
    FILE *f = fopen(path("list.opus"), "we");
    fprintf(f, "ffconcat version 1.0\nfile %s\n", sound);
    fclose(f);
    assert_int_equal(render_sound(path("list.opus")), ST_E_UNPROCESSABLE); /* no play lists */
    const char *argv[] = {"ffmpeg", "-v", "error", "-i", sound, "-c:a", "flac", "-f", "ogg", path("flac.ogg"), NULL};
    run(argv);
    assert_int_equal(render_sound(path("flac.ogg")), ST_E_UNPROCESSABLE);
    assert_int_equal(render_sound(path("-i.opus")), ST_E_UNPROCESSABLE);
}

static void test_bad_jobs(void **state)
{
    (void)state;
    struct st_video_segment segment = {"\xff", NULL, "joy", 1, 0, 1000};
    struct st_video_job job = job_of(&segment, 1);
    struct st_video_info info;
    char *reason;
    assert_int_equal(render(job, &info, &reason), ST_E_INVALID);
    segment.text = NULL;
    assert_int_equal(render(job, &info, &reason), ST_E_INVALID);
    segment.text = "fine";
    segment.speaker = "\xed\xa0\x80";
    assert_int_equal(render(job, &info, &reason), ST_E_INVALID);
    segment.speaker = NULL;
    job.title = NULL;
    assert_int_equal(render(job, &info, &reason), ST_E_INVALID);
    job.title = "t";
    const char *voices[ST_VIDEO_MAX_VOICES + 2] = {"\xff"};
    job.voices = voices;
    assert_int_equal(render(job, &info, &reason), ST_E_INVALID);
    for (int i = 0; i <= ST_VIDEO_MAX_VOICES; i++)
        voices[i] = "Ben";
    assert_int_equal(render(job, &info, &reason), ST_E_TOO_LARGE);
    job.voices = NULL;
    job.width = 100000;
    assert_int_equal(render(job, &info, &reason), ST_E_INVALID);
    job.width = 0;
    job.output_path = "out.mp4";
    assert_int_equal(render(job, &info, &reason), ST_E_INVALID);
    job.output_path = path("no/such/dir.mp4");
    assert_int_equal(render(job, &info, &reason), ST_E_INTERNAL);
    assert_non_null(strstr(reason, "No such file"));
    job.segment_count = ST_VIDEO_MAX_SEGMENTS + 1;
    assert_int_equal(render(job, &info, &reason), ST_E_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_clean, release),
        cmocka_unit_test_teardown(test_split_sentences, release),
        cmocka_unit_test_teardown(test_split_scripts, release),
        cmocka_unit_test_teardown(test_split_keeps_signs_whole, release),
        cmocka_unit_test_teardown(test_split_hostile, release),
        cmocka_unit_test_teardown(test_wrap, release),
        cmocka_unit_test_teardown(test_cues, release),
        cmocka_unit_test_teardown(test_cues_share_time, release),
        cmocka_unit_test_teardown(test_cues_hostile_times, release),
        cmocka_unit_test_teardown(test_scenes, release),
        cmocka_unit_test_teardown(test_places, release),
        cmocka_unit_test_teardown(test_pictures, release),
        cmocka_unit_test_teardown(test_pictures_differ, release),
        cmocka_unit_test_teardown(test_scenes_are_bounded, release),
        cmocka_unit_test_teardown(test_ass_is_not_injectable, release),
        cmocka_unit_test_teardown(test_vtt, release),
        cmocka_unit_test_teardown(test_film, release),
        cmocka_unit_test_teardown(test_end_card, release),
        cmocka_unit_test_teardown(test_film_streams, release),
        cmocka_unit_test_teardown(test_film_track, release),
        cmocka_unit_test_teardown(test_film_sizes, release),
        cmocka_unit_test_teardown(test_camera, release),
        cmocka_unit_test_teardown(test_scenes_fade, release),
        cmocka_unit_test_teardown(test_film_with_clips, release),
        cmocka_unit_test_teardown(test_film_with_a_short_clip, release),
        cmocka_unit_test_teardown(test_film_of_many_hostile_segments, release),
        cmocka_unit_test_teardown(test_cancel, release),
        cmocka_unit_test_teardown(test_bad_sound, release),
        cmocka_unit_test_teardown(test_bad_jobs, release),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, setup, cleanup);
}
