#pragma once
/* All that the library computes lies between work_begin and work_end, which may lie within each other. In between denormal numbers
 * are 0 (base/flush.h) and as many threads take part as the machine leaves (base/share.h); afterwards the caller's threads have the
 * modes, and the caller the number of threads, that they had before. */

/* Returns what to give to work_end. */
int work_begin(void);
void work_end(int before);

/* A place where the number of threads may change: no scratch is in use whose size was made from it. Nothing happens where
 * several threads are at work already. */
void work_pause(void);

/* Within a pair: at most that many threads in what follows, until it is called with what it returned. */
int work_limit(int threads);
