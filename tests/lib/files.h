#ifndef TESTS_LIB_FILES_H
#define TESTS_LIB_FILES_H
/* Files by which a stand-in is told, and tells (child.h): in ST_TEST_DIR. Behind backbone.h. */

ST_UNUSED static const char *in_dir(const char *name)
{
    return st_printf(&arena, "%s/%s", getenv("ST_TEST_DIR"), name);
}

ST_UNUSED static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(in_dir(name), "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

ST_UNUSED static const char *text_of(const char *name)
{
    char *text;
    size_t len;
    const char *why;
    assert_int_equal(st_file_read(&arena, in_dir(name), &text, &len, &why), 0);
    return text;
}

/* How often a file says something. */
ST_UNUSED static int count(const char *name, const char *words)
{
    int n = 0;
    for (const char *s = text_of(name); (s = strstr(s, words)); s += strlen(words))
        n++;
    return n;
}

#endif
