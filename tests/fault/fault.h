#ifndef TESTS_FAULT_FAULT_H
#define TESTS_FAULT_FAULT_H
/* What the services of the fault suite share. */
#include "svc/service.h"

#include <signal.h>
#include <unistd.h>

/* The process is killed here, once, when a test has left the file run_dir/kill-<where>. */
static inline void fault_point(const char *where)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/kill-%s", st_option("run_dir"), where);
    if (unlink(path) == 0)
        raise(SIGKILL);
}

#endif
