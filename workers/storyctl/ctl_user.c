/* storyctl user create. */
#include "storyctl/storyctl.h"

#include "io/crypto.h"

enum { PASSWORD_BYTES = 18, PASSWORD_MAX = 1024 };

/* First line of a file ("-" for standard input). */
static const char *first_line(struct ctl *c, const char *path, size_t max)
{
    char *line = st_alloc(c->arena, max + 2);
    FILE *f = st_streq(path, "-") ? stdin : fopen(path, "re");
    bool ok = f && fgets(line, (int)max + 2, f);
    if (f && f != stdin)
        fclose(f);
    line[strcspn(line, "\r\n")] = '\0';
    return ok && *line ? line : NULL;
}

static const char *problem_text(struct ctl *c, const json_t *answer, int status)
{
    const json_t *first = json_array_get(json_object_get(answer, "errors"), 0);
    if (first)
        return st_printf(c->arena, "%s %s", st_json_str(first, "pointer", ""), st_json_str(first, "message", ""));
    const char *title = st_json_str(answer, "title", "no reason given");
    return st_printf(c->arena, "%d %s", status, st_json_str(answer, "detail", title));
}

static int create(struct ctl *c)
{
    const char *email = ctl_option(c, "--email"), *name = ctl_option(c, "--name"), *role = ctl_option(c, "--role");
    const char *file = ctl_option(c, "--password-file");
    const char *password = file ? first_line(c, file, PASSWORD_MAX) : st_secret(c->arena, PASSWORD_BYTES);
    int status;
    json_t *answer;
    if (!email || c->argc)
        return ctl_usage("expected: user create --email ADDRESS");
    if (!password)
        return ctl_error("%s holds no password", file);
    json_t *body =
        st_json_keep(c->arena, json_pack("{s:s, s:s, s:s, s:[s]}", "email", email, "password", password, "displayName",
                                         name ? name : email, "roles", role ? role : "author"));
    if (ctl_call(c, "identity", "createUser", "POST", "/v1/users", body, &status, &answer) < 0)
        return 1;
    if (status != 201)
        return ctl_error("%s", problem_text(c, answer, status));
    if (c->json)
        ctl_print_json(c, json_pack("{s:s, s:s, s:s*}", "userId", st_json_str(answer, "userId", ""), "email", email,
                                    "password", file ? NULL : password));
    else
        printf("%s is the user %s%s%s\n", email, st_json_str(answer, "userId", ""), file ? "" : " with the password ",
               file ? "" : password);
    return 0;
}

int ctl_user(struct ctl *c)
{
    if (c->argc < 1 || !st_streq(c->argv[0], "create"))
        return ctl_usage("expected: user create");
    c->argc--;
    c->argv++;
    return create(c);
}
