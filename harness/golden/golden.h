#pragma once
#include "file/safetensors.h"

#include <stddef.h>
#include <stdint.h>

/* Golden vectors: inputs that every floating-point type can hold (bf16), outputs of the quad reference
 * rounded to double, complex-step gradients in quad against given cotangents, and per element a gauge that
 * turns any type's unit roundoff into a tolerance:  |x - reference| <= GOLDEN_K u (gauge + |reference|) +
 * smallest normal number.
 *
 * A family is a safetensors file and a JSON index beside it. Tensors are named tc0007/in/k, /out/y, /cot/y,
 * /grad/k, /gauge/out/y, /gauge/grad/k. Case numbers never change meaning. The bytes depend on no compiler,
 * CPU or date. */
#define GOLDEN_FORMAT "titans.c golden vectors"
enum { GOLDEN_VERSION = 1, GOLDEN_K = 4 };

/* What a failing case of that flag usually means. */
typedef struct {
    const char *name, *bug;
} GoldenFlag;
const GoldenFlag *golden_flag(const char *name);

/* The i-th family's name, NULL past the end. */
const char *golden_family(int i);

/* All tensors of a family as they are written. */
typedef struct {
    SafeTensor *list;
    int count;
    int64_t cases, gradients;
    void *owned;
} GoldenNumbers;
GoldenNumbers golden_numbers(const char *family);
void golden_numbers_free(GoldenNumbers *numbers);

/* Writes FOLDER/FAMILY.safetensors and .json. 0, or -1 with a message. cases, gradients: counters to add to. */
int golden_write(const char *folder, const char *family, int64_t *cases, int64_t *gradients, char *message,
                 size_t size);

/* Judges every tensor of FILE that is named like one of ours, in any floating-point type, printing a line per
 * case. The number of cases that fail, or -1 with a message. */
int golden_check(const char *folder, const char *file, int64_t *cases, char *message, size_t size);
