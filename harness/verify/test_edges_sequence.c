/* Edges of what reaches along a sequence: attention and convolution of a batch against each head and row alone. */
#include "test_edges.h"
#include "base/parallel.h"

/* ---- attention -------------------------------------------------------------------------------------------- */

enum { AQ, AK, AV, AKP, AVP, ADY, AY, ASTATISTICS, ADQ, ADK, ADV, ADKP, ADVP, ATTENDS };

typedef struct {
    AttendShape shape;
    int64_t rows[ATTENDS], width;
    float *x[ATTENDS];
} Attend;

static Attend attend_shaped(const AttendShape *s) {
    const int64_t keys = s->stride * s->tokens + s->lead, T = s->tokens, p = s->prefix;
    return (Attend){*s, {T, keys, keys, p, p, T, T, 0, T, keys, keys, p, p}, s->width, {0}};
}

static void attend_run(Attend *a) {
    const AttendShape *s = &a->shape;
    const struct attend_kernel *attend = kernel->attend;
    const int64_t heads = s->batch * s->heads;
    float **x = a->x, *cache = run_scratch(heads * attend->cache_floats(s)),
          *workspace = run_array(parallel_threads() * attend->workspace_floats(s), NAN);
    x[ASTATISTICS] = run_array(heads * s->tokens * 2, NAN);
    attend->append_prefix(s, x[AKP], x[AVP], cache);
    attend->append(s, x[AK], x[AV], cache);
    attend->forward(s, x[AQ], cache, x[AY], x[ASTATISTICS], workspace);
    attend->backward(s, x[AQ], cache, x[AY], x[ASTATISTICS], x[ADY], x[ADQ], x[ADK], x[ADV], x[ADKP], x[ADVP],
                     workspace);
    free(cache);
    run_array_free(workspace);
}

/* The prefix is the same for every member, its gradient is not. */
static int shared_by_members(int array) { return array == AKP || array == AVP; }

static Attend attend_head(const Attend *a, int64_t b, int64_t h) {
    AttendShape s = a->shape;
    s.batch = s.heads = 1;
    if (s.slopes) s.slopes += h;
    Attend one = attend_shaped(&s);
    for (int i = 0; i < ATTENDS; i++)
        if (i != ASTATISTICS)
            one.x[i] =
                head_of(a->x[i], a->rows[i], a->shape.heads, a->width, shared_by_members(i) ? 0 : b, h);
    return one;
}

enum { ATTEND_BATCH = 2, ATTEND_HEADS = 2 };

/* Every mask that a mixer asks for, around blocks of 64. */
static const struct {
    int64_t tokens, width, window, prefix, lead, stride;
} attend_sizes[] = {{1, 2, 0, 0, 0, 1},   {2, 1, 1, 1, 0, 1},  {64, 3, 0, 64, 0, 1}, {65, 17, 64, 2, 0, 1},
                    {70, 4, 9, 65, 0, 1}, {33, 4, 0, 3, 0, 2}, {40, 16, 0, 1, 40, 1}};
enum { ATTEND_SIZES = sizeof attend_sizes / sizeof *attend_sizes };

/* Slopes are for one key a token. */
static int takes_slopes(int i) { return attend_sizes[i].stride == 1 && !attend_sizes[i].lead; }

static Attend attend_numbers(int i, const float *slopes) {
    const int64_t keys = attend_sizes[i].stride * attend_sizes[i].tokens + attend_sizes[i].lead;
    AttendShape s = attend_plain(ATTEND_BATCH, ATTEND_HEADS, attend_sizes[i].tokens, 0, attend_round(keys),
                                 attend_sizes[i].width);
    s.window = attend_sizes[i].window, s.prefix = attend_sizes[i].prefix, s.lead = attend_sizes[i].lead;
    s.stride = attend_sizes[i].stride, s.slopes = slopes;
    Attend all = attend_shaped(&s);
    for (int a = 0; a < ATTENDS; a++) {
        const int64_t n = ATTEND_BATCH * all.rows[a] * ATTEND_HEADS * s.width;
        if (a != ASTATISTICS) all.x[a] = a == AY ? run_array(n, NAN) : numbers(n, 1, (uint64_t)a);
    }
    return all;
}

static void attend_free(const Attend *a) {
    for (int i = 0; i < ATTENDS; i++) run_array_free(a->x[i]);
}

/* Forward and backward have the bits of each head alone. */
static int64_t check_attend(int i, const float *slopes) {
    int64_t checks = 0;
    Attend all = attend_numbers(i, slopes), one[ATTEND_BATCH * ATTEND_HEADS];
    for (int j = 0; j < ATTEND_BATCH * ATTEND_HEADS; j++)
        one[j] = attend_head(&all, j / ATTEND_HEADS, j % ATTEND_HEADS), attend_run(&one[j]);
    attend_run(&all);
    for (int j = 0; j < ATTEND_BATCH * ATTEND_HEADS; j++) {
        Attend part = attend_head(&all, j / ATTEND_HEADS, j % ATTEND_HEADS);
        for (int a = 0; a < ATTENDS; a++)
            if (a != ASTATISTICS)
                checks += expect_bits(part.x[a], one[j].x[a], part.rows[a] * part.width, "attention");
        attend_free(&part);
        attend_free(&one[j]);
    }
    attend_free(&all);
    return checks;
}

Test(edges, attention_of_a_batch_is_that_of_each_head_alone) {
    static const float slopes[ATTEND_HEADS] = {0.25f, 0.3f};
    int64_t checks = 0;
    for (int k = 0; next_isa(&k);)
        for (int i = 0; i < ATTEND_SIZES; i++) {
            checks += check_attend(i, 0);
            if (takes_slopes(i)) checks += check_attend(i, slopes);
        }
    ledger_record("edges", "attention of a batch", checks, 0);
}

Test(edges, attention_with_slopes_of_zero_is_attention_without) {
    static const float slopes[ATTEND_HEADS];
    int64_t checks = 0;
    for (int k = 0; next_isa(&k);)
        for (int i = 0; i < ATTEND_SIZES; i++) {
            if (!takes_slopes(i)) continue;
            Attend with = attend_numbers(i, slopes), without = attend_numbers(i, 0);
            attend_run(&with);
            attend_run(&without);
            for (int a = 0; a < ATTENDS; a++)
                if (a != ASTATISTICS)
                    checks +=
                        expect_bits(with.x[a], without.x[a],
                                    ATTEND_BATCH * with.rows[a] * ATTEND_HEADS * with.width, "attention");
            attend_free(&with);
            attend_free(&without);
        }
    cr_assert(checks > 0);
    ledger_record("edges", "slopes of zero", checks, 0);
}

/* ---- convolution ------------------------------------------------------------------------------------------ */

enum { CX, CWEIGHT, CTAIL, CDY, CY, CNEXT, CDX, CDWEIGHT, CDTAIL, CONVS };

static void conv_run(const ConvShape *s, float *const *x) {
    float *workspace = run_array(s->batch * s->tokens * s->heads * s->width, NAN);
    kernel->conv->forward(s, x[CX], x[CTAIL], x[CWEIGHT], 0, x[CY]);
    kernel->conv->shift(s, x[CX], x[CTAIL], x[CNEXT]);
    kernel->conv->backward(s, x[CX], x[CTAIL], x[CWEIGHT], 0, x[CDY], x[CDX], x[CDTAIL], x[CDWEIGHT], 0,
                           workspace);
    run_array_free(workspace);
}

/* A batch of two: the bits of one member after the other, both adding to the same gradient of the taps. */
static int64_t check_conv(int64_t tokens, int64_t taps, int64_t width, int l2, int with_tail) {
    ConvShape s = {2, tokens, 2, width, taps, l2};
    const int64_t D = 2 * width, row = tokens * D, before = (taps - 1) * D, w = taps * D,
                  size[CONVS] = {row, w, before, row, row, before, row, w, before};
    float *x[CONVS], *one[CONVS], *first[CONVS], *second[CONVS];
    for (int a = 0; a < CONVS; a++) {
        x[a] = a == CY || a == CNEXT ? run_array(2 * size[a], NAN) : numbers(2 * size[a], 1, (uint64_t)a);
        if (!with_tail && (a == CTAIL || a == CDTAIL)) run_array_free(x[a]), x[a] = 0;
        one[a] = x[a] ? copied(x[a], 2 * size[a]) : 0;
        first[a] = one[a];
        second[a] = one[a] && a != CWEIGHT && a != CDWEIGHT ? one[a] + size[a] : one[a];
    }
    conv_run(&s, x);
    s.batch = 1;
    conv_run(&s, first);
    conv_run(&s, second);
    for (int a = 0; a < CONVS; a++) {
        if (x[a]) expect_bits(x[a], one[a], 2 * size[a], "convolution");
        run_array_free(one[a]);
    }
    for (int64_t j = 0; j < 2 * before; j++) { /* the last inputs, then those of the tail, then zeros */
        const int64_t b = j / before, at = tokens * D + j % before - before;
        const float want = at >= 0     ? x[CX][b * row + at]
                           : with_tail ? x[CTAIL][b * before + before + at]
                                       : 0.0f;
        cr_assert(x[CNEXT][j] == want, "%s: tail[%ld] = %g, want %g", kernel->isa, j, (double)x[CNEXT][j],
                  (double)want);
    }
    for (int a = 0; a < CONVS; a++) run_array_free(x[a]);
    return 2 * (4 * row + 2 * before);
}

Test(edges, convolution_of_a_batch_and_its_tail) {
    int64_t checks = 0;
    for (int k = 0; next_isa(&k);)
        for (int64_t tokens = 0; tokens <= 6; tokens++)
            for (int64_t taps = 1; taps <= 6; taps++)
                for (int option = 0; option < 8; option++)
                    checks += check_conv(tokens, taps, option & 4 ? 17 : 3, option & 1, option >> 1 & 1);
    ledger_record("edges", "convolution", checks, 0);
}
