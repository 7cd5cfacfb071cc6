#include "learn/tree.h"
#include "base/dispatch.h"
#include "base/work.h"
#include "terminal/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TREE_BLOCK = 1 << 18 /* floats that are exchanged at once */ };

void tree_add(Tree *t, float *gradient, double losses[TREE_LOSSES]) {
    const int before = work_begin();
    int level = 0;
    for (; t->seen >> level & 1; level++) {
        kernel->act->add(t->floats, t->waiting[level], gradient);
        for (int i = 0; i < TREE_LOSSES; i++) losses[i] += t->losses[level][i];
    }
    work_end(before);
    if (++t->seen == t->leaves) return;
    memcpy(t->waiting[level], gradient, (size_t)t->floats * sizeof(float));
    memcpy(t->losses[level], losses, sizeof t->losses[level]);
    memset(gradient, 0, (size_t)t->floats * sizeof(float));
    memset(losses, 0, sizeof t->losses[level]);
}

typedef void Join(void *mine, const void *theirs, size_t bytes);

/* Each rank's bytes joined with all others', in the tree's order; room: as many bytes. */
static int tree_join(const Ranks *r, void *mine, void *room, size_t bytes, Join *join, char *message,
                     size_t size) {
    for (int step = 1; step < r->count; step *= 2) {
        if (r->exchange(r, r->rank ^ step, mine, room, bytes, message, size)) return -1;
        join(mine, room, bytes);
    }
    return 0;
}

static void join_floats(void *mine, const void *theirs, size_t bytes) {
    kernel->act->add((int64_t)(bytes / sizeof(float)), theirs, mine);
}

static void join_reals(void *mine, const void *theirs, size_t bytes) {
    const double *from = theirs;
    double *to = mine;
    for (size_t i = 0; i < bytes / sizeof *to; i++) to[i] += from[i];
}

static void join_integers(void *mine, const void *theirs, size_t bytes) {
    const int64_t *from = theirs;
    int64_t *to = mine;
    for (size_t i = 0; i < bytes / sizeof *to; i++) to[i] += from[i];
}

static void join_most(void *mine, const void *theirs, size_t bytes) {
    int64_t other;
    memcpy(&other, theirs, sizeof other);
    if (other > *(int64_t *)mine) memcpy(mine, &other, bytes);
}

int tree_floats(const Ranks *r, int64_t count, float *sum, char *message, size_t size) {
    static _Alignas(64) float room[TREE_BLOCK];
    int status = 0;
    if (r->count == 1) return 0;
    const int before = work_begin();
    for (int64_t at = 0; !status && at < count; at += TREE_BLOCK) {
        const int64_t n = count - at < TREE_BLOCK ? count - at : TREE_BLOCK;
        status = tree_join(r, sum + at, room, (size_t)n * sizeof(float), join_floats, message, size);
    }
    work_end(before);
    return status;
}

/* For numbers of 8 bytes, a few of them. */
static int tree_few(const Ranks *r, int64_t count, void *sum, Join *join, char *message, size_t size) {
    const size_t bytes = (size_t)count * sizeof(double);
    void *room = r->count > 1 ? malloc(bytes) : 0;
    if (r->count == 1) return 0;
    if (!room) return snprintf(message, size, "no memory for %zu bytes", bytes), -1;
    const int status = tree_join(r, sum, room, bytes, join, message, size);
    free(room);
    return status;
}

int tree_reals(const Ranks *r, int64_t count, double *sum, char *message, size_t size) {
    return tree_few(r, count, sum, join_reals, message, size);
}

int tree_integers(const Ranks *r, int64_t count, int64_t *sum, char *message, size_t size) {
    return tree_few(r, count, sum, join_integers, message, size);
}

int tree_most(const Ranks *r, int64_t *number, char *message, size_t size) {
    return tree_few(r, 1, number, join_most, message, size);
}

typedef struct {
    int status, rank;
    char message[MESSAGE];
} Mishap;

static void join_mishaps(void *mine, const void *theirs, size_t bytes) {
    const Mishap *other = theirs;
    Mishap *own = mine;
    if (other->status && (!own->status || other->rank < own->rank)) memcpy(mine, theirs, bytes);
}

int tree_agree(const Ranks *r, int status, char *message, size_t size) {
    static Mishap mine, room;
    if (r->count == 1) return status;
    memset(&mine, 0, sizeof mine);
    mine.status = status;
    mine.rank = r->rank;
    if (status) snprintf(mine.message, sizeof mine.message, "%s", message);
    if (tree_join(r, &mine, &room, sizeof mine, join_mishaps, message, size)) return TREE_LOST;
    if (!mine.status) return 0;
    if (mine.rank)
        snprintf(message, size, "rank %d: %s", mine.rank, mine.message);
    else
        snprintf(message, size, "%s", mine.message);
    return mine.status;
}

int tree_differs(const Ranks *r, uint64_t number, int *rank, char *message, size_t size) {
    int64_t *numbers = calloc((size_t)r->count, sizeof *numbers);
    *rank = 0;
    if (!numbers) return snprintf(message, size, "no memory for %d numbers", r->count), -1;
    memcpy(&numbers[r->rank], &number, sizeof number);
    const int status = tree_integers(r, r->count, numbers, message, size);
    for (int i = r->count - 1; i > 0; i--)
        if (numbers[i] != numbers[0]) *rank = i;
    free(numbers);
    return status;
}
