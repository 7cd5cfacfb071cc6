/* Surprise along one sequence: per layer and token the norm of the memory's gradient, and the gates, with the
 * needle's place: results/surprise.tsv. */
#include "bench/bench.h"
#include "learn/evaluate.h"
#include "terminal/options.h"
#include "learn/trained.h"
#include "terminal/tsv.h"

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

static void show_layers(Model *m, const Sample *s, FILE *to) {
    Arena arena = {0};
    Tape tape = {&arena, 0, 0};
    State state;
    int probes;
    const int64_t n = s->length;
    Probe *probe = trained_probes(m, n, &arena, &probes);
    int32_t *tokens = arena_take(&arena, (size_t)n * sizeof *tokens);
    state_start(&state, m, 1, n);
    sample_read(s, 0, n, tokens, 0);
    const ModelInput input = {tokens, 1, n, 0, 0, 0.0f, probe, probes};
    model_forward(&tape, m, &state, &input);
    for (int i = 0; i < probes; i++)
        for (int64_t t = 0; t < n; t++)
            fprintf(to, "%d\t%lld\t%d\t%.6g\t%.6g\t%.6g\t%d\n", probe[i].layer, (long long)t, tokens[t],
                    trained_head_mean(m, probe[i].surprise, t), trained_head_mean(m, probe[i].alpha, t),
                    trained_head_mean(m, probe[i].theta, t),
                    t >= s->needle && t < s->needle + s->answer_length + 2);
    state_free(&state);
    arena_free(&arena);
}

static int run(int argc, char **argv) {
    const struct argp argp = {
        options, parse, "CHECKPOINT", "Gradient norm and gates of the memory along a sequence.", 0, 0, 0};
    SurpriseOptions o = {0, "results/surprise.tsv", 512, 1, 0.4};
    char message[1024], command[1024];
    Trained t;
    Tsv tsv;
    Sample sample;
    tsv_command(command, sizeof command, argc, argv);
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &o);
    int status = trained_open(&t, o.file, 0, 0, o.length, message, sizeof message);
    if (!status) {
        if (!t.model.mixer->memory_every) {
            snprintf(message, sizeof message, "%s has no memory to look into", o.file);
            status = -1;
        } else
            status = tsv_open(&tsv, o.out, command, "layer\tposition\ttoken\tsurprise\talpha\ttheta\tneedle",
                              message, sizeof message);
        if (!status) {
            t.task->sample(evaluate_seed((uint64_t)o.seed), 0, o.length, o.depth, &sample);
            show_layers(&t.model, &sample, tsv.file);
            status = tsv_close(&tsv, message, sizeof message);
        }
        model_free(&t.model);
    }
    if (status) fprintf(stderr, "titans bench surprise: %s\n", message);
    return status ? 1 : 0;
}

const Bench bench_surprise = {"surprise", "gradient norm and gates along a sequence, needle marked", run};
