#ifndef TESTS_FAULT_FAULT_H
#define TESTS_FAULT_FAULT_H
/* What the services of the fault suite share. */
#include "svc/service.h"

#include <signal.h>
#include <unistd.h>

/*
 * The process is killed or stopped here, once, when a test has left the file run_dir/kill-<where> or stop-<where>; it
 * waits here as long as there is run_dir/hold-<where>.
 */
static inline void fault_point(const char *where)
{
    static const struct {
        const char *what;
        int signal;
    } faults[] = {{"kill", SIGKILL}, {"stop", SIGSTOP}};
    for (size_t i = 0; i < ST_COUNT(faults); i++) {
        char path[256];
        snprintf(path, sizeof(path), "%s/%s-%s", st_option("run_dir"), faults[i].what, where);
        if (unlink(path) == 0)
            raise(faults[i].signal); /* in this thread: it must not get any further */
    }
    char held[256];
    snprintf(held, sizeof(held), "%s/hold-%s", st_option("run_dir"), where);
    while (access(held, F_OK) == 0)
        st_sleep_ms(10);
}

#endif
