/* What Runway, Luma and Pika (at fal) speak. Members that are not known are ignored: they add some without notice. */
#include "video/film.h"

enum { PROMPT_RUNWAY = 1000 /* UTF-16 units */, PROMPT_LUMA = 5000, LUMA_PAGE = 100, URL_MAX = 4000, DETAILS_MAX = 10 };
#define RUNWAY_MODEL "gen4.5"
#define LUMA_MODEL   "ray-2"
#define PIKA_MODEL   "fal-ai/pika/v2.2"

/* At most so many bytes of whole characters: no more UTF-16 units than that either. */
static const char *cut(struct st_arena *a, const char *s, size_t max)
{
    size_t n = strlen(s);
    if (n > max)
        for (n = max; n && (s[n] & 0xc0) == 0x80; n--)
            ;
    return st_strndup(a, s, n);
}

static json_t *parse(struct st_arena *a, const struct st_http_answer *answer)
{
    json_t *j;
    const char *why;
    return st_json_parse(a, answer->body, answer->len, ST_JSON_DEPTH, &j, &why) == 0 && json_is_object(j) ? j : NULL;
}

static void failed(struct film_status *ret, enum st_outcome outcome, const char *why)
{
    *ret = (struct film_status){.state = FILM_FAILED, .outcome = outcome, .why = why};
}

static void done(struct film_status *ret, const char *url)
{
    if (url && strlen(url) < URL_MAX)
        *ret = (struct film_status){.state = FILM_DONE, .url = url};
}

static bool mentions(const char *text, const char *const *words)
{
    for (; text && *words; words++)
        if (strcasestr(text, *words))
            return true;
    return false;
}

/* What an answer says of itself, without what it repeats of the request; what is no JSON, as it is. */
static const char *words_of(struct st_arena *a, const struct st_http_answer *answer)
{
    const json_t *j = parse(a, answer), *detail = json_object_get(j, "detail"), *one;
    const char *words = j ? st_json_str(j, "error", st_json_str(j, "detail", "")) : answer->body;
    size_t i;
    json_array_foreach (detail, i, one)
        if (i < DETAILS_MAX)
            words = st_printf(a, "%s %s: %s", words, st_json_str(one, "type", ""), st_json_str(one, "msg", ""));
    return words;
}

/* Nobody else is asked for what is refused by these words. */
static bool is_content(const char *words)
{
    static const char *const refusals[] = {"moderat", "safety", "unsafe", "policy", "inappropriate", "nsfw", NULL};
    return mentions(words, refusals);
}

/*
 * Whether it is the account that is used up, or the content that is refused, is told in words: what is else wrong with
 * a request (400, 413, 422) may be right for another, and says nothing of the provider.
 */
static enum st_outcome classify(struct st_arena *a, const struct st_http_answer *answer, const char **ret_why)
{
    static const char *const used_up[] = {"credit", "balance", "quota", "daily limit", NULL};
    enum st_outcome outcome = st_outcome_of_status(answer);
    const char *words = outcome == ST_OUTCOME_OK ? "" : words_of(a, answer);
    if (answer->status / 100 == 4 && mentions(words, used_up)) {
        *ret_why = st_printf(a, "The account at the provider is used up (%d).", answer->status);
        return ST_OUTCOME_QUOTA;
    }
    return outcome == ST_OUTCOME_CONTENT && !is_content(words) ? ST_OUTCOME_REQUEST : outcome;
}

/* --- Runway ------------------------------------------------------------------------------------------------------ */

static const char *const runway_headers[] = {"X-Runway-Version: 2024-11-06", NULL};

/* It sheds load by 502 to 504: nothing was begun, and it may be asked again. */
static enum st_outcome runway_classify(struct st_arena *a, const struct st_http_answer *answer, const char **ret_why)
{
    return answer->status >= 502 && answer->status <= 504 ? ST_OUTCOME_LIMITED : classify(a, answer, ret_why);
}

static json_t *runway_begin(struct st_arena *a, const struct film_wish *w, const char **ret_path)
{
    *ret_path = *w->picture ? "/v1/image_to_video" : "/v1/text_to_video";
    json_t *body = json_pack("{s:s, s:s, s:s, s:i, s:I}", "model", RUNWAY_MODEL, "promptText",
                             cut(a, w->prompt, PROMPT_RUNWAY), "ratio", w->upright ? "720:1280" : "1280:720",
                             "duration", w->seconds, "seed", (json_int_t)(w->seed & 0xffffffff));
    if (*w->picture)
        json_object_set_new(body, "promptImage", json_string(w->picture));
    return st_json_keep(a, body);
}

static const char *runway_status_path(struct st_arena *a, const char *id)
{
    return st_printf(a, "/v1/tasks/%s", st_url_encode(a, id));
}

static void runway_status(struct st_arena *a, const struct st_http_answer *answer, struct film_status *ret)
{
    const json_t *task = parse(a, answer);
    const char *status = task ? st_json_str(task, "status", "") : "";
    *ret = (struct film_status){.state = FILM_WAITS};
    if (st_streq(status, "SUCCEEDED")) {
        done(ret, json_string_value(json_array_get(json_object_get(task, "output"), 0)));
    } else if (st_streq(status, "FAILED")) {
        bool content = st_starts(st_json_str(task, "failureCode", ""), "SAFETY.");
        failed(ret, content ? ST_OUTCOME_CONTENT : ST_OUTCOME_TRANSIENT,
               content ? "The provider does not film this passage." : "The provider has failed.");
    } else if (st_streq(status, "CANCELLED")) {
        failed(ret, ST_OUTCOME_TRANSIENT, "It was cancelled at the provider.");
    }
}

/* --- Luma -------------------------------------------------------------------------------------------------------- */

static json_t *luma_begin(struct st_arena *a, const struct film_wish *w, const char **ret_path)
{
    *ret_path = "/generations/video";
    json_t *body = json_pack("{s:s, s:s, s:s, s:s, s:s}", "model", LUMA_MODEL, "prompt", cut(a, w->prompt, PROMPT_LUMA),
                             "aspect_ratio", w->upright ? "9:16" : "16:9", "resolution", w->large ? "1080p" : "720p",
                             "duration", st_printf(a, "%ds", w->seconds));
    if (*w->picture)
        json_object_set_new(body, "keyframes",
                            json_pack("{s:{s:s, s:s}}", "frame0", "type", "image", "url", w->picture));
    if (*w->callback)
        json_object_set_new(body, "callback_url", json_string(w->callback));
    return st_json_keep(a, body);
}

static const char *luma_status_path(struct st_arena *a, const char *id)
{
    return st_printf(a, "/generations/%s", st_url_encode(a, id));
}

static void luma_status(struct st_arena *a, const struct st_http_answer *answer, struct film_status *ret)
{
    const json_t *g = parse(a, answer);
    const char *state = g ? st_json_str(g, "state", "") : "";
    *ret = (struct film_status){.state = FILM_WAITS};
    if (st_streq(state, "completed")) {
        done(ret, st_json_str(json_object_get(g, "assets"), "video", NULL));
    } else if (st_streq(state, "failed")) {
        bool content = is_content(st_json_str(g, "failure_reason", ""));
        failed(ret, content ? ST_OUTCOME_CONTENT : ST_OUTCOME_TRANSIENT,
               content ? "The provider does not film this passage." : "The provider has failed.");
    }
}

static const char *luma_list_path(struct st_arena *a, int page)
{
    return st_printf(a, "/generations?limit=%d&offset=%d", LUMA_PAGE, page * LUMA_PAGE);
}

/* The address to call back is another whenever a clip is sent, and is shown among what was asked for. */
static bool luma_find(struct st_arena *a, const struct st_http_answer *answer, const char *callback,
                      const char **ret_id, bool *ret_more)
{
    const json_t *list = parse(a, answer), *generations = json_object_get(list, "generations");
    json_t *g;
    size_t i;
    *ret_id = NULL;
    *ret_more = list && st_json_bool(list, "has_more", false);
    json_array_foreach (generations, i, g)
        if (*callback && st_streq(st_json_str(json_object_get(g, "request"), "callback_url", NULL), callback))
            *ret_id = st_json_str(g, "id", NULL);
    return json_is_array(generations);
}

/* --- Pika at fal ------------------------------------------------------------------------------------------------- */

static json_t *pika_begin(struct st_arena *a, const struct film_wish *w, const char **ret_path)
{
    *ret_path = *w->picture ? "/" PIKA_MODEL "/image-to-video" : "/" PIKA_MODEL "/text-to-video";
    if (*w->callback)
        *ret_path = st_printf(a, "%s?fal_webhook=%s", *ret_path, st_url_encode(a, w->callback));
    json_t *body = json_pack("{s:s, s:s, s:s, s:I}", "prompt", w->prompt, "resolution", w->large ? "1080p" : "720p",
                             "duration", st_printf(a, "%d", w->seconds), "seed", (json_int_t)w->seed);
    if (*w->picture) /* which has its shape */
        json_object_set_new(body, "image_url", json_string(w->picture));
    else
        json_object_set_new(body, "aspect_ratio", json_string(w->upright ? "9:16" : "16:9"));
    return st_json_keep(a, body);
}

/* Behind the model's name its version is left out. */
static const char *pika_status_path(struct st_arena *a, const char *id)
{
    return st_printf(a, "/fal-ai/pika/requests/%s/status?logs=0", st_url_encode(a, id));
}

static const char *pika_cancel_path(struct st_arena *a, const char *id)
{
    return st_printf(a, "/fal-ai/pika/requests/%s/cancel", st_url_encode(a, id));
}

static void pika_status(struct st_arena *a, const struct st_http_answer *answer, struct film_status *ret)
{
    const json_t *j = parse(a, answer);
    *ret = (struct film_status){.state = FILM_WAITS};
    if (j && st_streq(st_json_str(j, "status", NULL), "COMPLETED"))
        ret->next = st_printf(a, "/fal-ai/pika/requests/%s", st_url_encode(a, st_json_str(j, "request_id", "")));
}

/*
 * There is no state of failure: the result has it, by its HTTP status. Those of fal's own say error_type, those of the
 * model whether another try may pass; one from 501 on that says neither is that of a gateway in the way, and nothing of
 * the work.
 */
static void pika_result(struct st_arena *a, const struct st_http_answer *answer, struct film_status *ret)
{
    const json_t *j = parse(a, answer);
    const char *again = st_http_answer_header(answer, "x-fal-retryable");
    int s = answer->status;
    bool fals = j && json_object_get(j, "error_type"), may_pass = again && strcasecmp(again, "true") == 0;
    bool refused = s == 400 || s == 413 || s == 422;
    *ret = (struct film_status){.state = FILM_WAITS};
    if (s / 100 == 2)
        done(ret, st_json_str(json_object_get(j, "video"), "url", NULL));
    else if (s == 499 || s == 500 || ((fals || may_pass) && (refused || s / 100 == 5)))
        failed(ret, ST_OUTCOME_TRANSIENT, "The provider has failed.");
    else if (refused && is_content(words_of(a, answer)))
        failed(ret, ST_OUTCOME_CONTENT, "The provider does not film this passage.");
    else if (refused)
        failed(ret, ST_OUTCOME_PERMANENT, "The provider cannot film this passage.");
}

/* Who has failed to tell us its keys is not who films. */
static const struct st_provider fal_keys = {.name = "fal_keys",
                                            .url_option = "fal_keys_url",
                                            .key_option = "fal_key_file",
                                            .concurrency = 2,
                                            .timeout_ms = 20000,
                                            .attempts = 3};

/* Ed25519 over four lines: its name of the request and of its user, the time, the hash of the body. */
static bool fal_genuine(struct st_arena *a, const struct st_keys *keys, const struct film_told *told)
{
    enum { ED25519_LEN = 64 };
    const char *text =
        st_printf(a, "%s\n%s\n%s\n%s", told->request, told->user, told->time, st_sha256_hex(a, told->body, told->len));
    const char *signature = st_unhex(a, told->signature, strlen(told->signature));
    bool fits = false;
    if (signature && strlen(told->signature) == 2 * ED25519_LEN)
        for (int i = 0; i < keys->n && !fits; i++)
            fits = st_key_verify(keys->list[i], text, strlen(text), signature, ED25519_LEN);
    return fits;
}

/* --- the table --------------------------------------------------------------------------------------------------- */

/* Prices of a second in millionths of a dollar, of 2026; what really is charged stands in the provider's own books. */
const struct film_api film_apis[] = {
    {.http = {.name = "luma",
              .url_option = "luma_url",
              .key_option = "luma_key_file",
              .key_header = "Authorization: Bearer %s",
              .concurrency = 10,
              .timeout_ms = 60000,
              .attempts = 3,
              .price_micros = 142000,
              .classify = classify},
     .model = LUMA_MODEL,
     .lengths = {5, 9},
     .large = true,
     .begin = luma_begin,
     .id = "id",
     .status_path = luma_status_path,
     .status = luma_status,
     .list_path = luma_list_path,
     .find = luma_find,
     .cancel = "DELETE",
     .cancel_path = luma_status_path},
    {.http = {.name = "pika",
              .url_option = "fal_url",
              .key_option = "fal_key_file",
              .key_header = "Authorization: Key %s",
              .concurrency = 10,
              .timeout_ms = 60000,
              .attempts = 3,
              .price_micros = 90000,
              .classify = classify},
     .model = PIKA_MODEL,
     .lengths = {5, 10},
     .large = true,
     .begin = pika_begin,
     .id = "request_id",
     .status_path = pika_status_path,
     .status = pika_status,
     .result = pika_result,
     .cancel = "PUT",
     .cancel_path = pika_cancel_path,
     .keys = &fal_keys,
     .genuine = fal_genuine},
    {.http = {.name = "runway",
              .url_option = "runway_url",
              .key_option = "runway_key_file",
              .key_header = "Authorization: Bearer %s",
              .headers = runway_headers,
              .concurrency = 5,
              .timeout_ms = 60000,
              .attempts = 3,
              .price_micros = 120000,
              .classify = runway_classify},
     .model = RUNWAY_MODEL,
     .lengths = {2, 3, 4, 5, 6, 7, 8, 9, 10},
     .begin = runway_begin,
     .id = "id",
     .status_path = runway_status_path,
     .status = runway_status,
     .cancel = "DELETE",
     .cancel_path = runway_status_path},
    {.http = {.name = NULL}},
};

int film_seconds(const struct film_api *f, int wish)
{
    int i = 0;
    while (i + 1 < FILM_LENGTHS && f->lengths[i + 1] && f->lengths[i] < wish)
        i++;
    return f->lengths[i];
}

enum film_place film_place_of(const struct film_api *f, const char *url)
{
    const char *base = st_option(f->http.url_option), *host = strstr(base, "://");
    size_t n = host ? (size_t)(host + 3 - base) + strcspn(host + 3, "/") : 0;
    if (n && strncmp(url, base, n) == 0 && url[n] == '/')
        return FILM_AT_HOME;
    return st_starts(url, "https://") ? FILM_OUTSIDE : FILM_NOWHERE;
}

const struct film_api *film_api_find(const char *name)
{
    for (const struct film_api *f = film_apis; f->http.name; f++)
        if (st_streq(f->http.name, name))
            return f;
    return NULL;
}
