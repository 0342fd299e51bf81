/* Templates: the syntax, the choice of the locale, and that each one of config/templates renders from its event. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include "notification/template.h"

#define REAL "config/templates"

static struct st_arena arena;
static char dir[] = "/tmp/test_template.XXXXXX";

static int release(void **state)
{
    (void)state;
    st_arena_release(&arena);
    return 0;
}

/* --- a folder of our own --------------------------------------------------------------------------------------------
 */

static void put(const char *name, const char *text)
{
    FILE *f = fopen(st_printf(&arena, "%s/%s", dir, name), "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int make_folder(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_return_code(mkdir(st_printf(&arena, "%s/x", dir), 0700), errno);
    put("layout.html", "<html lang={{language}} dir={{direction}}><h1>{{subject}}</h1>{{{content}}}</html>");
    return release(NULL);
}

static int remove_folder(void **state)
{
    (void)state;
    glob_t found;
    if (glob(st_printf(&arena, "%s/{x/*,x,*.html}", dir), GLOB_BRACE, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            (void)remove(found.gl_pathv[i]);
    globfree(&found);
    assert_return_code(rmdir(dir), errno);
    return release(NULL);
}

static json_t *object(const char *text)
{
    json_t *j;
    const char *why = "";
    if (st_json_parse(&arena, text, strlen(text), 3, &j, &why) < 0)
        fail_msg("%s", why);
    return j;
}

static struct st_template seen;

/* NULL when the text renders, else why not. */
static const char *text_problem(const char *locale, const char *values)
{
    const char *why = NULL;
    int r = st_template_text(&arena, dir, "x", "email", locale, object(values), &seen, &why);
    assert_true(r == 0 || (r == ST_E_INVALID && why));
    return r == 0 ? NULL : why;
}

/* The body of a mail whose text is `body`. */
static const char *rendered(const char *body, const char *values)
{
    put("x/email.en.txt", st_printf(&arena, "Subject: s\n\n%s", body));
    const char *why = text_problem("en", values);
    return why ? st_printf(&arena, "! %s", why) : seen.body;
}

/* --- syntax ---------------------------------------------------------------------------------------------------------
 */

static void test_values(void **state)
{
    (void)state;
    assert_string_equal(rendered("", "{}"), "");
    assert_string_equal(rendered("no tags, { } and }}\n\nat all\n", "{}"), "no tags, { } and }}\n\nat all\n");
    assert_string_equal(rendered("{{a}}{{a}}-{{b}}.", "{\"a\":\"x\",\"b\":\"é漢🦉\"}"), "xx-é漢🦉.");
    assert_string_equal(rendered("{{n}} {{f}} {{z}}", "{\"n\":-7,\"f\":0.5,\"z\":\"\"}"), "-7 0.5 ");
    assert_string_equal(rendered("{{a}}{{{a}}}", "{\"a\":\"<b>&\\\"'\"}"), "<b>&\"'<b>&\"'"); /* text is not HTML */
    assert_string_equal(rendered("{{a}}", "{\"a\":\"{{b}}\",\"b\":\"never\"}"), "{{b}}"); /* values are not templates */
    assert_string_equal(rendered("{{a}}", "{\"a\":\"two\\nlines\"}"), "two\nlines");
}

static void test_what_is_missing_is_an_error(void **state)
{
    (void)state;
    assert_string_equal(rendered("{{a}}", "{}"), "! there is no value for {{a}}");
    assert_string_equal(rendered("x {{ a }}", "{\"a\":\"1\"}"), "! there is no value for {{ a }}");
    static const char *const values[] = {"null", "true", "[]", "{}", "[\"x\"]"};
    for (size_t i = 0; i < ST_COUNT(values); i++)
        assert_string_equal(rendered("{{a}}", st_printf(&arena, "{\"a\":%s}", values[i])),
                            "! there is no value for {{a}}");
    static const char *const broken[] = {"{{", "{{a", "{{a}", "{{{a}}", "x{{}}", "{{{}}}", "{{#a}}x{{/a}}"};
    for (size_t i = 0; i < ST_COUNT(broken); i++)
        assert_true(st_starts(rendered(broken[i], "{\"a\":\"1\"}"), "! there is no value"));
}

static void test_header_line(void **state)
{
    (void)state;
    put("x/email.en.txt", "Subject:   “{{t}}” is here\n\nbody");
    assert_null(text_problem("en", "{\"t\":\"A: b\"}"));
    assert_string_equal(seen.header, "“A: b” is here");
    assert_string_equal(seen.body, "body");
    assert_string_equal(text_problem("en", "{\"t\":\"a\\nBcc: x\"}"), "the value of t has a line break");
    assert_string_equal(text_problem("en", "{\"t\":\"a\\rBcc: x\"}"), "the value of t has a line break");
    static const char *const broken[] = {"", "body only", "Subject: no empty line\n", "\n\nSubject: x\n\n",
                                         "no colon\n\nbody: x"};
    for (size_t i = 0; i < ST_COUNT(broken); i++) {
        put("x/email.en.txt", broken[i]);
        assert_non_null(strstr(text_problem("en", "{}"), "no such template"));
    }
}

static void test_html(void **state)
{
    (void)state;
    const char *html = NULL, *why = NULL;
    const json_t *values = object("{\"a\":\"<b>&\\\"'\"}");
    put("x/email.en.html", "<p>{{a}}</p>{{{a}}}");
    assert_int_equal(st_template_html(&arena, dir, "x", "en", "<s>&{{a}}", values, &html, &why), 0);
    assert_string_equal(html, "<html lang=en dir=ltr><h1>&lt;s&gt;&amp;{{a}}</h1>"
                              "<p>&lt;b&gt;&amp;&quot;&#39;</p><b>&\"'</html>");
    static const char *const rtl[] = {"ar", "ar-EG", "he", "fa", "ur"}, *const ltr[] = {"en", "de", "arn", "fra"};
    for (size_t i = 0; i < ST_COUNT(rtl) + ST_COUNT(ltr); i++) {
        const char *locale = i < ST_COUNT(rtl) ? rtl[i] : ltr[i - ST_COUNT(rtl)];
        put(st_printf(&arena, "x/email.%s.html", locale), "y");
        assert_int_equal(st_template_html(&arena, dir, "x", locale, "s", values, &html, &why), 0);
        assert_non_null(strstr(html, st_printf(&arena, "lang=%s dir=%s>", locale, i < ST_COUNT(rtl) ? "rtl" : "ltr")));
    }
    put("x/email.en.html", "{{nothing}}");
    assert_int_equal(st_template_html(&arena, dir, "x", "en", "s", values, &html, &why), ST_E_INVALID);
    assert_string_equal(why, "there is no value for {{nothing}}");
    assert_int_equal(st_template_html(&arena, dir, "y", "en", "s", values, &html, &why), ST_E_INVALID);
}

static void test_result_is_limited(void **state)
{
    (void)state;
    char *many = st_alloc(&arena, 60001);
    for (int i = 0; i < 60000; i += 5)
        memcpy(many + i, "{{a}}", 5);
    char *big = st_alloc(&arena, 1001);
    memset(big, 'x', 1000);
    assert_string_equal(rendered(many, st_printf(&arena, "{\"a\":\"%s\"}", big)), "! the message is too long");
}

/* --- the locale -----------------------------------------------------------------------------------------------------
 */

static const char *chosen(const char *locale)
{
    const char *why = text_problem(locale, "{}");
    return why ? why : seen.locale;
}

static void test_nearest_locale(void **state)
{
    (void)state;
    put("x/email.en.txt", "Subject: en\n\nen");
    put("x/email.de.txt", "Subject: de\n\nde");
    put("x/email.zh-Hant.txt", "Subject: zh\n\nzh");
    static const char *const pairs[][2] = {{"en", "en"},
                                           {"de", "de"},
                                           {"de-AT", "de"},
                                           {"de-Latn-AT-1996", "de"},
                                           {"zh-Hant-TW", "zh-Hant"},
                                           {"zh", "en"},
                                           {"fr", "en"},
                                           {"en-GB", "en"},
                                           {"de-", "de"},
                                           {"dex", "en"}};
    for (size_t i = 0; i < ST_COUNT(pairs); i++) {
        assert_string_equal(chosen(pairs[i][0]), pairs[i][1]);
        assert_string_equal(seen.body, st_printf(&arena, "%.2s", pairs[i][1]));
    }
    static const char *const hostile[] = {
        "",  "..",   "../x/email.de", "de/../de", "/etc/passwd",
        "-", "%s%s", "de\n",          ".de",      "a-very-long-locale-that-is-longer-than-any-tag-may-be-de-AT"};
    for (size_t i = 0; i < ST_COUNT(hostile); i++)
        assert_string_equal(chosen(hostile[i]), "en");
}

static void test_existence(void **state)
{
    (void)state;
    put("x/email.en.txt", "Subject: en\n\nen");
    assert_true(st_template_exists(dir, "x", "email"));
    assert_false(st_template_exists(dir, "x", "inbox"));
    assert_false(st_template_exists(dir, "nothing", "email"));
    static const char *const hostile[] = {"", ".", "..", "../x", "x/../x", "x/", "/x"};
    for (size_t i = 0; i < ST_COUNT(hostile); i++) {
        const char *why = NULL;
        assert_false(st_template_exists(dir, hostile[i], "email"));
        assert_int_equal(st_template_text(&arena, dir, hostile[i], "email", "en", object("{}"), &seen, &why),
                         ST_E_INVALID);
    }
}

/* --- the templates of the house -------------------------------------------------------------------------------------
 */

/* A value of a member as its schema asks for it; texts are hostile to HTML. */
static json_t *sample_value(const json_t *schema, const char *name)
{
    const json_t *member = json_object_get(json_object_get(schema, "properties"), name);
    const char *type = st_json_str(member, "type", "string");
    if (st_streq(type, "integer"))
        return json_integer(7);
    if (st_streq(type, "number"))
        return json_real(0.5);
    if (st_streq(type, "boolean"))
        return json_true();
    if (st_streq(type, "array"))
        return json_array();
    return json_string(st_ends(name, "Url") ? "/v1/x?a=<i>Zoë" : "<i>Zoë & \"漢字\"</i>");
}

/* The smallest payload of the event whose topic is the campaign, and what notification adds to it. */
static json_t *sample(const char *campaign)
{
    glob_t found;
    json_t *values = st_json_keep(&arena, json_object());
    bool known = false;
    assert_int_equal(glob("config/events/*.json", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc && !known; i++) {
        json_t *schema, *name;
        const char *why = "";
        size_t k;
        assert_int_equal(st_json_load(&arena, found.gl_pathv[i], &schema, &why), 0);
        known = st_streq(st_json_str(schema, "x-topic", ""), campaign);
        json_array_foreach (known ? json_object_get(schema, "required") : NULL, k, name)
            json_object_set_new(values, json_string_value(name), sample_value(schema, json_string_value(name)));
    }
    globfree(&found);
    if (!known)
        fail_msg("%s is no topic of an event", campaign);
    json_object_set_new(values, "publicUrl", json_string("https://localhost:8443"));
    if (!st_streq(campaign, "collaboration.invitation.sent")) /* its recipient has no account */
        json_object_set_new(values, "displayName", json_string("<b>Ada</b>"));
    return values;
}

static const char *const locales[] = {"en", "de", "ar"};

static void check_text(const char *campaign, const char *channel, const char *locale, const json_t *values)
{
    const char *why = "", *at = st_printf(&arena, "%s/%s.%s.txt", campaign, channel, locale);
    struct st_template t;
    if (st_template_text(&arena, REAL, campaign, channel, locale, values, &t, &why) < 0)
        fail_msg("%s: %s", at, why);
    if (!st_streq(t.locale, locale))
        fail_msg("%s is missing", at);
    if (!*t.header || !*t.body || strstr(t.body, "{{") || strstr(t.header, "{{"))
        fail_msg("%s: %s", at, t.body);
    bool inbox = st_streq(channel, "inbox");
    if (inbox && t.header[0] != '/')
        fail_msg("%s: the link is no path: %s", at, t.header);
    const char *lf = strchr(t.body, '\n');
    if (inbox && lf && lf[1])
        fail_msg("%s: more than one line", at);
}

static void check_html(const char *campaign, const char *locale, const json_t *values)
{
    const char *why = "", *html, *at = st_printf(&arena, "%s/email.%s.html", campaign, locale);
    if (st_template_html(&arena, REAL, campaign, locale, "<Subject> & more", values, &html, &why) < 0)
        fail_msg("%s: %s", at, why);
    if (!strstr(html,
                st_printf(&arena, "<html lang=\"%s\" dir=\"%s\">", locale, st_streq(locale, "ar") ? "rtl" : "ltr")))
        fail_msg("%s: language or direction", at);
    if (strstr(html, "<b>Ada") || strstr(html, "<i>Zoë") || strstr(html, "<Subject>") || strstr(html, "{{"))
        fail_msg("%s: not escaped: %s", at, html);
    if (!strstr(html, "&lt;Subject&gt; &amp; more"))
        fail_msg("%s: no subject", at);
}

static bool text_has_value(const char *text, const json_t *values, const char *name)
{
    const json_t *v = json_object_get(values, name);
    return !json_is_string(v) || strstr(text, json_string_value(v));
}

/* What a reader must be told does not get lost in translation. */
static void check_same_facts(const char *campaign, const json_t *values)
{
    static const char *const facts[] = {"token",    "link",     "title",       "storyTitle",     "reason",
                                        "audioUrl", "videoUrl", "inviterName", "participantName"};
    for (size_t f = 0; f < ST_COUNT(facts); f++) {
        json_t *marked = st_json_keep(&arena, json_copy((json_t *)values));
        if (!json_object_get(values, facts[f]))
            continue;
        json_object_set_new(marked, facts[f], json_string("--the fact--"));
        for (size_t l = 0; l < ST_COUNT(locales); l++) {
            struct st_template t, english;
            const char *why;
            assert_int_equal(st_template_text(&arena, REAL, campaign, "email", "en", marked, &english, &why), 0);
            assert_int_equal(st_template_text(&arena, REAL, campaign, "email", locales[l], marked, &t, &why), 0);
            if (text_has_value(english.body, marked, facts[f]) != text_has_value(t.body, marked, facts[f]))
                fail_msg("%s/email.%s.txt: %s is missing", campaign, locales[l], facts[f]);
        }
    }
}

static void test_every_template_of_the_house_renders(void **state)
{
    (void)state;
    DIR *folder = opendir(REAL);
    assert_non_null(folder);
    int campaigns = 0;
    for (struct dirent *e; (e = readdir(folder));) {
        const char *campaign = e->d_name;
        struct stat st;
        if (*campaign == '.' || stat(st_printf(&arena, REAL "/%s", campaign), &st) || !S_ISDIR(st.st_mode))
            continue;
        campaigns++;
        json_t *values = sample(campaign);
        bool email = st_template_exists(REAL, campaign, "email"), inbox = st_template_exists(REAL, campaign, "inbox");
        if (!email && !inbox)
            fail_msg("%s has neither email.en.txt nor inbox.en.txt", campaign);
        for (size_t l = 0; l < ST_COUNT(locales); l++) {
            if (email)
                check_text(campaign, "email", locales[l], values);
            if (email)
                check_html(campaign, locales[l], values);
            if (inbox)
                check_text(campaign, "inbox", locales[l], values);
        }
        if (email)
            check_same_facts(campaign, values);
    }
    closedir(folder);
    assert_in_range(campaigns, 9, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_values, release),
        cmocka_unit_test_teardown(test_what_is_missing_is_an_error, release),
        cmocka_unit_test_teardown(test_header_line, release),
        cmocka_unit_test_teardown(test_html, release),
        cmocka_unit_test_teardown(test_result_is_limited, release),
        cmocka_unit_test_teardown(test_nearest_locale, release),
        cmocka_unit_test_teardown(test_existence, release),
        cmocka_unit_test_teardown(test_every_template_of_the_house_renders, release),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
