/* What was spoken, on disk: found again, made once, forgotten by whose voice it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/spawn.h"
#include "narration/speech_cache.h"

static struct st_arena arena;
static char dir[] = "/tmp/st-speech-cache-XXXXXX";

static const char *in_dir(const char *name)
{
    return st_printf(&arena, "%s/%s", dir, name);
}

static int start(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    const char *argv[] = {"rm", "-r", dir, NULL};
    struct st_spawn_result r;
    int rc = st_spawn(&arena, &(struct st_spawn){.argv = argv, .timeout_us = 10 * ST_SECOND}, &r);
    st_arena_release(&arena);
    return rc;
}

static int release(void **state)
{
    (void)state;
    st_arena_release(&arena);
    return 0;
}

static struct st_manner manner(enum speak_engine engine, const char *name)
{
    struct st_manner m = {.engine = engine, .pitch = 1000, .range = 1000, .rate = 1000};
    snprintf(m.name, sizeof(m.name), "%s", name);
    return m;
}

static const char *any_file(const char *folder)
{
    const char *argv[] = {"find", folder, "-type", "f", NULL};
    struct st_spawn_result r;
    assert_int_equal(st_spawn(&arena, &(struct st_spawn){.argv = argv, .timeout_us = 10 * ST_SECOND}, &r), 0);
    r.out[strcspn(r.out, "\n")] = '\0';
    return r.out;
}

static void test_single_flight(void **state)
{
    (void)state;
    const struct st_manner m = manner(SPEAK_FLITE, "rms");
    const struct st_speech_key key = st_speech_key_of(&m, "One", 3), other = st_speech_key_of(&m, "Two", 3);
    const char *cache = in_dir("flight");
    atomic_bool stop = true;
    assert_int_equal(mkdir(cache, 0700), 0);
    int claim = st_speech_cache_claim(cache, &key, NULL), second = st_speech_cache_claim(cache, &other, NULL);
    assert_true(claim >= 0 && second >= 0);
    assert_int_equal(st_speech_cache_claim(cache, &key, &stop), -1);
    st_speech_cache_release(claim);
    claim = st_speech_cache_claim(cache, &key, &stop);
    assert_true(claim >= 0);
    st_speech_cache_release(claim);
    st_speech_cache_release(second);
    assert_int_equal(st_speech_cache_claim(in_dir("none"), &key, NULL), -1);
}

static void test_cache(void **state)
{
    (void)state;
    const char *cache = in_dir("cache");
    struct st_manner m = manner(SPEAK_FLITE, "rms"), other = m;
    int16_t samples[1000];
    const struct st_pcm fresh = {samples, ST_COUNT(samples), 24000};
    struct st_pcm pcm = {0};
    for (size_t i = 0; i < ST_COUNT(samples); i++)
        samples[i] = (int16_t)i;
    struct st_manner newer = m;
    other.pitch++;
    newer.maker = "flite 9";
    const struct st_speech_key key = st_speech_key_of(&m, "Hello", 5), key2 = st_speech_key_of(&other, "Hello", 5),
                               key3 = st_speech_key_of(&m, "Hella", 5), key4 = st_speech_key_of(&newer, "Hello", 5);
    assert_int_equal(mkdir(cache, 0700), 0);
    assert_false(st_speech_cache_get_pcm(cache, &key, &pcm));
    assert_true(st_speech_cache_put_pcm(cache, &key, &fresh));
    assert_true(st_speech_cache_get_pcm(cache, &key, &pcm));
    assert_int_equal(pcm.rate, fresh.rate);
    assert_int_equal(pcm.count, fresh.count);
    assert_memory_equal(pcm.samples, fresh.samples, pcm.count * sizeof(int16_t));
    st_pcm_release(&pcm);
    assert_false(st_speech_cache_get_pcm(cache, &key2, &pcm));
    assert_false(st_speech_cache_get_pcm(cache, &key3, &pcm));
    assert_false(st_speech_cache_get_pcm(cache, &key4, &pcm));
    assert_false(st_speech_cache_put_pcm(in_dir("none"), &key, &fresh));

    int fd = open(any_file(cache), O_WRONLY); /* one sample changed, then half of the file gone */
    assert_int_equal(pwrite(fd, "!!", 2, 1000), 2);
    assert_false(st_speech_cache_get_pcm(cache, &key, &pcm));
    assert_int_equal(ftruncate(fd, 1000), 0);
    assert_false(st_speech_cache_get_pcm(cache, &key, &pcm));
    close(fd);

    assert_true(st_speech_cache_put_pcm(cache, &key2, &fresh));
    assert_true(st_speech_cache_trim(cache, 1 << 20) > 1000);
    assert_int_equal(st_speech_cache_trim(cache, 0), 0);
    assert_string_equal(any_file(cache), "");
    assert_int_equal(st_speech_cache_trim(in_dir("none"), 0), ST_E_UNAVAILABLE);
}

static void test_a_voice_is_forgotten(void **state)
{
    (void)state;
    const char *cache = in_dir("voices");
    const struct st_manner theirs = manner(SPEAK_REMOTE, "elevenlabs:a"), others = manner(SPEAK_REMOTE, "openai:b"),
                           ours = manner(SPEAK_FLITE, "rms");
    const struct st_speech_key keys[] = {st_speech_key_of(&theirs, "One", 3), st_speech_key_of(&theirs, "Two", 3),
                                         st_speech_key_of(&others, "One", 3), st_speech_key_of(&ours, "One", 3)};
    struct st_speech_key both = {.digest = {1}, .voices = keys[0].voices | keys[2].voices}; /* as of a piece */
    void *data;
    size_t len;
    assert_int_equal(mkdir(cache, 0700), 0);
    for (size_t i = 0; i < ST_COUNT(keys); i++)
        assert_true(st_speech_cache_put(cache, &keys[i], "sound", 5));
    assert_true(st_speech_cache_put(cache, &both, "sound", 5));
    assert_int_equal(st_speech_cache_forget(cache, "elevenlabs:a"), 0);
    assert_false(st_speech_cache_get(cache, &keys[0], &data, &len) ||
                 st_speech_cache_get(cache, &keys[1], &data, &len) || st_speech_cache_get(cache, &both, &data, &len));
    for (size_t i = 2; i < ST_COUNT(keys); i++) {
        assert_true(st_speech_cache_get(cache, &keys[i], &data, &len));
        free(data);
    }
    assert_int_equal(st_speech_cache_forget(in_dir("none"), "elevenlabs:a"), ST_E_UNAVAILABLE);
}

static void set_age(const char *cache, const char *like, int days)
{
    const char *argv[] = {"find", cache,   "-type", "f",  "-path",
                          like,   "-exec", "touch", "-d", st_printf(&arena, "%d days ago", days),
                          "{}",   ";",     NULL};
    struct st_spawn_result r;
    assert_int_equal(st_spawn(&arena, &(struct st_spawn){.argv = argv, .timeout_us = 10 * ST_SECOND}, &r), 0);
}

/* What costs money to have again is kept longer, but not for ever. */
static void test_what_is_free_goes_first(void **state)
{
    (void)state;
    const char *cache = in_dir("trim");
    const struct st_manner paid = manner(SPEAK_REMOTE, "openai:a"), ours = manner(SPEAK_FLITE, "rms");
    const struct st_speech_key keys[] = {st_speech_key_of(&paid, "One", 3), st_speech_key_of(&ours, "One", 3)};
    void *data;
    size_t len;
    assert_int_equal(mkdir(cache, 0700), 0);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < ST_COUNT(keys); i++)
            assert_true(st_speech_cache_put(cache, &keys[i], "sound", 5));
        set_age(cache, "*/paid-*", round ? ST_SPEECH_PAID_DAYS + 1 : ST_SPEECH_PAID_DAYS - 1);
        assert_in_range(st_speech_cache_trim(cache, 60), 1, 60);
        assert_true(st_speech_cache_get(cache, &keys[round], &data, &len));
        free(data);
        assert_false(st_speech_cache_get(cache, &keys[!round], &data, &len));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_single_flight, release),
        cmocka_unit_test_teardown(test_cache, release),
        cmocka_unit_test_teardown(test_a_voice_is_forgotten, release),
        cmocka_unit_test_teardown(test_what_is_free_goes_first, release),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, start, stop);
}
