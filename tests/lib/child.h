#ifndef TESTS_LIB_CHILD_H
#define TESTS_LIB_CHILD_H
/*
 * A server beside the test: a program that tells its port in the first line it prints. It ends with the test, however
 * that ends.
 *
 *   static pid_t server;
 *   int port = child_start(&server, (const char *const[]){"perl", "-Itests/lib", ..., NULL});
 *   child_stop(&server);
 */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int child_start(pid_t *ret, const char *const *argv)
{
    int fds[2], port = 0;
    assert_int_equal(pipe(fds), 0);
    *ret = fork();
    if (*ret == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(fds[1], STDOUT_FILENO);
        close(fds[0]);
        close(fds[1]);
        execvp(argv[0], (char *const *)argv);
        _exit(127);
    }
    close(fds[1]);
    FILE *f = fdopen(fds[0], "re");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%d", &port), 1);
    fclose(f);
    return port;
}

/* The Perl stand-in tests/lib/Storytelling/<name>.pm, which is told by files in dir, and tells in them. */
static int child_start_stand_in(pid_t *ret, const char *name, const char *dir)
{
    char module[100], program[100];
    snprintf(module, sizeof(module), "-MStorytelling::%s", name);
    snprintf(program, sizeof(program), "Storytelling::%s::main", name);
    return child_start(ret, (const char *const[]){"perl", "-Itests/lib", module, "-e", program, dir, NULL});
}

static void child_stop(pid_t *pid)
{
    if (*pid > 0) {
        kill(*pid, SIGKILL);
        waitpid(*pid, NULL, 0);
    }
    *pid = 0;
}

#endif
