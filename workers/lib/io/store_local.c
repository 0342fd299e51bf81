/*
 * Objects as files: <dir>/<key>, and beside the tree, where no key leads, <dir>/.sha256/<key>. What is being written
 * has a name of its own in <dir>/.part/, so nothing of it is ever seen under a key.
 */
#include "io/store_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MODE = 0640, DIR_MODE = 0750, TRIES = 10, COPY = 64 * 1024 };

static int unavailable(struct st_arena *a, const char *path, const char **ret_why)
{
    *ret_why = st_printf(a, "%s: %s", path, strerror(errno));
    return ST_E_UNAVAILABLE;
}

static int check(const struct st_store *s, const char **ret_why)
{
    *ret_why = "object_dir must be an absolute path";
    return s->dir && s->dir[0] == '/' ? 0 : ST_E_INVALID;
}

static char *place(const struct st_store *s, struct st_arena *a, const char *key)
{
    return st_printf(a, "%s/%s", s->dir, key);
}

static char *sum_place(const struct st_store *s, struct st_arena *a, const char *key)
{
    return st_printf(a, "%s/.sha256/%s", s->dir, key);
}

static char *part_place(const struct st_store *s, struct st_arena *a)
{
    char id[ST_UUID_LEN];
    return st_printf(a, "%s/.part/%s", s->dir, st_uuid(id));
}

/* The folders that lead to a file of the store. A real failure shows when the file is made. */
static void make_folders(const struct st_store *s, const char *file)
{
    char path[PATH_MAX];
    size_t root = strlen(s->dir);
    if (snprintf(path, sizeof(path), "%s", file) >= (int)sizeof(path))
        return;
    for (char *slash = path + root; (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        (void)mkdir(path, DIR_MODE);
        *slash = '/';
    }
}

static int sync_file(const char *path, int flags)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
    bool ok = fd >= 0 && fsync(fd) == 0;
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return ok ? 0 : -1;
}

/* The folders of a file up to the store's own, so that the name is there after a loss of power. */
static int sync_folders(const struct st_store *s, struct st_arena *a, const char *file)
{
    char *path = st_strdup(a, file);
    size_t root = strlen(s->dir);
    for (char *slash = strrchr(path, '/'); slash && (size_t)(slash - path) >= root; slash = strrchr(path, '/')) {
        *slash = '\0';
        if (sync_file(path, O_DIRECTORY) < 0)
            return -1;
    }
    return 0;
}

/* Gives a whole, synced file its name. A folder may go while it is empty: whoever removed its last object did that. */
static int publish(const struct st_store *s, struct st_arena *a, const char *part, const char *file)
{
    int r = -1;
    for (int i = 0; i < TRIES && r < 0; i++) {
        make_folders(s, file);
        r = rename(part, file);
        if (r < 0 && errno != ENOENT)
            break;
    }
    return r < 0 ? r : sync_folders(s, a, file);
}

static bool copy_all(int from, int to)
{
    char *block = malloc(COPY);
    ssize_t n = 0;
    if (!block)
        abort();
    while ((n = read(from, block, COPY)) > 0)
        for (ssize_t done = 0, w; done < n; done += w)
            if ((w = write(to, block + done, (size_t)(n - done))) < 0) {
                free(block);
                return false;
            }
    free(block);
    return n == 0;
}

static int copy_file(const char *from, const char *to)
{
    int in = open(from, O_RDONLY | O_CLOEXEC), out = -1;
    bool ok = in >= 0 && (out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, MODE)) >= 0 && copy_all(in, out);
    int error = errno;
    if (in >= 0)
        close(in);
    if (out >= 0 && close(out) < 0)
        ok = false;
    errno = error;
    return ok ? 0 : -1;
}

static int write_sum(const struct st_store *s, struct st_arena *a, const char *key, const char *sha256)
{
    const char *part = part_place(s, a);
    make_folders(s, part);
    int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, MODE);
    bool ok = fd >= 0 && write(fd, sha256, 2 * ST_SHA256_LEN) == 2 * ST_SHA256_LEN && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    if (ok && publish(s, a, part, sum_place(s, a, key)) == 0)
        return 0;
    int error = errno;
    (void)unlink(part);
    errno = error;
    return -1;
}

/* The checksum first: an object without one could not be told from one that is damaged. */
static int put(const struct st_store *s, struct st_arena *a, const char *key, const char *path, const char *sha256,
               const char **ret_why)
{
    const char *part = part_place(s, a);
    make_folders(s, part);
    if (rename(path, part) < 0 && (errno != EXDEV || copy_file(path, part) < 0))
        return unavailable(a, path, ret_why);
    bool ok = utimensat(AT_FDCWD, part, NULL, 0) == 0 && chmod(part, MODE) == 0 && sync_file(part, 0) == 0 &&
              write_sum(s, a, key, sha256) == 0 && publish(s, a, part, place(s, a, key)) == 0;
    int error = errno;
    if (!ok)
        (void)unlink(part);
    errno = error;
    return ok ? 0 : unavailable(a, key, ret_why);
}

static int get(const struct st_store *s, struct st_arena *a, const char *key, const char *path,
               char ret_sha256[2 * ST_SHA256_LEN + 1], const char **ret_why)
{
    const char *file = place(s, a, key);
    FILE *sum = fopen(sum_place(s, a, key), "re");
    if (sum) {
        if (!fgets(ret_sha256, 2 * ST_SHA256_LEN + 1, sum))
            snprintf(ret_sha256, 2 * ST_SHA256_LEN + 1, "-"); /* an empty one: no object has it */
        fclose(sum);
    }
    if (link(file, path) == 0 || (errno != ENOENT && copy_file(file, path) == 0))
        return 0;
    return errno == ENOENT ? ST_E_NOT_FOUND : unavailable(a, file, ret_why);
}

/* And the folders that are empty then. */
static void prune(const struct st_store *s, struct st_arena *a, const char *file)
{
    char *path = st_strdup(a, file);
    size_t root = strlen(s->dir);
    for (char *slash = strrchr(path, '/'); slash && (size_t)(slash - path) > root; slash = strrchr(path, '/')) {
        *slash = '\0';
        if (rmdir(path) < 0)
            return;
    }
}

static int remove_object(const struct st_store *s, struct st_arena *a, const char *key, const char **ret_why)
{
    const char *files[] = {place(s, a, key), sum_place(s, a, key)};
    for (size_t i = 0; i < ST_COUNT(files); i++) {
        if (unlink(files[i]) < 0 && errno != ENOENT)
            return unavailable(a, files[i], ret_why);
        prune(s, a, files[i]);
    }
    return 0;
}

struct walk {
    size_t root; /* bytes of a path before its key */
    const char
        *objects; /* of a walk over checksums: where their objects would be; those that have one are passed over */
    char path[PATH_MAX]; /* of the folder or file that is looked at */
    st_store_seen *fn;
    void *ctx;
};

static bool is_passed_over(const struct walk *w)
{
    char object[PATH_MAX];
    return w->objects &&
           snprintf(object, sizeof(object), "%s/%s", w->objects, w->path + w->root) < (int)sizeof(object) &&
           access(object, F_OK) == 0;
}

/* path is a folder and ends with a slash. One that is gone is empty. */
static int walk(struct walk *w)
{
    size_t len = strlen(w->path);
    DIR *d = opendir(w->path);
    int r = d || errno == ENOENT ? 0 : ST_E_UNAVAILABLE;
    for (struct dirent *e; r == 0 && d && (e = readdir(d));) {
        struct stat st;
        if (e->d_name[0] == '.' || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            len + strlen(e->d_name) + 2 > sizeof(w->path))
            continue;
        snprintf(w->path + len, sizeof(w->path) - len, "%s%s", e->d_name, S_ISDIR(st.st_mode) ? "/" : "");
        int64_t at = st.st_mtim.tv_sec * ST_SECOND + st.st_mtim.tv_nsec / 1000;
        if (S_ISDIR(st.st_mode))
            r = walk(w);
        else if (S_ISREG(st.st_mode) && !is_passed_over(w))
            r = w->fn(w->ctx, &(struct st_store_entry){w->path + w->root, st.st_size, at});
        w->path[len] = '\0';
    }
    if (d)
        closedir(d);
    return r;
}

static int list(const struct st_store *s, struct st_arena *a, const char *prefix, st_store_seen *fn, void *ctx,
                const char **ret_why)
{
    struct walk *objects = st_new(a, struct walk), *sums = st_new(a, struct walk);
    *objects = (struct walk){.root = strlen(s->dir) + 1, .fn = fn, .ctx = ctx};
    *sums = (struct walk){.root = strlen(s->dir) + strlen("/.sha256/"), .objects = s->dir, .fn = fn, .ctx = ctx};
    *ret_why = "a folder of it cannot be read";
    snprintf(objects->path, sizeof(objects->path), "%s/%s", s->dir, prefix);
    snprintf(sums->path, sizeof(sums->path), "%s/.sha256/%s", s->dir, prefix);
    int r = walk(objects);
    return r < 0 ? r : walk(sums);
}

const struct st_store_ops st_store_local = {"local", check, put, get, remove_object, list, NULL};
