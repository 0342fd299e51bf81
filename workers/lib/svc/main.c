/*
 * The life of a daemon: read everything, drop privileges, start the threads, say READY, keep watch, and on TERM drain:
 * no new work, finish or hand back what runs, stop.
 */
#include "svc/api.h"
#include "svc/bus.h"
#include "svc/cron.h"
#include "svc/object.h"
#include "svc/options.h"
#include "svc/rebuild.h"
#include "svc/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <glob.h>
#include <grp.h>
#include <malloc.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    STACK = 512 * 1024,
    MMAP_FROM = 1024 * 1024,
    HEALTH_EVERY_S = 5,
    HEALTH_TTL_S = 15,
    HEALTH_MAX = 4096,
    PULSE_PATIENCE_MS = 3000
};

struct daemon_threads {
    struct st_api_server *api;
    pthread_t loops[6];
    int n_loops;
    bool jobs;
};

static int die(const char *why)
{
    st_log(ST_LOG_ERROR, "Cannot start", ST_S("error", why));
    return EXIT_FAILURE;
}

/* Tells systemd; silently nothing when it is not listening. */
static void notify(const char *state)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    if (!path || strlen(path) >= sizeof(addr.sun_path))
        return;
    memcpy(addr.sun_path, path, strlen(path));
    if (path[0] == '@')
        addr.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&addr,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
    close(fd);
}

static int load_contract(struct st_run *run, const char **ret_why)
{
    glob_t found;
    const char *pattern = st_printf(&run->arena, "%s/api/%s.v*.yaml", st_option("config_dir"), run->service->name);
    if (glob(pattern, 0, NULL, &found)) {
        *ret_why = st_printf(&run->arena, "there is no contract %s", pattern);
        return ST_E_INVALID;
    }
    int r = st_api_load(&run->arena, (const char *const *)found.gl_pathv, (int)found.gl_pathc, &run->api, ret_why);
    globfree(&found);
    return r < 0 ? r : st_api_bind(run, ret_why);
}

/* Whoever has a contract is a service. */
static int find_services(struct st_run *run, const char **ret_why)
{
    glob_t found;
    const char *pattern = st_printf(&run->arena, "%s/api/*.v*.yaml", st_option("config_dir")), **list;
    if (glob(pattern, 0, NULL, &found)) {
        *ret_why = st_printf(&run->arena, "there is no contract %s", pattern);
        return ST_E_INVALID;
    }
    size_t n = 0;
    run->services = list = st_new_n(&run->arena, const char *, found.gl_pathc + 1);
    for (size_t i = 0; i < found.gl_pathc; i++) { /* sorted, so those of one service follow each other */
        const char *name = strrchr(found.gl_pathv[i], '/') + 1;
        name = st_strndup(&run->arena, name, strcspn(name, "."));
        if (n == 0 || !st_streq(list[n - 1], name))
            list[n++] = name;
    }
    globfree(&found);
    return 0;
}

static int load_edge_key(struct st_run *run, const char **ret_why)
{
    FILE *f = fopen(st_option("edge_key_file"), "re");
    if (f) {
        run->edge_key_len = fread(run->edge_key, 1, sizeof(run->edge_key) - 1, f);
        fclose(f);
        while (run->edge_key_len && run->edge_key[run->edge_key_len - 1] == '\n')
            run->edge_key_len--;
    }
    if (run->edge_key_len < 32) {
        *ret_why = st_printf(&run->arena, "%s must hold at least 32 bytes", st_option("edge_key_file"));
        return ST_E_INVALID;
    }
    return 0;
}

/* It connects when it is needed. */
static int check_bus(struct st_run *run, const char **ret_why)
{
    struct st_bus *bus = st_bus_open();
    if (!bus)
        *ret_why = st_printf(&run->arena, "the option bus is \"%s\"; there are: %s", st_option("bus"),
                             st_bus_kinds(&run->arena));
    int r = bus ? 0 : ST_E_INVALID;
    st_bus_free(bus);
    return r;
}

/* For good: root never comes back, and nothing this process executes gains a privilege. */
static int drop_privileges(struct st_run *run, const char **ret_why)
{
    const char *name = st_option("user");
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (!*name || geteuid() != 0)
        return 0;
    struct passwd *pw = getpwnam(name);
    if (!pw || initgroups(name, pw->pw_gid) || setgid(pw->pw_gid) || setuid(pw->pw_uid)) {
        *ret_why = st_printf(&run->arena, "cannot become the user %s: %m", name);
        return ST_E_INVALID;
    }
    return 0;
}

static int check_store(struct st_run *run, const char **ret_why)
{
    const struct st_store store = st_store_of_options();
    const char *why;
    int r = st_store_check(&store, &why);
    if (r < 0)
        *ret_why = st_printf(&run->arena, "the store \"%s\": %s", store.kind, why);
    return r;
}

static int load(struct st_run *run, const char **ret_why)
{
    int r = st_options_load(run->service->options, ret_why);
    if (r < 0)
        return r;
    if (!st_log_level(st_option("log_level"))) {
        *ret_why = st_printf(&run->arena, "the option log_level is \"%s\"; there are: debug, info, warning, error",
                             st_option("log_level"));
        return ST_E_INVALID;
    }
    if ((r = check_bus(run, ret_why)) < 0 || (r = check_store(run, ret_why)) < 0 ||
        (r = load_contract(run, ret_why)) < 0 || (r = find_services(run, ret_why)) < 0 ||
        (r = st_registry_load(&run->arena, st_printf(&run->arena, "%s/events", st_option("config_dir")), &run->types,
                              &run->n_types, ret_why)) < 0 ||
        (r = st_projections_check(run, ret_why)) < 0 || (r = st_sagas_check(run, ret_why)) < 0 ||
        (r = st_schedules_check(run, ret_why)) < 0 || (r = load_edge_key(run, ret_why)) < 0)
        return r;
    return drop_privileges(run, ret_why);
}

static int start_hook(struct st_call *call, void *ctx)
{
    (void)ctx;
    return call->p->worker->run->service->start(call);
}

/* The service's own start, once the database answers; it may be starting beside us. */
static int start_service(struct st_run *run, struct st_worker *w, const char **ret_why)
{
    int r;
    for (int tries = 0; (r = st_pg_ping(w->pg)) == ST_E_UNAVAILABLE && tries < 100; tries++)
        st_sleep_ms(100);
    atomic_store(&run->database_ok, r == 0);
    if (r == 0 && run->service->start) {
        struct st_call call;
        st_call_init(&call, w, "start");
        char id[ST_UUID_LEN];
        call.correlation_id = st_uuid(id);
        r = st_call_transact(&call, start_hook, NULL);
        if (r < 0)
            *ret_why = st_strdup(&run->arena, st_call_error(&call, r));
        st_arena_reset(&w->arena);
    } else if (r < 0) {
        *ret_why = st_pg_error(w->pg);
    }
    return r;
}

static void start_loop(struct daemon_threads *t, struct st_run *run, void *(*loop)(void *))
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK);
    if (pthread_create(&t->loops[t->n_loops++], &attr, loop, run))
        abort();
    pthread_attr_destroy(&attr);
}

static int start_threads(struct st_run *run, struct daemon_threads *t)
{
    const char *roles = st_option("roles");
    int r = 0;
    start_loop(t, run, st_doorbell_main);
    start_loop(t, run, st_trace_main);
    if (strstr(roles, "events")) {
        start_loop(t, run, st_relay_main);
        start_loop(t, run, st_consume_main);
    }
    if (strstr(roles, "jobs")) {
        start_loop(t, run, st_cron_main);
        start_loop(t, run, st_archive_main);
        if ((r = st_jobs_start(run)) < 0)
            return r;
        t->jobs = true;
    } else if (run->service->jobs) {
        start_loop(t, run, st_jobs_forward_main);
    }
    if (strstr(roles, "api"))
        r = st_api_start(run, (int)st_option_int("http_threads"), &t->api);
    return r;
}

static void stop_threads(struct st_run *run, struct daemon_threads *t)
{
    int deadline_ms = (int)st_option_int("drain_seconds") * 1000;
    if (t->api)
        st_api_stop(t->api, deadline_ms / 6);
    atomic_store(&run->stopping, true);
    st_bell_ring(&run->relay_bell);
    st_bell_ring(&run->jobs_bell);
    st_bell_ring(&run->events_bell);
    if (t->jobs)
        st_jobs_stop(run, deadline_ms * 2 / 3);
    for (int i = 0; i < t->n_loops; i++)
        pthread_join(t->loops[i], NULL);
}

/* Health goes to Redis for the edge's /health, on change and every few seconds. */
static void publish_health(struct st_worker *w, char last[HEALTH_MAX], int *age_s)
{
    int status;
    const char *health = st_health_json(w->run, &w->arena, &status);
    if (++*age_s >= HEALTH_EVERY_S || !st_streq(health, last)) {
        struct st_reply reply;
        const char *key = st_printf(&w->arena, "st:health:%s", w->run->service->name);
        int r =
            st_redis_cmd(w->redis, &w->arena, &reply, "SET", key, health, "EX", st_i64(&w->arena, HEALTH_TTL_S), NULL);
        atomic_store(&w->run->bus_ok, r == 0);
        *age_s = 0;
        snprintf(last, HEALTH_MAX, "%s", health);
    }
    st_arena_reset(&w->arena);
}

/* Until TERM or INT: the watchdog's sign of life, the database's pulse, health for the edge. */
static void keep_watch(struct st_run *run, struct st_worker *w, const sigset_t *signals)
{
    char last[HEALTH_MAX] = "";
    int age_s = HEALTH_EVERY_S, beat = 0;
    st_pg_set_patience(w->pg, PULSE_PATIENCE_MS); /* a database that hangs must not keep us from the watchdog */
    for (;;) {
        const struct timespec second = {1, 0};
        publish_health(w, last, &age_s);
        if (sigtimedwait(signals, NULL, &second) >= 0)
            return;
        notify("WATCHDOG=1");
        st_secret_sweep();
        if (++beat % 2 == 0 || !atomic_load(&run->database_ok))
            atomic_store(&run->database_ok, st_pg_ping(w->pg) == 0 && st_checks_run(w) == 0);
    }
}

static int run_daemon(struct st_run *run, const sigset_t *signals)
{
    static struct st_worker w;
    struct daemon_threads threads = {0};
    const char *why = "the library failed";
    st_worker_init(&w, run, "main");
    if (start_service(run, &w, &why) < 0)
        return die(why);
    st_work_start(run);
    atomic_store(&run->bus_ok, true);
    if (start_threads(run, &threads) < 0)
        return die("a thread or the socket could not be made; is run_dir writable?");
    notify("READY=1\nSTATUS=Serving");
    st_log(ST_LOG_INFO, "Ready");
    keep_watch(run, &w, signals);
    notify("STOPPING=1\nSTATUS=Draining");
    st_log(ST_LOG_INFO, "Draining");
    stop_threads(run, &threads);
    st_worker_release(&w);
    st_log(ST_LOG_INFO, "Stopped");
    return EXIT_SUCCESS;
}

/* For storyctl: what it says is on stdout, why it failed too. It may be ended at any time. */
static int rebuild(struct st_run *run, bool check, const sigset_t *signals)
{
    static struct st_worker w;
    const char *why = "the library failed";
    pthread_sigmask(SIG_UNBLOCK, signals, NULL);
    st_worker_init(&w, run, "main");
    int r = start_service(run, &w, &why);
    if (r < 0 || (r = st_rebuild(run, check, stdout, &why)) < 0)
        puts(st_json_text(&run->arena, st_json_keep(&run->arena, json_pack("{s:s, s:s, s:s}", "result", "failed",
                                                                           "code", st_err_code(r), "error", why))));
    st_worker_release(&w);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int usage(const struct st_service *service, FILE *out)
{
    fprintf(out,
            "Usage: %sd [--help | --version | --check | --describe | --rebuild [--check]]\n"
            "The %s service. Options are read from config/storytelling.conf and from ST_<NAME> in the environment.\n"
            "  --check      read options, contract and event registry, say what is wrong, and end\n"
            "  --describe   print the names of its operations, subscriptions, jobs and schedules as JSON, and end\n"
            "  --rebuild    make the tables of projections anew from the log, while the service goes on, and end;\n"
            "               with --check compare only (storyctl rebuild shows it to people)\n",
            service->name, service->name);
    return out == stdout ? EXIT_SUCCESS : 2;
}

int st_service_main(const struct st_service *service, int argc, char **argv)
{
    static struct st_run run;
    static const struct option longs[] = {{"help", 0, NULL, 'h'},    {"version", 0, NULL, 'v'},
                                          {"check", 0, NULL, 'c'},   {"describe", 0, NULL, 'd'},
                                          {"rebuild", 0, NULL, 'r'}, {0}};
    bool check = false, rebuilds = false;
    service = run.service = st_sagas_join(&run.arena, service);
    for (int o; (o = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        if (o == 'h')
            return usage(service, stdout);
        if (o == 'v')
            return printf("%sd " ST_VERSION "\n", service->name) < 0;
        if (o == 'd')
            return puts(st_describe(service, &run.arena)) < 0;
        if (o != 'c' && o != 'r')
            return usage(service, stderr);
        check |= o == 'c';
        rebuilds |= o == 'r';
    }
    st_log_setup(service->name, ST_LOG_INFO);
    /* Large blocks go back to the system when they are freed; glibc would learn to keep them (a password hash has 19
     * MiB, and each thread would keep one). */
    mallopt(M_MMAP_THRESHOLD, MMAP_FROM);
    umask(0027);
    signal(SIGPIPE, SIG_IGN);
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* main takes them in keep_watch; threads inherit the mask */
    st_bell_init(&run.relay_bell);
    st_bell_init(&run.jobs_bell);
    st_bell_init(&run.events_bell);
    const char *why = "";
    if (load(&run, &why) < 0)
        return die(why);
    if (rebuilds)
        return rebuild(&run, check, &signals);
    return check ? printf("ok\n") < 0 : run_daemon(&run, &signals);
}
