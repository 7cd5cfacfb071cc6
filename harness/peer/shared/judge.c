#include "peer/shared/judge.h"
#include "peer/shared/view.h"
#include "base/check.h"
#include "base/dispatch.h"
#include "equation/adapter.h"
#include "equation/inputs.h"
#include "equation/oracle.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What may differ, relative to the largest number of a tensor (at least 1): rounding in double, a peer that computed in
 * float32 itself, our kernels in float32. */
static const double ALLOWED_DOUBLE = 1e-10, ALLOWED_FLOAT_PEER = 5e-5, ALLOWED_KERNEL = 2e-4;

/* All of one of their tensors as we compute it: an output, or the gradient of an input. */
typedef struct {
    const char *kind;
    char name[160];
    const SafeTensor *theirs;
    double *ours;
} Sheet;

/* One of their tensors in ours. */
typedef struct {
    char name[176];
    const SafeTensor *theirs;
    int64_t *place, count;
    int sheet; /* -1: nothing of theirs to compare with */
} Part;

/* One of our tensors: where its numbers come from, or go to. */
typedef struct {
    View view;
    int parts, first; /* of the trial's parts, one after the other; 0: absent, a dim or a constant */
} Binding;

typedef struct {
    const Peer *peer;
    const VectorCase *of;
    Dims dims;
    int inputs, outputs, sheets;
    int64_t members /* 0: not known yet */, in_size[EQUATION_ARGUMENTS], out_size[EQUATION_ARGUMENTS];
    Binding in_from[EQUATION_ARGUMENTS], out_to[EQUATION_ARGUMENTS];
    double *in[EQUATION_ARGUMENTS], *out[EQUATION_ARGUMENTS], *cotangent[EQUATION_ARGUMENTS],
        *grad[EQUATION_ARGUMENTS];
    Sheet *sheet;
    Part *part; /* of all bindings, `parts` of them */
    int parts;
} Trial;

/* ---- dimensions ---- */

/* "tokens=T gated=?z" as "tokens=13 gated=1". */
static int dims_text(const Trial *t, char *text, size_t size, char *message, size_t message_size) {
    const char *at = t->peer->dims;
    *text = '\0';
    while (*at) {
        const size_t name = strcspn(at, "="), end = strcspn(at, " "), used = strlen(text);
        char expression[96];
        double value;
        snprintf(expression, sizeof expression, "%.*s", (int)(end - name - 1), at + name + 1);
        const char *word = case_text(t->of, expression);
        if (!word && case_number(t->of, expression, &value, message, message_size)) return -1;
        if (!word && value != floor(value))
            return snprintf(message, message_size, "'%s' is %g, which is no whole number", expression, value),
                   -1;
        snprintf(text + used, size - used, "%.*s=", (int)name, at);
        const size_t now = strlen(text);
        if (word)
            snprintf(text + now, size - now, "%s ", word);
        else
            snprintf(text + now, size - now, "%lld ", (long long)value);
        at += end + (at[end] == ' ');
    }
    return 0;
}

static int trial_dims(Trial *t, char *message, size_t size) {
    char text[512];
    if (dims_text(t, text, sizeof text, message, size) ||
        dims_read(&t->dims, t->peer->equation, text, message, size))
        return -1;
    const char *objection = dims_objection(&t->dims);
    if (objection) return snprintf(message, size, "%s: %s", t->peer->equation, objection), -1;
    t->inputs = argument_count(t->dims.equation->in);
    t->outputs = argument_count(t->dims.equation->out);
    dims_sizes(&t->dims, t->in_size, t->out_size);
    return 0;
}

/* ---- which of their tensors are ours ---- */

/* The sheet of one of their tensors; -1: there is none to compare with. */
static int sheet_of(Trial *t, const char *kind, const char *name) {
    const SafeTensor *theirs = case_tensor(t->of, kind, name);
    if (!theirs) return -1;
    for (int i = 0; i < t->sheets; i++)
        if (t->sheet[i].theirs == theirs) return i;
    t->sheet = realloc(t->sheet, (size_t)(t->sheets + 1) * sizeof *t->sheet);
    CHECK(t->sheet, "no memory for %d tensors", t->sheets + 1);
    Sheet *s = &t->sheet[t->sheets];
    *s = (Sheet){.kind = kind, .theirs = theirs, .ours = oracle_zeros(theirs->count)};
    snprintf(s->name, sizeof s->name, "%s", name);
    return t->sheets++;
}

/* The name of part i: a * of the view's name is i; 0: there is no such part. */
static int part_name(const View *v, int i, char *name, size_t size) {
    const char *star = strchr(v->theirs, '*');
    if (star)
        snprintf(name, size, "%.*s%d%s", (int)(star - v->theirs), v->theirs, i, star + 1);
    else
        snprintf(name, size, "%s", v->theirs);
    return star || !i;
}

/* kind/name, where there is one, has the shape of `like` and numbers. */
static int shaped_like(const Trial *t, const char *kind, const char *name, const SafeTensor *like,
                       char *message, size_t size) {
    const SafeTensor *other = case_tensor(t->of, kind, name);
    if (!other) return 0;
    int same = other->dims == like->dims;
    for (int i = 0; same && i < like->dims; i++) same = other->shape[i] == like->shape[i];
    if (!same)
        return snprintf(message, size, "%s/%s has another shape than what it belongs to", kind, name), -1;
    if (other->type == SAFE_OTHER)
        return snprintf(message, size, "%s/%s: numbers of type %s are not read", kind, name, other->dtype),
               -1;
    return 0;
}

/* All of a batch are as many. */
static int same_batch(Trial *t, const char *kind, const Part *p, char *message, size_t size) {
    const int64_t here = p->theirs->dims ? p->theirs->shape[0] : 0;
    if (here < 1) return snprintf(message, size, "%s/%s has a batch of nothing", kind, p->name), -1;
    if (t->members && t->members != here)
        return snprintf(message, size, "%s/%s has a batch of %lld, another tensor %lld", kind, p->name,
                        (long long)here, (long long)t->members),
               -1;
    t->members = here;
    return 0;
}

static int bind_part(Trial *t, const View *v, const char *kind, Part *p, char *message, size_t size) {
    const char *beside = strcmp(kind, "in") ? "cot/out" : "grad";
    if (v->batched && same_batch(t, kind, p, message, size)) return -1;
    if (shaped_like(t, kind, p->name, p->theirs, message, size) ||
        shaped_like(t, beside, p->name, p->theirs, message, size) ||
        view_places(v, t->of, p->theirs, &p->place, &p->count, message, size))
        return -1;
    p->sheet = strcmp(kind, "in") ? sheet_of(t, kind, p->name) : sheet_of(t, "grad", p->name);
    return 0;
}

static void add_part(Trial *t, Binding *b, const Part *p) {
    t->part = realloc(t->part, (size_t)(t->parts + 1) * sizeof *t->part);
    CHECK(t->part, "no memory for %d tensors", t->parts + 1);
    t->part[t->parts++] = *p;
    b->parts++;
}

static int bind_one(Trial *t, const View *v, const char *kind, int64_t wanted, Binding *b, char *message,
                    size_t size) {
    Part p = {.sheet = -1};
    int64_t count = 0;
    *b = (Binding){.view = *v, .first = t->parts};
    if (v->scalar || v->constant) return 0;
    while (part_name(v, b->parts, p.name, sizeof p.name) && (p.theirs = case_tensor(t->of, kind, p.name))) {
        if (bind_part(t, v, kind, &p, message, size)) return -1;
        add_part(t, b, &p);
        count += p.count;
    }
    if (!b->parts && (v->optional || !wanted || !strcmp(kind, "out"))) return 0;
    if (!b->parts) return snprintf(message, size, "%s/%s is missing", kind, v->theirs), -1;
    if (count != wanted)
        return snprintf(message, size, "%s/%s gives %lld numbers to '%s', which has %lld", kind, v->theirs,
                        (long long)count, v->ours, (long long)wanted),
               -1;
    return 0;
}

static int bind_list(Trial *t, const char *list, const char *kind, const Argument *arguments,
                     const int64_t *sizes, Binding *bindings, char *message, size_t size) {
    View v;
    int status, seen[EQUATION_ARGUMENTS] = {0};
    while ((status = view_next(&list, &v, message, size)) > 0) {
        const int i = argument_find(arguments, v.ours);
        if (i < 0) return snprintf(message, size, "%s has no '%s'", t->peer->equation, v.ours), -1;
        if (bind_one(t, &v, kind, sizes[i], &bindings[i], message, size)) return -1;
        seen[i] = 1;
    }
    for (int i = 0; !status && arguments[i].name; i++)
        if (!seen[i] && !strcmp(kind, "in") && sizes[i])
            return snprintf(message, size, "nothing is given for '%s' of %s", arguments[i].name,
                            t->peer->equation),
                   -1;
    return status;
}

/* The numbers of `theirs` in one member of the batch that a binding takes are marked; returns how many members there are, 0
 * where it takes none. */
static int64_t mark_part(const Trial *t, const Binding *b, const SafeTensor *theirs, unsigned char *taken) {
    int64_t members = 0;
    for (int i = 0; i < b->parts; i++) {
        const Part *p = &t->part[b->first + i];
        if (p->theirs != theirs) continue;
        members = b->view.batched ? theirs->shape[0] : 1;
        for (int64_t j = 0; j < p->count; j++) taken[p->place[j]] = 1;
    }
    return members;
}

/* Every number of an input or output is taken by a view: what none takes would be judged by nobody. */
static int all_taken(const Trial *t, const SafeTensor *theirs, const char *name, const Binding *b, int count,
                     char *message, size_t size) {
    unsigned char *taken = calloc((size_t)theirs->count + 1, 1);
    int64_t members = 0, left = 0;
    CHECK(taken, "no memory for %ld marks", theirs->count);
    for (int i = 0; i < count; i++) {
        const int64_t here = mark_part(t, &b[i], theirs, taken);
        if (here) members = here;
    }
    while (members && left < theirs->count / members && taken[left]) left++;
    const int whole = members && left == theirs->count / members;
    free(taken);
    if (whole) return 0;
    if (!members) return snprintf(message, size, "%s is not known to harness/peer", name), -1;
    return snprintf(message, size, "%s: number %lld of a member is read by nothing of %s", name,
                    (long long)left, t->peer->equation),
           -1;
}

/* A gradient or cotangent stands beside what it belongs to. */
static int beside_its_own(const Trial *t, const char *name, char *message, size_t size) {
    const int grad = !strncmp(name, "grad/", 5), cot = !strncmp(name, "cot/out/", 8);
    if (!grad && !cot) return snprintf(message, size, "%s is not known to harness/peer", name), -1;
    if (case_tensor(t->of, grad ? "in" : "out", name + (grad ? 5 : 8))) return 0;
    return snprintf(message, size, "%s belongs to no tensor of the case", name), -1;
}

static int all_judged(const Trial *t, char *message, size_t size) {
    const SafeFile *f = &t->of->vectors->tensors;
    const size_t prefix = strlen(t->of->name);
    for (int k = 0; k < f->tensor_count; k++) {
        const SafeTensor *theirs = &f->tensors[k];
        if (strncmp(theirs->name, t->of->name, prefix) || theirs->name[prefix] != '/') continue;
        const char *name = theirs->name + prefix + 1;
        int status;
        if (!strncmp(name, "in/", 3))
            status = all_taken(t, theirs, name, t->in_from, t->inputs, message, size);
        else if (!strncmp(name, "out/", 4))
            status = all_taken(t, theirs, name, t->out_to, t->outputs, message, size);
        else
            status = beside_its_own(t, name, message, size);
        if (status) return -1;
    }
    return 0;
}

static int trial_begin(Trial *t, char *message, size_t size) {
    const Peer *p = t->peer;
    if (trial_dims(t, message, size) ||
        bind_list(t, p->in, "in", t->dims.equation->in, t->in_size, t->in_from, message, size) ||
        bind_list(t, p->out, "out", t->dims.equation->out, t->out_size, t->out_to, message, size) ||
        all_judged(t, message, size))
        return -1;
    if (!t->members) t->members = 1;
    for (int i = 0; i < t->inputs; i++) {
        t->in[i] = oracle_zeros(t->in_size[i]);
        t->grad[i] = oracle_zeros(t->in_size[i]);
    }
    for (int i = 0; i < t->outputs; i++) {
        t->out[i] = oracle_zeros(t->out_size[i]);
        t->cotangent[i] = oracle_zeros(t->out_size[i]);
    }
    return 0;
}

static void trial_end(Trial *t) {
    for (int i = 0; i < EQUATION_ARGUMENTS; i++) {
        free(t->in[i]), free(t->grad[i]), free(t->out[i]), free(t->cotangent[i]);
    }
    for (int i = 0; i < t->sheets; i++) free(t->sheet[i].ours);
    for (int i = 0; i < t->parts; i++) free(t->part[i].place);
    free(t->sheet);
    free(t->part);
}

/* ---- one member of the batch ---- */

static int64_t member_base(const Binding *b, const Part *p, int64_t member) {
    return b->view.batched ? member * (p->theirs->count / p->theirs->shape[0]) : 0;
}

/* The numbers of one member from their tensors, or from the cotangents of these; x is left alone where there are none. */
static void gather(const Trial *t, const Binding *b, int64_t member, int cotangent, double *x) {
    for (int i = 0; i < b->parts; x += t->part[b->first + i++].count) {
        const Part *p = &t->part[b->first + i];
        const SafeTensor *from = cotangent ? case_tensor(t->of, "cot/out", p->name) : p->theirs;
        for (int64_t j = 0; from && j < p->count; j++)
            x[j] = (cotangent ? 0 : b->view.plus) +
                   safetensors_number(from, member_base(b, p, member) + p->place[j]);
    }
}

/* And back, into what is compared. */
static void scatter(Trial *t, const Binding *b, int64_t member, const double *x) {
    for (int i = 0; i < b->parts; x += t->part[b->first + i++].count) {
        const Part *p = &t->part[b->first + i];
        for (int64_t j = 0; p->sheet >= 0 && j < p->count; j++)
            t->sheet[p->sheet].ours[member_base(b, p, member) + p->place[j]] += x[j];
    }
}

static int fill(const Trial *t, const Binding *b, int64_t member, int64_t n, double *x, char *message,
                size_t size) {
    const View *v = &b->view;
    if (v->scalar) {
        const int64_t there = case_list(t->of, v->theirs, x, n);
        return there == n ? 0
                          : (snprintf(message, size, "dims.%s has %lld numbers, '%s' wants %lld", v->theirs,
                                      (long long)there, v->ours, (long long)n),
                             -1);
    }
    for (int64_t j = 0; j < n; j++) x[j] = v->plus;
    gather(t, b, member, 0, x);
    return 0;
}

static int member_inputs(Trial *t, int64_t member, char *message, size_t size) {
    for (int i = 0; i < t->inputs; i++)
        if (fill(t, &t->in_from[i], member, t->in_size[i], t->in[i], message, size)) return -1;
    if (inputs_check_indices(&t->dims, t->in_size, t->in, message, size)) return -1;
    for (int i = 0; i < t->outputs; i++) {
        memset(t->cotangent[i], 0, (size_t)t->out_size[i] * sizeof(double));
        gather(t, &t->out_to[i], member, 1, t->cotangent[i]);
    }
    return 0;
}

static void member_outputs(Trial *t, int64_t member) {
    for (int i = 0; i < t->outputs; i++) scatter(t, &t->out_to[i], member, t->out[i]);
    for (int i = 0; i < t->inputs; i++) scatter(t, &t->in_from[i], member, t->grad[i]);
}

/* Every member of the batch; JUDGE_PASS: all have their numbers, which are to be compared. */
static Judgement trial_run(Trial *t, const KernelAdapter *kernel, char *message, size_t size) {
    for (int64_t member = 0; member < t->members; member++) {
        if (member_inputs(t, member, message, size)) return JUDGE_FAIL;
        if (kernel && kernel_takes(kernel, &t->dims, constant(t->in), message, size)) return JUDGE_SKIP;
        if (kernel)
            kernel_evaluate(kernel, &t->dims, constant(t->in), constant(t->cotangent), t->out, t->grad);
        else
            oracle_adjoint(&t->dims, constant(t->in), constant(t->cotangent), t->out, t->grad);
        member_outputs(t, member);
    }
    return JUDGE_PASS;
}

/* ---- the verdict ---- */

/* Largest difference of a tensor as a share of what is allowed; at: where. */
static double worst(const Sheet *s, double allowed, int64_t *at) {
    double top = 1, share = 0;
    for (int64_t j = 0; j < s->theirs->count; j++) top = fmax(top, fabs(safetensors_number(s->theirs, j)));
    *at = 0;
    for (int64_t j = 0; j < s->theirs->count; j++) {
        const double now = fabs(s->ours[j] - safetensors_number(s->theirs, j)) / (allowed * top);
        if (now <= share) continue;
        share = now;
        *at = j;
        if (isnan(now)) return INFINITY;
    }
    for (int64_t j = 0; j < s->theirs->count; j++)
        if (isnan(s->ours[j])) return *at = j, INFINITY;
    return share;
}

static void place_text(const SafeTensor *t, int64_t at, char *text, size_t size) {
    int64_t below = t->count;
    size_t used = 0;
    *text = '\0';
    for (int i = 0; i < t->dims && used < size; i++) {
        below /= t->shape[i] ? t->shape[i] : 1;
        used += (size_t)snprintf(text + used, size - used, "%s%lld", i ? "," : "", (long long)(at / below));
        at %= below;
    }
}

/* Tensors whose gradient the kernels do not compute are not judged (kernel_gradient_is_computed). */
static int judged(const Trial *t, int sheet, int by_kernel) {
    if (strcmp(t->sheet[sheet].kind, "grad") || !by_kernel) return 1;
    for (int i = 0; i < t->inputs; i++)
        for (int k = 0; k < t->in_from[i].parts; k++)
            if (t->part[t->in_from[i].first + k].sheet == sheet &&
                !kernel_gradient_is_computed(t->dims.equation, i))
                return 0;
    return 1;
}

static Judgement verdict(const Trial *t, int by_kernel, char text[JUDGE_TEXT]) {
    const double allowed = by_kernel                             ? ALLOWED_KERNEL
                           : vectors_are_float32(t->of->vectors) ? ALLOWED_FLOAT_PEER
                                                                 : ALLOWED_DOUBLE;
    double share = 0;
    for (int i = 0; i < t->sheets; i++) {
        int64_t at = 0;
        char place[96];
        const Sheet *s = &t->sheet[i];
        const double now = judged(t, i, by_kernel) ? worst(s, allowed, &at) : 0;
        share = fmax(share, now);
        if (now <= 1) continue;
        place_text(s->theirs, at, place, sizeof place);
        snprintf(text, JUDGE_TEXT, "%s/%s [%s]: ours %.17g, theirs %.17g", s->kind, s->name, place,
                 s->ours[at], safetensors_number(s->theirs, at));
        return JUDGE_FAIL;
    }
    snprintf(text, JUDGE_TEXT, "%d tensors, largest difference %.1e of their largest number", t->sheets,
             share * allowed);
    return t->sheets ? JUDGE_PASS : (snprintf(text, JUDGE_TEXT, "the case has no outputs"), JUDGE_FAIL);
}

/* The kernel of an equation at these dimensions; -1 with the reason: there is none. */
static int kernel_for(const Trial *t, KernelAdapter *a, char *message, size_t size) {
    if (!kernel_adapter_find(t->dims.equation->name, a))
        return snprintf(message, size, "the reference alone has %s", t->dims.equation->name), -1;
    if (kernel_accepts(a, &t->dims, message, size)) return -1;
    if (!kernel_differentiable(a, &t->dims))
        return snprintf(message, size, "the kernel has no gradient at these sizes"), -1;
    return 0;
}

Judgement judge_case(const Peer *peer, const VectorCase *c, const char *impl, char text[JUDGE_TEXT]) {
    Trial t = {.peer = peer, .of = c};
    KernelAdapter adapter;
    const int by_kernel = strcmp(impl, "reference") != 0;
    Judgement result = JUDGE_FAIL;
    if (!trial_begin(&t, text, JUDGE_TEXT)) {
        if (by_kernel && kernel_for(&t, &adapter, text, JUDGE_TEXT))
            result = JUDGE_SKIP;
        else if ((result = trial_run(&t, by_kernel ? &adapter : 0, text, JUDGE_TEXT)) == JUDGE_PASS)
            result = verdict(&t, by_kernel, text);
    }
    trial_end(&t);
    return result;
}
