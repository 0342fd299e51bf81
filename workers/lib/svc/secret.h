#ifndef ST_SVC_SECRET_H
#define ST_SVC_SECRET_H
/*
 * Sensitive members of events. Not for services, which see them in clear (service.h).
 *
 * The registry names them (x-sensitive), and the member that names the user whose key seals them (x-subject; else
 * userId, else authorId, else the caller). In the log, on the bus, among parked events and in archives stands in their
 * place "enc:1:<key id>:<sealed>": the JSON text of the value by AES-256-GCM, bound to the event's id and the member's
 * name, so that nothing sealed can be moved elsewhere. Without the key it is gone everywhere at once: identity destroys
 * it with the account.
 *
 * Identity keeps the keys (st_service.user_key), wrapped by its master key, and hands them to the other daemons on its
 * socket; whoever asks signs with the edge's key, for a path that the edge has no contract for. A daemon keeps a key
 * for minutes, in memory alone, and forgets it on UserDeleted. While identity is away what is in memory goes on; else
 * emitting and handling fail with ST_E_UNAVAILABLE: requests with 503, events and jobs are tried again. Only identity's
 * own word (410) makes a key count as destroyed.
 *
 * Members that are not sealed (of events from before) stay as they are.
 */
#include "io/http_server.h"
#include "svc/call.h"

/* What is to be stored: the payload itself when nothing of it is sensitive. NULL: the call is doomed. */
const json_t *st_secret_seal(struct st_call *call, const struct st_event_type *type, const char *event_id,
                             json_t *payload);

/* Opens what call->body has sealed, or takes it out: see st_subscription.sensitive. May be called again. */
ST_MUSTCHECK int st_secret_open(struct st_call *call, const struct st_subscription *subscription);

/* The same for the payload of any event, whatever is subscribed to. */
ST_MUSTCHECK int st_secret_open_payload(struct st_call *call, const struct st_event_type *type, const char *event_id,
                                        json_t *payload);

/* Forgets a user's keys (NULL: all), and what has been kept for long enough. */
void st_secret_forget(const char *user_id);
void st_secret_sweep(void);

/* Answers a request for keys; false when it is none, or none are kept here. */
bool st_secret_serve(struct st_worker *w, struct st_http_request *req, struct st_http_response *res);

#endif
