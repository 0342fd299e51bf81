#ifndef ST_NARRATION_PCM_H
#define ST_NARRATION_PCM_H
/*
 * What is done to sound between a synthesiser and the encoders: silence trimmed, one sample rate, one loudness.
 * 16-bit mono throughout; every function is linear in the number of samples and thread-safe.
 */
#include "narration/speech.h"

enum { ST_PCM_RATE = 24000 }; /* Hz: MP3 and Opus both take it, and it is 3/2 of flite's 16,000 */

/* Cuts what is quieter than -50 dB of full scale at both ends, but leaves 15 ms of it. Silence becomes empty. */
void st_pcm_trim(struct st_pcm *pcm);

/* To ST_PCM_RATE. False when the rate is none that a synthesiser has (8,000 to 48,000 Hz); pcm is as it was then. */
bool st_pcm_resample(struct st_pcm *pcm) ST_MUSTCHECK;

/*
 * Integrated loudness in LUFS as EBU R128 measures a programme, by libebur128; -70 for silence.
 */
double st_pcm_loudness(const struct st_pcm *pcm);

/* Multiplies by 10^(db/20); what would pass -3 dB is bent so that nothing passes -1 dB. */
void st_pcm_gain(struct st_pcm *pcm, double db);

#endif
