#pragma once
#include <stddef.h>
#include <stdint.h>

/* The one way in which files are read: each obstacle is told apart, and the message names the file. */
typedef struct {
    const char *path;
    int fd;
    int64_t
        size; /* of a regular file, -1 of others (pipes, terminals) and where the system does not say (/proc) */
    int owned; /* the descriptor is closed with it */
} Input;

/* Asked when a signal interrupts the waiting for a pipe or a terminal: 1 gives up. NULL (as in the library): never. */
extern int (*input_stop)(void);

/* path "-": standard input, from where it stands. A pipe that no one opens for writing is given up after some seconds.
 * 0, or -1 with a message. */
int input_open(Input *input, const char *path, char *message, size_t size);

/* Up to count bytes, fewer at the end only (or at once from a pipe); 0 at the end, -1 with a message. */
int64_t input_read(Input *input, void *bytes, int64_t count, char *message, size_t size);
void input_close(Input *input);

/* A whole file of at most `most` bytes: memory at a multiple of 64 with a zero behind the text, to be freed. */
char *input_all(const char *path, int64_t most, int64_t *length, char *message, size_t size);
