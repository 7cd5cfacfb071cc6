#include "base/finite.h"
#include "base/parallel.h"
#include "base/size.h"
#include "library/library.h"

#include <float.h>
#include <string.h>

struct titans_memory {
    MemoryShape shape;
    int64_t weights, position;
    float *state; /* batch x heads x 3 P */
    Allocator memory;
    Arena scratch;
    int threads;
    int broken; /* holds numbers that are not finite */
};

static int64_t or_one(int64_t n) { return n ? n : 1; }

/* The kernel's shape; 0 layers where it cannot be. */
static MemoryShape memory_shape_of(const titans_memory_shape *s) {
    MemoryShape shape = {.batch = or_one(s->batch), .heads = or_one(s->heads), .chunk = or_one(s->chunk)};
    const int64_t layers = or_one(s->layers);
    const int square = s->key_width == s->value_width;
    int fits = layers >= 1 && layers <= 4 && shape.batch >= 1 && shape.heads >= 1 && shape.chunk >= 1;
    fits = fits && shape.batch <= 1 << 16 && shape.heads <= 1 << 12 && shape.chunk <= 1 << 12;
    for (int64_t l = 0; fits && l <= layers; l++) {
        shape.width[l] = l == 0 ? s->key_width : l == layers ? s->value_width : s->hidden;
        fits = shape.width[l] >= 1 && shape.width[l] <= 1 << 14;
    }
    if (!fits || ((s->residual || s->channelwise) && !square)) return shape;
    shape.layers = (int)layers;
    shape.gelu = s->gelu != 0, shape.residual = s->residual != 0, shape.norm = s->norm != 0;
    shape.per_layer = s->gates_per_layer != 0, shape.channelwise = s->channelwise != 0;
    return shape;
}

int64_t titans_memory_weights(const titans_memory_shape *s) {
    const MemoryShape shape = memory_shape_of(s);
    int64_t weights = 0;
    for (int l = 1; l <= shape.layers; l++) weights += shape.width[l - 1] * shape.width[l];
    return weights;
}

void titans_memory_set(titans_memory *m, const float *weights, const float *momenta) {
    const size_t bytes = (size_t)m->weights * sizeof(float);
    for (int64_t i = 0; i < m->shape.batch * m->shape.heads; i++) {
        float *start = m->state + i * 3 * m->weights, *now = start + m->weights, *momentum = now + m->weights;
        if (weights) memcpy(now, weights + i * m->weights, bytes);
        if (momenta) memcpy(momentum, momenta + i * m->weights, bytes);
        memcpy(start, now, bytes);
    }
    m->position = 0;
    m->broken = !all_finite(m->shape.batch * m->shape.heads * 3 * m->weights, m->state);
}

void titans_memory_get(const titans_memory *m, float *weights, float *momenta) {
    const size_t bytes = (size_t)m->weights * sizeof(float);
    for (int64_t i = 0; i < m->shape.batch * m->shape.heads; i++) {
        const float *now = m->state + (i * 3 + 1) * m->weights;
        if (weights) memcpy(weights + i * m->weights, now, bytes);
        if (momenta) memcpy(momenta + i * m->weights, now + m->weights, bytes);
    }
}

titans_memory *titans_memory_new(const titans_memory_shape *shape, const float *weights,
                                 const titans_options *options, titans_error *error) {
    const int64_t P = titans_memory_weights(shape);
    if (library_begin(error)) return 0;
    if (!P || (options && !options->allocate != !options->release)) {
        library_fail(
            error, TITANS_BAD_ARGUMENT,
            P ? "allocate and release come together"
              : "there is no such memory: 1 to 4 layers, widths of 1 to 16384, chunk up to 4096; a residual "
                "and channelwise forgetting want key_width = value_width");
        return 0;
    }
    const Allocator from =
        options ? (Allocator){options->allocate, options->release, options->context} : (Allocator){0, 0, 0};
    const MemoryShape s = memory_shape_of(shape);
    const int64_t heads = s.batch * s.heads, numbers = size_times(heads, 3 * P);
    const int64_t bad = weights ? first_not_finite(s.heads * P, weights) : -1;
    if (bad >= 0) {
        library_fail(error, TITANS_BAD_ARGUMENT, "weights[%lld] is %g", (long long)bad, (double)weights[bad]);
        return 0;
    }
    titans_memory *m = memory_take(&from, sizeof *m);
    float *state = m ? memory_take(&from, (size_t)size_times(numbers, sizeof(float))) : 0;
    if (!state) {
        memory_give(&from, m);
        library_fail(error, TITANS_NO_MEMORY, "no memory for %lld numbers", (long long)numbers);
        return 0;
    }
    *m = (titans_memory){.shape = s, .weights = P, .state = state, .memory = from};
    m->threads = options ? options->threads : 0;
    m->scratch.memory = &m->memory;
    memset(state, 0, (size_t)(heads * 3 * P) * sizeof(float));
    for (int64_t i = 0; weights && i < heads; i++)
        for (int part = 0; part < 2; part++)
            memcpy(state + (i * 3 + part) * P, weights + i % s.heads * P, (size_t)P * sizeof(float));
    return m;
}

void titans_memory_free(titans_memory *m) {
    if (!m) return;
    const Allocator memory = m->memory;
    arena_free(&m->scratch);
    memory_give(&memory, m->state);
    memory_give(&memory, m);
}

/* The first number of n that is not from low to high, or -1. */
static int64_t outside(int64_t n, const float *x, float low, float high) {
    for (int64_t i = 0; i < n; i++)
        if (!(x[i] >= low && x[i] <= high)) return i;
    return -1;
}

static titans_status tokens_check(const titans_memory *m, const titans_tokens *t, titans_error *error) {
    if (t->count < 0 || t->count > 1 << 24)
        return library_fail(error, TITANS_BAD_ARGUMENT, "%lld tokens in one call", (long long)t->count);
    const MemoryShape *s = &m->shape;
    const int64_t tokens = s->batch * t->count * s->heads, sets = tokens * (s->per_layer ? s->layers : 1);
    const struct {
        const char *name;
        const float *x;
        int64_t n;
        float low, high;
    } each[] = {{"k", t->k, tokens * s->width[0], -FLT_MAX, FLT_MAX},
                {"v", t->v, tokens * s->width[s->layers], -FLT_MAX, FLT_MAX},
                {"alpha", t->alpha, sets * (s->channelwise ? s->width[s->layers] : 1), 0.0f, 1.0f},
                {"theta", t->theta, sets, 0.0f, FLT_MAX},
                {"eta", t->eta, sets, 0.0f, 1.0f},
                {"q", t->q ? t->q : t->k, tokens * s->width[0], -FLT_MAX, FLT_MAX}};
    if (!t->q != !t->y) return library_fail(error, TITANS_BAD_ARGUMENT, "q and y come together");
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        if (!each[i].x) return library_fail(error, TITANS_BAD_ARGUMENT, "%s is missing", each[i].name);
        const int64_t bad = outside(each[i].n, each[i].x, each[i].low, each[i].high);
        if (bad >= 0)
            return library_fail(error, TITANS_BAD_ARGUMENT, "%s[%lld] is %g", each[i].name, (long long)bad,
                                (double)each[i].x[bad]);
    }
    return TITANS_OK;
}

/* Enters a call: memory that is refused ends it. */
#define MEMORY_CALL(m, escape, before, error)                                                                \
    jmp_buf escape;                                                                                          \
    const LibraryCall before = library_enter((m)->threads);                                                  \
    (m)->scratch.escape = &escape;                                                                           \
    if (setjmp(escape)) return memory_refused(before, error);                                                \
    arena_reset(&(m)->scratch)

static titans_status memory_refused(LibraryCall before, titans_error *error) {
    library_leave(before);
    return library_fail(error, TITANS_NO_MEMORY, "no memory for the tokens of a call");
}

static titans_status memory_refuses(titans_error *error) {
    return library_fail(error, TITANS_BAD_ARGUMENT,
                        "the memory holds numbers that are not finite: titans_memory_set, or begin anew");
}

/* rows: tokens x heads of every batch, `width` numbers each. */
static titans_status row_fails(const titans_memory *m, const char *what, int64_t at, int64_t width,
                               int64_t tokens, titans_error *error) {
    const int64_t row = at / width, heads = m->shape.heads;
    return library_fail(error, TITANS_NOT_FINITE,
                        "%s is not finite at token %lld of this call, batch %lld, head %lld, channel %lld",
                        what, (long long)(row / heads % tokens), (long long)(row / heads / tokens),
                        (long long)(row % heads), (long long)(at % width));
}

static titans_status state_fails(const titans_memory *m, int64_t at, titans_error *error) {
    static const char *const parts[] = {"the chunk's first weights", "weights", "momenta"};
    const int64_t P = m->weights;
    return library_fail(error, TITANS_NOT_FINITE,
                        "%s: number %lld of memory %lld is not finite after this call", parts[at / P % 3],
                        (long long)(at % P), (long long)(at / P / 3));
}

titans_status titans_memory_write(titans_memory *m, const titans_tokens *t, titans_error *error) {
    if (m->broken) return memory_refuses(error);
    const titans_status status = tokens_check(m, t, error);
    if (status || t->count == 0) return status;
    MEMORY_CALL(m, escape, before, error);
    MemoryShape s = m->shape;
    s.tokens = t->count;
    s.position = m->position;
    const int64_t rows = s.batch * s.tokens * s.heads;
    const int64_t gates = rows * (s.per_layer ? s.layers : 1) * (s.channelwise ? s.width[s.layers] : 1);
    float *keep = arena_floats(&m->scratch, gates);
    for (int64_t i = 0; i < gates; i++) keep[i] = 1.0f - t->alpha[i];
    const int64_t width = s.width[s.layers];
    float *y = arena_floats(&m->scratch, rows * width);
    float *workspace = arena_floats(&m->scratch, parallel_threads() * kernel->memory->workspace_floats(&s));
    const MemoryInput in = {t->k, t->v, t->q ? t->q : t->k, keep, t->theta, t->eta};
    const MemoryOutput out = {y, 0, 0};
    kernel->memory->forward_scan(&s, &in, m->state, &out, workspace);
    m->position = (m->position + t->count) % s.chunk;
    library_leave(before);
    const int64_t bad = first_not_finite(rows * width, y),
                  worse = first_not_finite(s.batch * s.heads * 3 * m->weights, m->state);
    m->broken = worse >= 0 || (t->y && bad >= 0);
    if (t->y && bad >= 0) return row_fails(m, "y", bad, width, t->count, error);
    if (worse >= 0) return state_fails(m, worse, error);
    if (t->y) memcpy(t->y, y, (size_t)(rows * width) * sizeof *y);
    return TITANS_OK;
}

titans_status titans_memory_read(titans_memory *m, const float *q, int64_t count, float *y,
                                 titans_error *error) {
    if (count < 0 || count > 1 << 24 || !q || !y)
        return library_fail(error, TITANS_BAD_ARGUMENT, "%lld queries, or no place for them",
                            (long long)count);
    if (m->broken) return memory_refuses(error);
    if (count == 0) return TITANS_OK;
    const int64_t rows = m->shape.batch * count * m->shape.heads, keys = m->shape.width[0];
    const int64_t bad = first_not_finite(rows * keys, q);
    if (bad >= 0)
        return library_fail(error, TITANS_BAD_ARGUMENT, "q[%lld] is %g", (long long)bad, (double)q[bad]);
    MEMORY_CALL(m, escape, before, error);
    MemoryShape s = m->shape;
    s.tokens = count;
    const int64_t width = s.width[s.layers];
    float *workspace = arena_floats(&m->scratch, parallel_threads() * kernel->memory->workspace_floats(&s)),
          *read = arena_floats(&m->scratch, rows * width);
    kernel->memory->read(&s, q, m->state + m->weights, 3 * m->weights, read, workspace);
    library_leave(before);
    const int64_t wrong = first_not_finite(rows * width, read);
    if (wrong >= 0) return row_fails(m, "y", wrong, width, count, error);
    memcpy(y, read, (size_t)(rows * width) * sizeof *y);
    return TITANS_OK;
}
