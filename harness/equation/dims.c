#include "equation/dims.h"
#include "equation/inputs.h"
#include "equation/oracle.h"

#include <stdio.h>

enum { MOST_NUMBERS = 1 << 28 }; /* 2 GiB of double */

/* Every dimension is a size from 1 to MOST_SIZE, but switches, 0 or 1, and what may be left out with 0. */
enum { MOST_SIZE = 1 << 20, MOST_LAYERS = 4, MOST_FEATURE = 2, MOST_MIXER = 6 };
static const char switches[] =
    "gelu residual norm per_layer channelwise per_chunk no_decay no_momentum literal "
    "normalised kind";
static const char optional[] = "phi mixer layers start window prefix persistent segment n2 n3 n4";

static char text[256];

static const char *out_of_range(const char *name, int64_t value, int64_t least, int64_t most) {
    snprintf(text, sizeof text, "dimension %s is %lld; it may be %lld to %lld", name, (long long)value,
             (long long)least, (long long)most);
    return text;
}

/* The named dimension, or `otherwise` if the equation has none of that name. */
static int64_t dim(const Equation *e, const int64_t *dims, const char *name, int64_t otherwise) {
    const int i = name_index(e->dims, name);
    return i < 0 ? otherwise : dims[i];
}

static const char *each_in_range(const Equation *e, const int64_t *dims) {
    const int mixer = !strncmp(e->name, "mixer_", 6) || !strcmp(e->name, "language_model");
    const int without_memory = !strcmp(e->name, "mixer_attention") || !strcmp(e->name, "mixer_swa") ||
                               dim(e, dims, "mixer", -1) == 0 || dim(e, dims, "mixer", -1) == 2;
    for (int i = 0; i < oracle_count(e->dims); i++) {
        char name[32];
        oracle_name(e->dims, i, name, sizeof name);
        const int zero = name_index(switches, name) >= 0 || name_index(optional, name) >= 0;
        int64_t least = !zero;
        const int64_t most = name_index(switches, name) >= 0 ? 1
                             : !strcmp(name, "phi")          ? MOST_FEATURE
                             : !strcmp(name, "mixer")        ? MOST_MIXER
                             : !strcmp(name, "L")            ? MOST_LAYERS
                                                             : MOST_SIZE;
        if (mixer && !strcmp(name, "w")) least = 0; /* no convolution */
        if (without_memory && strchr("bLe", name[0]) && !name[1]) least = 0;
        if (dims[i] < least || dims[i] > most) return out_of_range(name, dims[i], least, most);
    }
    return 0;
}

/* Widths n0 .. nL of a memory, and the options that need equal ends. */
static const char *memory_fits(const Equation *e, const int64_t *dims) {
    const int first = name_index(e->dims, "n0"), L = (int)dim(e, dims, "L", 0);
    if (first < 0 || L == 0) return 0;
    for (int l = 0; l <= L; l++)
        if (dims[first + l] < 1) {
            snprintf(text, sizeof text, "a memory of %d layers needs widths n0 to n%d of at least 1", L, L);
            return text;
        }
    if ((dim(e, dims, "residual", 0) || dim(e, dims, "channelwise", 0)) && dims[first] != dims[first + L])
        return "a residual or channelwise decay needs n0 equal to the last width";
    return 0;
}

static const char *attention_fits(const Equation *e, const int64_t *dims) {
    const int64_t D = dim(e, dims, "D", 0), H = dim(e, dims, "H", 0), S = dim(e, dims, "S", 0);
    const int rotary = !strcmp(e->name, "rope"), mac = !strcmp(e->name, "mixer_mac");
    if (D && H && D % H) return "H must divide D";
    if (D && H && D / H % 2 && name_index(e->dims, "e") >= 0) return "D / H must be even (rotary positions)";
    if (D && H && D / H % 2 && !strcmp(e->name, "mixer_attention"))
        return "D / H must be even (rotary positions)";
    if (rotary && dim(e, dims, "dh", 0) % 2) return "dh must be even";
    if (S && S < dim(e, dims, "T", 0))
        return "S must be at least T: the queries are the last T of S positions";
    if (S && dim(e, dims, "prefix", 0) > S) return "the prefix cannot be longer than S";
    if ((mac || dim(e, dims, "mixer", 0) == 3) && dim(e, dims, "segment", 1) < 1)
        return "MAC needs a segment of at least 1";
    return 0;
}

/* Every tensor's size is a sum of products of at most four dimensions, one of them possibly twice. */
static const char *numbers_fit(const Equation *e, const int64_t *dims) {
    int64_t in[EQUATION_TENSORS] = {0}, out[EQUATION_TENSORS] = {0}, total = 0;
    double largest[3] = {1, 1, 1};
    for (int i = 0; i < oracle_count(e->dims); i++) {
        double x = (double)dims[i];
        for (int k = 0; k < 3; k++)
            if (x > largest[k]) {
                const double smaller = largest[k];
                largest[k] = x, x = smaller;
            }
    }
    if (largest[0] * largest[0] * largest[1] * largest[2] > 0x1p58)
        return "these dimensions are far too large";
    e->shape(dims, in, out);
    for (int i = 0; i < EQUATION_TENSORS; i++) {
        if (in[i] > MOST_NUMBERS || out[i] > MOST_NUMBERS) total = MOST_NUMBERS;
        total += in[i] > 0 && in[i] <= MOST_NUMBERS ? in[i] : 0;
        total += out[i] > 0 && out[i] <= MOST_NUMBERS ? out[i] : 0;
    }
    if (total < MOST_NUMBERS) return 0;
    snprintf(text, sizeof text, "these dimensions mean more than %d numbers", MOST_NUMBERS);
    return text;
}

const char *equation_dims_objection(const Equation *e, const int64_t *dims) {
    const char *objection = each_in_range(e, dims);
    if (!objection) objection = memory_fits(e, dims);
    if (!objection) objection = attention_fits(e, dims);
    return objection ? objection : numbers_fit(e, dims);
}
