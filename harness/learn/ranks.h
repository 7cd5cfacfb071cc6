#pragma once
#include <stddef.h>
#include <stdint.h>

/* Processes ("ranks") that train one model together. All they can do is exchange bytes in pairs: what is built on it
 * (learn/tree.h) is the same over MPI and over sockets. */
typedef struct Ranks {
    int rank, count; /* which of how many; {0, 1}: alone */
    /* Sends `bytes` bytes to rank `peer` and receives as many from it. 0, or -1 with a message. */
    int (*exchange)(const struct Ranks *ranks, int peer, const void *out, void *in, size_t bytes,
                    char *message, size_t size);
    const void *link; /* what exchange needs */
} Ranks;

/* This process alone. */
#define RANKS_ALONE ((Ranks){.rank = 0, .count = 1})

/* The number that a launcher gave this process, without a word to MPI; 0 without a launcher. launched: one that MPI
 * programs are started by (mpirun, srun with PMI); place: Slurm's own number as well. */
int ranks_launched(void);
int ranks_place(void);

/* What is wrong with a command line is said by the first rank alone: between these two the others say nothing, and end
 * with 0 (a launcher ends all ranks when one fails, perhaps before the first has spoken). */
void ranks_hush(int rank);
void ranks_speak(void);

/* The ranks that mpirun has started with this one, RANKS_ALONE where there was no launcher. 0, or -1 with a message: one
 * launcher, and a program built without MPI. */
int ranks_begin(Ranks *ranks, char *message, size_t size);

/* failed: an exchange was cut short, nobody can be waited for any more, and all ranks are ended. */
void ranks_end(int failed);
