/* Archives and books: what was written can be read, whole; what cannot be written is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "io/epub.h"
#include "io/zip.h"
#include "story/import.h"

#include <unistd.h>

static const struct st_epub_span spans[] = {
    {.text = "One", .len = 3, .id = "a", .start_ms = 0, .end_ms = 900, .begins = true, .heading = 1},
    {.text = "Tom  &\n<Mary>", .len = 13, .id = "b", .start_ms = 1000, .end_ms = 2000, .begins = true},
    {.text = "came.\x01\xef\xb7\x90", .len = 9, .id = "c"},
    {.text = "Two", .len = 3, .begins = true, .heading = 1},
    {.text = "Nobody did.", .len = 11, .begins = true},
};
static const struct st_epub_chapter chapters[] = {{"One", &spans[0], 3}, {"\x01", &spans[3], 2}};
static const struct st_epub plain = {
    .id = "0193c7e2-1111-7111-8111-111111111111", .title = "\"T\"", .chapters = chapters, .n_chapters = 2};

static char *written(const struct st_epub *book, size_t *ret_len)
{
    char *bytes = NULL;
    FILE *out = open_memstream(&bytes, ret_len);
    assert_int_equal(st_epub_write(book, out), 0);
    assert_int_equal(fclose(out), 0);
    return bytes;
}

static void test_a_book_can_be_read(void **state)
{
    (void)state;
    struct import found = {0};
    size_t len, again_len;
    char *book = written(&plain, &len), *again = written(&plain, &again_len);
    assert_int_equal(len, again_len);
    assert_memory_equal(book, again, len);
    import_epub(&found, book, len);
    assert_null(found.error);
    assert_string_equal(found.title, "\"T\"");
    assert_string_equal(found.language, "und");
    assert_string_equal(found.content, "# One\n\nTom & <Mary> came.\n\n# Two\n\nNobody did.");
    assert_non_null(memmem(book, len, "<li><a href=\"c2.xhtml\">&quot;T&quot;</a></li>", 45)); /* it has no title */
    assert_null(memmem(book, len, "media-overlay", 13));
    st_arena_release(&found.arena);
    free(book);
    free(again);
}

static void test_a_book_with_sound(void **state)
{
    (void)state;
    struct st_epub loud = plain;
    size_t len;
    char path[] = "/tmp/epub-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, "sound", 5) == 5);
    loud.mp3_path = path;
    char *book = written(&loud, &len);
    assert_non_null(memmem(book, len, "clipBegin=\"0:00:01.000\" clipEnd=\"0:00:02.000\"", 45));
    assert_non_null(memmem(book, len, "refines=\"#o1\">0:00:01.900<", 26));
    assert_null(memmem(book, len, "refines=\"#o2\"", 13)); /* nothing of it is heard */
    assert_non_null(memmem(book, len, "book/audio.mp3sound", 19));
    free(book);
    close(fd);
    unlink(path);
}

static void test_what_cannot_be_written(void **state)
{
    (void)state;
    struct st_epub silent = plain;
    struct st_zip zip;
    char name[ST_ZIP_NAME_MAX + 2];
    FILE *full = fopen("/dev/full", "w"), *none = fopen("/dev/null", "w");
    assert_true(full && none);
    assert_int_equal(st_epub_write(&plain, full), ST_E_UNAVAILABLE);
    silent.mp3_path = "/nowhere/audio.mp3";
    assert_int_equal(st_epub_write(&silent, none), ST_E_UNAVAILABLE);
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    st_zip_begin(&zip, none);
    st_zip_add(&zip, name, "", 0);
    assert_int_equal(st_zip_end(&zip), ST_E_TOO_LARGE);
    st_zip_begin(&zip, none);
    for (int i = 0; i <= UINT16_MAX; i++)
        st_zip_add(&zip, "n", "", 0);
    assert_int_equal(st_zip_end(&zip), ST_E_TOO_LARGE);
    fclose(full);
    fclose(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_book_can_be_read),
        cmocka_unit_test(test_a_book_with_sound),
        cmocka_unit_test(test_what_cannot_be_written),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
