/* Narrations: segments to files, with their times; what is spoken anew, what cannot be, voices of providers. */
#include "../lib/speech.h"

#include <pthread.h>

#include "narration/narrate.h"

static const char SENTENCE[] = "The old keeper carried the letter along the wall.";

/* --- narration --------------------------------------------------------------------------------------------------- */

struct watcher {
    size_t calls, done, total, cancel_at;
};

static void on_progress(void *ctx, size_t done, size_t total)
{
    struct watcher *w = ctx;
    assert_int_equal(done, w->done + 1);
    w->calls++;
    w->done = done;
    w->total = total;
}

static bool on_cancel(void *ctx)
{
    const struct watcher *w = ctx;
    return w->cancel_at && w->done >= w->cancel_at;
}

static struct st_voice cast[3];

static struct st_narrate_job job_of(struct st_narrate_segment *segments, size_t n, struct watcher *w)
{
    static const struct st_role roles[] = {{ST_GENDER_FEMALE, ST_AGE_ADULT}, {ST_GENDER_MALE, ST_AGE_ADULT}};
    st_voices_narrator("", &cast[0]);
    st_voices_cast("", &cast[0], roles, ST_COUNT(roles), cast + 1);
    unlink(in_dir("a.opus"));
    unlink(in_dir("a.mp3"));
    for (size_t i = 0; i < n; i++)
        segments[i].len = strlen(segments[i].text);
    return (struct st_narrate_job){.speech = speech,
                                   .language = "en",
                                   .voices = cast,
                                   .n_voices = ST_COUNT(cast),
                                   .segments = segments,
                                   .n_segments = n,
                                   .opus_path = in_dir("a.opus"),
                                   .mp3_path = in_dir("a.mp3"),
                                   .progress = on_progress,
                                   .cancelled = on_cancel,
                                   .ctx = w};
}

static void assert_no_files(const struct st_narrate_job *job)
{
    assert_false(exists(job->opus_path) || exists(job->mp3_path));
    assert_false(exists(in_dir("a.opus.part")) || exists(in_dir("a.mp3.part")));
}

/* The length of the sound as a decoder finds it. */
static int64_t decoded_ms(const char *path)
{
    const char *argv[] = {"ffmpeg", "-v", "error", "-i", path, "-f", "s16le", "-ar", "8000", "-ac", "1", "-", NULL};
    struct st_spawn_result r;
    struct st_spawn s = {.argv = argv, .timeout_us = 20 * ST_SECOND, .max_out = 4 << 20};
    assert_int_equal(st_spawn(&arena, &s, &r), 0);
    assert_string_equal(r.err, "");
    return (int64_t)r.out_len / 16;
}

static void test_narration(void **state)
{
    (void)state;
    struct st_narrate_segment segments[] = {
        {.text = "The door opened slowly.", .paragraph_ends = true},
        {.text = "Who is there?", .voice = 1, .emotion = ST_EMOTION_FEAR, .intensity = 0.8},
        {.text = "…"},
        {.text = "Only me. I have brought bread.", .voice = 2, .emotion = ST_EMOTION_JOY, .intensity = 0.5},
        {.text = "😀"},
    };
    enum { N = ST_COUNT(segments) };
    struct watcher w = {0};
    struct st_narrate_job job = job_of(segments, N, &w);
    struct st_narrate_result first, again;
    job.cache_dir = in_dir("narrated");
    assert_int_equal(mkdir(job.cache_dir, 0700), 0);
    assert_int_equal(st_narrate_audio(&arena, &job, &first), 0);
    assert_int_equal(first.utterances, 4);
    assert_int_equal(first.from_cache, 0);
    assert_int_equal(w.calls, 4);
    assert_int_equal(w.total, 4);
    for (size_t i = 0; i < N; i++) {
        const struct st_narrate_time *t = &first.times[i];
        bool silent = i == 2 || i == 4;
        assert_int_equal(t->error, 0);
        assert_true(silent ? t->start_ms == t->end_ms : t->end_ms - t->start_ms > 400);
        assert_true(i == 0 || t->start_ms >= first.times[i - 1].end_ms + 200);
    }
    assert_true(first.times[1].start_ms - first.times[0].end_ms > 600); /* a paragraph's pause */
    assert_true(first.duration_ms >= first.times[N - 1].end_ms);
    assert_in_range(decoded_ms(job.opus_path), first.duration_ms - 2, first.duration_ms + 2);
    assert_in_range(decoded_ms(job.mp3_path), first.duration_ms - 2, first.duration_ms + 2);

    w = (struct watcher){0};
    segments[0].text = "The window opened slowly."; /* one changed sentence is one synthesis */
    segments[0].len = strlen(segments[0].text);
    job.parallel = 16;
    assert_int_equal(st_narrate_audio(&arena, &job, &again), 0);
    assert_int_equal(again.from_cache, 3);
    int64_t then = first.times[3].end_ms - first.times[3].start_ms;
    assert_in_range(again.times[3].end_ms - again.times[3].start_ms, then - 1, then + 1); /* rounded */
}

/* Of a stretch of a file, in LUFS, as ffmpeg measures it. */
static double loudness_of(const char *path, const struct st_narrate_time *t)
{
    const char *filter = st_printf(&arena, "atrim=start=%.3f:end=%.3f,aresample=48000,ebur128=framelog=verbose",
                                   (double)t->start_ms / 1000, (double)t->end_ms / 1000);
    const char *argv[] = {"ffmpeg", "-hide_banner", "-nostats", "-i", path, "-af", filter, "-f", "null", "-", NULL};
    struct st_spawn_result r;
    assert_int_equal(st_spawn(&arena, &(struct st_spawn){.argv = argv, .timeout_us = 60 * ST_SECOND}, &r), 0);
    const char *said = strstr(r.err, "Integrated loudness:");
    assert_non_null(said);
    said = strstr(said, "I:");
    assert_non_null(said);
    return strtod(said + 2, NULL);
}

static void test_voices_of_a_file_are_equally_loud(void **state)
{
    (void)state;
    struct st_narrate_segment segments[] = {
        {.text = "The old keeper carried the letter along the wall. Nobody had seen him for three days.", .voice = 0},
        {.text = "I thought that you would never come back. Give it to me before the others see it.", .voice = 1},
        {.text = "It was a long way, and the road is gone. There is nothing left of the bridge at all.", .voice = 2},
    };
    struct watcher w = {0};
    struct st_narrate_job job = job_of(segments, ST_COUNT(segments), &w);
    struct st_narrate_result r;
    assert_int_equal(st_narrate_audio(&arena, &job, &r), 0);
    const char *const files[] = {job.opus_path, job.mp3_path};
    for (size_t f = 0; f < ST_COUNT(files); f++) {
        double least = 0, most = -70;
        for (size_t i = 0; i < ST_COUNT(segments); i++) {
            double lufs = loudness_of(files[f], &r.times[i]);
            print_message("# %s: %.1f LUFS\n", cast[i].id, lufs);
            least = fmin(least, lufs);
            most = fmax(most, lufs);
        }
        assert_true(most - least <= 1 && most < -15 && least > -25);
    }
}

struct parts {
    int count;
    int64_t at, bytes;
};

static int on_part(void *ctx, int number, const char *opus_path, const char *mp3_path, int64_t start_ms, int64_t end_ms)
{
    struct parts *p = ctx;
    assert_int_equal(number, ++p->count);
    assert_int_equal(start_ms, p->at); /* one behind the other */
    assert_in_range(decoded_ms(opus_path), end_ms - start_ms - 2, end_ms - start_ms + 2);
    assert_in_range(decoded_ms(mp3_path), end_ms - start_ms - 2, end_ms - start_ms + 2);
    p->at = end_ms;
    return 0;
}

/* Beside a neutral voice, anger is loud and sadness soft. */
static void test_emotions_have_a_loudness(void **state)
{
    (void)state;
    static const enum st_emotion which[] = {ST_EMOTION_NEUTRAL, ST_EMOTION_ANGER, ST_EMOTION_SADNESS};
    static const double db[] = {0, 3, -2.5};
    struct st_narrate_segment segments[ST_COUNT(which)] = {{0}};
    struct watcher w = {0};
    struct st_narrate_result r;
    for (size_t i = 0; i < ST_COUNT(which); i++)
        segments[i] = (struct st_narrate_segment){.text = SENTENCE, .emotion = which[i], .intensity = 1};
    struct st_narrate_job job = job_of(segments, ST_COUNT(segments), &w);
    assert_int_equal(st_narrate_audio(&arena, &job, &r), 0);
    double neutral = loudness_of(job.opus_path, &r.times[0]);
    for (size_t i = 1; i < ST_COUNT(which); i++) {
        double heard = loudness_of(job.opus_path, &r.times[i]) - neutral;
        if (fabs(heard - db[i]) > 1)
            fail_msg("%s: %.1f dB", st_emotion_word(which[i]), heard);
    }
}

static void test_parts(void **state)
{
    (void)state;
    struct parts parts = {0};
    char *text = st_alloc(&arena, 2000);
    for (size_t i = 0; i < 20; i++)
        snprintf(text + strlen(text), 100, "Number %zu is a sentence of no importance, which is only here to be long. ",
                 i);
    struct st_narrate_segment segments[] = {
        {.text = "Chapter 1", .paragraph_ends = true, .heading = true},
        {.text = text, .paragraph_ends = true},
        {.text = "Chapter 2", .paragraph_ends = true, .heading = true},
        {.text = "The end."},
    };
    struct watcher w = {0};
    struct st_narrate_job job = job_of(segments, ST_COUNT(segments), &w);
    struct st_narrate_result r;
    job.progress = NULL;
    job.cancelled = NULL;
    job.part = on_part;
    job.ctx = &parts;
    assert_int_equal(st_narrate_audio(&arena, &job, &r), 0);
    assert_int_equal(parts.count, 2);
    assert_int_equal(parts.at, r.duration_ms);
    parts = (struct parts){0};
    job.segments = &segments[2];
    job.n_segments = 2; /* short: no parts */
    assert_int_equal(st_narrate_audio(&arena, &job, &r), 0);
    assert_int_equal(parts.count, 0);
}

static void test_narration_that_cannot_be(void **state)
{
    (void)state;
    struct st_narrate_segment segments[] = {{.text = "Hello there."}, {.text = "Good bye."}, {.text = "Once more."}};
    struct watcher w = {0};
    struct st_narrate_job job = job_of(segments, ST_COUNT(segments), &w), bad = job;
    struct st_narrate_result r;
    bad.language = "bo";
    assert_int_equal(st_narrate_audio(&arena, &bad, &r), ST_E_UNPROCESSABLE);
    assert_non_null(r.why);
    bad = job;
    bad.n_voices = 0;
    assert_int_equal(st_narrate_audio(&arena, &bad, &r), ST_E_INVALID);
    bad = job;
    bad.n_segments = 0;
    assert_int_equal(st_narrate_audio(&arena, &bad, &r), ST_E_UNPROCESSABLE);
    bad = job;
    bad.mp3_path = in_dir("none/a.mp3");
    assert_int_equal(st_narrate_audio(&arena, &bad, &r), ST_E_UNAVAILABLE);
    assert_no_files(&job);
    w.cancel_at = 1;
    assert_int_equal(st_narrate_audio(&arena, &job, &r), ST_E_CANCELLED);
    assert_no_files(&job);
    struct st_narrate_segment silent[] = {{.text = "\"\" … 😀"}, {.text = ""}};
    w = (struct watcher){0};
    job = job_of(silent, ST_COUNT(silent), &w);
    assert_int_equal(st_narrate_audio(&arena, &job, &r), ST_E_UNPROCESSABLE);
    struct st_narrate_segment kanji[] = {{.text = "日本語の話"}};
    job = job_of(kanji, 1, &w);
    job.language = "ja";
    assert_int_equal(st_narrate_audio(&arena, &job, &r), ST_E_UNPROCESSABLE);
    assert_no_files(&job);
}

/* A program that dies of the word "crash", talks nonsense of "babble", and else does what narration-speak does. */
static struct st_speech *fragile_speech(void)
{
    const char *path = in_dir("fragile");
    FILE *f = fopen(path, "w");
    fprintf(f,
            "#!/usr/bin/perl\n"
            "binmode STDIN; local $/; my $all = <STDIN>;\n"
            "kill 'SEGV', $$ if $all =~ /crash/;\n"
            "print 'nonsense' and exit if $all =~ /babble/;\n"
            "open my $p, '|-', '%s'; binmode $p; print $p $all; close $p;\n",
            program);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0700), 0);
    struct st_speech *fragile;
    assert_int_equal(st_speech_open(path, ST_SPEECH_TIMEOUT_S, &fragile), 0);
    return fragile;
}

static void test_what_cannot_be_spoken_is_told(void **state)
{
    (void)state;
    struct st_narrate_segment segments[] = {{.text = "One."}, {.text = "Now crash."}, {.text = "Three."}};
    struct st_speech *fragile = fragile_speech();
    struct watcher w = {0};
    struct st_narrate_job job = job_of(segments, ST_COUNT(segments), &w);
    struct st_narrate_result r;
    job.speech = fragile;
    assert_int_equal(st_narrate_audio(&arena, &job, &r), ST_E_BAD_GATEWAY);
    assert_string_equal(r.why, "This cannot be spoken: “Now crash.”");
    assert_no_files(&job);
    segments[1].text = "You babble.";
    segments[1].len = strlen(segments[1].text);
    w = (struct watcher){0};
    assert_int_equal(st_narrate_audio(&arena, &job, &r), ST_E_BAD_GATEWAY);
    assert_string_equal(r.why, "This cannot be spoken: “You babble.”");
    assert_no_files(&job);
    segments[1].text = "Two.";
    segments[1].len = strlen(segments[1].text);
    w = (struct watcher){0};
    assert_int_equal(st_narrate_audio(&arena, &job, &r), 0);
    st_speech_close(fragile);
}

/* A program that says nothing to the word "mute", and to "cut" only half, but the third time. */
static void test_incomplete_sound_is_made_again(void **state)
{
    (void)state;
    const char *path = in_dir("hoarse");
    FILE *f = fopen(path, "w");
    fprintf(f,
            "#!/usr/bin/perl\n"
            "use IPC::Open2;\n"
            "binmode $_ for *STDIN, *STDOUT; local $/; my $all = <STDIN>;\n"
            "my $child = open2(my $out, my $in, '%s'); binmode $_ for $in, $out;\n"
            "print $in $all; close $in;\n"
            "my ($head, $sound) = unpack 'a16 a*', scalar <$out>;\n"
            "if ($all =~ /mute/) { $sound = \"\\0\" x length $sound }\n"
            "elsif ($all =~ /cut/ && (mkdir(\"$0.1\") || mkdir(\"$0.2\"))) {\n"
            "    $sound = substr $sound, 0, 400; substr($head, 12, 4) = pack 'L', 200;\n"
            "}\n"
            "print $head, $sound;\n",
            program);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0700), 0);
    struct st_speech *hoarse;
    assert_int_equal(st_speech_open(path, ST_SPEECH_TIMEOUT_S, &hoarse), 0);
    struct st_narrate_segment segments[] = {{.text = "This was cut off twice."}, {.text = "And this is heard."}};
    struct watcher w = {0};
    struct st_narrate_job job = job_of(segments, ST_COUNT(segments), &w);
    struct st_narrate_result r;
    job.speech = hoarse;
    assert_int_equal(st_narrate_audio(&arena, &job, &r), 0);
    assert_int_equal(r.times[0].error, 0);
    assert_true(r.times[0].end_ms - r.times[0].start_ms > 800);
    segments[1].text = "This one stays mute.";
    w = (struct watcher){0};
    job = job_of(segments, ST_COUNT(segments), &w);
    job.speech = hoarse;
    assert_int_equal(st_narrate_audio(&arena, &job, &r), ST_E_BAD_GATEWAY);
    assert_string_equal(r.why, "This cannot be spoken: “This one stays mute.”");
    assert_no_files(&job);

    char nonsense[300]; /* quickly said, but always alike */
    for (size_t i = 0; i < sizeof(nonsense); i++)
        nonsense[i] = i % 2 ? ' ' : 'a';
    nonsense[sizeof(nonsense) - 1] = '\0';
    struct st_narrate_segment quick = {.text = nonsense};
    w = (struct watcher){0};
    job = job_of(&quick, 1, &w);
    st_voices_narrator("pt", &cast[0]);
    job.speech = hoarse;
    job.language = "pt";
    assert_int_equal(st_narrate_audio(&arena, &job, &r), 0);
    assert_int_equal(r.times[0].error, 0);
    st_speech_close(hoarse);
}

/* Another version of an engine speaks anew what the one before it has said. */
static void test_another_version_is_another_voice(void **state)
{
    (void)state;
    const char *path = in_dir("newer");
    FILE *f = fopen(path, "w");
    fprintf(f, "#!/bin/sh\n'%s' | LC_ALL=C sed 's/^\\(.*flite \\)[0-9]/\\19/'\n", program);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0700), 0);
    struct st_speech *newer;
    assert_int_equal(st_speech_open(path, ST_SPEECH_TIMEOUT_S, &newer), 0);
    assert_true(strstr(st_speech_engines(speech), "flite 2") && strstr(st_speech_engines(speech), "espeak-ng 1"));
    assert_non_null(strstr(st_speech_engines(newer), "flite 9"));
    struct st_narrate_segment segment = {.text = "This was said before."};
    for (size_t i = 0; i < 3; i++) {
        struct watcher w = {0};
        struct st_narrate_job job = job_of(&segment, 1, &w);
        struct st_narrate_result r;
        job.cache_dir = in_dir("versions");
        job.speech = i < 2 ? speech : newer;
        assert_true(i || mkdir(job.cache_dir, 0700) == 0);
        assert_int_equal(st_narrate_audio(&arena, &job, &r), 0);
        assert_int_equal(r.from_cache, i == 1);
        assert_int_equal(r.spoken, i != 1);
        assert_int_equal(r.spoken_characters, i == 1 ? 0 : segment.len);
    }
    st_speech_close(newer);
}

/* --- voices of providers ----------------------------------------------------------------------------------------- */

enum { TONE_HZ = 10000 };
struct provider {
    atomic_int calls;
    const char *address;
};

static int say_tone(void *ctx, const struct st_manner *m, const struct st_narrate_line *line, const atomic_bool *stop,
                    struct st_pcm *ret_pcm, char ret_why[ST_NARRATE_WHY_LEN])
{
    struct provider *p = ctx;
    (void)m, (void)stop, (void)ret_why;
    atomic_fetch_add(&p->calls, 1);
    st_sleep_ms(100);
    *ret_pcm = sine(24000, TONE_HZ, 0.3, 0.06 * (double)line->len);
    return 0;
}

static const char *model_of(void *ctx, const char *voice)
{
    (void)ctx, (void)voice;
    return "m";
}

static const char *address_of(void *ctx, const char *voice)
{
    (void)voice;
    return ((const struct provider *)ctx)->address;
}

struct teller {
    pthread_t thread;
    struct st_arena arena;
    struct st_narrate_job job;
    struct st_narrate_result result;
    int r;
};

static void *tell(void *arg)
{
    struct teller *t = arg;
    t->r = st_narrate_audio(&t->arena, &t->job, &t->result);
    return NULL;
}

/* All at once tell the same. */
static void tell_all(struct teller *tellers, size_t n, struct st_narrate_segment *segments, size_t n_segments,
                     const struct st_narrate_remote *remote, const char *cache)
{
    struct watcher w = {0};
    for (size_t i = 0; i < n; i++) {
        tellers[i] = (struct teller){.job = job_of(segments, n_segments, &w)};
        tellers[i].job.opus_path = st_printf(&arena, "%s/%zu.opus", dir, i);
        tellers[i].job.mp3_path = st_printf(&arena, "%s/%zu.mp3", dir, i);
        tellers[i].job.cache_dir = cache;
        tellers[i].job.remote = remote;
        tellers[i].job.progress = NULL;
        tellers[i].job.cancelled = NULL;
    }
    assert_true(st_voices_find("", "openai:nova", &cast[0])); /* the cast is everybody's */
    for (size_t i = 0; i < n; i++)
        assert_int_equal(pthread_create(&tellers[i].thread, NULL, tell, &tellers[i]), 0);
    for (size_t i = 0; i < n; i++) {
        pthread_join(tellers[i].thread, NULL);
        assert_int_equal(tellers[i].r, 0);
        st_arena_release(&tellers[i].arena);
    }
}

static void test_the_same_is_paid_once(void **state)
{
    (void)state;
    struct st_narrate_segment segments[] = {{.text = "The wind rose. The sea was dark.", .paragraph_ends = true},
                                            {.text = "Nobody came."}};
    struct teller tellers[4];
    struct provider p = {.address = "https://one.example"};
    const struct st_narrate_remote remote = {say_tone, model_of, address_of, &p};
    const char *cache = in_dir("flights");
    size_t spoken = 0;
    assert_int_equal(mkdir(cache, 0700), 0);
    tell_all(tellers, ST_COUNT(tellers), segments, ST_COUNT(segments), &remote, cache);
    assert_int_equal(atomic_load(&p.calls), ST_COUNT(segments));
    for (size_t i = 0; i < ST_COUNT(tellers); i++)
        spoken += tellers[i].result.spoken;
    assert_int_equal(spoken, ST_COUNT(segments));
    tell_all(tellers, 1, segments, ST_COUNT(segments), &remote, cache);
    assert_int_equal(atomic_load(&p.calls), ST_COUNT(segments));
    p.address = "https://two.example"; /* somebody else speaks there */
    tell_all(tellers, 1, segments, ST_COUNT(segments), &remote, cache);
    assert_int_equal(atomic_load(&p.calls), 2 * ST_COUNT(segments));
}

/* How loud a file is above 9 kHz, in dB of full scale. */
static double treble_of(const char *path)
{
    const char *argv[] = {
        "ffmpeg", "-hide_banner", "-nostats", "-i", path, "-af", "highpass=f=9000,highpass=f=9000,volumedetect",
        "-f",     "null",         "-",        NULL};
    struct st_spawn_result r;
    assert_int_equal(st_spawn(&arena, &(struct st_spawn){.argv = argv, .timeout_us = 60 * ST_SECOND}, &r), 0);
    const char *said = strstr(r.err, "mean_volume:");
    assert_non_null(said);
    return strtod(said + strlen("mean_volume:"), NULL);
}

/* Beside a piece that needs less of it, in one file. */
static void test_opus_has_what_a_voice_has(void **state)
{
    (void)state;
    struct st_narrate_segment segments[] = {{.text = "This is read aloud here.", .voice = 2, .paragraph_ends = true},
                                            {.text = "And this is heard from far away, above all telephones."}};
    struct teller teller;
    struct provider p = {.address = ""};
    const struct st_narrate_remote remote = {say_tone, model_of, address_of, &p};
    tell_all(&teller, 1, segments, ST_COUNT(segments), &remote, NULL);
    const char *whole = teller.job.opus_path;
    assert_true(treble_of(whole) > -35);
    assert_in_range(decoded_ms(whole), teller.result.duration_ms - 2, teller.result.duration_ms + 2);
}

/* Between sentences, paragraphs, and around the title of a chapter; a piece ends at a multiple of 120 ms. */
static void test_pauses(void **state)
{
    (void)state;
    struct st_narrate_segment segments[] = {
        {.text = "He went home.", .paragraph_ends = true},
        {.text = "Chapter Two", .heading = true, .paragraph_ends = true},
        {.text = "Nobody was there."},
    };
    struct watcher w = {0};
    struct st_narrate_job job = job_of(segments, ST_COUNT(segments), &w);
    struct st_narrate_result r, one, two;
    assert_int_equal(st_narrate_audio(&arena, &job, &r), 0);
    assert_in_range(r.times[1].start_ms - r.times[0].end_ms, 1790, 1930);
    assert_in_range(r.times[2].start_ms - r.times[1].end_ms, 990, 1130);
    segments[1].heading = false;
    w = (struct watcher){0};
    job = job_of(segments, ST_COUNT(segments), &w);
    assert_int_equal(st_narrate_audio(&arena, &job, &r), 0);
    assert_in_range(r.times[1].start_ms - r.times[0].end_ms, 690, 830);

    struct st_narrate_segment apart[] = {{.text = "He went home."}, {.text = "He went home."}}, same = {0};
    same.text = "He went home. He went home."; /* the same two sounds, and what is between them */
    w = (struct watcher){0};
    job = job_of(apart, ST_COUNT(apart), &w);
    assert_int_equal(st_narrate_audio(&arena, &job, &one), 0);
    w = (struct watcher){0};
    job = job_of(&same, 1, &w);
    assert_int_equal(st_narrate_audio(&arena, &job, &two), 0);
    int64_t sounds = one.times[0].end_ms - one.times[0].start_ms + one.times[1].end_ms - one.times[1].start_ms;
    assert_in_range(two.times[0].end_ms - two.times[0].start_ms - sounds, 250, 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_voices_of_a_file_are_equally_loud, speech_release),
        cmocka_unit_test_teardown(test_emotions_have_a_loudness, speech_release),
        cmocka_unit_test_teardown(test_parts, speech_release),
        cmocka_unit_test_teardown(test_incomplete_sound_is_made_again, speech_release),
        cmocka_unit_test_teardown(test_narration, speech_release),
        cmocka_unit_test_teardown(test_narration_that_cannot_be, speech_release),
        cmocka_unit_test_teardown(test_what_cannot_be_spoken_is_told, speech_release),
        cmocka_unit_test_teardown(test_another_version_is_another_voice, speech_release),
        cmocka_unit_test_teardown(test_the_same_is_paid_once, speech_release),
        cmocka_unit_test_teardown(test_opus_has_what_a_voice_has, speech_release),
        cmocka_unit_test_teardown(test_pauses, speech_release),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, speech_start, speech_stop);
}
