/* The event bus on Redis Streams: a stream for each partition, the id of an entry is the stream's id. */
#include "svc/bus.h"

#include "base/base.h"

enum { ID_LEN = 44, PENDING_PAGE = 500, COMMAND_WORDS = 8 };

/* A partition has one reader at a time, so one consumer name serves all processes: what one left pending is the next
 * one's own. */
#define CONSUMER "slot"

struct bus {
    struct st_bus base;
    struct st_redis *redis;
};

/*
 * The end of a stream is asked for inside the scripts: XINFO STREAM copies the first and the last entry into its
 * answer, which need not travel.
 */
#define LUA_TAIL                                                                                                       \
    "local function tail(key) "                                                                                        \
    "if redis.call('EXISTS', key) == 0 then return '0-0' end "                                                         \
    "local info = redis.call('XINFO', 'STREAM', key) "                                                                 \
    "for i = 1, #info, 2 do if info[i] == 'last-generated-id' then return info[i + 1] end end "                        \
    "end "

static const char lua_tails[] = LUA_TAIL "local r = {} for i, key in ipairs(KEYS) do r[i] = tail(key) end return r";

/* ARGV: the end that each stream must have ("" for those that get nothing), number of entries, for each entry the
 * index of its stream, id, text, and then the channels of the doorbells. */
static const char lua_publish[] =
    LUA_TAIL "for i, key in ipairs(KEYS) do if ARGV[i] ~= '' and tail(key) ~= ARGV[i] then return 0 end end "
             "local at = #KEYS + 2 "
             "for i = 1, tonumber(ARGV[#KEYS + 1]) do "
             "redis.call('XADD', KEYS[tonumber(ARGV[at])], ARGV[at + 1], 'e', ARGV[at + 2]) at = at + 3 end "
             "for i = at, #ARGV do redis.call('PUBLISH', ARGV[i], '') end "
             "return 1";

/* Leases also when the memory is full: who reads on makes room. */
static const char lua_lease[] = "#!lua flags=allow-oom\n"
                                "local r = {} for i, key in ipairs(KEYS) do "
                                "local holder = redis.call('GET', key) "
                                "if not holder or holder == ARGV[1] then "
                                "redis.call('SET', key, ARGV[1], 'PX', ARGV[2]) r[i] = 1 else r[i] = 0 end "
                                "end return r";

static const char lua_release[] = "for i, key in ipairs(KEYS) do "
                                  "if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end end return 0";

/* KEYS: streams, then their leases. ARGV: group, holder, count. Of each stream its new entries, or 0: the lease is not
 * the caller's. Asked together, so that a reader that was slow to notice takes nothing away from its successor. */
static const char lua_poll[] =
    "local r, n = {}, #KEYS / 2 for i = 1, n do "
    "if redis.call('GET', KEYS[n + i]) ~= ARGV[2] then r[i] = 0 else "
    "local got = redis.call('XREADGROUP', 'GROUP', ARGV[1], '" CONSUMER "', 'COUNT', ARGV[3], 'STREAMS', KEYS[i], '>') "
    "r[i] = got and got[1][2] or {} end "
    "end return r";

static struct st_redis *redis_of(const struct st_bus *bus)
{
    return ((const struct bus *)bus)->redis;
}

static const char *stream_key(struct st_arena *a, const char *service, int partition)
{
    return st_printf(a, "st:events:%s:%d", service, partition);
}

static const char *lease_key(struct st_arena *a, const char *group, const struct st_bus_part *part)
{
    return st_printf(a, "st:lease:%s:%s:%d", group, part->service, part->partition);
}

static const char *id_text(struct st_arena *a, struct st_bus_id id)
{
    return st_printf(a, "%lld-%lld", (long long)id.batch, (long long)id.n);
}

static int id_parse(const char *s, struct st_bus_id *ret)
{
    char batch[ID_LEN];
    const char *dash = s ? strchr(s, '-') : NULL;
    if (!dash || dash - s >= ID_LEN)
        return ST_E_INTERNAL;
    memcpy(batch, s, (size_t)(dash - s));
    batch[dash - s] = '\0';
    struct st_bus_id id;
    if (!st_parse_i64(batch, 0, INT64_MAX, &id.batch) || !st_parse_i64(dash + 1, 0, INT64_MAX, &id.n))
        return ST_E_INTERNAL;
    *ret = id;
    return 0;
}

static bool is_error(const struct st_bus *bus, const char *prefix)
{
    return st_starts(st_redis_error(redis_of(bus)), prefix);
}

/* Words of a command under construction. */
struct words {
    const char **argv;
    size_t n, max;
};

static struct words words_new(struct st_arena *a, size_t max)
{
    return (struct words){.argv = st_new_n(a, const char *, max), .max = max};
}

static void word(struct words *w, const char *s)
{
    if (w->n == w->max)
        abort();
    w->argv[w->n++] = s;
}

static int run(struct st_bus *bus, struct st_arena *a, const struct words *w, struct st_reply *ret)
{
    return st_redis_cmdv(redis_of(bus), a, ret, (int)w->n, w->argv);
}

/* EVAL with the streams of a service as keys. */
static void eval_streams(struct words *w, struct st_arena *a, const char *script, const char *service)
{
    word(w, "EVAL");
    word(w, script);
    word(w, st_i64(a, ST_BUS_PARTITIONS));
    for (int p = 0; p < ST_BUS_PARTITIONS; p++)
        word(w, stream_key(a, service, p));
}

static int tails(struct st_bus *bus, struct st_arena *a, const char *service,
                 struct st_bus_id ret_tails[ST_BUS_PARTITIONS])
{
    struct st_bus_id ids[ST_BUS_PARTITIONS];
    struct st_reply reply;
    struct words w = words_new(a, COMMAND_WORDS + ST_BUS_PARTITIONS);
    eval_streams(&w, a, lua_tails, service);
    int r = run(bus, a, &w, &reply);
    if (r < 0)
        return r;
    if (reply.n_items != ST_BUS_PARTITIONS)
        return ST_E_INTERNAL;
    for (int p = 0; p < ST_BUS_PARTITIONS; p++)
        if ((r = id_parse(reply.items[p].str, &ids[p])) < 0)
            return r;
    memcpy(ret_tails, ids, sizeof(ids));
    return 0;
}

static int publish(struct st_bus *bus, struct st_arena *a, const char *service,
                   const struct st_bus_id expected[ST_BUS_PARTITIONS], const struct st_bus_entry *entries, size_t n,
                   const char *const *topics, size_t n_topics)
{
    bool touched[ST_BUS_PARTITIONS] = {false};
    struct words w = words_new(a, COMMAND_WORDS + 2 * ST_BUS_PARTITIONS + 3 * n + n_topics);
    eval_streams(&w, a, lua_publish, service);
    for (size_t i = 0; i < n; i++)
        touched[entries[i].partition] = true;
    for (int p = 0; p < ST_BUS_PARTITIONS; p++)
        word(&w, touched[p] ? id_text(a, expected[p]) : "");
    word(&w, st_i64(a, (int64_t)n));
    for (size_t i = 0; i < n; i++) {
        word(&w, st_i64(a, entries[i].partition + 1));
        word(&w, id_text(a, entries[i].id));
        word(&w, entries[i].text);
    }
    for (size_t i = 0; i < n_topics; i++)
        word(&w, st_printf(a, "st:bell:%s", topics[i]));
    struct st_reply reply;
    int r = run(bus, a, &w, &reply);
    if (r < 0)
        return r;
    return reply.num == 1 ? 0 : ST_E_PRECONDITION;
}

/* The value behind a name in a flat list of names and values. */
static const struct st_reply *member(const struct st_reply *list, const char *name)
{
    static const struct st_reply none = {.kind = ST_REPLY_NIL};
    for (size_t i = 0; i + 1 < list->n_items; i += 2)
        if (st_streq(list->items[i].str, name))
            return &list->items[i + 1];
    return &none;
}

/* The oldest pending entry, else the one behind the last that was delivered. */
static int group_needs(struct st_bus *bus, struct st_arena *a, const char *key, const struct st_reply *info,
                       struct st_bus_group *ret)
{
    struct st_reply pending;
    ret->name = member(info, "name")->str;
    int r = ret->name ? id_parse(member(info, "last-delivered-id")->str, &ret->needs) : ST_E_INTERNAL;
    if (r < 0)
        return r;
    ret->needs.n++;
    if (member(info, "pending")->num == 0)
        return 0;
    r = st_redis_cmd(redis_of(bus), a, &pending, "XPENDING", key, ret->name, NULL);
    if (r == 0 && pending.n_items > 1 && pending.items[1].kind == ST_REPLY_STRING)
        r = id_parse(pending.items[1].str, &ret->needs);
    return r;
}

static int groups(struct st_bus *bus, struct st_arena *a, const char *service, int partition, struct st_bus_group **ret,
                  size_t *ret_n)
{
    struct st_reply reply;
    const char *key = stream_key(a, service, partition);
    int r = st_redis_cmd(redis_of(bus), a, &reply, "XINFO", "GROUPS", key, NULL);
    if (r == ST_E_INTERNAL && is_error(bus, "ERR no such key")) {
        *ret_n = 0;
        return 0;
    }
    if (r < 0)
        return r;
    struct st_bus_group *list = st_new_n(a, struct st_bus_group, reply.n_items);
    for (size_t i = 0; i < reply.n_items; i++)
        if ((r = group_needs(bus, a, key, &reply.items[i], &list[i])) < 0)
            return r;
    *ret = list;
    *ret_n = reply.n_items;
    return 0;
}

static int ring(struct st_bus *bus, struct st_arena *a, const char *topic)
{
    struct st_reply reply;
    return st_redis_cmd(redis_of(bus), a, &reply, "PUBLISH", st_printf(a, "st:bell:%s", topic), "", NULL);
}

static int trim(struct st_bus *bus, struct st_arena *a, const char *service, int partition, struct st_bus_id from)
{
    struct st_reply reply;
    return st_redis_cmd(redis_of(bus), a, &reply, "XTRIM", stream_key(a, service, partition), "MINID", "~",
                        id_text(a, from), NULL);
}

static int lease(struct st_bus *bus, struct st_arena *a, const char *group, const char *holder,
                 struct st_bus_part *parts, size_t n)
{
    struct st_reply reply;
    struct words w = words_new(a, COMMAND_WORDS + n);
    word(&w, "EVAL");
    word(&w, lua_lease);
    word(&w, st_i64(a, (int64_t)n));
    for (size_t i = 0; i < n; i++)
        word(&w, lease_key(a, group, &parts[i]));
    word(&w, holder);
    word(&w, st_i64(a, ST_BUS_LEASE_MS));
    int r = run(bus, a, &w, &reply);
    if (r < 0)
        return r;
    if (reply.n_items != n)
        return ST_E_INTERNAL;
    for (size_t i = 0; i < n; i++)
        parts[i].held = reply.items[i].num == 1;
    return 0;
}

static int release(struct st_bus *bus, struct st_arena *a, const char *group, const char *holder,
                   struct st_bus_part *parts, size_t n)
{
    struct st_reply reply;
    struct words w = words_new(a, COMMAND_WORDS + n);
    word(&w, "EVAL");
    word(&w, lua_release);
    word(&w, st_i64(a, (int64_t)n));
    for (size_t i = 0; i < n; i++)
        word(&w, lease_key(a, group, &parts[i]));
    word(&w, holder);
    int r = run(bus, a, &w, &reply);
    for (size_t i = 0; i < n; i++)
        parts[i].held = false;
    return r;
}

static int ack(struct st_bus *bus, struct st_arena *a, const char *group, const struct st_bus_part *part,
               const struct st_bus_id *ids, size_t n)
{
    struct st_reply reply;
    struct words w = words_new(a, COMMAND_WORDS + n);
    word(&w, "XACK");
    word(&w, stream_key(a, part->service, part->partition));
    word(&w, group);
    for (size_t i = 0; i < n; i++)
        word(&w, id_text(a, ids[i]));
    return n ? run(bus, a, &w, &reply) : 0;
}

/* Acknowledges what was delivered up to `after`: its transaction was committed, and the reader died before saying so.
 */
static int ack_until(struct st_bus *bus, struct st_arena *a, const char *group, const struct st_bus_part *part,
                     struct st_bus_id after)
{
    struct st_reply reply;
    const char *key = stream_key(a, part->service, part->partition);
    do {
        int r = st_redis_cmd(redis_of(bus), a, &reply, "XPENDING", key, group, "-", id_text(a, after),
                             st_i64(a, PENDING_PAGE), NULL);
        if (r < 0)
            return r;
        struct st_bus_id *ids = st_new_n(a, struct st_bus_id, reply.n_items);
        for (size_t i = 0; r == 0 && i < reply.n_items; i++)
            r = reply.items[i].n_items ? id_parse(reply.items[i].items[0].str, &ids[i]) : ST_E_INTERNAL;
        if (r < 0 || (r = ack(bus, a, group, part, ids, reply.n_items)) < 0)
            return r;
    } while (reply.n_items == PENDING_PAGE);
    return 0;
}

/* XREADGROUP gives entries behind the group's position even when they are pending: setting it back redelivers them. */
static int attach(struct st_bus *bus, struct st_arena *a, const char *group, const struct st_bus_part *part,
                  struct st_bus_id after)
{
    struct st_reply reply;
    const char *key = stream_key(a, part->service, part->partition), *id = id_text(a, after);
    int r = st_redis_cmd(redis_of(bus), a, &reply, "XGROUP", "CREATE", key, group, id, "MKSTREAM", NULL);
    if (r != ST_E_INTERNAL || !is_error(bus, "BUSYGROUP"))
        return r;
    r = ack_until(bus, a, group, part, after);
    return r < 0 ? r : st_redis_cmd(redis_of(bus), a, &reply, "XGROUP", "SETID", key, group, id, NULL);
}

static int take_entry(const struct st_reply *entry, size_t part, struct st_bus_delivery *ret)
{
    if (entry->n_items != 2)
        return ST_E_INTERNAL;
    const struct st_reply *text = member(&entry->items[1], "e");
    *ret = (struct st_bus_delivery){.part = part};
    if (text->kind == ST_REPLY_STRING) {
        ret->text = text->str;
        ret->len = text->len;
    }
    return id_parse(entry->items[0].str, &ret->id);
}

/* One answer for each of the parts in `indexes`. */
static int take_answers(const struct st_reply *reply, struct st_arena *a, struct st_bus_part *parts,
                        const size_t *indexes, struct st_bus_delivery **ret, size_t *ret_n)
{
    size_t total = 0, n = 0;
    for (size_t i = 0; i < reply->n_items; i++)
        total += reply->items[i].n_items;
    struct st_bus_delivery *list = st_new_n(a, struct st_bus_delivery, total);
    for (size_t i = 0; i < reply->n_items; i++) {
        const struct st_reply *entries = &reply->items[i];
        if (entries->kind != ST_REPLY_ARRAY)
            parts[indexes[i]].held = false;
        for (size_t e = 0; e < entries->n_items; e++) {
            int r = take_entry(&entries->items[e], indexes[i], &list[n++]);
            if (r < 0)
                return r;
        }
    }
    *ret = list;
    *ret_n = n;
    return 0;
}

static int poll_parts(struct st_bus *bus, struct st_arena *a, const char *group, const char *holder,
                      struct st_bus_part *parts, size_t n, int max, struct st_bus_delivery **ret, size_t *ret_n)
{
    struct st_reply reply;
    size_t *indexes = st_new_n(a, size_t, n), n_polled = 0;
    for (size_t i = 0; i < n; i++)
        if (parts[i].held && parts[i].attached)
            indexes[n_polled++] = i;
    *ret_n = 0;
    if (n_polled == 0)
        return 0;
    struct words w = words_new(a, COMMAND_WORDS + 2 * n_polled);
    word(&w, "EVAL");
    word(&w, lua_poll);
    word(&w, st_i64(a, (int64_t)(2 * n_polled)));
    for (size_t i = 0; i < n_polled; i++)
        word(&w, stream_key(a, parts[indexes[i]].service, parts[indexes[i]].partition));
    for (size_t i = 0; i < n_polled; i++)
        word(&w, lease_key(a, group, &parts[indexes[i]]));
    word(&w, group);
    word(&w, holder);
    word(&w, st_i64(a, max));
    int r = run(bus, a, &w, &reply);
    if (r == ST_E_INTERNAL && is_error(bus, "NOGROUP"))
        return ST_E_NOT_FOUND;
    if (r == 0 && reply.n_items != n_polled)
        return ST_E_INTERNAL;
    return r < 0 ? r : take_answers(&reply, a, parts, indexes, ret, ret_n);
}

static const char *error(const struct st_bus *bus)
{
    return st_redis_error(redis_of(bus));
}

static void bus_free(struct st_bus *bus)
{
    free(bus);
}

struct st_bus *st_bus_redis_new(struct st_redis *redis)
{
    static const struct st_bus_ops ops = {
        .free = bus_free,
        .error = error,
        .tails = tails,
        .publish = publish,
        .groups = groups,
        .ring = ring,
        .trim = trim,
        .lease = lease,
        .release = release,
        .attach = attach,
        .poll = poll_parts,
        .ack = ack,
    };
    struct bus *bus = calloc(1, sizeof(*bus));
    if (!bus)
        abort();
    bus->base.ops = &ops;
    bus->redis = redis;
    return &bus->base;
}
