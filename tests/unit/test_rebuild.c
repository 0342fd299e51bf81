/*
 * Databases of before: rows that were made beside events which did not say everything. After the migrations the log
 * makes the same rows again.
 */
#include "../lib/backbone.h"

#include "collaboration/collaboration.h"
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

static const struct st_projection of_collaboration[] = {
    {"CollaborationCreated", collaboration_project_created},
    {"CollaborationImported", collaboration_project_imported},
    {"CollaborationInvited", collaboration_project_invited, .sensitive = true},
    {"InvitationSent", collaboration_project_sent, .sensitive = true},
    {"InvitationAccepted", collaboration_project_moved},
    {"ParticipantJoined", collaboration_project_joined},
    {0},
};
static const char *const collaboration_tables[] = {"collaborations", "invitations", "participants", NULL};
static const struct st_erasure collaboration_erasures[] = {
    {"invitations", ST_ANONYMISED, "update invitations set email = '', token_hash = null where host_id = $1"},
    {0},
};
static const struct st_service collaboration = {.name = "collaboration",
                                                .projections = of_collaboration,
                                                .tables = collaboration_tables,
                                                .erasures = collaboration_erasures};

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

static void test_collaboration(void **state)
{
    (void)state;
    static const char *const files[] = {"0001_collaboration.sql", "0002_invitation_saga.sql", NULL};
    database_of_before("collaboration", files);
    /* 11 of host 1: one has accepted, one was cancelled with a reason, one is still open, and one is of an event that
     * the log has no more; 12 of host 2 has ended, and its story is gone */
    script(EVENT
           "insert into stories values (pg_temp.id(21), pg_temp.id(1), 'Title');"
           "select pg_temp.event('CollaborationCreated', 'collaboration', pg_temp.id(10 + n)::text, 1, "
           "json_build_object('collaborationId', pg_temp.id(10 + n), 'storyId', pg_temp.id(20 + n), 'hostId', "
           "pg_temp.id(n), 'mode', 'async')::text) from generate_series(1, 2) n;"
           "insert into collaborations (collaboration_id, story_id, story_title, host_id, status) values "
           "(pg_temp.id(11), pg_temp.id(21), 'Title', pg_temp.id(1), 'active'), "
           "(pg_temp.id(12), pg_temp.id(22), '', pg_temp.id(2), 'cancelled');"
           "select pg_temp.event('CollaborationInvited', 'collaboration', pg_temp.id(11)::text, 1 + n, "
           "json_build_object('invitationId', pg_temp.id(30 + n), 'collaborationId', pg_temp.id(11), 'storyId', "
           "pg_temp.id(21), 'inviterId', pg_temp.id(1), 'inviteeEmail', 'g' || n || '@example.org', 'expiresAt', "
           "'2026-12-27T10:00:00.123Z')::text) from generate_series(1, 3) n;"
           "select pg_temp.event('CollaborationInvited', 'collaboration', pg_temp.id(12)::text, 2, "
           "json_build_object('invitationId', pg_temp.id(35), 'collaborationId', pg_temp.id(12), 'storyId', "
           "pg_temp.id(22), 'inviterId', pg_temp.id(2), 'expiresAt', '2026-12-27T10:00:00.123Z')::text);"
           "select pg_temp.event('InvitationSent', 'collaboration', pg_temp.id(11)::text, 5, json_build_object("
           "'invitationId', pg_temp.id(31), 'collaborationId', pg_temp.id(11), 'token', 't')::text);"
           "select pg_temp.event('ParticipantJoined', 'collaboration', pg_temp.id(11)::text, 6, json_build_object("
           "'collaborationId', pg_temp.id(11), 'storyId', pg_temp.id(21), 'userId', pg_temp.id(3), 'role', "
           "'voice')::text);"
           "insert into aggregates values ('collaboration', pg_temp.id(11)::text, 6), "
           "('collaboration', pg_temp.id(12)::text, 2);"
           "insert into invitations (invitation_id, collaboration_id, host_id, email, role, token_hash, status, "
           "expires_at, reason, saga_id) values "
           "(pg_temp.id(31), pg_temp.id(11), pg_temp.id(1), 'g1@example.org', 'voice', repeat('a', 64), 'accepted', "
           "now(), null, null), "
           "(pg_temp.id(32), pg_temp.id(11), pg_temp.id(1), 'g2@example.org', 'editor', null, 'cancelled', now(), "
           "'The quota.', pg_temp.id(41)), "
           "(pg_temp.id(33), pg_temp.id(11), pg_temp.id(1), 'g3@example.org', 'voice', repeat('c', 64), 'sending', "
           "now() + interval '1 day', null, pg_temp.id(42)), "
           "(pg_temp.id(34), pg_temp.id(11), pg_temp.id(1), 'g4@example.org', 'voice', repeat('d', 64), 'sent', "
           "now() - interval '9 days', null, null), "
           "(pg_temp.id(35), pg_temp.id(12), pg_temp.id(2), '', 'voice', repeat('e', 64), 'cancelled', now(), null, "
           "null);"
           "insert into participants values (pg_temp.id(11), pg_temp.id(3), 'voice', now())");
    migrate("sql", "collaboration");
    assert_true(same(&collaboration));
    assert_string_equal(ask(db, "select string_agg(email || '/' || role || '/' || status, ' ' order by invitation_id) "
                                "from invitations"),
                        "g1@example.org/voice/accepted g2@example.org/editor/cancelled g3@example.org/voice/sending "
                        "/voice/sent /voice/cancelled");
    assert_string_equal(ask(db, "select count(*) from participants"), "1");
    assert_string_equal(ask(db, "select string_agg(unique_key, ' ' order by unique_key) from jobs where name = "
                                "'expire_invitation'"),
                        "00000000-0000-7000-8000-000000000033 00000000-0000-7000-8000-000000000034");
    assert_string_equal(ask(db, "select string_agg(version::text, ' ' order by aggregate_id) from aggregates"), "7 3");
    assert_string_equal(ask(db, "select string_agg(title || '/' || gone, ' ' order by story_id) from stories"),
                        "Title/false /true");
}

int main(int argc, char **argv)
{
    (void)argc;
    world_start(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_identity, teardown),
        cmocka_unit_test_teardown(test_subscription, teardown),
        cmocka_unit_test_teardown(test_collaboration, teardown),
    };
    int failed = cmocka_run_group_tests_name("rebuild", tests, NULL, NULL);
    st_arena_release(&arena);
    return failed;
}
