/* The pictures behind a story: a place drawn from the colours of a mood, different for each seed. */
#include "video/render_internal.h"

#include <math.h>

struct rgb {
    float r, g, b;
};

enum { RIDGES = 4, WAVES = 4, STARS = 90 };

/* The canvas is 720 units high, whatever its size in pixels, and as wide as that makes it. */
#define CANVAS_H 720.0f
/* Height of the farthest ridge, and from one to the next; where the sea and the floor of a room begin. */
#define RIDGE_Y    400.0f
#define RIDGE_STEP 78.0f
#define HORIZON    415.0f
#define FLOOR      590.0f

struct mood {
    const char *name;
    uint32_t sky_top, sky_low, light, far, near; /* 0xRRGGBB */
    float light_radius, light_y;
    float rough; /* 0 rolling hills .. 1 jagged peaks */
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

/* What a place adds to the ridges: how wild they are beside the mood's own, how high, and a tint. */
static const struct look {
    float rough, height, tint;
    uint32_t color;
} looks[ST_PLACES] = {
    [ST_PLACE_OPEN] = {0, 1, 0, 0},
    [ST_PLACE_SEA] = {0.2f, 0.45f, 0, 0},
    [ST_PLACE_FOREST] = {0.1f, 0.7f, 0.25f, 0x1d4a2f},
    [ST_PLACE_MOUNTAIN] = {0.8f, 1.9f, 0.15f, 0x5b6b80},
    [ST_PLACE_DESERT] = {-1, 0.55f, 0.45f, 0xc98f4e},
    [ST_PLACE_CITY] = {0, 0.4f, 0, 0},
    [ST_PLACE_ROOM] = {0.1f, 0.8f, 0, 0},
};

/* What is the same for a whole picture, worked out once. Coordinates are the canvas'. */
struct view {
    const struct mood *mood;
    enum st_place place;
    int w, h;
    float unit, width; /* pixels of a unit; width of the canvas */
    struct rgb top, low, light, ridge[RIDGES];
    float light_x, light_y;
    float *edge[RIDGES]; /* y of each ridge's crest at each pixel's column */
    uint32_t seed;
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

/* 0..1 for a cell of a grid, the same each time. */
static float cell(uint32_t seed, int x, int y)
{
    uint64_t state = ((uint64_t)seed << 32) ^ ((uint32_t)x * 73856093u ^ (uint32_t)y * 19349663u);
    return between(&state, 0, 1);
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

/* --- crests ------------------------------------------------------------------------------------------------------ */

struct wave {
    float length, phase, height;
};

/* Nearer ridges lie lower and swing wider; rough ones fold their waves into peaks. */
static void draw_crest(struct view *v, int layer, uint64_t *seed)
{
    const struct look *look = &looks[v->place];
    float rough = clamp01(v->mood->rough + look->rough);
    struct wave waves[WAVES];
    for (int i = 0; i < WAVES; i++) {
        float scale = 1.0f / (float)(1 << i);
        waves[i].length = between(seed, 420, 760) * scale;
        waves[i].phase = between(seed, 0, 6.2832f);
        waves[i].height = look->height * (34.0f + 9.0f * (float)layer) * (i == 0 ? 1 : scale * (0.5f + rough));
    }
    float base = RIDGE_Y + RIDGE_STEP * (float)layer;
    for (int x = 0; x < v->w; x++) {
        float y = base;
        for (int i = 0; i < WAVES; i++) {
            float s = sinf((float)x / v->unit / waves[i].length * 6.2832f + waves[i].phase);
            y -= waves[i].height * (s + (1 - 2 * fabsf(s) - s) * rough);
        }
        v->edge[layer][x] = y;
    }
}

/* Spruces stand on a crest, each a triangle that is as wide as it likes. */
static void plant_trees(struct view *v, int layer, uint64_t *seed)
{
    float size = 26.0f + 22.0f * (float)layer;
    for (float at = -size; at < v->width + size; at += between(seed, 0.25f, 0.6f) * size) {
        float tall = between(seed, 0.8f, 2.1f) * size, wide = tall * between(seed, 0.16f, 0.24f);
        float foot = v->edge[layer][(int)(clamp01(at / v->width) * (float)(v->w - 1))] + 14;
        for (int x = (int)((at - wide) * v->unit); x <= (int)((at + wide) * v->unit); x++) {
            if (x < 0 || x >= v->w)
                continue;
            float away = fabsf((float)x / v->unit - at) / wide;
            float rise = tall * (1 - away) - 3.0f * fabsf(sinf(away * 9.0f)); /* branches */
            if (foot - rise < v->edge[layer][x])
                v->edge[layer][x] = foot - rise;
        }
    }
}

/* Houses stand side by side; a few are towers. */
static void build_houses(struct view *v, int layer, uint64_t *seed)
{
    float size = 34.0f + 20.0f * (float)layer;
    for (float at = 0; at < v->width;) {
        float wide = between(seed, 0.9f, 2.0f) * size, chance = between(seed, 0, 1);
        float top = RIDGE_Y + RIDGE_STEP * (float)layer + 30 - size * (chance > 0.8f ? 4.2f : 1.2f + 2.2f * chance);
        bool gable = between(seed, 0, 1) < 0.4f;
        for (int x = (int)(at * v->unit); x < (int)((at + wide) * v->unit) && x < v->w; x++) {
            float middle = fabsf((float)x / v->unit - at - wide / 2);
            v->edge[layer][x] = top - (gable ? (wide / 2 - middle) * 0.8f : 0);
        }
        at += wide;
    }
}

/* --- one pixel --------------------------------------------------------------------------------------------------- */

static struct rgb sky_at(const struct view *v, float x, float y)
{
    float t = clamp01(y / 520.0f);
    struct rgb c = mix(v->top, v->low, t * (0.75f + 0.25f * t));
    float radius = v->mood->light_radius;
    float dx = x - v->light_x, dy = y - v->light_y, d2 = dx * dx + dy * dy;
    c = mix(c, v->light, 0.62f / (1 + d2 / (radius * radius * 4.5f)));
    float edge = (radius - sqrtf(d2)) * v->unit;
    return mix(c, v->light, clamp01(edge + 0.5f) * 0.92f);
}

/* Mist fills the valleys between the ridges, thickest far away, so that they stand apart. */
static float mist_at(int layer, float y)
{
    float crest = RIDGE_Y + RIDGE_STEP * (float)layer;
    return 0.16f * (float)(RIDGES - 1 - layer) * clamp01((y - crest + 40.0f) / 200.0f);
}

static struct rgb ridge_at(const struct view *v, int layer, int px, float x, float y)
{
    struct rgb c = mix(v->ridge[layer], v->low, mist_at(layer, y));
    float depth = y - v->edge[layer][px];
    if (v->place == ST_PLACE_MOUNTAIN && layer < 2) { /* snow, down to a ragged line */
        float line = 26.0f + 16.0f * sinf(x * 0.11f + (float)layer) + 9.0f * sinf(x * 0.31f);
        float high = clamp01((RIDGE_Y + RIDGE_STEP * (float)layer - 20 - v->edge[layer][px]) / 60.0f);
        c = mix(c, (struct rgb){236, 240, 246}, 0.75f * high * clamp01((line - depth) / 8.0f));
    }
    if (v->place == ST_PLACE_CITY && layer > 0) { /* windows, some of them lit */
        float size = 9.0f + 4.0f * (float)layer;
        int cx = (int)(x / size), cy = (int)(y / (size * 1.35f));
        float ix = x / size - (float)cx, iy = y / (size * 1.35f) - (float)cy;
        if (depth > size && ix > 0.3f && ix < 0.72f && iy > 0.3f && iy < 0.75f)
            c = cell(v->seed + (uint32_t)layer, cx, cy) < 0.22f ? mix(c, (struct rgb){255, 214, 130}, 0.85f)
                                                                : mix(c, v->low, 0.10f);
    }
    return c;
}

static struct rgb land_at(const struct view *v, int px, float x, float y, int layers)
{
    for (int i = layers - 1; i >= 0; i--) {
        float depth = (y - v->edge[i][px]) * v->unit;
        if (depth <= -0.5f)
            continue;
        struct rgb c = ridge_at(v, i, px, x, y);
        if (depth >= 0.5f)
            return c;
        struct rgb behind = i ? v->ridge[i - 1] : sky_at(v, x, y);
        return mix(behind, c, depth + 0.5f);
    }
    return sky_at(v, x, y);
}

/* Water takes the sky's colours upside down, and glitters below the light. */
static struct rgb sea_at(const struct view *v, int px, float x, float y)
{
    float depth = y - HORIZON;
    if (depth < 0)
        return land_at(v, px, x, y, 1);
    struct rgb c = mix(mix(v->low, v->top, clamp01(0.35f + depth / 420.0f)), v->ridge[RIDGES - 1], depth / 800.0f);
    float far = 3.0f + depth * 0.09f; /* waves grow towards us */
    float wave = sinf(y * 18.0f / far + 2.0f * sinf(x / (far * 9.0f) + y * 0.05f)) +
                 0.7f * sinf(x / (far * 5.0f) - y * 9.0f / far);
    c = mix(c, v->light, 0.05f * clamp01(wave));
    float dx = (x - v->light_x) / (26.0f + depth * 0.55f);
    return mix(c, v->light, 0.7f * clamp01(wave * 0.8f) * expf(-dx * dx));
}

/* A wall with a window on the world, a floor, and a lamp. */
static struct rgb room_at(const struct view *v, int px, float x, float y)
{
    float left = v->width * 0.16f, right = v->width * 0.56f, top = 110, bottom = 470;
    float lamp_x = v->width * 0.8f, lamp_y = 330;
    struct rgb wall = mix(v->ridge[RIDGES - 1], v->ridge[0], 0.35f), wood = mix(v->ridge[RIDGES - 1], wall, 0.3f);
    bool pane = x > left && x < right && y > top && y < bottom;
    bool frame = fabsf(x - (left + right) / 2) < 5 || fabsf(y - (top + bottom) * 0.46f) < 5;
    struct rgb c = wall;
    if (pane && !frame)
        return land_at(v, px, x, y, 1);
    if (pane || (x > left - 14 && x < right + 14 && y > top - 14 && y < bottom + 14))
        c = wood;
    if (y > FLOOR)
        c = mix(v->ridge[RIDGES - 1], wood,
                0.3f + 0.25f * (float)((int)((x - v->width / 2) / (30 + (y - FLOOR) * 0.5f)) & 1));
    float dx = x - lamp_x, dy = y - lamp_y, d2 = dx * dx + dy * dy;
    c = mix(c, (struct rgb){255, 196, 112}, 0.75f / (1 + d2 / 16000.0f));
    bool shade = y > lamp_y - 42 && y < lamp_y + 26 && fabsf(dx) < 30 + (y - lamp_y + 42) * 0.42f;
    bool stand = fabsf(dx) < 3 && y > lamp_y && y < FLOOR + 40;
    return shade ? (struct rgb){255, 224, 160} : stand ? v->ridge[RIDGES - 1] : c;
}

static struct rgb pixel_at(const struct view *v, int px, int py)
{
    float x = (float)px / v->unit, y = (float)py / v->unit;
    return v->place == ST_PLACE_SEA    ? sea_at(v, px, x, y)
           : v->place == ST_PLACE_ROOM ? room_at(v, px, x, y)
                                       : land_at(v, px, x, y, RIDGES);
}

/* --- the whole --------------------------------------------------------------------------------------------------- */

static unsigned char to_byte(float value)
{
    return value <= 0 ? 0 : value >= 255 ? 255 : (unsigned char)value;
}

static void draw_stars(const struct view *v, struct st_picture *p, uint64_t *seed)
{
    int size = (int)(2 * v->unit);
    for (int i = 0; i < STARS; i++) {
        float x = between(seed, 4, v->width - 4), y = between(seed, 2, 330);
        float bright = between(seed, 30, 150) * (1 - y / 420.0f);
        float dx = x - v->light_x, dy = y - v->light_y, radius = v->mood->light_radius + 4;
        int px = (int)(x * v->unit), py = (int)(y * v->unit);
        if (y >= v->edge[0][px] - 4 || dx * dx + dy * dy < radius * radius || v->place == ST_PLACE_ROOM)
            continue;
        for (int k = 0; k < size * size; k++) {
            unsigned char *luma = p->plane[0] + (size_t)(py + k / size) * (size_t)v->w + px + k % size;
            *luma = to_byte((float)*luma + bright * 0.86f);
        }
    }
}

/* BT.709, 16..235. */
static void put_pixels(const struct view *v, struct st_picture *p, uint64_t *seed)
{
    for (int y = 0; y < v->h; y += 2)
        for (int x = 0; x < v->w; x += 2) {
            struct rgb sum = {0, 0, 0};
            for (int k = 0; k < 4; k++) {
                struct rgb c = pixel_at(v, x + (k & 1), y + (k >> 1));
                sum = (struct rgb){sum.r + c.r, sum.g + c.g, sum.b + c.b};
                float noise = between(seed, 0, 1); /* breaks up the bands of a smooth sky */
                p->plane[0][(size_t)(y + (k >> 1)) * (size_t)v->w + (size_t)(x + (k & 1))] =
                    to_byte(16 + 0.1826f * c.r + 0.6142f * c.g + 0.0620f * c.b + noise);
            }
            size_t at = (size_t)(y / 2) * (size_t)(v->w / 2) + (size_t)(x / 2);
            float r = sum.r / 4, g = sum.g / 4, b = sum.b / 4;
            p->plane[1][at] = to_byte(128.5f - 0.1006f * r - 0.3386f * g + 0.4392f * b);
            p->plane[2][at] = to_byte(128.5f + 0.4392f * r - 0.3989f * g - 0.0403f * b);
        }
}

static void shape_land(struct view *v, uint64_t *seed)
{
    const struct look *look = &looks[v->place];
    for (int i = 0; i < RIDGES; i++) {
        struct rgb c = mix(color(v->mood->far), color(v->mood->near), (float)i / (RIDGES - 1));
        v->ridge[i] = mix(c, color(look->color), look->tint * (1 - 0.2f * (float)i));
        draw_crest(v, i, seed);
        if (v->place == ST_PLACE_FOREST && i > 0)
            plant_trees(v, i, seed);
        if (v->place == ST_PLACE_CITY && i > 0)
            build_houses(v, i, seed);
    }
}

void st_picture_draw(struct st_picture *p, int mood, enum st_place place, uint64_t seed)
{
    struct st_arena a = {0};
    struct view v = {.mood = &moods[mood],
                     .place = place,
                     .w = p->w,
                     .h = p->h,
                     .unit = (float)p->h / CANVAS_H,
                     .seed = (uint32_t)seed};
    v.width = (float)p->w / v.unit;
    v.top = color(v.mood->sky_top);
    v.low = color(v.mood->sky_low);
    v.light = color(v.mood->light);
    v.light_x = v.width * between(&seed, 0.22f, 0.78f);
    v.light_y = v.mood->light_y + between(&seed, -40, 30);
    if (place == ST_PLACE_ROOM) /* in the window */
        v.light_x = v.width * 0.3f;
    for (int i = 0; i < RIDGES; i++)
        v.edge[i] = st_new_n(&a, float, v.w);
    shape_land(&v, &seed);
    put_pixels(&v, p, &seed);
    if (v.mood->stars)
        draw_stars(&v, p, &seed);
    st_arena_release(&a);
}

struct st_picture *st_picture_new(struct st_arena *a, int w, int h)
{
    struct st_picture *p = st_new(a, struct st_picture);
    size_t luma = (size_t)w * (size_t)h;
    unsigned char *all = st_alloc(a, luma * 3 / 2);
    *p = (struct st_picture){.w = w, .h = h, .plane = {all, all + luma, all + luma * 5 / 4}};
    return p;
}
