#ifndef ST_SVC_CLOUD_EVENT_H
#define ST_SVC_CLOUD_EVENT_H
/*
 * An event as the outside sees it: CloudEvents 1.0 in JSON (structured mode), for webhooks and other buses.
 *
 *   envelope                      CloudEvent
 *   eventId                       id
 *   eventType                     type             "storytelling.StoryCreated"
 *   (the publishing service)      source           "/storytelling/story"
 *   aggregateType, aggregateId    subject          "story/01a2…": the type has no slash
 *   timestamp                     time
 *   version                       eventversion     extension
 *   metadata: userId, correlationId, causationId, traceparent
 *                                 userid, correlationid, causationid, traceparent: extensions; only those that are
 * there payload                       data, datacontenttype "application/json" (the registry's $id)          dataschema
 * left out when it is not known
 *
 * Both ways: one event makes one CloudEvent, and that makes the same event.
 */
#include "io/json.h"

/* NULL when the envelope lacks a member. service, schema: of the registry; schema may be NULL. The arena keeps it. */
json_t *st_cloud_event(struct st_arena *a, const json_t *envelope, const char *service, const char *schema);

/* The envelope again; NULL when it is not such a CloudEvent. */
json_t *st_cloud_event_read(struct st_arena *a, const json_t *cloud_event);

#endif
