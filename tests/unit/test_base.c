/* The base library: arena, buffers, strings, numbers, encodings, time, identifiers, errors, log lines, doorbell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <locale.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "base/bell.h"
#include "io/json.h"

static struct st_arena arena;

static int release(void **state)
{
    (void)state;
    st_arena_release(&arena);
    return 0;
}

/* Does fn end the process by abort? */
static bool aborts(void (*fn)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        fn();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

/* --- arena ----------------------------------------------------------------------------------------------------------
 */

static void test_arena_gives_zeroed_aligned_memory(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 3, 15, 16, 17, 4095, 4096, 4097, 16384, 100000, 7};
    unsigned char *blocks[ST_COUNT(sizes)];
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < ST_COUNT(sizes); i++) {
            blocks[i] = st_alloc(&arena, sizes[i]);
            assert_non_null(blocks[i]);
            assert_int_equal((uintptr_t)blocks[i] % _Alignof(max_align_t), 0);
            for (size_t k = 0; k < sizes[i]; k++)
                assert_int_equal(blocks[i][k], 0);
            memset(blocks[i], 0xa0 + (int)i, sizes[i]);
        }
        for (size_t i = 0; i < ST_COUNT(sizes); i++)
            for (size_t k = 0; k < sizes[i]; k++)
                assert_int_equal(blocks[i][k], 0xa0 + i);
        st_arena_reset(&arena); /* what is used again is zeroed again */
    }
}

static void test_arena_strings(void **state)
{
    (void)state;
    assert_null(st_strdup(&arena, NULL));
    assert_string_equal(st_strdup(&arena, ""), "");
    assert_string_equal(st_strndup(&arena, "abcdef", 3), "abc");
    assert_string_equal(st_printf(&arena, "%d-%s", 7, "x"), "7-x");
    const char *big = st_printf(&arena, "%50000d|", 1);
    assert_int_equal(strlen(big), 50001);
    assert_int_equal(big[50000], '|');
}

static int order[8], n_order;
static void note(void *ptr)
{
    order[n_order++] = *(int *)ptr;
}

static void test_arena_runs_deferred_calls_backwards_once(void **state)
{
    (void)state;
    static int numbers[] = {1, 2, 3};
    n_order = 0;
    for (size_t i = 0; i < ST_COUNT(numbers); i++)
        st_defer(&arena, note, &numbers[i]);
    st_arena_reset(&arena);
    assert_int_equal(n_order, 3);
    assert_int_equal(order[0], 3);
    assert_int_equal(order[2], 1);
    st_arena_release(&arena);
    st_arena_release(&arena);
    assert_int_equal(n_order, 3);
    assert_string_equal(st_strdup(&arena, "usable again"), "usable again");
}

static void alloc_overflow(void)
{
    volatile size_t much = SIZE_MAX / 4;
    (void)st_alloc_array(&arena, much, 8);
}
static void alloc_too_much(void)
{
    volatile size_t much = SIZE_MAX - 4;
    (void)st_alloc(&arena, much);
}

static void test_arena_refuses_sizes_that_overflow(void **state)
{
    (void)state;
    assert_true(aborts(alloc_overflow));
    assert_true(aborts(alloc_too_much));
}

/* --- buffers --------------------------------------------------------------------------------------------------------
 */

static void test_buf_grows_up_to_its_limit(void **state)
{
    (void)state;
    struct st_buf b = ST_BUF(1000);
    for (int i = 0; i < 100; i++)
        st_buf_printf(&b, "%010d", i);
    assert_false(b.failed);
    assert_int_equal(b.len, 1000);
    assert_int_equal(b.data[1000], '\0');
    st_buf_char(&b, 'x');
    assert_true(b.failed);
    assert_int_equal(b.len, 1000);
    st_buf_add(&b, "", 0); /* sticky */
    assert_true(b.failed);
    st_buf_clear(&b);
    assert_false(b.failed);
    assert_string_equal(b.data, "");
    st_buf_str(&b, "again");
    assert_string_equal(b.data, "again");
    st_buf_release(&b);
    st_buf_release(&b);
    assert_null(b.data);
}

static void test_buf_that_is_too_much_at_once(void **state)
{
    (void)state;
    struct st_buf b = ST_BUF(8), none = ST_BUF(0);
    st_buf_printf(&b, "%s", "123456789");
    assert_true(b.failed);
    assert_int_equal(b.len, 0);
    st_buf_str(&b, "1");
    assert_int_equal(b.len, 0);
    st_buf_release(&b);
    st_buf_str(&none, "");
    assert_false(none.failed);
    st_buf_char(&none, 'x');
    assert_true(none.failed);
    st_buf_release(&none);
}

static void test_buf_json_reads_back(void **state)
{
    (void)state;
    char all[0x80];
    for (int c = 1; c < 0x80; c++)
        all[c - 1] = (char)c;
    all[0x7f] = '\0';
    static const char *const texts[] = {"", "plain", "\"\\/\b\f\n\r\t\x01\x7f", "Grüße, 漢字, 🦉, \u2028"};
    for (size_t i = 0; i <= ST_COUNT(texts); i++) {
        const char *text = i < ST_COUNT(texts) ? texts[i] : all, *why;
        struct st_buf b = ST_BUF(4096);
        json_t *j;
        st_buf_char(&b, '[');
        st_buf_json(&b, text, strlen(text));
        st_buf_char(&b, ']');
        assert_int_equal(st_json_parse(&arena, b.data, b.len, 1, &j, &why), 0);
        assert_string_equal(json_string_value(json_array_get(j, 0)), text);
        for (size_t k = 0; k < b.len; k++)
            assert_true((unsigned char)b.data[k] >= 0x20);
        st_buf_release(&b);
    }
}

/* --- numbers --------------------------------------------------------------------------------------------------------
 */

static void test_integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"0", 0},
                {"-0", 0},
                {"7", 7},
                {"-7", -7},
                {"007", 7},
                {"9223372036854775807", INT64_MAX},
                {"-9223372036854775808", INT64_MIN}};
    static const char *const bad[] = {NULL,
                                      "",
                                      "-",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "\t1",
                                      "1.0",
                                      "0x10",
                                      "1e3",
                                      "--1",
                                      "1-",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "99999999999999999999999",
                                      "١"};
    int64_t n;
    for (size_t i = 0; i < ST_COUNT(good); i++) {
        assert_true(st_parse_i64(good[i].text, INT64_MIN, INT64_MAX, &n));
        assert_int_equal(n, good[i].value);
    }
    n = 42;
    for (size_t i = 0; i < ST_COUNT(bad); i++)
        assert_false(st_parse_i64(bad[i], INT64_MIN, INT64_MAX, &n));
    assert_false(st_parse_i64("101", 1, 100, &n));
    assert_false(st_parse_i64("0", 1, 100, &n));
    assert_int_equal(n, 42);
    assert_true(st_parse_i64("100", 1, 100, &n));
    assert_string_equal(st_i64(&arena, INT64_MIN), "-9223372036854775808");
}

static void test_decimals(void **state)
{
    (void)state;
    static const char *const bad[] = {NULL,  "",      "-",  "nan", "inf", "-inf", "0x1p3",
                                      "1,5", "1e999", " 1", "1 ",  "1e",  "."};
    double d = 0;
    for (int i = 0; i < 2; i++) {
        assert_true(st_parse_double("-1.5e3", &d));
        assert_true(d == -1500);
        assert_true(st_parse_double("0.1", &d));
        assert_true(d == 0.1);
        for (size_t k = 0; k < ST_COUNT(bad); k++)
            assert_false(st_parse_double(bad[k], &d));
        (void)setlocale(LC_ALL, "de_DE.UTF-8"); /* where there is one: a comma for the point */
    }
    (void)setlocale(LC_ALL, "C");
}

/* --- text -----------------------------------------------------------------------------------------------------------
 */

static void test_comparisons(void **state)
{
    (void)state;
    assert_true(st_streq(NULL, NULL));
    assert_false(st_streq(NULL, ""));
    assert_true(st_streq("a", "a"));
    assert_true(st_starts("abc", "ab"));
    assert_true(st_starts("abc", ""));
    assert_false(st_starts("ab", "abc"));
    assert_true(st_ends("abc", "bc"));
    assert_false(st_ends("c", "bc"));
    assert_true(st_equal_secret("abc", "abd", 2));
    assert_false(st_equal_secret("abc", "abd", 3));
    assert_true(st_equal_secret("", "", 0));
}

static void test_utf8_validity(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "a",
                                       "\x7f",
                                       "é",
                                       "€",
                                       "😀",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xf4\x8f\xbf\xbf",
                                       "\xc2\x80",
                                       "\xe0\xa0\x80",
                                       "\xf0\x90\x80\x80"};
    static const char *const bad[] = {"\x80",
                                      "\xbf",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc3",
                                      "\xe2\x82",
                                      "\xf0\x9f\x98",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xfe",
                                      "\xff",
                                      "a\xe2\x28\xa1",
                                      "\xc3(",
                                      "ok\x80"};
    for (size_t i = 0; i < ST_COUNT(good); i++)
        assert_true(st_utf8_valid(good[i], strlen(good[i])));
    for (size_t i = 0; i < ST_COUNT(bad); i++)
        assert_false(st_utf8_valid(bad[i], strlen(bad[i])));
    assert_false(st_utf8_valid("a\0b", 3));
    assert_false(st_utf8_valid("é", 1)); /* the length decides, not the NUL */
}

static void test_utf8_every_code_point(void **state)
{
    (void)state;
    for (uint32_t cp = 1; cp <= 0x10ffff; cp++) {
        if (cp >= 0xd800 && cp < 0xe000)
            continue;
        char text[5] = "";
        size_t n = st_utf8_put(cp, text);
        const char *at = text;
        if (!st_utf8_valid(text, n) || st_utf8_length(text, n) != 1 || st_utf8_next(&at) != cp || at != text + n)
            fail_msg("U+%04X", cp);
    }
    assert_int_equal(st_utf8_length("aé€😀", 10), 4);
}

static void test_hex(void **state)
{
    (void)state;
    assert_string_equal(st_hex(&arena, "\x00\xff\x1a", 3), "00ff1a");
    assert_string_equal(st_hex(&arena, "", 0), "");
    assert_memory_equal(st_unhex(&arena, "00fF1A", 6), "\x00\xff\x1a", 4);
    assert_string_equal(st_unhex(&arena, "", 0), "");
    assert_null(st_unhex(&arena, "00f", 3));
    assert_null(st_unhex(&arena, "0g", 2));
    unsigned char all[256];
    char wanted_all[2 * sizeof(all) + 1];
    for (size_t i = 0; i < sizeof(all); i++) {
        all[i] = (unsigned char)(7 * i);
        snprintf(wanted_all + 2 * i, 3, "%02x", all[i]);
    }
    for (size_t len = 0; len <= sizeof(all); len++)
        assert_string_equal(st_hex(&arena, all, len), st_strndup(&arena, wanted_all, 2 * len));
    for (int byte = 0; byte < 256; byte++) {
        const unsigned char same[] = {byte, 255 - byte, byte, 0, 255, byte, byte ^ 0x0f};
        const char *wanted = st_printf(&arena, "%02x%02x%02x00ff%02x%02x", byte, 255 - byte, byte, byte, byte ^ 0x0f);
        for (size_t len = 0; len <= sizeof(same); len++)
            assert_string_equal(st_hex(&arena, same, len), st_strndup(&arena, wanted, 2 * len));
    }
}

static void test_base64url(void **state)
{
    (void)state;
    /* RFC 4648 section 10, without padding. */
    static const char *const pairs[][2] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xfe", "-__-"}};
    static const char *const bad[] = {"Zg==", "Zm8=",  "Z",      "Zm9vY", "Zh",    "Zm9",    "+__-",
                                      "-//-", "Zm 9v", "Zm9v\n", " Zm9v", "Zm9v.", "Zm9vYx", "é"};
    size_t n;
    for (size_t i = 0; i < ST_COUNT(pairs); i++) {
        assert_string_equal(st_b64url(&arena, pairs[i][0], strlen(pairs[i][0])), pairs[i][1]);
        const unsigned char *back = st_b64url_decode(&arena, pairs[i][1], strlen(pairs[i][1]), &n);
        assert_non_null(back);
        assert_int_equal(n, strlen(pairs[i][0]));
        assert_memory_equal(back, pairs[i][0], n + 1);
    }
    for (size_t i = 0; i < ST_COUNT(bad); i++)
        assert_null(st_b64url_decode(&arena, bad[i], strlen(bad[i]), &n));
    assert_null(st_b64url_decode(&arena, "Zm\0v", 4, &n));
    for (int c = 0; c < 256; c++) {
        bool digit = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        for (size_t at = 0; at < 6; at++) {
            char text[] = "AAAAAA";
            text[at] = (char)c;
            bool stray = at == 5 && digit && strchr("AQgw", c) == NULL; /* bits beyond the last byte */
            assert_int_equal(st_b64url_decode(&arena, text, 6, &n) != NULL, digit && !stray);
        }
    }
    unsigned char bytes[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (unsigned char)i;
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        const char *text = st_b64url(&arena, bytes, len);
        const unsigned char *back = st_b64url_decode(&arena, text, strlen(text), &n);
        assert_non_null(back);
        assert_int_equal(n, len);
        assert_memory_equal(back, bytes, len);
    }
}

static const char *decode(const char *s, bool plus)
{
    return st_url_decode(&arena, s, strlen(s), plus);
}

static void test_url_coding(void **state)
{
    (void)state;
    assert_string_equal(decode("", false), "");
    assert_string_equal(decode("a%20b+c", false), "a b+c");
    assert_string_equal(decode("a%20b+c", true), "a b c");
    assert_string_equal(decode("%c3%A9%2f%2B", true), "é/+");
    assert_string_equal(decode("%41", false), "A");
    static const char *const bad[] = {"%",   "%4",    "a%",  "%4g", "%g4",       "%%41",   "% 41", "%+1",
                                      "%00", "a%00b", "%ff", "%c3", "%ed%a0%80", "%c0%af", "\xff"};
    for (size_t i = 0; i < ST_COUNT(bad); i++)
        assert_null(decode(bad[i], true));
    assert_null(st_url_decode(&arena, "a\0b", 3, false));
    assert_null(st_url_decode(&arena, "%41", 2, false)); /* what lies behind the length is not read */
    assert_string_equal(st_url_encode(&arena, "aZ09-._~"), "aZ09-._~");
    assert_string_equal(st_url_encode(&arena, "a b/é&=+%"), "a%20b%2F%C3%A9%26%3D%2B%25");
    const char *text = "x\x01 \"<>#?[]@!$'()*,;:/\\|é漢🦉";
    assert_string_equal(decode(st_url_encode(&arena, text), true), text);
}

/* --- time -----------------------------------------------------------------------------------------------------------
 */

static void test_time_format(void **state)
{
    (void)state;
    char out[ST_TIME_LEN];
    assert_string_equal(st_time_format(0, out), "1970-01-01T00:00:00.000Z");
    assert_string_equal(st_time_format(1769850307042999, out), "2026-01-31T09:05:07.042Z");
    int64_t us, now = st_now();
    assert_true(st_time_parse(st_time_format(now, out), &us));
    assert_int_equal(us, now / 1000 * 1000);
}

static void test_time_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01t00:00:00z", 0},
        {"1970-01-01 00:00:01Z", ST_SECOND},
        {"2026-01-31T09:05:07.042Z", 1769850307042000},
        {"2026-01-31T09:05:07.0429999Z", 1769850307042999},
        {"2026-01-31T10:05:07.042+01:00", 1769850307042000},
        {"2026-01-30T21:35:07.042-11:30", 1769850307042000},
        {"2026-01-31T09:05:07.123456789Z", 1769850307123456},
        {"2026-01-31T09:05:07.1Z", 1769850307100000},
        {"2016-12-31T23:59:60Z", 1483228799 * ST_SECOND},
        {"2024-02-29T00:00:00Z", 1709164800 * ST_SECOND},
        {"2000-02-29T00:00:00Z", 951782400 * ST_SECOND},
        {"1969-12-31T23:59:59Z", -ST_SECOND},
    };
    static const char *const bad[] = {"",
                                      "2026",
                                      "2026-01-31",
                                      "2026-01-31T09:05",
                                      "2026-01-31T09:05:07",
                                      "2026-01-31T09:05:07+01",
                                      "2026-01-31T09:05:07+0100",
                                      "2026-01-31T09:05:07+24:00",
                                      "2026-01-31T09:05:07+01:60",
                                      "2026-1-31T09:05:07Z",
                                      "2026-13-01T09:05:07Z",
                                      "2026-00-01T09:05:07Z",
                                      "2026-02-29T09:05:07Z",
                                      "1900-02-29T00:00:00Z",
                                      "2026-04-31T09:05:07Z",
                                      "2026-01-00T09:05:07Z",
                                      "2026-01-31T24:00:00Z",
                                      "2026-01-31T09:60:07Z",
                                      "2026-01-31T09:05:61Z",
                                      "2026-01-31T09:05:07.Z",

                                      "2026-01-31T09:05:07Z ",
                                      " 2026-01-31T09:05:07Z",
                                      "2026-01-31_09:05:07Z",
                                      "2026-01-31T09:05:07ZZ",
                                      "+026-01-31T09:05:07Z"};
    int64_t us;
    for (size_t i = 0; i < ST_COUNT(good); i++) {
        if (!st_time_parse(good[i].text, &us))
            fail_msg("%s is not understood", good[i].text);
        assert_int_equal(us, good[i].us);
    }
    us = 42;
    for (size_t i = 0; i < ST_COUNT(bad); i++)
        if (st_time_parse(bad[i], &us))
            fail_msg("%s is taken", bad[i]);
    assert_int_equal(us, 42);
}

static void test_clocks(void **state)
{
    (void)state;
    int64_t before = st_mono();
    st_sleep_ms(20);
    assert_true(st_mono() - before >= 20000);
    assert_in_range(st_now(), 1700000000 * ST_SECOND, 5000000000 * ST_SECOND);
}

/* --- identifiers ----------------------------------------------------------------------------------------------------
 */

static void test_uuid_shape(void **state)
{
    (void)state;
    char id[ST_UUID_LEN];
    int64_t before = st_now() / 1000;
    st_uuid(id);
    assert_true(st_is_uuid(id));
    assert_int_equal(id[14], '7');
    assert_non_null(strchr("89ab", id[19]));
    const char *hex = st_printf(&arena, "%.8s%.4s", id, id + 9);
    assert_in_range(strtoll(hex, NULL, 16), before, before + 5000);
    static const char *const bad[] = {"",
                                      "0193c7e2",
                                      "0193c7e2-1111-7111-8111-11111111111",
                                      "0193c7e2-1111-7111-8111-1111111111111",
                                      "0193c7e2-1111-7111-8111_111111111111",
                                      "0193c7e2-1111-7111-8111-11111111111g",
                                      "{193c7e2-1111-7111-8111-11111111111}"};
    for (size_t i = 0; i < ST_COUNT(bad); i++)
        assert_false(st_is_uuid(bad[i]));
    assert_true(st_is_uuid("0193C7E2-1111-7111-8111-ABCDEFabcdef"));
}

enum { IDS = 20000, ID_THREADS = 4 };
static char (*ids)[ST_UUID_LEN];

static void *make_ids(void *ctx)
{
    int thread = *(int *)ctx;
    for (int i = 0; i < IDS; i++)
        st_uuid(ids[thread * IDS + i]);
    return NULL;
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void test_uuids_rise_and_are_unique(void **state)
{
    (void)state;
    pthread_t threads[ID_THREADS];
    int numbers[ID_THREADS];
    ids = calloc((size_t)IDS * ID_THREADS, sizeof(*ids));
    for (int i = 0; i < ID_THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, make_ids, &numbers[i]), 0);
    }
    for (int i = 0; i < ID_THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int t = 0; t < ID_THREADS; t++)
        for (int i = 1; i < IDS; i++)
            assert_true(strcmp(ids[t * IDS + i - 1], ids[t * IDS + i]) < 0);
    qsort(ids, (size_t)IDS * ID_THREADS, sizeof(*ids), compare_ids);
    for (int i = 1; i < IDS * ID_THREADS; i++)
        assert_string_not_equal(ids[i - 1], ids[i]);
    free(ids);
}

static void test_random_fills_all(void **state)
{
    (void)state;
    unsigned char seen[1000] = {0}, bytes[1002];
    bytes[0] = bytes[1001] = 0x5a;
    for (int round = 0; round < 20; round++) {
        st_random(bytes + 1, 1000);
        for (int i = 0; i < 1000; i++)
            seen[i] |= bytes[i + 1];
    }
    assert_int_equal(bytes[0], 0x5a);
    assert_int_equal(bytes[1001], 0x5a);
    for (int i = 0; i < 1000; i++)
        assert_int_not_equal(seen[i], 0);
}

/* --- errors ---------------------------------------------------------------------------------------------------------
 */

static void test_error_table(void **state)
{
    (void)state;
    for (int e = ST_E_FIRST_ + 1; e < ST_E_END_; e++) {
        assert_in_range(st_err_status(e), 400, 599);
        assert_true(strlen(st_err_title(e)) > 5);
        assert_int_equal(strspn(st_err_code(e), "abcdefghijklmnopqrstuvwxyz_"), strlen(st_err_code(e)));
        for (int other = ST_E_FIRST_ + 1; other < e; other++)
            assert_string_not_equal(st_err_code(e), st_err_code(other));
    }
    assert_int_equal(st_err_status(ST_E_NOT_FOUND), 404);
    assert_string_equal(st_err_code(ST_E_LIMITED), "rate_limited");
    static const int unknown[] = {0, 1, -1, -999999, INT32_MAX, INT32_MIN, ST_E_FIRST_, ST_E_END_};
    for (size_t i = 0; i < ST_COUNT(unknown); i++) {
        assert_int_equal(st_err_status(unknown[i]), 500);
        assert_string_equal(st_err_code(unknown[i]), "internal_error");
    }
}

static void test_error_from_status(void **state)
{
    (void)state;
    assert_int_equal(st_err_from_status(404), ST_E_NOT_FOUND);
    assert_int_equal(st_err_from_status(401), ST_E_UNAUTHENTICATED);
    assert_int_equal(st_err_from_status(409), ST_E_CONFLICT);
    assert_int_equal(st_err_from_status(503), ST_E_UNAVAILABLE);
    assert_int_equal(st_err_from_status(418), ST_E_INVALID);
    assert_int_equal(st_err_from_status(599), ST_E_BAD_GATEWAY);
}

/* --- log ------------------------------------------------------------------------------------------------------------
 */

/* What fn writes to stderr. */
static char *stderr_of(void (*fn)(void))
{
    int saved = dup(STDERR_FILENO);
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_return_code(dup2(fileno(file), STDERR_FILENO), errno);
    fn();
    dup2(saved, STDERR_FILENO);
    close(saved);
    char *text = st_alloc(&arena, 256 * 1024);
    rewind(file);
    size_t n = fread(text, 1, 256 * 1024 - 1, file);
    fclose(file);
    text[n] = '\0';
    return text;
}

/* The single line that fn writes, as JSON. */
static json_t *line_of(void (*fn)(void))
{
    char *text = stderr_of(fn), *end = strchr(text, '\n');
    json_t *line;
    const char *why = "";
    assert_non_null(end);
    assert_int_equal(end[1], '\0');
    if (st_json_parse(&arena, text, (size_t)(end - text), 4, &line, &why) < 0)
        fail_msg("%s: %s", why, text);
    return line;
}

static void log_plainly(void)
{
    st_log_context(NULL, NULL);
    st_log(ST_LOG_INFO, "Started");
}
static void log_fully(void)
{
    st_log_context("c-1", "u-1");
    errno = ENOENT;
    st_log(ST_LOG_ERROR, "It\n\"failed\"", ST_S("name", "Zoë"), ST_I("count", -5), ST_S("none", NULL));
    assert_int_equal(errno, ENOENT);
    st_log_context(NULL, NULL);
}
static void log_debug(void)
{
    st_log(ST_LOG_DEBUG, "Not shown");
}

static void test_log_line(void **state)
{
    (void)state;
    st_log_setup("unit", ST_LOG_INFO);
    json_t *line = line_of(log_plainly);
    int64_t at;
    assert_true(st_time_parse(st_json_str(line, "timestamp", ""), &at));
    assert_in_range(at, st_now() - 60 * ST_SECOND, st_now());
    json_object_del(line, "timestamp");
    assert_string_equal(st_json_text(&arena, line),
                        "{\"service\":\"unit\",\"level\":\"info\",\"message\":\"Started\",\"metadata\":{}}");
    line = line_of(log_fully);
    json_object_del(line, "timestamp");
    assert_string_equal(
        st_json_text(&arena, line),
        "{\"service\":\"unit\",\"level\":\"error\",\"correlationId\":\"c-1\",\"userId\":\"u-1\","
        "\"message\":\"It\\n\\\"failed\\\"\",\"metadata\":{\"name\":\"Zoë\",\"count\":-5,\"none\":\"\"}}");
    assert_string_equal(stderr_of(log_debug), "");
    st_log_setup("unit", ST_LOG_DEBUG);
    assert_string_equal(st_json_str(line_of(log_debug), "level", ""), "debug");
    st_log_setup("unit", ST_LOG_INFO);
}

static const char *hostile;
static void log_hostile(void)
{
    st_log(ST_LOG_INFO, "Hostile", ST_S("value", hostile));
}
static const char *logged(const char *value)
{
    hostile = value;
    return st_json_str(json_object_get(line_of(log_hostile), "metadata"), "value", "");
}

static void test_log_hostile_values(void **state)
{
    (void)state;
    assert_string_equal(logged("a\xff"
                               "b\xc3"),
                        "a?b?");
    assert_string_equal(logged("line\r\n{\"level\":\"error\"}"), "line\r\n{\"level\":\"error\"}");
    /* Cut at 2,000 bytes, never inside a character. */
    for (int before = 1996; before <= 2001; before++) {
        char *text = st_alloc(&arena, 2100);
        memset(text, 'a', (size_t)before);
        memcpy(text + before, "é😀é", 9);
        const char *shown = logged(text);
        assert_in_range(strlen(shown), 1996, 2000);
        assert_memory_equal(shown, text, strlen(shown));
    }
}

static void log_much(void)
{
    st_log(ST_LOG_INFO, "Much", ST_S("a", hostile), ST_S("b", hostile), ST_S("c", hostile), ST_S("d", hostile));
}

/* Whoever controls the values must not be able to keep a line out of the log. */
static void test_log_line_that_is_too_long_is_still_a_line(void **state)
{
    (void)state;
    char *text = st_alloc(&arena, 2001);
    memset(text, 1, 2000); /* each becomes six characters */
    hostile = text;
    assert_string_equal(st_json_str(line_of(log_much), "message", ""), "Much");
}

/* --- doorbell -------------------------------------------------------------------------------------------------------
 */

static void *ring_later(void *ctx)
{
    st_sleep_ms(30);
    st_bell_ring(ctx);
    return NULL;
}

static void test_bell(void **state)
{
    (void)state;
    struct st_bell bell;
    pthread_t thread;
    st_bell_init(&bell);
    uint64_t seen = st_bell_rings(&bell);
    int64_t from = st_mono();
    st_bell_wait(&bell, seen, 30);
    assert_true(st_mono() - from >= 25000);
    st_bell_ring(&bell); /* kept for whoever waits next */
    from = st_mono();
    st_bell_wait(&bell, seen, 600000);
    assert_true(st_mono() - from < 300 * ST_SECOND);
    seen = st_bell_rings(&bell);
    assert_int_equal(pthread_create(&thread, NULL, ring_later, &bell), 0);
    st_bell_wait(&bell, seen, 600000);
    assert_int_equal(st_bell_rings(&bell), seen + 1);
    assert_true(st_mono() - from < 300 * ST_SECOND);
    pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_arena_gives_zeroed_aligned_memory, release),
        cmocka_unit_test_teardown(test_arena_strings, release),
        cmocka_unit_test_teardown(test_arena_runs_deferred_calls_backwards_once, release),
        cmocka_unit_test_teardown(test_arena_refuses_sizes_that_overflow, release),
        cmocka_unit_test_teardown(test_buf_grows_up_to_its_limit, release),
        cmocka_unit_test_teardown(test_buf_that_is_too_much_at_once, release),
        cmocka_unit_test_teardown(test_buf_json_reads_back, release),
        cmocka_unit_test_teardown(test_integers, release),
        cmocka_unit_test_teardown(test_decimals, release),
        cmocka_unit_test_teardown(test_comparisons, release),
        cmocka_unit_test_teardown(test_utf8_validity, release),
        cmocka_unit_test_teardown(test_utf8_every_code_point, release),
        cmocka_unit_test_teardown(test_hex, release),
        cmocka_unit_test_teardown(test_base64url, release),
        cmocka_unit_test_teardown(test_url_coding, release),
        cmocka_unit_test_teardown(test_time_format, release),
        cmocka_unit_test_teardown(test_time_parse, release),
        cmocka_unit_test_teardown(test_clocks, release),
        cmocka_unit_test_teardown(test_uuid_shape, release),
        cmocka_unit_test_teardown(test_uuids_rise_and_are_unique, release),
        cmocka_unit_test_teardown(test_random_fills_all, release),
        cmocka_unit_test_teardown(test_error_table, release),
        cmocka_unit_test_teardown(test_error_from_status, release),
        cmocka_unit_test_teardown(test_log_line, release),
        cmocka_unit_test_teardown(test_log_hostile_values, release),
        cmocka_unit_test_teardown(test_log_line_that_is_too_long_is_still_a_line, release),
        cmocka_unit_test_teardown(test_bell, release),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
