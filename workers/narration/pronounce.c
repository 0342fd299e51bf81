/* Applies pronunciation rules to a text. */
#include "narration/pronounce.h"

#include <strings.h>

/* A byte of a word: letters, digits, and whatever is not ASCII. */
static bool in_word(char c)
{
    return st_is_alnum(c) || (unsigned char)c >= 0x80;
}

static const struct st_pronounce_rule *rule_at(const struct st_pronounce_rule *rules, size_t n, const char *s)
{
    const struct st_pronounce_rule *best = NULL;
    size_t longest = 0;
    for (size_t i = 0; i < n; i++) {
        const char *word = rules[i].word;
        if ((word[0] | 0x20) != (s[0] | 0x20))
            continue;
        size_t len = strlen(word);
        if (len > longest && strncasecmp(word, s, len) == 0 && (!in_word(word[len - 1]) || !in_word(s[len]))) {
            best = &rules[i];
            longest = len;
        }
    }
    return best;
}

const char *st_pronounce(struct st_arena *a, const struct st_pronounce_rule *rules, size_t n, const char *text)
{
    struct st_buf out = ST_BUF(SIZE_MAX / 2);
    const char *from = text, *result = text;
    for (const char *s = text; *s;) {
        bool begins = s == text || !in_word(s[-1]) || !in_word(*s);
        const struct st_pronounce_rule *rule = begins ? rule_at(rules, n, s) : NULL;
        if (!rule) {
            s++;
            continue;
        }
        st_buf_add(&out, from, (size_t)(s - from));
        st_buf_str(&out, rule->say);
        from = s += strlen(rule->word);
    }
    if (from != text) {
        st_buf_str(&out, from);
        result = st_strndup(a, out.data ? out.data : "", out.len);
    }
    st_buf_release(&out);
    return result;
}
