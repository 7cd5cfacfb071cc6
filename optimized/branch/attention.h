#pragma once
#include "model/model.h"

/* The attention branch of a mixer, eqs 1-2 with rotary positions: q = rope(u Wq), k = rope(u Wk), v = u Wv,
 * heads side by side; without rope where there are no angles. Parameters: Wq Wk Wv. State: the key-value cache, batch heads x (padded prefix + ring)
 * rows; the ring is window + ATTENTION_RUN rows when streaming with a window, else every key of the sequence.
 */
enum { ATTENTION_BRANCH_PARAMETERS = 3, ATTENTION_RUN = 512 };

void attention_branch_parameters(ParameterList *list, int layer, const char *prefix, const Config *config);

/* Wk = Wq, both times `self` (0: as they are): a query finds its own key largest, so y starts near the value of
 * the token itself and not near the mean of what it sees, where every token looks alike. */
void attention_branch_start_at_self(double self, Tensor *parameter);

/* The key of a window: member `m` of a mixer's options S. */
#define WINDOW_FIELD(S, m)                                                                                   \
    INTEGER_FIELD(S, m, "window", 1, 1 << 24, 64, "sliding window: tokens seen, including itself")

/* What a mixer attends with: a window (0: all), `prefix` rows that stay visible (eq 27), `extra` rows that
 * the branch sees beyond the sequence's own. The same at start and in every call. */
AttendShape attention_branch_shape(const MixerCall *call, int64_t window, int64_t prefix, int64_t extra);
Tensor *attention_branch_cache(const MixerCall *call, const AttendShape *shape);

/* q, k, v of u's rows, whose angles are given; no prefix. */
AttentionInput attention_branch_input(const MixerCall *call, Tensor *parameter, Tensor *u,
                                      const float *angles);

/* u: the branch's next rows, `position` of them came before. angles: of u's rows. persistent (or NULL): the
 * prefix, with its own angles. places: what there is besides angles, or NULL. */
typedef struct {
    AttendShape shape;
    int64_t position;
    const float *angles, *persistent_angles;
    Tensor *persistent;
    const PositionOptions *places;
} AttentionView;
Tensor *attention_branch(const MixerCall *call, Tensor *parameter, Tensor *cache, Tensor *u,
                         const AttentionView *view);

/* Keys and values of the prefix into an input. */
void attention_branch_prefix(const MixerCall *call, Tensor *parameter, Tensor *persistent,
                             const float *angles, AttentionInput *in);

/* Per token: projections, and `keys` visible keys. */
double attention_branch_flops(const Config *config, double keys);

/* Keys in sight of a query when `context` have passed: at most a window (0: no window). */
double attention_branch_seen(int64_t window, double context);

/* Floats of the cache of one sequence that holds `ring` keys and `prefix` ones before them; the ring of a stream: a
 * window and a run, or all `context` tokens. */
int64_t attention_branch_state(const Config *config, int64_t prefix, int64_t ring);
int64_t attention_branch_ring(int64_t window, int64_t context);

/* Bytes of `keys` keys and values. */
double attention_branch_bytes(const Config *config, double keys);
