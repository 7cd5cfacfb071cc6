/* How much a trained memory writes and forgets: tokens of a sample at which theta, or alpha, is above zero in a
 * layer, in the mean over samples: writes.tsv. What is written after the needle can overwrite it. */
#include "base/check.h"
#include "bench/bench.h"
#include "bench/shared/inside.h"
#include "learn/evaluate.h"
#include "terminal/interrupt.h"

#include <stdlib.h>

enum { SEGMENT = 512, MOST_LAYERS = 1024 };

typedef struct {
    int64_t written, forgotten;
} Count;

static int count_segment(Trained *t, titans_stream *stream, const Sample *s, Count *layers,
                         titans_error *error) {
    const int64_t from = titans_stream_position(stream),
                  n = s->length - from < SEGMENT ? s->length - from : SEGMENT;
    const int64_t memories = titans_stream_memories(stream), floats = memories * n * t->model.config.heads;
    int32_t tokens[SEGMENT];
    float *shown = calloc((size_t)(2 * floats), sizeof *shown);
    CHECK(shown, "no memory for %ld numbers", 2 * floats);
    sample_read(s, from, n, tokens, 0);
    const titans_input input = {.tokens = tokens, .count = n, .alpha = shown, .theta = shown + floats};
    const titans_status status = titans_read_input(stream, &input, error);
    for (int64_t r = 0; !status && r < memories * n; r++) {
        layers[r / n].written += trained_head_mean(t, input.theta, r) > 0.0;
        layers[r / n].forgotten += trained_head_mean(t, input.alpha, r) > 0.0;
    }
    free(shown);
    return status ? -1 : 0;
}

static int count_samples(Trained *t, const InsideOptions *o, Count *layers, char *message, size_t size) {
    titans_error error;
    int status = 0;
    for (int64_t i = 0; !status && i < o->samples; i++) {
        static Sample sample;
        const double depth = ((double)i + 0.5) / (double)o->samples;
        const titans_stream_options options = {.capacity = o->length};
        task_sample(&t->task, evaluate_seed((uint64_t)o->seed), (uint64_t)i, o->length, depth, &sample);
        titans_stream *stream = titans_stream_new(&t->library, &options, &error);
        status = stream ? 0 : -1;
        while (!status && titans_stream_position(stream) < o->length)
            status = interrupt_requested() ? 1 : count_segment(t, stream, &sample, layers, &error);
        titans_stream_free(stream);
    }
    if (status < 0) snprintf(message, size, "%s", error.message);
    return status;
}

static void report(const InsideOptions *o, const Trained *t, const char *file, const Count *layers,
                   FILE *to) {
    const double n = (double)o->samples;
    for (int64_t i = 0, layer = 0; layer < t->model.config.layers;
         i++, layer += t->model.mixer->memory_every) {
        const double written = (double)layers[i].written / n, forgotten = (double)layers[i].forgotten / n;
        fprintf(to, "%s\t%s\t%lld\t%lld\t%lld\t%lld\t%.2f\t%.2f\t", t->model.mixer->name, t->recipe.task_name,
                (long long)t->recipe.seed, (long long)layer, (long long)o->length, (long long)o->samples,
                written, forgotten);
        tsv_text(to, file);
        fputc('\n', to);
        fprintf(stderr,
                "writes: %-8s %-8s seed %lld layer %lld: %.2f of %lld tokens written, %.2f forgotten\n",
                t->model.mixer->name, t->recipe.task_name, (long long)t->recipe.seed, (long long)layer,
                written, (long long)o->length, forgotten);
    }
}

static int look(const InsideOptions *o, Trained *t, const char *file, FILE *to, char *message, size_t size) {
    Count layers[MOST_LAYERS] = {0};
    const int status = count_samples(t, o, layers, message, size);
    if (!status) report(o, t, file, layers, to);
    return status;
}

static int run(int argc, char **argv) {
    static const InsideBench bench = {
        "writes", "mixer\ttask\ttrain_seed\tlayer\tlength\tsamples\twritten\tforgotten\tcheckpoint",
        "Tokens at which a trained memory writes and forgets."
        "\vDefault: 16K tokens, 8 samples.\n\nExamples:\n  titans bench writes a.safetensors b.safetensors "
        "-o writes.tsv",
        (int64_t)1 << 40, look};
    InsideOptions o = {
        .table = {.out = "writes.tsv"}, .asked = {.several = 1}, .length = 16 << 10, .samples = 8, .seed = 1};
    return inside_run(&bench, &o, argc, argv);
}

const Bench bench_writes = {"writes", "tokens at which trained memories write and forget", run};
