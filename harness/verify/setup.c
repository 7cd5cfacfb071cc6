/* The suites start with the kernels that a program would use. */
#include "base/dispatch.h"

#include <stdio.h>
#include <stdlib.h>

__attribute__((constructor)) static void choose_kernels(void) {
    char message[256];
    if (kernels_select(0, message, sizeof message)) {
        fprintf(stderr, "verify: TITANS_ISA: %s\n", message);
        exit(2);
    }
}
