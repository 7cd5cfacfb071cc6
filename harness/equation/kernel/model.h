#pragma once
#include "equation/adapter.h"

/* The i-th optimized mixer that has an equation of its own; 0 past the end. */
int mixer_adapter_at(int i, KernelAdapter *adapter);
