/* A mail as RFC 5322 text. */
#include "notification/mail.h"

enum { LINE = 76, MAIL_LIMIT = 4 * 1024 * 1024, ENCODED_WORD = 60 /* encoded characters in one RFC 2047 word */ };

static bool plain_address(const char *s)
{
    for (const char *p = s; *p; p++)
        if ((unsigned char)*p <= ' ' || strchr("<>,;:\"\\", *p) || *p == 0x7f)
            return false;
    return strchr(s, '@') != NULL;
}

static bool ascii(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s >= 0x7f || (unsigned char)*s < ' ')
            return false;
    return true;
}

/* Characters that may stand in an encoded word, and in a phrase without quotes, as they are. */
static bool word_char(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Appends the character at s, at most 4 bytes, as RFC 2047's Q encoding; out has room for 13. Control characters
 * become spaces. Gives the bytes written. */
static size_t encode_char(const char *s, const char *end, char *out)
{
    size_t n = 0;
    for (; s < end; s++) {
        unsigned char c = (unsigned char)*s;
        if (word_char(c) || c <= ' ')
            out[n++] = c <= ' ' ? '_' : (char)c;
        else
            n += (size_t)snprintf(out + n, 4, "=%02X", c);
    }
    return n;
}

/* RFC 2047: words of whole characters, in lines of at most 76; `used` of the first are taken by the header's name. */
static void put_words(struct st_buf *b, const char *s, size_t used)
{
    const char *end = s + strlen(s), *next;
    size_t left = ENCODED_WORD - used;
    st_buf_str(b, "=?UTF-8?Q?");
    for (; s < end; s = next) {
        char encoded[16];
        next = s;
        (void)st_utf8_next(&next);
        size_t n = encode_char(s, next, encoded);
        if (n > left) {
            st_buf_str(b, "?=\r\n =?UTF-8?Q?");
            left = ENCODED_WORD;
        }
        st_buf_add(b, encoded, n);
        left -= n;
    }
    st_buf_str(b, "?=");
}

static bool plain_phrase(const char *s)
{
    for (; *s; s++)
        if (!word_char((unsigned char)*s) && *s != ' ')
            return false;
    return true;
}

/* Text of a header: as it is when short and ASCII, else in encoded words. */
static void put_header_text(struct st_buf *b, const char *s)
{
    if (ascii(s) && strlen(s) <= LINE - 10 && !strstr(s, "=?"))
        st_buf_str(b, s);
    else
        put_words(b, s, strlen("Subject: "));
}

static void put_mailbox(struct st_buf *b, const char *header, const char *name, const char *address)
{
    st_buf_printf(b, "%s: ", header);
    if (*name) {
        if (plain_phrase(name) && strlen(name) <= ENCODED_WORD)
            st_buf_str(b, name);
        else
            put_words(b, name, strlen(header) + 2);
        st_buf_str(b, "\r\n ");
    }
    st_buf_printf(b, "<%s>\r\n", address);
}

/* RFC 2045 section 6.7; line ends of the text become CR LF. */
static void put_quoted_printable(struct st_buf *b, const char *s)
{
    int column = 0;
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '\r')
            continue;
        if (c == '\n') {
            st_buf_str(b, "\r\n");
            column = 0;
            continue;
        }
        bool at_end = s[1] == '\n' || s[1] == '\r' || s[1] == '\0';
        bool plain = (c > ' ' && c < 0x7f && c != '=' && !(c == '.' && column == 0)) || (c == ' ' && !at_end);
        int width = plain ? 1 : 3;
        if (column + width > LINE - 1) {
            st_buf_str(b, "=\r\n");
            column = 0;
        }
        if (plain)
            st_buf_char(b, (char)c);
        else
            st_buf_printf(b, "=%02X", c);
        column += width;
    }
    st_buf_str(b, "\r\n");
}

static void put_part(struct st_buf *b, const char *boundary, const char *type, const char *body)
{
    st_buf_printf(b,
                  "--%s\r\nContent-Type: text/%s; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
                  boundary, type);
    put_quoted_printable(b, body);
}

static void put_date(struct st_buf *b, int64_t us)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t t = (time_t)(us / ST_SECOND);
    struct tm tm;
    gmtime_r(&t, &tm);
    st_buf_printf(b, "Date: %s, %d %s %d %02d:%02d:%02d +0000\r\n", days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
                  tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

int st_mail_write(struct st_arena *a, const struct st_mail *m, const char **ret)
{
    if (!plain_address(m->from) || !plain_address(m->to) || !ascii(m->id) || !ascii(m->campaign))
        return ST_E_INVALID;
    struct st_buf b = ST_BUF(MAIL_LIMIT);
    const char *boundary = st_printf(a, "=_%s", m->id);
    put_date(&b, m->date);
    put_mailbox(&b, "From", m->from_name, m->from);
    put_mailbox(&b, "To", m->to_name, m->to);
    st_buf_str(&b, "Subject: ");
    put_header_text(&b, m->subject);
    st_buf_printf(&b,
                  "\r\nMessage-ID: <%s@%s>\r\nAuto-Submitted: auto-generated\r\nX-Campaign: %s\r\nMIME-Version: 1.0\r\n"
                  "Content-Type: multipart/alternative;\r\n boundary=\"%s\"\r\n\r\n",
                  m->id, strchr(m->from, '@') + 1, m->campaign, boundary);
    put_part(&b, boundary, "plain", m->text);
    if (m->html)
        put_part(&b, boundary, "html", m->html);
    st_buf_printf(&b, "--%s--\r\n", boundary);
    int r = b.failed ? ST_E_TOO_LARGE : 0;
    if (r == 0)
        *ret = st_strndup(a, b.data, b.len);
    st_buf_release(&b);
    return r;
}
