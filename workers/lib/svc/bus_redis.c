/*
 * The event bus on Redis Streams: a stream for each partition, the id of an entry is the stream's id.
 *
 * Entries are read by XREAD behind the reader's own position, not as a member of the group: that has no effect on the
 * bus, so a reader that was slow to notice takes nothing away from its successor, nothing is pending, and Redis has
 * half the work. The group only keeps the position that was acknowledged.
 */
#include "svc/bus.h"

#include "io/redis.h"

enum { ID_LEN = 44, COMMAND_WORDS = 8, TIMEOUT_MS = 2000 };

#define BELL "st:bell:"

struct bus {
    struct st_bus base;
    char *path;
    struct st_redis *redis;
    struct st_redis_sub *sub; /* what listen listens with */
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

/*
 * ARGV: group, id. Makes the group or sets it to the id, and tells Redis how many entries lie up to there, from which
 * it knows the group's lag. That is counted from the group's last position, or from an end of the stream when that is
 * near.
 */
static const char lua_attach[] =
    "#!lua flags=allow-oom\n" /* who reads on makes room */
    "local key, group, id, near = KEYS[1], ARGV[1], ARGV[2], 2000 "
    "local function members(list) local m = {} for i = 1, #list, 2 do m[list[i]] = list[i + 1] end return m end "
    "local function between(from, to) "
    "local n = #redis.call('XRANGE', key, from, to, 'COUNT', near + 1) return n <= near and n end "
    "local made = redis.pcall('XGROUP', 'CREATE', key, group, id, 'MKSTREAM') "
    "if type(made) == 'table' and made.err and not string.find(made.err, 'BUSYGROUP') then return made end "
    "local stream = members(redis.call('XINFO', 'STREAM', key)) "
    "local read, n "
    "for _, g in ipairs(redis.call('XINFO', 'GROUPS', key)) do local m = members(g) "
    "if m['name'] == group and m['entries-read'] then "
    "local last = m['last-delivered-id'] "
    "if last == id then read = m['entries-read'] else "
    "n = between('(' .. last, id) if n and n > 0 then read = m['entries-read'] + n end end end end "
    "if not read then n = between('-', id) if n then read = stream['entries-added'] - stream['length'] + n end end "
    "if not read then n = between('(' .. id, '+') if n then read = stream['entries-added'] - n end end "
    "redis.call('XGROUP', 'SETID', key, group, id, 'ENTRIESREAD', read or -1) "
    "return read or -1";

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
        word(&w, st_printf(a, BELL "%s", topics[i]));
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

static int group_of(struct st_bus *bus, struct st_arena *a, const char *key, const struct st_reply *info,
                    struct st_bus_group *ret)
{
    struct st_reply first = {.n_items = 0};
    const struct st_reply *lag = member(info, "lag");
    ret->name = member(info, "name")->str;
    ret->lag = lag->kind == ST_REPLY_INTEGER ? lag->num : -1;
    int r = ret->name ? id_parse(member(info, "last-delivered-id")->str, &ret->needs) : ST_E_INTERNAL;
    ret->needs.n++;
    if (r == 0 && ret->lag != 0)
        r = st_redis_cmd(redis_of(bus), a, &first, "XRANGE", key, id_text(a, ret->needs), "+", "COUNT", "1", NULL);
    if (r == 0 && first.n_items && first.items[0].n_items)
        r = id_parse(first.items[0].items[0].str, &ret->next);
    if (r == 0 && first.n_items == 0)
        ret->lag = 0;
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
        if ((r = group_of(bus, a, key, &reply.items[i], &list[i])) < 0)
            return r;
    *ret = list;
    *ret_n = reply.n_items;
    return 0;
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

static int attach(struct st_bus *bus, struct st_arena *a, const char *group, struct st_bus_part *part,
                  struct st_bus_id after)
{
    struct st_reply reply;
    int r = st_redis_cmd(redis_of(bus), a, &reply, "EVAL", lua_attach, "1",
                         stream_key(a, part->service, part->partition), group, id_text(a, after), NULL);
    if (r < 0)
        return r;
    part->at = after;
    part->count = reply.num;
    return 0;
}

/* A group that has gone with what Redis has lost is made again. */
static int ack(struct st_bus *bus, struct st_arena *a, const char *group, struct st_bus_part *part,
               struct st_bus_id upto, size_t n)
{
    struct st_reply reply;
    int64_t count = part->count < 0 ? -1 : part->count + (int64_t)n;
    int r = st_redis_cmd(redis_of(bus), a, &reply, "XGROUP", "SETID", stream_key(a, part->service, part->partition),
                         group, id_text(a, upto), "ENTRIESREAD", st_i64(a, count), NULL);
    if (r == 0)
        part->count = count;
    if (r == ST_E_INTERNAL &&
        (is_error(bus, "NOGROUP") || is_error(bus, "ERR The XGROUP subcommand requires the key"))) {
        const struct st_bus_id at = part->at;
        r = attach(bus, a, group, part, upto);
        part->at = at;
    }
    return r;
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

/* The parts that are to be read, and the words of their keys. */
struct polled {
    const size_t *indexes;
    const char **streams;
    size_t n;
};

/* Streams with news, in the order in which they were asked for. */
static int take_streams(const struct st_reply *reply, struct st_arena *a, struct st_bus_part *parts,
                        const struct polled *p, struct st_bus_delivery **ret, size_t *ret_n)
{
    size_t total = 0, n = 0, at = 0;
    for (size_t i = 0; i < reply->n_items; i++)
        total += reply->items[i].n_items == 2 ? reply->items[i].items[1].n_items : 0;
    struct st_bus_delivery *list = st_new_n(a, struct st_bus_delivery, total);
    for (size_t i = 0; i < reply->n_items; i++, at++) {
        const struct st_reply *stream = &reply->items[i];
        while (at < p->n && stream->n_items == 2 && !st_streq(p->streams[at], stream->items[0].str))
            at++;
        if (stream->n_items != 2 || at == p->n)
            return ST_E_INTERNAL;
        for (size_t e = 0; parts[p->indexes[at]].held && e < stream->items[1].n_items; e++) {
            int r = take_entry(&stream->items[1].items[e], p->indexes[at], &list[n++]);
            if (r < 0)
                return r;
        }
    }
    for (size_t i = 0; i < n; i++)
        parts[list[i].part].at = list[i].id;
    *ret = list;
    *ret_n = n;
    return 0;
}

static int queue(struct st_bus *bus, const struct words *w)
{
    return st_redis_queue(redis_of(bus), (int)w->n, w->argv);
}

static int queue_leases(struct st_bus *bus, struct st_arena *a, const char *group, const struct st_bus_part *parts,
                        const struct polled *p)
{
    struct words w = words_new(a, COMMAND_WORDS + p->n);
    word(&w, "MGET");
    for (size_t i = 0; i < p->n; i++)
        word(&w, lease_key(a, group, &parts[p->indexes[i]]));
    return queue(bus, &w);
}

static int queue_read(struct st_bus *bus, struct st_arena *a, const struct st_bus_part *parts, const struct polled *p,
                      int max)
{
    struct words w = words_new(a, COMMAND_WORDS + 2 * p->n);
    word(&w, "XREAD");
    word(&w, "COUNT");
    word(&w, st_i64(a, max));
    word(&w, "STREAMS");
    for (size_t i = 0; i < p->n; i++)
        word(&w, p->streams[i]);
    for (size_t i = 0; i < p->n; i++)
        word(&w, id_text(a, parts[p->indexes[i]].at));
    return queue(bus, &w);
}

static int poll_parts(struct st_bus *bus, struct st_arena *a, const char *group, const char *holder,
                      struct st_bus_part *parts, size_t n, int max, struct st_bus_delivery **ret, size_t *ret_n)
{
    struct st_reply leases = {.n_items = 0}, news;
    size_t *indexes = st_new_n(a, size_t, n);
    struct polled p = {.indexes = indexes, .streams = st_new_n(a, const char *, n)};
    for (size_t i = 0; i < n; i++)
        if (parts[i].held && parts[i].attached) {
            indexes[p.n] = i;
            p.streams[p.n++] = stream_key(a, parts[i].service, parts[i].partition);
        }
    *ret_n = 0;
    if (p.n == 0)
        return 0;
    int r = holder ? queue_leases(bus, a, group, parts, &p) : 0;
    if (r < 0 || (r = queue_read(bus, a, parts, &p, max)) < 0 ||
        (holder && (r = st_redis_read(redis_of(bus), a, &leases)) < 0) ||
        (r = st_redis_read(redis_of(bus), a, &news)) < 0 || (r = st_redis_verdict(redis_of(bus), &leases)) < 0 ||
        (r = st_redis_verdict(redis_of(bus), &news)) < 0)
        return r;
    if (holder && leases.n_items != p.n)
        return ST_E_INTERNAL;
    for (size_t i = 0; holder && i < p.n; i++)
        parts[indexes[i]].held = st_streq(leases.items[i].str, holder);
    return take_streams(&news, a, parts, &p, ret, ret_n);
}

/* --- doorbell --- */

static int ring(struct st_bus *bus, struct st_arena *a, const char *topic)
{
    struct st_reply reply;
    return st_redis_cmd(redis_of(bus), a, &reply, "PUBLISH", st_printf(a, BELL "%s", topic), "", NULL);
}

static int listen_for(struct st_bus *bus, const char *const *topics, size_t n, int timeout_ms, const char **ret_topic)
{
    struct bus *b = (struct bus *)bus;
    const char *channel, *message;
    if (!b->sub) {
        struct st_arena a = {0};
        const char **channels = st_new_n(&a, const char *, n);
        for (size_t i = 0; i < n; i++)
            channels[i] = st_printf(&a, BELL "%s", topics[i]);
        b->sub = st_redis_sub_new(b->path, channels, (int)n);
        st_arena_release(&a);
    }
    int r = st_redis_sub_poll(b->sub, timeout_ms, &channel, &message);
    if (r == 1)
        *ret_topic = channel + sizeof(BELL) - 1;
    return r;
}

static const char *error(const struct st_bus *bus)
{
    return st_redis_error(redis_of(bus));
}

static void bus_free(struct st_bus *bus)
{
    struct bus *b = (struct bus *)bus;
    st_redis_free(b->redis);
    st_redis_sub_free(b->sub);
    free(b->path);
    free(b);
}

struct st_bus *st_bus_redis_new(const char *socket_path)
{
    static const struct st_bus_ops ops = {
        .free = bus_free,
        .error = error,
        .tails = tails,
        .publish = publish,
        .groups = groups,
        .trim = trim,
        .lease = lease,
        .release = release,
        .attach = attach,
        .poll = poll_parts,
        .ack = ack,
        .ring = ring,
        .listen = listen_for,
    };
    struct bus *bus = calloc(1, sizeof(*bus));
    if (!bus || !(bus->path = strdup(socket_path)))
        abort();
    bus->base.ops = &ops;
    bus->redis = st_redis_new(socket_path, TIMEOUT_MS);
    return &bus->base;
}
