/* Golden vectors: `titans golden write FOLDER` makes them, `titans golden check FILE` judges someone else's
 * numbers. */
#include "command/command.h"
#include "terminal/options.h"
#include "golden/golden.h"

#include <argp.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    const char *verb, *path, *folder, *only;
} GoldenOptions;

enum { OPTION_ONLY = 256 };
static const struct argp_option options[] = {
    {"dir", 'd', "FOLDER", 0,
     "where the golden files are (default: results/golden, here or beside the program)", 0},
    {"only", OPTION_ONLY, "WORDS", 0, "judge no more than these cases, kinds or tensors: tc0001,out,grad/k",
     0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    GoldenOptions *o = state->input;
    switch (key) {
    case 'd':
        o->folder = arg;
        break;
    case OPTION_ONLY:
        o->only = arg;
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

/* results/golden from here or from where the program was built. */
static const char *default_folder(void) {
    static char folder[PATH_MAX + 64];
    char self[PATH_MAX] = "";
    const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (!access("results/golden", R_OK) || n <= 0) return "results/golden";
    self[n] = 0;
    snprintf(folder, sizeof folder, "%s/../results/golden", dirname(self));
    return folder;
}

static int check(const GoldenOptions *o, char *message, size_t size) {
    GoldenTotals t;
    const int status =
        golden_check(o->folder ? o->folder : default_folder(), o->path, o->only, &t, message, size);
    if (t.cases || t.unjudged)
        printf("%lld cases, %lld failed; %lld tensors judged, %lld not judged\n", (long long)t.cases,
               (long long)t.failed, (long long)t.judged, (long long)t.unjudged);
    return status ? status : t.failed || t.unjudged;
}

static int run(int argc, char **argv) {
    const struct argp argp = {options,
                              parse,
                              "write FOLDER\ncheck FILE",
                              "Golden vectors.\vA file to check is a safetensors file whose metadata names "
                              "the \"family\" and whose "
                              "tensors are named like those of the golden file (tc0001/out/y, "
                              "tc0001/grad/k), in F64, F32, F16 or BF16. All "
                              "outputs and gradients of all cases of the family are wanted unless --only "
                              "says less. Exit code 1 when a case "
                              "fails or a tensor was not judged.\nExamples:\n  titans golden check "
                              "mine.safetensors\n  titans golden check mine.safetensors --only tc0001,out",
                              0,
                              0,
                              0};
    GoldenOptions o = {0};
    char message[MESSAGE] = "";
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &o);
    const int status = !strcmp(o.verb, "write") ? write_all(o.path, message, sizeof message)
                                                : check(&o, message, sizeof message);
    if (status < 0) say("titans golden", message);
    return status ? 1 : 0;
}

const Command command_golden = {"golden", "golden vectors: write them, or judge someone else's numbers", run};
