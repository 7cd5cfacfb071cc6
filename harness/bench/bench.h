#pragma once
/* One measurement = one file in harness/bench/ that defines `const Bench bench_NAME`; `titans bench NAME`
 * runs it and writes results/NAME.tsv. Arguments and exit codes as for commands. */
typedef struct {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
} Bench;
