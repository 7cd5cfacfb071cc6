#include "command/command.h"
#include "task/shared/data.h"
#include "file/checkpoint.h"
#include "task/task.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *file, *config;
} InfoOptions;

static const struct argp_option options[] = {
    {"config", 'c', "FILE", 0, "number of weights that a configuration makes, for every mixer", 0}, {0}};

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

static int about_config(const char *path) {
    Config config;
    TrainConfig train;
    char message[1024];
    config_defaults(&config, &train);
    config.vocab = 256;
    if (config_from_file(path, &config, &train, message, sizeof message)) {
        fprintf(stderr, "titans info: %s\n", message);
        return 1;
    }
    printf("%lld blocks x %lld x %lld heads, %lld tokens\n", (long long)config.layers,
           (long long)config.width, (long long)config.heads, (long long)config.vocab);
    for (int i = 0; mixer_at(i); i++) {
        int64_t weights;
        snprintf(config.mixer, sizeof config.mixer, "%s", mixer_at(i)->name);
        if (model_count(&config, &weights, message, sizeof message))
            printf("  %-10s %s\n", config.mixer, message);
        else
            printf("  %-10s %12lld weights, %.2f GiB\n", config.mixer, (long long)weights,
                   (double)weights * sizeof(float) / (1 << 30));
    }
    return 0;
}

static void about_program(void) {
    char folder[2048];
    printf("instruction sets:");
    for (int i = 0; kernels_at(i); i++)
        printf(" %s%s", kernels_at(i)->isa,
               kernels_at(i) == kernel               ? " (in use)"
               : kernels_supported(kernels_at(i)) ? ""
                                                  : " (not on this CPU)");
    printf("\ndata folder: %s\n\nmixers:\n", data_folder(folder, sizeof folder));
    for (int i = 0; mixer_at(i); i++) printf("  %-10s %s\n", mixer_at(i)->name, mixer_at(i)->summary);
    printf("\ntasks:\n");
    for (int i = 0; task_at(i); i++) printf("  %-10s %s\n", task_at(i)->name, task_at(i)->summary);
}

static int about_checkpoint(const char *path) {
    Model model;
    TrainConfig train;
    Progress progress;
    char message[1024];
    if (checkpoint_load(path, &model, 0, &train, &progress, message, sizeof message)) {
        fprintf(stderr, "titans info: %s\n", message);
        return 1;
    }
    char *config_text = config_to_json(&model.config, 0), *train_text = config_to_json(0, &train);
    printf("%s\nweights: %lld\nsteps: %lld\nrecent exact match: %.3f\nmodel: %s\ntraining: %s\n\n", path,
           (long long)model.list.floats, (long long)progress.step, progress.match, config_text, train_text);
    for (int i = 0; i < model.list.count; i++) {
        const Parameter *p = &model.list.items[i];
        printf("  %-24s %6lld x %-6lld\n", p->name, (long long)p->rows, (long long)p->cols);
    }
    free(config_text);
    free(train_text);
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
