#include "train/optimizer.h"

#include "base/work.h"
#include "base/portable.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int optimizer_create(Optimizer *o, const Model *model, char *message, size_t size) {
    *o = (Optimizer){calloc((size_t)model->list.floats, sizeof(float)),
                     calloc((size_t)model->list.floats, sizeof(float)), 1.0, 1.0, 0};
    if (o->m && o->v) return 0;
    snprintf(message, size, "no memory for the optimizer state of %ld weights", model->list.floats);
    optimizer_free(o);
    return -1;
}

void optimizer_free(Optimizer *o) {
    free(o->m);
    free(o->v);
    *o = (Optimizer){0};
}

double optimizer_rate(const OptimizerOptions *t, int64_t step, int64_t steps) {
    if (step < t->warmup) return t->rate * (double)(step + 1) / (double)t->warmup;
    const double progress =
        steps > t->warmup ? (double)(step - t->warmup) / (double)(steps - t->warmup) : 1.0;
    double sine, cosine;
    portable_sincos(3.14159265358979312 * (progress < 1.0 ? progress : 1.0), &sine, &cosine);
    return t->rate * (t->final_rate + (1.0 - t->final_rate) * 0.5 * (1.0 + cosine));
}

static const char *optimizer_culprit(const Model *model) {
    for (int i = 0; i < model->list.count; i++) {
        const Parameter *p = &model->list.items[i];
        for (int64_t j = 0; j < p->rows * p->cols; j++)
            if (!isfinite(model->grads[p->offset + j])) return p->name;
    }
    return "the norm itself (overflow)";
}

static void optimizer_update(Optimizer *o, Model *model, const OptimizerOptions *t, double rate,
                             double norm) {
    o->step++;
    o->power1 *= t->beta1;
    o->power2 *= t->beta2;
    AdamwStep step = {(float)rate,
                      (float)t->beta1,
                      (float)t->beta2,
                      1e-8f,
                      0.0f,
                      (float)(1.0 / (1.0 - o->power1)),
                      (float)(1.0 / (1.0 - o->power2)),
                      norm > t->clip && t->clip > 0.0 ? (float)(t->clip / norm) : 1.0f};
    for (int i = 0; i < model->list.count; i++) {
        const Parameter *p = &model->list.items[i];
        step.decay = p->decay ? (float)t->decay : 0.0f;
        kernel->adamw->update(p->rows * p->cols, &step, model->grads + p->offset, model->weights + p->offset,
                              o->m + p->offset, o->v + p->offset);
    }
    memset(model->grads, 0, (size_t)model->list.floats * sizeof(float));
}

double optimizer_step(Optimizer *o, Model *model, const OptimizerOptions *t, double rate, const char **bad) {
    const int before = work_begin();
    const double norm = sqrt(kernel->act->square_sum(model->list.floats, model->grads));
    *bad = isfinite(norm) ? 0 : optimizer_culprit(model);
    if (!*bad) optimizer_update(o, model, t, rate, norm);
    work_end(before);
    return norm;
}
