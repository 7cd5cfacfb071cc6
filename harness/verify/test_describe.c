/* What `titans equation --describe` says of every equation: enough to call it, and true. */
#include "equation/cases.h"
#include "equation/describe.h"
#include "ledger.h"
#include "model/model.h"
#include "test_reference.h"

/* The description of an equation, to be given to free(). */
static char *description(const Equation *e) {
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    cr_assert(to != NULL);
    equation_describe(e, to);
    fclose(to);
    return text;
}

/* What stands behind a name between two headings, its line and those that continue it; fails where it is missing. */
static const char *entry(const Equation *e, const char *text, const char *heading, const char *name) {
    static char found[1024];
    char start[96];
    const char *part = strstr(text, heading);
    cr_assert(part != NULL, "%s: no '%s'", e->name, heading);
    snprintf(start, sizeof start, "\n  %s ", name);
    const char *at = strstr(part, start), *end = at;
    cr_assert(at != NULL, "%s: %s is not described", e->name, name);
    do end = strchr(end + 1, '\n');
    while (!strncmp(end, "\n        ", 9));
    snprintf(found, sizeof found, "%.*s", (int)(end - at - 1), at + 1);
    return found;
}

static void expect_in(const Equation *e, const char *name, const char *text, const char *wanted) {
    cr_assert(*wanted && strstr(text, wanted) != NULL, "%s: '%s' is not said of %s in:\n%s", e->name, wanted,
              name, text);
}

/* The first word of a meaning survives the line's end. */
static void expect_meaning(const Equation *e, const char *name, const char *text, const char *meaning) {
    char word[96];
    snprintf(word, sizeof word, "%.*s", (int)strcspn(meaning, " "), meaning);
    expect_in(e, name, text, word);
}

Test(describe, every_dimension_has_its_range_and_its_meaning) {
    int64_t checks = 0;
    for (int i = 0; oracle_at(i); i++) {
        const Equation *e = oracle_at(i);
        char *text = description(e), range[96];
        for (const Dimension *d = e->dims; d->name; d++, checks++) {
            const char *said = entry(e, text, "\ndimensions", d->name);
            expect_meaning(e, d->name, said, d->meaning);
            if (d->derived) {
                expect_in(e, d->name, said, "follows: ");
                continue;
            }
            dims_range(d, range, sizeof range);
            expect_in(e, d->name, said, range);
            if (d->initial < d->least) expect_in(e, d->name, said, "to be given");
        }
        free(text);
    }
    ledger_record("describe", "dimensions", checks, 0);
}

/* The product of "[tokens][3][heads]" at the dimensions d. */
static int64_t product_of(const Dims *d, const char *shape) {
    int64_t product = 1;
    for (; *shape == '['; shape = strchr(shape, ']') + 1) {
        char word[64];
        snprintf(word, sizeof word, "%.*s", (int)strcspn(shape + 1, "]"), shape + 1);
        product *= *word >= '0' && *word <= '9' ? strtoll(word, NULL, 10) : dims_get(d, word);
    }
    return product;
}

/* Shapes of a list of arguments as they are described, against the sizes of a case. */
static int64_t check_shapes(const Dims *d, const char *text, const char *heading, const Argument *list,
                            const int64_t *size) {
    int n = 0;
    for (; list && list[n].name; n++) {
        const char *said = entry(d->equation, text, heading, list[n].name), *shape = strchr(said, '[');
        int64_t written[EQUATION_RANK], product = 1;
        cr_assert(shape != NULL, "%s: %s has no shape", d->equation->name, list[n].name);
        expect_meaning(d->equation, list[n].name, said, list[n].meaning);
        cr_assert(product_of(d, shape) == size[n], "%s: %s has %lld numbers, said are %s", d->equation->name,
                  list[n].name, (long long)size[n], shape);
        const int rank = dims_shape(d, &list[n], written);
        for (int k = 0; k < rank; k++) product *= written[k];
        cr_assert(rank > 0 && product == size[n], "%s: %s is written in another shape", d->equation->name,
                  list[n].name);
    }
    return n;
}

Test(describe, every_tensors_shape_has_its_size_in_every_case) {
    int64_t checks = 0;
    for (int i = 0; case_at(i); i++) {
        const Dims d = case_dims(case_at(i));
        int64_t in[EQUATION_ARGUMENTS], out[EQUATION_ARGUMENTS];
        const char *objection = dims_objection(&d);
        cr_assert(!objection, "%s %s: %s", case_at(i)->equation, case_at(i)->dims, objection);
        dims_sizes(&d, in, out);
        char *text = description(d.equation);
        checks += check_shapes(&d, text, "\ninputs:", d.equation->in, in);
        checks += check_shapes(&d, text, "\noutputs:", d.equation->out, out);
        free(text);
    }
    ledger_record("describe", "shapes", checks, 0);
}

/* Reads the dimensions behind the description's first --dims. */
static Dims example_dims(const Equation *e, const char *text) {
    char dims[512], message[512];
    const char *at = strstr(text, "--dims ");
    Dims d;
    cr_assert(at != NULL, "%s has no example", e->name);
    at += strlen("--dims ");
    snprintf(dims, sizeof dims, "%.*s", (int)strcspn(at, "\n"), at);
    cr_assert(!dims_read(&d, e->name, dims, message, sizeof message), "%s: %s", e->name, message);
    const char *objection = dims_objection(&d);
    cr_assert(!objection, "%s: %s", e->name, objection);
    return d;
}

Test(describe, every_equation_has_its_formula_and_an_example) {
    int64_t checks = 0;
    for (int i = 0; oracle_at(i); i++, checks += 2) {
        const Equation *e = oracle_at(i);
        char *text = description(e), start[96];
        snprintf(start, sizeof start, "\n  %.*s", (int)strcspn(e->formula, " "), e->formula);
        expect_in(e, "the formula", text, start);
        example_dims(e, text);
        free(text);
    }
    ledger_record("describe", "formulas and examples", checks, 0);
}

/* The words of a list but the one that gives `name`, each with a blank behind it. */
static void without(const char *list, const char *name, char *text) {
    const size_t length = strlen(name);
    for (const char *word = list; *word; word += strcspn(word, ", "), word += strspn(word, ", ")) {
        const size_t n = strcspn(word, ", ");
        if (n > length && !strncmp(word, name, length) && word[length] == '=') continue;
        text += sprintf(text, "%.*s ", (int)n, word);
    }
    *text = 0;
}

/* The example with one dimension at `value` is refused, and the message has the range. */
static void expect_refused(const Equation *e, const char *example, const Dimension *each, long long value) {
    char text[640], message[1024], range[96];
    Dims d;
    without(example, each->name, text);
    snprintf(text + strlen(text), sizeof text - strlen(text), "%s=%lld", each->name, value);
    const int status = dims_read(&d, e->name, text, message, sizeof message);
    const char *said = status ? message : dims_objection(&d);
    dims_range(each, range, sizeof range);
    cr_assert(said && strstr(said, range) && strstr(said, each->name), "%s %s: '%s' is wanted in '%s'",
              e->name, text, range, said ? said : "");
}

Test(describe, what_is_out_of_range_is_refused_with_the_range) {
    int64_t checks = 0, value;
    for (int i = 0; oracle_at(i); i++) {
        char *text = description(oracle_at(i)), example[512];
        const Dims d = example_dims(oracle_at(i), text);
        const Dimension *each;
        dims_write(&d, example, sizeof example);
        for (int k = 0; (each = dims_at(&d, k, &value)); k++) {
            if (each->values && !strcmp(each->values, MIXERS)) continue;
            expect_refused(oracle_at(i), example, each, (long long)each->least - 1);
            expect_refused(oracle_at(i), example, each, (long long)each->most + 1);
            checks += 2;
        }
        free(text);
    }
    ledger_record("describe", "ranges", checks, 0);
}

/* Each rule between dimensions, broken, is what the objection says; a line of the description has its beginning. */
Test(describe, rules_between_dimensions_are_told_and_kept) {
    static const struct {
        const char *equation, *dims, *rule;
    } broken[] = {
        {"memory_read", "memory_layers=3 n0=2 n1=2 n2=2", "a memory of L layers needs widths n0 to nL"},
        {"memory_read", "memory_layers=1 n0=2 n1=3 memory_residual=1", "a residual (memory_residual) needs"},
        {"mixer_swa", "tokens=3 width=6 heads=4", "heads (H) must divide width (D)"},
        {"mixer_attention", "tokens=3 width=6 heads=2", "width / heads (D / H) must be even"},
        {"language_model",
         "tokens=2 vocab=2 width=3 heads=1 ffn=1 mixer=mal chunk=2 memory_layers=1 expansion=1",
         "width / heads (D / H) must be even"},
        {"rope", "tokens=3 heads=1 head_width=3", "head_width (dh) must be even"},
        {"rope_scaled", "tokens=3 heads=1 head_width=3", "head_width (dh) must be even"},
        {"rope_scaled", "tokens=3 heads=1 head_width=2 rope_scaling=yarn trained_length=2",
         "rope_scaling needs trained_length and asked_length"},
        {"mixer_attention", "tokens=3 width=4 heads=1 log_scale=1 trained_length=1",
         "log_scale needs a trained_length"},
        {"alibi_attention", "tokens=3 keys=2 heads=1 head_width=3", "keys (S) must be at least tokens (T)"},
        {"attention", "tokens=3 keys=2 head_width=3", "keys (S) must be at least tokens (T)"},
        {"window_attention", "tokens=3 keys=3 head_width=3 prefix=4", "the prefix cannot be longer"},
        {"mixer_mac", "tokens=2 width=2 heads=1 chunk=2 memory_layers=1 expansion=1 segment=1",
         "segment must be a multiple of chunk (b)"},
        {"language_model",
         "tokens=2 vocab=2 width=2 heads=1 ffn=1 mixer=mac chunk=2 memory_layers=1 expansion=1 segment=3",
         "segment must be a multiple of chunk (b)"}};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        const Dims d = dims_of(broken[i].equation, "%s", broken[i].dims);
        char *text = description(d.mixer ? d.mixer : d.equation);
        const char *objection = dims_objection(&d);
        cr_assert(objection && strstr(objection, broken[i].rule), "%s %s: %s", broken[i].equation,
                  broken[i].dims, objection ? objection : "no objection");
        expect_in(d.equation, "rules", text, broken[i].rule);
        free(text);
    }
    ledger_record("describe", "rules", sizeof broken / sizeof *broken, 0);
}

/* A model around a mixer takes numbers that it does not have as inputs from the mixer: they are the configuration's. */
Test(describe, numbers_of_the_configuration_have_its_defaults) {
    const Equation *model = oracle_lookup(&reference_double, "language_model");
    int64_t checks = 0;
    for (int i = 0; mixer_at(i); i++) {
        const Equation *e = oracle_mixer(mixer_at(i)->name);
        Config c;
        char message[256];
        cr_assert(!config_defaults(&c, mixer_at(i)->name, message, sizeof message), "%s", message);
        for (const Argument *a = e ? e->in : NULL; a && a->name; a++) {
            if (a->role != LIMIT || argument_find(model->in, a->name) >= 0) continue;
            cr_assert(a->initial == config_number(&c, a->name), "%s: %s is %g, in a configuration %g",
                      e->name, a->name, a->initial, config_number(&c, a->name));
            checks++;
        }
    }
    cr_assert(checks > 0);
    ledger_record("describe", "defaults of the configuration", checks, 0);
}
