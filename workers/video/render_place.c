/* Where a passage is set, as far as its words tell. */
#include "video/render_internal.h"

#include <ctype.h>

enum { WORD_MAX = 40, HITS_MAX = 1000 };

/* Words of English, German, French and Spanish, in lower case and one form; a plural in s, n or en is found as well. */
static const char *const words[ST_PLACES] = {
    [ST_PLACE_SEA] = " sea ocean shore beach harbour harbor ship boat sailor lighthouse waves island bay cliff coast "
                     "captain deck meer ozean strand hafen schiff boot matrose leuchtturm welle insel küste klippe mer "
                     "océan plage port bateau navire marin phare vagues île côte mar océano playa puerto barco "
                     "marinero faro olas isla costa ",
    [ST_PLACE_FOREST] = " forest wood woods tree trees pine oak glade thicket wolf wald bäume baum tanne eiche "
                        "lichtung wolf forêt bois arbre arbres sapin chêne clairière loup bosque árbol árboles pino "
                        "roble lobo ",
    [ST_PLACE_MOUNTAIN] = " mountain mountains peak summit glacier snow valley ridge avalanche berg berge gipfel "
                          "gletscher schnee tal montagne sommet neige glacier vallée montaña cumbre nieve valle ",
    [ST_PLACE_DESERT] = " desert dune dunes sand camel oasis caravan wüste düne kamel oase karawane désert "
                        "chameau caravane desierto duna camello caravana ",
    [ST_PLACE_CITY] = " city town street streets square market tower crowd tavern traffic roofs carriage shop stadt "
                      "straße strasse platz markt turm menge gasse dächer kutsche ville rue marché foule "
                      "toits boutique ciudad calle plaza mercado torre multitud tejados tienda ",
    [ST_PLACE_ROOM] = " room kitchen bedroom door window table chair bed lamp fireplace hearth parlour parlor library "
                      "study stairs attic zimmer küche tür fenster tisch stuhl bett lampe kamin stube treppe chambre "
                      "cuisine porte fenêtre table chaise lampe cheminée escalier habitación cocina puerta ventana "
                      "mesa silla cama lámpara chimenea escalera ",
};

/* A byte of a word in lower case: of the letters beyond ASCII those of Latin-1, whose first byte is `before`. */
static char lower(unsigned char c, unsigned char before)
{
    enum { LATIN = 0xc3, FIRST = 0x80, LAST = 0x9e, TIMES = 0x97, APART = 0x20 };
    return (char)(before == LATIN && c >= FIRST && c <= LAST && c != TIMES ? c + APART : tolower(c));
}

/* Ends at the first byte that belongs to no word. */
static size_t read_word(const char *s, char word[WORD_MAX + 3])
{
    size_t n = 0;
    for (; isalpha((unsigned char)s[n]) || (unsigned char)s[n] >= 0x80; n++)
        if (n < WORD_MAX)
            word[n + 1] = lower((unsigned char)s[n], n ? (unsigned char)s[n - 1] : 0);
    size_t len = n < WORD_MAX ? n : 0;
    word[0] = ' ';
    word[len + 1] = ' ';
    word[len + 2] = '\0';
    return n;
}

/* The word, " so ", or what it is without its last letter. */
static bool lists(const char *list, char *word)
{
    size_t last = strlen(word) - 2;
    if (strstr(list, word))
        return true;
    if (last < 4 || (word[last] != 's' && word[last] != 'n'))
        return false;
    char plural = word[last];
    word[last] = ' ';
    word[last + 1] = '\0';
    bool found = strstr(list, word) != NULL;
    word[last] = plural;
    word[last + 1] = ' ';
    return found;
}

enum st_place st_place_find(const char *text, enum st_place otherwise)
{
    int hits[ST_PLACES] = {0}, best = -1, total = 0;
    char word[WORD_MAX + 3];
    while (*text && total < HITS_MAX) {
        size_t n = read_word(text, word);
        for (int i = 0; n > 2 && i < ST_PLACES; i++)
            if (words[i] && lists(words[i], word)) {
                hits[i]++;
                total++;
            }
        text += n ? n : 1;
    }
    for (int i = 0; i < ST_PLACES; i++)
        if (hits[i] && (best < 0 || hits[i] > hits[best]))
            best = i;
    return best < 0 ? otherwise : (enum st_place)best;
}
