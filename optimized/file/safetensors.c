#include "file/safetensors.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_LIMIT (100 << 20)

#define FAIL(...) return snprintf(message, size, __VA_ARGS__), -1

static const struct {
    const char *name;
    int64_t bytes;
} types[SAFE_TYPES] = {{"F32", 4}, {"F64", 8}, {"BF16", 2}, {"F16", 2}};

static int64_t tensor_bytes(const SafeTensor *t) { return t->count * types[t->type].bytes; }

/* Header text, padded with blanks so that the data begin at a multiple of 8. */
static char *header_text(const SafeTensor *tensors, int tensor_count, const SafeMetadata *metadata,
                         int metadata_count) {
    cJSON *header = cJSON_CreateObject(), *about = cJSON_AddObjectToObject(header, "__metadata__");
    double offset = 0.0;
    for (int i = 0; i < metadata_count; i++)
        cJSON_AddStringToObject(about, metadata[i].key, metadata[i].value);
    for (int i = 0; i < tensor_count; i++) {
        cJSON *entry = cJSON_AddObjectToObject(header, tensors[i].name);
        cJSON_AddStringToObject(entry, "dtype", types[tensors[i].type].name);
        cJSON *shape = cJSON_AddArrayToObject(entry, "shape");
        for (int d = 0; d < tensors[i].dims; d++)
            cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)tensors[i].shape[d]));
        cJSON *offsets = cJSON_AddArrayToObject(entry, "data_offsets");
        cJSON_AddItemToArray(offsets, cJSON_CreateNumber(offset));
        offset += (double)tensor_bytes(&tensors[i]);
        cJSON_AddItemToArray(offsets, cJSON_CreateNumber(offset));
    }
    char *text = cJSON_PrintUnformatted(header);
    cJSON_Delete(header);
    if (!text) return 0;
    const size_t length = strlen(text), wanted = (length + 7) / 8 * 8;
    char *padded = realloc(text, wanted + 1);
    if (!padded) return free(text), (char *)0;
    memset(padded + length, ' ', wanted - length);
    padded[wanted] = 0;
    return padded;
}

static int write_all(int fd, const void *bytes, size_t count) {
    const char *p = bytes;
    while (count > 0) {
        const ssize_t n = write(fd, p, count);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return -1;
        p += n;
        count -= (size_t)n;
    }
    return 0;
}

static int write_file(int fd, const char *header, const SafeTensor *tensors, int tensor_count) {
    const uint64_t length = strlen(header);
    unsigned char prefix[8];
    for (int i = 0; i < 8; i++) prefix[i] = (unsigned char)(length >> (8 * i));
    if (write_all(fd, prefix, 8) || write_all(fd, header, length)) return -1;
    for (int i = 0; i < tensor_count; i++)
        if (write_all(fd, tensors[i].data, (size_t)tensor_bytes(&tensors[i]))) return -1;
    return fsync(fd);
}

/* Makes the rename itself durable. */
static void sync_directory(const char *path) {
    char copy[4096];
    snprintf(copy, sizeof copy, "%s", path);
    const int fd = open(dirname(copy), O_RDONLY);
    if (fd < 0) return;
    (void)!fsync(fd);
    close(fd);
}

int safetensors_write(const char *path, const SafeTensor *tensors, int tensor_count,
                      const SafeMetadata *metadata, int metadata_count, char *message, size_t size) {
    char temporary[4096];
    if (snprintf(temporary, sizeof temporary, "%s.tmp", path) >= (int)sizeof temporary)
        FAIL("path too long: %s", path);
    char *header = header_text(tensors, tensor_count, metadata, metadata_count);
    if (!header) FAIL("no memory for the header of %s", path);
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd < 0) {
        free(header);
        FAIL("cannot create %s: %m", temporary);
    }
    int failed = write_file(fd, header, tensors, tensor_count);
    free(header);
    failed |= close(fd);
    if (failed || rename(temporary, path)) {
        const int reason = errno;
        unlink(temporary);
        FAIL("cannot write %s: %s; the previous file, if any, is untouched", path, strerror(reason));
    }
    sync_directory(path);
    return 0;
}

static int whole(const cJSON *item, int64_t *value) {
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0.0) || item->valuedouble > 0x1p53 ||
        item->valuedouble != floor(item->valuedouble))
        return -1;
    *value = (int64_t)item->valuedouble;
    return 0;
}

static int read_shape(const cJSON *entry, SafeTensor *t, char *message, size_t size) {
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(entry, "shape"), *item;
    if (!cJSON_IsArray(shape) || cJSON_GetArraySize(shape) > 8)
        FAIL("tensor '%s': shape is not a list of up to 8 numbers", t->name);
    t->count = 1;
    cJSON_ArrayForEach(item, shape) {
        if (whole(item, &t->shape[t->dims]))
            FAIL("tensor '%s': shape holds something that is not a size", t->name);
        if (__builtin_mul_overflow(t->count, t->shape[t->dims], &t->count) || t->count > (int64_t)1 << 48)
            FAIL("tensor '%s': shape is too large", t->name);
        t->dims++;
    }
    return 0;
}

static int read_entry(const cJSON *entry, SafeTensor *t, const char *data, int64_t data_size, int64_t *begin,
                      char *message, size_t size) {
    const cJSON *dtype = cJSON_GetObjectItemCaseSensitive(entry, "dtype");
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(entry, "data_offsets");
    int64_t end;
    *t = (SafeTensor){.dims = 0};
    if (strlen(entry->string) >= sizeof t->name) FAIL("tensor name '%.40s...' is too long", entry->string);
    snprintf(t->name, sizeof t->name, "%s", entry->string);
    while (t->type < SAFE_TYPES &&
           !(cJSON_IsString(dtype) && !strcmp(dtype->valuestring, types[t->type].name)))
        t->type++;
    if (t->type == SAFE_TYPES) FAIL("tensor '%s': dtype must be F32, F64, BF16 or F16", t->name);
    if (read_shape(entry, t, message, size)) return -1;
    if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 ||
        whole(cJSON_GetArrayItem(offsets, 0), begin) || whole(cJSON_GetArrayItem(offsets, 1), &end))
        FAIL("tensor '%s': data_offsets must be two sizes", t->name);
    if (*begin > end || end > data_size)
        FAIL("tensor '%s': data_offsets lie outside the file (truncated?)", t->name);
    if (end - *begin != tensor_bytes(t)) FAIL("tensor '%s': data_offsets do not fit its shape", t->name);
    if (*begin % types[t->type].bytes) FAIL("tensor '%s': data are not aligned", t->name);
    t->data = data + *begin;
    return 0;
}

static int by_address(const void *a, const void *b) {
    const SafeTensor *x = a, *y = b;
    if (x->data != y->data) return (const char *)x->data < (const char *)y->data ? -1 : 1;
    return (x->count > y->count) - (x->count < y->count);
}

static int check_tiling(SafeFile *f, const char *data, int64_t data_size, char *message, size_t size) {
    int64_t at = 0;
    for (int i = 0; i < f->tensor_count; i++) {
        const SafeTensor *t = &f->tensors[i];
        if ((const char *)t->data - data != at)
            FAIL("tensor '%s': data overlap another tensor or leave a hole before it", t->name);
        at += tensor_bytes(t);
    }
    if (at != data_size) FAIL("%lld bytes follow the last tensor", (long long)(data_size - at));
    return 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const SafeTensor *)a)->name, ((const SafeTensor *)b)->name);
}

static int read_tensors(SafeFile *f, const char *data, int64_t data_size, char *message, size_t size) {
    const cJSON *entry;
    int64_t begin;
    f->tensors = calloc((size_t)cJSON_GetArraySize(f->header) + 1, sizeof *f->tensors);
    if (!f->tensors) FAIL("no memory for the tensor list");
    cJSON_ArrayForEach(entry, f->header) {
        if (!strcmp(entry->string, "__metadata__")) continue;
        if (!cJSON_IsObject(entry)) FAIL("entry '%.40s' is not an object", entry->string);
        if (read_entry(entry, &f->tensors[f->tensor_count], data, data_size, &begin, message, size))
            return -1;
        f->tensor_count++;
    }
    const size_t count = (size_t)f->tensor_count;
    qsort(f->tensors, count, sizeof *f->tensors, by_address);
    if (check_tiling(f, data, data_size, message, size)) return -1;
    qsort(f->tensors, count, sizeof *f->tensors, by_name);
    for (size_t i = 1; i < count; i++)
        if (!by_name(&f->tensors[i - 1], &f->tensors[i]))
            FAIL("tensor '%s' occurs twice", f->tensors[i].name);
    return 0;
}

static int read_bytes(SafeFile *f, const char *path, int64_t *length, char *message, size_t size) {
    struct stat info;
    FILE *file = fopen(path, "rb");
    if (!file) FAIL("cannot open: %m");
    if (fstat(fileno(file), &info) || !S_ISREG(info.st_mode)) {
        fclose(file);
        FAIL("not a regular file");
    }
    *length = info.st_size;
    f->bytes = aligned_alloc(64, ((size_t)*length + 64) / 64 * 64 + 64);
    const size_t got = f->bytes ? fread(f->bytes, 1, (size_t)*length, file) : 0;
    fclose(file);
    if (!f->bytes) FAIL("no memory for %lld bytes", (long long)*length);
    if ((int64_t)got != *length) FAIL("could only read %zu of %lld bytes", got, (long long)*length);
    return 0;
}

static int read_file(SafeFile *f, const char *path, char *message, size_t size) {
    int64_t length;
    uint64_t header = 0;
    if (read_bytes(f, path, &length, message, size)) return -1;
    if (length < 8) FAIL("too short (%lld bytes) to be a safetensors file", (long long)length);
    for (int i = 0; i < 8; i++) header |= (uint64_t)(unsigned char)f->bytes[i] << (8 * i);
    if (header > HEADER_LIMIT) FAIL("header length %llu is not believable", (unsigned long long)header);
    if ((int64_t)header > length - 8)
        FAIL("header of %llu bytes in a file of %lld: truncated", (unsigned long long)header,
             (long long)length);
    if (header % 8) FAIL("header length %llu is not a multiple of 8", (unsigned long long)header);
    f->header = cJSON_ParseWithLength(f->bytes + 8, header);
    if (!cJSON_IsObject(f->header)) FAIL("the header is not a JSON object");
    return read_tensors(f, f->bytes + 8 + header, length - 8 - (int64_t)header, message, size);
}

int safetensors_read(SafeFile *f, const char *path, char *message, size_t size) {
    char reason[256];
    *f = (SafeFile){0};
    if (!read_file(f, path, reason, sizeof reason)) return 0;
    snprintf(message, size, "%s: %s", path, reason);
    safetensors_close(f);
    return -1;
}

void safetensors_close(SafeFile *f) {
    cJSON_Delete(f->header);
    free(f->tensors);
    free(f->bytes);
    *f = (SafeFile){0};
}

const SafeTensor *safetensors_find(const SafeFile *f, const char *name) {
    for (int i = 0; i < f->tensor_count; i++)
        if (!strcmp(f->tensors[i].name, name)) return &f->tensors[i];
    return 0;
}

const char *safetensors_metadata(const SafeFile *f, const char *key) {
    const cJSON *about = cJSON_GetObjectItemCaseSensitive(f->header, "__metadata__");
    const cJSON *value = about ? cJSON_GetObjectItemCaseSensitive(about, key) : 0;
    return value && cJSON_IsString(value) ? value->valuestring : 0;
}

/* IEEE half: 1 sign, 5 exponent, 10 fraction bits. */
static double half_number(uint16_t bits) {
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    const double size = exponent == 31  ? fraction ? (double)NAN : (double)INFINITY
                        : exponent == 0 ? ldexp(fraction, -24)
                                        : ldexp(1024 + fraction, exponent - 25);
    return bits >> 15 ? -size : size;
}

double safetensors_number(const SafeTensor *t, int64_t i) {
    uint16_t bits;
    uint32_t wide;
    float single;
    switch (t->type) {
    case SAFE_F64:
        return ((const double *)t->data)[i];
    case SAFE_F16:
        memcpy(&bits, (const char *)t->data + 2 * i, sizeof bits);
        return half_number(bits);
    case SAFE_BF16:
        memcpy(&bits, (const char *)t->data + 2 * i, sizeof bits);
        wide = (uint32_t)bits << 16;
        memcpy(&single, &wide, sizeof single);
        return (double)single;
    default:
        return (double)((const float *)t->data)[i];
    }
}

const char *safetensors_type(SafeType type) { return types[type].name; }
