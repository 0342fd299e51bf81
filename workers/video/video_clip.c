/*
 * Passages of a story filmed by a provider, as jobs: which passages, by whom, and what came of it.
 *
 * A request is sent once. Its intent is stored before, its name at the provider after; one whose fate is not known is
 * looked for in the provider's list, or waits until the provider calls back, and is not sent again: its film is made
 * without it after a while, it is `lost`. Whoever wants the same later looks for it first: until it is found it stays
 * lost, for its own film may be about to be put together. What is not found, or is found and lost again (what comes
 * cannot be converted), that film goes without, too; a day after it was sent, when its provider is not at it any more,
 * the same may be sent anew. What was sent goes on when its film is stopped, and a film that wants the same waits for
 * it; when its story is gone, it is cancelled. What a provider could not do goes to the next one that is cheap enough
 * to be asked; what it would not do (content) goes to nobody. A passage that nobody films keeps its drawn picture. What
 * was filmed is not asked for again within that day because it cannot be converted or kept here.
 */
#include "video/film.h"
#include "video/footage.h"
#include "video/render.h"
#include "video/video.h"

enum {
    SECONDS_MAX = 9,
    POLL_FIRST_MS = 6000,
    POLL_MAX_MS = 60000,
    POLLS_MAX = 60,       /* most of an hour */
    LOOKS_MAX = 10,       /* for one whose fate is unknown, a minute apart */
    SILENCE_S = 6 * 3600, /* since it was sent: so long a look counts for none while its provider is away */
    ENDED_S = 24 * 3600,  /* since it was sent: its provider is not at it any more */
    PAGES_MAX = 10,       /* of the provider's list, at each look */
    WAITS_MAX = 5,        /* for a provider that is away: 1, 2, 4, 8, 16 minutes */
    WAIT_MS = 60000,
    FLIGHT_MS = 10000, /* between two looks at what is filmed for another film */
    ANSWER_MAX = 4 << 20,
};

/* --- whom to ask ------------------------------------------------------------------------------------------------- */

/* Can it make films of that size, and is it set up? */
static bool is_able(const struct film_api *f, bool large)
{
    return st_provider_ready(&f->http) && (f->large || !large);
}

bool video_can_film(const char *tier, const char *resolution)
{
    size_t n = strlen(tier);
    bool allowed = false, ready = false;
    for (const char *s = st_option("film_tiers"); *s; s += strcspn(s, ","), s += *s == ',')
        allowed |= n && strcspn(s, ",") == n && memcmp(s, tier, n) == 0;
    for (const struct film_api *f = film_apis; f->http.name; f++)
        ready |= is_able(f, st_streq(resolution, "1080p"));
    return allowed && ready;
}

static int64_t length_of(const json_t *clip)
{
    return st_json_int(clip, "end_ms", 0) - st_json_int(clip, "start_ms", 0);
}

static int seconds_of(const json_t *clip)
{
    int64_t ms = length_of(clip);
    return ms >= SECONDS_MAX * 1000 ? SECONDS_MAX : (int)(ms / 1000) + 1;
}

static struct film_wish wish_of(const json_t *clip)
{
    return (struct film_wish){.prompt = st_str(clip, "prompt"),
                              .seconds = seconds_of(clip),
                              .upright = st_streq(st_str(clip, "aspect_ratio"), "9:16"),
                              .large = st_streq(st_str(clip, "resolution"), "1080p"),
                              .seed = st_json_int(clip, "seed", 0),
                              .picture = ""};
}

/* What the clip costs there. */
static int64_t price(const struct film_api *f, const json_t *clip)
{
    return f->http.price_micros * film_seconds(f, seconds_of(clip));
}

/*
 * The cheapest that is set up, can do it, has not been tried for this clip, and is there; or NULL. *ret_away: one that
 * may be there later.
 */
static int choose(struct st_call *call, const json_t *clip, const struct film_api **ret, bool *ret_away)
{
    struct st_rows *rows;
    int r = st_rows(call, &rows,
                    "select provider, true from providers where open_until > now() union all "
                    "select unnest(away), true from clips where clip_id = $1 union all "
                    "select unnest(tried), false from clips where clip_id = $1",
                    st_str(clip, "clip_id"));
    *ret = NULL;
    *ret_away = false;
    for (const struct film_api *f = film_apis; r == 0 && f->http.name; f++) {
        bool tried = !is_able(f, st_streq(st_str(clip, "resolution"), "1080p"));
        bool away = false;
        for (int i = 0; i < st_rows_count(rows); i++)
            if (st_streq(st_cell(rows, i, 0), f->http.name))
                *(st_streq(st_cell(rows, i, 1), "t") ? &away : &tried) = true;
        *ret_away |= away && !tried;
        if (!tried && !away && (!*ret || price(f, clip) < price(*ret, clip)))
            *ret = f;
    }
    return r;
}

/* --- what nobody needs any more ---------------------------------------------------------------------------------- */

static void cancel_later(struct st_call *call, const char *provider, const char *ref)
{
    st_enqueue(call, "cancel_clip", NULL, 0, json_pack("{s:s, s:s}", "provider", provider, "ref", ref));
}

int video_cancel_clips(struct st_call *call, const char *video_id)
{
    struct st_rows *rows;
    int r = st_rows(call, &rows,
                    "select provider, provider_ref from clips where video_id = $1 "
                    "and (state in ('sending', 'unknown', 'sent') or lost) and provider_ref is not null",
                    video_id);
    for (int i = 0; r == 0 && i < st_rows_count(rows); i++)
        cancel_later(call, st_cell(rows, i, 0), st_cell(rows, i, 1));
    return r;
}

int video_cancel_clip(struct st_call *call)
{
    const struct film_api *api = film_api_find(st_str(call->body, "provider"));
    struct st_provider_answer answer = {0};
    int r = st_commit(call);
    if (r < 0 || !api)
        return r;
    r = st_provider_do(&api->http,
                       &(struct st_provider_call){.method = api->cancel,
                                                  .path = api->cancel_path(call->arena, st_str(call->body, "ref")),
                                                  .answer_max = ANSWER_MAX,
                                                  .look_up = true,
                                                  .cancelled = st_provider_job_stops,
                                                  .ctx = call},
                       call->arena, &answer);
    if (answer.http.status == 400 || answer.http.status == 404 || answer.http.status == 422) /* it had ended */
        return 0;
    return r < 0 ? st_fail(call, r, "It cannot be cancelled at %s: %s", api->http.name, answer.why) : 0;
}

/* --- how a clip moves on ----------------------------------------------------------------------------------------- */

void video_enqueue_clip(struct st_call *call, const char *clip_id, int64_t delay_ms)
{
    st_enqueue(call, "clip", clip_id, delay_ms, json_pack("{s:s}", "clipId", clip_id));
}

/* Its own job and one that the provider has called for may be at it at a time: who comes second leaves it alone. */
static int has_moved(struct st_call *call, const json_t *clip)
{
    struct st_rows *rows;
    int r = st_rows(call, &rows,
                    "select from clips where clip_id = $1 and state = $2 and provider is not distinct from $3 "
                    "and provider_ref is not distinct from $4 and lost = $5 for update",
                    st_str(clip, "clip_id"), st_str(clip, "state"), st_str(clip, "provider"),
                    st_str(clip, "provider_ref"), st_json_bool(clip, "lost", false) ? "t" : "f");
    return r < 0 ? r : st_rows_count(rows) == 0;
}

/*
 * There it is, or (no key) why not; lost: all the same it was sent, or may have been. When it was the last one, the
 * film is put together, unless it was stopped.
 */
static int end_clip(struct st_call *call, const json_t *clip, const char *key, const char *reason, bool lost)
{
    const char *id = st_str(clip, "clip_id"), *video_id = st_str(clip, "video_id");
    struct st_rows *rows;
    int r = has_moved(call, clip);
    if (r != 0)
        return r < 0 ? r : 0;
    st_exec(call, "update clips set state = $2, object_key = $3, reason = $4, lost = $5 where clip_id = $1", id,
            key ? "done" : "failed", key, reason, lost ? "t" : "f");
    /* Two that end at the same time must not both think that the other is still at work. */
    r = st_rows(call, &rows, "select from video_jobs where video_id = $1 and filming is not null for update", video_id);
    if (r < 0 || st_rows_count(rows) == 0)
        return r;
    r = st_rows(call, &rows, "select from clips where video_id = $1 and state not in ('done', 'failed') limit 1",
                video_id);
    if (r == 0 && st_rows_count(rows) == 0)
        st_enqueue(call, "render", video_id, 0, json_pack("{s:s}", "videoId", video_id));
    return r;
}

static int fail_clip(struct st_call *call, const json_t *clip, const char *reason)
{
    return end_clip(call, clip, NULL, reason, false);
}

static int lose_clip(struct st_call *call, const json_t *clip)
{
    return end_clip(call, clip, NULL, "What became of the request is not known.", true);
}

/* Another provider may do what this one could not. */
static int next_provider(struct st_call *call, const json_t *clip)
{
    const char *id = st_str(clip, "clip_id");
    int r = has_moved(call, clip);
    if (r != 0)
        return r < 0 ? r : 0;
    st_exec(call,
            "update clips set state = 'wanted', tried = tried || provider, provider_ref = null, polls = 0 "
            "where clip_id = $1",
            id);
    video_enqueue_clip(call, id, 0);
    return 0;
}

/* Another may be there now; they will all be asked again in a while. */
static int next_meanwhile(struct st_call *call, const json_t *clip)
{
    const char *id = st_str(clip, "clip_id");
    st_exec(call, "update clips set state = 'wanted', away = away || provider where clip_id = $1", id);
    video_enqueue_clip(call, id, 0);
    return 0;
}

/* Nobody can be asked. */
static int wait_or_end(struct st_call *call, const json_t *clip, bool away)
{
    const char *id = st_str(clip, "clip_id");
    int64_t waits = st_json_int(clip, "waits", 0);
    if (!away || waits >= WAITS_MAX)
        return fail_clip(call, clip, "No provider can film it now.");
    st_exec(call, "update clips set away = '{}', waits = waits + 1 where clip_id = $1", id);
    video_enqueue_clip(call, id, (int64_t)WAIT_MS << waits);
    return 0;
}

/* asked: the breaker has let it pass; what it refuses is no look, for a while. */
static int wait_for_it(struct st_call *call, const json_t *clip, bool asked)
{
    int64_t polls = st_json_int(clip, "polls", 0), ms = asked ? POLL_FIRST_MS : POLL_MAX_MS;
    bool counts = asked || st_json_bool(clip, "silent", false);
    if (counts && polls >= POLLS_MAX) {
        cancel_later(call, st_str(clip, "provider"), st_str(clip, "provider_ref"));
        return next_provider(call, clip);
    }
    int r = has_moved(call, clip);
    if (r != 0)
        return r < 0 ? r : 0;
    for (int64_t i = 0; i < polls && ms < POLL_MAX_MS; i++)
        ms = ms * 13 / 10;
    if (counts)
        st_exec(call, "update clips set polls = polls + 1 where clip_id = $1", st_str(clip, "clip_id"));
    video_enqueue_clip(call, st_str(clip, "clip_id"), ms < POLL_MAX_MS ? ms : POLL_MAX_MS);
    return 0;
}

/* --- looked for -------------------------------------------------------------------------------------------------- */

static int load(struct st_call *call, const char *clip_id, json_t **ret)
{
    return st_row(call, ret,
                  "select c.*, v.aspect_ratio, v.resolution, v.filming, "
                  "c.sent_at < now() - $2::int * interval '1 second' as silent, "
                  "c.sent_at < now() - $3::int * interval '1 second' as ended "
                  "from clips c join video_jobs v using (video_id) where c.clip_id = $1",
                  clip_id, st_i64(call->arena, SILENCE_S), st_i64(call->arena, ENDED_S));
}

/* What fails is not asked again at once: the next look will, and no provider wants to be asked more often. */
static int ask(struct st_call *call, const struct film_api *api, const char *path, struct st_provider_answer *ret)
{
    return st_provider_do(&api->http,
                          &(struct st_provider_call){.method = "GET",
                                                     .path = path,
                                                     .answer_max = ANSWER_MAX,
                                                     .look_up = true,
                                                     .attempts = 1,
                                                     .cancelled = st_provider_job_stops,
                                                     .ctx = call},
                          call->arena, ret);
}

/* *ret: its name in the provider's list of what was begun, as far as that is read; or NULL. < 0: it cannot be read. */
static int find(struct st_call *call, const json_t *clip, const struct film_api *api, const char **ret)
{
    const char *callback = video_callback_url(call, st_str(clip, "clip_id"), api, st_json_int(clip, "sends", 0));
    bool more = api->list_path != NULL;
    for (int page = 0; more && !*ret && page < PAGES_MAX; page++) {
        struct st_provider_answer answer;
        int r = ask(call, api, api->list_path(call->arena, page), &answer);
        if (r < 0)
            return r;
        if (!api->find(call->arena, &answer.http, callback, ret, &more))
            return ST_E_BAD_GATEWAY;
    }
    return 0;
}

/* It is there, by that name. */
static void go_on(struct st_call *call, const char *id, const char *ref)
{
    st_exec(call, "update clips set state = 'sent', provider_ref = $2, polls = 0, lost = false where clip_id = $1", id,
            ref);
    video_enqueue_clip(call, id, 0);
}

/* Nobody will ever know what became of it: it is as if it had not been sent. */
static int want_anew(struct st_call *call, const json_t *clip)
{
    const char *id = st_str(clip, "clip_id");
    st_exec(call,
            "update clips set state = 'wanted', provider = null, provider_ref = null, polls = 0, lost = false "
            "where clip_id = $1",
            id);
    video_enqueue_clip(call, id, 0);
    return 0;
}

/* One whose fate is not known, unless the provider has called back, and named it. */
static int look_for(struct st_call *call, const json_t *clip, const struct film_api *api)
{
    const char *id = st_str(clip, "clip_id"), *ref = st_str(clip, "provider_ref");
    int r = ref ? 0 : find(call, clip, api, &ref);
    if (r == ST_E_CANCELLED)
        return r;
    int moved = has_moved(call, clip);
    if (moved > 0)
        video_enqueue_clip(call, id, 0); /* maybe it has its name now, and nobody else goes on with it */
    if (moved != 0)
        return moved < 0 ? moved : 0;
    if (ref) {
        go_on(call, id, ref);
        return 0;
    }
    bool counts = r == 0 || st_json_bool(clip, "silent", false);
    if (counts && st_json_int(clip, "polls", 0) >= LOOKS_MAX)
        return st_json_bool(clip, "ended", false) ? want_anew(call, clip) : lose_clip(call, clip);
    st_exec(call, "update clips set state = 'unknown', lost = false, polls = polls + $2::int where clip_id = $1", id,
            counts ? "1" : "0");
    video_enqueue_clip(call, id, POLL_MAX_MS);
    return 0;
}

static void set_looks(struct st_call *call, json_t *clip, int64_t looks)
{
    json_object_set_new(clip, "polls", json_integer(looks));
    st_exec(call, "update clips set polls = $2 where clip_id = $1", st_str(clip, "clip_id"),
            st_i64(call->arena, looks));
}

/*
 * Another film's, which is lost, for one that wants the same and counts the looks as its polls; all of them are used up
 * when what is found goes on. 1: that one waits, or goes without it. 0: what the other is by now, its row says.
 */
static int look_again(struct st_call *call, json_t *clip, const char *other_id)
{
    json_t *other;
    int64_t looks = st_json_int(clip, "polls", 0);
    int r = load(call, other_id, &other);
    if (r < 0 || !st_json_bool(other, "lost", false))
        return r == ST_E_NOT_FOUND ? 0 : r;
    if ((r = st_commit(call)) < 0)
        return r;
    const char *named = st_str(other, "provider_ref"), *ref = named;
    r = ref ? 0 : find(call, other, film_api_find(st_str(other, "provider")), &ref);
    if (r == ST_E_CANCELLED)
        return r;
    int moved = has_moved(call, other);
    if (moved != 0)
        return moved < 0 ? moved : st_commit(call);
    if (ref && (!named || looks < LOOKS_MAX)) {
        go_on(call, other_id, ref);
        set_looks(call, clip, LOOKS_MAX);
        return st_commit(call);
    }
    if (r < 0 && looks < LOOKS_MAX) {
        set_looks(call, clip, looks + 1);
        video_enqueue_clip(call, st_str(clip, "clip_id"), POLL_MAX_MS);
        return 1;
    }
    if (!st_json_bool(other, "ended", false)) {
        r = fail_clip(call, clip, "What became of an earlier request for the same is not known.");
        return r < 0 ? r : 1;
    }
    st_exec(call, "update clips set lost = false where clip_id = $1", other_id); /* it is as if it had not been sent */
    set_looks(call, clip, 0);
    return st_commit(call);
}

/* --- sent once --------------------------------------------------------------------------------------------------- */

/* What tells the picture that it begins with from others. */
static const char *picture_of(const json_t *clip)
{
    const char *key = st_str(clip, "picture"), *name = key ? strrchr(key, '/') : NULL;
    return name ? name : "";
}

static const char *cache_key(struct st_call *call, const json_t *clip, const struct film_api *f,
                             const struct film_wish *w)
{
    const char *all = st_printf(call->arena, "%s %s\n%d %d %d %lld %s\n%s", f->http.name, f->model, w->seconds,
                                w->upright, w->large, (long long)w->seed, picture_of(clip), w->prompt);
    return st_sha256_hex(call->arena, all, strlen(all));
}

/* A film of any length and size, as a clip of the passage's, *ret_ms long. */
static int take(struct st_call *call, const json_t *clip, const char *from, const char *to, int64_t *ret_ms)
{
    const struct film_wish w = wish_of(clip);
    int side = w.large ? 1920 : 1280, other = w.large ? 1080 : 720;
    const char *why;
    int r = st_footage_take(call->arena,
                            &(struct st_footage){.path = from,
                                                 .width = w.upright ? other : side,
                                                 .height = w.upright ? side : other,
                                                 .ms = length_of(clip),
                                                 .clip = to,
                                                 .cancelled = st_provider_job_stops,
                                                 .arg = call},
                            ret_ms, &why);
    if (r == ST_E_UNPROCESSABLE)
        st_log(ST_LOG_WARNING, "What a provider has filmed is refused", ST_S("provider", st_str(clip, "provider")),
               ST_S("reason", why));
    return r == ST_E_UNAVAILABLE || r == ST_E_TIMEOUT ? st_fail_here(call, r, "%s.", why) : r;
}

/* Under which the same may be found, by whomever it was filmed. */
static const char *cache_keys(struct st_call *call, const json_t *clip)
{
    struct film_wish wish = wish_of(clip);
    const char *keys = "{";
    for (const struct film_api *f = film_apis; f->http.name; f++) {
        wish.seconds = film_seconds(f, seconds_of(clip));
        keys = st_printf(call->arena, "%s%s%s", keys, keys[1] ? "," : "", cache_key(call, clip, f, &wish));
    }
    return st_printf(call->arena, "%s}", keys);
}

/* What is damaged is as good as gone; a store that is away says nothing. */
static bool is_gone(int r)
{
    return r == ST_E_NOT_FOUND || r == ST_E_CONFLICT;
}

/*
 * The same, of about that length, was filmed before, or is being filmed, for another film, or is lost: 1, and *ret_path
 * where it is there. Else 0, and nobody else learns so before this transaction ends: two at a time must not both find
 * that there is none.
 */
static int find_same(struct st_call *call, const json_t *clip, json_t **ret, const char **ret_path)
{
    *ret_path = NULL;
    for (;;) {
        st_exec(call, "select pg_advisory_xact_lock(hashtextextended('clip ' || $1, 0))", st_str(clip, "prompt"));
        int r = st_row(call, ret,
                       "select clip_id, state, lost, provider, cache_key, object_key, end_ms - start_ms as ms, "
                       "coalesce(filmed_ms, end_ms - start_ms) as filmed_ms from clips "
                       "where cache_key = any($1::text[]) "
                       "and (state in ('done', 'sending', 'unknown', 'sent') or lost) "
                       "order by state = 'done' desc, lost, clip_id limit 1",
                       cache_keys(call, clip));
        if (r < 0)
            return r == ST_E_NOT_FOUND ? 0 : r;
        if (!st_streq(st_str(*ret, "state"), "done"))
            return 1;
        if ((r = st_commit(call)) < 0)
            return r;
        r = st_object_get(call, st_str(*ret, "object_key"), ret_path);
        if (!is_gone(r))
            return r < 0 ? r : 1;
        st_exec(call, "update clips set cache_key = '' where clip_id = $1", st_str(*ret, "clip_id"));
    }
}

/* 1: it is this clip's now, or waited for; or it was looked for in vain, and this clip has come to its end. */
static int take_over(struct st_call *call, json_t *clip)
{
    const char *id = st_str(clip, "clip_id"), *path;
    json_t *old;
    int r;
    while ((r = find_same(call, clip, &old, &path)) > 0 && st_json_bool(old, "lost", false))
        if ((r = look_again(call, clip, st_str(old, "clip_id"))) != 0)
            return r;
    if (r <= 0)
        return r;
    if (!path) {
        video_enqueue_clip(call, id, FLIGHT_MS);
        return 1;
    }
    const char *own = st_printf(call->arena, "video/%s/clips/%s.mp4", st_str(clip, "video_id"), id);
    int64_t ms = st_json_int(old, "filmed_ms", 0);
    if (st_json_int(old, "ms", 0) != length_of(clip)) {
        const char *cut = st_printf(call->arena, "%s/%s.mp4", st_scratch(call), id);
        if ((r = take(call, clip, path, cut, &ms)) < 0)
            return r;
        path = cut;
    }
    if ((r = st_object_put_file(call, own, path)) < 0)
        return r;
    st_exec(call,
            "update clips set provider = $2, cache_key = $3, filmed_ms = $4 where clip_id = $1 and state = 'wanted'",
            id, st_str(old, "provider"), st_str(old, "cache_key"), st_i64(call->arena, ms));
    json_object_set(clip, "provider", json_object_get(old, "provider"));
    r = end_clip(call, clip, own, NULL, false);
    return r < 0 ? r : 1;
}

/* What a submission that gave no name has come to. */
static int not_sent(struct st_call *call, const json_t *clip, int r)
{
    const char *id = st_str(clip, "clip_id");
    struct st_rows *rows;
    if (r == ST_E_CANCELLED)
        return r; /* the next run finds the intent */
    int locked = st_rows(call, &rows, "select provider_ref from clips where clip_id = $1 for update", id);
    if (locked < 0)
        return locked;
    if (st_rows_count(rows) && st_cell(rows, 0, 0)) /* it has called back meanwhile: it was sent */
        r = ST_E_TIMEOUT;
    if (r == ST_E_UNPROCESSABLE)
        return fail_clip(call, clip, "The provider does not film this passage.");
    if (r == ST_E_UNAVAILABLE || r == ST_E_LIMITED)
        return next_meanwhile(call, clip);
    if (r != ST_E_TIMEOUT)
        return next_provider(call, clip);
    st_exec(call, "update clips set state = 'unknown', polls = 0 where clip_id = $1", id);
    video_enqueue_clip(call, id, POLL_FIRST_MS);
    return 0;
}

static int submit(struct st_call *call, json_t *clip)
{
    const struct film_api *api;
    struct film_wish wish = wish_of(clip);
    const char *id = st_str(clip, "clip_id"), *path, *why, *ref = NULL;
    struct st_provider_answer answer = {0};
    json_t *body, *said;
    bool away;
    int r = take_over(call, clip);
    if (r != 0 || (r = choose(call, clip, &api, &away)) < 0)
        return r < 0 ? r : 0;
    if (!api)
        return wait_or_end(call, clip, away);
    wish.seconds = film_seconds(api, wish.seconds);
    const char *key = cache_key(call, clip, api, &wish);
    int64_t sends = st_json_int(clip, "sends", 0) + 1;
    st_exec(call,
            "update clips set state = 'sending', provider = $2, cache_key = $3, sent_at = now(), sends = $4, "
            "polls = 0 where clip_id = $1",
            id, api->http.name, key, st_i64(call->arena, sends));
    st_exec(call, "delete from clip_calls where clip_id = $1", id);
    if ((r = video_want_keys(call, api)) < 0 || (r = st_commit(call)) < 0)
        return r;
    json_object_set_new(clip, "state", json_string("sending"));
    json_object_set_new(clip, "provider", json_string(api->http.name));
    wish.callback = video_callback_url(call, id, api, sends);
    if (st_str(clip, "picture"))
        wish.picture = st_printf(
            call->arena, "%s%s", st_option("public_url"),
            st_object_link(call, st_printf(call->arena, "/v1/videos/clips/%s/picture", id), st_str(clip, "picture")));
    body = api->begin(call->arena, &wish, &path);
    r = st_provider_do(&api->http,
                       &(struct st_provider_call){.path = path,
                                                  .json = body,
                                                  .answer_max = ANSWER_MAX,
                                                  .once = true,
                                                  .units = wish.seconds,
                                                  .reference = id,
                                                  .cancelled = st_provider_job_stops,
                                                  .ctx = call},
                       call->arena, &answer);
    if (r == 0 && st_json_parse(call->arena, answer.http.body, answer.http.len, ST_JSON_DEPTH, &said, &why) == 0)
        ref = st_json_str(said, api->id, NULL);
    if (!ref)
        return not_sent(call, clip, r < 0 ? r : ST_E_TIMEOUT);
    struct st_rows *rows;
    r = st_rows(call, &rows, "update clips set state = 'sent', provider_ref = $2, polls = 0 where clip_id = $1", id,
                ref);
    if (r == 0 && st_rows_affected(rows) == 0) /* its story was deleted meanwhile */
        cancel_later(call, api->http.name, ref);
    else
        video_enqueue_clip(call, id, POLL_FIRST_MS);
    return r;
}

/* --- what came --------------------------------------------------------------------------------------------------- */

static int fetch(struct st_call *call, const json_t *clip, const struct film_api *api, const char *url)
{
    const char *id = st_str(clip, "clip_id");
    const char *raw = st_printf(call->arena, "%s/%s.raw", st_scratch(call), id);
    const char *film = st_printf(call->arena, "%s/%s.mp4", st_scratch(call), id);
    const char *key = st_printf(call->arena, "video/%s/clips/%s.mp4", st_str(clip, "video_id"), id);
    enum film_place place = film_place_of(api, url);
    struct st_provider_answer answer;
    if (place == FILM_NOWHERE)
        return wait_for_it(call, clip, true);
    int r = st_provider_do(&api->http,
                           &(struct st_provider_call){.method = "GET",
                                                      .url = url,
                                                      .public_only = place == FILM_OUTSIDE,
                                                      .save_to = raw,
                                                      .answer_max = ST_FOOTAGE_BYTES,
                                                      .look_up = true,
                                                      .cancelled = st_provider_job_stops,
                                                      .ctx = call},
                           call->arena, &answer);
    if (r == ST_E_CANCELLED)
        return r;
    if (r == ST_E_INTERNAL)
        return st_fail_here(call, ST_E_UNAVAILABLE, "%s", answer.why);
    if (r < 0)
        return wait_for_it(call, clip, true); /* asked again, it may have another address */
    int64_t ms;
    r = take(call, clip, raw, film, &ms);
    if (r == ST_E_UNPROCESSABLE)
        return next_provider(call, clip);
    if (r < 0 || (r = st_object_put_file(call, key, film)) < 0)
        return r;
    st_exec(call, "update clips set filmed_ms = $2 where clip_id = $1", id, st_i64(call->arena, ms));
    return end_clip(call, clip, key, NULL, false);
}

/*
 * Only what the provider says of the work itself ends it. While our key is refused, or what comes makes no sense, it is
 * the provider that is unwell, and what was sent is waited for.
 */
static int poll_it(struct st_call *call, const json_t *clip, const struct film_api *api)
{
    struct st_provider_answer answer = {0};
    struct film_status status = {.state = FILM_WAITS};
    int r = ask(call, api, api->status_path(call->arena, st_str(clip, "provider_ref")), &answer);
    if (r == 0)
        api->status(call->arena, &answer.http, &status);
    if (status.next && (r = ask(call, api, status.next, &answer)) != ST_E_CANCELLED)
        api->result(call->arena, &answer.http, &status);
    if (r == ST_E_CANCELLED)
        return r;
    if (status.state == FILM_FAILED && status.outcome == ST_OUTCOME_CONTENT)
        return fail_clip(call, clip, status.why);
    bool gone = answer.http.status == 404 || answer.http.status == 410; /* it does not know it any more */
    if (status.state == FILM_FAILED || gone)
        return next_provider(call, clip);
    if (status.state == FILM_DONE)
        return fetch(call, clip, api, status.url);
    return wait_for_it(call, clip, answer.http.status || answer.wait_ms < 0);
}

/* --- jobs --------------------------------------------------------------------------------------------------------- */

int video_clip(struct st_call *call)
{
    json_t *clip;
    int r = load(call, st_str(call->body, "clipId"), &clip);
    if (r < 0)
        return r == ST_E_NOT_FOUND ? 0 : r;
    const char *state = st_json_str(clip, "state", "");
    const struct film_api *api = film_api_find(st_str(clip, "provider"));
    bool sent = st_streq(state, "sent"), unknown = st_streq(state, "unknown") || st_json_bool(clip, "lost", false);
    if (st_json_bool(call->body, "told", false) && !sent && !unknown)
        return 0;                  /* the job of the clip itself is at it */
    if (st_streq(state, "wanted")) /* by a film that was not stopped */
        return st_str(clip, "filming") ? submit(call, clip) : 0;
    if ((r = st_commit(call)) < 0 || !api)
        return r;
    if (sent)
        return poll_it(call, clip, api);
    /* sending: it was killed between the intent and the answer. */
    return unknown || st_streq(state, "sending") ? look_for(call, clip, api) : 0;
}

int video_clip_failed(struct st_call *call)
{
    json_t *clip;
    int r = load(call, st_str(call->body, "clipId"), &clip);
    if (r < 0)
        return r == ST_E_NOT_FOUND ? 0 : r;
    const char *state = st_json_str(clip, "state", "");
    if (st_streq(state, "done") || st_streq(state, "failed")) /* the other of its jobs has brought it to its end */
        return 0;
    bool sent = !st_streq(state, "wanted");
    return end_clip(call, clip, NULL, "It could not be filmed.", sent);
}

/* For the renderer. Of one that is gone the row says so, too: what is told and charged is what is to be seen. */
int video_load_clips(struct st_call *call, const char *video_id, struct st_video_job *job)
{
    json_t *rows, *one;
    size_t i;
    st_exec(call, "update clips set shown = (state = 'done') where video_id = $1", video_id);
    int r = st_list(call, &rows,
                    "select clip_id, object_key, start_ms, coalesce(start_ms + filmed_ms, end_ms) as end_ms from clips "
                    "where video_id = $1 and shown order by start_ms",
                    video_id);
    if (r < 0 || (r = st_commit(call)) < 0)
        return r;
    struct st_video_clip *clips = st_new_n(call->arena, struct st_video_clip, json_array_size(rows) + 1);
    json_array_foreach (rows, i, one) {
        const char *path;
        r = st_object_get(call, st_str(one, "object_key"), &path);
        if (r < 0 && !is_gone(r))
            return r;
        if (r == 0)
            clips[job->clip_count++] =
                (struct st_video_clip){path, st_json_int(one, "start_ms", 0), st_json_int(one, "end_ms", 0)};
        else
            st_exec(call,
                    "update clips set state = 'failed', shown = false, cache_key = '', "
                    "reason = 'What was filmed is gone.' "
                    "where clip_id = $1",
                    st_str(one, "clip_id"));
    }
    job->clips = clips;
    return st_commit(call);
}
