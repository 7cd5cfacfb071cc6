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

/* What a check came to. Cases; those with a wrong number; those that failed, for that or because something of them was
 * not judged. Tensors that were judged, and those that were not: missing, of another size or type, or unknown. */
typedef struct {
    int64_t cases, wrong, failed, judged, unjudged;
} GoldenTotals;

/* Judges FILE, in any floating-point type, printing a line per case and one for everything that is not judged. All
 * outputs and gradients of all cases of the family are wanted; only (or NULL): those that the words "tc0001,out,y,grad/k"
 * admit. -1 with a message where nothing could be judged. */
int golden_check(const char *folder, const char *file, const char *only, GoldenTotals *totals, char *message,
                 size_t size);
