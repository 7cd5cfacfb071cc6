/* Products in bf16, from the documentation of TDPBF16PS and of conversion to bf16: with numbers as significands and powers
 * of two, rounded by counting units, without float arithmetic. */
#include "oracle/oracle.h"
#include "oracle/quad.h"

#include <math.h>

/* x to the nearest multiple of a power of two that leaves `bits` bits, ties to the even multiple; 0 where the result is
 * below the smallest normal float. 113 bits hold the exact sum of a product of two bf16 and a float here. */
static Quad nearest(Quad x, int bits) {
    int exponent;
    if (x == 0) return 0;
    frexp((double)x, &exponent);
    Quad unit = ldexp(1.0, exponent - bits);
    /* the conversion to double may have gone up to the next power of two */
    if ((x < 0 ? -x : x) < unit * (Quad)ldexp(1.0, bits - 1)) unit /= 2;
    const Quad units = x / unit;
    double whole = floor((double)units);
    while ((Quad)whole > units) whole -= 1;
    while ((Quad)whole + 1 <= units) whole += 1;
    const Quad rest = units - (Quad)whole;
    if (rest * 2 > 1 || (rest * 2 == 1 && fmod(whole, 2) != 0)) whole += 1;
    const Quad rounded = (Quad)whole * unit;
    return (rounded < 0 ? -rounded : rounded) < (Quad)0x1p-126 ? 0 : rounded;
}

/* One of the two partial sums of a block: the terms from `first` on, every other. */
static Quad partial(const Quad *a, const Quad *b, int64_t terms, int64_t stride, int64_t first) {
    Quad sum = 0;
    for (int64_t k = first; k < terms; k += 2) sum = nearest(a[k] * b[k * stride] + sum, 24);
    return sum;
}

static void bf16_product(const OracleCall *call) {
    const int64_t M = size(call, "rows"), K = size(call, "depth"), N = size(call, "columns");
    Quad *a = quads_from(in(call, "a"), M * K), *b = quads_from(in(call, "b"), K * N);
    Quad *y = quads_from(in(call, "c"), M * N), *bits = quads_from(in(call, "c"), M * N);
    for (int64_t i = 0; i < M * K; i++) a[i] = nearest(a[i], 8);
    for (int64_t i = 0; i < K * N; i++) b[i] = nearest(b[i], 8);
    for (int64_t i = 0; i < M; i++)
        for (int64_t j = 0; j < N; j++) {
            Quad *sum = &bits[i * N + j];
            for (int64_t k = 0; k < K; k++) y[i * N + j] += a[i * K + k] * b[k * N + j];
            for (int64_t k = 0; k < K; k += 32) {
                const int64_t terms = K - k < 32 ? K - k : 32;
                const Quad *left = a + i * K + k, *right = b + k * N + j;
                const Quad even = partial(left, right, terms, N, 0), odd = partial(left, right, terms, N, 1);
                *sum = nearest(*sum + nearest(even + odd, 24), 24);
            }
        }
    quads_to(out(call, "y"), y, M * N);
    quads_to(out(call, "bits"), bits, M * N);
}

static const OracleEquation equations[] = {{"bf16_product", bf16_product}, {0, 0}};
const OracleEquations oracle_equations_bf16 = {equations};
