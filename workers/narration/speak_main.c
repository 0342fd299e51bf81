/* narration-speak: answers one request from stdin on stdout. */
#include <errno.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "narration/speak.h"

enum { LANGUAGES_MAX = 16 << 10, EXIT_BROKEN = 3 };

bool speak_sound_add(struct speak_sound *s, const int16_t *pcm, size_t count)
{
    if (count > SPEAK_SAMPLES_MAX - s->count)
        return false;
    if (s->count + count > s->cap) {
        size_t cap = 2 * s->cap > s->count + count ? 2 * s->cap : s->count + count;
        int16_t *more = realloc(s->pcm, cap * sizeof(*more));
        if (!more)
            abort();
        s->pcm = more;
        s->cap = cap;
    }
    if (count)
        memcpy(s->pcm + s->count, pcm, count * sizeof(*pcm));
    s->count += count;
    return true;
}

static bool read_all(void *out, size_t len)
{
    for (char *p = out; len;) {
        ssize_t n = read(STDIN_FILENO, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

static bool write_all(const void *data, size_t len)
{
    for (const char *p = data; len;) {
        ssize_t n = write(STDOUT_FILENO, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

static bool answer(enum speak_status status, uint32_t rate, const void *payload, size_t count, size_t size)
{
    if (status != SPEAK_DONE)
        count = 0;
    struct speak_answer a = {SPEAK_MAGIC, status, rate, (uint32_t)count};
    return write_all(&a, sizeof(a)) && write_all(payload, count * size);
}

static bool within(int32_t n, int32_t min, int32_t max)
{
    return n >= min && n <= max;
}

static bool request_valid(const struct speak_request *r)
{
    return r->magic == SPEAK_MAGIC && r->text_len <= SPEAK_TEXT_MAX && !r->voice[SPEAK_NAME_LEN - 1] &&
           !r->language[SPEAK_NAME_LEN - 1];
}

static bool say(const struct speak_request *req, const char *text)
{
    struct speak_sound sound = {0};
    enum speak_status status = SPEAK_BAD_REQUEST;
    bool valid = within(req->pitch, 400, 3000) && within(req->range, 0, 3000) && within(req->rate, 500, 2000) &&
                 within(req->tract, -150, 150) && st_utf8_valid(text, req->text_len);
    if (valid && req->engine == SPEAK_FLITE)
        status = speak_flite(req, text, &sound);
    else if (valid && req->engine == SPEAK_ESPEAK)
        status = speak_espeak(req, text, &sound);
    return answer(status, sound.rate, sound.pcm, sound.count, sizeof(*sound.pcm));
}

static bool list_languages(void)
{
    struct st_buf out = ST_BUF(LANGUAGES_MAX);
    st_buf_printf(&out, "flite %s, ", speak_flite_version);
    enum speak_status status = speak_espeak_languages(&out);
    return answer(status, 0, out.data, out.len, 1);
}

int main(void)
{
    static char text[SPEAK_TEXT_MAX + 1];
    struct speak_request req;
    bool ok = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && read_all(&req, sizeof(req)) && request_valid(&req) &&
              read_all(text, req.text_len);
    if (ok)
        ok = req.op == SPEAK_LANGUAGES ? list_languages()
             : req.op == SPEAK_SAY     ? say(&req, text)
                                       : answer(SPEAK_BAD_REQUEST, 0, NULL, 0, 1);
    _exit(ok ? 0 : EXIT_BROKEN); /* the engines' memory goes with the process, without their exit handlers */
}
