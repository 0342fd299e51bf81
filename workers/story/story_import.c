/* Stories from files: text, Markdown, EPUB, each read by a process of its own (import.h). */
#include "base/spawn.h"
#include "io/openapi.h"
#include "story/charsets.h"
#include "story/import.h"
#include "story/story.h"
#include "svc/limit.h"

#include <unistd.h>

enum {
    TIMEOUT_SECONDS = IMPORT_CPU_SECONDS + 20, /* the child shares its core */
    MEMORY_MAX = 512 << 20,
    TITLE_MAX = 200,
    PATH_LEN = 4096,
};

/* Bytes as PostgreSQL writes them, and back. */
static const char *to_hex(struct st_arena *a, const char *data, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    char *text = st_alloc(a, 2 * len + 3), *out = text;
    *out++ = '\\';
    *out++ = 'x';
    for (size_t i = 0; i < len; i++) {
        *out++ = digits[(unsigned char)data[i] >> 4];
        *out++ = digits[(unsigned char)data[i] & 15];
    }
    *out = '\0';
    return text;
}

static int digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* What the child reads: a head, then the file. */
static char *from_hex(struct st_arena *a, const char *head, const char *text, size_t *ret_len)
{
    size_t n = (strlen(text) - 2) / 2, m = strlen(head);
    char *data = st_alloc(a, m + n + 1);
    memcpy(data, head, m);
    for (size_t i = 0; i < n; i++)
        data[m + i] = (char)(digit(text[2 + 2 * i]) << 4 | digit(text[3 + 2 * i]));
    *ret_len = m + n;
    return data;
}

/* The kind of the file, and of a text its charset, NULL where it is not said. */
static int read_type(struct st_call *call, const char **ret_kind, const char **ret_charset)
{
    struct st_media media;
    if (!st_media_parse(call->arena, call->bytes->type, &media))
        return ST_E_MEDIA_TYPE;
    const char *label = st_media_param(&media, "charset");
    *ret_kind = st_streq(media.type, "application/epub+zip") ? "e" : st_streq(media.type, "text/markdown") ? "m" : "t";
    int charset = label && **ret_kind != IMPORT_EPUB ? story_charset(label) : -1;
    *ret_charset = charset < 0 ? NULL : story_charsets[charset].name;
    return !label || *ret_charset || **ret_kind == IMPORT_EPUB
               ? 0
               : st_fail(call, ST_E_MEDIA_TYPE, "The charset is not known here; UTF-8 always is.");
}

int story_create_import(struct st_call *call)
{
    const char *id = st_new_id(call->arena), *kind, *charset;
    json_t *import;
    int r;
    if ((r = story_check_limit(call)) < 0 || (r = read_type(call, &kind, &charset)) < 0)
        return r;
    r = st_row(call, &import,
               "insert into story_imports (import_id, user_id, tier, kind, title, visibility, draft, file, charset) "
               "values ($1, $2, $3, $4, $5, $6, $7, $8, $9) "
               "returning import_id as \"importId\", status, created_at as \"createdAt\"",
               id, call->user_id, call->tier, kind, st_param(call, "title"), st_param(call, "visibility"),
               json_is_true(json_object_get(call->params, "draft")) ? "true" : "false",
               to_hex(call->arena, call->bytes->data, call->bytes->len), charset);
    if (r < 0)
        return r;
    st_enqueue(call, "import", id, 0, json_pack("{s:s}", "importId", id));
    st_header(call, "Location", st_printf(call->arena, "/v1/imports/%s", id));
    return st_reply_keep(call, 202, import);
}

int story_get_import(struct st_call *call)
{
    json_t *import;
    int r =
        st_row(call, &import,
               "select json_strip_nulls(json_build_object('importId', import_id, 'status', status, 'reason', reason, "
               "'storyId', story_id)) as said, created_at as \"createdAt\" from story_imports "
               "where import_id = $1 and user_id = $2",
               st_param(call, "importId"), call->user_id);
    if (r < 0)
        return r == ST_E_NOT_FOUND ? st_fail(call, r, "There is no such import, or it is not yours to see.") : r;
    json_t *said = json_object_get(import, "said");
    json_object_set(said, "createdAt", json_object_get(import, "createdAt"));
    return st_reply_keep(call, 200, said);
}

/* --- the job --- */

/* Beside this program. */
static const char *reader(struct st_call *call)
{
    char self[PATH_LEN];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    return st_printf(call->arena, "%s/story-import", self);
}

static bool is_stopped(void *arg)
{
    return st_progress(arg, 0, 1) < 0;
}

/* What the child has found, or why there is nothing; an error is not the file's fault. */
static int read_file(struct st_call *call, const char *input, size_t len, json_t **ret)
{
    const char *argv[] = {reader(call), NULL}, *why;
    struct st_spawn s = {.argv = argv,
                         .input = input,
                         .input_len = len,
                         .timeout_us = TIMEOUT_SECONDS * ST_SECOND,
                         .max_file = 1,
                         .max_cpu_s = IMPORT_CPU_SECONDS,
                         .max_out = IMPORT_ANSWER_MAX,
                         .cancelled = is_stopped,
                         .arg = call};
#ifndef __SANITIZE_ADDRESS__ /* its shadow memory is terabytes of address space */
    s.max_memory = MEMORY_MAX;
#endif
    struct st_spawn_result result;
    int r = st_spawn(call->arena, &s, &result);
    if (r == ST_E_CANCELLED || r == ST_E_UNAVAILABLE || r == ST_E_NOT_FOUND)
        return st_fail(call, r == ST_E_CANCELLED ? r : ST_E_UNAVAILABLE, "%s could not be run.", argv[0]);
    if (r != 0 || st_json_parse(call->arena, result.out, result.out_len, ST_JSON_DEPTH, ret, &why) < 0)
        *ret = st_json_keep(call->arena,
                            json_pack("{s:s}", "error", "The file cannot be read: it is damaged, or too much."));
    return 0;
}

/* As the contract has titles: one line that is not blank, of at most 200 characters. */
static const char *title_of(struct st_call *call, const char *title)
{
    struct st_buf b = ST_BUF(4096);
    int n = 0;
    for (const char *s = title; *s && n < TITLE_MAX; n++) {
        const char *from = s;
        uint32_t c = st_utf8_next(&s);
        if (c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x2028 || c == 0x2029)
            st_buf_char(&b, ' ');
        else
            st_buf_add(&b, from, (size_t)(s - from));
    }
    const char *line = st_strndup(call->arena, b.data ? b.data : "", b.len);
    st_buf_release(&b);
    line += strspn(line, " ");
    return *line ? line : "Untitled";
}

static bool is_language(const char *tag)
{
    size_t n = strlen(tag), first = strcspn(tag, "-");
    return n <= 35 && (first == 2 || first == 3) &&
           strspn(tag, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == n && tag[n - 1] != '-' &&
           !strstr(tag, "--");
}

/* A text does without the heading "# …" that has become its title, all of it; a book has titles of its own. */
static const char *behind_title(const json_t *import, const json_t *found)
{
    const char *content = st_str(found, "content"), *title = st_str(found, "title");
    size_t n = title ? strlen(title) : 0;
    if (!n || st_utf8_length(title, n) > TITLE_MAX || *st_str(import, "head") == IMPORT_EPUB ||
        !st_starts(content, "# ") || strncmp(content + 2, title, n) != 0 || content[2 + n] != '\n')
        return content;
    return content + 2 + n + strspn(content + 2 + n, "\n");
}

static int make_story(struct st_call *call, const json_t *import, const json_t *found)
{
    const char *language = st_str(found, "language"), *title = st_str(import, "title"), *id = NULL;
    const struct story_new story = {
        .author_id = st_str(import, "user_id"),
        .tier = st_str(import, "tier"),
        .title = title_of(call, title ? title : st_json_str(found, "title", "Untitled")),
        .content = title ? st_str(found, "content") : behind_title(import, found),
        .language = language && is_language(language) ? language : NULL,
        .visibility = st_str(import, "visibility"),
        .draft = st_json_bool(import, "draft", false),
    };
    json_t *made;
    int r = story_make(call, &story, &made);
    if (r < 0)
        return r;
    id = st_str(made, "storyId");
    return st_exec_one(call, ST_E_CANCELLED,
                       "update story_imports set status = 'ready', story_id = $2, file = null where import_id = $1",
                       st_str(call->body, "importId"), id);
}

static void give_up(struct st_call *call, const char *why)
{
    st_exec(call,
            "update story_imports set status = 'failed', reason = $2, file = null "
            "where import_id = $1 and status = 'pending'",
            st_str(call->body, "importId"), why);
}

int story_import(struct st_call *call)
{
    json_t *import, *found = NULL;
    size_t len;
    int r = st_row(call, &import,
                   "select user_id, tier, kind || coalesce(charset, '') || e'\\n' as head, title, visibility, draft, "
                   "file::text as file from story_imports "
                   "where import_id = $1 and status = 'pending'",
                   st_str(call->body, "importId"));
    if (r == ST_E_NOT_FOUND)
        return 0; /* its author has gone */
    if (r < 0 || (r = st_commit(call)) < 0)
        return r;
    const char *input = from_hex(call->arena, st_str(import, "head"), st_str(import, "file"), &len);
    if ((r = read_file(call, input, len, &found)) < 0)
        return r;
    const char *content = st_str(found, "content"), *why;
    if (!content || strlen(content) > IMPORT_TEXT_MAX)
        give_up(call, st_json_str(found, "error", "There is no text in the file."));
    else if ((r = st_limit_used_up(call, st_str(import, "user_id"), "stories", &why)) == 0 && why)
        give_up(call, why); /* since it was posted */
    else if (r == 0)
        r = make_story(call, import, found);
    return r;
}

int story_import_failed(struct st_call *call)
{
    give_up(call, "The file could not be read.");
    return 0;
}
