#pragma once
#include "bench/shared/table.h"

/* Measurements of one configuration with each mixer: which mixers, what configuration, how many threads. */
typedef struct {
    const char *mixers, *config; /* NULL: all there are; defaults */
    int64_t threads;
} MixersOptions;

/* An argp child that reads --mixers, --config and --threads; children of {&table_argp}, {&mixers_argp}:
 * state->child_inputs[0] is a TableOptions, [1] a MixersOptions. */
extern const struct argp_child mixers_children[];

/* Measures one mixer: 0, 1 after an interrupt, or -1 with a message. */
typedef int MixerMeasure(const void *own, const char *mixer, FILE *to, char *message, size_t size);

/* All of them, until one does not return 0. */
int mixers_each(const MixersOptions *o, MixerMeasure *measure, const void *own, FILE *to, char *message,
                size_t size);
