/* A story to take away: as text, as Markdown, as a book. */
#include "io/epub.h"
#include "story/chapters.h"
#include "story/markdown.h"
#include "story/story.h"

enum { TEXT_MAX = 16 << 20, CHAPTERS_MAX = 1000 };

/* For old clients a name of plain letters, for others the title as it is (RFC 6266, RFC 8187). */
static void name_file(struct st_call *call, const char *title, const char *extension)
{
    struct st_buf plain = ST_BUF(1024), full = ST_BUF(4096);
    for (const char *s = title; *s; s++) {
        unsigned char c = (unsigned char)*s;
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (letter)
            st_buf_char(&full, *s);
        else
            st_buf_printf(&full, "%%%02X", c);
        if (c < 0x80)
            st_buf_char(&plain, letter || c == '-' ? *s : '_');
    }
    st_header(call, "Content-Disposition",
              st_printf(call->arena, "attachment; filename=\"%.*s.%s\"; filename*=UTF-8''%.*s.%s", (int)plain.len,
                        plain.data ? plain.data : "", extension, (int)full.len, full.data, extension));
    st_buf_release(&plain);
    st_buf_release(&full);
}

/* Text alone has no marks for headings. */
static const char *plain_text(struct st_call *call, const json_t *s, const char *content)
{
    struct st_buf b = ST_BUF(TEXT_MAX);
    const char *author = st_str(s, "author");
    st_buf_printf(&b, "%s\n%s%s\n", st_str(s, "title"), author, *author ? "\n" : "");
    for (const char *line = content; *line;) {
        size_t n = strcspn(line, "\n"), marks = strspn(line, "#");
        marks = marks <= 6 && line[marks] == ' ' ? marks + 1 : 0;
        st_buf_add(&b, line + marks, n - marks);
        st_buf_char(&b, '\n');
        line += n + (line[n] == '\n');
    }
    const char *text = st_strndup(call->arena, b.data, b.len);
    st_buf_release(&b);
    return text;
}

/* --- as a book: chapters begin at their titles; behind CHAPTERS_MAX these are text of the last one ---------------- */

/* Bytes of a line's marks ("## "), 0 when it is no heading. */
static size_t marks_of(const char *line)
{
    size_t n = strspn(line, "#");
    return n && n <= 6 && (line[n] == ' ' || line[n] == '\t') ? n : 0;
}

struct chapters {
    struct st_arena *arena;
    const char *title; /* the book's */
    struct st_epub_chapter *list;
    struct st_epub_span *spans; /* of all of them, one after the other */
    size_t n, n_spans;
};

static void add_span(struct chapters *c, const char *text, size_t len, size_t level)
{
    c->spans[c->n_spans++] = (struct st_epub_span){.text = text, .len = len, .begins = true, .heading = (int)level};
    c->list[c->n - 1].n_spans++;
}

static void begin_chapter(struct chapters *c, const char *title, size_t level)
{
    c->list[c->n++] = (struct st_epub_chapter){.title = title, .spans = &c->spans[c->n_spans]};
    add_span(c, title, strlen(title), level);
}

static bool is_blank(const char *line)
{
    line += strspn(line, " \t\r");
    return !*line || *line == '\n';
}

/* A paragraph goes on over lines that are not blank. What stands before the first title has the book's. */
static void find_chapters(struct chapters *c, const char *content)
{
    bool open = false;
    for (const char *line = content; *line;) {
        const char *end = line + strcspn(line, "\n");
        size_t marks = marks_of(line);
        const char *words = line + marks + strspn(line + marks, " \t\r");
        bool blank = words == end, alone = marks || (!open && (!*end || is_blank(end + 1)));
        if (!blank && alone && c->n < CHAPTERS_MAX && st_chapter_title(line, (size_t)(end - line))) {
            begin_chapter(c, st_strndup(c->arena, words, (size_t)(end - words)), marks ? marks : 1);
        } else if (!blank && open && !marks) {
            struct st_epub_span *s = &c->spans[c->n_spans - 1];
            s->len = (size_t)(end - s->text);
        } else if (!blank) {
            if (!c->n)
                begin_chapter(c, c->title, 1);
            add_span(c, words, (size_t)(end - words), marks);
        }
        open = !blank && !marks;
        line = *end ? end + 1 : end;
    }
    if (!c->n)
        begin_chapter(c, c->title, 1);
}

static int reply_book(struct st_call *call, const json_t *s, const char *content)
{
    size_t lines = 2;
    for (const char *at = content; (at = strchr(at, '\n')); at++)
        lines++;
    struct chapters c = {.arena = call->arena,
                         .title = st_str(s, "title"),
                         .list = st_new_n(call->arena, struct st_epub_chapter, CHAPTERS_MAX + 1),
                         .spans = st_new_n(call->arena, struct st_epub_span, lines + 1)};
    struct st_epub book = {.id = st_str(s, "story_id"),
                           .title = c.title,
                           .author = st_str(s, "author"),
                           .language = st_str(s, "language"),
                           .chapters = c.list};
    char *bytes = NULL;
    size_t len = 0;
    find_chapters(&c, content);
    book.n_chapters = c.n;
    (void)st_time_parse(st_json_str(s, "updated_at", ""), &book.modified);
    FILE *out = open_memstream(&bytes, &len);
    int r = out ? st_epub_write(&book, out) : ST_E_UNAVAILABLE;
    if (out && fclose(out) != 0)
        r = ST_E_UNAVAILABLE;
    if (bytes)
        st_defer(call->arena, free, bytes);
    return r < 0 ? st_fail(call, r, "The story is too long for a book.")
                 : st_reply_bytes(call, 200, "application/epub+zip", bytes, len);
}

int story_export(struct st_call *call)
{
    const char *format = st_param(call, "format");
    json_t *s;
    int r = st_row(call, &s,
                   "select s.story_id, s.title, s.content, s.language, coalesce(a.display_name, '') as author, "
                   "s.updated_at from stories s left join authors a using (author_id) where " STORY_READABLE,
                   st_param(call, "storyId"), call->user_id);
    if (r < 0)
        return story_not_found(call, r);
    name_file(call, st_str(s, "title"), format);
    const char *content = st_str(s, "content");
    if (st_streq(format, "md"))
        return st_reply_text(call, 200, "text/markdown; charset=utf-8",
                             st_printf(call->arena, "# %s\n\n%s\n", st_str(s, "title"), content));
    size_t len = strlen(content);
    content = st_markdown_read(call->arena, content, len, true, &len);
    if (st_streq(format, "txt"))
        return st_reply_text(call, 200, "text/plain; charset=utf-8", plain_text(call, s, content));
    return reply_book(call, s, content);
}
