/* English utterances by flite's built-in voices. */
#include <flite/flite.h>
#include <flite/cst_cg.h>
#include <flite/flite_version.h>

#include "narration/speak.h"

const char *const speak_flite_version = FLITE_PROJECT_VERSION; /* that it was built for: the library does not say */

/* flite's voice libraries come without headers. */
cst_voice *register_cmu_us_awb(const char *directory);
cst_voice *register_cmu_us_kal16(const char *directory);
cst_voice *register_cmu_us_rms(const char *directory);
cst_voice *register_cmu_us_slt(const char *directory);

static const struct {
    const char *name;
    cst_voice *(*make)(const char *directory);
} voices[] = {
    {"awb", register_cmu_us_awb},
    {"kal16", register_cmu_us_kal16},
    {"rms", register_cmu_us_rms},
    {"slt", register_cmu_us_slt},
};

static cst_voice *voice_make(const char *name)
{
    for (size_t i = 0; i < ST_COUNT(voices); i++)
        if (st_streq(voices[i].name, name))
            return voices[i].make(NULL);
    return NULL;
}

/*
 * The statistical voices are vocoders: pitch, its range and the length of the vocal tract (the warping of the
 * spectrum) are parameters of the synthesis itself, so changing them costs no quality.
 */
static void shape_statistical(cst_voice *voice, const struct speak_request *req)
{
    cst_cg_db *own = malloc(sizeof(*own));
    if (!own)
        abort();
    *own = *val_cg_db(feat_val(voice->features, "cg_db"));
    own->freeable = 0;
    own->spamf0 = 0;  /* rms' second pitch model takes no settings */
    own->gain = 1.0f; /* the voices' own 1.5 lets loud vowels wrap around 16 bits */
    own->mlsa_alpha += (float)req->tract / 1000.0f;
    flite_feat_set(voice->features, "cg_db", cg_db_val(own));
    flite_feat_set_float(voice->features, "int_f0_target_mean", own->f0_mean * (float)req->pitch / 1000.0f);
    flite_feat_set_float(voice->features, "int_f0_target_stddev",
                         own->f0_stddev * (float)req->range / 1000.0f * (float)req->pitch / 1000.0f);
}

static void scale(cst_voice *voice, const char *feature, float factor)
{
    flite_feat_set_float(voice->features, feature, flite_get_param_float(voice->features, feature, 1.0f) * factor);
}

enum speak_status speak_flite(const struct speak_request *req, const char *text, struct speak_sound *ret_sound)
{
    flite_init();
    cst_voice *voice = voice_make(req->voice);
    if (!voice)
        return SPEAK_NO_VOICE;
    if (feat_present(voice->features, "cg_db")) {
        shape_statistical(voice, req);
    } else {
        scale(voice, "int_f0_target_mean", (float)req->pitch / 1000.0f);
        scale(voice, "int_f0_target_stddev", (float)req->range / 1000.0f * (float)req->pitch / 1000.0f);
    }
    scale(voice, "duration_stretch", 1000.0f / (float)req->rate);
    cst_wave *wave = flite_text_to_wave(text, voice);
    if (!wave || wave->num_samples < 0 || wave->num_channels != 1 || wave->sample_rate <= 0)
        return SPEAK_FAILED;
    ret_sound->rate = (uint32_t)wave->sample_rate;
    return speak_sound_add(ret_sound, wave->samples, (size_t)wave->num_samples) ? SPEAK_DONE : SPEAK_TOO_LONG;
}
