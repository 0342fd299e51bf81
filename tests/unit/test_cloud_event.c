/* CloudEvents: one event makes one CloudEvent, and that makes the same event. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "svc/cloud_event.h"

static struct st_arena arena;

static int teardown(void **state)
{
    (void)state;
    st_arena_reset(&arena);
    return 0;
}

static json_t *parse(const char *text)
{
    json_t *j;
    const char *why = "";
    if (st_json_parse(&arena, text, strlen(text), ST_JSON_DEPTH, &j, &why) < 0)
        fail_msg("%s", why);
    return j;
}

#define BODY                                                                                                           \
    "\"eventId\": \"01890a5d-ac96-774b-bcce-b302099a8057\", \"eventType\": \"StoryCreated\", "                         \
    "\"timestamp\": \"2026-11-27T10:00:00.123Z\", \"version\": \"1.2.0\", \"payload\": {\"title\": \"a \\u00e9\"}"
#define SUBJECT "\"aggregateId\": \"s/1\", \"aggregateType\": \"story\""
static const char whole[] =
    "{" BODY "," SUBJECT ", \"metadata\": {\"userId\": \"u\", \"correlationId\": \"c\", \"causationId\": \"x\", "
    "\"traceparent\": \"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\"}}";

static void test_members_have_their_place(void **state)
{
    (void)state;
    json_t *ce = st_cloud_event(&arena, parse(whole), "story", "https://example.org/StoryCreated.v1.json");
    json_t *expected = parse(
        "{\"specversion\": \"1.0\", \"id\": \"01890a5d-ac96-774b-bcce-b302099a8057\", "
        "\"type\": \"storytelling.StoryCreated\", \"source\": \"/storytelling/story\", "
        "\"subject\": \"story/s/1\", \"time\": \"2026-11-27T10:00:00.123Z\", \"eventversion\": \"1.2.0\", "
        "\"datacontenttype\": \"application/json\", \"dataschema\": \"https://example.org/StoryCreated.v1.json\", "
        "\"userid\": \"u\", \"correlationid\": \"c\", \"causationid\": \"x\", "
        "\"traceparent\": \"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\", "
        "\"data\": {\"title\": \"a \\u00e9\"}}");
    if (!json_equal(ce, expected))
        fail_msg("%s", st_json_text(&arena, ce));
}

static void test_there_and_back(void **state)
{
    (void)state;
    static const char *const events[] = {whole, "{" BODY "," SUBJECT ", \"metadata\": {\"correlationId\": \"c\"}}"};
    for (size_t i = 0; i < ST_COUNT(events); i++) {
        json_t *event = parse(events[i]);
        json_t *again = st_cloud_event_read(&arena, st_cloud_event(&arena, event, "story", NULL));
        if (!json_equal(event, again))
            fail_msg("%s", st_json_text(&arena, again));
    }
}

static void test_what_is_no_event_is_refused(void **state)
{
    (void)state;
    static const char *const broken[] = {"{}",
                                         "[]",
                                         "{" BODY "}",
                                         "{" BODY ", \"aggregateId\": 1, \"aggregateType\": \"a\"}",
                                         "{" BODY ", \"aggregateId\": \"1\", \"aggregateType\": \"a/b\"}",
                                         "{" SUBJECT ", \"eventType\": \"X\", \"payload\": {}}"};
    for (size_t i = 0; i < ST_COUNT(broken); i++)
        assert_null(st_cloud_event(&arena, parse(broken[i]), "story", NULL));
    json_t *ce = st_cloud_event(&arena, parse(whole), "story", NULL);
    static const char *const needed[] = {"specversion", "id", "type", "subject", "time", "eventversion", "data"};
    for (size_t i = 0; i < ST_COUNT(needed); i++) {
        json_t *less = st_json_keep(&arena, json_copy(ce));
        json_object_del(less, needed[i]);
        assert_null(st_cloud_event_read(&arena, less));
    }
    json_object_set_new(ce, "type", json_string("com.example.StoryCreated"));
    assert_null(st_cloud_event_read(&arena, ce));
}

#define TEST(f) cmocka_unit_test_teardown(f, teardown)
int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        TEST(test_members_have_their_place),
        TEST(test_there_and_back),
        TEST(test_what_is_no_event_is_refused),
    };
    int failed = cmocka_run_group_tests_name("cloud events", tests, NULL, NULL);
    st_arena_release(&arena);
    return failed;
}
