#include "terminal/interrupt.h"
#include "file/input.h"

#include <signal.h>

static volatile sig_atomic_t requested;

static void interrupt_note(int number) { requested = number; }

void interrupt_catch(void) {
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = interrupt_note, .sa_flags = (int)SA_RESETHAND | SA_RESTART}, now;
    sigemptyset(&action.sa_mask);
    input_stop = interrupt_requested;
    for (int i = 0; i < 3; i++)
        /* nohup's wish is kept; SIGINT, which shells ignore for what runs in the background, is for those who send it */
        if (signals[i] != SIGHUP || (!sigaction(SIGHUP, 0, &now) && now.sa_handler != SIG_IGN))
            sigaction(signals[i], &action, 0);
}

int interrupt_requested(void) { return requested != 0; }
int interrupt_number(void) { return requested; }
void interrupt_share(int number) { requested = number; }

int interrupt_status(int status) {
    if (status == 0) return 0;
    return requested ? 128 + requested : 1;
}
