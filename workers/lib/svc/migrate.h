#ifndef ST_SVC_MIGRATE_H
#define ST_SVC_MIGRATE_H
/*
 * Forward-only migrations: sql/common/NNNN_*.sql, then sql/<service>/NNNN_*.sql, each once, in order, each in a
 * transaction of its own together with its row in schema_migrations. A file that was applied may not change any more.
 */
#include "io/pg.h"

/*
 * Applies what is missing. Two that run at once wait for each other. *ret_applied counts the files applied now. On
 * failure *ret_why names the file and what the database said; files before it stay applied.
 */
ST_MUSTCHECK int st_migrate(struct st_pg *pg, struct st_arena *a, const char *sql_dir, const char *service,
                            int *ret_applied, const char **ret_why);

#endif
