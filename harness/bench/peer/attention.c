/* Causal attention alone: the cache is written, then read. */
#include "base/dispatch.h"
#include "base/random.h"
#include "bench/peer/subject.h"

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
    const int64_t n = batch * tokens * SUBJECT_WIDTH;
    struct {
        float **at;
        int64_t count;
    } arrays[] = {{&a->q, n},
                  {&a->k, n},
                  {&a->v, n},
                  {&a->y, n},
                  {&a->dy, n},
                  {&a->dq, n},
                  {&a->dk, n},
                  {&a->dv, n},
                  {&a->cache, batch * SUBJECT_HEADS * kernel->attend->cache_floats(&a->shape)},
                  {&a->statistics, 2 * batch * SUBJECT_HEADS * tokens},
                  {&a->workspace, omp_get_max_threads() * kernel->attend->workspace_floats(&a->shape)}};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        const size_t bytes = ((size_t)arrays[i].count * sizeof(float) + 127) / 64 * 64;
        *arrays[i].at = aligned_alloc(64, bytes);
        if (!*arrays[i].at) return snprintf(message, size, "no memory"), attention_close(a), -1;
        Random random = {i + 1};
        for (int64_t j = 0; j < (int64_t)(bytes / sizeof(float)); j++)
            (*arrays[i].at)[j] = i < 3 ? (float)(2.0 * random_uniform(&random) - 1.0) : i == 4 ? 1.0f : 0.0f;
    }
    static const char *const names[] = {"q", "k", "v"};
    for (int i = 0; i < 3; i++)
        s->in[s->inputs++] =
            (SubjectTensor){names[i], 4, {batch, tokens, SUBJECT_HEADS, SUBJECT_HEAD}, *arrays[i].at};
    s->out = (SubjectTensor){"y", 4, {batch, tokens, SUBJECT_HEADS, SUBJECT_HEAD}, a->y};
    return 0;
}
