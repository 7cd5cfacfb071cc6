#pragma once
#include "learn/ranks.h"

/* Sums whose order is fixed. A batch is cut in `leaves` equal parts, a power of two, and what they give is added
 * pair by pair:   ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)).
 * A rank of R has a whole subtree, leaves / R neighbours; ranks then add to each other, first the two next to each
 * other. x + y = y + x to the bit, so both sides of a pair get the same sum, and all ranks end with the same bits
 * whatever R is. */

enum { TREE_LEVELS = 17, TREE_LOSSES = 2 };

/* The subtree of one rank. waiting[i]: the sum of 2^i leaves whose right neighbours are still to come. */
typedef struct {
    int64_t floats, leaves, seen;
    float *waiting[TREE_LEVELS]; /* for leaves of 2, 4, ..: log2(leaves) arrays, the caller's */
    double losses[TREE_LEVELS][TREE_LOSSES];
} Tree;

/* The next leaf: its gradient and its losses. It is added to what waits on its left; what must wait itself is kept, and
 * `gradient` and `losses` are 0 for the next leaf. After the last one they hold the sum. */
void tree_add(Tree *tree, float *gradient, double losses[TREE_LOSSES]);

/* ---- among ranks; each returns 0, or -1 with a message when a rank cannot be reached ---- */

/* The sums of every rank's numbers, added by the tree. */
int tree_floats(const Ranks *ranks, int64_t count, float *sum, char *message, size_t size);
int tree_reals(const Ranks *ranks, int64_t count, double *sum, char *message, size_t size);
int tree_integers(const Ranks *ranks, int64_t count, int64_t *sum, char *message, size_t size);

/* The largest of every rank's numbers. */
int tree_most(const Ranks *ranks, int64_t *number, char *message, size_t size);

/* What has happened to the lowest rank that something happened to: on all ranks its status (0: to none), and its message,
 * which names the rank. TREE_LOST when a rank cannot be reached. */
enum { TREE_LOST = -2 };
int tree_agree(const Ranks *ranks, int status, char *message, size_t size);

/* The first rank whose number is not that of rank 0; 0: all have the same. */
int tree_differs(const Ranks *ranks, uint64_t number, int *rank, char *message, size_t size);
