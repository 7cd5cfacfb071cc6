#include "base/dispatch.h"
#include "base/parallel.h"
#include "equation/adapter.h"

#include <string.h>

/* Names of a head's parts, in the order in which its weights lie, by the number of layers. */
static const char *const parts[2][4] = {{"W", "b"}, {"W1", "b1", "W2", "b2"}};

typedef struct {
    TttShape shape;
    int64_t weights;
} TttRun;

static TttRun ttt_begin(const KernelRun *r, int layers) {
    const int64_t D = run_dim(r, "head_width");
    TttRun t = {{.batch = 1,
                 .heads = run_dim(r, "heads"),
                 .tokens = run_dim(r, "tokens"),
                 .mini_batch = run_dim(r, "mini_batch"),
                 .layers = layers,
                 .width = {D, layers > 1 ? run_dim(r, "hidden") : D, D},
                 .own = (int)run_dim(r, "residual"),
                 .closed = 1,
                 .scale = run_in(r, "scale")[0],
                 .eps = run_in(r, "eps")[0]},
                0};
    t.weights = ttt_weights(&t.shape);
    return t;
}

/* Part i of every head, from the equation's array into rows of `stride` floats, or back. */
static void ttt_part(const TttRun *t, int i, float *part, float *rows, int64_t stride, int back) {
    int64_t at = 0, size = 0;
    for (int j = 0; j <= i; j++) {
        at += size;
        size = t->shape.width[j / 2 + 1] * (j % 2 ? 1 : t->shape.width[j / 2]);
    }
    for (int64_t h = 0; h < t->shape.heads; h++) {
        float *row = rows + h * stride + at, *mine = part + h * size;
        memcpy(back ? mine : row, back ? row : mine, (size_t)size * sizeof(float));
    }
}

static void ttt_gradient(KernelRun *r, const TttRun *t, const TttInput *in, const float *snapshots,
                         float *workspace) {
    char name[16];
    const int layers = t->shape.layers;
    float *dstate = run_zeros(t->shape.heads * t->weights);
    for (int i = 0; i < 2 * layers; i++) {
        snprintf(name, sizeof name, "%s_end", parts[layers - 1][i]);
        ttt_part(t, i, run_cotangent(r, name), dstate, t->weights, 0);
    }
    const TttGradient d = {run_grad(r, "k"),      run_grad(r, "v"),    run_grad(r, "q"),
                           run_grad(r, "reader"), run_grad(r, "rate"), run_grad(r, "ln_gain"),
                           run_grad(r, "ln_bias")};
    kernel->ttt->backward(&t->shape, in, snapshots, run_cotangent(r, "o"), &d, dstate, workspace);
    for (int i = 0; i < 2 * layers; i++)
        ttt_part(t, i, run_grad(r, parts[layers - 1][i]), dstate, t->weights, 1);
    free(dstate);
}

static void ttt(KernelRun *r, int layers) {
    char name[16];
    const TttRun t = ttt_begin(r, layers);
    const int64_t stride = ttt_state(&t.shape);
    float *state = run_zeros(t.shape.heads * stride),
          *snapshots = run_scratch(t.shape.heads * ttt_mini_batches(&t.shape) * t.weights),
          *workspace = run_scratch(parallel_threads() * kernel->ttt->workspace_floats(&t.shape));
    const TttInput in = {run_in(r, "k"),    run_in(r, "v"),       run_in(r, "q"),      run_in(r, "reader"),
                         run_in(r, "rate"), run_in(r, "ln_gain"), run_in(r, "ln_bias")};
    for (int i = 0; i < 2 * layers; i++) ttt_part(&t, i, run_in(r, parts[layers - 1][i]), state, stride, 0);
    kernel->ttt->forward(&t.shape, &in, state, run_out(r, "o"), snapshots, workspace);
    for (int i = 0; i < 2 * layers; i++) {
        snprintf(name, sizeof name, "%s_end", parts[layers - 1][i]);
        ttt_part(&t, i, run_out(r, name), state, stride, 1);
    }
    if (run_backward(r)) ttt_gradient(r, &t, &in, snapshots, workspace);
    free(state);
    free(snapshots);
    free(workspace);
}
static void ttt_linear(KernelRun *r) { ttt(r, 1); }
static void ttt_mlp(KernelRun *r) { ttt(r, 2); }

static const KernelAdapter adapters[] = {{"ttt_linear_chunk", "ttt.linear", ttt_linear, 0, 0},
                                         {"ttt_mlp_chunk", "ttt.mlp", ttt_mlp, 0, 0},
                                         {"", "", 0, 0, 0}};
const KernelAdapters kernel_adapters_ttt = {adapters};
