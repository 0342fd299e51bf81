/*
 * Fetches sets of keys (api_jwt_jwks) in the background, in worker 0.
 *
 * nginx has no HTTP client, and a fetch may block on names, connections and TLS; so each one is a thread of its own,
 * one at a time, which touches nothing of nginx: it gets a URL, and leaves a body for the timer to find. What cannot be
 * fetched or used changes nothing: the last known keys go on.
 */
#include "ngx_http_api_auth.h"

#include "io/http_client.h"

#include <pthread.h>
#include <signal.h>

enum {
    TICK_MS = 100,
    QUICK_TICK_MS = 10, /* while a fetch is under way: somebody may wait for it */
    BACKOFF_MAX = 6,    /* after failures: 1 s, 2 s … 64 s, but never more than the interval */
};

/* What goes to the thread and comes back; only `done` and `stop` are touched by both at a time. */
typedef struct {
    struct st_http_call call;
    const char *ca_file, *unix_socket;
    int stop, done;
    struct st_arena arena;
    struct st_http_answer answer;
    const char *why; /* NULL: there is an answer */
} job_t;

static struct {
    const ngx_http_api_main_conf_t *amcf;
    const ngx_http_api_auth_conf_t *conf;
    ngx_event_t timer;
    ngx_atomic_uint_t ticket; /* what was wanted when it was looked at last */
    time_t due[NGX_HTTP_API_KEY_SETS];
    ngx_uint_t failures[NGX_HTTP_API_KEY_SETS];
    pthread_t thread;
    job_t *job; /* NULL: none is under way */
    ngx_uint_t current;
} fetch;

static const ngx_http_api_zone_t *state_zone(void)
{
    return &fetch.amcf->zones[NGX_HTTP_API_ZONE_STATE];
}

static ngx_http_api_key_source_t *source_of(ngx_uint_t i)
{
    return &((ngx_http_api_key_source_t *)fetch.conf->sources.elts)[i];
}

/* --- the thread --- */

static void *run(void *data)
{
    job_t *job = data;
    struct st_http_client *client = st_http_client_new(job->ca_file, job->unix_socket);
    const char *why = NULL;
    if (st_http_client_do(client, &job->call, &job->arena, &job->answer, &why) < 0)
        job->why = why ? why : "no answer";
    st_http_client_free(client);
    __atomic_store_n(&job->done, 1, __ATOMIC_RELEASE);
    return NULL;
}

/* nginx's signals are for its own thread. */
static bool start_thread(job_t *job)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&fetch.thread, NULL, run, job);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0;
}

static void end_job(void)
{
    pthread_join(fetch.thread, NULL);
    st_arena_release(&fetch.job->arena);
    free(fetch.job);
    fetch.job = NULL;
}

static void start(ngx_uint_t i)
{
    static const char *const headers[] = {"Accept: application/jwk-set+json, application/json", NULL};
    const ngx_http_api_key_source_t *source = source_of(i);
    job_t *job = calloc(1, sizeof(*job));
    if (!job)
        return;
    job->ca_file = source->ca_file;
    job->unix_socket = source->unix_socket;
    job->call = (struct st_http_call){.method = "GET",
                                      .url = source->target,
                                      .headers = headers,
                                      .timeout_ms = (int)source->timeout,
                                      .answer_max = ST_KEYS_TEXT_MAX,
                                      .stop = &job->stop};
    fetch.current = i;
    if (start_thread(job))
        fetch.job = job;
    else
        free(job);
}

/* --- what came --- */

/* Why the answer is no set of keys; NULL: it is one, and *ret_left_out tells of keys in it that are not used. */
static const char *fault(job_t *job, const ngx_http_api_key_source_t *source, const char **ret_left_out)
{
    struct st_keys keys;
    const char *why = NULL;
    int public = 0;
    if (job->why)
        return job->why;
    if (job->answer.status != 200)
        return st_printf(&job->arena, "the answer's status is %d", job->answer.status);
    if (st_keys_parse(&job->arena, job->answer.body, job->answer.len, source->alg, &keys, &why) < 0)
        return why;
    for (int i = 0; i < keys.n; i++)
    public += !st_key_is_private(keys.list[i]);
    *ret_left_out = public < keys.n ? "secrets or private keys" : keys.left_out;
    return public ? NULL : st_printf(&job->arena, "there is no public key that can be used: %s", *ret_left_out);
}

/* Without Redis nobody else writes the file. */
static void save(void)
{
    struct st_arena a = {0};
    const char *why = NULL;
    if (fetch.amcf->state_file.len && !fetch.amcf->redis.len)
        why = ngx_http_api_state_save(state_zone(), (const char *)fetch.amcf->state_file.data, &a);
    if (why)
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "api: the state was not kept: %s", why);
    st_arena_release(&a);
}

/* Up to a tenth earlier than the interval, so that nodes do not come all at once. */
static void succeeded(ngx_uint_t i)
{
    const ngx_http_api_key_source_t *source = source_of(i);
    if (fetch.failures[i])
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0, "api: the keys of %s are here again", source->shown);
    fetch.failures[i] = 0;
    fetch.due[i] =
        ngx_time() + source->interval - (time_t)((ngx_uint_t)ngx_random() % (ngx_uint_t)(source->interval / 10 + 1));
    ngx_http_api_state_key_set(state_zone(), source->source)->fetched = ngx_time();
}

static void failed(ngx_uint_t i, const char *why)
{
    const ngx_http_api_key_source_t *source = source_of(i);
    if (!fetch.failures[i])
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "api: no new keys from %s, the last known go on: %s",
                      source->shown, why);
    fetch.due[i] = ngx_time() + ngx_min(source->interval, (time_t)1 << ngx_min(fetch.failures[i], BACKOFF_MAX));
    fetch.failures[i]++;
}

static void finish(void)
{
    const ngx_http_api_key_source_t *source = source_of(fetch.current);
    const char *left_out = "", *why = fault(fetch.job, source, &left_out);
    if (why) {
        failed(fetch.current, why);
    } else {
        ngx_int_t rc =
            ngx_http_api_state_set_keys(state_zone(), source->source, fetch.job->answer.body, fetch.job->answer.len);
        if (rc == NGX_OK)
            ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0, "api: new keys from %s%s%s", source->shown,
                          *left_out ? "; left out: " : "", left_out);
        if (rc == NGX_ERROR)
            failed(fetch.current, "there is no room for them");
        else
            succeeded(fetch.current);
        if (rc == NGX_OK)
            save();
    }
    end_job();
}

/* --- the timer --- */

/* A token has named a key that nobody knows: fetch at once, but only once in each interval, whoever sends such tokens.
 */
static void look_at_wants(void)
{
    const ngx_http_api_state_t *s = ngx_http_api_state(state_zone());
    if (s->keys_wanted == fetch.ticket)
        return;
    fetch.ticket = s->keys_wanted;
    for (ngx_uint_t i = 0; i < fetch.conf->sources.nelts; i++) {
        ngx_http_api_key_set_t *set = ngx_http_api_state_key_set(state_zone(), source_of(i)->source);
        if (fetch.due[i] <= ngx_time() || set->forced + source_of(i)->interval > ngx_time())
            continue; /* it is fetched anyway, or was lately */
        set->forced = ngx_time();
        fetch.due[i] = ngx_time();
    }
}

static void on_timer(ngx_event_t *ev)
{
    look_at_wants(); /* first: who has waited for the fetch that is done now does not cause another */
    if (fetch.job && __atomic_load_n(&fetch.job->done, __ATOMIC_ACQUIRE))
        finish();
    for (ngx_uint_t i = 0; !fetch.job && i < fetch.conf->sources.nelts; i++)
        if (fetch.due[i] <= ngx_time())
            start(i);
    if (!fetch.job)
        ngx_http_api_state(state_zone())->keys_answered = fetch.ticket;
    if (!ngx_exiting)
        ngx_add_timer(ev, fetch.job ? QUICK_TICK_MS : TICK_MS);
}

void ngx_http_api_auth_fetch_start(const ngx_http_api_main_conf_t *amcf, const ngx_http_api_auth_conf_t *conf)
{
    static ngx_connection_t dummy = {.fd = (ngx_socket_t)-1}; /* the timer's debug log asks for a descriptor */
    if (!conf->sources.nelts)
        return;
    fetch.amcf = amcf;
    fetch.conf = conf;
    for (ngx_uint_t i = 0; i < conf->sources.nelts; i++) {
        const ngx_http_api_key_set_t *set = ngx_http_api_state_key_set(state_zone(), source_of(i)->source);
        fetch.due[i] = set->fetched ? set->fetched + source_of(i)->interval : ngx_time();
    }
    fetch.timer.handler = on_timer;
    fetch.timer.data = &dummy;
    fetch.timer.log = ngx_cycle->log;
    fetch.timer.cancelable = 1; /* a worker that is leaving does not wait for it */
    ngx_add_timer(&fetch.timer, 1);
}

void ngx_http_api_auth_fetch_stop(void)
{
    if (fetch.timer.timer_set)
        ngx_del_timer(&fetch.timer);
    if (!fetch.job)
        return;
    __atomic_store_n(&fetch.job->stop, 1, __ATOMIC_RELAXED);
    end_job();
}
