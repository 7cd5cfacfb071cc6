/* How published tensors become ours: expressions over a case's sizes, views, and a verdict that finds what is wrong. */
#include "bench/peer/subject.h"
#include "ledger.h"
#include "peer/shared/judge.h"
#include "peer/shared/view.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A file in memory with one case: dims, and tensors without numbers. */
typedef struct {
    Vectors vectors;
    SafeTensor tensor[2];
    VectorCase c;
} Made;

static void made_new(Made *m) {
    *m = (Made){.tensor = {{.name = "c/in/w", .dims = 2, .shape = {6, 2}, .count = 12},
                           {.name = "c/in/x.y", .dims = 3, .shape = {3, 4, 5}, .count = 60}}};
    m->vectors.json =
        cJSON_Parse("{\"cases\": {\"c\": {\"dims\": {\"T\": 7, \"H\": 2, \"on\": true, \"how\": \"hf\", "
                    "\"cuts\": [3, 5], \"eps\": 0.5}}}}");
    m->vectors.tensors = (SafeFile){.tensors = m->tensor, .tensor_count = 2};
    cr_assert(vectors_case(&m->vectors, 0, &m->c));
    cr_assert(!vectors_case(&m->vectors, 1, &m->c));
}

Test(peers, expressions_are_read_as_arithmetic_over_the_dims) {
    static const struct {
        const char *text;
        double value;
    } good[] = {{"T", 7},         {"T+H*3-1", 12},    {"T-H-1", 4},       {"T-H+1", 6},   {"(T+1)/H", 4},
                {"on", 1},        {"?w", 1},          {"?z", 0},          {"axes(w)", 2}, {"axes(z)", 0},
                {"axis(w,0)", 6}, {"axis(x.y,H)", 5}, {"?x.y*3+T-(H)", 8}};
    static const char *const bad[] = {"",    "T+",   "U",         "(T",     "T)", "T/0",
                                      "how", "cuts", "axis(w,2)", "axes w", "2T"};
    Made m;
    char message[256];
    double value;
    made_new(&m);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        cr_assert(!case_number(&m.c, good[i].text, &value, message, sizeof message), "%s: %s", good[i].text,
                  message);
        cr_assert(value == good[i].value, "%s is %g", good[i].text, value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert(case_number(&m.c, bad[i], &value, message, sizeof message), "'%s' was read as %g", bad[i],
                  value);
    cJSON_Delete(m.vectors.json);
    ledger_record("peers", "expressions", sizeof good / sizeof *good + sizeof bad / sizeof *bad, 0);
}

/* The places of one view, and how many there are; -1: refused. */
static int64_t places(const Made *m, const char *text, const SafeTensor *theirs, int64_t **place) {
    View v;
    char message[256];
    int64_t count;
    if (view_next(&text, &v, message, sizeof message) != 1) return -1;
    return view_places(&v, &m->c, theirs, place, &count, message, sizeof message) ? -1 : count;
}

Test(peers, views_choose_rows_and_turn_them) {
    static const struct {
        const char *text;
        int64_t count, place[12];
    } good[] = {{"a=w", 12, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
                {"a=w'", 12, {0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11}},
                {"a=w[H:4]", 4, {4, 5, 6, 7}},
                {"a=w[1:3]'?", 4, {2, 4, 3, 5}},
                {"a=w[2;1:2;3]", 4, {2, 3, 8, 9}},
                {"a=w[2;0:2;3]'", 8, {0, 2, 6, 8, 1, 3, 7, 9}}};
    static const char *const bad[] = {"a=w[0:7]", "a=w[3:2]", "a=w[2;0:3;2]", "a=w[3;0:1;3]", "a=w[0:U]",
                                      "a w",      "a="};
    Made m;
    int64_t *place;
    made_new(&m);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        cr_assert_eq(places(&m, good[i].text, &m.tensor[0], &place), good[i].count, "%s", good[i].text);
        cr_assert(!memcmp(place, good[i].place, (size_t)good[i].count * sizeof *place), "%s", good[i].text);
        free(place);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert(places(&m, bad[i], &m.tensor[0], &place) < 0, "'%s' was taken", bad[i]);
    cJSON_Delete(m.vectors.json);
    ledger_record("peers", "views", sizeof good / sizeof *good + sizeof bad / sizeof *bad, 0);
}

/* Retention of two tokens, one number wide, by hand: o = [1, gamma + 1], and its gradients. */
enum { OUT, COT, IN_Q, IN_K, IN_V, IN_GAMMA, GRAD_Q, GRAD_K, GRAD_V, GRAD_GAMMA, EXTRA, TENSORS };
typedef struct {
    Vectors vectors;
    SafeTensor tensor[TENSORS];
    double number[TENSORS][2];
    VectorCase c;
} Retention;

static void retention_new(Retention *r, double gamma, const char *tokens) {
    static const char *const names[] = {"out/o",  "cot/out/o", "in/q",   "in/k",       "in/v",  "in/gamma",
                                        "grad/q", "grad/k",    "grad/v", "grad/gamma", "grad/z"};
    const double number[TENSORS][2] = {{1, gamma + 1}, {1, 1},         {1, 1},         {1, 1},         {1, 1},
                                       {gamma},        {1, gamma + 1}, {gamma + 1, 1}, {gamma + 1, 1}, {1}};
    char json[128];
    *r = (Retention){0};
    memcpy(r->number, number, sizeof number);
    for (int i = 0; i < TENSORS; i++) {
        const int one = i == IN_GAMMA || i == GRAD_GAMMA;
        SafeTensor *t = &r->tensor[i];
        *t = (SafeTensor){.type = SAFE_F64,
                          .dims = one ? 1 : 4,
                          .shape = {1, one ? 1 : 2, 1, 1},
                          .count = one ? 1 : 2,
                          .data = r->number[i]};
        snprintf(t->name, sizeof t->name, "c/%s", names[i]);
    }
    snprintf(json, sizeof json, "{\"cases\": {\"c\": {\"dims\": {\"T\": %s, \"H\": 1, \"K\": 1, \"V\": 1}}}}",
             tokens);
    r->vectors.json = cJSON_Parse(json);
    r->vectors.tensors = (SafeFile){.tensors = r->tensor, .tensor_count = EXTRA};
    cr_assert(vectors_case(&r->vectors, 0, &r->c));
}

/* Judges and releases; NULL: it must pass, else it must fail and say so. */
static void expect_verdict(Retention *r, const char *says) {
    const Peer *peer = 0;
    char text[JUDGE_TEXT];
    for (int i = 0; peer_at(i); i++)
        if (!strcmp(peer_at(i)->system, "retention")) peer = peer_at(i);
    cr_assert(peer);
    const Judgement j = judge_case(peer, &r->c, "reference", text);
    cr_assert_eq(j, says ? JUDGE_FAIL : JUDGE_PASS, "%s: %s", says ? says : "passes", text);
    cr_assert(!says || strstr(text, says), "'%s' does not say '%s'", text, says);
    cJSON_Delete(r->vectors.json);
}

Test(peers, nothing_passes_that_was_not_compared) {
    Retention r;
    int shapes = 0;
    retention_new(&r, 0.5, "2"), expect_verdict(&r, 0);
    retention_new(&r, 0, "2"), expect_verdict(&r, 0); /* a decay of 0 has a gradient like any other */
    const int judged[] = {OUT, GRAD_Q, GRAD_K, GRAD_V, GRAD_GAMMA};
    for (size_t i = 0; i < sizeof judged / sizeof *judged; i++) {
        retention_new(&r, 0.5, "2");
        r.number[judged[i]][0] += 1e-9;
        expect_verdict(&r, "theirs");
    }
    for (int i = 0; i < EXTRA; i++) {
        if (i == OUT || (i >= IN_Q && i <= IN_GAMMA)) continue;
        retention_new(&r, 0.5, "2"), r.tensor[i].shape[r.tensor[i].dims - 1]++, r.tensor[i].count *= 2;
        expect_verdict(&r, "another shape"), shapes++;
        retention_new(&r, 0.5, "2"), r.tensor[i].type = SAFE_OTHER;
        expect_verdict(&r, "are not read");
    }
    retention_new(&r, 0.5, "2.5"), expect_verdict(&r, "no whole number");
    retention_new(&r, 0.5, "2"), r.tensor[IN_K].shape[0] = 2, expect_verdict(&r, "another tensor 1");
    retention_new(&r, 0.5, "2"), r.tensor[OUT].shape[0] = 2, expect_verdict(&r, "another tensor 1");
    retention_new(&r, 0.5, "2"), r.tensor[IN_Q].shape[0] = 0, expect_verdict(&r, "a batch of nothing");
    retention_new(&r, 0.5, "2"), r.vectors.tensors.tensor_count++, expect_verdict(&r, "belongs to no tensor");
    ledger_record("peers", "verdicts", 2 + 5 + 2 * (uint64_t)shapes + 5, 0);
}

Test(peers, every_tensor_belongs_to_a_case) {
    Retention r;
    char message[256];
    retention_new(&r, 0.5, "2");
    cr_assert(!vectors_strangers(&r.vectors, message, sizeof message));
    snprintf(r.tensor[IN_Q].name, sizeof r.tensor[IN_Q].name, "cc/in/q");
    cr_assert(vectors_strangers(&r.vectors, message, sizeof message) && strstr(message, "cc/in/q"));
    cJSON_Delete(r.vectors.json);
    ledger_record("peers", "tensors of no case", 2, 0);
}

/* What `bench peers` times of ours: forward and backward stay within their arrays (which a sanitizer sees), and read what
 * forward alone reads. */
static void expect_same_reading(const char *spec) {
    enum { TOKENS = 80 };
    char message[256] = "";
    Subject s;
    cr_assert(!subject_open(spec, 1, TOKENS, &s, message, sizeof message), "%s: %s", spec, message);
    s.forward(s.self);
    const int64_t n = s.out.data ? subject_tensor_count(&s.out) : 0;
    float *once = malloc((size_t)(n + 1) * sizeof *once), largest = 0;
    cr_assert(once);
    if (n) memcpy(once, s.out.data, (size_t)n * sizeof *once);
    s.both(s.self);
    for (int64_t i = 0; i < n; i++) {
        largest = fmaxf(largest, fabsf(once[i]));
        cr_assert(isfinite(once[i]));
    }
    if (n) cr_assert(largest > 0 && !memcmp(once, s.out.data, (size_t)n * sizeof *once), "%s", spec);
    free(once);
    s.close(s.self);
}

Test(peers, subjects_of_the_bench_read_the_same_twice) {
    static const char *const specs[] = {"rule none",
                                        "rule none decays=1",
                                        "rule none decays=64",
                                        "rule key decays=64 rates=1",
                                        "rule pair decays=64",
                                        "rule momentum",
                                        "attention",
                                        "mixer lmm memory_layers=2 chunk=64",
                                        "mixer mamba2 key_width=64 value_width=64",
                                        "mixer longformer window=257 globals=4",
                                        "mixer bigbird block=64 random=3"};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) expect_same_reading(specs[i]);
    ledger_record("peers", "subjects", sizeof specs / sizeof *specs, 0);
}
