#ifndef ST_IO_PASSWORD_H
#define ST_IO_PASSWORD_H
/* Password hashes: Argon2id, m = 19456 KiB, t = 2, p = 1 (OWASP), by libargon2. */
#include "base/base.h"

/*
 * One hash takes about 20 ms and 19 MiB. At most one per core runs at a time; up to ST_PASSWORD_QUEUE callers wait, the
 * next gets ST_E_UNAVAILABLE, so that a login flood cannot eat the memory.
 */
enum { ST_PASSWORD_QUEUE = 32 };

/* Encoded form ($argon2id$…) with a fresh 16-byte salt. */
ST_MUSTCHECK int st_password_hash(struct st_arena *a, const char *password, const char **ret);
/* *ret_ok: does it match? encoded NULL costs the same time and never matches (unknown account). */
ST_MUSTCHECK int st_password_check(const char *encoded, const char *password, bool *ret_ok);

#endif
