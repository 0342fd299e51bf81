/* storyctl status, storyctl migrate, storyctl reload. */
#include "storyctl/storyctl.h"

#include "svc/bus.h"
#include "svc/migrate.h"

int ctl_status(struct ctl *c)
{
    const char *names[CTL_SERVICES_MAX];
    if (c->argc)
        return ctl_usage("expected: status");
    int n = ctl_services(c, names), bad = 0;
    json_t *all = json_object();
    for (int i = 0; i < n; i++) {
        int status;
        json_t *health = NULL;
        if (ctl_call(c, names[i], "", "GET", "/health", NULL, &status, &health) < 0 || !health)
            health = st_json_keep(c->arena, json_pack("{s:s}", "status", "unreachable"));
        bad += !st_streq(st_json_str(health, "status", ""), "healthy");
        json_object_set(all, names[i], health);
        if (!c->json) {
            const char *dependency;
            json_t *state;
            printf("%-16s %s", names[i], st_json_str(health, "status", "?"));
            json_object_foreach (json_object_get(health, "dependencies"), dependency, state)
                printf("  %s %s", dependency, json_string_value(state));
            putchar('\n');
        }
    }
    if (c->json)
        ctl_print_json(c, all);
    else
        json_decref(all);
    return n <= 0 || bad;
}

int ctl_migrate(struct ctl *c)
{
    const char *names[CTL_SERVICES_MAX];
    int n = c->argc < CTL_SERVICES_MAX ? c->argc : CTL_SERVICES_MAX;
    memcpy(names, c->argv, (size_t)n * sizeof(*names));
    if (n == 0 && (n = ctl_services(c, names)) < 0)
        return 1;
    json_t *all = json_object();
    int code = 0;
    for (int i = 0; code == 0 && i < n; i++) {
        struct st_pg *pg = ctl_database(c, names[i]);
        int applied = 0;
        const char *why = "";
        if (!pg || st_migrate(pg, c->arena, c->sql_dir, names[i], &applied, &why) < 0)
            code = pg ? ctl_error("%s: %s", names[i], why) : 1;
        json_object_set_new(all, names[i], json_integer(applied));
        if (code == 0 && !c->json)
            printf("%-16s %d applied\n", names[i], applied);
    }
    if (c->json)
        ctl_print_json(c, all);
    else
        json_decref(all);
    return code;
}

/* By the doorbell: each daemon of the service reads its options again. */
int ctl_reload(struct ctl *c)
{
    const char *only = ctl_option(c, "--service"), *names[CTL_SERVICES_MAX];
    if (c->argc)
        return ctl_usage("expected: reload");
    int n = ctl_chosen(c, only, names);
    for (int i = 0; i < n; i++) {
        struct st_bus *bus = ctl_bus(c, names[i]);
        if (!bus)
            return 1;
        int r = bus->ops->ring(bus, c->arena, st_printf(c->arena, "config:%s", names[i]));
        const char *why = st_strdup(c->arena, bus->ops->error(bus));
        st_bus_free(bus);
        if (r < 0)
            return ctl_error("%s: the bus is away: %s", names[i], why);
    }
    if (n > 0 && c->json)
        ctl_print_json(c, json_pack("{s:i}", "rung", n));
    else if (n > 0)
        puts("their logs say what came of it");
    return n <= 0;
}
