/* Patterns of ECMA-262 rewritten for PCRE2, where the two differ; what has another meaning there, or none, is refused.
 */
#include "io/schema_impl.h"

/* What ECMA calls white space and line terminators, and all the rest: as ranges for a class. */
static const char SPACE[] = "\\t-\\r \\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
                            "\\x{feff}";
static const char NO_SPACE[] =
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}\\x{202a}-"
    "\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{fefe}\\x{ff00}-\\x{10ffff}";

struct reader {
    const char *at, *end;
    struct st_buf *out;
    bool quantified;   /* a quantifier stands before: another makes no sense */
    bool quantifiable; /* there is something to repeat */
    const char *why;
};

static bool refuse(struct reader *r, const char *why)
{
    r->why = why;
    return false;
}

static void copy(struct reader *r, size_t n)
{
    st_buf_add(r->out, r->at, n);
    r->at += n;
}

static size_t hex_digits(const char *s, size_t max)
{
    size_t n = 0;
    while (n < max && st_is_hex(s[n]))
        n++;
    return n;
}

static const char *short_category(const char *name, size_t len)
{
    static const struct {
        const char *name, *category;
    } categories[] = {
        {"Cased_Letter", "L&"},
        {"LC", "L&"},
        {"Close_Punctuation", "Pe"},
        {"Connector_Punctuation", "Pc"},
        {"Control", "Cc"},
        {"cntrl", "Cc"},
        {"Currency_Symbol", "Sc"},
        {"Dash_Punctuation", "Pd"},
        {"Decimal_Number", "Nd"},
        {"digit", "Nd"},
        {"Enclosing_Mark", "Me"},
        {"Final_Punctuation", "Pf"},
        {"Format", "Cf"},
        {"Initial_Punctuation", "Pi"},
        {"Letter", "L"},
        {"Letter_Number", "Nl"},
        {"Line_Separator", "Zl"},
        {"Lowercase_Letter", "Ll"},
        {"Mark", "M"},
        {"Combining_Mark", "M"},
        {"Math_Symbol", "Sm"},
        {"Modifier_Letter", "Lm"},
        {"Modifier_Symbol", "Sk"},
        {"Nonspacing_Mark", "Mn"},
        {"Number", "N"},
        {"Open_Punctuation", "Ps"},
        {"Other", "C"},
        {"Other_Letter", "Lo"},
        {"Other_Number", "No"},
        {"Other_Punctuation", "Po"},
        {"Other_Symbol", "So"},
        {"Paragraph_Separator", "Zp"},
        {"Private_Use", "Co"},
        {"Punctuation", "P"},
        {"punct", "P"},
        {"Separator", "Z"},
        {"Space_Separator", "Zs"},
        {"Spacing_Mark", "Mc"},
        {"Surrogate", "Cs"},
        {"Symbol", "S"},
        {"Titlecase_Letter", "Lt"},
        {"Unassigned", "Cn"},
        {"Uppercase_Letter", "Lu"},
    };
    for (size_t i = 0; i < ST_COUNT(categories); i++)
        if (strlen(categories[i].name) == len && strncmp(categories[i].name, name, len) == 0)
            return categories[i].category;
    return NULL;
}

/* Names that both sides know as they are: a category of one or two letters, a binary property. */
static bool is_property(const char *name, size_t len)
{
    static const char *const known[] = {
        "Any",       "ASCII",    "Alphabetic",  "Uppercase", "Lowercase", "White_Space", "ASCII_Hex_Digit",
        "Hex_Digit", "ID_Start", "ID_Continue", "Emoji",     "Math",      "Ideographic", "Dash",
    };
    if (len == 1 || len == 2)
        return strchr("LMNPSZC", name[0]) && (len == 1 || (name[1] >= 'a' && name[1] <= 'z'));
    for (size_t i = 0; i < ST_COUNT(known); i++)
        if (strlen(known[i]) == len && strncmp(known[i], name, len) == 0)
            return true;
    return false;
}

/* At \p{...} or \P{...} */
static bool read_property(struct reader *r)
{
    const char *name = r->at + 3, *close = r->at[2] == '{' ? strchr(name, '}') : NULL;
    if (!close)
        return refuse(r, "\\p needs a property in braces");
    size_t len = (size_t)(close - name), head = strcspn(name, "=}");
    st_buf_add(r->out, r->at, 3);
    r->at = close + 1;
    if (name[head] == '=') {
        static const struct {
            const char *name, *prefix; /* general categories have none */
        } kinds[] = {{"Script=", "sc:"},        {"sc=", "sc:"}, {"Script_Extensions=", "scx:"}, {"scx=", "scx:"},
                     {"General_Category=", ""}, {"gc=", ""}};
        size_t i = 0;
        while (i < ST_COUNT(kinds) && !st_starts(name, kinds[i].name))
            i++;
        if (i == ST_COUNT(kinds))
            return refuse(r, "the property is not known");
        st_buf_str(r->out, kinds[i].prefix);
        name += head + 1;
        len -= head + 1;
        if (*kinds[i].prefix) {
            st_buf_add(r->out, name, len + 1);
            return true;
        }
    }
    const char *category = short_category(name, len);
    if (category)
        st_buf_printf(r->out, "%s}", category);
    else if (is_property(name, len))
        st_buf_add(r->out, name, len + 1);
    else
        return refuse(r, "the property is not known");
    return true;
}

/* At \uHHHH, \u{H...}, \xHH; two surrogates are one character. */
static bool read_code(struct reader *r)
{
    unsigned cp = 0, low = 0;
    bool braces = r->at[1] == 'u' && r->at[2] == '{';
    size_t wanted = r->at[1] == 'x' ? 2 : 4, n = braces ? hex_digits(r->at + 3, 8) : hex_digits(r->at + 2, wanted);
    if (braces ? !n || r->at[3 + n] != '}' : n != wanted)
        return refuse(r, "the escape lacks its digits");
    sscanf(r->at + 2 + braces, braces ? "%8x" : wanted == 2 ? "%2x" : "%4x", &cp);
    r->at += 2 + n + 2 * (size_t)braces;
    if (cp >= 0xd800 && cp < 0xdc00 && r->at[0] == '\\' && r->at[1] == 'u' && hex_digits(r->at + 2, 4) == 4 &&
        sscanf(r->at + 2, "%4x", &low) == 1 && low >= 0xdc00 && low <= 0xdfff) {
        cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
        r->at += 6;
    }
    st_buf_printf(r->out, "\\x{%x}", cp);
    return true;
}

/* At a backslash. */
static bool read_escape(struct reader *r, bool in_class)
{
    char c = r->at[1];
    if (c == 's' || c == 'S') {
        st_buf_printf(r->out, in_class ? "%s" : "[%s]", c == 's' ? SPACE : NO_SPACE);
        r->at += 2;
        return true;
    }
    if (c == 'p' || c == 'P')
        return read_property(r);
    if (c == 'u' || c == 'x')
        return read_code(r);
    if (c == 'v') {
        st_buf_str(r->out, "\\x{b}"); /* in PCRE2 it is any vertical space */
        r->at += 2;
        return true;
    }
    bool digit = c >= '0' && c <= '9', letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (digit && ((r->at[2] >= '0' && r->at[2] <= '9') || (in_class && c != '0')))
        return refuse(r, "octal escapes and references beyond \\9 are not supported");
    if (c == 'c' && !((r->at[2] >= 'a' && r->at[2] <= 'z') || (r->at[2] >= 'A' && r->at[2] <= 'Z')))
        return refuse(r, "\\c needs a letter");
    if (c == 'k' && (in_class || r->at[2] != '<'))
        return refuse(r, "\\k needs a name");
    if (!c || (letter && !strchr(in_class ? "dDwWbfnrtc" : "dDwWbBfnrtck", c)))
        return refuse(r, "there is no such escape in ECMA-262");
    copy(r, c & 0x80 ? 1 : 2);
    return true;
}

/* At the [ of a class, up to behind its ] */
static bool read_class(struct reader *r)
{
    copy(r, r->at[1] == '^' ? 2 : 1);
    while (r->at < r->end && *r->at != ']') {
        if (*r->at == '\\') {
            if (!read_escape(r, true))
                return false;
        } else {
            if (*r->at == '[')
                st_buf_char(r->out, '\\'); /* [: is nothing special */
            copy(r, 1);
        }
    }
    if (r->at == r->end)
        return refuse(r, "a class has no end");
    copy(r, 1);
    return true;
}

/* Length of a quantifier's { } at s, 0 when it is plain text */
static size_t braces(const char *s)
{
    size_t n = 1 + strspn(s + 1, "0123456789");
    if (n == 1)
        return 0;
    if (s[n] == ',')
        n += 1 + strspn(s + n + 1, "0123456789");
    return s[n] == '}' ? n + 1 : 0;
}

static bool read_quantifier(struct reader *r, size_t n)
{
    if (!r->quantifiable || r->quantified)
        return refuse(r, "there is nothing to repeat");
    copy(r, n);
    if (*r->at == '?')
        copy(r, 1);
    r->quantified = true;
    return true;
}

static bool read_group(struct reader *r)
{
    static const char *const kinds[] = {"(?:", "(?=", "(?!", "(?<=", "(?<!"};
    size_t n = 1;
    for (size_t i = 0; i < ST_COUNT(kinds); i++)
        if (st_starts(r->at, kinds[i]))
            n = strlen(kinds[i]);
    if (n == 1 && r->at[1] == '?' && r->at[2] != '<')
        return refuse(r, "there is no such group in ECMA-262");
    if (n == 1 && r->at[1] == '?')
        n = 3;
    copy(r, n);
    return true;
}

static bool read_one(struct reader *r)
{
    size_t n = *r->at == '{' ? braces(r->at) : strchr("*+?", *r->at) ? 1 : 0;
    if (n)
        return read_quantifier(r, n);
    r->quantified = false;
    r->quantifiable = !strchr("^(|", *r->at); /* a group is there to repeat at its end */
    switch (*r->at) {
    case '\\': return read_escape(r, false);
    case '[': return read_class(r);
    case '(': return read_group(r);
    case '.':
        r->at++;
        st_buf_str(r->out, "[^\\n\\r\\x{2028}\\x{2029}]");
        return true;
    default: copy(r, 1); return true;
    }
}

bool st_ecma_translate(const char *text, size_t len, struct st_buf *out, size_t *ret_at, const char **ret_why)
{
    struct reader r = {.at = text, .end = text + len, .out = out};
    while (r.at < r.end)
        if (!*r.at ? !refuse(&r, "a NUL is to be written \\0") : !read_one(&r)) {
            *ret_at = (size_t)(r.at - text);
            *ret_why = r.why;
            return false;
        }
    return true;
}
