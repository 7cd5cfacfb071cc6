#include "base/wave.h"

#include <pthread.h>

/* first .. end - 1 are the segments that have not ended; done and busy belong to the segment of that remainder. */
typedef struct {
    const Wave *wave;
    int slots;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int64_t first, end;
    int done[WAVE_THREADS], busy[WAVE_THREADS];
} Front;

/* The earliest segment whose next cell may be done now, or -1. */
static int64_t front_ready(const Front *f) {
    for (int64_t s = f->first; s < f->end && s < f->first + f->slots; s++) {
        const int slot = (int)(s % f->slots);
        const int before = s == f->first || f->done[(s - 1) % f->slots] > f->done[slot];
        if (!f->busy[slot] && before) return s;
    }
    return -1;
}

/* A cell of segment s has ended. */
static void front_advance(Front *f, int64_t s, int stop) {
    const int slot = (int)(s % f->slots);
    f->busy[slot] = 0;
    f->done[slot]++;
    if (stop && s + 1 < f->end) f->end = s + 1;
    if (f->done[slot] < f->wave->layers) return;
    f->done[slot] =
        0; /* of the segment that takes its place; s was the first, as its last layer came after all before */
    f->first++;
}

static void front_work(Front *f) {
    pthread_mutex_lock(&f->lock);
    while (f->first < f->end) {
        const int64_t s = front_ready(f);
        if (s < 0) {
            pthread_cond_wait(&f->changed, &f->lock);
            continue;
        }
        const int slot = (int)(s % f->slots), layer = f->done[slot];
        f->busy[slot] = 1;
        pthread_mutex_unlock(&f->lock);
        const int stop = f->wave->cell(f->wave->context, s, layer);
        pthread_mutex_lock(&f->lock);
        front_advance(f, s, stop);
        pthread_cond_broadcast(&f->changed);
    }
    pthread_mutex_unlock(&f->lock);
}

static void wave_alone(const Wave *w) {
    for (int64_t s = 0, stop = 0; s < w->segments && !stop; s++)
        for (int layer = 0; layer < w->layers; layer++) stop |= w->cell(w->context, s, layer);
}

void wave_run(const Wave *wave, int threads) {
    Front f = {.wave = wave,
               .slots = threads < WAVE_THREADS ? threads : WAVE_THREADS,
               .lock = PTHREAD_MUTEX_INITIALIZER,
               .changed = PTHREAD_COND_INITIALIZER,
               .end = wave->segments};
    if (threads < 2) {
        wave_alone(wave);
        return;
    }
#pragma omp parallel num_threads(f.slots)
    front_work(&f);
    pthread_cond_destroy(&f.changed);
    pthread_mutex_destroy(&f.lock);
}
