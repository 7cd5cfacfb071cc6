#pragma once
#include <stdint.h>
#include <stdio.h>

/* Characters of a message: a path of any length, and what is wrong with it. */
enum { MESSAGE = 8192 };

/* Numbers on the command line: the whole text must be one number inside the range, else a message and exit
 * code 2. Lengths may end in k, m or g, in either case (1024, 1024^2, 1024^3). */
int64_t option_integer(const char *name, const char *text, int64_t low, int64_t high);
/* The same of a file, and a list "A,B,..": 0, or -1. */
int integer_read(const char *text, int64_t low, int64_t high, int64_t *value);
int integers_read(const char *list, int64_t low, int64_t high, int most, int64_t *values, int *count);
/* "A,B,..": at most `most` of them; the count. */
int option_integers(const char *name, const char *list, int64_t low, int64_t high, int most, int64_t *values);
double option_real(const char *name, const char *text, double low, double high);

/* Words of "A,B,..", none of them empty: 1 with the next one in `word`, 0 at the end. */
int option_word(const char *name, const char **list, char *word, int64_t size);

/* Sets the number of OpenMP threads for the process; 0 leaves the default. */
void option_threads(int64_t threads);

/* A text out of a file, or a file's name: what would move the cursor is shown as '?'. */
void print_plain(FILE *to, const char *text);

/* "WHO: ORIGIN, hash HASH REMARK", of prose or words; nothing where there is no origin. */
void say_source(const char *who, const char *origin, uint64_t hash, const char *remark);

/* A message on standard error, "who: ..". It may hold names out of files (print_plain). */
void say(const char *who, const char *message);
