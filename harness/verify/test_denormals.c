/* Denormal numbers cost nothing: no thread that works for a mixer ever reads one as an operand, in streaming or in training, and
 * every thread has its caller's floating-point mode back when a call returns. */
#include "ledger.h"
#include "library/library.h"
#include "test_model.h"
#include "train/optimizer.h"

#include <omp.h>

#if defined __x86_64__
#include <xmmintrin.h>
/* Of MXCSR: the flags, and the one that an operand was denormal. */
enum { FLAGS = 0x3f, MET = 0x02 };
enum { PLAIN = 0x1f80, FLUSH_RESULTS = 0x8000, FLUSH_OPERANDS = 0x40 };
static unsigned long mode_now(void) { return _mm_getcsr() & ~(unsigned)FLAGS; }
static void mode_become(unsigned long mode) { _mm_setcsr((unsigned)mode); }
#else
enum { PLAIN = 0, FLUSH_RESULTS = 1 << 24, FLUSH_OPERANDS = 0 }; /* of FPCR */
static unsigned long mode_now(void) {
    unsigned long mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
static void mode_become(unsigned long mode) { __asm__ volatile("msr fpcr, %0" ::"r"(mode)); }
#endif

enum { SEQUENCE = 1 << 10, SEQUENCES = 2, ROWS = SEQUENCE * SEQUENCES };

/* A model of harness/recipe/speed.json, smaller. */
static int speed_model(int i, Model *m) {
    static Recipe recipe;
    char mixer[64], message[512];
    const char *const over[] = {mixer, "width=32", "heads=2", "layers=2", "ffn=32", "vocab=11"};
    if (!mixer_at(i)) return 0;
    snprintf(mixer, sizeof mixer, "mixer=%s", mixer_at(i)->name);
    cr_assert(!recipe_open(&recipe, "harness/recipe/speed.json", over, sizeof over / sizeof *over, 1, message,
                           sizeof message),
              "%s", message);
    cr_assert(!model_create(m, &recipe.model, 1, message, sizeof message), "%s", message);
    return 1;
}

static void train_once(Model *m) {
    static int32_t tokens[ROWS], rows[ROWS], best[ROWS];
    char message[256];
    const char *bad;
    Optimizer optimizer;
    Arena arena = {0};
    Tape tape = {&arena, 1, 0};
    const OptimizerOptions how = settings(m->mixer->name, "", "").optimizer;
    const ModelInput input = {
        .tokens = tokens, .batch = SEQUENCES, .count = SEQUENCE, .rows = rows, .row_count = ROWS};
    for (int32_t r = 0; r < ROWS; r++) rows[r] = r;
    random_tokens(ROWS, 2, tokens);
    cr_assert(!model_gradients(m, message, sizeof message), "%s", message);
    cr_assert(!optimizer_create(&optimizer, m, message, sizeof message), "%s", message);
    op_cross_entropy(&tape, model_forward(&tape, m, 0, &input), tokens, 1.0, best);
    tape_backward(&tape);
    optimizer_step(&optimizer, m, &how, 1e-5, &bad);
    cr_assert(!bad, "%s: %s is not finite", m->mixer->name, bad);
    optimizer_free(&optimizer);
    arena_free(&arena);
}

#if defined __x86_64__
static void forget_denormals(void) {
#pragma omp parallel
    _mm_setcsr(_mm_getcsr() & ~(unsigned)FLAGS);
}

/* How many of the threads have met a denormal number. */
static int threads_that_met_one(void) {
    int met = 0;
#pragma omp parallel reduction(+ : met)
    met += (_mm_getcsr() & MET) != 0;
    return met;
}

static void stream_all(Model *m) {
    enum { STREAM = 16 << 10, PART = 512 };
    static int32_t tokens[STREAM];
    float logits[VOCAB];
    titans_error error;
    const titans_model library = library_model(m);
    titans_stream *stream = stream_new(&library, 1, STREAM);
    random_tokens(STREAM, 1, tokens);
    for (int64_t at = 0; at < STREAM; at += PART)
        cr_assert(!titans_read(stream, tokens + at, PART, logits, &error), "%s", error.message);
    titans_stream_free(stream);
}

Test(denormals, cost_nothing_in_any_thread_of_any_mixer) {
    int64_t checks = 0;
    Model m;
    for (int threads = 1; threads <= 2; threads++)
        for (int i = 0; omp_set_num_threads(threads), speed_model(i, &m); i++) {
            forget_denormals();
            stream_all(&m);
            cr_assert(!threads_that_met_one(), "%s: %d of %d threads met denormal numbers while streaming",
                      m.mixer->name, threads_that_met_one(), threads);
            train_once(&m);
            cr_assert(!threads_that_met_one(), "%s: %d of %d threads met denormal numbers in a training step",
                      m.mixer->name, threads_that_met_one(), threads);
            model_free(&m);
            checks += 2 * threads;
        }
    ledger_record("denormals", "cost nothing", checks, 0);
}
#else
Test(denormals, cost_nothing_in_any_thread_of_any_mixer) {
    cr_skip_test("only x86 has a flag for operands that are denormal and not flushed");
}
#endif

/* Modes as a caller may have them: this thread's, and that of the threads which share its work. */
static const unsigned long modes[][2] = {
    {PLAIN, PLAIN},
    {PLAIN | FLUSH_RESULTS, PLAIN},
    {PLAIN, PLAIN | FLUSH_OPERANDS},
    {PLAIN | FLUSH_RESULTS | FLUSH_OPERANDS, PLAIN | FLUSH_RESULTS | FLUSH_OPERANDS}};
enum { MODES = sizeof modes / sizeof *modes };

static void modes_set(const unsigned long *mode) {
#pragma omp parallel
    mode_become(mode[omp_get_thread_num() > 0]);
}

/* Are they as they were set, in every thread? Then 1 check is counted. */
static void modes_expect(const unsigned long *mode, const char *after, int64_t *checks) {
    int changed = 0;
#pragma omp parallel reduction(+ : changed)
    changed += mode_now() != mode[omp_get_thread_num() > 0];
    cr_assert(!changed, "%d of %d threads have another mode after %s", changed, omp_get_max_threads(), after);
    ++*checks;
}

/* Memory from malloc, until `left` pieces have been given. */
static void *pieces_allocate(void *context, size_t bytes) {
    int64_t *left = context;
    return (*left)-- > 0 ? aligned_alloc(64, (bytes + 63) / 64 * 64) : 0;
}
static void pieces_release(void *context, void *memory) {
    (void)context;
    free(memory);
}

static const char trained[] = "results/checkpoints/lmm-passkey-s0.safetensors";

/* Every public function that computes, then a call that memory is refused to on its way. */
static void streams_keep_modes(const unsigned long *mode, int64_t *checks) {
    enum { COUNT = 96, MOST = 256 };
    int32_t tokens[COUNT];
    float logits[MOST];
    int64_t left = INT64_MAX;
    titans_error error;
    const titans_options options = {pieces_allocate, pieces_release, &left, 0};
    random_tokens(COUNT, 1, tokens);
    modes_set(mode);
    titans_model *model = titans_model_open(trained, &options, &error);
    cr_assert(model && titans_model_number(model, "vocab") <= MOST, "%s", error.message);
    modes_expect(mode, "titans_model_open", checks);
    titans_stream *stream = titans_stream_new(model, 0, &error);
    cr_assert(stream != NULL, "%s", error.message);
    modes_expect(mode, "titans_stream_new", checks);
    cr_assert(!titans_read(stream, tokens, COUNT, logits, &error), "%s", error.message);
    modes_expect(mode, "titans_read", checks);
    cr_assert(!titans_read_input(stream, &(titans_input){.tokens = tokens, .count = COUNT}, &error));
    modes_expect(mode, "titans_read_input", checks);
    titans_stream_free(stream);
    stream = titans_stream_new(model, 0, &error);
    left = 0;
    cr_assert(titans_read(stream, tokens, COUNT, logits, &error) == TITANS_NO_MEMORY);
    modes_expect(mode, "titans_read without memory", checks);
    titans_stream_free(stream);
    titans_model_close(model);
}

static void memories_keep_modes(const unsigned long *mode, int64_t *checks) {
    enum { HEADS = 2, WIDTH = 8, COUNT = 24 };
    const titans_memory_shape shape = {.heads = HEADS, .key_width = WIDTH, .value_width = WIDTH, .chunk = 8};
    static float k[COUNT * HEADS * WIDTH], y[COUNT * HEADS * WIDTH], gates[COUNT * HEADS];
    int64_t left = INT64_MAX;
    titans_error error;
    for (int i = 0; i < COUNT * HEADS * WIDTH; i++) k[i] = 0x1p-70f * (float)(i % 7);
    for (int i = 0; i < COUNT * HEADS; i++) gates[i] = 0.5f;
    const titans_tokens tokens = {.k = k, .v = k, .q = k, .alpha = gates, .theta = gates, .eta = gates};
    const titans_options options = {pieces_allocate, pieces_release, &left, 0};
    modes_set(mode);
    titans_memory *memory = titans_memory_new(&shape, 0, &options, &error);
    titans_tokens some = tokens;
    some.count = COUNT, some.y = y;
    cr_assert(memory && !titans_memory_write(memory, &some, &error), "%s", error.message);
    modes_expect(mode, "titans_memory_write", checks);
    cr_assert(!titans_memory_read(memory, k, COUNT, y, &error), "%s", error.message);
    modes_expect(mode, "titans_memory_read", checks);
    titans_memory_free(memory);
    memory = titans_memory_new(&shape, 0, &options, &error);
    left = 0;
    cr_assert(titans_memory_write(memory, &some, &error) == TITANS_NO_MEMORY);
    modes_expect(mode, "titans_memory_write without memory", checks);
    titans_memory_free(memory);
}

Test(denormals, leave_the_mode_of_every_thread_as_it_was) {
    const ShareSource system = share_source;
    int64_t checks = 0;
    Model m;
    for (int threads = 1; threads <= 3; threads++)
        for (int i = 0; i < 2 * MODES; i++) {
            const unsigned long *mode = modes[i % MODES];
            /* Where two of three share a product, OpenMP makes the third anew, in the mode of this one. */
            if (threads > 2 && mode[0] != mode[1]) continue;
            share_source = i < MODES ? system : restless;
            omp_set_num_threads(threads);
            streams_keep_modes(mode, &checks);
            memories_keep_modes(mode, &checks);
            cr_assert(speed_model(0, &m));
            modes_set(mode);
            train_once(&m);
            modes_expect(mode, "a training step", &checks);
            model_free(&m);
        }
    ledger_record("denormals", "mode of the caller", checks, 0);
}
