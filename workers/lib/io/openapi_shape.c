/* Which members OpenAPI's objects have: whatever a contract says beyond that is refused. */
#include "io/openapi_impl.h"

enum kind { TEXT, TEXTS, FLAG, ANY, OBJECT, LIST, MAP, SCHEMA, SCHEMAS, REFUSED };

struct shape {
    const char *what;    /* "a parameter" */
    const char *section; /* a $ref to this part of the document may stand for it; NULL: none may */
    const struct member *members;
};

struct member {
    const char *name; /* NULL ends the list */
    enum kind kind;
    const struct shape *shape; /* of the object, the list's items, the map's values */
    bool required;
    const char *why; /* it is refused */
};

static const char NO_SERVERS[] = "servers stand in the whole file only; x-service says who answers";

static const struct shape external_docs = {
    "externalDocs",
    NULL,
    (const struct member[]){
        {.name = "url", .kind = TEXT, .required = true}, {.name = "description", .kind = TEXT}, {.name = NULL}},
};

static const struct shape tag = {
    "a tag",
    NULL,
    (const struct member[]){{.name = "name", .kind = TEXT, .required = true},
                            {.name = "description", .kind = TEXT},
                            {.name = "externalDocs", .kind = OBJECT, .shape = &external_docs},
                            {.name = NULL}},
};

static const struct shape contact = {
    "contact",
    NULL,
    (const struct member[]){
        {.name = "name", .kind = TEXT}, {.name = "url", .kind = TEXT}, {.name = "email", .kind = TEXT}, {.name = NULL}},
};

static const struct shape license = {
    "license",
    NULL,
    (const struct member[]){{.name = "name", .kind = TEXT, .required = true},
                            {.name = "identifier", .kind = TEXT},
                            {.name = "url", .kind = TEXT},
                            {.name = NULL}},
};

static const struct shape media = {
    "a media type",
    NULL,
    (const struct member[]){{.name = "schema", .kind = SCHEMA},
                            {.name = "encoding", .kind = ANY},
                            {.name = "example", .kind = ANY},
                            {.name = "examples", .kind = ANY},
                            {.name = NULL}},
};

static const struct shape encoding = {
    "an encoding",
    NULL,
    (const struct member[]){{.name = "contentType", .kind = TEXT},
                            {.name = "style", .kind = TEXT},
                            {.name = "explode", .kind = FLAG},
                            {.name = "allowReserved", .kind = FLAG},
                            {.name = NULL}},
};

static const struct shape request_media = {
    "a media type",
    NULL,
    (const struct member[]){{.name = "schema", .kind = SCHEMA},
                            {.name = "encoding", .kind = MAP, .shape = &encoding},
                            {.name = "example", .kind = ANY},
                            {.name = "examples", .kind = ANY},
                            {.name = "x-body-max", .kind = ANY},
                            {.name = NULL}},
};

static const struct shape header = {
    "a header",
    "#/components/headers/",
    (const struct member[]){{.name = "description", .kind = TEXT},
                            {.name = "required", .kind = FLAG},
                            {.name = "deprecated", .kind = FLAG},
                            {.name = "style", .kind = TEXT},
                            {.name = "explode", .kind = FLAG},
                            {.name = "schema", .kind = SCHEMA},
                            {.name = "content", .kind = MAP, .shape = &media},
                            {.name = "example", .kind = ANY},
                            {.name = "examples", .kind = ANY},
                            {.name = NULL}},
};

static const struct shape response = {
    "a response",
    "#/components/responses/",
    (const struct member[]){{.name = "description", .kind = TEXT, .required = true},
                            {.name = "headers", .kind = MAP, .shape = &header},
                            {.name = "content", .kind = MAP, .shape = &media},
                            {.name = "links", .kind = ANY},
                            {.name = NULL}},
};

static const struct shape request_body = {
    "a request body",
    "#/components/requestBodies/",
    (const struct member[]){{.name = "description", .kind = TEXT},
                            {.name = "required", .kind = FLAG},
                            {.name = "content", .kind = MAP, .shape = &request_media, .required = true},
                            {.name = NULL}},
};

static const struct shape parameter = {
    "a parameter",
    "#/components/parameters/",
    (const struct member[]){{.name = "name", .kind = TEXT, .required = true},
                            {.name = "in", .kind = TEXT, .required = true},
                            {.name = "description", .kind = TEXT},
                            {.name = "required", .kind = FLAG},
                            {.name = "deprecated", .kind = FLAG},
                            {.name = "style", .kind = TEXT},
                            {.name = "explode", .kind = FLAG},
                            {.name = "allowReserved", .kind = FLAG},
                            {.name = "allowEmptyValue", .kind = FLAG},
                            {.name = "schema", .kind = SCHEMA},
                            {.name = "content", .kind = MAP, .shape = &media},
                            {.name = "example", .kind = ANY},
                            {.name = "examples", .kind = ANY},
                            {.name = NULL}},
};

static const struct shape operation = {
    "an operation",
    NULL,
    (const struct member[]){{.name = "operationId", .kind = TEXT, .required = true},
                            {.name = "summary", .kind = TEXT},
                            {.name = "description", .kind = TEXT},
                            {.name = "tags", .kind = TEXTS},
                            {.name = "externalDocs", .kind = OBJECT, .shape = &external_docs},
                            {.name = "deprecated", .kind = FLAG},
                            {.name = "parameters", .kind = LIST, .shape = &parameter},
                            {.name = "requestBody", .kind = OBJECT, .shape = &request_body},
                            {.name = "responses", .kind = MAP, .shape = &response, .required = true},
                            {.name = "callbacks", .kind = ANY},
                            {.name = "servers", .kind = REFUSED, .why = NO_SERVERS},
                            {.name = "security", .kind = ANY},
                            {.name = "x-service", .kind = TEXT},
                            {.name = "x-rate-limit", .kind = ANY},
                            {.name = "x-timeout", .kind = TEXT},
                            {.name = "x-body-max", .kind = ANY},
                            {.name = "x-idempotency", .kind = TEXT},
                            {.name = "x-retry", .kind = ANY},
                            {.name = "x-deprecated-since", .kind = TEXT},
                            {.name = "x-sunset", .kind = TEXT},
                            {.name = "x-operation-of", .kind = TEXT},
                            {.name = "x-cors", .kind = ANY},
                            {.name = "x-cache", .kind = ANY},
                            {.name = "x-request-transform", .kind = ANY},
                            {.name = "x-response-transform", .kind = ANY},
                            {.name = NULL}},
};

static const struct shape path_item = {
    "a path",
    "#/components/pathItems/",
    (const struct member[]){{.name = "summary", .kind = TEXT},
                            {.name = "description", .kind = TEXT},
                            {.name = "parameters", .kind = LIST, .shape = &parameter},
                            {.name = "get", .kind = OBJECT, .shape = &operation},
                            {.name = "post", .kind = OBJECT, .shape = &operation},
                            {.name = "put", .kind = OBJECT, .shape = &operation},
                            {.name = "patch", .kind = OBJECT, .shape = &operation},
                            {.name = "delete", .kind = OBJECT, .shape = &operation},
                            {.name = "head", .kind = REFUSED, .why = "HEAD is answered as GET is, without the body"},
                            {.name = "options", .kind = REFUSED, .why = "OPTIONS is answered by the edge"},
                            {.name = "trace", .kind = REFUSED, .why = "TRACE shows headers that are not for clients"},
                            {.name = "servers", .kind = REFUSED, .why = NO_SERVERS},
                            {.name = NULL}},
};

static const struct shape components = {
    "the components",
    NULL,
    (const struct member[]){{.name = "schemas", .kind = SCHEMAS},
                            {.name = "parameters", .kind = MAP, .shape = &parameter},
                            {.name = "responses", .kind = MAP, .shape = &response},
                            {.name = "requestBodies", .kind = MAP, .shape = &request_body},
                            {.name = "headers", .kind = MAP, .shape = &header},
                            {.name = "pathItems", .kind = MAP, .shape = &path_item},
                            {.name = "securitySchemes", .kind = ANY},
                            {.name = "examples", .kind = ANY},
                            {.name = "links", .kind = ANY},
                            {.name = "callbacks", .kind = ANY},
                            {.name = NULL}},
};

static const struct shape info = {
    "info",
    NULL,
    (const struct member[]){{.name = "title", .kind = TEXT, .required = true},
                            {.name = "version", .kind = TEXT, .required = true},
                            {.name = "summary", .kind = TEXT},
                            {.name = "description", .kind = TEXT},
                            {.name = "termsOfService", .kind = TEXT},
                            {.name = "contact", .kind = OBJECT, .shape = &contact},
                            {.name = "license", .kind = OBJECT, .shape = &license},
                            {.name = NULL}},
};

static const struct shape server = {
    "a server",
    NULL,
    (const struct member[]){{.name = "url", .kind = TEXT, .required = true},
                            {.name = "description", .kind = TEXT},
                            {.name = "variables", .kind = REFUSED, .why = "a server has no variables here"},
                            {.name = NULL}},
};

static const struct shape document = {
    "a contract",
    NULL,
    (const struct member[]){{.name = "openapi", .kind = TEXT, .required = true},
                            {.name = "info", .kind = OBJECT, .shape = &info, .required = true},
                            {.name = "jsonSchemaDialect", .kind = TEXT},
                            {.name = "servers", .kind = LIST, .shape = &server},
                            {.name = "paths", .kind = MAP, .shape = &path_item},
                            {.name = "webhooks", .kind = ANY},
                            {.name = "components", .kind = OBJECT, .shape = &components},
                            {.name = "security", .kind = ANY},
                            {.name = "tags", .kind = LIST, .shape = &tag},
                            {.name = "externalDocs", .kind = OBJECT, .shape = &external_docs},
                            {.name = "x-service", .kind = TEXT},
                            {.name = NULL}},
};

static void check_object(struct st_contract *c, const json_t *json, const char *pointer, const struct shape *shape);

static void check_map(struct st_contract *c, const json_t *json, const char *pointer, const struct member *m)
{
    const char *name;
    json_t *value;
    if (!json_is_object(json))
        st_contract_mistake(c, pointer, "%s must be a map", m->name);
    json_object_foreach ((json_t *)json, name, value) {
        const char *at = st_json_pointer(c->r->arena, pointer, name);
        if (m->kind == SCHEMAS)
            (void)st_contract_compile(c, at);
        else
            check_object(c, value, at, m->shape);
    }
}

static void check_list(struct st_contract *c, const json_t *json, const char *pointer, const struct member *m)
{
    size_t i;
    json_t *value;
    if (!json_is_array(json))
        st_contract_mistake(c, pointer, "%s must be a list", m->name);
    json_array_foreach ((json_t *)json, i, value)
        check_object(c, value, st_printf(c->r->arena, "%s/%zu", pointer, i), m->shape);
}

static void check_texts(struct st_contract *c, const json_t *json, const char *pointer, const struct member *m)
{
    size_t i;
    json_t *value;
    bool texts = json_is_array(json);
    json_array_foreach ((json_t *)json, i, value)
        texts = texts && json_is_string(value);
    if (!texts)
        st_contract_mistake(c, pointer, "%s must be a list of strings", m->name);
}

static void check_member(struct st_contract *c, const json_t *json, const char *pointer, const struct member *m)
{
    switch (m->kind) {
    case TEXT:
        if (!json_is_string(json))
            st_contract_mistake(c, pointer, "%s must be a string", m->name);
        break;
    case TEXTS: check_texts(c, json, pointer, m); break;
    case FLAG:
        if (!json_is_boolean(json))
            st_contract_mistake(c, pointer, "%s must be true or false", m->name);
        break;
    case ANY: break;
    case OBJECT: check_object(c, json, pointer, m->shape); break;
    case LIST: check_list(c, json, pointer, m); break;
    case MAP:
    case SCHEMAS: check_map(c, json, pointer, m); break;
    case SCHEMA: (void)st_contract_compile(c, pointer); break;
    case REFUSED: st_contract_mistake(c, pointer, "%s", m->why); break;
    }
}

/* $ref stands alone, but for a summary and a description. */
static void check_ref(struct st_contract *c, const json_t *json, const char *pointer, const struct shape *shape)
{
    const char *ref = json_string_value(json_object_get(json, "$ref")), *name;
    json_t *value;
    json_object_foreach ((json_t *)json, name, value) {
        if (!st_streq(name, "$ref") && !st_streq(name, "summary") && !st_streq(name, "description"))
            st_contract_mistake(c, st_json_pointer(c->r->arena, pointer, name), "%.80s has no effect beside $ref",
                                name);
    }
    if (!ref || !st_starts(ref, shape->section))
        st_contract_mistake(c, pointer, "$ref must begin with %s", shape->section);
    else if (!json_is_object(st_json_at(c->yaml.root, ref + 1)))
        st_contract_mistake(c, pointer, "$ref: there is no %.200s in the document", ref);
    else if (json_object_get(st_json_at(c->yaml.root, ref + 1), "$ref"))
        st_contract_mistake(c, pointer, "$ref to another $ref: name the last one");
}

static void check_object(struct st_contract *c, const json_t *json, const char *pointer, const struct shape *shape)
{
    const char *name;
    json_t *value;
    if (!json_is_object(json)) {
        st_contract_mistake(c, pointer, "%s must be an object", shape->what);
        return;
    }
    if (shape->section && json_object_get(json, "$ref")) {
        check_ref(c, json, pointer, shape);
        return;
    }
    json_object_foreach ((json_t *)json, name, value) {
        const char *at = st_json_pointer(c->r->arena, pointer, name);
        const struct member *m = shape->members;
        while (m->name && strcmp(m->name, name) != 0)
            m++;
        if (m->name)
            check_member(c, value, at, m);
        else
            st_contract_mistake(c, at, "%.80s is not a known member of %s", name, shape->what);
    }
    for (const struct member *m = shape->members; m->name; m++)
        if (m->required && !json_object_get(json, m->name))
            st_contract_mistake(c, pointer, "%s is missing in %s", m->name, shape->what);
}

void st_contract_check_shape(struct st_contract *c)
{
    check_object(c, c->yaml.root, "", &document);
    const char *version = st_json_str(c->yaml.root, "openapi", NULL);
    if (version && !st_starts(version, "3.1."))
        st_contract_mistake(c, "/openapi", "openapi must be 3.1.x");
    static const char dialect[] = "https://json-schema.org/draft/2020-12/schema";
    static const char oas[] = "https://spec.openapis.org/oas/3.1/dialect/base";
    const char *given = st_json_str(c->yaml.root, "jsonSchemaDialect", oas);
    if (!st_streq(given, dialect) && !st_streq(given, oas))
        st_contract_mistake(c, "/jsonSchemaDialect", "schemas are of JSON Schema 2020-12, as OpenAPI 3.1 uses it");
}

const json_t *st_contract_deref(struct st_contract *c, const json_t *json, const char **pointer)
{
    const char *ref = json_string_value(json_object_get(json, "$ref"));
    if (!ref)
        return json;
    *pointer = st_strdup(c->r->arena, ref + 1);
    return st_json_at(c->yaml.root, *pointer);
}
