#ifndef ST_BASE_ID_H
#define ST_BASE_ID_H
/* Identifiers: UUIDv7 (RFC 9562), which sort by the time they were made. */
#include "base/arena.h"

enum { ST_UUID_LEN = 37 };
/* 36 characters and a NUL. Strictly increasing within a process, whatever the clock does. Thread-safe. */
char *st_uuid(char out[ST_UUID_LEN]);
char *st_new_id(struct st_arena *a);
bool st_is_uuid(const char *s); /* any version, lower or upper case */

/* When a UUIDv7 was made, us since 1970 (to the millisecond); 0 for anything else. */
int64_t st_uuid_time(const char *s);

/* len bytes from the kernel's generator; aborts when it has none. */
void st_random(void *out, size_t len);
/*
 * The same for identifiers, which are made often: the kernel is asked for a page now and then, each byte is given out
 * once. Thread-safe, and after a fork too. Secrets come from st_random, so that none lies about in memory.
 */
void st_random_id(void *out, size_t len);

#endif
