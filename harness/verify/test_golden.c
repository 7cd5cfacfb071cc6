/* The golden vectors that are committed: they are what this program writes, our own kernels pass them, and a
 * wrong number, a wrong file or another version does not. */
#include "golden/cases.h"
#include "equation/adapter.h"
#include "ledger.h"
#include "file/safetensors.h"
#include "test_reference.h"

#include <omp.h>
#include <stdio.h>
#include <unistd.h>

static char folder[64];

/* The verdicts of golden_check, wrong numbers among them, are no news to who runs the suites. */
static void make_folder(void) {
    cr_assert(freopen("/dev/null", "w", stdout) != NULL);
    snprintf(folder, sizeof folder, "/tmp/titans-golden-XXXXXX");
    cr_assert(mkdtemp(folder) != NULL);
}

static void remove_folder(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert(!system(command));
}

Test(golden, committed_files_are_what_the_program_writes, .init = make_folder, .fini = remove_folder) {
    char message[512], command[256];
    int64_t cases = 0, gradients = 0;
    for (int i = 0; golden_family(i); i++) {
        cr_assert(!golden_write(folder, golden_family(i), &cases, &gradients, message, sizeof message), "%s",
                  message);
        for (int k = 0; k < 2; k++) {
            snprintf(command, sizeof command, "cmp results/golden/%s.%s %s/%s.%s", golden_family(i),
                     k ? "json" : "safetensors", folder, golden_family(i), k ? "json" : "safetensors");
            cr_assert(!system(command), "make golden writes something else for %s", golden_family(i));
        }
    }
    ledger_record("golden", "cases", cases, 0);
    ledger_record("golden", "gradients", gradients, 0);
}

/* Numbers of the kernel behind a case, as somebody else's file. */
typedef struct {
    SafeTensor list[256];
    int count;
    KernelRun run[64];
} Answers;

/* Golden tensors keep the names under which they were published. */
static const char *published(const Argument *a) { return a->symbol ? a->symbol : a->name; }

static float *tensor_floats(const SafeFile *f, int id, const char *part, const Argument *argument,
                            int64_t n) {
    char name[128];
    snprintf(name, sizeof name, "tc%04d/%s/%s", id, part, published(argument));
    float *x = run_zeros(n);
    const SafeTensor *t = n ? safetensors_find(f, name) : NULL;
    for (int64_t j = 0; t && j < n; j++) x[j] = (float)safetensors_number(t, j);
    return x;
}

static void answer(Answers *a, int id, const char *part, int64_t n, const float *x,
                   const Argument *argument) {
    if (!n || !x) return;
    SafeTensor *t = &a->list[a->count++];
    *t = (SafeTensor){.dims = 1, .shape = {n}, .count = n, .data = x};
    snprintf(t->name, sizeof t->name, "tc%04d/%s/%s", id, part, published(argument));
}

/* The kernels' gradient of a language model is that of its loss alone. */
static int has_gradient(const KernelAdapter *adapter, const Dims *dims) {
    for (int i = 0; dims->equation->out[i].name; i++)
        if (kernel_output_is_constant(dims->equation, i)) return 0;
    return kernel_differentiable(adapter, dims);
}

static void answer_case(Answers *a, const SafeFile *golden, const KernelAdapter *adapter,
                        const EquationCase *row, int id) {
    static Dims dims[64];
    dims[id] = case_dims(row);
    const Equation *e = dims[id].equation;
    const int gradient = has_gradient(adapter, &dims[id]);
    KernelRun *r = &a->run[id];
    *r = (KernelRun){.dims = &dims[id]};
    dims_sizes(r->dims, r->in_size, r->out_size);
    for (int i = 0; e->in[i].name; i++) {
        r->in[i] = tensor_floats(golden, id, "in", &e->in[i], r->in_size[i]);
        if (gradient) r->grad[i] = run_zeros(r->in_size[i]);
    }
    for (int i = 0; e->out[i].name; i++) {
        r->out[i] = run_zeros(r->out_size[i]);
        if (gradient) r->cotangent[i] = tensor_floats(golden, id, "cot", &e->out[i], r->out_size[i]);
    }
    adapter->run(r);
    for (int i = 0; e->out[i].name; i++) answer(a, id, "out", r->out_size[i], r->out[i], &e->out[i]);
    for (int i = 0; gradient && e->in[i].name; i++)
        if (kernel_gradient_is_computed(e, i)) answer(a, id, "grad", r->in_size[i], r->grad[i], &e->in[i]);
}

/* *tensors: how many were written. Returns the cases. */
static int64_t answer_family(const char *family, const char *path, int spoil, int64_t *tensors) {
    static Answers a;
    SafeFile golden;
    char name[128], message[512];
    GoldenCase c;
    KernelAdapter adapter;
    int64_t cases = 0;
    a = (Answers){.count = 0};
    snprintf(name, sizeof name, "results/golden/%s.safetensors", family);
    cr_assert(!safetensors_read(&golden, name, message, sizeof message), "%s", message);
    for (int k = 0; golden_case(k, &c); k++) {
        if (strcmp(c.family, family) || !kernel_adapter_find(c.row->equation, &adapter)) continue;
        const Dims dims = case_dims(c.row);
        if (kernel_accepts(&adapter, &dims, message, sizeof message)) continue;
        answer_case(&a, &golden, &adapter, c.row, c.number);
        cases++;
    }
    if (spoil && a.count) ((float *)(uintptr_t)a.list[0].data)[0] *= 1.001f;
    const SafeMetadata about[] = {{"family", family}};
    if (cases)
        cr_assert(!safetensors_write(path, a.list, a.count, about, 1, message, sizeof message), "%s",
                  message);
    *tensors = a.count;
    safetensors_close(&golden);
    for (int k = 0; k < 64; k++)
        for (int i = 0; i < EQUATION_ARGUMENTS; i++)
            free(a.run[k].in[i]), free(a.run[k].out[i]), free(a.run[k].grad[i]), free(a.run[k].cotangent[i]);
    return cases;
}

Test(golden, our_kernels_pass_and_a_spoilt_number_does_not, .init = make_folder, .fini = remove_folder) {
    char path[128], message[512];
    int64_t total = 0;
    snprintf(path, sizeof path, "%s/answers.safetensors", folder);
    for (int i = 0; golden_family(i); i++) {
        GoldenTotals t;
        int64_t tensors;
        const int64_t wanted = answer_family(golden_family(i), path, 0, &tensors);
        if (!wanted) continue;
        cr_assert(!golden_check("results/golden", path, 0, &t, message, sizeof message), "%s", message);
        cr_assert(t.wrong == 0 && t.cases >= wanted && t.judged == tensors,
                  "%s: %lld of %lld cases wrong (%lld wanted), %lld of %lld tensors judged", golden_family(i),
                  (long long)t.wrong, (long long)t.cases, (long long)wanted, (long long)t.judged,
                  (long long)tensors);
        total += wanted;
        answer_family(golden_family(i), path, 1, &tensors);
        cr_assert(!golden_check("results/golden", path, 0, &t, message, sizeof message) && t.wrong == 1,
                  "%s: a wrong number passed", golden_family(i));
    }
    ledger_record("golden", "kernels", total, 0);
}

enum { NOTHING = -1, PASSES, WRONG, NOT_JUDGED };

/* A file of one tensor, of which no more than `only` is wanted. */
static int judge_one(const char *family, const char *name, SafeType type, int64_t n, const void *data,
                     const char *only, char *message) {
    char path[128];
    GoldenTotals totals;
    const SafeTensor t = {.type = type, .dims = 1, .shape = {n}, .count = n, .data = data};
    SafeTensor list[1] = {t};
    const SafeMetadata about[] = {{"family", family}};
    snprintf(list[0].name, sizeof list[0].name, "%s", name);
    snprintf(path, sizeof path, "%s/one.safetensors", folder);
    cr_assert(!safetensors_write(path, list, 1, about, 1, message, 512), "%s", message);
    if (golden_check("results/golden", path, only, &totals, message, 512)) return NOTHING;
    return totals.wrong ? WRONG : totals.unjudged || totals.failed ? NOT_JUDGED : PASSES;
}

Test(golden, bad_files_are_refused, .init = make_folder, .fini = remove_folder) {
    static const char family[] = "eq01_02_attention", only[] = "tc0001,out/q";
    char message[512] = "", path[128];
    GoldenTotals t;
    const double zeros[64] = {0}, nothing[64] = {NAN};
    const int64_t integers[64] = {0};
    cr_assert(judge_one(family, "tc0001/out/q", SAFE_F64, 15, zeros, only, message) == WRONG);
    cr_assert(judge_one(family, "tc0001/out/q", SAFE_F64, 15, nothing, only, message) == WRONG, "NaN passed");
    cr_assert(judge_one(family, "tc0001/out/q", SAFE_F64, 14, zeros, only, message) == NOTHING);
    cr_assert(judge_one(family, "tc0001/out/q", SAFE_I64, 15, integers, only, message) == NOTHING);
    cr_assert(judge_one(family, "tc0001/out/wings", SAFE_F64, 15, zeros, only, message) == NOTHING);
    cr_assert(judge_one(family, "tc0001/out/wings", SAFE_F64, 15, zeros, "tc0001,wings", message) == NOTHING);
    cr_assert(judge_one(family, "q", SAFE_F64, 15, zeros, 0, message) == NOTHING &&
              strstr(message, "tc0001"));
    cr_assert(judge_one("wings", "tc0001/out/q", SAFE_F64, 15, zeros, only, message) == NOTHING &&
              strstr(message, "family") && strstr(message, family));
    snprintf(path, sizeof path, "%s/nothing", folder);
    cr_assert(golden_check("results/golden", path, 0, &t, message, sizeof message) < 0);
    snprintf(path, sizeof path, "%s/one.safetensors", folder);
    cr_assert(judge_one(family, "tc0001/out/q", SAFE_F64, 15, zeros, only, message) == WRONG);
    cr_assert(golden_check("/nonexistent", path, 0, &t, message, sizeof message) < 0 &&
              strstr(message, "/nonexistent"));
    ledger_record("golden", "bad files", 11, 0);
}

/* A right answer does not cover for what is missing, unknown or of another shape. */
Test(golden, what_is_not_judged_fails, .init = make_folder, .fini = remove_folder) {
    static const char family[] = "eq01_02_attention";
    SafeFile golden;
    char message[512], path[128];
    GoldenTotals t;
    cr_assert(
        !safetensors_read(&golden, "results/golden/eq01_02_attention.safetensors", message, sizeof message));
    const SafeTensor *q = safetensors_find(&golden, "tc0001/out/q");
    const double zeros[64] = {0};
    cr_assert(q &&
              judge_one(family, q->name, SAFE_F64, q->count, q->data, "tc0001,out/q", message) == PASSES);
    cr_assert(judge_one(family, q->name, SAFE_F64, q->count, q->data, "q", message) == NOT_JUDGED,
              "other cases");
    cr_assert(judge_one(family, q->name, SAFE_F64, q->count, q->data, "tc0001", message) == NOT_JUDGED,
              "others");
    cr_assert(judge_one(family, q->name, SAFE_F64, q->count, q->data, 0, message) == NOT_JUDGED,
              "no gradient");
    static const char *const strange[] = {"tc0777/out/y", "tc0001/output/y", "tc0001/in/k", "y", 0};
    for (int i = 0; strange[i]; i++) {
        SafeTensor list[2] = {*q, {.type = SAFE_F64, .dims = 1, .shape = {3}, .count = 3, .data = zeros}};
        const SafeMetadata about[] = {{"family", family}};
        snprintf(list[1].name, sizeof list[1].name, "%s", strange[i]);
        snprintf(path, sizeof path, "%s/two.safetensors", folder);
        cr_assert(!safetensors_write(path, list, 2, about, 1, message, sizeof message), "%s", message);
        cr_assert(!golden_check("results/golden", path, "tc0001,out/q", &t, message, sizeof message) &&
                      t.wrong == 0 && t.judged == 1 && t.unjudged == 1,
                  "%s was passed over", strange[i]);
    }
    safetensors_close(&golden);
    ledger_record("golden", "not judged", 8, 0);
}

/* Bytes of a committed golden file, some room behind. */
static char *golden_bytes(int64_t *n) {
    FILE *f = fopen("results/golden/eq01_02_attention.safetensors", "rb");
    char *bytes = calloc(1, 1 << 20);
    cr_assert(f && bytes);
    *n = (int64_t)fread(bytes, 1, 1 << 20, f);
    cr_assert(*n > 0 && *n < 1 << 20);
    fclose(f);
    return bytes;
}

static void put_file(const char *path, const char *bytes, int64_t n) {
    FILE *f = fopen(path, "wb");
    cr_assert(f && fwrite(bytes, 1, (size_t)n, f) == (size_t)n && !fclose(f));
}

/* One text of the header becomes another of the same length; what golden_check says of the file then. */
static void expect_complaint(char *bytes, int64_t n, const char *from, const char *to,
                             const char *complaint) {
    char path[128], message[512] = "";
    GoldenTotals t;
    char *at = from ? memmem(bytes, (size_t)n, from, strlen(from)) : bytes;
    const size_t length = from ? strlen(from) : 0;
    cr_assert(at != NULL, "'%s' is not in the header", from);
    for (size_t i = 0; i < length; i++) at[i] = to[i];
    snprintf(path, sizeof path, "%s/eq01_02_attention.safetensors", folder);
    put_file(path, bytes, n);
    for (size_t i = 0; i < length; i++) at[i] = from[i];
    cr_assert(golden_check("results/golden", path, 0, &t, message, sizeof message) < 0 &&
                  strstr(message, complaint),
              "'%s' for '%s': %s", to ? to : "", complaint, message);
}

Test(golden, damaged_files_are_refused, .init = make_folder, .fini = remove_folder) {
    int64_t n;
    GoldenTotals t;
    char message[512] = "", path[128], *bytes = golden_bytes(&n);
    const uint64_t ten_gigabytes = 10000000000u;
    expect_complaint(bytes, n, "\"F64\"", "\"F16\"", "dtype");
    expect_complaint(bytes, n, "[15]", "[16]", "shape");
    expect_complaint(bytes, n, "\"data_offsets\":[0,", "\"data_offsets\":[8,", "");
    expect_complaint(bytes, n, "{\"__metadata__\"", "[\"__metadata__\"", "JSON");
    expect_complaint(bytes, n - 8, NULL, NULL, "");
    expect_complaint(bytes, n + 8, NULL, NULL, "follow the last tensor");
    expect_complaint(bytes, 4, NULL, NULL, "");
    char first[8];
    memcpy(first, bytes, 8);
    memcpy(bytes, &ten_gigabytes, 8);
    expect_complaint(bytes, n, NULL, NULL, "not a safetensors file");
    memcpy(bytes, first, 8);
    /* golden files of another version than the program's */
    char *version = memmem(bytes, (size_t)n, "\"version\":\"1\"", 13);
    cr_assert(version != NULL);
    version[11] = '9';
    snprintf(path, sizeof path, "%s/eq01_02_attention.safetensors", folder);
    put_file(path, bytes, n);
    cr_assert(golden_check(folder, "results/golden/eq01_02_attention.safetensors", 0, &t, message,
                           sizeof message) < 0 &&
                  strstr(message, "version 9"),
              "%s", message);
    free(bytes);
    ledger_record("golden", "damaged files", 9, 0);
}

/* The same numbers in half the bits are judged with half the bits' tolerance. */
Test(golden, a_type_is_judged_by_its_own_precision, .init = make_folder, .fini = remove_folder) {
    SafeFile golden;
    char message[512];
    uint16_t rounded[64];
    cr_assert(
        !safetensors_read(&golden, "results/golden/eq01_02_attention.safetensors", message, sizeof message));
    const SafeTensor *q = safetensors_find(&golden, "tc0001/out/q");
    cr_assert(q && q->count == 15);
    float single[64];
    for (int64_t i = 0; i < q->count; i++) {
        const float x = (float)safetensors_number(q, i);
        uint32_t bits;
        memcpy(&bits, &x, sizeof bits);
        rounded[i] = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
        bits = (uint32_t)rounded[i] << 16;
        memcpy(&single[i], &bits, sizeof bits);
    }
    cr_assert(judge_one("eq01_02_attention", "tc0001/out/q", SAFE_BF16, 15, rounded, "tc0001,out/q",
                        message) == PASSES);
    cr_assert(judge_one("eq01_02_attention", "tc0001/out/q", SAFE_F32, 15, single, "tc0001,out/q", message) ==
              WRONG);
    safetensors_close(&golden);
    ledger_record("golden", "precisions", 2, 0);
}
