/*
 * Hostile answers of providers: whose it is, the status, then the body. 'o' 'e' the sound of OpenAI and ElevenLabs, 'l'
 * 'p' 'r' the state of a clip at Luma, Pika, Runway, 'h' the headers, one a line.
 */
#include "narration/remote.h"
#include "video/film.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { URL_MAX = 4000, DAY_MS = 86400000, STATUSES = 8 };

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void must_be_text(const char *s)
{
    must(s && *s && st_utf8_valid(s, strlen(s)));
}

static void check_outcome(struct st_arena *a, const struct st_provider *p, const struct st_http_answer *answer)
{
    const char *why = NULL;
    enum st_outcome outcome = p->classify(a, answer, &why);
    must(outcome <= ST_OUTCOME_CANCELLED && (answer->status / 100 != 2 || outcome == ST_OUTCOME_OK));
    if (why)
        must_be_text(why);
}

static void check_sound(struct st_arena *a, const struct st_remote_adapter *adapter,
                        const struct st_http_answer *answer)
{
    const struct st_manner manner = {.engine = SPEAK_REMOTE};
    const struct st_remote_request request = {.voice = "v", .manner = &manner, .text = "Hello.", .len = 6};
    struct st_pcm pcm = {0};
    check_outcome(a, adapter->provider, answer);
    if (adapter->sound(a, &request, answer, &pcm) == 0) {
        must(pcm.samples && pcm.count && pcm.count <= SPEAK_SAMPLES_MAX);
        free(pcm.samples);
    }
}

static void check_clip(struct st_arena *a, const struct film_api *api, const struct st_http_answer *answer)
{
    struct film_status s;
    check_outcome(a, &api->http, answer);
    for (int i = 0; i < 1 + (api->result != NULL); i++) {
        (i ? api->result : api->status)(a, answer, &s);
        must((s.state == FILM_FAILED) == (s.why != NULL));
        must(s.state != FILM_DONE || (s.url && strlen(s.url) < URL_MAX));
        if (s.next)
            must(*s.next == '/' && !strchr(s.next, ' '));
    }
    const char *id = NULL;
    bool more = false;
    if (api->find && api->find(a, answer, "https://here/1", &id, &more))
        must(!id || *id);
}

static void check_headers(struct st_arena *a, const char *lines)
{
    struct st_http_answer answer = {.status = 429};
    for (const char *line = lines; *line;) {
        size_t n = strcspn(line, "\n"), name = strcspn(line, ":\n");
        struct st_http_header *h = st_new(a, struct st_http_header);
        *h = (struct st_http_header){answer.headers, st_strndup(a, line, name),
                                     st_strndup(a, line + name + (name < n), n - name - (name < n))};
        answer.headers = h;
        if (strcasecmp(h->name, "retry-after") == 0)
            answer.retry_after = h->value;
        line += n + (line[n] == '\n');
    }
    int64_t ms = st_http_answer_wait_ms(&answer);
    must(ms >= -1 && ms <= DAY_MS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int statuses[STATUSES] = {200, 400, 401, 402, 422, 429, 500, 201};
    struct st_arena a = {0};
    if (size < 2)
        return 0;
    struct st_http_answer answer = {.status = statuses[data[1] % STATUSES], .len = size - 2};
    answer.body = malloc(answer.len + 1); /* of its own, so that who reads beyond it is found out */
    must(answer.body != NULL);
    memcpy(answer.body, data + 2, answer.len);
    answer.body[answer.len] = '\0';
    switch (*data) {
    case 'o': check_sound(&a, &st_remote_openai, &answer); break;
    case 'e': check_sound(&a, &st_remote_elevenlabs, &answer); break;
    case 'l': check_clip(&a, film_api_find("luma"), &answer); break;
    case 'p': check_clip(&a, film_api_find("pika"), &answer); break;
    case 'r': check_clip(&a, film_api_find("runway"), &answer); break;
    case 'h': check_headers(&a, answer.body); break;
    }
    free(answer.body);
    st_arena_release(&a);
    return 0;
}
