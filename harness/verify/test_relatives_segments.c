/* Systems of segments and memory at their limits: there each is a simpler one, or two of itself. */
#include "kernel_runs.h"
#include "ledger.h"
#include "test_reference.h"

enum { T = 10, D = 8, H = 2, DH = D / H };

/* The input of that name becomes that of another case, from its element `at` on. */
static void take(Case *to, const Case *from, const char *name, int64_t at) {
    memcpy(case_in(to, name), case_in(from, name) + at, (size_t)case_in_size(to, name) * sizeof(double));
}

static void take_maps(Case *to, const Case *from) {
    static const char *const maps[] = {"wq", "wk", "wv", "wo"};
    for (int i = 0; i < 4; i++) take(to, from, maps[i], 0);
}

static void expect_part(const Case *a, int64_t at, const Case *b, const char *name) {
    const int i = place_of(a->e->out, name), k = place_of(b->e->out, name);
    for (int64_t j = 0; j < b->out_size[k]; j++)
        expect_near(a, j, a->out[i][at + j], b->out[k][j], a->tolerance[i][at + j] + b->tolerance[k][j]);
}

static double difference(const double *a, const double *b, int64_t n) {
    double most = 0;
    for (int64_t j = 0; j < n; j++) most = fmax(most, fabs(a[j] - b[j]));
    return most;
}

/* Gradient of x, the cotangent 1 at the outputs of the tokens from `from` on. */
static double *gradient_of_x(const Case *c, int64_t from) {
    double *cotangent = oracle_zeros(c->out_size[0]),
           *grad[EQUATION_ARGUMENTS] = {oracle_zeros(c->in_size[0])};
    for (int64_t j = from * D; j < c->out_size[0]; j++) cotangent[j] = 1;
    oracle_gradient(&c->dims, constant(c->in), constant(&cotangent), grad, NULL);
    free(cotangent);
    return grad[0];
}

/* ---- plain loops of this file's own ---- */

/* y = x W: x (n x D), W (D x D). */
static void multiply(int64_t n, const double *x, const double *w, double *y) {
    for (int64_t t = 0; t < n; t++)
        for (int64_t j = 0; j < D; j++) {
            y[t * D + j] = 0;
            for (int64_t i = 0; i < D; i++) y[t * D + j] += x[t * D + i] * w[i * D + j];
        }
}

/* Positions turn pairs (i, i + DH / 2) of every head. */
static void turn(int64_t n, double *x) {
    for (int64_t t = 0; t < n; t++)
        for (int64_t h = 0; h < H; h++)
            for (int64_t i = 0; i < DH / 2; i++) {
                double *a = x + t * D + h * DH + i, *b = a + DH / 2, was = *a;
                const double angle = (double)t * pow(10000, -2.0 * (double)i / DH);
                *a = was * cos(angle) - *b * sin(angle);
                *b = *b * cos(angle) + was * sin(angle);
            }
}

/* Row t sees the rows before `seen` (0: those up to itself). q, k, v, y (n x D). */
static void plain_attention(int64_t n, int64_t seen, const double *q, const double *k, const double *v,
                            double *y) {
    for (int64_t t = 0; t < n; t++)
        for (int64_t h = 0; h < H; h++) {
            double sum = 0, *out = y + t * D + h * DH;
            memset(out, 0, DH * sizeof *out);
            for (int64_t j = 0; j < (seen ? seen : t + 1); j++) {
                const double weight = exp(dot(q + t * D + h * DH, k + j * D + h * DH, DH) / sqrt(DH));
                sum += weight;
                for (int64_t c = 0; c < DH; c++) out[c] += weight * v[j * D + h * DH + c];
            }
            for (int64_t c = 0; c < DH; c++) out[c] /= sum;
        }
}

/* o = attention of n rows, by the maps of a case. */
static void plain_layer(const Case *c, int64_t n, int64_t seen, int turned, const double *x, double *o) {
    double q[2 * T * D], k[2 * T * D], v[2 * T * D], y[2 * T * D];
    multiply(n, x, case_in(c, "wq"), q);
    multiply(n, x, case_in(c, "wk"), k);
    multiply(n, x, case_in(c, "wv"), v);
    if (turned) turn(n, q), turn(n, k);
    plain_attention(n, seen, q, k, v, y);
    multiply(n, y, case_in(c, "wo"), o);
}

/* ---- Transformer-XL ---- */

#define XL "tokens=%d width=%d heads=%d segment=%d memory=%d truncate=%d"

/* Without distances, biases and memory, one segment is causal attention without positions. */
Test(relatives_segments, transformer_xl_without_positions_is_causal_attention) {
    for (uint64_t seed = 1; seed <= 5; seed++) {
        double o[T * D];
        Case c = case_new("mixer_transformer_xl", seed, XL, T, D, H, T, 0, 0);
        case_run(&c);
        plain_layer(&c, T, 0, 0, case_in(&c, "x"), o);
        cr_assert(difference(o, case_out(&c, "o"), T * D) > 1e-3, "positions change nothing");
        case_set(&c, "wr", 0);
        case_set(&c, "u", 0);
        case_set(&c, "v_b", 0);
        case_run(&c);
        for (int64_t j = 0; j < T * D; j++) expect_formula(&c, "o", j, o[j]);
        case_free(&c);
    }
    ledger_record("segments", "transformer_xl without positions", 5 * T * D, 0);
}

/* A memory that holds everything makes of many segments one; the gradient too, if it may go that far. */
Test(relatives_segments, transformer_xl_with_enough_memory_is_one_segment) {
    int64_t checks = 0;
    for (int segment = 1; segment < T; segment++) {
        Case one = case_new("mixer_transformer_xl", 3, XL, T, D, H, T, 0, 0),
             many = case_new("mixer_transformer_xl", 3, XL, T, D, H, segment, T, 0),
             open = case_new("mixer_transformer_xl", 3, XL, T, D, H, segment, T, T),
             few = case_new("mixer_transformer_xl", 3, XL, T, D, H, segment, segment > 1 ? 1 : 0, 0);
        case_run(&one), case_run(&many), case_run(&few);
        expect_same(&one, &many, "o");
        cr_assert(difference(case_out(&one, "o"), case_out(&few, "o"), T * D) > 1e-3);
        double *whole = gradient_of_x(&one, 0), *reached = gradient_of_x(&open, 0),
               *cut = gradient_of_x(&many, 0);
        cr_assert(difference(whole, reached, T * D) < 1e-11 * (1 + largest(whole, T * D)));
        cr_assert(difference(whole, cut, T * D) > 1e-3, "the gradient goes into the memory");
        free(whole), free(reached), free(cut);
        case_free(&one), case_free(&many), case_free(&open), case_free(&few);
        checks += 2 * T * D;
    }
    ledger_record("segments", "transformer_xl of one segment", checks, 0);
}

/* A segment's gradient goes `truncate` segments back and no further. */
Test(relatives_segments, transformer_xl_gradient_ends_where_it_is_told) {
    enum { SEGMENT = 2 };
    for (int truncate = 0; truncate < T / SEGMENT; truncate++) {
        Case c = case_new("mixer_transformer_xl", 4, XL, T, D, H, SEGMENT, T, truncate);
        double *grad = gradient_of_x(&c, T - SEGMENT);
        const int64_t first = T - SEGMENT - truncate * SEGMENT;
        cr_assert(largest(grad, first * D) == 0, "truncate %d: a gradient before token %ld", truncate, first);
        for (int64_t t = first; t < T; t++)
            cr_assert(largest(grad + t * D, D) > 0, "truncate %d: no gradient at token %ld", truncate, t);
        free(grad);
        case_free(&c);
    }
    ledger_record("segments", "transformer_xl truncation", T / SEGMENT * T, 0);
}

/* A layer sees nothing of the layer below but its outputs: two layers are one after the other over the whole sequence. */
Test(relatives_segments, two_layers_of_transformer_xl_are_one_after_the_other) {
    enum { E = 6, LAYERS = 2 };
    int64_t checks = 0;
    for (int options = 0; options < 4; options++) {
        char text[256];
        snprintf(text, sizeof text,
                 "tokens=%d width=%d heads=2 head_width=3 ffn=5 memory=4 given=3 segment=4 same_length=%d "
                 "pre_norm=%d",
                 T, E, options & 1, options >> 1);
        Case two = case_new("transformer_xl_layer", 6, "%s layers=2", text);
        case_run(&two);
        Case layer[LAYERS];
        for (int l = 0; l < LAYERS; l++) {
            layer[l] = case_new("transformer_xl_layer", 6, "%s layers=1", text);
            for (int i = 2; layer[l].e->in[i].name; i++)
                if (!strncmp(layer[l].e->in[i].shape, "layers", 6))
                    take(&layer[l], &two, layer[l].e->in[i].name, l * layer[l].in_size[i]);
            memcpy(case_in(&layer[l], "x"), l ? case_out(&layer[0], "y") : case_in(&two, "x"),
                   T * E * sizeof(double));
            case_run(&layer[l]);
            const int64_t kept = layer[l].out_size[place_of(layer[l].e->out, "new_mems")];
            cr_assert(difference(case_out(&two, "new_mems") + l * kept, case_out(&layer[l], "new_mems"),
                                 kept) == 0);
        }
        cr_assert(difference(case_out(&two, "y"), case_out(&layer[1], "y"), T * E) == 0);
        case_free(&two), case_free(&layer[0]), case_free(&layer[1]);
        checks += T * E;
    }
    ledger_record("segments", "transformer_xl of two layers", checks, 0);
}

/* ---- Memory Transformer ---- */

#define MEMORY "tokens=%d width=%d heads=%d persistent=%d rounds=%d"

/* Without memory rows it is attention: the same numbers in the reference, the same bits of the kernels. */
Test(relatives_segments, memory_transformer_without_memory_is_attention) {
    KernelAdapter ours, plain;
    KernelRun a, b;
    Case c = case_new("mixer_memory_transformer", 5, MEMORY, T, D, H, 0, 3),
         attention = case_new("mixer_attention", 5, "tokens=%d width=%d heads=%d", T, D, H);
    take(&attention, &c, "x", 0);
    take_maps(&attention, &c);
    case_run(&c), case_run(&attention);
    expect_same(&c, &attention, "o");
    cr_assert(kernel_adapter_find("mixer_memory_transformer", &ours) &&
              kernel_adapter_find("mixer_attention", &plain));
    run_new(&a, &c, 0), run_new(&b, &attention, 0);
    ours.run(&a), plain.run(&b);
    cr_assert(!memcmp(a.out[0], b.out[0], T * D * sizeof(float)), "other bits than attention");
    run_free(&a, &c), run_free(&b, &attention);
    case_free(&c), case_free(&attention);
    ledger_record("segments", "memory_transformer without memory", 2 * T * D, 0);
}

/* Memory rows are constants: what they become in each other's sight, put there at once, gives the same. */
Test(relatives_segments, memory_transformer_is_attention_behind_rows_that_evolved) {
    enum { ROWS = 3 };
    for (int rounds = 1; rounds <= 3; rounds++) {
        double p[ROWS * D], o[ROWS * D];
        Case c = case_new("mixer_memory_transformer", 7, MEMORY, T, D, H, ROWS, rounds),
             before = case_new("mixer_memory_transformer", 7, MEMORY, T, D, H, ROWS, 0),
             swa = case_new("mixer_swa", 7, "tokens=%d width=%d heads=%d persistent=%d window=0", T, D, H,
                            ROWS);
        take(&before, &c, "x", 0), take(&swa, &c, "x", 0);
        take_maps(&before, &c), take_maps(&swa, &c);
        memcpy(p, case_in(&c, "persistent"), sizeof p);
        for (int i = 0; i < rounds; i++) {
            plain_layer(&c, ROWS, ROWS, 1, p, o);
            for (int j = 0; j < ROWS * D; j++) p[j] += o[j];
        }
        memcpy(case_in(&before, "persistent"), p, sizeof p), memcpy(case_in(&swa, "persistent"), p, sizeof p);
        case_run(&c), case_run(&before), case_run(&swa);
        expect_same(&before, &swa, "o");
        expect_same(&c, &before, "o");
        case_free(&c), case_free(&before), case_free(&swa);
    }
    ledger_record("segments", "memory_transformer evolved", 3 * T * D, 0);
}

/* ---- Recurrent Memory Transformer ---- */

#define RMT "tokens=%d width=%d heads=%d segment=%d memory=%d truncate=%d"

/* Without memory every segment is attention by itself. */
Test(relatives_segments, rmt_without_memory_is_attention_of_every_segment) {
    int64_t checks = 0;
    for (int segment = 1; segment <= T; segment++) {
        Case c = case_new("mixer_rmt", 8, RMT, T, D, H, segment, 0, 0);
        case_run(&c);
        for (int from = 0; from < T; from += segment) {
            Case part = case_new("mixer_attention", 8, "tokens=%d width=%d heads=%d",
                                 T - from < segment ? T - from : segment, D, H);
            take(&part, &c, "x", from * D);
            take_maps(&part, &c);
            case_run(&part);
            expect_part(&c, from * D, &part, "o");
            checks += part.out_size[0];
            case_free(&part);
        }
        case_free(&c);
    }
    ledger_record("segments", "rmt without memory", checks, 0);
}

/* Memory brings the first segment to the last; its gradient ends before every truncate-th segment. */
Test(relatives_segments, rmt_memory_carries_values_and_its_gradient_ends_where_it_is_told) {
    enum { SEGMENT = 2, SEGMENTS = T / SEGMENT };
    for (int truncate = 0; truncate <= SEGMENTS; truncate++) {
        Case c = case_new("mixer_rmt", 9, RMT, T, D, H, SEGMENT, 2, truncate),
             other = case_new("mixer_rmt", 9, RMT, T, D, H, SEGMENT, 2, truncate);
        case_in(&other, "x")[0] += 0.5;
        case_run(&c), case_run(&other);
        cr_assert(difference(case_out(&c, "o") + (T - 1) * D, case_out(&other, "o") + (T - 1) * D, D) > 1e-9);
        double *grad = gradient_of_x(&c, T - SEGMENT);
        const int first = truncate ? (SEGMENTS - 1) / truncate * truncate : 0;
        cr_assert(largest(grad, first * SEGMENT * D) == 0, "truncate %d: a gradient before segment %d",
                  truncate, first);
        for (int64_t t = first * SEGMENT; t < T; t++)
            cr_assert(largest(grad + t * D, D) > 0, "truncate %d: no gradient at token %ld", truncate, t);
        free(grad);
        case_free(&c), case_free(&other);
    }
    ledger_record("segments", "rmt truncation", (SEGMENTS + 1) * T, 0);
}
