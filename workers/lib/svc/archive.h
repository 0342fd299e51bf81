#ifndef ST_SVC_ARCHIVE_H
#define ST_SVC_ARCHIVE_H
/*
 * Retention: the log into compressed files, then out of the database. Not for services.
 *
 * Whole UTC days that are 7 days old are written to the object store,
 *     archive/<service>/<yyyy>/<mm>/<dd>/<first seq>-<last seq>.ndjson.gz
 * a line of ST_ARCHIVE_LINE for each event, sealed members as they are. Then operational events are deleted, and audit
 * events when they are 30 days old; types that a projection reads, for which the log is the source of truth, stay.
 *
 * Killed at any instruction, nothing is lost and no line is there twice: the range of a file is recorded before the
 * file, and never changes; it appears under its name whole and synced; its row says 'done', with SHA-256 and number of
 * lines, in the transaction that held the row while the file was named; what the log is to lose is only ever what a
 * file has whose SHA-256 was looked at just before. Two archivers at once (each holds a lock on its connection, which
 * can break) make the same file, or the second finds the first's.
 *
 * What the relay may publish again stays in the log: relay_needs_from().
 */
#include "svc/run.h"

/* An event as consumers get it, and as a line of an archive, in a select from `events`. */
#define ST_ENVELOPE_SQL                                                                                                \
    "json_build_object('eventId', event_id, 'eventType', event_type, 'aggregateId', aggregate_id, 'aggregateType', "   \
    "aggregate_type, 'timestamp', to_char(recorded_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), "      \
    "'version', version, 'metadata', metadata, 'payload', payload)"
#define ST_ARCHIVE_LINE                                                                                                \
    "json_build_object('seq', seq, 'aggregateVersion', aggregate_version, 'event', " ST_ENVELOPE_SQL ")"
enum { ST_ARCHIVE_LINE_MAX = 16 << 20 };

/* Does what is due, in steps, until nothing is, or the daemon stops. Needs the lock of st_archive_main, or to be alone.
 */
ST_MUSTCHECK int st_archive_work(struct st_worker *w);

#endif
