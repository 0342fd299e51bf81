#ifndef ST_IO_PG_H
#define ST_IO_PG_H
/*
 * PostgreSQL by libpq in pipeline mode: statements are queued and travel together; a round trip is paid only where an
 * answer is needed.
 *
 *   st_pg_begin(pg);
 *   st_pg_exec(pg, "insert into t values ($1, $2)", ST_PARAMS(id, name));         queued
 *   r = st_pg_query(pg, arena, "select v from u where id = $1", ST_PARAMS(id), &rows);   sends both, waits for the
 * second r = st_pg_commit(pg);                                                          sends COMMIT, waits
 *
 * The first error is remembered: later statements are skipped, and every call that returns gives that error until
 * st_pg_rollback (or the end of the transaction). Statements are prepared once per connection and found again by the
 * address of their text, so `sql` must be a string literal (or live as long as the connection).
 *
 * A connection belongs to one thread. It connects on first use and again after a loss; a transaction that was open
 * when the connection broke fails with ST_E_UNAVAILABLE. Outside a transaction each query stands alone.
 *
 * Errors: ST_E_UNAVAILABLE (no connection, server shutting down, waited too long), ST_E_RETRY (serialisation failure,
 * deadlock), ST_E_UNIQUE (23505), ST_E_CONFLICT (other integrity violations), ST_E_FENCED (ST001, which our own
 * functions raise: the lease is another's), ST_E_INTERNAL (anything else; a bug).
 */
#include "io/json.h"

struct st_pg;

/* Never fails and does not connect yet. name is shown in pg_stat_activity. Strings are copied. */
struct st_pg *st_pg_new(const char *conninfo, const char *name);
struct st_pg *st_pg_free(struct st_pg *pg); /* NULL-safe, gives NULL */

/*
 * How long either side waits for the other before the connection counts as lost: we for an answer, the server for the
 * next statement of a transaction (whose locks others wait for). 60 s unless set. To be set before the first use.
 */
void st_pg_set_patience(struct st_pg *pg, int ms);

/* Parameters are text; NULL is SQL NULL. ST_PARAMS() for none. At most 64. */
#define ST_PARAMS(...)                                                                                                 \
    (int)(sizeof((const char *const[]){NULL __VA_OPT__(, ) __VA_ARGS__}) / sizeof(char *)) - 1,                        \
        (const char *const[]){NULL __VA_OPT__(, ) __VA_ARGS__} + 1

/* A parameter that is an array, of any type: its elements as text, NULL for SQL NULL. */
char *st_pg_array(struct st_arena *a, const char *const *list, size_t n);

void st_pg_begin(struct st_pg *pg);
ST_MUSTCHECK int st_pg_commit(struct st_pg *pg); /* ends the transaction whatever it returns */
void st_pg_rollback(struct st_pg *pg);           /* forgets queued work and errors; harmless outside a transaction */
bool st_pg_in_transaction(const struct st_pg *pg);

void st_pg_exec(struct st_pg *pg, const char *sql, int n_params, const char *const *params);
/* *affected becomes the number of rows when the answer is read, at the latest by the commit, and only if there is one.
 */
void st_pg_exec_counted(struct st_pg *pg, const char *sql, int n_params, const char *const *params, int *affected);

/* Rows of one answer; they live in the arena. */
struct st_rows;
ST_MUSTCHECK int st_pg_query(struct st_pg *pg, struct st_arena *a, const char *sql, int n_params,
                             const char *const *params, struct st_rows **ret);

/* Sends what is queued and waits for it: 0 or the remembered error. */
ST_MUSTCHECK int st_pg_flush(struct st_pg *pg);

int st_rows_count(const struct st_rows *rows);
int st_rows_affected(const struct st_rows *rows);
/* Text of a cell, NULL for SQL NULL; "" … valid as long as the arena. */
const char *st_cell(const struct st_rows *rows, int row, int column);
int64_t st_cell_int(const struct st_rows *rows, int row, int column); /* NULL reads as 0 */

/*
 * A row as an object by column name: int and bigint as integers, float and numeric as numbers, bool, json and jsonb as
 * their value, timestamptz as RFC 3339 in UTC with milliseconds, NULL as null, everything else as a string.
 */
json_t *st_row_json(const struct st_rows *rows, int row, struct st_arena *a);
json_t *st_rows_json(const struct st_rows *rows, struct st_arena *a); /* an array of them */

/*
 * Whether the last ST_E_UNAVAILABLE was the server's absence (no connection, or it said that it goes or comes), which
 * nothing that was asked of it has caused; false for a connection that broke in the middle, or took too long.
 */
bool st_pg_away(const struct st_pg *pg);

/* What the server said of the last error, for the log ("" when none). */
const char *st_pg_error(const struct st_pg *pg);

/*
 * Runs a script of several statements outside any transaction control of ours (migrations). What it sets for the
 * session ends with it; so does a transaction that it leaves open, undone.
 */
ST_MUSTCHECK int st_pg_script(struct st_pg *pg, const char *sql);

/* Simple liveness: one round trip. */
ST_MUSTCHECK int st_pg_ping(struct st_pg *pg);

#endif
