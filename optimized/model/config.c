#include "model/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL_TEXT(f, t, m)                                                                                  \
    { #f, m, FIELD_TEXT, 1, offsetof(Config, f), sizeof(((Config *)0)->f), 0, 0, 0, t }
#define MODEL_INT(f, lo, hi, v, m)                                                                           \
    { #f, m, FIELD_INTEGER, 1, offsetof(Config, f), 0, lo, hi, v, 0 }
#define MODEL_REAL(f, lo, hi, v, m)                                                                          \
    { #f, m, FIELD_REAL, 1, offsetof(Config, f), 0, lo, hi, v, 0 }
#define TRAIN_TEXT(f, t, m)                                                                                  \
    { #f, m, FIELD_TEXT, 0, offsetof(TrainConfig, f), sizeof(((TrainConfig *)0)->f), 0, 0, 0, t }
#define TRAIN_INT(f, lo, hi, v, m)                                                                           \
    { #f, m, FIELD_INTEGER, 0, offsetof(TrainConfig, f), 0, lo, hi, v, 0 }
#define TRAIN_REAL(f, lo, hi, v, m)                                                                          \
    { #f, m, FIELD_REAL, 0, offsetof(TrainConfig, f), 0, lo, hi, v, 0 }

static const ConfigField fields[] = {
    MODEL_TEXT(mixer, "lmm", "sequence mixer: a name from optimized/mixer/"),
    MODEL_INT(vocab, 0, 1 << 20, 0, "token classes; 0: what the task needs"),
    MODEL_INT(width, 1, 1 << 16, 64, "model width D"),
    MODEL_INT(heads, 1, 1024, 2, "heads H; D / H is the head width"),
    MODEL_INT(layers, 1, 1024, 2, "blocks"),
    MODEL_INT(ffn, 1, 1 << 18, 128, "hidden width of SwiGLU"),
    MODEL_INT(persistent, 0, 1 << 16, 0, "persistent tokens (eq 19; not for attention)"),
    MODEL_INT(segment, 1, 1 << 20, 64, "tokens that mac attends over at a time, a multiple of chunk"),
    MODEL_INT(window, 1, 1 << 24, 64, "sliding window of swa, mag, mal: tokens seen, including itself"),
    MODEL_TEXT(mask, "causal", "of mac: causal (errata E6 E7) or paper (the literal reading, which leaks)"),
    MODEL_INT(taps, 0, 64, 4, "width of the causal convolution; 0: none"),
    MODEL_INT(chunk, 1, 4096, 32, "tokens whose inner gradients are taken at one state (b)"),
    MODEL_INT(memory_layers, 1, 4, 1, "layers of the memory network (L_M)"),
    MODEL_INT(expansion, 1, 16, 1, "hidden width of the memory network over head width"),
    MODEL_INT(memory_residual, 0, 1, 0, "1: the memory adds its input to its output"),
    MODEL_INT(memory_norm, 0, 1, 0, "1: layer norm on the memory's output"),
    MODEL_TEXT(activation, "silu", "inside the memory: silu or gelu (tanh form)"),
    MODEL_INT(gates_per_layer, 0, 1, 0, "1: every memory layer has its own alpha, theta, eta"),
    MODEL_INT(gates_per_chunk, 0, 1, 0, "1: gates constant in a chunk, those of its first token"),
    MODEL_INT(channelwise, 0, 1, 0, "1: alpha per output channel"),
    MODEL_INT(forget, 0, 1, 1, "0: no decay, alpha = 0"),
    MODEL_INT(momentum, 0, 1, 1, "0: no momentum, eta = 0"),
    MODEL_TEXT(gate, "sigmoid", "sigmoid (erratum E10) or hard (clamped, reaches exact 0)"),
    MODEL_REAL(theta_max, 0, 1e3, 0,
               "largest inner step; 0: 1 / (2 chunk), the safe bound at eta <= 1/2 (E19)"),
    MODEL_REAL(alpha_bias, -20, 20, -4, "initial bias of the forget gate"),
    MODEL_REAL(theta_bias, -20, 20, 0, "initial bias of the inner step gate"),
    MODEL_REAL(eta_bias, -20, 20, -2, "initial bias of the momentum gate"),
    MODEL_REAL(attention_self, 0, 10, 1.5,
               "of mac: W_K starts as W_Q, both times this: a token attends to itself; 0: independent"),
    MODEL_REAL(embedding_std, 0, 10, 0.5, "standard deviation of the initial embedding"),
    MODEL_REAL(head_std, 0, 10, 0.02, "standard deviation of the initial head"),
    TRAIN_TEXT(task, "passkey", "task: a name from harness/task/"),
    TRAIN_INT(seed, 0, 9007199254740992.0, 0, "seed of weights and samples"),
    TRAIN_INT(batch, 1, 1 << 16, 32, "sequences per step"),
    TRAIN_INT(steps, 0, 1e9, 0, "optimizer steps; 0: the sum of the curriculum"),
    TRAIN_INT(warmup, 0, 1e9, 50, "steps of linear warm-up"),
    TRAIN_INT(save_every, 1, 1e9, 200, "steps between checkpoints"),
    TRAIN_TEXT(curriculum, "64:1000", "length:steps pairs, in order"),
    TRAIN_TEXT(haystack, "", "text file of the haystack, for tasks that take one"),
    TRAIN_TEXT(from, "", "checkpoint to start from: its weights, and its keys of the model"),
    TRAIN_REAL(rate, 0, 10, 2e-3, "peak learning rate"),
    TRAIN_REAL(final_rate, 0, 1, 0.1, "end of the cosine, as a share of rate"),
    TRAIN_REAL(beta1, 0, 0.9999, 0.9, "AdamW"),
    TRAIN_REAL(beta2, 0, 0.999999, 0.98, "AdamW"),
    TRAIN_REAL(decay, 0, 10, 0.01, "AdamW weight decay, on matrices only"),
    TRAIN_REAL(clip, 0, 1e9, 1, "largest gradient norm"),
    TRAIN_REAL(penalty, 0, 100, 0, "weight of the write-sparsity penalty on alpha and theta"),
    TRAIN_REAL(lm_weight, 0, 100, 0,
               "weight of next-token loss on all other tokens, until the penalty is on"),
    TRAIN_REAL(penalty_from, 0, 1, 0.7, "mean exact match at which the penalty is switched on for good"),
};
enum { FIELDS = sizeof fields / sizeof *fields };

const ConfigField *config_field(int i) { return i < FIELDS ? &fields[i] : 0; }

void *config_at(const ConfigField *f, Config *model, TrainConfig *train) {
    return (f->of_model ? (char *)model : (char *)train) + f->offset;
}

void config_set(const ConfigField *f, void *at, double value) {
    if (f->kind == FIELD_INTEGER)
        *(int64_t *)at = (int64_t)value;
    else
        *(double *)at = value;
}

void config_defaults(Config *model, TrainConfig *train) {
    memset(model, 0, sizeof *model);
    memset(train, 0, sizeof *train);
    for (int i = 0; i < FIELDS; i++) {
        void *at = config_at(&fields[i], model, train);
        if (fields[i].kind == FIELD_TEXT)
            snprintf(at, fields[i].size, "%s", fields[i].text);
        else
            config_set(&fields[i], at, fields[i].initial);
    }
}

/* Profiles: what the two versions of the paper choose. */
static void preset_arxiv(Config *c) {
    snprintf(c->activation, sizeof c->activation, "silu");
    c->memory_layers = 2, c->expansion = 1, c->memory_residual = c->memory_norm = 0;
    c->gates_per_layer = c->channelwise = 0;
    c->chunk = 64, c->segment = 64, c->window = 1024, c->persistent = 16, c->taps = 4, c->theta_max = 0.0;
}

static void preset_neurips(Config *c) {
    snprintf(c->activation, sizeof c->activation, "gelu");
    c->memory_layers = 2, c->expansion = 4, c->memory_residual = c->memory_norm = 1;
    c->gates_per_layer = c->channelwise = 1;
    c->chunk = 16, c->segment = 512, c->window = 2048, c->persistent = 128, c->taps = 4, c->theta_max = 0.0;
}

/* Sizes: blocks x width x heads of the paper's experiments; 400m has no published shape, ours fills the name.
 */
static const struct {
    const char *name;
    int64_t layers, width, heads;
} sizes[] = {{"170m", 12, 768, 16},
             {"340m", 24, 1024, 16},
             {"400m", 28, 1024, 16},
             {"760m", 24, 1536, 16},
             {"1.3b", 18, 2048, 8}};

int config_preset(const char *name, Config *c, char *message, size_t size) {
    if (!strcmp(name, "arxiv")) return preset_arxiv(c), 0;
    if (!strcmp(name, "neurips")) return preset_neurips(c), 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (!strcmp(name, sizes[i].name)) {
            c->layers = sizes[i].layers, c->width = sizes[i].width, c->heads = sizes[i].heads;
            c->ffn = (c->width * 8 / 3 + 63) / 64 * 64;
            c->vocab = 32000;
            return 0;
        }
    snprintf(message, size, "unknown preset \"%s\": arxiv, neurips, 170m, 340m, 400m, 760m, 1.3b", name);
    return -1;
}

int config_validate(const Config *c, char *message, size_t size) {
    if (c->vocab < 1)
        snprintf(message, size, "\"vocab\" is not set");
    else if (c->width % c->heads)
        snprintf(message, size, "\"width\" %ld is not a multiple of \"heads\" %ld", c->width, c->heads);
    else if (c->width / c->heads % 2)
        snprintf(message, size, "head width %ld must be even", c->width / c->heads);
    else if (strcmp(c->gate, "sigmoid") && strcmp(c->gate, "hard"))
        snprintf(message, size, "\"gate\" must be sigmoid or hard, not \"%s\"", c->gate);
    else if (strcmp(c->activation, "silu") && strcmp(c->activation, "gelu"))
        snprintf(message, size, "\"activation\" must be silu or gelu, not \"%s\"", c->activation);
    else if (strcmp(c->mask, "causal") && strcmp(c->mask, "paper"))
        snprintf(message, size, "\"mask\" must be causal or paper, not \"%s\"", c->mask);
    else if (!strcmp(c->mixer, "mac") && c->segment % c->chunk)
        snprintf(message, size, "\"segment\" %ld is not a multiple of \"chunk\" %ld", c->segment, c->chunk);
    else
        return 0;
    return -1;
}

void config_describe(char *text, size_t size) {
    size_t used = 0;
    for (int i = 0; i < FIELDS && used < size; i++) {
        char initial[32];
        snprintf(initial, sizeof initial, "%g", fields[i].initial);
        const int n = snprintf(text + used, size - used, "  %-14s %s [%s]\n", fields[i].key,
                               fields[i].meaning, fields[i].kind == FIELD_TEXT ? fields[i].text : initial);
        used += n > 0 ? (size_t)n : 0;
    }
}

int64_t config_memory_widths(const Config *c, int64_t width[5]) {
    const int64_t head = c->width / c->heads;
    int64_t weights = 0;
    for (int l = 0; l < 5; l++) width[l] = 0;
    for (int l = 0; l <= c->memory_layers; l++) {
        width[l] = l == 0 || l == c->memory_layers ? head : c->expansion * head;
        if (l > 0) weights += width[l - 1] * width[l];
    }
    return weights;
}
