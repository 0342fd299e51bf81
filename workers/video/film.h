#ifndef ST_VIDEO_FILM_H
#define ST_VIDEO_FILM_H
/*
 * Providers of short films ("clips") from a description: Runway, Luma, and Pika by way of fal. What each speaks; when
 * it is asked, video_clip.c says. Sources: the providers' own clients of 2026 (@runwayml/sdk 4.20, lumaai 1.19,
 * @fal-ai/client 1.10).
 */
#include "io/crypto.h"
#include "svc/provider.h"

struct film_wish {
    const char *prompt;
    int seconds; /* one of the lengths that the provider makes */
    bool upright, large;
    int64_t seed;
    const char *picture;  /* address of a JPEG that it begins with; "" for none */
    const char *callback; /* where to tell that it is done; "" for nowhere */
};

enum film_state { FILM_WAITS, FILM_DONE, FILM_FAILED };

struct film_status {
    enum film_state state;
    enum st_outcome outcome; /* of one that has failed: content, quota, transient or permanent */
    const char *why;         /* for people; NULL unless it has failed */
    const char *url;         /* of one that is done: to be fetched soon, it expires */
    const char *next;        /* the result is elsewhere: the path to ask; or NULL */
};

/* What a provider that calls back signs: some headers ("" when they are absent), and the body as it came. */
struct film_told {
    const char *request, *user, *time, *signature;
    const char *body;
    size_t len;
};

enum { FILM_LENGTHS = 9 };
struct film_api {
    struct st_provider http;   /* its price is that of a second */
    const char *model;         /* another films otherwise: what one has filmed is not taken for what is asked of it */
    int lengths[FILM_LENGTHS]; /* seconds that it makes and charges, rising; the rest 0 */
    bool large;                /* can it make 1080p? */
    /* The body that begins one, and *ret_path; kept by the arena. */
    json_t *(*begin)(struct st_arena *a, const struct film_wish *wish, const char **ret_path);
    const char *id; /* member of the answer that names what was begun */
    const char *(*status_path)(struct st_arena *a, const char *id);
    /* What makes no sense, or is not known, says nothing: it waits. Only what surely has failed has. */
    void (*status)(struct st_arena *a, const struct st_http_answer *answer, struct film_status *ret); /* of a 2xx */
    void (*result)(struct st_arena *a, const struct st_http_answer *answer, struct film_status *ret); /* of `next` */
    /* Path of a page, from 0 on, of what was begun, to look for one whose fate is unknown; NULL: there is no list. */
    const char *(*list_path)(struct st_arena *a, int page);
    /* Its id; or NULL, and whether there are more pages. False: it makes no sense, and says nothing. */
    bool (*find)(struct st_arena *a, const struct st_http_answer *answer, const char *callback, const char **ret_id,
                 bool *ret_more);
    const char *cancel; /* method that ends what was begun, and need not go on; one that has ended is refused (4xx) */
    const char *(*cancel_path)(struct st_arena *a, const char *id);
    /*
     * How it signs what it tells by calling back: its url_option is the whole address of the keys (JWKS), and one of
     * them must fit. NULL: it does not sign; then only the address that it was given tells who calls.
     */
    const struct st_provider *keys;
    bool (*genuine)(struct st_arena *a, const struct st_keys *keys, const struct film_told *told);
};

/* Ends with one that has no name. */
extern const struct film_api film_apis[];
const struct film_api *film_api_find(const char *name); /* or NULL */
int film_seconds(const struct film_api *f, int wish);   /* the shortest of its lengths that will do, or its longest */

/*
 * Where a provider says that its film is: at its configured address, wherever that is; else only outside, by https, and
 * then at no address of a network of our own.
 */
enum film_place { FILM_NOWHERE, FILM_OUTSIDE, FILM_AT_HOME };
enum film_place film_place_of(const struct film_api *f, const char *url);

#endif
