#pragma once
/* What lies behind titans.h, for the library itself and for programs that train (harness/), which have models of
 * their own. */
#include "file/state.h"
#include "titans.h"

struct titans_model {
    Model *model;
    int owned; /* the model goes with it */
    Allocator memory;
    titans_options options;
};

/* A model of the caller's behind the library's face; it must outlive the result. */
titans_model library_model(Model *model);

/* Fills error (or not, when NULL) and returns status. */
titans_status library_fail(titans_error *error, titans_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Chooses the kernels, once for the process. */
titans_status library_begin(titans_error *error);

/* Around what computes: `threads` threads (0: as many as the caller has), denormal numbers flushed. The caller's number and
 * modes come back at the end, also where refused memory jumps out of what lies in between. */
typedef struct {
    int threads, limit, work;
} LibraryCall;
LibraryCall library_enter(int threads);
void library_leave(LibraryCall before);
