#include "bench/shared/reading.h"
#include "base/check.h"
#include "base/random.h"
#include "terminal/progress.h"

#include <stdlib.h>

enum { SEGMENT = 512 };

double reading_seconds(const titans_model *model, int64_t length, int64_t batch) {
    const Config *c = &model->model->config;
    const titans_stream_options options = {.batch = batch, .capacity = length, .segment = SEGMENT};
    titans_error error;
    int32_t *tokens = malloc((size_t)(batch * SEGMENT) * sizeof *tokens);
    float *logits = malloc((size_t)(batch * c->vocab) * sizeof *logits);
    Random random = random_stream(1, (uint64_t)length, 0x7363616c);
    const double began = seconds_now();
    titans_stream *stream = titans_stream_new(model, &options, &error);
    CHECK(tokens && logits, "no memory for %ld sequences", batch);
    titans_status status = stream ? TITANS_OK : error.status;
    for (int64_t from = 0; !status && from < length; from += SEGMENT) {
        const int64_t count = length - from < SEGMENT ? length - from : SEGMENT;
        for (int64_t i = 0; i < batch * count; i++)
            tokens[i] = (int32_t)random_below(&random, (uint64_t)c->vocab);
        status = titans_read(stream, tokens, count, logits, &error);
    }
    const double seconds = seconds_now() - began;
    if (status) fprintf(stderr, "titans bench: %s\n", error.message);
    titans_stream_free(stream);
    free(logits);
    free(tokens);
    return status ? -1.0 : seconds;
}
