/* The page of the event catalogue: plain HTML, readable without scripts. */
#include "storyctl/ctl_events.h"

enum { PAGE_MAX = 8 << 20, DEPTH = 8, VALUES_SHOWN = 20 };

struct page {
    struct ctl *c;
    struct st_buf out;
};

/* Text as HTML has it. */
static void text(struct page *p, const char *s)
{
    for (; *s; s++)
        switch (*s) {
        case '<': st_buf_str(&p->out, "&lt;"); break;
        case '>': st_buf_str(&p->out, "&gt;"); break;
        case '&': st_buf_str(&p->out, "&amp;"); break;
        case '"': st_buf_str(&p->out, "&quot;"); break;
        default: st_buf_char(&p->out, *s);
        }
}

static void html(struct page *p, const char *s)
{
    st_buf_str(&p->out, s);
}

static bool has_text(const json_t *list, const char *s)
{
    size_t i;
    json_t *item;
    json_array_foreach (list, i, item)
        if (st_streq(json_string_value(item), s))
            return true;
    return false;
}

/* --- a member's row --- */

static void type_of(struct page *p, const json_t *schema)
{
    const json_t *type = json_object_get(schema, "type");
    size_t i;
    json_t *one;
    if (json_is_string(type))
        text(p, json_string_value(type));
    json_array_foreach (type, i, one) {
        html(p, i ? " or " : "");
        text(p, json_string_value(one));
    }
    if (st_streq(json_string_value(type), "array")) {
        const char *items = st_json_str(json_object_get(schema, "items"), "type", NULL);
        html(p, items ? " of " : "");
        text(p, items ? items : "");
    }
}

/* What else must hold, in the schema's own words. */
static void rules_of(struct page *p, const json_t *schema)
{
    static const char *const skipped[] = {"type",  "description",          "properties", "required",
                                          "items", "additionalProperties", "$comment"};
    const char *name, *between = "";
    json_t *value;
    json_object_foreach ((json_t *)schema, name, value) {
        bool skip = false;
        for (size_t i = 0; i < ST_COUNT(skipped); i++)
            skip |= st_streq(name, skipped[i]);
        if (skip)
            continue;
        html(p, between);
        html(p, "<code>");
        text(p, name);
        html(p, "</code> ");
        text(p, json_is_string(value) ? json_string_value(value) : st_json_text(p->c->arena, value));
        between = "; ";
    }
}

static void row(struct page *p, const char *path, const json_t *schema, bool required, bool sensitive)
{
    html(p, "<tr><td><code>");
    text(p, path);
    html(p, "</code>");
    html(p, sensitive ? " <span class=\"tag secret\">sensitive</span>" : "");
    html(p, "</td><td>");
    type_of(p, schema);
    html(p, required ? "" : " <span class=\"optional\">optional</span>");
    html(p, "</td><td>");
    text(p, st_json_str(schema, "description", ""));
    html(p, json_object_get(schema, "description") ? " " : "");
    rules_of(p, schema);
    html(p, "</td></tr>\n");
}

static void rows(struct page *p, const char *path, const json_t *schema, const json_t *sensitive, int depth)
{
    const char *name;
    json_t *member;
    json_object_foreach (json_object_get(schema, "properties"), name, member) {
        const char *full = *path ? st_printf(p->c->arena, "%s.%s", path, name) : name;
        row(p, full, member, has_text(json_object_get(schema, "required"), name), !*path && has_text(sensitive, name));
        if (depth == DEPTH)
            continue;
        rows(p, full, member, sensitive, depth + 1);
        rows(p, st_printf(p->c->arena, "%s[]", full), json_object_get(member, "items"), sensitive, depth + 1);
    }
}

/* --- an event --- */

static void names(struct page *p, const json_t *list, const char *none)
{
    size_t i;
    json_t *name;
    json_array_foreach (list, i, name) {
        html(p, i ? ", " : "");
        text(p, json_string_value(name));
    }
    html(p, json_array_size(list) ? "" : none);
}

static void event(struct page *p, const json_t *schema, const json_t *consumers)
{
    const char *key = st_json_str(schema, "x-key", ""), *type = st_json_str(schema, "title", "");
    html(p, "<article id=\"");
    text(p, key);
    html(p, "\">\n<h3><a href=\"#");
    text(p, key);
    html(p, "\">");
    text(p, type);
    html(p, "</a> <span class=\"tag\">");
    text(p, st_json_str(schema, "x-version", ""));
    html(p, "</span> <span class=\"tag\">");
    text(p, st_json_str(schema, "x-retention", "operational"));
    html(p, "</span></h3>\n<p>");
    text(p, st_json_str(schema, "description", ""));
    html(p, "</p>\n<dl><div><dt>Topic</dt><dd><code>");
    text(p, st_json_str(schema, "x-topic", ""));
    html(p, "</code></dd></div><div><dt>Happens to</dt><dd>");
    text(p, st_json_str(schema, "x-aggregate", ""));
    html(p, "</dd></div><div><dt>Consumed by</dt><dd>");
    names(p, json_object_get(consumers, type), "nobody");
    html(p, "</dd></div></dl>\n<div class=\"members\"><table>\n<thead><tr><th>Member</th><th>Type</th><th>Meaning and "
            "rules</th></tr></thead>\n<tbody>\n");
    rows(p, "", schema, json_object_get(schema, "x-sensitive"), 0);
    html(p, "</tbody></table></div>\n</article>\n");
}

/* --- the page --- */

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n<title>Storytelling events</title>\n"
    "<link rel=\"icon\" href=\"data:,\">\n<link rel=\"stylesheet\" href=\"/docs/events/events.css\">\n</head>\n<body>\n"
    "<header>\n<h1>What the services tell each other</h1>\n"
    "<p>Every change is an event: written with its rows in one transaction, put on the bus by the relay, in order for "
    "each aggregate, and handled by each consumer once. Around the payload below stands the envelope: "
    "<code>eventId</code>, <code>eventType</code>, <code>aggregateId</code>, <code>aggregateType</code>, "
    "<code>timestamp</code>, <code>version</code>, and <code>metadata</code> with <code>correlationId</code>, "
    "<code>causationId</code>, <code>userId</code> and <code>traceparent</code>.</p>\n"
    "<p>For programs: <a href=\"/docs/events/asyncapi.json\">asyncapi.json</a> (AsyncAPI 3). The API over HTTPS is "
    "<a href=\"/docs/\">here</a>.</p>\n</header>\n";

/* Services in order, each once. */
static json_t *services_of(struct ctl *c, const json_t *registry)
{
    json_t *list = st_json_keep(c->arena, json_array()), *schema;
    size_t i;
    json_array_foreach (registry, i, schema)
        if (!has_text(list, st_json_str(schema, "x-service", "")))
            json_array_append(list, json_object_get(schema, "x-service"));
    return list;
}

static const char *title_of(const char *service)
{
    return st_streq(service, "*") ? "any service" : service;
}

static void index_of(struct page *p, const json_t *services, const json_t *registry)
{
    size_t i, k;
    json_t *service, *schema;
    html(p, "<nav aria-label=\"Events\">\n");
    json_array_foreach (services, i, service) {
        html(p, "<section><h2>");
        text(p, title_of(json_string_value(service)));
        html(p, "</h2><ul>\n");
        json_array_foreach (registry, k, schema) {
            if (!st_streq(st_json_str(schema, "x-service", ""), json_string_value(service)))
                continue;
            html(p, "<li><a href=\"#");
            text(p, st_json_str(schema, "x-key", ""));
            html(p, "\">");
            text(p, st_json_str(schema, "title", ""));
            html(p, "</a></li>\n");
        }
        html(p, "</ul></section>\n");
    }
    html(p, "</nav>\n");
}

void ctl_catalog_page(struct ctl *c, const json_t *registry, const json_t *consumers)
{
    struct page p = {.c = c, .out = ST_BUF(PAGE_MAX)};
    json_t *services = services_of(c, registry), *service, *schema;
    size_t i, k;
    html(&p, head);
    index_of(&p, services, registry);
    html(&p, "<main>\n");
    json_array_foreach (services, i, service) {
        html(&p, "<h2>Published by ");
        text(&p, title_of(json_string_value(service)));
        html(&p, "</h2>\n");
        json_array_foreach (registry, k, schema)
            if (st_streq(st_json_str(schema, "x-service", ""), json_string_value(service)))
                event(&p, schema, consumers);
    }
    html(&p, "</main>\n</body>\n</html>\n");
    fputs(p.out.failed ? "" : p.out.data, stdout);
    st_buf_release(&p.out);
}
