/* Patterns of JSON Schema by PCRE2, with limits on what a match may cost. */
#include "io/schema_impl.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
    MAX_PATTERN = 2000,     /* bytes of source */
    MATCH_LIMIT = 1000000,  /* steps back of one match */
    HEAP_LIMIT = 64 * 1024, /* KiB for one match, where it is interpreted */
    STACK_LIMIT = 16 << 20, /* bytes for one match, where it is compiled */
    NEST_LIMIT = 50,        /* parentheses */
};

struct st_pattern {
    pcre2_code *code;
    pcre2_match_context *limits;
};

static void free_pattern(void *ptr)
{
    struct st_pattern *p = ptr;
    pcre2_match_context_free(p->limits);
    pcre2_code_free(p->code);
}

/* NULL: *ret_why says why not, in the arena; *ret_error is PCRE2's. */
static pcre2_code *compile(struct st_arena *a, const char *text, size_t len, int *ret_error, const char **ret_why)
{
    /* As in ECMA: $ is the very end, [] never matches, an unset group refers to nothing. */
    const uint32_t options = PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_ALLOW_EMPTY_CLASS | PCRE2_MATCH_UNSET_BACKREF |
                             PCRE2_NEVER_BACKSLASH_C;
    struct st_buf translated = ST_BUF((size_t)MAX_PATTERN * 100);
    const char *why = "it is longer than 2000 bytes";
    char message[128];
    size_t at = 0;
    int error = 0;
    pcre2_code *code = NULL;
    if (len <= MAX_PATTERN && st_ecma_translate(text, len, &translated, &at, &why)) {
        pcre2_compile_context *context = pcre2_compile_context_create(NULL);
        if (!context)
            abort();
        pcre2_set_parens_nest_limit(context, NEST_LIMIT);
        const char *source = translated.len ? translated.data : "";
        code = pcre2_compile((PCRE2_SPTR)source, translated.len, options, &error, &at, context);
        pcre2_compile_context_free(context);
        if (!code)
            pcre2_get_error_message(error, (PCRE2_UCHAR *)message, sizeof(message));
        why = message;
    }
    st_buf_release(&translated);
    *ret_error = error;
    if (!code)
        *ret_why = st_printf(a, "is not a pattern: %s at character %zu", why, at);
    return code;
}

bool st_pattern_valid(const char *text, size_t len)
{
    struct st_arena scratch = {0};
    const char *why;
    int error;
    pcre2_code *code = compile(&scratch, text, len, &error, &why);
    bool ok = code || error == PCRE2_ERROR_LOOKBEHIND_NOT_FIXED_LENGTH; /* right, but beyond PCRE2 */
    pcre2_code_free(code);
    st_arena_release(&scratch);
    return ok;
}

int st_pattern_compile(struct st_arena *a, const char *text, const struct st_pattern **ret, const char **ret_why)
{
    int error;
    pcre2_code *code = compile(a, text, strlen(text), &error, ret_why);
    if (!code)
        return ST_E_INVALID;
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* where memory may not be executable, it is interpreted instead */
    struct st_pattern *p = st_new(a, struct st_pattern);
    p->code = code;
    p->limits = pcre2_match_context_create(NULL);
    if (!p->limits)
        abort();
    pcre2_set_match_limit(p->limits, MATCH_LIMIT);
    pcre2_set_heap_limit(p->limits, HEAP_LIMIT);
    st_defer(a, free_pattern, p);
    *ret = p;
    return 0;
}

static int match(const struct st_pattern *p, const char *s, size_t len, pcre2_match_context *limits)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    if (!data)
        abort();
    int r = pcre2_match(p->code, (PCRE2_SPTR)s, len, 0, PCRE2_NO_UTF_CHECK, data, limits);
    pcre2_match_data_free(data);
    return r;
}

/* Compiled code runs on 32 KiB of our stack; a long text may need more, which is worth its price only then. */
static int match_with_stack(const struct st_pattern *p, const char *s, size_t len)
{
    pcre2_match_context *limits = pcre2_match_context_copy(p->limits);
    pcre2_jit_stack *stack = pcre2_jit_stack_create(32 << 10, STACK_LIMIT, NULL);
    if (!limits || !stack)
        abort();
    pcre2_jit_stack_assign(limits, NULL, stack);
    int r = match(p, s, len, limits);
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(limits);
    return r;
}

int st_pattern_match(const struct st_pattern *p, const char *s, size_t len)
{
    int r = match(p, s, len, p->limits);
    if (r == PCRE2_ERROR_JIT_STACKLIMIT)
        r = match_with_stack(p, s, len);
    if (r == PCRE2_ERROR_NOMEMORY)
        abort();
    return r >= 0 ? 1 : r == PCRE2_ERROR_NOMATCH ? 0 : ST_E_LIMITED;
}
