/* storyctl events tail: the events on the bus, as they pass. */
#include "storyctl/storyctl.h"

#include "io/redis.h"

#include <unistd.h>

enum { PARTITIONS = 4, STREAMS_MAX = CTL_SERVICES_MAX * PARTITIONS, FOLLOW_MS = 500, LAST_MAX = 10000 };

struct tail {
    struct ctl *c;
    struct st_redis *redis;
    const char *type; /* NULL for all */
    const char *keys[STREAMS_MAX];
    char after[STREAMS_MAX][48]; /* id of the last entry printed */
    int n_keys;
};

struct entry {
    const char *timestamp;
    const json_t *event;
};

static int by_time(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->timestamp, ((const struct entry *)b)->timestamp);
}

static void print(struct tail *t, const json_t *e)
{
    if (t->c->json) {
        puts(st_json_text(t->c->arena, e));
        return;
    }
    printf("%s  %-26s %s/%s  %s\n", st_json_str(e, "timestamp", ""), st_json_str(e, "eventType", ""),
           st_json_str(e, "aggregateType", ""), st_json_str(e, "aggregateId", ""),
           st_json_str(json_object_get(e, "metadata"), "correlationId", ""));
}

/* Entries behind what was printed, of all streams in order of time; the newest `last` of them. */
static int round_of(struct tail *t, int last)
{
    struct entry *found = st_new_n(t->c->arena, struct entry, (size_t)t->n_keys * (size_t)last);
    int n = 0;
    for (int k = 0; k < t->n_keys; k++) {
        struct st_reply reply;
        bool first = t->after[k][0] == '\0';
        const char *from = first ? "-" : st_printf(t->c->arena, "(%s", t->after[k]), *count = st_i64(t->c->arena, last);
        int r =
            first ? st_redis_cmd(t->redis, t->c->arena, &reply, "XREVRANGE", t->keys[k], "+", "-", "COUNT", count, NULL)
                  : st_redis_cmd(t->redis, t->c->arena, &reply, "XRANGE", t->keys[k], from, "+", "COUNT", count, NULL);
        if (r < 0)
            return ctl_error("Redis: %s", st_redis_error(t->redis));
        for (size_t i = 0; i < reply.n_items; i++) {
            const struct st_reply *entry = &reply.items[i];
            json_t *event;
            const char *why;
            if (entry->n_items < 2 || entry->items[1].n_items < 2 ||
                st_json_parse(t->c->arena, entry->items[1].items[1].str, entry->items[1].items[1].len, ST_JSON_DEPTH,
                              &event, &why) < 0)
                continue;
            if (!t->type || st_streq(t->type, st_json_str(event, "eventType", "")))
                found[n++] = (struct entry){st_json_str(event, "timestamp", ""), event};
        }
        if (reply.n_items)
            snprintf(t->after[k], sizeof(t->after[k]), "%s", reply.items[first ? 0 : reply.n_items - 1].items[0].str);
        else if (first)
            snprintf(t->after[k], sizeof(t->after[k]), "0-0");
    }
    qsort(found, (size_t)n, sizeof(*found), by_time);
    for (int i = n > last ? n - last : 0; i < n; i++)
        print(t, found[i].event);
    fflush(stdout);
    return 0;
}

int ctl_events(struct ctl *c)
{
    const char *only = ctl_option(c, "--service"), *count = ctl_option(c, "--last"), *names[CTL_SERVICES_MAX];
    struct tail t = {.c = c, .type = ctl_option(c, "--type")};
    bool follow = ctl_flag(c, "--follow");
    int64_t last = 20;
    if (c->argc != 1 || !st_streq(c->argv[0], "tail") || (count && !st_parse_i64(count, 1, LAST_MAX, &last)))
        return ctl_usage("expected: events tail");
    int n = ctl_services(c, names);
    if (n <= 0)
        return 1;
    for (int i = 0; i < n; i++)
        for (int p = 0; p < PARTITIONS && (!only || st_streq(only, names[i])); p++)
            t.keys[t.n_keys++] = st_printf(c->arena, "st:events:%s:%d", names[i], p);
    t.redis = st_redis_new(ctl_env(c, names[0], "ST_REDIS"), 5000);
    int code = round_of(&t, (int)last);
    struct st_arena *outer = c->arena, turn = {0};
    while (code == 0 && follow) { /* each turn's memory goes with it; the keys stay in the outer arena */
        c->arena = &turn;
        st_sleep_ms(FOLLOW_MS);
        code = round_of(&t, LAST_MAX / 10);
        st_arena_reset(&turn);
        c->arena = outer;
    }
    st_arena_release(&turn);
    st_redis_free(t.redis);
    return code;
}
