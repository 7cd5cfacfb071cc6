#include "terminal/options.h"
#include "base/hash.h"
#include "base/number.h"

#include <ctype.h>
#include <errno.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void refuse(const char *name, const char *text, double low, double high) {
    fprintf(stderr, "titans: --%s: '", name);
    print_plain(stderr, text);
    fprintf(stderr, "' is not a number from %.15g to %.15g\n", low, high);
    exit(2);
}

int integer_read(const char *text, int64_t low, int64_t high, int64_t *out) {
    static const char suffix[] = "kmg";
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    const char *unit = end != text && *end ? strchr(suffix, tolower((unsigned char)*end)) : 0;
    int overflow = errno;
    if (unit) overflow |= __builtin_mul_overflow(value, 1ll << (10 * (unit - suffix + 1)), &value), end++;
    if (end == text || *end || overflow || value < low || value > high) return -1;
    *out = value;
    return 0;
}

int integers_read(const char *list, int64_t low, int64_t high, int most, int64_t *values, int *count) {
    char word[64];
    *count = 0;
    while (*list) {
        const size_t n = strcspn(list, ",");
        if (n >= sizeof word || *count == most) return -1;
        snprintf(word, sizeof word, "%.*s", (int)n, list);
        if (integer_read(word, low, high, &values[(*count)++])) return -1;
        list += n;
        if (*list && !*++list) return -1;
    }
    return *count ? 0 : -1;
}

int64_t option_integer(const char *name, const char *text, int64_t low, int64_t high) {
    int64_t value = 0;
    if (integer_read(text, low, high, &value)) refuse(name, text, (double)low, (double)high);
    return value;
}

int option_word(const char *name, const char **list, char *word, int64_t size) {
    if (!*list) return 0;
    const size_t n = strcspn(*list, ",");
    if (n == 0 || (int64_t)n >= size) {
        fprintf(stderr, "titans: --%s: %s in the list\n", name, n ? "too long a name" : "an empty name");
        exit(2);
    }
    snprintf(word, (size_t)size, "%.*s", (int)n, *list);
    *list = (*list)[n] ? *list + n + 1 : 0;
    return 1;
}

int option_integers(const char *name, const char *list, int64_t low, int64_t high, int most,
                    int64_t *values) {
    char word[64];
    int n = 0;
    while (option_word(name, &list, word, sizeof word)) {
        if (n == most) {
            fprintf(stderr, "titans: --%s: more than %d numbers\n", name, most);
            exit(2);
        }
        values[n++] = option_integer(name, word, low, high);
    }
    return n;
}

double option_real(const char *name, const char *text, double low, double high) {
    double value;
    if (number_read(text, low, high, &value)) refuse(name, text, low, high);
    return value;
}

void option_threads(int64_t threads) {
    if (threads > 0) omp_set_num_threads((int)threads);
}

void print_plain(FILE *to, const char *text) {
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        const int c1 = c == 0xc2 && (unsigned char)text[1] < 0xa0 && text[1]; /* U+0080 to U+009F in UTF-8 */
        fputc(c < 32 || c == 127 || c1 ? '?' : c, to);
        text += c1;
    }
}

void say(const char *who, const char *message) {
    fprintf(stderr, "%s: ", who);
    print_plain(stderr, message);
    fputc('\n', stderr);
}

void say_source(const char *who, const char *origin, uint64_t hash, const char *remark) {
    char hashed[HASH_TEXT];
    if (!origin) return;
    hash_text(hashed, hash);
    fprintf(stderr, "%s: ", who);
    print_plain(stderr, origin);
    fprintf(stderr, ", hash %s%s\n", hashed, remark);
}
