/* JSON Schema: every keyword by cases of valid and invalid instances, messages, compile errors, hostile instances. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "io/schema.h"

static struct st_arena arena;

static int teardown(void **state)
{
    (void)state;
    st_arena_release(&arena);
    return 0;
}

static json_t *parse(const char *text)
{
    json_error_t e;
    json_t *j = json_loads(text, JSON_DECODE_ANY, &e);
    if (!j)
        fail_msg("%s: %s", text, e.text);
    return st_json_keep(&arena, j);
}

static const struct st_schema *compile(const char *text)
{
    const struct st_schema *s = NULL;
    const char *at = "", *why = "";
    if (st_schema_compile(&arena, parse(text), "", &s, &at, &why) < 0)
        fail_msg("%s: %s: %s", text, at, why);
    return s;
}

/* "" when valid, else all errors as "pointer message; pointer message" */
static const char *check(const struct st_schema *s, const json_t *instance)
{
    struct st_schema_errors errors;
    const char *text = "";
    int r = st_schema_check(s, instance, &arena, &errors);
    assert_int_equal(r, errors.count ? ST_E_INVALID : 0);
    for (int i = 0; i < errors.count; i++)
        text = st_printf(&arena, "%s%s%s %s", text, i ? "; " : "", errors.list[i].pointer, errors.list[i].message);
    return text;
}

struct keyword_case {
    const char *schema;
    const char *good[8], *bad[8];
};

static void run(const struct keyword_case *cases, size_t n)
{
    for (const struct keyword_case *c = cases; c < cases + n; c++) {
        const struct st_schema *s = compile(c->schema);
        for (int i = 0; i < 8 && c->good[i]; i++)
            if (*check(s, parse(c->good[i])))
                fail_msg("%s refuses %s: %s", c->schema, c->good[i], check(s, parse(c->good[i])));
        for (int i = 0; i < 8 && c->bad[i]; i++)
            if (!*check(s, parse(c->bad[i])))
                fail_msg("%s accepts %s", c->schema, c->bad[i]);
    }
}
#define RUN(cases) run(cases, ST_COUNT(cases))

static void test_any_value(void **state)
{
    (void)state;
    static const struct keyword_case cases[] = {
        {"true", {"1", "null", "{}"}, {NULL}},
        {"{}", {"1", "null", "[]"}, {NULL}},
        {"false", {NULL}, {"1", "null", "{}"}},
        {"{\"type\":\"integer\"}", {"1", "1.0", "-3", "1e3"}, {"1.5", "\"1\"", "true", "null", "[]"}},
        {"{\"type\":\"number\"}", {"1", "1.5"}, {"\"1\"", "false"}},
        {"{\"type\":\"string\"}", {"\"\""}, {"1", "null", "{}"}},
        {"{\"type\":\"boolean\"}", {"true", "false"}, {"0", "\"true\"", "null"}},
        {"{\"type\":\"null\"}", {"null"}, {"0", "false", "\"\""}},
        {"{\"type\":\"object\"}", {"{}"}, {"[]", "null"}},
        {"{\"type\":\"array\"}", {"[]"}, {"{}", "null"}},
        {"{\"type\":[\"string\",\"null\"]}", {"\"x\"", "null"}, {"1", "{}"}},
        {"{\"enum\":[1,\"a\",null,{\"k\":[1.0]}]}",
         {"1", "1.0", "\"a\"", "null", "{\"k\":[1]}"},
         {"2", "\"A\"", "[]", "true"}},
        {"{\"const\":{\"a\":1,\"b\":[false]}}",
         {"{\"b\":[false],\"a\":1.0}"},
         {"{\"a\":1}", "{\"a\":1,\"b\":[0]}", "1"}},
        {"{\"const\":false}", {"false"}, {"0", "null", "true"}},
    };
    RUN(cases);
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct keyword_case cases[] = {
        {"{\"minimum\":1.5}", {"1.5", "2", "\"x\""}, {"1", "1.4999"}},
        {"{\"maximum\":3}", {"3", "3.0", "-1"}, {"3.0001", "4"}},
        {"{\"exclusiveMinimum\":0}", {"0.001", "1"}, {"0", "-0.0"}},
        {"{\"exclusiveMaximum\":9}", {"8.999"}, {"9", "9.0"}},
        {"{\"maximum\":9007199254740992}", {"9007199254740992"}, {"9007199254740993"}}, /* beyond double's integers */
        {"{\"minimum\":-9223372036854775807}", {"-9223372036854775807"}, {"-9223372036854775808"}},
        {"{\"multipleOf\":5}", {"10", "0", "-5", "10.0"}, {"7", "2.5"}},
        {"{\"multipleOf\":0.01}", {"19.99", "4.02", "0.07", "1000000"}, {"19.995", "0.001"}},
        {"{\"multipleOf\":2}",
         {"9007199254740992", "9223372036854775806"},
         {"9007199254740993", "9223372036854775807"}},
        {"{\"multipleOf\":1e-8}", {"12391239123"}, {NULL}},
        {"{\"multipleOf\":0.01}", {"123456789012.34", "1e300", "0.0"}, {"123456789012.345", "1e-300"}},
        {"{\"multipleOf\":2.5e3}", {"5000", "2.5e3", "1e10"}, {"2501", "2500.5"}},
        {"{\"enum\":[0.1,-0.0]}", {"0.1", "0.10", "1e-1", "0"}, {"0.11", "-0.1"}},
        {"{\"multipleOf\":0.123456789}", {NULL}, {"1e308"}},
    };
    RUN(cases);
}

static void test_strings(void **state)
{
    (void)state;
    static const struct keyword_case cases[] = {
        {"{\"minLength\":2}", {"\"ab\"", "\"éé\"", "\"😀😀\"", "5"}, {"\"a\"", "\"é\"", "\"😀\"", "\"\""}},
        {"{\"maxLength\":2}", {"\"ab\"", "\"😀😀\"", "\"\""}, {"\"abc\"", "\"😀😀😀\"", "\"ééé\""}},
        {"{\"minLength\":1.0}", {"\"a\""}, {"\"\""}},
        {"{\"pattern\":\"^[a-z]+$\"}", {"\"abc\"", "7"}, {"\"\"", "\"aBc\"", "\"abc\\n\""}},
        {"{\"pattern\":\"b\"}", {"\"abc\""}, {"\"ac\""}}, /* a search */
        {"{\"pattern\":\"^.$\"}", {"\"😀\"", "\"x\""}, {"\"xx\"", "\"\\n\"", "\"\\r\""}},
        {"{\"pattern\":\"^\\\\d\\\\w$\"}", {"\"1a\""}, {"\"٣a\"", "\"1é\""}}, /* ASCII, as in ECMA */
        {"{\"pattern\":\"^\\\\p{L}+$\"}", {"\"éא漢\""}, {"\"1\""}},
        {"{\"pattern\":\"^\\\\u0041\\\\u{1F600}$\"}", {"\"A😀\""}, {"\"A\""}},
        {"{\"pattern\":\"^\\\\s$\"}",
         {"\"\\u00a0\"", "\"\\ufeff\"", "\"\\u2028\"", "\"\\u000b\""},
         {"\"\\u0085\"", "\"a\""}},
        {"{\"pattern\":\"^[\\\\S]$\"}", {"\"a\"", "\"\\u0085\"", "\"😀\""}, {"\"\\u00a0\"", "\" \""}},
        {"{\"pattern\":\"^.$\"}", {"\"\\u0085\"", "\"\\u000b\""}, {"\"\\u2028\"", "\"\\u2029\""}},
        {"{\"pattern\":\"^\\\\v$\"}", {"\"\\u000b\""}, {"\"\\n\""}},
        {"{\"pattern\":\"^\\\\p{Letter}\\\\p{digit}\\\\p{Script=Greek}\\\\P{gc=Lu}$\"}",
         {"\"é1αa\""},
         {"\"é1aa\"", "\"é1αA\""}},
        {"{\"pattern\":\"^\\\\ud83d\\\\ude00\\\\x41\\\\cJ\\\\0?$\"}", {"\"😀A\\n\""}, {"\"A\""}},
        {"{\"pattern\":\"^[[:alpha:]$\"}", {"\":\"", "\"[\"", "\"h\""}, {"\"b\"", "\"h]\""}},
        {"{\"pattern\":\"^(?<y>a)\\\\k<y>{2,}?(?<=a)(?!b)x{,2}$\"}", {"\"aaax{,2}\""}, {"\"aax\""}},
        {"{\"pattern\":\"^[^]$\"}", {"\"\\n\""}, {"\"\""}},
    };
    RUN(cases);
}

static void test_formats(void **state)
{
    (void)state;
    static const struct keyword_case cases[] = {
        {"{\"format\":\"date-time\"}",
         {"\"2026-01-31T09:30:00Z\"", "\"2026-01-31t09:30:00.123+02:00\"", "12"},
         {"\"2026-02-29T00:00:00Z\"", "\"2026-01-31 09:30:00Z\"", "\"2026-01-31T09:30:00\"", "\"2026-01-31\"", "\"\"",
          "\"x2026-01-31T09:30:00Z\""}},
        {"{\"format\":\"date\"}",
         {"\"2024-02-29\""},
         {"\"2026-02-29\"", "\"2026-1-01\"", "\"2026-01-01Z\"", "\"20260101\"", "\"\"", "\"２026-01-0\""}},
        {"{\"format\":\"time\"}",
         {"\"09:30:00Z\"", "\"23:59:59.5-01:00\""},
         {"\"09:30Z\"", "\"24:00:00Z\"", "\"09:30:00\""}},
        {"{\"format\":\"email\"}",
         {"\"a@b.example\"", "\"first.last+tag@sub.example.org\"", "\"x@localhost\""},
         {"\"a\"", "\"@b\"", "\"a@\"", "\".a@b\"", "\"a..b@c\"", "\"a@b@c\"", "\"a b@c\"", "\"a@-b.c\""}},
        {"{\"format\":\"date-time\"}",
         {"\"1998-12-31T23:59:60Z\"", "\"1998-12-31T15:59:60.123-08:00\"", "\"1985-04-12T00:59:59.999999999999999Z\""},
         {"\"1998-12-31T23:58:60Z\"", "\"1998-12-31T23:59:60+01:00\"", "\"1998-12-31T23:59:61Z\"",
          "\"1998-13-01T00:00:00Z\"", "\"1998-12-31T23:59:59+24:00\"", "\"1998-12-31T23:59:59.Z\""}},
        {"{\"format\":\"duration\"}",
         {"\"P4DT12H30M5S\"", "\"P1Y2M\"", "\"PT36H\"", "\"P2W\"", "\"P0D\""},
         {"\"P\"", "\"PT\"", "\"P1Y2D\"", "\"PT1H2S\"", "\"P1Y2W\"", "\"P1D2H\"", "\"4D\"", "\"P1\""}},
        {"{\"format\":\"email\"}",
         {"\"\\\"joe bloggs\\\"@example.com\"", "\"\\\"a\\\\\\\"@b\\\"@example.com\"", "\"joe@[127.0.0.1]\"",
          "\"joe@[IPv6:::1]\""},
         {"\"\\\"a\\\"b\\\"@example.com\"", "\"joe@[127.0.0.300]\"", "\"joe@[\"", "\"\\\"\\n\\\"@b.c\"",
          "\"\\\"@b.c\""}},
        {"{\"format\":\"hostname\"}",
         {"\"xn--9n2bp8q.xn--9t4b11yi5a\"", "\"xn--ll-0ea\""},
         {"\"xn--X\"", "\"xn--l-fda\"", "\"xn--hello-txk\"", "\"example．com\""}},
        {"{\"format\":\"uri-reference\"}",
         {"\"\"", "\"../a?b#c\"", "\"//h/x\"", "\"a/b:c\"", "\"http://h\""},
         {"\"\\\\a\"", "\"1:b\"", "\"#a#b\"", "\"é\"", "\"%z\""}},
        {"{\"format\":\"uri\"}",
         {"\"http://[v1.a:b]/\""},
         {"\"http://[v1.]/\"", "\"http://[v.a]/\"", "\"http://[::1]x/\""}},
        {"{\"format\":\"iri\"}", {"\"http://ƒøø.ßår/?∂éœ=πîx#πîüx\""}, {"\"/é\"", "\"http://h h\""}},
        {"{\"format\":\"iri-reference\"}", {"\"/é\"", "\"\""}, {"\"\\\\é\""}},
        {"{\"format\":\"uri-template\"}",
         {"\"/a/{b:3}/{+c*,d.e}\"", "\"a'b\"", "\"{?x,%41}\"", "\"\""},
         {"\"/a/{b\"", "\"a}\"", "\"{}\"", "\"{a,}\"", "\"{a:0}\"", "\"{a:10000}\"", "\"{a..b}\"", "\"a b\""}},
        {"{\"format\":\"json-pointer\"}",
         {"\"\"", "\"/\"", "\"/a~0~1/é/\\t\""},
         {"\"a\"", "\"/~\"", "\"/~2\"", "\"#/a\""}},
        {"{\"format\":\"relative-json-pointer\"}",
         {"\"0#\"", "\"12/a\"", "\"1\""},
         {"\"\"", "\"/a\"", "\"01\"", "\"0##\"", "\"-1\""}},
        {"{\"format\":\"regex\"}",
         {"\"^(a|b)*?$\"", "\"(?<=a+)b\"", "\"\""},
         {"\"(\"", "\"\\\\Z\"", "\"\\\\a\"", "\"a**\"", "\"[b-a]\"", "\"(?>a)\"", "\"\\\\u12\"", "\"[a\""}},
        {"{\"format\":\"email\"}",
         {NULL},
         {"\"a.@b\"", "\"é@b.c\"", "\"a@b..c\"", "\"a@b.c\\n\"", "\"a\\r\\nBcc: x@y\"", "\"\""}},
        {"{\"format\":\"uri\"}",
         {"\"https://u:p@h.example:8443/a/b?c=d&e#f\"", "\"urn:isbn:0451450523\"", "\"http://[2001:db8::1]/\"",
          "\"mailto:a@b.c\"", "\"https://h/%C3%A9\""},
         {"\"/a/b\"", "\"//h/x\"", "\"h\"", "\"http://h h/\"", "\"http://h/%zz\"", "\"http://[::1\"",
          "\"http://h:8x/\"", "\"http://h/é\""}},
        {"{\"format\":\"uuid\"}",
         {"\"0193c7e2-1111-7abc-8def-0123456789ab\"", "\"0193C7E2-1111-7ABC-8DEF-0123456789AB\""},
         {"\"0193c7e2-1111-7abc-8def-0123456789a\"", "\"0193c7e211117abc8def0123456789ab\"", "\"\"",
          "\"{0193c7e2-1111-7abc-8def-0123456789ab}\""}},
        {"{\"format\":\"hostname\"}",
         {"\"a.b-c.d\"", "\"localhost\"", "\"1a\""},
         {"\"a..b\"", "\"-a\"", "\"a-\"", "\"a.b.\"", "\"a_b\"", "\"\""}},
        {"{\"format\":\"ipv4\"}", {"\"192.0.2.1\""}, {"\"192.0.2\"", "\"256.0.0.1\"", "\"01.2.3.4\"", "\"1.2.3.4 \""}},
        {"{\"format\":\"ipv6\"}",
         {"\"::1\"", "\"2001:db8::192.0.2.1\""},
         {"\"::1%eth0\"", "\"12345::\"", "\"1:2\"", "\"\""}},
    };
    RUN(cases);
    const char *label = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"; /* 63 */
    const struct st_schema *host = compile("{\"format\":\"hostname\"}");
    assert_string_equal(check(host, parse(st_printf(&arena, "\"%s.b\"", label))), "");
    assert_string_not_equal(check(host, parse(st_printf(&arena, "\"%sa.b\"", label))), "");
    assert_string_not_equal(check(host, parse(st_printf(&arena, "\"%s.%s.%s.%s\"", label, label, label, label))), "");
}

static void test_formats_of_openapi(void **state)
{
    (void)state;
    static const struct keyword_case cases[] = {
        {"{\"format\":\"int32\"}",
         {"-2147483648", "2147483647", "1.0", "\"x\""},
         {"-2147483649", "2147483648", "1.5", "1e10"}},
        {"{\"format\":\"int64\"}",
         {"-9223372036854775808", "9223372036854775807", "1e3"},
         {"9.3e18", "-9.3e18", "0.5", "1e40"}},
        {"{\"format\":\"byte\"}",
         {"\"\"", "\"AA==\"", "\"+/8=\""},
         {"\"A\"", "\"AA=A\"", "\"====\"", "\"-_8=\"", "\"AA\""}},
        {"{\"format\":\"double\"}", {"1.5", "\"x\""}, {NULL}},
        {"{\"format\":\"password\"}", {"\"x\"", "1"}, {NULL}},
    };
    RUN(cases);
}

static void test_objects(void **state)
{
    (void)state;
    static const struct keyword_case cases[] = {
        {"{\"properties\":{\"a\":{\"type\":\"string\"},\"b\":false}}",
         {"{}", "{\"a\":\"x\",\"c\":1}", "[1]"},
         {"{\"a\":1}", "{\"b\":1}"}},
        {"{\"properties\":{\"a\":true},\"additionalProperties\":false}",
         {"{}", "{\"a\":1}"},
         {"{\"b\":1}", "{\"a\":1,\"\":1}"}},
        {"{\"additionalProperties\":{\"type\":\"integer\"}}", {"{\"x\":1}"}, {"{\"x\":\"1\"}"}},
        {"{\"patternProperties\":{\"^x\":{\"type\":\"integer\"},\"y$\":{\"minimum\":5}},\"additionalProperties\":"
         "false}",
         {"{\"x\":1}", "{\"xy\":5}", "{\"ay\":\"\"}"},
         {"{\"x\":\"\"}", "{\"xy\":4}", "{\"z\":1}"}},
        {"{\"properties\":{\"xa\":{\"maximum\":3}},\"patternProperties\":{\"^x\":{\"minimum\":1}}}",
         {"{\"xa\":2}"},
         {"{\"xa\":0}", "{\"xa\":4}"}},
        {"{\"required\":[\"a\",\"b\"]}", {"{\"a\":null,\"b\":0}", "7"}, {"{}", "{\"a\":1}"}},
        {"{\"minProperties\":1,\"maxProperties\":2}",
         {"{\"a\":1}", "{\"a\":1,\"b\":2}"},
         {"{}", "{\"a\":1,\"b\":1,\"c\":1}"}},
        {"{\"propertyNames\":{\"maxLength\":2,\"pattern\":\"^a\"}}",
         {"{}", "{\"ab\":1}"},
         {"{\"abc\":1}", "{\"b\":1}"}},
        {"{\"dependentRequired\":{\"card\":[\"zip\",\"name\"]}}",
         {"{}", "{\"zip\":1}", "{\"card\":1,\"zip\":1,\"name\":1}"},
         {"{\"card\":1,\"zip\":1}"}},
        {"{\"dependentSchemas\":{\"card\":{\"required\":[\"zip\"]}}}",
         {"{}", "{\"card\":1,\"zip\":1}"},
         {"{\"card\":1}"}},
    };
    RUN(cases);
}

static void test_arrays(void **state)
{
    (void)state;
    static const struct keyword_case cases[] = {
        {"{\"items\":{\"type\":\"integer\"}}", {"[]", "[1,2]", "{}"}, {"[1,\"2\"]"}},
        {"{\"prefixItems\":[{\"type\":\"string\"},{\"type\":\"integer\"}]}",
         {"[]", "[\"a\"]", "[\"a\",1,null]"},
         {"[1]", "[\"a\",\"b\"]"}},
        {"{\"prefixItems\":[true],\"items\":false}", {"[]", "[1]"}, {"[1,2]"}},
        {"{\"minItems\":1,\"maxItems\":2}", {"[1]", "[1,2]"}, {"[]", "[1,2,3]"}},
        {"{\"uniqueItems\":true}",
         {"[]", "[1,2]", "[1,true,\"1\",null]", "[{\"a\":1},{\"a\":2}]", "[[1],[2]]", "[0,false]"},
         {"[1,1.0]", "[{\"a\":1,\"b\":2},{\"b\":2,\"a\":1}]", "[\"x\",\"y\",\"x\"]", "[[1],[1.0]]", "[null,null]"}},
        {"{\"uniqueItems\":false}", {"[1,1]"}, {NULL}},
        {"{\"contains\":{\"const\":1}}", {"[0,1]", "{}"}, {"[]", "[0,2]"}},
        {"{\"contains\":{\"const\":1},\"minContains\":2,\"maxContains\":3}",
         {"[1,1]", "[1,0,1,1]"},
         {"[1]", "[1,1,1,1]"}},
        {"{\"contains\":{\"const\":1},\"minContains\":0}", {"[]", "[2]"}, {NULL}},
        {"{\"contains\":{\"const\":1},\"minContains\":0,\"maxContains\":1}", {"[1]"}, {"[1,1]"}},
    };
    RUN(cases);
}

static void test_combinations(void **state)
{
    (void)state;
    static const struct keyword_case cases[] = {
        {"{\"allOf\":[{\"minimum\":1},{\"maximum\":3}]}", {"1", "3"}, {"0", "4"}},
        {"{\"anyOf\":[{\"type\":\"string\"},{\"minimum\":5}]}", {"\"\"", "5", "null"}, {"4"}},
        {"{\"oneOf\":[{\"multipleOf\":2},{\"multipleOf\":3}]}", {"2", "3"}, {"6", "1"}},
        {"{\"not\":{\"type\":\"string\"}}", {"1"}, {"\"\""}},
        {"{\"not\":{\"not\":{\"const\":1}}}", {"1"}, {"2"}},
        {"{\"if\":{\"minimum\":10},\"then\":{\"multipleOf\":10},\"else\":{\"maximum\":5}}",
         {"10", "20", "5"},
         {"11", "6"}},
        {"{\"if\":{\"const\":1},\"then\":false}", {"2"}, {"1"}},
        {"{\"if\":{\"const\":1},\"else\":false}", {"1"}, {"2"}},
        {"{\"if\":false}", {"1"}, {NULL}},
    };
    RUN(cases);
}

static void test_references(void **state)
{
    (void)state;
    static const struct keyword_case cases[] = {
        {"{\"$defs\":{\"n\":{\"type\":\"integer\"}},\"$ref\":\"#/$defs/n\",\"minimum\":2}", {"2"}, {"1", "\"x\""}},
        {"{\"properties\":{\"next\":{\"$ref\":\"#\"},\"v\":{\"type\":\"integer\"}},\"additionalProperties\":false}",
         {"{\"next\":{\"next\":{\"v\":1}}}"},
         {"{\"next\":{\"next\":{\"v\":\"1\"}}}", "{\"next\":{\"x\":1}}"}},
        {"{\"$defs\":{\"t\":{\"properties\":{\"kids\":{\"items\":{\"$ref\":\"#/$defs/"
         "t\"}},\"n\":{\"type\":\"string\"}},"
         "\"required\":[\"n\"]}},\"$ref\":\"#/$defs/t\"}",
         {"{\"n\":\"a\",\"kids\":[{\"n\":\"b\",\"kids\":[]}]}"},
         {"{\"n\":\"a\",\"kids\":[{\"kids\":[]}]}"}},
        {"{\"$defs\":{\"x\":{\"$anchor\":\"here\",\"const\":1}},\"$ref\":\"#here\"}", {"1"}, {"2"}},
        {"{\"$defs\":{\"a/b%~\":{\"const\":1}},\"$ref\":\"#/$defs/a~1b%25~0\"}", {"1"}, {"2"}},
        {"{\"$defs\":{\"a\":{\"$ref\":\"#/$defs/b\"},\"b\":{\"$ref\":\"#/$defs/c\"},\"c\":true},\"$ref\":\"#/$defs/"
         "a\"}",
         {"1"},
         {NULL}},
        {"{\"properties\":{\"$ref\":{\"type\":\"string\"}}}", {"{\"$ref\":\"a\"}"}, {"{\"$ref\":1}"}},
    };
    RUN(cases);
}

static void test_resources(void **state)
{
    (void)state;
    static const struct keyword_case cases[] = {
        {"{\"$id\":\"http://x.example/"
         "root\",\"$ref\":\"item\",\"$defs\":{\"i\":{\"$id\":\"item\",\"type\":\"integer\"}}}",
         {"1"},
         {"\"x\""}},
        {"{\"$id\":\"http://x.example/a/b/root?q\",\"$ref\":\"../c/./item#n\",\"$defs\":{\"i\":{\"$id\":"
         "\"/a/c/item\",\"$defs\":{\"n\":{\"$anchor\":\"n\",\"const\":2}}}}}",
         {"2"},
         {"1"}},
        /* inside a resource, # is that resource */
        {"{\"$ref\":\"urn:x:y\",\"$defs\":{\"a\":{\"$id\":\"urn:x:y\",\"properties\":{\"k\":{\"$ref\":\"#/$defs/s\"}},"
         "\"$defs\":{\"s\":{\"type\":\"string\"}}},\"s\":{\"type\":\"integer\"}}}",
         {"{\"k\":\"x\"}"},
         {"{\"k\":1}"}},
        /* also when it is entered by a pointer from outside */
        {"{\"$id\":\"http://x.example/\",\"$ref\":\"#/$defs/a/properties/k\",\"$defs\":{\"a\":{\"$id\":\"a/\","
         "\"properties\":{\"k\":{\"$ref\":\"b\"}},\"$defs\":{\"b\":{\"$id\":\"b\",\"const\":1}}}}}",
         {"1"},
         {"2"}},
        /* the same anchor in two resources; names of members and data are no anchors */
        {"{\"$ref\":\"#x\",\"$defs\":{\"a\":{\"$anchor\":\"x\",\"const\":1},\"b\":{\"$id\":\"b\",\"$anchor\":\"x\"},"
         "\"c\":{\"const\":{\"$anchor\":\"x\"}}},\"properties\":{\"$id\":{},\"$anchor\":{}}}",
         {"1"},
         {"2"}},
        {"{\"$ref\":\"https://json-schema.org/draft/2020-12/schema\"}",
         {"{\"minLength\":1}", "true", "{\"not\":{\"items\":{\"enum\":[]}}}",
          "{\"$defs\":{\"a\":{\"type\":[\"null\"]}}}"},
         {"{\"minLength\":-1}", "1", "{\"not\":{\"items\":{\"enum\":1}}}", "{\"$defs\":{\"a\":{\"type\":\"any\"}}}"}},
        {"{\"properties\":{\"$id\":{\"const\":1},\"b\":{\"$ref\":\"#/properties/$id\"}}}",
         {"{\"b\":1}"},
         {"{\"b\":2}"}},
        {"{\"$dynamicRef\":\"#n\",\"$defs\":{\"a\":{\"$anchor\":\"n\",\"const\":1}}}", {"1"}, {"2"}},
        /* a tree that stays open, and one that is strict all the way down */
        {"{\"$id\":\"strict\",\"$dynamicAnchor\":\"node\",\"$ref\":\"tree\",\"unevaluatedProperties\":false,\"$defs\":"
         "{\"t\":{\"$id\":\"tree\",\"$dynamicAnchor\":\"node\",\"properties\":{\"data\":true,\"kids\":{\"items\":"
         "{\"$dynamicRef\":\"#node\"}}}}}}",
         {"{\"kids\":[{\"data\":1}]}"},
         {"{\"x\":1}", "{\"kids\":[{\"daat\":1}]}"}},
        {"{\"$ref\":\"tree\",\"$defs\":{\"t\":{\"$id\":\"tree\",\"$dynamicAnchor\":\"node\",\"properties\":{\"kids\":"
         "{\"items\":{\"$dynamicRef\":\"#node\"}}},\"required\":[\"n\"]},\"u\":{\"$id\":\"u\",\"$dynamicAnchor\":"
         "\"node\","
         "\"const\":0}}}",
         {"{\"n\":1,\"kids\":[{\"n\":2,\"daat\":1}]}"},
         {"{\"n\":1,\"kids\":[{\"daat\":1}]}"}},
    };
    RUN(cases);
}

static void test_unevaluated(void **state)
{
    (void)state;
    static const struct keyword_case cases[] = {
        {"{\"unevaluatedProperties\":false}", {"{}", "1"}, {"{\"a\":1}"}},
        {"{\"properties\":{\"a\":true},\"patternProperties\":{\"^b\":true},\"unevaluatedProperties\":{\"type\":"
         "\"null\"}}",
         {"{\"a\":1,\"b2\":1,\"c\":null}"},
         {"{\"c\":1}"}},
        {"{\"allOf\":[{\"properties\":{\"a\":true}},{\"$ref\":\"#/$defs/b\"}],\"unevaluatedProperties\":false,"
         "\"$defs\":{\"b\":{\"properties\":{\"b\":true}}}}",
         {"{\"a\":1,\"b\":2}"},
         {"{\"a\":1,\"c\":2}"}},
        /* a form that fails evaluates nothing; every form that holds does */
        {"{\"anyOf\":[{\"properties\":{\"a\":{\"const\":1}},\"required\":[\"a\"]},{\"properties\":{\"b\":{\"const\":1}}"
         ","
         "\"required\":[\"b\"]}],\"unevaluatedProperties\":false}",
         {"{\"a\":1}", "{\"b\":1}", "{\"a\":1,\"b\":1}"},
         {"{\"a\":1,\"b\":2}", "{\"a\":1,\"c\":1}"}},
        {"{\"oneOf\":[{\"required\":[\"a\"],\"properties\":{\"a\":true}},{\"required\":[\"b\"],\"properties\":{\"b\":"
         "true}}],\"unevaluatedProperties\":false}",
         {"{\"a\":1}", "{\"b\":1}"},
         {"{\"a\":1,\"b\":1}", "{\"a\":1,\"c\":1}"}},
        {"{\"if\":{\"properties\":{\"k\":{\"const\":1}},\"required\":[\"k\"]},\"then\":{\"properties\":{\"t\":true}},"
         "\"else\":{\"properties\":{\"e\":true}},\"unevaluatedProperties\":false}",
         {"{\"k\":1,\"t\":1}", "{\"e\":1}", "{}"},
         {"{\"k\":2,\"t\":1}", "{\"k\":1,\"e\":1}", "{\"t\":1}"}},
        {"{\"not\":{\"not\":{\"properties\":{\"a\":true}}},\"unevaluatedProperties\":false}", {"{}"}, {"{\"a\":1}"}},
        {"{\"dependentSchemas\":{\"a\":{\"properties\":{\"a\":true,\"b\":true}}},\"unevaluatedProperties\":false}",
         {"{\"a\":1,\"b\":1}"},
         {"{\"b\":1}"}},
        {"{\"allOf\":[{\"additionalProperties\":true}],\"unevaluatedProperties\":false}", {"{\"a\":1}"}, {NULL}},
        {"{\"allOf\":[{\"unevaluatedProperties\":true}],\"unevaluatedProperties\":false}", {"{\"a\":1}"}, {NULL}},
        /* cousins do not see each other; members of members count for themselves */
        {"{\"allOf\":[{\"properties\":{\"a\":true}},{\"unevaluatedProperties\":false}]}", {"{}"}, {"{\"a\":1}"}},
        {"{\"properties\":{\"a\":{\"properties\":{\"b\":true}}},\"unevaluatedProperties\":false}",
         {"{\"a\":{\"b\":1,\"c\":1}}"},
         {"{\"b\":1}"}},
        {"{\"prefixItems\":[true],\"unevaluatedItems\":false}", {"[1]", "{}"}, {"[1,2]"}},
        {"{\"contains\":{\"const\":1},\"unevaluatedItems\":{\"type\":\"string\"}}", {"[1,\"a\",1]"}, {"[1,2]"}},
        {"{\"anyOf\":[{\"prefixItems\":[true,true]},{\"prefixItems\":[true,true,{\"const\":3}]}],"
         "\"unevaluatedItems\":false}",
         {"[1,2]", "[1,2,3]"},
         {"[1,2,4]", "[1,2,3,4]"}},
        {"{\"allOf\":[{\"items\":true}],\"unevaluatedItems\":false}", {"[1,2]"}, {NULL}},
    };
    RUN(cases);
    struct st_buf b = ST_BUF(1 << 20); /* more members than fit into a few words */
    for (int i = 0; i < 1000; i++)
        st_buf_printf(&b, "%s\"a%d\":%d", i ? "," : "{", i, i);
    const struct st_schema *s =
        compile("{\"anyOf\":[{\"patternProperties\":{\"^a\":true}}],\"unevaluatedProperties\":false}");
    assert_string_equal(check(s, parse(st_printf(&arena, "%s}", b.data))), "");
    assert_string_equal(check(s, parse(st_printf(&arena, "%s,\"x\":1}", b.data))), "/x is not allowed here");
    st_buf_release(&b);
}

static void test_part_of_a_document(void **state)
{
    (void)state;
    const json_t *doc = parse(
        "{\"components\":{\"schemas\":{\"A\":{\"$ref\":\"#/components/schemas/B\"},\"B\":{\"type\":\"string\"}}}}");
    const struct st_schema *s;
    const char *at, *why;
    assert_int_equal(st_schema_compile(&arena, doc, "/components/schemas/A", &s, &at, &why), 0);
    assert_string_equal(check(s, parse("1")), " must be a string");
    assert_int_equal(st_schema_compile(&arena, doc, "/components/schemas/C", &s, &at, &why), ST_E_INVALID);
    assert_string_equal(at, "/components/schemas/C");
}

static void test_messages(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *instance, *errors;
    } cases[] = {
        {"{\"minLength\":3}", "\"a\"", " must be at least 3 characters long"},
        {"{\"minLength\":1}", "\"\"", " must be at least 1 character long"},
        {"{\"maxLength\":1}", "\"ab\"", " must be at most 1 character long"},
        {"{\"minItems\":1}", "[]", " must have at least 1 item"},
        {"{\"maxProperties\":0}", "{\"a\":1}", " must have at most 0 members"},
        {"{\"minimum\":1.5}", "1", " must be at least 1.5"},
        {"{\"exclusiveMaximum\":10}", "10", " must be less than 10"},
        {"{\"multipleOf\":0.1}", "0.05", " must be a multiple of 0.1"},
        {"{\"type\":\"boolean\"}", "1", " must be true or false"},
        {"{\"type\":[\"null\",\"array\",\"number\",\"integer\"]}", "\"\"", " must be a list or a number or null"},
        {"{\"enum\":[\"a\",\"b\",3]}", "1", " must be one of: a, b, 3"},
        {"{\"const\":\"x\"}", "1", " must be \"x\""},
        {"{\"pattern\":\"^a\"}", "\"b\"", " must match the pattern ^a"},
        {"{\"format\":\"uuid\"}", "\"b\"", " must be a UUID"},
        {"{\"uniqueItems\":true}", "[1,1]", " must not contain the same item twice"},
        {"{\"contains\":{\"const\":1}}", "[]", " must contain at least 1 item of the required kind"},
        {"{\"required\":[\"a/b\",\"c\"]}", "{}", "/a~1b is required; /c is required"},
        {"{\"additionalProperties\":false}", "{\"a~b\":1,\"c\":2}",
         "/a~0b is not allowed here; /c is not allowed here"},
        {"{\"properties\":{\"l\":{\"items\":{\"properties\":{\"n\":{\"type\":\"integer\"}}}}}}",
         "{\"l\":[{},{\"n\":\"\"},{\"n\":1.5}]}", "/l/1/n must be an integer; /l/2/n must be an integer"},
        {"{\"propertyNames\":{\"maxLength\":1}}", "{\"ab\":1}", "/ab has a name that must be at most 1 character long"},
        {"{\"dependentRequired\":{\"a\":[\"b\"]}}", "{\"a\":1}", "/b is required together with a"},
        {"{\"type\":\"string\",\"minLength\":3,\"pattern\":\"x\"}", "1", " must be a string"},
        {"{\"type\":\"string\",\"minLength\":3,\"pattern\":\"x\"}", "\"a\"",
         " must be at least 3 characters long;  must match the pattern x"},
        {"{\"not\":{}}", "1", " is not an allowed value"},
        {"{\"oneOf\":[true,true]}", "1", " must match exactly one of the allowed forms, but matches several"},
        {"{\"anyOf\":[{\"minimum\":5},{\"multipleOf\":3}]}", "1", " must match one of the 2 allowed forms"},
        /* The form that was meant explains itself. */
        {"{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"string\",\"minLength\":3}]}", "\"a\"",
         " must be at least 3 characters long"},
        {"{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"string\"}]}", "1", " must be a string or null"},
        {"{\"oneOf\":[{\"properties\":{\"k\":{\"const\":\"a\"},\"v\":{\"type\":\"string\"}},\"required\":[\"k\"]},"
         "{\"properties\":{\"k\":{\"const\":\"b\"},\"v\":{\"type\":\"integer\"}},\"required\":[\"k\"]}]}",
         "{\"k\":\"b\",\"v\":\"x\"}", "/v must be an integer"},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        const char *errors = check(compile(cases[i].schema), parse(cases[i].instance));
        if (!st_streq(errors, cases[i].errors))
            fail_msg("%s with %s: %s", cases[i].schema, cases[i].instance, errors);
    }
}

static void test_compile_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *pointer, *why;
    } cases[] = {
        {"1", "", "must be an object, true or false"},
        {"{\"minlength\":1}", "/minlength", "minlength is not a known keyword"},
        {"{\"properties\":{\"a\":{\"typ\":1}}}", "/properties/a/typ", "not a known keyword"},
        {"{\"nullable\":true}", "/nullable", "write type: [string, 'null']"},
        {"{\"$dynamicRef\":\"#x\"}", "/$dynamicRef", "there is no #x"},
        {"{\"$dynamicRef\":1}", "/$dynamicRef", "must be a string"},
        {"{\"$recursiveRef\":\"#\"}", "/$recursiveRef", "not a known keyword"},
        {"{\"dependencies\":{}}", "/dependencies", "write dependentRequired"},
        {"{\"$schema\":\"http://json-schema.org/draft-07/schema#\"}", "/$schema", "must be https://json-schema.org"},
        {"{\"$vocabulary\":{\"https://x.example/v\":true}}", "/$vocabulary", "is not supported"},
        {"{\"$id\":\"http://x.example/#frag\"}", "/$id", "without a fragment"},
        {"{\"$defs\":{\"a\":{\"$id\":\"#x\"}}}", "/$defs/a/$id", "without a fragment"},
        {"{\"$defs\":{\"a\":{\"$id\":\"b\"},\"b\":{\"$id\":\"b\"}}}", "/$defs/b/$id", "twice"},
        {"{\"$ref\":\"https://json-schema.org/draft/2020-12/meta/core\"}", "/$ref", "there is no https://json"},
        {"{\"$id\":\"http://x.example/a\",\"$ref\":\"b#/c\"}", "/$ref", "there is no b#/c"},
        {"{\"pattern\":\"a++\"}", "/pattern", "nothing to repeat"},
        {"{\"pattern\":\"\\\\Aa\"}", "/pattern", "no such escape"},
        {"{\"pattern\":\"(?i)a\"}", "/pattern", "no such group"},
        {"{\"pattern\":\"(*ACCEPT)\"}", "/pattern", "nothing to repeat"},
        {"{\"pattern\":\"\\\\p{Greek}\"}", "/pattern", "property is not known"},
        {"{\"type\":\"float\"}", "/type", "type must be"},
        {"{\"type\":[]}", "/type", "empty"},
        {"{\"type\":1}", "/type", "type must be"},
        {"{\"type\":[\"string\",\"null\",\"string\"]}", "/type", "type names string twice"},
        {"{\"enum\":1}", "/enum", "must be a list"},
        {"{\"minLength\":-1}", "/minLength", "integer from 0"},
        {"{\"minLength\":1.5}", "/minLength", "integer from 0"},
        {"{\"maxItems\":\"1\"}", "/maxItems", "integer from 0"},
        {"{\"maxItems\":1e300}", "/maxItems", "integer from 0"},
        {"{\"exclusiveMinimum\":true}", "/exclusiveMinimum", "must be a number"},
        {"{\"multipleOf\":0}", "/multipleOf", "greater than 0"},
        {"{\"pattern\":\"(\"}", "/pattern", "is not a pattern"},
        {"{\"pattern\":\"\\\\C\"}", "/pattern", "is not a pattern"},
        {"{\"pattern\":1}", "/pattern", "must be a string"},
        {"{\"patternProperties\":{\"[\":true}}", "/patternProperties/[", "is not a pattern"},
        {"{\"format\":\"color\"}", "/format", "the format color is not supported"},
        {"{\"required\":\"a\"}", "/required", "list of names"},
        {"{\"required\":[\"a\",\"a\"]}", "/required", "distinct"},
        {"{\"required\":[1]}", "/required", "distinct names"},
        {"{\"properties\":[]}", "/properties", "map of schemas"},
        {"{\"items\":[true]}", "/items", "must be an object, true or false"},
        {"{\"prefixItems\":[]}", "/prefixItems", "not empty"},
        {"{\"allOf\":{}}", "/allOf", "list of schemas"},
        {"{\"anyOf\":[1]}", "/anyOf/0", "must be an object"},
        {"{\"then\":true}", "/then", "needs if"},
        {"{\"minContains\":1}", "/minContains", "needs contains"},
        {"{\"uniqueItems\":1}", "/uniqueItems", "true or false"},
        {"{\"dependentRequired\":{\"a\":\"b\"}}", "/dependentRequired/a", "list of names"},
        {"{\"$defs\":{\"unused\":{\"x\":1}}}", "/$defs/unused/x", "not a known keyword"},
        {"{\"$ref\":\"#/nowhere\"}", "/$ref", "there is no #/nowhere"},
        {"{\"$ref\":\"#nowhere\"}", "/$ref", "there is no #nowhere"},
        {"{\"$ref\":\"other.json#/x\"}", "/$ref", "there is no other.json#/x"},
        {"{\"$ref\":\"#/%zz\"}", "/$ref", "there is no"},
        {"{\"$ref\":1}", "/$ref", "must be a string"},
        {"{\"$defs\":{\"a\":{\"$anchor\":\"x\"},\"b\":{\"$anchor\":\"x\"}},\"$ref\":\"#x\"}", "/$defs/b", "twice"},
        {"{\"$ref\":\"#\"}", "", "refers to itself"},
        {"{\"allOf\":[{\"anyOf\":[{\"$ref\":\"#\"}]}]}", "", "refers to itself"},
        {"{\"properties\":{\"a\":{\"not\":{\"$ref\":\"#/properties/a\"}}}}", "/properties/a", "refers to itself"},
        {"{\"$defs\":{\"a\":{\"if\":{\"$ref\":\"#/$defs/b\"}},\"b\":{\"dependentSchemas\":{\"x\":{\"$ref\":\"#/$defs/"
         "a\"}}}}}",
         NULL, NULL},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        const struct st_schema *s = NULL;
        const char *at = NULL, *why = NULL;
        int r = st_schema_compile(&arena, parse(cases[i].schema), "", &s, &at, &why);
        if (r != ST_E_INVALID || s ||
            (cases[i].why && (!strstr(why, cases[i].why) || strcmp(at, cases[i].pointer) != 0)))
            fail_msg("%s: %d at %s: %s", cases[i].schema, r, at ? at : "-", why ? why : "-");
    }
}

static char *repeat(const char *open, const char *middle, const char *close, int n)
{
    struct st_buf b = ST_BUF(1 << 26);
    for (int i = 0; i < n; i++)
        st_buf_str(&b, open);
    st_buf_str(&b, middle);
    for (int i = 0; i < n; i++)
        st_buf_str(&b, close);
    char *text = st_strndup(&arena, b.data, b.len);
    st_buf_release(&b);
    return text;
}

static void test_deep_schemas(void **state)
{
    (void)state;
    const struct st_schema *s;
    const char *at, *why;
    const json_t *deep = parse(repeat("{\"items\":", "{}", "}", 1000));
    assert_int_equal(st_schema_compile(&arena, deep, "", &s, &at, &why), ST_E_INVALID);
    assert_non_null(strstr(why, "200 levels"));
    const json_t *chain = parse(repeat("{\"allOf\":[", "{}", "]}", 100));
    assert_int_equal(st_schema_compile(&arena, chain, "", &s, &at, &why), ST_E_INVALID);
    assert_non_null(strstr(why, "apply to one value"));
    assert_string_equal(check(compile(repeat("{\"allOf\":[", "{\"const\":1}", "]}", 60)), parse("1")), "");
}

static void test_deep_instances(void **state)
{
    (void)state;
    const struct st_schema *s = compile("{\"items\":{\"$ref\":\"#\"},\"type\":\"array\"}");
    assert_string_equal(check(s, parse(repeat("[", "", "]", 200))), "");
    assert_non_null(strstr(check(s, parse(repeat("[", "", "]", 2000))), "is nested too deep"));
    /* a verdict that could not be reached is not turned round by `not` */
    s = compile(
        "{\"not\":{\"$ref\":\"#/$defs/t\"},\"$defs\":{\"t\":{\"items\":{\"$ref\":\"#/$defs/t\"},\"type\":\"array\"}}}");
    assert_non_null(strstr(check(s, parse(repeat("[", "", "]", 2000))), "is nested too deep"));
}

static void test_doubling_work_is_cut(void **state)
{
    (void)state;
    const struct st_schema *s = compile("{\"anyOf\":[{\"properties\":{\"a\":{\"$ref\":\"#\"}},\"not\":{}},"
                                        "{\"properties\":{\"a\":{\"$ref\":\"#\"}},\"not\":{}}]}");
    const char *errors = check(s, parse(repeat("{\"a\":", "1", "}", 60))); /* 2^60 steps, were it not cut */
    assert_non_null(strstr(errors, "too complex"));
}

static void test_costly_patterns_are_cut(void **state)
{
    (void)state;
    const struct st_schema *s = compile("{\"pattern\":\"^(a|aa)+$\"}");
    assert_string_equal(check(s, parse("\"aaaaaaaaaaaaaaaa\"")), "");
    assert_string_equal(check(s, parse("\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"")),
                        " takes too long to be matched with its pattern");
    s = compile("{\"not\":{\"pattern\":\"^(a|aa)+$\"}}");
    assert_string_not_equal(check(s, parse("\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"")), "");
    /* but long honest text passes, with groups that stack up too */
    s = compile("{\"pattern\":\"^(?:[a-z]+ ?)*$\"}");
    assert_string_equal(check(s, parse(st_printf(&arena, "\"%s\"", repeat("abc ", "", "", 50000)))), "");
}

static void test_many_errors(void **state)
{
    (void)state;
    struct st_schema_errors errors;
    struct st_buf b = ST_BUF(1 << 24);
    for (int i = 0; i < 400000; i++)
        st_buf_printf(&b, "%s%d", i ? "," : "[", i);
    st_buf_str(&b, "]");
    const json_t *j = parse(b.data);
    st_buf_release(&b);
    assert_int_equal(st_schema_check(compile("{\"items\":{\"type\":\"string\"}}"), j, &arena, &errors), ST_E_INVALID);
    assert_int_equal(errors.count, ST_SCHEMA_ERRORS);
    assert_string_equal(errors.list[ST_SCHEMA_ERRORS - 1].pointer, "/19");
    int64_t start = st_mono();
    assert_int_equal(st_schema_check(compile("{\"uniqueItems\":true}"), j, &arena, &errors), 0);
    assert_true(st_mono() - start < 60 * ST_SECOND); /* not quadratic: 8e10 comparisons take longer */
}

static void test_long_names_are_cut(void **state)
{
    (void)state;
    const char *instance = st_printf(&arena, "{\"%s\":1}", repeat("é", "", "", 5000));
    struct st_schema_errors errors;
    assert_int_equal(st_schema_check(compile("{\"additionalProperties\":false}"), parse(instance), &arena, &errors),
                     ST_E_INVALID);
    assert_true(strlen(errors.list[0].pointer) < 250);
    assert_true(st_utf8_valid(errors.list[0].pointer, strlen(errors.list[0].pointer)));
}

static void test_one_compiler(void **state)
{
    (void)state;
    const char *why = NULL, *at = NULL;
    const struct st_schema *a = NULL, *b = NULL, *again = NULL;
    json_t *document;
    static const char text[] = "{\"a\":{\"items\":{\"$ref\":\"#/b\"}},\"b\":{\"type\":\"integer\"},"
                               "\"c\":{\"$ref\":\"#/d\"},\"d\":{\"anyOf\":[{\"$ref\":\"#/c\"}]}}";
    assert_int_equal(st_json_parse(&arena, text, strlen(text), ST_JSON_DEPTH, &document, &why), 0);
    struct st_compiler *c = st_schema_compiler(&arena, document);
    assert_int_equal(st_schema_compile_with(c, "/a", &a, &at, &why), 0);
    assert_int_equal(st_schema_compile_with(c, "/b", &b, &at, &why), 0);
    assert_int_equal(st_schema_compile_with(c, "/b", &again, &at, &why), 0);
    assert_ptr_equal(b, again);
    struct st_schema_errors errors;
    json_t *list = st_json_keep(&arena, json_pack("[is]", 1, "x"));
    assert_int_equal(st_schema_check(a, list, &arena, &errors), ST_E_INVALID);
    assert_string_equal(errors.list[0].pointer, "/1");
    assert_int_equal(st_schema_compile_with(c, "/c", &again, &at, &why), ST_E_INVALID);
    assert_non_null(strstr(why, "refers to itself"));
    assert_int_equal(st_schema_compile_with(c, "/nothing", &again, &at, &why), ST_E_INVALID);
    assert_int_equal(st_schema_compile_with(c, "/a", &again, &at, &why), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_one_compiler, teardown),
        cmocka_unit_test_teardown(test_any_value, teardown),
        cmocka_unit_test_teardown(test_numbers, teardown),
        cmocka_unit_test_teardown(test_strings, teardown),
        cmocka_unit_test_teardown(test_formats, teardown),
        cmocka_unit_test_teardown(test_formats_of_openapi, teardown),
        cmocka_unit_test_teardown(test_objects, teardown),
        cmocka_unit_test_teardown(test_arrays, teardown),
        cmocka_unit_test_teardown(test_combinations, teardown),
        cmocka_unit_test_teardown(test_references, teardown),
        cmocka_unit_test_teardown(test_resources, teardown),
        cmocka_unit_test_teardown(test_unevaluated, teardown),
        cmocka_unit_test_teardown(test_part_of_a_document, teardown),
        cmocka_unit_test_teardown(test_messages, teardown),
        cmocka_unit_test_teardown(test_compile_refuses, teardown),
        cmocka_unit_test_teardown(test_deep_schemas, teardown),
        cmocka_unit_test_teardown(test_deep_instances, teardown),
        cmocka_unit_test_teardown(test_doubling_work_is_cut, teardown),
        cmocka_unit_test_teardown(test_costly_patterns_are_cut, teardown),
        cmocka_unit_test_teardown(test_many_errors, teardown),
        cmocka_unit_test_teardown(test_long_names_are_cut, teardown),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
