#include "base/work.h"
#include "file/checkpoint.h"
#include "library/library.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

const char *titans_version(void) { return TITANS_VERSION; }

titans_status library_fail(titans_error *error, titans_status status, const char *format, ...) {
    va_list list;
    if (!error) return status;
    error->status = status;
    va_start(list, format);
    vsnprintf(error->message, sizeof error->message, format, list);
    va_end(list);
    return status;
}

static pthread_once_t chosen = PTHREAD_ONCE_INIT;
static char choice_message[256];
static int choice_failed;

static void choose(void) { choice_failed = kernels_select(0, choice_message, sizeof choice_message); }

titans_status library_begin(titans_error *error) {
    pthread_once(&chosen, choose);
    if (!choice_failed) return TITANS_OK;
    return library_fail(error, TITANS_BAD_ARGUMENT, "TITANS_ISA: %s", choice_message);
}

LibraryCall library_enter(int threads) {
    LibraryCall before = {0};
#ifdef _OPENMP
    before.threads = omp_get_max_threads();
    if (threads > 0) {
        omp_set_num_threads(threads);
        before.limit = work_limit(threads);
    }
#else
    (void)threads;
#endif
    before.work = work_begin();
    return before;
}

void library_leave(LibraryCall before) {
    work_end(before.work);
#ifdef _OPENMP
    if (before.limit) work_limit(before.limit);
    omp_set_num_threads(before.threads);
#endif
}

titans_model library_model(Model *model) { return (titans_model){.model = model}; }

titans_model *titans_model_open(const char *path, const titans_options *options, titans_error *error) {
    char message[512];
    if (library_begin(error)) return 0;
    if (options && !options->allocate != !options->release) {
        library_fail(error, TITANS_BAD_ARGUMENT, "allocate and release come together");
        return 0;
    }
    titans_model *m = calloc(1, sizeof *m);
    Model *model = calloc(1, sizeof *model);
    if (!m || !model) {
        library_fail(error, TITANS_NO_MEMORY, "no memory for a model");
        free(m);
        free(model);
        return 0;
    }
    *m = (titans_model){.model = model, .owned = 1};
    if (options) m->options = *options;
    m->memory = (Allocator){m->options.allocate, m->options.release, m->options.context};
    if (!checkpoint_load(path, &m->memory, model, 0, 0, 0, message, sizeof message)) return m;
    library_fail(error, strstr(message, "no memory") ? TITANS_NO_MEMORY : TITANS_BAD_FILE, "%s", message);
    free(model);
    free(m);
    return 0;
}

void titans_model_close(titans_model *m) {
    if (!m) return;
    if (m->owned) {
        model_free(m->model);
        free(m->model);
    }
    free(m);
}

const char *titans_model_mixer(const titans_model *m) { return m->model->mixer->name; }
double titans_model_number(const titans_model *m, const char *key) {
    return config_number(&m->model->config, key);
}
int64_t titans_model_weights(const titans_model *m) { return m->model->list.floats; }

int64_t titans_model_state_bytes(const titans_model *m, int64_t tokens) {
    return model_state_floats(m->model, tokens) * (int64_t)sizeof(float);
}
