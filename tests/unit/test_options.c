/* Options: where their values come from, and what may change while a daemon runs. */
#include "../lib/backbone.h"

#include <fcntl.h>

static const struct st_option own[] = {{"colour", "red"}, {"size", NULL}, {0}};
static const struct st_service alpha = {.name = "alpha", .options = own};
static const char *dir;

static void write_file(const char *text)
{
    FILE *f = fopen(st_printf(&arena, "%s/storytelling.conf", dir), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int setup(void **state)
{
    (void)state;
    dir = getenv("ST_TEST_DIR");
    setenv("ST_CONFIG_DIR", dir, 1);
    setenv("ST_RUN_DIR", dir, 1);
    setenv("ST_OBJECT_DIR", dir, 1);
    setenv("ST_EDGE_KEY_FILE", "none", 1);
    setenv("ST_DATABASE", "none", 1);
    unsetenv("ST_COLOUR");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    st_log_setup("test", (enum st_log_level)(ST_LOG_ERROR + 1));
    st_arena_release(&arena);
    return 0;
}

static void test_where_values_come_from(void **state)
{
    (void)state;
    const char *why = "";
    write_file("# a remark\n size = 7 \nothers = 1\n");
    assert_int_equal(st_options_load(own, &why), 0);
    assert_string_equal(st_option("colour"), "red");
    assert_int_equal(st_option_int("size"), 7);
    assert_string_equal(st_option("config_dir"), dir);
    setenv("ST_COLOUR", "blue", 1);
    write_file("colour = green\nsize = 8\n");
    assert_int_equal(st_options_load(own, &why), 0);
    assert_string_equal(st_option("colour"), "blue");
    assert_int_equal(st_option_int("size"), 8);
    write_file("");
    assert_int_equal(st_options_load(own, &why), ST_E_INVALID);
    assert_non_null(strstr(why, "size"));
    write_file("size\n");
    assert_int_equal(st_options_load(own, &why), ST_E_INVALID);
    assert_non_null(strstr(why, "storytelling.conf:1"));
}

static void test_what_changes_at_once(void **state)
{
    (void)state;
    const char *why = "", *others = "";
    write_file("size = 7\n");
    assert_int_equal(st_options_load(own, &why), 0);
    assert_int_equal(st_options_reload(&arena, &others, &why), 0);
    assert_string_equal(others, "");
    write_file("size = 8\ncolour = green\nlog_level = error\n");
    assert_int_equal(st_options_reload(&arena, &others, &why), 0);
    assert_string_equal(others, "colour, size");
    assert_int_equal(st_option_int("size"), 7);
    write_file("size = 7\nlog_level = loud\n");
    assert_int_equal(st_options_reload(&arena, &others, &why), ST_E_INVALID);
    assert_non_null(strstr(why, "loud"));
    write_file("size = 7\nsomething\n");
    assert_int_equal(st_options_reload(&arena, &others, &why), ST_E_INVALID);
}

/* What a daemon writes of level debug, once its doorbell has rung. */
static void test_a_ring(void **state)
{
    (void)state;
    const char *why = "", *path = st_printf(&arena, "%s/said", dir);
    static char text[1 << 20];
    write_file("size = 7\n");
    assert_int_equal(st_options_load(own, &why), 0);
    assert_true(st_log_level("info"));
    int stderr_of_old = dup(STDERR_FILENO), file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(file >= 0 && stderr_of_old >= 0 && dup2(file, STDERR_FILENO) >= 0);
    struct daemon *d = daemon_new(&alpha);
    daemon_loop(d, st_doorbell_main);
    write_file("size = 7\nlog_level = debug\n");
    bool heard = wait_for((pread(file, text, sizeof(text) - 1, 0) > 0 && strstr(text, "were read again")) ||
                          (redis_do("PUBLISH", "st:bell:config:alpha", ""), st_sleep_ms(50), false));
    st_log(ST_LOG_DEBUG, "a small thing");
    daemon_stop(d, 0);
    dup2(stderr_of_old, STDERR_FILENO);
    assert_true(heard);
    assert_true(pread(file, text, sizeof(text) - 1, 0) > 0);
    assert_non_null(strstr(text, "a small thing"));
    close(file);
    close(stderr_of_old);
}

int main(int argc, char **argv)
{
    (void)argc;
    world_start(argv);
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_where_values_come_from),
        TEST(test_what_changes_at_once),
        TEST(test_a_ring),
    };
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
