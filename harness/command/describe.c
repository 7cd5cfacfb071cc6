/* One equation in the terminal: formula, shapes, meaning, an example that runs. */
#include "command/command.h"
#include "equation/describe.h"
#include "equation/oracle.h"

#include <argp.h>
#include <stdio.h>

static error_t parse(int key, char *arg, struct argp_state *state) {
    const char **name = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (*name) argp_error(state, "more than one equation: '%s'", arg);
        *name = arg;
        break;
    case ARGP_KEY_END:
        if (!*name) argp_error(state, "which equation or mixer? (titans equation --list)");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* An equation by its name, a mixer by its own as well. */
static const Equation *find(const char *name) {
    char mixer[96];
    snprintf(mixer, sizeof mixer, "mixer_%s", name);
    const Equation *e = oracle_lookup(&reference_double, name);
    return e ? e : oracle_lookup(&reference_double, mixer);
}

static int run(int argc, char **argv) {
    const struct argp argp = {0,
                              parse,
                              "EQUATION",
                              "Formula, dimensions, tensors and meaning of an equation or a mixer, with an "
                              "example that runs.\vExamples:\n  titans describe memory_chunk\n  titans "
                              "describe mac\n  titans equation --list",
                              0,
                              0,
                              0};
    const char *name = NULL;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &name);
    const Equation *e = find(name);
    if (!e) {
        fprintf(stderr, "titans describe: no equation or mixer '%s' (titans equation --list)\n", name);
        return 1;
    }
    equation_describe(e, stdout);
    return 0;
}

const Command command_describe = {"describe", "formula, shapes and meaning of an equation or a mixer", run};
