#ifndef ST_BASE_SPAWN_H
#define ST_BASE_SPAWN_H
/*
 * Runs a program to its end: no shell, nothing inherited by accident, nothing left behind.
 *
 *   const char *argv[] = {"ffprobe", "-v", "error", path, NULL};
 *   struct st_spawn_result r;
 *   int rc = st_spawn(&a, &(struct st_spawn){.argv = argv, .timeout_us = 10 * ST_SECOND}, &r);
 *   if (rc > 0) ...          it ran and exited with that status; r.err says why
 *
 * The child gets stdin, stdout, stderr and no other descriptor; PATH, LC_ALL=C.UTF-8 and `env`, and no other variable;
 * default signal handling; at most 256 open files; a process group of its own. It never outlives the call: when the
 * program ends, when its time is over or when `cancelled` says so, the whole group is killed, and when the calling
 * thread dies, the child is killed by the kernel. Thread-safe, also against other threads that fork. A process that
 * ignores SIGCHLD cannot use it.
 */
#include "base/arena.h"

struct st_spawn {
    const char *const *argv; /* ends in NULL; argv[0] without a slash is looked up in PATH */
    const char *const *env;  /* more NAME=value; ends in NULL; may be NULL */
    const char *dir;         /* working directory; NULL: the caller's */
    const void *input;       /* stdin; NULL: /dev/null */
    size_t input_len;
    int64_t timeout_us; /* must be given */

    uint64_t max_memory; /* bytes of address space; 0: no limit */
    uint64_t max_file;   /* bytes of any file it writes; 0: no limit */
    uint64_t max_cpu_s;  /* CPU seconds; 0: no limit */
    size_t max_out;      /* bytes of stdout kept; 0: ST_SPAWN_OUT. More is an error */
    /* Takes stdout line by line instead of keeping it; a line is cut after 4095 bytes. */
    void (*on_line)(void *arg, const char *line);
    bool (*cancelled)(void *arg); /* asked some times a second */
    void *arg;                    /* of both */
};

enum { ST_SPAWN_OUT = 64 * 1024, ST_SPAWN_ERR = 4 * 1024 };

/* Filled whatever the outcome; the strings live in the arena and are never NULL. */
struct st_spawn_result {
    char *out; /* NUL-terminated; empty with on_line */
    size_t out_len;
    char *err;  /* the last ST_SPAWN_ERR bytes of stderr */
    int signal; /* the signal that ended it, or 0 */
};

/*
 * 0 or more: the exit status. Else ST_E_NOT_FOUND (no such program or dir), ST_E_TIMEOUT, ST_E_CANCELLED,
 * ST_E_TOO_LARGE (stdout passed max_out), ST_E_UNAVAILABLE (the machine cannot start a process now),
 * ST_E_INTERNAL (a signal ended it: a crash or a limit), ST_E_INVALID (no argv or timeout).
 */
int st_spawn(struct st_arena *a, const struct st_spawn *s, struct st_spawn_result *result) ST_MUSTCHECK;

/*
 * Of a program that has to cope with what it is given: 0, ST_E_CANCELLED, or whose fault it is that it did not.
 * ST_E_UNPROCESSABLE: the input's. ST_E_UNAVAILABLE: this machine's, which lacks the program, a process or room on the
 * disk. ST_E_TIMEOUT: that cannot be told, for it was killed (there was no memory, or its CPU seconds were used up) or
 * not done in time; another try may tell.
 */
int st_spawn_verdict(int rc, const struct st_spawn_result *result) ST_MUSTCHECK;

#endif
