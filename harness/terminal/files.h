#pragma once
#include <stddef.h>

/* What this process reads and writes: nothing may be both, and no two outputs may be the same file, by whatever name.
 * Each is said before the work begins. Devices may be written several times. */

/* A file that is read ("-": none, standard input is). -1 with a message when it is one of the outputs. */
int files_reads(const char *path, char *message, size_t size);

/* A file that will be written, which must be possible. FILES_NEW: what is there already is kept and refused. */
typedef enum { FILES_REPLACE, FILES_NEW } FilesMode;
int files_writes(const char *path, FilesMode mode, char *message, size_t size);
