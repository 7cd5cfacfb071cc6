/* Every architecture of section 4 against an evaluation of its own, put together from equations in another way than the
 * reference does (eqs 21-31), and the language model around it. */
#include "test_mixes.h"

/* ---- each mixer against an evaluation of its own ---------------------------------------------------------
 */

static double *numbers(int64_t n) { return calloc(n > 0 ? (size_t)n : 1, sizeof(double)); }

/* x W: x (n x D), W (D x m) */
static double *times(const Case *c, int64_t n, const double *x, const char *W) {
    int64_t m = case_in_size(c, W) / D;
    double *y = numbers(n * m);
    for (int64_t i = 0; i < n * m; i++)
        for (int64_t j = 0; j < D; j++) y[i] += x[i / m * D + j] * case_in(c, W)[j * m + i % m];
    return y;
}

static double logistic(double x) { return 1 / (1 + exp(-x)); }

/* y = l2(silu(conv(x W))) per head, or without l2; x (n x D) */
static double *short_branch(const Case *c, int64_t n, const double *x, const char *W, const char *taps,
                            int l2) {
    int64_t w = case_dim(c, "taps");
    double *projected = times(c, n, x, W), *y = numbers(n * D);
    for (int64_t t = 0; t < n; t++)
        for (int64_t i = 0; i < D; i++) {
            double a = w ? 0 : projected[t * D + i];
            for (int64_t back = 0; back < w && back <= t; back++)
                a += projected[(t - back) * D + i] * case_in(c, taps)[(w - 1 - back) * D + i];
            y[t * D + i] = a * logistic(a);
        }
    for (int64_t r = 0; r < n * H && l2; r++) {
        double norm = sqrt(dot(y + r * DH, y + r * DH, DH) + 1e-6);
        for (int i = 0; i < DH; i++) y[r * DH + i] /= norm;
    }
    free(projected);
    return y;
}

static double gate_value(const Case *c, double z) {
    double s = logistic(z);
    return case_dim(c, "gate") ? fmin(fmax(1.2 * s - 0.1, 0), 1) : s;
}

/* alpha (n x G K), theta, eta (n x G) of head h from z (n x columns) */
static void head_gates(const Case *c, int64_t n, int64_t h, const double *z, double *const *gate) {
    int64_t G = case_dim(c, "gates_per_layer") ? case_dim(c, "memory_layers") : 1,
            K = case_dim(c, "channelwise") ? DH : 1;
    int64_t A = case_dim(c, "forget") ? G * K : 0, E = case_dim(c, "momentum") ? G : 0;
    int64_t columns = H * (A + G + E), b = case_dim(c, "chunk");
    for (int64_t t = 0; t < n; t++) {
        const double *row = z + (case_dim(c, "gates_per_chunk") ? t - t % b : t) * columns;
        for (int64_t i = 0; i < A; i++) gate[0][t * G * K + i] = gate_value(c, row[h * A + i]);
        for (int64_t i = 0; i < G; i++)
            gate[1][t * G + i] = case_in(c, "theta_max")[0] * gate_value(c, row[H * A + h * G + i]);
        for (int64_t i = 0; i < E; i++) gate[2][t * G + i] = logistic(row[H * (A + G) + h * G + i]);
    }
}

/* The memory of one head as an equation sees it. */
static Dims head_dims(const Case *c, const char *equation) {
    static const char *const width[] = {"n0", "n1", "n2", "n3", "n4"};
    static const char *const option[] = {"activation", "memory_residual", "memory_norm", "gates_per_layer",
                                         "channelwise"};
    const int64_t layers = case_dim(c, "memory_layers");
    Dims dims = dims_of(equation, "memory_layers=%ld", layers);
    for (int64_t l = 0; l <= layers; l++)
        dims_set(&dims, width[l], l && l < layers ? case_dim(c, "expansion") * DH : DH);
    for (int i = 0; i < 5; i++) dims_set(&dims, option[i], case_dim(c, option[i]));
    return dims;
}

/* Columns of head h: x (n x H x m) -> (n x m), and back. */
static double *head_of(int64_t n, int64_t m, int64_t h, const double *x) {
    double *y = numbers(n * m);
    for (int64_t t = 0; t < n; t++) memcpy(y + t * m, x + (t * H + h) * m, (size_t)m * sizeof(double));
    return y;
}

static void evaluate(Dims dims, const double *const *in, double *const *out) {
    oracle_run(&reference_double, &dims, in, NULL, out, NULL, NULL, NULL);
}

/* Reads (n x D) of the memory branch on u (n x D); M (H x P), unless NULL: the last state. */
static double *memory_reads(const Case *c, int64_t n, const double *u, double *M) {
    int64_t P = case_in_size(c, "M0") / H;
    Dims dims = head_dims(c, "memory_chunk");
    dims_set(&dims, "tokens", n), dims_set(&dims, "chunk", case_dim(c, "chunk"));
    double *q = short_branch(c, n, u, "Wq", "conv_q", 1), *k = short_branch(c, n, u, "Wk", "conv_k", 1);
    double *v = short_branch(c, n, u, "Wv", "conv_v", 0), *z = times(c, n, u, "W_gates"), *y = numbers(n * D);
    int64_t columns = case_in_size(c, "b_gates");
    for (int64_t i = 0; i < n * columns; i++) z[i] += case_in(c, "b_gates")[i % columns];
    for (int64_t h = 0; h < H; h++) {
        double *gate[] = {numbers(n * 4 * DH), numbers(n * 4), numbers(n * 4)}, *zero = numbers(P);
        double *part[] = {head_of(n, DH, h, k), head_of(n, DH, h, v), head_of(n, DH, h, q)};
        double *last = numbers(2 * P), *y_h = numbers(n * DH);
        head_gates(c, n, h, z, gate);
        const double *in[] = {
            case_in(c, "M0") + h * P, zero, part[0], part[1], part[2], gate[0], gate[1], gate[2]};
        evaluate(dims, in, (double *[]){y_h, last, last + P});
        if (M) memcpy(M + h * P, last, (size_t)P * sizeof(double));
        for (int64_t i = 0; i < n * DH; i++) y[(i / DH * H + h) * DH + i % DH] = y_h[i];
        for (int i = 0; i < 3; i++) free(gate[i]), free(part[i]);
        free(zero), free(last), free(y_h);
    }
    free(q), free(k), free(v), free(z);
    return y;
}

/* y_t,h = M_h(q_t,h): q (n x D), M (H x P) */
static double *recall(const Case *c, int64_t n, const double *M, const double *q) {
    int64_t P = case_in_size(c, "M0") / H;
    const Dims dims = head_dims(c, "memory_read");
    double *y = numbers(n * D);
    for (int64_t r = 0; r < n * H; r++)
        evaluate(dims, (const double *[]){M + r % H * P, q + r * DH}, (double *[]){y + r * DH});
    return y;
}

/* What a query row may see: the window rule, or the segment rule of MAC when n > 0. */
typedef struct Mask {
    int64_t window, prefix, n, literal;
} Mask;

static int sees(const Mask *mask, int64_t i, int64_t j) {
    if (mask->n == 0) return j <= i && (!mask->window || j < mask->prefix || i - j < mask->window);
    int64_t token = i - mask->prefix - mask->n, other = j - mask->prefix;
    if (other < 0) return 1;
    return other < mask->n ? mask->literal || other <= token : other - mask->n <= token;
}

/* A dimension that not every mixer has. */
static int64_t option(const Case *c, const char *name) { return dims_get_or(&c->dims, name, 0); }

/* How much slower pair i turns than base^(-2i/DH) of the whole stretch. NTK-aware: the base's own power, written out; YaRN by
 * the pair's wavelength. */
static double slowness(const Case *c, int i) {
    const double trained = (double)option(c, "trained_length"), asked = (double)option(c, "asked_length");
    const double s = option(c, "rope_scaling") && asked > trained ? asked / trained : 1;
    if (option(c, "rope_scaling") == 1) return pow(s, 2.0 * i / (DH - 2));
    if (option(c, "rope_scaling") == 0) return 1;
    const double wavelength = 2 * acos(-1) * pow(1e4, 2.0 * i / DH);
    const double kept = fmin(fmax((trained / wavelength - 1) / 31, 0), 1);
    return 1 / ((1 - kept) / s + kept);
}

static double growth(const Case *c) {
    const double s = (double)option(c, "asked_length") / fmax((double)option(c, "trained_length"), 1);
    return option(c, "rope_scaling") == 2 && s > 1 ? 0.1 * log(s) + 1 : 1;
}

static void turn(const Case *c, int64_t position, double *x) {
    if (option(c, "positions")) return;
    for (int i = 0; i < DH / 2; i++) {
        double angle = (double)position / pow(1e4, 2.0 * i / DH) / slowness(c, i), a = x[i],
               b = x[i + DH / 2];
        x[i] = growth(c) * (a * cos(angle) - b * sin(angle));
        x[i + DH / 2] = growth(c) * (a * sin(angle) + b * cos(angle));
    }
}

/* What a query's row i adds to its score of row j, and what it multiplies it with. H = 2: slopes 2^-4 and 2^-8. */
static double bias(const Case *c, const Mask *mask, int64_t h, int64_t i, int64_t j) {
    if (option(c, "positions") != 2 || j < mask->prefix) return 0;
    return (double)(j - i) * (h ? 1.0 / 256 : 1.0 / 16);
}

static double sharpness(const Case *c, int64_t i) {
    const int64_t trained = option(c, "trained_length");
    return option(c, "log_scale") && i + 1 > trained ? log((double)(i + 1)) / log((double)trained) : 1;
}

/* Attention branch on u (n x D); position[row] turns q and k. */
static double *attention_reads(const Case *c, int64_t n, const double *u, const char *const *W,
                               const int64_t *position, const Mask *mask) {
    double *q = times(c, n, u, W[0]), *k = times(c, n, u, W[1]), *v = times(c, n, u, W[2]),
           *y = numbers(n * D);
    for (int64_t r = 0; r < n * H; r++)
        turn(c, position[r / H], q + r * DH), turn(c, position[r / H], k + r * DH);
    for (int64_t i = mask->n ? mask->prefix + mask->n : 0; i < n; i++)
        for (int64_t h = 0; h < H; h++) {
            double sum = 0, *out = y + i * D + h * DH;
            for (int64_t j = 0; j < n; j++) {
                if (!sees(mask, i, j)) continue;
                double score = sharpness(c, i) * dot(q + i * D + h * DH, k + j * D + h * DH, DH) / sqrt(DH);
                double e = exp(score + bias(c, mask, h, i, j));
                sum += e;
                for (int a = 0; a < DH; a++) out[a] += e * v[j * D + h * DH + a];
            }
            for (int a = 0; a < DH; a++) out[a] /= sum;
        }
    free(q), free(k), free(v);
    return y;
}

static double *attention_rows(const Case *c, int64_t n, const double *u, const char *const *W,
                              int64_t prefix) {
    const Mask mask = {option(c, "window"), prefix, 0, 0};
    int64_t position[64] = {0};
    for (int64_t i = 0; i < n; i++) position[i] = i;
    return attention_reads(c, n, u, W, position, &mask);
}

/* x / rms(x) per head times gain, in place: x (n x D) */
static void normalise(const Case *c, int64_t n, double *x, const char *gain) {
    for (int64_t r = 0; r < n * H; r++) {
        double rms = sqrt(dot(x + r * DH, x + r * DH, DH) / DH + 1e-6);
        for (int64_t i = r * DH; i < (r + 1) * DH; i++) x[i] *= case_in(c, gain)[i % D] / rms;
    }
}

/* [P_tok || x] */
static double *with_prefix(const Case *c) {
    int64_t Np = case_dim(c, "persistent");
    double *x = numbers((Np + T) * D);
    memcpy(x, c->in[1], (size_t)(Np * D) * sizeof(double));
    memcpy(x + Np * D, c->in[0], T * D * sizeof(double));
    return x;
}

/* The last T rows of x (n x D), times W, are the mixer's output; frees x. */
static void expect_output(const Case *c, int64_t n, double *x, const char *W) {
    double *o = times(c, T, x + (n - T) * D, W);
    cr_assert(largest(c->tolerance[0], T * D) < 1e-4 * largest(o, T * D), "%s: the bound says nothing",
              c->name);
    for (int64_t i = 0; i < T * D; i++) expect_near(c, i, c->out[0][i], o[i], 4 * c->tolerance[0][i]);
    free(o), free(x);
}

/* The memory layer up to its output projection: u (n x D). */
static double *layer_reads(const Case *c, int64_t n, const double *u) {
    double *y = memory_reads(c, n, u, NULL), *z = times(c, n, u, "W_z");
    normalise(c, n, y, "gain");
    for (int64_t i = 0; i < n * D; i++) y[i] *= z[i] * logistic(z[i]);
    free(z);
    return y;
}

/* (25), (28): y = rms(y) gain_y sigma(rms(m) gain_m), in place; frees m: y, m (n x D) */
static void gate_by(const Case *c, int64_t n, double *y, double *m) {
    normalise(c, n, y, "gain_y");
    normalise(c, n, m, "gain_m");
    for (int64_t i = 0; i < n * D; i++) y[i] *= logistic(m[i]);
    free(m);
}

static const char *const W_alone[] = {"Wq", "Wk", "Wv"}, *const W_beside[] = {"Wq_a", "Wk_a", "Wv_a"};

static void direct_attention(const Case *c) {
    expect_output(c, T, attention_rows(c, T, c->in[0], W_alone, 0), "Wo");
}

static void direct_swa(const Case *c) {
    int64_t Np = case_dim(c, "persistent");
    double *x = with_prefix(c);
    expect_output(c, Np + T, attention_rows(c, Np + T, x, W_alone, Np), "Wo");
    free(x);
}

static void direct_lmm(const Case *c) {
    int64_t n = case_dim(c, "persistent") + T;
    double *x = with_prefix(c);
    expect_output(c, n, layer_reads(c, n, x), "Wo");
    free(x);
}

static void direct_mag(const Case *c) {
    int64_t Np = case_dim(c, "persistent"), n = Np + T;
    double *x = with_prefix(c), *y = attention_rows(c, n, x, W_beside, Np);
    gate_by(c, n, y, memory_reads(c, n, x, NULL));
    expect_output(c, n, y, "Wo");
    free(x);
}

static void direct_mal(const Case *c) {
    int64_t n = case_dim(c, "persistent") + T;
    double *x = with_prefix(c), *read = layer_reads(c, n, x), *y = times(c, n, read, "W_m");
    expect_output(c, n, attention_rows(c, n, y, W_beside, 0), "Wo");
    free(x), free(read), free(y);
}

/* (22)-(23) of the tokens from .. to - 1 into rows of y; h (to - from rows) */
static void direct_context(const Case *c, int64_t from, int64_t to, const double *h, double *y) {
    int64_t Np = case_dim(c, "persistent"), C = case_dim(c, "segment"), n = to - from, position[64] = {0};
    const Mask mask = {0, Np, n, case_dim(c, "mask")};
    double *context = numbers((Np + 2 * n) * D);
    memcpy(context, c->in[1], (size_t)(Np * D) * sizeof(double));
    memcpy(context + Np * D, h, (size_t)(n * D) * sizeof(double));
    memcpy(context + (Np + n) * D, c->in[0] + from * D, (size_t)(n * D) * sizeof(double));
    for (int64_t i = 0; i < Np + 2 * n; i++) position[i] = i < Np + n ? i : i - n + C;
    double *all = attention_reads(c, Np + 2 * n, context, W_beside, position, &mask);
    memcpy(y + from * D, all + (Np + n) * D, (size_t)(n * D) * sizeof(double));
    free(context), free(all);
}

/* All of y first, segment by segment, the memory before each by a run over the tokens before it; then the
 * gate's reads in one run over the sequence, or literally at every segment's end. */
static void direct_mac(const Case *c) {
    int64_t C = case_dim(c, "segment");
    double *r = short_branch(c, T, c->in[0], "Wq_r", "conv_r", 1), *y = numbers(T * D);
    double *M = numbers(case_in_size(c, "M0"));
    for (int64_t from = 0; from < T; from += C) {
        int64_t to = from + C < T ? from + C : T;
        free(memory_reads(c, from, y, M));
        double *h = recall(c, to - from, M, r + from * D);
        normalise(c, to - from, h, "gain_h");
        direct_context(c, from, to, h, y);
        free(h);
    }
    double *m = memory_reads(c, T, y, NULL), *q = short_branch(c, T, y, "Wq", "conv_q", 1);
    for (int64_t from = 0; from < T && case_dim(c, "mask"); from += C) {
        int64_t to = from + C < T ? from + C : T;
        free(memory_reads(c, to, y, M));
        double *late = recall(c, to - from, M, q + from * D);
        memcpy(m + from * D, late, (size_t)((to - from) * D) * sizeof(double));
        free(late);
    }
    gate_by(c, T, y, m);
    expect_output(c, T, y, "Wo");
    free(r), free(M), free(q);
}

Test(reference_mixers, are_wired_as_section_4_says) {
    static const struct {
        const char *name;
        void (*check)(const Case *c);
    } direct[] = {{"mixer_attention", direct_attention},
                  {"mixer_swa", direct_swa},
                  {"mixer_lmm", direct_lmm},
                  {"mixer_mag", direct_mag},
                  {"mixer_mal_h3", direct_mal},
                  {"mixer_mac", direct_mac}};
    int checked = 0;
    Dims mix;
    for (int which = 0; mix_at(which, &mix); which++) {
        int known = 0;
        for (size_t i = 0; i < sizeof direct / sizeof *direct; i++) {
            if (!mix_is(&mix, direct[i].name)) continue;
            Case c = mix_case(&mix, 6);
            case_run(&c);
            direct[i].check(&c);
            case_free(&c);
            known = 1, checked++;
        }
        cr_assert(known, "%s is not put together here", mix.equation->name);
    }
    cr_assert(checked > 0);
}

/* ---- the language model ----------------------------------------------------------------------------------
 */

enum { V = 5, F = 3, LAYERS = 3 };

/* The mixers of models, and what of their dimensions is not at its default. */
static const struct {
    const char *name, *dims;
} kinds[] = {{"attention", ""},
             {"lmm", "taps=2 chunk=2 memory_layers=2 expansion=1 gates_per_chunk=1 persistent=2"},
             {"swa", "persistent=2 window=3"},
             {"mac", "taps=2 chunk=2 memory_layers=2 expansion=1 gates_per_chunk=1 persistent=2 segment=4"},
             {"mag", "taps=2 chunk=2 memory_layers=2 expansion=1 gates_per_chunk=1 persistent=2 window=3"},
             {"mal", "taps=2 chunk=2 memory_layers=2 expansion=1 gates_per_chunk=1 persistent=2 window=3"},
             {"mal_h3", "taps=2 chunk=2 memory_layers=2 expansion=1 gates_per_chunk=1 persistent=2 window=3"},
             {"mamba", "state=3 taps=2"},
             {"longhorn", "state=3 taps=2"},
             {"samba", "state=3 taps=2 window=3"},
             {"attention", "positions=alibi trained_length=3 log_scale=1"},
             {"attention", "rope_scaling=yarn trained_length=3 asked_length=7"}};
enum { KINDS = sizeof kinds / sizeof *kinds };

static Case model_case(int64_t kind, uint64_t seed) {
    return case_new("language_model", seed,
                    "tokens=%d vocab=%d width=%d heads=%d layers=%d ffn=%d mixer=%s %s", T, V, D, H, LAYERS,
                    F, kinds[kind].name, kinds[kind].dims);
}

/* The mixer of block l of a model; mal is lmm and swa in turn, the latter without persistent tokens, samba mamba and swa.
 */
static Dims model_mixer(int64_t kind, int64_t l) {
    char name[32];
    if (!strcmp(kinds[kind].name, "mal"))
        return l % 2 ? dims_of("mixer_swa", "tokens=%d width=%d heads=%d window=3", T, D, H)
                     : dims_of("mixer_lmm", "tokens=%d width=%d heads=%d %s", T, D, H, kinds[1].dims);
    if (!strcmp(kinds[kind].name, "samba"))
        return l % 2 ? dims_of("mixer_swa", "tokens=%d width=%d heads=%d window=3", T, D, H)
                     : dims_of("mixer_mamba", "tokens=%d width=%d state=3 taps=2", T, D);
    if (!strcmp(kinds[kind].name, "mamba") || !strcmp(kinds[kind].name, "longhorn")) {
        snprintf(name, sizeof name, "mixer_%s", kinds[kind].name);
        return dims_of(name, "tokens=%d width=%d %s", T, D, kinds[kind].dims);
    }
    snprintf(name, sizeof name, "mixer_%s", kinds[kind].name);
    return dims_of(name, "tokens=%d width=%d heads=%d %s", T, D, H, kinds[kind].dims);
}

/* One block from its parameters: p walks over them; x (T x D) in place. */
static const double *model_block(const Case *model, int64_t kind, int64_t l, const double *p, double *x) {
    const Dims mix = model_mixer(kind, l);
    Case mixer = mix_case(&mix, 1);
    double normed[T * D], o[T * D], a[T * F], b[T * F];
    const double *in[EQUATION_ARGUMENTS] = {normed};
    int params = mixer.inputs - 1 - case_has(&mixer, "theta_max");
    evaluate(dims_of("rms_norm", "tokens=%d width=%d", T, D), (const double *[]){x, p}, (double *[]){normed});
    p += D;
    for (int i = 1; i <= params; i++) in[i] = p, p += mixer.in_size[i];
    in[params + 1] = case_in(model, "theta_max");
    evaluate(mix, in, (double *[]){o});
    for (int i = 0; i < T * D; i++) x[i] += o[i];
    evaluate(dims_of("rms_norm", "tokens=%d width=%d", T, D), (const double *[]){x, p}, (double *[]){normed});
    p += D;
    memset(a, 0, sizeof a), memset(b, 0, sizeof b);
    for (int i = 0; i < T * F; i++)
        for (int j = 0; j < D; j++) {
            a[i] += normed[i / F * D + j] * p[j * F + i % F];
            b[i] += normed[i / F * D + j] * p[D * F + j * F + i % F];
        }
    for (int i = 0; i < T * D; i++)
        for (int j = 0; j < F; j++) {
            double gate = a[i / D * F + j];
            x[i] += gate * logistic(gate) * b[i / D * F + j] * p[2 * D * F + j * D + i % D];
        }
    case_free(&mixer);
    return p + 3 * D * F;
}

Test(reference_mixers, make_a_language_model_of_every_kind) {
    for (int64_t kind = 0; kind < KINDS; kind++) {
        Case c = model_case(kind, 3);
        double x[T * D];
        const double *params = case_in(&c, "params"), *p = params + V * D;
        case_run(&c);
        for (int i = 0; i < T * D; i++) x[i] = params[(int64_t)c.in[0][i / D] * D + i % D];
        for (int64_t l = 0; l < LAYERS; l++) p = model_block(&c, kind, l, p, x);
        evaluate(dims_of("rms_norm", "tokens=%d width=%d", T, D), (const double *[]){x, p}, (double *[]){x});
        p += D;
        for (int i = 0; i < T * V; i++) {
            double logit = 0;
            for (int j = 0; j < D; j++) logit += x[i / V * D + j] * p[j * V + i % V];
            expect_near(&c, i, c.out[1][i], logit, 2 * c.tolerance[1][i]);
        }
        cr_assert(p + D * V == params + case_in_size(&c, "params"), "kind %d", (int)kind);
        case_free(&c);
    }
}

Test(reference_mixers, models_give_parameters_a_gradient_and_see_no_future) {
    for (int64_t kind = 0; kind < KINDS; kind++) {
        Case a = model_case(kind, 2), b = model_case(kind, 2);
        const int64_t n = case_in_size(&a, "params"), last = T - 1;
        b.in[0][last] = fmod(b.in[0][last] + 1, (double)V);
        case_run(&a);
        case_run(&b);
        cr_assert(same_bits(a.out[1], b.out[1], last * V) && !same_bits(a.out[1], b.out[1], T * V));
        double one = 1, *g = numbers(n), *grad[] = {NULL, NULL, NULL, g};
        const double *cotangent[] = {&one, NULL};
        int64_t zero = 0;
        oracle_gradient(&a.dims, constant(a.in), cotangent, grad, NULL);
        for (int64_t i = V * D; i < n; i++) zero += g[i] == 0;
        cr_assert(zero == 0 && isfinite(largest(g, n)), "kind %d: %d idle of %d", (int)kind, (int)zero,
                  (int)n);
        free(g);
        case_free(&a);
        case_free(&b);
    }
}
