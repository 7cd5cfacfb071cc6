#pragma once
/* Threads on a machine that others use too. A thread that was taken off its core holds up all those that wait for its part of the
 * work: two threads can then be a hundred times slower than one. So where that happens a thread is given up, and tried again later,
 * ever more rarely while that fails. The number of threads changes no result. */

/* How many of at most `most` threads the calling thread should use now. Asks the system once in 20 ms. */
int share_threads(int most);

/* Part of the calling thread's threads that have been given up since it began: 0 on a machine of its own. */
double share_given_up(void);

/* The time in seconds, and how often threads of this process have been taken off a core so far. Tests put others in their place. */
typedef struct {
    double (*seconds)(void);
    long (*taken)(void);
} ShareSource;
extern ShareSource share_source;
