/* A hash of every golden tensor's bytes, for machines and compilers where the harness's libraries are not: equal lists
 * mean equal files. */
#include "base/hash.h"
#include "golden/golden.h"

#include <inttypes.h>
#include <stdio.h>

int main(void) {
    for (int i = 0; golden_family(i); i++) {
        GoldenNumbers g = golden_numbers(golden_family(i));
        for (int k = 0; k < g.count; k++)
            printf("%s %s %016" PRIx64 "\n", golden_family(i), g.list[k].name,
                   hash_bytes(HASH_START, g.list[k].data, (size_t)g.list[k].count * sizeof(double)));
        golden_numbers_free(&g);
    }
    return 0;
}
