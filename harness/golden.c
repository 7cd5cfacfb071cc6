#include "golden.h"
#include "check.h"
#include "golden_cases.h"
#include "inputs.h"
#include "model/safetensors.h"
#include "oracle.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT "titans.c golden vectors"

enum { PER_CASE = 6 * EQUATION_TENSORS, NORMWISE_OUT = 64, NORMWISE_GRAD = 256 };

const GoldenFlag *golden_flag(const char *name) {
    for (const GoldenFlag *f = golden_flags; f->name; f++)
        if (!strcmp(f->name, name)) return f;
    return 0;
}

const char *golden_family(int i) {
    const char *last = "";
    for (const GoldenCase *c = golden_cases; c->family; c++) {
        if (!strcmp(c->family, last)) continue;
        if (i-- == 0) return c->family;
        last = c->family;
    }
    return 0;
}

/* ---- one case ---- */

typedef struct {
    const GoldenCase *c;
    const Equation *e;
    int inputs, outputs;
    int64_t in_size[EQUATION_TENSORS], out_size[EQUATION_TENSORS];
    double *in[EQUATION_TENSORS], *out[EQUATION_TENSORS], *cot[EQUATION_TENSORS], *grad[EQUATION_TENSORS];
    double *gauge_out[EQUATION_TENSORS], *gauge_grad[EQUATION_TENSORS];
} Vectors;

static double *numbers(int64_t n) {
    double *x = calloc((size_t)n + 1, sizeof *x);
    CHECK(x, "no memory for %ld numbers", n);
    return x;
}

static void name_at(const char *names, int i, char *name, size_t size) {
    for (; i > 0; i--) names += strcspn(names, " ") + 1;
    snprintf(name, size, "%.*s", (int)strcspn(names, " "), names);
}

/* Nearest number with 8 significant bits, ties to even: what bf16 holds. */
static double bf16(double x) {
    int exponent;
    const double fraction = frexp(x, &exponent);
    return ldexp(nearbyint(ldexp(fraction, 8)), exponent - 8);
}

/* Smallest power of two that is not less: the gauge's last bits would be the library's choice. */
static double power_above(double x) {
    int exponent;
    if (!(x > 0.0)) return 0.0;
    const double fraction = frexp(x, &exponent);
    return ldexp(1.0, fraction == 0.5 ? exponent - 1 : exponent);
}

static int is_index(const char *name) { return is_index_name(name); }

static void set_all(int64_t n, double *x, double value) {
    for (int64_t j = 0; j < n; j++) x[j] = value;
}

/* What a flag does to the input of that name (rows of `width` numbers). */
static void apply_flag(const char *flag, const char *name, int64_t n, int64_t width, double *x) {
    const int alpha = !strcmp(name, "alpha");
    if (!strcmp(flag, "GateZero") && alpha) set_all(n, x, 0.0);
    if (!strcmp(flag, "GateOne") && alpha) set_all(n, x, 1.0);
    if (!strcmp(flag, "LongChunkUnderflow") && alpha) set_all(n, x, 1.0 - 0x1p-7);
    if (!strcmp(flag, "NoMomentum") && !strcmp(name, "eta")) set_all(n, x, 0.0);
    if (!strcmp(flag, "NoStep") && !strcmp(name, "theta")) set_all(n, x, 0.0);
    if (!strcmp(flag, "Confluent")) set_all(n, x, alpha ? 0.25 : 0.75);
    if (!strcmp(flag, "RepeatedKey") && (!strcmp(name, "k") || !strcmp(name, "v")))
        for (int64_t j = width; j < n; j++) x[j] = x[j % width];
    for (int64_t j = 0; !strcmp(flag, "TinyNorm") && j < n; j++) x[j] = ldexp(x[j], -20);
    for (int64_t j = 0; !strcmp(flag, "LargeLogits") && strcmp(name, "v") && j < n; j++)
        x[j] = ldexp(x[j], 5);
}

static void fill_inputs(Vectors *v, uint64_t seed) {
    uint64_t state = seed;
    for (int i = 0; i < v->inputs; i++) {
        char name[64];
        name_at(v->e->in, i, name, sizeof name);
        v->in[i] = numbers(v->in_size[i]);
        inputs_fill(v->e, v->c->dims, i, v->in_size[i], v->in[i], &state);
        for (int64_t j = 0; j < v->in_size[i] && !is_index(name); j++) v->in[i][j] = bf16(v->in[i][j]);
        const int64_t T = v->c->dims[0], rows = T > 0 && v->in_size[i] % T == 0 ? T : 1;
        apply_flag(v->c->flag, name, v->in_size[i], v->in_size[i] / rows, v->in[i]);
    }
    for (int i = 0; i < v->outputs; i++) {
        v->cot[i] = numbers(v->out_size[i]);
        for (int64_t j = 0; j < v->out_size[i]; j++) v->cot[i][j] = bf16(2 * uniform(&state) - 1);
    }
}

static const double *const *constant(double *const *x) { return (const double *const *)x; }

/* sum a b with the error of every product and sum carried along: the last bit is right. */
typedef struct {
    double sum, rest;
} Careful;

static void careful_add(Careful *c, double a, double b) {
    const double product = a * b, error = fma(a, b, -product);
    const double sum = c->sum + product, part = sum - c->sum;
    c->rest += (c->sum - (sum - part)) + (product - part) + error;
    c->sum = sum;
}

#if defined HAVE_QUAD
static const Reference *const quad = &reference_quad, *const complex_quad = &reference_complex_quad;
#else
static const Reference *const quad = 0, *const complex_quad = 0;
#endif

/* Complex step in quad: tangents of all outputs for one input number at a time. */
static void quad_gradient(Vectors *v, int i) {
    double *tangent[EQUATION_TENSORS] = {0}, *slope[EQUATION_TENSORS] = {0}, *unused[EQUATION_TENSORS] = {0};
    for (int k = 0; k < v->inputs; k++) tangent[k] = numbers(v->in_size[k]);
    for (int k = 0; k < v->outputs; k++) slope[k] = numbers(v->out_size[k]);
    for (int64_t j = 0; j < v->in_size[i]; j++) {
        Careful c = {0.0, 0.0};
        tangent[i][j] = 1.0;
        oracle_run(complex_quad, v->e->name, v->c->dims, constant(v->in), constant(tangent), unused, slope, 0,
                   0);
        tangent[i][j] = 0.0;
        for (int k = 0; k < v->outputs; k++)
            for (int64_t m = 0; m < v->out_size[k]; m++) careful_add(&c, v->cot[k][m], slope[k][m]);
        v->grad[i][j] = c.sum + c.rest;
    }
    for (int k = 0; k < v->inputs; k++) free(tangent[k]);
    for (int k = 0; k < v->outputs; k++) free(slope[k]);
}

static double largest(int64_t n, const double *x) {
    double most = 0.0;
    for (int64_t j = 0; j < n; j++) most = fmax(most, fabs(x[j]));
    return most;
}

/* The running bound in units of 2^-24; where it compounds until it says nothing, a normwise one takes its
 * place. */
static void gauge(int64_t n, double *bound, const double *value, double normwise) {
    const double most = normwise * largest(n, value);
    for (int64_t j = 0; j < n; j++) bound[j] = power_above(fmin(bound[j] * 0x1p24, most));
}

static void fill_gauges(Vectors *v) {
    double *grad[EQUATION_TENSORS] = {0}, *out[EQUATION_TENSORS] = {0};
    for (int i = 0; i < v->outputs; i++) out[i] = numbers(v->out_size[i]);
    for (int i = 0; i < v->inputs; i++)
        if (v->grad[i]) grad[i] = numbers(v->in_size[i]);
    oracle_run(&reference_bound, v->e->name, v->c->dims, constant(v->in), 0, out, 0, v->gauge_out, 0);
    oracle_gradient(v->e->name, v->c->dims, constant(v->in), constant(v->cot), grad, v->gauge_grad);
    for (int i = 0; i < v->outputs; i++) gauge(v->out_size[i], v->gauge_out[i], v->out[i], NORMWISE_OUT);
    for (int i = 0; i < v->inputs; i++)
        if (v->grad[i]) gauge(v->in_size[i], v->gauge_grad[i], v->grad[i], NORMWISE_GRAD);
    for (int i = 0; i < EQUATION_TENSORS; i++) free(grad[i]), free(out[i]);
}

static Vectors vectors_new(const GoldenCase *c, uint64_t seed) {
    Vectors v = {.c = c, .e = oracle_find(&reference_double, c->equation)};
    v.inputs = oracle_count(v.e->in);
    v.outputs = oracle_count(v.e->out);
    v.e->shape(c->dims, v.in_size, v.out_size);
    fill_inputs(&v, seed);
    for (int i = 0; i < v.outputs; i++) {
        v.out[i] = numbers(v.out_size[i]);
        v.gauge_out[i] = numbers(v.out_size[i]);
    }
    oracle_run(quad, c->equation, c->dims, constant(v.in), 0, v.out, 0, 0, 0);
    for (int i = 0; i < v.inputs; i++) {
        char name[64];
        name_at(v.e->in, i, name, sizeof name);
        if (is_index(name) || v.in_size[i] == 0) continue;
        v.grad[i] = numbers(v.in_size[i]);
        v.gauge_grad[i] = numbers(v.in_size[i]);
        quad_gradient(&v, i);
    }
    fill_gauges(&v);
    return v;
}

static void vectors_free(Vectors *v) {
    for (int i = 0; i < EQUATION_TENSORS; i++) {
        free(v->in[i]), free(v->out[i]), free(v->cot[i]), free(v->grad[i]);
        free(v->gauge_out[i]), free(v->gauge_grad[i]);
    }
}

/* ---- writing ---- */

static void add_tensor(SafeTensor *list, int *count, int id, const char *part, const char *name, int64_t n,
                       const double *x) {
    if (!x || n == 0) return;
    SafeTensor *t = &list[(*count)++];
    *t = (SafeTensor){.type = SAFE_F64, .dims = 1, .shape = {n}, .count = n, .data = x};
    snprintf(t->name, sizeof t->name, "tc%04d/%s/%s", id, part, name);
}

static void add_vectors(SafeTensor *list, int *count, int id, const Vectors *v) {
    char name[64];
    for (int i = 0; i < v->inputs; i++) {
        name_at(v->e->in, i, name, sizeof name);
        add_tensor(list, count, id, "in", name, v->in_size[i], v->in[i]);
        add_tensor(list, count, id, "grad", name, v->in_size[i], v->grad[i]);
        add_tensor(list, count, id, "gauge/grad", name, v->in_size[i], v->gauge_grad[i]);
    }
    for (int i = 0; i < v->outputs; i++) {
        name_at(v->e->out, i, name, sizeof name);
        add_tensor(list, count, id, "out", name, v->out_size[i], v->out[i]);
        add_tensor(list, count, id, "cot", name, v->out_size[i], v->cot[i]);
        add_tensor(list, count, id, "gauge/out", name, v->out_size[i], v->gauge_out[i]);
    }
}

static cJSON *names_json(const char *names) {
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < oracle_count(names); i++) {
        char name[64];
        name_at(names, i, name, sizeof name);
        cJSON_AddItemToArray(list, cJSON_CreateString(name));
    }
    return list;
}

static cJSON *case_json(const Vectors *v, int id) {
    cJSON *test = cJSON_CreateObject(), *dims = cJSON_CreateObject();
    char tag[16], name[64];
    snprintf(tag, sizeof tag, "tc%04d", id);
    cJSON_AddStringToObject(test, "tcId", tag);
    cJSON_AddStringToObject(test, "equation", v->c->equation);
    cJSON_AddStringToObject(test, "source", v->e->source);
    cJSON_AddStringToObject(test, "comment", v->c->comment);
    cJSON_AddItemToObject(test, "flags", names_json(v->c->flag));
    for (int i = 0; i < oracle_count(v->e->dims); i++) {
        name_at(v->e->dims, i, name, sizeof name);
        cJSON_AddNumberToObject(dims, name, (double)v->c->dims[i]);
    }
    cJSON_AddItemToObject(test, "dims", dims);
    cJSON_AddItemToObject(test, "in", names_json(v->e->in));
    cJSON_AddItemToObject(test, "out", names_json(v->e->out));
    cJSON_AddStringToObject(test, "result", strcmp(v->c->flag, "Literal") ? "valid" : "acceptable");
    return test;
}

static cJSON *index_json(const char *family) {
    cJSON *index = cJSON_CreateObject(), *notes = cJSON_AddObjectToObject(index, "notes");
    cJSON_AddStringToObject(index, "format", FORMAT);
    cJSON_AddNumberToObject(index, "version", GOLDEN_VERSION);
    cJSON_AddStringToObject(index, "family", family);
    cJSON_AddStringToObject(index, "licence", "CC0-1.0");
    cJSON_AddStringToObject(index, "tolerance",
                            "|x - reference| <= k u (gauge + |reference|) + smallest normal of the type; "
                            "u = 2^-53 F64, 2^-24 F32, 2^-11 F16, 2^-8 BF16");
    cJSON_AddNumberToObject(index, "k", GOLDEN_K);
    for (const GoldenCase *c = golden_cases; c->family; c++)
        if (!strcmp(c->family, family) && !cJSON_HasObjectItem(notes, c->flag))
            cJSON_AddStringToObject(notes, c->flag, golden_flag(c->flag)->bug);
    return index;
}

static int write_index(const char *path, cJSON *index, char *message, size_t size) {
    char temporary[2048], *text = cJSON_Print(index);
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    FILE *f = fopen(temporary, "w");
    int failed = !f || !text || fprintf(f, "%s\n", text) < 0;
    if (f) failed |= fclose(f) != 0;
    free(text);
    if (!failed && !rename(temporary, path)) return 0;
    snprintf(message, size, "cannot write %s: %m", path);
    return -1;
}

int golden_write(const char *folder, const char *family, int64_t *cases, int64_t *gradients, char *message,
                 size_t size) {
    enum { MOST_CASES = 64 };
    static Vectors all[MOST_CASES];
    static SafeTensor list[MOST_CASES * PER_CASE];
    int count = 0, id = 0;
    char path[1024], version[16];
    if (!quad)
        return snprintf(message, size, "this build has no quad reference to write golden vectors with"), -1;
    cJSON *index = index_json(family), *tests = cJSON_AddArrayToObject(index, "tests");
    for (const GoldenCase *c = golden_cases; c->family; c++) {
        if (strcmp(c->family, family)) continue;
        CHECK(id < MOST_CASES, "more than %d cases in %s", MOST_CASES, family);
        all[id] = vectors_new(c, (uint64_t)(c - golden_cases) + 1);
        for (int i = 0; i < all[id].inputs; i++) *gradients += all[id].grad[i] ? all[id].in_size[i] : 0;
        cJSON_AddItemToArray(tests, case_json(&all[id], id + 1));
        add_vectors(list, &count, id + 1, &all[id]);
        id++;
    }
    *cases += id;
    snprintf(version, sizeof version, "%d", GOLDEN_VERSION);
    const SafeMetadata metadata[] = {{"format", FORMAT}, {"version", version}, {"family", family}};
    snprintf(path, sizeof path, "%s/%s.safetensors", folder, family);
    int status = safetensors_write(path, list, count, metadata, 3, message, size);
    snprintf(path, sizeof path, "%s/%s.json", folder, family);
    if (!status) status = write_index(path, index, message, size);
    cJSON_Delete(index);
    for (int i = 0; i < id; i++) vectors_free(&all[i]);
    return status;
}

/* ---- judging ---- */

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

static void report(const GoldenCase *c, int id, const Verdict *v) {
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
    int failed = 0, id = 0;
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
    for (const GoldenCase *c = golden_cases; c->family && failed >= 0; c++) {
        Verdict v = {.ratio = 0.0};
        if (strcmp(c->family, family)) continue;
        if (judge_case(&golden, file, ++id, &v, message, size)) {
            failed = -1;
        } else if (v.checked) {
            report(c, id, &v);
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
