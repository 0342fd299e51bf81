#ifndef TESTS_FAULT_FAULT_H
#define TESTS_FAULT_FAULT_H
/* What the services of the fault suite share. */
#include "svc/service.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

/*
 * The process is killed or stopped here, once, when a test has left the file run_dir/kill-<where> or stop-<where>; it
 * waits here as long as there is run_dir/hold-<where>, and shows it by run_dir/held-<where>.
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
    char hold[256], held[256];
    snprintf(hold, sizeof(hold), "%s/hold-%s", st_option("run_dir"), where);
    snprintf(held, sizeof(held), "%s/held-%s", st_option("run_dir"), where);
    if (access(hold, F_OK) < 0)
        return;
    close(open(held, O_WRONLY | O_CREAT, 0600));
    while (access(hold, F_OK) == 0)
        st_sleep_ms(10);
    unlink(held);
}

#endif
