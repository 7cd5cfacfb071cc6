#include "equations.h"
#include "oracle_equations.h"
#include "quad.h"

#define RELEASING(name)                                                                                      \
    static void run_##name(const int64_t *dims, const double *const *in, double *const *out) {               \
        oracle_##name(dims, in, out);                                                                        \
        quads_release();                                                                                     \
    }
ORACLE_EQUATIONS(RELEASING)

#define ENTRY(name) {#name, run_##name},
const OracleEquation oracle_equations[] = {ORACLE_EQUATIONS(ENTRY){NULL, NULL}};
