/* Someone else's numbers against the golden vectors. Whatever is not judged is named and fails the check: nothing passes
 * by being left out. */
#include "golden/golden.h"
#include "golden/cases.h"
#include "file/safetensors.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    double unit, least;
} precision[SAFE_TYPES] = {[SAFE_F32] = {0x1p-24, 0x1p-126},
                           [SAFE_F64] = {0x1p-53, 0x1p-1022},
                           [SAFE_BF16] = {0x1p-8, 0x1p-126},
                           [SAFE_F16] = {0x1p-11, 0x1p-14}};

/* One case: its worst element so far, how many tensors and numbers were judged, and how many were not. */
typedef struct {
    double ratio, got, want, allowed;
    int64_t at, numbers;
    int judged, unjudged;
    const char *tensor;
} Verdict;

typedef struct {
    const SafeFile *golden, *file;
    const char *only; /* words, or NULL: everything */
    GoldenTotals *totals;
    char *used; /* per tensor of the file: it belongs to something golden */
} Check;

static void judge(const SafeTensor *mine, const SafeTensor *theirs, const SafeTensor *gauge, Verdict *v) {
    v->judged++;
    for (int64_t i = 0; i < mine->count; i++) {
        const double got = safetensors_number(theirs, i), want = safetensors_number(mine, i);
        const double allowed =
            GOLDEN_K * precision[theirs->type].unit * (safetensors_number(gauge, i) + fabs(want)) +
            precision[theirs->type].least;
        const double ratio = isfinite(got) ? fabs(got - want) / allowed : (double)INFINITY;
        v->numbers++;
        if (!(ratio > v->ratio)) continue;
        v->ratio = ratio, v->got = got, v->want = want, v->allowed = allowed, v->at = i,
        v->tensor = theirs->name;
    }
}

/* ---- what was asked for: every word of a kind (case, out or grad, name) narrows it ---- */

static int is_case(const char *word, size_t n) { return n == 6 && !strncmp(word, "tc", 2); }
static int is_group(const char *word, size_t n) {
    return (n == 3 && !strncmp(word, "out", 3)) || (n == 4 && !strncmp(word, "grad", 4));
}

/* Whether the words admit "tc0001/out/y". */
static int wanted(const char *only, const char *name) {
    int asked[3] = {0}, met[3] = {0};
    const char *group = strchr(name, '/') + 1, *tensor = strchr(group, '/') + 1;
    for (const char *word = only; word && *word; word += strcspn(word, ","), word += *word == ',') {
        const size_t n = strcspn(word, ",");
        const int kind = is_case(word, n) ? 0 : is_group(word, n) ? 1 : 2;
        asked[kind] = 1;
        if (kind == 0) met[0] |= !strncmp(word, name, n);
        if (kind == 1) met[1] |= !strncmp(word, group, n) && group[n] == '/';
        if (kind == 2)
            met[2] |= (!strncmp(word, tensor, n) && !tensor[n]) || (!strncmp(word, group, n) && !group[n]);
    }
    return met[0] >= asked[0] && met[1] >= asked[1] && met[2] >= asked[2];
}

/* ---- one case ---- */

static void shape_text(const SafeTensor *t, char *text, size_t size) {
    size_t used = (size_t)snprintf(text, size, "%s [", safetensors_type(t->type));
    for (int d = 0; d < t->dims && d < SAFE_DIMS && used < size; d++)
        used += (size_t)snprintf(text + used, size - used, "%s%lld", d ? " x " : "", (long long)t->shape[d]);
    if (used < size) snprintf(text + used, size - used, "]");
}

static void not_judged(Verdict *v, const char *name, const char *why) {
    printf("       %s: not judged: %s\n", name, why);
    v->unjudged++;
}

static void check_tensor(const Check *c, const SafeTensor *mine, Verdict *v) {
    char name[256], got[160], why[256];
    const SafeTensor *theirs = safetensors_find(c->file, mine->name);
    snprintf(name, sizeof name, "%.6s/gauge/%.200s", mine->name, mine->name + 7);
    const SafeTensor *gauge = safetensors_find(c->golden, name);
    if (!theirs || !gauge) {
        not_judged(v, mine->name, "it is missing");
        return;
    }
    c->used[theirs - c->file->tensors] = 1;
    shape_text(theirs, got, sizeof got);
    if (!safetensors_is_real(theirs->type) || theirs->count != mine->count) {
        snprintf(why, sizeof why, "it is %s of %lld numbers; %lld in F64, F32, F16 or BF16 are wanted", got,
                 (long long)theirs->count, (long long)mine->count);
        not_judged(v, mine->name, why);
        return;
    }
    judge(mine, theirs, gauge, v);
}

static void report(const EquationCase *c, int id, const Verdict *v) {
    const int passed = v->ratio <= 1.0 && !v->unjudged;
    printf("tc%04d %-18s %-18s %s  worst %.3g of its tolerance (%d tensors, %lld numbers%s)\n", id,
           c->equation, c->flag, passed ? "pass" : "FAIL", v->ratio, v->judged, (long long)v->numbers,
           v->unjudged ? "; others not judged" : "");
    if (v->ratio <= 1.0) return;
    printf("       %s[%lld] = %.9g, the reference has %.9g +- %.3g (%s)\n       usually: %s\n", v->tensor,
           (long long)v->at, v->got, v->want, v->allowed, c->comment, golden_flag(c->flag)->bug);
}

static void check_case(const Check *c, const GoldenCase *g) {
    char prefix[16];
    Verdict v = {.ratio = 0.0};
    snprintf(prefix, sizeof prefix, "tc%04d/", g->number);
    for (int i = 0; i < c->golden->tensor_count; i++) {
        const SafeTensor *mine = &c->golden->tensors[i];
        const char *rest = mine->name + strlen(prefix);
        if (strncmp(mine->name, prefix, strlen(prefix))) continue;
        if ((!strncmp(rest, "out/", 4) || !strncmp(rest, "grad/", 5)) && wanted(c->only, mine->name))
            check_tensor(c, mine, &v);
    }
    if (!v.judged && !v.unjudged) return;
    report(g->row, g->number, &v);
    c->totals->cases++;
    c->totals->wrong += v.ratio > 1.0;
    c->totals->failed += v.ratio > 1.0 || v.unjudged;
    c->totals->judged += v.judged;
    c->totals->unjudged += v.unjudged;
}

/* Inputs that came along must be ours; what else is in the file has no meaning here, and is named. */
static void check_rest(const Check *c) {
    for (int i = 0; i < c->file->tensor_count; i++) {
        const SafeTensor *t = &c->file->tensors[i], *mine = safetensors_find(c->golden, t->name);
        const char *why = 0;
        if (c->used[i] || (mine && strstr(t->name, "/gauge/"))) continue;
        if (!mine)
            why = "the family has no such tensor";
        else if (strstr(t->name, "/in/") || strstr(t->name, "/cot/")) {
            int same = t->count == mine->count;
            for (int64_t j = 0; same && j < t->count; j++)
                same = safetensors_number(t, j) == safetensors_number(mine, j);
            if (!same) why = "it is not the golden one: other inputs have other results";
        }
        if (!why) continue;
        printf("%s: not judged: %s\n", t->name, why);
        c->totals->unjudged++;
    }
}

/* ---- files ---- */

static int open_golden(SafeFile *golden, const char *folder, const char *family, char *message, size_t size) {
    char path[PATH_MAX + 64], wanted_version[16];
    snprintf(path, sizeof path, "%.*s/%s.safetensors", PATH_MAX, folder, family);
    if (safetensors_read(golden, path, message, size)) return -1;
    const char *version = safetensors_metadata(golden, "version");
    snprintf(wanted_version, sizeof wanted_version, "%d", GOLDEN_VERSION);
    if (version && !strcmp(version, wanted_version)) return 0;
    snprintf(message, size, "%s is of version %s, this program knows %s", path, version ? version : "none",
             wanted_version);
    safetensors_close(golden);
    return -1;
}

static int check_family(const char *folder, const char *family, const SafeFile *file, const char *only,
                        GoldenTotals *totals, char *message, size_t size) {
    SafeFile golden;
    GoldenCase g;
    if (open_golden(&golden, folder, family, message, size)) return -1;
    const Check c = {&golden, file, only, totals, calloc((size_t)file->tensor_count + 1, 1)};
    for (int k = 0; c.used && golden_case(k, &g); k++)
        if (!strcmp(g.family, family)) check_case(&c, &g);
    if (c.used) check_rest(&c);
    free(c.used);
    safetensors_close(&golden);
    if (totals->judged) return 0;
    snprintf(message, size, "nothing was judged: no tensor is named like tc0001/out/y or tc0001/grad/k%s",
             only ? " and admitted by --only" : "");
    return -1;
}

static void family_list(char *text, size_t size) {
    size_t used = 0;
    for (int i = 0; golden_family(i) && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, " %s", golden_family(i));
}

int golden_check(const char *folder, const char *file, const char *only, GoldenTotals *totals, char *message,
                 size_t size) {
    SafeFile f;
    int known = 0, status = -1;
    char families[1024];
    *totals = (GoldenTotals){0};
    if (safetensors_read(&f, file, message, size)) return -1;
    const char *family = safetensors_metadata(&f, "family");
    for (int i = 0; family && golden_family(i); i++) known |= !strcmp(golden_family(i), family);
    family_list(families, sizeof families);
    if (known)
        status = check_family(folder, family, &f, only, totals, message, size);
    else
        snprintf(message, size,
                 "%s: metadata \"family\" must name the family of its cases, not \"%.100s\"; there are:%s",
                 file, family ? family : "", families);
    safetensors_close(&f);
    return status;
}
