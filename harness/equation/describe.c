#include "equation/describe.h"
#include "equation/adapter.h"
#include "equation/cases.h"
#include "equation/inputs.h"
#include "equation/oracle.h"

#include <string.h>

/* ---- text in columns --------------------------------------------------------------------------------------------- */

enum { INDENT = 2, NAME_COLUMNS = 28, WIDEST = 118 };

/* Words of `text` at column `at` of a line; where that becomes too wide, they go on below from `column` on. */
static void print_wrapped(FILE *to, int column, int at, const char *text) {
    for (int first = 1; *text; first = 0) {
        const int length = (int)strcspn(text, " ");
        const int wide = !first && at + 1 + length > WIDEST;
        if (wide) at = fprintf(to, "\n%*s", column, "") - 1;
        at += fprintf(to, "%s%.*s", first || wide ? "" : " ", length, text);
        text += length;
        text += *text == ' ';
    }
    fprintf(to, "\n");
}

/* "  tokens (T)                 " */
static int print_name(FILE *to, const char *name, const char *symbol) {
    char both[96];
    if (symbol && symbol[0] == '!')
        snprintf(both, sizeof both, "%s (1 - %s)", name, symbol + 1);
    else if (symbol && strcmp(name, symbol))
        snprintf(both, sizeof both, "%s (%s)", name, symbol);
    else
        snprintf(both, sizeof both, "%s", name);
    return fprintf(to, "%*s%-*s ", INDENT, "", NAME_COLUMNS, both);
}

static void print_formula(FILE *to, const char *formula) {
    char line[1024];
    while (*formula) {
        const size_t length = strcspn(formula, "\n");
        snprintf(line, sizeof line, "%.*s", (int)length, formula);
        print_wrapped(to, 2 * INDENT, fprintf(to, "%*s", INDENT, ""), line);
        formula += length;
        formula += *formula == '\n';
    }
}

/* ---- dimensions --------------------------------------------------------------------------------------------------- */

/* "activation: silu gelu (or 0 to 1) [silu]", "1 to 4, to be given" */
static void range_text(const Dimension *d, char *text, size_t size) {
    Dims none = {.mixer = 0};
    char range[96], value[48];
    dims_range(d, range, sizeof range);
    if (d->values && !strcmp(d->values, MIXERS))
        snprintf(text, size, "a mixer, to be given");
    else if (d->initial < d->least)
        snprintf(text, size, "%s, to be given", range);
    else
        snprintf(text, size, "%s [%s]", range, dims_value_name(&none, d, d->initial, value, sizeof value));
}

static void print_dimension(FILE *to, const Dimension *d) {
    char text[512], range[192];
    if (d->derived) {
        snprintf(text, sizeof text, "follows: %s", d->meaning);
    } else {
        range_text(d, range, sizeof range);
        snprintf(text, sizeof text, "%s: %s", range, d->meaning);
    }
    print_wrapped(to, INDENT + NAME_COLUMNS + 1, print_name(to, d->name, d->symbol), text);
}

/* The mixers that a dimension of MIXERS may name. */
static void print_mixers(FILE *to) {
    char text[512] = "mixers, whose dimensions come with them (titans equation --describe mixer_NAME):";
    for (const Equation *const *file = reference_double.files; *file; file++)
        for (const Equation *e = *file; e->name; e++)
            if (!strncmp(e->name, MIXERS, strlen(MIXERS)))
                snprintf(text + strlen(text), sizeof text - strlen(text), " %s", e->name + strlen(MIXERS));
    fprintf(to, "%*s", INDENT, "");
    print_wrapped(to, INDENT, INDENT, text);
}

static void print_dimensions(FILE *to, const Equation *e) {
    const Dims d = {.equation = e};
    const char *rule;
    fprintf(to, "dimensions: name (symbol), range [default], meaning\n");
    for (const Dimension *each = e->dims; each->name; each++) {
        print_dimension(to, each);
        if (each->values && !strcmp(each->values, MIXERS)) print_mixers(to);
    }
    for (int i = 0; (rule = dims_rule(&d, i)); i++) {
        fprintf(to, "%*s", INDENT, "");
        print_wrapped(to, INDENT, INDENT, rule);
    }
    fprintf(to, "%*sall tensors together have fewer than %d numbers\n", INDENT, "", DIMS_NUMBERS);
}

/* ---- tensors ------------------------------------------------------------------------------------------------------ */

static const char *role_text(Role role) {
    static const char *const text[ROLES] = {
        [INDEX] = "whole numbers 0 to vocab - 1",
        [TARGET] = "whole numbers -1 to vocab - 1, -1 counts for nothing",
        [DECAY] = "meant to be 0 to 1",
        [STEP] = "meant to be at least 0",
        [CARRY] = "meant to be 0 to 1",
        [LOG_DECAY] = "meant to be at most 0",
        [LIMIT] = "above 0",
    };
    return text[role];
}

/* "[tokens][n0]" */
static void shape_text(const Argument *a, char *text, size_t size) {
    size_t used = 0;
    for (const char *word = a->shape; *word && used < size;) {
        const size_t length = strcspn(word, " ");
        used += (size_t)snprintf(text + used, size - used, "[%.*s]", (int)length, word);
        word += length + (word[length] == ' ');
    }
}

/* Ranges are told of inputs. */
static void print_arguments(FILE *to, const Argument *list, int inputs) {
    for (const Argument *a = list; a && a->name; a++) {
        char text[512], shape[128];
        const char *role = inputs ? role_text(a->role) : 0;
        shape_text(a, shape, sizeof shape);
        snprintf(text, sizeof text, "%s: %s%s%s", shape, a->meaning, role ? "; " : "", role ? role : "");
        print_wrapped(to, INDENT + NAME_COLUMNS + 1, print_name(to, a->name, a->symbol), text);
    }
}

/* ---- kernel and example ------------------------------------------------------------------------------------------- */

static void print_kernel(FILE *to, const Equation *e) {
    KernelAdapter adapter;
    if (!kernel_adapter_find(e->name, &adapter)) {
        fprintf(to, "kernel: none\n");
        return;
    }
    fprintf(to,
            "kernel (--impl scalar, avx2, avx512, amx, neon): %s, in float32; it refuses what it cannot "
            "compute\n",
            adapter.kernel);
    for (int i = 0; e->in[i].name; i++)
        if (!kernel_gradient_is_computed(e, i) && !role_is_index(e->in[i].role))
            fprintf(to, "%*sgrad/%s is not computed by the kernels\n", INDENT, "", e->in[i].name);
}

int equation_example(const Equation *e, char *text, size_t size) {
    const EquationCase *first = 0;
    for (int i = 0; case_at(i); i++) {
        if (strcmp(case_at(i)->equation, e->name)) continue;
        if (!first || (*case_at(i)->golden && !*first->golden)) first = case_at(i);
    }
    if (!first) return 0;
    snprintf(text, size, "%s", first->dims);
    for (char *blank = text; (blank = strchr(blank, ' '));) *blank = ',';
    return 1;
}

static void print_example(FILE *to, const Equation *e) {
    char dims[512];
    if (!equation_example(e, dims, sizeof dims)) return;
    fprintf(
        to,
        "example: seeded inputs and cotangents in their shapes, to be replaced by yours; then outputs and\n"
        "gradients of them\n"
        "  titans equation %s --example in.safetensors \\\n    --dims %s\n"
        "  titans equation %s --in in.safetensors --grad in.safetensors --out out.safetensors \\\n"
        "    --dims %s\n",
        e->name, dims, e->name, dims);
}

static const char *const conventions[] = {
    "What formulas name (l2_norm, conv, rope, gates, window_attention, ..) are equations of --list. Tensors "
    "are",
    "row-major, tokens are rows, weights are [in][out]; any shape of the same size is read. Names in "
    "brackets are",
    "accepted as well. Empty tensors may be left out. --grad names a file with a cotangent of every output, "
    "under",
    "its name. docs/errata.md says in which way the paper is read, docs/equations.md names the source.", 0};

void equation_describe(const Equation *e, FILE *to) {
    fprintf(to, "%s: %s\n", e->name, e->source);
    print_formula(to, e->formula);
    print_dimensions(to, e);
    if (e->blocks) fprintf(to, "a stack of blocks, which a language_model is built of: %s\n", e->blocks);
    if (!e->run) return;
    fprintf(to, "inputs: name (symbol), shape, meaning\n");
    print_arguments(to, e->in, 1);
    fprintf(to, "outputs:\n");
    print_arguments(to, e->out, 0);
    print_kernel(to, e);
    print_example(to, e);
    for (int i = 0; conventions[i]; i++) fprintf(to, "%s\n", conventions[i]);
}
