#pragma once
#include "file/input.h"

#include <stddef.h>
#include <stdint.h>

/* Where data come from: $TITANS_DATA, else titans/ in the user's cache folder ($XDG_CACHE_HOME or ~/.cache); NULL with a
 * message where there is no such place. A text of the module. */
const char *data_folder(void);

/* A text file, plain or gzip, read on and on. */
typedef struct DataReader DataReader;

/* path "-": standard input. NULL with a message. */
DataReader *data_open(const char *path, char *message, size_t size);

/* The next bytes, at most count; 0 at the end, where the gzip data must be whole; -1 with a message. */
int64_t data_next(DataReader *reader, void *bytes, int64_t count, char *message, size_t size);
void data_close(DataReader *reader);

/* All that is left, at most 2 GiB (malloc, a 0 behind it). NULL with a message. */
char *data_rest(DataReader *reader, int64_t *length, char *message, size_t size);

/* A whole file, likewise. */
char *data_read(const char *path, int64_t *length, char *message, size_t size);

/* The file NAME or NAME.gz below the data folder; NULL when it is not there (no message) or cannot be read
 * (message). */
char *data_find(const char *name, int64_t *length, char *message, size_t size);

/* English text for haystacks: `path` when not empty, else the essays of the data folder, else the licence
 * texts that every Debian system carries. Runs of white space are single blanks, one blank at the end. origin says
 * which it is, hash what it is: accuracies in other prose are not comparable. 0, or -1 with a message. */
typedef struct {
    char *text, *origin;
    int64_t length;
    uint64_t hash;
} Prose;
int prose_open(Prose *prose, const char *path, char *message, size_t size);

/* The same with line ends and all as in the file, for models of text. */
int prose_open_as_is(Prose *prose, const char *path, char *message, size_t size);
void prose_close(Prose *prose);

/* Words, one a line, from wordlists/NAME of the data folder, else the built-in list given (NULL-terminated); hash: of
 * them all, going on from what it is. NULL with a message; to be freed with the same built-in list. */
const char *const *data_words(const char *name, const char *const *fallback, int64_t *count, uint64_t *hash,
                              char *message, size_t size);
void data_words_free(const char *const *words, const char *const *fallback);
