/* Spans and figures of all work. */
#include "svc/work.h"

#include "svc/call.h"

/* Upper bounds of the histograms, us. */
static const int64_t bounds[] = {1000,   2500,    5000,    10000,   25000,    50000,    100000,    250000,
                                 500000, 1000000, 2500000, 5000000, 10000000, 30000000, 100000000, 300000000};
enum { BUCKETS = ST_COUNT(bounds) + 1 };

static const char *const kind_names[ST_WORK_KINDS] = {"request", "event", "job", "schedule"};

struct figure {
    const char *name;
    atomic_llong buckets[BUCKETS];
    atomic_llong us, failed;
};

/* Of each kind sorted by name. */
struct st_work_figures {
    struct figure *list[ST_WORK_KINDS];
    int n[ST_WORK_KINDS];
};

/* --- traces --- */

static bool is_hex(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(s[i] >= '0' && s[i] <= '9') && !(s[i] >= 'a' && s[i] <= 'f'))
            return false;
    return true;
}

static bool all_zero(const char *s, size_t n)
{
    return strspn(s, "0") >= n;
}

/* version-trace-span-flags. Of later versions the first four fields are read as those of 00. */
static bool is_traceparent(const char *s)
{
    size_t len = strlen(s);
    return len >= ST_TRACEPARENT_LEN - 1 && is_hex(s, 2) && strncmp(s, "ff", 2) != 0 && s[2] == '-' &&
           is_hex(s + 3, 32) && !all_zero(s + 3, 32) && s[35] == '-' && is_hex(s + 36, 16) && !all_zero(s + 36, 16) &&
           s[52] == '-' && is_hex(s + 53, 2) &&
           (len == ST_TRACEPARENT_LEN - 1 || (strncmp(s, "00", 2) != 0 && s[55] == '-'));
}

void st_work_begin(struct st_call *call, enum st_work kind, const char *parent)
{
    struct st_work_span *span = &call->p->span;
    unsigned char random[24];
    char *own = span->traceparent;
    *span = (struct st_work_span){.kind = kind, .from = st_mono(), .from_wall = st_now()};
    st_random_id(random, sizeof(random));
    random[0] |= 1, random[16] |= 1; /* neither id may be zero */
    memcpy(own, "00-", 3);
    if (is_traceparent(parent)) {
        memcpy(own + 3, parent + 3, 32);
        memcpy(span->parent, parent + 36, 16);
        memcpy(own + 53, parent + 53, 2);
    } else {
        st_hex_put(own + 3, random, 16);
        memcpy(own + 53, "01", 2);
    }
    own[35] = own[52] = '-';
    st_hex_put(own + 36, random + 16, 8);
    own[ST_TRACEPARENT_LEN - 1] = '\0';
    call->traceparent = own;
}

/* --- figures --- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct figure *)a)->name, ((const struct figure *)b)->name);
}

static struct figure *find(struct st_work_figures *f, enum st_work kind, const char *name)
{
    const struct figure key = {.name = name};
    return f ? bsearch(&key, f->list[kind], (size_t)f->n[kind], sizeof(key), by_name) : NULL;
}

void st_work_end(struct st_call *call, int err)
{
    struct st_work_span *span = &call->p->span;
    if (!span->from)
        return;
    int64_t us = st_mono() - span->from;
    struct figure *f = find(call->p->worker->run->figures, span->kind, call->name);
    if (f) {
        size_t i = 0;
        while (i < ST_COUNT(bounds) && us > bounds[i])
            i++;
        atomic_fetch_add_explicit(&f->buckets[i], 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&f->us, us, memory_order_relaxed);
        if (err < 0)
            atomic_fetch_add_explicit(&f->failed, 1, memory_order_relaxed);
    }
    st_trace_add(call, span, us, err);
    span->from = 0;
}

static void add(struct st_work_figures *f, enum st_work kind, const char *name)
{
    f->list[kind][f->n[kind]++].name = name;
}

void st_work_start(struct st_run *run)
{
    const struct st_service *s = run->service;
    struct st_work_figures *f = st_new(&run->arena, struct st_work_figures);
    size_t counts[ST_WORK_KINDS] = {[ST_WORK_EVENT] = (size_t)run->n_types};
    while (s->operations && s->operations[counts[ST_WORK_REQUEST]].id)
        counts[ST_WORK_REQUEST]++;
    while (s->jobs && s->jobs[counts[ST_WORK_JOB]].name)
        counts[ST_WORK_JOB]++;
    while (s->schedules && s->schedules[counts[ST_WORK_SCHEDULE]].name)
        counts[ST_WORK_SCHEDULE]++;
    for (int k = 0; k < ST_WORK_KINDS; k++)
        f->list[k] = st_new_n(&run->arena, struct figure, counts[k] + 1);
    for (size_t i = 0; i < counts[ST_WORK_REQUEST]; i++)
        add(f, ST_WORK_REQUEST, s->operations[i].id);
    for (size_t i = 0; i < counts[ST_WORK_JOB]; i++)
        add(f, ST_WORK_JOB, s->jobs[i].name);
    for (size_t i = 0; i < counts[ST_WORK_SCHEDULE]; i++)
        add(f, ST_WORK_SCHEDULE, s->schedules[i].name);
    for (int i = 0; i < run->n_types; i++)
        if (st_run_subscription(run, run->types[i].type) &&
            (i == 0 || !st_streq(run->types[i].type, run->types[i - 1].type)))
            add(f, ST_WORK_EVENT, run->types[i].type);
    for (int k = 0; k < ST_WORK_KINDS; k++)
        qsort(f->list[k], (size_t)f->n[k], sizeof(struct figure), by_name);
    run->figures = f;
}

static void histogram(const struct figure *g, const char *service, const char *kind, struct st_buf *b)
{
    long long n = 0;
    for (size_t i = 0; i < BUCKETS; i++) {
        n += atomic_load_explicit(&g->buckets[i], memory_order_relaxed);
        st_buf_printf(b, "storytelling_work_seconds_bucket{service=\"%s\",kind=\"%s\",name=\"%s\",le=\"", service, kind,
                      g->name);
        if (i < ST_COUNT(bounds))
            st_buf_printf(b, "%g\"} %lld\n", (double)bounds[i] / ST_SECOND, n);
        else
            st_buf_printf(b, "+Inf\"} %lld\n", n);
    }
    const double seconds = (double)atomic_load_explicit(&g->us, memory_order_relaxed) / ST_SECOND;
    st_buf_printf(b, "storytelling_work_seconds_sum{service=\"%s\",kind=\"%s\",name=\"%s\"} %.6f\n", service, kind,
                  g->name, seconds);
    st_buf_printf(b, "storytelling_work_seconds_count{service=\"%s\",kind=\"%s\",name=\"%s\"} %lld\n", service, kind,
                  g->name, n);
}

/* A figure that nothing has happened to yet is left out: there are hundreds of lines without it. */
static bool is_used(const struct figure *g)
{
    for (size_t i = 0; i < BUCKETS; i++)
        if (atomic_load_explicit(&g->buckets[i], memory_order_relaxed))
            return true;
    return false;
}

void st_work_metrics(const struct st_run *run, struct st_buf *b)
{
    const struct st_work_figures *f = run->figures;
    st_buf_str(b, "# HELP storytelling_work_seconds How long requests, events, jobs and schedules took.\n"
                  "# TYPE storytelling_work_seconds histogram\n");
    for (int k = 0; f && k < ST_WORK_KINDS; k++)
        for (int i = 0; i < f->n[k]; i++)
            if (is_used(&f->list[k][i]))
                histogram(&f->list[k][i], run->service->name, kind_names[k], b);
    st_buf_str(b, "# HELP storytelling_work_failures_total Requests, events, jobs and schedules that failed.\n"
                  "# TYPE storytelling_work_failures_total counter\n");
    for (int k = 0; f && k < ST_WORK_KINDS; k++)
        for (int i = 0; i < f->n[k]; i++)
            if (is_used(&f->list[k][i]))
                st_buf_printf(b, "storytelling_work_failures_total{service=\"%s\",kind=\"%s\",name=\"%s\"} %lld\n",
                              run->service->name, kind_names[k], f->list[k][i].name,
                              (long long)atomic_load_explicit(&f->list[k][i].failed, memory_order_relaxed));
}
