/* Parameters by place, style and explode: what their text becomes, and what is told when it does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "io/openapi.h"

#include <strings.h>
#include <unistd.h>

#define OBJECT "{type: object, properties: {r: {type: integer}, name: {type: string}}"

static const struct {
    const char *param, *path, *query, *header, *cookie, *result;
} cases[] = {
    /* path */
    {"in: path, schema: {type: array, items: {type: integer}}", "/1,2,3", "", NULL, NULL, "[1,2,3]"},
    {"in: path, schema: {type: array}", "/a%2Cb,c", "", NULL, NULL, "[\"a,b\",\"c\"]"},
    {"in: path, schema: {type: array, items: {type: integer}}", "/1,x", "", NULL, NULL, "/path/p/1 must be an integer"},
    {"in: path, schema: {type: array, maxItems: 1}", "/1,2", "", NULL, NULL, "/path/p must have at most 1 item"},
    {"in: path, schema: " OBJECT "}", "/r,1,name,x", "", NULL, NULL, "{\"r\":1,\"name\":\"x\"}"},
    {"in: path, schema: " OBJECT "}", "/r,1,name", "", NULL, NULL, "/path/p must be names with values"},
    {"in: path, explode: true, schema: " OBJECT "}", "/r=1,name=x=y", "", NULL, NULL, "{\"r\":1,\"name\":\"x=y\"}"},
    {"in: path, explode: true, schema: " OBJECT "}", "/r=1,name", "", NULL, NULL, "/path/p must be names with values"},
    {"in: path, explode: true, schema: " OBJECT "}", "/r=1,r=2", "", NULL, NULL, "/path/p/r must be given only once"},
    {"in: path, explode: true, schema: " OBJECT ", additionalProperties: false}", "/s=1", "", NULL, NULL,
     "/path/p/s is not allowed here"},
    {"in: path, explode: true, schema: {type: object, additionalProperties: {type: number}}", "/s=1.5", "", NULL, NULL,
     "{\"s\":1.5}"},
    {"in: path, schema: {type: string, minLength: 2, maxLength: 3}", "/abc", "", NULL, NULL, "\"abc\""},
    {"in: path, schema: {type: string, minLength: 2, maxLength: 3}", "/a", "", NULL, NULL,
     "/path/p must be at least 2 characters long"},
    {"in: path, schema: {type: string, maxLength: 3}", "/abcd", "", NULL, NULL,
     "/path/p must be at most 3 characters long"},
    {"in: path, schema: {type: string, maxLength: 3}", "/%C3%A9%C3%A9%C3%A9", "", NULL, NULL, "\"ééé\""},
    {"in: path, schema: {type: string, maxLength: 3}", "/%ff", "", NULL, NULL,
     "/path/p is not percent-encoded UTF-8 text"},
    {"in: path, schema: {type: string, maxLength: 3, pattern: x}", "/abc", "", NULL, NULL,
     "/path/p must match the pattern x"},
    {"in: path, style: label, schema: {type: string}", "/.x", "", NULL, NULL, "\"x\""},
    {"in: path, style: label, schema: {type: string}", "/x", "", NULL, NULL, "/path/p must begin with a dot"},
    {"in: path, style: label, schema: {type: array}", "/.a,b", "", NULL, NULL, "[\"a\",\"b\"]"},
    {"in: path, style: label, explode: true, schema: {type: array}", "/.a.b", "", NULL, NULL, "[\"a\",\"b\"]"},
    {"in: path, style: label, explode: true, schema: " OBJECT "}", "/.r=1.name=x", "", NULL, NULL,
     "{\"r\":1,\"name\":\"x\"}"},
    /* query */
    {"in: query, schema: {type: array, items: {type: integer}}", "/x", "p=1&p=2", NULL, NULL, "[1,2]"},
    {"in: query, schema: {type: array, items: {type: integer}}", "/x", "p=1,2", NULL, NULL,
     "/query/p/0 must be an integer"},
    {"in: query, schema: {type: array, minItems: 3}", "/x", "p=1&p=2", NULL, NULL,
     "/query/p must have at least 3 items"},
    {"in: query, schema: {type: array}", "/x", "p=a%2Cb&p=", NULL, NULL, "[\"a,b\",\"\"]"},
    {"in: query, explode: false, schema: {type: array}", "/x", "p=a,b%2Cc,", NULL, NULL, "[\"a\",\"b,c\",\"\"]"},
    {"in: query, explode: false, schema: {type: array}", "/x", "p=a&p=b", NULL, NULL,
     "/query/p must be given only once"},
    {"in: query, style: spaceDelimited, explode: false, schema: {type: array}", "/x", "p=a%20b+c", NULL, NULL,
     "[\"a\",\"b\",\"c\"]"},
    {"in: query, style: pipeDelimited, schema: {type: array}", "/x", "p=a|b%7Cc%7cd", NULL, NULL,
     "[\"a\",\"b\",\"c\",\"d\"]"},
    {"in: query, schema: " OBJECT "}", "/x", "name=y&r=1", NULL, NULL, "{\"name\":\"y\",\"r\":1}"},
    {"in: query, schema: " OBJECT "}", "/x", "r=1&r=2", NULL, NULL, "/query/p/r must be given only once"},
    {"in: query, schema: " OBJECT "}", "/x", "r=1&s=2", NULL, NULL, "/query/s is not allowed here"},
    {"in: query, schema: " OBJECT "}", "/x", "r=x", NULL, NULL, "/query/p/r must be an integer"},
    {"in: query, required: true, schema: " OBJECT "}", "/x", "", NULL, NULL, "/query/p is required"},
    {"in: query, explode: false, schema: " OBJECT "}", "/x", "p=r,1,name,y", NULL, NULL, "{\"r\":1,\"name\":\"y\"}"},
    {"in: query, style: deepObject, schema: " OBJECT "}", "/x", "p[r]=1&p%5Bname%5D=y", NULL, NULL,
     "{\"r\":1,\"name\":\"y\"}"},
    {"in: query, style: deepObject, schema: " OBJECT ", additionalProperties: false}", "/x", "p[s]=1", NULL, NULL,
     "/query/p/s is not allowed here"},
    {"in: query, style: deepObject, schema: " OBJECT "}", "/x", "p[r][s]=1", NULL, NULL,
     "/query/p[r][s] is not allowed here"},
    {"in: query, style: deepObject, schema: " OBJECT "}", "/x", "p[]=1", NULL, NULL, "/query/p[] is not allowed here"},
    {"in: query, style: deepObject, schema: " OBJECT "}", "/x", "p=1", NULL, NULL, "/query/p is not allowed here"},
    {"in: query, style: deepObject, schema: " OBJECT "}", "/x", "p[r]=1&p[r]=2", NULL, NULL,
     "/query/p/r must be given only once"},
    {"in: query, allowReserved: true, schema: {type: string}", "/x", "p=/a?b:@!$'()*,;", NULL, NULL,
     "\"/a?b:@!$'()*,;\""},
    {"in: query, content: {application/json: {schema: {type: object, required: [a]}}}", "/x", "p=%7B%22a%22:[1]%7D",
     NULL, NULL, "{\"a\":[1]}"},
    {"in: query, content: {application/json: {schema: {type: object, required: [a]}}}", "/x", "p={}", NULL, NULL,
     "/query/p/a is required"},
    {"in: query, content: {application/json: {schema: true}}", "/x", "p={", NULL, NULL, "/query/p is not valid JSON"},
    {"in: query, schema: {type: array, default: [1]}", "/x", "", NULL, NULL, "[1]"},
    {"in: query, schema: {$ref: '#/components/schemas/Ids'}", "/x", "p=7", NULL, NULL, "[7]"},
    /* headers */
    {"in: header, schema: {type: array, items: {type: integer}}", "/x", "", "1, 2 ,3", NULL, "[1,2,3]"},
    {"in: header, schema: {type: array}", "/x", "", "a%20b", NULL, "[\"a%20b\"]"},
    {"in: header, explode: true, schema: " OBJECT "}", "/x", "", "r=1, name=y", NULL, "{\"r\":1,\"name\":\"y\"}"},
    {"in: header, schema: " OBJECT "}", "/x", "", "r, 1", NULL, "{\"r\":1}"},
    {"in: header, required: true, schema: {type: string}", "/x", "", NULL, NULL, "/header/p is required"},
    {"in: header, content: {application/json: {schema: {type: integer}}}", "/x", "", "12", NULL, "12"},
    /* cookies */
    {"in: cookie, schema: {type: integer}", "/x", "", NULL, "other=%ff; p=12; more", "12"},
    {"in: cookie, schema: {type: string}", "/x", "", NULL, "p=a%20b+c", "\"a b+c\""},
    {"in: cookie, schema: {type: integer}", "/x", "", NULL, "p=x", "/cookie/p must be an integer"},
    {"in: cookie, schema: {type: string}", "/x", "", NULL, "p=1; p=2", "/cookie/p must be given only once"},
    {"in: cookie, required: true, schema: {type: string}", "/x", "", NULL, "q=1", "/cookie/p is required"},
    {"in: cookie, explode: false, schema: {type: array}", "/x", "", NULL, "p=a,b", "[\"a\",\"b\"]"},
    {"in: cookie, explode: false, schema: " OBJECT "}", "/x", "", NULL, "p=r,1", "{\"r\":1}"},
};

static const char *texts[2]; /* of the header and of cookies */

static const char *header_of(void *ctx, const char *name)
{
    (void)ctx;
    return strcasecmp(name, "p") == 0 ? texts[0] : strcasecmp(name, "cookie") == 0 ? texts[1] : NULL;
}

static struct st_api *contract(struct st_arena *a, const char *param)
{
    char path[] = "/tmp/st-values-XXXXXX";
    int fd = mkstemp(path);
    FILE *f = fdopen(fd, "w");
    assert_non_null(f);
    bool in_path = st_starts(param, "in: path");
    fprintf(
        f,
        "openapi: 3.1.0\ninfo: {title: T, version: '1'}\nx-service: s\nsecurity: []\npaths:\n  /%s:\n    get:\n"
        "      operationId: op\n      parameters: [{name: p, %s%s}]\n      responses: {'200': {description: D}}\n"
        "components: {schemas: {Ids: {type: array, items: {$ref: '#/components/schemas/Id'}}, Id: {type: integer}}}\n",
        in_path ? "{p}" : "x", in_path ? "required: true, " : "", param);
    fclose(f);
    struct st_api *api = NULL;
    const char *why = "", *file = path;
    if (st_api_load(a, &file, 1, &api, &why) < 0)
        fail_msg("%s: %s", param, why);
    unlink(path);
    return api;
}

static void test_styles(void **state)
{
    (void)state;
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        struct st_arena a = {0};
        struct st_api_match m;
        struct st_schema_errors e;
        json_t *values = NULL;
        st_api_find(contract(&a, cases[i].param), ST_GET, cases[i].path, strlen(cases[i].path), &m);
        assert_non_null(m.operation);
        texts[0] = cases[i].header;
        texts[1] = cases[i].cookie;
        const char *result, *wanted = cases[i].result;
        int verdict = st_api_params(&m, cases[i].query, strlen(cases[i].query), header_of, NULL, &a, NULL, &e);
        int r = st_api_params(&m, cases[i].query, strlen(cases[i].query), header_of, NULL, &a, &values, &e);
        assert_int_equal(verdict, r); /* who asks for no values is told the same */
        if (r == 0)
            result = st_json_text(&a, json_object_get(values, "p"));
        else
            result = st_printf(&a, "%s %s%s", e.list[0].pointer, e.list[0].message, e.count > 1 ? " and more" : "");
        if (strncmp(result, wanted, strlen(wanted)) != 0 || (values && !st_streq(result, wanted)))
            fail_msg("%s with %s?%s gives %s", cases[i].param, cases[i].path, cases[i].query, result);
        st_arena_release(&a);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_styles),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
