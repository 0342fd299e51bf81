/* Keeps spoken utterances in files named by what decides their sound. */
#include "narration/speech_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/crypto.h"
#include "narration/speech_text.h"

enum { MAGIC = 0x43505453 /* "STPC" */, MODE = 0640, DIR_MODE = 0750 };

struct header {
    uint32_t magic;
    uint32_t rate;
    uint64_t count;
    uint64_t sum; /* of the samples: a power failure can leave a file of the right size with other contents */
};

/* FNV-1a over the samples. */
static uint64_t checksum(const struct st_pcm *pcm)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < pcm->count; i++)
        h = (h ^ (uint16_t)pcm->samples[i]) * 0x100000001b3u;
    return h;
}

/* <dir>/<first two hex digits>/<the others> */
static const char *file_path(struct st_arena *a, const char *dir, const struct st_manner *m, const char *text,
                             size_t len)
{
    unsigned char digest[ST_SHA256_LEN];
    struct st_buf key = ST_BUF(len + 512);
    st_buf_printf(&key, "%s\n%d\n%s\n%s\n%d %d %d %d\n%d\n", ST_SPEECH_RULES, (int)m->engine, m->name, m->language,
                  m->pitch, m->range, m->rate, m->tract, m->take);
    st_buf_add(&key, text, len);
    st_sha256(key.data, key.len, digest);
    st_buf_release(&key);
    const char *hex = st_hex(a, digest, sizeof(digest));
    return st_printf(a, "%s/%.2s/%s", dir, hex, hex + 2);
}

static bool read_pcm(int fd, struct st_pcm *ret_pcm)
{
    struct header h;
    struct stat st;
    if (read(fd, &h, sizeof(h)) != sizeof(h) || h.magic != MAGIC || h.count > SPEAK_SAMPLES_MAX || fstat(fd, &st) < 0)
        return false;
    size_t size = h.count * sizeof(int16_t);
    if (st.st_size != (off_t)(sizeof(h) + size))
        return false;
    struct st_pcm pcm = {.samples = malloc(size + 1), .count = h.count, .rate = h.rate};
    if (!pcm.samples)
        abort();
    if (read(fd, pcm.samples, size) != (ssize_t)size || checksum(&pcm) != h.sum) {
        st_pcm_release(&pcm);
        return false;
    }
    *ret_pcm = pcm;
    return true;
}

bool st_speech_cache_get(const char *dir, const struct st_manner *manner, const char *text, size_t len,
                         struct st_pcm *ret_pcm)
{
    struct st_arena a = {0};
    bool hit = false;
    int fd = open(file_path(&a, dir, manner, text, len), O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        hit = read_pcm(fd, ret_pcm);
        if (hit)
            futimens(fd, NULL); /* the time of use, for trim */
        close(fd);
    }
    st_arena_release(&a);
    return hit;
}

static bool write_pcm(const char *path, const struct st_pcm *pcm)
{
    struct header h = {MAGIC, pcm->rate, pcm->count, checksum(pcm)};
    size_t size = pcm->count * sizeof(int16_t);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, MODE);
    if (fd < 0)
        return false;
    bool ok = write(fd, &h, sizeof(h)) == sizeof(h) && write(fd, pcm->samples, size) == (ssize_t)size;
    return close(fd) == 0 && ok;
}

bool st_speech_cache_put(const char *dir, const struct st_manner *manner, const char *text, size_t len,
                         const struct st_pcm *pcm)
{
    struct st_arena a = {0};
    char id[ST_UUID_LEN];
    const char *path = file_path(&a, dir, manner, text, len);
    const char *fresh = st_printf(&a, "%s.%s", path, st_uuid(id));
    mkdir(st_strndup(&a, path, strlen(dir) + 3), DIR_MODE); /* there already, as a rule; else the open says so */
    bool ok = write_pcm(fresh, pcm) && rename(fresh, path) == 0;
    if (!ok)
        unlink(fresh);
    st_arena_release(&a);
    return ok;
}

struct entry {
    char *path;
    int64_t used; /* us */
    int64_t size;
};

struct listing {
    struct st_arena *arena;
    struct entry *entries;
    size_t count, cap;
    int64_t bytes;
};

static void list_add(struct listing *l, char *path, const struct stat *st)
{
    if (l->count == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 1024;
        l->entries = realloc(l->entries, l->cap * sizeof(*l->entries));
        if (!l->entries)
            abort();
    }
    int64_t used = st->st_mtim.tv_sec * ST_SECOND + st->st_mtim.tv_nsec / 1000;
    l->entries[l->count++] = (struct entry){path, used, st->st_size};
    l->bytes += st->st_size;
}

static void list_folder(struct listing *l, const char *path)
{
    DIR *d = opendir(path);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));) {
        struct stat st;
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
            list_add(l, st_printf(l->arena, "%s/%s", path, e->d_name), &st);
    }
    closedir(d);
}

static int by_use(const void *x, const void *y)
{
    const struct entry *a = x, *b = y;
    return a->used < b->used ? -1 : a->used > b->used;
}

int64_t st_speech_cache_trim(const char *dir, int64_t max_bytes)
{
    enum { FOLDERS = 256 };
    struct st_arena a = {0};
    struct listing l = {.arena = &a};
    if (access(dir, R_OK | W_OK | X_OK) < 0)
        return ST_E_UNAVAILABLE;
    for (int i = 0; i < FOLDERS; i++)
        list_folder(&l, st_printf(&a, "%s/%02x", dir, (unsigned)i));
    if (l.count && l.bytes > max_bytes)
        qsort(l.entries, l.count, sizeof(*l.entries), by_use);
    for (size_t i = 0; i < l.count && l.bytes > max_bytes; i++)
        if (unlink(l.entries[i].path) == 0 || errno == ENOENT)
            l.bytes -= l.entries[i].size;
    free(l.entries);
    st_arena_release(&a);
    return l.bytes;
}
