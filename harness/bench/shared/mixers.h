#pragma once
#include "bench/shared/step.h"
#include "bench/shared/table.h"
#include "bench/shared/timing.h"
#include "library/library.h"

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

/* One mixer at work, `tokens` tokens at a time: reading a stream, and in training. */
typedef struct {
    Step step;
    titans_model model;
    int64_t tokens;
    int failed;
} MixerWork;

/* 0, or -1 with a message. */
int mixer_work_open(MixerWork *w, const MixersOptions *o, const char *mixer, int64_t tokens, char *message,
                    size_t size);
Work mixer_work_reading(MixerWork *w);
Work mixer_work_training(MixerWork *w);

/* 0, or -1 with a message if any of the work failed or gave numbers that are not finite. */
int mixer_work_close(MixerWork *w, const char *mixer, char *message, size_t size);
