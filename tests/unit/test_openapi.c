/* OpenAPI contracts: what is read, what is refused and where, routing, parameters, bodies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "io/openapi.h"

#include <unistd.h>

static const char STORY[] =
    "openapi: 3.1.0\n"
    "info: {title: Stories, version: '1'}\n"
    "x-service: story\n"
    "security: [{bearer: [story:read]}]\n"
    "paths:\n"
    "  /v1/stories:\n"
    "    post:\n"
    "      operationId: createStory\n"
    "      security: [{bearer: [story:create, story:read]}]\n"
    "      x-rate-limit:\n"
    "        - {name: story.create, rate: 10/1h, burst: 3, by: user, tiers: {premium: 100/1h}}\n"
    "        - {name: address, rate: 600/1m, by: address}\n"
    "      x-timeout: 2s\n"
    "      x-body-max: 2m\n"
    "      x-idempotency: required\n"
    "      x-deprecated-since: 2026-01-31\n"
    "      x-sunset: 2027-01-31T00:00:00Z\n"
    "      requestBody:\n"
    "        required: true\n"
    "        content:\n"
    "          application/json:\n"
    "            schema: {$ref: '#/components/schemas/NewStory'}\n"
    "      responses: {'201': {description: Created}}\n"
    "    get:\n"
    "      operationId: listStories\n"
    "      parameters:\n"
    "        - {$ref: '#/components/parameters/Limit'}\n"
    "        - {name: language, in: query, schema: {type: string, minLength: 2}}\n"
    "        - {name: draft, in: query, schema: {type: boolean}}\n"
    "        - {name: score, in: query, schema: {type: number, maximum: 1}}\n"
    "      responses: {'200': {description: A page}, default: {$ref: '#/components/responses/Problem'}}\n"
    "  /v1/stories/{storyId}:\n"
    "    parameters:\n"
    "      - {name: storyId, in: path, required: true, schema: {type: string, format: uuid}}\n"
    "    get:\n"
    "      operationId: getStory\n"
    "      responses: {'200': {description: The story}}\n"
    "    patch:\n"
    "      operationId: updateStory\n"
    "      parameters:\n"
    "        - {name: If-Match, in: header, required: true, schema: {type: string, maxLength: 8}}\n"
    "      requestBody: {content: {application/json: {schema: {type: object}}}}\n"
    "      responses: {'200': {description: The story}}\n"
    "  /v1/stories/mine:\n"
    "    get:\n"
    "      operationId: myStories\n"
    "      responses: {'200': {description: A page}}\n"
    "  /v1/stories/{storyId}/parts/{part}:\n"
    "    get:\n"
    "      operationId: getPart\n"
    "      parameters:\n"
    "        - {name: storyId, in: path, required: true, schema: {type: string}}\n"
    "        - {name: part, in: path, required: true, schema: {type: integer, minimum: 1}}\n"
    "      responses: {'200': {description: The part}}\n"
    "  /.well-known/stories.json:\n"
    "    get:\n"
    "      operationId: wellKnown\n"
    "      x-service: docs\n"
    "      security: []\n"
    "      responses: {'200': {description: Public, content: {application/json: {schema: {type: object}}}}}\n"
    "components:\n"
    "  parameters:\n"
    "    Limit: {name: limit, in: query, schema: {type: integer, minimum: 1, maximum: 100, default: 20}}\n"
    "  responses:\n"
    "    Problem: {description: What went wrong}\n"
    "  schemas:\n"
    "    NewStory:\n"
    "      type: object\n"
    "      required: [title]\n"
    "      additionalProperties: false\n"
    "      properties:\n"
    "        title: {type: string, minLength: 1}\n";

static struct st_arena arena;
static char dir[] = "/tmp/st-openapi-XXXXXX";

static int setup_all(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown_all(void **state)
{
    (void)state;
    return rmdir(dir);
}

static int teardown(void **state)
{
    (void)state;
    st_arena_release(&arena);
    return 0;
}

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

/* The text with `from`, which is in it once, replaced. */
static const char *edit(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    if (!at || strstr(at + 1, from))
        fail_msg("not there once: %s", from);
    return st_printf(&arena, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static struct st_api *load_files(const char *const *files, int n)
{
    struct st_api *api = NULL;
    const char *why = "";
    if (st_api_load(&arena, files, n, &api, &why) < 0)
        fail_msg("%s", why);
    return api;
}

static struct st_api *load(const char *text)
{
    const char *path = file("story.v1.yaml", text);
    return load_files(&path, 1);
}

static const char *refusal(const char *const *files, int n)
{
    struct st_api *api = NULL;
    const char *why = NULL;
    assert_int_equal(st_api_load(&arena, files, n, &api, &why), ST_E_INVALID);
    assert_null(api);
    return why;
}

static const struct st_api_operation *operation(const struct st_api *api, const char *id)
{
    for (int i = 0; i < api->n_operations; i++)
        if (st_streq(api->operations[i].id, id))
            return &api->operations[i];
    fail_msg("no operation %s", id);
    return NULL;
}

/* Alternatives in their order, each with its schemes and permissions. */
static void test_security(void **state)
{
    (void)state;
    const char *text = edit(STORY, "[{bearer: [story:create, story:read]}]",
                            "[{bearer: [story:read], key: [story:create]}, {session: []}]");
    text = edit(text, "components:\n",
                "components:\n"
                "  securitySchemes:\n"
                "    key: {type: apiKey, in: header, name: X-Key}\n"
                "    session: {type: apiKey, in: cookie, name: __Host-s}\n");
    const struct st_api *api = load(text);
    const struct st_api_operation *op = operation(api, "createStory");
    assert_int_equal(op->n_alternatives, 2);
    assert_true(op->authenticated);
    assert_int_equal(op->alternatives[0].n_schemes, 2);
    assert_int_equal(op->alternatives[0].schemes[1]->kind, ST_SCHEME_KEY);
    assert_string_equal(op->alternatives[0].schemes[1]->param, "X-Key");
    assert_int_equal(op->alternatives[0].n_permissions, 2);
    assert_int_equal(op->alternatives[1].schemes[0]->kind, ST_SCHEME_COOKIE);
    assert_int_equal(op->alternatives[1].n_permissions, 0);
}

static void test_operations(void **state)
{
    (void)state;
    const struct st_api *api = load(STORY);
    assert_int_equal(api->n_operations, 7);
    for (int i = 0; i < api->n_operations; i++)
        assert_int_equal(api->operations[i].index, i);
    const struct st_api_operation *op = operation(api, "createStory");
    assert_int_equal(op->method, ST_POST);
    assert_string_equal(op->path, "/v1/stories");
    assert_string_equal(op->service, "story");
    assert_string_equal(op->version, "v1");
    assert_true(op->authenticated);
    assert_int_equal(op->n_alternatives, 1);
    assert_int_equal(op->alternatives[0].n_permissions, 2);
    assert_string_equal(op->alternatives[0].permissions[0], "story:create");
    assert_int_equal(op->timeout_ms, 2000);
    assert_int_equal(op->body_max, 2 << 20);
    assert_true(op->idempotency_required && op->body_required);
    assert_int_equal(op->n_bodies, 1);
    assert_string_equal(op->bodies[0].type, "application/json");
    assert_int_equal(op->body_memory, 2 << 20);
    assert_string_equal(op->deprecated_since, "2026-01-31T00:00:00Z");
    assert_string_equal(op->sunset, "2027-01-31T00:00:00Z");
    assert_int_equal(op->line, 7);
    assert_true(st_ends(op->file, "/story.v1.yaml"));

    op = operation(api, "wellKnown");
    assert_false(op->authenticated);
    assert_int_equal(op->n_alternatives, 0);
    assert_string_equal(op->service, "docs");
    assert_string_equal(op->version, "");
    assert_int_equal(op->n_bodies, 0);
    assert_int_equal(op->timeout_ms, 10000);
    assert_int_equal(op->attempts, 1);
    assert_int_equal(op->body_max, 64 << 10);

    op = operation(api, "getStory"); /* security of the file */
    assert_true(op->authenticated);
    assert_string_equal(op->alternatives[0].permissions[0], "story:read");
    assert_int_equal(op->n_params, 1); /* of the path */

    assert_int_equal(api->n_services, 2);
    assert_string_equal(api->services[0], "docs");
    assert_string_equal(api->services[1], "story");
    assert_int_equal(api->n_permissions, 2);
    assert_string_equal(api->permissions[1], "story:read");
}

static void test_limits(void **state)
{
    (void)state;
    const struct st_api_operation *op = operation(load(STORY), "createStory");
    assert_int_equal(op->n_limits, 2);
    const struct st_api_limit *l = &op->limits[0];
    assert_string_equal(l->name, "story.create");
    assert_int_equal(l->by, ST_BY_USER);
    assert_int_equal(l->n_rates, 2);
    assert_null(l->rates[0].tier);
    assert_int_equal(l->rates[0].count, 10);
    assert_true(l->rates[0].period_us == 3600 * ST_SECOND);
    assert_int_equal(l->rates[0].burst, 3);
    assert_string_equal(l->rates[1].tier, "premium");
    assert_int_equal(l->rates[1].count, 100);
    assert_int_equal(l->rates[1].burst, 100);
    assert_int_equal(op->limits[1].by, ST_BY_ADDRESS);
    assert_int_equal(op->limits[1].cost, 1);
}

/* What the limit of createStory by user can be besides. */
static void test_limits_by_other_things(void **state)
{
    (void)state;
    static const struct {
        const char *text, *of;
        int by;
        int64_t cost;
        double share;
    } cases[] = {
        {"by: user, cost: 3", NULL, ST_BY_USER, 3, 0},
        {"by: tier", NULL, ST_BY_TIER, 1, 0},
        {"by: 'header:x-tenant'", "x-tenant", ST_BY_HEADER, 1, 0},
        {"by: 'variable:binary_remote_addr'", "binary_remote_addr", ST_BY_VARIABLE, 1, 0},
        {"by: 'variable:api_session', cost: 2", "api_session", ST_BY_VARIABLE, 2, 0},
        {"by: address, share: 0.5", NULL, ST_BY_ADDRESS, 1, 0.5},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        const struct st_api_limit *l =
            &operation(load(edit(STORY, "by: user", cases[i].text)), "createStory")->limits[0];
        assert_int_equal(l->by, cases[i].by);
        assert_int_equal(l->cost, cases[i].cost);
        assert_true(l->share == cases[i].share);
        if (cases[i].of)
            assert_string_equal(l->of, cases[i].of);
        else
            assert_null(l->of);
    }
}

/* One change to the contract, and what is said of it. */
static const struct {
    const char *from, *to, *why; /* why: "line: reason" */
} refused[] = {
    {"openapi: 3.1.0", "openapi: 3.0.3", "1: openapi must be 3.1.x"},
    {"openapi: 3.1.0", "openapi: 3.1", "1: openapi must be a string"},
    {"info: {title: Stories, version: '1'}\n", "", "1: info is missing in a contract"},
    {"x-service: story", "x-servce: story", "3: x-servce is not a known member of a contract"},
    {"x-service: story\n", "", "x-service must name the service"},
    {"x-service: story", "x-service: Story Service", "x-service must name the service"},
    {"security: [{bearer: [story:read]}]\n", "", "security must be"},
    {"security: [{bearer: [story:read]}]", "security: [{bearer: [story:read]}, {bearer: []}]",
     "4: security must have alternatives of different kinds"},
    {"security: [{bearer: [story:read]}]", "security: [{}]", "4: security must be"},
    {"security: [{bearer: [story:read]}]", "security: [{apiKey: []}]",
     "4: security must name known schemes; apiKey: there is no such"},
    {"[story:create, story:read]", "[create]", "9: the permission create must have the form resource:action"},
    {"[story:create, story:read]", "['story:']", "9: the permission story: must"},
    {"[story:create, story:read]", "[Story:Create]", "9: the permission Story:Create must"},
    {"[story:create, story:read]", "[1]", "9: the permission  must"},
    {"operationId: createStory\n      security", "security", "7: operationId is missing in an operation"},
    {"operationId: createStory", "operationId: 'create story'", "7: the operationId 'create story' must"},
    {"operationId: listStories", "operationId: createStory", "7: the operationId createStory is taken at"},
    {"x-timeout: 2s", "x-timeout: 2", "13: x-timeout must be a string"},
    {"x-timeout: 2s", "x-timeout: 2 s", "13: x-timeout must be a time"},
    {"x-timeout: 2s", "x-timeout: 2h", "13: x-timeout must be a time"},
    {"x-timeout: 2s", "x-timeout: 0s", "13: x-timeout must be a time"},
    {"x-timeout: 2s", "x-tiemout: 2s", "13: x-tiemout is not a known member of an operation"},
    {"x-body-max: 2m", "x-body-max: 65g", "14: x-body-max must be"},
    {"x-body-max: 2m", "x-body-max: -1", "14: x-body-max must be"},
    {"x-body-max: 2m", "x-body-max: 99999999999999999999m", "14: x-body-max must be"},
    {"x-idempotency: required", "x-idempotency: yes", "15: x-idempotency must be: required"},
    {"x-idempotency: required", "x-retry: {attempts: 2, on: [error]}", "15: x-retry on a POST needs x-idempotency"},
    {"x-body-max: 2m", "x-retry: {attempts: 1, on: [error]}", "14: x-retry must be"},
    {"x-body-max: 2m", "x-retry: {attempts: 6, on: [error]}", "14: x-retry must be"},
    {"x-body-max: 2m", "x-retry: {attempts: 2}", "14: x-retry must be"},
    {"x-body-max: 2m", "x-retry: {attempts: 2, on: [error], wait: 1s}", "14: x-retry must be"},
    {"x-body-max: 2m", "x-retry: {attempts: 2, on: [500]}", "14: x-retry is on error, timeout"},
    {"x-body-max: 2m", "x-retry: {attempts: 2, on: [503, 503]}", "14: x-retry is on error, timeout"},
    {"x-deprecated-since: 2026-01-31", "x-deprecated-since: 2026-02-30", "16: x-deprecated-since must be a date"},
    {"rate: 10/1h", "rate: 10", "11: rate must be a rate"},
    {"rate: 10/1h", "rate: 0/1h", "11: rate must be a rate"},
    {"rate: 10/1h", "rate: 10/0h", "11: rate must be a rate"},
    {"rate: 10/1h", "rate: 10/1y", "11: rate must be a rate"},
    {"rate: 10/1h", "rate: -10/1h", "11: rate must be a rate"},
    {"rate: 10/1h", "rate: 1000001/1h", "11: rate must be a rate"},
    {"rate: 10/1h", "rate: 10/400d", "11: rate must be a rate"},
    {"burst: 3", "burst: 11", "11: burst must be"},
    {"burst: 3", "burst: 1.5", "11: burst must be"},
    {"burst: 3", "brust: 3", "11: brust is not a known member of a rate limit"},
    {"by: user", "by: everyone", "11: by must be user, address,"},
    {"by: user", "by: 'header:'", "11: by: header: wants the header's name"},
    {"by: user", "by: 'header:X-Tenant'", "11: by: header: wants the header's name in lower case"},
    {"by: user", "by: 'header:authorization'", "11: by: header:authorization would count what nobody has verified"},
    {"by: user", "by: 'header:cookie'", "11: by: header:cookie would count"},
    {"by: user", "by: 'variable:$host'", "11: by: variable: wants the name"},
    {"by: user", "by: 'variable:cookie_user'", "11: by: variable:cookie_user would count"},
    {"by: user", "by: 'variable:http_authorization'", "11: by: variable:http_authorization would count"},
    {"by: user", "by: key", "11: a limit by key on an operation that takes no API key would count nobody"},
    {"by: user", "by: [user]", "11: by must be user, address,"},
    {"by: user", "by: user, cost: 4", "11: cost 4 is more than a burst of the limit"},
    {"by: user", "by: user, cost: 0", "11: cost must be an integer of 1 or more"},
    {"by: user", "by: user, cost: lots", "11: cost must be an integer of 1 or more"},
    {"by: user", "by: user, share: 0.5", "11: share divides the budget of an address"},
    {"burst: 3, by: user", "by: address, share: 1", "11: share must be a number between 0 and 1"},
    {"burst: 3, by: user", "by: address, share: 0.01", "11: cost 1 is more than a burst of the limit, or one user's"},
    {"{premium: 100/1h}", "{premium: lots}", "11: the rate of tier premium must be"},
    {"{premium: 100/1h}", "premium", "11: tiers must be a map"},
    {"name: address,", "name: story.create,", "is there twice"},
    {"      security: []\n", "      security: []\n      x-rate-limit: [{name: x, rate: 1/1s, by: user}]\n",
     "would count nobody"},
    {"      security: []\n", "      security: []\n      x-rate-limit: [{name: x, rate: 1/1s, by: key}]\n",
     "a limit by key on an operation without security would count nobody"},
    {"      security: []\n", "      security: []\n      x-rate-limit: [{name: x, rate: 1/1s, by: tier}]\n",
     "a limit by tier on an operation without security would count nobody"},
    {"      security: []\n",
     "      security: []\n      x-rate-limit: [{name: x, rate: 1/1s, by: 'variable:api_user'}]\n",
     "a limit by variable:api_user on an operation without security would count nobody"},
    {"      security: []\n", "      x-rate-limit: [{name: address, rate: 1/1s, by: address}]\n",
     "the rate limit address is defined otherwise"},
    {"/v1/stories/mine:", "v1/stories/mine:", "a path must begin with /"},
    {"/v1/stories/mine:", "/v1//mine:", "the segment '' must be"},
    {"/v1/stories/mine:", "/v1/stories/mine/:", "the segment '' must be"},
    {"/v1/stories/mine:", "/v1/stories/../mine:", "the segment '..' must be"},
    {"/v1/stories/mine:", "/v1/stories/m%69ne:", "the segment 'm%69ne' must be"},
    {"/v1/stories/mine:", "/v1/stories/{a}.json:", "the segment '{a}.json' must be {name} as a whole"},
    {"/v1/stories/mine:", "/v1/stories/{}:", "as a whole"},
    {"/v1/stories/mine:", "/v1/stories/{mine}:", "there is no parameter for {mine}"},
    {"/v1/stories/{storyId}/parts/{part}:", "/v1/stories/{storyId}/parts/{storyId}:", "{storyId} is in the path twice"},
    {"/v1/stories/{storyId}/parts/{part}:", "/v1/stories/{storyId}/parts:", "the path has no {part}"},
    {"- {name: part, in: path, required: true,", "- {name: part, in: path,", "a path parameter needs required: true"},
    {"in: query, schema: {type: boolean}", "in: body, schema: {type: boolean}",
     "in must be path, query, header or cookie"},
    {"schema: {type: boolean}", "schema: {minLength: 1}", "the type of a parameter must be string"},
    {"schema: {type: boolean}", "schema: {type: [string, 'null']}", "the type of a parameter must be string"},
    {"schema: {type: boolean}", "schema: {type: array, items: {type: array}}", "the type of a parameter must be"},
    {"schema: {type: boolean}", "schema: {type: object, properties: {a: {type: object}}}", "the type of a parameter"},
    {"schema: {type: boolean}", "style: matrix, schema: {type: boolean}",
     "matrix is not supported: \";\" never passes"},
    {"schema: {type: boolean}", "style: simple, schema: {type: boolean}", "there is no style simple here"},
    {"schema: {type: boolean}", "style: pipeDelimited, schema: {type: boolean}", "this style is for lists"},
    {"schema: {type: boolean}", "style: pipeDelimited, explode: true, schema: {type: array}",
     "goes with explode: false"},
    {"schema: {type: boolean}", "style: deepObject, schema: {type: array}", "deepObject is for objects"},
    {"schema: {type: boolean}", "style: deepObject, explode: false, schema: {type: object}", "no explode: false"},
    {"schema: {type: boolean}", "schema: {type: object}", "an exploded object must name its properties"},
    {"schema: {type: boolean}", "schema: {type: object, properties: {score: {type: string}}}",
     "the member score of draft stands in the query beside score"},
    {"in: query, schema: {type: boolean}", "in: cookie, schema: {type: array}", "in a cookie needs explode: false"},
    {"schema: {type: boolean}", "allowEmptyValue: true, schema: {type: boolean}", "allowEmptyValue is not supported"},
    {"in: query, schema: {type: boolean}", "in: header, allowReserved: true, schema: {type: boolean}",
     "allowReserved is for parameters in query"},
    {"schema: {type: boolean}", "content: {text/plain: {schema: {}}}", "must be application/json with a schema"},
    {"schema: {type: boolean}", "content: {application/json: {}}", "must be application/json with a schema"},
    {"schema: {type: boolean}", "style: form, content: {application/json: {schema: true}}",
     "style has no meaning beside"},
    {"schema: {type: boolean}", "description: x", "schema or content is missing in a parameter"},
    {"name: draft", "name: language", "the parameter language is there twice"},
    {"name: If-Match", "name: Content-Type", "the header Content-Type is not a parameter"},
    {"default: 20", "default: 0", "the default must be at least 1"},
    {"components/parameters/Limit'", "components/parameters/Limits'", "there is no #/components/parameters/Limits"},
    {"components/parameters/Limit'", "components/schemas/NewStory'", "$ref must begin with #/components/parameters/"},
    {"components/schemas/NewStory'", "components/schemas/Story'", "there is no #/components/schemas/Story"},
    {"components/responses/Problem'", "components/responses/Trouble'", "there is no #/components/responses/Trouble"},
    {"application/json:\n", "Application/JSON:\n", "must be a media type in lower case, without parameters"},
    {"application/json:\n", "application/json; charset=utf-8:\n", "must be a media type in lower case"},
    {"application/json:\n", "application:\n", "must be a media type in lower case"},
    {"application/json:\n", "'*/json':\n", "must be a media type in lower case"},
    {"application/json:\n", "multipart/mixed:\n", "only multipart/form-data is supported"},
    {"application/json:\n", "text/plain:\n", "required has no effect on bytes"},
    {"application/json:\n", "application/json:\n            x-body-max: 17m\n", "x-body-max is at most 16m for them"},
    {"application/json:\n", "application/json:\n            encoding: {title: {}}\n", "encoding is for forms"},
    {"application/json:\n", "application/x-www-form-urlencoded:\n            encoding: {tilte: {}}\n",
     "the schema has no property tilte"},
    {"application/json:\n", "multipart/form-data:\n            encoding: {title: {style: form}}\n",
     "style has no effect on a part"},
    {"application/json:\n", "multipart/form-data:\n            encoding: {title: {contentType: 'Text'}}\n",
     "contentType must be media types in lower case"},
    {"            schema: {$ref: '#/components/schemas/NewStory'}\n", "            example: 1\n",
     "the request body needs a schema"},
    {"responses: {'201': {description: Created}}", "responses: {}", "at least one response"},
    {"      responses: {'201': {description: Created}}\n", "", "responses is missing in an operation"},
    {"'201': {description: Created}", "201: {description: Created}", "the key 201 is not a string"},
    {"'201': {description: Created}", "'2001': {description: Created}", "'2001' must be a status"},
    {"'201': {description: Created}", "'201': {}", "description is missing in a response"},
    {"content: {application/json: {schema: {type: object}}}}}",
     "content: {application/json: {schema: {typ: object}}}}}", "typ is not a known keyword"},
    {"    get:\n      operationId: myStories", "    head:\n      operationId: myStories", "HEAD is answered as GET is"},
    {"    get:\n      operationId: myStories", "    trace: {}\n    get:\n      operationId: myStories",
     "TRACE shows headers"},
    {"    get:\n      operationId: myStories", "    servers: []\n    get:\n      operationId: myStories",
     "servers stand in the whole file only"},
    {"x-service: story", "servers: [{url: '/a/{b}'}]\nx-service: story", "3: url must be https://host or a path"},
    {"x-service: story", "servers: [{url: 'v1'}]\nx-service: story", "3: url must be https://host or a path"},
    {"x-service: story", "servers: [{url: '//host/v1'}]\nx-service: story", "3: url must be https://host or a path"},
    {"x-service: story", "servers: [{url: /a}, {url: /b}]\nx-service: story", "3: all servers must have the same path"},
    {"x-service: story", "servers: [{url: /a, variables: {}}]\nx-service: story", "3: a server has no variables here"},
    {"x-service: story", "\"x\\nname\": 1\nx-service: story", "3: x?name is not a known member of a contract"},
    {"x-service: story", "tags: [a]\nx-service: story", "3: a tag must be an object"},
    {"x-service: story", "externalDocs: {}\nx-service: story", "3: url is missing in externalDocs"},
    {"operationId: myStories", "operationId: myStories\n      tags: [1]", "tags must be a list of strings"},
    {"x-service: story", "jsonSchemaDialect: x\nx-service: story", "3: schemas are of JSON Schema 2020-12"},
    {"        title: {type: string, minLength: 1}", "        title: {type: string, minLen: 1}",
     "minLen is not a known keyword"},
    {"      required: [title]\n", "      nullable: true\n", "write type: [string, 'null']"},
    {"/v1/stories/mine:", "/v1/stories:", "is there twice"},
};

static void test_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < ST_COUNT(refused); i++) {
        const char *path = file("story.v1.yaml", edit(STORY, refused[i].from, refused[i].to));
        const char *why = refusal(&path, 1), *line = strstr(why, "story.v1.yaml:");
        if (!line || !strstr(line + strlen("story.v1.yaml:"), refused[i].why))
            fail_msg("%s -> %s: %s", refused[i].from, refused[i].to, why);
    }
}

static void test_exact_place(void **state)
{
    (void)state;
    const char *path = file("story.v1.yaml", edit(STORY, "by: user,", "by: nobody,"));
    assert_string_equal(
        refusal(&path, 1),
        st_printf(&arena, "%s:11: by must be user, address, key, tier, header:<name> or variable:<name>", path));
}

static void test_all_mistakes_at_once(void **state)
{
    (void)state;
    const char *text = edit(edit(STORY, "rate: 10/1h", "rate: often"), "default: 20", "default: 500");
    const char *path = file("story.v1.yaml", text), *why = refusal(&path, 1);
    assert_non_null(strstr(why, ":11: rate must be"));
    assert_non_null(strstr(why, "\n"));
    assert_non_null(strstr(why, "the default must be at most 100"));

    struct st_buf b = ST_BUF(1 << 20);
    st_buf_str(&b, STORY);
    for (int i = 0; i < 50; i++)
        st_buf_printf(&b, "x-unknown%d: 1\n", i);
    path = file("story.v1.yaml", b.data);
    st_buf_release(&b);
    why = refusal(&path, 1);
    int lines = 1;
    for (const char *s = why; (s = strchr(s, '\n')); s++)
        lines++;
    assert_int_equal(lines, 20);
}

static const char *one_path(const char *path, const char *id)
{
    struct st_buf b = ST_BUF(1 << 16);
    st_buf_printf(
        &b,
        "openapi: 3.1.0\ninfo: {title: T, version: '1'}\nx-service: s\nsecurity: []\npaths:\n  %s:\n    get:\n"
        "      operationId: %s\n      parameters: [",
        path, id);
    for (const char *s = path; (s = strchr(s, '{')); s++)
        st_buf_printf(&b, "{name: %.*s, in: path, required: true, schema: {type: string}},", (int)strcspn(s + 1, "}"),
                      s + 1);
    st_buf_str(&b, "]\n      responses: {'200': {description: D}}\n");
    char *text = st_strndup(&arena, b.data, b.len);
    st_buf_release(&b);
    return text;
}

static void test_clashing_files(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b, *why; /* NULL: they go together */
    } cases[] = {
        {"/x/{a}", "/x/{b}", "also matches"}, {"/x/{a}/y", "/{b}/z/y", "also matches"},
        {"/x", "/x", "is also at"},           {"/x/{a}", "/x/y", NULL},
        {"/x/{a}/y", "/x/{b}/z", NULL},       {"/{a}", "/x/{a}", NULL},
        {"/{a}/{b}", "/x/y", NULL},           {"/", "/{a}", NULL},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        const char *files[] = {file("a.yaml", one_path(cases[i].a, "getA")),
                               file("b.yaml", one_path(cases[i].b, "getB"))};
        if (!cases[i].why)
            assert_int_equal(load_files(files, 2)->n_operations, 2);
        else if (!strstr(refusal(files, 2), cases[i].why))
            fail_msg("%s and %s: %s", cases[i].a, cases[i].b, refusal(files, 2));
    }
    const char *same_id[] = {file("a.yaml", one_path("/x", "get")), file("b.yaml", one_path("/y", "get"))};
    assert_non_null(strstr(refusal(same_id, 2), "b.yaml:7: the operationId get is taken at"));
}

static void test_merged_document(void **state)
{
    (void)state;
    const char *files[] = {file("story.v1.yaml", STORY), file("a.yaml", one_path("/x", "getX"))};
    const struct st_api *api = load_files(files, 2);
    const json_t *doc = api->document, *paths = json_object_get(doc, "paths");
    assert_string_equal(api->operations[0].id, "getX"); /* by file name, not by order of arguments */
    assert_string_equal(st_json_str(json_object_get(doc, "info"), "title", ""), "T");
    assert_int_equal(json_object_size(paths), 6);
    assert_non_null(st_json_at(doc, "/components/schemas/NewStory"));
    assert_string_equal(st_json_str(st_json_at(doc, "/components/securitySchemes/bearer"), "scheme", ""), "bearer");
    /* what held for a whole file is written at each operation */
    assert_string_equal(st_json_text(&arena, st_json_at(doc, "/paths/~1x/get/security")), "[]");
    assert_string_equal(st_json_text(&arena, st_json_at(doc, "/paths/~1v1~1stories~1mine/get/security")),
                        "[{\"bearer\":[\"story:read\"]}]");
    assert_string_equal(st_json_str(st_json_at(doc, "/paths/~1v1~1stories~1mine/get"), "x-service", ""), "story");

    /* and it is a contract itself */
    const char *merged = file("merged.json", st_json_text(&arena, doc));
    assert_int_equal(load_files(&merged, 1)->n_operations, api->n_operations);

    const char *components = "components: {schemas: {NewStory: {type: string}}}\n";
    files[1] = file("a.yaml", st_printf(&arena, "%s%s", one_path("/x", "getX"), components));
    assert_non_null(strstr(refusal(files, 2), "NewStory has another meaning in another file"));
    files[1] = file("a.yaml", st_printf(&arena, "%s%s", one_path("/x", "getX"),
                                        "components: {responses: {Problem: {description: What went wrong}}}\n"));
    load_files(files, 2);
}

static void test_no_operation(void **state)
{
    (void)state;
    refusal(NULL, 0);
    const char *path = "/nonexistent/x.yaml";
    assert_non_null(strstr(refusal(&path, 1), "/nonexistent/x.yaml: No such file"));
    path = file("a.yaml", "openapi: 3.1.0\ninfo: {title: T, version: '1'}\npaths: {}\n");
    assert_non_null(strstr(refusal(&path, 1), "no operation"));
    path = file("a.yaml", "[]");
    assert_non_null(strstr(refusal(&path, 1), "must be an object"));
    path = file("a.yaml", "");
    assert_non_null(strstr(refusal(&path, 1), "is empty"));
}

static struct st_api_match find(const struct st_api *api, int method, const char *path)
{
    struct st_api_match m;
    st_api_find(api, method, path, strlen(path), &m);
    return m;
}

static void test_find(void **state)
{
    (void)state;
    const struct st_api *api = load(STORY);
    static const struct {
        enum st_api_method method;
        const char *path, *id; /* NULL: none */
        unsigned allow;
    } cases[] = {
        {ST_GET, "/v1/stories", "listStories", 1 << ST_GET | 1 << ST_POST},
        {ST_POST, "/v1/stories", "createStory", 1 << ST_GET | 1 << ST_POST},
        {ST_DELETE, "/v1/stories", NULL, 1 << ST_GET | 1 << ST_POST},
        {ST_GET, "/v1/stories/mine", "myStories", 1 << ST_GET},
        {ST_PATCH, "/v1/stories/mine", NULL, 1 << ST_GET}, /* the literal wins, with all its methods */
        {ST_PATCH, "/v1/stories/x", "updateStory", 1 << ST_GET | 1 << ST_PATCH},
        {ST_GET, "/v1/stories/mine/parts/2", "getPart", 1 << ST_GET}, /* the literal leads nowhere: the template */
        {ST_GET, "/v1/stories/x/parts/y", "getPart", 1 << ST_GET},
        {ST_GET, "/.well-known/stories.json", "wellKnown", 1 << ST_GET},
        {ST_GET, "/v1/stories/", NULL, 0},
        {ST_GET, "/v1/stories/x/", NULL, 0},
        {ST_GET, "/v1/stories//parts/1", NULL, 0},
        {ST_GET, "/v1/stories/x/parts", NULL, 0},
        {ST_GET, "/v1/stories/x/parts/y/z", NULL, 0},
        {ST_GET, "/v1", NULL, 0},
        {ST_GET, "/V1/stories", NULL, 0},
        {ST_GET, "/v1/storie", NULL, 0},
        {ST_GET, "/v1/storiess", NULL, 0},
        {ST_GET, "v1/stories", NULL, 0},
        {ST_GET, "//v1/stories", NULL, 0},
        {ST_GET, "/", NULL, 0},
        {ST_GET, "", NULL, 0},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        struct st_api_match m = find(api, cases[i].method, cases[i].path);
        if (!st_streq(m.operation ? m.operation->id : NULL, cases[i].id) || m.allow != cases[i].allow)
            fail_msg("%d %s: %s %x", cases[i].method, cases[i].path, m.operation ? m.operation->id : "-", m.allow);
    }
    struct st_api_match m = find(api, ST_GET, "/v1/stories/a%20b/parts/17");
    assert_int_equal(m.params[0].len, 5);
    assert_memory_equal(m.params[0].at, "a%20b", 5);
    assert_int_equal(m.params[1].len, 2);
    assert_memory_equal(m.params[1].at, "17", 2);
    m = find(api, -1, "/v1/stories");
    assert_null(m.operation);
    assert_int_equal(m.allow, 1 << ST_GET | 1 << ST_POST);
    st_api_find(api, ST_GET, "/v1/storiesXXX", strlen("/v1/stories"), &m); /* no NUL behind it */
    assert_string_equal(m.operation->id, "listStories");
}

static void test_root_path(void **state)
{
    (void)state;
    const struct st_api *api = load(one_path("/", "getRoot"));
    assert_string_equal(find(api, ST_GET, "/").operation->id, "getRoot");
    assert_null(find(api, ST_GET, "//").operation);
    assert_null(find(api, ST_GET, "/x").operation);
}

static void test_method(void **state)
{
    (void)state;
    for (int i = 0; i < ST_METHODS; i++)
        assert_int_equal(st_api_method(st_api_method_names[i], strlen(st_api_method_names[i])), i);
    assert_int_equal(st_api_method("get", 3), -1);
    assert_int_equal(st_api_method("GETX", 3), ST_GET);
    assert_int_equal(st_api_method("GE", 2), -1);
    assert_int_equal(st_api_method("", 0), -1);
}

static const char *one_header(void *ctx, const char *name)
{
    return strcasecmp(name, "if-match") == 0 ? ctx : NULL;
}

/* The parameters as JSON, or the errors as "pointer message; …". */
static const char *params(const struct st_api *api, int method, const char *path, const char *query, const char *header)
{
    struct st_api_match m = find(api, method, path);
    struct st_schema_errors e;
    json_t *values = NULL;
    const char *text = "";
    assert_non_null(m.operation);
    int r = st_api_params(&m, query, strlen(query), one_header, (void *)header, &arena, &values, &e);
    if (!r)
        return st_json_text(&arena, values);
    assert_int_equal(r, ST_E_INVALID);
    assert_null(values);
    assert_true(e.count > 0);
    for (int i = 0; i < e.count; i++)
        text = st_printf(&arena, "%s%s%s %s", text, i ? "; " : "", e.list[i].pointer, e.list[i].message);
    return text;
}

static void test_params(void **state)
{
    (void)state;
    const struct st_api *api = load(STORY);
    static const struct {
        const char *query, *result;
    } cases[] = {
        {"", "{\"limit\":20}"},
        {"limit=5", "{\"limit\":5}"},
        {"&limit=5&&", "{\"limit\":5}"},
        {"language=a%20b+c&draft=true", "{\"limit\":20,\"language\":\"a b c\",\"draft\":true}"},
        {"%6Cimit=7", "{\"limit\":7}"},
        {"score=0.5&limit=1", "{\"limit\":1,\"score\":0.5}"},
        {"score=1&limit=1", "{\"limit\":1,\"score\":1}"},
        {"language=%C3%A9%C3%A9&limit=1", "{\"limit\":1,\"language\":\"éé\"}"},
        {"limit=0", "/query/limit must be at least 1"},
        {"limit=101", "/query/limit must be at most 100"},
        {"limit=x", "/query/limit must be an integer"},
        {"limit=", "/query/limit must be an integer"},
        {"limit", "/query/limit must be an integer"},
        {"limit=1.0", "/query/limit must be an integer"},
        {"limit=+1", "/query/limit must be an integer"}, /* + is a space */
        {"limit=0x10", "/query/limit must be an integer"},
        {"limit=99999999999999999999", "/query/limit must be an integer"},
        {"limit=1&limit=1", "/query/limit must be given only once"},
        {"draft=1", "/query/draft must be true or false"},
        {"score=nan", "/query/score must be a number"},
        {"score=1e999", "/query/score must be a number"},
        {"language=x", "/query/language must be at least 2 characters long"},
        {"language=%ff%ff", "/query/language is not percent-encoded UTF-8 text"},
        {"language=%zz", "/query/language is not percent-encoded UTF-8 text"},
        {"language=ab%00", "/query/language is not percent-encoded UTF-8 text"},
        {"%ff=1", "/query is not percent-encoded UTF-8 text"},
        {"nope=1", "/query/nope is not allowed here"},
        {"a/b=1", "/query/a~1b is not allowed here"},
        {"nope=1&limit=0", "/query/nope is not allowed here; /query/limit must be at least 1"},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        const char *result = params(api, ST_GET, "/v1/stories", cases[i].query, NULL);
        if (!st_streq(result, cases[i].result))
            fail_msg("%s: %s", cases[i].query, result);
    }
}

static void test_path_and_header_params(void **state)
{
    (void)state;
    const struct st_api *api = load(STORY);
    const char *id = "0193c7e2-1111-7abc-8def-0123456789ab", *path = st_printf(&arena, "/v1/stories/%s", id);
    assert_string_equal(params(api, ST_GET, path, "", NULL), st_printf(&arena, "{\"storyId\":\"%s\"}", id));
    assert_string_equal(params(api, ST_GET, "/v1/stories/7", "", NULL), "/path/storyId must be a UUID");
    assert_string_equal(params(api, ST_GET, "/v1/stories/a%2fb/parts/3", "", NULL), "{\"storyId\":\"a/b\",\"part\":3}");
    assert_string_equal(params(api, ST_GET, "/v1/stories/a+b/parts/3", "", NULL), "{\"storyId\":\"a+b\",\"part\":3}");
    assert_string_equal(params(api, ST_GET, "/v1/stories/%00/parts/0", "", NULL),
                        "/path/storyId is not percent-encoded UTF-8 text; /path/part must be at least 1");
    assert_non_null(strstr(params(api, ST_PATCH, path, "", "\"v1\""), "\"If-Match\":\"\\\"v1\\\"\""));
    assert_string_equal(params(api, ST_PATCH, path, "", NULL), "/header/if-match is required");
    assert_string_equal(params(api, ST_PATCH, path, "", "123456789"),
                        "/header/if-match must be at most 8 characters long");
    assert_string_equal(params(api, ST_PATCH, path, "", "\xff"), "/header/if-match is not percent-encoded UTF-8 text");
}

static void test_many_query_errors(void **state)
{
    (void)state;
    struct st_buf b = ST_BUF(1 << 20);
    for (int i = 0; i < 50000; i++)
        st_buf_printf(&b, "x%d=1&", i);
    struct st_api_match m = find(load(STORY), ST_GET, "/v1/stories");
    struct st_schema_errors e;
    json_t *values;
    assert_int_equal(st_api_params(&m, b.data, b.len, NULL, NULL, &arena, &values, &e), ST_E_INVALID);
    assert_int_equal(e.count, ST_SCHEMA_ERRORS);
    st_buf_release(&b);
}

static void test_body(void **state)
{
    (void)state;
    const struct st_api *api = load(STORY);
    const struct st_api_operation *create = operation(api, "createStory"), *update = operation(api, "updateStory"),
                                  *get = operation(api, "getStory");
    const struct {
        const struct st_api_operation *op;
        const char *type, *body;
        int result;
        const char *error; /* of the first error; NULL: none */
    } cases[] = {
        {create, "application/json", "{\"title\":\"x\"}", 0, NULL},
        {create, "Application/JSON ; charset=UTF-8", "{\"title\":\"x\"}", 0, NULL},
        {create, "application/json; charset=\"utf-8\"; x=y", "{\"title\":\"x\"}", 0, NULL},
        {create, "application/json; charset=latin1", "{\"title\":\"x\"}", ST_E_MEDIA_TYPE, NULL},
        {create, "application/json; charset=utf-80", "{\"title\":\"x\"}", ST_E_MEDIA_TYPE, NULL},
        {create, "application/jsonx", "{\"title\":\"x\"}", ST_E_MEDIA_TYPE, NULL},
        {create, "text/plain", "{\"title\":\"x\"}", ST_E_MEDIA_TYPE, NULL},
        {create, "", "{\"title\":\"x\"}", ST_E_MEDIA_TYPE, NULL},
        {create, NULL, "{\"title\":\"x\"}", ST_E_MEDIA_TYPE, NULL},
        {create, "application/json", "{\"title\":", ST_E_INVALID, " is not valid JSON"},
        {create, "application/json", "{\"title\":\"\xff\"}", ST_E_INVALID, " is not valid JSON"},
        {create, "application/json", "", ST_E_INVALID, " a request body is required"},
        {create, "application/json", "{}", ST_E_UNPROCESSABLE, "/title is required"},
        {create, "application/json", "[]", ST_E_UNPROCESSABLE, " must be an object"},
        {create, "application/json", "{\"title\":\"x\",\"role\":\"admin\"}", ST_E_UNPROCESSABLE,
         "/role is not allowed here"},
        {update, "application/json", "{}", 0, NULL},
        {update, NULL, "", 0, NULL},
        {get, NULL, "", 0, NULL},
        {get, "application/json", "{}", ST_E_INVALID, " this operation takes no request body"},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        struct st_schema_errors e;
        json_t *body = (json_t *)1;
        int r = st_api_body(cases[i].op, cases[i].type, cases[i].body, strlen(cases[i].body), &arena, &body, &e);
        assert_int_equal(r, cases[i].result);
        assert_int_equal(e.count > 0, cases[i].error != NULL);
        if (cases[i].error)
            assert_true(st_starts(st_printf(&arena, "%s %s", e.list[0].pointer, e.list[0].message), cases[i].error));
        if (!r && !*cases[i].body)
            assert_null(body);
        /* checked without being read, it gets the same verdict */
        struct st_schema_errors only;
        r = st_api_body(cases[i].op, cases[i].type, cases[i].body, strlen(cases[i].body), &arena, NULL, &only);
        assert_int_equal(r, cases[i].result);
        assert_int_equal(only.count, e.count);
        if (cases[i].error)
            assert_true(
                st_starts(st_printf(&arena, "%s %s", only.list[0].pointer, only.list[0].message), cases[i].error));
    }
}

static void test_body_size(void **state)
{
    (void)state;
    const struct st_api_operation *op = operation(load(edit(STORY, "x-body-max: 2m", "x-body-max: 14")), "createStory");
    struct st_schema_errors e;
    json_t *body;
    assert_int_equal(st_api_body(op, "application/json", "{\"title\":\"x\"} ", 14, &arena, &body, &e), 0);
    assert_int_equal(st_api_body(op, "application/json", "{\"title\":\"x\"}  ", 15, &arena, &body, &e), ST_E_TOO_LARGE);
    assert_int_equal(e.count, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_security, teardown),
        cmocka_unit_test_teardown(test_operations, teardown),
        cmocka_unit_test_teardown(test_limits, teardown),
        cmocka_unit_test_teardown(test_limits_by_other_things, teardown),
        cmocka_unit_test_teardown(test_refuses, teardown),
        cmocka_unit_test_teardown(test_exact_place, teardown),
        cmocka_unit_test_teardown(test_all_mistakes_at_once, teardown),
        cmocka_unit_test_teardown(test_clashing_files, teardown),
        cmocka_unit_test_teardown(test_merged_document, teardown),
        cmocka_unit_test_teardown(test_no_operation, teardown),
        cmocka_unit_test_teardown(test_find, teardown),
        cmocka_unit_test_teardown(test_root_path, teardown),
        cmocka_unit_test_teardown(test_method, teardown),
        cmocka_unit_test_teardown(test_params, teardown),
        cmocka_unit_test_teardown(test_path_and_header_params, teardown),
        cmocka_unit_test_teardown(test_many_query_errors, teardown),
        cmocka_unit_test_teardown(test_body, teardown),
        cmocka_unit_test_teardown(test_body_size, teardown),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
