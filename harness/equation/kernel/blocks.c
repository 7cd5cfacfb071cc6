#include "base/dispatch.h"
#include "base/parallel.h"
#include "equation/adapter.h"
#include "op/op.h"

/* All heads in one call. */
static void block_attention(KernelRun *r) {
    const int64_t T = run_dim(r, "tokens"), H = run_dim(r, "heads"), d = run_dim(r, "head_width");
    const BlockPattern pattern = {run_dim(r, "block"), run_dim(r, "random"), run_dim(r, "pattern_seed")};
    BlocksShape s = block_shape(&pattern, 1, H, T, d);
    Arena arena = {0};
    s.tokens = T;
    block_lists(&arena, &s, &pattern);
    float *cache = run_scratch(H * kernel->blocks->cache_floats(&s)), *statistics = run_scratch(2 * H * T);
    float *workspace = run_scratch(parallel_threads() * kernel->blocks->workspace_floats(&s));
    kernel->blocks->append(&s, run_in(r, "k"), run_in(r, "v"), cache);
    kernel->blocks->forward(&s, run_in(r, "q"), cache, run_out(r, "y"), statistics, workspace);
    if (run_backward(r))
        kernel->blocks->backward(&s, run_in(r, "q"), cache, run_out(r, "y"), statistics,
                                 run_cotangent(r, "y"), run_grad(r, "q"), run_grad(r, "k"), run_grad(r, "v"),
                                 workspace);
    arena_free(&arena);
    free(cache);
    free(statistics);
    free(workspace);
}

/* The lists have room for every block that is asked for. */
static int pattern_accepted(const Dims *d, char *message, size_t size) {
    if (dims_get(d, "random") <= BLOCK_RANDOM_MOST) return 0;
    return snprintf(message, size, "the kernel takes random up to %d; --impl reference", BLOCK_RANDOM_MOST),
           -1;
}

static const KernelAdapter adapters[] = {{"block_attention", "blocks", block_attention, pattern_accepted, 0},
                                         {"", "", 0, 0, 0}};
const KernelAdapters kernel_adapters_blocks = {adapters};
