#pragma once
#include <stddef.h>
#include <stdint.h>

/* Where data come from: $TITANS_DATA, else titans/ in the user's cache folder ($XDG_CACHE_HOME or ~/.cache).
 */
const char *data_folder(char *path, size_t size);

/* The text of a file, plain or gzip (malloc, NUL-terminated). NULL with a message. */
char *data_read(const char *path, int64_t *length, char *message, size_t size);

/* The file NAME or NAME.gz below the data folder; NULL when it is not there (no message) or cannot be read
 * (message). */
char *data_find(const char *name, int64_t *length, char *message, size_t size);

/* English text for haystacks: `path` when not empty, else the essays of the data folder, else the licence
 * texts that every Debian system carries. Runs of white space are single blanks, one blank at the end. origin says
 * which it is: accuracies in other prose are not comparable. 0, or -1 with a message. */
typedef struct {
    char *text;
    int64_t length;
    char origin[256];
} Prose;
int prose_open(Prose *prose, const char *path, char *message, size_t size);
void prose_close(Prose *prose);

/* Words, one a line, from wordlists/NAME of the data folder, else the built-in list given (NULL-terminated). NULL with
 * a message when there is no memory; to be freed with the same built-in list. */
const char *const *data_words(const char *name, const char *const *fallback, int64_t *count, char *message,
                              size_t size);
void data_words_free(const char *const *words, const char *const *fallback);
