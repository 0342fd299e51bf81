/* PostgreSQL by libpq in pipeline mode. */
#include "io/pg.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>

enum {
    PARAMS_MAX = 64,
    STATEMENTS = 256, /* slots of the prepared-statement table, a power of two */
    CONNECT_TIMEOUT_S = 5,
    ANSWER_TIMEOUT_MS = 60000,
    RECONNECT_US = 200000, /* pause between attempts to connect */
    PENDING_MAX = 512,     /* queued statements; then the queue is drained first */
    FLUSH_EVERY = 32,      /* statements */
    ERROR_LEN = 512,
    OID_BOOL = 16,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_JSON = 114,
    OID_FLOAT4 = 700,
    OID_FLOAT8 = 701,
    OID_TIMESTAMPTZ = 1184,
    OID_NUMERIC = 1700,
    OID_JSONB = 3802
};

struct st_pg {
    char *conninfo, *name;
    PGconn *conn;
    int64_t next_connect; /* monotonic; no attempt before */
    int patience_ms;      /* how long an answer may take */
    bool in_transaction;
    int error;   /* sticky until the transaction ends */
    bool away;   /* it was the server's absence */
    int pending; /* statements sent whose answers have not been read */
    bool synced; /* nothing was sent since the last sync */
    bool reset;  /* reconnect before the next transaction: the server's plans no longer fit */
    struct {
        const char *sql;
        bool prepared; /* false until the server has confirmed it, and again when it skipped the PREPARE */
        char name[8];
    } statements[STATEMENTS];
    int n_statements;
    struct {
        int16_t prepares;        /* slot of a PREPARE, or -1 */
        int *affected;           /* where to tell how many rows there were, or NULL */
    } expected[PENDING_MAX + 8]; /* ring beside the pending answers */
    int first;                   /* of the ring */
    char message[ERROR_LEN];
};

struct st_rows {
    PGresult *res;
};

struct st_pg *st_pg_new(const char *conninfo, const char *name)
{
    struct st_pg *pg = calloc(1, sizeof(*pg));
    if (!pg || !(pg->conninfo = strdup(conninfo)) || !(pg->name = strdup(name)))
        abort();
    pg->synced = true;
    pg->patience_ms = ANSWER_TIMEOUT_MS;
    return pg;
}

void st_pg_set_patience(struct st_pg *pg, int ms)
{
    pg->patience_ms = ms;
}

static void forget_statements(struct st_pg *pg)
{
    memset(pg->statements, 0, sizeof(pg->statements));
    pg->n_statements = 0;
}

static void disconnect(struct st_pg *pg)
{
    PQfinish(pg->conn);
    pg->conn = NULL;
    pg->pending = 0;
    pg->synced = true;
    pg->reset = false;
    forget_statements(pg);
}

struct st_pg *st_pg_free(struct st_pg *pg)
{
    if (pg) {
        disconnect(pg);
        free(pg->conninfo);
        free(pg->name);
        free(pg);
    }
    return NULL;
}

static int fail(struct st_pg *pg, int err, const char *message)
{
    if (message) {
        snprintf(pg->message, sizeof(pg->message), "%s", message);
        pg->message[strcspn(pg->message, "\n")] = '\0';
    }
    if (pg->error == 0)
        pg->error = err;
    return err;
}

/* The connection broke: a transaction that was open is lost with it. */
static int lost(struct st_pg *pg, const char *message)
{
    int r = fail(pg, ST_E_UNAVAILABLE, message ? message : PQerrorMessage(pg->conn));
    disconnect(pg);
    return r;
}

static int from_sqlstate(const char *state)
{
    if (!state)
        return ST_E_UNAVAILABLE;
    if (st_streq(state, "40001") || st_streq(state, "40P01") || st_streq(state, "0A000") || st_streq(state, "26000"))
        return ST_E_RETRY;
    if (st_streq(state, "23505"))
        return ST_E_UNIQUE;
    if (st_streq(state, "ST001"))
        return ST_E_FENCED;
    if (st_starts(state, "23"))
        return ST_E_CONFLICT;
    /* Connections, resources, the operator, and what was waited for too long. */
    if (st_starts(state, "08") || st_starts(state, "53") || st_starts(state, "57") || st_streq(state, "25P03"))
        return ST_E_UNAVAILABLE;
    return ST_E_INTERNAL;
}

/* libpq would write notices to stderr, between the log's lines. */
static void ignore_notice(void *ctx, const char *message)
{
    (void)ctx, (void)message;
}

static int connect_now(struct st_pg *pg)
{
    if (st_mono() < pg->next_connect) {
        pg->away = true;
        return fail(pg, ST_E_UNAVAILABLE, NULL);
    }
    char timeout[12], options[160];
    snprintf(timeout, sizeof(timeout), "%d", CONNECT_TIMEOUT_S);
    snprintf(options, sizeof(options),
             "-c timezone=UTC -c datestyle=ISO -c idle_in_transaction_session_timeout=%d -c statement_timeout=%d",
             pg->patience_ms, pg->patience_ms);
    /* What stands before dbname, the conninfo may say otherwise: a network that is silently gone shows in seconds. */
    const char *const settings[][2] = {
        {"tcp_user_timeout", "10000"}, {"keepalives_idle", "10"},   {"keepalives_interval", "5"},
        {"keepalives_count", "3"},     {"dbname", pg->conninfo},    {"fallback_application_name", pg->name},
        {"connect_timeout", timeout},  {"client_encoding", "UTF8"}, {"options", options},
    };
    const char *keys[ST_COUNT(settings) + 1] = {0}, *values[ST_COUNT(settings) + 1] = {0};
    for (size_t i = 0; i < ST_COUNT(settings); i++) {
        keys[i] = settings[i][0];
        values[i] = settings[i][1];
    }
    pg->conn = PQconnectdbParams(keys, values, 1);
    PQsetNoticeProcessor(pg->conn, ignore_notice, NULL);
    if (PQstatus(pg->conn) != CONNECTION_OK || PQsetnonblocking(pg->conn, 1) || !PQenterPipelineMode(pg->conn)) {
        pg->next_connect = st_mono() + RECONNECT_US;
        pg->away = true;
        return lost(pg, NULL);
    }
    return 0;
}

/*
 * Has the server closed the connection while it was idle? Asked before each piece of work: it costs one poll. The
 * server's farewell is read first, and the end behind it only by a second read.
 */
static bool stale(struct st_pg *pg)
{
    struct pollfd p = {.fd = PQsocket(pg->conn), .events = POLLIN};
    while (pg->pending == 0 && pg->synced && PQstatus(pg->conn) == CONNECTION_OK && poll(&p, 1, 0) > 0)
        if (!PQconsumeInput(pg->conn))
            break;
    return PQstatus(pg->conn) != CONNECTION_OK;
}

static int ensure(struct st_pg *pg)
{
    if (pg->error)
        return pg->error;
    if (pg->in_transaction)
        return pg->conn ? 0 : fail(pg, ST_E_UNAVAILABLE, "the connection was lost");
    pg->away = false;
    if (pg->conn && (pg->reset || stale(pg)))
        disconnect(pg);
    return pg->conn ? 0 : connect_now(pg);
}

/* Waits until the socket can be read (and flushes output meanwhile). */
static int wait_readable(struct st_pg *pg)
{
    for (;;) {
        int flushing = PQflush(pg->conn);
        if (flushing < 0)
            return lost(pg, NULL);
        struct pollfd p = {.fd = PQsocket(pg->conn), .events = (short)(POLLIN | (flushing ? POLLOUT : 0))};
        int n = poll(&p, 1, pg->patience_ms);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return lost(pg, "the database did not answer in time");
        if (p.revents & (POLLIN | POLLHUP | POLLERR)) {
            if (!PQconsumeInput(pg->conn))
                return lost(pg, NULL);
            return 0;
        }
    }
}

/* The next result, NULL between statements. */
static int next_result(struct st_pg *pg, PGresult **ret)
{
    while (PQisBusy(pg->conn)) {
        int r = wait_readable(pg);
        if (r < 0)
            return r;
    }
    *ret = PQgetResult(pg->conn);
    if (!*ret && PQstatus(pg->conn) != CONNECTION_OK)
        return lost(pg, NULL);
    return 0;
}

static int affected_by(PGresult *res)
{
    int64_t n = 0;
    (void)st_parse_i64(PQcmdTuples(res), 0, INT32_MAX, &n);
    return (int)n;
}

/*
 * Reads the answer of one statement. keep: the rows are wanted. An error answer sets the sticky error; answers that the
 * server skipped because of it (PGRES_PIPELINE_ABORTED) leave it as it is.
 */
static int read_one(struct st_pg *pg, PGresult **ret_keep)
{
    PGresult *res = NULL;
    int r = next_result(pg, &res);
    if (r < 0)
        return r;
    int slot = pg->expected[pg->first].prepares, *affected = pg->expected[pg->first].affected;
    pg->first = (pg->first + 1) % (int)ST_COUNT(pg->expected);
    pg->pending--;
    ExecStatusType status = PQresultStatus(res);
    if (slot >= 0 && status != PGRES_COMMAND_OK)
        pg->statements[slot].prepared = false;
    if (status == PGRES_FATAL_ERROR) {
        const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
        pg->reset |= st_streq(state, "0A000") || st_streq(state, "26000");
        pg->away |= !pg->error && state && st_starts(state, "57P"); /* it shuts down, or starts */
        r = fail(pg, from_sqlstate(state), PQresultErrorMessage(res));
    } else if (status == PGRES_PIPELINE_ABORTED) {
        r = pg->error ? pg->error : fail(pg, ST_E_INTERNAL, "an earlier statement failed");
    } else if (status == PGRES_PIPELINE_SYNC) {
        PQclear(res);
        return 0; /* a sync has no NULL behind it */
    }
    if (affected && r == 0)
        *affected = affected_by(res);
    if (ret_keep && r == 0)
        *ret_keep = res;
    else
        PQclear(res);
    PGresult *end = NULL;
    int e = next_result(pg, &end);
    PQclear(end);
    if (e < 0 && ret_keep && r == 0) {
        PQclear(*ret_keep);
        *ret_keep = NULL;
    }
    return e < 0 ? e : r;
}

/* Remembers an answer to be read. */
static void expect(struct st_pg *pg, int slot, int *affected)
{
    int at = (pg->first + pg->pending++) % (int)ST_COUNT(pg->expected);
    pg->expected[at].prepares = (int16_t)slot;
    pg->expected[at].affected = affected;
}

/* Name of the prepared statement of sql; sends the PREPARE when it is new. Open addressing by the text's address. */
static int prepare(struct st_pg *pg, const char *sql, const char **ret_name)
{
    size_t slot = (uint32_t)(((uintptr_t)sql >> 3) * 0x9e3779b1u) >> 16 & (STATEMENTS - 1);
    while (pg->statements[slot].sql && pg->statements[slot].sql != sql)
        slot = (slot + 1) & (STATEMENTS - 1);
    char *name = pg->statements[slot].name;
    *ret_name = name;
    if (pg->statements[slot].prepared)
        return 0;
    if (!pg->statements[slot].sql && ++pg->n_statements >= STATEMENTS)
        return fail(pg, ST_E_INTERNAL, "too many different statements; is every sql text a literal?");
    snprintf(name, sizeof(pg->statements[slot].name), "s%u", (unsigned)slot % STATEMENTS);
    if (!PQsendPrepare(pg->conn, name, sql, 0, NULL))
        return lost(pg, NULL);
    pg->statements[slot].sql = sql;
    pg->statements[slot].prepared = true;
    expect(pg, (int)slot, NULL);
    pg->synced = false;
    return 0;
}

/* Ends the pipeline: sends a sync and reads everything up to it. Errors become sticky. */
static int drain(struct st_pg *pg)
{
    if (!pg->conn)
        return pg->error;
    if (!pg->synced) {
        if (!PQpipelineSync(pg->conn))
            return lost(pg, NULL);
        expect(pg, -1, NULL);
        pg->synced = true;
    }
    while (pg->conn && pg->pending)
        (void)read_one(pg, NULL); /* the error is remembered; go on to the sync */
    return pg->error;
}

static int send_statement(struct st_pg *pg, const char *sql, int n, const char *const *params, int *affected)
{
    int r = ensure(pg);
    if (r < 0)
        return r;
    if (n > PARAMS_MAX)
        abort();
    if (pg->pending >= PENDING_MAX && (r = drain(pg)) < 0)
        return r;
    const char *name;
    if ((r = prepare(pg, sql, &name)) < 0)
        return r;
    if (!PQsendQueryPrepared(pg->conn, name, n, params, NULL, NULL, 0))
        return lost(pg, NULL);
    expect(pg, -1, affected);
    pg->synced = false;
    /* The server works on what is queued while more is being queued. */
    if (pg->pending % FLUSH_EVERY == 0 && PQflush(pg->conn) < 0)
        return lost(pg, NULL);
    return 0;
}

char *st_pg_array(struct st_arena *a, const char *const *list, size_t n)
{
    size_t size = sizeof("{}");
    for (size_t i = 0; i < n; i++)
        size += 2 * (list[i] ? strlen(list[i]) : 2) + sizeof("\"\",");
    char *text = st_alloc(a, size), *to = text;
    *to++ = '{';
    for (size_t i = 0; i < n; i++) {
        if (i)
            *to++ = ',';
        if (!list[i]) {
            to = stpcpy(to, "NULL");
            continue;
        }
        *to++ = '"';
        for (const char *from = list[i]; *from; from++) {
            if (*from == '"' || *from == '\\')
                *to++ = '\\';
            *to++ = *from;
        }
        *to++ = '"';
    }
    *to = '}';
    return text;
}

void st_pg_begin(struct st_pg *pg)
{
    pg->error = 0;
    pg->in_transaction = false;
    (void)send_statement(pg, "begin", 0, NULL, NULL);
    pg->in_transaction = true;
}

bool st_pg_in_transaction(const struct st_pg *pg)
{
    return pg->in_transaction;
}

void st_pg_rollback(struct st_pg *pg)
{
    if (pg->conn)
        (void)drain(pg);
    pg->error = 0;
    if (pg->conn && pg->in_transaction) {
        (void)send_statement(pg, "rollback", 0, NULL, NULL);
        (void)drain(pg);
    }
    pg->in_transaction = false;
    pg->error = 0;
}

int st_pg_commit(struct st_pg *pg)
{
    (void)send_statement(pg, "commit", 0, NULL, NULL);
    int r = drain(pg);
    if (r < 0)
        st_pg_rollback(pg);
    pg->in_transaction = false;
    pg->error = 0;
    return r;
}

void st_pg_exec(struct st_pg *pg, const char *sql, int n, const char *const *params)
{
    st_pg_exec_counted(pg, sql, n, params, NULL);
}

void st_pg_exec_counted(struct st_pg *pg, const char *sql, int n, const char *const *params, int *affected)
{
    (void)send_statement(pg, sql, n, params, affected);
    if (!pg->in_transaction)
        (void)drain(pg);
}

static void rows_clear(void *ptr)
{
    PQclear(((struct st_rows *)ptr)->res);
}

int st_pg_query(struct st_pg *pg, struct st_arena *a, const char *sql, int n, const char *const *params,
                struct st_rows **ret)
{
    if (!pg->in_transaction)
        pg->error = 0;
    int r = send_statement(pg, sql, n, params, NULL);
    if (r == 0 && !PQpipelineSync(pg->conn))
        r = lost(pg, NULL);
    if (r < 0)
        return r;
    expect(pg, -1, NULL);
    pg->synced = true;
    PGresult *keep = NULL;
    while (pg->conn && pg->pending > 2)
        (void)read_one(pg, NULL);
    if (pg->conn)
        (void)read_one(pg, &keep);
    while (pg->conn && pg->pending)
        (void)read_one(pg, NULL);
    if (pg->error) {
        PQclear(keep);
        r = pg->error;
        if (!pg->in_transaction)
            pg->error = 0;
        return r;
    }
    struct st_rows *rows = st_new(a, struct st_rows);
    rows->res = keep;
    st_defer(a, rows_clear, rows);
    *ret = rows;
    return 0;
}

int st_pg_flush(struct st_pg *pg)
{
    int r = drain(pg);
    if (!pg->in_transaction)
        pg->error = 0;
    return r;
}

int st_rows_count(const struct st_rows *rows)
{
    return PQntuples(rows->res);
}

int st_rows_affected(const struct st_rows *rows)
{
    return affected_by(rows->res);
}

const char *st_cell(const struct st_rows *rows, int row, int column)
{
    return PQgetisnull(rows->res, row, column) ? NULL : PQgetvalue(rows->res, row, column);
}

int64_t st_cell_int(const struct st_rows *rows, int row, int column)
{
    int64_t n = 0;
    (void)st_parse_i64(st_cell(rows, row, column), INT64_MIN, INT64_MAX, &n);
    return n;
}

/* PostgreSQL writes 2026-01-31 09:05:07.042+00. */
static json_t *timestamp_json(const char *text)
{
    char out[ST_TIME_LEN], copy[48];
    int64_t us;
    snprintf(copy, sizeof(copy), "%s", text);
    size_t n = strlen(copy);
    if (n > 3 && (copy[n - 3] == '+' || copy[n - 3] == '-'))
        snprintf(copy + n, sizeof(copy) - n, ":00");
    return st_time_parse(copy, &us) ? json_string(st_time_format(us, out)) : json_string(text);
}

static json_t *cell_json(const struct st_rows *rows, int row, int column)
{
    const char *text = st_cell(rows, row, column);
    double d;
    if (!text)
        return json_null();
    switch (PQftype(rows->res, column)) {
    case OID_BOOL: return json_boolean(text[0] == 't');
    case OID_INT2:
    case OID_INT4:
    case OID_INT8: return json_integer(st_cell_int(rows, row, column));
    case OID_FLOAT4:
    case OID_FLOAT8:
    case OID_NUMERIC: return st_parse_double(text, &d) ? json_real(d) : json_null();
    case OID_JSON:
    case OID_JSONB: return json_loads(text, JSON_DECODE_ANY, NULL);
    case OID_TIMESTAMPTZ: return timestamp_json(text);
    default: return json_string(text);
    }
}

static json_t *row_object(const struct st_rows *rows, int row)
{
    json_t *object = json_object();
    for (int c = 0; c < PQnfields(rows->res); c++)
        json_object_set_new(object, PQfname(rows->res, c), cell_json(rows, row, c));
    return object;
}

json_t *st_row_json(const struct st_rows *rows, int row, struct st_arena *a)
{
    return st_json_keep(a, row_object(rows, row));
}

json_t *st_rows_json(const struct st_rows *rows, struct st_arena *a)
{
    json_t *list = json_array();
    for (int i = 0; i < st_rows_count(rows); i++)
        json_array_append_new(list, row_object(rows, i));
    return st_json_keep(a, list);
}

bool st_pg_away(const struct st_pg *pg)
{
    return pg->away;
}

const char *st_pg_error(const struct st_pg *pg)
{
    return pg->message;
}

/*
 * A script may have changed what the session has set and what prepared statements mean: it goes on as if it were new,
 * which a backend does in a hundredth of the time that another takes to start. Fails in a transaction.
 */
static bool begin_anew(struct st_pg *pg)
{
    PGresult *res = PQexec(pg->conn, "discard all");
    bool done = PQresultStatus(res) == PGRES_COMMAND_OK;
    PQclear(res);
    forget_statements(pg);
    return done && !PQsetnonblocking(pg->conn, 1) && PQenterPipelineMode(pg->conn);
}

int st_pg_script(struct st_pg *pg, const char *sql)
{
    pg->error = 0;
    int r = ensure(pg);
    if (r < 0 || (r = drain(pg)) < 0)
        return r;
    if (!PQexitPipelineMode(pg->conn) || PQsetnonblocking(pg->conn, 0))
        return lost(pg, NULL);
    PGresult *res = PQexec(pg->conn, sql);
    if (PQresultStatus(res) != PGRES_COMMAND_OK && PQresultStatus(res) != PGRES_TUPLES_OK)
        r = fail(pg, from_sqlstate(PQresultErrorField(res, PG_DIAG_SQLSTATE)), PQresultErrorMessage(res));
    PQclear(res);
    if (r < 0 || !begin_anew(pg))
        disconnect(pg);
    pg->error = 0;
    return r;
}

int st_pg_ping(struct st_pg *pg)
{
    struct st_arena a = {0};
    struct st_rows *rows;
    int r = st_pg_query(pg, &a, "select 1", 0, NULL, &rows);
    st_arena_release(&a);
    return r;
}
