/* Goal 14: a stream of 2M tokens neither grows nor slows down. */
#include "bench/kernel/kernel.h"
#include "base/check.h"
#include "base/random.h"
#include "library/library.h"
#include "terminal/progress.h"
#include "terminal/stats.h"

#include <stdio.h>
#include <unistd.h>

/* Resident memory of this process in KiB. */
static double resident_kib(void) {
    long total = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%ld %ld", &total, &resident) != 2) resident = 0;
    if (f) fclose(f);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1024.0;
}

/* Goal 14: one sequence of 2M tokens through a small memory model, segment by segment. */
static void stream_rows(KernelReport *r) {
    enum { SEGMENT = 512, TOKENS = 1 << 21, SEGMENTS = TOKENS / SEGMENT, PART = SEGMENTS / 100 };
    static double seconds[SEGMENTS];
    static int32_t tokens[SEGMENT];
    Config config;
    Model model;
    char message[512];
    titans_error error;
    double early = 0.0;
    CHECK(!config_defaults(&config, "lmm", message, sizeof message), "%s", message);
    config.vocab = 174;
    CHECK(!model_create(&model, &config, 1, message, sizeof message), "%s", message);
    const titans_model library = library_model(&model);
    titans_stream *stream = titans_stream_new(&library, 0, &error);
    CHECK(stream, "%s", error.message);
    Random random = {1};
    for (int i = 0; i < SEGMENTS; i++) {
        for (int t = 0; t < SEGMENT; t++) tokens[t] = (int32_t)random_below(&random, 174);
        const double began = seconds_now();
        CHECK(!titans_read(stream, tokens, SEGMENT, 0, &error), "%s", error.message);
        seconds[i] = seconds_now() - began;
        if (i == 100000 / SEGMENT) early = resident_kib();
    }
    const double growth = resident_kib() - early;
    const double ratio = stats_median(PART, seconds) / stats_median(PART, seconds + SEGMENTS - PART);
    report_goal(r, "stream", "KiB at 2M tokens over 100K", growth, "14: <= 1024 KiB", growth <= 1024.0);
    report_goal(r, "stream", "speed of last over first 1 % of 2M tokens", ratio, "14: 0.97 to 1.03",
                ratio >= 0.97 && ratio <= 1.03);
    titans_stream_free(stream);
    model_free(&model);
}

const KernelBench kernel_bench_stream = {"stream", stream_rows, 0};
