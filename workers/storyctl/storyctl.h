#ifndef ST_STORYCTL_H
#define ST_STORYCTL_H
/*
 * The operator's command line. A command is a row of the table in storyctl.c and a function here; it gets the words
 * behind its name, prints to stdout (JSON with --json), and returns the exit code.
 */
#include "base/base.h"
#include "io/json.h"
#include "io/pg.h"

struct ctl {
    struct st_arena *arena;
    bool json;
    const char *env_dir; /* <service>.env files, as the daemons have them */
    const char *sql_dir;
    int argc; /* words behind the command's name, options left in */
    char **argv;
};

int ctl_status(struct ctl *c);
int ctl_migrate(struct ctl *c);
int ctl_reload(struct ctl *c);
int ctl_events(struct ctl *c);
int ctl_dead(struct ctl *c);
int ctl_jobs(struct ctl *c);
int ctl_rebuild(struct ctl *c);
int ctl_erasures(struct ctl *c);
int ctl_sagas(struct ctl *c);
int ctl_user(struct ctl *c);
int ctl_token(struct ctl *c);
int ctl_schema(struct ctl *c);
int ctl_tell(struct ctl *c);
int ctl_api(struct ctl *c);
int ctl_bench(struct ctl *c);
int ctl_lag(struct ctl *c);

/* --- ctl_env.c: the running instance, from its env files --- */
enum { CTL_SERVICES_MAX = 64 };
/* Names of the services that have an env file, sorted. On failure prints why and gives -1. */
int ctl_services(struct ctl *c, const char *ret_names[CTL_SERVICES_MAX]);
/* Value of NAME in the env file of a service; NULL when it is not there. */
const char *ctl_env(struct ctl *c, const char *service, const char *name);
/* A connection to the service's database; NULL (printed why) when its env file has none. The arena closes it. */
struct st_pg *ctl_database(struct ctl *c, const char *service);
/* The bus as the service reaches it, to be freed; NULL (printed why) when its env file does not say. */
struct st_bus *ctl_bus(struct ctl *c, const char *service);
/*
 * A request to a service's own socket, signed as the edge signs, with the rights of an admin. 0 and the answer (any
 * status), or a negative error (printed).
 */
int ctl_call(struct ctl *c, const char *service, const char *operation, const char *method, const char *uri,
             const json_t *body, int *ret_status, json_t **ret_answer);

/* --- ctl_rows.c: what a service's database has --- */
/* The services that a verb is for: the one that --service names, else (NULL) all; -1 (printed why). */
int ctl_chosen(struct ctl *c, const char *only, const char *ret_names[CTL_SERVICES_MAX]);
/* Rows of the services chosen, a line each, or all as JSON with `service` in each. */
struct ctl_list {
    const char *sql; /* a literal */
    void (*print)(struct ctl *c, const json_t *row);
    const char *none; /* what is said when there are none */
};
int ctl_list(struct ctl *c, const char *only, const struct ctl_list *list, int n_params, const char *const *params);
/* The row that the statement gives for $1, all of it; else "SERVICE has no <refusal>". */
int ctl_show(struct ctl *c, const char *service, const char *sql, const char *id, const char *refusal);
/* After a change: the service looks for work, and the operator is told {member: n}, or in a sentence. */
int ctl_changed(struct ctl *c, const char *service, int n, const char *member, const char *sentence);

/* event-N or job-N as its number; gives its first letter, 0 when it is neither. */
char ctl_id(const char *id, int64_t *ret);
/* Jobs are looked for at once; parked events, and all when Redis is away, at the next poll, within seconds. */
void ctl_ring_jobs(struct ctl *c, const char *service);

/* The folder of the daemons: where storyctl is. */
const char *ctl_daemons(struct ctl *c);
/* A bar on the terminal (stderr), in the place of the one before; NULL takes it away. */
void ctl_bar(const char *name, int64_t done, int64_t total);

/* Value of --name in the words (and takes both out), or NULL. */
const char *ctl_option(struct ctl *c, const char *name);
/* Is --name there? Takes it out. */
bool ctl_flag(struct ctl *c, const char *name);
/* Prints "storyctl: ..." to stderr; gives the exit code 1 (2 for usage). */
int ctl_error(const char *fmt, ...) ST_PRINTF(1, 2);
int ctl_usage(const char *fmt, ...) ST_PRINTF(1, 2);
void ctl_print_json(struct ctl *c, json_t *value); /* steals value */

#endif
