/* Makes one OpenAPI document of all contracts, for /openapi.json: it must say by itself what each of them said. */
#include "io/openapi_impl.h"

/* What a file says once for all its operations is written out, so that it holds in the merged document. */
static json_t *explicit_operation(const json_t *root, const json_t *operation)
{
    static const char *const inherited[] = {"security", "x-service"};
    const json_t *tags = json_object_get(root, "tags"), *tag = json_object_get(json_array_get(tags, 0), "name");
    json_t *copy = json_copy((json_t *)operation);
    if (!json_object_get(copy, "tags") && json_array_size(tags) == 1)
        json_object_set_new(copy, "tags", json_pack("[O]", tag));
    for (size_t i = 0; i < ST_COUNT(inherited); i++)
        if (!json_object_get(copy, inherited[i]) && json_object_get(root, inherited[i]))
            json_object_set(copy, inherited[i], json_object_get(root, inherited[i]));
    return copy;
}

static json_t *explicit_path(struct st_contract *c, const json_t *item, const char *at)
{
    json_t *copy = json_copy((json_t *)st_contract_deref(c, item, &at)), *operation;
    const char *member;
    void *next;
    json_object_foreach_safe (copy, next, member, operation)
        if (json_object_get(operation, "operationId"))
            json_object_set_new(copy, member, explicit_operation(c->yaml.root, operation));
    return copy;
}

json_t *st_contract_member_object(json_t *parent, const char *name)
{
    json_t *object = json_object_get(parent, name);
    if (!object)
        json_object_set_new(parent, name, object = json_object());
    return object;
}

static void merge_components(struct st_contract *c, json_t *document)
{
    const char *section, *name;
    json_t *entries, *entry, *components = st_contract_member_object(document, "components");
    json_object_foreach (json_object_get(c->yaml.root, "components"), section, entries) {
        json_t *merged = st_contract_member_object(components, section);
        json_object_foreach (entries, name, entry) {
            const json_t *before = json_object_get(merged, name);
            if (before && !json_equal(before, entry)) {
                const char *at = st_json_pointer(c->r->arena, "/components", section);
                st_contract_mistake(c, st_json_pointer(c->r->arena, at, name), "%s has another meaning in another file",
                                    name);
            }
            json_object_set(merged, name, entry);
        }
    }
}

static void merge_tags(json_t *document, const json_t *tags)
{
    size_t i, k;
    json_t *tag, *known, *all = json_object_get(document, "tags");
    if (!all)
        json_object_set_new(document, "tags", all = json_array());
    json_array_foreach ((json_t *)tags, i, tag) {
        bool found = false;
        json_array_foreach (all, k, known)
            found = found || json_equal(known, tag);
        if (!found)
            json_array_append(all, tag);
    }
}

static void merge(struct st_contract *c, json_t *document)
{
    static const char *const first[] = {"openapi", "info", "externalDocs"};
    const json_t *root = c->yaml.root;
    const char *path;
    json_t *item, *paths;
    for (size_t i = 0; i < ST_COUNT(first); i++)
        if (!json_object_get(document, first[i]) && json_object_get(root, first[i]))
            json_object_set_new(document, first[i], json_deep_copy(json_object_get(root, first[i])));
    merge_tags(document, json_object_get(root, "tags"));
    paths = st_contract_member_object(document, "paths");
    merge_components(c, document);
    json_object_foreach (json_object_get(root, "paths"), path, item)
        json_object_set_new(paths, st_contract_full_path(c, path), explicit_path(c, item, ""));
    json_object_foreach (json_object_get(root, "webhooks"), path, item)
        json_object_set(st_contract_member_object(document, "webhooks"), path, item);
}

/* The one scheme that security can name, where no file describes it. */
static void describe_bearer(json_t *document)
{
    json_t *schemes = st_contract_member_object(st_contract_member_object(document, "components"), "securitySchemes");
    if (!json_object_get(schemes, "bearer"))
        json_object_set_new(schemes, "bearer",
                            json_pack("{ss,ss,ss}", "type", "http", "scheme", "bearer", "bearerFormat", "JWT"));
}

json_t *st_contract_merge(struct st_api_reader *r, int n_contracts)
{
    json_t *document = st_json_keep(r->arena, json_object());
    for (int i = 0; !r->mistakes && i < n_contracts; i++)
        merge(r->files[i], document);
    describe_bearer(document);
    return document;
}
