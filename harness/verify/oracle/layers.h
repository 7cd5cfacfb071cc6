/* Layers by their definitions. Arrays have rows of D = H dh numbers, heads side by side. */
#pragma once
#include "oracle/quad.h"

/* The columns of one head. */
Quad *head_of(const Quad *x, int64_t rows, int64_t H, int64_t dh, int64_t head);
void head_to(Quad *x, const Quad *part, int64_t rows, int64_t H, int64_t dh, int64_t head);

/* weight [w][D], whose last row meets the token itself; tail: the w - 1 rows before the first, NULL: zeros.
 */
Quad *convolution(const Quad *x, const Quad *weight, const Quad *tail, int64_t rows, int64_t D, int64_t w);
void apply_silu(Quad *x, int64_t n);
/* E14, every group of dh numbers by itself: x / sqrt(sum x^2 + 1e-6). */
void apply_l2_norm(Quad *x, int64_t rows, int64_t dh);
/* x / sqrt(mean x^2 + 1e-6), every group of dh numbers by itself, times a gain per column of D. */
Quad *rms_normed(const Quad *x, const Quad *gain, int64_t rows, int64_t H, int64_t dh);
/* "Normalisation and gating with a linear layer": rms(y) gain * SiLU(z). */
Quad *norm_gated(const Quad *y, const Quad *gain, const Quad *z, int64_t rows, int64_t H, int64_t dh);
/* E13, the gate of eqs 25 and 28: rms(y) gain_y * sigma(rms(m) gain_m). */
Quad *titans_gated(const Quad *y, const Quad *m, const Quad *gain_y, const Quad *gain_m, int64_t rows,
                   int64_t H, int64_t dh);
/* E10: sigma(z), or the clamped form of hard gates. */
Quad gate_value(Quad z, int hard);

/* Rotates columns (c, c + dh / 2) of every head of every row by position / 10000^(2 c / dh). */
Quad *rotated(const Quad *x, const int64_t *position, int64_t rows, int64_t H, int64_t dh);
/* The same by frequencies of one's own, [dh / 2], the result times `length`. */
Quad *rotated_by(const Quad *x, const Quad *frequency, Quad length, const int64_t *position, int64_t rows,
                 int64_t H, int64_t dh);
/* Eq 2 over index sets: query i attends to the keys j with sees[i * keys + j]; none: zeros. */
Quad *attended(const Quad *q, const Quad *k, const Quad *v, const unsigned char *sees, int64_t queries,
               int64_t keys, int64_t dh);
/* The same with bias [queries][keys] added to the scores. */
Quad *attended_with(const Quad *q, const Quad *k, const Quad *v, const unsigned char *sees, const Quad *bias,
                    int64_t queries, int64_t keys, int64_t dh);
/* Query i stands at position first + i; it sees j <= position with j < prefix or j > position - window
 * (window 0: all j <= position). */
unsigned char *window_mask(int64_t queries, int64_t keys, int64_t first, int64_t window, int64_t prefix);
