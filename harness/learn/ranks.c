#include "learn/ranks.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef TITANS_MPI
#include "terminal/interrupt.h"
#include "terminal/progress.h"

#include <mpi.h>
#include <time.h>
#endif

/* What launchers say of themselves: Open MPI, PMIx (srun, PRRTE), PMI (MPICH, srun); Slurm. */
static const char *const rank_names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"};
enum { MPI_NAMES = 3, ALL_NAMES = 4 };

static const char *rank_text(int names) {
    for (int i = 0; i < names; i++)
        if (getenv(rank_names[i])) return getenv(rank_names[i]);
    return 0;
}

static int rank_number(int names) {
    const char *text = rank_text(names);
    return text ? atoi(text) : 0;
}

int ranks_launched(void) { return rank_number(MPI_NAMES); }
int ranks_place(void) { return rank_number(ALL_NAMES); }

static int hushed = -1; /* what standard error is, else */
static void leave_silently(void) {
    if (hushed >= 0) _exit(0);
}

void ranks_hush(int rank) {
    const int null = rank > 0 ? open("/dev/null", O_WRONLY) : -1;
    if (null < 0) return;
    if ((hushed = dup(STDERR_FILENO)) >= 0 && !atexit(leave_silently)) dup2(null, STDERR_FILENO);
    close(null);
}

void ranks_speak(void) {
    if (hushed < 0) return;
    dup2(hushed, STDERR_FILENO);
    close(hushed);
    hushed = -1;
}

#ifdef TITANS_MPI
enum { SPINS = 2000, NAP_NANOSECONDS = 20000, TAG = 1 };
#define PATIENCE 0.5 /* seconds: mpirun kills one second after it has asked to stop */

/* MPI spins while it waits; this sleeps after a while, so that ranks can share cores. A rank that waits although all
 * were told to stop says so: that is what the death of another looks like from here. */
static int ranks_wait(MPI_Request request[2], const Ranks *ranks, int peer) {
    MPI_Status unused[2];
    double told = 0.0;
    int done = 0, said = 0;
    for (int64_t spin = 0; !done; spin++) {
        if (MPI_Testall(2, request, &done, unused)) return -1;
        if (done || spin < SPINS) continue;
        nanosleep(&(struct timespec){0, NAP_NANOSECONDS}, 0);
        if (!interrupt_requested()) continue;
        if (told <= 0.0) told = seconds_now();
        if (said || seconds_now() - told < PATIENCE) continue;
        said = 1;
        fprintf(
            stderr,
            "titans: rank %d of %d was told to stop and gets no answer from rank %d, which may have died; "
            "the last save stands, go on from it with --resume\n",
            ranks->rank, ranks->count, peer);
    }
    return 0;
}

static int ranks_exchange(const Ranks *ranks, int peer, const void *out, void *in, size_t bytes,
                          char *message, size_t size) {
    MPI_Request request[2];
    if (!MPI_Irecv(in, (int)bytes, MPI_BYTE, peer, TAG, MPI_COMM_WORLD, &request[0]) &&
        !MPI_Isend(out, (int)bytes, MPI_BYTE, peer, TAG, MPI_COMM_WORLD, &request[1]) &&
        !ranks_wait(request, ranks, peer))
        return 0;
    snprintf(message, size, "rank %d of %d cannot reach rank %d; the last save stands, go on with --resume",
             ranks->rank, ranks->count, peer);
    return -1;
}

int ranks_begin(Ranks *ranks, char *message, size_t size) {
    int level;
    *ranks = RANKS_ALONE;
    if (!rank_text(MPI_NAMES)) return 0;
    if (MPI_Init_thread(0, 0, MPI_THREAD_FUNNELED, &level) || level < MPI_THREAD_FUNNELED)
        return snprintf(message, size, "MPI could not be started with threads"), -1;
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &ranks->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks->count);
    ranks->exchange = ranks_exchange;
    return 0;
}

void ranks_end(int failed) {
    int begun;
    if (MPI_Initialized(&begun) || !begun) return;
    if (failed)
        MPI_Abort(MPI_COMM_WORLD, 1);
    else
        MPI_Finalize();
}
#else
int ranks_begin(Ranks *ranks, char *message, size_t size) {
    static const char *const count_names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"};
    *ranks = RANKS_ALONE;
    for (int i = 0; i < 2; i++) {
        const char *count = getenv(count_names[i]);
        if (!count || atoi(count) < 2) continue;
        snprintf(message, size,
                 "%d ranks were started, but this program is built without MPI (make MPI=1); to train alone "
                 "under a launcher, unset %s",
                 atoi(count), count_names[i]);
        return -1;
    }
    return 0;
}

void ranks_end(int failed) { (void)failed; }
#endif
