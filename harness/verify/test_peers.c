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
