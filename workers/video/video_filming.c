/*
 * What it takes to have passages filmed, in the end all of it or nothing: units of the author's tier (one for the film,
 * one for each passage) are reserved, then the passages are filmed and the film is made of them. When it is ready, what
 * it has really taken is settled; when it is given up, all is given back.
 */
#include "video/video.h"

enum {
    ANSWER_S = 900,
    FILM_S = 24 * 3600, /* several providers, an hour each, and the film */
};

static json_t *about(struct st_call *call, const char *saga_id)
{
    return json_pack("{s:s, s:O, s:O}", "sagaId", saga_id, "videoId", json_object_get(call->body, "videoId"), "userId",
                     json_object_get(call->body, "userId"));
}

/* --- subscription.reserveVideos --- */

static int reserve(struct st_call *call)
{
    json_t *request = about(call, call->saga->id);
    json_object_set(request, "amount", json_object_get(call->body, "amount"));
    st_emit(call, "FilmingRequested", st_str(call->body, "videoId"), request);
    return 0;
}

static int give_back(struct st_call *call)
{
    st_emit(call, "FilmingWithdrawn", st_str(call->body, "videoId"), about(call, call->saga->id));
    return 0;
}

/* --- video.film --- */

/*
 * What could not be filmed for an earlier saga of the same video is tried anew; what was sent for it goes on, and what
 * was lost is looked for anew.
 */
static int film(struct st_call *call)
{
    const char *video_id = st_str(call->body, "videoId");
    struct st_rows *rows;
    json_t *clips, *one;
    size_t i;
    int r = st_rows(call, &rows, "select from video_jobs where video_id = $1 and filming = $2 for update", video_id,
                    call->saga->id);
    if (r == 0 && st_rows_count(rows) == 0) /* FilmingFailed came too early to be an answer */
        return st_fail(call, ST_E_CONFLICT, "The film is not wanted any more.");
    if (r == 0)
        r = st_list(call, &clips,
                    "update clips set state = case when lost then 'unknown' else 'wanted' end, "
                    "provider = case when lost then provider end, provider_ref = case when lost then provider_ref end, "
                    "tried = '{}', away = '{}', waits = 0, polls = 0, reason = null, lost = false "
                    "where video_id = $1 and state in ('wanted', 'failed') returning clip_id",
                    video_id);
    if (r < 0)
        return r;
    json_array_foreach (clips, i, one)
        video_enqueue_clip(call, st_str(one, "clip_id"), 0);
    r = st_rows(call, &rows, "select from clips where video_id = $1 and state <> 'done' limit 1", video_id);
    if (r == 0 && st_rows_count(rows) == 0)
        st_enqueue(call, "render", video_id, 0, json_pack("{s:s}", "videoId", video_id));
    return r;
}

/* Nothing more is sent. What was sent goes on: the next film may have the same passage. */
static int stop_filming(struct st_call *call, const char *video_id)
{
    json_t *clips, *one;
    size_t i;
    int r = st_list(call, &clips, "select clip_id from clips where video_id = $1 and state = 'wanted' for update",
                    video_id);
    if (r < 0)
        return r;
    json_array_foreach (clips, i, one)
        st_cancel(call, "clip", st_str(one, "clip_id"));
    return 0;
}

/* Of one that was given up before the film had come to its own end. */
static int ended(struct st_call *call)
{
    const char *video_id = st_str(call->body, "videoId");
    struct st_rows *rows;
    if (!call->saga->backward)
        return 0;
    int r =
        st_rows(call, &rows, "select from video_jobs where video_id = $1 and filming = $2", video_id, call->saga->id);
    if (r < 0 || st_rows_count(rows) == 0)
        return r;
    if ((r = stop_filming(call, video_id)) < 0)
        return r;
    st_exec(call, "update video_jobs set filming = null where video_id = $1", video_id);
    return video_give_up(call, video_id, call->saga->error ? call->saga->error : "It could not be filmed.");
}

static const struct st_saga_step steps[] = {
    {.name = "subscription.reserveVideos",
     .action = reserve,
     .compensation = give_back,
     .done = "QuotaReserved",
     .failed = "QuotaRejected",
     .undone = "QuotaReleased",
     .deadline_s = ANSWER_S},
    {.name = "video.film", .action = film, .done = "FilmingCompleted", .failed = "FilmingFailed", .deadline_s = FILM_S},
    {0},
};
const struct st_saga video_sagas[] = {{.name = "filming", .steps = steps, .ended = ended}, {0}};

/* --- what the film tells ----------------------------------------------------------------------------------------- */

int video_begin_filming(struct st_call *call, const char *video_id, const char *author_id, int passages)
{
    const char *saga_id;
    json_t *data = json_pack("{s:s, s:s, s:i}", "videoId", video_id, "userId", author_id, "amount", 1 + passages);
    int r = st_saga_start(call, "filming", st_new_id(call->arena), data, &saga_id);
    if (r == 0)
        st_exec(call, "update video_jobs set filming = $2 where video_id = $1", video_id, saga_id);
    return r;
}

int video_end_filming(struct st_call *call, const char *video_id, const char *failed)
{
    json_t *v;
    int r = st_row(call, &v,
                   "select v.filming as \"sagaId\", v.video_id as \"videoId\", s.author_id as \"userId\", "
                   "(select count(*) from clips c where c.video_id = v.video_id and c.shown) as filmed "
                   "from video_jobs v join stories s using (story_id) where v.video_id = $1 and v.filming is not null",
                   video_id);
    if (r < 0)
        return r == ST_E_NOT_FOUND ? 0 : r;
    int64_t filmed = st_json_int(v, "filmed", 0);
    json_t *told = json_deep_copy(v);
    json_object_del(told, "filmed");
    if (failed)
        json_object_set_new(told, "reason", json_string(failed));
    else
        json_object_set_new(told, "amount", json_integer(1 + filmed));
    st_emit(call, failed ? "FilmingFailed" : "FilmingCompleted", video_id, told);
    if (failed && (r = stop_filming(call, video_id)) < 0)
        return r;
    st_exec(call, "update video_jobs set filming = null where video_id = $1", video_id);
    return 1;
}
