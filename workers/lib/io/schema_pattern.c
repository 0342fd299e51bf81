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

int st_pattern_compile(struct st_arena *a, const char *text, const struct st_pattern **ret, const char **ret_why)
{
    /* ECMA: $ is the very end, \u0041 is a code point, [] never matches, an unset group refers to nothing. */
    const uint32_t options = PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_ALT_BSUX | PCRE2_ALLOW_EMPTY_CLASS |
                             PCRE2_MATCH_UNSET_BACKREF | PCRE2_NEVER_BACKSLASH_C;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!context)
        abort();
    pcre2_set_newline(context, PCRE2_NEWLINE_ANYCRLF);
    pcre2_set_max_pattern_length(context, MAX_PATTERN);
    pcre2_set_parens_nest_limit(context, NEST_LIMIT);
    pcre2_set_compile_extra_options(context, PCRE2_EXTRA_ALT_BSUX);
    int error;
    PCRE2_SIZE at;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, options, &error, &at, context);
    pcre2_compile_context_free(context);
    if (!code) {
        char message[128];
        pcre2_get_error_message(error, (PCRE2_UCHAR *)message, sizeof(message));
        *ret_why = st_printf(a, "is not a pattern: %s at character %zu", message, at);
        return ST_E_INVALID;
    }
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
