/* Compressed files of lines, by zlib. */
#include "io/gzip.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

enum { BUFFER = 128 * 1024, PIECE = 64 * 1024 };

struct st_gzip {
    gzFile file;
    int fd; /* ours beside zlib's, to sync what it has written; -1 when reading */
};

static int open_file(const char *path, int flags, const char *mode, struct st_gzip **ret)
{
    int fd = open(path, flags | O_CLOEXEC, 0640), own = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    gzFile file = own >= 0 ? gzdopen(own, mode) : NULL;
    if (!file) {
        if (own >= 0)
            close(own);
        if (fd >= 0)
            close(fd);
        return ST_E_UNAVAILABLE;
    }
    gzbuffer(file, BUFFER);
    struct st_gzip *g = calloc(1, sizeof(*g));
    if (!g)
        abort();
    *g = (struct st_gzip){file, fd};
    *ret = g;
    return 0;
}

int st_gzip_create(const char *path, struct st_gzip **ret)
{
    return open_file(path, O_WRONLY | O_CREAT | O_TRUNC, "wb6", ret);
}

int st_gzip_open(const char *path, struct st_gzip **ret)
{
    return open_file(path, O_RDONLY, "rb", ret);
}

int st_gzip_add(struct st_gzip *g, const char *line, size_t len)
{
    bool ok = (len == 0 || gzwrite(g->file, line, (unsigned)len) == (int)len) && gzputc(g->file, '\n') == '\n';
    return ok ? 0 : ST_E_UNAVAILABLE;
}

int st_gzip_finish(struct st_gzip *g)
{
    bool ok = gzclose(g->file) == Z_OK && fsync(g->fd) == 0;
    ok &= close(g->fd) == 0;
    free(g);
    return ok ? 0 : ST_E_UNAVAILABLE;
}

int st_gzip_line(struct st_gzip *g, struct st_buf *b)
{
    char piece[PIECE];
    int error;
    st_buf_clear(b);
    while (gzgets(g->file, piece, sizeof(piece))) {
        size_t n = strlen(piece);
        bool whole = n && piece[n - 1] == '\n';
        st_buf_add(b, piece, n - whole);
        if (b->failed)
            return ST_E_INVALID;
        if (whole)
            return 1;
    }
    (void)gzerror(g->file, &error);
    return b->len == 0 && error == Z_OK ? 0 : ST_E_INVALID; /* a last line without its end was cut off */
}

struct st_gzip *st_gzip_free(struct st_gzip *g)
{
    if (g) {
        gzclose(g->file);
        close(g->fd);
        free(g);
    }
    return NULL;
}
