/* The suites start with the kernels that a program would use, and keep the threads that they ask for however busy the machine is. */
#include "base/dispatch.h"
#include "base/share.h"

#include <stdio.h>
#include <stdlib.h>

__attribute__((constructor)) static void choose_kernels(void) {
    char message[256];
    if (kernels_select(0, message, sizeof message)) {
        fprintf(stderr, "verify: TITANS_ISA: %s\n", message);
        exit(2);
    }
}

static double no_time(void) { return 1.0; }
static long none_taken(void) { return 0; }

__attribute__((constructor)) static void keep_threads(void) {
    share_source = (ShareSource){no_time, none_taken};
}
