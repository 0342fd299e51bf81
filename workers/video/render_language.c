/* Fonts and MP4 language codes of the languages a story may be in. */
#include "video/render_internal.h"

#include <ctype.h>

#define SANS  "Noto Sans"
#define SERIF "Noto Serif"

/*
 * A row names a font where the script's own face reads better than the fallback for single glyphs, above all for Han,
 * which is drawn differently in China, Taiwan, Japan and Korea. The first row is for all others.
 */
static const struct st_language languages[] = {
    {"", "und", SANS, SERIF},
    {"ar", "ara", SANS, "Noto Naskh Arabic"},
    {"bg", "bul", SANS, SERIF},
    {"bn", "ben", SANS, "Noto Serif Bengali"},
    {"ca", "cat", SANS, SERIF},
    {"cs", "ces", SANS, SERIF},
    {"da", "dan", SANS, SERIF},
    {"de", "deu", SANS, SERIF},
    {"el", "ell", SANS, SERIF},
    {"en", "eng", SANS, SERIF},
    {"es", "spa", SANS, SERIF},
    {"et", "est", SANS, SERIF},
    {"fa", "fas", SANS, "Noto Naskh Arabic"},
    {"fi", "fin", SANS, SERIF},
    {"fr", "fra", SANS, SERIF},
    {"he", "heb", SANS, "Noto Serif Hebrew"},
    {"hi", "hin", SANS, "Noto Serif Devanagari"},
    {"hr", "hrv", SANS, SERIF},
    {"hu", "hun", SANS, SERIF},
    {"id", "ind", SANS, SERIF},
    {"it", "ita", SANS, SERIF},
    {"ja", "jpn", "Noto Sans CJK JP", "Noto Serif CJK JP"},
    {"ko", "kor", "Noto Sans CJK KR", "Noto Serif CJK KR"},
    {"lt", "lit", SANS, SERIF},
    {"lv", "lav", SANS, SERIF},
    {"mr", "mar", SANS, "Noto Serif Devanagari"},
    {"nb", "nob", SANS, SERIF},
    {"nl", "nld", SANS, SERIF},
    {"no", "nor", SANS, SERIF},
    {"pl", "pol", SANS, SERIF},
    {"pt", "por", SANS, SERIF},
    {"ro", "ron", SANS, SERIF},
    {"ru", "rus", SANS, SERIF},
    {"sk", "slk", SANS, SERIF},
    {"sl", "slv", SANS, SERIF},
    {"sr", "srp", SANS, SERIF},
    {"sv", "swe", SANS, SERIF},
    {"ta", "tam", SANS, "Noto Serif Tamil"},
    {"te", "tel", SANS, "Noto Serif Telugu"},
    {"th", "tha", SANS, "Noto Serif Thai"},
    {"tr", "tur", SANS, SERIF},
    {"uk", "ukr", SANS, SERIF},
    {"ur", "urd", SANS, "Noto Naskh Arabic"},
    {"vi", "vie", SANS, SERIF},
    {"yue", "yue", "Noto Sans CJK HK", "Noto Serif CJK HK"},
    {"zh", "zho", "Noto Sans CJK SC", "Noto Serif CJK SC"},
    {"zh-hant", "zho", "Noto Sans CJK TC", "Noto Serif CJK TC"},
    {"zh-hk", "zho", "Noto Sans CJK HK", "Noto Serif CJK HK"},
    {"zh-tw", "zho", "Noto Sans CJK TC", "Noto Serif CJK TC"},
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
