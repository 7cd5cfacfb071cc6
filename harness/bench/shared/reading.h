#pragma once
#include "library/library.h"

/* Seconds to read `length` random tokens of each of `batch` sequences, segment by segment, with a stream of its own;
 * negative: said on stderr. */
double reading_seconds(const titans_model *model, int64_t length, int64_t batch);
