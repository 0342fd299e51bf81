/* Hostile YAML: what is read must be a JSON value with a line for each part, what is not must say where. */
#include "io/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Lines of the first parts of each container: enough, and it keeps large inputs quick. */
static void check_lines(struct st_arena *a, const struct st_yaml *y, const json_t *j, const char *pointer, int last)
{
    enum { PARTS = 8 };
    int line = st_yaml_line(y, pointer), n = 0;
    const char *key;
    json_t *value;
    size_t i;
    if (line < 1 || line > last)
        abort();
    json_object_foreach ((json_t *)j, key, value) {
        if (n++ < PARTS)
            check_lines(a, y, value, st_json_pointer(a, pointer, key), last);
    }
    json_array_foreach ((json_t *)j, i, value) {
        if (i < PARTS)
            check_lines(a, y, value, st_printf(a, "%s/%zu", pointer, i), last);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct st_arena a = {0};
    struct st_yaml y;
    const char *why;
    if (st_yaml_parse(&a, "fuzz", (const char *)data, size, &y, &why) < 0) {
        if (!st_starts(why, "fuzz:"))
            abort();
    } else if (size < 4096) {
        json_t *back;
        const char *text = st_json_text(&a, y.root);
        if (st_json_parse(&a, text, strlen(text), ST_JSON_DEPTH, &back, &why) < 0 || !json_equal(y.root, back))
            abort();
        check_lines(&a, &y, y.root, "", (int)size + 1);
    }
    st_arena_release(&a);
    return 0;
}
