/* The pictures behind a story: a landscape drawn from the colours of a mood, different for each seed. */
#include "video/render_internal.h"

#include <errno.h>
#include <math.h>

struct rgb {
    float r, g, b;
};

enum { RIDGES = 4, WAVES = 4, STARS = 90 };

/* Height on the screen of the farthest ridge, and from one to the next. */
#define RIDGE_Y    400.0f
#define RIDGE_STEP 78.0f

struct mood {
    const char *name;
    uint32_t sky_top, sky_low, light, far, near; /* 0xRRGGBB */
    float light_radius, light_y;                 /* pixels; 0 radius: none */
    float rough;                                 /* 0 rolling hills .. 1 jagged peaks */
    bool stars;
};

static const struct mood moods[ST_MOODS] = {
    {"neutral", 0x33475e, 0xa9b8bd, 0xe9e6d6, 0x7f949f, 0x1c2935, 58, 250, 0.25f, false},
    {"joy", 0x2f7fc1, 0xffd27d, 0xfff3c4, 0xe79a5b, 0x5b2d3f, 78, 270, 0.05f, false},
    {"sadness", 0x101d3a, 0x4f6f98, 0xcfdcec, 0x3c577f, 0x0b1426, 44, 170, 0.15f, true},
    {"anger", 0x2b0a12, 0xd2452a, 0xffb45e, 0x8f2420, 0x1d070c, 92, 330, 0.85f, false},
    {"fear", 0x0b0a1c, 0x473a68, 0xb9c7b0, 0x2f2650, 0x07060f, 36, 150, 1.0f, true},
    {"surprise", 0x3b1f77, 0xff8fb1, 0xffe9a8, 0xb0559c, 0x2a1250, 66, 220, 0.45f, false},
    {"disgust", 0x26301a, 0x9aa457, 0xdfe39a, 0x66733a, 0x161d0f, 50, 290, 0.55f, false},
    {"trust", 0x0f4a5c, 0x9fd8c5, 0xf4f7de, 0x4f9d95, 0x0b2f38, 62, 230, 0.10f, false},
    {"anticipation", 0x1d2460, 0xffa45c, 0xffd9a0, 0x9a4f6d, 0x1b1238, 104, 370, 0.30f, true},
};

struct wave {
    float length, phase, height;
};

/* What is the same for a whole picture, worked out once. */
struct view {
    const struct mood *mood;
    struct rgb top, low, light, ridge[RIDGES];
    float light_x, light_y;
    float *edge[RIDGES]; /* y of each ridge's crest at each x */
};

int st_mood_find(const char *emotion)
{
    for (int i = 0; i < ST_MOODS; i++)
        if (st_streq(emotion, moods[i].name))
            return i;
    return 0;
}

static uint32_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)(z >> 32);
}

/* Uniform in [low, high). */
static float between(uint64_t *state, float low, float high)
{
    return low + (high - low) * (float)(next_random(state) >> 8) / (float)(1 << 24);
}

static struct rgb color(uint32_t hex)
{
    return (struct rgb){(float)(hex >> 16 & 255), (float)(hex >> 8 & 255), (float)(hex & 255)};
}

static struct rgb mix(struct rgb a, struct rgb b, float share)
{
    return (struct rgb){a.r + (b.r - a.r) * share, a.g + (b.g - a.g) * share, a.b + (b.b - a.b) * share};
}

static float clamp01(float x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

/* Crest of one ridge: nearer ridges lie lower and swing wider; rough ones fold their waves into peaks. */
static void draw_crest(float *edge, int layer, float rough, uint64_t *seed)
{
    struct wave waves[WAVES];
    for (int i = 0; i < WAVES; i++) {
        float scale = 1.0f / (float)(1 << i);
        waves[i].length = between(seed, 420, 760) * scale;
        waves[i].phase = between(seed, 0, 6.2832f);
        waves[i].height = (34.0f + 9.0f * (float)layer) * (i == 0 ? 1 : scale * (0.5f + rough));
    }
    float base = RIDGE_Y + RIDGE_STEP * (float)layer;
    for (int x = 0; x < ST_PICTURE_W; x++) {
        float y = base;
        for (int i = 0; i < WAVES; i++) {
            float s = sinf((float)x / waves[i].length * 6.2832f + waves[i].phase);
            float peak = 1 - 2 * fabsf(s);
            y -= waves[i].height * (s + (peak - s) * rough);
        }
        edge[x] = y;
    }
}

static struct rgb sky_at(const struct view *v, float x, float y)
{
    struct rgb c = mix(v->top, v->low, powf(clamp01(y / 520.0f), 1.25f));
    float radius = v->mood->light_radius;
    float dx = x - v->light_x, dy = y - v->light_y, d2 = dx * dx + dy * dy;
    c = mix(c, v->light, 0.62f / (1 + d2 / (radius * radius * 4.5f)));
    return mix(c, v->light, clamp01(radius - sqrtf(d2) + 0.5f) * 0.92f);
}

/* Mist fills the valleys between the ridges, thickest far away, so that they stand apart. */
static float mist_at(int layer, int y)
{
    float crest = RIDGE_Y + RIDGE_STEP * (float)layer;
    return 0.16f * (float)(RIDGES - 1 - layer) * clamp01(((float)y - crest + 40.0f) / 200.0f);
}

static struct rgb pixel_at(const struct view *v, int x, int y)
{
    for (int i = RIDGES - 1; i >= 0; i--) {
        float depth = (float)y - v->edge[i][x];
        if (depth <= -0.5f)
            continue;
        struct rgb c = mix(v->ridge[i], v->low, mist_at(i, y));
        if (depth >= 0.5f)
            return c;
        struct rgb behind = i ? v->ridge[i - 1] : sky_at(v, (float)x, (float)y);
        return mix(behind, c, depth + 0.5f);
    }
    return sky_at(v, (float)x, (float)y);
}

static unsigned char to_byte(float value, float noise)
{
    float x = value + noise;
    return x <= 0 ? 0 : x >= 255 ? 255 : (unsigned char)x;
}

static void draw_stars(unsigned char *rgb, const struct view *v, uint64_t *seed)
{
    for (int i = 0; i < STARS; i++) {
        int x = (int)between(seed, 2, ST_PICTURE_W - 2), y = (int)between(seed, 2, 330);
        float bright = between(seed, 30, 150) * (1 - (float)y / 420.0f);
        float dx = (float)x - v->light_x, dy = (float)y - v->light_y, radius = v->mood->light_radius + 4;
        if ((float)y >= v->edge[0][x] - 4 || dx * dx + dy * dy < radius * radius)
            continue;
        for (int px = 0; px < 2; px++)
            for (int py = 0; py < 2; py++) {
                unsigned char *p = rgb + 3 * ((size_t)(y + py) * ST_PICTURE_W + (size_t)(x + px));
                for (int c = 0; c < 3; c++)
                    p[c] = to_byte((float)p[c] + bright, 0);
            }
    }
}

static int write_ppm(const char *path, const unsigned char *rgb, size_t size)
{
    FILE *f = fopen(path, "wbe");
    if (!f)
        return ST_E_UNAVAILABLE;
    bool ok = fprintf(f, "P6\n%d %d\n255\n", ST_PICTURE_W, ST_FRAME_H) > 0 && fwrite(rgb, 1, size, f) == size;
    return fclose(f) == 0 && ok ? 0 : ST_E_UNAVAILABLE;
}

int st_picture_write(const char *path, int mood, uint64_t seed)
{
    struct st_arena a = {0};
    struct view v = {.mood = &moods[mood]};
    v.top = color(v.mood->sky_top);
    v.low = color(v.mood->sky_low);
    v.light = color(v.mood->light);
    v.light_x = between(&seed, 300, ST_PICTURE_W - 300);
    v.light_y = v.mood->light_y + between(&seed, -40, 30);
    for (int i = 0; i < RIDGES; i++) {
        v.ridge[i] = mix(color(v.mood->far), color(v.mood->near), (float)i / (RIDGES - 1));
        v.edge[i] = st_new_n(&a, float, ST_PICTURE_W);
        draw_crest(v.edge[i], i, v.mood->rough, &seed);
    }
    size_t size = (size_t)3 * ST_PICTURE_W * ST_FRAME_H;
    unsigned char *rgb = st_alloc(&a, size), *p = rgb;
    for (int y = 0; y < ST_FRAME_H; y++)
        for (int x = 0; x < ST_PICTURE_W; x++, p += 3) {
            struct rgb c = pixel_at(&v, x, y);
            float noise = between(&seed, 0, 1); /* breaks up the bands of a smooth sky */
            p[0] = to_byte(c.r, noise);
            p[1] = to_byte(c.g, noise);
            p[2] = to_byte(c.b, noise);
        }
    if (v.mood->stars)
        draw_stars(rgb, &v, &seed);
    int rc = write_ppm(path, rgb, size);
    st_arena_release(&a);
    return rc;
}
