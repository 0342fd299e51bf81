#ifndef STORY_ANALYSE_INT_H
#define STORY_ANALYSE_INT_H
/*
 * What the files of the analyser share. They run in this order, each filling its part of struct an:
 *
 *   analyse_text.c       text -> clean text, paragraphs; code point classes; terms (the distinct words)
 *   analyse_language.c   language
 *   analyse_lexicon*.c   word lists, loaded into the terms
 *   analyse_quote.c      paragraphs -> spans (narration, speech, thought)
 *   analyse_word.c       spans -> words, with the punctuation behind each
 *   analyse_name.c       words -> entities (names and descriptions that occur) and mentions
 *   analyse_cast.c       what the caller knows of the characters and of who speaks
 *   analyse_cluster.c    entities -> persons: aliases merged, gender, age
 *   analyse_title.c      whom a title alone means: the doctor
 *   analyse_clause.c     who a clause beside a quote says is speaking
 *   analyse_turn.c       quotes -> turns; what stands beside them, whom they call
 *   analyse_focus.c      whom pronouns and vague descriptions mean at a point
 *   analyse_alter.c      unnamed speakers -> those whom the others call by name
 *   analyse_beside.c     what the narration around a turn tells of those in it
 *   analyse_choice.c     who may be speaking a turn, by all that hints at it
 *   analyse_exchange.c   how people take turns
 *   analyse_speaker.c    speakers of all spans, by these
 *   analyse_character.c  persons -> characters
 *   analyse_segment.c    spans -> segments
 *   analyse_id.c         their ids
 *   analyse_emotion.c    emotion of a segment
 *   analyse.c            calls them in turn
 */
#include "story/analyse.h"

#define AN_NONE UINT32_MAX

/* Word classes of the lexicon; a term may have several. */
#define AN_CLASSES(X)                                                                                                  \
    X(SPEECH) /* said, whispered */                                                                                    \
    X(REPLY)  /* answered: the quote before it is another's */                                                         \
    X(RESUME) /* continued: the quote before it is the speaker's, too */                                               \
    X(THINK)  /* thought, wondered */                                                                                  \
    X(HE)     /* subject pronouns */                                                                                   \
    X(SHE)                                                                                                             \
    X(IT)                                                                                                              \
    X(ME)    /* I */                                                                                                   \
    X(THEY)  /* we, you, they, one: no single speaker */                                                               \
    X(HIM)   /* him, his, himself */                                                                                   \
    X(HER)   /* her, hers, herself */                                                                                  \
    X(DET)   /* the, a, this */                                                                                        \
    X(INDEF) /* a, an */                                                                                               \
    X(POSS)  /* my, his, their */                                                                                      \
    X(TITLE) /* before a name: Mr, Captain, King */                                                                    \
    X(MALE)  /* what is said of men: king, boy, Mr */                                                                  \
    X(FEMALE)                                                                                                          \
    X(CHILD)                                                                                                           \
    X(ADULT)                                                                                                           \
    X(OLD)                                                                                                             \
    X(PERSON)   /* nouns of beings that may act: fox, baker */                                                         \
    X(MALENAME) /* first names */                                                                                      \
    X(FEMALENAME)                                                                                                      \
    X(NOTNAME) /* capitalised, yet no name of a character: Monday, English */                                          \
    X(PLACE)                                                                                                           \
    X(STOP)     /* function words; they end a noun phrase */                                                           \
    X(PREP)     /* a noun phrase behind one is no subject */                                                           \
    X(WHERE)    /* prepositions that stand before places */                                                            \
    X(SUBORD)   /* when, while: the subject comes after the comma */                                                   \
    X(RELATIVE) /* which, that: a clause follows that is no main one */                                                \
    X(AUX)      /* had, was: may stand between subject and verb */                                                     \
    X(VERB)     /* common verbs of action beside -ed */                                                                \
    X(NEG)                                                                                                             \
    X(MORE) /* very */                                                                                                 \
    X(LESS) /* slightly */                                                                                             \
    X(SO)   /* so, more: "never so happy" is happy */                                                                  \
    X(NEVER)                                                                                                           \
    X(ONLY)     /* "not only happy" is happy, too */                                                                   \
    X(BELIEVE)  /* "I don't think he was happy": he was not */                                                         \
    X(CLAUSE)   /* and, because: what stands before it negates nothing behind it */                                    \
    X(MUTE)     /* a voice, a letter: "speaks", but is nobody */                                                       \
    X(ABBREV)   /* its full stop ends no sentence */                                                                   \
    X(MOD)      /* adjectives before names and descriptions: old, little, poor */                                      \
    X(LINK)     /* inside names: of, de, von */                                                                        \
    X(ELISION)  /* words that begin with an apostrophe: 'tis */                                                        \
    X(PARTICLE) /* broke in, went on: a verb of speech with its particle only */                                       \
    X(NAMING)   /* called, named: what follows in quotation marks is a name */                                         \
    X(VAGUE)    /* the girl: of many persons the one that was last mentioned */                                        \
    X(KIN)      /* her father, his host: the same, but not she and he */                                               \
    X(ANSWER)   /* yes, no: they begin what answers another */                                                         \
    X(DEAR)     /* begins a letter */                                                                                  \
    X(SAYING)   /* was her reply */                                                                                    \
    X(ADJ)      /* adjectives that look like adverbs or participles: ugly, smiling */

enum an_class_number {
#define X(name) AN_N_##name,
    AN_CLASSES(X)
#undef X
};
#define AN_C(name) (UINT64_C(1) << AN_N_##name)

/* One row: the words (separated by spaces; _ for a space inside) that have these classes in these languages. */
struct an_lex {
    const char *languages; /* "en de" or "*" */
    uint64_t classes;
    const char *words;
};
extern const struct an_lex an_lexicon[];
extern const struct an_lex an_lexicon_names[];
/* Pairs "nick=formal". */
extern const char an_nicknames[];

struct an_feeling {
    const char *languages;
    enum st_emotion emotion;
    int weight; /* tenths */
    const char *words;
};
extern const struct an_feeling an_feelings[];

/* A distinct word, in lower case, U+2019 as '. */
struct an_term {
    const char *text;
    uint32_t len, hash, next;
    uint64_t classes;
    uint8_t emotion[2], weight[2];    /* weight 0: none */
    bool known;                       /* in a word list, not (only) in the text */
    bool opens_phrase;                /* the first word of a phrase of the lexicon */
    uint32_t n_lower, n_start, n_mid; /* written small; capital at a sentence's start; capital inside one */
    uint32_t n_name;                  /* stood as a name, or as a being where there are no articles */
};

struct an_para {
    uint32_t start, end; /* bytes of the clean text */
    uint32_t s0, s1;     /* spans */
    bool scene;          /* a new scene or chapter begins here */
    bool heading;
    bool title; /* of a chapter */
};

enum an_evidence {
    AN_E_NONE,
    AN_E_ATTRIBUTION, /* "said Mira" */
    AN_E_PRONOUN,     /* "she said" */
    AN_E_ACTION,      /* Mira frowned. "..." */
    AN_E_SELF,        /* "I am Mira" */
    AN_E_SAME,        /* goes on from the quote before */
    AN_E_TURN,        /* taking turns */
    AN_E_CALLED,      /* was spoken to just before */
    AN_E_CORRECTED,   /* the caller knows it */
};

struct an_span {
    uint32_t start, end; /* without the quotation marks */
    uint32_t para;
    uint32_t w0, w1; /* words */
    uint8_t kind;    /* enum st_segment_kind */
    bool quoted;     /* by quotation marks or a dash, not by emphasis */
    bool continues;  /* the quote of the paragraph before was left open: same speaker */
    bool emphasis;   /* marked by * or _: a thought if the words beside it say so */
    bool corrected;  /* the caller knows its speaker */
    int speaker;     /* person, in the end character; -1 unknown */
    uint8_t evidence;
    float confidence;
    const char *why; /* the evidence for people to read */
};

enum { /* an_word.after: what stands between this word and the next */
       AN_COMMA = 1,
       AN_STOP = 2, /* the sentence ends */
       AN_COLON = 4,
       AN_SEMI = 8,
       AN_DASH = 16,
       AN_OTHER = 32, /* brackets and the like */
       AN_END = 64,   /* last word of its span */
       AN_MARK = 128, /* ! ? … whether or not the sentence ends */
       AN_BREAK = AN_COMMA | AN_STOP | AN_COLON | AN_SEMI | AN_DASH | AN_OTHER | AN_END,
};

struct an_word {
    uint32_t start, end; /* without 's, 'll and the like */
    uint32_t term;
    uint32_t span;
    uint16_t after;
    bool upper;      /* begins with a capital */
    bool caps;       /* two letters or more, all capital */
    bool first;      /* begins a sentence, or may do */
    bool owner;      /* had 's */
    int32_t mention; /* mention that begins here, or -1 */
};

/* What the text says of someone's gender and age. */
struct an_votes {
    int male, female, child, adult, old;
};

/* A name or description as it occurs: "Mr. Darcy", "Tom", "the second brother". Equal ones are one entity. */
enum { AN_NAME_WORDS = 5 };
struct an_entity {
    uint32_t term[AN_NAME_WORDS]; /* words of a name without title; of a description modifiers and, last, the head */
    uint8_t n;
    uint8_t n_shown; /* words of the occurrence to show, which begins at word */
    bool description;
    uint32_t quotable; /* how often found as the subject of a speech verb */
    uint32_t title;    /* term or AN_NONE */
    uint32_t word;
    uint32_t next;           /* hash chain */
    uint32_t count, told;    /* occurrences; those outside speech */
    uint32_t subject, place; /* before a verb; behind a preposition of place */
    struct an_votes votes;
    int person; /* index into persons, once clustered */
};

struct an_mention {
    uint32_t word; /* first word, article and title included */
    uint32_t entity;
    uint8_t n;    /* words */
    bool subject; /* a verb follows */
    bool object;  /* a preposition precedes */
    int means;    /* person that a vague description or a title stands for, or -1 */
    int titled;   /* the same, of a title alone; analyse_title.c */
};

struct an_link {
    uint32_t description, name; /* entities */
    bool same;                  /* the description alone means no one else (her husband Charles: it may) */
};

/* A character in the making: entities that are the same. */
struct an_person {
    uint32_t entity; /* the one that names it */
    uint32_t mentions, subject, place;
    uint32_t first;  /* word of the first mention */
    uint32_t turns;  /* spans spoken */
    uint32_t quoted; /* how often the subject of a verb of speech */
    bool heard;      /* the subject of a verb of speech at least once */
    bool named;      /* by a name, or a description with a capital, not only by descriptions */
    bool proper;     /* by a name */
    bool sure;       /* a title or a first name says that it is a person */
    struct an_votes votes;
    int merged;    /* 1 + the person that this one turned out to be, or 0 */
    int character; /* index into the result, or -1 */
};

/* A segment on its way, of a span, and its words. */
struct an_piece {
    struct st_segment segment;
    uint32_t span, w0, w1;
};

struct an {
    struct st_arena *arena;
    const char *language;
    bool lacks_articles; /* the language does */
    const struct st_analyse_hints *hints;
    char *text; /* clean */
    uint32_t len;
    struct an_para *paras;
    uint32_t n_paras;
    struct an_span *spans;
    uint32_t n_spans, cap_spans;
    struct an_word *words;
    uint32_t n_words, cap_words;
    struct an_term *terms;
    uint32_t n_terms, cap_terms;
    uint32_t *term_buckets, n_term_buckets;
    uint64_t seed; /* of the hashes */
    struct an_entity *entities;
    uint32_t n_entities, cap_entities;
    uint32_t *entity_buckets, n_entity_buckets;
    struct an_mention *mentions;
    uint32_t n_mentions, cap_mentions;
    struct an_said *said; /* by span: what stands beside it */
    struct an_piece *pieces;
    uint32_t n_pieces, cap_pieces;
    struct an_link *links;
    uint32_t n_links, cap_links;
    struct an_person *persons; /* those of the cast first, in its order */
    uint32_t n_persons, cap_persons;
    int narrator; /* person of the story's "I", or -1 */
    int n_merged;
    bool discovering; /* clauses may make new entities */
};

/* Grows an arena array to hold one more element; amortised linear. */
#define AN_PUSH(an, list)                                                                                              \
    (*(__typeof__((an)->list))an_push((an), (void **)&(an)->list, &(an)->n_##list, &(an)->cap_##list,                  \
                                      sizeof(*(an)->list)))
void *an_push(struct an *an, void **list, uint32_t *n, uint32_t *cap, size_t size);

/* analyse_text.c */
uint32_t an_peek(const char *s, const char *end);     /* code point at s, 0 at the end */
uint32_t an_before(const char *begin, const char *s); /* code point before s, 0 at the beginning */
bool an_is_letter(uint32_t cp);                       /* letters, digits and marks of any script */
bool an_is_symbol(uint32_t cp);                       /* emoji and the like */
bool an_is_cjk(uint32_t cp);                          /* written without spaces */
bool an_is_terminator(uint32_t cp);                   /* . ! ? and their kin */
bool an_is_closer(uint32_t cp);                       /* quotes and brackets that close */
uint32_t an_lower(uint32_t cp);
bool an_is_upper(uint32_t cp);
size_t an_fold(const char *s, size_t len, char *out, size_t room); /* lower case, cut at room - 1; length */
void an_clean(struct an *an, const char *text, size_t len);
uint32_t an_find(const struct an *an, const char *word, size_t len); /* term or AN_NONE */
uint32_t an_intern(struct an *an, const char *word, size_t len);
static inline uint64_t an_is(const struct an *an, uint32_t term, uint64_t classes)
{
    return term == AN_NONE ? 0 : an->terms[term].classes & classes;
}

/* analyse_lexicon.c */
void an_load_lexicon(struct an *an);

/* analyse_quote.c */
void an_find_spans(struct an *an);

/* analyse_word.c */
/* Does a sentence end with the terminator at p? *ret_end: behind it, its repetitions and closing marks. */
bool an_sentence_end(const struct an *an, const char *p, const char *begin, const char *end, const char **ret_end);
void an_find_words(struct an *an);

/* analyse_name.c */
void an_find_names(struct an *an); /* entities and mentions */
/*
 * The entity of the noun phrase that begins at word w and ends before limit, or AN_NONE. *ret_n: its words. New names
 * are always added, new descriptions if make says so or their head is a word for persons.
 */
uint32_t an_noun_phrase(struct an *an, uint32_t w, uint32_t limit, bool make, uint32_t *ret_n);
/* The entity equal to e, or AN_NONE; the other one adds it if make says so. */
uint32_t an_find_entity(const struct an *an, const struct an_entity *e);
uint32_t an_entity(struct an *an, struct an_entity *e, bool make);
bool an_verb_follows(const struct an *an, uint32_t w, uint32_t limit);
bool an_is_adverb(const struct an *an, uint32_t w);
bool an_lacks_articles(const char *language);
bool an_is_group(const struct an *an, uint32_t entity); /* the twins, the soldiers */

/* analyse_cast.c */
void an_learn_cast(struct an *an); /* makes the words of its names be found as names */
/*
 * For each entity the member of the cast that it is, 1 + its index; 0: none, or of several. Lives in the arena.
 */
int *an_find_cast(struct an *an);
bool an_cast_is_named(const struct an *an, int m);
uint32_t an_cast_title(const struct an *an, int m, int i); /* of its name (0) or alias; AN_NONE */
int an_cast_narrator(const struct an *an);                 /* its member who tells the story, or -1 */
static inline bool an_in_cast(const struct an *an, int person)
{
    return person >= 0 && person < an->hints->n_cast;
}
/* May the person speak? */
static inline bool an_may_speak(const struct an *an, int person)
{
    return !an->hints->cast_all || an_in_cast(an, person);
}

/* analyse_cluster.c */
void an_cluster(struct an *an);               /* entities -> persons */
char an_gender(const struct an_votes *votes); /* 'm', 'f' or 0 */
void an_add_votes(struct an_votes *to, const struct an_votes *v);

/* analyse_title.c */
void an_find_titled(struct an *an); /* mentions of a title -> persons who have it */

/* analyse_character.c */
const char *an_name(struct an *an, int person); /* as the result has it */
/* persons -> characters, those that count; speakers of spans become indexes of characters. */
void an_make_characters(struct an *an, struct st_analysis *out);

/* analyse_clause.c */
enum an_who { AN_WHO_NONE, AN_WHO_ENTITY, AN_WHO_HE, AN_WHO_SHE, AN_WHO_IT, AN_WHO_ME, AN_WHO_NOBODY };
struct an_said {
    enum an_who who;
    uint32_t entity;
    uint32_t word; /* where the subject stands */
    uint32_t verb_word;
    bool verb; /* a verb of speech or thought says so; else it is the subject of an action */
    bool think;
    bool reply, resume;
    bool colon; /* a colon or comma leads into the quote */
    bool apart; /* the clause is a sentence of its own */
};
/* The person of the subject, when that is an entity. */
struct an_person *an_subject(const struct an *an, const struct an_said *said);
/* What the clause behind quote span s, and the one before it, say of who speaks. */
struct an_said an_clause_after(struct an *an, uint32_t s);
struct an_said an_clause_before(struct an *an, uint32_t s);

/* analyse_focus.c */
/* What a mention weighs, and what is left of all weights behind a sentence, a paragraph, a scene. */
extern const struct an_fading {
    float subject, object, spoken_of, sentence, paragraph, scene, least;
} an_fading;
enum { AN_FOCUS_MAX = 16 };
struct an_focus {
    struct an *an;
    uint32_t word, para; /* where the reader is */
    int n;
    int last[2][2]; /* 1 + the men, and women, that were told of last, whether or not they have faded; or 0 */
    struct an_in_focus {
        int person;
        float weight;
    } in[AN_FOCUS_MAX];
};
void an_focus_read(struct an_focus *f, uint32_t until); /* the words before until, each once */
void an_focus_note(struct an_focus *f, int person, double weight);
double an_focus_weight(const struct an_focus *f, int person);
int an_person(const struct an *an, int person); /* who it turned out to be */
bool an_is_known(const struct an *an, int person);
double an_age_fits(const struct an *an, uint32_t entity, int person);
bool an_is_being(const struct an *an, const struct an_entity *e);
int an_means(const struct an *an, const struct an_mention *m);         /* the person */
const struct an_mention *an_being_at(const struct an *an, uint32_t w); /* the mention that begins there, or NULL */
/* Is it one of those that stand for other people; article: the term before it, or its first? */
bool an_is_vague(const struct an *an, uint32_t entity, uint32_t article);
char an_description_gender(const struct an *an, uint32_t entity);

/* analyse_turn.c */
enum {
    AN_CHOICES = 8,
    AN_TOLD = 6,
    AN_TURNS_MAX = ST_ANALYSE_SEGMENTS_MAX, /* behind these nobody is known to speak */
};
/* Quotes that one being says in one go: the pieces of a split quote, the paragraphs of a long speech. */
struct an_turn {
    uint32_t s0, s1; /* first and last quote span */
    uint32_t para;
    uint32_t talk; /* number of the conversation */
    int speaker;   /* person or -1 */
    int called;    /* person addressed by name (the last one), or -1 */
    bool calls_many;
    char calls_gender; /* of whom it calls sir, mother, my dear girl: 'm', 'f' or 0 */
    int told[AN_TOLD]; /* persons spoken of, by name: hardly those who speak */
    int n_told;
    int self; /* who the speaker says to be, or -1 */
    enum an_evidence evidence;
    float confidence;
    struct an_said said; /* the clause that decides */
    /* What stands between the one before and it: nothing, narration that leads to it, paragraphs; another scene, and
     * so much narration that it is another conversation. */
    enum { AN_GAP_NONE, AN_GAP_LEAD, AN_GAP_PARAGRAPH, AN_GAP_SCENE, AN_GAP_LONG, AN_GAPS } gap;
    bool asks, answers; /* ends in a question; begins with yes or no */
    bool corrected;     /* the caller knows the speaker */
    bool fixed;         /* the text names the speaker */
    bool vague;         /* the text has a vague description of the speaker */
    struct an_choice {
        int person;        /* -1: somebody else */
        float score;       /* logarithm of how likely, as the turn alone tells; in the end the probability */
    } choices[AN_CHOICES]; /* who may be speaking */
    int n_choices;
    int actor, here, ahead; /* who acts beside the quote, in the narration before it, in the paragraph before; or -1 */
};

struct an_talk {
    struct an *an;
    struct an_turn *turns;
    uint32_t n_turns;
    struct an_focus focus;
};
void an_read_clauses(struct an *an); /* what stands beside quotes; which spans are thoughts */
void an_find_turns(struct an_talk *t);
void an_correct(struct an_turn *turn, int speaker);         /* the caller's word; of nobody, when it is -1 */
bool an_asks(const struct an *an, const struct an_span *s); /* ends with a question mark */
struct an_person *an_person_of(const struct an *an, uint32_t entity);
char an_gender_wanted(enum an_who who);

/* analyse_alter.c */
void an_merge_persons(struct an *an, int from, int into); /* they turn out to be one */
bool an_is_unnamed(const struct an *an, int person);
void an_find_alters(struct an_talk *t);

/* analyse_beside.c */
enum an_zone {
    AN_ZONE_BEFORE, /* in the paragraph of the turn, before it */
    AN_ZONE_SINCE,  /* paragraphs between the turn before and this one */
    AN_ZONE_TAIL,   /* behind the turn before, in its paragraph */
    AN_ZONE_INSIDE, /* between its quotes */
    AN_ZONE_BEHIND, /* in its paragraph, behind it */
    AN_ZONE_UNTIL,  /* paragraphs between it and the next turn */
    AN_ZONE_HEAD,   /* before the next turn, in that one's paragraph */
    AN_ZONES,
};
enum { AN_NEAR = 32 };
struct an_beside {      /* bits: 1 << zone */
    uint8_t he, she;    /* where one of these pronouns stands */
    int last[AN_ZONES]; /* the last person that does something there, or -1 */
    int n;
    struct an_near {
        int person;
        uint8_t subject, mentioned; /* does something there; is otherwise named */
        float ahead;                /* how soon and often named behind the turn, also by what is said */
    } near[AN_NEAR];
};
void an_look_beside(const struct an_talk *t, uint32_t turn, struct an_beside *ret);

/* analyse_choice.c */
void an_focus_turn(struct an_focus *f,
                   const struct an_turn *turn); /* who speaks and is called is in focus from now on */
void an_find_choices(struct an_talk *t);
void an_take_choices(struct an_talk *t); /* once they are decided */

/* analyse_exchange.c */
void an_decide_turns(struct an_talk *t);

/* analyse_speaker.c */
void an_find_speakers(struct an *an);

/* analyse_id.c */
void an_give_ids(struct an *an);

/* analyse_segment.c */
void an_cut_segments(struct an *an);                           /* text and ids; speakers that the hints know */
void an_make_segments(struct an *an, struct st_analysis *out); /* the rest, once the speakers are known */

/* analyse_emotion.c */
struct an_mood {
    double score[ST_EMOTIONS_];
    double loudness; /* factor for exclamation marks */
    bool asks;
    uint32_t words;
};
void an_find_feelings(struct an *an);
/* Adds what the words from w0 to w1 express, times weight; clause: they tell how something is said. */
void an_feel(const struct an *an, struct an_mood *mood, uint32_t w0, uint32_t w1, double weight, bool clause);
void an_feel_text(struct an_mood *mood, const char *text, bool speech);
void an_mood_decide(const struct an_mood *mood, struct st_segment *out);

#endif
