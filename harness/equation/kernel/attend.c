#include "base/dispatch.h"
#include "base/parallel.h"
#include "equation/adapter.h"
#include "model/position.h"

/* Of `heads` heads, with slopes or NULL. The equations have at least as many keys as tokens: the keys before the last
 * `tokens` are the prefix and those of an earlier call. */
static void attend(KernelRun *r, int64_t heads, const float *slopes, int64_t window, int64_t prefix) {
    const int64_t T = run_dim(r, "tokens"), S = run_dim(r, "keys"), d = run_dim(r, "head_width"),
                  past = S - T - prefix, row = heads * d;
    const float *q = run_in(r, "q"), *kp = run_in(r, "k"), *vp = run_in(r, "v"), *k = kp + prefix * row,
                *v = vp + prefix * row;
    float *y = run_out(r, "y"), *dk = run_grad(r, "k"), *dv = run_grad(r, "v");
    AttendShape first = attend_plain(1, heads, past, 0, attend_round(S - prefix), d);
    AttendShape s = attend_plain(1, heads, T, past, attend_round(S - prefix), d);
    first.prefix = s.prefix = prefix;
    first.window = s.window = window;
    s.slopes = slopes;
    float *cache = run_scratch(heads * kernel->attend->cache_floats(&s)),
          *statistics = run_scratch(2 * heads * T);
    float *workspace = run_scratch(parallel_threads() * kernel->attend->workspace_floats(&s));
    kernel->attend->append_prefix(&s, kp, vp, cache);
    if (past) kernel->attend->append(&first, k, v, cache);
    kernel->attend->append(&s, k + past * row, v + past * row, cache);
    kernel->attend->forward(&s, q, cache, y, statistics, workspace);
    if (run_backward(r))
        kernel->attend->backward(&s, q, cache, y, statistics, run_cotangent(r, "y"), run_grad(r, "q"),
                                 dk + prefix * row, dv + prefix * row, dk, dv, workspace);
    free(cache);
    free(statistics);
    free(workspace);
}
static void attention(KernelRun *r) { attend(r, 1, 0, 0, 0); }
static void window_attention(KernelRun *r) { attend(r, 1, 0, run_dim(r, "window"), run_dim(r, "prefix")); }
static void alibi_attention(KernelRun *r) {
    const int64_t heads = run_dim(r, "heads");
    float *slopes = run_zeros(heads);
    position_slopes(heads, slopes);
    attend(r, heads, slopes, run_dim(r, "window"), run_dim(r, "prefix"));
    free(slopes);
}

static int keys_accepted(const Dims *d, char *message, size_t size) {
    if (dims_get(d, "keys") - dims_get_or(d, "prefix", 0) >= dims_get(d, "tokens")) return 0;
    return snprintf(message, size, "the kernel wants keys of at least prefix + tokens; --impl reference"), -1;
}

/* The backward pass wants the whole sequence in the call. */
static int whole_sequence(const Dims *d) {
    return dims_get(d, "tokens") + dims_get_or(d, "prefix", 0) == dims_get(d, "keys");
}

static const KernelAdapter adapters[] = {
    {"attention", "attend", attention, keys_accepted, whole_sequence},
    {"window_attention", "attend.window", window_attention, keys_accepted, whole_sequence},
    {"alibi_attention", "attend.alibi", alibi_attention, keys_accepted, whole_sequence},
    {"", "", 0, 0, 0}};
const KernelAdapters kernel_adapters_attend = {adapters};
