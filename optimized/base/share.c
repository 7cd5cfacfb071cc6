#include "base/share.h"
#include "base/quota.h"

#include <sys/resource.h>
#include <time.h>

/* Seconds: what is looked at in one go; how long a thread that was given up stays so, at first and at most. */
static const double WINDOW = 0.1, SHORTEST = 0.05, LONGEST = 2.0;

/* Losses of a core per second that mean another process: one that computes on the same core takes it 100 to 300 times, what a quiet
 * system does in passing up to 30 times. In a window they are 10 and 3; were it shorter, chance would exceed the limit often. */
static const double OFTEN = 80.0;

static long system_taken(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) ? 0 : usage.ru_nivcsw;
}

static double system_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

ShareSource share_source = {system_seconds, system_taken};

/* since, taken: when the window began; retry: when one more thread is tried; patience: how long after the next failure. */
static _Thread_local struct {
    int given;
    double since, retry, patience, lost, seconds;
    long taken;
} own;

static void share_look(int most, double time) {
    const double seconds = time - own.since;
    const long taken = share_source.taken() - own.taken;
    own.lost += own.given * seconds / most;
    own.seconds += seconds;
    own.since = time;
    own.taken += taken;
    if ((double)taken > OFTEN * seconds) {
        if (own.given < most - 1) own.given++;
        own.retry = time + own.patience;
        own.patience = 2.0 * own.patience < LONGEST ? 2.0 * own.patience : LONGEST;
    } else if (own.given && time >= own.retry)
        own.given--;
    else if (!own.given)
        own.patience = SHORTEST;
}

int share_threads(int most) {
    const double time = share_source.seconds();
    const int allowed = quota_threads();
    if (most > allowed) most = allowed;
    if (own.since == 0.0) {
        own.since = time;
        own.taken = share_source.taken();
        own.patience = SHORTEST;
    }
    if (time - own.since >= WINDOW) share_look(most, time);
    return most - own.given > 1 ? most - own.given : 1;
}

double share_given_up(void) { return own.seconds > 0.0 ? own.lost / own.seconds : 0.0; }
