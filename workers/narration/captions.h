#ifndef ST_NARRATION_CAPTIONS_H
#define ST_NARRATION_CAPTIONS_H
/* A narration as text that goes with its sound: WebVTT, and an EPUB 3 with media overlays. */
#include "base/base.h"

struct st_caption_segment {
    const char *id, *text;    /* id: letters and digits */
    const char *speaker;      /* NULL: the narrator */
    int64_t start_ms, end_ms; /* equal: it is not heard */
    int64_t paragraph;
    bool heading; /* a chapter begins with it */
};

/* WebVTT. Segments are cut into cues of two lines, whose times share the segment's by their lengths. */
void st_captions_vtt(const struct st_caption_segment *segments, size_t n, struct st_buf *out);

struct st_epub {
    const char *id, *title, *language; /* id: a UUID; language: BCP 47 */
    int64_t modified;                  /* us since 1970 */
    int64_t duration_ms;
    const char *mp3_path;
    const struct st_caption_segment *segments;
    size_t n_segments;
};
/* Writes the book. ST_E_UNAVAILABLE: the sound cannot be read, or the file not be written. */
int st_epub_write(const struct st_epub *book, const char *path) ST_MUSTCHECK;

#endif
