/*
 * Databases of before: rows that were made beside events which did not say everything. After the migrations the log
 * makes the same rows again.
 */
#include "../lib/backbone.h"

#include "identity/identity.h"
#include "subscription/subscription.h"
#include "svc/rebuild.h"

#include <sys/stat.h>

static struct st_pg *db;
static char said[16 * 1024];

static const struct st_projection of_identity[] = {
    {"UserRegistered", identity_project_registered, .sensitive = true},
    {"EmailVerificationRequested", identity_project_verification_requested},
    {"EmailVerified", identity_project_verified},
    {"UserProfileUpdated", identity_project_profile_updated, .sensitive = true},
    {"UserRoleChanged", identity_project_role_changed},
    {"UserDeleted", identity_project_deleted},
    {0},
};
static const char *const identity_tables[] = {"users", NULL};
static const struct st_service identity = {.name = "identity", .projections = of_identity, .tables = identity_tables};

static const struct st_projection of_subscription[] = {
    {"SubscriptionCreated", subscription_project_created},
    {"UsageRecorded", subscription_project_usage},
    {"UsageLimitReached", subscription_project_limit_reached},
    {0},
};
static const char *const subscription_tables[] = {"user_subscriptions", "usage_tracking", "limits_reached", NULL};
static const struct st_erasure subscription_erasures[] = {
    {"usage_tracking", ST_ERASED, "delete from usage_tracking where user_id = $1"},
    {"limits_reached", ST_ERASED, "delete from limits_reached where user_id = $1"},
    {"user_subscriptions", ST_ERASED, "delete from user_subscriptions where user_id = $1"},
    {0},
};
static const struct st_service subscription = {.name = "subscription",
                                               .projections = of_subscription,
                                               .tables = subscription_tables,
                                               .erasures = subscription_erasures};

static int teardown(void **state)
{
    (void)state;
    db = st_pg_free(db);
    st_arena_release(&arena);
    return 0;
}

static void migrate(const char *dir, const char *service)
{
    int applied;
    const char *why = "";
    if (st_migrate(db, &arena, dir, service, &applied, &why) < 0)
        fail_msg("%s", why);
    assert_true(applied > 0);
}

/* A database as it was: the first migrations alone. */
static void database_of_before(const char *service, const char *const *files)
{
    const char *dir = st_printf(&arena, "%s/sql-%s", getenv("ST_TEST_DIR"), service);
    const char *of_service = st_printf(&arena, "%s/%s", dir, service);
    char root[4096];
    assert_non_null(getcwd(root, sizeof(root)));
    (void)mkdir(dir, 0755);
    (void)mkdir(of_service, 0755);
    db = database_new(service);
    must(db, st_pg_script(db, "drop schema public cascade; create schema public"));
    (void)mkdir(st_printf(&arena, "%s/common", dir), 0755);
    assert_int_equal(symlink(st_printf(&arena, "%s/sql/common/0001_backbone.sql", root),
                             st_printf(&arena, "%s/common/0001_backbone.sql", dir)),
                     0);
    for (; *files; files++)
        assert_int_equal(symlink(st_printf(&arena, "%s/sql/%s/%s", root, service, *files),
                                 st_printf(&arena, "%s/%s", of_service, *files)),
                         0);
    migrate(dir, service);
    use_database(service);
}

static void script(const char *sql)
{
    must(db, st_pg_script(db, sql));
}

/* Gives whether table and log agree. */
static bool same(const struct st_service *service)
{
    static struct st_run run;
    const char *why = "";
    run = (struct st_run){.service = service};
    memset(said, 0, sizeof(said));
    if (st_registry_load(&arena, "config/events", &run.types, &run.n_types, &why) < 0)
        fail_msg("%s", why);
    FILE *f = fmemopen(said, sizeof(said) - 1, "w");
    int r = st_rebuild(&run, true, f, &why);
    fclose(f);
    if (r < 0)
        fail_msg("%s: %s", st_err_code(r), why);
    if (!strstr(said, "\"same\":true"))
        print_message("%s", said);
    st_arena_release(&run.arena);
    return strstr(said, "\"same\":true") != NULL;
}

#define EVENT                                                                                                          \
    "create function pg_temp.event(type text, of_type text, of_id text, n int, payload_ text) returns void "           \
    "language sql as $$ insert into events (event_id, event_type, aggregate_type, aggregate_id, aggregate_version, "   \
    "version, metadata, payload) values (gen_random_uuid(), type, of_type, of_id, n, '1.0.0', "                        \
    "'{\"correlationId\": \"c\"}', payload_::jsonb) $$;"                                                               \
    "create function pg_temp.id(n int) returns uuid language sql as "                                                  \
    "$$ select ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid $$;"

#define USER(n)                                                                                                        \
    "select pg_temp.event('UserRegistered', 'user', pg_temp.id(" #n ")::text, 1, json_build_object('userId', "         \
    "pg_temp.id(" #n "), 'email', 'u" #n "@example.org', 'displayName', 'U', 'role', 'author', "                       \
    "'registrationSource', 'self', 'locale', 'en')::text);"                                                            \
    "select pg_temp.event('EmailVerificationRequested', 'user', pg_temp.id(" #n ")::text, 2, json_build_object("       \
    "'userId', pg_temp.id(" #n "), 'email', 'u" #n "@example.org', 'displayName', 'U', 'locale', 'en', 'token', "      \
    "'t')::text);"

static void test_identity(void **state)
{
    (void)state;
    static const char *const files[] = {"0001_identity.sql", "0002_api_keys.sql", NULL};
    database_of_before("identity", files);
    /* 1 is new; 2 is confirmed, renamed and a moderator, too; 3 has registered again; 4 is deleted */
    script(EVENT USER(1) USER(2) USER(3) USER(
        4) "select pg_temp.event('EmailVerified', 'user', pg_temp.id(2)::text, 3, "
           "json_build_object('userId', pg_temp.id(2))::text);"
           "select pg_temp.event('UserProfileUpdated', 'user', pg_temp.id(2)::text, 4, "
           "json_build_object('userId', pg_temp.id(2), 'displayName', 'Two', 'locale', 'de')::text);"
           "select pg_temp.event('UserRoleChanged', 'user', pg_temp.id(2)::text, 5, "
           "'{\"userId\": \"x\", \"from\": [\"author\"], \"to\": [\"author\", \"moderator\"]}');"
           "select pg_temp.event('EmailVerificationRequested', 'user', pg_temp.id(3)::text, 3, "
           "'{\"userId\": \"x\", \"displayName\": \"Three\", \"locale\": \"ar\", \"token\": \"t\"}');"
           "select pg_temp.event('EmailVerified', 'user', pg_temp.id(4)::text, 3, '{\"userId\": \"x\"}');"
           "select pg_temp.event('UserDeleted', 'user', pg_temp.id(4)::text, 4, '{\"userId\": \"x\"}');"
           "insert into users (user_id, email, display_name, locale, password_hash, state, verified_at, roles, tier, "
           "version) values "
           "(pg_temp.id(1), 'u1@example.org', 'U', 'en', 'h1', 'active', null, '{author}', 'free', 1),"
           "(pg_temp.id(2), 'u2@example.org', 'Two', 'de', 'h2', 'active', now(), '{author,moderator}', 'premium', 4),"
           "(pg_temp.id(3), 'u3@example.org', 'Three', 'ar', 'h3', 'active', null, '{author}', 'free', 2),"
           "(pg_temp.id(4), '', '', '', '', 'deleted', now(), '{author}', 'free', 3);"
           "insert into sessions (session_id, user_id, refresh_key, address, expires_at) "
           "values (gen_random_uuid(), pg_temp.id(2), 'k', '', now())");
    migrate("sql", "identity");
    assert_true(same(&identity));
    assert_string_equal(ask(db, "select string_agg(password_hash, ' ' order by user_id) from credentials"), "h1 h2 h3");
    assert_string_equal(ask(db, "select string_agg(tier, ' ') from user_tiers"), "premium");
    assert_string_equal(ask(db, "select string_agg(version::text, ' ' order by user_id) from users"), "2 5 3 4");
    assert_string_equal(ask(db, "select count(*) from sessions"), "1");
}

static void test_subscription(void **state)
{
    (void)state;
    static const char *const files[] = {"0001_subscription.sql", NULL};
    database_of_before("subscription", files);
    /* 1 has used a limit up; 2 has used nothing; 3 is deleted */
    script(EVENT "insert into subscription_tiers values ('free', 0, 'EUR', 'month', '{\"stories\": 2}');"
                 "insert into user_subscriptions (subscription_id, user_id, tier, status) "
                 "select pg_temp.id(10 + n), pg_temp.id(n), 'free', 'active' from generate_series(1, 2) n;"
                 "select pg_temp.event('SubscriptionCreated', 'subscription', pg_temp.id(10 + n)::text, 1, "
                 "json_build_object('userId', pg_temp.id(n), 'subscriptionId', pg_temp.id(10 + n), 'fromTier', null, "
                 "'toTier', 'free', 'effectiveAt', to_char(now() at time zone 'UTC', "
                 "'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'))::text) from generate_series(1, 3) n;"
                 "insert into usage_tracking select gen_random_uuid(), pg_temp.id(1), 'stories', 1, "
                 "now() - n * interval '1.234567 seconds' from generate_series(1, 3) n;"
                 "insert into limits_reached values (pg_temp.id(1), 'stories', now());"
                 "select pg_temp.event('UsageLimitReached', 'subscription', pg_temp.id(11)::text, 2, "
                 "json_build_object('userId', pg_temp.id(1), 'metric', 'stories', 'limit', 2, 'used', 2, 'resetsAt', "
                 "'2026-12-27T10:00:00.123Z')::text)");
    migrate("sql", "subscription");
    assert_true(same(&subscription));
    assert_string_equal(ask(db, "select count(*) from user_subscriptions"), "2");
    assert_string_equal(ask(db, "select sum(amount) from usage_tracking"), "3");
    assert_string_equal(ask(db, "select count(*) from limits_reached"), "1");
    assert_string_equal(ask(db, "select string_agg(aggregate_version::text, ' ' order by seq) from events "
                                "where event_type = 'UsageRecorded'"),
                        "1 2 3");
    assert_string_equal(ask(db, "select version from aggregates where aggregate_type = 'usage'"), "3");
    assert_string_equal(ask(db, "select count(*) from erased_users"), "1");
}

int main(int argc, char **argv)
{
    (void)argc;
    world_start(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_identity, teardown),
        cmocka_unit_test_teardown(test_subscription, teardown),
    };
    int failed = cmocka_run_group_tests_name("rebuild", tests, NULL, NULL);
    st_redis_free(redis);
    st_arena_release(&arena);
    return failed;
}
