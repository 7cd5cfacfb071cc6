/* Surprise along one sequence: per layer and token the norm of the memory's gradient, and the gates, with the
 * needle's place: results/surprise.tsv. */
#include "bench.h"
#include "evaluate.h"
#include "model/checkpoint.h"
#include "options.h"
#include "tsv.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *file, *out;
    int64_t length, seed;
    double depth;
} SurpriseOptions;

static const struct argp_option options[] = {{"length", 'l', "N", 0, "tokens (default 512)", 0},
                                             {"seed", 's', "S", 0, "seed of the sample (default 1)", 0},
                                             {"depth", 'd', "D", 0, "place of the needle (default 0.4)", 0},
                                             {"out", 'o', "FILE", 0, "default results/surprise.tsv", 0},
                                             {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    SurpriseOptions *o = state->input;
    switch (key) {
    case 'l':
        o->length = option_integer("length", arg, 64, 1 << 24);
        break;
    case 's':
        o->seed = option_integer("seed", arg, 0, (int64_t)1 << 53);
        break;
    case 'd':
        o->depth = option_real("depth", arg, 0.0, 1.0);
        break;
    case 'o':
        o->out = arg;
        break;
    case ARGP_KEY_ARG:
        o->file = arg;
        break;
    case ARGP_KEY_END:
        if (!o->file) argp_error(state, "which checkpoint?");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static double head_mean(const float *x, int64_t t, int64_t heads) {
    double sum = 0.0;
    for (int64_t h = 0; h < heads; h++) sum += (double)x[t * heads + h];
    return sum / (double)heads;
}

/* One layer of one pass over the sample. */
static void show_layer(Model *m, const Sample *s, int layer, FILE *to) {
    Arena arena = {0};
    const int64_t H = m->config.heads, n = s->length;
    Probe probe = {layer, arena_zeros(&arena, n * H), arena_zeros(&arena, n * H), arena_zeros(&arena, n * H)};
    int32_t *tokens = arena_take(&arena, (size_t)n * sizeof *tokens);
    Tape tape = {&arena, 0, 0};
    State state;
    state_start(&state, m, 1, n);
    sample_read(s, 0, n, tokens, 0);
    const ModelInput input = {tokens, 1, n, 0, 0, 0.0f, &probe, 1};
    model_forward(&tape, m, &state, &input);
    for (int64_t t = 0; t < n; t++)
        fprintf(to, "%d\t%lld\t%d\t%.6g\t%.6g\t%.6g\t%d\n", layer, (long long)t, tokens[t],
                head_mean(probe.surprise, t, H), head_mean(probe.alpha, t, H), head_mean(probe.theta, t, H),
                t >= s->needle && t < s->needle + s->answer_length + 2);
    state_free(&state);
    arena_free(&arena);
}

static int run(int argc, char **argv) {
    const struct argp argp = {
        options, parse, "CHECKPOINT", "Gradient norm and gates of the memory along a sequence.", 0, 0, 0};
    SurpriseOptions o = {0, "results/surprise.tsv", 512, 1, 0.4};
    char message[1024], command[1024];
    Model model;
    TrainConfig train;
    Progress progress;
    Tsv tsv;
    Sample sample;
    tsv_command(command, sizeof command, argc, argv);
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &o);
    int status = checkpoint_load(o.file, &model, 0, &train, &progress, message, sizeof message);
    const Task *task = status ? 0 : task_find(train.task);
    if (!status && (!task || o.length < task->min_length || model.config.vocab < task->vocab ||
                    !model.mixer->memory_every)) {
        snprintf(message, sizeof message,
                 "%s has no memory to look into, or its task '%s' is not for this length", o.file,
                 train.task);
        status = -1;
    }
    if (!status) status = task->open(train.haystack, message, sizeof message);
    if (!status)
        status = tsv_open(&tsv, o.out, command, "layer\tposition\ttoken\tsurprise\talpha\ttheta\tneedle",
                          message, sizeof message);
    if (!status) {
        task->sample(evaluate_seed((uint64_t)o.seed), 0, o.length, o.depth, &sample);
        for (int layer = 0; layer < model.config.layers; layer += model.mixer->memory_every)
            show_layer(&model, &sample, layer, tsv.file);
        status = tsv_close(&tsv, message, sizeof message);
    }
    if (status) fprintf(stderr, "titans bench surprise: %s\n", message);
    model_free(&model);
    return status ? 1 : 0;
}

const Bench bench_surprise = {"surprise", "gradient norm and gates along a sequence, needle marked", run};
