/* How far float32 streaming drifts from the double reference: one memory reads a million tokens in segments,
 * the kernel carrying its state in float32 and the reference its own in double: drift.tsv. */
#include "bench/bench.h"
#include "bench/shared/table.h"
#include "terminal/interrupt.h"
#include "base/check.h"
#include "base/dispatch.h"
#include "base/random.h"
#include "terminal/options.h"
#include "equation/oracle.h"
#include "terminal/progress.h"

#include <argp.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 32, SEGMENT = 512, HEAD = 32 };

typedef struct {
    TableOptions table;
    int64_t tokens;
} DriftOptions;

static const struct argp_option options[] = {{"tokens", 'l', "N", 0, "tokens (default 1M)", 0}, {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    DriftOptions *o = state->input;
    switch (key) {
    case 'l':
        o->tokens = option_integer("tokens", arg, SEGMENT, (int64_t)1 << 30);
        break;
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->table;
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", arg);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* A memory and how its gates behave: they forget a little at every token, or (hard gates) write and forget at
 * one token of 64 only and keep everything else for ever. */
typedef struct {
    const char *name;
    int layers, hidden, normed,
        sparse; /* normed: residual and layer norm, without which steady forgetting kills it (E19) */
} DriftCase;
static const DriftCase cases[] = {{"linear, forgetting", 1, 0, 0, 0},
                                  {"linear, sparse writes", 1, 0, 0, 1},
                                  {"two layers + norm, forgetting", 2, 64, 1, 0},
                                  {"two layers, sparse writes", 2, 64, 0, 1}};

enum { IN_M, IN_S, IN_K, IN_V, IN_Q, IN_ALPHA, IN_THETA, IN_ETA, INPUTS };
enum { OUT_Y, OUT_M, OUT_S, OUTPUTS };

typedef struct {
    const DriftCase *c;
    MemoryShape shape;
    int64_t weights;
    Dims dims;
    float *input[INPUTS], *state, *y, *keep, *workspace;
    double *wide[INPUTS], *out[OUTPUTS];
    Random random;
} Drift;

static float *floats(int64_t n) {
    float *p = calloc((size_t)n + 16, sizeof *p);
    CHECK(p, "no memory for %ld floats", n);
    return p;
}

static double *doubles(int64_t n) {
    double *p = calloc((size_t)n + 1, sizeof *p);
    CHECK(p, "no memory for %ld doubles", n);
    return p;
}

static Drift drift_begin(const DriftCase *c) {
    Drift d = {.c = c, .random = {7}};
    d.shape = (MemoryShape){.batch = 1, .heads = 1, .tokens = SEGMENT, .chunk = CHUNK, .layers = c->layers};
    d.shape.width[0] = d.shape.width[c->layers] = HEAD;
    if (c->layers == 2) d.shape.width[1] = c->hidden;
    d.shape.residual = d.shape.norm = c->normed;
    d.dims = dims_of(
        "memory_chunk",
        "tokens=%d chunk=%d memory_layers=%d n0=%d n1=%d n2=%d memory_residual=%d memory_norm=%d", SEGMENT,
        CHUNK, c->layers, HEAD, c->layers == 2 ? c->hidden : HEAD, HEAD, c->normed, c->normed);
    for (int l = 1; l <= c->layers; l++) d.weights += d.shape.width[l - 1] * d.shape.width[l];
    const int64_t size[INPUTS] = {d.weights,      d.weights, SEGMENT * HEAD, SEGMENT * HEAD,
                                  SEGMENT * HEAD, SEGMENT,   SEGMENT,        SEGMENT};
    for (int i = 0; i < INPUTS; i++) d.input[i] = floats(size[i]), d.wide[i] = doubles(size[i]);
    for (int i = 0; i < OUTPUTS; i++) d.out[i] = doubles(i == OUT_Y ? SEGMENT * HEAD : d.weights);
    d.state = floats(3 * d.weights);
    d.y = floats(SEGMENT * HEAD);
    d.keep = floats(SEGMENT);
    d.workspace = floats(kernel->memory->workspace_floats(&d.shape));
    for (int64_t j = 0; j < d.weights; j++) {
        const float w = (float)(random_normal(&d.random) / sqrt((double)HEAD));
        d.state[j] = d.state[d.weights + j] = w;
        d.wide[IN_M][j] = (double)w;
    }
    return d;
}

static void drift_end(Drift *d) {
    for (int i = 0; i < INPUTS; i++) free(d->input[i]), free(d->wide[i]);
    for (int i = 0; i < OUTPUTS; i++) free(d->out[i]);
    free(d->state);
    free(d->y);
    free(d->keep);
    free(d->workspace);
}

/* Unit keys and queries, unit values; the gates of the case. The same float32 numbers go to both. */
static void drift_tokens(Drift *d) {
    for (int i = IN_K; i <= IN_Q; i++)
        for (int64_t t = 0; t < SEGMENT; t++) {
            double square = 0.0, row[HEAD];
            for (int j = 0; j < HEAD; j++) row[j] = random_normal(&d->random), square += row[j] * row[j];
            for (int j = 0; j < HEAD; j++) d->input[i][t * HEAD + j] = (float)(row[j] / sqrt(square));
        }
    for (int64_t t = 0; t < SEGMENT; t++) {
        const int writes = !d->c->sparse || random_below(&d->random, 64) == 0;
        const float alpha = writes ? (float)(0.02 * random_uniform(&d->random)) : 0.0f;
        d->input[IN_THETA][t] = writes ? (float)(0.01 * random_uniform(&d->random)) : 0.0f;
        d->input[IN_ETA][t] = (float)(0.5 * random_uniform(&d->random));
        d->keep[t] = 1.0f - alpha;
        d->input[IN_ALPHA][t] = 1.0f - d->keep[t];
    }
    const int64_t size[INPUTS] = {0,       0,       SEGMENT * HEAD, SEGMENT * HEAD, SEGMENT * HEAD,
                                  SEGMENT, SEGMENT, SEGMENT};
    for (int i = IN_K; i < INPUTS; i++)
        for (int64_t j = 0; j < size[i]; j++) d->wide[i][j] = (double)d->input[i][j];
}

/* Largest |a - b| over the largest |b|. */
static double distance(int64_t n, const float *a, const double *b) {
    double worst = 0.0, size = 0.0;
    for (int64_t i = 0; i < n; i++) {
        const double error = fabs((double)a[i] - b[i]);
        if (!isfinite(error)) return NAN;
        worst = fmax(worst, error);
        size = fmax(size, fabs(b[i]));
    }
    return worst / size;
}

static void drift_segment(Drift *d) {
    const double *in[INPUTS];
    drift_tokens(d);
    const MemoryInput input = {d->input[IN_K], d->input[IN_V],     d->input[IN_Q],
                               d->keep,        d->input[IN_THETA], d->input[IN_ETA]};
    const MemoryOutput output = {d->y, 0, 0};
    kernel->memory->forward_scan(&d->shape, &input, d->state, &output, d->workspace);
    for (int i = 0; i < INPUTS; i++) in[i] = d->wide[i];
    oracle_run(&reference_double, &d->dims, in, 0, d->out, 0, 0, 0);
    memcpy(d->wide[IN_M], d->out[OUT_M], (size_t)d->weights * sizeof(double));
    memcpy(d->wide[IN_S], d->out[OUT_S], (size_t)d->weights * sizeof(double));
}

/* 0, 1 interrupted, -1 with a message. */
static int drift_case(const DriftCase *c, int64_t tokens, FILE *to, char *message, size_t size) {
    Drift d = drift_begin(c);
    ProgressLine progress;
    int64_t next = SEGMENT;
    int status = 0;
    progress_begin(&progress, c->name, "tokens", tokens);
    for (int64_t done = SEGMENT; !status && done <= tokens && !interrupt_requested(); done += SEGMENT) {
        drift_segment(&d);
        progress_update(&progress, done, "");
        if (done < next && done + SEGMENT <= tokens) continue;
        const double reads = distance(SEGMENT * HEAD, d.y, d.out[OUT_Y]),
                     weights = distance(d.weights, d.state + d.weights, d.out[OUT_M]);
        if (!isfinite(reads + weights)) {
            snprintf(message, size, "%s: a read or a weight is not finite at token %lld", c->name,
                     (long long)done);
            status = -1;
        } else
            fprintf(to, "%s\t%lld\t%.3e\t%.3e\n", c->name, (long long)done, reads, weights);
        next = done * 5 / 4;
    }
    progress_end(&progress);
    drift_end(&d);
    return status ? status : interrupt_requested();
}

static int measure(void *options, Tsv *table, char *message, size_t size) {
    const DriftOptions *o = options;
    int status = 0;
    for (size_t i = 0; !status && i < sizeof cases / sizeof *cases; i++)
        status = drift_case(&cases[i], o->tokens, table->file, message, size);
    return status;
}

static int run(int argc, char **argv) {
    static const TableWork work = {"drift", "memory\ttokens\terror_of_reads\terror_of_weights", measure};
    const struct argp argp = {options,
                              parse,
                              0,
                              "Drift of float32 streaming from the double reference."
                              "\vExamples:\n  titans bench drift --tokens 64K -o drift.tsv",
                              table_children,
                              0,
                              0};
    DriftOptions o = {{.out = "drift.tsv"}, 1 << 20};
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &o);
    return table_run(&work, &o, &o.table, argc, argv);
}

const Bench bench_drift = {"drift", "float32 streaming against the double reference over a million tokens",
                           run};
