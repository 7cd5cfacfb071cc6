#include "equation/kernel_adapters.h"
#include "base/check.h"
#include "model/model.h"
#include "base/parallel.h"
#include "base/portable.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static float *take(int64_t n) {
    float *p = calloc((size_t)n + 16, sizeof(float));
    CHECK(p, "no memory for %ld floats", n);
    return p;
}

static void negate(int64_t n, float *x) {
    for (int64_t i = 0; i < n; i++) x[i] = -x[i];
}

/* 1 - alpha; alpha is a multiple of 2^-12, so this is exact. */
static float *keep_of(int64_t n, const float *alpha) {
    float *keep = take(n);
    for (int64_t i = 0; i < n; i++) keep[i] = 1.0f - alpha[i];
    return keep;
}

static int32_t *integers(int64_t n, const float *x) {
    int32_t *y = calloc((size_t)n + 1, sizeof *y);
    CHECK(y, "no memory for %ld integers", n);
    for (int64_t i = 0; i < n; i++) y[i] = (int32_t)x[i];
    return y;
}

static void run_qkv(KernelRun *r) {
    const int64_t T = r->dims[0], D = r->dims[1];
    for (int i = 0; i < 3; i++) {
        kernel->gemm->run(GEMM_NN, T, D, D, r->in[0], D, r->in[1 + i], D, r->out[i], D, 0);
        if (!r->grad[0]) continue;
        kernel->gemm->run(GEMM_NT, T, D, D, r->cotangent[i], D, r->in[1 + i], D, r->grad[0], D, 1);
        kernel->gemm->run(GEMM_TN, D, D, T, r->in[0], D, r->cotangent[i], D, r->grad[1 + i], D, 1);
    }
}

static void run_conv(KernelRun *r, int l2) {
    const ConvShape s = {1, r->dims[0], r->dims[1], r->dims[2], r->dims[3], l2};
    kernel->conv->forward(&s, r->in[0], r->in[2], r->in[1], r->out[0]);
    if (!r->grad[0]) return;
    float *workspace = take(r->in_size[0]);
    kernel->conv->backward(&s, r->in[0], r->in[2], r->in[1], r->cotangent[0], r->grad[0], r->grad[2], r->grad[1],
                      workspace);
    free(workspace);
}
static void run_conv_silu(KernelRun *r) { run_conv(r, 0); }
static void run_conv_silu_l2(KernelRun *r) { run_conv(r, 1); }

static void run_norm(KernelRun *r, NormShape s, const float *z, float *dz) {
    kernel->norm->forward(&s, r->in[0], r->in[1], z, r->out[0]);
    if (!r->grad[0]) return;
    float *workspace = take(s.rows * s.groups);
    kernel->norm->backward(&s, r->in[0], r->in[1], z, r->cotangent[0], r->grad[0], r->grad[1], dz, workspace);
    free(workspace);
}
static void run_rms_norm(KernelRun *r) { run_norm(r, (NormShape){r->dims[0], 1, r->dims[1]}, 0, 0); }
static void run_norm_gate(KernelRun *r) {
    run_norm(r, (NormShape){r->dims[0], r->dims[1], r->dims[2]}, r->in[2], r->grad[2]);
}

static void run_gates(KernelRun *r) {
    const int64_t T = r->dims[0], H = r->dims[1], n = T * H;
    const GateShape s = {T, H, 1, 1, r->dims[2] ? GATE_HARD : GATE_SIGMOID, 1, 1, r->in[1][0]};
    float *keep = take(n);
    kernel->gates->forward(&s, r->in[0], keep, r->out[1], r->out[2]);
    for (int64_t i = 0; i < n; i++) r->out[0][i] = 1.0f - keep[i];
    free(keep);
    if (!r->grad[0]) return;
    float *dkeep = take(n);
    memcpy(dkeep, r->cotangent[0], (size_t)n * sizeof(float));
    negate(n, dkeep);
    kernel->gates->backward(&s, 0.0f, r->in[0], dkeep, r->cotangent[1], r->cotangent[2], r->grad[0]);
    free(dkeep);
}

static void run_swiglu(KernelRun *r) {
    const int64_t n = r->in_size[0];
    kernel->act->swiglu(n, r->in[0], r->in[1], r->out[0]);
    if (r->grad[0]) kernel->act->swiglu_backward(n, r->in[0], r->in[1], r->cotangent[0], r->grad[0], r->grad[1]);
}

static void run_rope(KernelRun *r) {
    const int64_t T = r->dims[0], H = r->dims[1], dh = r->dims[2];
    float *angles = take(T * dh);
    for (int64_t t = 0; t < T; t++)
        for (int64_t i = 0; i < dh / 2; i++) {
            double sine, cosine;
            const double turn =
                (double)(r->dims[3] + t) * portable_exp(-2.0 * (double)i / (double)dh * portable_log(1e4));
            portable_sincos(turn, &sine, &cosine);
            angles[t * dh + i] = (float)cosine;
            angles[t * dh + dh / 2 + i] = (float)sine;
        }
    kernel->embed->rope(1, T, H, dh, angles, 1.0f, r->in[0], r->out[0]);
    if (r->grad[0]) kernel->embed->rope(1, T, H, dh, angles, -1.0f, r->cotangent[0], r->grad[0]);
    free(angles);
}

static void run_cross_entropy(KernelRun *r) {
    const int64_t T = r->dims[0], V = r->dims[1];
    Arena arena = {0};
    Tape tape = {&arena, r->grad[0] != 0, 0};
    Tensor logits = {T, V, r->in[0], r->grad[0]};
    int32_t *target = integers(T, r->in[1]), *best = integers(T, r->in[1]);
    r->out[0][0] = (float)op_cross_entropy(&tape, &logits, target, 1.0, best);
    for (int64_t i = 0; r->grad[0] && i < T * V; i++) r->grad[0][i] *= r->cotangent[0][0];
    free(target);
    free(best);
    arena_free(&arena);
}

/* The equations have one head and S >= T: the keys before the last T are the prefix and those of an earlier
 * call. */
static void run_window(KernelRun *r, int64_t window, int64_t prefix) {
    const int64_t T = r->dims[0], S = r->dims[1], d = r->dims[2], past = S - T - prefix;
    AttendShape first = attend_plain(1, 1, past, 0, attend_round(S - prefix), d);
    AttendShape s = attend_plain(1, 1, T, past, attend_round(S - prefix), d);
    first.prefix = s.prefix = prefix;
    first.window = s.window = window;
    float *cache = take(kernel->attend->cache_floats(&s)), *statistics = take(2 * T);
    float *workspace = take(parallel_threads() * kernel->attend->workspace_floats(&s));
    const float *k = r->in[1] + prefix * d, *v = r->in[2] + prefix * d;
    kernel->attend->append_prefix(&s, r->in[1], r->in[2], cache);
    if (past) kernel->attend->append(&first, k, v, cache);
    kernel->attend->append(&s, k + past * d, v + past * d, cache);
    kernel->attend->forward(&s, r->in[0], cache, r->out[0], statistics, workspace);
    if (r->grad[0])
        kernel->attend->backward(&s, r->in[0], cache, r->out[0], statistics, r->cotangent[0], r->grad[0],
                            r->grad[1] + prefix * d, r->grad[2] + prefix * d, r->grad[1], r->grad[2],
                            workspace);
    free(cache);
    free(statistics);
    free(workspace);
}
static void run_attention(KernelRun *r) { run_window(r, 0, 0); }
static void run_window_attention(KernelRun *r) { run_window(r, r->dims[3], r->dims[4]); }

/* in: y, m, gain_y, gain_m. */
static void run_titans_gate(KernelRun *r) {
    const int64_t T = r->dims[0], H = r->dims[1], D = H * r->dims[2];
    Arena arena = {0};
    Tape tape = {&arena, r->grad[0] != 0, 0};
    Tensor y = {T, D, r->in[0], r->grad[0]}, m = {T, D, r->in[1], r->grad[1]};
    Tensor gain_y = {1, D, r->in[2], r->grad[2]}, gain_m = {1, D, r->in[3], r->grad[3]};
    Tensor *left = op_norm(&tape, &y, &gain_y, 0, H), *right = op_norm(&tape, &m, &gain_m, 0, H);
    Tensor *o = op_gate(&tape, left, right);
    memcpy(r->out[0], o->data, (size_t)(T * D) * sizeof(float));
    if (r->grad[0]) {
        memcpy(o->grad, r->cotangent[0], (size_t)(T * D) * sizeof(float));
        tape_backward(&tape);
    }
    arena_free(&arena);
}

enum { IN_M0, IN_S0, IN_K, IN_V, IN_Q, IN_ALPHA, IN_THETA, IN_ETA };

/* From the dimensions "L n0 n1 n2 n3 n4 gelu residual norm per_layer channelwise". */
static MemoryShape memory_shape(int64_t tokens, int64_t chunk, const int64_t *dims) {
    MemoryShape s = {.batch = 1,
                     .heads = 1,
                     .tokens = tokens,
                     .chunk = chunk,
                     .layers = (int)dims[0],
                     .gelu = (int)dims[6],
                     .residual = (int)dims[7],
                     .norm = (int)dims[8],
                     .per_layer = (int)dims[9],
                     .channelwise = (int)dims[10]};
    for (int l = 0; l <= s.layers; l++) s.width[l] = dims[1 + l];
    return s;
}

/* One query. in: M, q. */
static void run_memory_read(KernelRun *r) {
    const MemoryShape s = memory_shape(1, 1, r->dims);
    float *workspace = take(parallel_threads() * kernel->memory->workspace_floats(&s));
    kernel->memory->read(&s, r->in[1], r->in[0], 0, r->out[0], workspace);
    if (r->grad[0])
        kernel->memory->read_backward(&s, r->in[1], r->in[0], 0, r->cotangent[0], r->grad[1], r->grad[0], 0,
                                 workspace);
    free(workspace);
}

/* Forward and, through the snapshots of that forward, backward. out: y, M, S. */
typedef enum { MEMORY_SCAN, MEMORY_DUAL, MEMORY_ADJOINT } MemoryForm;
static void run_memory(KernelRun *r, MemoryForm form) {
    const MemoryShape s = memory_shape(r->dims[0], r->dims[1], r->dims + 2);
    const int64_t P = r->in_size[IN_M0], T = s.tokens, chunks = (T + s.chunk - 1) / s.chunk;
    const int64_t gates = r->in_size[IN_ALPHA];
    float *keep = keep_of(gates, r->in[IN_ALPHA]), *state = take(3 * P), *snapshots = take(chunks * 2 * P);
    float *workspace = take(parallel_threads() * kernel->memory->workspace_floats(&s));
    memcpy(state, r->in[IN_M0], (size_t)P * sizeof(float));
    memcpy(state + P, r->in[IN_M0], (size_t)P * sizeof(float));
    memcpy(state + 2 * P, r->in[IN_S0], (size_t)P * sizeof(float));
    const MemoryInput in = {r->in[IN_K], r->in[IN_V], r->in[IN_Q], keep, r->in[IN_THETA], r->in[IN_ETA]};
    const MemoryOutput out = {r->out[0], snapshots, 0};
    const int dual = form == MEMORY_DUAL && !s.channelwise; /* decay per channel has no dual form */
    (dual ? kernel->memory->forward_dual : kernel->memory->forward_scan)(&s, &in, state, &out, workspace);
    memcpy(r->out[1], state + P, (size_t)(P) * sizeof(float));
    memcpy(r->out[2], state + 2 * P, (size_t)(P) * sizeof(float));
    if (r->grad[0]) {
        float *dstate = take(2 * P);
        memcpy(dstate, r->cotangent[1], (size_t)P * sizeof(float));
        memcpy(dstate + P, r->cotangent[2], (size_t)P * sizeof(float));
        const MemoryGradient d = {r->grad[IN_K],     r->grad[IN_V],     r->grad[IN_Q],
                                  r->grad[IN_ALPHA], r->grad[IN_THETA], r->grad[IN_ETA]};
        (form == MEMORY_ADJOINT ? kernel->memory->backward_scan : kernel->memory->backward)(
            &s, &in, snapshots, r->cotangent[0], &d, dstate, workspace);
        negate(gates, r->grad[IN_ALPHA]);
        memcpy(r->grad[IN_M0], dstate, (size_t)P * sizeof(float));
        memcpy(r->grad[IN_S0], dstate + P, (size_t)P * sizeof(float));
        free(dstate);
    }
    free(keep);
    free(state);
    free(snapshots);
    free(workspace);
}
static void run_memory_scan(KernelRun *r) { run_memory(r, MEMORY_SCAN); }
static void run_memory_dual(KernelRun *r) { run_memory(r, MEMORY_DUAL); }
static void run_memory_adjoint(KernelRun *r) { run_memory(r, MEMORY_ADJOINT); }

/* The reference's numbers for mixers. */
static const char *const model_mixers[] = {"attention", "lmm", "swa", "mac", "mag", "mal", "mal_h3"};

/* mixer: a name; options: "w b L e kind gelu residual norm per_layer channelwise per_chunk no_decay
 * no_momentum persistent segment window literal" of the reference. */
static Config mixer_config(const char *mixer, int64_t width, int64_t heads, const int64_t *options,
                           double theta_max) {
    Config c;
    TrainConfig unused;
    config_defaults(&c, &unused);
    snprintf(c.mixer, sizeof c.mixer, "%s", mixer);
    c.width = width, c.heads = heads;
    c.taps = options[0], c.chunk = options[1], c.memory_layers = options[2], c.expansion = options[3];
    snprintf(c.gate, sizeof c.gate, "%s", options[4] ? "hard" : "sigmoid");
    snprintf(c.activation, sizeof c.activation, "%s", options[5] ? "gelu" : "silu");
    c.memory_residual = options[6], c.memory_norm = options[7];
    c.gates_per_layer = options[8], c.channelwise = options[9];
    c.gates_per_chunk = options[10], c.forget = !options[11], c.momentum = !options[12];
    c.persistent = options[13], c.segment = options[14], c.window = options[15];
    snprintf(c.mask, sizeof c.mask, "%s", options[16] ? "paper" : "causal");
    c.theta_max = theta_max;
    return c;
}

/* From "T V D H layers F mixer" and the options. */
static Config model_config(const int64_t *dims, double theta_max) {
    Config c = mixer_config(model_mixers[dims[6]], dims[2], dims[3], dims + 7, theta_max);
    c.vocab = dims[1], c.layers = dims[4], c.ffn = dims[5];
    return c;
}

/* A mixer alone. dims "T D H" and the options; in: x, its parameters in its own order, and theta_max if it
 * has a memory. */
static void run_mixer(KernelRun *r, const char *name) {
    const int64_t T = r->dims[0], D = r->dims[1];
    const Mixer *mixer = mixer_find(name);
    int last = 0;
    while (last < EQUATION_TENSORS && r->in[last]) last++;
    Config config = mixer_config(name, D, r->dims[2], r->dims + 3,
                                 mixer->memory_every ? (double)r->in[last - 1][0] : 1.0);
    config.vocab = 1, config.layers = 1, config.ffn = 1;
    char message[256];
    Model model;
    CHECK(!model_create(&model, &config, 0, message, sizeof message), "%s", message);
    for (int i = 1; i < last - (mixer->memory_every > 0); i++) {
        Tensor *p = &model.tensors[model.first[0] + i - 1];
        /* attention has no persistent tokens, the others' may be none */
        CHECK(p->rows * p->cols == r->in_size[i], "%s: input %d has %ld numbers, the parameter %ld", name, i,
              r->in_size[i], p->rows * p->cols);
        *p = (Tensor){p->rows, p->cols, r->in[i], r->grad[i]};
    }
    Arena arena = {0};
    Tape tape = {&arena, r->grad[0] != 0, 0};
    Tensor x = {T, D, r->in[0], r->grad[0]};
    Tensor *o = model_mixer(&tape, &model, &x, 1);
    memcpy(r->out[0], o->data, (size_t)(T * D) * sizeof(float));
    if (r->grad[0]) {
        memcpy(o->grad, r->cotangent[0], (size_t)(T * D) * sizeof(float));
        tape_backward(&tape);
    }
    arena_free(&arena);
    model_free(&model);
}
static void run_mixer_attention(KernelRun *r) { run_mixer(r, "attention"); }
static void run_mixer_swa(KernelRun *r) { run_mixer(r, "swa"); }
static void run_mixer_lmm(KernelRun *r) { run_mixer(r, "lmm"); }
static void run_mixer_mac(KernelRun *r) { run_mixer(r, "mac"); }
static void run_mixer_mag(KernelRun *r) { run_mixer(r, "mag"); }
static void run_mixer_mal_h3(KernelRun *r) { run_mixer(r, "mal_h3"); }

/* The forward pass in one call, or in two calls on one tape split at a chunk boundary. */
static void model_calls(Tape *tape, Model *model, const int32_t *tokens, const int32_t *rows, int64_t T,
                        int64_t split, const int32_t *targets, int32_t *best, double *loss, float *logits) {
    State state = {.batch = 1, .capacity = (T + ATTEND_BLOCK - 1) / ATTEND_BLOCK * ATTEND_BLOCK};
    int64_t counted[2] = {0, 0};
    double sum[2] = {0.0, 0.0};
    state_begin(tape, &state, model);
    for (int i = 0; i < 2; i++) {
        const int64_t from = i ? split : 0, n = i ? T - split : split;
        if (!n) continue;
        const ModelInput input = {tokens + from, 1, n, rows, n, 0.0f, 0, 0};
        Tensor *part = model_forward(tape, model, &state, &input);
        memcpy(logits + from * part->cols, part->data, (size_t)(n * part->cols) * sizeof(float));
        for (int64_t t = 0; t < n; t++) counted[i] += targets[from + t] >= 0;
        sum[i] = op_cross_entropy(tape, part, targets + from, 1.0, best) * (double)counted[i];
        for (int64_t j = 0; part->grad && j < n * part->cols; j++) part->grad[j] *= (float)counted[i];
    }
    *loss = (sum[0] + sum[1]) / (double)(counted[0] + counted[1]);
}

/* in: tokens, targets, theta_max, params. out: loss, logits; the cotangent of the logits must be zero. */
static void run_language_model_split(KernelRun *r, int64_t split) {
    const int64_t T = r->dims[0];
    const Config config = model_config(r->dims, (double)r->in[2][0]);
    char message[256];
    Model model;
    CHECK(!model_create(&model, &config, 0, message, sizeof message), "%s", message);
    CHECK(model.list.floats == r->in_size[3], "%ld weights, the reference has %ld", model.list.floats,
          r->in_size[3]);
    memcpy(model.weights, r->in[3], (size_t)model.list.floats * sizeof(float));
    model_gradients(&model);
    Arena arena = {0};
    Tape tape = {&arena, r->grad[0] != 0, 0};
    int32_t *tokens = integers(T, r->in[0]), *targets = integers(T, r->in[1]), *rows = integers(T, r->in[0]);
    int32_t *best = integers(T, r->in[0]);
    int64_t counted = 0;
    double loss;
    for (int64_t t = 0; t < T; t++) rows[t] = (int32_t)t, counted += targets[t] >= 0;
    model_calls(&tape, &model, tokens, rows, T, split, targets, best, &loss, r->out[1]);
    r->out[0][0] = (float)loss;
    if (r->grad[0]) {
        tape_backward(&tape);
        const float share = r->cotangent[0][0] / (float)counted;
        for (int64_t i = 0; i < model.list.floats; i++) r->grad[3][i] = model.grads[i] * share;
    }
    free(tokens);
    free(targets);
    free(rows);
    free(best);
    arena_free(&arena);
    model_free(&model);
}

static void run_language_model(KernelRun *r) { run_language_model_split(r, r->dims[0]); }

/* Attention trains on whole sequences only; the memory's state carries the gradient across calls. */
static void run_language_model_segments(KernelRun *r) {
    const int64_t T = r->dims[0], chunk = r->dims[8];
    run_language_model_split(r, r->dims[6] == 1 && r->dims[20] == 0 && chunk < T ? chunk : T);
}

const KernelAdapter kernel_adapters[] = {
    {"qkv", "gemm", run_qkv},
    {"conv_silu", "conv", run_conv_silu},
    {"conv_silu_l2", "conv+l2", run_conv_silu_l2},
    {"rms_norm", "norm", run_rms_norm},
    {"norm_gate", "norm+gate", run_norm_gate},
    {"gates", "gates", run_gates},
    {"swiglu", "act", run_swiglu},
    {"rope", "embed.rope", run_rope},
    {"cross_entropy", "loss", run_cross_entropy},
    {"attention", "attend", run_attention},
    {"window_attention", "attend.window", run_window_attention},
    {"titans_gate", "act.gate", run_titans_gate},
    {"memory_read", "memory.read", run_memory_read},
    {"memory_chunk", "memory.scan", run_memory_scan},
    {"memory_chunk", "memory.dual", run_memory_dual},
    {"memory_chunk", "memory.adjoint", run_memory_adjoint},
    {"mixer_attention", "mixer.attention", run_mixer_attention},
    {"mixer_swa", "mixer.swa", run_mixer_swa},
    {"mixer_lmm", "mixer.lmm", run_mixer_lmm},
    {"mixer_mac", "mixer.mac", run_mixer_mac},
    {"mixer_mag", "mixer.mag", run_mixer_mag},
    {"mixer_mal_h3", "mixer.mal_h3", run_mixer_mal_h3},
    {"language_model", "model", run_language_model},
    {"language_model", "model.segments", run_language_model_segments},
    {0, 0, 0},
};

const KernelAdapter *kernel_adapter_find(const char *equation) {
    for (const KernelAdapter *a = kernel_adapters; a->equation; a++)
        if (!strcmp(a->equation, equation)) return a;
    return 0;
}

int kernel_has_gradient(const char *equation, const int64_t *dims) {
    if (!strcmp(equation, "window_attention")) return dims[0] + dims[4] == dims[1];
    return strcmp(equation, "attention") || dims[0] == dims[1];
}

int kernel_accepts(const char *equation, const int64_t *dims, char *message, size_t size) {
    if (!strncmp(equation, "mixer_", 6)) {
        Config c = mixer_config(equation + 6, dims[1], dims[2], dims + 3, 1.0);
        c.vocab = c.layers = c.ffn = 1;
        return config_validate(&c, message, size);
    }
    if (!strcmp(equation, "window_attention") && dims[1] - dims[4] < dims[0])
        return snprintf(message, size, "the kernel wants S of at least prefix + T; --impl reference"), -1;
    if (strcmp(equation, "language_model") != 0) return 0;
    const Config c = model_config(dims, 1.0);
    return config_validate(&c, message, size);
}

const KernelSizes kernel_sizes[] = {
    {"qkv", {1, 1}, USE_ALL},
    {"qkv", {7, 5}, USE_ALL},
    {"qkv", {3, 17}, USE_ALL},
    {"qkv", {70, 33}, USE_FORWARD},
    {"qkv", {37, 300}, USE_FORWARD},
    {"qkv", {130, 150}, USE_FORWARD}, /* packs both sides of a weight gradient, in several blocks */
    {"conv_silu", {6, 2, 2, 3}, USE_ALL},
    {"conv_silu", {5, 1, 17, 4}, USE_ALL},
    {"conv_silu", {150, 1, 17, 6}, USE_FORWARD}, /* tokens and taps in several runs */
    {"conv_silu_l2", {1, 1, 3, 1}, USE_ALL},
    {"conv_silu_l2", {6, 2, 18, 4}, USE_ALL},
    {"conv_silu_l2", {9, 2, 4, 10}, USE_ALL},
    {"rms_norm", {1, 1}, USE_ALL},
    {"rms_norm", {3, 35}, USE_ALL},
    {"norm_gate", {4, 2, 3}, USE_ALL},
    {"norm_gate", {3, 2, 17}, USE_ALL},
    {"gates", {7, 3, 0}, USE_ALL},
    {"gates", {7, 3, 1}, USE_ALL},
    {"swiglu", {3, 13}, USE_ALL},
    {"swiglu", {130, 260}, USE_FORWARD}, /* these are shared among threads */
    {"rope", {140, 4, 60, 7}, USE_FORWARD},
    {"cross_entropy", {130, 260}, USE_FORWARD},
    {"rope", {5, 2, 34, 1000}, USE_ALL},
    {"cross_entropy", {5, 19}, USE_ALL},
    {"cross_entropy", {2, 33}, USE_ALL},
    {"attention", {1, 1, 2}, USE_ALL},
    {"attention", {6, 6, 5}, USE_ALL},
    {"attention", {66, 66, 4}, USE_ALL},
    {"attention", {17, 17, 18}, USE_ALL},
    {"attention", {5, 70, 18}, USE_FORWARD},
    {"attention", {130, 130, 16}, USE_FORWARD},
    {"memory_chunk", {1, 1, 1, 1, 1}, USE_ALL},
    {"memory_chunk", {11, 4, 1, 3, 3}, USE_ALL},
    {"memory_chunk", {9, 16, 1, 17, 18}, USE_ALL},
    {"memory_chunk", {20, 6, 2, 3, 5, 4}, USE_ALL},
    {"memory_chunk", {9, 1, 2, 3, 4, 2}, USE_ALL},
    {"memory_chunk", {21, 18, 2, 4, 17, 3}, USE_ALL},
    {"memory_chunk", {13, 5, 3, 3, 4, 4, 2}, USE_ALL},
    {"memory_chunk", {13, 5, 4, 3, 4, 5, 4, 2}, USE_ALL},
    {"memory_chunk", {100, 32, 2, 16, 33, 16}, USE_FORWARD, 3},
    {"memory_chunk", {70, 64, 1, 64, 64}, USE_FORWARD, 4},
    {"window_attention", {7, 7, 4, 3, 0}, USE_ALL},
    {"window_attention", {9, 14, 5, 4, 5}, USE_ALL},
    {"window_attention", {70, 72, 4, 9, 2}, USE_ALL},
    {"window_attention", {130, 200, 16, 66, 70}, USE_FORWARD},
    {"window_attention", {5, 100, 18, 30, 3}, USE_FORWARD},
    {"titans_gate", {4, 2, 3}, USE_ALL},
    {"titans_gate", {3, 2, 17}, USE_ALL},
    {"memory_read", {1, 3, 3}, USE_ALL},
    {"memory_read", {2, 4, 17, 4, 0, 0, 1, 1, 1}, USE_ALL, -1},
    {"memory_read", {3, 3, 5, 4, 4, 0, 0, 0, 1}, USE_ALL, -2},
    {"memory_chunk", {5, 4, 1, 5, 5, 0, 0, 0, 0, 1, 1}, USE_ALL, -2},
    {"memory_chunk", {11, 4, 2, 4, 6, 4, 0, 0, 1}, USE_ALL},
    {"memory_chunk", {9, 4, 2, 4, 6, 4, 0, 0, 0, 1}, USE_ALL},
    {"memory_chunk", {5, 4, 2, 4, 17, 4, 0, 0, 0, 0, 1}, USE_ALL, -2},
    {"memory_chunk", {4, 4, 2, 4, 8, 4, 0, 0, 1, 1, 1}, USE_ALL, -2},
    {"memory_chunk", {10, 4, 2, 3, 6, 3, 0, 0, 0, 0, 0, 1}, USE_ALL},
    {"memory_chunk", {10, 4, 1, 3, 18, 0, 0, 0, 0, 0, 0, 0, 1}, USE_ALL},
    {"memory_chunk", {10, 4, 2, 3, 6, 3, 0, 0, 0, 0, 0, 0, 1}, USE_ALL},
    {"memory_chunk", {5, 4, 2, 4, 8, 4, 0, 0, 1, 1, 1, 1, 1}, USE_ALL, -2},
    {"memory_chunk", {3, 3, 3, 5, 6, 6, 5, 0, 1, 1, 1, 1, 1}, USE_NORMWISE, -2},
    {"memory_chunk", {40, 16, 2, 16, 64, 16, 0, 0, 1, 1, 1, 1, 1}, USE_BITS, 3},
    {"mixer_attention", {5, 4, 2}, USE_ALL},
    {"mixer_swa", {9, 8, 2, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 3}, USE_ALL},
    {"mixer_lmm", {7, 8, 2, 3, 3, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, USE_ALL},
    {"mixer_lmm", {6, 6, 1, 3, 8, 1, 2, 0, 1, 1, 1, 1, 0, 1, 1, 0, 0}, USE_NORMWISE},
    {"mixer_lmm", {7, 6, 1, 0, 3, 2, 1, 1, 0, 0, 0, 0, 1, 0, 0, 1, 2}, USE_ALL},
    {"mixer_mac", {7, 6, 1, 2, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 4, 1}, USE_NORMWISE},
    {"mixer_mac", {6, 6, 1, 2, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 4, 1, 1}, USE_NORMWISE},
    {"mixer_mac", {5, 6, 1, 2, 4, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 4, 1}, USE_NORMWISE},
    {"mixer_mag", {6, 8, 2, 2, 3, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 3}, USE_ALL},
    {"mixer_mal_h3", {6, 8, 2, 2, 3, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 3}, USE_NORMWISE},
    {"language_model", {5, 5, 4, 2, 2, 3, 0, 1, 1, 1, 1, 0}, USE_ALL},
    {"language_model",
     {7, 5, 4, 2, 2, 3, 1, 3, 3, 1, 1, 1},
     USE_FORWARD}, /* the gradient's bound says nothing here */
    {"language_model", {7, 5, 8, 2, 1, 3, 1, 3, 3, 1, 1, 1}, USE_ALL},
    {"language_model", {7, 5, 4, 1, 1, 3, 1, 2, 2, 2, 2, 0}, USE_ALL},
    {"language_model", {6, 4, 4, 1, 1, 3, 1, 2, 4, 4, 1, 0}, USE_ALL},
    {"language_model",
     {7, 4, 4, 1, 1, 2, 1, 2, 3, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2},
     USE_ALL}, /* persistent */
    {"language_model",
     {3, 4, 8, 1, 1, 2, 1, 0, 3, 2, 1, 0, 1, 1, 1, 1, 1, 0, 0, 0},
     USE_NORMWISE}, /* neurips */
    {"language_model",
     {7, 4, 4, 1, 1, 2, 1, 2, 3, 1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1},
     USE_ALL},                                                                                 /* ablations */
    {"language_model", {7, 4, 4, 1, 1, 2, 1, 2, 3, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0}, USE_ALL}, /* no decay */
    {"language_model",
     {7, 4, 4, 2, 1, 2, 2, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 3},
     USE_ALL}, /* swa */
    {"language_model",
     {5, 4, 8, 2, 1, 2, 3, 2, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 4, 1},
     USE_NORMWISE}, /* mac */
    {"language_model",
     {5, 4, 8, 2, 1, 2, 3, 2, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 4, 1, 1},
     USE_NORMWISE}, /* literal */
    {"language_model",
     {7, 4, 4, 1, 1, 2, 4, 2, 3, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 3},
     USE_ALL}, /* mag */
    {"language_model",
     {7, 4, 4, 1, 2, 2, 5, 2, 3, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 3},
     USE_FORWARD}, /* mal */
    {"language_model",
     {7, 4, 4, 1, 1, 2, 6, 2, 3, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 3},
     USE_ALL}, /* mal_h3 */
    {0, {0}, USE_ALL, 0},
};
