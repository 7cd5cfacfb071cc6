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

/* Where the files of Debian packages are: PLACE, or $TITANS_PACKAGES in place of all of them. */
const char *data_packages(const char *place);

/* The file NAME of a Debian package, which installs it in the folder PLACE. NULL with a message that says how to get it. */
char *data_package(const char *name, const char *place, const char *package, int64_t *length, char *message,
                   size_t size);
