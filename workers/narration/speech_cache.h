#ifndef ST_NARRATION_SPEECH_CACHE_H
#define ST_NARRATION_SPEECH_CACHE_H
/*
 * What was spoken, on disk, so that a job taken up again goes on where it stopped, and one changed sentence is one
 * synthesis (of a provider's voice, one of its segment): utterances as samples, and pieces (encode.h) as they go into
 * files. A file's name is the SHA-256 of all that decides its sound; files appear whole, by rename, and a broken one
 * counts as missing. Thread-safe, and safe between processes.
 *
 * An hour of speech takes about 160 MB; st_speech_cache_trim keeps the directory within bounds and is to be called now
 * and then. dir must exist.
 */
#include "io/crypto.h"
#include "narration/speech.h"

struct st_speech_key {
    unsigned char digest[ST_SHA256_LEN];
    uint64_t voices; /* marks of the providers' voices that are heard in it; of several, all of their marks */
};

/* Of an utterance: text, manner (with who makes it), ST_SPEECH_RULES. */
struct st_speech_key st_speech_key_of(const struct st_manner *manner, const char *text, size_t len);

/* A hit is bit for bit what was put; the caller frees *ret_data. */
bool st_speech_cache_get(const char *dir, const struct st_speech_key *key, void **ret_data, size_t *ret_len);
/* False when it cannot be written (disk full, no directory); nothing is left then. */
bool st_speech_cache_put(const char *dir, const struct st_speech_key *key, const void *data, size_t len);

/* The same of an utterance's sound. The caller releases *ret_pcm. */
bool st_speech_cache_get_pcm(const char *dir, const struct st_speech_key *key, struct st_pcm *ret_pcm);
bool st_speech_cache_put_pcm(const char *dir, const struct st_speech_key *key, const struct st_pcm *pcm);

/*
 * Single flight: whoever makes what a key stands for claims it, and looks again whether it is there now. Waits while
 * another thread or process has the claim, which ends with st_speech_cache_release, or with its process. -1: *stop
 * became true (NULL: never), or the directory takes no files: then it is made without.
 */
int st_speech_cache_claim(const char *dir, const struct st_speech_key *key, const atomic_bool *stop);
void st_speech_cache_release(int claim); /* -1 is fine */

/*
 * Removes all that a provider's voice is heard in, by its name as of st_manner. Marks are few, so now and then
 * something else goes too; it is spoken again when it is wanted. ST_E_UNAVAILABLE: something could not be removed.
 */
int st_speech_cache_forget(const char *dir, const char *voice) ST_MUSTCHECK;

/*
 * Removes the least recently used files until max_bytes are left; what a provider says counts as used so many days
 * later than it was, for our own voices say theirs again for nothing. Gives the bytes left, or ST_E_UNAVAILABLE.
 */
enum { ST_SPEECH_PAID_DAYS = 30 };
int64_t st_speech_cache_trim(const char *dir, int64_t max_bytes);

#endif
