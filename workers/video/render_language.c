/* Fonts and MP4 language codes of the languages a story may be in. */
#include "video/render_internal.h"

#include <ctype.h>

#define SANS  "Noto Sans"
#define SERIF "Noto Serif"

/*
 * A row names a font where the script's own face reads better than the fallback for single glyphs, above all for Han,
 * which is drawn differently in China, Taiwan, Japan and Korea. The first row is for all others. Where nobody has
 * said it in the language, the end card has a leaf.
 */
static const struct st_language languages[] = {
    {"", "und", SANS, SERIF, "❦", "❦"},
    {"ar", "ara", SANS, "Noto Naskh Arabic", "النهاية", "أصوات"},
    {"bg", "bul", SANS, SERIF, "❦", "❦"},
    {"bn", "ben", SANS, "Noto Serif Bengali", "❦", "❦"},
    {"ca", "cat", SANS, SERIF, "Fi", "Veus"},
    {"cs", "ces", SANS, SERIF, "Konec", "Hlasy"},
    {"da", "dan", SANS, SERIF, "Slut", "Stemmer"},
    {"de", "deu", SANS, SERIF, "Ende", "Stimmen"},
    {"el", "ell", SANS, SERIF, "Τέλος", "Φωνές"},
    {"en", "eng", SANS, SERIF, "The End", "Voices"},
    {"es", "spa", SANS, SERIF, "Fin", "Voces"},
    {"et", "est", SANS, SERIF, "❦", "❦"},
    {"fa", "fas", SANS, "Noto Naskh Arabic", "❦", "❦"},
    {"fi", "fin", SANS, SERIF, "Loppu", "Äänet"},
    {"fr", "fra", SANS, SERIF, "Fin", "Voix"},
    {"he", "heb", SANS, "Noto Serif Hebrew", "❦", "❦"},
    {"hi", "hin", SANS, "Noto Serif Devanagari", "❦", "❦"},
    {"hr", "hrv", SANS, SERIF, "❦", "❦"},
    {"hu", "hun", SANS, SERIF, "Vége", "Hangok"},
    {"id", "ind", SANS, SERIF, "❦", "❦"},
    {"it", "ita", SANS, SERIF, "Fine", "Voci"},
    {"ja", "jpn", "Noto Sans CJK JP", "Noto Serif CJK JP", "おわり", "声"},
    {"ko", "kor", "Noto Sans CJK KR", "Noto Serif CJK KR", "끝", "목소리"},
    {"lt", "lit", SANS, SERIF, "❦", "❦"},
    {"lv", "lav", SANS, SERIF, "❦", "❦"},
    {"mr", "mar", SANS, "Noto Serif Devanagari", "❦", "❦"},
    {"nb", "nob", SANS, SERIF, "Slutt", "Stemmer"},
    {"nl", "nld", SANS, SERIF, "Einde", "Stemmen"},
    {"no", "nor", SANS, SERIF, "Slutt", "Stemmer"},
    {"pl", "pol", SANS, SERIF, "Koniec", "Głosy"},
    {"pt", "por", SANS, SERIF, "Fim", "Vozes"},
    {"ro", "ron", SANS, SERIF, "Sfârșit", "Voci"},
    {"ru", "rus", SANS, SERIF, "Конец", "Голоса"},
    {"sk", "slk", SANS, SERIF, "❦", "❦"},
    {"sl", "slv", SANS, SERIF, "❦", "❦"},
    {"sr", "srp", SANS, SERIF, "❦", "❦"},
    {"sv", "swe", SANS, SERIF, "Slut", "Röster"},
    {"ta", "tam", SANS, "Noto Serif Tamil", "❦", "❦"},
    {"te", "tel", SANS, "Noto Serif Telugu", "❦", "❦"},
    {"th", "tha", SANS, "Noto Serif Thai", "❦", "❦"},
    {"tr", "tur", SANS, SERIF, "Son", "Sesler"},
    {"uk", "ukr", SANS, SERIF, "Кінець", "Голоси"},
    {"ur", "urd", SANS, "Noto Naskh Arabic", "❦", "❦"},
    {"vi", "vie", SANS, SERIF, "❦", "❦"},
    {"yue", "yue", "Noto Sans CJK HK", "Noto Serif CJK HK", "完", "配音"},
    {"zh", "zho", "Noto Sans CJK SC", "Noto Serif CJK SC", "完", "配音"},
    {"zh-hant", "zho", "Noto Sans CJK TC", "Noto Serif CJK TC", "完", "配音"},
    {"zh-hk", "zho", "Noto Sans CJK HK", "Noto Serif CJK HK", "完", "配音"},
    {"zh-tw", "zho", "Noto Sans CJK TC", "Noto Serif CJK TC", "完", "配音"},
};

/* Is prefix the whole tag, or all of it up to a hyphen? */
static bool covers(const char *prefix, const char *tag)
{
    for (; *prefix; prefix++, tag++)
        if (tolower((unsigned char)*tag) != *prefix)
            return false;
    return *tag == '\0' || *tag == '-';
}

const struct st_language *st_language_find(const char *tag)
{
    const struct st_language *best = &languages[0];
    for (size_t i = 1; tag && i < ST_COUNT(languages); i++)
        if (strlen(languages[i].tag) > strlen(best->tag) && covers(languages[i].tag, tag))
            best = &languages[i];
    return best;
}
