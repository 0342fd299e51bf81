/* A story to take away: as text, as Markdown, as a book. */
#include "story/story.h"
#include "story/story_epub.h"

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
static const char *plain_text(struct st_call *call, const json_t *s)
{
    struct st_buf b = ST_BUF(STORY_EPUB_MAX);
    const char *author = st_str(s, "author");
    st_buf_printf(&b, "%s\n%s%s\n", st_str(s, "title"), author, *author ? "\n" : "");
    for (const char *line = st_str(s, "content"); *line;) {
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

int story_export(struct st_call *call)
{
    const char *format = st_param(call, "format"), *bytes;
    json_t *s;
    size_t len;
    int r = st_row(call, &s,
                   "select s.story_id, s.title, s.content, s.language, coalesce(a.display_name, '') as author, "
                   "to_char(s.updated_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') as modified "
                   "from stories s left join authors a using (author_id) where " STORY_READABLE,
                   st_param(call, "storyId"), call->user_id);
    if (r < 0)
        return story_not_found(call, r);
    name_file(call, st_str(s, "title"), format);
    if (st_streq(format, "txt"))
        return st_reply_text(call, 200, "text/plain; charset=utf-8", plain_text(call, s));
    if (st_streq(format, "md"))
        return st_reply_text(call, 200, "text/markdown; charset=utf-8",
                             st_printf(call->arena, "# %s\n\n%s\n", st_str(s, "title"), st_str(s, "content")));
    const struct story_book book = {
        .id = st_str(s, "story_id"),
        .title = st_str(s, "title"),
        .author = st_str(s, "author"),
        .content = st_str(s, "content"),
        .language = st_str(s, "language"),
        .modified = st_str(s, "modified"),
    };
    r = story_epub(call->arena, &book, &bytes, &len);
    return r < 0 ? st_fail(call, r, "The book would be too large.")
                 : st_reply_bytes(call, 200, "application/epub+zip", bytes, len);
}
