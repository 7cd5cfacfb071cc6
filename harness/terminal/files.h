#pragma once
#include <stddef.h>

/* What this process reads and writes: nothing may be both, and no two outputs may be the same file, by whatever name.
 * Each is said before the work begins. Devices may be written several times. */

/* A file that is read ("-": what standard input leads to). -1 with a message when it is one of the outputs. */
int files_reads(const char *path, char *message, size_t size);

/* A file that will be written, which must be possible. What is there already is replaced (FILES_REPLACE), kept and
 * refused (FILES_NEW), or that unless it is a state, or tensors that are neither state nor model. */
typedef enum { FILES_REPLACE, FILES_NEW, FILES_STATE, FILES_TENSORS } FilesMode;
/* 0; FILES_THERE when it is kept; -1 for any other reason; both with a message. */
enum { FILES_THERE = 1 };
int files_writes(const char *path, FilesMode mode, char *message, size_t size);

/* A process that does one work after the other: how many files are known, and all but so many are forgotten. What was
 * written has been replaced, and its number in the file system may be given to another file. */
int files_known(void);
void files_forget(int known);
