#include "oracle/layers.h"

Quad *head_of(const Quad *x, int64_t rows, int64_t H, int64_t dh, int64_t head) {
    Quad *part = quads(rows * dh);
    for (int64_t t = 0; t < rows; t++)
        for (int64_t c = 0; c < dh; c++) part[t * dh + c] = x[(t * H + head) * dh + c];
    return part;
}

void head_to(Quad *x, const Quad *part, int64_t rows, int64_t H, int64_t dh, int64_t head) {
    for (int64_t t = 0; t < rows; t++)
        for (int64_t c = 0; c < dh; c++) x[(t * H + head) * dh + c] = part[t * dh + c];
}

Quad *convolution(const Quad *x, const Quad *weight, const Quad *tail, int64_t rows, int64_t D, int64_t w) {
    Quad *y = quads(rows * D);
    for (int64_t t = 0; t < rows; t++)
        for (int64_t c = 0; c < D; c++)
            for (int64_t lag = 0; lag < w; lag++) {
                const Quad tap = weight[(w - 1 - lag) * D + c];
                if (t >= lag)
                    y[t * D + c] += tap * x[(t - lag) * D + c];
                else if (tail)
                    y[t * D + c] += tap * tail[(w - 1 + t - lag) * D + c];
            }
    return y;
}

void apply_silu(Quad *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] = quad_silu(x[i]);
}

/* The eps of every norm. */
static Quad millionth(void) { return constant((Quad)1 / 1000000); }

void apply_l2_norm(Quad *x, int64_t rows, int64_t dh) {
    for (int64_t t = 0; t < rows; t++) {
        Quad sum = millionth();
        for (int64_t c = 0; c < dh; c++) sum += x[t * dh + c] * x[t * dh + c];
        for (int64_t c = 0; c < dh; c++) x[t * dh + c] /= quad_sqrt(sum);
    }
}

Quad *rms_normed(const Quad *x, const Quad *gain, int64_t rows, int64_t H, int64_t dh) {
    Quad *y = quads(rows * H * dh);
    for (int64_t g = 0; g < rows * H; g++) {
        Quad mean = millionth();
        for (int64_t c = 0; c < dh; c++) mean += x[g * dh + c] * x[g * dh + c] / dh;
        for (int64_t c = 0; c < dh; c++)
            y[g * dh + c] = x[g * dh + c] / quad_sqrt(mean) * gain[g % H * dh + c];
    }
    return y;
}

Quad *norm_gated(const Quad *y, const Quad *gain, const Quad *z, int64_t rows, int64_t H, int64_t dh) {
    Quad *o = rms_normed(y, gain, rows, H, dh);
    for (int64_t i = 0; i < rows * H * dh; i++) o[i] *= quad_silu(z[i]);
    return o;
}

Quad *titans_gated(const Quad *y, const Quad *m, const Quad *gain_y, const Quad *gain_m, int64_t rows,
                   int64_t H, int64_t dh) {
    Quad *o = rms_normed(y, gain_y, rows, H, dh), *gate = rms_normed(m, gain_m, rows, H, dh);
    for (int64_t i = 0; i < rows * H * dh; i++) o[i] *= quad_sigmoid(gate[i]);
    return o;
}

/* Hard: sigma stretched to (-1/10, 11/10) and cut to [0, 1]. */
Quad gate_value(Quad z, int hard) {
    const Quad sigma = quad_sigmoid(z), stretched = constant((Quad)12 / 10) * sigma - constant((Quad)1 / 10);
    if (!hard) return sigma;
    return stretched < 0 ? 0 : stretched > 1 ? 1 : stretched;
}

Quad *rotated_by(const Quad *x, const Quad *frequency, Quad length, const int64_t *position, int64_t rows,
                 int64_t H, int64_t dh) {
    Quad *y = quads(rows * H * dh);
    for (int64_t g = 0; g < rows * H; g++)
        for (int64_t c = 0; c < dh / 2; c++) {
            const int64_t a = g * dh + c, b = a + dh / 2, row = g / H;
            Quad cosine, sine;
            quad_turn(constant(position[row] * frequency[c]), &cosine, &sine);
            cosine = constant(length * constant(cosine)), sine = constant(length * constant(sine));
            y[a] = x[a] * cosine - x[b] * sine;
            y[b] = x[a] * sine + x[b] * cosine;
        }
    return y;
}

Quad *rotated(const Quad *x, const int64_t *position, int64_t rows, int64_t H, int64_t dh) {
    Quad *frequency = quads(dh / 2);
    for (int64_t c = 0; c < dh / 2; c++)
        frequency[c] = constant(quad_exp(-quad_log(10000) * constant((Quad)(2 * c) / dh)));
    return rotated_by(x, frequency, 1, position, rows, H, dh);
}

/* Eq 2 as printed, with the scale of a head: no maximum is subtracted, quad's exponents reach far enough. */
Quad *attended_with(const Quad *q, const Quad *k, const Quad *v, const unsigned char *sees, const Quad *bias,
                    int64_t queries, int64_t keys, int64_t dh) {
    Quad *y = quads(queries * dh);
    for (int64_t i = 0; i < queries; i++) {
        Quad total = 0;
        for (int64_t j = 0; j < keys; j++) {
            if (!sees[i * keys + j]) continue;
            Quad dot = 0;
            for (int64_t c = 0; c < dh; c++) dot += q[i * dh + c] * k[j * dh + c];
            const Quad weight = quad_exp(dot / quad_sqrt(dh) + (bias ? bias[i * keys + j] : 0));
            total += weight;
            for (int64_t c = 0; c < dh; c++) y[i * dh + c] += weight * v[j * dh + c];
        }
        for (int64_t c = 0; c < dh && total > 0; c++) y[i * dh + c] /= total;
    }
    return y;
}

Quad *attended(const Quad *q, const Quad *k, const Quad *v, const unsigned char *sees, int64_t queries,
               int64_t keys, int64_t dh) {
    return attended_with(q, k, v, sees, 0, queries, keys, dh);
}

unsigned char *window_mask(int64_t queries, int64_t keys, int64_t first, int64_t window, int64_t prefix) {
    unsigned char *sees = scratch(queries * keys);
    for (int64_t i = 0; i < queries; i++)
        for (int64_t j = 0; j < keys; j++) {
            const int64_t position = first + i;
            sees[i * keys + j] = j <= position && (!window || j < prefix || j > position - window);
        }
    return sees;
}
