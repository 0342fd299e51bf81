#ifndef PG_SERVER_H
#define PG_SERVER_H
/*
 * A PostgreSQL server of a test's own: in a directory of its own, without a port, gone when the test's process ends,
 * however it ends. To be included once, behind cmocka.h.
 */
#include <ftw.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/pg.h"

static char server_dir[] = "/tmp/storytelling-pg.XXXXXX";
static char server_conninfo[200];
static pid_t server_pid;

/* In the child: PostgreSQL refuses root. */
static void server_become_other(void)
{
    const struct passwd *user = getpwnam("postgres");
    if (geteuid() == 0 && (!user || setgroups(0, NULL) || setgid(user->pw_gid) || setuid(user->pw_uid)))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
}

static pid_t server_exec(const char *program, const char *const *arguments)
{
    glob_t found;
    char pattern[64], data[64];
    snprintf(pattern, sizeof(pattern), "/usr/lib/postgresql/*/bin/%s", program);
    snprintf(data, sizeof(data), "%s/data", server_dir);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    const char *path = found.gl_pathv[found.gl_pathc - 1];
    const char *argv[16] = {path, "-D", data}; /* by its path, where it looks for its other programs */
    for (int i = 0; arguments[i]; i++)
        argv[i + 3] = arguments[i];
    pid_t pid = fork();
    if (pid == 0) {
        char log[64];
        snprintf(log, sizeof(log), "%s/log", server_dir);
        server_become_other();
        if (!freopen("/dev/null", "r", stdin) || !freopen(log, "a", stdout) || dup2(1, 2) < 0 || chdir("/"))
            _exit(126);
        execv(path, (char *const *)argv);
        _exit(127);
    }
    globfree(&found);
    return pid;
}

static void server_start(void)
{
    static const char *const settings[] = {"-c", "listen_addresses=",  "-c", "fsync=off", "-c", "max_connections=40",
                                           "-c", "shared_buffers=8MB", "-k", server_dir,  NULL};
    server_pid = server_exec("postgres", settings);
    for (int i = 0; i < 500; i++) {
        struct st_pg *pg = st_pg_new(server_conninfo, "start");
        int r = st_pg_ping(pg);
        st_pg_free(pg);
        if (r == 0)
            return;
        assert_int_equal(waitpid(server_pid, NULL, WNOHANG), 0); /* still there */
        st_sleep_ms(20);
    }
    fail_msg("the server does not start; see %s/log", server_dir);
}

/* SIGINT ends the sessions first (a fast shutdown), SIGQUIT does not. */
static void server_stop(int sig)
{
    if (server_pid > 0) {
        kill(server_pid, sig);
        assert_int_equal(waitpid(server_pid, NULL, 0), server_pid);
    }
    server_pid = 0;
}

static int server_setup(void **state)
{
    (void)state;
    static const char *const options[] = {
        "--no-sync", "--no-instructions", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--username=test",
        NULL};
    const struct passwd *user = getpwnam("postgres");
    int status;
    assert_non_null(mkdtemp(server_dir));
    if (geteuid() == 0)
        assert_int_equal(chown(server_dir, user->pw_uid, user->pw_gid), 0);
    snprintf(server_conninfo, sizeof(server_conninfo), "host=%s dbname=postgres user=test", server_dir);
    pid_t pid = server_exec("initdb", options);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    server_start();
    return 0;
}

static int server_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int server_teardown(void **state)
{
    (void)state;
    server_stop(SIGINT);
    return nftw(server_dir, server_remove, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
