/* Contracts of several files: references between them, what is refused, the path of servers, the one document. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "io/openapi.h"

#include <sys/stat.h>
#include <unistd.h>

#define HEAD "openapi: 3.1.0\ninfo: {title: T, version: '1'}\nx-service: s\nsecurity: []\n"
#define OPERATION(id, schema)                                                                                          \
    "{operationId: " id ", requestBody: {content: {application/json: {schema: " schema "}}}, responses: {'200': "      \
    "{description: D}}}"

static struct st_arena arena;
static char dir[] = "/tmp/st-files-XXXXXX";

static void unlink_file(void *path)
{
    unlink(path);
}

static const char *file(const char *name, const char *text)
{
    char *path = st_printf(&arena, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    st_defer(&arena, unlink_file, path);
    return path;
}

static int setup_all(void **state)
{
    (void)state;
    return mkdtemp(dir) && mkdir(st_printf(&arena, "%s/api", dir), 0700) == 0 &&
                   mkdir(st_printf(&arena, "%s/api/more", dir), 0700) == 0
               ? 0
               : -1;
}

static int teardown_all(void **state)
{
    (void)state;
    rmdir(st_printf(&arena, "%s/api/more", dir));
    rmdir(st_printf(&arena, "%s/api", dir));
    int r = rmdir(dir);
    st_arena_release(&arena);
    return r;
}

static int teardown(void **state)
{
    (void)state;
    st_arena_release(&arena);
    return 0;
}

/* "good", or what is wrong, without the folder. */
static const char *load(const char *const *files, int n, struct st_api **ret)
{
    const char *why = NULL;
    *ret = NULL;
    if (st_api_load(&arena, files, n, ret, &why) == 0)
        return "good";
    struct st_buf b = ST_BUF(1 << 16);
    for (const char *at; (at = strstr(why, dir)); why = at + strlen(dir) + 1)
        st_buf_add(&b, why, (size_t)(at - why));
    st_buf_str(&b, why);
    why = st_strndup(&arena, b.data, b.len);
    st_buf_release(&b);
    return why;
}

static const char COMMON[] =
    "components:\n"
    "  schemas:\n"
    "    Name: {type: string, minLength: 2}\n"
    "    Person:\n"
    "      type: object\n"
    "      properties:\n"
    "        name: {$ref: '#/components/schemas/Name'}\n"
    "        example: {$ref: 'more/deep.yaml#/components/schemas/Deep'}\n"
    "      example: {$ref: 'no/reference.yaml#/x'}\n"
    "  parameters:\n"
    "    Limit: {name: limit, in: query, schema: {$ref: '#/components/schemas/Number'}}\n"
    "  pathItems:\n"
    "    Ping:\n"
    "      get: {operationId: ping, responses: {'200': {$ref: '#/components/responses/Pong'}}}\n"
    "  responses:\n"
    "    Pong: {description: Pong.}\n";
static const char DEEP[] = "components:\n"
                           "  schemas:\n"
                           "    Deep: {type: array, items: {$ref: '../common.yaml#/components/schemas/Person'}}\n";

static void test_references(void **state)
{
    (void)state;
    (void)file("api/common.yaml", COMMON);
    (void)file("api/more/deep.yaml", DEEP);
    const char *files[] = {
        file("api/a.yaml", HEAD
             "paths:\n"
             "  /a:\n"
             "    post: " OPERATION(
                 "postA",
                 "{$ref: 'common.yaml#/components/schemas/Person'}") "\n"
                                                                     "  /b:\n"
                                                                     "    post: " OPERATION(
                                                                         "postB",
                                                                         "{$ref: "
                                                                         "'common.yaml#/components/schemas/Person/"
                                                                         "properties/name'}") "\n"
                                                                                              "  /ping: {$ref: "
                                                                                              "'./common.yaml#/"
                                                                                              "components/pathItems/"
                                                                                              "Ping'}\n"),
    };
    struct st_api *api;
    assert_string_equal(load(files, 1, &api), "good");
    assert_int_equal(api->n_operations, 3);
    struct st_schema_errors e;
    json_t *body;
    static const char deep[] = "{\"name\":\"ab\",\"example\":[{\"name\":\"x\"}]}";
    assert_int_equal(st_api_body(&api->operations[0], "application/json", deep, strlen(deep), &arena, &body, &e),
                     ST_E_UNPROCESSABLE);
    assert_string_equal(e.list[0].pointer, "/example/0/name");
    assert_int_equal(st_api_body(&api->operations[1], "application/json", "\"x\"", 3, &arena, &body, &e),
                     ST_E_UNPROCESSABLE);
    assert_true(st_ends(api->operations[2].file, "/a.yaml"));

    /* one document, whose references are its own; data are left alone */
    const char *text = st_json_text(&arena, api->document);
    assert_non_null(st_json_at(api->document, "/components/schemas/Deep"));
    assert_null(strstr(text, "common.yaml"));
    assert_null(strstr(text, "deep.yaml"));
    assert_non_null(strstr(text, "no/reference.yaml#/x"));
    assert_string_equal(st_json_text(&arena, st_json_at(api->document, "/paths/~1ping/get/security")), "[]");
}

static void test_shared_by_contracts(void **state)
{
    (void)state;
    static const char path[] =
        "  /%s:\n    post: " OPERATION("op%s", "{$ref: 'common.yaml#/components/schemas/Name'}") "\n";
    const char *files[] = {
        file("api/a.yaml", st_printf(&arena, HEAD "paths:\n%s", st_printf(&arena, path, "a", "A"))),
        file("api/b.yaml", st_printf(&arena, HEAD "paths:\n%s", st_printf(&arena, path, "b", "B"))),
        file("api/common.yaml", "openapi: 3.1.0\ninfo: {title: Common, version: '1'}\n"
                                "components: {schemas: {Name: {type: string}}}\n"),
    };
    struct st_api *api;
    assert_string_equal(load(files, 3, &api), "good"); /* it may be among the contracts, or not */
    assert_string_equal(load(files, 2, &api), "good");
    assert_int_equal(json_object_size(st_json_at(api->document, "/components/schemas")), 1);
    const char *twice[] = {files[0], files[0]};
    assert_string_equal(load(twice, 2, &api), "api/a.yaml: is there twice");
}

static void test_circle(void **state)
{
    (void)state;
    const char *files[] = {
        file("api/a.yaml",
             HEAD "paths:\n"
                  "  /a:\n"
                  "    post: " OPERATION(
                      "postA", "{$ref: 'b.yaml#/components/schemas/B'}") "\n"
                                                                         "components:\n"
                                                                         "  schemas:\n"
                                                                         "    A: {type: object, properties: {b: {$ref: "
                                                                         "'b.yaml#/components/schemas/B'}}}\n"),
        file("api/b.yaml", "components:\n"
                           "  schemas:\n"
                           "    B: {type: array, items: {$ref: 'a.yaml#/components/schemas/A'}}\n"),
    };
    struct st_api *api;
    assert_string_equal(load(files, 1, &api), "good");
    (void)file("api/b.yaml", "components:\n  schemas:\n    B: {$ref: 'a.yaml#/components/schemas/A'}\n");
    (void)file(
        "api/a.yaml",
        HEAD "paths:\n"
             "  /a:\n"
             "    post: " OPERATION(
                 "postA", "{$ref: 'b.yaml#/components/schemas/B'}") "\n"
                                                                    "components:\n"
                                                                    "  schemas:\n"
                                                                    "    A: {$ref: 'b.yaml#/components/schemas/B'}\n");
    assert_non_null(strstr(load(files, 1, &api), "refers to itself"));
}

static void test_places(void **state)
{
    (void)state;
    const char *files[] = {file(
        "api/a.yaml", HEAD
        "paths:\n"
        "  /a:\n"
        "    post: " OPERATION("postA", "{$ref: 'common.yaml#/components/schemas/X'}") "\n"
                                                                                       "components:\n"
                                                                                       "  schemas:\n"
                                                                                       "    Own: {minLenght: 1}\n")};
    struct st_api *api;
    (void)file("api/common.yaml", "components:\n"
                                  "  schemas:\n"
                                  "    Unused: {broken: 1}\n"
                                  "    X:\n"
                                  "      type: object\n"
                                  "      properties:\n"
                                  "        x: {maxLenght: 1}\n"); /* the first mistake of a file's line */
    const char *why = load(files, 1, &api);
    assert_non_null(strstr(why, "api/common.yaml:7: maxLenght is not a known keyword"));
    assert_non_null(strstr(why, "api/a.yaml:10: minLenght is not a known keyword"));
    assert_null(strstr(why, "broken"));
    (void)file("api/common.yaml", "components:\n  schemas:\n    X: {$ref: '#/components/schemas/Y'}\n");
    assert_string_equal(load(files, 1, &api), "api/common.yaml:3: $ref: there is no #/components/schemas/Y");
    (void)file("api/common.yaml", "components: [\n");
    assert_true(st_starts(load(files, 1, &api), "api/a.yaml:7: $ref: api/common.yaml:2: "));
}

static void test_refused_references(void **state)
{
    (void)state;
    static const struct {
        const char *ref, *why;
    } cases[] = {
        {"nothing.yaml#/components/schemas/X", "$ref: api/nothing.yaml: No such file or directory"},
        {"common.yaml#/components/schemas/Z", "$ref: there is no common.yaml#/components/schemas/Z"},
        {"common.yaml#/components/schemas", "is not #/components/"},
        {"common.yaml#/info", "is not #/components/"},
        {"common.yaml#X", "is not #/components/"},
        {"common.yaml", "is not #/components/"},
        {"../outside.yaml#/components/schemas/X", "../outside.yaml is not within the folders of the contracts"},
        {"more/../../outside.yaml#/components/schemas/X", "is not within the folders"},
        {"link.yaml#/components/schemas/X", "link.yaml is not within the folders"},
        {"/etc/passwd#/components/schemas/X", "another file is named by a relative path, not by /etc/passwd"},
        {"http://example.com/x.yaml#/components/schemas/X", "another file is named by a relative path"},
        {"file:common.yaml#/components/schemas/X", "another file is named by a relative path"},
        {"%2e%2e/outside.yaml#/components/schemas/X", "another file is named by a relative path"},
        {"more#/components/schemas/X", "is not a regular file"},
    };
    (void)file("outside.yaml", "components: {schemas: {X: {type: string}}}\n");
    (void)file("api/common.yaml", "components: {schemas: {X: {type: string}}}\n");
    const char *link = st_printf(&arena, "%s/api/link.yaml", dir);
    assert_int_equal(symlink("../outside.yaml", link), 0);
    st_defer(&arena, unlink_file, (void *)link);
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        struct st_api *api;
        const char *files[] = {file(
            "api/a.yaml",
            st_printf(&arena, HEAD "paths:\n  /a:\n    post: " OPERATION("postA", "{$ref: '%s'}") "\n", cases[i].ref))};
        const char *why = load(files, 1, &api);
        if (!st_starts(why, "api/a.yaml:7: ") || !strstr(why, cases[i].why))
            fail_msg("%s: %s", cases[i].ref, why);
    }
}

static void test_two_meanings(void **state)
{
    (void)state;
    (void)file("api/common.yaml", "components: {schemas: {X: {type: string}}}\n");
    (void)file("api/other.yaml", "components: {schemas: {X: {type: integer}, Y: {$ref: '#/components/schemas/X'}}}\n");
    static const char text[] =
        HEAD "paths:\n"
             "  /a:\n"
             "    post: " OPERATION("postA",
                                    "{$ref: 'common.yaml#/components/schemas/X'}") "\n"
                                                                                   "components:\n  schemas:\n    %s\n";
    struct st_api *api;
    const char *files[] = {file("api/a.yaml", st_printf(&arena, text, "X: {type: number}"))};
    assert_string_equal(load(files, 1, &api),
                        "api/a.yaml:7: $ref: there is another /components/schemas/X in api/a.yaml");
    (void)file("api/a.yaml", st_printf(&arena, text, "X: {type: string}"));
    assert_string_equal(load(files, 1, &api), "good");
    (void)file("api/a.yaml", st_printf(&arena, text, "Z: {$ref: 'other.yaml#/components/schemas/Y'}"));
    assert_true(st_starts(load(files, 1, &api), "api/other.yaml:1: $ref: there is another /components/schemas/X in "));
}

static void test_servers(void **state)
{
    (void)state;
    const char *files[] = {
        file("api/a.yaml", HEAD "servers: [{url: 'https://example.com/shop/v2/'}, {url: /shop/v2}]\n"
                                "paths:\n"
                                "  /: {get: {operationId: root, responses: {'200': {description: D}}}}\n"
                                "  /a: {get: {operationId: a, responses: {'200': {description: D}}}}\n"),
        file("api/b.json",
             "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"J\",\"version\":\"1\"},\"x-service\":\"s\","
             "\"security\":[],\"servers\":[{\"url\":\"https://example.com\"}],\"paths\":{\"/v3/b\":{\"get\":"
             "{\"operationId\":\"b\",\"responses\":{\"200\":{\"description\":\"D\"}}}}},"
             "\"webhooks\":{\"told\":{\"post\":{}}}}"),
    };
    struct st_api *api;
    assert_string_equal(load(files, 2, &api), "good");
    static const struct {
        const char *path, *id;
    } cases[] = {{"/shop/v2", "root"}, {"/shop/v2/a", "a"}, {"/a", NULL}, {"/", NULL}, {"/v3/b", "b"}};
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        struct st_api_match m;
        st_api_find(api, ST_GET, cases[i].path, strlen(cases[i].path), &m);
        assert_string_equal(m.operation ? m.operation->id : "none", cases[i].id ? cases[i].id : "none");
    }
    assert_non_null(st_json_at(api->document, "/paths/~1shop~1v2~1a/get"));
    assert_null(json_object_get(api->document, "servers"));
    assert_non_null(st_json_at(api->document, "/webhooks/told/post"));
    files[1] = file("api/b.yaml",
                    HEAD "paths:\n  /shop/v2/a: {get: {operationId: c, responses: {'200': {description: D}}}}\n");
    assert_non_null(strstr(load(files, 2, &api), "the path /shop/v2/a is also at"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_references, teardown),
        cmocka_unit_test_teardown(test_shared_by_contracts, teardown),
        cmocka_unit_test_teardown(test_circle, teardown),
        cmocka_unit_test_teardown(test_places, teardown),
        cmocka_unit_test_teardown(test_refused_references, teardown),
        cmocka_unit_test_teardown(test_two_meanings, teardown),
        cmocka_unit_test_teardown(test_servers, teardown),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
