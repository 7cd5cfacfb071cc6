#include "bench/shared/inside.h"
#include "terminal/files.h"
#include "terminal/options.h"

#include <argp.h>
#include <stdio.h>

enum { OPTION_SAMPLES = 256 };
static const struct argp_option options[] = {{"length", 'l', "N", 0, "tokens of a sample", 0},
                                             {"samples", OPTION_SAMPLES, "N", 0, "how many samples", 0},
                                             {"seed", 's', "S", 0, "seed of the samples (default 1)", 0},
                                             {0}};

typedef struct {
    const InsideBench *bench;
    InsideOptions *o;
} Inside;

static error_t parse(int key, char *arg, struct argp_state *state) {
    const Inside *inside = state->input;
    InsideOptions *o = inside->o;
    switch (key) {
    case 'l':
        o->length = option_integer("length", arg, 64, inside->bench->longest);
        break;
    case OPTION_SAMPLES:
        o->samples = option_integer("samples", arg, 1, 100000);
        break;
    case 's':
        o->seed = option_integer("seed", arg, 0, (int64_t)1 << 53);
        break;
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->table;
        state->child_inputs[1] = &o->asked;
        break;
    case ARGP_KEY_ARG:
        if (o->count == INSIDE_FILES) argp_error(state, "more than %d checkpoints", INSIDE_FILES);
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

static int look_into(const Inside *inside, const char *file, Tsv *table, char *message, size_t size) {
    static Trained t;
    int status = -1;
    if (trained_open(&t, file, &inside->o->asked, inside->o->length, message, size)) return -1;
    if (t.model.mixer->memory_every) {
        table_sources(table, file, &t.task);
        status = inside->bench->look(inside->o, &t, file, table->file, message, size);
    } else {
        snprintf(message, size, "%s has no memory to look into", file);
    }
    trained_close(&t);
    return status;
}

static int measure(void *own, Tsv *table, char *message, size_t size) {
    const Inside *inside = own;
    const InsideOptions *o = inside->o;
    int status = 0;
    for (int i = 0; !status && i < o->count; i++) status = files_reads(o->files[i], message, size);
    for (int i = 0; !status && i < o->count; i++)
        status = look_into(inside, o->files[i], table, message, size);
    return status;
}

int inside_run(const InsideBench *bench, InsideOptions *o, int argc, char **argv) {
    const TableWork work = {bench->name, bench->columns, measure};
    const struct argp argp = {options, parse, "CHECKPOINT ...", bench->help, asked_children, 0, 0};
    Inside inside = {bench, o};
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &inside);
    return table_run(&work, &inside, &o->table, argc, argv);
}
