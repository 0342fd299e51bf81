/* storyctl tell: what a client does, from registering to watching the video; over HTTPS only, but for reading mail. */
#include "storyctl/storyctl.h"

#include "io/crypto.h"
#include "io/http_client.h"
#include "io/token.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    STORY_MAX = 1 << 20,
    ANSWER_MAX = 64 << 20,
    TITLE_MAX = 80,
    POLL_MS = 100,
    MAIL_WAIT_S = 30,
    STALL_S = 300, /* without any progress for so long, something is broken */
    BAR = 30,
    REFRESH_MAX = 513
};

struct tell {
    struct ctl *c;
    struct st_http_client *http;
    const char *url, *outbox;
    const char *email, *story_id;
    char token[ST_TOKEN_MAX + 1], refresh[REFRESH_MAX]; /* of the session; the access token lives ten minutes */
    bool terminal;
    int64_t started, stage_started;
    int last_percent;
    json_t *timings; /* stage -> seconds */
    json_t *analysis, *narration, *video;
};

/* --- talking to the platform --- */

static int request(struct tell *t, const char *method, const char *path, const json_t *body, struct st_http_answer *ret)
{
    const char *headers[] = {"Content-Type: application/json",
                             *t->token ? st_printf(t->c->arena, "Authorization: Bearer %s", t->token) : NULL, NULL};
    const char *text = body ? st_json_text(t->c->arena, body) : NULL, *why = "";
    const struct st_http_call call = {.method = method,
                                      .url = st_printf(t->c->arena, "%s%s", t->url, path),
                                      .headers = headers,
                                      .body = text,
                                      .body_len = text ? strlen(text) : 0,
                                      .timeout_ms = 20000,
                                      .answer_max = ANSWER_MAX};
    int r = st_http_client_do(t->http, &call, t->c->arena, ret, &why);
    if (r < 0)
        ctl_error("%s %s: %s. Is the platform up? (make status)", method, path, why);
    return r;
}

static json_t *json_of(struct tell *t, const struct st_http_answer *answer)
{
    json_t *j = NULL;
    const char *why;
    if (answer->len && st_json_parse(t->c->arena, answer->body, answer->len, ST_JSON_DEPTH, &j, &why) < 0)
        return NULL;
    return j;
}

static void keep_tokens(struct tell *t, const json_t *tokens)
{
    snprintf(t->token, sizeof(t->token), "%s", st_json_str(tokens, "accessToken", ""));
    snprintf(t->refresh, sizeof(t->refresh), "%s", st_json_str(tokens, "refreshToken", ""));
}

/* A long story outlives its access token. */
static bool refresh_tokens(struct tell *t)
{
    struct st_http_answer answer;
    json_t *body = st_json_keep(t->c->arena, json_pack("{s:s}", "refreshToken", t->refresh));
    t->token[0] = '\0';
    if (request(t, "POST", "/v1/auth/refresh", body, &answer) < 0 || answer.status != 200)
        return false;
    keep_tokens(t, json_of(t, &answer));
    return true;
}

/* 0 and the answer when the status is the one expected; else prints the problem and gives -1. */
static int ask(struct tell *t, const char *method, const char *path, const json_t *body, int expected, json_t **ret)
{
    struct st_http_answer answer;
    if (request(t, method, path, body, &answer) < 0)
        return -1;
    if (answer.status == 401 && *t->refresh && refresh_tokens(t) && request(t, method, path, body, &answer) < 0)
        return -1;
    json_t *j = json_of(t, &answer);
    if (answer.status != expected) {
        const json_t *first = json_array_get(json_object_get(j, "errors"), 0);
        ctl_error("%s %s was answered with %d %s %s%s%s", method, path, answer.status, st_json_str(j, "title", ""),
                  st_json_str(j, "detail", ""), st_json_str(first, "pointer", ""),
                  first ? st_printf(t->c->arena, " %s", st_json_str(first, "message", "")) : "");
        return -1;
    }
    if (ret)
        *ret = j;
    return 0;
}

/* --- showing --- */

static double seconds(int64_t us)
{
    return (double)us / ST_SECOND;
}

static void stage_begin(struct tell *t, const char *what)
{
    t->stage_started = st_mono();
    t->last_percent = -1;
    if (t->terminal)
        fprintf(stderr, "\r\033[K  %-22s", what);
}

static void stage_progress(struct tell *t, const char *what, double share)
{
    int percent = (int)(share * 100), full = (int)(share * BAR);
    if (percent == t->last_percent)
        return;
    if (t->terminal)
        fprintf(stderr, "\r\033[K  %-22s [%.*s%.*s] %3d %%  %.1f s", what, full, "##############################",
                BAR - full, "..............................", percent, seconds(st_mono() - t->stage_started));
    else if (percent / 10 != t->last_percent / 10)
        fprintf(stderr, "  %-22s %d %%\n", what, percent);
    t->last_percent = percent;
}

static void stage_end(struct tell *t, const char *what, const char *name)
{
    double took = seconds(st_mono() - t->stage_started);
    json_object_set_new(t->timings, name, json_real(took));
    fprintf(stderr, t->terminal ? "\r\033[K  %-22s done  %6.2f s\n" : "  %-22s done  %6.2f s\n", what, took);
}

/* --- the mail --- */

/* The code stands alone on a line of the text part: 128 bits as base64url. */
static const char *code_in(struct ctl *c, const char *path, const char *email)
{
    char line[1200];
    bool ours = false, wanted = false;
    const char *code = NULL;
    FILE *f = fopen(path, "re");
    while (f && !code && fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\r\n")] = '\0';
        ours |= strstr(line, st_printf(c->arena, "<%s>", email)) != NULL;
        wanted |= st_streq(line, "X-Campaign: user.email_verification.requested");
        size_t n = strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
        if (ours && wanted && n == 22 && line[n] == '\0')
            code = st_strdup(c->arena, line);
    }
    if (f)
        fclose(f);
    return code;
}

static const char *find_code(struct tell *t)
{
    for (int waited = 0; waited < MAIL_WAIT_S * 1000; waited += POLL_MS) {
        DIR *d = opendir(t->outbox);
        const char *code = NULL;
        for (struct dirent *e; d && !code && (e = readdir(d));)
            if (st_ends(e->d_name, ".eml"))
                code = code_in(t->c, st_printf(t->c->arena, "%s/%s", t->outbox, e->d_name), t->email);
        if (d)
            closedir(d);
        if (code)
            return code;
        st_sleep_ms(POLL_MS);
    }
    return NULL;
}

/* --- the stages --- */

static int register_writer(struct tell *t)
{
    const char *password = st_secret(t->c->arena, 18);
    t->email = st_printf(t->c->arena, "writer-%s@example.org", st_new_id(t->c->arena));
    json_t *who = st_json_keep(t->c->arena, json_pack("{s:s, s:s, s:s}", "email", t->email, "password", password,
                                                      "displayName", "Ada Writer"));
    json_t *login = st_json_keep(t->c->arena, json_pack("{s:s, s:s}", "email", t->email, "password", password)),
           *tokens;
    stage_begin(t, "registering");
    if (ask(t, "POST", "/v1/auth/register", who, 202, NULL) < 0)
        return -1;
    const char *code = find_code(t);
    if (!code) {
        ctl_error("no confirmation mail for %s has arrived in %s", t->email, t->outbox);
        return -1;
    }
    json_t *verify = st_json_keep(t->c->arena, json_pack("{s:s}", "token", code));
    if (ask(t, "POST", "/v1/auth/verify", verify, 204, NULL) < 0 ||
        ask(t, "POST", "/v1/auth/login", login, 200, &tokens) < 0)
        return -1;
    keep_tokens(t, tokens);
    stage_end(t, "writer registered", "register");
    return 0;
}

static char *read_story(struct ctl *c, const char *path)
{
    FILE *f = fopen(path, "re");
    char *text = f ? st_alloc(c->arena, STORY_MAX + 2) : NULL;
    size_t n = f ? fread(text, 1, STORY_MAX + 1, f) : 0;
    if (f)
        fclose(f);
    if (!f)
        ctl_error("cannot read %s", path);
    else if (n > STORY_MAX)
        ctl_error("%s is larger than %d bytes", path, STORY_MAX);
    else if (!st_utf8_valid(text, n))
        ctl_error("%s is not UTF-8 text", path);
    else
        return text;
    return NULL;
}

/* The story's own first line when it is short and stands alone, else the file's name: a-small-tale.txt, A Small Tale.
 */
static const char *title_of(struct ctl *c, const char *path, const char *text)
{
    size_t n = strcspn(text, "\r\n");
    const char *behind = text + n;
    bool alone = st_starts(behind, "\n\n") || st_starts(behind, "\r\n\r\n");
    size_t marks = strspn(text, "# ");
    if (n > marks && n <= TITLE_MAX && alone)
        return st_strndup(c->arena, text + marks, n - marks);
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path, *dot = strrchr(base, '.');
    char *title = st_strndup(c->arena, base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
    for (char *p = title; *p; p++) {
        if (*p == '-' || *p == '_')
            *p = ' ';
        if ((p == title || p[-1] == ' ') && *p >= 'a' && *p <= 'z')
            *p = (char)(*p - 'a' + 'A');
    }
    return title;
}

static int post_story(struct tell *t, const char *path)
{
    const char *text = read_story(t->c, path);
    if (!text)
        return -1;
    json_t *answer,
        *story =
            st_json_keep(t->c->arena, json_pack("{s:s, s:s}", "title", title_of(t->c, path, text), "content", text));
    stage_begin(t, "posting the story");
    if (ask(t, "POST", "/v1/stories", story, 201, &answer) < 0)
        return -1;
    t->story_id = st_json_str(answer, "storyId", "");
    stage_end(t, "story posted", "post");
    return 0;
}

static double share_of(const json_t *answer)
{
    const json_t *p = json_object_get(answer, "progress");
    if (json_is_number(p))
        return json_number_value(p);
    double total = st_json_num(p, "total", 0);
    return total > 0 ? st_json_num(p, "done", 0) / total : 0;
}

/* Polls until it is ready; fails with its reason, or when nothing moves for STALL_S. Each turn's memory goes with it.
 */
static int follow(struct tell *t, const char *what, const char *done, const char *name, json_t **ret)
{
    const char *path = st_printf(t->c->arena, "/v1/stories/%s/%s", t->story_id, name);
    struct st_arena *outer = t->c->arena, turn = {0};
    double best = -1;
    int64_t moved = st_mono();
    int r = -2;
    stage_begin(t, what);
    while (r == -2) {
        json_t *answer;
        t->c->arena = &turn;
        if (ask(t, "GET", path, NULL, 200, &answer) < 0) {
            r = -1;
        } else if (st_streq(st_json_str(answer, "status", ""), "ready")) {
            *ret = st_json_keep(outer, json_incref(answer));
            r = 0;
        } else if (st_streq(st_json_str(answer, "status", ""), "failed")) {
            ctl_error("%s failed: %s", name, st_json_str(answer, "reason", "no reason given"));
            r = -1;
        } else if (share_of(answer) > best) {
            best = share_of(answer);
            moved = st_mono();
            stage_progress(t, what, best);
        } else if (st_mono() - moved > STALL_S * ST_SECOND) {
            ctl_error("%s has not moved for %d s; see var/log", name, STALL_S);
            r = -1;
        }
        t->c->arena = outer;
        st_arena_reset(&turn);
        if (r == -2)
            st_sleep_ms(POLL_MS);
    }
    st_arena_release(&turn);
    if (r == 0)
        stage_end(t, done, name);
    return r;
}

/* The two notices that the story is done. */
static int await_notices(struct tell *t)
{
    stage_begin(t, "waiting for notices");
    for (int waited = 0; waited < MAIL_WAIT_S * 1000; waited += POLL_MS) {
        json_t *inbox, *one;
        size_t i;
        bool narration = false, video = false;
        if (ask(t, "GET", "/v1/notifications", NULL, 200, &inbox) < 0)
            return -1;
        json_array_foreach (json_object_get(inbox, "items"), i, one) {
            narration |= st_streq(st_json_str(one, "campaign", ""), "narration.generation.completed");
            video |= st_streq(st_json_str(one, "campaign", ""), "video.generated");
        }
        if (narration && video) {
            stage_end(t, "notices received", "notices");
            return 0;
        }
        st_sleep_ms(POLL_MS);
    }
    ctl_error("the notices of narration and video have not arrived");
    return -1;
}

/* --- what came of it --- */

static void print_characters(struct tell *t)
{
    const json_t *voices = json_object_get(t->narration, "voices");
    json_t *one;
    size_t i, k;
    printf("\nCharacters (%s):\n", st_json_str(t->analysis, "language", "?"));
    json_array_foreach (json_object_get(t->analysis, "characters"), i, one) {
        const char *name = st_json_str(one, "name", ""), *voice = "";
        json_t *v;
        json_array_foreach (voices, k, v)
            if (st_streq(st_json_str(v, "character", ""), name))
                voice = st_json_str(v, "voice", "");
        printf("  %-24s %3d mentions  %-7s %s%s\n", name, (int)st_json_int(one, "mentions", 0),
               st_json_str(one, "gender", ""), *voice ? "voice " : "", voice);
    }
}

static void print_emotions(struct tell *t)
{
    json_t *counts = st_json_keep(t->c->arena, json_object()), *one;
    const char *emotion;
    size_t i;
    json_array_foreach (json_object_get(t->analysis, "segments"), i, one) {
        const char *e = st_json_str(one, "emotion", "neutral");
        json_object_set_new(counts, e, json_integer(st_json_int(counts, e, 0) + 1));
    }
    printf("\nEmotions of %d segments:\n", (int)json_array_size(json_object_get(t->analysis, "segments")));
    json_object_foreach (counts, emotion, one)
        printf("  %-14s %lld\n", emotion, (long long)json_integer_value(one));
}

static void print_result(struct tell *t, const char *ca)
{
    json_t *one;
    size_t i;
    print_characters(t);
    print_emotions(t);
    printf("\nHear it (%.0f s):\n", (double)st_json_int(t->narration, "durationMs", 0) / 1000);
    json_array_foreach (json_object_get(t->narration, "audio"), i, one)
        printf("  %-5s %s%s\n", st_json_str(one, "format", ""), t->url, st_json_str(one, "url", ""));
    printf("See it:\n  mp4   %s%s\n", t->url, st_json_str(t->video, "url", ""));
    printf("Read the mails:\n  %s/*.eml\n", t->outbox);
    printf("\nStages (seconds):");
    const char *name;
    json_object_foreach (t->timings, name, one)
        printf("  %s %.2f", name, json_real_value(one));
    printf("  total %.2f\n", seconds(st_mono() - t->started));
    const char *cacert = ca ? st_printf(t->c->arena, "--cacert %s ", ca) : "";
    printf("\nTry next (the token lives ten minutes):\n  TOKEN=%s\n"
           "  curl %s-H \"Authorization: Bearer $TOKEN\" %s/v1/stories/%s/analysis\n"
           "  curl %s-o story.mp3 '%s%s'\n"
           "  curl %s-o story.mp4 '%s%s'\n",
           t->token, cacert, t->url, t->story_id, cacert, t->url,
           st_json_str(json_array_get(json_object_get(t->narration, "audio"), 1), "url", ""), cacert, t->url,
           st_json_str(t->video, "url", ""));
}

static void print_json(struct tell *t)
{
    ctl_print_json(t->c, json_pack("{s:s, s:s, s:s, s:O, s:O, s:O, s:O}", "email", t->email, "accessToken", t->token,
                                   "storyId", t->story_id, "analysis", t->analysis, "narration", t->narration, "video",
                                   t->video, "seconds", t->timings));
}

int ctl_tell(struct ctl *c)
{
    const char *url = ctl_option(c, "--url"), *ca = ctl_option(c, "--ca"), *outbox = ctl_option(c, "--outbox");
    if (c->argc != 1)
        return ctl_usage("expected: tell FILE");
    struct tell t = {.c = c,
                     .url = url ? url : "https://localhost:8443",
                     .outbox = outbox ? outbox : "var/outbox",
                     .http = st_http_client_new(ca, NULL),
                     .terminal = isatty(STDERR_FILENO),
                     .started = st_mono(),
                     .timings = st_json_keep(c->arena, json_object())};
    int r = 0;
    if (register_writer(&t) < 0 || post_story(&t, c->argv[0]) < 0 ||
        follow(&t, "analysing", "analysed", "analysis", &t.analysis) < 0 ||
        follow(&t, "narrating", "narrated", "narration", &t.narration) < 0 ||
        follow(&t, "making the video", "video made", "video", &t.video) < 0 || await_notices(&t) < 0)
        r = 1;
    else if (c->json)
        print_json(&t);
    else
        print_result(&t, ca);
    st_http_client_free(t.http);
    return r;
}
