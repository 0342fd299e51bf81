/* Applies pronunciation rules to a text. */
#include "narration/pronounce.h"

#include <locale.h>
#include <pthread.h>
#include <wctype.h>

static locale_t unicode; /* (locale_t)0: it is not installed, and only ASCII has capitals */

static void unicode_open(void)
{
    unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

/* Small letters for capitals, and one sigma for both. */
static uint32_t fold(uint32_t c)
{
    if (c < 0x80)
        return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
    return unicode ? (uint32_t)towlower_l(towupper_l((wint_t)c, unicode), unicode) : c;
}

/* How many bytes of s are that word, in capitals or not; 0: it begins otherwise. */
static size_t same(const char *word, const char *s)
{
    const char *at = s;
    bool ascii = !((word[0] | s[0]) & 0x80);
    if (ascii && (word[0] | 0x20) != (s[0] | 0x20)) /* most of them, at once */
        return 0;
    while (*word)
        if (!*at || fold(st_utf8_next(&word)) != fold(st_utf8_next(&at)))
            return 0;
    return (size_t)(at - s);
}

/*
 * Is the character a letter or digit of a script that parts its words by spaces? Punctuation is not (typographic
 * quotes, dashes, ellipses, those of Spanish and of East Asia), nor are scripts in which words follow each other at
 * once.
 */
static bool in_word(uint32_t cp)
{
    if (cp < 0x80)
        return st_is_alnum((char)cp);
    return cp != 0xD7 && cp != 0xF7 && cp >= 0xAA && !(cp >= 0xAB && cp <= 0xB4) && !(cp >= 0xB6 && cp <= 0xB9) &&
           !(cp >= 0xBB && cp <= 0xBF) && !(cp >= 0x2000 && cp <= 0x206F) && !(cp >= 0x20A0 && cp <= 0x20CF) &&
           !(cp >= 0x2E80 && cp <= 0xA4CF) && !(cp >= 0xF900 && cp <= 0xFAFF) && !(cp >= 0xFE30 && cp <= 0xFE4F) &&
           !(cp >= 0xFF00 && cp <= 0xFF0F) && !(cp >= 0xFF1A && cp <= 0xFF20) && !(cp >= 0x1F000 && cp <= 0x1FAFF);
}

/* The character that ends before s. */
static uint32_t before(const char *begin, const char *s)
{
    const char *p = s;
    while (p > begin && ((unsigned char)*--p & 0xC0) == 0x80)
        ;
    return p < s ? st_utf8_next(&p) : 0;
}

static uint32_t at(const char *s)
{
    return *s ? st_utf8_next(&s) : 0;
}

static const struct st_pronounce_rule *rule_at(const struct st_pronounce_rule *rules, size_t n, const char *s,
                                               size_t *ret_len)
{
    const struct st_pronounce_rule *best = NULL;
    size_t longest = 0;
    for (size_t i = 0; i < n; i++) {
        const char *word = rules[i].word;
        size_t len = same(word, s);
        if (len > longest && (!in_word(before(s, s + len)) || !in_word(at(s + len)))) {
            best = &rules[i];
            longest = len;
        }
    }
    *ret_len = longest;
    return best;
}

const char *st_pronounce(struct st_arena *a, const struct st_pronounce_rule *rules, size_t n, const char *text)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct st_buf out = ST_BUF(SIZE_MAX / 2);
    const char *from = text, *result = text;
    size_t len = 0;
    pthread_once(&once, unicode_open);
    for (const char *s = text; *s;) {
        bool begins = ((unsigned char)*s & 0xC0) != 0x80 && (!in_word(before(text, s)) || !in_word(at(s)));
        const struct st_pronounce_rule *rule = begins ? rule_at(rules, n, s, &len) : NULL;
        if (!rule) {
            s++;
            continue;
        }
        st_buf_add(&out, from, (size_t)(s - from));
        st_buf_str(&out, rule->say);
        from = s += len;
    }
    if (from != text) {
        st_buf_str(&out, from);
        result = st_strndup(a, out.data ? out.data : "", out.len);
    }
    st_buf_release(&out);
    return result;
}
