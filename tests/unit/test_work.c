/* Spans: whose child a piece of work is, and what begins a trace of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "svc/call.h"

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN  "b7ad6b7169203331"

static struct st_run run;
static struct st_worker worker = {.run = &run};

static struct st_call begun(const char *parent)
{
    struct st_call call;
    st_call_init(&call, &worker, "test");
    st_work_begin(&call, ST_WORK_EVENT, parent);
    return call;
}

static void test_a_child_keeps_trace_and_flags(void **state)
{
    (void)state;
    static const struct {
        const char *parent, *flags;
    } rows[] = {{"00-" TRACE "-" SPAN "-01", "01"},
                {"00-" TRACE "-" SPAN "-00", "00"},
                {"cc-" TRACE "-" SPAN "-03-what.is.new", "03"}};
    for (size_t i = 0; i < ST_COUNT(rows); i++) {
        struct st_call call = begun(rows[i].parent);
        assert_int_equal(strlen(call.traceparent), ST_TRACEPARENT_LEN - 1);
        assert_memory_equal(call.traceparent, "00-" TRACE "-", 36);
        assert_memory_not_equal(call.traceparent + 36, SPAN, 16);
        assert_string_equal(call.traceparent + 53, rows[i].flags);
        assert_string_equal(call.p->span.parent, SPAN);
        st_work_end(&call, 0);
    }
}

static void test_what_is_none_begins_a_trace(void **state)
{
    (void)state;
    static const char *const parents[] = {"",
                                          "00",
                                          "00-" TRACE "-" SPAN,
                                          "00-" TRACE "-" SPAN "-1",
                                          "00-" TRACE "-" SPAN "-01-more",
                                          "ff-" TRACE "-" SPAN "-01",
                                          "00-00000000000000000000000000000000-" SPAN "-01",
                                          "00-" TRACE "-0000000000000000-01",
                                          "00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01",
                                          "00_" TRACE "-" SPAN "-01",
                                          "cc-" TRACE "-" SPAN "-01x",
                                          "00-" TRACE "-" SPAN "-0g"};
    for (size_t i = 0; i < ST_COUNT(parents); i++) {
        struct st_call call = begun(parents[i]);
        assert_int_equal(strlen(call.traceparent), ST_TRACEPARENT_LEN - 1);
        assert_memory_not_equal(call.traceparent + 3, TRACE, 32);
        assert_string_equal(call.traceparent + 52, "-01");
        assert_string_equal(call.p->span.parent, "");
        struct st_call child = begun(call.traceparent); /* what we write, we also read */
        assert_memory_equal(child.traceparent, call.traceparent, 36);
        assert_memory_equal(child.p->span.parent, call.traceparent + 36, 16);
    }
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_child_keeps_trace_and_flags),
        cmocka_unit_test(test_what_is_none_begins_a_trace),
    };
    int failed = cmocka_run_group_tests_name("work", tests, NULL, NULL);
    st_arena_release(&worker.arena);
    return failed;
}
