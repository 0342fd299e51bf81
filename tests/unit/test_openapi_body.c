/* Request bodies: forms, multipart and bytes; what arrives in pieces is judged as what arrives at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "io/openapi.h"

#include <unistd.h>

static const char CONTRACT[] =
    "openapi: 3.1.0\n"
    "info: {title: T, version: '1'}\n"
    "x-service: s\n"
    "security: []\n"
    "paths:\n"
    "  /x:\n"
    "    post:\n"
    "      operationId: post\n"
    "      x-body-max: 1g\n"
    "      requestBody:\n"
    "        required: true\n"
    "        content:\n"
    "          application/merge-patch+json: {schema: {type: object, required: [a]}, x-body-max: 20}\n"
    "          application/x-www-form-urlencoded:\n"
    "            x-body-max: 1k\n"
    "            encoding:\n"
    "              tags: {explode: false}\n"
    "              deep: {style: deepObject}\n"
    "              json: {contentType: application/json}\n"
    "            schema:\n"
    "              type: object\n"
    "              required: [name]\n"
    "              additionalProperties: {type: string, maxLength: 3}\n"
    "              properties:\n"
    "                name: {type: string, minLength: 1}\n"
    "                age: {type: integer, minimum: 0}\n"
    "                ids: {type: array, maxItems: 2, items: {type: integer}}\n"
    "                tags: {type: array}\n"
    "                deep: {type: object, properties: {n: {type: number}}}\n"
    "                json: {type: object, additionalProperties: {type: integer}}\n"
    "          multipart/form-data:\n"
    "            encoding:\n"
    "              audio: {contentType: 'audio/mpeg, audio/ogg'}\n"
    "            schema:\n"
    "              type: object\n"
    "              required: [title, audio]\n"
    "              additionalProperties: false\n"
    "              properties:\n"
    "                title: {type: string, minLength: 1, maxLength: 20}\n"
    "                age: {type: integer}\n"
    "                meta: {type: object, required: [lang], additionalProperties: {type: string}}\n"
    "                audio: {type: string, minLength: 2, maxLength: 40}\n"
    "                pictures: {type: array, minItems: 2, maxItems: 3, items: {contentMediaType: image/*}}\n"
    "          audio/*: {}\n"
    "          audio/ogg: {schema: {type: string, minLength: 3, maxLength: 5}}\n"
    "      responses: {'200': {description: D}}\n";

static const struct st_api_operation *operation(void)
{
    static struct st_arena arena;
    static struct st_api *api;
    if (api)
        return &api->operations[0];
    char path[] = "/tmp/st-body-XXXXXX";
    int fd = mkstemp(path);
    const char *why = "", *file = path;
    assert_true(write(fd, CONTRACT, sizeof(CONTRACT) - 1) == (ssize_t)sizeof(CONTRACT) - 1);
    close(fd);
    if (st_api_load(&arena, &file, 1, &api, &why) < 0)
        fail_msg("%s", why);
    unlink(path);
    return &api->operations[0];
}

static void test_media_types(void **state)
{
    (void)state;
    static const struct {
        const char *content_type, *type; /* NULL: none of them */
    } cases[] = {
        {"application/merge-patch+json", "application/merge-patch+json"},
        {"Application/Merge-Patch+JSON;charset=UTF-8", "application/merge-patch+json"},
        {"application/json", NULL},
        {"application/x-www-form-urlencoded; charset=latin1", NULL},
        {"audio/ogg", "audio/ogg"},
        {"audio/mpeg; codecs=\"a;b\"", "audio/*"},
        {"audio/", NULL},
        {"audio", NULL},
        {"audio/*", NULL},
        {"video/ogg", NULL},
        {"audio/ogg;", NULL},
        {"audio/ogg; charset", NULL},
        {"audio/ogg; a=1; A=2", NULL},
        {"audio/ogg; a=\"\\\"\"", NULL},
        {"audio/ogg, audio/ogg", NULL},
        {" audio/ogg ", "audio/ogg"},
        {"multipart/form-data; boundary=x", "multipart/form-data"},
        {"", NULL},
        {NULL, NULL},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        const struct st_api_body *b = st_api_body_of(operation(), cases[i].content_type);
        if (!st_streq(b ? b->type : NULL, cases[i].type))
            fail_msg("%s is %s", cases[i].content_type, b ? b->type : "nothing");
    }
    assert_int_equal(operation()->body_memory, 1024);
    assert_true(operation()->body_max == 1 << 30);
}

/* The value as JSON, or the error's number and the first error. */
static const char *check(struct st_arena *a, const char *content_type, const char *data, size_t len)
{
    struct st_schema_errors e = {.count = 0};
    json_t *body = NULL;
    int r = st_api_body(operation(), content_type, data, len, a, &body, &e);
    if (r == 0)
        return body ? st_json_text(a, body) : "good";
    return st_printf(a, "%d %s%s%s", st_err_status(r), e.count ? e.list[0].pointer : "", e.count ? " " : "",
                     e.count ? e.list[0].message : "");
}

static void test_values(void **state)
{
    (void)state;
    static const char form[] = "application/x-www-form-urlencoded";
    static const struct {
        const char *type, *data, *result;
    } cases[] = {
        {form, "name=a+b%26&age=3", "{\"name\":\"a b&\",\"age\":3}"},
        {form, "name=a&ids=1&ids=2", "{\"name\":\"a\",\"ids\":[1,2]}"},
        {form, "name=a&tags=x,y%2C", "{\"name\":\"a\",\"tags\":[\"x\",\"y,\"]}"},
        {form, "name=a&deep[n]=0.5", "{\"name\":\"a\",\"deep\":{\"n\":0.5}}"},
        {form, "name=a&json=%7B%22x%22%3A1%7D", "{\"name\":\"a\",\"json\":{\"x\":1}}"},
        {form, "name=a&more=abc", "{\"more\":\"abc\",\"name\":\"a\"}"},
        {form, "age=3", "422 /name is required"},
        {form, "name=", "422 /name must be at least 1 character long"},
        {form, "name=a&age=x", "422 /age must be an integer"},
        {form, "name=a&ids=1&ids=2&ids=3", "422 /ids must have at most 2 items"},
        {form, "name=a&name=b", "422 /name must be given only once"},
        {form, "name=a&more=1&more=2", "422 /more must be given only once"},
        {form, "name=a&more=abcd", "422 /more must be at most 3 characters long"},
        {form, "name=a&json=%7B", "422 /json is not valid JSON"},
        {form, "name=a&json=%7B%22x%22%3A%22y%22%7D", "422 /json/x must be an integer"},
        {form, "name=%ff", "400 /name is not percent-encoded UTF-8 text"},
        {form, "%zz=1", "400  is not percent-encoded UTF-8 text"},
        {form, "name=%00", "400 /name is not percent-encoded UTF-8 text"},
        {"application/merge-patch+json", "{\"a\":1}", "{\"a\":1}"},
        {"application/merge-patch+json", "{}", "422 /a is required"},
        {"application/merge-patch+json", "{\"a\":\"xxxxxxxxxxxxx\"}", "413 "},
        {"audio/ogg", "abc", "good"},
        {"audio/ogg", "ab", "422  must have at least 3 bytes"},
        {"audio/ogg", "abcdef", "413 "},
        {"audio/mpeg", "\xff\xfb", "good"},
        {"multipart/form-data", "--x--", "415 "},
        {"multipart/form-data; boundary=\"\"", "--x--", "415 "},
        {"multipart/form-data; boundary=\"x \"", "--x--", "415 "},
        {"multipart/form-data; boundary=\"a\tb\"", "--x--", "415 "},
        {"application/json", "{}", "415 "},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        struct st_arena a = {0};
        const char *result = check(&a, cases[i].type, cases[i].data, strlen(cases[i].data));
        if (!st_starts(result, cases[i].result))
            fail_msg("%s %s: %s", cases[i].type, cases[i].data, result);
        st_arena_release(&a);
    }
}

#define B              "--b\r\n"
#define E              "--b--\r\n"
#define PART(n, v)     B "Content-Disposition: form-data; name=\"" n "\"\r\n\r\n" v "\r\n"
#define TYPED(n, t, v) B "Content-Disposition: form-data; name=\"" n "\"\r\nContent-Type: " t "\r\n\r\n" v "\r\n"
#define TITLE          PART("title", "T")
#define AUDIO          TYPED("audio", "audio/mpeg", "abc")
#define PICTURE        TYPED("pictures", "image/png", "p")

static const struct {
    const char *data, *result;
} parts[] = {
    {TITLE AUDIO E, "good"},
    {TITLE AUDIO "--b--", "good"},
    {AUDIO PART("age", "7") TITLE E, "good"},
    {TITLE TYPED("meta", "application/json; charset=utf-8", "{\"lang\":\"de\"}") AUDIO E, "good"},
    {TITLE AUDIO PICTURE PICTURE E, "good"},
    {TYPED("title", "text/plain;charset=UTF-8", "T") AUDIO E, "good"},
    {TITLE B "content-type:audio/ogg\r\ncontent-disposition:form-data;name=audio;filename=\"a\xc3\xa9.ogg\"\r\n"
             "X-More: 1\r\n\r\nabc\r\n" E,
     "good"},
    {TITLE TYPED("audio", "audio/ogg", "\r\n--a\r\n-\r\n\r\n--\r\r\n--bb") E, "400  has something behind a boundary"},
    {TITLE TYPED("audio", "audio/ogg", "\r\n--a\r\n-\r\n\r\n--\r\r\n-b") E, "good"},
    {TITLE TYPED("audio", "audio/ogg", "\r\r\n\r\n") E, "good"},
    {TITLE E, "422 /audio is required"},
    {E, "422 /title is required"},
    {TITLE TITLE AUDIO E, "422 /title must be given only once"},
    {PART("title", "") AUDIO E, "422 /title must be at least 1 character long"},
    {PART("title", "\xff") AUDIO E, "422 /title is not UTF-8 text"},
    {PART("title", "123456789012345678901") AUDIO E, "422 /title must be at most 20 characters long"},
    {PART("age", "x") TITLE AUDIO E, "422 /age must be an integer"},
    {TITLE AUDIO PART("other", "x") E, "422 /other is not allowed here"},
    {TITLE AUDIO PICTURE E, "422 /pictures must come at least 2 times"},
    {TITLE AUDIO PICTURE PICTURE PICTURE PICTURE E, "422 /pictures must come at most 3 times"},
    {TITLE AUDIO TYPED("pictures", "text/plain", "p") PICTURE E, "422 /pictures has another content type"},
    {TITLE TYPED("audio", "audio/wav", "abc") E, "422 /audio has another content type"},
    {TITLE PART("audio", "abc") E, "422 /audio has another content type"},
    {TITLE TYPED("audio", "audio/ogg", "a") E, "422 /audio must have at least 2 bytes"},
    {TITLE TYPED("audio", "audio/ogg", "12345678901234567890123456789012345678901") E,
     "422 /audio must have at most 40 bytes"},
    {TITLE TYPED("meta", "application/json", "{}") AUDIO E, "422 /meta/lang is required"},
    {TITLE TYPED("meta", "application/json", "{") AUDIO E, "422 /meta is not valid JSON"},
    {TITLE PART("meta", "{\"lang\":\"de\"}") AUDIO E, "422 /meta has another content type"},
    {TYPED("title", "text/plain;charset=latin1", "T") AUDIO E, "422 /title has another content type"},
    {TITLE AUDIO, "400  ends before its last boundary"},
    {TITLE AUDIO "--b", "400  ends before its last boundary"},
    {TITLE AUDIO "--b-", "400  ends before its last boundary"},
    {TITLE B "Content-Disposition: form-data; name=\"audio\"\r\n", "400  ends before its last boundary"},
    {"preamble\r\n" TITLE AUDIO E, "400  does not begin with its boundary"},
    {"\r\n" TITLE AUDIO E, "400  does not begin with its boundary"},
    {TITLE AUDIO E "epilogue", "400  has something behind its last boundary"},
    {TITLE AUDIO E "\r\n", "400  has something behind its last boundary"},
    {TITLE AUDIO E TITLE, "400  has something behind its last boundary"},
    {TITLE AUDIO "--b  \r\n", "400  has something behind a boundary"},
    {TITLE B "\r\nabc\r\n" E, "400  a part has no Content-Disposition"},
    {TITLE B "Content-Type: audio/ogg\r\n\r\nabc\r\n" E, "400  a part has no Content-Disposition"},
    {TITLE B
     "Content-Disposition: form-data; name=\"audio\"\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\nabc\r\n" E,
     "400 /audio a part has Content-Disposition twice"},
    {TITLE B "Content-Type: a/b\r\nContent-Type: a/c\r\n\r\nabc\r\n" E, "400  a part has Content-Type twice"},
    {TITLE B "Content-Disposition: form-data;\r\n name=\"audio\"\r\n\r\nabc\r\n" E,
     "400  a part's Content-Disposition must"},
    {TITLE B "Content-Disposition : form-data; name=\"audio\"\r\n\r\nabc\r\n" E, "400  a part has a malformed header"},
    {TITLE B "Content-Disposition: form-data; name=\"au\ndio\"\r\n\r\nabc\r\n" E, "400  a part has a malformed header"},
    {TITLE B "Content-Disposition: attachment; name=\"audio\"\r\n\r\nabc\r\n" E,
     "400  a part's Content-Disposition must"},
    {TITLE B "Content-Disposition: form-data\r\n\r\nabc\r\n" E, "400  a part's Content-Disposition must"},
    {TITLE B "Content-Disposition: form-data; name=\"a\\\"; name=\"audio\"\r\n\r\nabc\r\n" E,
     "400  a part's Content-Disp"},
    {TITLE B "Content-Disposition: form-data; name=audio; name=title\r\n\r\nabc\r\n" E, "400  a part's Content-Disp"},
    {TITLE B "Content-Disposition: form-data; name=audio; filename*=UTF-8''x\r\n\r\nabc\r\n" E,
     "400  a part's Content-D"},
    {TITLE B "Content-Transfer-Encoding: base64\r\n\r\nabc\r\n" E, "400  a part has a Content-Transfer-Encoding"},
};

static void test_multipart(void **state)
{
    (void)state;
    static const char type[] = "multipart/form-data; boundary=b";
    for (size_t i = 0; i < ST_COUNT(parts); i++) {
        struct st_arena a = {0};
        const char *result = check(&a, type, parts[i].data, strlen(parts[i].data));
        if (!st_starts(result, parts[i].result))
            fail_msg("%s\ngives %s", parts[i].data, result);
        st_arena_release(&a);
    }
}

/* Fed in two pieces, cut at `cut`; or byte by byte. */
static int in_pieces(struct st_arena *a, const char *data, size_t cut, struct st_schema_errors *e)
{
    static const char type[] = "multipart/form-data; boundary=b";
    struct st_api_stream *s;
    size_t len = strlen(data);
    int r = st_api_stream_new(a, st_api_body_of(operation(), type), type, &s);
    for (size_t at = 0, n; r == 0 && at < len; at += n) {
        n = cut == 0 ? 1 : at < cut ? cut : len - at;
        char *piece = malloc(n); /* of exactly its size, so that a sanitizer sees what is read behind it */
        assert_non_null(piece);
        memcpy(piece, data + at, n);
        r = st_api_stream_feed(s, piece, n, e);
        free(piece);
    }
    return r < 0 ? r : st_api_stream_end(s, e);
}

static void test_pieces(void **state)
{
    (void)state;
    for (size_t i = 0; i < ST_COUNT(parts); i++) {
        for (size_t cut = 0; cut < strlen(parts[i].data); cut++) {
            struct st_arena a = {0};
            struct st_schema_errors e = {.count = 0};
            int r = in_pieces(&a, parts[i].data, cut, &e);
            const char *result =
                r == 0 ? "good" : st_printf(&a, "%d %s %s", st_err_status(r), e.list[0].pointer, e.list[0].message);
            if (!st_starts(result, parts[i].result))
                fail_msg("%s\ncut at %zu gives %s", parts[i].data, cut, result);
            st_arena_release(&a);
        }
    }
}

static void test_bounds(void **state)
{
    (void)state;
    static const char type[] = "multipart/form-data; boundary=b";
    struct st_arena a = {0};
    struct st_buf b = ST_BUF(8 << 20);
    st_buf_str(&b, B "Content-Disposition: form-data; name=\"title\"; x=\"");
    for (int i = 0; i < 5000; i++)
        st_buf_char(&b, 'x');
    assert_string_equal(check(&a, type, b.data, b.len), "400  a part's headers are too large");
    st_buf_clear(&b);
    st_buf_str(&b, B "Content-Disposition: form-data; name=\"meta\"\r\nContent-Type: application/json\r\n\r\n");
    for (int i = 0; i < ST_API_VALUE_MAX + 1; i++)
        st_buf_char(&b, ' ');
    assert_string_equal(check(&a, type, b.data, b.len), "422 /meta must have at most 1048576 bytes");
    st_buf_release(&b);
    st_arena_release(&a);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_media_types), cmocka_unit_test(test_values), cmocka_unit_test(test_multipart),
        cmocka_unit_test(test_pieces),      cmocka_unit_test(test_bounds),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
