/* Tests the story analyser with stories of several kinds and languages; test_analyse_segment.c has where it cuts them,
 * test_analyse_cast.c what its caller knows, test_analyse_hostile.c what is meant to break it. */
#include "../lib/analysis.h"

/* What a quote that begins so must be. */
struct expected {
    const char *begins;
    const char *speaker; /* "" for unknown, NULL for narration */
    int emotion;
};

enum { ANY = -1 };

struct story {
    const char *language;
    const char *text;
    const struct expected *quotes; /* ends with begins NULL */
};

static void check_story(const struct story *story)
{
    struct st_arena a = {0};
    struct st_analysis *found = analyse(&a, story->text);
    check_answer(found);
    assert_string_equal(found->language, story->language);
    for (const struct expected *e = story->quotes; e->begins; e++) {
        const struct st_segment *s = find_segment(found, e->begins);
        if (!e->speaker) {
            if (s->kind != ST_NARRATION)
                fail_msg("\"%s\": is no narration", e->begins);
        } else if (s->kind == ST_NARRATION || strcmp(speaker(found, s), e->speaker) != 0) {
            fail_msg("\"%s\": spoken by \"%s\", not \"%s\"", e->begins, speaker(found, s), e->speaker);
        }
        if (e->emotion != ANY && (int)s->emotion != e->emotion)
            fail_msg("\"%s\": %s, not %s", e->begins, st_emotion_name(s->emotion),
                     st_emotion_name((enum st_emotion)e->emotion));
    }
    st_arena_release(&a);
}

/* ---- Stories ---- */

static void lighthouse(void **state)
{
    (void)state;
    static const struct expected quotes[] = {
        {"Who's there?", "Mira", ANY},
        {"Please", "", ANY},
        {"I'm lost", "", ANY},
        {"Good heavens", "Mira", ST_SURPRISE},
        {"Tobias.", "Tobias", ST_FEAR},
        {"How many on board?", "Mira", ANY},
        {"Just Dad", "Tobias", ANY},
        {"That old fool", "Mira", ST_ANGER},
        {"He said it", "Tobias", ANY},
        {"What's all this", "Henrik", ST_ANGER},
        {"There's a boat", "Mira", ANY},
        {"In this weather", "Henrik", ANY},
        {"Get your coat, Henrik", "Mira", ANY},
        {"Aye", "Henrik", ANY},
        {"They'll never make it", "Mira", ANY},
        {"Dad, wake up", "Tobias", ST_SADNESS},
        {"Well", "Henrik", ANY},
        {"Tea for everyone", "Mira", ST_JOY},
        {"Mira laughed out loud", NULL, ST_JOY},
        {NULL, NULL, 0},
    };
    static const struct story story = {
        "en",
        "The Lantern Keeper\n\n"
        "Mira had kept the lighthouse for eleven winters, and in all that time nobody had knocked on the door.\n\n"
        "\"Who's there?\" she called, one hand on the bolt.\n\n"
        "\"Please,\" said a small voice. \"I'm lost.\"\n\n"
        "She opened the door. A boy stood on the step, soaked to the skin and shivering. He could not have been "
        "older than nine.\n\n"
        "\"Good heavens, you're frozen. Come in, come in!\" Mira pulled him inside and wrapped him in a blanket. "
        "\"What's your name?\"\n\n"
        "\"Tobias.\" His teeth chattered with fear. \"My father's boat... it hit the rocks.\"\n\n"
        "Mira felt her heart sink. She looked out at the black water.\n\n"
        "\"How many on board?\"\n\n\"Just Dad and me. And Captain Vane.\"\n\n"
        "\"Vane?\" She spat the name. \"That old fool took you out in this?\"\n\n"
        "\"He said it would be fine,\" Tobias whispered. He began to cry. \"He promised.\"\n\n"
        "The stairs creaked, and old Henrik came down in his nightshirt. \"What's all this racket?\" he grumbled.\n\n"
        "\"There's a boat on the rocks,\" said Mira. \"Get your coat.\"\n\n"
        "\"In this weather? You must be mad.\"\n\n\"Get your coat, Henrik!\"\n\n"
        "He stared at her for a moment. Then he nodded slowly. \"Aye,\" he said. \"I'll fetch the ropes.\"\n\n"
        "*They'll never make it,* Mira thought, but she did not say so.\n\n"
        "Two hours later they dragged a half-drowned man up the shingle. Tobias threw himself at him. \"Dad!\" he "
        "sobbed. \"Dad, wake up!\"\n\n"
        "\"Well,\" said Henrik, wiping his face with his sleeve, \"I'll be damned.\"\n\n"
        "Mira laughed out loud for joy. \"Tea,\" she said. \"Tea for everyone!\"\n",
        quotes};
    check_story(&story);
    struct st_arena a = {0};
    struct st_analysis *found = analyse(&a, story.text);
    assert_int_equal(find_character(found, "Mira")->gender, 'f');
    assert_string_equal(find_character(found, "Tobias")->age, "child");
    assert_string_equal(find_character(found, "Henrik")->age, "old");
    assert_non_null(find_character(found, "Captain Vane"));
    assert_int_equal(find_segment(found, "They'll never")->kind, ST_THOUGHT);
    st_arena_release(&a);
}

/* A tale: beings without names, whole dialogues in one paragraph, old-fashioned order of words. */
static void fable(void **state)
{
    (void)state;
    static const struct expected quotes[] = {
        {"Good morning", "The fox", ANY},  {"What lovely feathers", "The fox", ANY},
        {"Thank you", "The crow", ANY},    {"Surely a bird", "The fox", ANY},
        {"Fool", "The old owl", ST_ANGER}, {"Alas", "The crow", ST_SADNESS},
        {"Be quiet", "The old owl", ANY},  {"Who took it", "The farmer's wife", ANY},
        {"Not I", "The fox", ANY},         {NULL, NULL, 0},
    };
    static const struct story story = {
        "en",
        "Once upon a time a crow found a piece of cheese and flew with it to the top of an oak. A fox saw her, and sat "
        "down under the tree. \"Good morning, my dear,\" said the fox. \"What lovely feathers you have!\" The crow was "
        "flattered. \"Thank you,\" replied the crow. Then the fox said, \"Surely a bird so beautiful must sing like an "
        "angel.\" The crow opened her beak, and down fell the cheese.\n\n"
        "\"Fool!\" cried the old owl angrily from the next branch.\n\n"
        "\"Alas,\" sobbed the crow, \"I have lost my supper.\"\n\n"
        "\"Be quiet,\" said the owl, \"and learn from it.\"\n\n"
        "At that moment the farmer's wife came out of the house. \"Who took it?\" asked the farmer's wife.\n\n"
        "\"Not I,\" said the fox, licking his lips.\n",
        quotes};
    check_story(&story);
}

static void first_person(void **state)
{
    (void)state;
    static const struct expected quotes[] = {
        {"You are late", "Inspector Crane", ANY},
        {"The train", "Narrator", ANY},
        {"It always is", "Inspector Crane", ANY},
        {"Who found her", "Narrator", ANY},
        {"The maid", "Inspector Crane", ANY},
        {"I never touched", "Mrs. Dalloway-Price", ST_FEAR},
        {"Nobody says", "Narrator", ANY},
        {"Ask her about", "Inspector Crane", ANY},
        {NULL, NULL, 0},
    };
    static const struct story story = {
        "en",
        "I reached the house at nine. Inspector Crane was waiting on the steps with his hands in his pockets.\n\n"
        "\"You are late,\" said Crane.\n\n"
        "\"The train stood for an hour at Reading,\" I said.\n\n"
        "\"It always is the train.\" The inspector led me through the hall.\n\n"
        "\"Who found her?\" I asked.\n\n"
        "\"The maid did.\"\n\n"
        "Mrs. Dalloway-Price sat in the library. She was white with fear, and her hands trembled.\n\n"
        "\"I never touched the knife,\" she stammered. \"I swear it!\"\n\n"
        "\"Nobody says you did, madam,\" I answered.\n\n"
        "Inspector Crane turned to me and said in a low voice: \"Ask her about the will.\"\n",
        quotes};
    check_story(&story);
}

static void british_quotes(void **state)
{
    (void)state;
    static const struct expected quotes[] = {
        {"I don’t believe", "Mrs Pargeter", ANY},     {"Neither do I", "The husband", ANY},
        {"The boys’ room", "The husband", ANY},       {"Then how did", "Mrs Pargeter", ANY},
        {"That, my dear", "The husband", ANY},        {"I’ve found him", "Ellen", ST_JOY},
        {"’Tis the third", "Mrs Pargeter", ANY},      {"Mr Henderson says", "Ellen", ANY},
        {"He said “never again”", "The father", ANY}, {NULL, NULL, 0},
    };
    static const struct story story = {
        "en",
        "‘I don’t believe a word of it,’ said Mrs Pargeter, putting down her cup.\n\n"
        "‘Neither do I,’ said her husband. ‘The boys’ room was locked all night.’\n\n"
        "‘Then how did the cat get out?’\n\n"
        "‘That, my dear, is exactly what I’d like to know.’\n\n"
        "Their daughter Ellen came in. She had mud on her boots and a triumphant look. ‘I’ve found him!’ she "
        "announced. ‘He was up the Hendersons’ tree.’\n\n"
        "‘Was he?’ Mrs Pargeter frowned. ‘’Tis the third time this week.’\n\n"
        "‘Mr Henderson says he’ll call the police,’ Ellen went on. ‘He was furious.’\n\n"
        "‘He wouldn’t dare,’ said her father. ‘He said “never again” at Christmas, too.’\n",
        quotes};
    check_story(&story);
}

/* Present tense, nobody named for a while, speakers only by turns; a third one joins. */
static void taking_turns(void **state)
{
    (void)state;
    static const struct expected quotes[] = {
        {"Is it far", "Priya", ANY},     {"Two hours", "Sam", ANY},       {"You said that", "Priya", ANY},
        {"And it was true", "Sam", ANY}, {"Fine", "Priya", ANY},          {"Can I come", "Noor", ST_ANTICIPATION},
        {"Of course, Noor", "Sam", ANY}, {"Thank you, Sam", "Noor", ANY}, {NULL, NULL, 0},
    };
    static const struct story story = {
        "en",
        "Priya kicks a stone along the path. \"Is it far?\" she asks.\n\n"
        "\"Two hours,\" says Sam.\n\n"
        "\"You said that an hour ago.\"\n\n\"And it was true an hour ago.\"\n\n\"Fine. I'm not talking to you.\"\n\n"
        "Noor runs up behind them, out of breath. \"Can I come with you?\" she asks eagerly. \"Please?\"\n\n"
        "\"Of course, Noor,\" says Sam.\n\n"
        "\"Thank you, Sam!\"\n",
        quotes};
    check_story(&story);
}

static void long_speech(void **state)
{
    (void)state;
    static const struct expected quotes[] = {
        {"My children", "Grandmother", ANY},
        {"In those days", "Grandmother", ANY},
        {"And so the", "Grandmother", ANY},
        {"Was it true", "", ANY},
        {NULL, NULL, 0},
    };
    static const struct story story = {"en",
                                       "Grandmother put down her knitting and said:\n\n"
                                       "“My children, I was once as young as you.\n\n"
                                       "“In those days the river was full of silver fish.\n\n"
                                       "“And so the river kept its secret.”\n\n"
                                       "“Was it true?” asked everyone at once.\n",
                                       quotes};
    check_story(&story);
}

static void german(void **state)
{
    (void)state;
    static const struct expected quotes[] = {
        {"Warum weinst", "Der König", ANY},     {"Der Drache", "Klara", ST_SADNESS},       {"Alle Rosen", "Klara", ANY},
        {"Das soll er", "Der König", ST_ANGER}, {"Was befehlt", "Der alte Jäger", ANY},    {"Töte", "Der König", ANY},
        {"Nein, Vater", "Klara", ST_FEAR},      {"Die Prinzessin", "Der alte Jäger", ANY}, {NULL, NULL, 0},
    };
    static const struct story story = {
        "de",
        "Es war einmal ein König, der hatte eine Tochter namens Klara. Eines Morgens trat sie in den Thronsaal.\n\n"
        "„Warum weinst du, mein Kind?“, fragte der König.\n\n"
        "„Der Drache hat meinen Garten verbrannt“, schluchzte Klara. „Alle Rosen sind tot!“\n\n"
        "Der König sprang auf. „Das soll er büßen!“, rief er zornig.\n\n"
        "Der alte Jäger kam und verbeugte sich. »Was befehlt Ihr, Herr?«, sagte er.\n\n"
        "»Töte den Drachen«, befahl der König.\n\n"
        "„Nein, Vater“, flüsterte Klara ängstlich.\n\n"
        "Da lachte der alte Jäger und sprach: „Die Prinzessin hat recht.“\n",
        quotes};
    check_story(&story);
}

/* Surnames that are words for beings, too. */
static void german_surnames(void **state)
{
    (void)state;
    static const struct {
        const char *text, *begins, *speaker;
    } cases[] = {
        {"»Guten Abend«, sagte Müller. Er setzte sich.", "Guten", "Müller"},
        {"„Guten Abend“, sagte Herr Müller. Er setzte sich.", "Guten", "Herr Müller"},
        {"Karl Müller kam herein. „Guten Abend“, sagte Müller.", "Guten", "Karl Müller"},
        {"„Wer ist da?“, fragte Hans Bauer. Er stand auf.", "Wer", "Hans Bauer"},
        {"Wolf sagte: „Das ist der Wirt.“ Er setzte sich.", "Das ist", "Wolf"},
        {"Der Wolf lief in den Wald. „Komm“, sagte der Wolf.", "Komm", "Der Wolf"},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        struct st_arena a = {0};
        struct st_analysis *found = analyse(&a, cases[i].text);
        check_answer(found);
        if (strcmp(speaker(found, find_segment(found, cases[i].begins)), cases[i].speaker) != 0)
            fail_msg("%s: spoken by \"%s\"", cases[i].text, speaker(found, find_segment(found, cases[i].begins)));
        st_arena_release(&a);
    }
}

/* The smaller of the marks hold speech, and thoughts beside the larger ones. */
static void german_marks(void **state)
{
    (void)state;
    struct st_arena a = {0};
    struct st_analysis *found = analyse(&a, "›Wer ist da?‹, fragte Anna.\n\n›Ich bin es‹, sagte Karl. ›Mach auf.‹\n");
    check_answer(found);
    assert_string_equal(speaker(found, find_segment(found, "Wer ist")), "Anna");
    assert_string_equal(speaker(found, find_segment(found, "Ich bin")), "Karl");
    assert_string_equal(find_segment(found, "Mach auf")->text, "Mach auf.");
    found = analyse(&a, "„Komm“, sagte Anna. ‚Wie dumm er ist‘, dachte sie. „Ich gehe, er sagte ‚nie‘ zu mir.“\n");
    check_answer(found);
    assert_int_equal(find_segment(found, "Wie dumm er ist")->kind, ST_THOUGHT);
    assert_string_equal(speaker(found, find_segment(found, "Wie dumm")), "Anna");
    assert_int_equal(find_segment(found, "Ich gehe, er sagte ‚nie‘ zu mir.")->kind, ST_DIALOGUE);
    found = analyse(&a, "Sie las die Zeile: Start › Bücher › Neu. Dann las sie ›Faust‹ zu Ende.\n");
    assert_int_equal(found->n_segments, 1);
    assert_int_equal(found->segments[0].kind, ST_NARRATION);
    st_arena_release(&a);
}

static void french(void **state)
{
    (void)state;
    static const struct expected quotes[] = {
        {"Où vas-tu", "La grand-mère", ANY}, {"Je vais chercher", "Mathilde", ANY},
        {"Il fait froid", "Mathilde", ANY},  {"Moi, je", "Mathilde", ST_JOY},
        {"Bonsoir, petite", "Le loup", ANY}, {"dit le loup", NULL, ANY},
        {"que fais-tu", "Le loup", ANY},     {"Je ramasse", "Mathilde", ANY},
        {"Veux-tu", "Le loup", ANY},         {NULL, NULL, 0},
    };
    static const struct story story = {
        "fr",
        "Il était une fois une petite fille qui vivait avec sa grand-mère. Elle s'appelait Mathilde.\n\n"
        "— Où vas-tu si tard ? demanda la grand-mère.\n\n"
        "— Je vais chercher du bois, répondit Mathilde. Il fait froid.\n\n"
        "Mathilde éclata de rire. « Moi, je n'ai pas peur ! » s'écria-t-elle.\n\n"
        "Dans la forêt, elle rencontra le loup.\n\n"
        "« Bonsoir, petite, dit le loup, que fais-tu ici toute seule ? »\n\n"
        "« Je ramasse du bois », répondit-elle.\n\n"
        "— Veux-tu que je t'aide ? demanda-t-il doucement.\n",
        quotes};
    check_story(&story);
}

/* A dialogue of dashes that opens and closes with a mark, paragraphs apart. */
static void french_dialogue(void **state)
{
    (void)state;
    struct st_arena a = {0};
    struct st_analysis *found =
        analyse(&a, "« Où vas-tu ? demanda Jean.\n\n— Au bois, répondit Marie.\n\n— Seule ?\n\n— Oui. »\n\n"
                    "Il partit. « Tu as lu cela ?\n\n— J'ai lu « Candide » hier.» Marie rit. « Bien », dit Jean.\n");
    check_answer(found);
    for (int i = 0; i < found->n_segments; i++)
        assert_true(strstr(found->segments[i].text, "»") == NULL || strstr(found->segments[i].text, "« Candide »"));
    assert_string_equal(speaker(found, find_segment(found, "Oui.")), "Marie");
    assert_string_equal(find_segment(found, "J'ai lu")->text, "J'ai lu « Candide » hier.");
    assert_int_equal(find_segment(found, "Marie rit.")->kind, ST_NARRATION);
    assert_string_equal(speaker(found, find_segment(found, "Bien")), "Jean");
    found = analyse(&a, "— Oui », dit Jean. Il était tard, et la nuit était noire dans la rue.\n");
    assert_string_equal(found->segments[0].text, "Oui");
    assert_string_equal(speaker(found, &found->segments[0]), "Jean");
    st_arena_release(&a);
}

static void spanish(void **state)
{
    (void)state;
    static const struct expected quotes[] = {
        {"¿Hay alguien", "Lucía", ANY},
        {"Pasa, hija", "El abuelo", ANY},
        {"Te estaba", "El abuelo", ANY},
        {"Tengo miedo", "Lucía", ST_FEAR},
        {"¡Tomás!", "Lucía", ST_JOY},
        {"Aquí estoy", "Tomás", ANY},
        {NULL, NULL, 0},
    };
    static const struct story story = {"es",
                                       "Era una tarde de otoño cuando Lucía llegó a la casa de su abuelo.\n\n"
                                       "—¿Hay alguien en casa? —preguntó Lucía.\n\n"
                                       "—Pasa, hija, pasa —dijo el abuelo—. Te estaba esperando.\n\n"
                                       "—Tengo miedo, abuelo —susurró ella—. He visto una sombra.\n\n"
                                       "—¡Tomás! —gritó Lucía con alegría—. ¿Dónde está?\n\n"
                                       "—Aquí estoy —respondió Tomás desde la puerta.\n",
                                       quotes};
    check_story(&story);
}

static void russian(void **state)
{
    (void)state;
    static const struct expected quotes[] = {
        {"Здравствуй", "Солдат", ANY},
        {"Нет ничего", "Старуха", ANY},
        {"А топор", "Солдат", ANY},
        {"Вот и сварим", "Иван", ANY},
        {NULL, NULL, 0},
    };
    static const struct story story = {"ru",
                                       "Жил-был старик со старухой. Однажды пришёл к ним солдат.\n\n"
                                       "— Здравствуй, бабушка, — сказал солдат. — Нет ли чего поесть?\n\n"
                                       "— Нет ничего, — ответила старуха.\n\n"
                                       "— А топор есть? — спросил он.\n\n"
                                       "— Вот и сварим кашу из топора! — воскликнул Иван.\n",
                                       quotes};
    check_story(&story);
}

static void chinese(void **state)
{
    (void)state;
    static const struct expected quotes[] = {
        {"你要去哪里", "", ANY},
        {"奶奶问", NULL, ANY},
        {"狼來了", "", ANY},
        {NULL, NULL, 0},
    };
    static const struct story story = {
        "zh", "从前有一个小女孩，她和奶奶住在森林边。\n\n“你要去哪里？”奶奶问。\n\n「狼來了！」村民大喊。\n", quotes};
    check_story(&story);
}

/* ---- Characters ---- */

static void aliases_are_merged(void **state)
{
    (void)state;
    struct st_arena a = {0};
    struct st_analysis *found =
        analyse(&a, "Elizabeth Bennet looked up. \"Is Mr. Darcy here?\" asked Elizabeth.\n\n"
                    "\"He is, Miss Bennet,\" said Captain Vane. The captain bowed. Vane had always been polite.\n\n"
                    "\"I am glad,\" said Miss Bennet.\n\n\"Are you?\" said Darcy.\n\n"
                    "\"Yes,\" said Mrs. Bennet. \"She is.\"\n");
    check_answer(found);
    const struct st_character *elizabeth = find_character(found, "Elizabeth Bennet");
    assert_non_null(elizabeth);
    assert_int_equal(elizabeth->n_aliases, 2);
    assert_int_equal(elizabeth->mentions, 4);
    assert_int_equal(elizabeth->gender, 'f');
    assert_string_equal(speaker(found, find_segment(found, "I am glad")), "Elizabeth Bennet");
    assert_string_equal(speaker(found, find_segment(found, "Are you")), "Mr. Darcy");
    assert_string_equal(speaker(found, find_segment(found, "Yes")), "Mrs. Bennet");
    assert_string_equal(speaker(found, find_segment(found, "He is")), "Captain Vane");
    assert_int_equal(find_character(found, "Mr. Darcy")->gender, 'm');
    assert_null(find_character(found, "The captain"));
    st_arena_release(&a);
}

/* A rank stands before the surname, or before the first name of somebody who is called so. */
static void ranks_are_merged(void **state)
{
    (void)state;
    struct st_arena a = {0};
    struct st_analysis *found =
        analyse(&a, "Judge Margaret Hollis sat down. The door opened for Captain Daniel Ross.\n\n"
                    "\"Bring him in,\" said Judge Hollis.\n\n\"I am here,\" said Captain Daniel.\n\n"
                    "\"So you are,\" said Hollis.\n\n\"As you see,\" said Captain Ross.\n\n"
                    "\"Who else?\" asked the judge.\n");
    check_answer(found);
    assert_int_equal(found->n_characters, 2);
    assert_int_equal(find_character(found, "Judge Margaret Hollis")->n_aliases, 3);
    assert_int_equal(find_character(found, "Captain Daniel Ross")->n_aliases, 2);
    assert_string_equal(speaker(found, find_segment(found, "Bring")), "Judge Margaret Hollis");
    assert_string_equal(speaker(found, find_segment(found, "I am here")), "Captain Daniel Ross");
    assert_string_equal(speaker(found, find_segment(found, "As you see")), "Captain Daniel Ross");
    assert_string_equal(speaker(found, find_segment(found, "Who else")), "Judge Margaret Hollis");
    /* A wife has her husband's name, and is not he; Mrs. Rachel is Rachel. */
    found = analyse(
        &a, "\"Good evening,\" said Julius Beaufort.\n\n\"Good evening,\" said Mrs. Julius Beaufort.\n\n"
            "\"Sit down,\" said Rachel Lynde.\n\n\"And eat,\" said Mrs. Rachel. Julius Beaufort ate. Rachel Lynde "
            "poured tea.\n");
    assert_non_null(find_character(found, "Mrs. Julius Beaufort"));
    assert_int_equal(find_character(found, "Julius Beaufort")->n_aliases, 0);
    assert_string_equal(speaker(found, find_segment(found, "And eat")), "Rachel Lynde");
    st_arena_release(&a);
}

static void what_is_no_character(void **state)
{
    (void)state;
    struct st_arena a = {0};
    struct st_analysis *found = analyse(
        &a, "On Monday the train from London to Paris was late. Suddenly it rained. However, Anna did not mind. "
            "She read an English book in the Grand Hotel. Anna spoke French, and Christmas was near.\n\n"
            "\"Rain again,\" said a voice.\n");
    check_answer(found);
    assert_int_equal(found->n_characters, 1);
    assert_string_equal(found->characters[0].name, "Anna");
    st_arena_release(&a);
}

/* Descriptions that the text itself ties to names; names that are common words; kin; groups. */
static void who_is_who(void **state)
{
    (void)state;
    struct st_arena a = {0};
    struct st_analysis *found =
        analyse(&a, "A clockmaker named Silas Thorne lived there. One day a thin boy came in.\n\n"
                    "\"Sorry!\" cried the boy. \"I am late.\"\n\n\"You are, Jasper,\" growled the clockmaker.\n\n"
                    "Will put down his cards. \"I think not,\" said Will.\n\n"
                    "Their father opened the door. \"What is this?\" he asked. \"Nothing,\" said the twins.\n\n"
                    "\"I need some tea,\" said Dad.\n\n"
                    "The door fell shut, and a voice said: \"My name is Ferdinand.\"\n");
    check_answer(found);
    static const char *const expected[][2] = {
        {"Sorry!", "Jasper"}, {"You are", "Silas Thorne"}, {"I think not", "Will"},     {"What is", "Dad"},
        {"Nothing", ""},      {"I need", "Dad"},           {"My name is", "Ferdinand"},
    };
    for (size_t i = 0; i < ST_COUNT(expected); i++)
        assert_string_equal(speaker(found, find_segment(found, expected[i][0])), expected[i][1]);
    assert_string_equal(find_character(found, "Jasper")->age, "child");
    st_arena_release(&a);
}

/* A name in the mouth of the speaker is whom he speaks to. */
static void called_by_name(void **state)
{
    (void)state;
    struct st_arena a = {0};
    struct st_analysis *found = analyse(&a, "\"Come here, Tom!\" said Ann.\n\n\"Why should I?\"\n\n"
                                            "\"Because I say so, Tom.\"\n");
    check_answer(found);
    assert_string_equal(speaker(found, find_segment(found, "Come here")), "Ann");
    assert_string_equal(speaker(found, find_segment(found, "Why")), "Tom");
    assert_string_equal(speaker(found, find_segment(found, "Because")), "Ann");
    st_arena_release(&a);
}

/* Words that are spoken about stay with the narration. */
static void words_spoken_about(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "He went to see \"The Merry Widow,\" which bored him.",
        "\"Rose\" was the name of one of the two houses.",
        "It was thought to be \"very English\" to have a house of one's own.",
        "She liked what he called \"the better sort.\"",
        "The notion of \"through\" persisted in her mind.",
        "He was, though generally \"very particular,\" quite ready.",
        "“Dear Emma,\n\n“I am well, and so is he.\n\n“Yours, Jane.”",
    };
    for (size_t i = 0; i < ST_COUNT(texts); i++) {
        struct st_arena a = {0};
        struct st_analysis *found = analyse(&a, texts[i]);
        for (int k = 0; k < found->n_segments; k++)
            if (found->segments[k].kind != ST_NARRATION)
                fail_msg("speech: %s", found->segments[k].text);
        st_arena_release(&a);
    }
    struct st_arena a = {0};
    struct st_analysis *found = analyse(&a, "\"If he\" she pointed at Tom \"has been here, I will go,\" said Ann.");
    assert_string_equal(speaker(found, find_segment(found, "has been")), "Ann");
    assert_int_equal(find_segment(found, "If he")->kind, ST_DIALOGUE);
    st_arena_release(&a);
}

/* The innermost marks are those of the outermost: they close nothing. */
static void quotes_in_quotes_in_quotes(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "\"He said, 'I heard her say, \"Go away,\" and then she left,' but I don't believe it,\" said Tom.",
        "“He said, ‘I heard her say, “Go away,” and then she left,’ but I don’t believe it,” said Tom.",
        "\"Then he said: 'She told me: \"Wait here!\" and went.' I can't wait,\" said Tom.",
    };
    for (size_t i = 0; i < ST_COUNT(texts); i++) {
        struct st_arena a = {0};
        struct st_analysis *found = analyse(&a, texts[i]);
        check_answer(found);
        assert_int_equal(found->n_segments, 2);
        assert_string_equal(speaker(found, &found->segments[0]), "Tom");
        st_arena_release(&a);
    }
    struct st_arena a = {0};
    struct st_analysis *found = analyse(&a, "\"Get 'em now,\" said Tom. \"Come!\" cried Ann. \"Never,\" said Tom.");
    assert_int_equal(found->n_segments, 6); /* an apostrophe only */
    assert_string_equal(speaker(found, find_segment(found, "Come!")), "Ann");
    found = analyse(&a, "“I don’t know “Get ’em” or “Sit,” nor you,” said Tom. “Come!” cried Ann. “Don’t,” said Tom.");
    assert_string_equal(speaker(found, find_segment(found, "Come!")), "Ann");
    st_arena_release(&a);
}

/* --Yes, he said slowly. Hyphens for a dash, and the clause in the midst of the speech. */
static void hyphens(void **state)
{
    (void)state;
    struct st_arena a = {0};
    struct st_analysis *found =
        analyse(&a, "Ann looked up.\n\n--What is your name? she asked quietly.\n\n--Ben Hill, he said "
                    "with some pride. Of this town.\n\n--Is it?\n");
    check_answer(found);
    assert_string_equal(speaker(found, find_segment(found, "What is your name?")), "Ann");
    assert_int_equal(find_segment(found, "she asked quietly")->kind, ST_NARRATION);
    assert_int_equal(find_segment(found, "Of this town")->kind, ST_DIALOGUE);
    found = analyse(&a, "--Tennyson.\n\nIt was late.\n");
    assert_int_equal(found->segments[0].kind, ST_NARRATION);
    st_arena_release(&a);
}

/* A letter is nobody's speech; what is said behind it is. A name that two may have is less sure. */
static void letters_and_namesakes(void **state)
{
    (void)state;
    struct st_arena a = {0};
    struct st_analysis *found = analyse(&a, "\"My dear Emma,--\n\n\"I am well.\n\n\"Jane.\"\n\n\"Who wrote?\" asked "
                                            "Tom.\n\n\"My dear Tom,\" said Emma, \"how should I know?\"\n");
    check_answer(found);
    assert_int_equal(find_segment(found, "\"I am well")->kind, ST_NARRATION);
    assert_string_equal(speaker(found, find_segment(found, "Who wrote")), "Tom");
    assert_string_equal(speaker(found, find_segment(found, "My dear Tom")), "Emma");
    found =
        analyse(&a, "\"Well?\" said Mr. Wilcox.\n\n\"Well,\" said Henry Wilcox.\n\n\"Well!\" said Charles Wilcox.\n\n"
                    "\"Good,\" said Helen.\n");
    assert_true(find_segment(found, "Well?")->confidence < find_segment(found, "Good")->confidence);
    st_arena_release(&a);
}

/* Who speaks, told by descriptions, by what is heard, by verbs with particles; and what the evidence says. */
static void told_otherwise(void **state)
{
    (void)state;
    static const struct {
        const char *text, *begins, *speaker, *evidence;
    } cases[] = {
        {"Ann and Ben sat by the fire.\n\n\"Cold,\" said Ann.\n", "Cold", "Ann", "attribution: said Ann"},
        {"Ann and Ben sat by the fire.\n\n\"Cold,\" she said.\n", "Cold", "Ann", "pronoun: she said"},
        {"Ann and Ben sat by the fire.\n\n\"Cold,\" the girl said.\n", "Cold", "Ann", "attribution: the girl said"},
        {"Ann shivered in the wind. \"It is cold.\"\n", "It is", "Ann", "action: Ann shivered in the wind"},
        {"\"Cold,\" said Ann.\n\n\"Not for me,\" said Ben.\n\n\"It is!\"\n", "It is!", "Ann", "turn: answers Ben"},
        {"Ben woke up. He heard Ann say, \"It is late.\"\n", "It is", "Ann", "attribution: Ann say"},
        {"Ben woke up, and Ann's clear voice asked: \"Is it late?\"\n", "Is it", "Ann",
         "attribution: Ann's clear voice"},
        {"\"It is late,\" said Ben.\n\n\"Very late,\" broke in Ann.\n", "Very", "Ann", "attribution: broke in Ann"},
        {"\"Late,\" said Ben, and Ann, after a while, said: \"It is.\"\n", "It is", "Ann", NULL},
        {"Ann showed it to Ben, who said, \"It is late.\"\n", "It is", "Ben", "attribution: Ben, who said"},
        {"\"It is late,\" corroborated Ann earnestly.\n", "It is", "Ann", "attribution: corroborated Ann"},
        {"\"Oh, certainly,\" stammered unhappy Ben, seizing his hat.\n", "Oh", "Ben", NULL},
        {"Ben sat down.\n\n\"Never!\" exclaimed the horrified Mrs. Lynde.\n", "Never", "Mrs. Lynde", NULL},
        {"Ann and Ben sat there.\n\n\"Who is it?\" It was Ben who spoke.\n", "Who is", "Ben",
         "attribution: Ben who spoke"},
        {"Ann and Ben sat there.\n\n\"I do not know,\" was her only reply.\n", "I do", "Ann",
         "pronoun: her only reply"},
        {"Ben looked up. That made Ann ask, \"Is it late?\"\n", "Is it", "Ann", "attribution: Ann ask"},
        {"Ben, going to the door, where Ann was waiting, said gently: \"It is late.\"\n", "It is", "Ben", NULL},
        {"Ann did not know the old song, but said only, coolly, \"It is late.\"\n", "It is", "Ann", NULL},
        {"\"No,\" replied Ann, quite struck by the way in which he still spoke, \"it is late.\"\n", "it is", "Ann",
         NULL},
        {"\"Listen,\" said the voice of old Ben.\n", "Listen", "Ben", NULL},
        {"Ann, Ben and Eve were waiting.\n\n\"Who is it?\" asked Ann.\n\n\"I, madam.\"\n\n\"Fine, sir,\" said Ann.\n",
         "I, madam", "Ben", NULL},
        {"Gus, Cid, Hal, Ben, Dora, Ann and Eve were sitting by the fire.\n\n\"It is late.\"\n\n\"So it is.\"\n",
         "So it", "", NULL}, /* anybody's guess */
        {"\"Is Ben here?\" asked Ann.\n\n\"No,\" said Cid.\n\n\"Ben is always late.\"\n", "Ben is", "Ann", NULL},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        struct st_arena a = {0};
        struct st_analysis *found = analyse(&a, cases[i].text);
        check_answer(found);
        const struct st_segment *s = find_segment(found, cases[i].begins);
        if (strcmp(speaker(found, s), cases[i].speaker) != 0)
            fail_msg("%s: spoken by \"%s\"", cases[i].text, speaker(found, s));
        if (cases[i].evidence)
            assert_string_equal(s->evidence, cases[i].evidence);
        st_arena_release(&a);
    }
}

/* Emphasis is a thought where the words beside it say so, or it says I; other words in italics are narration. */
static void emphasis_or_thought(void **state)
{
    (void)state;
    static const struct {
        const char *text, *begins;
        enum st_segment_kind kind;
    } cases[] = {
        {"Ben sat down. *Who is there?* he asked himself.\n", "Who is", ST_THOUGHT},
        {"Ben sat down. He thought, *why not now?*\n", "why not", ST_THOUGHT},
        {"Ana se sentó en la silla. *¿Quién anda ahí?* se preguntó Ana.\n", "¿Quién", ST_THOUGHT},
        {"Ben sat down. *I should go.* It was late.\n", "I should", ST_THOUGHT},
        {"\"Who is there?\" asked Ben, _sotto voce_. \"Is it you?\"\n", "asked Ben", ST_NARRATION},
        {"Ben sat down. *The Silver Lake.* It was a good book.\n", "Ben sat", ST_NARRATION},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        struct st_arena a = {0};
        struct st_analysis *found = analyse(&a, cases[i].text);
        check_answer(found);
        assert_int_equal(find_segment(found, cases[i].begins)->kind, cases[i].kind);
        for (int k = 0; cases[i].kind == ST_NARRATION && k < found->n_segments; k++)
            assert_int_not_equal(found->segments[k].kind, ST_THOUGHT);
        st_arena_release(&a);
    }
}

/* A painter whom the text never names is the one whom the others call Basil. */
static void never_named(void **state)
{
    (void)state;
    static const char round[] = "\"Is it ready, Basil?\" asked Henry.\n\n\"Not yet, Henry,\" said the painter.\n\n";
    char text[2000] = "Henry stood in the studio.\n\n";
    for (int i = 0; i < 4; i++)
        strncat(text, round, sizeof(text) - strlen(text) - 1);
    struct st_arena a = {0};
    struct st_analysis *found = analyse(&a, text);
    check_answer(found);
    assert_string_equal(speaker(found, find_segment(found, "Not yet")), "Basil");
    assert_null(find_character(found, "The painter"));
    st_arena_release(&a);
}

/* Who continues is who spoke last; who replies is another. */
static void continued_or_replied(void **state)
{
    (void)state;
    static const char *const verbs[][2] = {{"continued", "Tom"}, {"went on", "Tom"}, {"replied", "Ben"}};
    struct st_arena a = {0};
    for (size_t i = 0; i < ST_COUNT(verbs); i++) {
        struct st_analysis *found = analyse(
            &a, st_printf(&a,
                          "\"Sit down,\" said Tom to Ben.\n\n\"Here?\" said Ben.\n\n\"There,\" said Tom. \"We have "
                          "time.\"\n\nThere was a pause.\n\n\"Nobody knows,\" he %s.\n\n\"Tell me,\" said the girl.\n",
                          verbs[i][0]));
        assert_string_equal(speaker(found, find_segment(found, "Nobody knows")), verbs[i][1]);
    }
    /* What is added to one's own words says nothing of who spoke before them. */
    struct st_analysis *own = analyse(
        &a, "\"Sit down,\" said Tom to Ben.\n\n\"I will sit where I please,\" said Ben.\n\nTom shut the door, and "
            "the room grew dark.\n\n\"By the fire.\" The clock struck. \"It is late,\" he added.\n");
    assert_string_equal(speaker(own, find_segment(own, "By the fire")), "Tom");
    st_arena_release(&a);
}

/* ---- Emotion ---- */

static void emotions(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum st_emotion emotion;
    } cases[] = {
        {"The children squealed with delight as the snow began to fall.", ST_JOY},
        {"Tears streamed down his cheeks as he laid the flowers on her grave.", ST_SADNESS},
        {"She slammed the door and screamed with rage.", ST_ANGER},
        {"Her hands trembled as she reached for the door.", ST_FEAR},
        {"He stared at the letter in astonishment.", ST_SURPRISE},
        {"The stench of rotting fish made him gag.", ST_DISGUST},
        {"He loved his brother more than anything in the world.", ST_TRUST},
        {"She leaned forward eagerly, waiting for the story to begin.", ST_ANTICIPATION},
        {"The house stood at the end of the lane, behind a row of elms.", ST_NEUTRAL},
        {"He was not happy at all.", ST_SADNESS},
        {"She was not afraid.", ST_NEUTRAL},
        {"Er war zornig und voller Wut.", ST_ANGER},
        {"Elle pleurait de tristesse.", ST_SADNESS},
        {"She was not very happy.", ST_SADNESS},
        {"He was not really angry.", ST_NEUTRAL},
        {"Nothing in the world made her happy.", ST_SADNESS},
        {"Neither of them was happy.", ST_SADNESS},
        {"He was no longer happy.", ST_SADNESS},
        {"He was anything but happy.", ST_SADNESS},
        {"He was not in the least angry.", ST_NEUTRAL},
        {"I don't think he was happy.", ST_SADNESS},
        {"I don't think that she is angry with you.", ST_NEUTRAL},
        {"She had never been so happy.", ST_JOY},
        {"Never was he so happy.", ST_JOY},
        {"He was not only happy but rich.", ST_JOY},
        {"There was nothing but joy.", ST_JOY},
        {"He did not know how happy she was.", ST_JOY},
        {"He did not know he was happy.", ST_JOY},
        {"He did not come because he was sad.", ST_SADNESS},
        {"Without a word the man hugged and kissed her.", ST_JOY},
        {"Sie war nicht sehr glücklich.", ST_SADNESS},
        {"Da ging er. Er lachte nicht.", ST_SADNESS},
        {"Er fürchtete sich vor ihm nicht.", ST_NEUTRAL},
        {"Ich hasse dich nicht.", ST_NEUTRAL},
        {"Die Angst ließ ihn nicht los.", ST_FEAR},
        {"Der traurige König kam nicht.", ST_SADNESS},
        {"Er war wütend und sagte nichts.", ST_ANGER},
        {"Er lachte ohne Grund.", ST_JOY},
        {"So glücklich war der Mann noch nie.", ST_JOY},
        {"So glücklich war der Mann nicht.", ST_SADNESS},
        {"Elle n'était pas très heureuse.", ST_SADNESS},
        {"Elle n'avait jamais été si heureuse.", ST_JOY},
        {"😭😭😭", ST_SADNESS},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        struct st_arena a = {0};
        struct st_analysis *found = analyse(&a, cases[i].text);
        assert_int_equal(found->n_segments, 1);
        if (found->segments[0].emotion != cases[i].emotion)
            fail_msg("%s: %s", cases[i].text, st_emotion_name(found->segments[0].emotion));
        st_arena_release(&a);
    }
}

static void emotion_from_the_clause(void **state)
{
    (void)state;
    struct st_arena a = {0};
    struct st_analysis *found =
        analyse(&a, "\"It is gone,\" she sobbed.\n\n\"It is there,\" he said angrily.\n\n"
                    "\"It is here,\" said Tom.\n\n\"So happy!\"\n\n\"So extremely happy!!!\"\n");
    assert_int_equal(find_segment(found, "It is gone")->emotion, ST_SADNESS);
    assert_int_equal(find_segment(found, "It is there")->emotion, ST_ANGER);
    assert_int_equal(find_segment(found, "It is here")->emotion, ST_NEUTRAL);
    assert_true(find_segment(found, "So extremely")->intensity > find_segment(found, "So happy")->intensity);
    st_arena_release(&a);
}

/* ---- Languages ---- */

static void languages(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"en", "The old man and the girl walked along the river until it was dark."},
        {"de", "Der alte Mann ging mit dem Mädchen am Fluss entlang, bis es dunkel wurde."},
        {"fr", "Le vieil homme et la petite fille marchaient le long de la rivière jusqu'à la nuit."},
        {"es", "El viejo y la niña caminaron por la orilla del río hasta que se hizo de noche."},
        {"it", "Il vecchio e la bambina camminavano lungo il fiume fino a quando non si fece buio."},
        {"pt", "O velho e a menina caminharam ao longo do rio até que ficou escuro, mas não tinham medo."},
        {"nl", "De oude man en het meisje liepen langs de rivier tot het donker werd."},
        {"sv", "Den gamle mannen och flickan gick längs floden tills det blev mörkt, och han sade inte något."},
        {"da", "Den gamle mand og pigen gik langs floden, indtil det blev mørkt, og han sagde ikke noget."},
        {"pl", "Stary człowiek i dziewczynka szli wzdłuż rzeki, aż zrobiło się ciemno."},
        {"cs", "Starý muž a dívka šli podél řeky, dokud se nesetmělo, a on už nic neřekl."},
        {"fi", "Vanha mies ja tyttö kävelivät jokea pitkin, kunnes tuli pimeä, eikä hän sanonut mitään."},
        {"hu", "Az öregember és a kislány a folyó mentén sétált, amíg be nem sötétedett."},
        {"ro", "Bătrânul și fetița au mers de-a lungul râului până când s-a întunecat."},
        {"tr", "Yaşlı adam ve kız, hava kararana kadar nehir boyunca yürüdüler ve bir şey demediler."},
        {"ru", "Старик и девочка шли вдоль реки, пока не стемнело."},
        {"uk", "Старий і дівчинка йшли вздовж річки, доки не стемніло."},
        {"bg", "Старецът и момичето вървяха край реката, докато се стъмни."},
        {"el", "Ο γέρος και το κορίτσι περπατούσαν δίπλα στο ποτάμι."},
        {"he", "הזקן והילדה הלכו לאורך הנהר."},
        {"ar", "مشى الرجل العجوز والفتاة على طول النهر حتى حل الظلام."},
        {"fa", "پیرمرد و دختر در کنار رودخانه راه رفتند و چیزی نگفتند."},
        {"hi", "बूढ़ा आदमी और लड़की नदी के किनारे चल रहे थे।"},
        {"zh", "老人和女孩沿着河边走，直到天黑。"},
        {"ja", "老人と少女は暗くなるまで川沿いを歩きました。"},
        {"ko", "노인과 소녀는 어두워질 때까지 강을 따라 걸었다."},
        {"th", "ชายชรากับเด็กหญิงเดินไปตามแม่น้ำ"},
        {"und", "123 456 !!!"},
        {"und", "Xqz Wvb Kjhg"},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++)
        assert_string_equal(st_detect_language(cases[i][1], strlen(cases[i][1])), cases[i][0]);
    struct st_arena a = {0};
    struct st_analysis *found;
    assert_int_equal(st_analyse(&a, "Hallo.", 6, &(struct st_analyse_hints){.language = "DE-at"}, &found), 0);
    assert_string_equal(found->language, "de");
    assert_int_equal(st_analyse(&a, "Hallo.", 6, &(struct st_analyse_hints){.language = "d3"}, &found), ST_E_INVALID);
    assert_int_equal(st_analyse(&a, "Hallo.", 6, &(struct st_analyse_hints){.language = ""}, &found), ST_E_INVALID);
    st_arena_release(&a);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(lighthouse),
        cmocka_unit_test(fable),
        cmocka_unit_test(first_person),
        cmocka_unit_test(british_quotes),
        cmocka_unit_test(taking_turns),
        cmocka_unit_test(long_speech),
        cmocka_unit_test(german),
        cmocka_unit_test(german_surnames),
        cmocka_unit_test(german_marks),
        cmocka_unit_test(french),
        cmocka_unit_test(french_dialogue),
        cmocka_unit_test(spanish),
        cmocka_unit_test(russian),
        cmocka_unit_test(chinese),
        cmocka_unit_test(aliases_are_merged),
        cmocka_unit_test(ranks_are_merged),
        cmocka_unit_test(what_is_no_character),
        cmocka_unit_test(who_is_who),
        cmocka_unit_test(called_by_name),
        cmocka_unit_test(words_spoken_about),
        cmocka_unit_test(letters_and_namesakes),
        cmocka_unit_test(hyphens),
        cmocka_unit_test(quotes_in_quotes_in_quotes),
        cmocka_unit_test(told_otherwise),
        cmocka_unit_test(emphasis_or_thought),
        cmocka_unit_test(never_named),
        cmocka_unit_test(continued_or_replied),
        cmocka_unit_test(emotions),
        cmocka_unit_test(emotion_from_the_clause),
        cmocka_unit_test(languages),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
