#pragma once
#include <stdio.h>

/* A results file: `#` lines naming machine, instruction set, threads, compiler, commit and command, then a
 * header row. Written to PATH.tmp and renamed by tsv_close, so PATH is never half a file. */
typedef struct {
    FILE *file;
    char path[1024], temporary[1040];
} Tsv;

int tsv_open(Tsv *tsv, const char *path, const char *command, const char *columns, char *message,
             size_t size);

/* Copies the rows that an earlier run left at the same path, as long as the number in column `key` (from 0)
 * is at most `last`. Nothing when there is no such file. */
void tsv_keep(Tsv *tsv, int key, double last);

void tsv_discard(Tsv *tsv); /* leaves the file at `path` as it was */
int tsv_close(Tsv *tsv, char *message, size_t size);

/* Closes what went well (status 0) and discards what did not: no half table, no temporary file stays. */
int tsv_end(Tsv *tsv, int status, char *message, size_t size);

/* The command line as one string, for `command`. */
void tsv_command(char *text, size_t size, int argc, char **argv);
