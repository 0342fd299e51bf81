/* Words as they are compared, and which of them name somebody. */
#include "story/story_words.h"

#include "story/analyse_int.h"

enum { NAME_BYTES = 200 };

void story_words_add(struct st_buf *b, const char *text)
{
    bool open = false;
    for (const char *s = text; *s;) {
        char bytes[4];
        uint32_t c = st_utf8_next(&s);
        bool alone = an_is_cjk(c) || an_is_symbol(c), part = alone || an_is_letter(c);
        if (open && (alone || !part))
            st_buf_char(b, ' ');
        if (part)
            st_buf_add(b, bytes, st_utf8_put(an_lower(c), bytes));
        if (alone)
            st_buf_char(b, ' ');
        open = part && !alone;
    }
    if (open)
        st_buf_char(b, ' ');
}

const char *story_words(struct st_arena *arena, const char *text)
{
    struct st_buf b = ST_BUF(2 * strlen(text) + 4);
    st_buf_char(&b, ' ');
    story_words_add(&b, text);
    const char *words = st_strndup(arena, b.data, b.len);
    st_buf_release(&b);
    return words;
}

const struct an *story_lexicon(struct st_arena *arena, const char *language)
{
    struct an *an = st_new(arena, struct an);
    an->arena = arena;
    an->language = language;
    an_load_lexicon(an);
    return an;
}

static bool is_sign(uint32_t c)
{
    return c == 0xb7 || c == 0x30fb || (c >= 0x2010 && c <= 0x2011) || (c >= 0x2018 && c <= 0x201d) ||
           (c < 0x80 && strchr(" .,'-\"()", (int)c));
}

bool story_may_name(struct st_arena *arena, const struct an *lexicon, const char *name)
{
    const uint64_t never = AN_C(HE) | AN_C(SHE) | AN_C(IT) | AN_C(ME) | AN_C(THEY) | AN_C(HIM) | AN_C(HER) | AN_C(DET) |
                           AN_C(POSS) | AN_C(PREP) | AN_C(NEG);
    const uint64_t small = AN_C(STOP) | AN_C(AUX) | AN_C(SPEECH) | AN_C(THINK) | AN_C(VERB);
    bool capital = an_is_upper(an_peek(name, name + strlen(name))); /* Will and May, but not said */
    if (strlen(name) > NAME_BYTES)
        return false;
    for (const char *s = name; *s;) {
        uint32_t c = st_utf8_next(&s);
        if (!an_is_letter(c) && !an_is_symbol(c) && !is_sign(c))
            return false;
    }
    for (const char *s = story_words(arena, name) + 1; *s;) {
        size_t n = strcspn(s, " ");
        uint64_t none = capital ? never : never | small;
        bool letter = strspn(s, "0123456789") < n && !an_is_symbol(an_peek(s, s + n)) && (n > 1 || capital);
        if (letter && !an_is(lexicon, an_find(lexicon, s, n), none))
            return true;
        s += n + 1;
    }
    return false;
}
