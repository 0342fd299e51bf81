/* Rate limits in shared memory: the algorithm, the places, threads and processes at once, SipHash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "base/gcra.h"

static const struct st_gcra_rate TEN_AN_HOUR = {360 * ST_SECOND, 3600 * ST_SECOND};
static const int64_t NOW = 1000 * ST_SECOND;

static struct st_gcra *make(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    struct st_gcra *g = st_gcra_init(memory, size);
    assert_non_null(g);
    return g;
}

static int64_t charge(struct st_gcra *g, uint64_t hash, int64_t units, int64_t now)
{
    struct st_gcra_verdict v;
    st_gcra_charge(g, hash, &TEN_AN_HOUR, units, now, &v);
    return v.wait;
}

static void test_ten_are_ten(void **state)
{
    (void)state;
    struct st_gcra *g = make(1 << 16);
    uint64_t hash = st_gcra_hash(g, 1, "ann", 3);
    for (int i = 0; i < 10; i++)
        assert_int_equal(charge(g, hash, 1, NOW), 0);
    assert_int_equal(charge(g, hash, 1, NOW), 360 * ST_SECOND);
    assert_int_equal(charge(g, hash, 1, NOW + ST_SECOND), 359 * ST_SECOND);
    assert_int_equal(charge(g, st_gcra_hash(g, 2, "ann", 3), 1, NOW), 0);
    assert_int_equal(charge(g, st_gcra_hash(g, 1, "bob", 3), 1, NOW), 0);
    assert_int_equal(charge(g, hash, 1, NOW + 360 * ST_SECOND), 0);
    assert_int_equal(charge(g, hash, 1, NOW + 360 * ST_SECOND), 360 * ST_SECOND);
}

static void test_units_refunds_and_raises(void **state)
{
    (void)state;
    struct st_gcra *g = make(1 << 16);
    struct st_gcra_verdict v;
    uint64_t hash = st_gcra_hash(g, 1, "", 0);
    st_gcra_refund(g, hash, &TEN_AN_HOUR, 1); /* nobody knows the key: nothing happens */
    assert_null(st_gcra_words(g, hash));
    assert_int_equal(charge(g, hash, 10, NOW), 0);
    assert_true(charge(g, hash, 1, NOW) > 0);
    st_gcra_refund(g, hash, &TEN_AN_HOUR, 4);
    assert_int_equal(charge(g, hash, 5, NOW), 360 * ST_SECOND);
    st_gcra_charge(g, hash, &TEN_AN_HOUR, 4, NOW, &v);
    assert_int_equal(v.wait, 0);
    assert_int_equal(v.tat, NOW + 3600 * ST_SECOND);
    st_gcra_refund(g, hash, &TEN_AN_HOUR, 10);
    st_gcra_raise(g, hash, NOW + 3600 * ST_SECOND);
    assert_true(charge(g, hash, 1, NOW) > 0);
    st_gcra_raise(g, hash, NOW);
    assert_true(charge(g, hash, 1, NOW) > 0);
    /* A lower rate does not look at the old debt for longer than its own burst takes. */
    static const struct st_gcra_rate fast = {ST_SECOND, 2 * ST_SECOND};
    st_gcra_charge(g, hash, &fast, 1, NOW, &v);
    assert_int_equal(v.wait, ST_SECOND);
}

static void test_words_belong_to_the_key(void **state)
{
    (void)state;
    struct st_gcra *g = make(1 << 16);
    uint64_t ann = st_gcra_hash(g, 1, "ann", 3), bob = st_gcra_hash(g, 1, "bob", 3);
    charge(g, ann, 1, NOW);
    charge(g, bob, 1, NOW);
    st_gcra_words(g, ann)[0] = 7;
    st_gcra_words(g, ann)[1] = 8;
    assert_int_equal(st_gcra_words(g, bob)[0], 0);
    assert_int_equal(st_gcra_words(g, ann)[0], 7);
    assert_int_equal(st_gcra_words(g, ann)[1], 8);
}

/* The smallest table has one bucket: what has run out goes first, then the one that owes least. */
static void test_a_full_bucket_forgets_the_least(void **state)
{
    (void)state;
    struct st_gcra *g = make(4096);
    uint64_t hashes[400];
    int n = (int)st_gcra_room(g);
    assert_in_range(n, 7, 399);
    assert_null(st_gcra_init(hashes, 100));
    g = st_gcra_init(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), 64 + 256);
    assert_int_equal(st_gcra_room(g), 7);
    for (int i = 0; i < 9; i++)
        hashes[i] = st_gcra_hash(g, (uint64_t)i, "x", 1);
    for (int i = 0; i < 7; i++)
        assert_int_equal(charge(g, hashes[i], i == 3 ? 1 : 10, NOW), 0);
    assert_int_equal(st_gcra_used(g, NOW), 7);
    assert_int_equal(charge(g, hashes[7], 10, NOW), 0);
    assert_int_equal(st_gcra_evicted(g), 1);
    assert_null(st_gcra_words(g, hashes[3]));
    for (int i = 0; i < 8; i++)
        assert_true(i == 3 || charge(g, hashes[i], 1, NOW) > 0);
    int64_t later = NOW + 4000 * ST_SECOND;
    assert_int_equal(st_gcra_used(g, later), 0);
    assert_int_equal(charge(g, hashes[8], 1, later), 0);
    assert_int_equal(st_gcra_evicted(g), 1);
}

static void test_a_million_keys(void **state)
{
    (void)state;
    size_t size = (size_t)64 << 20;
    struct st_gcra *g = make(size);
    struct st_gcra_verdict v;
    for (uint64_t i = 0; i < 1000000; i++)
        st_gcra_charge(g, st_gcra_hash(g, 1, &i, sizeof(i)), &TEN_AN_HOUR, 1, NOW, &v);
    assert_true(st_gcra_evicted(g) < 20000);
    uint64_t used = st_gcra_used(g, NOW);
    assert_in_range(used, 950000, 1030000);
    munmap((void *)g, size);
}

struct crowd {
    struct st_gcra *g;
    int64_t passed;
};

static void *charge_all(void *arg)
{
    struct crowd *c = arg;
    for (uint64_t key = 0; key < 2000; key++)
        for (int i = 0; i < 11; i++)
            c->passed += charge(c->g, st_gcra_hash(c->g, key, "k", 1), 1, NOW) == 0;
    return NULL;
}

/* Every key is new for all of them at about the same time, and still ten are ten. */
static void test_many_at_once(void **state)
{
    (void)state;
    size_t size = 4 << 20;
    struct st_gcra *g = make(size);
    struct crowd crowds[8];
    pthread_t threads[8];
    int64_t passed = 0;
    for (int i = 0; i < 8; i++) {
        crowds[i] = (struct crowd){.g = g};
        assert_int_equal(pthread_create(&threads[i], NULL, charge_all, &crowds[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        passed += crowds[i].passed;
    }
    assert_int_equal(st_gcra_evicted(g), 0);
    assert_int_equal(passed, 20000);
    munmap((void *)g, size);
}

/* Whoever is killed while it holds a lock does not hold up the others for long. */
static void test_a_killed_process(void **state)
{
    (void)state;
    struct st_gcra *g = make(4096);
    struct st_gcra_verdict v;
    for (int round = 0; round < 20; round++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            for (uint64_t i = 0;; i++)
                st_gcra_charge(g, st_gcra_hash(g, i, "", 0), &TEN_AN_HOUR, 1, NOW, &v);
        usleep(1000);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(charge(g, st_gcra_hash(g, i, "left", 4), 1, NOW), 0);
}

/* The vectors of the paper's authors: key 00 01 …, message 00 01 … of each length. */
static void test_siphash(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        uint64_t hash;
    } vectors[] = {
        {0, UINT64_C(0x726fdb47dd0e0e31)},  {1, UINT64_C(0x74f839c593dc67fd)},  {7, UINT64_C(0xab0200f58b01d137)},
        {8, UINT64_C(0x93f5f5799a932462)},  {15, UINT64_C(0xa129ca6149be45e5)}, {16, UINT64_C(0x3f2acc7f57c29bdb)},
        {63, UINT64_C(0x958a324ceb064572)},
    };
    unsigned char key[16], message[64];
    for (int i = 0; i < 64; i++)
        message[i] = key[i % 16] = (unsigned char)i;
    for (int i = 0; i < 16; i++)
        key[i] = (unsigned char)i;
    for (size_t i = 0; i < ST_COUNT(vectors); i++)
        assert_int_equal(st_siphash(key, message, vectors[i].len), vectors[i].hash);
    /* Two tables have two secrets. */
    assert_int_not_equal(st_gcra_hash(make(4096), 1, "a", 1), st_gcra_hash(make(4096), 1, "a", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ten_are_ten),
        cmocka_unit_test(test_units_refunds_and_raises),
        cmocka_unit_test(test_words_belong_to_the_key),
        cmocka_unit_test(test_a_full_bucket_forgets_the_least),
        cmocka_unit_test(test_a_million_keys),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_a_killed_process),
        cmocka_unit_test(test_siphash),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
