#ifndef TITANS_H
#define TITANS_H
/* libtitans: models of the paper "Titans: Learning to Memorize at Test Time" that read streams of any length in
 * constant memory, and their neural memory by itself. Plain C11; usable from C++.
 *
 * Every function that can fail takes a titans_error (NULL: not wanted) and returns NULL or a status other than
 * TITANS_OK; nothing is changed then (but see titans_read), and nothing ever exits or aborts. A titans_model is
 * never changed and may be shared by threads; a stream, a snapshot or a memory belongs to one thread at a time. Results have the same bits on
 * every instruction set, for any number of threads and however a stream is cut into calls. Arrays are row-major,
 * numbers are float32. Denormal numbers are read and written as 0 while a call computes; the floating-point mode of
 * every thread is the caller's again when it returns. There is no global state but the kernels of an instruction set, chosen by the first call:
 * the best there is, or what the environment variable TITANS_ISA names. */
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined __GNUC__
#define TITANS_API __attribute__((visibility("default")))
#else
#define TITANS_API
#endif

#define TITANS_VERSION "1.0.0"
TITANS_API const char *titans_version(void);

typedef enum {
    TITANS_OK,
    TITANS_BAD_ARGUMENT, /* the caller's: a size, a token, a position that cannot be */
    TITANS_BAD_FILE,     /* missing, unreadable, damaged, or of something else */
    TITANS_NO_MEMORY,
    TITANS_NOT_FINITE /* a number became NaN or infinite: the message has tensor, layer and position */
} titans_status;

typedef struct {
    titans_status status;
    char message[512]; /* what, where, what to do */
} titans_error;

/* All zero: the system's memory, as many threads as OpenMP would use. allocate returns at least `bytes` bytes at a
 * multiple of 64, or NULL. It is called for all that lives longer than a call and for scratch; reading a file uses
 * malloc while it is read, bookkeeping a few kilobytes. Both functions and context must outlive what they serve, and
 * bear several threads where streams of several threads use them. */
typedef struct {
    void *(*allocate)(void *context, size_t bytes);
    void (*release)(void *context, void *memory);
    void *context;
    int threads;
} titans_options;

/* ---- models --------------------------------------------------------------------------------------------------- */

typedef struct titans_model titans_model;

/* A checkpoint (safetensors) of `titans train` or `titans export`. */
TITANS_API titans_model *titans_model_open(const char *path, const titans_options *options,
                                           titans_error *error);
TITANS_API void titans_model_close(titans_model *model); /* after its streams; NULL is fine */

/* "lmm", "mac", ..; any number of the configuration by its key ("vocab", "width", "layers", "chunk", ..), NAN when the
 * model has none of that name; how many weights; bytes that one sequence's state takes after `tokens` tokens. */
TITANS_API const char *titans_model_mixer(const titans_model *model);
TITANS_API double titans_model_number(const titans_model *model, const char *key);
TITANS_API int64_t titans_model_weights(const titans_model *model);
TITANS_API int64_t titans_model_state_bytes(const titans_model *model, int64_t tokens);

/* ---- streams -------------------------------------------------------------------------------------------------- */

/* `batch` sequences being read side by side. */
typedef struct titans_stream titans_stream;

/* batch 0: one sequence. capacity: tokens that the stream may hold, for mixers whose state grows (attention); others
 * ignore it. segment 0: calls are worked off 512 tokens at a time; changes no result. */
typedef struct {
    int64_t batch, capacity, segment;
} titans_stream_options;

TITANS_API titans_stream *titans_stream_new(const titans_model *model, const titans_stream_options *options,
                                            titans_error *error);
TITANS_API void titans_stream_free(titans_stream *stream);
TITANS_API int64_t titans_stream_position(const titans_stream *stream); /* tokens read of each sequence */
TITANS_API int64_t titans_stream_batch(const titans_stream *stream);

/* Reads the next `count` tokens of every sequence. tokens: batch x count. logits: batch x vocab after the last of
 * them, or NULL. When memory is refused on the way (TITANS_NO_MEMORY), or a number becomes NaN or infinite
 * (TITANS_NOT_FINITE), part of the call may have been read: the stream then wants to be rolled back to a snapshot, and
 * refuses all else. Logits are finite whenever they are given. */
TITANS_API titans_status titans_read(titans_stream *stream, const int32_t *tokens, int64_t count,
                                     float *logits, titans_error *error);

/* The same with everything that a model can show. rows: where logits are wanted, row_count indices into batch x count
 * in ascending order; logits: row_count x vocab. features: batch x count x `features` numbers in place of tokens, for
 * models that read such. surprise, alpha, theta (any may be NULL): the norm of the memory's gradient and its gates,
 * means over a head's sets and channels: memories x batch x count x heads, one memory per layer that has one
 * (titans_stream_memories). */
typedef struct {
    const int32_t *tokens;
    const float *features;
    int64_t count;
    const int32_t *rows;
    int64_t row_count;
    float *logits;
    float *surprise, *alpha, *theta;
} titans_input;
TITANS_API titans_status titans_read_input(titans_stream *stream, const titans_input *input,
                                           titans_error *error);
TITANS_API int64_t titans_stream_memories(const titans_stream *stream);

/* A copy of a stream's state, to go back to as often as wanted. A snapshot fits streams of the same model and batch
 * (and capacity, for attention). */
typedef struct titans_snapshot titans_snapshot;
TITANS_API titans_snapshot *titans_stream_snapshot(const titans_stream *stream, titans_error *error);
TITANS_API titans_status titans_stream_rollback(titans_stream *stream, const titans_snapshot *snapshot,
                                                titans_error *error);
TITANS_API void titans_snapshot_free(titans_snapshot *snapshot);

/* The state as a file (safetensors): written beside PATH, synced and renamed, so that PATH is always whole. notes: texts
 * of the caller's, kept with it. A stream that goes on from the file has the same bits as one that never stopped; a
 * file of other weights or another configuration, or whose numbers were changed, is refused. titans_stream_note: a note of the file that the stream was resumed from, or NULL. */
typedef struct {
    const char *key, *value;
} titans_note;
TITANS_API titans_status titans_stream_save(const titans_stream *stream, const char *path,
                                            const titans_note *notes, int note_count, titans_error *error);
TITANS_API titans_stream *titans_stream_resume(const titans_model *model, const char *path,
                                               const titans_stream_options *options, titans_error *error);
TITANS_API const char *titans_stream_note(const titans_stream *stream, const char *key);

/* ---- the neural memory by itself, eqs 11-18 ------------------------------------------------------------------- */

/* batch x heads memories. A memory is a network of `layers` matrices, key_width -> hidden -> .. -> value_width, with
 * SiLU (or gelu) between, trained at test time on |M(k) - v|^2 with step theta, momentum eta and forgetting alpha; the
 * gradients of `chunk` tokens are taken at the chunk's first state. Zeros mean: batch 1, heads 1, layers 1, chunk 1. */
typedef struct {
    int64_t batch, heads, key_width, hidden, value_width, layers, chunk;
    int gelu, residual, norm;         /* residual wants key_width = value_width */
    int gates_per_layer, channelwise; /* gates of every layer; alpha per output channel */
} titans_memory_shape;

typedef struct titans_memory titans_memory;

/* Weights of one head: sum of the matrices' sizes; 0 for a shape that cannot be. */
TITANS_API int64_t titans_memory_weights(const titans_memory_shape *shape);

/* weights: heads x titans_memory_weights, the matrices one after the other, [in][out]; NULL: zeros. */
TITANS_API titans_memory *titans_memory_new(const titans_memory_shape *shape, const float *weights,
                                            const titans_options *options, titans_error *error);
TITANS_API void titans_memory_free(titans_memory *memory);

/* Writes `count` tokens into every memory. When a read, a weight or a momentum becomes NaN or infinite
 * (TITANS_NOT_FINITE) the memory refuses all but titans_memory_set. k, q: batch x count x heads x key_width; v, y: batch x count x heads x
 * value_width; alpha (0 to 1): batch x count x heads x sets x channels; theta (not negative), eta (0 to 1): batch x
 * count x heads x sets, sets 1 or layers, channels 1 or value_width. y: what q reads right after its token's write;
 * q and y NULL: nothing is read. */
typedef struct {
    const float *k, *v, *q, *alpha, *theta, *eta;
    int64_t count;
    float *y;
} titans_tokens;
TITANS_API titans_status titans_memory_write(titans_memory *memory, const titans_tokens *tokens,
                                             titans_error *error);

/* y = M(q) at the weights as they are. */
TITANS_API titans_status titans_memory_read(titans_memory *memory, const float *q, int64_t count, float *y,
                                            titans_error *error);

/* Weights and momenta now: batch x heads x titans_memory_weights each; either may be NULL. Setting them begins a new
 * chunk; with numbers that are not finite, calls are refused until they are set again. */
TITANS_API void titans_memory_get(const titans_memory *memory, float *weights, float *momenta);
TITANS_API void titans_memory_set(titans_memory *memory, const float *weights, const float *momenta);

#ifdef __cplusplus
}
#endif
#endif
