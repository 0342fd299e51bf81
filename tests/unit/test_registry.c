/* The event registry: what a folder of schemas must say, and which version of a type is meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "svc/run.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static struct st_arena arena;
static const char *folder;

static const char *file_of(const char *name)
{
    return st_printf(&arena, "%s/%s", folder, name);
}

static void put(const char *name, const char *title, const char *version, const char *rest)
{
    FILE *f = fopen(file_of(name), "we");
    assert_non_null(f);
    fprintf(f,
            "{\"title\": \"%s\", \"x-topic\": \"thing.done\", \"x-service\": \"alpha\", \"x-aggregate\": \"thing\", "
            "\"x-version\": \"%s\", \"type\": \"object\"%s}",
            title, version, rest);
    assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
    char name[] = "/tmp/registry.XXXXXX";
    (void)state;
    folder = st_strdup(&arena, mkdtemp(name));
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {"Done.v1.json", "Done.v2.json", "Done.v10.json", "Other.v1.json", "other.json"};
    (void)state;
    for (size_t i = 0; i < ST_COUNT(names); i++)
        assert_true(unlink(file_of(names[i])) == 0 || errno == ENOENT);
    assert_int_equal(rmdir(folder), 0);
    st_arena_reset(&arena);
    return 0;
}

static void load(struct st_run *run)
{
    const char *why = "";
    *run = (struct st_run){.service = NULL};
    if (st_registry_load(&arena, folder, &run->types, &run->n_types, &why) < 0)
        fail_msg("%s", why);
}

static void refused(const char *like)
{
    const struct st_event_type *types;
    const char *why = "";
    int n;
    assert_int_equal(st_registry_load(&arena, folder, &types, &n, &why), ST_E_INVALID);
    if (!strstr(why, like))
        fail_msg("it says \"%s\", not \"%s\"", why, like);
}

static void test_the_newest_version_is_written_and_each_is_read(void **state)
{
    struct st_run run;
    (void)state;
    put("Done.v2.json", "Done", "2.1.0", ", \"required\": [\"n\"]");
    put("Done.v10.json", "Done", "10.0.0", "");
    put("Other.v1.json", "Other", "1.0.3", "");
    put("Done.v1.json", "Done", "1.4.0", "");
    load(&run);
    assert_int_equal(run.n_types, 4);
    assert_string_equal(st_run_event_type(&run, "Done")->version, "10.0.0");
    assert_string_equal(st_run_event_type(&run, "Other")->version, "1.0.3");
    assert_string_equal(st_run_event_version(&run, "Done", "1.0.0")->version, "1.4.0");
    assert_string_equal(st_run_event_version(&run, "Done", "2.9.9")->version, "2.1.0");
    assert_ptr_equal(st_run_event_version(&run, "Done", "10.0.0"), st_run_event_type(&run, "Done"));
}

static void test_what_the_registry_does_not_have_is_not_found(void **state)
{
    struct st_run run;
    static const char *const versions[] = {"2.0.0",     "", "1", "x.1.0", "-1.0.0", "99999999999999999999.0.0",
                                           "01234567.0"};
    (void)state;
    put("Done.v1.json", "Done", "1.0.0", "");
    load(&run);
    assert_null(st_run_event_type(&run, "Dont"));
    assert_null(st_run_event_type(&run, "Dona"));
    assert_null(st_run_event_type(&run, "Zebra"));
    assert_null(st_run_event_type(&run, ""));
    assert_null(st_run_event_version(&run, "Dont", "1.0.0"));
    for (size_t i = 0; i < ST_COUNT(versions); i++)
        assert_null(st_run_event_version(&run, "Done", versions[i]));
    assert_non_null(st_run_event_version(&run, "Done", "1.7"));
}

static void test_a_file_is_named_as_it_says(void **state)
{
    (void)state;
    put("Done.v1.json", "Done", "2.0.0", "");
    refused("Done.v2.json");
    put("Done.v1.json", "Undone", "1.0.0", "");
    refused("Undone.v1.json");
    put("Done.v1.json", "Done", "one", "");
    refused("x-version");
}

static void test_a_schema_that_cannot_be_used_names_file_and_place(void **state)
{
    (void)state;
    put("Done.v1.json", "Done", "1.0.0", ", \"properties\": {\"n\": {\"type\": \"number!\"}}");
    refused("Done.v1.json#/properties/n");
    put("Done.v1.json", "Done", "1.0.0", ", \"propertees\": {}");
    refused("propertees");
}

/* Whether a payload fits. */
static bool fits(const struct st_schema *schema, const char *payload)
{
    struct st_schema_errors errors = {.count = 0};
    json_t *j;
    const char *why;
    assert_int_equal(st_json_parse(&arena, payload, strlen(payload), 8, &j, &why), 0);
    return st_schema_check(schema, j, &arena, &errors) == 0;
}

static void test_sensitive_members_may_be_sealed_or_missing_on_the_bus(void **state)
{
    struct st_run run;
    (void)state;
    put("Done.v1.json", "Done", "1.0.0",
        ", \"x-sensitive\": [\"mail\"], \"x-subject\": \"who\", \"minProperties\": 2, \"required\": [\"who\", "
        "\"mail\"], \"additionalProperties\": false, \"properties\": {\"who\": {\"type\": \"string\"}, "
        "\"mail\": {\"type\": \"string\", \"maxLength\": 4}}");
    put("Other.v1.json", "Other", "1.0.0", ", \"x-sensitive\": []");
    load(&run);
    const struct st_event_type *done = st_run_event_type(&run, "Done");
    assert_string_equal(done->sensitive[0], "mail");
    assert_null(done->sensitive[1]);
    assert_string_equal(done->subject, "who");
    assert_true(fits(done->payload, "{\"who\": \"a\", \"mail\": \"abcd\"}"));
    assert_false(fits(done->payload, "{\"who\": \"a\"}"));
    assert_false(fits(done->payload, "{\"who\": \"a\", \"mail\": \"enc:1:x\"}"));
    assert_true(fits(done->sealed, "{\"who\": \"a\", \"mail\": \"enc:1:x\"}"));
    assert_true(fits(done->sealed, "{\"who\": \"a\"}"));
    assert_false(fits(done->sealed, "{\"mail\": \"enc:1:x\"}"));
    assert_false(fits(done->sealed, "{\"who\": 1}"));
    assert_null(st_run_event_type(&run, "Other")->sensitive);
    assert_null(st_run_event_type(&run, "Other")->sealed);
    put("Done.v1.json", "Done", "1.0.0", ", \"x-sensitive\": [\"mail\"]");
    refused("x-sensitive");
    put("Done.v1.json", "Done", "1.0.0", ", \"x-subject\": \"who\"");
    refused("x-subject");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        TEST(test_the_newest_version_is_written_and_each_is_read),
        TEST(test_what_the_registry_does_not_have_is_not_found),
        TEST(test_a_file_is_named_as_it_says),
        TEST(test_sensitive_members_may_be_sealed_or_missing_on_the_bus),
        TEST(test_a_schema_that_cannot_be_used_names_file_and_place),
    };
    int failed = cmocka_run_group_tests_name("registry", tests, NULL, NULL);
    st_arena_release(&arena);
    return failed;
}
