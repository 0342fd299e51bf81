/* The heartbeat of leased jobs: progress is written, leases are renewed, and whoever lost or cancelled ones is told. */
#include "svc/jobs.h"

enum { OVERTIME_US = 60000000 }; /* a run that does not hear that it should stop loses its lease */

/* Numbers the leases of which there is something to ask or to tell: those that run, and those to be renewed. */
static json_t *describe_locked(struct st_leased_job *list, int64_t now)
{
    json_t *all = json_array();
    for (struct st_leased_job *job = list; job; job = job->next) {
        int64_t done = atomic_load(&job->done), total = atomic_load(&job->total);
        int64_t lease = st_job_lease_us(job->kind);
        bool news = total >= 0 && done != job->written_done, due = now >= job->written_at + lease / 3;
        bool overtime = job->deadline && now > job->deadline + OVERTIME_US;
        job->beat = -1;
        if (!job->deadline && !due)
            continue;
        job->beat = (int)json_array_size(all);
        json_t *item = json_pack("{s:i, s:I, s:s, s:b, s:I}", "n", job->beat, "id", (json_int_t)job->pub.id, "token",
                                 job->take->token, "renew", (news || due) && !overtime, "lease_s",
                                 (json_int_t)(lease / ST_SECOND));
        if (news) {
            json_object_set_new(item, "done", json_integer(done));
            json_object_set_new(item, "total", json_integer(total));
            job->written_done = done;
        }
        json_array_append_new(all, item);
    }
    return all;
}

struct answer {
    const char *state; /* NULL: it was not asked for */
    bool renewed;
};

/* Jobs have come and gone meanwhile. */
static void apply_locked(struct st_leased_job *list, const struct answer *answers, int64_t now)
{
    for (struct st_leased_job *job = list; job; job = job->next) {
        const struct answer *answer = job->beat >= 0 ? &answers[job->beat] : NULL;
        if (!answer || !answer->state)
            continue;
        if (st_streq(answer->state, "cancelled")) {
            (void)st_leased_job_stop(job, ST_JOB_CANCELLED);
        } else if (!st_streq(answer->state, "running")) {
            (void)st_leased_job_stop(job, ST_JOB_LOST);
        } else if (answer->renewed) {
            job->written_at = now;
            atomic_store(&job->lease_until, now + st_job_lease_us(job->kind));
        }
    }
}

int st_leased_jobs_beat(struct st_leased_job *const *list, pthread_mutex_t *lock, struct st_worker *w)
{
    struct st_rows *rows;
    int64_t now = st_mono();
    pthread_mutex_lock(lock);
    json_t *all = st_json_keep(&w->arena, describe_locked(*list, now));
    pthread_mutex_unlock(lock);
    size_t n = json_array_size(all);
    if (n == 0)
        return 0;
    int r = st_pg_query(w->pg, &w->arena, "select n, state, renewed from jobs_beat($1)",
                        ST_PARAMS(st_json_text(&w->arena, all)), &rows);
    if (r < 0)
        return r;
    struct answer *answers = st_new_n(&w->arena, struct answer, n);
    for (int i = 0; i < st_rows_count(rows); i++)
        answers[st_cell_int(rows, i, 0)] = (struct answer){st_cell(rows, i, 1), st_streq(st_cell(rows, i, 2), "t")};
    pthread_mutex_lock(lock);
    apply_locked(*list, answers, now);
    pthread_mutex_unlock(lock);
    return 0;
}
