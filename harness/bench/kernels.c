/* Every kernel against the roofline and its bar, with the goals it has to meet: kernels.tsv. */
#include "bench/bench.h"
#include "base/check.h"
#include "bench/kernel/kernel.h"
#include "terminal/options.h"
#include "terminal/tsv.h"

#include "kernel_benches.h"

#include <argp.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *out;
    int64_t rounds;
} KernelOptions;

static const struct argp_option options[] = {{"rounds", 'r', "N", 0, "samples of each median (default 7)", 0},
                                             {"out", 'o', "FILE", 0, "default kernels.tsv", 0},
                                             {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    KernelOptions *o = state->input;
    switch (key) {
    case 'r':
        o->rounds = option_integer("rounds", arg, 1, 31);
        break;
    case 'o':
        o->out = arg;
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", arg);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static int run(int argc, char **argv) {
    const struct argp argp = {options, parse, 0, "Kernels against FMA peak, bandwidth, OpenBLAS and naive C.",
                              0,       0,     0};
    KernelOptions o = {"kernels.tsv", 7};
    char message[1024], command[1024];
    Tsv tsv;
    tsv_command(command, sizeof command, argc, argv);
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &o);
    int status =
        tsv_open(&tsv, o.out, command,
                 "kernel\tisa\tthreads\tshape\tgflops\tpercent_of_peak\tbar_name\tratio_to_bar\tgoal\tmet",
                 message, sizeof message);
    if (!status) {
        KernelReport report = {.file = tsv.file, .rounds = (int)o.rounds};
        const int threads = omp_get_max_threads();
        for (int i = 0; kernel_benches[i]; i++) {
            omp_set_num_threads(kernel_benches[i]->one_thread ? 1 : threads);
            kernel_benches[i]->run(&report);
        }
        fprintf(tsv.file, "# largest drift of the FMA peak within one measurement: %.1f %%\n",
                100.0 * report.drift);
        status = tsv_close(&tsv, message, sizeof message);
    }
    if (status) fprintf(stderr, "titans bench kernels: %s\n", message);
    return status ? 1 : 0;
}

const Bench bench_kernels = {"kernels", "kernels against FMA peak, bandwidth, OpenBLAS and naive C", run};
