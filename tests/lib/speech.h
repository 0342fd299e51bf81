#ifndef TESTS_LIB_SPEECH_H
#define TESTS_LIB_SPEECH_H
/* The speech engine for unit tests that speak, a folder for their files, and sounds to compare. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/spawn.h"
#include "narration/pcm.h"

static struct st_arena arena;
static struct st_speech *speech;
static char program[4096], dir[] = "/tmp/st-speech-XXXXXX";

static inline const char *in_dir(const char *name)
{
    return st_printf(&arena, "%s/%s", dir, name);
}

static inline int speech_start(void **state)
{
    (void)state;
    ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 32);
    assert_true(n > 0);
    program[n] = '\0';
    *strrchr(program, '/') = '\0'; /* .../tests */
    *strrchr(program, '/') = '\0';
    strncat(program, "/bin/narration-speak", 31);
    assert_non_null(mkdtemp(dir));
    return st_speech_open(program, ST_SPEECH_TIMEOUT_S, &speech);
}

static inline int speech_stop(void **state)
{
    (void)state;
    const char *argv[] = {"rm", "-r", dir, NULL};
    struct st_spawn_result r;
    int rc = st_spawn(&arena, &(struct st_spawn){.argv = argv, .timeout_us = 10 * ST_SECOND}, &r);
    st_speech_close(speech);
    st_arena_release(&arena);
    return rc;
}

static inline int speech_release(void **state)
{
    (void)state;
    st_arena_release(&arena);
    /* No test may leave a child behind, living or dead. */
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    return 0;
}

static inline bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static inline struct st_pcm sine(uint32_t rate, double hz, double amplitude, double seconds)
{
    struct st_pcm pcm = {.count = (size_t)(rate * seconds), .rate = rate};
    pcm.samples = malloc(pcm.count * sizeof(int16_t));
    for (size_t i = 0; i < pcm.count; i++)
        pcm.samples[i] = (int16_t)lrint(32767 * amplitude * sin(2 * M_PI * hz * (double)i / rate));
    return pcm;
}

#endif
