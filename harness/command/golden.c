/* Golden vectors: `titans golden write FOLDER` makes them, `titans golden check FILE` judges someone else's
 * numbers. */
#include "command/command.h"
#include "golden/golden.h"

#include <argp.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    const char *verb, *path, *folder;
} GoldenOptions;

static const struct argp_option options[] = {
    {"dir", 'd', "FOLDER", 0, "where the golden files are (default results/golden)", 0}, {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    GoldenOptions *o = state->input;
    switch (key) {
    case 'd':
        o->folder = arg;
        break;
    case ARGP_KEY_ARG:
        if (!o->verb)
            o->verb = arg;
        else if (!o->path)
            o->path = arg;
        else
            argp_error(state, "unexpected argument '%s'", arg);
        break;
    case ARGP_KEY_END:
        if (!o->verb || (strcmp(o->verb, "write") && strcmp(o->verb, "check")))
            argp_error(state, "write FOLDER, or check FILE?");
        if (!o->path) argp_error(state, "%s what?", o->verb);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static int write_all(const char *folder, char *message, size_t size) {
    int64_t cases = 0, gradients = 0;
    for (int i = 0; golden_family(i); i++) {
        if (golden_write(folder, golden_family(i), &cases, &gradients, message, size)) return -1;
        fprintf(stderr, "golden: %s\n", golden_family(i));
    }
    printf("%lld cases, %lld gradients in %s\n", (long long)cases, (long long)gradients, folder);
    return 0;
}

static int run(int argc, char **argv) {
    const struct argp argp = {
        options,
        parse,
        "write FOLDER\ncheck FILE",
        "Golden vectors.\vA file to check is a safetensors file whose metadata names the \"family\" and "
        "whose "
        "tensors are named like those of the golden file (tc0001/out/y, tc0001/grad/k), any subset, in F64, "
        "F32, F16 or BF16. Exit code 1 when a case fails.",
        0,
        0,
        0};
    GoldenOptions o = {.folder = "results/golden"};
    char message[1024] = "";
    int64_t cases = 0;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &o);
    int failed = !strcmp(o.verb, "write") ? write_all(o.path, message, sizeof message)
                                          : golden_check(o.folder, o.path, &cases, message, sizeof message);
    if (failed < 0) fprintf(stderr, "titans golden: %s\n", message);
    if (failed >= 0 && !strcmp(o.verb, "check")) printf("%lld cases, %d failed\n", (long long)cases, failed);
    return failed ? 1 : 0;
}

const Command command_golden = {"golden", "golden vectors: write them, or judge someone else's numbers", run};
