#ifndef ST_IO_ZIP_H
#define ST_IO_ZIP_H
/*
 * Writes a zip archive (APPNOTE.TXT 4.3), one entry after the other; nothing is compressed, nothing is written twice.
 *
 *   struct st_zip z;
 *   st_zip_begin(&z, out);                       out: any stream, which stays the caller's; nothing is in it yet
 *   st_zip_add(&z, "mimetype", text, len);
 *   st_zip_add_file(&z, "audio.mp3", path);
 *   r = st_zip_end(&z);                          also releases z
 *
 * Names are relative paths in UTF-8, at most ST_ZIP_NAME_MAX bytes. The same entries make the same bytes: they have no
 * time. Failures are kept until the end: ST_E_UNAVAILABLE (something cannot be read or written), ST_E_TOO_LARGE (more
 * than 65535 entries, or 4 GiB).
 */
#include "base/base.h"

enum { ST_ZIP_NAME_MAX = 255 };

struct st_zip {
    FILE *out;
    struct st_buf directory;
    uint64_t at; /* bytes written */
    uint32_t entries;
    int error;
};

void st_zip_begin(struct st_zip *z, FILE *out);
void st_zip_add(struct st_zip *z, const char *name, const void *data, size_t len);
void st_zip_add_file(struct st_zip *z, const char *name, const char *path);
ST_MUSTCHECK int st_zip_end(struct st_zip *z);

#endif
