/* Narrations as files to keep, and the text that goes with them. */
#include "base/spawn.h"
#include "io/epub.h"
#include "narration/captions.h"
#include "narration/narration.h"
#include "narration/narration_script.h"

enum { CONVERT_SECONDS = 1800, FILE_MAX_BYTES = 2000000000, CAPTIONS_MAX = 64 << 20 };

static const uint64_t MEMORY_MAX = UINT64_C(4) << 30; /* of addresses */

static const struct format {
    const char *name, *content_type;
} formats[] = {{"m4b", "audio/mp4"}, {"epub", "application/epub+zip"}};

static const struct format *format_of(const char *name)
{
    for (size_t i = 0; i < ST_COUNT(formats); i++)
        if (st_streq(formats[i].name, name))
            return &formats[i];
    return NULL;
}

/* --- asking for it ----------------------------------------------------------------------------------------------- */

static int not_found(struct st_call *call)
{
    return st_fail(call, ST_E_NOT_FOUND, "There is no such narration, or it is not yours to hear.");
}

static const char *key_of(struct st_call *call, const char *format)
{
    return st_printf(call->arena, "narration/%s/story.%s", st_param(call, "narrationId"), format);
}

static const char *job_key(struct st_call *call, const char *narration_id, const char *format)
{
    return st_printf(call->arena, "%s/%s", narration_id, format);
}

static int reply_export(struct st_call *call, int code, const char *format, const char *status, const char *reason)
{
    const char *path =
        st_printf(call->arena, "/v1/narrations/%s/exports/%s/file", st_param(call, "narrationId"), format);
    const char *url = st_object_link(call, path, key_of(call, format));
    json_t *answer = json_pack("{s:s, s:s, s:s?}", "format", format, "status", status, "url",
                               st_streq(status, "ready") ? url : NULL);
    if (reason)
        json_object_set_new(answer, "reason", json_string(reason));
    return st_reply(call, code, answer);
}

int narration_export(struct st_call *call)
{
    const char *id = st_param(call, "narrationId"), *format = st_str(call->body, "format");
    json_t *row;
    int r = st_row(call, &row,
                   "select n.status, x.status as made from narrations n join stories s using (story_id) "
                   "left join exports x on x.narration_id = n.narration_id and x.format = $3 "
                   "where n.narration_id = $1 and " NARRATION_READABLE,
                   id, call->user_id, format);
    if (r < 0)
        return r == ST_E_NOT_FOUND ? not_found(call) : r;
    if (!st_streq(st_str(row, "status"), "ready"))
        return st_fail(call, ST_E_CONFLICT, "The narration is not ready.");
    const char *made = st_str(row, "made");
    if (made && !st_streq(made, "failed"))
        return reply_export(call, 202, format, made, NULL);
    st_exec(call,
            "insert into exports (narration_id, format) values ($1, $2) "
            "on conflict (narration_id, format) do update set status = 'pending', reason = null",
            id, format);
    st_enqueue(call, "export", job_key(call, id, format), 0,
               json_pack("{s:s, s:s}", "narrationId", id, "format", format));
    return reply_export(call, 202, format, "pending", NULL);
}

static int find(struct st_call *call, json_t **ret)
{
    int r =
        st_row(call, ret,
               "select x.status, x.reason from exports x join narrations n using (narration_id) "
               "join stories s using (story_id) where x.narration_id = $1 and x.format = $3 and " NARRATION_READABLE,
               st_param(call, "narrationId"), call->user_id, st_param(call, "format"));
    return r == ST_E_NOT_FOUND ? st_fail(call, r, "Nobody has asked for that file, or it is not yours to hear.") : r;
}

int narration_get_export(struct st_call *call)
{
    json_t *row;
    int r = find(call, &row);
    return r < 0 ? r : reply_export(call, 200, st_param(call, "format"), st_str(row, "status"), st_str(row, "reason"));
}

int narration_get_export_file(struct st_call *call)
{
    json_t *row;
    const char *key = key_of(call, st_param(call, "format"));
    int r = st_object_admit(call, key);
    if (r < 0 || (r = find(call, &row)) < 0)
        return r;
    if (!st_streq(st_str(row, "status"), "ready"))
        return st_fail(call, ST_E_NOT_FOUND, "The file is not ready.");
    return st_reply_object(call, format_of(st_param(call, "format"))->content_type, key);
}

int narration_get_captions(struct st_call *call)
{
    json_t *row;
    const char *id = st_param(call, "narrationId"), *key = st_printf(call->arena, "narration/%s/captions.vtt", id);
    int r = st_object_admit(call, key);
    if (r < 0)
        return r;
    r = st_row(call, &row,
               "select n.captions from narrations n join stories s using (story_id) "
               "where n.narration_id = $1 and n.status = 'ready' and " NARRATION_READABLE,
               id, call->user_id);
    if (r == ST_E_NOT_FOUND || (r == 0 && !st_json_bool(row, "captions", false)))
        return not_found(call);
    return r < 0 ? r : st_reply_object(call, "text/vtt; charset=utf-8", key);
}

/* --- making it --------------------------------------------------------------------------------------------------- */

struct st_caption_segment *narration_captions(struct st_call *call, const json_t *segments,
                                              const struct st_narrate_time *times)
{
    size_t n = json_array_size(segments), i;
    struct st_caption_segment *list = st_new_n(call->arena, struct st_caption_segment, n + 1);
    json_t *one;
    json_array_foreach (segments, i, one) {
        list[i] = (struct st_caption_segment){.id = st_json_str(one, "segmentId", ""),
                                              .text = st_json_str(one, "text", ""),
                                              .speaker = st_str(one, "speaker"),
                                              .start_ms = times[i].start_ms,
                                              .end_ms = times[i].end_ms,
                                              .paragraph = st_json_int(one, "paragraph", 0),
                                              .heading = st_json_bool(one, "heading", false)};
    }
    return list;
}

int narration_put_captions(struct st_call *call, const char *key, const json_t *segments,
                           const struct st_narrate_time *times)
{
    struct st_buf b = ST_BUF(CAPTIONS_MAX);
    st_captions_vtt(narration_captions(call, segments, times), json_array_size(segments), &b);
    int r = b.failed ? ST_E_TOO_LARGE : st_object_put(call, key, b.data, b.len);
    st_buf_release(&b);
    return r;
}

static bool is_stopped(void *call)
{
    return st_progress(call, 0, 1) < 0;
}

/* ffmpeg's metadata file: "=", ";", "#", "\" and line ends are escaped. */
static void put_escaped(struct st_buf *b, const char *s)
{
    for (; *s; s++) {
        if (strchr("=;#\\\n", *s))
            st_buf_char(b, '\\');
        st_buf_char(b, *s);
    }
}

static int write_metadata(const json_t *n, const char *path)
{
    struct st_buf b = ST_BUF(CAPTIONS_MAX);
    const char *title = st_json_str(n, "title", "");
    json_t *one;
    size_t i;
    st_buf_str(&b, ";FFMETADATA1\ntitle=");
    put_escaped(&b, title);
    st_buf_str(&b, "\ngenre=Audiobook\n");
    json_array_foreach (json_object_get(n, "chapters"), i, one) {
        const char *name = st_json_str(one, "title", "");
        st_buf_printf(&b, "[CHAPTER]\nTIMEBASE=1/1000\nSTART=%lld\nEND=%lld\ntitle=",
                      (long long)st_json_int(one, "startMs", 0), (long long)st_json_int(one, "endMs", 0));
        put_escaped(&b, *name ? name : title);
        st_buf_char(&b, '\n');
    }
    FILE *f = fopen(path, "we");
    bool ok = f && fwrite(b.data, 1, b.len, f) == b.len;
    ok = f && fclose(f) == 0 && ok;
    st_buf_release(&b);
    return ok ? 0 : ST_E_UNAVAILABLE;
}

/* By ffmpeg, a process of its own within limits of time, memory and file size. */
static int make_m4b(struct st_call *call, const json_t *n, const char *mp3, const char *path)
{
    const char *metadata = st_printf(call->arena, "%s/chapters.txt", st_scratch(call));
    const char *const argv[] = {"ffmpeg",     "-v",
                                "error",      "-nostdin",
                                "-y",         "-protocol_whitelist",
                                "file",       "-f",
                                "mp3",        "-i",
                                mp3,          "-f",
                                "ffmetadata", "-i",
                                metadata,     "-map",
                                "0:a",        "-map_metadata",
                                "1",          "-map_chapters",
                                "1",          "-c:a",
                                "aac",        "-b:a",
                                "64k",        "-movflags",
                                "+faststart", "-f",
                                "ipod",       path,
                                NULL};
    struct st_spawn_result result;
    int r = write_metadata(n, metadata);
    if (r < 0)
        return r;
    r = st_spawn(call->arena,
                 &(struct st_spawn){.argv = argv,
                                    .timeout_us = CONVERT_SECONDS * ST_SECOND,
                                    .max_cpu_s = CONVERT_SECONDS,
                                    .max_memory = MEMORY_MAX,
                                    .max_file = FILE_MAX_BYTES,
                                    .cancelled = is_stopped,
                                    .arg = call},
                 &result);
    return r > 0 ? st_fail(call, ST_E_BAD_GATEWAY, "The converter failed: %.200s", result.err) : r;
}

/* Chapters begin at headings; what stands before the first is one too, named as the story. */
static size_t find_chapters(struct st_call *call, const struct st_caption_segment *list, size_t n,
                            struct st_epub_chapter **ret)
{
    struct st_epub_span *spans = st_new_n(call->arena, struct st_epub_span, n + 1);
    struct st_epub_chapter *chapters = st_new_n(call->arena, struct st_epub_chapter, n + 1);
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        const struct st_caption_segment *s = &list[i];
        spans[i] = (struct st_epub_span){.text = s->text,
                                         .len = strlen(s->text),
                                         .id = s->id,
                                         .start_ms = s->start_ms,
                                         .end_ms = s->end_ms,
                                         .begins = i == 0 || s->paragraph != s[-1].paragraph,
                                         .heading = s->heading};
        if (i == 0 || s->heading)
            chapters[count++] = (struct st_epub_chapter){.title = s->heading ? s->text : NULL, .spans = &spans[i]};
        chapters[count - 1].n_spans++;
    }
    *ret = chapters;
    return count;
}

static int make_epub(struct st_call *call, const json_t *n, const char *mp3, const char *path)
{
    const json_t *segments = narration_segments(call, n), *timing = json_object_get(n, "timing");
    size_t count = json_array_size(segments), i;
    struct st_narrate_time *times = st_new_n(call->arena, struct st_narrate_time, count + 1);
    struct st_epub_chapter *chapters;
    json_t *one;
    if (!segments || !count || json_array_size(timing) != count)
        return st_fail(call, ST_E_UNAVAILABLE, "The text of the narration cannot be read.");
    json_array_foreach (timing, i, one)
        times[i] = (struct st_narrate_time){st_json_int(one, "startMs", 0), st_json_int(one, "endMs", 0), 0};
    size_t n_chapters = find_chapters(call, narration_captions(call, segments, times), count, &chapters);
    struct st_epub book = {.id = st_str(n, "narration_id"),
                           .title = st_json_str(n, "title", ""),
                           .language = st_json_str(n, "language", "und"),
                           .modified = st_now(),
                           .chapters = chapters,
                           .n_chapters = n_chapters,
                           .mp3_path = mp3};
    (void)st_time_parse(st_json_str(n, "finished_at", ""), &book.modified);
    FILE *out = fopen(path, "we");
    int r = out ? st_epub_write(&book, out) : ST_E_UNAVAILABLE;
    if (out && fclose(out) != 0)
        r = ST_E_UNAVAILABLE;
    return r;
}

/* ST_E_NOT_FOUND: nobody wants it any more. */
static int end(struct st_call *call, const char *status, const char *reason)
{
    return st_exec_one(call, ST_E_NOT_FOUND,
                       "update exports set status = $3, reason = $4 where narration_id = $1 and format = $2",
                       st_str(call->body, "narrationId"), st_str(call->body, "format"), status, reason);
}

void narration_drop_exports(struct st_call *call, const char *narration_id)
{
    st_exec(call, "delete from exports where narration_id = $1", narration_id);
    for (size_t i = 0; i < ST_COUNT(formats); i++)
        st_cancel(call, "export", job_key(call, narration_id, formats[i].name));
}

int narration_make_export(struct st_call *call)
{
    const char *id = st_str(call->body, "narrationId"), *format = st_str(call->body, "format"), *mp3;
    const char *path = st_printf(call->arena, "%s/story.%s", st_scratch(call), format);
    const char *key = st_printf(call->arena, "narration/%s/story.%s", id, format);
    json_t *n;
    int r = st_row(call, &n,
                   "select n.narration_id, s.title, n.language, n.segments, n.text_ref, n.timing::jsonb as timing, "
                   "n.chapters, n.finished_at from narrations n join stories s using (story_id) "
                   "where n.narration_id = $1 and n.status = 'ready'",
                   id);
    if (r == ST_E_NOT_FOUND)
        return 0; /* it was deleted meanwhile */
    if (r < 0 || (r = st_commit(call)) < 0 ||
        (r = st_object_get(call, st_printf(call->arena, "narration/%s/audio.mp3", id), &mp3)) < 0)
        return r;
    r = st_streq(format, "m4b") ? make_m4b(call, n, mp3, path) : make_epub(call, n, mp3, path);
    if (r < 0 || (r = st_object_put_file(call, key, path)) < 0)
        return r;
    r = end(call, "ready", NULL);
    if (r == ST_E_NOT_FOUND) /* a voice was taken back while it was made, and the files that there were are gone */
        return st_object_remove(call, key);
    return r;
}

int narration_export_failed(struct st_call *call)
{
    int r = end(call, "failed", "The file could not be made.");
    return r == ST_E_NOT_FOUND ? 0 : r;
}
