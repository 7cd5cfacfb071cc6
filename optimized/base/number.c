#include "base/number.h"

#include <locale.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_once_t made = PTHREAD_ONCE_INIT;
static locale_t plain;

static void make(void) { plain = newlocale(LC_ALL_MASK, "C", (locale_t)0); }

static locale_t number_locale(void) {
    pthread_once(&made, make);
    return plain;
}

double number_parse(const char *text, char **end) {
    const locale_t before = uselocale(number_locale());
    const double value = strtod(text, end);
    uselocale(before);
    return value;
}

int number_read(const char *text, double low, double high, double *value) {
    char *end;
    *value = number_parse(text, &end);
    return end != text && !*end && *value >= low && *value <= high ? 0 : -1;
}

int number_format(char *text, size_t size, const char *format, ...) {
    va_list list;
    const locale_t before = uselocale(number_locale());
    va_start(list, format);
    const int used = vsnprintf(text, size, format, list);
    va_end(list);
    uselocale(before);
    return used;
}
