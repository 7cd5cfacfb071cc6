/* A checkpoint without the optimizer's state: what is published. */
#include "command/command.h"
#include "terminal/options.h"
#include "file/checkpoint.h"
#include "terminal/files.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    const char *file, *out;
    int force;
} ExportOptions;

enum { OPTION_FORCE = 256 };
static const struct argp_option options[] = {{"out", 'o', "FILE", 0, "file to write", 0},
                                             {"force", OPTION_FORCE, 0, 0, "over a file that is there", 0},
                                             {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    ExportOptions *o = state->input;
    switch (key) {
    case 'o':
        o->out = arg;
        break;
    case OPTION_FORCE:
        o->force = 1;
        break;
    case ARGP_KEY_ARG:
        if (o->file) argp_error(state, "more than one checkpoint: '%s'", arg);
        o->file = arg;
        break;
    case ARGP_KEY_END:
        if (!o->file || !o->out) argp_error(state, "which checkpoint, and --out FILE?");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static int run(int argc, char **argv) {
    const struct argp argp = {options,
                              parse,
                              "CHECKPOINT",
                              "Write a checkpoint's weights without the optimizer's state."
                              "\vExamples:\n  titans export trained.safetensors --out weights.safetensors",
                              0,
                              0,
                              0};
    ExportOptions o = {0};
    char message[MESSAGE];
    Model model;
    Progress progress;
    char *train = 0;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &o);
    int status = files_reads(o.file, message, sizeof message) ||
                 files_writes(o.out, o.force ? FILES_REPLACE : FILES_NEW, message, sizeof message) ||
                 checkpoint_load(o.file, 0, &model, 0, &train, &progress, message, sizeof message);
    if (!status) {
        status = checkpoint_save(o.out, &model, 0, train, &progress, message, sizeof message);
        model_free(&model);
        free(train);
    }
    if (status) say("titans export", message);
    return status ? 1 : 0;
}

const Command command_export = {"export", "a checkpoint's weights without the optimizer's state", run};
