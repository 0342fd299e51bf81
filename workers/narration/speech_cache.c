/* Keeps what was spoken in files named by what decides its sound. */
#include "narration/speech_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "narration/speech_text.h"

enum {
    MAGIC = 0x33505453, /* "STP3" */
    MODE = 0640,
    DIR_MODE = 0750,
    DATA_MAX = 256 << 20,
    ASK_FIRST_MS = 5, /* whether a claim has ended */
    ASK_LAST_MS = 100,
};
static const int64_t DAY_US = 86400 * ST_SECOND;

struct header {
    uint32_t magic;
    uint32_t rate;   /* of samples; 0: it is a piece */
    uint64_t len;    /* bytes */
    uint64_t voices; /* as of the key */
    uint64_t sum;    /* of them: a power failure can leave a file of the right size with other contents */
};

/* FNV-1a over words of eight bytes: it finds what a disk does, nobody's intent. */
static uint64_t checksum(const void *data, size_t len)
{
    uint64_t h = 0xcbf29ce484222325u, word;
    const char *at = data;
    for (; len >= sizeof(word); at += sizeof(word), len -= sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        h = (h ^ word) * 0x100000001b3u;
        h ^= h >> 29;
    }
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)at[i]) * 0x100000001b3u;
    return h;
}

/* Three of 64 bits, so that of some ten thousand voices one has the same. */
static uint64_t marks_of(const char *voice)
{
    enum { MARKS = 3, BITS = 6 };
    uint64_t h = checksum(voice, strlen(voice)), marks = 0;
    for (int i = 0; i < MARKS; i++)
        marks |= UINT64_C(1) << (h >> (i * BITS) & 63);
    return marks;
}

struct st_speech_key st_speech_key_of(const struct st_manner *m, const char *text, size_t len)
{
    struct st_speech_key ret = {.voices = m->engine == SPEAK_REMOTE ? marks_of(m->name) : 0};
    struct st_buf key = ST_BUF(len + 4096);
    st_buf_printf(&key, "%s\n%d\n%s\n%s\n%d %d %d %d\n%d\n", ST_SPEECH_RULES, (int)m->engine, m->name, m->language,
                  m->pitch, m->range, m->rate, m->tract, m->take);
    st_buf_printf(&key, "%s\n", m->maker ? m->maker : "");
    if (m->engine == SPEAK_REMOTE)
        st_buf_printf(&key, "%s\n%d %d\n", m->model, m->emotion, m->strength);
    st_buf_add(&key, text, len);
    st_sha256(key.data, key.len, ret.digest);
    st_buf_release(&key);
    return ret;
}

#define PAID "paid-"

/* <dir>/<first two hex digits>/<the others>; what a provider says is told apart, since it costs money to have it again.
 */
static const char *file_path(struct st_arena *a, const char *dir, const struct st_speech_key *key)
{
    const char *hex = st_hex(a, key->digest, sizeof(key->digest));
    return st_printf(a, "%s/%.2s/%s%s", dir, hex, key->voices ? PAID : "", hex + 2);
}

static bool read_all(int fd, void *data, size_t len)
{
    ssize_t n;
    for (char *at = data; len && (n = read(fd, at, len)) > 0; at += n)
        len -= (size_t)n;
    return len == 0;
}

static bool read_file(int fd, struct header *ret_h, void **ret_data)
{
    struct header h;
    struct stat st;
    if (!read_all(fd, &h, sizeof(h)) || h.magic != MAGIC || h.len > DATA_MAX || fstat(fd, &st) < 0 ||
        st.st_size != (off_t)(sizeof(h) + h.len))
        return false;
    void *data = malloc(h.len + 1);
    if (!data)
        abort();
    if (!read_all(fd, data, h.len) || checksum(data, h.len) != h.sum) {
        free(data);
        return false;
    }
    *ret_h = h;
    *ret_data = data;
    return true;
}

static bool get(const char *dir, const struct st_speech_key *key, struct header *ret_h, void **ret_data)
{
    struct st_arena a = {0};
    bool hit = false;
    int fd = open(file_path(&a, dir, key), O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        hit = read_file(fd, ret_h, ret_data);
        if (hit)
            futimens(fd, NULL); /* the time of use, for trim */
        close(fd);
    }
    st_arena_release(&a);
    return hit;
}

static bool write_file(const char *path, const struct header *h, const void *data)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, MODE);
    if (fd < 0)
        return false;
    bool ok = write(fd, h, sizeof(*h)) == sizeof(*h);
    ssize_t n = 0;
    for (size_t at = 0; ok && at < h->len; at += (size_t)n)
        ok = (n = write(fd, (const char *)data + at, h->len - at)) > 0;
    return close(fd) == 0 && ok;
}

static bool put(const char *dir, const struct st_speech_key *key, uint32_t rate, const void *data, size_t len)
{
    const struct header h = {MAGIC, rate, len, key->voices, checksum(data, len)};
    struct st_arena a = {0};
    char id[ST_UUID_LEN];
    const char *path = file_path(&a, dir, key);
    const char *fresh = st_printf(&a, "%s.%s", path, st_uuid(id));
    mkdir(st_strndup(&a, path, strlen(dir) + 3), DIR_MODE); /* there already, as a rule; else the open says so */
    bool ok = write_file(fresh, &h, data) && rename(fresh, path) == 0;
    if (!ok)
        unlink(fresh);
    st_arena_release(&a);
    return ok;
}

bool st_speech_cache_get(const char *dir, const struct st_speech_key *key, void **ret_data, size_t *ret_len)
{
    struct header h;
    if (!get(dir, key, &h, ret_data))
        return false;
    *ret_len = h.len;
    return true;
}

bool st_speech_cache_put(const char *dir, const struct st_speech_key *key, const void *data, size_t len)
{
    return put(dir, key, 0, data, len);
}

bool st_speech_cache_get_pcm(const char *dir, const struct st_speech_key *key, struct st_pcm *ret_pcm)
{
    struct header h;
    void *data;
    if (!get(dir, key, &h, &data))
        return false;
    *ret_pcm = (struct st_pcm){.samples = data, .count = h.len / sizeof(int16_t), .rate = h.rate};
    return true;
}

bool st_speech_cache_put_pcm(const char *dir, const struct st_speech_key *key, const struct st_pcm *pcm)
{
    return put(dir, key, pcm->rate, pcm->samples, pcm->count * sizeof(int16_t));
}

/* One file for all claims: each is a lock on the byte whose number the key gives, and goes with the descriptor. */
int st_speech_cache_claim(const char *dir, const struct st_speech_key *key, const atomic_bool *stop)
{
    struct st_arena a = {0};
    uint64_t at;
    memcpy(&at, key->digest, sizeof(at));
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)(at >> 2), .l_len = 1};
    int fd = open(st_printf(&a, "%s/claims", dir), O_RDWR | O_CREAT | O_CLOEXEC, MODE);
    for (int ms = ASK_FIRST_MS; fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) < 0;
         ms = ms * 2 < ASK_LAST_MS ? ms * 2 : ASK_LAST_MS) {
        if ((errno == EAGAIN || errno == EACCES) && !(stop && atomic_load(stop))) {
            st_sleep_ms(ms);
            continue;
        }
        close(fd);
        fd = -1;
    }
    st_arena_release(&a);
    return fd;
}

void st_speech_cache_release(int claim)
{
    if (claim >= 0)
        close(claim);
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

static void list_add(struct listing *l, char *path, const struct stat *st, int64_t later)
{
    if (l->count == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 1024;
        l->entries = realloc(l->entries, l->cap * sizeof(*l->entries));
        if (!l->entries)
            abort();
    }
    int64_t used = st->st_mtim.tv_sec * ST_SECOND + st->st_mtim.tv_nsec / 1000 + later;
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
            list_add(l, st_printf(l->arena, "%s/%s", path, e->d_name), &st,
                     st_starts(e->d_name, PAID) ? ST_SPEECH_PAID_DAYS * DAY_US : 0);
    }
    closedir(d);
}

static int by_use(const void *x, const void *y)
{
    const struct entry *a = x, *b = y;
    return a->used < b->used ? -1 : a->used > b->used;
}

/* All files; false: there is no such directory. */
static bool list_all(struct listing *l, const char *dir)
{
    enum { FOLDERS = 256 };
    if (access(dir, R_OK | W_OK | X_OK) < 0)
        return false;
    for (int i = 0; i < FOLDERS; i++)
        list_folder(l, st_printf(l->arena, "%s/%02x", dir, (unsigned)i));
    return true;
}

int64_t st_speech_cache_trim(const char *dir, int64_t max_bytes)
{
    struct st_arena a = {0};
    struct listing l = {.arena = &a};
    if (!list_all(&l, dir))
        return ST_E_UNAVAILABLE;
    if (l.count && l.bytes > max_bytes)
        qsort(l.entries, l.count, sizeof(*l.entries), by_use);
    for (size_t i = 0; i < l.count && l.bytes > max_bytes; i++)
        if (unlink(l.entries[i].path) == 0 || errno == ENOENT)
            l.bytes -= l.entries[i].size;
    free(l.entries);
    st_arena_release(&a);
    return l.bytes;
}

/* Of a file that is no such sound nobody knows. */
static bool may_be_of(const char *path, uint64_t marks)
{
    struct header h;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool known = fd >= 0 && read_all(fd, &h, sizeof(h)) && h.magic == MAGIC;
    if (fd >= 0)
        close(fd);
    return !known || (h.voices & marks) == marks;
}

int st_speech_cache_forget(const char *dir, const char *voice)
{
    uint64_t marks = marks_of(voice);
    struct st_arena a = {0};
    struct listing l = {.arena = &a};
    int r = list_all(&l, dir) ? 0 : ST_E_UNAVAILABLE;
    for (size_t i = 0; i < l.count; i++)
        if (may_be_of(l.entries[i].path, marks) && unlink(l.entries[i].path) < 0 && errno != ENOENT)
            r = ST_E_UNAVAILABLE;
    free(l.entries);
    st_arena_release(&a);
    return r;
}
