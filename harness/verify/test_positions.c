/* What attention knows of places: where stretching, sharpening and windows must change nothing, what the papers say of the
 * slowest and the fastest pair and of the slopes, and how a trained model is asked. */
#include "ledger.h"
#include "learn/trained.h"
#include "model/position.h"
#include "test_model.h"

enum { TOKENS = 45, WIDTH = 32, PAIRS = WIDTH / 2 };

/* Logits of a small attention (or window) at every position, from weights of seed 5. */
static void logits_of(const char *mixer, const char *more, float *logits) {
    Model m;
    char message[256];
    int32_t tokens[TOKENS], rows[TOKENS];
    Arena arena = {0};
    Tape tape = {&arena, 0, 0};
    const Recipe r = settings(mixer, "vocab=11 width=16 heads=2 layers=2 ffn=20", more);
    cr_assert(!model_create(&m, &r.model, 5, message, sizeof message), "%s", message);
    random_tokens(TOKENS, 4, tokens);
    for (int t = 0; t < TOKENS; t++) rows[t] = t;
    const ModelInput input = {
        .tokens = tokens, .batch = 1, .count = TOKENS, .rows = rows, .row_count = TOKENS};
    memcpy(logits, model_forward(&tape, &m, 0, &input)->data, (size_t)(TOKENS * VOCAB) * sizeof(float));
    arena_free(&arena);
    model_free(&m);
}

/* Pairs of settings with the same bits, and pairs that differ. */
Test(positions, at_their_limits_are_plain_attention) {
    static const struct {
        const char *mixer, *more, *other, *than;
        int same;
    } pairs[] = {
        {"attention", "rope_scaling=ntk trained_length=45 asked_length=45", "attention", "", 1},
        {"attention", "rope_scaling=yarn trained_length=45 asked_length=45", "attention", "", 1},
        {"attention", "rope_scaling=yarn trained_length=45 asked_length=9", "attention", "", 1},
        {"attention", "rope_scaling=yarn trained_length=9 asked_length=45", "attention", "", 0},
        {"attention", "rope_scaling=ntk trained_length=9 asked_length=45", "attention", "", 0},
        {"attention", "log_scale=1 trained_length=45", "attention", "", 1},
        {"attention", "log_scale=1 trained_length=44", "attention", "", 0},
        {"attention", "positions=alibi log_scale=1 trained_length=45", "attention", "positions=alibi", 1},
        {"attention", "positions=alibi", "attention", "positions=none", 0},
        {"attention", "positions=none", "attention", "", 0},
        {"swa", "persistent=0 window=45 positions=alibi", "attention", "positions=alibi", 1},
        {"swa", "persistent=0 window=45 positions=none", "attention", "positions=none", 1},
        {"swa", "persistent=0 window=44 positions=alibi", "attention", "positions=alibi", 0},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        float a[TOKENS * VOCAB], b[TOKENS * VOCAB];
        logits_of(pairs[i].mixer, pairs[i].more, a);
        logits_of(pairs[i].other, pairs[i].than, b);
        cr_assert((memcmp(a, b, sizeof a) == 0) == pairs[i].same, "%s %s: %s as %s %s", pairs[i].mixer,
                  pairs[i].more, pairs[i].same ? "not" : "the same", pairs[i].other, pairs[i].than);
    }
    ledger_record("positions", "limits", (int64_t)(sizeof pairs / sizeof *pairs) * TOKENS * VOCAB, 0);
}

/* Cosine of pair i after `position` tokens, stretched four times beyond 256 (scaling: none ntk yarn). */
static double cosine(int64_t scaling, int64_t position, int i) {
    const PositionOptions places = {.rope_scaling = scaling, .trained_length = 256, .asked_length = 1024};
    float angles[WIDTH];
    position_angles(&places, WIDTH, position, 1, angles);
    return (double)angles[i];
}

/* NTK: the slowest pair needs four times as many tokens, the fastest as many as before. YaRN: a pair that turns less than
 * once in 256 tokens is four times slower, one that turns more than 32 times is as it was, and all are longer. */
Test(positions, slow_pairs_are_stretched_and_fast_ones_are_not) {
    const double longer = 0.1 * log(4) + 1;
    int64_t checks = 0;
    for (int64_t t = 0; t < 300; t++)
        for (int i = 0; i < PAIRS; i++) {
            const double turns = 256 * pow(1e4, -2.0 * i / WIDTH) / (2 * acos(-1));
            const double fast = cosine(0, 4 * t, i), slow = cosine(0, t, i);
            if (i == PAIRS - 1) cr_assert(fabs(cosine(1, 4 * t, i) - slow) < 1e-6);
            if (i == 0) cr_assert(fabs(cosine(1, 4 * t, i) - fast) < 1e-6);
            if (turns > 32) cr_assert(fabs(cosine(2, 4 * t, i) - longer * fast) < 1e-6);
            if (turns < 1) cr_assert(fabs(cosine(2, 4 * t, i) - longer * slow) < 1e-6);
            checks += (i == 0) + (i == PAIRS - 1) + (turns > 32) + (turns < 1);
        }
    cr_assert(checks > 300 * 4);
    ledger_record("positions", "stretch", checks, 0);
}

/* As in the paper: of 8 heads 1/2 .. 1/256; of 12 those of 8, and between them the first four of 16. */
Test(positions, slopes_are_those_of_the_paper) {
    float eight[8], twelve[12];
    position_slopes(8, eight);
    position_slopes(12, twelve);
    for (int h = 0; h < 8; h++) {
        cr_assert((double)eight[h] == ldexp(1, -1 - h), "slope %d of 8 is %g", h, (double)eight[h]);
        cr_assert(eight[h] == twelve[h], "slope %d of 12 is %g", h, (double)twelve[h]);
    }
    for (int h = 8; h < 12; h++)
        cr_assert(fabs((double)twelve[h] / pow(2, -0.5 - (h - 8)) - 1) < 1e-7, "slope %d of 12 is %g", h,
                  (double)twelve[h]);
    ledger_record("positions", "slopes", 20, 0);
}

/* A committed model, trained on at most 256 tokens, asked for 1024. */
Test(positions, a_trained_model_is_asked_with_what_changes_no_weight) {
    static Trained t;
    char message[1024];
    const char *const yarn[] = {"rope_scaling=yarn"}, *const own[] = {"rope_scaling=ntk", "asked_length=512"};
    const char *const refused[][2] = {{"positions=none", "rope_scaling, trained_length, asked_length"},
                                      {"width=8", "no key that a trained model"},
                                      {"rope_scaling", "KEY=VALUE is wanted"},
                                      {"rope_scaling=linear", "none ntk yarn"}};
    cr_assert(!trained_open(&t, "results/checkpoints/attention-passkey-s0.safetensors", &(Asked){0}, 1024,
                            message, sizeof message),
              "%s", message);
    const Config *c = &t.model.config;
    cr_assert(!trained_ask(&t, yarn, 1, 1024, message, sizeof message), "%s", message);
    cr_assert(config_number(c, "trained_length") == 256 && config_number(c, "asked_length") == 1024);
    cr_assert(config_number(c, "rope_scaling") == 2);
    cr_assert(!trained_ask(&t, own, 2, 1024, message, sizeof message), "%s", message);
    cr_assert(config_number(c, "asked_length") == 512 && config_number(c, "rope_scaling") == 1);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        cr_assert(trained_ask(&t, refused[i], 1, 1024, message, sizeof message) < 0, "%s is taken",
                  refused[i][0]);
        cr_assert(strstr(message, refused[i][1]) != NULL, "%s: %s", refused[i][0], message);
    }
    cr_assert(!trained_ask(&t, 0, 0, 1024, message, sizeof message), "%s", message);
    cr_assert(config_number(c, "rope_scaling") == 0 && config_number(c, "asked_length") == 0);
    trained_close(&t);
    ledger_record("positions", "asked keys", 4 + sizeof refused / sizeof *refused, 0);
}
