#ifndef ST_SVC_OPTIONS_H
#define ST_SVC_OPTIONS_H
/*
 * Options: config/storytelling.conf ("name = value", # comments), overridden by the environment (ST_<NAME>).
 * The library's own options are listed in options.c; a service adds a list of its own.
 */
#include "svc/service.h"

/*
 * Reads all options of the library and of the service (NULL for none) once, before threads start. ST_E_INVALID with
 * *ret_why for a missing required option, an unknown name in the file or a line that is none.
 */
ST_MUSTCHECK int st_options_load(const struct st_option *service_options, const char **ret_why);

/*
 * Reads file and environment again, later, by one thread: a new log_level holds from now on. *ret_others: the names of
 * other options that have changed ("" for none), which count from the next start; st_option still gives the old values.
 * ST_E_INVALID and *ret_why: nothing has changed. Both are the arena's.
 */
ST_MUSTCHECK int st_options_reload(struct st_arena *a, const char **ret_others, const char **ret_why);

#endif
