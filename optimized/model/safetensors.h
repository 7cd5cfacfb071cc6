#pragma once
#include <stddef.h>
#include <stdint.h>

/* The safetensors file format: 8-byte little-endian header length, JSON header, data. Only F32 and F64,
 * row-major. Files are written to PATH.tmp, synced and renamed, so that PATH is always a whole file: the old
 * or the new one. */
typedef struct {
    char name[96];
    int is_double, dims;
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
const char *safetensors_metadata(const SafeFile *file, const char *key); /* or NULL */
