/*
 * Hostile requests against a contract: "path?query NUL header NUL content type NUL body", as the edge meets them. What
 * comes in pieces must be judged as what comes at once.
 */
#include "io/openapi.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char CONTRACT[] =
    "openapi: 3.1.0\n"
    "info: {title: Fuzz, version: '1'}\n"
    "x-service: fuzz\n"
    "security: []\n"
    "paths:\n"
    "  /a/{id}/b/{n}:\n"
    "    post:\n"
    "      operationId: post\n"
    "      parameters:\n"
    "        - {name: id, in: path, required: true, schema: {type: string, maxLength: 9, pattern: '^[a-z]+$'}}\n"
    "        - {name: n, in: path, required: true, schema: {type: integer}}\n"
    "        - {name: q, in: query, schema: {type: number, minimum: 0, default: 1}}\n"
    "        - {name: f, in: query, schema: {type: boolean}}\n"
    "        - {name: l, in: query, explode: false, schema: {type: array, items: {type: integer}, maxItems: 3}}\n"
    "        - {name: p, in: query, style: pipeDelimited, schema: {type: array}}\n"
    "        - {name: d, in: query, style: deepObject, schema: {type: object, properties: {a: {type: number}}}}\n"
    "        - {name: o, in: query, schema: {type: object, properties: {x: {type: integer}, y: {type: string}}}}\n"
    "        - {name: j, in: query, content: {application/json: {schema: {type: object}}}}\n"
    "        - {name: c, in: cookie, schema: {type: integer}}\n"
    "        - {name: e, in: cookie, explode: false, schema: {type: object}}\n"
    "        - {name: X-H, in: header, schema: {type: string, format: date-time}}\n"
    "      requestBody:\n"
    "        content:\n"
    "          application/json: {schema: {$ref: '#/components/schemas/Body'}}\n"
    "          application/x-www-form-urlencoded:\n"
    "            encoding: {tags: {explode: false}, child: {contentType: application/json}}\n"
    "            schema: {$ref: '#/components/schemas/Body'}\n"
    "          multipart/form-data:\n"
    "            encoding: {file: {contentType: 'a/b, c/*'}}\n"
    "            schema:\n"
    "              type: object\n"
    "              required: [n]\n"
    "              properties:\n"
    "                n: {type: integer}\n"
    "                j: {type: object, properties: {a: {type: string}}}\n"
    "                file: {type: string, minLength: 1, maxLength: 30}\n"
    "                many: {type: array, maxItems: 2, items: {type: string, maxLength: 3}}\n"
    "          a/*: {schema: {type: string, minLength: 2}}\n"
    "      responses: {'200': {description: D}}\n"
    "  /a/mine:\n"
    "    get: {operationId: mine, responses: {'200': {description: D}}}\n"
    "components:\n"
    "  schemas:\n"
    "    Body:\n"
    "      type: object\n"
    "      additionalProperties: false\n"
    "      required: [title]\n"
    "      properties:\n"
    "        title: {type: string, minLength: 1, maxLength: 20, pattern: '^\\P{Cc}*$'}\n"
    "        tags: {type: array, uniqueItems: true, maxItems: 5, items: {type: string}}\n"
    "        mail: {type: string, format: email}\n"
    "        link: {type: string, format: uri}\n"
    "        child: {anyOf: [{type: 'null'}, {$ref: '#/components/schemas/Body'}]}\n"
    "        price: {type: number, multipleOf: 0.01}\n";

static const struct st_api *contract(void)
{
    static struct st_api *api;
    static struct st_arena arena;
    if (api)
        return api;
    char path[64];
    const char *file = path, *why;
    int fd = memfd_create("contract", 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (fd < 0 || write(fd, CONTRACT, sizeof(CONTRACT) - 1) < 0 || st_api_load(&arena, &file, 1, &api, &why) < 0)
        abort();
    close(fd);
    return api;
}

static const char *header_of(void *ctx, const char *name)
{
    return strcmp(name, "X-H") == 0 || strcmp(name, "cookie") == 0 ? ctx : NULL;
}

/* Cuts the next part off: up to `end`, which is dropped. */
static const char *part(const char **s, const char *limit, char end, size_t *ret_len)
{
    const char *from = *s, *to = from < limit ? memchr(from, end, (size_t)(limit - from)) : NULL;
    *ret_len = (size_t)((to ? to : limit) - from);
    *s = to ? to + 1 : limit;
    return from;
}

static void check_errors(const struct st_schema_errors *e)
{
    for (int i = 0; i < e->count; i++)
        if (!st_utf8_valid(e->list[i].pointer, strlen(e->list[i].pointer)) ||
            !st_utf8_valid(e->list[i].message, strlen(e->list[i].message)))
            abort();
}

/* The verdict over a streamed body, cut into pieces of n bytes. */
static int in_pieces(struct st_arena *a, const struct st_api_body *b, const char *type, const char *data, size_t len,
                     size_t n, struct st_schema_errors *errors)
{
    struct st_api_stream *s;
    int r = st_api_stream_new(a, b, type, &s);
    for (size_t at = 0; r == 0 && at < len; at += n) {
        size_t size = len - at < n ? len - at : n;
        char *piece = malloc(size);
        if (!piece)
            abort();
        memcpy(piece, data + at, size);
        r = st_api_stream_feed(s, piece, size, errors);
        free(piece);
    }
    return r < 0 ? r : st_api_stream_end(s, errors);
}

static void check_body(struct st_arena *a, const char *type, const char *data, size_t len)
{
    const struct st_api_operation *op = &contract()->operations[0];
    struct st_schema_errors errors = {.count = 0}, other = {.count = 0};
    json_t *body = NULL;
    int r = st_api_body(op, type, data, len, a, &body, &errors);
    if (r < 0)
        check_errors(&errors);
    const struct st_api_body *b = st_api_body_of(op, type);
    if (!b || !b->streamed || !len || r == ST_E_TOO_LARGE)
        return;
    for (size_t n = 1; n < 8; n += 3)
        if (in_pieces(a, b, type, data, len, n, &other) != r || other.count != errors.count ||
            (r < 0 && r != ST_E_MEDIA_TYPE && strcmp(other.list[0].message, errors.list[0].message) != 0))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct st_arena a = {0};
    struct st_api_match m;
    struct st_schema_errors errors = {.count = 0};
    const char *s = (const char *)data, *limit = s + size;
    size_t target_len, header_len, path_len;
    const char *target = part(&s, limit, '\0', &target_len), *target_end = target + target_len;
    const char *header = part(&s, limit, '\0', &header_len);
    header = st_strndup(&a, header, header_len);
    const char *path = part(&target, target_end, '?', &path_len);
    json_t *params;
    st_api_find(contract(), ST_POST, path, path_len, &m);
    if (m.operation && (m.params[0].at < path || m.params[1].at + m.params[1].len > path + path_len))
        abort();
    if (m.operation &&
        st_api_params(&m, target, (size_t)(target_end - target), header_of, (void *)header, &a, &params, &errors) < 0 &&
        !errors.count)
        abort();
    check_errors(&errors);
    size_t type_len;
    const char *type = part(&s, limit, '\0', &type_len);
    check_body(&a, st_strndup(&a, type, type_len), s, (size_t)(limit - s));
    st_arena_release(&a);
    return 0;
}
