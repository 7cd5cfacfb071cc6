/* Where the numbers of one of our tensors lie in theirs. */
#pragma once
#include "peer/shared/vectors.h"

typedef struct {
    char ours[48], theirs[160]; /* theirs: a tensor's name, or a dim's for `scalar` */
    char rows[96];              /* "a:b" or "g;a:b;n"; "": all */
    int batched, transposed, optional, scalar, constant;
    double plus; /* what is added; all there is to a constant */
} View;

/* Reads the next `ours=VIEW` of a list (peer/peer.h) and moves behind it. 1, 0 at the end, -1 with a message. */
int view_next(const char **list, View *view, char *message, size_t size);

/* For every number of one member of the batch (all of the tensor without one), its place in theirs: count numbers in
 * *place, to be freed. 0, or -1 with a message. */
int view_places(const View *view, const VectorCase *c, const SafeTensor *theirs, int64_t **place,
                int64_t *count, char *message, size_t size);
