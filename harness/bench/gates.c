/* What the gates of a trained memory do where nothing has to be kept: forgetting alpha and step theta of every head in
 * the mean over the middle half of a sample, and theta's largest value where the needle stands: gates.tsv. It stands at
 * the beginning, so the middle is all haystack. */
#include "bench/bench.h"
#include "bench/shared/inside.h"
#include "bench/shared/shown.h"
#include "learn/evaluate.h"

#include <math.h>
#include <stdio.h>

enum { MOST_ROWS = 4096 };

/* Of one head of one memory, sums over samples. kept: -log of the share that (1 - alpha) leaves of what was written. */
typedef struct {
    double alpha, theta, kept, needle;
} Means;

static void add_sample(const Shown *s, int64_t memory, int64_t head, Means *sum) {
    const int64_t from = s->length / 4, to = s->length - from;
    const double share = 1.0 / (double)(to - from);
    double most = 0.0;
    for (int64_t i = 0; i < to; i++) {
        const int64_t at = (memory * s->length + i) * s->heads + head;
        const double alpha = (double)s->alpha[at], theta = (double)s->theta[at];
        if (i < from) {
            most = fmax(most, theta);
            continue;
        }
        sum->alpha += share * alpha;
        sum->theta += share * theta;
        sum->kept -= share * log1p(-alpha);
    }
    sum->needle += most;
}

static int add_samples(const Trained *t, const InsideOptions *o, Means *sums, char *message, size_t size) {
    int status = 0;
    for (int64_t i = 0; !status && i < o->samples; i++) {
        static Sample sample;
        Shown s;
        task_sample(&t->task, evaluate_seed((uint64_t)o->seed), (uint64_t)i, o->length, 0.0, &sample);
        status = shown_read(t, &sample, &s, message, size);
        for (int64_t r = 0; !status && r < s.memories * s.heads; r++)
            add_sample(&s, r / s.heads, r % s.heads, &sums[r]);
        shown_free(&s);
    }
    return status;
}

static void report(const InsideOptions *o, const Trained *t, const char *file, const Means *sums, FILE *to) {
    const int64_t heads = t->model.config.heads, every = t->model.mixer->memory_every;
    const double n = (double)o->samples;
    for (int64_t layer = 0, r = 0; layer < t->model.config.layers; layer += every)
        for (int64_t head = 0; head < heads; head++, r++) {
            const Means *m = &sums[r];
            fprintf(to, "%s\t%s\t%lld\t%lld\t%lld\t%lld\t%lld\t%lld\t%.4g\t%.4g\t%.4g\t%.4g\t",
                    t->model.mixer->name, t->recipe.task_name, (long long)t->recipe.seed, (long long)layer,
                    (long long)head, (long long)(t->model.config.width / heads), (long long)o->length,
                    (long long)o->samples, m->alpha / n, n / m->kept, m->theta / n, m->needle / n);
            tsv_text(to, file);
            fputc('\n', to);
            fprintf(stderr,
                    "gates: %-8s %-8s seed %lld layer %lld head %lld: alpha %.3g, theta %.3g, at the needle "
                    "%.3g\n",
                    t->model.mixer->name, t->recipe.task_name, (long long)t->recipe.seed, (long long)layer,
                    (long long)head, m->alpha / n, m->theta / n, m->needle / n);
        }
}

static int look(const InsideOptions *o, Trained *t, const char *file, FILE *to, char *message, size_t size) {
    Means sums[MOST_ROWS] = {0};
    if (t->model.config.layers * t->model.config.heads > MOST_ROWS)
        return snprintf(message, size, "%s has more than %d heads in all layers", file, MOST_ROWS), -1;
    const int status = add_samples(t, o, sums, message, size);
    if (!status) report(o, t, file, sums, to);
    return status;
}

static int run(int argc, char **argv) {
    static const InsideBench bench = {
        "gates",
        "mixer\ttask\ttrain_seed\tlayer\thead\thead_width\tlength\tsamples\talpha\tkeeps\ttheta\t"
        "theta_needle\tcheckpoint",
        "Gates of a trained memory where there is nothing to keep, and at the needle."
        "\vDefault: 4K tokens, 4 samples. keeps: tokens after which forgetting alone leaves 1/e of what was "
        "written.\n\n"
        "Examples:\n  titans bench gates a.safetensors b.safetensors -o gates.tsv",
        1 << 24, look};
    InsideOptions o = {
        .table = {.out = "gates.tsv"}, .asked = {.several = 1}, .length = 4 << 10, .samples = 4, .seed = 1};
    return inside_run(&bench, &o, argc, argv);
}

const Bench bench_gates = {"gates", "gates of trained memories on the haystack and at the needle", run};
