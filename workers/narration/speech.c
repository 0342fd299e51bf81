/* Starts narration-speak, asks it one thing, and waits for the answer within a time limit. */
#include "narration/speech.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    TIMEOUT_SECONDS = SPEAK_CPU_SECONDS + 15, /* the child shares its core */
    POLL_MS = 100,                            /* how often a stop is noticed */
    LANGUAGES_MAX = 16 << 10,
    TAG_MAX = 35, /* the length RFC 5646 asks to allow */
};

struct st_speech {
    char *program;
    char *languages; /* "\naf\nam\n...\n" */
};

void st_pcm_release(struct st_pcm *pcm)
{
    free(pcm->samples);
    *pcm = (struct st_pcm){0};
}

struct child {
    pid_t pid;
    int fd; /* its stdin and stdout */
    int64_t deadline;
    const atomic_bool *stop;
};

/* Everything above stderr is closed; signals are as in a fresh process; nothing of our environment goes along. */
static int spawn(const char *program, int fd, pid_t *ret_pid)
{
    static char *const environment[] = {"LC_ALL=C.UTF-8", NULL};
    char *const argv[] = {(char *)program, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&files, fd, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, fd, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int failed = posix_spawn(ret_pid, program, &files, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return failed ? ST_E_UNAVAILABLE : 0;
}

/* A socket pair, not pipes: writing to a child that has died must not raise SIGPIPE in the daemon. */
static int child_start(struct child *c, const char *program)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return ST_E_UNAVAILABLE;
    int r = spawn(program, pair[1], &c->pid);
    close(pair[1]);
    if (r < 0) {
        close(pair[0]);
        return r;
    }
    c->fd = pair[0];
    c->deadline = st_mono() + TIMEOUT_SECONDS * ST_SECOND;
    return 0;
}

/* Waits for it to end; kill it first unless it has said all. */
static int child_end(struct child *c, bool finished)
{
    if (!finished)
        kill(c->pid, SIGKILL);
    close(c->fd);
    int status = -1;
    while (waitpid(c->pid, &status, 0) < 0)
        if (errno != EINTR)
            return ST_E_BAD_GATEWAY;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : ST_E_BAD_GATEWAY;
}

/* The request is far smaller than a socket's buffer, so this does not block. */
static int child_ask(struct child *c, const struct speak_request *req, const char *text)
{
    struct iovec parts[] = {{(void *)req, sizeof(*req)}, {(void *)text, req->text_len}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = ST_COUNT(parts)};
    ssize_t n = sendmsg(c->fd, &message, MSG_NOSIGNAL);
    if (n != (ssize_t)(sizeof(*req) + req->text_len) || shutdown(c->fd, SHUT_WR) < 0)
        return ST_E_BAD_GATEWAY;
    return 0;
}

static int child_wait(const struct child *c)
{
    for (;;) {
        if (c->stop && atomic_load(c->stop))
            return ST_E_CANCELLED;
        if (st_mono() >= c->deadline)
            return ST_E_TIMEOUT;
        struct pollfd p = {.fd = c->fd, .events = POLLIN};
        int n = poll(&p, 1, POLL_MS);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return ST_E_UNAVAILABLE;
    }
}

static int child_read(const struct child *c, void *out, size_t len)
{
    for (char *at = out; len;) {
        int r = child_wait(c);
        if (r < 0)
            return r;
        ssize_t n = recv(c->fd, at, len, MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n <= 0)
            return ST_E_BAD_GATEWAY; /* it ended before its answer did: a crash */
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

static int answer_error(const struct speak_answer *a)
{
    if (a->magic != SPEAK_MAGIC)
        return ST_E_BAD_GATEWAY;
    switch ((enum speak_status)a->status) {
    case SPEAK_DONE: return 0;
    case SPEAK_NO_VOICE: return ST_E_UNPROCESSABLE;
    case SPEAK_TOO_LONG: return ST_E_TOO_LARGE;
    case SPEAK_BAD_REQUEST:
    case SPEAK_FAILED: break;
    }
    return ST_E_BAD_GATEWAY;
}

/* size: of one item of the payload; max: how many are believed. The caller frees *ret_payload. */
static int converse(struct child *c, const struct speak_request *req, const char *text, size_t size, size_t max,
                    struct speak_answer *ret_answer, void **ret_payload)
{
    struct speak_answer a;
    int r = child_ask(c, req, text);
    if (r == 0)
        r = child_read(c, &a, sizeof(a));
    if (r == 0)
        r = answer_error(&a);
    if (r < 0)
        return r;
    if (a.count > max)
        return ST_E_BAD_GATEWAY;
    void *payload = malloc(a.count * size + 1);
    if (!payload)
        abort();
    r = child_read(c, payload, a.count * size);
    if (r < 0) {
        free(payload);
        return r;
    }
    ((char *)payload)[a.count * size] = '\0';
    *ret_answer = a;
    *ret_payload = payload;
    return 0;
}

static int run(const char *program, const struct speak_request *req, const char *text, const atomic_bool *stop,
               size_t size, size_t max, struct speak_answer *ret_answer, void **ret_payload)
{
    struct child c = {.stop = stop};
    struct speak_answer a;
    void *payload = NULL;
    int r = child_start(&c, program);
    if (r < 0)
        return r;
    r = converse(&c, req, text, size, max, &a, &payload);
    int ended = child_end(&c, r == 0);
    if (r == 0 && ended < 0) {
        free(payload);
        r = ended;
    }
    if (r < 0)
        return r;
    *ret_answer = a;
    *ret_payload = payload;
    return 0;
}

int st_speech_open(const char *program, struct st_speech **ret_speech)
{
    struct speak_request req = {.magic = SPEAK_MAGIC, .op = SPEAK_LANGUAGES};
    struct speak_answer a;
    void *list;
    if (run(program, &req, "", NULL, 1, LANGUAGES_MAX, &a, &list) < 0)
        return ST_E_UNAVAILABLE;
    struct st_buf names = ST_BUF(LANGUAGES_MAX + 2);
    st_buf_char(&names, '\n');
    st_buf_str(&names, list);
    free(list);
    struct st_speech *speech = calloc(1, sizeof(*speech));
    if (!speech)
        abort();
    speech->program = strdup(program);
    speech->languages = names.data;
    *ret_speech = speech;
    return 0;
}

void st_speech_close(struct st_speech *speech)
{
    if (!speech)
        return;
    free(speech->program);
    free(speech->languages);
    free(speech);
}

/* Where espeak-ng's name is not the tag's own primary subtag, or its first choice is not the best one. */
static const struct {
    const char *tag, *name;
} aliases[] = {
    {"cmn", "cmn-latn-pinyin"}, /* plain cmn spells each syllable in English letters */
    {"fil", ""},
    {"fr", "fr-fr"},
    {"in", "id"},
    {"iw", "he"},
    {"mo", "ro"},
    {"nn", "nb"},
    {"no", "nb"},
    {"sh", "hr"},
    {"zh", "cmn-latn-pinyin"},
    {"zh-hk", "yue"},
    {"zh-mo", "yue"},
    {"zh-yue", "yue"},
};

static const char *alias(const char *tag)
{
    for (size_t i = 0; i < ST_COUNT(aliases); i++)
        if (st_streq(aliases[i].tag, tag))
            return aliases[i].name;
    return tag;
}

static bool listed(const struct st_speech *speech, const char *name)
{
    char line[ST_LANGUAGE_LEN + 2];
    if (!*name || strlen(name) >= ST_LANGUAGE_LEN)
        return false;
    snprintf(line, sizeof(line), "\n%s\n", name);
    return strstr(speech->languages, line) != NULL;
}

/* Lower case, and nothing but what a tag may hold; false for anything else. */
static bool tag_normalise(const char *tag, char out[TAG_MAX + 1])
{
    size_t len = strlen(tag);
    if (len > TAG_MAX)
        return false;
    for (size_t i = 0; i <= len; i++) {
        char c = tag[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (c == '_')
            c = '-';
        if (c && c != '-' && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
            return false;
        out[i] = c;
    }
    return true;
}

int st_speech_language(const struct st_speech *speech, const char *tag, char ret_name[ST_LANGUAGE_LEN])
{
    char t[TAG_MAX + 1];
    if (!tag || !*tag || st_streq(tag, "und"))
        tag = "en";
    if (!tag_normalise(tag, t))
        return ST_E_UNPROCESSABLE;
    /* RFC 4647 lookup: the whole tag, then shorter and shorter from its end. */
    for (;;) {
        const char *name = alias(t);
        if (st_streq(t, "en") || listed(speech, name)) {
            snprintf(ret_name, ST_LANGUAGE_LEN, "%s", st_streq(t, "en") ? "" : name);
            return 0;
        }
        char *end = strrchr(t, '-');
        if (!end)
            return ST_E_UNPROCESSABLE;
        *end = '\0';
    }
}

int st_speech_say(const struct st_speech *speech, const struct st_manner *manner, const char *text, size_t len,
                  const atomic_bool *stop, struct st_pcm *ret_pcm)
{
    if (len > SPEAK_TEXT_MAX)
        return ST_E_TOO_LARGE;
    struct speak_request req = {
        .magic = SPEAK_MAGIC,
        .op = SPEAK_SAY,
        .engine = manner->engine,
        .pitch = manner->pitch,
        .range = manner->range,
        .rate = manner->rate,
        .tract = manner->tract,
        .text_len = (uint32_t)len,
    };
    snprintf(req.voice, sizeof(req.voice), "%s", manner->name);
    snprintf(req.language, sizeof(req.language), "%s", manner->language);
    struct speak_answer a;
    void *samples;
    int r = run(speech->program, &req, text, stop, sizeof(int16_t), SPEAK_SAMPLES_MAX, &a, &samples);
    if (r < 0)
        return r;
    *ret_pcm = (struct st_pcm){.samples = samples, .count = a.count, .rate = a.rate};
    return 0;
}
