/* Writes English so that flite reads it well: plain ASCII, and spellings for what it would spell out. */
#include "narration/speech_text.h"

/* U+00C0 to U+017F and U+1EA0 to U+1EF9 without their accents, two letters and one letter each. */
static const char latin[] =
    "A A A A A A AEC E E E E I I I I D N O O O O O   O U U U U Y THssa a a a a a aec e e e e i i i i "
    "d n o o o o o   o u u u u y thy A a A a A a C c C c C c C c D d D d E e E e E e E e E e G g G g "
    "G g G g H h H h I i I i I i I i I i IJijJ j K k k L l L l L l L l L l N n N n N n n N n O o O o "
    "O o OEoeR r R r R r S s S s S s S s T t T t T t U u U u U u U u U u U u W w Y y Y Z z Z z Z z s ";
static const char vietnamese[] =
    "AaAaAaAaAaAaAaAaAaAaAaAaEeEeEeEeEeEeEeEeIiIiOoOoOoOoOoOoOoOoOoOoOoOoUuUuUuUuUuUuUuYyYyYyYy";

/* Read by name: flite would drop them, or say "ampersand". */
static const struct {
    uint32_t symbol;
    const char *name;
} symbols[] = {
    {'&', " and "},       {0xa3, " pounds "},         {0xb0, " degrees "}, {0xbc, " one quarter "},
    {0xbd, " one half "}, {0xbe, " three quarters "}, {0xd7, " times "},   {0x20ac, " euros "},
};

/* Words that flite spells letter by letter. A full stop behind a title goes with it. */
static const struct {
    const char *written, *spoken;
    bool title;
} words[] = {
    {"brr", "burr", false},    {"capt", "captain", true}, {"col", "colonel", true}, {"gen", "general", true},
    {"grr", "gurr", false},    {"hm", "hum", false},      {"hmm", "hum", false},    {"lt", "lieutenant", true},
    {"mm", "mum", false},      {"ms", "miz", true},       {"psst", "pist", false},  {"rev", "reverend", true},
    {"sgt", "sergeant", true}, {"sh", "shush", false},    {"shh", "shush", false},  {"tsk", "tisk", false},
};

static void put_symbol(struct st_buf *out, uint32_t c)
{
    for (size_t i = 0; i < ST_COUNT(symbols); i++)
        if (symbols[i].symbol == c) {
            st_buf_str(out, symbols[i].name);
            return;
        }
    if (c < 0x80)
        st_buf_char(out, (char)c);
    else if (c >= 0xc0 && c < 0x180)
        st_buf_add(out, &latin[2 * (c - 0xc0)], latin[2 * (c - 0xc0) + 1] == ' ' ? 1 : 2);
    else if (c >= 0x1ea0 && c < 0x1ea0 + sizeof(vietnamese) - 1)
        st_buf_char(out, vietnamese[c - 0x1ea0]);
}

static bool all_capitals(const char *s, size_t len)
{
    bool numeral = true;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < 'A' || s[i] > 'Z')
            return false;
        numeral = numeral && strchr("IVX", s[i]);
    }
    return len > 1 && !numeral;
}

/* Shouting in lower case ("HELP ME" ends in Maine otherwise), and "nooooo" as "noo". Gives the new length. */
static size_t tame(char *s, size_t len)
{
    bool lower = all_capitals(s, len);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = lower ? (char)(s[i] + ('a' - 'A')) : s[i];
        if (n >= 2 && s[n - 1] == c && s[n - 2] == c)
            continue;
        s[n++] = c;
    }
    return n;
}

/* Gives how many bytes to skip behind the word. */
static size_t put_word(struct st_buf *out, char *s, size_t len, char next)
{
    enum { LONGEST = 40 }; /* letters without a space: no word, and hard on the letter-to-sound rules */
    size_t n = tame(s, len);
    for (size_t i = 0; i < ST_COUNT(words); i++)
        if (strlen(words[i].written) == n && strncasecmp(words[i].written, s, n) == 0) {
            st_buf_str(out, words[i].spoken);
            return words[i].title && next == '.';
        }
    for (; n > LONGEST; s += LONGEST, n -= LONGEST) {
        st_buf_add(out, s, LONGEST);
        st_buf_char(out, ' ');
    }
    st_buf_add(out, s, n);
    return 0;
}

void text_english(const char *text, size_t len, struct st_buf *out)
{
    struct st_buf ascii = ST_BUF(16 * len + 16); /* the longest name of a symbol has 16 bytes */
    for (const char *p = text; p < text + len;)
        put_symbol(&ascii, st_utf8_next(&p));
    for (size_t i = 0; i < ascii.len;) {
        size_t n = 0;
        while (i + n < ascii.len && text_is_ascii_letter((unsigned char)ascii.data[i + n]))
            n++;
        if (n) {
            char next = ascii.data[i + n];
            i += n + put_word(out, &ascii.data[i], n, next);
        } else {
            st_buf_char(out, ascii.data[i++]);
        }
    }
    st_buf_release(&ascii);
}
