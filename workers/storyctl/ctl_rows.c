/* Verbs that are one statement: rows of one service or of all, or all of one row. */
#include "storyctl/storyctl.h"

int ctl_chosen(struct ctl *c, const char *only, const char *ret_names[CTL_SERVICES_MAX])
{
    if (!only)
        return ctl_services(c, ret_names);
    ret_names[0] = only;
    return 1;
}

static int list_of(struct ctl *c, const char *service, const struct ctl_list *list, int n, const char *const *params,
                   json_t *all)
{
    struct st_pg *pg = ctl_database(c, service);
    struct st_rows *rows;
    size_t i;
    json_t *row;
    if (!pg)
        return 1;
    if (st_pg_query(pg, c->arena, list->sql, n, params, &rows) < 0)
        return ctl_error("%s: %s", service, st_pg_error(pg));
    json_array_foreach (st_rows_json(rows, c->arena), i, row) {
        json_object_set_new(row, "service", json_string(service));
        json_array_append(all, row);
        if (!c->json)
            list->print(c, row);
    }
    return 0;
}

int ctl_list(struct ctl *c, const char *only, const struct ctl_list *list, int n_params, const char *const *params)
{
    const char *names[CTL_SERVICES_MAX];
    json_t *all = st_json_keep(c->arena, json_array());
    int n = ctl_chosen(c, only, names), code = n < 0;
    for (int i = 0; code == 0 && i < n; i++)
        code = list_of(c, names[i], list, n_params, params, all);
    if (code == 0 && c->json)
        ctl_print_json(c, json_incref(all));
    else if (code == 0 && json_array_size(all) == 0)
        puts(list->none);
    return code;
}

int ctl_show(struct ctl *c, const char *service, const char *sql, const char *id, const char *refusal)
{
    struct st_pg *pg = ctl_database(c, service);
    struct st_rows *rows;
    if (!pg)
        return 1;
    if (st_pg_query(pg, c->arena, sql, ST_PARAMS(id), &rows) < 0)
        return ctl_error("%s: %s", service, st_pg_error(pg));
    if (st_rows_count(rows) == 0)
        return ctl_error("%s has no %s", service, refusal);
    char *text = json_dumps(st_row_json(rows, 0, c->arena), c->json ? JSON_COMPACT : JSON_INDENT(2));
    puts(text);
    free(text);
    return 0;
}

int ctl_changed(struct ctl *c, const char *service, int n, const char *member, const char *sentence)
{
    ctl_ring_jobs(c, service);
    if (c->json)
        ctl_print_json(c, json_pack("{s:i}", member, n));
    else
        puts(sentence);
    return 0;
}
