#pragma once
#include <stddef.h>
#include <stdint.h>

/* The safetensors file format: 8-byte little-endian header length, JSON header, data; row-major. Files of anybody's are
 * read: a header of any length, data at any address, tensors of any type (OTHER: one that has no numbers for us, such as
 * F8_E4M3). Ours are F32 (the default, 0) and F64; they are written as file/output.h does. */
typedef enum {
    SAFE_F32,
    SAFE_F64,
    SAFE_BF16,
    SAFE_F16,
    SAFE_I64,
    SAFE_I32,
    SAFE_I16,
    SAFE_I8,
    SAFE_U64,
    SAFE_U32,
    SAFE_U16,
    SAFE_U8,
    SAFE_BOOL,
    SAFE_OTHER,
    SAFE_TYPES
} SafeType;
enum { SAFE_DIMS = 8 };
typedef struct {
    char name[256];
    SafeType type;
    int dims;                               /* of which shape has the first SAFE_DIMS */
    int64_t shape[SAFE_DIMS], count, bytes; /* bytes: of tensors that were read */
    char dtype[16];                         /* of tensors that were read: the type's name */
    const void *data;                       /* of tensors that were read: at any address */
} SafeTensor;

typedef struct {
    char key[48];
    const char *value;
} SafeMetadata;

/* 0, or -1 with a message saying what failed. */
int safetensors_write(const char *path, const SafeTensor *tensors, int tensor_count,
                      const SafeMetadata *metadata, int metadata_count, char *message, size_t size);

/* A whole file in memory, checked: header length, JSON, shapes, offsets without overlap, hole or excess, unique names
 * without control characters. Release with safetensors_close. */
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
int safetensors_is_real(SafeType type);                                  /* F32, F64, BF16, F16 */
int safetensors_is_integer(SafeType type);                               /* I64 .. U8 */
const char *safetensors_metadata(const SafeFile *file, const char *key); /* or NULL */
