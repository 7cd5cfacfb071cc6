#pragma once
#include <stddef.h>
#include <stdint.h>

/* The safetensors file format: 8-byte little-endian header length, JSON header, data; row-major.
 * Floating-point types only: F32 (the default, 0), F64, BF16, F16. Files are written to PATH.tmp, synced and
 * renamed, so that PATH is always a whole file: the old or the new one. */
typedef enum { SAFE_F32, SAFE_F64, SAFE_BF16, SAFE_F16, SAFE_TYPES } SafeType;
typedef struct {
    char name[96];
    SafeType type;
    int dims;
    int64_t shape[8], count;
    const void *data;
} SafeTensor;

typedef struct {
    char key[48];
    const char *value;
} SafeMetadata;

/* 0, or -1 with a message saying what failed. */
int safetensors_write(const char *path, const SafeTensor *tensors, int tensor_count,
                      const SafeMetadata *metadata, int metadata_count, char *message, size_t size);

/* A whole file in memory, checked: header length, JSON, types, shapes, offsets without overlap, hole or
 * excess, unique names. Release with safetensors_close. */
typedef struct {
    char *bytes;
    SafeTensor *tensors;
    int tensor_count;
    struct cJSON *header;
} SafeFile;

int safetensors_read(SafeFile *file, const char *path, char *message, size_t size);
void safetensors_close(SafeFile *file);
const SafeTensor *safetensors_find(const SafeFile *file, const char *name);
double safetensors_number(const SafeTensor *tensor, int64_t i);          /* element i of any type */
const char *safetensors_type(SafeType type);                             /* "F32" */
const char *safetensors_metadata(const SafeFile *file, const char *key); /* or NULL */
