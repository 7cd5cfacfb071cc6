#include "bench/shared/memory_case.h"
#include "bench/kernel/kernel.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

MemoryCase memory_case(int64_t heads, int64_t chunk, int64_t tokens, int layers, int64_t outer,
                       int64_t hidden) {
    MemoryCase c = {.shape = {1, heads, tokens, chunk, 0, layers, {0}}};
    for (int l = 0; l <= layers; l++) c.shape.width[l] = l == 0 || l == layers ? outer : hidden;
    for (int l = 1; l <= layers; l++) c.weights += c.shape.width[l - 1] * c.shape.width[l];
    c.first = c.shape.width[0] * c.shape.width[1];
    const int64_t n = tokens * heads, wide = n * outer, chunks = (tokens + chunk - 1) / chunk;
    c.data = random_floats(3 * wide + 3 * n, 1.0 / sqrt((double)outer));
    float *gates = c.data + 3 * wide;
    for (int64_t i = 0; i < n; i++)
        gates[i] = 0.99f, gates[n + i] = 0.01f / (float)chunk, gates[2 * n + i] = 0.5f;
    c.in = (MemoryInput){c.data, c.data + wide, c.data + 2 * wide, gates, gates + n, gates + 2 * n};
    c.initial = random_floats(heads * 3 * c.weights, 1.0 / sqrt((double)hidden));
    c.state = random_floats(heads * 3 * c.weights, 1.0);
    c.y = random_floats(wide, 1.0);
    c.snapshots = random_floats(heads * chunks * 2 * c.weights, 1.0);
    c.workspace =
        random_floats((int64_t)omp_get_num_procs() * kernel->memory->workspace_floats(&c.shape), 0.0);
    c.gradients = random_floats(3 * wide + 3 * n, 0.0);
    float *g = c.gradients;
    c.d = (MemoryGradient){g, g + wide, g + 2 * wide, g + 3 * wide, g + 3 * wide + n, g + 3 * wide + 2 * n};
    c.dstate = random_floats(heads * 2 * c.weights, 0.0);
    c.naive = random_floats(c.weights + 20 * (hidden > outer ? hidden : outer), 0.0);
    return c;
}

void memory_case_free(MemoryCase *c) {
    float *all[] = {c->data,      c->initial,   c->state,  c->y,    c->snapshots,
                    c->workspace, c->gradients, c->dstate, c->naive};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

void memory_restore(MemoryCase *c) {
    memcpy(c->state, c->initial, (size_t)(c->shape.heads * 3 * c->weights) * sizeof(float));
}

void memory_scan_run(void *context) {
    MemoryCase *c = context;
    const MemoryOutput out = {c->y, 0, 0};
    memory_restore(c);
    kernel->memory->forward_scan(&c->shape, &c->in, c->state, &out, c->workspace);
}

double memory_scan_flop(const MemoryCase *c) {
    return (double)(c->shape.tokens * c->shape.heads) * (12.0 * (double)c->weights - 2.0 * (double)c->first);
}
