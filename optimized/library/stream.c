#include "base/check.h"
#include "base/finite.h"
#include "base/parallel.h"
#include "base/wave.h"
#include "base/work.h"
#include "library/library.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { STREAM_SEGMENT = 512, STREAM_BATCH = 4096 };
/* Fewer tokens are not worth a segment of their own; segments for each thread and turn, so that little of it is beginning and end. */
enum { STREAM_LEAST = 128, STREAM_EACH = 8 };

struct titans_stream {
    const titans_model *model;
    State state;
    Arena scratch[WAVE_THREADS]; /* of segments under way */
    Allocator shared;            /* their memory: the model's, one thread at a time */
    pthread_mutex_t lock;
    int64_t segment;
    SafeFile file; /* that it was resumed from, for its notes */
    titans_status
        broken; /* why a call ended within: the layers have not read the same tokens, or hold no numbers */
};

struct titans_snapshot {
    const titans_model *model;
    int64_t batch, position, capacity, floats;
    float *numbers;
};

/* Memory is refused by a jump to the call that is under way. */
#define STREAM_CALL(s, escape, before, error)                                                                \
    jmp_buf escape;                                                                                          \
    const LibraryCall before = library_enter((s)->model->options.threads);                                   \
    (s)->state.arena.escape = &escape;                                                                       \
    if (setjmp(escape)) return stream_call_end(s, before), stream_no_memory(s, error)

static void stream_call_end(titans_stream *s, LibraryCall before) {
    s->state.arena.escape = 0;
    library_leave(before);
}

static titans_status stream_no_memory(titans_stream *s, titans_error *error) {
    s->broken = TITANS_NO_MEMORY;
    return library_fail(error, TITANS_NO_MEMORY, "no memory for a segment of %lld tokens of %lld sequences",
                        (long long)s->segment, (long long)s->state.batch);
}

/* ---- begin and end ---- */

static int64_t stream_segment(const Model *m, int64_t wanted) {
    const int64_t grain = m->mixer->grain ? m->mixer->grain(&m->config) : 1;
    const int64_t segment = wanted <= 0 ? STREAM_SEGMENT : wanted < INT32_MAX ? wanted : INT32_MAX;
    return (segment + grain - 1) / grain * grain;
}

static void *shared_take(void *context, size_t bytes) {
    titans_stream *s = context;
    pthread_mutex_lock(&s->lock);
    void *p = memory_take(&s->model->memory, bytes);
    pthread_mutex_unlock(&s->lock);
    return p;
}

static void shared_give(void *context, void *p) {
    titans_stream *s = context;
    pthread_mutex_lock(&s->lock);
    memory_give(&s->model->memory, p);
    pthread_mutex_unlock(&s->lock);
}

static titans_stream *stream_make(const titans_model *model, const titans_stream_options *options,
                                  titans_error *error) {
    titans_stream *s = memory_take(&model->memory, sizeof *s);
    if (!s) return library_fail(error, TITANS_NO_MEMORY, "no memory for a stream"), (titans_stream *)0;
    *s = (titans_stream){.model = model};
    s->segment = stream_segment(model->model, options ? options->segment : 0);
    s->shared = (Allocator){shared_take, shared_give, s};
    pthread_mutex_init(&s->lock, 0);
    s->state.arena.memory = &model->memory;
    for (int i = 0; i < WAVE_THREADS; i++) s->scratch[i].memory = &s->shared;
    return s;
}

static titans_status stream_start(titans_stream *s, int64_t batch, int64_t capacity, titans_error *error) {
    STREAM_CALL(s, escape, before, error);
    state_start(&s->state, s->model->model, batch, capacity);
    stream_call_end(s, before);
    return TITANS_OK;
}

titans_stream *titans_stream_new(const titans_model *model, const titans_stream_options *options,
                                 titans_error *error) {
    const int64_t batch = options && options->batch ? options->batch : 1,
                  capacity = options ? options->capacity : 0;
    if (library_begin(error)) return 0;
    if (batch < 1 || batch > STREAM_BATCH || capacity < 0 || capacity > (int64_t)1 << 32) {
        library_fail(error, TITANS_BAD_ARGUMENT, "a batch of %lld (1 to %d) and a capacity of %lld",
                     (long long)batch, STREAM_BATCH, (long long)capacity);
        return 0;
    }
    titans_stream *s = stream_make(model, options, error);
    if (!s) return 0;
    if (!stream_start(s, batch, model->model->mixer->uses_capacity ? capacity : 0, error)) return s;
    titans_stream_free(s);
    return 0;
}

void titans_stream_free(titans_stream *s) {
    if (!s) return;
    for (int i = 0; i < WAVE_THREADS; i++) arena_free(&s->scratch[i]);
    pthread_mutex_destroy(&s->lock);
    state_free(&s->state);
    safetensors_close(&s->file);
    memory_give(&s->model->memory, s);
}

int64_t titans_stream_position(const titans_stream *s) { return s->state.position; }
int64_t titans_stream_batch(const titans_stream *s) { return s->state.batch; }

int64_t titans_stream_memories(const titans_stream *s) {
    const Model *m = s->model->model;
    const int every = m->mixer->memory_every;
    return every ? (m->config.layers + every - 1) / every : 0;
}

/* ---- reading ---- */

/* What every call but a rollback answers after one that ended within. */
static titans_status stream_refuses(const titans_stream *s, titans_error *error) {
    return library_fail(
        error, TITANS_BAD_ARGUMENT, "an earlier call %s: roll the stream back to a snapshot, or begin anew",
        s->broken == TITANS_NO_MEMORY ? "ran out of memory" : "met a number that is not finite");
}

static titans_status input_check(const titans_stream *s, const titans_input *in, titans_error *error) {
    const Model *m = s->model->model;
    const int64_t grain = m->mixer->grain ? m->mixer->grain(&m->config) : 1;
    if (s->broken) return stream_refuses(s, error);
    if (in->count < 0 || in->count > INT32_MAX / s->state.batch)
        return library_fail(error, TITANS_BAD_ARGUMENT, "%lld tokens of %lld sequences in one call",
                            (long long)in->count, (long long)s->state.batch);
    const int64_t all = s->state.batch * in->count;
    if (in->row_count < 0 || (in->row_count && !in->rows))
        return library_fail(error, TITANS_BAD_ARGUMENT, "%lld rows, and no place where they are listed",
                            (long long)in->row_count);
    if (!(m->config.features ? (const void *)in->features : (const void *)in->tokens))
        return library_fail(error, TITANS_BAD_ARGUMENT, "this model reads %s, there are none",
                            m->config.features ? "rows of features" : "tokens");
    for (int64_t i = 0; !m->config.features && i < all; i++)
        if (in->tokens[i] < 0 || in->tokens[i] >= m->config.vocab)
            return library_fail(error, TITANS_BAD_ARGUMENT, "token %d at %lld is not one of 0 to %lld",
                                in->tokens[i], (long long)i, (long long)m->config.vocab - 1);
    for (int64_t i = 0; i < all * m->config.features; i++)
        if (!isfinite(in->features[i]))
            return library_fail(error, TITANS_BAD_ARGUMENT, "feature %lld is %g", (long long)i,
                                (double)in->features[i]);
    for (int64_t r = 0; r < in->row_count; r++)
        if (in->rows[r] < 0 || in->rows[r] >= all || (r && in->rows[r] < in->rows[r - 1]))
            return library_fail(error, TITANS_BAD_ARGUMENT, "row %d: ascending indices below %lld are wanted",
                                in->rows[r], (long long)all);
    if (m->mixer->uses_capacity && s->state.position + in->count > s->state.capacity)
        return library_fail(
            error, TITANS_BAD_ARGUMENT,
            "mixer %s keeps every token: the stream has room for %lld, %lld are wanted (capacity)",
            m->mixer->name, (long long)s->state.capacity, (long long)(s->state.position + in->count));
    if (s->state.position % grain)
        return library_fail(error, TITANS_BAD_ARGUMENT,
                            "this model's calls begin at multiples of %lld tokens", (long long)grain);
    return TITANS_OK;
}

/* One segment: tokens from .. from + count of every sequence. */
typedef struct {
    const titans_input *in;
    int64_t from, count;
    int32_t *rows;
    int64_t row_count, *row_at; /* the call's rows that lie in the segment, and their places in in->rows */
    Probe *probes;
    int probe_count, refused; /* refused: there was no memory for it */
    NotFinite fault;
    ModelInput input;
    Tape tape;
    ModelPass pass;
} Segment;

static void segment_rows(Segment *g) {
    const titans_input *in = g->in;
    g->rows = arena_take(g->tape.arena, (size_t)(in->row_count + 1) * sizeof *g->rows);
    g->row_at = arena_take(g->tape.arena, (size_t)(in->row_count + 1) * sizeof *g->row_at);
    for (int64_t r = 0; r < in->row_count; r++) {
        const int64_t b = in->rows[r] / in->count, t = in->rows[r] % in->count - g->from;
        if (t < 0 || t >= g->count) continue;
        g->rows[g->row_count] = (int32_t)(b * g->count + t);
        g->row_at[g->row_count++] = r;
    }
}

static void segment_probes(const titans_stream *s, Segment *g) {
    const titans_input *in = g->in;
    const int64_t memories = titans_stream_memories(s),
                  floats = s->state.batch * g->count * s->model->model->config.heads;
    if (!in->surprise && !in->alpha && !in->theta) return;
    g->probe_count = (int)memories;
    g->probes = arena_take(g->tape.arena, (size_t)(memories + 1) * sizeof *g->probes);
    for (int i = 0; i < g->probe_count; i++)
        g->probes[i] = (Probe){i * s->model->model->mixer->memory_every, arena_zeros(g->tape.arena, floats),
                               arena_zeros(g->tape.arena, floats), arena_zeros(g->tape.arena, floats)};
}

/* Rows of `width` numbers of every sequence of a segment, from or to the caller's batch x count. */
static void segment_show(const titans_stream *s, const Segment *g, int memory, const float *part,
                         float *whole) {
    const int64_t heads = s->model->model->config.heads, all = g->in->count, batch = s->state.batch;
    for (int64_t b = 0; whole && b < batch; b++)
        memcpy(whole + ((memory * batch + b) * all + g->from) * heads, part + b * g->count * heads,
               (size_t)(g->count * heads) * sizeof(float));
}

static void *segment_take(const titans_stream *s, const Segment *g, const void *whole, size_t row) {
    char *part = arena_take(g->tape.arena, (size_t)(s->state.batch * g->count) * row);
    for (int64_t b = 0; whole && b < s->state.batch; b++)
        memcpy(part + (size_t)(b * g->count) * row,
               (const char *)whole + (size_t)(b * g->in->count + g->from) * row, (size_t)g->count * row);
    return part;
}

/* A number that is not finite, among what the model computed or what its memories show. */
static titans_status segment_fails(titans_stream *s, const NotFinite *f, int64_t position,
                                   titans_error *error) {
    char where[64] = "";
    s->broken = TITANS_NOT_FINITE;
    if (f->layer >= 0) snprintf(where, sizeof where, "layer %d, ", f->layer);
    return library_fail(
        error, TITANS_NOT_FINITE,
        "%s%s: a number is not finite at token %lld of sequence %lld; the weights or this text "
        "are beyond float32, nothing after it is valid",
        where, f->tensor, (long long)(position + f->token), (long long)f->sequence);
}

static void probes_look(const titans_stream *s, const Segment *g, NotFinite *f) {
    static const char *const names[] = {"surprise", "alpha", "theta"};
    const int64_t heads = s->model->model->config.heads, n = s->state.batch * g->count * heads;
    for (int i = 0; !f->tensor && i < g->probe_count; i++) {
        const float *const shown[] = {g->probes[i].surprise, g->probes[i].alpha, g->probes[i].theta};
        for (int k = 0; !f->tensor && k < 3; k++) {
            const int64_t at = first_not_finite(n, shown[k]);
            if (at >= 0)
                *f = (NotFinite){names[k], g->probes[i].layer, at / heads / g->count, at / heads % g->count};
        }
    }
}

static void segment_begin(titans_stream *s, Segment *g, Arena *scratch) {
    Model *m = s->model->model;
    arena_reset(scratch);
    g->tape = (Tape){scratch, 0, 0};
    segment_rows(g);
    segment_probes(s, g);
    g->input = (ModelInput){.batch = s->state.batch,
                            .count = g->count,
                            .rows = g->rows,
                            .row_count = g->row_count,
                            .probes = g->probes,
                            .probe_count = g->probe_count,
                            .fault = &g->fault};
    if (m->config.features)
        g->input.features = segment_take(s, g, g->in->features, (size_t)m->config.features * sizeof(float));
    else
        g->input.tokens = segment_take(s, g, g->in->tokens, sizeof(int32_t));
    g->pass = (ModelPass){.tape = &g->tape,
                          .model = m,
                          .state = &s->state,
                          .input = &g->input,
                          .position = s->state.position + g->from};
    model_pass_begin(&g->pass);
}

static titans_status segment_end(titans_stream *s, Segment *g, titans_error *error) {
    const titans_input *in = g->in;
    const Tensor *logits = model_pass_end(&g->pass);
    probes_look(s, g, &g->fault);
    if (g->fault.tensor) return segment_fails(s, &g->fault, g->pass.position, error);
    for (int64_t r = 0; in->logits && r < g->row_count; r++)
        memcpy(in->logits + g->row_at[r] * logits->cols, logits->data + r * logits->cols,
               (size_t)logits->cols * sizeof(float));
    for (int i = 0; i < g->probe_count; i++) {
        segment_show(s, g, i, g->probes[i].surprise, in->surprise);
        segment_show(s, g, i, g->probes[i].alpha, in->alpha);
        segment_show(s, g, i, g->probes[i].theta, in->theta);
    }
    return TITANS_OK;
}

/* A call that is under way: its segments of `step` tokens pass the layers, one or several at a time. */
typedef struct {
    titans_stream *s;
    const titans_input *in;
    int64_t step, from; /* from: of the segments that this turn is about */
    int threads;
    Segment segment[WAVE_THREADS];
    titans_status status;
    titans_error *error;
} Reading;

/* A layer of a segment; before the first what it reads, after the last what it shows. */
static void reading_layer(Reading *r, Segment *g, Arena *scratch, int layer) {
    if (layer == 0) segment_begin(r->s, g, scratch);
    model_pass_layer(&g->pass, layer);
    if (layer + 1 == r->s->model->model->config.layers) r->status = segment_end(r->s, g, r->error);
}

/* Refused memory comes back here, on the thread where it happened. The segment's layers that are left do nothing then: the last
 * of them, which comes after the last ones of earlier segments, says so. */
static int reading_cell(void *context, int64_t i, int layer) {
    Reading *r = context;
    Segment *g = &r->segment[i % r->threads];
    Arena *scratch = &r->s->scratch[i % r->threads];
    jmp_buf escape;
    if (layer == 0) {
        const int64_t from = r->from + i * r->step, left = r->in->count - from;
        *g = (Segment){.in = r->in, .from = from, .count = left < r->step ? left : r->step};
    }
    scratch->escape = &escape;
    if (setjmp(escape))
        g->refused = 1;
    else if (!g->refused)
        reading_layer(r, g, scratch, layer);
    scratch->escape = 0;
    if (layer + 1 < r->s->model->model->config.layers) return 0;
    if (g->refused) r->status = stream_no_memory(r->s, r->error);
    return r->status != TITANS_OK;
}

/* Threads share the layers of several segments rather than each op, where a call has enough of both. */
static int64_t reading_step(const titans_stream *s, int64_t count, int threads) {
    const int64_t wanted = count / ((int64_t)threads * STREAM_EACH),
                  least = wanted < STREAM_LEAST ? STREAM_LEAST : wanted,
                  step = stream_segment(s->model->model, least);
    return step < s->segment ? step : s->segment;
}

/* The next segments, so many that the number of threads can follow what the machine leaves. Returns how many tokens. */
static int64_t reading_turn(Reading *r, int64_t from) {
    enum { TURN = 64 };
    const Model *m = r->s->model->model;
    work_pause();
    const int most = parallel_threads() < WAVE_THREADS ? parallel_threads() : WAVE_THREADS;
    const int64_t left = r->in->count - from;
    r->threads = most < m->config.layers ? most : (int)m->config.layers;
    r->step = r->threads > 1 ? reading_step(r->s, r->in->count, r->threads) : r->s->segment;
    int64_t segments = (left + r->step - 1) / r->step;
    if (segments < 2 * r->threads) {
        r->threads = 1;
        r->step = r->s->segment;
        segments = (left + r->step - 1) / r->step;
    }
    r->from = from;
    const Wave wave = {segments < TURN ? segments : TURN, (int)m->config.layers, reading_cell, r};
    wave_run(&wave, r->threads);
    return wave.segments * r->step < left ? wave.segments * r->step : left;
}

titans_status titans_read_input(titans_stream *s, const titans_input *in, titans_error *error) {
    const titans_status refused = input_check(s, in, error);
    if (refused) return refused;
    const LibraryCall before = library_enter(s->model->options.threads);
    Reading r = {.s = s, .in = in, .error = error};
    int64_t from = 0;
    while (!r.status && from < in->count) from += reading_turn(&r, from);
    s->state.position += from;
    library_leave(before);
    return r.status;
}

titans_status titans_read(titans_stream *s, const int32_t *tokens, int64_t count, float *logits,
                          titans_error *error) {
    int32_t rows[STREAM_BATCH];
    titans_input in = {.tokens = tokens, .count = count};
    /* what is beyond 32 bits is refused there */
    if (logits && count > 0 && count <= INT32_MAX / s->state.batch) {
        for (int64_t b = 0; b < s->state.batch; b++) rows[b] = (int32_t)((b + 1) * count - 1);
        in.rows = rows, in.row_count = s->state.batch, in.logits = logits;
    }
    return titans_read_input(s, &in, error);
}

/* ---- snapshots: all numbers of all slots in one array ---- */

static int64_t state_numbers(const State *state, const Model *m, float *from, float *to) {
    int64_t n = 0;
    for (int64_t layer = 0; layer < m->config.layers; layer++)
        for (int k = 0; k < m->mixer->slots; k++) {
            Tensor *slot = state->layers[layer].slot[k];
            const int64_t count = slot ? slot->rows * slot->cols : 0;
            if (to && count) memcpy(to + n, slot->data, (size_t)count * sizeof(float));
            if (from && count) memcpy(slot->data, from + n, (size_t)count * sizeof(float));
            n += count;
        }
    return n;
}

titans_snapshot *titans_stream_snapshot(const titans_stream *s, titans_error *error) {
    if (s->broken) return stream_refuses(s, error), (titans_snapshot *)0;
    const Model *m = s->model->model;
    const int64_t floats = state_numbers(&s->state, m, 0, 0);
    titans_snapshot *shot = memory_take(&s->model->memory, sizeof *shot);
    float *numbers = shot ? memory_take(&s->model->memory, (size_t)floats * sizeof(float)) : 0;
    if (!numbers) {
        memory_give(&s->model->memory, shot);
        library_fail(error, TITANS_NO_MEMORY, "no memory for a snapshot of %lld numbers", (long long)floats);
        return 0;
    }
    *shot =
        (titans_snapshot){s->model, s->state.batch, s->state.position, s->state.capacity, floats, numbers};
    state_numbers(&s->state, m, 0, numbers);
    return shot;
}

titans_status titans_stream_rollback(titans_stream *s, const titans_snapshot *shot, titans_error *error) {
    if (shot->model != s->model || shot->batch != s->state.batch || shot->capacity != s->state.capacity)
        return library_fail(error, TITANS_BAD_ARGUMENT,
                            "the snapshot is of another model, batch or capacity");
    state_numbers(&s->state, s->model->model, shot->numbers, 0);
    s->state.position = shot->position;
    s->broken = TITANS_OK;
    return TITANS_OK;
}

void titans_snapshot_free(titans_snapshot *shot) {
    if (!shot) return;
    const Allocator *memory = &shot->model->memory;
    memory_give(memory, shot->numbers);
    memory_give(memory, shot);
}

/* ---- files ---- */

titans_status titans_stream_save(const titans_stream *s, const char *path, const titans_note *notes,
                                 int note_count, titans_error *error) {
    enum { MOST_NOTES = 16 };
    SafeMetadata metadata[MOST_NOTES];
    char message[512];
    if (s->broken) return stream_refuses(s, error);
    if (note_count < 0 || note_count > MOST_NOTES)
        return library_fail(error, TITANS_BAD_ARGUMENT, "%d notes, there is room for %d", note_count,
                            MOST_NOTES);
    for (int i = 0; i < note_count; i++) {
        if (strlen(notes[i].key) >= sizeof metadata->key)
            return library_fail(error, TITANS_BAD_ARGUMENT, "note \"%.60s\": the name is too long",
                                notes[i].key);
        int taken = state_key_is_own(notes[i].key);
        for (int k = 0; k < i; k++) taken |= !strcmp(notes[k].key, notes[i].key);
        if (taken)
            return library_fail(error, TITANS_BAD_ARGUMENT,
                                "note \"%s\": the file has one of that name already", notes[i].key);
        snprintf(metadata[i].key, sizeof metadata[i].key, "%s", notes[i].key);
        metadata[i].value = notes[i].value;
    }
    if (!state_save(path, &s->state, s->model->model, metadata, note_count, message, sizeof message))
        return TITANS_OK;
    return library_fail(error, TITANS_BAD_FILE, "%s", message);
}

static titans_status stream_load(titans_stream *s, titans_error *error) {
    char message[512];
    STREAM_CALL(s, escape, before, error);
    const int status = state_load(&s->file, &s->state, s->model->model, message, sizeof message);
    stream_call_end(s, before);
    return status ? library_fail(error, TITANS_BAD_FILE, "%s", message) : TITANS_OK;
}

titans_stream *titans_stream_resume(const titans_model *model, const char *path,
                                    const titans_stream_options *options, titans_error *error) {
    char message[512];
    titans_error reason = {TITANS_OK, ""};
    if (library_begin(error)) return 0;
    titans_stream *s = stream_make(model, options, error);
    if (!s) return 0;
    if (safetensors_read(&s->file, path, message, sizeof message)) {
        library_fail(error, TITANS_BAD_FILE, "%s", message);
    } else if (!stream_load(s, &reason))
        return s;
    else
        library_fail(error, reason.status, "%s: %s", path, reason.message);
    titans_stream_free(s);
    return 0;
}

const char *titans_stream_note(const titans_stream *s, const char *key) {
    return s->file.header ? safetensors_metadata(&s->file, key) : 0;
}
