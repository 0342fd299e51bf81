#ifndef ST_NARRATION_CAPTIONS_H
#define ST_NARRATION_CAPTIONS_H
/* A narration as text that goes with its sound: WebVTT. */
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

#endif
