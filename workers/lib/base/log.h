#ifndef ST_BASE_LOG_H
#define ST_BASE_LOG_H
/*
 * JSON log lines on stderr, in the shape of the requirements document:
 *   {"timestamp":..., "service":..., "level":..., "correlationId":..., "userId":..., "message":..., "metadata":{...}}
 *
 *   st_log(ST_LOG_INFO, "Story created", ST_S("storyId", id), ST_I("duration", 145));
 *
 * Only the top of a call logs; a library function returns its error instead. A secret is never a value here. One line
 * is one write(2), so that lines of several processes do not mix; values are cut after 2,000 bytes, lines after 32 KiB.
 */
#include "base/compiler.h"

enum st_log_level { ST_LOG_DEBUG, ST_LOG_INFO, ST_LOG_WARNING, ST_LOG_ERROR };

struct st_kv {
    const char *key; /* NULL ends the list */
    const char *str; /* NULL: the value is num */
    int64_t num;
};
#define ST_S(k, v) ((struct st_kv){.key = (k), .str = (v) ? (v) : ""})
#define ST_I(k, v) ((struct st_kv){.key = (k), .num = (v)})

#define st_log(level, message, ...)                                                                                    \
    st_log_kv((level), (message), (const struct st_kv[]){__VA_OPT__(__VA_ARGS__, ){NULL, NULL, 0}})
void st_log_kv(enum st_log_level level, const char *message, const struct st_kv *kv);

/* The service's name in every line, and the lowest level that is written (default INFO). Call once, before threads. */
void st_log_setup(const char *service, enum st_log_level lowest);
/* Another lowest level, at any time: debug, info, warning or error. False: that is none, and it stays. */
bool st_log_level(const char *name);

/* Correlation id and user of the lines this thread writes from now on; NULL for none. The strings must stay. */
void st_log_context(const char *correlation_id, const char *user_id);

#endif
