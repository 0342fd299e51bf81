/* Story: what of an analysis has changed, what its author knows better, and what of a provider's answer counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "story/chapters.h"
#include "story/markdown.h"
#include "story/story_chat.h"
#include "story/story_words.h"

enum { LINES = 400, PASSAGES = 64 };

static struct st_arena arena;

static struct story_found analysed(const char *text, const json_t *corrections)
{
    const struct st_analyse_hints hints =
        story_hints(&arena, st_json_keep(&arena, json_pack("{s:s}", "language", "en")), corrections);
    struct story_found found = {.analyser = "embedded"};
    assert_int_equal(st_analyse(&arena, text, strlen(text), &hints, &found.analysis), 0);
    story_overlay(&arena, &found, corrections);
    return found;
}

static const struct st_segment *segment(const struct story_found *found, const char *text)
{
    for (int i = 0; i < found->analysis->n_segments; i++)
        if (strcmp(found->analysis->segments[i].text, text) == 0)
            return &found->analysis->segments[i];
    fail_msg("no segment says %s", text);
    return NULL;
}

static json_t *json(const char *text)
{
    json_t *j = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(j);
    return st_json_keep(&arena, j);
}

static const char scene[] = "\"Come in,\" said Ann.\n\n\"No,\" said Ben.\n\nThe dog barked.";

/* --- changes and corrections --- */

static void test_only_what_changed_is_told(void **state)
{
    (void)state;
    struct story_found before = analysed(scene, NULL),
                       after = analysed("\"Come in,\" said Ann.\n\n\"No,\" said Ben.\n\n"
                                        "The cat slept.",
                                        NULL);
    const char *was = story_segments_text(&arena, &before, true);
    const json_t *same = story_changes(&arena, before.analysis, "id", was);
    assert_string_equal(st_json_text(&arena, same), "{\"since\":\"id\",\"added\":[],\"changed\":[],\"removed\":[]}");
    const json_t *changes = story_changes(&arena, after.analysis, "id", was);
    assert_int_equal(json_array_size(json_object_get(changes, "added")), 1);
    assert_int_equal(json_array_size(json_object_get(changes, "removed")), 1);
    assert_int_equal(json_array_size(json_object_get(changes, "changed")), 0);
    assert_string_equal(json_string_value(json_array_get(json_object_get(changes, "added"), 0)),
                        segment(&after, "The cat slept.")->id);
    assert_null(story_changes(&arena, after.analysis, NULL, NULL));
}

static void test_corrections_hold(void **state)
{
    (void)state;
    struct story_found plain = analysed(scene, NULL);
    const struct st_segment *no = segment(&plain, "No,");
    const json_t *corrections =
        json(st_printf(&arena,
                       "{\"cast\":[{\"name\":\"Aunt Ann\",\"aliases\":[\"Ann\"],\"gender\":\"female\"}],\"segments\":["
                       "{\"segmentId\":\"%s\",\"speakerGiven\":true,\"speaker\":\"Ann\",\"emotion\":\"joy\","
                       "\"intensity\":0.25},{\"segmentId\":\"gone\",\"speakerGiven\":true,\"speaker\":null}]}",
                       no->id));
    struct story_found found = analysed(scene, corrections);
    const struct st_segment *s = segment(&found, "No,");
    assert_string_equal(story_speaker(found.analysis, s), "Aunt Ann");
    assert_string_equal(s->evidence, "corrected");
    assert_int_equal(s->emotion, ST_JOY);
    assert_true(s->intensity > 0.24 && s->intensity < 0.26);
    assert_int_equal(found.corrected[s - found.analysis->segments], STORY_SPEAKER_CORRECTED | STORY_EMOTION_CORRECTED);
    assert_string_equal(story_speaker(found.analysis, segment(&found, "Come in,")), "Aunt Ann");
    assert_non_null(strstr(story_segments_text(&arena, &found, true), "\"corrected\":[\"speaker\",\"emotion\"]"));
    const json_t *changes = story_changes(&arena, found.analysis, "id", story_segments_text(&arena, &plain, true));
    assert_int_equal(json_array_size(json_object_get(changes, "changed")), 2); /* and Ann has another name */
}

/* --- Markdown --- */

static void test_markdown_is_read_as_people_do(void **state)
{
    (void)state;
    static const struct {
        const char *text, *read, *alone; /* without emphasis, too; NULL: as read */
    } cases[] = {
        {"See [the *old* house](https://x.org/a_b \"A title\") there.", "See the *old* house there.",
         "See the old house there."},
        {"A ![sleeping cat](cat_(1).png), ![](x.png)and [![mark](m.png)](y) `st_x` end.",
         "A sleeping cat, and mark st_x end.", NULL},
        {"[sic] (so), [a] (b), [x](no such place), a [b and ](c", NULL, NULL},
        {"`Come,' she said. `No,' he said. `", NULL, NULL},
        {"**Bold** and __so__, *it\nis*, ***all***; \"*Yes.*\"", "**Bold** and __so__, *it\nis*, ***all***; \"*Yes.*\"",
         "Bold and so, it\nis, all; \"Yes.\""},
        {"“*Yes,* no”—*it\nis*’s", NULL, "“Yes, no”—it\nis’s"},
        {"* one\n* two\n\n***\n\n2 * 3 * 4, snake_case_word, *open\n\nnot* it f*** it", NULL, NULL},
        {"[[[[[[[[", NULL, NULL},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        size_t n = strlen(cases[i].text);
        const char *read = cases[i].read ? cases[i].read : cases[i].text;
        assert_string_equal(st_markdown_read(&arena, cases[i].text, n, false, &n), read);
        assert_int_equal(n, strlen(read));
        n = strlen(cases[i].text);
        assert_string_equal(st_markdown_read(&arena, cases[i].text, n, true, &n),
                            cases[i].alone ? cases[i].alone : read);
    }
    struct story_found found = analysed("He saw [the old house](https://x.org/a). It slept.\n\n![](x.png)", NULL);
    segment(&found, "He saw the old house. It slept.");
    assert_int_equal(analysed("![](x.png)", NULL).analysis->n_segments, 0);
}

/* --- passages --- */

static char *long_text(int other)
{
    struct st_buf b = ST_BUF(1 << 20);
    for (int i = 0; i < LINES; i++)
        st_buf_printf(&b, "\"This is line %d%s of a long talk,\" said Ann. They walked on for a while together.\n\n", i,
                      i == other ? ", which was edited," : "");
    char *text = st_strndup(&arena, b.data, b.len);
    st_buf_release(&b);
    return text;
}

static void test_an_edit_leaves_other_passages(void **state)
{
    (void)state;
    struct story_passage before[PASSAGES], after[PASSAGES];
    struct story_found a = analysed(long_text(-1), NULL), b = analysed(long_text(LINES / 2), NULL);
    int n = story_passages(&arena, a.analysis, PASSAGES, before),
        m = story_passages(&arena, b.analysis, PASSAGES, after);
    int kept = 0, segments = 0;
    assert_true(n > 3);
    for (int i = 0; i < n; i++) {
        assert_int_equal(before[i].first, segments);
        segments += before[i].n;
        for (int k = 0; k < m; k++)
            kept += strcmp(before[i].text, after[k].text) == 0;
    }
    assert_int_equal(segments, a.analysis->n_segments);
    assert_true(kept >= n - 2);
    assert_int_equal(story_passages(&arena, a.analysis, 2, before), 0);
}

/* Of some 6 to 12 KiB between paragraphs, of at most 18 within one, and each segment stands where it is said to. */
static void test_passages_are_cut_between_paragraphs(void **state)
{
    (void)state;
    enum { KIB = 1024, LONG = 1500 };
    struct st_buf b = ST_BUF(1 << 20);
    st_buf_str(&b, long_text(-1));
    for (int i = 0; i < LONG; i++) /* one that is longer than any passage */
        st_buf_printf(&b, "They walked on, and on, and said nothing of it to anybody at all, for the %dth time. ", i);
    st_buf_printf(&b, "\n\n%s", long_text(-1));
    const char *text = st_strndup(&arena, b.data, b.len);
    st_buf_release(&b);
    struct story_passage p[PASSAGES];
    struct story_found found = analysed(text, NULL);
    const struct st_segment *s = found.analysis->segments;
    int n = story_passages(&arena, found.analysis, PASSAGES, p), pieces = 0;
    assert_true(n > 4);
    for (int i = 0; i < n; i++) {
        bool piece = p[i].first && s[p[i].first].paragraph == s[p[i].first - 1].paragraph;
        assert_true(p[i].len >= 6 * KIB || i == n - 1);
        assert_true(p[i].len < 19 * KIB);
        assert_true(!piece || p[i - 1].len >= 12 * KIB);
        pieces += piece;
        for (int k = 0; k < p[i].n; k++) {
            const char *words = story_words(&arena, s[p[i].first + k].text);
            assert_memory_equal(p[i].words + p[i].starts[k], words, strlen(words));
        }
    }
    assert_true(pieces >= 5);
    struct st_analysis nothing = {.language = "en"};
    assert_int_equal(story_passages(&arena, &nothing, PASSAGES, p), 0);
}

/* --- answers --- */

static int read_answer_to(const char *text, const char *content, const char *finish, json_t **ret, const char **ret_why)
{
    struct story_found found = analysed(text, NULL);
    struct story_passage *p = st_new_n(&arena, struct story_passage, 1);
    assert_int_equal(story_passages(&arena, found.analysis, 1, p), 1);
    const char *body =
        st_json_text(&arena, st_json_keep(&arena, json_pack("{s:[{s:s, s:{s:s}}]}", "choices", "finish_reason", finish,
                                                            "message", "content", content)));
    int r = story_chat_read(&arena, p, body, strlen(body), ret, ret_why);
    if (r == 0) {
        json_t *gathered = st_json_keep(&arena, json_pack("{s:[], s:[]}", "cast", "segments"));
        story_chat_gather(&arena, p, *ret, gathered);
        *ret = gathered;
    }
    return r;
}

static int read_answer(const char *content, const char *finish, json_t **ret, const char **ret_why)
{
    return read_answer_to(scene, content, finish, ret, ret_why);
}

#define LINE(words, who) "{\"text\":\"" words "\",\"speaker\":" who ",\"emotion\":\"joy\",\"intensity\":0.5}"
#define ANN              "{\"name\":\"Ann\",\"aliases\":[\"Nobody\",\"Ben\"],\"gender\":\"female\",\"age\":null}"

static void test_what_stands_the_check_counts(void **state)
{
    (void)state;
    json_t *found;
    const char *why;
    assert_int_equal(read_answer("{\"characters\":[" ANN
                                 "],\"lines\":[" LINE("“Come in,”", "\"Ann\"") "," LINE("No,", "null") "]}",
                                 "stop", &found, &why),
                     0);
    const json_t *segments = json_object_get(found, "segments");
    assert_int_equal(json_array_size(segments), 2);
    assert_string_equal(st_json_str(json_array_get(segments, 0), "speaker", ""), "Ann");
    assert_false(st_json_bool(json_array_get(segments, 1), "speakerGiven", true));
    const json_t *ann = json_array_get(json_object_get(found, "cast"), 0);
    assert_string_equal(st_json_text(&arena, json_object_get(ann, "aliases")), "[\"Ben\"]"); /* Nobody is not said */
    const json_t *corrections = json("{\"cast\":[{\"name\":\"Benjamin\",\"aliases\":[\"Ben\"]}],\"segments\":[]}");
    const json_t *all = story_chat_merge(&arena, corrections, found);
    assert_int_equal(json_array_size(json_object_get(all, "cast")), 1); /* the author says who Ben is */
}

/* Of a cast that is longer than the analyser takes: those whom the author names, and those who speak. */
static void test_who_speaks_comes_first(void **state)
{
    (void)state;
    struct story_found plain = analysed(scene, NULL);
    json_t *cast = json_array();
    for (int i = 0; i <= ST_ANALYSE_CHARACTERS_MAX; i++)
        json_array_append_new(cast, json_pack("{s:s, s:[]}", "name", st_printf(&arena, "Silent %d", i), "aliases"));
    json_array_append_new(cast, json_pack("{s:s, s:[s]}", "name", "Mr. Hale", "aliases", "Uncle Hale"));
    const json_t *found =
        st_json_keep(&arena, json_pack("{s:o, s:[{s:s, s:b, s:s}]}", "cast", cast, "segments", "segmentId",
                                       segment(&plain, "No,")->id, "speakerGiven", 1, "speaker", "Uncle Hale"));
    const json_t *corrections =
        json(st_printf(&arena,
                       "{\"cast\":[],\"segments\":[{\"segmentId\":\"%s\",\"speakerGiven\":true,\"speaker\":"
                       "\"Carla\"}]}",
                       segment(&plain, "Come in,")->id));
    struct story_found after = analysed(scene, story_chat_merge(&arena, corrections, found));
    assert_string_equal(story_speaker(after.analysis, segment(&after, "Come in,")), "Carla");
    assert_string_equal(story_speaker(after.analysis, segment(&after, "No,")), "Mr. Hale");
}

/* The same words are another line each time, looking on from the last one, and from the beginning when none follows. */
static void test_quotations_are_found_where_they_stand(void **state)
{
    (void)state;
    static const char text[] =
        "\"Yes,\" said Ann.\n\n\"Yes,\" said Ben.\n\n\"I see. You are late,\" said Ann.\n\nThe dog barked.";
    json_t *found;
    const char *why = "";
    struct story_found of = analysed(text, NULL);
    const struct st_segment *quotes[3] = {NULL};
    int n = 0;
    for (int i = 0; i < of.analysis->n_segments; i++)
        if (of.analysis->segments[i].kind == ST_DIALOGUE && n < 3)
            quotes[n++] = &of.analysis->segments[i];
    assert_int_equal(n, 3);
    assert_int_equal(
        read_answer_to(text,
                       "{\"characters\":[" ANN
                       "],\"lines\":[" LINE("Yes,", "\"Ann\"") "," LINE("«Yes,» ", "\"Ben\"") "," LINE(
                           "You are late", "\"Ann\"") "," LINE("Yes,", "null") "," LINE("The dog barked.", "null") "]}",
                       "stop", &found, &why),
        0);
    const json_t *segments = json_object_get(found, "segments");
    static const struct {
        int quote;
        const char *speaker;
    } expected[] = {{0, "Ann"}, {1, "Ben"}, {2, "Ann"}, {0, NULL}}; /* what is no quotation is nobody's line */
    assert_int_equal(json_array_size(segments), ST_COUNT(expected));
    for (size_t i = 0; i < ST_COUNT(expected); i++) {
        const json_t *one = json_array_get(segments, i);
        const char *speaker = st_json_str(one, "speaker", NULL);
        assert_string_equal(st_json_str(one, "segmentId", ""), quotes[expected[i].quote]->id);
        assert_true(expected[i].speaker ? st_streq(speaker, expected[i].speaker) : !speaker);
    }
}

/* The segment that begins so, and the speaker that the answer gives it; "-" where it says nothing of it. */
static const char *said_by(const struct st_analysis *a, const json_t *found, const char *text)
{
    json_t *one;
    size_t i;
    json_array_foreach (json_object_get(found, "segments"), i, one)
        for (int k = 0; k < a->n_segments; k++)
            if (st_starts(a->segments[k].text, text) &&
                st_streq(a->segments[k].id, st_json_str(one, "segmentId", NULL)))
                return st_json_str(one, "speaker", "nobody");
    return "-";
}

static void test_words_are_whole_and_quotations_too(void **state)
{
    (void)state;
    static const char text[] = "\"Nobody came. I said no to him,\" said Ann.\n\n\"No,\" said Ben.\n\n"
                               "\"It's late—isn't it…\" said Ann. \"He said 'Go' twice.\"";
    const struct st_analysis *a = analysed(text, NULL).analysis;
    json_t *found;
    const char *why = "";
    assert_int_equal(
        read_answer_to(text,
                       "{\"characters\":[{\"name\":\"Ben\",\"aliases\":[],\"gender\":null,\"age\":null}],"
                       "\"lines\":[" LINE("No", "\"Ben\"") "," LINE("It’s late - isn’t it...", "\"Ben\"") "," LINE(
                           "He said “Go” twice", "null") "]}",
                       "stop", &found, &why),
        0);
    assert_string_equal(said_by(a, found, "Nobody came"), "-");
    assert_string_equal(said_by(a, found, "No,"), "Ben");
    assert_string_equal(said_by(a, found, "It's late"), "Ben");
    assert_string_equal(said_by(a, found, "He said"), "nobody");
    assert_int_equal(
        read_answer_to(text, "{\"characters\":[],\"lines\":[" LINE("body came", "null") "]}", "stop", &found, &why),
        ST_E_BAD_GATEWAY);
}

/* What is shown as a character's name is the text's, and names more than a word does that everybody uses. */
static void test_names_are_of_the_text(void **state)
{
    (void)state;
    static const char text[] =
        "\"Come in,\" said Ann Lee. \"Will you?\"\n\n\"No,\" Will said. The old woman laughed at 7.";
    static const struct {
        const char *name, *aliases, *shown, *kept; /* shown: NULL: refused */
    } cases[] = {
        {"<script>alert(1)</script> Buy at http://evil", "\"Ann\"", "Ann", "[]"},
        {"<b>Ann</b>", "\"Lee\",\"Ann Lee\"", "Lee", "[\"Ann Lee\"]"},
        {"Ann", "\"e\",\"said\",\" \",\".\",\"She\",\"the\",\"An\",\"7\",\"ann lee\"", "Ann", "[\"ann lee\"]"},
        {"said", "\"e\",\" \",\".\",\"in\"", NULL, NULL},
        {"Ann\\u202eLee", "", NULL, NULL},
        {"Will", "", "Will", "[]"},
        {"Ann \\\"Lee\\\"", "", "Ann \"Lee\"", "[]"},
        {"the old woman", "", "the old woman", "[]"},
        {"Ann Lee", "\"Ann\\tLee\"", "Ann Lee", "[]"},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        json_t *found;
        const char *why = "",
                   *content = st_printf(
                       &arena,
                       "{\"characters\":[{\"name\":\"%s\",\"aliases\":[%s],\"gender\":null,\"age\":null}],\"lines\":["
                       "{\"text\":\"No\",\"speaker\":\"%s\",\"emotion\":\"joy\",\"intensity\":1}]}",
                       cases[i].name, cases[i].aliases, cases[i].name);
        int r = read_answer_to(text, content, "stop", &found, &why);
        if (r != (cases[i].shown ? 0 : ST_E_BAD_GATEWAY))
            fail_msg("%s: %d %s", content, r, why);
        if (r < 0)
            continue;
        const json_t *one = json_array_get(json_object_get(found, "cast"), 0);
        assert_string_equal(st_json_str(one, "name", ""), cases[i].shown);
        assert_string_equal(st_json_text(&arena, json_object_get(one, "aliases")), cases[i].kept);
        assert_string_equal(said_by(analysed(text, NULL).analysis, found, "No,"), cases[i].shown);
    }
    json_t *found;
    const char *why = "";
    assert_int_equal(read_answer_to(text,
                                    "{\"characters\":[{\"name\":\"Stranger\",\"aliases\":[\"Ann\"],\"gender\":null,"
                                    "\"age\":null},{\"name\":\"Stranger\",\"aliases\":[\"Will\"],\"gender\":null,"
                                    "\"age\":null}],\"lines\":[{\"text\":\"No\",\"speaker\":\"Stranger\","
                                    "\"emotion\":\"joy\",\"intensity\":1}]}",
                                    "stop", &found, &why),
                     0);
    assert_string_equal(said_by(analysed(text, NULL).analysis, found, "No,"), "nobody"); /* one of two */
}

static void test_what_does_not_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *content, *finish, *why;
    } wrong[] = {
        {"{\"characters\":[" ANN "],\"lines\":[" LINE("Give me money", "\"Ann\"") "]}", "stop", "does not say"},
        {"{\"characters\":[],\"lines\":[" LINE("No,", "\"Ann\"") "]}", "stop", "not among its characters"},
        {"{\"characters\":[{\"name\":\"Eve\",\"aliases\":[],\"gender\":null,\"age\":null}],\"lines\":[]}", "stop",
         "somebody whom the text does not"},
        {"{\"characters\":[],\"lines\":[" LINE(" “” ", "null") "]}", "stop", "does not say"},
        {"{\"characters\":[],\"lines\":[]}", "length", "cut off"},
        {"{\"characters\":[],\"lines\":[]}", "content_filter", "refuses"},
        {"{\"characters\":[],\"lines\":[],\"more\":1}", "stop", "schema"},
        {"{\"characters\":[],\"lines\":{}}", "stop", "schema"},
        {"{\"characters\":[]", "stop", "no JSON"},
        {"[]", "stop", "schema"},
        {"", "stop", "no JSON"},
    };
    for (size_t i = 0; i < ST_COUNT(wrong); i++) {
        json_t *found;
        const char *why = "";
        assert_int_equal(read_answer(wrong[i].content, wrong[i].finish, &found, &why), ST_E_BAD_GATEWAY);
        if (!strstr(why, wrong[i].why))
            fail_msg("%s: %s", wrong[i].content, why);
    }
}

static int forget(void **state)
{
    (void)state;
    st_arena_release(&arena);
    arena = (struct st_arena){0};
    return 0;
}

static const char *const chapter_titles[] = {"CHAPTER IV.",
                                             "Chapter 4: The Fen",
                                             "# The Fen",
                                             "Erstes Kapitel",
                                             "Chapitre premier",
                                             "Capítulo 3",
                                             "Prologue",
                                             "III.",
                                             "Глава первая",
                                             "Part One",
                                             "  Epilogue  ",
                                             "PART II",
                                             "ÉPILOGUE",
                                             "Глава двадцать первая",
                                             "Capítulo primero",
                                             "Chapter the First",
                                             "**Das erste Kapitel**",
                                             "## Two",
                                             "### Chapter 5",
                                             "Chapter Three: The Boy Who Lived",
                                             "CHAPTER THREE THE BOY WHO LIVED",
                                             "Chapter Twenty-One. The fen.",
                                             "Chapter the Second, in which Tom goes home.",
                                             "Chapter 4 – “The Fen”",
                                             "Chapter: the fen",
                                             "Prologue, in which nobody speaks",
                                             "Part One – The Boy Who Lived",
                                             "Chapter One Hundred and Five: Home",
                                             "chapter iv",
                                             "Kapitel Drei: Der Junge, der überlebte",
                                             "Einundzwanzigstes Kapitel. Der Junge, der überlebte",
                                             "7. Kapitel: der Junge, der überlebte.",
                                             "Kapitel zwei, in dem niemand spricht.",
                                             "Teil Zwei: Der Wald",
                                             "Chapitre vingt et un : le garçon qui a survécu.",
                                             "Chapitre deux. La lande",
                                             "Le premier chapitre.",
                                             "Partie deux, La lande",
                                             "Capítulo treinta y dos: que trata de la aventura.",
                                             "Capítulo segundo, en que nadie habla.",
                                             "Parte I. La laguna",
                                             "Capitolo decimo – La palude e il bambino",
                                             "Parte seconda, La palude",
                                             "Глава третья, в которой Иван Иванович встречает старого друга и молчит.",
                                             "Глава двадцать вторая. Мальчик, который выжил",
                                             "Часть вторая. Дорога"};
static const char *const no_chapter_titles[] = {"",
                                                "The chapter was long.",
                                                "Part of it was lost, and nobody knew.",
                                                "He left.",
                                                "#",
                                                "Chapterhouse",
                                                "Book him!",
                                                "It rained.",
                                                "Chapter\none",
                                                "He had only read the first chapter.",
                                                "Read the chapter.",
                                                "Глава семьи молчал.",
                                                "Глава молчал.",
                                                "Глава семьи, молчавший весь вечер, встал.",
                                                "Глава третья была лучше, сказала она.",
                                                "Часть людей ушла.",
                                                "Chapter three was the best, she said.",
                                                "Chapter 3 was the best, she said.",
                                                "Chapter three, she said, was “the best.”",
                                                "Chapter three? She had not read it.",
                                                "Chapter 3's end was lost.",
                                                "One chapter was enough.",
                                                "The second chapter, she thought, was better.",
                                                "Part one was over, she thought.",
                                                "Part I would rather forget.",
                                                "Book two rooms for us, he said.",
                                                "Prologue was no word for it, nor was the end.",
                                                "CIVIL",
                                                "Kapitel drei war das beste, sagte sie.",
                                                "Das erste Kapitel, dachte sie, war besser.",
                                                "Teil zwei war kurz, und niemand las ihn.",
                                                "Chapitre deux fut le plus long, dit-elle.",
                                                "Partie il y a une heure.",
                                                "Partie un peu tard, elle courut.",
                                                "Capítulo dos, dijo ella, era largo.",
                                                "Parte uno de los trenes.",
                                                "Parte un tren hacia el mar",
                                                "Il capitolo era finito.",
                                                "Parte il treno.",
                                                "Parte prima di me.",
                                                "### A section"};

static void test_chapters(void **state)
{
    (void)state;
    for (size_t i = 0; i < ST_COUNT(chapter_titles); i++)
        if (!st_chapter_title(chapter_titles[i], strlen(chapter_titles[i])))
            fail_msg("no title: %s", chapter_titles[i]);
    for (size_t i = 0; i < ST_COUNT(no_chapter_titles); i++)
        if (st_chapter_title(no_chapter_titles[i], strlen(no_chapter_titles[i])))
            fail_msg("a title: %s", no_chapter_titles[i]);
}

/* Titles of chapters are told; neither what is spoken in them, nor what only looks like one. */
static void test_headings(void **state)
{
    (void)state;
    struct story_found found =
        analysed("# The Fen\n\nIt rained. \"Go!\" said Mira.\n\nCHAPTER II.\n\n\"Prologue,\" said "
                 "Tom. \"It begins so.\"\n\n## \"Stop,\" said Tom\n\nSTOP HERE\n\n### Notes\n\nEnd.",
                 NULL);
    const char *titles[] = {"The Fen", "CHAPTER II.", "\"Stop,\" said Tom"};
    size_t n = 0;
    for (int i = 0; i < found.analysis->n_segments; i++) {
        const struct st_segment *s = &found.analysis->segments[i];
        if (!s->heading)
            continue;
        assert_true(n < ST_COUNT(titles));
        assert_string_equal(s->text, titles[n++]);
        assert_int_equal(s->kind, ST_NARRATION);
    }
    assert_int_equal(n, ST_COUNT(titles));
    const char *for_others = story_segments_text(&arena, &found, false);
    assert_non_null(strstr(for_others, "\"paragraph\":0,\"heading\":true}"));
    struct story_found plain = analysed("The Fen\n\nIt rained.", NULL),
                       marked = analysed("# The Fen\n\nIt rained.", NULL);
    const json_t *changes = story_changes(&arena, marked.analysis, "before", story_segments_text(&arena, &plain, true));
    assert_int_equal(json_array_size(json_object_get(changes, "changed")), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chapters),
        cmocka_unit_test(test_headings),
        cmocka_unit_test_teardown(test_only_what_changed_is_told, forget),
        cmocka_unit_test_teardown(test_corrections_hold, forget),
        cmocka_unit_test_teardown(test_markdown_is_read_as_people_do, forget),
        cmocka_unit_test_teardown(test_an_edit_leaves_other_passages, forget),
        cmocka_unit_test_teardown(test_passages_are_cut_between_paragraphs, forget),
        cmocka_unit_test_teardown(test_quotations_are_found_where_they_stand, forget),
        cmocka_unit_test_teardown(test_what_stands_the_check_counts, forget),
        cmocka_unit_test_teardown(test_who_speaks_comes_first, forget),
        cmocka_unit_test_teardown(test_words_are_whole_and_quotations_too, forget),
        cmocka_unit_test_teardown(test_names_are_of_the_text, forget),
        cmocka_unit_test_teardown(test_what_does_not_is_refused, forget),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
