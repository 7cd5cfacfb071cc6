#include "file/safetensors.h"
#include "base/size.h"
#include "file/input.h"
#include "file/json.h"
#include "file/output.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_LIMIT (100 << 20)
#define FILE_LIMIT ((int64_t)1 << 40)

#define FAIL(...) return snprintf(message, size, __VA_ARGS__), -1

static const struct {
    const char *name;
    int64_t bits;
} types[SAFE_TYPES] = {[SAFE_F32] = {"F32", 32},   [SAFE_F64] = {"F64", 64},
                       [SAFE_BF16] = {"BF16", 16}, [SAFE_F16] = {"F16", 16},
                       [SAFE_I64] = {"I64", 64},   [SAFE_I32] = {"I32", 32},
                       [SAFE_I16] = {"I16", 16},   [SAFE_I8] = {"I8", 8},
                       [SAFE_U64] = {"U64", 64},   [SAFE_U32] = {"U32", 32},
                       [SAFE_U16] = {"U16", 16},   [SAFE_U8] = {"U8", 8},
                       [SAFE_BOOL] = {"BOOL", 8},  [SAFE_OTHER] = {"another type", 0}};

static int64_t tensor_bytes(const SafeTensor *t) {
    return t->bytes ? t->bytes : t->count * types[t->type].bits / 8;
}

/* Header text, padded with blanks so that the data begin at a multiple of 8: readers may want that. */
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

static void write_file(FILE *file, const char *header, const SafeTensor *tensors, int tensor_count) {
    const uint64_t length = strlen(header);
    for (int i = 0; i < 8; i++) fputc((int)(length >> (8 * i) & 255), file);
    fwrite(header, 1, length, file);
    for (int i = 0; i < tensor_count; i++)
        fwrite(tensors[i].data, 1, (size_t)tensor_bytes(&tensors[i]), file);
}

int safetensors_write(const char *path, const SafeTensor *tensors, int tensor_count,
                      const SafeMetadata *metadata, int metadata_count, char *message, size_t size) {
    Output o;
    char *header = header_text(tensors, tensor_count, metadata, metadata_count);
    if (!header) FAIL("no memory for the header of %s", path);
    int status = output_open(&o, path, message, size);
    if (!status) {
        write_file(o.file, header, tensors, tensor_count);
        status = output_commit(&o, path, message, size);
    }
    free(header);
    return status;
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
    int64_t length;
    if (!cJSON_IsArray(shape)) FAIL("tensor '%s': shape is not a list", t->name);
    t->count = 1;
    cJSON_ArrayForEach(item, shape) {
        if (whole(item, &length)) FAIL("tensor '%s': shape holds something that is not a size", t->name);
        if (t->dims < SAFE_DIMS) t->shape[t->dims] = length;
        t->count = size_times(t->count, length);
        t->dims++;
    }
    if (t->count > (int64_t)1 << 48) FAIL("tensor '%s': shape is too large", t->name);
    return 0;
}

/* Names are shown and compared: what cannot be seen is refused. One that no buffer of ours holds is kept cut, behind a
 * character that no name has, so that nothing finds it. */
static int read_name(const char *name, SafeTensor *t, char *message, size_t size) {
    for (const char *c = name; *c; c++) {
        const unsigned char first = (unsigned char)c[0], second = (unsigned char)c[1];
        /* in UTF-8 U+0080 to U+009F, which terminals obey too, begin with C2 */
        if (first < ' ' || first == 127 || (first == 0xc2 && second < 0xa0))
            FAIL("a tensor's name holds the control character %d", first == 0xc2 ? second : first);
    }
    const int cut = strlen(name) >= sizeof t->name;
    snprintf(t->name, sizeof t->name, cut ? "\001%.200s" : "%s", name);
    return 0;
}

static int read_offsets(const cJSON *entry, SafeTensor *t, const char *data, int64_t data_size, char *message,
                        size_t size) {
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(entry, "data_offsets");
    int64_t begin, end;
    if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 ||
        whole(cJSON_GetArrayItem(offsets, 0), &begin) || whole(cJSON_GetArrayItem(offsets, 1), &end))
        FAIL("tensor '%s': data_offsets must be two sizes", t->name);
    if (begin > end || end > data_size)
        FAIL("tensor '%s': data_offsets lie outside the file (truncated?)", t->name);
    t->bytes = end - begin;
    if (types[t->type].bits && size_times(t->count, types[t->type].bits / 8) != t->bytes)
        FAIL("tensor '%s': data_offsets do not fit its shape: %lld bytes, dtype %s wants %lld", t->name,
             (long long)t->bytes, types[t->type].name,
             (long long)size_times(t->count, types[t->type].bits / 8));
    if (!types[t->type].bits && !t->bytes && t->count)
        FAIL("tensor '%s': data_offsets do not fit its shape: no bytes for %lld numbers", t->name,
             (long long)t->count);
    t->data = data + begin;
    return 0;
}

static int read_entry(const cJSON *entry, SafeTensor *t, const char *data, int64_t data_size, char *message,
                      size_t size) {
    const cJSON *dtype = cJSON_GetObjectItemCaseSensitive(entry, "dtype");
    *t = (SafeTensor){.dims = 0};
    if (read_name(entry->string, t, message, size)) return -1;
    if (!cJSON_IsString(dtype)) FAIL("tensor '%s': there is no dtype", t->name);
    snprintf(t->dtype, sizeof t->dtype, "%s", dtype->valuestring);
    while (t->type < SAFE_OTHER && strcmp(dtype->valuestring, types[t->type].name)) t->type++;
    if (read_shape(entry, t, message, size)) return -1;
    return read_offsets(entry, t, data, data_size, message, size);
}

static int by_address(const void *a, const void *b) {
    const SafeTensor *x = a, *y = b;
    if (x->data != y->data) return (const char *)x->data < (const char *)y->data ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
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
    f->tensors = calloc((size_t)cJSON_GetArraySize(f->header) + 1, sizeof *f->tensors);
    if (!f->tensors) FAIL("no memory for the tensor list");
    cJSON_ArrayForEach(entry, f->header) {
        if (!strcmp(entry->string, "__metadata__")) continue;
        if (!cJSON_IsObject(entry)) FAIL("entry '%.40s' is not an object", entry->string);
        if (read_entry(entry, &f->tensors[f->tensor_count], data, data_size, message, size)) return -1;
        f->tensor_count++;
    }
    const size_t count = (size_t)f->tensor_count;
    qsort(f->tensors, count, sizeof *f->tensors, by_address);
    if (check_tiling(f, data, data_size, message, size)) return -1;
    qsort(f->tensors, count, sizeof *f->tensors, by_name);
    return 0;
}

static int read_file(SafeFile *f, int64_t length, char *message, size_t size) {
    uint64_t header = 0;
    char reason[256];
    if (length < 8) FAIL("too short (%lld bytes) to be a safetensors file", (long long)length);
    for (int i = 0; i < 8; i++) header |= (uint64_t)(unsigned char)f->bytes[i] << (8 * i);
    if (header > HEADER_LIMIT)
        FAIL("not a safetensors file: it begins with a header length of %llu", (unsigned long long)header);
    if ((int64_t)header > length - 8)
        FAIL("header of %llu bytes in a file of %lld: truncated", (unsigned long long)header,
             (long long)length);
    f->header = json_object(f->bytes + 8, (int64_t)header, reason, sizeof reason);
    if (!f->header) FAIL("header: %s", reason);
    return read_tensors(f, f->bytes + 8 + header, length - 8 - (int64_t)header, message, size);
}

int safetensors_read(SafeFile *f, const char *path, char *message, size_t size) {
    char reason[512];
    int64_t length;
    *f = (SafeFile){.bytes = input_all(path, FILE_LIMIT, &length, message, size)};
    if (!f->bytes) return -1;
    if (!read_file(f, length, reason, sizeof reason)) return 0;
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

#define LOAD(type, name)                                                                                     \
    type name;                                                                                               \
    memcpy(&name, (const char *)t->data + i * (int64_t)sizeof name, sizeof name)

static double bf16_number(uint16_t bits) {
    const uint32_t wide = (uint32_t)bits << 16;
    float single;
    memcpy(&single, &wide, sizeof single);
    return (double)single;
}

#define NUMBER(which, type)                                                                                  \
    case which: {                                                                                            \
        LOAD(type, x);                                                                                       \
        return (double)x;                                                                                    \
    }

double safetensors_number(const SafeTensor *t, int64_t i) {
    switch (t->type) {
        NUMBER(SAFE_F32, float)
        NUMBER(SAFE_F64, double)
        NUMBER(SAFE_I64, int64_t)
        NUMBER(SAFE_I32, int32_t)
        NUMBER(SAFE_I16, int16_t)
        NUMBER(SAFE_I8, int8_t)
        NUMBER(SAFE_U64, uint64_t)
        NUMBER(SAFE_U32, uint32_t)
        NUMBER(SAFE_U16, uint16_t)
        NUMBER(SAFE_U8, uint8_t)
        NUMBER(SAFE_BOOL, uint8_t)
    case SAFE_F16: {
        LOAD(uint16_t, bits);
        return half_number(bits);
    }
    case SAFE_BF16: {
        LOAD(uint16_t, bits);
        return bf16_number(bits);
    }
    default:
        return NAN;
    }
}

const char *safetensors_type(SafeType type) { return types[type].name; }
int safetensors_is_real(SafeType type) { return type <= SAFE_F16; }
int safetensors_is_integer(SafeType type) { return type >= SAFE_I64 && type <= SAFE_U8; }
