#pragma once
#include "bench/shared/needles.h"
#include "learn/sweep.h"

/* What a sweep asks its models: the list "ask" of its file. Each entry is an object,
 *   {"table": "needle", "models": "lmm-*,mac-*", "lengths": "256,4K", "samples": 40, "limit": "16K",
 *    "set": {"rope_scaling": "yarn"}}
 * with the options of `titans bench needle` as keys; several may add to one table. A job is an entry and a model: its rows
 * are kept in FOLDER/TABLE/NAME-sSEED-ENTRY.tsv, all of them make FOLDER/TABLE.tsv. */
typedef struct {
    char table[64], models[512]; /* models: patterns of names, "" for all */
    char task[64], haystack[4096], words[64], side[64], lengths[512], limit[32], set[NEEDLES_KEYS][64];
    int sets;
    Needles needles; /* without a checkpoint; its texts are those above */
    int64_t longest; /* "limit" */
} AskEntry;

typedef struct {
    const AskEntry *entry;
    const SweepJob *model;
    char *table, *claim; /* paths */
    int64_t tokens;
    int done, failed; /* as this process has seen it */
} AskJob;

typedef struct {
    AskEntry *entries;
    AskJob *jobs;
    int entry_count, count;
    int64_t room; /* jobs that there is memory for */
} Ask;

/* Reads the file's list, which may be missing, and makes the tables' folders; limit: the longest sequence that is asked at
 * all. 0, or -1 with a message. */
int ask_open(Ask *ask, const char *path, const Sweep *sweep, int64_t limit, char *message, size_t size);
void ask_close(Ask *ask);

/* The rows that the job's table has not yet; argc, argv: for its header; after, context: as Needles. 0, 1 interrupted, or
 * -1 with a message. */
int ask_run(const AskJob *job, int argc, char **argv,
            void (*after)(void *context, const char *line, int64_t tokens), void *context, char *message,
            size_t size);

/* FOLDER/TABLE.tsv for every table, of the rows that are there. 0, or -1 with a message. */
int ask_gather(const Ask *ask, const char *folder, int argc, char **argv, char *message, size_t size);
