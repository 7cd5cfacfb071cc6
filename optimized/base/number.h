#pragma once
#include <stddef.h>

/* Numbers as text, read and written alike whatever the caller's locale: the decimal sign is a point. */

/* As strtod. */
double number_parse(const char *text, char **end);

/* The whole text is one number, inside [low, high]: 0, else -1. */
int number_read(const char *text, double low, double high, double *value);

/* As snprintf. */
int number_format(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
