/* Someone else's numbers against the golden vectors. */
#include "golden/golden.h"
#include "golden/cases.h"
#include "file/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct {
    double unit, least;
} precision[SAFE_TYPES] = {[SAFE_F32] = {0x1p-24, 0x1p-126},
                           [SAFE_F64] = {0x1p-53, 0x1p-1022},
                           [SAFE_BF16] = {0x1p-8, 0x1p-126},
                           [SAFE_F16] = {0x1p-11, 0x1p-14}};

/* Worst element so far of one case. */
typedef struct {
    double ratio, got, want, allowed;
    int64_t at, checked;
    char tensor[96];
} Verdict;

static void judge(const SafeTensor *mine, const SafeTensor *theirs, const SafeTensor *gauge, Verdict *v) {
    for (int64_t i = 0; i < mine->count; i++) {
        const double got = safetensors_number(theirs, i), want = safetensors_number(mine, i);
        const double allowed =
            GOLDEN_K * precision[theirs->type].unit * (safetensors_number(gauge, i) + fabs(want)) +
            precision[theirs->type].least;
        const double ratio = isfinite(got) ? fabs(got - want) / allowed : (double)INFINITY;
        v->checked++;
        if (!(ratio > v->ratio)) continue;
        *v = (Verdict){ratio, got, want, allowed, i, v->checked, ""};
        snprintf(v->tensor, sizeof v->tensor, "%s", theirs->name);
    }
}

/* All tensors of FILE that belong to case `id` of the golden file. */
static int judge_case(const SafeFile *golden, const SafeFile *file, int id, Verdict *v, char *message,
                      size_t size) {
    char prefix[16], name[128];
    snprintf(prefix, sizeof prefix, "tc%04d/", id);
    for (int i = 0; i < file->tensor_count; i++) {
        const SafeTensor *t = &file->tensors[i];
        const char *rest = t->name + strlen(prefix);
        if (strncmp(t->name, prefix, strlen(prefix))) continue;
        if (strncmp(rest, "out/", 4) && strncmp(rest, "grad/", 5)) continue;
        const SafeTensor *mine = safetensors_find(golden, t->name);
        snprintf(name, sizeof name, "%sgauge/%s", prefix, rest);
        const SafeTensor *gauge = safetensors_find(golden, name);
        if (!mine || !gauge) return snprintf(message, size, "there is no golden tensor '%s'", t->name), -1;
        if (mine->count != t->count)
            return snprintf(message, size, "tensor '%s' has %lld numbers, the golden one %lld", t->name,
                            (long long)t->count, (long long)mine->count),
                   -1;
        judge(mine, t, gauge, v);
    }
    return 0;
}

static void report(const EquationCase *c, int id, const Verdict *v) {
    printf("tc%04d %-18s %-18s %s  worst %.3g of its tolerance (%lld numbers)\n", id, c->equation, c->flag,
           v->ratio <= 1.0 ? "pass" : "FAIL", v->ratio, (long long)v->checked);
    if (v->ratio <= 1.0) return;
    printf("       %s[%lld] = %.9g, the reference has %.9g +- %.3g (%s)\n       usually: %s\n", v->tensor,
           (long long)v->at, v->got, v->want, v->allowed, c->comment, golden_flag(c->flag)->bug);
}

static int check_family(const char *folder, const char *family, const SafeFile *file, int64_t *cases,
                        char *message, size_t size) {
    SafeFile golden;
    char path[1024], wanted[16];
    GoldenCase c;
    int failed = 0;
    snprintf(path, sizeof path, "%s/%s.safetensors", folder, family);
    if (safetensors_read(&golden, path, message, size)) return -1;
    const char *version = safetensors_metadata(&golden, "version");
    snprintf(wanted, sizeof wanted, "%d", GOLDEN_VERSION);
    if (!version || strcmp(version, wanted)) {
        snprintf(message, size, "%s is of version %s, this program knows %s", path,
                 version ? version : "none", wanted);
        safetensors_close(&golden);
        return -1;
    }
    for (int k = 0; failed >= 0 && golden_case(k, &c); k++) {
        Verdict v = {.ratio = 0.0};
        if (strcmp(c.family, family)) continue;
        if (judge_case(&golden, file, c.number, &v, message, size)) {
            failed = -1;
        } else if (v.checked) {
            report(c.row, c.number, &v);
            failed += v.ratio > 1.0;
            ++*cases;
        }
    }
    safetensors_close(&golden);
    return failed;
}

int golden_check(const char *folder, const char *file, int64_t *cases, char *message, size_t size) {
    SafeFile f;
    int known = 0, failed;
    if (safetensors_read(&f, file, message, size)) return -1;
    const char *family = safetensors_metadata(&f, "family");
    for (int i = 0; family && golden_family(i); i++) known |= !strcmp(golden_family(i), family);
    if (known) {
        failed = check_family(folder, family, &f, cases, message, size);
        if (failed >= 0 && *cases == 0) {
            snprintf(message, size, "%s has no tensor named like tc0001/out/y or tc0001/grad/k", file);
            failed = -1;
        }
    } else {
        snprintf(message, size, "%s: metadata \"family\" must name the family of its cases, not \"%s\"", file,
                 family ? family : "");
        failed = -1;
    }
    safetensors_close(&f);
    return failed;
}
