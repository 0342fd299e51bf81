#ifndef ST_NARRATION_SPEECH_CACHE_H
#define ST_NARRATION_SPEECH_CACHE_H
/*
 * Spoken utterances on disk, so that a job taken up again goes on where it stopped, and one changed sentence is one
 * synthesis. A file's name is the SHA-256 of all that decides its sound (text, manner, ST_SPEECH_RULES); files appear
 * whole, by rename, and a broken one counts as missing. Thread-safe, and safe between processes.
 *
 * An hour of speech takes about 115 MB; st_speech_cache_trim keeps the directory within bounds and is to be called
 * now and then.
 */
#include "narration/speech.h"

/* dir: must exist. A hit is bit for bit what was put. The caller releases *ret_pcm. */
bool st_speech_cache_get(const char *dir, const struct st_manner *manner, const char *text, size_t len,
                         struct st_pcm *ret_pcm);

/* False when it cannot be written (disk full, no directory); nothing is left then. */
bool st_speech_cache_put(const char *dir, const struct st_manner *manner, const char *text, size_t len,
                         const struct st_pcm *pcm);

/* Removes the least recently used files until max_bytes are left. Gives the bytes left, or ST_E_UNAVAILABLE. */
int64_t st_speech_cache_trim(const char *dir, int64_t max_bytes);

#endif
