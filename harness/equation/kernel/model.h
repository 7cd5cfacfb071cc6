#pragma once
#include "equation/adapter.h"
#include "model/model.h"

/* The i-th optimized mixer that has an equation of its own; 0 past the end. */
int mixer_adapter_at(int i, KernelAdapter *adapter);

/* A model of one layer of the mixer that mixer_NAME or NAME_layer names: from the dimensions and the numbers that are
 * its keys. Whether there is one: 0, or -1 with a message. */
Model model_of(const KernelRun *run);
int model_accepted(const Dims *dims, char *message, size_t size);
int model_takes(const Dims *dims, const double *const *in, char *message, size_t size);

/* A parameter of the mixer by its name in the equation, "wq"; NULL: it has none of that name. */
Tensor *mixer_parameter(Model *model, const char *name);
