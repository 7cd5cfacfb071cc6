#include "bench/shared/table.h"
#include "base/hash.h"
#include "base/share.h"
#include "terminal/interrupt.h"

#include <stdio.h>

enum { OPTION_FORCE = 1024 };
static const struct argp_option options[] = {{"out", 'o', "FILE", 0, "table to write (default: NAME.tsv)", 1},
                                             {"force", OPTION_FORCE, 0, 0, "over a table that is there", 1},
                                             {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    TableOptions *o = state->input;
    switch (key) {
    case 'o':
        o->out = arg;
        return 0;
    case OPTION_FORCE:
        o->force = 1;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp table_argp = {options, parse, 0, 0, 0, 0, 0};
const struct argp_child table_children[] = {{&table_argp, 0, 0, 0}, {0}};
const struct argp_child asked_children[] = {{&table_argp, 0, 0, 0}, {&asked_argp, 0, 0, 0}, {0}};

void table_note(const Tsv *table, const char *what, const char *file, const char *text) {
    if (!text) return;
    fprintf(table->file, "# %s ", what);
    tsv_text(table->file, file);
    fputs(": ", table->file);
    tsv_text(table->file, text);
    fputc('\n', table->file);
}

/* Where a row says two threads, fewer may have worked for a while. */
static void table_say_shared(const Tsv *table) {
    const double part = share_given_up();
    if (part < 0.005) return;
    fprintf(table->file, "# other processes used the machine: %.0f %% of the threads' time was given up\n",
            100.0 * part);
    fprintf(stderr,
            "titans bench: other processes used the machine; %.0f %% of the threads' time was given up\n",
            100.0 * part);
}

static void note_source(const Tsv *table, const char *what, const char *file, const char *origin,
                        uint64_t hash) {
    char text[MESSAGE], hashed[HASH_TEXT];
    if (!origin) return;
    hash_text(hashed, hash);
    snprintf(text, sizeof text, "%s, hash %s", origin, hashed);
    table_note(table, what, file, text);
}

void table_sources(const Tsv *table, const char *file, const OpenTask *task) {
    const TaskData data = task_data(task);
    note_source(table, "prose of", file, data.prose_origin, data.prose);
    note_source(table, "words of", file, data.words_origin, data.words);
}

int table_run(const TableWork *work, void *own, const TableOptions *o, int argc, char **argv) {
    char message[MESSAGE];
    Tsv table;
    const TsvMode mode = o->resume ? TSV_RESUME : o->force ? TSV_FORCE : TSV_NEW;
    interrupt_catch();
    int status = tsv_open(&table, o->out, mode, argc, argv, work->columns, message, sizeof message);
    if (!status) {
        status = work->measure(own, &table, message, sizeof message);
        table_say_shared(&table);
        status = tsv_end(&table, status, message, sizeof message);
    }
    char who[64];
    snprintf(who, sizeof who, "titans bench %s", work->name);
    if (status < 0) say(who, message);
    if (status > 0)
        fprintf(stderr, "titans bench %s: interrupted; %s has what was measured\n", work->name, o->out);
    return interrupt_status(status);
}
