#include "command/command.h"
#include "terminal/options.h"
#include "task/shared/data.h"
#include "file/checkpoint.h"
#include "learn/recipe.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *file, *config;
} InfoOptions;

static const struct argp_option options[] = {
    {"config", 'c', "FILE", 0, "weights, state and costs that a configuration makes, for every mixer", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    InfoOptions *o = state->input;
    switch (key) {
    case 'c':
        o->config = arg;
        break;
    case ARGP_KEY_ARG:
        if (o->file) argp_error(state, "more than one file: '%s'", arg);
        o->file = arg;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* What a configuration makes of one mixer: weights, and costs of a token when `context` tokens went before. */
static void about_mixer(const char *path, const char *mixer) {
    enum { CONTEXT = 4096 };
    static Recipe recipe;
    char message[MESSAGE], name[64];
    const char *const over[] = {name};
    Model model = {.list = {0}};
    snprintf(name, sizeof name, "mixer=%s", mixer);
    if (recipe_open(&recipe, path, over, 1, 1, message, sizeof message)) {
        printf("  %-12s %s\n", mixer, message);
        return;
    }
    if (!recipe.model.vocab) recipe.model.vocab = recipe.task->vocab;
    int64_t weights;
    if (config_settle(&recipe.model, message, sizeof message) ||
        model_count(&recipe.model, &weights, message, sizeof message)) {
        printf("  %-12s %s\n", mixer, message);
        return;
    }
    model.config = recipe.model, model.mixer = recipe.model.mixer;
    double bytes = 0.0;
    for (int layer = 0; layer < model.config.layers; layer++)
        bytes += model.mixer->bytes(&model.config, layer, CONTEXT);
    printf("  %-12s %12lld weights, %.3g Mflop a token, state %.3g MiB, of which a token moves %.3g\n", mixer,
           (long long)weights, model_flops(&model, CONTEXT, 1) * 1e-6,
           (double)model_state_floats(&model, CONTEXT) * sizeof(float) / (1 << 20), bytes / (1 << 20));
}

static int about_config(const char *path) {
    static Recipe recipe;
    char message[MESSAGE];
    if (recipe_open(&recipe, path, 0, 0, 1, message, sizeof message)) {
        say("titans info", message);
        return 1;
    }
    const Config *c = &recipe.model;
    printf("%lld blocks x %lld x %lld heads, %lld tokens; costs after 4096 tokens\n", (long long)c->layers,
           (long long)c->width, (long long)c->heads, (long long)(c->vocab ? c->vocab : recipe.task->vocab));
    for (int i = 0; mixer_at(i); i++) about_mixer(path, mixer_at(i)->name);
    return 0;
}

static void about_program(void) {
    printf("instruction sets:");
    for (int i = 0; kernels_at(i); i++)
        printf(" %s%s", kernels_at(i)->isa,
               kernels_at(i) == kernel            ? " (in use)"
               : kernels_supported(kernels_at(i)) ? ""
                                                  : " (not on this CPU)");
    printf("\ndata folder: %s\n\nmixers:\n", data_folder());
    for (int i = 0; mixer_at(i); i++) printf("  %-10s %s\n", mixer_at(i)->name, mixer_at(i)->summary);
    printf("\ntasks:\n");
    for (int i = 0; task_at(i); i++) printf("  %-10s %s\n", task_at(i)->name, task_at(i)->summary);
}

static int about_checkpoint(const char *path) {
    Model model;
    Progress progress;
    char message[MESSAGE], *train;
    if (checkpoint_load(path, 0, &model, 0, &train, &progress, message, sizeof message)) {
        say("titans info", message);
        return 1;
    }
    char *config = settings_of_model(&model.config);
    printf("%s\nweights: %lld\nsteps: %lld\nrecent exact match: %.3f\nmodel: %s\ntraining: %s\n\n", path,
           (long long)model.list.floats, (long long)progress.step, progress.match, config, train);
    for (int i = 0; i < model.list.count; i++) {
        const Parameter *p = &model.list.items[i];
        printf("  %-24s %6lld x %-6lld\n", p->name, (long long)p->rows, (long long)p->cols);
    }
    free(config);
    free(train);
    model_free(&model);
    return 0;
}

static int run(int argc, char **argv) {
    const struct argp argp = {
        options, parse, "[FILE]", "What this program can do, or what a checkpoint holds.", 0, 0, 0};
    InfoOptions o = {0};
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &o);
    if (o.config) return about_config(o.config);
    if (o.file) return about_checkpoint(o.file);
    about_program();
    return 0;
}

const Command command_info = {"info", "what the program can do, or what a checkpoint holds", run};
