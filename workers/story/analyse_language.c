/* Tells the language of a text: by its script, then by the most frequent words and the letters of each language. */
#include "story/analyse_int.h"

enum { SAMPLE_BYTES = 1 << 16, MAX_LANGUAGES = 32 };

struct tongue {
    const char *language;
    const char *letters; /* letters that few other languages of its script have */
    const char *words;
};

/* Latin script. */
static const struct tongue latin[] = {
    {"en", "",
     "the and of to was that his her with for had not she but you said they were have from this all there when "
     "what would been who which him are them hello yes where could is it he my in will your do out up "
     "then about little time into very old no good how did just like its can know one has went me never "
     "we be as on at by an if or so"},
    {"de", "äöüß",
     "der die und das nicht ist ich sie ein zu den mit von dem es war sich auf eine auch als aber wie er "
     "hatte sagte noch nach wenn nur so ihr mich mir dich wir ihn einen einer was aus bei doch schon "
     "kein dann da hallo ja sein seine im am um wurde haben kann über immer wieder"},
    {"fr", "çœêèùûîô",
     "le la les et des est un une du que qui dans il elle pas pour sur ne se ce son sa ses avec mais "
     "vous nous je tu était au plus par tout comme lui dit avait on bonjour oui cette ils leur "
     "bien sans si où être fait aux moi c'est j'ai qu'il n'est d'un d'une l'on de en"},
    {"es", "ñ¿¡",
     "el la los las de que y en un una por con no se su es para como lo más pero sus le ya era muy cuando "
     "había sin sobre ella él me si mi dijo estaba qué hola sí todo también porque del al este esta "
     "entonces donde fue ni te yo nada hasta desde casa ser"},
    {"it", "ìòù",
     "il di che la e un una per non è in con si lo le gli della del nel da sono era come ma più disse ha "
     "anche alla suo sua al dei delle mi ti questo questa tutto quando cosa io lui lei ciao sì perché "
     "aveva molto se ci ne i o poi dove essere nella sul"},
    {"pt", "ãõçâ",
     "o a de que e do da em um uma para com não os as se no na por mais dos das como mas foi ao ele ela "
     "seu sua ou quando muito nos já eu também só pelo pela isso disse estava era você olá sim são "
     "está tinha havia me meu minha nem então onde à"},
    {"nl", "ĳ",
     "de het een en van ik te dat die in je niet zijn is was op aan met als voor had er maar om hem dan zou of "
     "wat mijn men dit zo door over ze zich bij ook tot mij uit zei haar hij naar heeft hebben deze nog "
     "wij hallo ja nee geen toen werd waren kan"},
    {"sv", "åäö",
     "och det att i en jag hon som han på den med var sig för så till är men ett om hade de av icke mig du "
     "henne då sin nu har inte hans honom skulle hennes där min man ej vid kunde något från ut när "
     "efter upp vi dem vara vad över än sade hej ja nej"},
    {"da", "æøå",
     "og i det at en den til er som på de med han af for ikke der var mig sig men et har om vi min havde ham "
     "hun nu over da fra du ud sin dem os op man hans hvor eller hvad skal selv her alle vil blev "
     "kunne ind når være dog noget ville jo deres efter ned skulle denne end dette mit også sagde hej "
     "ja nej jeg"},
    {"no", "æøå",
     "og i jeg det at en et den til er som på de med han av ikke der så var meg seg men har om vi min mitt ha "
     "hadde hun nå over da ved fra du ut sin dem oss opp man kan hans hvor eller hva skal selv sjøl "
     "her alle vil ble kunne inn når være noe ville deres etter ned skulle denne si sa hei ja nei"},
    {"fi", "äö",
     "ja on ei se että oli hän en mutta ovat mitä niin kuin minä sinä joka ole kun jo nyt hänen mikä sen "
     "olen kaikki vain tai myös hyvin sitten siitä olla minun minut hei kyllä sanoi vielä tämä olet me "
     "he jos koska missä ennen pois"},
    {"pl", "ąęłńśźżć",
     "i w nie na się z do to że a o jak jest po co ale tak za od go już by był była przez dla ja mu jej "
     "jego ich tylko tego mnie ci ten ta te kiedy gdy bardzo może jeszcze było czy pan powiedział "
     "cześć nic przy też są"},
    {"cs", "ěřůčžý",
     "a se v na je že to s z do o i jak ale by tak si po jsem za byl byla bylo co když už jen pro které "
     "který ve jsou ještě být nebo mu jeho její pod při kde mě mi ne od k u řekl řekla ano ahoj ten ta"},
    {"sk", "ľĺŕôä",
     "a sa v na je že to s z do o i ako ale by tak si po som za bol bola bolo čo keď už len pre ktoré ktorý "
     "vo sú ešte byť alebo mu jeho jej pod pri kde ma mi nie od k u povedal povedala áno ahoj ten tá"},
    {"hu", "őűáéí",
     "a az és hogy nem is egy volt de meg csak már ezt azt mint vagy ha el mi ki én te ő van kell mert "
     "aztán még nagyon most ott itt ez így úgy lehet minden akkor mondta igen szia fel be neki"},
    {"ro", "ăâîșțşţ",
     "și de la în nu a un o pe cu că este din se mai să care era au fost ce pentru lui dar el ea sa său "
     "eu tu când cum după până spre ei le ca am ai sunt dacă atunci fără unde spuse zise da bună ne"},
    {"tr", "ığşç",
     "ve bir bu da de için ne o ben sen çok mi mı gibi daha var yok ama kadar her şey olan ile diye sonra "
     "dedi değil ki onu ona onun biz siz evet hayır merhaba iyi zaman en ya şimdi nasıl neden oldu"},
    {"id", "",
     "yang dan di itu dengan untuk tidak ini dari dalam akan pada ke juga saya ada adalah kami mereka kita dia "
     "aku kamu telah karena bisa sudah oleh anda seperti lagi apa sangat orang seorang halo ya lebih atau "
     "hari sebuah kata"},
    {"vi", "đơưạảấầẩậắằặẹẻẽếềểệỉịọỏốồổộớờởợụủứừửữựỳỵỷỹ",
     "và của là có không một những được cho trong với người đã này "
     "đến khi ra cũng như từ ở tôi anh em bà ông cô nó thì mà lại đi nói rất sẽ về làm"},
    {"ca", "·çàòï",
     "el la els les de i que a en un una per amb no es del va ser seu seva com més però quan ja ell ella "
     "què dir tot molt això aquest aquesta nen havia són també fins després on jo em si al"},
    {"hr", "čćđšž",
     "i u je da se na su za od s a ali kao što ne bi sam samo koji koja ili iz po o ga mu joj nije bio "
     "bila bilo kad kako već još ovo to taj ta sve sada tako rekao rekla bog ja ti on ona"},
    {"et", "õäöü",
     "ja on ei et see oli ta ma kui aga mis ka nii oma siis välja tema mida või kes veel selle nagu üks "
     "kõik ning pole mina sina olid juba ütles tere jah"},
    {"lt", "ėįųūšž",
     "ir į kad ne tai su iš bet kaip jis ji buvo yra aš tu jo jos dar per už ant apie kas tik nuo ar jau "
     "man jam jai pasakė taip labas po prie"},
    {"lv", "āēīūģķļņ",
     "un ir ka no uz ar to es viņš viņa bet kas bija tas par kā tu vai nav mēs tad jau pie tik vēl "
     "kad sev man pēc teica jā sveiks"},
    {"la", "",
     "et in est non ad cum sed qui quae quod ut ex si a ab de atque enim nec esse erat sunt hic ille eius "
     "autem etiam quam nunc per se iam inquit"},
    {"af", "",
     "die het en van nie is in 'n sy hy ek was te dat vir met op aan om my jy sê maar nog haar hom wat as na "
     "toe hulle ons kan sal baie daar"},
    {"eo", "ĉĝĥĵŝŭ",
     "la kaj de en estas mi ne li ŝi al ke por kun estis sed vi ili kiel tiu pli ĉiuj ankaŭ diris unu "
     "kiu io tre el ĝi"},
};

static const struct tongue cyrillic[] = {
    {"ru", "ыэъё", "и в не на что он она я с как это но же по было был была его её сказал сказала все так за у из мне"},
    {"uk", "іїєґ", "і в не на що він вона я з як це але та було був була його її сказав сказала все так за у із мені"},
    {"be", "ўі", "і ў не на што ён яна я з як гэта але было быў была яго яе сказаў сказала усё так за у мне"},
    {"bg", "ъщ", "и в не на че той тя аз с как това но се беше го й каза всичко така за от са да му я ще къде"},
    {"sr", "љњћђџј", "и у не на да он она је се са како то али био била његов рекао рекла све тако за из ми"},
    {"mk", "ѓќѕјљњ", "и во не на да тој таа е се со како тоа но беше го рече сите така за од ми"},
    {"kk", "әғқңөұүһі", "және бір бұл мен сен ол да де емес үшін деп еді бар жоқ"},
};

static const struct tongue arabic[] = {
    {"fa", "پچژگیک", "و در به از که این را با است آن برای بود گفت او من تو یک هم تا ما"},
    {"ur", "ٹڈڑںےہھ", "اور کے کی میں نے ہے کو سے کا یہ وہ پر تھا کہا نہیں"},
    {"ar", "ةىإأؤئي", "و في من على أن إلى كان قال التي الذي هذا لا ما هو هي عن لم يا ثم قالت"},
};

static const struct tongue devanagari[] = {
    {"hi", "", "है और के में की का से को ने था थी कि पर यह वह नहीं कहा एक हैं हो भी"},
    {"mr", "ळ", "आहे आणि हे ते तो ती मी त्या होता होती नाही म्हणाला म्हणाली एक ची चा चे"},
    {"ne", "", "छ र को मा ले थियो हो भन्यो छन् यो त्यो एक पनि भने गर्न"},
};

struct script {
    uint32_t first, last;
    const char *language; /* NULL: to be told by words */
    const struct tongue *tongues;
    int n_tongues;
    int weight; /* letters of a script without alphabet say more */
};

static const struct script scripts[] = {
    {'A', 0x24F, NULL, latin, ST_COUNT(latin), 1},
    {0x370, 0x3FF, "el", NULL, 0, 1},
    {0x400, 0x52F, NULL, cyrillic, ST_COUNT(cyrillic), 1},
    {0x530, 0x58F, "hy", NULL, 0, 1},
    {0x590, 0x5FF, "he", NULL, 0, 1},
    {0x600, 0x77F, NULL, arabic, ST_COUNT(arabic), 1},
    {0x900, 0x97F, NULL, devanagari, ST_COUNT(devanagari), 1},
    {0x980, 0x9FF, "bn", NULL, 0, 1},
    {0xA00, 0xA7F, "pa", NULL, 0, 1},
    {0xA80, 0xAFF, "gu", NULL, 0, 1},
    {0xB80, 0xBFF, "ta", NULL, 0, 1},
    {0xC00, 0xC7F, "te", NULL, 0, 1},
    {0xC80, 0xCFF, "kn", NULL, 0, 1},
    {0xD00, 0xD7F, "ml", NULL, 0, 1},
    {0xD80, 0xDFF, "si", NULL, 0, 1},
    {0xE00, 0xE7F, "th", NULL, 0, 1},
    {0xE80, 0xEFF, "lo", NULL, 0, 1},
    {0xF00, 0xFFF, "bo", NULL, 0, 1},
    {0x1000, 0x109F, "my", NULL, 0, 1},
    {0x10A0, 0x10FF, "ka", NULL, 0, 1},
    {0x1200, 0x139F, "am", NULL, 0, 1},
    {0x1780, 0x17FF, "km", NULL, 0, 1},
    {0x1E00, 0x1EFF, NULL, latin, ST_COUNT(latin), 1},
    {0x1F00, 0x1FFF, "el", NULL, 0, 1},
    {0x3040, 0x30FF, "ja", NULL, 0, 6}, /* Japanese mixes kana into Chinese characters */
    {0x4E00, 0x9FFF, "zh", NULL, 0, 2},
    {0xAC00, 0xD7AF, "ko", NULL, 0, 3},
};

static const struct script *find_script(const char *text, size_t len)
{
    uint32_t counts[ST_COUNT(scripts)] = {0};
    for (const char *s = text; s < text + len;) {
        uint32_t cp = st_utf8_next(&s);
        if (!an_is_letter(cp) || (cp >= '0' && cp <= '9'))
            continue;
        for (size_t i = 0; i < ST_COUNT(scripts); i++) {
            if (cp >= scripts[i].first && cp <= scripts[i].last) {
                counts[i] += (uint32_t)scripts[i].weight;
                break;
            }
        }
    }
    size_t best = 0;
    for (size_t i = 1; i < ST_COUNT(scripts); i++)
        if (counts[i] > counts[best])
            best = i;
    return counts[best] ? &scripts[best] : NULL;
}

/* A tiny hash of the tongues' words: which of them use it. */
enum { WORD_SLOTS = 4096, WORD_BYTES = 32 };
struct word_slot {
    char word[WORD_BYTES];
    uint32_t tongues;
};

static struct word_slot *slot_of(struct word_slot *slots, const char *word)
{
    uint32_t h = 2166136261u;
    for (const char *s = word; *s; s++)
        h = (h ^ (unsigned char)*s) * 16777619u;
    for (h ^= h >> 13;; h++) {
        struct word_slot *slot = &slots[h % WORD_SLOTS];
        if (!slot->word[0] || strcmp(slot->word, word) == 0)
            return slot;
    }
}

static void load_words(struct word_slot *slots, const struct tongue *tongues, int n)
{
    for (int i = 0; i < n; i++) {
        for (const char *s = tongues[i].words; *s;) {
            char word[WORD_BYTES];
            size_t k = strcspn(s, " ");
            if (k > 0 && k < sizeof(word)) {
                memcpy(word, s, k);
                word[k] = '\0';
                struct word_slot *slot = slot_of(slots, word);
                memcpy(slot->word, word, k + 1);
                slot->tongues |= 1u << i;
            }
            s += k + (s[k] == ' ');
        }
    }
}

static void score_word(struct word_slot *slots, const char *s, size_t len, double *score, int n)
{
    char word[WORD_BYTES];
    if (len >= sizeof(word))
        return;
    an_fold(s, len, word, sizeof(word));
    const struct word_slot *slot = slot_of(slots, word);
    if (!slot->tongues)
        return;
    double weight = 3.0 / (1 + __builtin_popcount(slot->tongues));
    for (int i = 0; i < n; i++)
        if (slot->tongues & 1u << i)
            score[i] += weight;
}

static void score_letter(const struct tongue *tongues, int n, uint32_t cp, double *score)
{
    char put[5];
    put[st_utf8_put(an_lower(cp), put)] = '\0';
    for (int i = 0; i < n; i++)
        if (strstr(tongues[i].letters, put))
            score[i] += 0.4;
}

static const char *tell_by_words(const char *text, size_t len, const struct tongue *tongues, int n)
{
    struct word_slot *slots = calloc(WORD_SLOTS, sizeof(*slots));
    double score[MAX_LANGUAGES] = {0};
    uint32_t words = 0;
    if (!slots)
        abort();
    load_words(slots, tongues, n);
    const char *word = NULL, *end = text + len;
    for (const char *s = text; s <= end;) {
        const char *here = s;
        uint32_t cp = s < end ? st_utf8_next(&s) : (s++, 0);
        bool inside = an_is_letter(cp) || (word && (cp == '\'' || cp == 0x2019) && an_is_letter(an_peek(s, end)));
        if (cp >= 0x80)
            score_letter(tongues, n, cp, score);
        if (inside && !word)
            word = here;
        if (!inside && word) {
            score_word(slots, word, (size_t)(here - word), score, n);
            words++;
            word = NULL;
        }
    }
    free(slots);
    int best = 0;
    for (int i = 1; i < n; i++)
        if (score[i] > score[best])
            best = i;
    bool sure = score[best] >= 0.05 * words && score[best] > 0;
    return sure ? tongues[best].language : tongues == latin ? "und" : tongues[0].language;
}

const char *st_detect_language(const char *text, size_t len)
{
    if (len > SAMPLE_BYTES) {
        len = SAMPLE_BYTES;
        while (len > 0 && ((unsigned char)text[len] & 0xC0) == 0x80)
            len--;
    }
    const struct script *script = find_script(text, len);
    if (!script)
        return "und";
    if (script->language)
        return script->language;
    return tell_by_words(text, len, script->tongues, script->n_tongues);
}
