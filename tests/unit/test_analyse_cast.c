/* Tests what the caller of the story analyser knows and it does not: the characters, and who speaks. */
#include "../lib/analysis.h"

/* A cast that was given: renamed, merged and split as the user has it, people whom the rules would not find, and one
 * with a family name that the text lacks, whose first name is a word, too. */
static void cast_given(void **state)
{
    (void)state;
    static const char text[] = "\"Good morning,\" said Elsa.\n\nThe captain bowed. \"Good morning, Miss Brand,\" he "
                               "said.\n\n\"Late again!\" cried Five.\n\nMr. Brand came in. \"Who is late?\" asked Mr. "
                               "Brand.\n\nElsa Brand laughed. \"You are,\" she said.\n\n\"I am not,\" I said.\n\n\"I "
                               "will,\" said May. She may have smiled.\n";
    static const char *const elsa[] = {"Elsa", "Miss Brand", "Elsa Brand"}, *const vane[] = {"The captain"},
                             *const brand[] = {"Mr. Brand"}, *const me[] = {"Narrator"};
    static const struct st_character cast[] = {
        {.name = "Aunt Elsa", .aliases = elsa, .n_aliases = 3, .gender = 'f'},
        {.name = "Captain Vane", .aliases = vane, .n_aliases = 1, .gender = 'm', .age = "old"},
        {.name = "Father", .aliases = brand, .n_aliases = 1, .gender = 'm'},
        {.name = "Five", .gender = 'm'},
        {.name = "Ishmael", .aliases = me, .n_aliases = 1},
        {.name = "May Parker", .gender = 'f'},
        {.name = "Mr. Parker", .gender = 'm'},
        {.name = "Nobody at all"},
    };
    static const char *const expected[][2] = {
        {"Good morning", "Aunt Elsa"}, {"Good morning, Miss", "Captain Vane"},
        {"Late again", "Five"},        {"Who is late", "Father"},
        {"You are", "Aunt Elsa"},      {"I am not", "Ishmael"},
        {"I will", "May Parker"},
    };
    struct st_arena a = {0};
    struct st_analysis *found =
        analyse_with(&a, text, &(struct st_analyse_hints){.cast = cast, .n_cast = ST_COUNT(cast), .cast_all = true});
    for (size_t i = 0; i < ST_COUNT(expected); i++)
        assert_string_equal(speaker(found, find_segment(found, expected[i][0])), expected[i][1]);
    assert_int_equal(found->n_characters, 6);
    assert_string_equal(find_character(found, "Captain Vane")->age, "old");
    assert_int_equal(find_character(found, "Father")->gender, 'm');
    assert_null(find_character(found, "Nobody at all"));
    st_arena_release(&a);
}

/* "The lad" is whom the scene is about, though somebody of the cast is called nothing else. */
static void cast_without_a_name(void **state)
{
    (void)state;
    static const char text[] =
        "\"Sit still,\" said Edgar, and took up his brush.\n\nWilliam Thorn yawned. William had sat there since "
        "nine.\n\n\"Must I?\" said William.\n\n\"You must,\" said Edgar.\n\nWilliam laughed. \"Very well, then,\" said "
        "the lad.\n\n* * *\n\nA lad came running down the road to the gate. \"Papers!\" cried the lad.\n";
    static const struct st_character cast[] = {
        {.name = "Edgar", .gender = 'm'}, {.name = "William Thorn", .gender = 'm'}, {.name = "The Lad", .gender = 'm'}};
    struct st_arena a = {0};
    struct st_analysis *found =
        analyse_with(&a, text, &(struct st_analyse_hints){.cast = cast, .n_cast = ST_COUNT(cast), .cast_all = true});
    assert_string_equal(speaker(found, find_segment(found, "Very well")), "William Thorn");
    assert_string_equal(speaker(found, find_segment(found, "Papers")), "The Lad");
    st_arena_release(&a);
}

/* A list that has a man twice, once by his family name and without a gender, means him; his wife is called otherwise.
 */
static void cast_has_somebody_twice(void **state)
{
    (void)state;
    static const char text[] = "\"Coketown, sir,\" said Bounderby, \"is not what you are accustomed to.\"\n\nMrs. "
                               "Bounderby looked at the fire. \"It is a town,\" said Mrs. Bounderby.\n\n\"I was born "
                               "in a ditch,\" returned Mr. Bounderby.\n\nReggie came in. \"Which ditch?\" asked "
                               "Reggie.\n";
    static const char *const josiah[] = {"Josiah Bounderby", "Mr. Bounderby"}, *const louisa[] = {"Mrs. Bounderby"};
    static const struct st_character cast[] = {
        {.name = "Bounderby"},
        {.name = "Josiah Bounderby", .aliases = josiah, .n_aliases = 2, .gender = 'm'},
        {.name = "Louisa Bounderby", .aliases = louisa, .n_aliases = 1, .gender = 'f'},
        {.name = "Reggie"}, /* is nobody else */
    };
    struct st_arena a = {0};
    struct st_analysis *found =
        analyse_with(&a, text, &(struct st_analyse_hints){.cast = cast, .n_cast = ST_COUNT(cast), .cast_all = true});
    assert_string_equal(speaker(found, find_segment(found, "Coketown")), "Josiah Bounderby");
    assert_string_equal(speaker(found, find_segment(found, "It is a town")), "Louisa Bounderby");
    assert_string_equal(speaker(found, find_segment(found, "I was born")), "Josiah Bounderby");
    assert_string_equal(speaker(found, find_segment(found, "Which ditch")), "Reggie");
    assert_null(find_character(found, "Bounderby"));
    found = analyse_with(&a, text, &(struct st_analyse_hints){.cast = cast, .n_cast = ST_COUNT(cast)});
    assert_string_equal(speaker(found, find_segment(found, "Coketown")), "Bounderby"); /* an author has parted them */
    assert_string_equal(speaker(found, find_segment(found, "I was born")), "Josiah Bounderby");
    st_arena_release(&a);
}

/* Where a cast is too long its end is passed over, as if nobody had told of it; in a story of more than fit it is kept.
 */
static void cast_beyond_measure(void **state)
{
    (void)state;
    struct st_arena a = {0};
    struct st_character *cast = st_new_n(&a, struct st_character, ST_ANALYSE_CHARACTERS_MAX + 1);
    struct st_buf text = ST_BUF(1 << 20);
    st_buf_str(&text, "\"Come in,\" said Ben.\n\n\"No,\" said Will.\n\n");
    for (int i = 0; i < ST_ANALYSE_CHARACTERS_MAX; i++)
        cast[i].name = st_printf(&a, "Nobody %d", i);
    cast[ST_ANALYSE_CHARACTERS_MAX].name = "Will";
    struct st_speaker_hint hint = {find_segment(analyse(&a, text.data), "Come in")->id, ST_ANALYSE_CHARACTERS_MAX};
    struct st_analyse_hints hints = {
        .cast = cast, .n_cast = ST_ANALYSE_CHARACTERS_MAX + 1, .speakers = &hint, .n_speakers = 1};
    struct st_analysis *found = analyse_with(&a, text.data, &hints);
    assert_string_equal(speaker(found, find_segment(found, "Come in")), "Ben");
    for (int i = 0; i < ST_ANALYSE_CHARACTERS_MAX; i++)
        st_buf_printf(&text, "\"Hi,\" said B%c%cx Smith. B%c%cx Smith left.\n\n", 'a' + i % 26, 'a' + i / 26,
                      'a' + i % 26, 'a' + i / 26);
    hints = (struct st_analyse_hints){
        .language = "en", .cast = &cast[ST_ANALYSE_CHARACTERS_MAX], .n_cast = 1, .speakers = &hint, .n_speakers = 1};
    hint.character = 0;
    found = analyse_with(&a, text.data, &hints);
    assert_int_equal(found->n_characters, ST_ANALYSE_CHARACTERS_MAX);
    assert_string_equal(speaker(found, find_segment(found, "Come in")), "Will");
    st_buf_release(&text);
    st_arena_release(&a);
}

/* "The doctor" is the Doctor Brown that the story has told of, and before it does, one without a name. */
static void cast_with_a_title(void **state)
{
    (void)state;
    static const char text[] =
        "A doctor came out of the house. \"It is a boy,\" said the doctor.\n\n* * *\n\nMr. Brown shut the gate "
        "behind him. \"How is she?\" asked the doctor.\n\n\"Asleep,\" said Rose.\n\n\"Good,\" said "
        "the doctor.\n\n\"And mine?\" asked the doctor's wife.\n\nDr. Grey rode up. \"Who is ill?\" said the "
        "doctor.\n\n\"Nobody,\" said Mr. Brown.\n\n\"Ride home,\" said the doctor.\n";
    static const char *const brown[] = {"Doctor Brown", "Brown"};
    static const struct st_character cast[] = {{.name = "The Doctor", .gender = 'm'},
                                               {.name = "Mr. Brown", .aliases = brown, .n_aliases = 2, .gender = 'm'},
                                               {.name = "Rose", .gender = 'f'},
                                               {.name = "Dr. Grey", .gender = 'm'},
                                               {.name = "The doctor's wife", .gender = 'f'}};
    static const char *const expected[][2] = {
        {"It is a boy", "The Doctor"},     {"How is she", "Mr. Brown"}, {"Good", "Mr. Brown"},
        {"And mine", "The doctor's wife"}, {"Who is ill", "Dr. Grey"},  {"Ride home", "Mr. Brown"},
    };
    struct st_arena a = {0};
    struct st_analyse_hints hints = {.cast = cast, .n_cast = ST_COUNT(cast), .cast_all = true};
    struct st_analysis *found = analyse_with(&a, text, &hints);
    for (size_t i = 0; i < ST_COUNT(expected); i++)
        assert_string_equal(speaker(found, find_segment(found, expected[i][0])), expected[i][1]);
    hints.cast_all = false;
    found = analyse_with(&a, text, &hints);
    assert_string_equal(speaker(found, find_segment(found, "How is she")),
                        "The Doctor"); /* an author has parted them */
    hints = (struct st_analyse_hints){0};
    static const char *const others[][3] = {
        /* text, what is said, and by whom */
        {"Dr. Brown met Dr. Grey. They shook hands.\n\n* * *\n\nRose lay ill in the city. A doctor came, a stranger to "
         "her. \"Lie still,\" said the doctor.\n",
         "Lie still", "The doctor"},
        {"Tom Vane, the doctor, took off his hat. Tom Vane sat down.\n\nDr. Grey had left for London.\n\n\"She will "
         "live,\" said the doctor.\n",
         "She will live", "Tom Vane"},
        {"Dr. Brown had sent for two more.\n\n\"It is the heart,\" said the first doctor.\n", "It is the heart",
         "The first doctor"},
        {"King Arthur rode home. King Arthur was tired.\n\nThey turned into King Street. In King Street nobody was "
         "to be seen. They went along King Street.\n\n\"Knock,\" said the king.\n",
         "Knock", "King Arthur"},
    };
    for (size_t i = 0; i < ST_COUNT(others); i++) {
        found = analyse_with(&a, others[i][0], &hints);
        assert_string_equal(speaker(found, find_segment(found, others[i][1])), others[i][2]);
    }
    found = analyse_with(&a,
                         "Captain Vane met Captain Wren.\n\n\"Sail,\" said Captain Vane.\n\nCaptain Wren "
                         "frowned.\n\n\"At dawn,\" said the captain.\n",
                         &hints);
    assert_string_equal(speaker(found, find_segment(found, "At dawn")), "Captain Wren");
    st_arena_release(&a);
}

/* Who tells a tale of several paragraphs says "said I", too; it is not the narrator of the book who says so. */
static void tale_with_lost_marks(void **state)
{
    (void)state;
    static const char text[] =
        "I sat by the window with Holmes, and I said nothing. I knew that I would hear it all. I waited.\n\n\"Now for "
        "your story, Small,\" said Holmes.\n\n\"I was changed to Madras, and I was left to myself.\n\n\"I stood at the "
        "gate that night, and Tom came up.\n\n\"Take him to the guard\", said I. The two closed in upon him.\n\n\"So "
        "that is how it was.\"\n\n\"A fine tale, Small,\" said Holmes.\n\nI thought so too, and I told him. I rose, "
        "and "
        "I went to the door with Small.\n";
    static const struct st_character cast[] = {
        {.name = "Narrator", .gender = 'm'}, {.name = "Holmes", .gender = 'm'}, {.name = "Small", .gender = 'm'}};
    struct st_arena a = {0};
    struct st_analysis *found =
        analyse_with(&a, text, &(struct st_analyse_hints){.cast = cast, .n_cast = ST_COUNT(cast), .cast_all = true});
    static const char *const tale[] = {"I was changed", "I stood at", "Take him"};
    for (size_t i = 0; i < ST_COUNT(tale); i++)
        assert_string_equal(speaker(found, find_segment(found, tale[i])), "Small");
    st_arena_release(&a);
}

/* Who is not of the cast is found beside it; nobody else speaks when it is all there is. */
static void cast_is_all_or_not(void **state)
{
    (void)state;
    static const char text[] = "\"Yes,\" said Ann.\n\n\"No,\" said Ben.\n";
    static const struct st_character cast[] = {{.name = "Ann"}};
    struct st_arena a = {0};
    struct st_analyse_hints hints = {.cast = cast, .n_cast = 1};
    struct st_analysis *found = analyse_with(&a, text, &hints);
    assert_string_equal(speaker(found, find_segment(found, "No")), "Ben");
    hints.cast_all = true;
    found = analyse_with(&a, text, &hints);
    assert_string_equal(speaker(found, find_segment(found, "Yes")), "Ann");
    assert_string_equal(speaker(found, find_segment(found, "No")), "");
    assert_int_equal(found->n_characters, 1);
    st_arena_release(&a);
}

/* A corrected speaker holds, and those who take turns with him follow. */
static void speakers_corrected(void **state)
{
    (void)state;
    static const char text[] = "Ann met Ben and Cid.\n\n\"Where were you?\" said Ann.\n\n\"At home.\"\n\n"
                               "\"All day?\"\n\n\"All day.\"\n\n\"Hm,\" Ann said. \"Fine.\"\n";
    static const struct st_character cast[] = {{.name = "Ben"}, {.name = "Cid"}};
    struct st_arena a = {0};
    struct st_analyse_hints hints = {.cast = cast, .n_cast = 2};
    struct st_analysis *found = analyse_with(&a, text, &hints);
    struct st_speaker_hint speakers[] = {
        {find_segment(found, "At home")->id, 1}, {find_segment(found, "Fine")->id, -1}, {"0000000000000000", 0}};
    hints.speakers = speakers;
    hints.n_speakers = ST_COUNT(speakers);
    found = analyse_with(&a, text, &hints);
    const struct st_segment *home = find_segment(found, "At home");
    assert_string_equal(speaker(found, home), "Cid");
    assert_string_equal(home->evidence, "corrected");
    assert_true(home->confidence == 1);
    assert_string_equal(speaker(found, find_segment(found, "All day?")), "Ann");
    assert_string_equal(speaker(found, find_segment(found, "All day.")), "Cid");
    assert_string_equal(speaker(found, find_segment(found, "Hm")), "Ann");
    assert_string_equal(speaker(found, find_segment(found, "Fine")), "");
    st_arena_release(&a);
}

/* Nobody says what the text has its narrator say: that was corrected. */
static void corrected_to_nobody(void **state)
{
    (void)state;
    static const char text[] = "\"Late,\" I said.\n\n\"Very,\" I said.\n";
    struct st_arena a = {0};
    struct st_analysis *found = analyse_with(&a, text, NULL);
    struct st_speaker_hint nobody = {find_segment(found, "Late")->id, -1};
    found = analyse_with(&a, text, &(struct st_analyse_hints){.speakers = &nobody, .n_speakers = 1});
    assert_string_equal(speaker(found, find_segment(found, "Late")), "");
    assert_string_equal(speaker(found, find_segment(found, "Very")), "Narrator");
    st_arena_release(&a);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(cast_given),
        cmocka_unit_test(cast_without_a_name),
        cmocka_unit_test(cast_has_somebody_twice),
        cmocka_unit_test(cast_beyond_measure),
        cmocka_unit_test(cast_with_a_title),
        cmocka_unit_test(tale_with_lost_marks),
        cmocka_unit_test(cast_is_all_or_not),
        cmocka_unit_test(speakers_corrected),
        cmocka_unit_test(corrected_to_nobody),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
