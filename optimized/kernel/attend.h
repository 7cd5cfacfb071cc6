#pragma once
#include <stdint.h>

/* Causal softmax attention over a key-value cache, eq 2 with scale 1/sqrt(width), online softmax over blocks
 * of 64 keys. Query row t of a call has index i = past + t in its sequence and sees
 *
 *   all `prefix` keys (the persistent tokens of eqs 22, 26; or tokens of its own sequence), and
 *   sequence keys lo .. hi - 1, hi = lead + stride (i + 1), lo = window ? max(0, hi - window) : 0.
 *
 * With slopes, one of every head (ALiBi), the score of sequence key j gets slope (j - i); the prefix is at no distance, and
 * stride is 1, lead 0.
 *
 * Plain attention: prefix = lead = window = 0, stride 1. Sliding window with prefix (eq 27): window, prefix.
 * Segment attention (eqs 22-23): stride 2 with keys h_1, S_1, h_2, S_2, .. for the causal mask (E6), or
 * lead = segment and keys h_1 .. h_C, S_1 .. S_C for the literal one.
 *
 *   q, y         batch x tokens x heads x width, row-major; a call handles rows first .. first + count - 1
 *   k, v         batch x key_rows x heads x width: those of all `tokens`, key_rows = stride tokens + (past ? 0 : lead)
 *   kp, vp       prefix x heads x width, the same for all sequences; prefix_each: batch x prefix x heads x width
 *   cache        batch x heads x cache_floats: keys in blocks of 64, each block transposed (width x 64), so that
 *                Q K' needs no transposition; then values, rows of padded(width). The prefix comes first, in blocks
 *                of its own; sequence key a lies in row a mod capacity, so that a window needs constant memory.
 *   statistics   batch x heads x tokens x 2: row maximum m and 1 / sum exp(s - m); NULL if no backward follows
 *   workspace    threads x workspace_floats(shape)
 *
 * append_prefix and append write the cache; forward then reads it: capacity must hold every key that the rows
 * of the call see. backward (past = 0, first = 0, count = tokens, capacity >= all keys) adds to dq, dk, dv;
 * dkp, dvp are batch x prefix x heads x width. Cost: forward 4 width flop per visible key and query,
 * backward 2.5 times that. The key blocks lie at absolute positions and every row is treated alone, so
 * splitting a call changes no bit. Reference: attention, window_attention, alibi_attention. */
enum { ATTEND_BLOCK = 64 };

typedef struct {
    int64_t batch, heads, tokens, past, capacity, width; /* capacity a multiple of ATTEND_BLOCK */
    int64_t window, prefix, lead, stride, first, count;
    int64_t prefix_each; /* every sequence has a prefix of its own */
    const float *slopes; /* or NULL */
} AttendShape;

/* Plain causal attention of all rows. */
static inline AttendShape attend_plain(int64_t batch, int64_t heads, int64_t tokens, int64_t past,
                                       int64_t capacity, int64_t width) {
    return (AttendShape){batch, heads, tokens, past, capacity, width, 0, 0, 0, 1, 0, tokens, 0, 0};
}

static inline int64_t attend_round(int64_t n) { return (n + ATTEND_BLOCK - 1) / ATTEND_BLOCK * ATTEND_BLOCK; }

struct attend_kernel {
    int64_t (*cache_floats)(const AttendShape *shape); /* of one head */
    int64_t (*workspace_floats)(const AttendShape *shape);
    void (*append_prefix)(const AttendShape *shape, const float *kp, const float *vp, float *cache);
    void (*append)(const AttendShape *shape, const float *k, const float *v, float *cache);
    void (*forward)(const AttendShape *shape, const float *q, const float *cache, float *y, float *statistics,
                    float *workspace);
    void (*backward)(const AttendShape *shape, const float *q, const float *cache, const float *y,
                     const float *statistics, const float *dy, float *dq, float *dk, float *dv, float *dkp,
                     float *dvp, float *workspace);
};
