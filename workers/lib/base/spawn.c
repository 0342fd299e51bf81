/* Runs a child process under limits, collects what it says, and leaves nothing of it behind. */
#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"

enum {
    TICK_MS = 100,   /* how often `cancelled` is asked */
    BLIND_MS = 10,   /* how often the child is looked after where the kernel gives no pidfd */
    LINE = 4096,     /* longest line for on_line, NUL included */
    CHUNK = 16384,   /* one read */
    DRAIN_MAX = 64,  /* chunks read after the end: a pipe's content, not what an escaped grandchild goes on writing */
    FDS_MAX = 1024,  /* descriptors closed one by one where close_range is missing */
    FILES_MAX = 256, /* that a child may have open */
};

struct limit {
    int resource;
    rlim_t value;
};

/* All that the child needs, made before the fork: between fork and exec nothing may allocate or lock. */
struct launch {
    const char *program;
    char *const *argv, **env;
    const char *dir;
    int in, out, err, status; /* the child's ends; errno of a failed exec goes to status */
    struct limit limits[4];
    size_t limit_count;
    pid_t parent;
};

/* The parent's side. */
struct watch {
    const struct st_spawn *spec;
    pid_t pid;
    int pidfd, out, err;
    struct st_buf out_text, err_text;
    char line[LINE];
    size_t line_len;
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* --- what comes before the fork ---------------------------------------------------------------------------------- */

static bool is_program(const char *path)
{
    return access(path, X_OK) == 0;
}

static const char *search_path(void)
{
    const char *path = getenv("PATH");
    return path && *path ? path : "/usr/local/bin:/usr/bin:/bin";
}

static const char *find_program(struct st_arena *a, const char *name)
{
    if (strchr(name, '/'))
        return is_program(name) ? name : NULL;
    for (const char *p = search_path(); *p;) {
        size_t n = strcspn(p, ":");
        char *full = st_printf(a, "%.*s/%s", (int)n, p, name);
        if (n && is_program(full))
            return full;
        p += n + (p[n] == ':');
    }
    return NULL;
}

static char **make_env(struct st_arena *a, const char *const *more)
{
    size_t n = 0;
    while (more && more[n])
        n++;
    char **env = st_new_n(a, char *, n + 3);
    n = 0;
    env[n++] = st_printf(a, "PATH=%s", search_path());
    env[n++] = st_strdup(a, "LC_ALL=C.UTF-8");
    for (; more && *more; more++)
        env[n++] = st_strdup(a, *more);
    return env;
}

/* 0, 1 and 2 are what the child's ends are moved to, so no end may start there (a daemon may have closed them). */
static int above_stdio(int fd)
{
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    close(fd);
    return moved;
}

static bool open_pipe(int *ret_read, int *ret_write)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return false;
    *ret_read = above_stdio(fds[0]);
    *ret_write = above_stdio(fds[1]);
    return *ret_read >= 0 && *ret_write >= 0;
}

/* A file in memory rather than a pipe: no writer has to be fed, and no SIGPIPE can come of it. */
static int open_input(const struct st_spawn *s)
{
    if (!s->input)
        return above_stdio(open("/dev/null", O_RDONLY | O_CLOEXEC));
    int fd = above_stdio(memfd_create("stdin", MFD_CLOEXEC));
    const char *p = s->input;
    for (size_t left = s->input_len; fd >= 0 && left;) {
        ssize_t n = write(fd, p, left);
        if (n < 0) {
            close_fd(&fd);
            break;
        }
        p += n;
        left -= (size_t)n;
    }
    if (fd >= 0 && lseek(fd, 0, SEEK_SET) < 0)
        close_fd(&fd);
    return fd;
}

static void add_limit(struct launch *l, int resource, uint64_t value)
{
    if (value)
        l->limits[l->limit_count++] = (struct limit){resource, value};
}

/* --- the child, async-signal-safe calls only --------------------------------------------------------------------- */

static void child_close_others(int keep)
{
    if (close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
        return;
    for (int fd = STDERR_FILENO + 1; fd < FDS_MAX; fd++)
        if (fd != keep)
            close(fd);
}

static bool child_prepare(const struct launch *l)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != l->parent) /* it died before the line above */
        return false;
    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(l->in, STDIN_FILENO) < 0 || dup2(l->out, STDOUT_FILENO) < 0 || dup2(l->err, STDERR_FILENO) < 0)
        return false;
    child_close_others(l->status);
    const struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    for (size_t i = 0; i < l->limit_count; i++) {
        const struct rlimit r = {l->limits[i].value, l->limits[i].value};
        if (setrlimit((__rlimit_resource_t)l->limits[i].resource, &r) < 0)
            return false;
    }
    return !l->dir || chdir(l->dir) == 0;
}

static ST_NORETURN void child_run(const struct launch *l)
{
    if (child_prepare(l))
        execve(l->program, l->argv, l->env);
    int error = errno;
    if (write(l->status, &error, sizeof(error)) < 0)
        _exit(126);
    _exit(127);
}

/* --- the parent -------------------------------------------------------------------------------------------------- */

/* No handler of ours may run in the child before it has reset them. */
static pid_t fork_quietly(const struct launch *l)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pid_t pid = fork();
    if (pid == 0)
        child_run(l);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return pid;
}

static bool reap(pid_t pid, int *ret_status)
{
    pid_t got;
    while ((got = waitpid(pid, ret_status, 0)) < 0 && errno == EINTR)
        ;
    return got == pid;
}

/* Waits for the exec; 0, or the error of a child that did not get that far (and is reaped). */
static int await_exec(pid_t pid, int status_fd)
{
    int error = 0, status;
    ssize_t n;
    while ((n = read(status_fd, &error, sizeof(error))) < 0 && errno == EINTR)
        ;
    if (n == 0)
        return 0;
    reap(pid, &status);
    return error == ENOENT || error == ENOTDIR || error == EACCES ? ST_E_NOT_FOUND : ST_E_UNAVAILABLE;
}

static void take_lines(struct watch *w, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '\n') {
            w->line[w->line_len] = '\0';
            w->line_len = 0;
            w->spec->on_line(w->spec->arg, w->line);
        } else if (w->line_len < LINE - 1) {
            w->line[w->line_len++] = data[i];
        }
    }
}

static void take_err(struct st_buf *b, const char *data, size_t len)
{
    if (len > b->max) {
        data += len - b->max;
        len = b->max;
    }
    if (b->len + len > b->max) {
        size_t drop = b->len + len - b->max;
        memmove(b->data, b->data + drop, b->len - drop);
        b->len -= drop;
    }
    st_buf_add(b, data, len);
}

/* Reads what is there; closes *fd at the end of the stream. False when nothing is waiting. */
static bool read_some(struct watch *w, int *fd)
{
    char data[CHUNK];
    if (*fd < 0)
        return false;
    ssize_t n = read(*fd, data, sizeof(data));
    if (n < 0)
        return errno == EINTR;
    if (n == 0)
        close_fd(fd);
    else if (fd == &w->err)
        take_err(&w->err_text, data, (size_t)n);
    else if (w->spec->on_line)
        take_lines(w, data, (size_t)n);
    else
        st_buf_add(&w->out_text, data, (size_t)n);
    return n > 0;
}

/* Has the leader ended? It stays a zombie, which keeps the number of its group from being given to another. */
static bool has_ended(const struct watch *w)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)w->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == w->pid;
}

static int wait_for_end(struct watch *w)
{
    int64_t deadline = st_mono() + w->spec->timeout_us;
    for (;;) {
        if (w->out_text.failed)
            return ST_E_TOO_LARGE;
        if (has_ended(w))
            return 0;
        if (st_mono() >= deadline)
            return ST_E_TIMEOUT;
        if (w->spec->cancelled && w->spec->cancelled(w->spec->arg))
            return ST_E_CANCELLED;
        struct pollfd fds[] = {{w->out, POLLIN, 0}, {w->err, POLLIN, 0}, {w->pidfd, POLLIN, 0}};
        int64_t left_ms = (deadline - st_mono()) / 1000 + 1, tick = w->pidfd < 0 ? BLIND_MS : TICK_MS;
        if (poll(fds, ST_COUNT(fds), (int)(left_ms < 0 ? 0 : left_ms < tick ? left_ms : tick)) <= 0)
            continue;
        if (fds[0].revents)
            read_some(w, &w->out);
        if (fds[1].revents)
            read_some(w, &w->err);
    }
}

static int finish(struct watch *w, int rc, struct st_arena *a, struct st_spawn_result *result)
{
    int status = 0;
    kill(-w->pid, SIGKILL);
    for (int i = 0; i < DRAIN_MAX && rc == 0 && read_some(w, &w->out); i++)
        ;
    for (int i = 0; i < DRAIN_MAX && read_some(w, &w->err); i++)
        ;
    bool reaped = reap(w->pid, &status);
    if (w->spec->on_line && w->line_len)
        take_lines(w, "\n", 1);
    if (w->out_text.len) {
        result->out = st_strndup(a, w->out_text.data, w->out_text.len);
        result->out_len = w->out_text.len;
    }
    if (w->err_text.len)
        result->err = st_strndup(a, w->err_text.data, w->err_text.len);
    result->signal = reaped && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (rc < 0)
        return rc;
    if (w->out_text.failed)
        return ST_E_TOO_LARGE;
    return reaped && WIFEXITED(status) ? WEXITSTATUS(status) : ST_E_INTERNAL;
}

static int run(struct launch *l, struct watch *w, struct st_arena *a, struct st_spawn_result *result)
{
    int status_read = -1, rc = ST_E_UNAVAILABLE;
    l->in = open_input(w->spec);
    if (l->in >= 0 && open_pipe(&w->out, &l->out) && open_pipe(&w->err, &l->err) &&
        open_pipe(&status_read, &l->status) && (w->pid = fork_quietly(l)) > 0) {
        close_fd(&l->out);
        close_fd(&l->err);
        close_fd(&l->status);
        rc = await_exec(w->pid, status_read);
        if (rc == 0) {
            fcntl(w->out, F_SETFL, O_NONBLOCK);
            fcntl(w->err, F_SETFL, O_NONBLOCK);
            w->pidfd = pidfd_open(w->pid, 0);
            rc = finish(w, wait_for_end(w), a, result);
        }
    }
    int *fds[] = {&l->in, &l->out, &l->err, &l->status, &w->out, &w->err, &w->pidfd, &status_read};
    for (size_t i = 0; i < ST_COUNT(fds); i++)
        close_fd(fds[i]);
    return rc;
}

int st_spawn(struct st_arena *a, const struct st_spawn *s, struct st_spawn_result *result)
{
    *result = (struct st_spawn_result){.out = st_strdup(a, ""), .err = st_strdup(a, "")};
    if (!s->argv || !s->argv[0] || s->timeout_us <= 0)
        return ST_E_INVALID;
    struct launch l = {.program = find_program(a, s->argv[0]),
                       .argv = (char *const *)s->argv, /* execve's missing const; it writes nothing */
                       .env = make_env(a, s->env),
                       .dir = s->dir,
                       .in = -1,
                       .out = -1,
                       .err = -1,
                       .status = -1,
                       .parent = getpid()};
    if (!l.program)
        return ST_E_NOT_FOUND;
    add_limit(&l, RLIMIT_AS, s->max_memory);
    add_limit(&l, RLIMIT_FSIZE, s->max_file);
    add_limit(&l, RLIMIT_CPU, s->max_cpu_s);
    add_limit(&l, RLIMIT_NOFILE, FILES_MAX);
    struct watch w = {.spec = s, .pidfd = -1, .out = -1, .err = -1};
    w.out_text = ST_BUF(s->max_out ? s->max_out : ST_SPAWN_OUT);
    w.err_text = ST_BUF(ST_SPAWN_ERR);
    int rc = run(&l, &w, a, result);
    st_buf_release(&w.out_text);
    st_buf_release(&w.err_text);
    return rc;
}

int st_spawn_verdict(int rc, const struct st_spawn_result *result)
{
    if (rc == 0 || rc == ST_E_CANCELLED)
        return rc;
    if (rc == ST_E_NOT_FOUND || rc == ST_E_UNAVAILABLE || strstr(result->err, "No space left on device") ||
        strstr(result->err, "Disk quota exceeded"))
        return ST_E_UNAVAILABLE;
    return rc == ST_E_TIMEOUT || result->signal == SIGKILL ? ST_E_TIMEOUT : ST_E_UNPROCESSABLE;
}
