#include "file/json.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAIL(...) return snprintf(message, size, __VA_ARGS__), -1

static int holds_zero(const char *text, int64_t length) {
    for (int64_t i = 0; i + 5 < length; i++) {
        if (text[i] != '\\') continue;
        if (!strncmp(text + i + 1, "u0000", 5)) return 1;
        i++; /* the escaped character */
    }
    return memchr(text, 0, (size_t)length) != 0;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* No key of an object, nor of one inside it, occurs twice. */
static int keys_differ(const cJSON *object, char *message, size_t size) {
    const size_t count = (size_t)cJSON_GetArraySize(object);
    const char **keys = calloc(count + 1, sizeof *keys), *twice = 0;
    const cJSON *item;
    size_t n = 0;
    if (!keys) FAIL("no memory for %zu keys", count);
    cJSON_ArrayForEach(item, object) keys[n++] = item->string;
    qsort(keys, n, sizeof *keys, by_text);
    for (size_t i = 1; i < n; i++)
        if (!by_text(&keys[i - 1], &keys[i])) twice = keys[i];
    free(keys);
    if (twice) FAIL("\"%.80s\" occurs twice", twice);
    cJSON_ArrayForEach(item, object) if (cJSON_IsObject(item) && keys_differ(item, message, size)) return -1;
    return 0;
}

static int line_of(const char *text, const char *at) {
    int line = 1;
    for (; text < at; text++) line += *text == '\n';
    return line;
}

static int check(const cJSON *object, const char *text, int64_t length, const char *end, char *message,
                 size_t size) {
    if (!object) FAIL("not valid JSON, line %d", line_of(text, end ? end : text));
    if (!cJSON_IsObject(object)) FAIL("a JSON object is wanted: {..}");
    while (end < text + length && strchr(" \t\r\n", *end)) end++;
    if (end < text + length)
        FAIL("line %d: %lld bytes follow the JSON object", line_of(text, end),
             (long long)(text + length - end));
    return keys_differ(object, message, size);
}

cJSON *json_object(const char *text, int64_t length, char *message, size_t size) {
    const char *end = 0;
    if (holds_zero(text, length))
        return snprintf(message, size, "the JSON holds the character 0"), (cJSON *)0;
    cJSON *object = cJSON_ParseWithLengthOpts(text, (size_t)length, &end, 0);
    if (!check(object, text, length, end, message, size)) return object;
    cJSON_Delete(object);
    return 0;
}
