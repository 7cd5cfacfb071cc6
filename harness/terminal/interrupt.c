#include "terminal/interrupt.h"

#include <signal.h>

static volatile sig_atomic_t requested;

static void interrupt_note(int number) {
    (void)number;
    requested = 1;
}

void interrupt_catch(void) {
    struct sigaction action = {.sa_handler = interrupt_note, .sa_flags = (int)SA_RESETHAND | SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, 0);
    sigaction(SIGTERM, &action, 0);
}

int interrupt_requested(void) { return requested; }
