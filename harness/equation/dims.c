#include "equation/dims.h"
#include "base/check.h"
#include "equation/oracle.h"
#include "equation/published.h"

#include <stdarg.h>

enum { SIZE_LARGEST = 1 << 20 }; /* what any dimension may be */

Call dims_call(const Dims *d) { return (Call){d->equation, d->mixer, d->value, 0, 0}; }

void dims_sizes(const Dims *d, int64_t *in_size, int64_t *out_size) {
    const Call call = dims_call(d);
    for (int i = 0; d->equation->in && d->equation->in[i].name; i++)
        in_size[i] = call_size(&call, &d->equation->in[i]);
    for (int i = 0; d->equation->out && d->equation->out[i].name; i++)
        out_size[i] = call_size(&call, &d->equation->out[i]);
}

int dims_shape(const Dims *d, const Argument *a, int64_t *shape) {
    const Call call = dims_call(d);
    return call_shape(&call, a, shape);
}

int64_t dims_get_or(const Dims *d, const char *name, int64_t otherwise) {
    const Call call = dims_call(d);
    return call_dim_or(&call, name, otherwise);
}

int64_t dims_get(const Dims *d, const char *name) {
    const Call call = dims_call(d);
    return call_dim(&call, name);
}

/* ---- walking and setting: the equation's own dimensions, then its mixer's, which repeat some -------------------- */

static int each_value(Dims *d, const Equation *e, int offset, const char *name, int64_t value) {
    int at = offset, found = 0;
    for (const Dimension *dimension = e->dims; dimension->name; dimension++) {
        if (dimension->derived) continue;
        if (dimension_is(dimension, name)) d->value[at] = value, found = 1;
        at++;
    }
    return found;
}

static int set_value(Dims *d, const char *name, int64_t value) {
    int found = each_value(d, d->equation, 0, name, value);
    if (d->mixer) found |= each_value(d, d->mixer, dimensions_given(d->equation), name, value);
    return found;
}

void dims_set(Dims *d, const char *name, int64_t value) {
    CHECK(set_value(d, name, value), "%s has no dimension %s", d->equation->name, name);
}

static const Dimension *dimension_named(const Equation *e, const char *name) {
    for (const Dimension *d = e ? e->dims : 0; d && d->name; d++)
        if (!d->derived && dimension_is(d, name)) return d;
    return 0;
}

const Dimension *dims_at(const Dims *d, int i, int64_t *value) {
    int at = 0, shown = 0;
    for (int part = 0; part < 2; part++)
        for (const Dimension *each = part ? d->mixer ? d->mixer->dims : 0 : d->equation->dims;
             each && each->name; each++) {
            if (each->derived) continue;
            *value = d->value[at++];
            if (part && dimension_named(d->equation, each->name)) continue;
            if (shown++ == i) return each;
        }
    return 0;
}

/* ---- ranges ---------------------------------------------------------------------------------------------------- */

static char objection[256];

static int chooses_mixer(const Dimension *each) { return each->values && !strcmp(each->values, MIXERS); }

void dims_range(const Dimension *each, char *text, size_t size) {
    if (chooses_mixer(each))
        snprintf(text, size, "a mixer");
    else if (each->values)
        snprintf(text, size, "%s (or %lld to %lld)", each->values, (long long)each->least,
                 (long long)each->most);
    else
        snprintf(text, size, "%lld to %lld", (long long)each->least, (long long)each->most);
}

/* ---- texts ------------------------------------------------------------------------------------------------------- */

/* Place of a word in a list, or -1. */
static int64_t word_at(const char *list, const char *word) {
    for (int64_t i = 0; list && *list; i++) {
        const size_t length = strcspn(list, " ");
        if (length == strlen(word) && !strncmp(list, word, length)) return i;
        list += length + (list[length] == ' ');
    }
    return -1;
}

const char *dims_value_name(const Dims *d, const Dimension *dimension, int64_t value, char *text,
                            size_t size) {
    const char *list = dimension->values;
    if (list && !strcmp(list, MIXERS)) return d->mixer ? d->mixer->name + strlen(MIXERS) : "none";
    for (int64_t i = 0; list && i < value; i++) list += strcspn(list, " ") + 1;
    if (list)
        snprintf(text, size, "%.*s", (int)strcspn(list, " "), list);
    else
        snprintf(text, size, "%lld", (long long)value);
    return text;
}

void dims_write(const Dims *d, char *text, size_t size) {
    size_t used = 0;
    const Dimension *each;
    int64_t value;
    text[0] = 0;
    for (int i = 0; (each = dims_at(d, i, &value)) && used < size; i++) {
        char word[48];
        if (value == each->initial && !(each->values && !strcmp(each->values, MIXERS))) continue;
        used += (size_t)snprintf(text + used, size - used, "%s%s=%s", used ? " " : "", each->name,
                                 dims_value_name(d, each, value, word, sizeof word));
    }
}

static void defaults(Dims *d, const Equation *e, int offset) {
    for (const Dimension *each = e->dims; each && each->name; each++)
        if (!each->derived) d->value[offset++] = each->initial;
}

/* "tokens (T), chunk (b), ..": what there is to set. */
static void dims_names(const Dims *d, char *text, size_t size) {
    size_t used = 0;
    const Dimension *each;
    int64_t value;
    for (int i = 0; (each = dims_at(d, i, &value)) && used < size; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "", each->name);
        if (each->symbol && used < size)
            used += (size_t)snprintf(text + used, size - used, " (%s)", dimension_symbol(each));
    }
}

static const char *number_wanted(const Dimension *each, char *text, size_t size) {
    char range[96];
    dims_range(each, range, sizeof range);
    snprintf(text, size, "%s%s", each->values ? "one of " : "a number from ", range);
    return text;
}

/* One word; pass 0 reads the mixer, whose dimensions are then known to pass 1. */
static int read_word(Dims *d, char *word, int pass, char *message, size_t size) {
    char *equals = strchr(word, '='), *end = 0;
    if (!equals) return snprintf(message, size, "dimension '%s': NAME=VALUE is wanted", word), -1;
    *equals = 0;
    const char *text = equals + 1;
    const Dimension *own = dimension_named(d->equation, word), *each = own;
    if (!each) each = dimension_named(d->mixer, word);
    const int chooses = each && chooses_mixer(each);
    if (chooses != (pass == 0)) return 0;
    if (!each && published_option(d->equation, word)) return 0;
    if (!each) {
        char known[1024];
        dims_names(d, known, sizeof known);
        return snprintf(message, size, "%s has no dimension '%s'; it has: %s", d->equation->name, word,
                        known),
               -1;
    }
    if (chooses) {
        const char *published = published_mixer(text);
        d->mixer = oracle_mixer(published ? published : text);
        if (d->mixer) return 0;
        return snprintf(message, size, "dimension %s: there is no mixer '%s'", word, text), -1;
    }
    int64_t value = word_at(each->values, text);
    if (value < 0) value = strtoll(text, &end, 10);
    if (end && (end == text || *end || value < 0 || value > SIZE_LARGEST)) {
        char wanted[128];
        number_wanted(each, wanted, sizeof wanted);
        return snprintf(message, size, "dimension %s: '%s' is not %s", word, text, wanted), -1;
    }
    /* published as its opposite */
    const int opposite = each->symbol && each->symbol[0] == '!' && !strcmp(word, each->symbol + 1);
    set_value(d, each->name, opposite ? 1 - value : value);
    return 0;
}

int dims_repeat(const char *text, char *message, size_t size) {
    for (const char *word = text; *word; word += strcspn(word, ", "), word += strspn(word, ", ")) {
        const size_t n = strcspn(word, "=, ");
        for (const char *next = word + strcspn(word, ", "); *(next += strspn(next, ", "));
             next += strcspn(next, ", "))
            if (word[n] == '=' && strcspn(next, "=, ") == n && next[n] == '=' && !strncmp(word, next, n))
                return snprintf(message, size, "dimension '%.*s' is given twice", (int)n, word), 1;
    }
    return 0;
}

static int read_words(Dims *d, const char *text, int pass, char *message, size_t size) {
    char copy[1024], *rest = copy;
    if (snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy)
        return snprintf(message, size, "dimensions of more than %zu characters", sizeof copy - 1), -1;
    for (char *word; (word = strsep(&rest, ", "));)
        if (*word && read_word(d, word, pass, message, size)) return -1;
    return 0;
}

int dims_read(Dims *d, const char *equation, const char *text, char *message, size_t size) {
    *d = (Dims){.equation = oracle_lookup(&reference_double, equation)};
    if (!d->equation) return snprintf(message, size, "no equation '%s' (--list shows them)", equation), -1;
    defaults(d, d->equation, 0);
    if (read_words(d, text, 0, message, size)) return -1;
    if (d->mixer) defaults(d, d->mixer, dimensions_given(d->equation));
    return read_words(d, text, 1, message, size);
}

Dims dims_of(const char *equation, const char *format, ...) {
    char text[1024], message[1024];
    Dims d;
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    CHECK(!dims_read(&d, equation, text, message, sizeof message), "%s", message);
    return d;
}

/* ---- what cannot be ------------------------------------------------------------------------------------------------ */

static const char *each_in_range(const Dims *d) {
    const Dimension *each;
    char range[96];
    int64_t value;
    for (int i = 0; (each = dims_at(d, i, &value)); i++) {
        if (chooses_mixer(each) || (value >= each->least && value <= each->most)) continue;
        dims_range(each, range, sizeof range);
        snprintf(objection, sizeof objection, "dimension %s (%s) is %lld%s; it may be %s", each->name,
                 dimension_symbol(each), (long long)value, value == each->initial ? " or not given" : "",
                 range);
        return objection;
    }
    return 0;
}

/* ---- rules between dimensions: told and checked from one table --------------------------------------------------- */

/* Derived ones too; nothing is evaluated, since sizes may still be 0. */
static int declares(const Equation *e, const char *name) {
    for (const Dimension *each = e ? e->dims : 0; each && each->name; each++)
        if (!strcmp(each->name, name)) return 1;
    return 0;
}
static int has(const Dims *d, const char *name) {
    return declares(d->equation, name) || declares(d->mixer, name);
}
static int is_equation(const Dims *d, const char *name) { return !strcmp(d->equation->name, name); }

/* The width n_l of a memory whose widths are given one by one. */
static int64_t memory_width(const Dims *d, int64_t l) {
    char name[8];
    snprintf(name, sizeof name, "n%d", (int)l);
    return dims_get_or(d, name, 1);
}
static int memory_has_widths(const Dims *d) { return has(d, "memory_layers") && has(d, "n0"); }
static int memory_lacks_width(const Dims *d) {
    for (int64_t l = 0; l <= dims_get(d, "memory_layers"); l++)
        if (memory_width(d, l) < 1) return 1;
    return 0;
}
static int memory_ends_differ(const Dims *d) {
    return dims_get(d, "memory_residual") &&
           dims_get(d, "n0") != memory_width(d, dims_get(d, "memory_layers"));
}

/* Heads that are a part of the width; with key_width, or a head_width that is given, they have widths of their own. */
static int has_heads(const Dims *d) {
    return has(d, "width") && has(d, "heads") && !has(d, "key_width") &&
           !dimension_named(d->equation, "head_width");
}
static int has_key_heads(const Dims *d) { return has(d, "key_heads") && has(d, "heads"); }
static int key_heads_do_not_divide(const Dims *d) {
    const int64_t keys = dims_get(d, "key_heads");
    return keys > 0 && dims_get(d, "heads") % keys != 0;
}
static int has_groups(const Dims *d) { return has(d, "groups") && has(d, "channels"); }
static int groups_do_not_divide(const Dims *d) {
    return dims_get(d, "channels") % dims_get(d, "groups") != 0;
}
static int heads_do_not_divide(const Dims *d) { return dims_get(d, "width") % dims_get(d, "heads") != 0; }
static int has_positions(const Dims *d) { return has(d, "rotary_pairs"); }
static int head_is_odd(const Dims *d) { return dims_get(d, "width") / dims_get(d, "heads") % 2 != 0; }
static int has_key_pairs(const Dims *d) { return has(d, "key_pairs"); }
static int key_is_odd(const Dims *d) { return dims_get(d, "head_keys") % 2 != 0; }
static int is_rope(const Dims *d) {
    return is_equation(d, "rope") || is_equation(d, "rope_scaled") ||
           argument_find(d->equation->in, "rope_base") >= 0;
}
static int rope_is_odd(const Dims *d) { return dims_get(d, "head_width") % 2 != 0; }

static int has_queries(const Dims *d) {
    return is_equation(d, "attention") || is_equation(d, "window_attention") ||
           is_equation(d, "alibi_attention");
}
static int keys_are_few(const Dims *d) { return dims_get(d, "keys") < dims_get(d, "tokens"); }
static int has_prefix(const Dims *d) { return has(d, "prefix"); }
static int prefix_is_long(const Dims *d) { return dims_get(d, "prefix") > dims_get(d, "keys"); }

static int has_segment(const Dims *d) { return has(d, "segment") && has(d, "chunk"); }
static int segment_cuts_chunk(const Dims *d) { return dims_get(d, "segment") % dims_get(d, "chunk") != 0; }

static int has_scaling(const Dims *d) { return has(d, "rope_scaling"); }
static int scaling_lacks_lengths(const Dims *d) {
    return dims_get(d, "rope_scaling") && (!dims_get(d, "trained_length") || !dims_get(d, "asked_length"));
}
static int has_logs(const Dims *d) { return has(d, "log_scale"); }
static int logs_lack_length(const Dims *d) {
    return dims_get(d, "log_scale") && dims_get(d, "trained_length") < 2;
}

static int has_buckets(const Dims *d) { return has(d, "half_buckets"); }
static int buckets_are_odd(const Dims *d) {
    return dims_get(d, "buckets") > 1 && dims_get(d, "buckets") % 2 != 0;
}
static int has_length(const Dims *d) { return is_equation(d, "linformer_layer"); }
static int length_is_short(const Dims *d) { return dims_get(d, "length") < dims_get(d, "tokens"); }

static const struct {
    int (*applies)(const Dims *), (*broken)(const Dims *);
    const char *text;
} rules[] = {
    {memory_has_widths, memory_lacks_width,
     "a memory of L layers needs widths n0 to nL of at least 1; those behind nL mean nothing"},
    {memory_has_widths, memory_ends_differ,
     "a residual (memory_residual) needs n0 equal to the last width, nL"},
    {has_heads, heads_do_not_divide, "heads (H) must divide width (D)"},
    {has_key_heads, key_heads_do_not_divide,
     "key_heads must divide heads (H): heads in a row share one of keys"},
    {has_groups, groups_do_not_divide, "groups must divide channels"},
    {has_positions, head_is_odd, "width / heads (D / H) must be even: rotary positions turn pairs"},
    {has_key_pairs, key_is_odd, "key_width must be even: rotary positions turn pairs"},
    {is_rope, rope_is_odd, "head_width (dh) must be even"},
    {has_queries, keys_are_few,
     "keys (S) must be at least tokens (T): the queries are the last T of S positions"},
    {has_prefix, prefix_is_long, "the prefix cannot be longer than keys (S)"},
    {has_scaling, scaling_lacks_lengths, "rope_scaling needs trained_length and asked_length"},
    {has_logs, logs_lack_length, "log_scale needs a trained_length of at least 2"},
    {has_segment, segment_cuts_chunk,
     "segment must be a multiple of chunk (b): a segment is a whole number of chunks (docs/errata.md, E26)"},
    {has_buckets, buckets_are_odd, "buckets (nb) must be even, or 1: half of them are the others' opposites"},
    {has_length, length_is_short,
     "length (N) must be at least tokens (T): every token has its row of weights"},
};
enum { RULES = sizeof rules / sizeof *rules };

const char *dims_rule(const Dims *d, int i) {
    for (int k = 0; k < RULES; k++)
        if (rules[k].applies(d) && i-- == 0) return rules[k].text;
    return 0;
}

static const char *broken_rule(const Dims *d) {
    for (int k = 0; k < RULES; k++)
        if (rules[k].applies(d) && rules[k].broken(d)) return rules[k].text;
    return 0;
}

/* Every tensor's size is a sum of products of at most four dimensions, one of them possibly twice. */
static const char *numbers_fit(const Dims *d) {
    int64_t in[EQUATION_ARGUMENTS] = {0}, out[EQUATION_ARGUMENTS] = {0}, total = 0, value;
    double largest[3] = {1, 1, 1};
    for (int i = 0; dims_at(d, i, &value); i++) {
        double x = (double)value;
        for (int k = 0; k < 3; k++)
            if (x > largest[k]) {
                const double smaller = largest[k];
                largest[k] = x, x = smaller;
            }
    }
    if (largest[0] * largest[0] * largest[1] * largest[2] > 0x1p58)
        return "these dimensions are far too large";
    dims_sizes(d, in, out);
    for (int i = 0; i < EQUATION_ARGUMENTS; i++) {
        if (in[i] > DIMS_NUMBERS || out[i] > DIMS_NUMBERS) total = DIMS_NUMBERS;
        total += in[i] > 0 && in[i] <= DIMS_NUMBERS ? in[i] : 0;
        total += out[i] > 0 && out[i] <= DIMS_NUMBERS ? out[i] : 0;
    }
    if (total < DIMS_NUMBERS) return 0;
    snprintf(objection, sizeof objection, "these dimensions mean more than %d numbers", DIMS_NUMBERS);
    return objection;
}

const char *dims_objection(const Dims *d) {
    const Dimension *chooses = 0;
    int64_t value;
    if (!d->equation->run) return "a stack of blocks runs in language_model only (mixer=NAME there)";
    for (int i = 0; (chooses = dims_at(d, i, &value)); i++)
        if (chooses_mixer(chooses) && !d->mixer) return "mixer=NAME is missing";
    const char *text = each_in_range(d);
    if (!text) text = broken_rule(d);
    return text ? text : numbers_fit(d);
}
