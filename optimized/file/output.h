#pragma once
#include <stddef.h>
#include <stdio.h>

/* The one way in which files are written. A regular file is written beside its place, without a name where the file
 * system can do that, else under a name of its own, and moved there when it is whole and on the disk: PATH holds the old
 * file or the new one, also when two processes write it at once, or one is killed. What is there keeps its mode; a
 * symbolic link stays one, and hard links stay together (their file is then written over, after the new one is whole).
 * Devices and pipes are written through, and so is the program's own standard output. */
typedef struct {
    FILE *file;               /* where to write; NULL: not open */
    char *target, *temporary; /* what links lead to; the name beside it, or NULL */
    int through;              /* not a regular file, or standard output */
} Output;

/* Where a chain of symbolic links ends (malloc), which need not exist; NULL with errno. */
char *output_target(const char *path);

/* 0, or -1 with a message that names the path. */
int output_open(Output *output, const char *path, char *message, size_t size);

/* All that was written becomes the file. 0, or -1 with a message: the file that was there is as it was. Closes. */
int output_commit(Output *output, const char *path, char *message, size_t size);
void output_discard(Output *output);

/* Whether it could be opened, before the work that it is for. */
int output_check(const char *path, char *message, size_t size);
