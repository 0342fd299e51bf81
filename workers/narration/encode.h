#ifndef ST_NARRATION_ENCODE_H
#define ST_NARRATION_ENCODE_H
/*
 * Sound as Opus and MP3, in pieces: each is encoded alone, so that several are at a time, and one that was encoded for
 * another version of a story is used again; joined, they are one Ogg Opus and one MP3 file. A piece begins and ends in
 * silence, where no decoder hears that the encoder began anew.
 *
 *   struct st_buf piece = ST_BUF(ST_PIECE_MAX);
 *   st_piece_encode(samples, blocks, false, &piece);   blocks of ST_PIECE_BLOCK samples, 16-bit mono at ST_PCM_RATE
 *
 *   struct st_encoder *enc;
 *   st_encoder_open("a.opus", "a.mp3", &enc);
 *   st_encoder_add(enc, piece.data, piece.len);        and the next one
 *   st_encoder_finish(enc);                            or st_encoder_abort(enc); either frees it
 *
 * The files are written beside their names (".part") and take them only when both are whole and on disk. Both carry
 * their encoder's delay, so that players start at the first sample and end at the last one. Not thread-safe, but for
 * st_piece_encode. Errors: ST_E_UNAVAILABLE: no such directory, disk full, no permission; errno says which.
 */
#include "narration/pcm.h"

struct st_encoder;

enum {
    ST_PIECE_BLOCK = 2880, /* samples: six frames of Opus, five of MP3, 120 ms */
    ST_PIECE_BLOCKS_MAX = 50000,
    ST_PIECE_MAX = 256 << 20, /* bytes */
};

/* The last 50 ms must be silent. wide: there are sounds above 8 kHz in it; they cost some bits of those below. */
int st_piece_encode(const int16_t *samples, size_t blocks, bool wide, struct st_buf *out) ST_MUSTCHECK;
int64_t st_piece_samples(const void *piece, size_t len); /* -1: this is no piece */

int st_encoder_open(const char *opus_path, const char *mp3_path, struct st_encoder **ret_encoder) ST_MUSTCHECK;
int st_encoder_add(struct st_encoder *enc, const void *piece, size_t len) ST_MUSTCHECK; /* ST_E_INVALID: it is none */
int64_t st_encoder_samples(const struct st_encoder *enc);                               /* that were added */

int st_encoder_finish(struct st_encoder *enc) ST_MUSTCHECK; /* on an error no file is left */
void st_encoder_abort(struct st_encoder *enc);              /* leaves no file; NULL is fine */

/*
 * What a format implements. A piece's packets are those of its blocks, then some more, which hold what the encoder's
 * delay has kept back: only the last piece of a file needs those.
 */
struct encode_format {
    int packets_per_block, more_packets;
    /* Appends lengths (uint16_t each) to sizes, and the packets to out. */
    bool (*encode)(const int16_t *samples, size_t blocks, bool wide, struct st_buf *sizes, struct st_buf *out);
    void *(*open)(FILE *out); /* a file; NULL: failed. out is closed by the caller */
    bool (*packet)(void *self, const unsigned char *packet, size_t len, bool last);
    bool (*finish)(void *self, int64_t samples); /* samples: of the whole file */
    void (*free)(void *self);
};
extern const struct encode_format encode_opus, encode_mp3;

#endif
