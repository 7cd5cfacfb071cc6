/* What a stream shows of its memories, surprise, alpha and theta, against the equations composed by hand. */
#include "ledger.h"
#include "test_model.h"

enum { SHOWN = 6, SHOWN_BATCH = 2 };

static const Parameter *parameter_named(const Model *m, const char *name) {
    for (int i = 0; i < m->list.count; i++)
        if (!strcmp(m->list.items[i].name, name)) return &m->list.items[i];
    cr_assert_fail("no parameter %s", name);
    return 0;
}

static void parameter_to(const Model *m, const char *name, double *x) {
    const Parameter *p = parameter_named(m, name);
    for (int64_t j = 0; j < parameter_count(p); j++) x[j] = (double)m->weights[p->offset + j];
}

/* u of the only layer: persistent tokens, then the normed embedding of `tokens`. rows x width. */
static void shown_inputs(const Model *m, const int32_t *tokens, int64_t persistent, double *u) {
    const int64_t D = m->config.width;
    double *table = oracle_zeros(VOCAB * D);
    Case c = case_new("rms_norm", 1, "tokens=%d width=%ld", SHOWN, D);
    parameter_to(m, "embedding", table);
    parameter_to(m, "layer.0.norm1", case_in(&c, "gain"));
    for (int64_t j = 0; j < SHOWN * D; j++) case_in(&c, "x")[j] = table[tokens[j / D] * D + j % D];
    case_run(&c);
    if (persistent) parameter_to(m, "layer.0.mixer.persistent", u);
    memcpy(u + persistent * D, case_out(&c, "y"), (size_t)(SHOWN * D) * sizeof *u);
    free(table);
    case_free(&c);
}

/* Keys or values, rows x width: the map, the convolution from zeros, SiLU, for keys the l2 norm of every head. */
static void shown_branch(const Model *m, int64_t rows, int64_t taps, const double *u, const char *map,
                         const char *convolution, const char *equation, double *y) {
    const int64_t D = m->config.width, H = m->config.heads;
    Case product = case_new("qkv", 1, "tokens=%ld width=%ld", rows, D);
    Case c = case_new(equation, 1, "tokens=%ld heads=%ld head_width=%ld taps=%ld", rows, H, D / H, taps);
    memcpy(case_in(&product, "x"), u, (size_t)(rows * D) * sizeof *u);
    parameter_to(m, map, case_in(&product, "wq"));
    case_run(&product);
    memcpy(case_in(&c, "x"), case_out(&product, "q"), (size_t)(rows * D) * sizeof *u);
    parameter_to(m, convolution, case_in(&c, "weight"));
    case_set(&c, "tail", 0);
    case_run(&c);
    memcpy(y, case_out(&c, "y"), (size_t)(rows * D) * sizeof *u);
    case_free(&product), case_free(&c);
}

static double mean_gate(const double *z, int64_t count) {
    double sum = 0;
    for (int64_t j = 0; j < count; j++) sum += 1 / (1 + exp(-z[j]));
    return sum / (double)count;
}

/* |grad| of eq 12 at the weights of head h that a stream begins with. */
static double shown_surprise(const Model *m, const double *weights, const double *k, const double *v) {
    const int64_t n = m->config.width / m->config.heads;
    Case c = case_new("surprise", 1, "memory_layers=2 n0=%ld n1=%ld n2=%ld", n, 2 * n, n);
    memcpy(case_in(&c, "M"), weights, (size_t)case_in_size(&c, "M") * sizeof *k);
    memcpy(case_in(&c, "k"), k, (size_t)n * sizeof *k);
    memcpy(case_in(&c, "v"), v, (size_t)n * sizeof *v);
    case_run(&c);
    const double *grad = case_out(&c, "grad"), square = dot(grad, grad, case_in_size(&c, "M"));
    case_free(&c);
    return sqrt(square);
}

/* One layer, its memory in its first chunk: surprise, alpha and theta of every token and head follow from the parameters by
 * the equations. Allowed: 64 units of float32 of the largest. */
static double check_shown(Model *m, int64_t persistent, int64_t sets, int64_t channels) {
    const int64_t D = m->config.width, H = m->config.heads, n = D / H, rows = persistent + SHOWN,
                  columns = H * sets * (channels + 2);
    int32_t tokens[SHOWN_BATCH * SHOWN];
    float surprise[SHOWN_BATCH * SHOWN * 2], alpha[SHOWN_BATCH * SHOWN * 2], theta[SHOWN_BATCH * SHOWN * 2];
    double *u = oracle_zeros(rows * D), *k = oracle_zeros(rows * D), *v = oracle_zeros(rows * D),
           *w = oracle_zeros(D * columns), *z = oracle_zeros(columns), *bias = oracle_zeros(columns),
           worst = 0;
    const Parameter *start = parameter_named(m, "layer.0.mixer.m0");
    double *weights = oracle_zeros(parameter_count(start));
    const titans_model library = library_model(m);
    titans_stream *stream = stream_new(&library, SHOWN_BATCH, SHOWN);
    titans_error error;
    random_tokens(SHOWN_BATCH * SHOWN, 3, tokens);
    const titans_input input = {
        .tokens = tokens, .count = SHOWN, .surprise = surprise, .alpha = alpha, .theta = theta};
    cr_assert(H == 2 && !titans_read_input(stream, &input, &error));
    parameter_to(m, "layer.0.mixer.w_gates", w);
    parameter_to(m, "layer.0.mixer.b_gates", bias);
    parameter_to(m, "layer.0.mixer.m0", weights);
    for (int64_t b = 0; b < SHOWN_BATCH; b++) {
        shown_inputs(m, tokens + b * SHOWN, persistent, u);
        shown_branch(m, rows, 3, u, "layer.0.mixer.wk", "layer.0.mixer.conv_k", "conv_silu_l2", k);
        shown_branch(m, rows, 3, u, "layer.0.mixer.wv", "layer.0.mixer.conv_v", "conv_silu", v);
        for (int64_t i = 0; i < SHOWN * H; i++) {
            const int64_t row = persistent + i / H, h = i % H, at = b * SHOWN * H + i;
            for (int64_t j = 0; j < columns; j++) {
                z[j] = bias[j];
                for (int64_t d = 0; d < D; d++) z[j] += u[row * D + d] * w[d * columns + j];
            }
            const double want[] = {
                shown_surprise(m, weights + h * start->cols, k + row * D + h * n, v + row * D + h * n),
                mean_gate(z + h * sets * channels, sets * channels),
                0.1 * mean_gate(z + H * sets * channels + h * sets, sets)};
            const float got[] = {surprise[at], alpha[at], theta[at]};
            for (int x = 0; x < 3; x++) {
                const double ratio =
                    fabs((double)got[x] - want[x]) / (64 * 0x1p-24 * (x < 2 ? fmax(1, want[x]) : 0.1));
                cr_assert(ratio <= 1, "member %ld, token %ld, head %ld: number %d is %.9g, want %.9g", b,
                          i / H, h, x, (double)got[x], want[x]);
                worst = fmax(worst, ratio);
            }
        }
    }
    titans_stream_free(stream);
    double *const all[] = {u, k, v, w, z, bias, weights};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    return worst;
}

Test(model, a_stream_shows_what_the_equations_say) {
    static const struct {
        const char *more;
        int64_t persistent, sets, channels;
    } shown[] = {{"persistent=0", 0, 1, 1},
                 {"persistent=2", 2, 1, 1},
                 {"persistent=2 gates_per_layer=1 channelwise=1", 2, 2, 6}};
    double worst = 0;
    for (int i = 0; i < 3; i++) {
        char more[128], message[256];
        uint64_t state = 9;
        Model m;
        snprintf(more, sizeof more, "layers=1 chunk=32 %s", shown[i].more);
        const Config c = settings("lmm", every, more).model;
        cr_assert(!model_create(&m, &c, 5, message, sizeof message), "%s", message);
        for (int64_t j = 0; j < m.list.floats; j++) m.weights[j] += (float)(0.5 * uniform(&state) - 0.25);
        worst = fmax(worst, check_shown(&m, shown[i].persistent, shown[i].sets, shown[i].channels));
        model_free(&m);
    }
    ledger_record("model", "what a stream shows", 3 * 3 * SHOWN_BATCH * SHOWN * 2, worst);
}
