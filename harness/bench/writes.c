/* How much a trained memory writes and forgets: tokens of a sample at which theta, or alpha, is above zero in a
 * layer, in the mean over samples: results/writes.tsv. What is written after the needle can overwrite it. */
#include "bench/bench.h"
#include "task/shared/data.h"
#include "learn/evaluate.h"
#include "terminal/options.h"
#include "learn/trained.h"
#include "terminal/tsv.h"

#include <argp.h>
#include <string.h>

enum { MOST = 64, SEGMENT = 512, MOST_LAYERS = 1024 };

typedef struct {
    const char *files[MOST], *out, *haystack;
    int64_t length, samples, seed;
    int count;
} WritesOptions;

enum { OPTION_SAMPLES = 256, OPTION_HAYSTACK };
static const struct argp_option options[] = {
    {"length", 'l', "N", 0, "tokens of a sample (default 16K)", 0},
    {"samples", OPTION_SAMPLES, "N", 0, "samples (default 8)", 0},
    {"haystack", OPTION_HAYSTACK, "FILE", 0, "text of the haystack, for tasks that take one", 0},
    {"seed", 's', "S", 0, "seed of the samples (default 1)", 0},
    {"out", 'o', "FILE", 0, "default results/writes.tsv", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    WritesOptions *o = state->input;
    switch (key) {
    case 'l':
        o->length = option_integer("length", arg, 64, (int64_t)1 << 40);
        break;
    case OPTION_SAMPLES:
        o->samples = option_integer("samples", arg, 1, 100000);
        break;
    case OPTION_HAYSTACK:
        o->haystack = arg;
        break;
    case 's':
        o->seed = option_integer("seed", arg, 0, (int64_t)1 << 53);
        break;
    case 'o':
        o->out = arg;
        break;
    case ARGP_KEY_ARG:
        if (o->count == MOST) argp_error(state, "more than %d checkpoints", MOST);
        o->files[o->count++] = arg;
        break;
    case ARGP_KEY_END:
        if (!o->count) argp_error(state, "which checkpoint?");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

typedef struct {
    int64_t written, forgotten;
} Count;

static void count_segment(Model *m, State *state, Arena *arena, const Sample *s, int64_t from,
                          Count *layers) {
    arena_reset(arena);
    Tape tape = {arena, 0, 0};
    int probes;
    const int64_t n = s->length - from < SEGMENT ? s->length - from : SEGMENT;
    Probe *probe = trained_probes(m, n, arena, &probes);
    int32_t *tokens = arena_take(arena, (size_t)n * sizeof *tokens);
    sample_read(s, from, n, tokens, 0);
    const ModelInput input = {tokens, 1, n, 0, 0, 0.0f, probe, probes};
    model_forward(&tape, m, state, &input);
    for (int i = 0; i < probes; i++)
        for (int64_t t = 0; t < n; t++) {
            layers[i].written += trained_head_mean(m, probe[i].theta, t) > 0.0;
            layers[i].forgotten += trained_head_mean(m, probe[i].alpha, t) > 0.0;
        }
}

static void count_samples(Trained *t, const WritesOptions *o, Count *layers) {
    Arena arena = {0};
    for (int64_t i = 0; i < o->samples; i++) {
        Sample sample;
        State state;
        const double depth = ((double)i + 0.5) / (double)o->samples;
        t->task->sample(evaluate_seed((uint64_t)o->seed), (uint64_t)i, o->length, depth, &sample);
        state_start(&state, &t->model, 1, t->model.mixer->uses_capacity ? sample.length : 0);
        for (int64_t from = 0; from < sample.length; from += SEGMENT)
            count_segment(&t->model, &state, &arena, &sample, from, layers);
        state_free(&state);
    }
    arena_free(&arena);
}

static void report(const WritesOptions *o, const Trained *t, const char *file, const Count *layers,
                   FILE *to) {
    const double n = (double)o->samples;
    for (int64_t i = 0, layer = 0; layer < t->model.config.layers;
         i++, layer += t->model.mixer->memory_every) {
        const double written = (double)layers[i].written / n, forgotten = (double)layers[i].forgotten / n;
        fprintf(to, "%s\t%s\t%lld\t%lld\t%lld\t%lld\t%.2f\t%.2f\t%s\n", t->model.config.mixer, t->task->name,
                (long long)t->train.seed, (long long)layer, (long long)o->length, (long long)o->samples,
                written, forgotten, file);
        fprintf(stderr,
                "writes: %-8s %-8s seed %lld layer %lld: %.2f of %lld tokens written, %.2f forgotten\n",
                t->model.config.mixer, t->task->name, (long long)t->train.seed, (long long)layer, written,
                (long long)o->length, forgotten);
    }
}

static int count_file(const WritesOptions *o, const char *file, FILE *to, char *message, size_t size) {
    Count layers[MOST_LAYERS] = {0};
    Trained t;
    int status = 0;
    if (trained_open(&t, file, 0, o->haystack, o->length, message, size)) return -1;
    if (t.model.mixer->memory_every) {
        if (t.task->takes_haystack) fprintf(to, "# prose of %s: %s\n", file, data_prose_origin());
        count_samples(&t, o, layers);
        report(o, &t, file, layers, to);
    } else {
        snprintf(message, size, "%s has no memory to look into", file);
        status = -1;
    }
    model_free(&t.model);
    return status;
}

static int run(int argc, char **argv) {
    const struct argp argp = {
        options, parse, "CHECKPOINT ...", "Tokens at which a trained memory writes and forgets.", 0, 0, 0};
    WritesOptions o = {.out = "results/writes.tsv", .length = 16 << 10, .samples = 8, .seed = 1};
    char message[1024], command[4096];
    Tsv tsv;
    tsv_command(command, sizeof command, argc, argv);
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &o);
    int status = tsv_open(&tsv, o.out, command,
                          "mixer\ttask\ttrain_seed\tlayer\tlength\tsamples\twritten\tforgotten\tcheckpoint",
                          message, sizeof message);
    if (!status) {
        for (int i = 0; !status && i < o.count; i++)
            status = count_file(&o, o.files[i], tsv.file, message, sizeof message);
        status = tsv_end(&tsv, status, message, sizeof message);
    }
    if (status) fprintf(stderr, "titans bench writes: %s\n", message);
    return status ? 1 : 0;
}

const Bench bench_writes = {"writes", "tokens at which trained memories write and forget", run};
