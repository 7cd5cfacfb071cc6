#include "command.h"
#include "data.h"
#include "model/checkpoint.h"
#include "task.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static error_t parse(int key, char *arg, struct argp_state *state) {
    const char **file = state->input;
    if (key != ARGP_KEY_ARG) return ARGP_ERR_UNKNOWN;
    if (*file) argp_error(state, "more than one file: '%s'", arg);
    *file = arg;
    return 0;
}

static void about_program(void) {
    char folder[2048];
    printf("instruction sets:");
    for (int i = 0; kernels_at(i); i++)
        printf(" %s%s", kernels_at(i)->isa,
               kernels_at(i) == K                 ? " (in use)"
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
    const struct argp argp = {0, parse, "[FILE]", "What this program can do, or what a checkpoint holds.",
                              0, 0,     0};
    const char *file = 0;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &file);
    if (file) return about_checkpoint(file);
    about_program();
    return 0;
}

const Command command_info = {"info", "what the program can do, or what a checkpoint holds", run};
