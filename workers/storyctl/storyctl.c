/* The operator's command line: the table of commands. */
#include "storyctl/storyctl.h"

#include <ctype.h>

static const struct command {
    const char *name;
    int (*run)(struct ctl *c);
    const char *summary;
    const char *help;
} commands[] = {
    {"status", ctl_status, "health of the edge and of every service",
     "Usage: storyctl status\n"
     "Asks every service, on its own socket, for its health. Exit code 0 when all are healthy, else 1.\n"},
    {"migrate", ctl_migrate, "apply the migrations that are missing",
     "Usage: storyctl migrate [SERVICE...]\n"
     "Applies sql/common and sql/<service> to the databases of the services named, else of all.\n"
     "  --sql DIR   folder of the migrations (default: sql, or ST_SQL_DIR)\n"},
    {"reload", ctl_reload, "let services read their options again",
     "Usage: storyctl reload [--service NAME]\n"
     "Rings the service named, or all: its daemons read config/storytelling.conf again. A new log_level holds at once; "
     "a\n"
     "line of the log names other options that have changed, which count from the next start.\n"},
    {"events", ctl_events, "follow, explain and replay events, their catalogue",
     "Usage: storyctl events tail [--service NAME] [--type TYPE] [--last N] [--follow] [--cloudevents]\n"
     "       storyctl events show EVENT-ID [--cloudevents]\n"
     "       storyctl events replay --from TIME [--until TIME] [--type TYPE] --to-service SERVICE [--dry-run]\n"
     "                              [--again --reason TEXT]\n"
     "       storyctl events catalog [--dir DIR] [--bin DIR] [--html]\n"
     "       storyctl events diff OLD NEW\n"
     "tail prints the last N events (default 20) of the logs, oldest first; --follow waits for more.\n"
     "show prints an event, and what each service has done with it.\n"
     "replay hands events of the past, from logs and archives, to one service that subscribes to them; times are\n"
     "2026-01-31 or 2026-01-31T09:05:07Z, --until is exclusive. What the service has handled it does not handle "
     "again,\n"
     "but with --again, which repeats all effects and is recorded with its reason. When it is interrupted, the same\n"
     "command goes on where it was. --dry-run only counts.\n"
     "catalog prints the registry and who consumes what: for people, as AsyncAPI 3 (--json), or as a page (--html).\n"
     "  --dir DIR      the registry (default config/events)\n"
     "  --bin DIR      the daemons, which are asked for their subscriptions (default build/bin; replay: beside "
     "storyctl)\n"
     "  --cloudevents  events as CloudEvents 1.0, one on each line\n"
     "diff says whether the registry NEW may follow OLD: within a major version nothing may change but remarks, and\n"
     "new members must be optional. Exit code 0 it may, 1 it breaks, 2 usage or a registry that cannot be read.\n"},
    {"dead", ctl_dead, "list, show, retry or drop dead letters",
     "Usage: storyctl dead list [--service NAME]\n"
     "       storyctl dead show SERVICE ID\n"
     "       storyctl dead retry SERVICE ID|all\n"
     "       storyctl dead drop SERVICE ID\n"
     "Dead letters are events and jobs that were given up after their attempts. IDs read event-N and job-N.\n"
     "What is dropped is printed once more and never tried again.\n"},
    {"jobs", ctl_jobs, "list, show, cancel or retry jobs",
     "Usage: storyctl jobs list [--service NAME] [--name KIND] [--state STATE] [--limit N]\n"
     "       storyctl jobs show SERVICE ID\n"
     "       storyctl jobs cancel SERVICE ID\n"
     "       storyctl jobs retry SERVICE ID\n"
     "Lists those that have not ended and the dead ones, or those of a state: waiting, blocked (by others), running,\n"
     "done, dead, cancelled; at most N (default 100) of each service. IDs read job-N. A running job that is cancelled\n"
     "is told to stop and can commit nothing more. retry takes up what is dead or cancelled as if it were new.\n"},
    {"rebuild", ctl_rebuild, "make a service's tables anew from its log",
     "Usage: storyctl rebuild SERVICE [--check] [--bin DIR]\n"
     "Makes the tables that are projections of the service's log anew, while the service goes on, and exchanges them "
     "at\n"
     "the end. When it ends before, the tables are as they were.\n"
     "  --check    change nothing: compare row by row, and show rows that differ. Exit code 0 they are the same, else "
     "1\n"
     "  --bin DIR  the daemons (default: where storyctl is)\n"},
    {"erasures", ctl_erasures, "deleted accounts, and who has erased what of them",
     "Usage: storyctl erasures list [--open]\n"
     "       storyctl erasures show USER-ID\n"
     "An erasure is closed when every service has answered; one that is still open at its deadline is overdue, and an\n"
     "error in identity's log each hour. show prints the answers: what was done with each table.\n"},
    {"sagas", ctl_sagas, "list, show or retry sagas",
     "Usage: storyctl sagas list [--service NAME] [--state STATE]\n"
     "       storyctl sagas show SERVICE ID\n"
     "       storyctl sagas retry SERVICE ID|all\n"
     "Lists what is under way or cannot go on, the oldest first; STATE is running, compensating, parked, done or\n"
     "compensated. A parked one goes on when it is retried: what failed runs again; an answer is waited for again.\n"},
    {"user", ctl_user, "create an account",
     "Usage: storyctl user create --email ADDRESS [--name NAME] [--role ROLE] [--password-file FILE]\n"
     "Creates a confirmed account. Without a password file a password is made and printed once.\n"},
    {"token", ctl_token, "verify an access token",
     "Usage: storyctl token verify --jwks KEYS|--pem KEY|--secret SECRET [--alg A] [--iss I] [--aud A] FILE\n"
     "Verifies the token in FILE (- for standard input) as the edge does.\n"
     "Exit code 0 accepted, 1 refused (the reason is printed; a key that is not fit is one), 2 usage or a file that\n"
     "cannot be read.\n"
     "  --jwks KEYS        a JWKS or a single JWK; the token's kid selects\n"
     "  --pem KEY          a public key or a certificate; the token's kid is not looked at\n"
     "  --secret SECRET    a file with the secret of HS256, 32 bytes or more\n"
     "  --alg A            the one algorithm that is accepted: ES256 ES384 ES512 EdDSA RS256 RS384 RS512 PS256 PS384\n"
     "                     PS512 HS256 HS384 HS512 (default: each key's own)\n"
     "  --iss I --aud A    what the token must say of itself\n"
     "  --typ T            its type (default at+jwt; * for any)\n"
     "  --signature-only   look at header and signature, not at type and claims\n"},
    {"schema", ctl_schema, "check a JSON document against a schema",
     "Usage: storyctl schema validate SCHEMA FILE\n"
     "Checks FILE (- for standard input) as the edge checks bodies. SCHEMA is JSON or YAML; SCHEMA#/pointer takes the\n"
     "schema at a place in it, such as api.yaml#/components/schemas/Story. Prints each mistake as \"pointer: "
     "message\",\n"
     "with --json all as a list. Exit code 0 valid, 1 invalid, 2 no verdict: usage, a schema that is not supported, "
     "or\n"
     "a file that cannot be read.\n"},
    {"api", ctl_api, "check contracts, and compare them with older ones",
     "Usage: storyctl api lint FILE...\n"
     "       storyctl api diff OLD NEW\n"
     "FILE, OLD and NEW are contracts, or folders of contracts (.yaml, .yml, .json); all of a side make one API.\n"
     "lint prints file:line: reason for each mistake, as nginx -t does, and warnings. Exit code 0 nothing is wrong\n"
     "(but for warnings), 1 mistakes, 2 usage.\n"
     "diff prints what breaks those who call the API, and what does not. Exit code 0 nothing breaks, 1 it does, 2 "
     "usage\n"
     "or a contract that cannot be read.\n"},
    {"lag", ctl_lag, "what is under way, and what holds it up",
     "Usage: storyctl lag [--service NAME] [--why]\n"
     "For each service: events of its log that are not on the bus yet, and how far its readers are behind.\n"
     "  --why   what may hold it up: no relay, sessions that block others, long transactions, aggregates whose event\n"
     "          failed, dead letters, jobs that wait\n"},
    {"bench", ctl_bench, "how fast database, Redis and a service answer",
     "Usage: storyctl bench [--service NAME] [--seconds N]\n"
     "Tries each part for N seconds (default 2), one try after the other, and prints how long it took: half of the\n"
     "tries (p50), all but one in a hundred (p99). Nothing is left behind; it may run beside real work.\n"},
    {"tell", ctl_tell, "take a story through the whole platform, as a client",
     "Usage: storyctl tell [--url URL] [--ca FILE] [--outbox DIR] FILE\n"
     "Registers a writer, confirms the address from the mail, posts the story and follows it to narration and video.\n"
     "  --url URL      the platform (default https://localhost:8443)\n"
     "  --ca FILE      certificate to trust\n"
     "  --outbox DIR   where the mails arrive (default var/outbox)\n"},
};

static int help(FILE *out)
{
    fprintf(out, "Usage: storyctl [--json] [--env-dir DIR] COMMAND ...\n\nCommands:\n");
    for (size_t i = 0; i < ST_COUNT(commands); i++)
        fprintf(out, "  %-8s  %s\n", commands[i].name, commands[i].summary);
    fprintf(out, "\n  --json         machine-readable output\n"
                 "  --env-dir DIR  env files of the running instance (default var/env, or ST_ENV_DIR)\n"
                 "\nExit code 0 done, 1 not done (why is printed), 2 wrong usage, unless a command's help says more.\n"
                 "storyctl COMMAND --help explains a command.\n");
    return out == stdout ? 0 : 2;
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < ST_COUNT(commands); i++)
        if (st_streq(commands[i].name, name))
            return &commands[i];
    return NULL;
}

/* A command has the options that its help shows; there a value stands behind the name in capitals. */
static bool has_option(const struct command *command, const char *name, bool *ret_has_value)
{
    size_t len = strlen(name);
    for (const char *at = command->help; (at = strstr(at, name)); at += len)
        if (strchr(" [|", at[-1]) && !isalnum((unsigned char)at[len]) && at[len] != '-') {
            *ret_has_value = at[len] == ' ' && isupper((unsigned char)at[len + 1]);
            return true;
        }
    return false;
}

static int check_options(const struct command *command, const struct ctl *c)
{
    bool has_value;
    for (int i = 0; i < c->argc; i++) {
        const char *word = c->argv[i];
        if (*word != '-' || st_streq(word, "-"))
            continue;
        if (!has_option(command, word, &has_value))
            return ctl_usage("%s has no option %s", command->name, word);
        if (has_value && ++i == c->argc)
            return ctl_usage("%s wants a value", word);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct st_arena arena = {0};
    const char *env = getenv("ST_ENV_DIR"), *sql = getenv("ST_SQL_DIR");
    struct ctl c = {.arena = &arena, .argc = argc - 1, .argv = argv + 1};
    c.json = ctl_flag(&c, "--json");
    const char *env_dir = ctl_option(&c, "--env-dir"), *sql_dir = ctl_option(&c, "--sql");
    c.env_dir = env_dir ? env_dir : env ? env : "var/env";
    c.sql_dir = sql_dir ? sql_dir : sql ? sql : "sql";
    const struct command *command = c.argc ? find(c.argv[0]) : NULL;
    bool wants_help = ctl_flag(&c, "--help") || ctl_flag(&c, "-h");
    int code;
    if (command && wants_help) {
        code = fputs(command->help, stdout) < 0;
    } else if (command) {
        c.argc--;
        c.argv++;
        code = check_options(command, &c);
        if (code == 0)
            code = command->run(&c);
    } else if (wants_help || (c.argc && st_streq(c.argv[0], "help"))) {
        code = help(stdout);
    } else {
        code = c.argc ? ctl_usage("there is no command %s", c.argv[0]) : help(stderr);
    }
    st_arena_release(&arena);
    return code;
}
