/* Utterances in other languages by espeak-ng. */
#include <math.h>

#include <espeak-ng/speak_lib.h>

#include "narration/speak.h"

enum { NORMAL_WPM = 165, NORMAL = 50, VOICE_NAME_LEN = 128 };

/* The library's callback takes no context of ours before the first event; one utterance per process allows this. */
static struct speak_sound *sound;
static bool too_long;

/*
 * Stands before libpcaudio's function of this name: without it the library connects to a sound server even when the
 * sound is only to be handed over. NULL is its answer where there is no sound device.
 */
struct audio_object;
struct audio_object *create_audio_device_object(const char *device, const char *application, const char *description);
struct audio_object *create_audio_device_object(const char *device, const char *application, const char *description)
{
    (void)device;
    (void)application;
    (void)description;
    return NULL;
}

static int gather(short *wav, int count, espeak_EVENT *events)
{
    (void)events;
    if (wav && count > 0 && !speak_sound_add(sound, wav, (size_t)count))
        too_long = true;
    return too_long; /* 1 ends the synthesis */
}

/* Without exit() when the library's data is missing. */
static int start(void)
{
    enum { DONT_EXIT = 1 << 15 };
    return espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, NULL, DONT_EXIT);
}

/* The parameter is 0..100 around 50; measured, a step up is 1/67 octave, a step down 1/100. */
static int pitch_setting(int thousandths)
{
    double octaves = log2(thousandths / 1000.0);
    int p = (int)lround(NORMAL + octaves * (octaves > 0 ? 67 : 100));
    return p < 0 ? 0 : p > 100 ? 100 : p;
}

static int range_setting(int thousandths)
{
    int r = thousandths * NORMAL / 1000;
    return r > 100 ? 100 : r;
}

/* The file of the voice for a language; its name does not always select it. */
static const char *voice_file(const char *language)
{
    for (const espeak_VOICE **v = espeak_ListVoices(NULL); *v; v++)
        for (const char *l = (*v)->languages; *l; l += strlen(l) + 1)
            if (st_streq(++l, language)) /* a byte of priority stands before each name */
                return (*v)->identifier;
    return NULL;
}

static bool select_voice(const char *language, const char *variant)
{
    char name[VOICE_NAME_LEN];
    const char *file = voice_file(language);
    if (!file)
        return false;
    snprintf(name, sizeof(name), *variant ? "%s+%s" : "%s", file, variant);
    return espeak_SetVoiceByName(name) == EE_OK;
}

enum speak_status speak_espeak(const struct speak_request *req, const char *text, struct speak_sound *ret_sound)
{
    int rate = start();
    if (rate <= 0)
        return SPEAK_FAILED;
    if (!select_voice(req->language, req->voice))
        return SPEAK_NO_VOICE;
    sound = ret_sound;
    sound->rate = (uint32_t)rate;
    espeak_SetSynthCallback(gather);
    espeak_SetParameter(espeakRATE, NORMAL_WPM * req->rate / 1000, 0);
    espeak_SetParameter(espeakPITCH, pitch_setting(req->pitch), 0);
    espeak_SetParameter(espeakRANGE, range_setting(req->range), 0);
    if (espeak_Synth(text, strlen(text) + 1, 0, POS_CHARACTER, 0, espeakCHARS_UTF8, NULL, NULL) != EE_OK)
        return SPEAK_FAILED;
    return too_long ? SPEAK_TOO_LONG : SPEAK_DONE;
}

enum speak_status speak_espeak_languages(struct st_buf *out)
{
    const char *data;
    if (start() <= 0)
        return SPEAK_FAILED;
    st_buf_printf(out, "espeak-ng %s\n", espeak_Info(&data));
    for (const espeak_VOICE **v = espeak_ListVoices(NULL); *v; v++) {
        for (const char *l = (*v)->languages; *l; l += strlen(l) + 1) {
            st_buf_str(out, ++l);
            st_buf_char(out, '\n');
        }
    }
    return out->failed ? SPEAK_FAILED : SPEAK_DONE;
}
