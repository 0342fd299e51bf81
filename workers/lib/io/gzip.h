#ifndef ST_IO_GZIP_H
#define ST_IO_GZIP_H
/* Files of lines, compressed by zlib. The same lines give the same bytes. A file belongs to one thread. */
#include "base/base.h"

struct st_gzip;

/* A new file, mode 0640; what was there is gone. ST_E_UNAVAILABLE and errno when it cannot be made. */
ST_MUSTCHECK int st_gzip_create(const char *path, struct st_gzip **ret);
ST_MUSTCHECK int st_gzip_add(struct st_gzip *g, const char *line, size_t len); /* a line feed follows */
/* All of it is on the disk; frees g whatever it gives. */
ST_MUSTCHECK int st_gzip_finish(struct st_gzip *g);

ST_MUSTCHECK int st_gzip_open(const char *path, struct st_gzip **ret);
/* 1: the next line, without its line feed. 0: the end. ST_E_INVALID: the file is damaged, or the line too long for b.
 */
ST_MUSTCHECK int st_gzip_line(struct st_gzip *g, struct st_buf *b);

struct st_gzip *st_gzip_free(struct st_gzip *g); /* NULL-safe, gives NULL */

#endif
