/* story-import: reads one file from stdin, and writes on stdout what a story can be made of. */
#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "io/json.h"
#include "story/import.h"

enum { EXIT_BROKEN = 3, HEAD_MAX = 64 };

static char *read_all(size_t *ret_len)
{
    size_t max = HEAD_MAX + IMPORT_FILE_MAX, len = 0;
    char *data = malloc(max + 1);
    if (!data)
        return NULL;
    while (len < max) {
        ssize_t n = read(STDIN_FILENO, data + len, max - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    data[len] = '\0';
    *ret_len = len;
    return data;
}

static bool write_all(const char *data, size_t len)
{
    while (len) {
        ssize_t n = write(STDOUT_FILENO, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static bool confine(void)
{
    const struct rlimit none = {0, 0};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && setrlimit(RLIMIT_NOFILE, &none) == 0 &&
           setrlimit(RLIMIT_CORE, &none) == 0;
}

int main(void)
{
    struct import found = {0};
    size_t len = 0;
    char *data = read_all(&len);
    char *file = data ? memchr(data, '\n', len) : NULL;
    if (!file || file == data)
        _exit(EXIT_BROKEN);
    *file++ = '\0';
    len -= (size_t)(file - data);
    if (*data == IMPORT_EPUB)
        import_charsets(&found);
    else if (!import_charset(&found, data + 1))
        _exit(EXIT_BROKEN);
    if (!confine())
        _exit(EXIT_BROKEN);
    if (*data == IMPORT_EPUB)
        import_epub(&found, file, len);
    else
        import_text(&found, file, len);
    if (!found.error && (!found.content || !*found.content))
        found.error = "There is no text in the file.";
    json_t *answer = found.error ? json_pack("{s:s}", "error", found.error)
                                 : json_pack("{s:s*, s:s*, s:s}", "title", found.title, "language", found.language,
                                             "content", found.content);
    const char *text = answer ? st_json_text(&found.arena, answer) : NULL;
    _exit(text && write_all(text, strlen(text)) ? 0 : EXIT_BROKEN); /* memory goes with the process */
}
