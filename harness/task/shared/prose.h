#pragma once
#include "task/shared/side.h"

#include <stddef.h>
#include <stdint.h>

/* English text by its name, of which training and evaluation read different sides:
 *
 *   name           trained on                       asked in
 *   bible or ""    Old Testament                    New Testament
 *   essays         Emerson, Thoreau                 Austen, Melville (both of the data folder)
 *   a file         its first nine tenths            its last tenth
 *
 * origin says which it is; hash what it is, of the text as it is used: accuracies in other prose are not comparable. */
typedef struct {
    char *text, *origin;
    int64_t length;
    uint64_t hash;
} Prose;

/* Runs of white space are single blanks, one blank at the end. 0, or -1 with a message. */
int prose_open(Prose *prose, const char *name, Side side, char *message, size_t size);

/* The same with line ends and all as in the file, for models of text; a verse a line. */
int prose_open_as_is(Prose *prose, const char *name, Side side, char *message, size_t size);
void prose_close(Prose *prose);

#define PROSE_MEANING                                                                                        \
    "prose: bible, essays (of the data folder), or a text file (./NAME where the names are the same)"
