#pragma once
#include "file/output.h"

/* A results file: `#` lines naming machine, instruction set, threads, compiler, commit and command, then a
 * header row. Written as file/output.h does: PATH is never half a file. */
typedef struct {
    FILE *file;
    Output output;
    char *path;
} Tsv;

/* What becomes of a table that is there: refused, written anew, or gone on with (tsv_keep). */
typedef enum { TSV_NEW, TSV_FORCE, TSV_RESUME } TsvMode;

/* Says that the table will be written, and opens it. 0, or -1 with a message. */
int tsv_open(Tsv *tsv, const char *path, TsvMode mode, int argc, char **argv, const char *columns,
             char *message, size_t size);

/* Copies the rows that an earlier run left at the same path, as long as the number in column `key` (from 0)
 * is at most `last`. Nothing when there is no such file. */
void tsv_keep(Tsv *tsv, int key, double last);

/* A text as one cell: tabs, line ends and backslashes as \t, \n, \r, \\. */
void tsv_text(FILE *to, const char *text);

/* The rows so far become the file, to which more are added: a killed process loses only what came after. 0, or -1 with a
 * message. */
int tsv_save(Tsv *tsv, char *message, size_t size);

void tsv_discard(Tsv *tsv); /* leaves the file at `path` as it was */
int tsv_close(Tsv *tsv, char *message, size_t size);

/* Closes what went well (status 0) or was stopped after it had rows (1), and discards what did not: no half table,
 * no temporary file stays. */
int tsv_end(Tsv *tsv, int status, char *message, size_t size);
