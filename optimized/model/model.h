#pragma once
#include "op/op.h"
#include "model/config.h"
#include "model/position.h"

/* Llama-shaped language model around a sequence mixer:
 *   x = embedding[token];  x += mixer(norm(x));  x += (silu(x' W1) * x' W3) W2, x' = norm(x);  logits =
 * norm(x) head All weights lie in one array, in the order of `parameters`; each parameter is also a Tensor
 * over it. */
typedef struct {
    char name[64];
    int64_t rows, cols, offset;
    double std, shift; /* initial N(shift, std) */
    int decay;         /* AdamW weight decay applies */
} Parameter;

typedef struct {
    Parameter *items;
    int count, capacity, failed; /* failed: there was no memory for all of them */
    int64_t floats;
    Parameter spare; /* what is written then */
} ParameterList;

static inline int64_t parameter_count(const Parameter *p) { return p->rows * p->cols; }

/* Appends a parameter; one without rows keeps its place in the order but is in no file. The name is
 * "layer.<n>." or nothing, then `name`. */
Parameter *parameter_add(ParameterList *list, int layer, const char *name, int64_t rows, int64_t cols,
                         double std);

/* A gain of a norm: 1 x cols, all ones at first. */
void parameter_gain(ParameterList *list, int layer, const char *name, int64_t cols);

/* What a mixer carries from one call to the next: `slots` tensors of its own. Size does not depend on the number of
 * tokens seen, except for mixers whose state grows. */
typedef struct {
    Tensor **slot; /* unused ones are NULL */
} MixerState;

/* What a mixer can show of its inside during a call: batch x tokens x heads each, one layer; any may be NULL.
 */
typedef struct {
    int layer;
    float *surprise, *alpha, *theta;
} Probe;

/* One call of one layer over `tokens` tokens of `batch` sequences, `position` tokens after their beginning.
 */
typedef struct {
    Tape *tape;
    const Config *config;
    const void *options; /* the mixer's own, config->options */
    Tensor *parameter;   /* its parameters in the order it added them */
    MixerState *state;
    int layer;
    int64_t batch, tokens, position, capacity;
    int64_t from; /* where in the call a mixer that works piece by piece stands */
    const float *angles,
        *persistent_angles; /* RoPE cosines and sines, rows x head width (see MixerPositions); NULL without */
    const float *constants; /* the mixer's, see `constants` */
    float penalty;          /* weight of the write-sparsity penalty per gate */
    const Probe *probe;     /* or NULL */
} MixerCall;

/* Which rows have angles: the call's tokens, counted from the sequence's beginning; the same after the prefix's
 * rows of their own (persistent_angles, in calls at position 0); or one segment: persistent
 * rows, then `segment` retrieved ones and `segment` tokens (eq 22), the same for every segment. */
typedef enum { POSITIONS_NONE, POSITIONS_SEQUENCE, POSITIONS_PREFIXED, POSITIONS_SEGMENT } MixerPositions;

/* A sequence mixer: one file, one const table. Functions that a mixer has no use for are NULL. */
typedef struct Mixer {
    const char *name, *summary, *label; /* label: in figures and tables for people */
    const Field *fields;                /* its own keys; they describe config->options */
    int slots;                          /* tensors of the state of one layer */
    MixerPositions positions;
    int headless;      /* "heads" means nothing to it */
    int uses_capacity; /* the state grows with the sequence */
    int memory_every;  /* every n-th layer, from the first, has a memory; 0: none */
    /* Settles what the options' defaults leave open, and refuses what cannot be. 0, or -1 with a message. */
    int (*settle)(Config *config, char *message, size_t size);
    int64_t (*reach)(const Config *config);   /* tokens that a layer looks back at most; NULL, 0: no end */
    int64_t (*prefix)(const Config *config);  /* persistent tokens before the sequence */
    int64_t (*segment)(const Config *config); /* tokens of a segment (POSITIONS_SEGMENT) */
    const PositionOptions *(*places)(const Config *config); /* NULL: rotary positions as they are */
    int64_t (*grain)(const Config *config); /* a streamed call begins at multiples of this; NULL: anywhere */
    int64_t (*split)(
        const Config *config); /* where a recorded sequence may be cut, its gradient passing through
                                                 the state: after so many tokens first; NULL: nowhere */
    int64_t (*gates)(const Config *config); /* gates per token that the write-sparsity penalty counts */
    void (*parameters)(ParameterList *list, int layer, const Config *config);
    void (*initialise)(const Config *config, int layer, Tensor *parameter); /* after the random weights */
    /* Numbers that follow from the configuration alone and are the same for all layers: how many, and their making, 0
     * or -1 without memory. A model computes them once; they are neither trained nor kept in files. */
    int64_t (*constant_floats)(const Config *config);
    int (*constants)(const Config *config, float *constants);
    void (*start)(const MixerCall *call); /* fills call->state for the beginning of a sequence */
    Tensor *(*forward)(const MixerCall *call,
                       Tensor *x); /* batch tokens x D -> the same; advances call->state */
    /* Of one layer: useful flop per token (see model_flops); floats of state per sequence after `context` tokens;
     * bytes of that state which a token moves at least, read and written. */
    double (*flops)(const Config *config, int layer, double context);
    int64_t (*state_floats)(const Config *config, int layer, int64_t context);
    double (*bytes)(const Config *config, int layer, double context);
} Mixer;

/* A mixer's options must fit into a Config. */
#define MIXER_OPTIONS(S) _Static_assert(sizeof(S) <= CONFIG_OPTIONS, #S " do not fit: raise CONFIG_OPTIONS")

const Mixer *mixer_find(const char *name);
const Mixer *mixer_at(int i); /* NULL past the end */

typedef struct {
    Config config;
    const Mixer *mixer;
    ParameterList list;
    int *first; /* per layer: index of its first mixer parameter; then that of the final norm */
    float *weights, *grads, *segment_angles, *constants;
    Tensor *tensors;         /* one per parameter; grad is NULL until model_gradients */
    const Allocator *memory; /* of all that lives as long as the model; NULL: the system's */
} Model;

/* Weights initialised from seed. 0, or -1 with a message; model_free releases. */
int model_create(Model *model, const Config *config, uint64_t seed, char *message, size_t size);
/* Weights uninitialised; memory: where they come from, NULL the system. */
int model_allocate(Model *model, const Config *config, const Allocator *memory, char *message, size_t size);
/* Number of weights of a configuration, without making them. 0, or -1 with a message. */
int model_count(const Config *config, int64_t *weights, char *message, size_t size);
/* Allocates the gradient array, zero. 0, or -1 with a message. */
int model_gradients(Model *model, char *message, size_t size);
void model_free(Model *model);

/* A batch of sequences in progress. capacity: tokens that attention may see (ignored by mixers with constant
 * state). */
typedef struct {
    int64_t batch, position, capacity;
    MixerState *layers;
    Arena arena; /* of a streamed state; its memory and escape are the caller's */
} State;

/* The beginning of state->batch sequences on a tape: for training across several calls. */
void state_begin(Tape *tape, State *state, const Model *model);

/* For streaming: the state's own memory, no gradients. */
void state_start(State *state, const Model *model, int64_t batch, int64_t capacity);
void state_free(State *state);

/* The first place of a call where a number is not finite: the earliest token, and there the lowest layer. */
typedef struct {
    const char *tensor; /* "output of the mixer", ..; NULL: all is well */
    int layer;          /* -1: behind the last one */
    int64_t sequence, token;
} NotFinite;

/* Logits at the given rows (indices into batch x tokens), or NULL when there are none. tokens: batch x
 * tokens. state: as started or left by the previous call; NULL starts sequences on the tape itself
 * (training). */
typedef struct {
    const int32_t *tokens;
    const float *features; /* batch x count x config.features, in place of tokens */
    int64_t batch, count;
    const int32_t *rows;
    int64_t row_count;
    float penalty;
    const Probe *probes; /* at most one per layer */
    int probe_count;
    NotFinite *
        fault; /* filled when a number is not finite; NULL: not wanted (training looks at loss and gradient) */
} ModelInput;
Tensor *model_forward(Tape *tape, Model *model, State *state, const ModelInput *input);

/* The same in steps, for callers who let several calls be under way: begin, every layer in turn, end, which gives the logits. The
 * call comes `position` tokens after the sequences' beginning; the state's own position is the caller's to advance. Between
 * work_begin and work_end. */
typedef struct {
    Tape *tape;
    Model *model;
    State *state;
    const ModelInput *input;
    int64_t position;
    const float *angles, *persistent;
    Tensor *x; /* what the next layer reads */
} ModelPass;
void model_pass_begin(ModelPass *pass);
void model_pass_layer(ModelPass *pass, int layer);
Tensor *model_pass_end(const ModelPass *pass);

/* The first layer's mixer alone, on whole sequences x (batch tokens x D) from their beginning. */
Tensor *model_mixer(Tape *tape, Model *model, Tensor *x, int64_t batch);

/* The same from a state, which it advances: x is state->batch sequences of as many tokens each. */
Tensor *model_mixer_on(Tape *tape, Model *model, State *state, Tensor *x);

/* Useful floating-point operations of one forward pass per token (multiply and add are two), without
 * recomputation or padding; head: including the output head. context: mean number of keys seen by attention.
 */
double model_flops(const Model *model, double context, int head);

/* Floats of the state of one sequence after `context` tokens, all layers. */
int64_t model_state_floats(const Model *model, int64_t context);
