#ifndef ST_SVC_PROVIDER_H
#define ST_SVC_PROVIDER_H
/*
 * The policy around every call to a provider outside: speech, text, video, payment … Used by jobs only, and never
 * inside a transaction (st_commit before it).
 *
 *   static const struct st_provider openai = {.name = "openai_speech", .url_option = "openai_url",
 *       .key_option = "openai_key_file", .key_header = "Authorization: Bearer %s", .concurrency = 4, .timeout_ms =
 * 60000, .attempts = 4, .price_micros = 15};
 *
 *   struct st_provider_call c = {.path = "/audio/speech", .json = body, .units = characters, .reference = narration_id,
 *       .answer_max = 16 << 20, .cancelled = st_provider_job_stops, .ctx = call};
 *   r = st_provider_do(&openai, &c, call->arena, &answer);
 *
 * What happens around the call: it waits for one of `concurrency` places over all daemons of the service, and out a
 * pause that the provider has asked for; it is sent; an answer that another try may change is tried again, 0.5 s, 1 s,
 * 2 s … 30 s later with jitter, or when Retry-After, retry-after-ms say, unless x-should-retry says no. Every try is a
 * row of provider_calls: units, price, outcome; its row is there before it is sent, so that a killed daemon leaves one
 * whose outcome is "unknown". No row, error or log has the key, or what was sent. Waits are at most WAIT_MAX in all,
 * a longer one is the caller's: the job fails as transient, and its own back-off goes on.
 *
 * Five failures in a row open the breaker: calls fail at once for 30 s (twice as long each time, up to 5 min), then one
 * probes while the others still fail; its success closes the breaker. /health, /metrics show what is open.
 *
 * What a crash must not do twice is the caller's, before the first try: (1) choose the idempotency key, where the
 * provider takes one, and store the intent with it in a row; st_commit; (2) st_provider_do, the key among the headers:
 * all tries send the same bytes; (3) store what the provider calls it. A job that finds an intent without (3) looks the
 * thing up, or, where it cannot, sends it again only with the same key. Without a key set `once`: then a try whose fate
 * is unknown is not repeated, here or below (http_client.h), and ST_E_TIMEOUT tells the caller to look it up.
 *
 * Errors:              outcome      tried again   stands for
 *   ST_E_UNPROCESSABLE content      no            this request is refused; others may pass
 *   ST_E_PAYMENT       quota        no            the account is used up
 *   ST_E_UNAVAILABLE   transient    yes           overload, 5xx, no connection, breaker open, no place in time
 *   ST_E_LIMITED       limited      yes           the same, but it only asks us to slow down; no failure
 *   ST_E_TIMEOUT       unknown      not if once   no answer came: it may have been done
 *   ST_E_BAD_GATEWAY   request      no            something is wrong with this request, not with the provider; no
 * failure ST_E_BAD_GATEWAY   permanent    no            wrong key, wrong path, an answer that makes no sense
 *   ST_E_CANCELLED     cancelled    no
 *   ST_E_INTERNAL      ours         no            what is sent cannot be read, or what comes not written; no failure
 * answer.why is a sentence for the author or the log, answer.wait_ms how long to wait before another job tries.
 *
 * Thread-safe: a job may call from threads of its own, each with an arena of its own.
 */
#include "io/http_client.h"
#include "svc/service.h"

enum st_outcome {
    ST_OUTCOME_OK,
    ST_OUTCOME_CONTENT,
    ST_OUTCOME_QUOTA,
    ST_OUTCOME_TRANSIENT,
    ST_OUTCOME_LIMITED,
    ST_OUTCOME_UNKNOWN,
    ST_OUTCOME_REQUEST,
    ST_OUTCOME_PERMANENT,
    ST_OUTCOME_CANCELLED,
    ST_OUTCOME_OURS,
};

struct st_provider {
    const char *name;           /* in tables and metrics; of these letters: a-z 0-9 _ */
    const char *url_option;     /* of the service: the base URL, no '/' at its end */
    const char *key_option;     /* of the service: path of the file with the key; empty: the provider is not used */
    const char *key_header;     /* "Authorization: Bearer %s" */
    const char *const *headers; /* that every call has, NULL-ended; or NULL */
    int concurrency;            /* calls at a time over all daemons of the service */
    int timeout_ms;             /* of one try */
    int attempts;               /* tries of one call */
    int64_t price_micros;       /* of a unit, in millionths of a dollar */

    /* An answer that is not 2xx, or is and yet no success. why (arena) is for people. NULL: st_outcome_of_status. */
    enum st_outcome (*classify)(struct st_arena *a, const struct st_http_answer *answer, const char **ret_why);
    /* What a success has cost, where the answer says: adjusts units and price. NULL: call.units, each at its price. */
    void (*meter)(const struct st_http_answer *answer, int64_t *units, int64_t *micros);
};

struct st_provider_call {
    const char *method;         /* NULL: POST */
    const char *path;           /* behind the base URL, with its query */
    const char *url;            /* instead: all of it; then neither key nor the provider's headers are sent */
    bool public_only;           /* as of st_http_call: for addresses that somebody outside has named */
    const char *const *headers; /* besides the provider's, NULL-ended; or NULL */
    const json_t *json;         /* the body; or */
    const struct st_http_part *parts;
    size_t n_parts;
    size_t answer_max;
    const char *save_to;   /* as of st_http_call: for sound and video */
    bool once;             /* see above */
    int attempts;          /* tries of this call; 0: as many as of the provider's others */
    bool look_up;          /* asks about what was begun: needs no place, leaves no row */
    int64_t units;         /* charged when it succeeds */
    const char *reference; /* what it is for: an id of ours, nothing personal; or NULL */
    bool (*cancelled)(void *ctx);
    void *ctx;
};

struct st_provider_answer {
    struct st_http_answer http;
    enum st_outcome outcome;
    const char *why; /* NULL when it succeeded */
    int64_t wait_ms; /* -1: it does not say */
};

bool st_provider_ready(const struct st_provider *p); /* has it a key? */
ST_MUSTCHECK int st_provider_do(const struct st_provider *p, const struct st_provider_call *call, struct st_arena *a,
                                struct st_provider_answer *ret);

enum st_outcome st_outcome_of_status(const struct st_http_answer *answer);
int st_outcome_error(enum st_outcome outcome);

/* For cancelled: ctx is the struct st_call of the job, on whose thread it runs. */
bool st_provider_job_stops(void *ctx);

#endif
