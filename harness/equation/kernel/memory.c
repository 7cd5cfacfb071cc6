#include "base/dispatch.h"
#include "base/parallel.h"
#include "equation/adapter.h"

#include <string.h>

static MemoryShape memory_shape(const Dims *d, int64_t tokens, int64_t chunk) {
    static const char *const width[] = {"n0", "n1", "n2", "n3", "n4"};
    MemoryShape s = {.batch = 1,
                     .heads = 1,
                     .tokens = tokens,
                     .chunk = chunk,
                     .layers = (int)dims_get(d, "memory_layers"),
                     .gelu = (int)dims_get(d, "activation"),
                     .residual = (int)dims_get(d, "memory_residual"),
                     .norm = (int)dims_get(d, "memory_norm"),
                     .per_layer = (int)dims_get(d, "gates_per_layer"),
                     .channelwise = (int)dims_get(d, "channelwise")};
    for (int l = 0; l <= s.layers; l++) s.width[l] = dims_get(d, width[l]);
    return s;
}

/* One query. */
static void memory_read(KernelRun *r) {
    const MemoryShape s = memory_shape(r->dims, 1, 1);
    const float *M = run_in(r, "M"), *q = run_in(r, "q");
    float *workspace = run_scratch(parallel_threads() * kernel->memory->workspace_floats(&s));
    kernel->memory->read(&s, q, M, 0, run_out(r, "y"), workspace);
    if (run_backward(r))
        kernel->memory->read_backward(&s, q, M, 0, run_cotangent(r, "y"), run_grad(r, "q"), run_grad(r, "M"),
                                      0, workspace);
    free(workspace);
}

/* A chunked scan and, through the snapshots of it, its gradient. */
typedef enum { MEMORY_SCAN, MEMORY_DUAL, MEMORY_ADJOINT } MemoryForm;
typedef struct {
    MemoryShape shape;
    MemoryInput in;
    int64_t weights, gates;
    float *keep, *state, *snapshots, *workspace;
} MemoryRun;

static MemoryRun memory_run_begin(const KernelRun *r) {
    MemoryRun m = {.shape = memory_shape(r->dims, run_dim(r, "tokens"), run_dim(r, "chunk"))};
    const int64_t chunks = (m.shape.tokens + m.shape.chunk - 1) / m.shape.chunk;
    const float *alpha = run_in(r, "alpha");
    const int64_t P = m.weights = run_size(r, "M0");
    m.gates = run_size(r, "alpha");
    m.keep = run_zeros(m.gates);
    for (int64_t i = 0; i < m.gates; i++)
        m.keep[i] = 1.0f - alpha[i]; /* exact: alpha is a multiple of 2^-12 */
    m.state = run_zeros(3 * P);
    m.snapshots = run_scratch(chunks * 2 * P);
    m.workspace = run_scratch(parallel_threads() * kernel->memory->workspace_floats(&m.shape));
    memcpy(m.state, run_in(r, "M0"), (size_t)P * sizeof(float));
    memcpy(m.state + P, run_in(r, "M0"), (size_t)P * sizeof(float));
    memcpy(m.state + 2 * P, run_in(r, "S0"), (size_t)P * sizeof(float));
    m.in = (MemoryInput){run_in(r, "k"), run_in(r, "v"),     run_in(r, "q"),
                         m.keep,         run_in(r, "theta"), run_in(r, "eta")};
    return m;
}

static void memory_run_end(MemoryRun *m) {
    free(m->keep);
    free(m->state);
    free(m->snapshots);
    free(m->workspace);
}

static void memory_gradient(KernelRun *r, const MemoryRun *m, MemoryForm form) {
    const size_t bytes = (size_t)m->weights * sizeof(float);
    float *dstate = run_zeros(2 * m->weights), *dalpha = run_grad(r, "alpha");
    memcpy(dstate, run_cotangent(r, "M"), bytes);
    memcpy(dstate + m->weights, run_cotangent(r, "S"), bytes);
    const MemoryGradient d = {run_grad(r, "k"), run_grad(r, "v"),     run_grad(r, "q"),
                              dalpha,           run_grad(r, "theta"), run_grad(r, "eta")};
    (form == MEMORY_ADJOINT ? kernel->memory->backward_scan : kernel->memory->backward)(
        &m->shape, &m->in, m->snapshots, run_cotangent(r, "y"), &d, dstate, m->workspace);
    for (int64_t i = 0; i < m->gates; i++) dalpha[i] = -dalpha[i];
    memcpy(run_grad(r, "M0"), dstate, bytes);
    memcpy(run_grad(r, "S0"), dstate + m->weights, bytes);
    free(dstate);
}

static void memory_chunk(KernelRun *r, MemoryForm form) {
    MemoryRun m = memory_run_begin(r);
    const MemoryOutput out = {run_out(r, "y"), m.snapshots, 0};
    const int dual = form == MEMORY_DUAL && !m.shape.channelwise; /* decay per channel has no dual form */
    (dual ? kernel->memory->forward_dual : kernel->memory->forward_scan)(&m.shape, &m.in, m.state, &out,
                                                                         m.workspace);
    memcpy(run_out(r, "M"), m.state + m.weights, (size_t)m.weights * sizeof(float));
    memcpy(run_out(r, "S"), m.state + 2 * m.weights, (size_t)m.weights * sizeof(float));
    if (run_backward(r)) memory_gradient(r, &m, form);
    memory_run_end(&m);
}
static void memory_scan(KernelRun *r) { memory_chunk(r, MEMORY_SCAN); }
static void memory_dual(KernelRun *r) { memory_chunk(r, MEMORY_DUAL); }
static void memory_adjoint(KernelRun *r) { memory_chunk(r, MEMORY_ADJOINT); }

static const KernelAdapter adapters[] = {{"memory_read", "memory.read", memory_read, 0, 0},
                                         {"memory_chunk", "memory.scan", memory_scan, 0, 0},
                                         {"memory_chunk", "memory.dual", memory_dual, 0, 0},
                                         {"memory_chunk", "memory.adjoint", memory_adjoint, 0, 0},
                                         {"", "", 0, 0, 0}};
const KernelAdapters kernel_adapters_memory = {adapters};
