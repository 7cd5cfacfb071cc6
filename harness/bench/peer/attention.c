/* Causal attention alone: the cache is written, then read. */
#include "base/dispatch.h"
#include "bench/peer/subject.h"
#include "bench/shared/numbers.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    AttendShape shape;
    float *q, *k, *v, *y, *dy, *dq, *dk, *dv, *cache, *statistics, *workspace;
} AttentionSubject;

static void attention_run(AttentionSubject *a, float *statistics) {
    kernel->attend->append(&a->shape, a->k, a->v, a->cache);
    kernel->attend->forward(&a->shape, a->q, a->cache, a->y, statistics, a->workspace);
}

static void attention_forward(void *self) { attention_run(self, 0); }

static void attention_both(void *self) {
    AttentionSubject *a = self;
    attention_run(a, a->statistics);
    kernel->attend->backward(&a->shape, a->q, a->cache, a->y, a->statistics, a->dy, a->dq, a->dk, a->dv, 0, 0,
                             a->workspace);
}

static void attention_close(void *self) {
    AttentionSubject *a = self;
    float *all[] = {a->q,  a->k,  a->v,     a->y,          a->dy,       a->dq,
                    a->dk, a->dv, a->cache, a->statistics, a->workspace};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(a);
}

int subject_attention(char *words, int64_t batch, int64_t tokens, Subject *s, char *message, size_t size) {
    AttentionSubject *a = calloc(1, sizeof *a);
    (void)words;
    if (!a) return snprintf(message, size, "no memory"), -1;
    *s = (Subject){.self = a, .forward = attention_forward, .both = attention_both, .close = attention_close};
    a->shape = attend_plain(batch, SUBJECT_HEADS, tokens, 0, attend_round(tokens), SUBJECT_HEAD);
    const int64_t n = batch * tokens * SUBJECT_WIDTH, heads = batch * SUBJECT_HEADS;
    float **inputs[] = {&a->q, &a->k, &a->v}, **zeros[] = {&a->y, &a->dq, &a->dk, &a->dv};
    for (int i = 0; i < 3; i++) *inputs[i] = random_floats(n, 1);
    for (int i = 0; i < 4; i++) *zeros[i] = random_floats(n, 0);
    a->dy = random_between(n, 1, 1);
    a->cache = random_floats(heads * kernel->attend->cache_floats(&a->shape), 0);
    a->statistics = random_floats(2 * heads * tokens, 0);
    a->workspace = random_floats(omp_get_max_threads() * kernel->attend->workspace_floats(&a->shape), 0);
    static const char *const names[] = {"q", "k", "v"};
    for (int i = 0; i < 3; i++)
        s->in[s->inputs++] =
            (SubjectTensor){names[i], 4, {batch, tokens, SUBJECT_HEADS, SUBJECT_HEAD}, *inputs[i]};
    s->out = (SubjectTensor){"y", 4, {batch, tokens, SUBJECT_HEADS, SUBJECT_HEAD}, a->y};
    return 0;
}
