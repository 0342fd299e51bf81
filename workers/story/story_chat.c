/* The job that has a story analysed by a chat provider, and by the embedded analyser where that does not work. */
#include "story/story_chat.h"

#include "io/crypto.h"
#include "story/story.h"
#include "svc/provider.h"

enum {
    PASSAGES_MAX = 200, /* a text of 1 MiB has fewer */
    ANSWER_MAX = 1 << 20,
    ASKED_TWICE = 2, /* an answer that does not stand the check is asked for once more */
    REFUSED_MAX =
        3, /* passages more than those whose answers stand the check: then the provider makes no sense at all */
    PROMPT_VERSION = 3, /* and of the check */
};

/* The service says what is wrong in error.code; an account that is used up looks like one that is too fast. */
static enum st_outcome classify(struct st_arena *a, const struct st_http_answer *answer, const char **ret_why)
{
    json_t *body;
    const char *why;
    enum st_outcome outcome = st_outcome_of_status(answer);
    if (outcome == ST_OUTCOME_OK || st_json_parse(a, answer->body, answer->len, ST_JSON_DEPTH, &body, &why) < 0)
        return outcome;
    const json_t *error = json_object_get(body, "error");
    if (st_streq(st_json_str(error, "code", NULL), "insufficient_quota"))
        return ST_OUTCOME_QUOTA;
    if (outcome == ST_OUTCOME_CONTENT && st_streq(st_json_str(error, "code", NULL), "context_length_exceeded"))
        *ret_why = "The passage is too long for the model.";
    return outcome;
}

static void meter(const struct st_http_answer *answer, int64_t *units, int64_t *micros)
{
    struct st_arena a = {0};
    json_t *body;
    const char *why;
    if (st_json_parse(&a, answer->body, answer->len, ST_JSON_DEPTH, &body, &why) == 0) {
        int64_t tokens = st_json_int(json_object_get(body, "usage"), "total_tokens", 0);
        int64_t price = *units ? *micros / *units : 0;
        *units = tokens > 0 ? tokens : 0;
        *micros = *units * price;
    }
    st_arena_release(&a);
}

static struct st_provider provider(void)
{
    return (struct st_provider){
        .name = "chat",
        .url_option = "chat_url",
        .key_option = "chat_key_file",
        .key_header = "Authorization: Bearer %s",
        .concurrency = 4,
        .timeout_ms = (int)st_option_int("chat_timeout_ms"),
        .attempts = 3,     /* also after a lost answer: a passage that is judged twice costs a second time, no more */
        .price_micros = 1, /* a token: a dollar a million */
        .classify = classify,
        .meter = meter,
    };
}

bool story_wants_chat(const char *tier)
{
    const struct st_provider p = provider();
    size_t n = strlen(tier);
    if (!n || !st_provider_ready(&p))
        return false;
    for (const char *s = st_option("chat_tiers"); *s; s += strspn(s, ", ")) {
        size_t m = strcspn(s, ", ");
        if (m == n && memcmp(s, tier, n) == 0)
            return true;
        s += m;
    }
    return false;
}

static const char *chat_name(struct st_arena *arena)
{
    return st_printf(arena, "chat/%.58s", st_option("chat_model"));
}

const char *story_analyser(struct st_arena *arena, const char *tier)
{
    return story_wants_chat(tier) ? chat_name(arena) : STORY_EMBEDDED;
}

/* --- one passage --- */

/* What an answer depends on. */
static const char *hash_of(struct st_arena *a, const struct story_passage *p)
{
    const char *all = st_printf(a, "%d\n%s\n%s", PROMPT_VERSION, st_option("chat_model"), p->text);
    return st_sha256_hex(a, all, strlen(all));
}

/* 0, and *ret is NULL when nobody has asked yet. */
static int remembered(struct st_call *call, const char *story_id, const char *hash, json_t **ret)
{
    struct st_rows *rows;
    const char *why;
    int r = st_rows(call, &rows, "select answer from story_chat_answers where story_id = $1 and passage_hash = $2",
                    story_id, hash);
    *ret = NULL;
    if (r < 0 || st_rows_count(rows) == 0)
        return r;
    const char *text = st_cell(rows, 0, 0);
    return st_json_parse(call->arena, text, strlen(text), ST_JSON_DEPTH, ret, &why);
}

/* ST_E_UNPROCESSABLE: nothing comes of this passage; others may pass. */
static int ask(struct st_call *call, const char *story_id, const struct story_passage *p, json_t **ret,
               const char **ret_why)
{
    const struct st_provider chat = provider();
    const struct st_provider_call c = {
        .path = "/chat/completions",
        .json = story_chat_request(call->arena, st_option("chat_model"), p),
        .answer_max = ANSWER_MAX,
        .units = (int64_t)p->len / 4,
        .reference = story_id,
        .cancelled = st_provider_job_stops,
        .ctx = call,
    };
    int r = ST_E_BAD_GATEWAY;
    for (int i = 0; i < ASKED_TWICE && r == ST_E_BAD_GATEWAY; i++) {
        struct st_provider_answer answer;
        r = st_provider_do(&chat, &c, call->arena, &answer);
        if (r < 0) {
            *ret_why = answer.why ? answer.why : st_err_title(r);
            return r;
        }
        r = story_chat_read(call->arena, p, answer.http.body, answer.http.len, ret, ret_why);
    }
    return r == ST_E_BAD_GATEWAY ? ST_E_UNPROCESSABLE : r;
}

static int passage(struct st_call *call, const char *story_id, const struct story_passage *p, const char *hash,
                   json_t **ret, const char **ret_why)
{
    int r = remembered(call, story_id, hash, ret);
    if (r < 0 || *ret)
        return r;
    if ((r = st_commit(call)) < 0 || (r = ask(call, story_id, p, ret, ret_why)) < 0)
        return r;
    st_exec(call,
            "insert into story_chat_answers (story_id, passage_hash, answer) select story_id, $2, $3 from stories "
            "where story_id = $1 on conflict do nothing",
            story_id, hash, st_json_text(call->arena, *ret));
    return st_commit(call);
}

/* --- the whole text --- */

/*
 * What is asked of the provider for all of the text: {cast, segments}. A passage of which nothing comes is left to the
 * embedded analyser, as all of them are when there are too many such: *ret_why is set when the provider is to blame.
 */
static int ask_all(struct st_call *call, const char *story_id, const struct st_analysis *a, json_t **ret,
                   const char **ret_why)
{
    struct story_passage *passages = st_new_n(call->arena, struct story_passage, PASSAGES_MAX);
    json_t *found = st_json_keep(call->arena, json_pack("{s:[], s:[]}", "cast", "segments"));
    json_t *hashes = st_json_keep(call->arena, json_array()), *answer;
    const char *first_why = NULL;
    int n = story_passages(call->arena, a, PASSAGES_MAX, passages), refused = 0;
    if (n == 0 && a->n_segments) {
        *ret_why = "The text is too long for the provider.";
        return ST_E_TOO_LARGE;
    }
    for (int i = 0; i < n; i++) {
        const char *hash = hash_of(call->arena, &passages[i]), *why = NULL;
        int r = passage(call, story_id, &passages[i], hash, &answer, &why);
        bool nothing = r == ST_E_UNPROCESSABLE;
        if (nothing && !refused++)
            first_why = why;
        if (r < 0 && (!nothing || refused == n || refused > i + 1 - refused + REFUSED_MAX)) {
            *ret_why = nothing ? first_why : why;
            return r;
        }
        if ((r = st_progress(call, i + 1, n)) < 0)
            return r;
        json_array_append_new(hashes, json_string(hash));
        if (!nothing)
            story_chat_gather(call->arena, &passages[i], answer, found);
    }
    st_exec(call, "delete from story_chat_answers where story_id = $1 and not $2::jsonb ? passage_hash", story_id,
            st_json_text(call->arena, hashes));
    int r = st_commit(call);
    if (r == 0 && refused)
        *ret_why =
            st_printf(call->arena, "%d of %d passages are left to the embedded analyser: %s", refused, n, first_why);
    *ret = found;
    return r;
}

/* Moods are the provider's; a speaker of whom it has told is not one that the author has corrected. */
static void overlay(struct st_arena *arena, struct story_found *found, const json_t *by_provider)
{
    json_t *by_id = st_json_keep(arena, json_object()), *one;
    size_t i;
    json_array_foreach (json_object_get(by_provider, "segments"), i, one)
        json_object_set(by_id, st_json_str(one, "segmentId", ""), one);
    for (int k = 0; k < found->analysis->n_segments; k++) {
        struct st_segment *s = &found->analysis->segments[k];
        const json_t *told = json_object_get(by_id, s->id);
        if (!told)
            continue;
        if (!(found->corrected[k] & STORY_SPEAKER_CORRECTED) && st_streq(s->evidence, "corrected")) {
            s->evidence = "provider";
            s->confidence = 0.9;
        }
        if (!(found->corrected[k] & STORY_EMOTION_CORRECTED) &&
            story_emotion_from_name(st_json_str(told, "emotion", NULL), &s->emotion))
            s->intensity = s->emotion == ST_NEUTRAL ? 0 : st_json_num(told, "intensity", 0.5);
    }
}

int story_chat(struct st_call *call)
{
    json_t *story, *corrections, *by_provider;
    struct story_found found = {.analyser = chat_name(call->arena)};
    const char *why = NULL;
    int r = story_begin(call, &story, &corrections);
    if (r <= 0)
        return r;
    const char *content = st_str(story, "content");
    struct st_analyse_hints hints = story_hints(call->arena, story, NULL);
    r = st_analyse(call->arena, content, strlen(content), &hints, &found.analysis);
    if (r < 0)
        return st_fail(call, r, "The text cannot be analysed.");
    r = ask_all(call, st_str(story, "story_id"), found.analysis, &by_provider, &why);
    if (r < 0 && (!why || r == ST_E_CANCELLED || r == ST_E_FENCED))
        return r;
    if (r < 0) {
        found.analyser = STORY_EMBEDDED;
        by_provider = NULL;
    }
    found.fallback = why;
    const json_t *all = by_provider ? story_chat_merge(call->arena, corrections, by_provider) : corrections;
    hints = story_hints(call->arena, story, all);
    r = st_analyse(call->arena, content, strlen(content), &hints, &found.analysis);
    if (r < 0)
        return st_fail(call, r, "The text cannot be analysed.");
    story_overlay(call->arena, &found, corrections);
    if (by_provider)
        overlay(call->arena, &found, by_provider);
    return story_end(call, story, &found);
}
