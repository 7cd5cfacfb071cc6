#pragma once
#include "learn/asked.h"
#include "terminal/options.h"
#include "terminal/tsv.h"

#include <argp.h>

/* What every measurement shares: the table that it writes, and how it ends. */
typedef struct {
    const char *out;
    int force, resume;
} TableOptions;

/* An argp child that reads --out and --force, for children of {&table_argp}; the parent gives it its TableOptions at
 * ARGP_KEY_INIT: state->child_inputs[0] = .. */
extern const struct argp table_argp;
extern const struct argp_child table_children[];

/* The same and behind it asked_argp, for benches that ask checkpoints. */
extern const struct argp_child asked_children[];

/* One measurement: its name, argument list and columns; rows are added by `measure` with the measurement's own options.
 * It returns 0, 1 when it was interrupted after a row (interrupt_requested), or -1 with a message. */
typedef struct {
    const char *name, *columns;
    int (*measure)(void *options, Tsv *table, char *message, size_t size);
} TableWork;

/* A line "# WHAT FILE: TEXT"; none where text is NULL. */
void table_note(const Tsv *table, const char *what, const char *file, const char *text);

/* Lines of the prose and the words of a task, with their hashes. */
void table_sources(const Tsv *table, const char *file, const OpenTask *task);

/* Opens the table, measures, closes it or discards it; the exit code. Rows that were measured before an interrupt are
 * kept. */
int table_run(const TableWork *work, void *options, const TableOptions *table, int argc, char **argv);
