/* Ops that only move rows: one gather from several tensors, and what it is used for. */
#include "op/op.h"
#include "base/check.h"

#include <string.h>

/* `count` rows of source[which], from `row` on, follow in the output. */
typedef struct {
    int64_t which, row, count;
} RowRun;

typedef struct {
    RowRun *run;
    int64_t runs, rows;
} RowMap;

typedef struct {
    Tensor **source, *y;
    RowMap map;
} Rows;

static void rows_backward(void *context) {
    const Rows *c = context;
    const int64_t width = c->y->cols;
    const float *dy = c->y->grad;
    for (const RowRun *run = c->map.run; run < c->map.run + c->map.runs; dy += run++->count * width) {
        const Tensor *from = c->source[run->which];
        if (from->grad) kernel->act->add(run->count * width, dy, from->grad + run->row * width);
    }
}

/* Room for so many runs. */
static RowMap rows_map(Tape *tape, int64_t runs) {
    return (RowMap){arena_take(tape->arena, (size_t)runs * sizeof(RowRun)), 0, 0};
}

static void rows_take(RowMap *map, int64_t which, int64_t row, int64_t count) {
    map->run[map->runs++] = (RowRun){which, row, count};
    map->rows += count;
}

static Tensor *op_rows(Tape *tape, Tensor *const *source, int sources, RowMap map) {
    const int64_t width = source[0]->cols;
    Tensor *y = tape_tensor(tape, map.rows, width);
    float *to = y->data;
    for (int i = 0; i < sources; i++)
        CHECK(source[i]->cols == width, "%ld and %ld columns", width, source[i]->cols);
    for (const RowRun *run = map.run; run < map.run + map.runs; to += run++->count * width)
        memcpy(to, source[run->which]->data + run->row * width, (size_t)(run->count * width) * sizeof(float));
    const size_t bytes = (size_t)sources * sizeof(Tensor *);
    Tensor **kept = memcpy(arena_take(tape->arena, bytes), source, bytes);
    tape_push(tape, rows_backward, &(Rows){kept, y, map}, sizeof(Rows));
    return y;
}

Tensor *op_slice(Tape *tape, Tensor *x, int64_t batch, int64_t from, int64_t count) {
    const int64_t tokens = x->rows / batch;
    CHECK(from >= 0 && from + count <= tokens, "rows %ld .. %ld of %ld", from, from + count, tokens);
    if (count == tokens) return x;
    RowMap map = rows_map(tape, batch);
    for (int64_t b = 0; b < batch; b++) rows_take(&map, 0, b * tokens + from, count);
    return op_rows(tape, &x, 1, map);
}

Tensor *op_prepend(Tape *tape, Tensor *shared, Tensor *x, int64_t batch) {
    const int64_t tokens = x->rows / batch;
    RowMap map = rows_map(tape, 2 * batch);
    for (int64_t b = 0; b < batch; b++) {
        rows_take(&map, 0, 0, shared->rows);
        rows_take(&map, 1, b * tokens, tokens);
    }
    return op_rows(tape, (Tensor *const[]){shared, x}, 2, map);
}

Tensor *op_concat(Tape *tape, Tensor *const *part, int parts, int64_t batch) {
    if (parts == 1) return part[0];
    RowMap map = rows_map(tape, batch * parts);
    for (int64_t b = 0; b < batch; b++)
        for (int i = 0; i < parts; i++)
            rows_take(&map, i, b * (part[i]->rows / batch), part[i]->rows / batch);
    return op_rows(tape, part, parts, map);
}

Tensor *op_interleave(Tape *tape, Tensor *a, Tensor *b) {
    CHECK(a->rows == b->rows, "%ld and %ld rows", a->rows, b->rows);
    RowMap map = rows_map(tape, a->rows + b->rows);
    for (int64_t r = 0; r < a->rows; r++) {
        rows_take(&map, 0, r, 1);
        rows_take(&map, 1, r, 1);
    }
    return op_rows(tape, (Tensor *const[]){a, b}, 2, map);
}

Tensor *op_constant(Tape *tape, Tensor *x) {
    Tensor *t = arena_take(tape->arena, sizeof *t);
    *t = (Tensor){x->rows, x->cols, x->data, 0};
    return t;
}

void op_carry(Tape *tape, Tensor **slot, Tensor *next) {
    if (tape->recording)
        *slot = next;
    else
        memcpy((*slot)->data, next->data, (size_t)(next->rows * next->cols) * sizeof(float));
}

Tensor *op_hold(Tape *tape, Tensor *z, int64_t batch, int64_t chunk, int64_t position, Tensor **held) {
    const int64_t tokens = z->rows / batch;
    Tensor *const both[] = {z, *held};
    RowMap map = rows_map(tape, z->rows), open = rows_map(tape, batch);
    for (int64_t b = 0; b < batch; b++)
        for (int64_t t = 0; t < tokens; t++) {
            const int64_t start =
                (position + t) / chunk * chunk - position; /* in this call, if not negative */
            rows_take(&map, start < 0, start < 0 ? b : b * tokens + start, 1);
            if (t == tokens - 1) rows_take(&open, start < 0, start < 0 ? b : b * tokens + start, 1);
        }
    Tensor *y = op_rows(tape, both, 2, map);
    op_carry(tape, held, op_rows(tape, both, 2, open));
    return y;
}

Tensor *op_previous(Tape *tape, Tensor *x, int64_t batch, Tensor **held) {
    const int64_t tokens = x->rows / batch;
    Tensor *const both[] = {x, *held};
    RowMap map = rows_map(tape, 2 * batch), last = rows_map(tape, batch);
    for (int64_t b = 0; b < batch; b++) {
        rows_take(&map, 1, b, 1);
        rows_take(&map, 0, b * tokens, tokens - 1);
        rows_take(&last, 0, b * tokens + tokens - 1, 1);
    }
    Tensor *y = op_rows(tape, both, 2, map);
    op_carry(tape, held, op_rows(tape, both, 2, last));
    return y;
}
