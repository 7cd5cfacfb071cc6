#include "base/dispatch.h"
#include "equation/adapter.h"

static void elementwise(KernelRun *r) {
    const MapKind kind = (MapKind)run_dim(r, "function");
    const int64_t n = run_dim(r, "n");
    kernel->map->forward(kind, n, run_in(r, "x"), run_out(r, "y"));
    if (run_backward(r))
        kernel->map->backward(kind, n, run_in(r, "x"), run_cotangent(r, "y"), run_grad(r, "x"));
}

static void repeated_product(KernelRun *r) {
    const int64_t rows = run_dim(r, "tokens"), cols = run_dim(r, "width"), repeat = run_dim(r, "repeat");
    kernel->map->multiply(rows, cols, repeat, run_in(r, "x"), run_in(r, "b"), run_out(r, "y"));
    if (!run_backward(r)) return;
    kernel->map->multiply_backward(rows, cols, repeat, run_in(r, "x"), run_in(r, "b"), run_cotangent(r, "y"),
                                   run_grad(r, "x"), run_grad(r, "b"));
}

static const KernelAdapter adapters[] = {{"elementwise", "map", elementwise, 0, 0},
                                         {"repeated_product", "map.multiply", repeated_product, 0, 0},
                                         {"", "", 0, 0, 0}};
const KernelAdapters kernel_adapters_map = {adapters};
