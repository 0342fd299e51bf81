#ifndef ST_CTL_EVENTS_H
#define ST_CTL_EVENTS_H
/* What the files behind `storyctl events` share. */
#include "storyctl/storyctl.h"

#include "svc/archive.h"

/*
 * The schemas of a registry folder, sorted by type, each with a member x-key ("StoryCreated.v1"); kept by the arena.
 * NULL (printed why) when one is broken.
 */
json_t *ctl_registry(struct ctl *c, const char *dir);

/* The folder named by --dir, else the registry of this checkout. */
const char *ctl_registry_dir(struct ctl *c);

/* The JSON of a row of ST_ENVELOPE_SQL. */
json_t *ctl_envelope(struct ctl *c, const struct st_rows *rows, int row);
json_t *ctl_cloud_event(struct ctl *c, const json_t *registry, const char *service, const json_t *envelope);

/* What a daemon says of itself (--describe); NULL (printed why) when it does not. */
json_t *ctl_describe(struct ctl *c, const char *path);

int ctl_events_replay(struct ctl *c);
int ctl_events_catalog(struct ctl *c);
int ctl_events_diff(struct ctl *c);
int ctl_events_tail(struct ctl *c);

/* The page of the catalogue. consumers: event type -> list of services. */
void ctl_catalog_page(struct ctl *c, const json_t *registry, const json_t *consumers);

/* The catalogue as AsyncAPI 3. */
json_t *ctl_catalog_asyncapi(struct ctl *c, const json_t *registry, const json_t *consumers);

#endif
