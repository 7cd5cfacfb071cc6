/* Every kernel against the roofline and its bar, with the goals it has to meet: kernels.tsv. */
#include "bench/bench.h"
#include "bench/shared/table.h"
#include "terminal/interrupt.h"
#include "base/check.h"
#include "base/work.h"
#include "bench/kernel/kernel.h"
#include "terminal/options.h"

#include "kernel_benches.h"

#include <argp.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    TableOptions table;
    int64_t rounds;
    const char *only; /* names, or NULL: all */
    int wrong;        /* rows whose result is not the reference's */
} KernelOptions;

enum { OPTION_ONLY = 256, NAME = 32 };

static const struct argp_option options[] = {
    {"rounds", 'r', "N", 0, "samples of each median (default 7)", 0},
    {"only", OPTION_ONLY, "A,B,..", 0, "no more than these families of rows: gemm, attend, memory, ..", 0},
    {0}};

/* Whether a list of names has this one. */
static int listed(const char *list, const char *name) {
    char word[NAME];
    while (option_word("only", &list, word, sizeof word))
        if (!strcmp(word, name)) return 1;
    return 0;
}

static void check_only(const char *list, struct argp_state *state) {
    char word[NAME], names[256] = "";
    for (int i = 0; kernel_benches[i]; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? "," : "",
                 kernel_benches[i]->name);
    while (option_word("only", &list, word, sizeof word))
        if (!listed(names, word)) argp_error(state, "--only: there is no '%s'; there are %s", word, names);
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    KernelOptions *o = state->input;
    switch (key) {
    case 'r':
        o->rounds = option_integer("rounds", arg, 1, 31);
        break;
    case OPTION_ONLY:
        check_only(arg, state);
        o->only = arg;
        break;
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->table;
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", arg);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static int measure(void *options, Tsv *table, char *message, size_t size) {
    (void)message, (void)size;
    KernelOptions *o = options;
    KernelReport report = {.file = table->file, .rounds = (int)o->rounds};
    const int threads = omp_get_max_threads();
    for (int i = 0; kernel_benches[i] && !interrupt_requested(); i++) {
        if (o->only && !listed(o->only, kernel_benches[i]->name)) continue;
        omp_set_num_threads(kernel_benches[i]->one_thread ? 1 : threads);
        const int before = work_begin(); /* as in a model: a kernel by itself has its caller's mode */
        kernel_benches[i]->run(&report);
        work_end(before);
    }
    fprintf(table->file, "# largest distance of the FMA peak's quartiles within one measurement: %.1f %%\n",
            100.0 * report.drift);
    o->wrong = report.wrong;
    return interrupt_requested();
}

static int run(int argc, char **argv) {
    static const TableWork work = {"kernels",
                                   "kernel\tisa\tthreads\tshape\tgflops\tpercent_of_peak\tbar_name\tratio_to_"
                                   "bar\tgoal\tmet\terror\tbound\tvalid",
                                   measure};
    const struct argp argp = {options,
                              parse,
                              0,
                              "Kernels against FMA peak, bandwidth, OpenBLAS and naive C."
                              "\vExamples:\n  titans bench kernels --rounds 3 -o kernels.tsv\n"
                              "  titans bench kernels --only gemm -o gemm.tsv",
                              table_children,
                              0,
                              0};
    KernelOptions o = {.table = {.out = "kernels.tsv"}, .rounds = 7};
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &o);
    const int status = table_run(&work, &o, &o.table, argc, argv);
    if (!o.wrong) return status;
    fprintf(stderr, "titans bench kernels: %d results are wrong: column valid of %s\n", o.wrong, o.table.out);
    return 1;
}

const Bench bench_kernels = {"kernels", "kernels against FMA peak, bandwidth, OpenBLAS and naive C", run};
