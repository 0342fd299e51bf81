/* st_mail_write: what leaves is a well-formed mail, whatever stands in names, subjects and texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/base.h"
#include "notification/mail.h"

static struct st_arena arena;

static int release(void **state)
{
    (void)state;
    st_arena_release(&arena);
    return 0;
}

static const struct st_mail plain = {
    .from = "stories@storytelling.local",
    .from_name = "Storytelling",
    .to = "ada@example.org",
    .to_name = "Ada",
    .subject = "Welcome",
    .text = "Hello\n\nBye\n",
    .id = "0193c7e2-1111-7111-8111-111111111111",
    .campaign = "user.registered",
    .date = 1769850307042999,
};

static const char *written(const struct st_mail *mail)
{
    const char *text = NULL;
    assert_int_equal(st_mail_write(&arena, mail, &text), 0);
    return text;
}

/* What every mail of ours keeps to: 7-bit lines that end with CR LF and have at most 78 columns. */
static void assert_well_formed(const char *mail)
{
    size_t column = 0;
    for (const char *p = mail; *p; p++) {
        if (*p == '\r') {
            assert_int_equal(p[1], '\n');
            p++;
            column = 0;
            continue;
        }
        assert_true((*p >= ' ' && *p < 0x7f));
        assert_in_range(++column, 1, 78);
    }
    assert_int_equal(column, 0);
}

/* Value of a header, unfolded; NULL when it is not among the headers of the mail. */
static const char *header(const char *mail, const char *name)
{
    const char *end = strstr(mail, "\r\n\r\n"), *at = mail;
    char *value = NULL, *out = NULL;
    size_t n = strlen(name);
    assert_non_null(end);
    for (int found = 0; at < end; at = strstr(at, "\r\n") + 2) {
        const char *stop = strstr(at, "\r\n");
        if (*at != ' ')
            found = strncmp(at, name, n) == 0 && at[n] == ':';
        if (!found)
            continue;
        if (*at != ' ') {
            assert_null(value); /* once only */
            value = out = st_alloc(&arena, strlen(mail) + 1);
            at += n + 2;
        }
        memcpy(out, at, (size_t)(stop - at));
        out += stop - at;
    }
    return value;
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* RFC 2047: the encoded words of a header as text; white space between two words does not count. */
static const char *decode_words(const char *s)
{
    char *text = st_alloc(&arena, strlen(s) + 1), *out = text;
    while (*s) {
        const char *word = st_starts(s, "=?UTF-8?Q?") ? s + 10 : NULL, *end = word ? strstr(word, "?=") : NULL;
        if (!end) {
            *out++ = *s++;
            continue;
        }
        assert_true(end + 2 - s <= 75);
        const char *from = out;
        for (const char *p = word; p < end; p++) {
            assert_true(*p != ' ' && *p != '?');
            if (*p == '=') {
                *out++ = (char)(hex(p[1]) << 4 | hex(p[2]));
                p += 2;
            } else {
                *out++ = *p == '_' ? ' ' : *p;
            }
        }
        assert_true(st_utf8_valid(from, (size_t)(out - from))); /* each word holds whole characters */
        s = end + 2;
        if (st_starts(s, " =?UTF-8?Q?"))
            s++;
    }
    return text;
}

/* The decoded body of the part of a type; line ends as LF, and one fewer at the end: that one belongs to the boundary.
 */
static const char *part(const char *mail, const char *type)
{
    const char *at = strstr(mail, st_printf(&arena,
                                            "Content-Type: text/%s; charset=utf-8\r\n"
                                            "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
                                            type));
    if (!at)
        return NULL;
    const char *boundary = strstr(header(mail, "Content-Type"), "boundary=\"") + 10;
    boundary = st_printf(&arena, "--%.*s", (int)strcspn(boundary, "\""), boundary);
    at = strstr(at, "\r\n\r\n") + 4;
    const char *end = strstr(at, boundary);
    assert_non_null(end);
    char *text = st_alloc(&arena, strlen(mail)), *out = text;
    for (end -= 2; at < end; at++) {
        if (at[0] == '=' && at[1] == '\r') {
            at += 2;
        } else if (at[0] == '=') {
            assert_true(hex(at[1]) >= 0 && hex(at[2]) >= 0);
            *out++ = (char)(hex(at[1]) << 4 | hex(at[2]));
            at += 2;
        } else if (at[0] == '\r') {
            assert_true(at[-1] != ' ' && at[-1] != '\t'); /* relays cut white space off */
            *out++ = '\n';
            at++;
        } else {
            *out++ = *at;
        }
    }
    return text;
}

static void test_plain_mail(void **state)
{
    (void)state;
    const char *mail = written(&plain);
    assert_well_formed(mail);
    assert_string_equal(header(mail, "Date"), "Sat, 31 Jan 2026 09:05:07 +0000");
    assert_string_equal(decode_words(header(mail, "From")), "Storytelling <stories@storytelling.local>");
    assert_string_equal(decode_words(header(mail, "To")), "Ada <ada@example.org>");
    assert_string_equal(header(mail, "Subject"), "Welcome");
    assert_string_equal(header(mail, "Message-ID"), "<0193c7e2-1111-7111-8111-111111111111@storytelling.local>");
    assert_string_equal(header(mail, "X-Campaign"), "user.registered");
    assert_string_equal(header(mail, "Auto-Submitted"), "auto-generated");
    assert_string_equal(header(mail, "MIME-Version"), "1.0");
    assert_string_equal(part(mail, "plain"), "Hello\n\nBye\n");
    assert_null(part(mail, "html"));
    assert_true(st_ends(mail, "--\r\n"));
}

static void test_both_parts(void **state)
{
    (void)state;
    struct st_mail m = plain;
    m.html = "<p lang=\"en\">Hello</p>";
    const char *mail = written(&m);
    assert_well_formed(mail);
    assert_string_equal(part(mail, "plain"), plain.text);
    assert_string_equal(part(mail, "html"), m.html);
    assert_true(strstr(mail, "text/plain") < strstr(mail, "text/html")); /* the best comes last */
}

static void test_any_text_comes_back(void **state)
{
    (void)state;
    char *wide = st_alloc(&arena, 20001);
    memset(wide, 'w', 20000);
    const char *const texts[] = {"",
                                 "\n",
                                 "a",
                                 "line\n",
                                 "two\n\nlines",
                                 "trailing space \nand tab\t\nend ",
                                 "=3D = =\n=",
                                 ".\n..\n.dot",
                                 "From me",
                                 "Grüße, Ada — 漢字 🦉",
                                 "مرحبا بالعالم",
                                 "--=_0193c7e2-1111-7111-8111-111111111111--\nContent-Type: text/html\n",
                                 wide,
                                 "0123456789012345678901234567890123456789012345678901234567890123456789012345 \nx",
                                 "tab\tinside \x01\x7f"};
    for (size_t i = 0; i < ST_COUNT(texts); i++) {
        struct st_mail m = plain;
        m.text = texts[i];
        m.html = texts[i];
        const char *mail = written(&m);
        assert_well_formed(mail);
        assert_string_equal(part(mail, "plain"), texts[i]);
        assert_string_equal(part(mail, "html"), texts[i]);
    }
    struct st_mail m = plain; /* every line end is one line end */
    m.text = "a\r\nb\nc";
    assert_string_equal(part(written(&m), "plain"), "a\nb\nc");
    /* A character on every column of the fold. */
    for (int before = 65; before < 80; before++) {
        m.text = st_printf(&arena, "%0*d€é= x \ny", before, 0);
        assert_well_formed(written(&m));
        assert_string_equal(part(written(&m), "plain"), m.text);
    }
}

static void test_any_subject_and_name_come_back(void **state)
{
    (void)state;
    char *owls = st_alloc(&arena, 4 * 200 + 1);
    for (int i = 0; i < 200; i++)
        memcpy(owls + 4 * i, "🦉", 4);
    const char *const texts[] = {"“The Lighthouse” can be heard",
                                 "Ünïcödé",
                                 "漢字かな交じり文",
                                 "قصة المنارة",
                                 "=?UTF-8?Q?not=20ours?=",
                                 "a?b=c_d e",
                                 "\"quoted\", <angled>; (comment) \\ @",
                                 "a very long subject, in plain letters, that goes on and on and does not "
                                 "end before the line would be folded, and then still goes on",
                                 owls};
    for (size_t i = 0; i < ST_COUNT(texts); i++) {
        struct st_mail m = plain;
        m.subject = m.to_name = m.from_name = texts[i];
        const char *mail = written(&m);
        assert_well_formed(mail);
        assert_string_equal(decode_words(header(mail, "Subject")), texts[i]);
        assert_string_equal(decode_words(header(mail, "To")), st_printf(&arena, "%s <ada@example.org>", texts[i]));
        assert_string_equal(decode_words(header(mail, "From")),
                            st_printf(&arena, "%s <stories@storytelling.local>", texts[i]));
    }
    struct st_mail m = plain;
    m.to_name = m.from_name = m.subject = "";
    const char *mail = written(&m);
    assert_well_formed(mail);
    assert_string_equal(header(mail, "To"), "<ada@example.org>");
    assert_string_equal(header(mail, "Subject"), "");
}

static void test_headers_cannot_be_injected(void **state)
{
    (void)state;
    static const char evil[] = "x\r\nBcc: victim@example.org\r\n\r\nbody";
    struct st_mail m = plain;
    m.subject = m.to_name = m.from_name = evil;
    const char *mail = written(&m);
    assert_well_formed(mail);
    assert_null(header(mail, "Bcc"));
    assert_string_equal(part(mail, "plain"), plain.text);
    static const char *const addresses[] = {"",
                                            "ada",
                                            "ada@example.org\r\nBcc: v@example.org",
                                            "ada@example.org\nX: y",
                                            "a b@example.org",
                                            "<ada@example.org>",
                                            "ada@example.org>",
                                            "ada@example.org,eve@example.org",
                                            "ada@example.org;eve@example.org",
                                            "\"a\"@example.org",
                                            "a\\@example.org",
                                            "a:b@example.org",
                                            "ada@example.org\x7f",
                                            "ada@example.org\t"};
    const char *text = NULL;
    for (size_t i = 0; i < ST_COUNT(addresses); i++) {
        m = plain;
        m.to = addresses[i];
        assert_int_equal(st_mail_write(&arena, &m, &text), ST_E_INVALID);
        m = plain;
        m.from = addresses[i];
        assert_int_equal(st_mail_write(&arena, &m, &text), ST_E_INVALID);
    }
    m = plain;
    m.id = "x>\r\nBcc: v@example.org";
    assert_int_equal(st_mail_write(&arena, &m, &text), ST_E_INVALID);
    m = plain;
    m.campaign = "x\nBcc: v@example.org";
    assert_int_equal(st_mail_write(&arena, &m, &text), ST_E_INVALID);
    assert_null(text);
}

static void test_size_is_limited(void **state)
{
    (void)state;
    struct st_mail m = plain;
    char *much = st_alloc(&arena, (5 << 20) + 1);
    memset(much, 'x', 5 << 20);
    m.text = much;
    const char *text = NULL;
    assert_int_equal(st_mail_write(&arena, &m, &text), ST_E_TOO_LARGE);
    assert_null(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_plain_mail, release),
        cmocka_unit_test_teardown(test_both_parts, release),
        cmocka_unit_test_teardown(test_any_text_comes_back, release),
        cmocka_unit_test_teardown(test_any_subject_and_name_come_back, release),
        cmocka_unit_test_teardown(test_headers_cannot_be_injected, release),
        cmocka_unit_test_teardown(test_size_is_limited, release),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
