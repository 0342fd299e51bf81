/*
 * Samples of voices: brought by the tus protocol (tus.io, 1.0.0 with creation, termination and expiration), looked at,
 * kept as sound and nothing else.
 *
 * What has come of a sample is committed piece by piece, so an upload goes on where it broke off, whoever was killed.
 * An object is made of it only when it is whole and has been found to be a voice.
 */
#include "narration/narration.h"
#include "narration/sample.h"

#include <unistd.h>

enum {
    SAMPLES_MAX = 10, /* of a user */
};
#define VERSION "1.0.0"
#define EXPIRES "now() + interval '1 day'"

/* As clients and the tus protocol see one; s is the row. */
#define COLUMNS                                                                                                        \
    "json_strip_nulls(json_build_object('sampleId', s.sample_id, 'status', s.status, 'reason', s.reason, "             \
    "'durationMs', s.duration_ms, 'length', s.length, 'received', s.received, 'createdAt', "                           \
    "to_char(s.created_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), 'audioUrl', "                      \
    "case when s.status = 'ready' then '/v1/voice-samples/' || s.sample_id || '/audio' end)) as said, s.sample_id, "   \
    "s.status, s.length, s.received, s.metadata, "                                                                     \
    "to_char(s.expires_at at time zone 'UTC', 'Dy, DD Mon YYYY HH24:MI:SS \"GMT\"') as expires"

static int check_version(struct st_call *call)
{
    const char *version = st_param(call, "Tus-Resumable");
    return version && !st_streq(version, VERSION)
               ? st_fail(call, ST_E_PRECONDITION, "Tus-Resumable must be " VERSION ".")
               : 0;
}

/* ret may be NULL. */
static int find(struct st_call *call, json_t **ret)
{
    json_t *row;
    int r = check_version(call);
    if (r == 0)
        r = st_row(call, ret ? ret : &row,
                   "select " COLUMNS " from voice_samples s where s.sample_id = $1 and s.user_id = $2 for update",
                   st_param(call, "sampleId"), call->user_id);
    return r == ST_E_NOT_FOUND ? st_fail(call, r, "There is no such sample, or it is not yours.") : r;
}

/* How far it is. */
static void tell(struct st_call *call, const json_t *sample)
{
    const char *expires = st_str(sample, "expires"), *metadata = st_str(sample, "metadata");
    st_header(call, "Upload-Offset", st_i64(call->arena, st_json_int(sample, "received", 0)));
    st_header(call, "Upload-Length", st_i64(call->arena, st_json_int(sample, "length", 0)));
    st_header(call, "Cache-Control", "no-store");
    if (expires)
        st_header(call, "Upload-Expires", expires);
    if (metadata)
        st_header(call, "Upload-Metadata", metadata);
}

static const char *key_of(struct st_call *call, const char *sample_id)
{
    return st_printf(call->arena, "narration/%s/sample.mp3", sample_id);
}

/* --- bringing one ------------------------------------------------------------------------------------------------ */

int narration_create_sample(struct st_call *call)
{
    const char *id = st_new_id(call->arena);
    struct st_rows *rows;
    json_t *sample;
    int64_t length = st_param_int(call, "Upload-Length");
    int r = check_version(call);
    if (r < 0)
        return r;
    if (length < 1)
        return st_fail(call, ST_E_INVALID, "Upload-Length, the size of the file in bytes, is needed.");
    if (length > ST_SAMPLE_BYTES_MAX)
        return st_fail(call, ST_E_TOO_LARGE, "A sample is at most %d bytes.", ST_SAMPLE_BYTES_MAX);
    st_exec(call, "select pg_advisory_xact_lock(hashtextextended('samples ' || $1, 0))", call->user_id);
    r = st_rows(call, &rows, "select from voice_samples where user_id = $1", call->user_id);
    if (r == 0 && st_rows_count(rows) >= SAMPLES_MAX)
        return st_fail(call, ST_E_FORBIDDEN, "You have %d samples, which is all that one may. Delete one first.",
                       SAMPLES_MAX);
    if (r == 0)
        r = st_row(call, &sample,
                   "insert into voice_samples as s (sample_id, user_id, length, metadata, expires_at) "
                   "select $1, $2, $3, $4, " EXPIRES " where not exists (select from erased_users where user_id = $2) "
                   "returning " COLUMNS,
                   id, call->user_id, st_i64(call->arena, length), st_param(call, "Upload-Metadata"));
    if (r < 0)
        return r;
    tell(call, sample);
    st_header(call, "Location", st_printf(call->arena, "/v1/voice-samples/%s", id));
    return st_reply(call, 201, json_incref(json_object_get(sample, "said")));
}

/* Bytes as PostgreSQL writes them. */
static const char *to_hex(struct st_arena *a, const char *data, size_t len)
{
    return st_printf(a, "\\x%s", st_hex(a, data, len));
}

/* A piece of what comes; a row that is locked keeps two that come at once apart. */
int narration_append_sample(struct st_call *call)
{
    const struct st_bytes *b = call->bytes;
    json_t *sample;
    int r = find(call, &sample);
    if (r < 0)
        return r;
    int64_t received = st_json_int(sample, "received", 0), length = st_json_int(sample, "length", 0);
    if (!json_object_get(call->params, "Upload-Offset"))
        return st_fail(call, ST_E_INVALID, "Upload-Offset, where these bytes begin, is needed.");
    if (st_param_int(call, "Upload-Offset") + (int64_t)b->at != received)
        return st_fail(call, ST_E_CONFLICT, "There are %lld bytes of it here. Go on behind them.", (long long)received);
    if ((int64_t)b->len > length - received || b->announced - (int64_t)b->at > length - received)
        return st_fail(call, ST_E_TOO_LARGE, "That is more than its %lld bytes.", (long long)length);
    if (b->len) {
        const char *id = st_str(sample, "sample_id");
        bool whole = received + (int64_t)b->len == length;
        st_exec(call, "insert into voice_sample_pieces values ($1, $2, $3)", id, st_i64(call->arena, received),
                to_hex(call->arena, b->data, b->len));
        r = st_row(call, &sample,
                   "update voice_samples s set received = received + $2, expires_at = case when not $3 then " EXPIRES
                   " end, status = case when $3 then 'checking' else status end where s.sample_id = $1 "
                   "returning " COLUMNS,
                   id, st_i64(call->arena, (int64_t)b->len), whole ? "true" : "false");
        if (r < 0)
            return r;
        if (whole)
            st_enqueue(call, "check_sample", id, 0, json_pack("{s:s}", "sampleId", id));
    }
    tell(call, sample);
    return st_reply(call, 204, NULL);
}

/* --- looking at them --------------------------------------------------------------------------------------------- */

int narration_get_sample(struct st_call *call)
{
    json_t *sample;
    int r = find(call, &sample);
    if (r < 0)
        return r;
    tell(call, sample);
    return st_reply(call, 200, json_incref(json_object_get(sample, "said")));
}

int narration_list_samples(struct st_call *call)
{
    json_t *rows, *one, *items = st_json_keep(call->arena, json_array());
    size_t i;
    int r = st_list(call, &rows, "select " COLUMNS " from voice_samples s where s.user_id = $1 order by s.sample_id",
                    call->user_id);
    json_array_foreach (r < 0 ? NULL : rows, i, one)
        json_array_append(items, json_object_get(one, "said"));
    return r < 0 ? r : st_reply(call, 200, json_pack("{s:O}", "items", items));
}

int narration_get_sample_audio(struct st_call *call)
{
    json_t *sample;
    int r = find(call, &sample);
    if (r < 0)
        return r;
    if (!st_streq(st_str(sample, "status"), "ready"))
        return st_fail(call, ST_E_NOT_FOUND, "There is no sound of it.");
    return st_reply_object(call, "audio/mpeg", key_of(call, st_str(sample, "sample_id")));
}

/* --- and away ---------------------------------------------------------------------------------------------------- */

void narration_remove_sample(struct st_call *call, const char *sample_id)
{
    st_cancel(call, "check_sample", sample_id);
    st_exec(call, "delete from voice_samples where sample_id = $1", sample_id);
    st_enqueue(call, "remove_files", sample_id, 0, json_pack("{s:s}", "narrationId", sample_id));
}

int narration_delete_sample(struct st_call *call)
{
    int r = find(call, NULL);
    if (r < 0 || (r = narration_withdraw_sample(call, st_param(call, "sampleId"))) < 0)
        return r;
    narration_remove_sample(call, st_param(call, "sampleId"));
    return st_reply(call, 204, NULL);
}

int narration_expire_samples(struct st_call *call)
{
    st_exec(call, "delete from voice_samples where status = 'uploading' and expires_at < now()");
    return 0;
}

int narration_drop_samples(struct st_call *call, const char *user_id)
{
    json_t *samples, *one;
    size_t i;
    int r = st_list(call, &samples, "select sample_id from voice_samples where user_id = $1", user_id);
    json_array_foreach (r < 0 ? NULL : samples, i, one)
        narration_remove_sample(call, st_str(one, "sample_id"));
    return r;
}

/* --- the job ----------------------------------------------------------------------------------------------------- */

static int digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

static bool write_piece(FILE *f, const char *hex)
{
    size_t len = strlen(hex) / 2;
    unsigned char *bytes = malloc(len + 1);
    if (!bytes)
        abort();
    for (size_t i = 0; i < len; i++)
        bytes[i] = (unsigned char)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
    bool ok = fwrite(bytes, 1, len, f) == len;
    free(bytes);
    return ok;
}

/* What came, as one file. */
static int put_together(struct st_call *call, const char *sample_id, const char *path)
{
    struct st_rows *pieces, *piece;
    int r = st_rows(call, &pieces, "select at from voice_sample_pieces where sample_id = $1 order by at", sample_id);
    if (r < 0)
        return r;
    FILE *f = fopen(path, "we");
    bool ok = f != NULL;
    for (int i = 0; i < st_rows_count(pieces) && ok && r == 0; i++) {
        r = st_rows(call, &piece, "select bytes from voice_sample_pieces where sample_id = $1 and at = $2", sample_id,
                    st_cell(pieces, i, 0));
        if (r == 0 && st_rows_count(piece))
            ok = write_piece(f, st_cell(piece, 0, 0) + 2); /* behind \x */
    }
    if (f && fclose(f) != 0)
        ok = false;
    return r < 0 || ok ? r : st_fail_here(call, ST_E_UNAVAILABLE, "The sample cannot be written.");
}

static bool is_stopped(void *call)
{
    return st_progress(call, 0, 1) < 0;
}

static void refuse(struct st_call *call, const char *id, const char *why)
{
    st_exec(call, "update voice_samples set status = 'refused', reason = $2 where sample_id = $1", id, why);
    st_exec(call, "delete from voice_sample_pieces where sample_id = $1", id);
}

int narration_check_sample(struct st_call *call)
{
    const char *id = st_str(call->body, "sampleId"), *why = "", *folder = st_scratch(call);
    const char *from = st_printf(call->arena, "%s/brought", folder), *to = st_printf(call->arena, "%s/mp3", folder);
    json_t *sample;
    int64_t ms = 0;
    int r = st_row(call, &sample, "select user_id from voice_samples where sample_id = $1 and status = 'checking'", id);
    if (r < 0)
        return r == ST_E_NOT_FOUND ? 0 : r;
    if ((r = put_together(call, id, from)) < 0 || (r = st_commit(call)) < 0)
        return r;
    r = st_sample_convert(call->arena, from, st_printf(call->arena, "%s/raw", folder), to, is_stopped, call, &ms, &why);
    if (r == ST_E_UNPROCESSABLE) {
        refuse(call, id, why);
        return 0;
    }
    if (r < 0)
        return st_fail_here(call, r, "The sample cannot be converted now.");
    if ((r = st_object_put_file(call, key_of(call, id), to)) < 0)
        return r;
    st_exec(call, "update voice_samples set status = 'ready', duration_ms = $2 where sample_id = $1", id,
            st_i64(call->arena, ms));
    st_exec(call, "delete from voice_sample_pieces where sample_id = $1", id);
    st_emit(call, "VoiceSampleRecorded", id,
            json_pack("{s:s, s:O, s:I}", "sampleId", id, "userId", json_object_get(sample, "user_id"), "durationMs",
                      (json_int_t)ms));
    return 0;
}

int narration_check_sample_failed(struct st_call *call)
{
    refuse(call, st_str(call->body, "sampleId"), "It could not be looked at. Bring it again.");
    return 0;
}
