/*
 * Analyses a text for tests/bench/analysis.bench and prints what was found, a record in each line, fields behind tabs:
 *
 *   T language bytes seconds        the text; processor time of the fastest of the rounds
 *   C name gender alias ...         a character; gender m, f or -
 *   S from to paragraph kind character confidence emotion evidence
 *                                   a segment: from, to count the letters before its first and behind its last one;
 *                                   character counts from 0, -1: none
 *
 *   analyse [-c CAST] [-n ROUNDS] TEXT       CAST: the characters, lines as those behind C; nobody else speaks then
 */
#include "story/analyse.h"

#include <time.h>
#include <unistd.h>

enum { FILE_MAX = 4 << 20, ALIASES_MAX = 64 };

static const char *read_file(struct st_arena *a, const char *path, size_t *ret_len)
{
    char *text = st_alloc(a, FILE_MAX + 1);
    FILE *f = fopen(path, "re");
    if (!f) {
        fprintf(stderr, "%s: %m\n", path);
        exit(1);
    }
    *ret_len = fread(text, 1, FILE_MAX, f);
    text[*ret_len] = '\0';
    fclose(f);
    return text;
}

static void read_cast(struct st_arena *a, const char *path, struct st_analyse_hints *hints)
{
    size_t len;
    char *text = (char *)read_file(a, path, &len), *line, *rest;
    struct st_character *cast = st_new_n(a, struct st_character, ST_ANALYSE_CHARACTERS_MAX);
    for (line = strtok_r(text, "\n", &rest); line && hints->n_cast < ST_ANALYSE_CHARACTERS_MAX;
         line = strtok_r(NULL, "\n", &rest)) {
        struct st_character *c = &cast[hints->n_cast++];
        const char **aliases = st_new_n(a, const char *, ALIASES_MAX);
        char *field, *fields;
        c->name = strtok_r(line, "\t", &fields);
        const char *gender = strtok_r(NULL, "\t", &fields);
        c->gender = gender && *gender != '-' ? *gender : 0;
        while (c->n_aliases < ALIASES_MAX && (field = strtok_r(NULL, "\t", &fields)))
            aliases[c->n_aliases++] = field;
        c->aliases = aliases;
    }
    hints->cast = cast;
    hints->cast_all = true;
}

/* What analysis.bench counts, too: letters and digits of the usual scripts, whatever the analyser takes for one. */
static long letters(const char *s)
{
    long n = 0;
    while (*s) {
        uint32_t cp = st_utf8_next(&s);
        n += (cp >= '0' && cp <= '9') || ((cp | 0x20) >= 'a' && (cp | 0x20) <= 'z') ||
             (cp >= 0xC0 && cp <= 0x1FFF && cp != 0xD7 && cp != 0xF7) || (cp >= 0x3041 && cp <= 0xD7FF);
    }
    return n;
}

static void print_characters(const struct st_analysis *found)
{
    for (int i = 0; i < found->n_characters; i++) {
        const struct st_character *c = &found->characters[i];
        printf("C\t%s\t%c", c->name, c->gender ? c->gender : '-');
        for (int k = 0; k < c->n_aliases; k++)
            printf("\t%s", c->aliases[k]);
        putchar('\n');
    }
}

static void print_segments(const struct st_analysis *found)
{
    long at = 0;
    for (int i = 0; i < found->n_segments; i++) {
        const struct st_segment *s = &found->segments[i];
        long from = at;
        at += letters(s->text);
        printf("S\t%ld\t%ld\t%d\t%s\t%d\t%.3f\t%s\t%s\n", from, at, s->paragraph, st_segment_kind_name(s->kind),
               s->character, s->confidence, st_emotion_name(s->emotion), s->evidence ? s->evidence : "");
    }
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    const char *cast = NULL;
    int rounds = 1, option;
    while ((option = getopt(argc, argv, "c:n:")) != -1) {
        if (option == 'c')
            cast = optarg;
        else if (option == 'n')
            rounds = (int)strtol(optarg, NULL, 10);
        else
            return 1;
    }
    struct st_arena kept = {0};
    struct st_analyse_hints hints = {0};
    size_t len;
    if (cast)
        read_cast(&kept, cast, &hints);
    const char *text = optind < argc ? read_file(&kept, argv[optind], &len) : NULL;
    double best = 0;
    for (int i = 0; text && i < rounds; i++) {
        struct st_arena a = {0};
        struct st_analysis *found;
        double start = now();
        int r = st_analyse(&a, text, len, &hints, &found);
        double seconds = now() - start;
        if (r < 0) {
            fprintf(stderr, "%s: cannot be analysed: %d\n", argv[optind], r);
            return 1;
        }
        best = i == 0 || seconds < best ? seconds : best;
        if (i == rounds - 1) {
            printf("T\t%s\t%zu\t%.6f\n", found->language, len, best);
            print_characters(found);
            print_segments(found);
        }
        st_arena_release(&a);
    }
    st_arena_release(&kept);
    return 0;
}
