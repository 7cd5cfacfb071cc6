/* A hash of every golden tensor's bytes, for machines and compilers where the harness's libraries are not: equal lists
 * mean equal files. */
#include "golden/golden.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* FNV-1a */
static uint64_t hash(const void *data, size_t size) {
    uint64_t h = 0xcbf29ce484222325u;
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++) h = (h ^ bytes[i]) * 0x100000001b3u;
    return h;
}

int main(void) {
    for (int i = 0; golden_family(i); i++) {
        GoldenNumbers g = golden_numbers(golden_family(i));
        for (int k = 0; k < g.count; k++)
            printf("%s %s %016" PRIx64 "\n", golden_family(i), g.list[k].name,
                   hash(g.list[k].data, (size_t)g.list[k].count * sizeof(double)));
        golden_numbers_free(&g);
    }
    return 0;
}
