/* Forward-only migrations. */
#include "svc/migrate.h"

#include "io/crypto.h"

#include <glob.h>

enum { FILE_LIMIT = 4 * 1024 * 1024 };

static char *read_file(struct st_arena *a, const char *path)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return NULL;
    struct st_buf b = ST_BUF(FILE_LIMIT);
    char block[16 * 1024];
    for (size_t n; (n = fread(block, 1, sizeof(block), f)) > 0;)
        st_buf_add(&b, block, n);
    char *text = ferror(f) || b.failed ? NULL : st_strndup(a, b.data ? b.data : "", b.len);
    fclose(f);
    st_buf_release(&b);
    return text;
}

/* 1: it was applied, with this content. 0: it was not. */
static int is_applied(struct st_pg *pg, struct st_arena *a, const char *path, const char *name, const char *hash,
                      const char **ret_why)
{
    struct st_rows *rows;
    int r = st_pg_query(pg, a, "select sha256 from schema_migrations where name = $1", ST_PARAMS(name), &rows);
    if (r < 0 || st_rows_count(rows) == 0)
        return r;
    if (st_streq(st_cell(rows, 0, 0), hash))
        return 1;
    *ret_why = st_printf(a, "%s has changed after it was applied; write a new migration instead", path);
    return ST_E_CONFLICT;
}

/* 1: applied now. 0: was applied before. */
static int apply(struct st_pg *pg, struct st_arena *a, const char *path, const char *name, const char **ret_why)
{
    const char *sql = read_file(a, path);
    if (!sql) {
        *ret_why = st_printf(a, "cannot read %s", path);
        return ST_E_INVALID;
    }
    const char *hash = st_sha256_hex(a, sql, strlen(sql));
    int r = is_applied(pg, a, path, name, hash, ret_why);
    if (r != 0)
        return r < 0 ? r : 0;
    /* The lock makes a second migrator wait, and then fail on the primary key instead of doing the work twice. */
    r = st_pg_script(pg, st_printf(a,
                                   "begin; lock table schema_migrations in exclusive mode;\n"
                                   "insert into schema_migrations (name, sha256) values ('%s', '%s');\n%s\n; commit;",
                                   name, hash, sql));
    if (r == 0)
        return 1;
    *ret_why = st_printf(a, "%s: %s", path, st_pg_error(pg));
    const char *ignored;
    return r == ST_E_UNIQUE && is_applied(pg, a, path, name, hash, &ignored) == 1 ? 0 : r;
}

int st_migrate(struct st_pg *pg, struct st_arena *a, const char *sql_dir, const char *service, int *ret_applied,
               const char **ret_why)
{
    const char *const folders[] = {"common", service};
    /* Two that create a table at once can both find it missing, and the one that comes second fails in several ways. */
    int r =
        st_pg_script(pg, "set client_min_messages = warning; begin; "
                         "select pg_advisory_xact_lock(hashtext('schema_migrations')); "
                         "create table if not exists schema_migrations (name text primary key, sha256 text not null, "
                         "applied_at timestamptz not null default now()); commit");
    *ret_why = st_pg_error(pg);
    *ret_applied = 0;
    for (size_t i = 0; r >= 0 && i < ST_COUNT(folders); i++) {
        glob_t found;
        if (glob(st_printf(a, "%s/%s/[0-9]*.sql", sql_dir, folders[i]), 0, NULL, &found))
            continue; /* a service without tables of its own */
        for (size_t f = 0; r >= 0 && f < found.gl_pathc; f++) {
            const char *path = st_strdup(a, found.gl_pathv[f]);
            r = apply(pg, a, path, st_printf(a, "%s/%s", folders[i], strrchr(path, '/') + 1), ret_why);
            *ret_applied += r == 1;
        }
        globfree(&found);
    }
    return r < 0 ? r : 0;
}
