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

#endif
