/*
 * Providers that call back. Who calls, and of what, is known by the address, which is another whenever a clip is sent,
 * and by a signature where the provider signs. What it tells makes us look, and is believed no further; told again, it
 * does nothing.
 */
#include "video/film.h"
#include "video/video.h"

enum {
    TOKEN_LEN = 32,
    TOLERANCE_S = 300, /* between its clock and ours, and on the way */
    REF_MAX = 200,
    JWKS_MAX = ST_KEYS_TEXT_MAX,
};

/* sends 0: it was sent before they were counted. */
static const char *token_of(struct st_call *call, const char *clip_id, const struct film_api *api, int64_t sends)
{
    const char *time = sends ? st_printf(call->arena, "/%lld", (long long)sends) : "";
    const char *what = st_printf(call->arena, "%s/%s%s", api->http.name, clip_id, time);
    return st_strndup(call->arena, st_keyed_hash(call, "clip", what), TOKEN_LEN);
}

const char *video_callback_url(struct st_call *call, const char *clip_id, const struct film_api *api, int64_t sends)
{
    return st_printf(call->arena, "%s/v1/videos/clips/%s/progress?token=%s", st_option("public_url"), clip_id,
                     token_of(call, clip_id, api, sends));
}

/* --- keys -------------------------------------------------------------------------------------------------------- */

static void fetch_keys_soon(struct st_call *call, const struct film_api *api)
{
    st_enqueue(call, "film_keys", api->http.name, 0, json_pack("{s:s}", "provider", api->http.name));
}

int video_want_keys(struct st_call *call, const struct film_api *api)
{
    struct st_rows *rows;
    if (!api->keys)
        return 0;
    int r =
        st_rows(call, &rows, "select from film_keys where provider = $1 and fetched_at > now() - interval '12 hours'",
                api->http.name);
    if (r == 0 && st_rows_count(rows) == 0)
        fetch_keys_soon(call, api);
    return r;
}

int video_fetch_keys(struct st_call *call)
{
    const struct film_api *api = film_api_find(st_str(call->body, "provider"));
    struct st_provider_answer answer;
    struct st_keys keys;
    const char *why;
    int r = st_commit(call);
    if (r < 0 || !api || !api->keys)
        return r;
    r = st_provider_do(api->keys,
                       &(struct st_provider_call){.method = "GET",
                                                  .url = st_option(api->keys->url_option),
                                                  .answer_max = JWKS_MAX,
                                                  .look_up = true,
                                                  .cancelled = st_provider_job_stops,
                                                  .ctx = call},
                       call->arena, &answer);
    if (r < 0)
        return st_fail(call, r, "The keys of %s: %s", api->http.name, answer.why);
    if (st_keys_parse(call->arena, answer.http.body, answer.http.len, ST_EDDSA, &keys, &why) < 0 || keys.n == 0)
        return st_fail(call, ST_E_BAD_GATEWAY, "There are no keys where those of %s should be.", api->http.name);
    st_exec(call,
            "insert into film_keys (provider, keys) values ($1, $2) "
            "on conflict (provider) do update set keys = $2, fetched_at = now()",
            api->http.name, answer.http.body);
    return 0;
}

/* --- what is told ------------------------------------------------------------------------------------------------ */

static const char *text_of(struct st_call *call, const char *parameter)
{
    const char *value = st_param(call, parameter);
    return value ? value : "";
}

/* 0: it is theirs. 1: it was refused, or cannot be told now, and the keys are fetched. They are kept for a day. */
static int check_signature(struct st_call *call, const struct film_api *api, const struct film_told *told)
{
    struct st_keys keys;
    const char *why;
    json_t *kept;
    int64_t at;
    if (!st_parse_i64(told->time, 0, INT64_MAX / ST_SECOND, &at) || llabs(st_now() / ST_SECOND - at) > TOLERANCE_S)
        return st_fail(call, ST_E_FORBIDDEN, "It was not signed within the last minutes.");
    int r = st_row(call, &kept,
                   "select keys, fetched_at < now() - interval '1 minute' as old from film_keys "
                   "where provider = $1 and fetched_at > now() - interval '24 hours'",
                   api->http.name);
    if (r < 0 && r != ST_E_NOT_FOUND)
        return r;
    bool known = r == 0 && st_keys_parse(call->arena, st_json_str(kept, "keys", ""),
                                         strlen(st_json_str(kept, "keys", "")), ST_EDDSA, &keys, &why) == 0;
    if (known && api->genuine(call->arena, &keys, told))
        return 0;
    if (!known || st_json_bool(kept, "old", false)) /* they may have changed */
        fetch_keys_soon(call, api);
    if (known)
        st_refuse(call, ST_E_FORBIDDEN, "The signature does not fit.");
    else
        st_refuse(call, ST_E_UNAVAILABLE, "The provider's keys are not known yet.");
    return 1;
}

/* What tells a second delivery from the next call: the provider's own name of it, or how far the work was then. */
static const char *event_of(struct st_call *call, const struct film_api *api, const struct film_told *told)
{
    static const char *const states[] = {[FILM_WAITS] = "waits", [FILM_DONE] = "done", [FILM_FAILED] = "failed"};
    struct film_status status;
    if (api->genuine)
        return told->request;
    api->status(call->arena,
                &(struct st_http_answer){
                    .status = 200, .body = st_strndup(call->arena, told->body, told->len), .len = told->len},
                &status);
    return states[status.state];
}

int video_clip_progress(struct st_call *call)
{
    const char *id = st_param(call, "clipId"), *given = text_of(call, "token");
    const struct film_told told = {.request = text_of(call, "X-Fal-Webhook-Request-Id"),
                                   .user = text_of(call, "X-Fal-Webhook-User-Id"),
                                   .time = text_of(call, "X-Fal-Webhook-Timestamp"),
                                   .signature = text_of(call, "X-Fal-Webhook-Signature"),
                                   .body = call->bytes->data,
                                   .len = call->bytes->len};
    const char *ref = st_json_str(call->body, "request_id", st_json_str(call->body, "id", NULL));
    const struct film_api *api;
    struct st_rows *rows;
    json_t *clip;
    int r = st_row(call, &clip, "select provider, sends from clips where clip_id = $1", id);
    if (r < 0 && r != ST_E_NOT_FOUND)
        return r;
    api = r == 0 ? film_api_find(st_str(clip, "provider")) : NULL;
    if (!api || strlen(given) != TOKEN_LEN ||
        !st_equal_secret(given, token_of(call, id, api, st_json_int(clip, "sends", 0)), TOKEN_LEN))
        return st_fail(call, ST_E_NOT_FOUND,
                       "There is no such clip, or it was sent to somebody else, or again, since.");
    if (api->genuine && (r = check_signature(call, api, &told)) != 0)
        return r < 0 ? r : 0;
    r = st_rows(call, &rows, "insert into clip_calls (clip_id, event) values ($1, $2) on conflict do nothing", id,
                event_of(call, api, &told));
    if (r < 0)
        return r;
    if (st_rows_affected(rows)) {
        /* Whatever becomes of the answer that would have named it. */
        if (ref && strlen(ref) <= REF_MAX)
            st_exec(
                call,
                "update clips set provider_ref = $2 where clip_id = $1 and (state in ('sending', 'unknown') or lost) "
                "and provider_ref is null",
                id, ref);
        st_enqueue(call, "clip", st_printf(call->arena, "%s/told", id), 0,
                   json_pack("{s:s, s:b}", "clipId", id, "told", true));
    }
    return st_reply(call, 200, json_pack("{s:b}", "ok", true));
}
