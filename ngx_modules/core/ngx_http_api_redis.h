#ifndef NGX_HTTP_API_REDIS_H
#define NGX_HTTP_API_REDIS_H
/*
 * Redis on nginx's event loop. Each worker holds one connection for commands; it comes back by itself after a loss.
 *
 * Nothing here blocks, and nobody waits for a Redis that is away: a call is then declined at once. A connection that
 * stands but does not answer (a call ran out of time, and nothing at all was heard meanwhile) counts as away until
 * something is heard. A worker that has just started sends its calls behind the connection's beginning, so that a
 * reload does not go around Redis. Commands that wait for their answer are bounded.
 */
#include "ngx_http_api.h"

struct redisReply;
struct redisAsyncContext;

/*
 * The answer. NULL: none came in time, the connection was lost, or Redis answered with an error (which is logged); the
 * command may have been carried out all the same. The reply is good until this returns.
 */
typedef void ngx_http_api_redis_pt(void *data, const struct redisReply *reply);

/*
 * Sends a command; lens may be NULL for strings. NGX_OK: `answer` will be called once, from the event loop, within
 * `timeout` milliseconds. NGX_DECLINED: Redis is away, or too many commands wait: nothing was sent, `answer` will not
 * be called. A worker that ends calls nobody.
 */
ngx_int_t ngx_http_api_redis_call(ngx_msec_t timeout, ngx_http_api_redis_pt *answer, void *data, int argc,
                                  const char **argv, const size_t *lens);

/* A Lua script, sent by its hash; as text when Redis does not know it. sha is filled by the first use. */
typedef struct {
    const char *text;
    char sha[41];
} ngx_http_api_script_t;

/* The same for a script; argv: the number of keys, the keys, the arguments; at most 50. */
ngx_int_t ngx_http_api_redis_eval(ngx_msec_t timeout, ngx_http_api_redis_pt *answer, void *data,
                                  ngx_http_api_script_t *script, int argc, const char **argv, const size_t *lens);

/*
 * The owner of `data` is going: its answers are thrown away. For a request: ngx_http_cleanup_add, because a request may
 * be finalised while it waits.
 */
void ngx_http_api_redis_forget(const void *data);

/* A step or phase handler that has asked returns what suspend gives (NGX_AGAIN); it runs again after resume. */
ngx_int_t ngx_http_api_suspend(ngx_http_request_t *r);
void ngx_http_api_resume(ngx_http_request_t *r);

/* Would a call be sent? */
bool ngx_http_api_redis_up(void);

/* What a reply holds: exactly n integers; a string. NGX_DECLINED: something else, or nil. */
ngx_int_t ngx_http_api_redis_integers(const struct redisReply *reply, int64_t *ret, size_t n);
ngx_int_t ngx_http_api_redis_string(const struct redisReply *reply, ngx_str_t *ret);

/* The worker's connection. `turned` (may be NULL) hears when it has come up and when it has gone. */
void ngx_http_api_redis_start(ngx_http_api_main_conf_t *amcf, void (*turned)(bool up));
void ngx_http_api_redis_stop(void);

/* Any other connection, for one who subscribes. `lost` may not close it at once: hiredis is still at work then. */
typedef struct {
    struct redisAsyncContext *ac; /* NULL: closed */
    ngx_connection_t *connection;
    void (*lost)(void);
} ngx_http_api_redis_connection_t;

ngx_int_t ngx_http_api_redis_open(ngx_http_api_redis_connection_t *conn, const ngx_http_api_main_conf_t *amcf);
void ngx_http_api_redis_close(ngx_http_api_redis_connection_t *conn);

/* Worker 0: what Redis knows is brought into the shared state (ngx_http_api_sync.c). */
void ngx_http_api_sync_start(ngx_http_api_main_conf_t *amcf); /* starts the link too */
void ngx_http_api_sync_stop(void);

#endif
