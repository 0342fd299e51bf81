/* Password hashes: what fits, what does not, that an unknown account costs the same, and that a flood is bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>

#include "io/password.h"

static struct st_arena arena;

static int release(void **state)
{
    (void)state;
    st_arena_release(&arena);
    return 0;
}

static bool fits(const char *encoded, const char *password)
{
    bool ok = true;
    assert_int_equal(st_password_check(encoded, password, &ok), 0);
    return ok;
}

static void test_what_fits(void **state)
{
    (void)state;
    const char *one, *other;
    assert_int_equal(st_password_hash(&arena, "a sentence is fine 漢🦉", &one), 0);
    assert_int_equal(st_password_hash(&arena, "a sentence is fine 漢🦉", &other), 0);
    assert_string_not_equal(one, other); /* a salt each */
    assert_true(st_starts(one, "$argon2id$v=19$m=19456,t=2,p=1$"));
    assert_null(strstr(one, "sentence"));
    assert_true(fits(one, "a sentence is fine 漢🦉"));
    assert_true(fits(other, "a sentence is fine 漢🦉"));
    static const char *const wrong[] = {"", "a sentence is fine 漢", "A sentence is fine 漢🦉",
                                        "a sentence is fine 漢🦉 "};
    for (size_t i = 0; i < ST_COUNT(wrong); i++)
        assert_false(fits(one, wrong[i]));
}

static void test_what_is_no_hash(void **state)
{
    (void)state;
    static const char *const broken[] = {"", "plain", "$argon2id$", "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$",
                                         "$2b$12$abc"};
    for (size_t i = 0; i < ST_COUNT(broken); i++)
        assert_false(fits(broken[i], broken[i]));
}

/* What this process has computed: other programs do not count. */
static int64_t cpu_us(void)
{
    struct timespec t;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
    return t.tv_sec * ST_SECOND + t.tv_nsec / 1000;
}

/* The cheapest of several, in microseconds. */
static int64_t cost(const char *encoded)
{
    int64_t best = INT64_MAX;
    for (int i = 0; i < 5; i++) {
        int64_t from = cpu_us();
        (void)fits(encoded, "any password at all");
        int64_t us = cpu_us() - from;
        best = us < best ? us : best;
    }
    return best;
}

static void test_unknown_account_costs_the_same(void **state)
{
    (void)state;
    const char *hash;
    assert_int_equal(st_password_hash(&arena, "somebody's password", &hash), 0);
    assert_false(fits(NULL, ""));
    int64_t known = cost(hash), unknown = cost(NULL);
    assert_in_range(unknown, known / 2, known * 2);
}

enum { FLOOD = ST_PASSWORD_QUEUE + 30 };

static void *try_one(void *ctx)
{
    bool ok;
    int *result = ctx;
    *result = st_password_check(NULL, "guess", &ok);
    return NULL;
}

static void test_flood_is_bounded(void **state)
{
    (void)state;
    pthread_t threads[FLOOD];
    int results[FLOOD], done = 0, refused = 0;
    for (int i = 0; i < FLOOD; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, try_one, &results[i]), 0);
    for (int i = 0; i < FLOOD; i++) {
        pthread_join(threads[i], NULL);
        done += results[i] == 0;
        refused += results[i] == ST_E_UNAVAILABLE;
    }
    assert_int_equal(done + refused, FLOOD);
    assert_true(done >= ST_PASSWORD_QUEUE);
    assert_false(fits(NULL, "and afterwards all is as before"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_what_fits, release),
        cmocka_unit_test_teardown(test_what_is_no_hash, release),
        cmocka_unit_test_teardown(test_unknown_account_costs_the_same, release),
        cmocka_unit_test_teardown(test_flood_is_bounded, release),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
