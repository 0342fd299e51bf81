/* Retention: what is archived, what then leaves the log, and that nothing is lost or doubled whenever it is killed. */
#include "../lib/backbone.h"

#include "io/crypto.h"
#include "io/gzip.h"
#include "svc/archive.h"

#include <ftw.h>
#include <glob.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { LINES_MAX = 4000, KILLS = 25 };

static struct st_pg *db;
static struct daemon *alpha;
static struct st_worker worker;

static struct st_event_type registry[] = {
    {.type = "ThingHappened",
     .topic = "t",
     .aggregate_type = "thing",
     .version = "1.0.0",
     .major = 1,
     .service = "alpha"},
    {.type = "ThingKept",
     .topic = "k",
     .aggregate_type = "thing",
     .version = "1.0.0",
     .major = 1,
     .service = "alpha",
     .audit = true},
};
static const struct st_service alpha_service = {.name = "alpha"};
static const struct st_projection projections[] = {{"ThingHappened", NULL}, {0}};
static const struct st_service sourced = {.name = "alpha", .projections = projections};

static void start(const struct st_service *service)
{
    alpha = daemon_new(service);
    alpha->run.types = registry;
    alpha->run.n_types = (int)ST_COUNT(registry);
    st_worker_init(&worker, &alpha->run, "archive");
}

static void stop(void)
{
    st_worker_release(&worker);
    daemon_stop(alpha, 0);
}

static int begin(void **state)
{
    (void)state;
    db = database_new("alpha");
    use_database("alpha");
    return 0;
}

static int end(void **state)
{
    (void)state;
    db = st_pg_free(db);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int setup(void **state)
{
    (void)state;
    change(db, "truncate events, aggregates, archives, relay_batches");
    (void)nftw(st_printf(&arena, "%s/archive", getenv("ST_TEST_DIR")), remove_one, 16, FTW_DEPTH | FTW_PHYS);
    start(&alpha_service);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    stop();
    st_arena_release(&arena);
    return 0;
}

static int64_t number(const char *sql)
{
    int64_t n = 0;
    assert_true(st_parse_i64(ask_(db, sql, 0, NULL), INT64_MIN, INT64_MAX, &n));
    return n;
}

/* n events of so many days ago, every third for audit. */
static void events_of(int n, const char *days)
{
    struct st_rows *rows;
    st_pg_begin(db);
    for (int i = 0; i < n; i++)
        emit(db, st_printf(&arena, "a%d", i % 7), i);
    must(db, st_pg_commit(db));
    must(db, st_pg_query(db, &arena,
                         "update events set recorded_at = now() - $1 * interval '1 day', event_type = "
                         "case when seq % 3 = 0 then 'ThingKept' else event_type end where recorded_at > now() - "
                         "interval '1 minute'",
                         ST_PARAMS(days), &rows));
}

/* All that is in the log so far has been sent and forgotten. */
static void relay_has_passed(void)
{
    change(db, "insert into relay_batches (batch_no, system_identifier, s1, s2, sent_at) select 1 + coalesce(max("
               "batch_no), 0), 'x', pg_current_snapshot(), pg_current_snapshot(), now() from relay_batches");
    change(db, "delete from relay_batches where batch_no < (select max(batch_no) from relay_batches)");
}

static void work(void)
{
    int r = st_archive_work(&worker);
    if (r < 0)
        fail_msg("%s: %s", st_err_code(r), st_pg_error(worker.pg));
}

static const char *file_of_row(const char *first)
{
    return st_printf(&arena, "%s/%s", getenv("ST_TEST_DIR"),
                     ask(db, "select path from archives where first_seq = $1", first));
}

/* Sequence numbers of the lines of all finished files, in order; each file is as its row says. */
static int read_archives(int64_t seqs[LINES_MAX])
{
    struct st_rows *rows;
    int total = 0;
    must(db, st_pg_query(db, &arena,
                         "select path, sha256, events, first_seq, last_seq, bytes from archives where state = 'done' "
                         "order by first_seq",
                         ST_PARAMS(), &rows));
    for (int i = 0; i < st_rows_count(rows); i++) {
        const char *path = st_printf(&arena, "%s/%s", getenv("ST_TEST_DIR"), st_cell(rows, i, 0)), *why;
        char sha256[65];
        struct stat st;
        struct st_gzip *g;
        struct st_buf line = ST_BUF(ST_ARCHIVE_LINE_MAX);
        json_t *j;
        int n = 0, r;
        assert_int_equal(st_sha256_file(path, sha256), 0);
        assert_string_equal(sha256, st_cell(rows, i, 1));
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_size, st_cell_int(rows, i, 5));
        assert_int_equal(st_gzip_open(path, &g), 0);
        while ((r = st_gzip_line(g, &line)) == 1) {
            assert_int_equal(st_json_parse(&arena, line.data, line.len, 8, &j, &why), 0);
            seqs[total++] = st_json_int(j, "seq", -1);
            assert_true(seqs[total - 1] >= st_cell_int(rows, i, 3) && seqs[total - 1] <= st_cell_int(rows, i, 4));
            assert_true(st_is_uuid(st_str(json_object_get(j, "event"), "eventId")));
            assert_int_equal(st_json_int(j, "aggregateVersion", 0) > 0, 1);
            n++;
        }
        assert_int_equal(r, 0);
        assert_int_equal(n, st_cell_int(rows, i, 2));
        st_buf_release(&line);
        st_gzip_free(g);
    }
    for (int i = 1; i < total; i++)
        assert_true(seqs[i - 1] < seqs[i]);
    return total;
}

static int files(const char *pattern)
{
    glob_t found;
    int n = 0;
    if (glob(st_printf(&arena, "%s/archive/alpha/*/*/*/%s", getenv("ST_TEST_DIR"), pattern), 0, NULL, &found) == 0) {
        n = (int)found.gl_pathc;
        globfree(&found);
    }
    return n;
}

static void test_first_a_file_then_out_of_the_log(void **state)
{
    (void)state;
    int64_t seqs[LINES_MAX];
    events_of(30, "9");
    events_of(6, "1");
    work();
    assert_int_equal(read_archives(seqs), 30);
    assert_int_equal(files("*.ndjson.gz"), 1);
    assert_int_equal(number("select count(*) from events"), 36); /* nobody knows yet whether they were sent */
    relay_has_passed();
    work();
    assert_int_equal(number("select count(*) from events"), 16);
    assert_int_equal(number("select count(*) from events where event_type = 'ThingKept' and recorded_at < now() - "
                            "interval '2 days'"),
                     10);
    change(db, "update archives set last_at = last_at - interval '25 days'");
    work();
    assert_int_equal(number("select count(*) from events"), 6);
    assert_int_equal(number("select count(*) from archives where all_gone_at is not null"), 1);
    assert_int_equal(read_archives(seqs), 30);
    events_of(10, "10");
    work();
    assert_int_equal(read_archives(seqs), 30); /* behind younger ones: their day comes first */
    change(db, "update events set recorded_at = now() - interval '9 days'");
    work();
    assert_int_equal(read_archives(seqs), 46);
}

static void test_what_the_relay_may_send_again_stays(void **state)
{
    (void)state;
    int64_t seqs[LINES_MAX];
    relay_has_passed(); /* of what comes now it has sent nothing */
    events_of(12, "9");
    work();
    assert_int_equal(read_archives(seqs), 12);
    assert_int_equal(number("select count(*) from events"), 12);
    change(db, "update relay_batches set after_seq = (select max(seq) from events)"); /* a log restored elsewhere */
    work();
    assert_int_equal(number("select count(*) from events"), 4);
}

static void test_what_a_projection_reads_stays(void **state)
{
    (void)state;
    int64_t seqs[LINES_MAX];
    stop();
    start(&sourced);
    events_of(12, "40");
    relay_has_passed();
    work();
    assert_int_equal(read_archives(seqs), 12);
    assert_int_equal(number("select count(*) from events"), 8);
    assert_int_equal(number("select count(*) from events where event_type = 'ThingKept'"), 0);
}

static void test_an_event_that_is_still_being_written(void **state)
{
    (void)state;
    int64_t seqs[LINES_MAX];
    struct st_pg *slow = st_pg_new(conninfo("alpha"), "slow");
    st_pg_begin(slow);
    emit(slow, "slow", 1); /* draws its number, and commits last */
    must(slow, st_pg_flush(slow));
    events_of(5, "9");
    assert_true(st_archive_work(&worker) < 0);
    assert_int_equal(number("select count(*) from archives"), 0);
    st_arena_reset(&worker.arena);
    must(slow, st_pg_commit(slow));
    st_pg_free(slow);
    change(db, "update events set recorded_at = now() - interval '9 days'");
    work();
    assert_int_equal(read_archives(seqs), 6);
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void test_what_a_crash_leaves(void **state)
{
    (void)state;
    int64_t seqs[LINES_MAX];
    events_of(9, "9");
    work();
    /* Killed between the file's name and its row; and in the middle of a file. */
    change(db, "update archives set state = 'writing', sha256 = null, bytes = null");
    events_of(3, "9");
    work();
    assert_int_equal(read_archives(seqs), 12);
    assert_int_equal(files("*"), 2);
    /* Killed while the log shrinks. */
    relay_has_passed();
    change(db, "update archives set shrinks = true");
    change(db, "delete from events where seq in (select seq from events where event_type = 'ThingHappened' limit 3)");
    work();
    assert_int_equal(number("select count(*) from events"), 4);
    assert_int_equal(read_archives(seqs), 12);
}

static void test_a_file_that_is_not_what_it_was(void **state)
{
    (void)state;
    int64_t seqs[LINES_MAX];
    events_of(9, "9");
    work();
    const char *file = file_of_row(ask(db, "select first_seq from archives"));
    put(file, "damaged");
    relay_has_passed();
    work(); /* the log has all of it: it is written again, and only then shrinks */
    assert_int_equal(read_archives(seqs), 9);
    assert_int_equal(number("select count(*) from events"), 3);
    put(file, "damaged");
    change(db, "update archives set last_at = last_at - interval '25 days'");
    assert_int_equal(st_archive_work(&worker), ST_E_INVALID);
    assert_int_equal(number("select count(*) from events"), 3);
}

/* In a process of its own, as a daemon would. */
static pid_t archiver(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct st_worker w;
        st_worker_init(&w, &alpha->run, "child");
        while (st_archive_work(&w) >= 0)
            st_sleep_ms(1);
        _exit(0);
    }
    return pid;
}

static void test_killed_at_any_moment(void **state)
{
    (void)state;
    int64_t seqs[LINES_MAX];
    uint32_t chance = 12345;
    int64_t in_all = 0;
    for (int i = 0; i < KILLS; i++) {
        events_of(40, "9");
        in_all += 40;
        relay_has_passed();
        pid_t one = archiver(), other = i % 3 == 0 ? archiver() : 0; /* and two that both think they are alone */
        chance = chance * 1103515245 + 12345;
        st_sleep_ms((int)(chance >> 16) % 60);
        kill(one, SIGKILL);
        assert_int_equal(waitpid(one, NULL, 0), one);
        if (other) {
            kill(other, SIGKILL);
            assert_int_equal(waitpid(other, NULL, 0), other);
        }
        /* What the dead had asked for, the server still does. */
        while (number("select count(*) from pg_stat_activity where application_name = 'alpha/child'"))
            st_sleep_ms(1);
        /* Whatever the log has lost, a finished file has. */
        int n = read_archives(seqs);
        const char *gone = ask(db,
                               "select $1::bigint - count(*) from events e where not exists (select from archives "
                               "a where a.state = 'done' and e.seq between a.first_seq and a.last_seq)",
                               st_i64(&arena, in_all));
        assert_string_equal(gone, st_i64(&arena, n));
    }
    work();
    assert_int_equal(read_archives(seqs), in_all);
    assert_int_equal(number("select count(*) from events where event_type = 'ThingHappened'"), 0);
    assert_int_equal(files("*"), files("*.ndjson.gz"));
    assert_int_equal(files("*"), number("select count(*) from archives"));
}

static void test_lines_of_a_file(void **state)
{
    (void)state;
    const char *path = st_printf(&arena, "%s/lines.gz", getenv("ST_TEST_DIR"));
    char *big = st_alloc(&arena, 200001);
    struct st_gzip *g;
    struct st_buf line = ST_BUF(300000);
    memset(big, 'x', 200000);
    assert_int_equal(st_gzip_create(path, &g), 0);
    assert_int_equal(st_gzip_add(g, "", 0), 0);
    assert_int_equal(st_gzip_add(g, big, 200000), 0);
    assert_int_equal(st_gzip_add(g, "end", 3), 0);
    assert_int_equal(st_gzip_finish(g), 0);
    assert_int_equal(st_gzip_open(path, &g), 0);
    assert_int_equal(st_gzip_line(g, &line), 1);
    assert_int_equal(line.len, 0);
    assert_int_equal(st_gzip_line(g, &line), 1);
    assert_int_equal(line.len, 200000);
    assert_int_equal(st_gzip_line(g, &line), 1);
    assert_string_equal(line.data, "end");
    assert_int_equal(st_gzip_line(g, &line), 0);
    st_gzip_free(g);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    for (int cut = 1; cut < 12; cut += 5) { /* a file that was cut off says so */
        assert_int_equal(truncate(path, st.st_size - cut), 0);
        assert_int_equal(st_gzip_open(path, &g), 0);
        int r;
        while ((r = st_gzip_line(g, &line)) == 1)
            continue;
        assert_int_equal(r, ST_E_INVALID);
        st_gzip_free(g);
    }
    struct st_buf small = ST_BUF(100);
    assert_int_equal(st_gzip_open(path, &g), 0);
    assert_int_equal(st_gzip_line(g, &small), 1);
    assert_int_equal(st_gzip_line(g, &small), ST_E_INVALID);
    st_gzip_free(g);
    st_buf_release(&line);
    st_buf_release(&small);
    assert_int_equal(st_gzip_open("/nonexistent/file", &g), ST_E_UNAVAILABLE);
    assert_int_equal(st_gzip_create("/nonexistent/file", &g), ST_E_UNAVAILABLE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(int argc, char **argv)
{
    (void)argc;
    const struct CMUnitTest tests[] = {
        TEST(test_lines_of_a_file),
        TEST(test_first_a_file_then_out_of_the_log),
        TEST(test_what_the_relay_may_send_again_stays),
        TEST(test_what_a_projection_reads_stays),
        TEST(test_an_event_that_is_still_being_written),
        TEST(test_what_a_crash_leaves),
        TEST(test_a_file_that_is_not_what_it_was),
        TEST(test_killed_at_any_moment),
    };
    world_start(argv);
    return cmocka_run_group_tests_name("archive", tests, begin, end);
}
