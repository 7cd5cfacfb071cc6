/* Two threads against one, and whole training steps of every mixer: goals 15 and 16. */
#include "bench/kernel/kernel.h"
#include "base/check.h"
#include "bench/shared/memory_case.h"
#include "learn/trainer.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>

static void memory_threads_row(KernelReport *r, int threads) {
    MemoryCase c = memory_case(8, 64, 1024, 2, 64, 128);
    omp_set_num_threads(1);
    const Timing one =
        timing_measure((Work){memory_scan_run, &c}, KERNEL_NO_BAR, 1, r->rounds, 4 * KERNEL_LEAST);
    omp_set_num_threads(threads);
    const Timing two =
        timing_measure((Work){memory_scan_run, &c}, KERNEL_NO_BAR, threads, r->rounds, 4 * KERNEL_LEAST);
    const double speedup = one.seconds / two.seconds;
    const KernelRow row = {"memory.scan",
                           "64-128-64 8 heads",
                           "1 thread",
                           threads,
                           memory_scan_flop(&c),
                           speedup,
                           "15: 2 threads >= 1.85 x 1",
                           threads == 2 ? speedup >= 1.85 : -1};
    report_row(r, &row, &two);
    memory_case_free(&c);
}

static void step_run(void *context) {
    char message[512];
    StepReport report;
    CHECK(!trainer_step(context, &report, message, sizeof message), "%s", message);
}

/* Goal 16: useful flop of forward and backward (three times the forward) over the FMA peak of all threads. */
static void step_row(KernelReport *r, const char *mixer, int threads) {
    static const char *const settings[] = {"width=256",
                                           "heads=4",
                                           "layers=2",
                                           "ffn=512",
                                           "memory_layers=2",
                                           "expansion=2",
                                           "persistent=16",
                                           "segment=128",
                                           "window=128",
                                           "task=niah1",
                                           "batch=8",
                                           "rate=1e-5",
                                           "curriculum=512:1000000"};
    enum { SETTINGS = sizeof settings / sizeof *settings };
    static Recipe recipe;
    static Trainer trainer;
    char message[512], shape[64], name[64];
    const char *over[SETTINGS + 1] = {name};
    snprintf(name, sizeof name, "mixer=%s", mixer);
    memcpy(over + 1, settings, sizeof settings);
    CHECK(!recipe_open(&recipe, 0, over, SETTINGS + 1, 1, message, sizeof message), "%s", message);
    CHECK(!trainer_create(&trainer, &recipe, message, sizeof message), "%s", message);
    const Timing t = timing_measure((Work){step_run, &trainer}, KERNEL_NO_BAR, threads,
                                    r->rounds < 5 ? r->rounds : 5, 0.1);
    const double tokens = 8.0 * 512.0, flop = 3.0 * tokens * model_flops(&trainer.model, 256.0, 0);
    const double percent = 100.0 * flop / t.seconds / t.peak;
    snprintf(shape, sizeof shape, "%s d=256 2 layers 8x512", mixer);
    const KernelRow row = {"train.step",          shape,          "-", threads, flop, 0.0,
                           "16: >= 50 % of peak", percent >= 50.0};
    report_row(r, &row, &t);
    trainer_free(&trainer);
}

static void step_rows(KernelReport *r) {
    const int threads = omp_get_max_threads();
    memory_threads_row(r, threads);
    for (int i = 0; mixer_at(i); i++) step_row(r, mixer_at(i)->name, threads);
}

const KernelBench kernel_bench_step = {"step", step_rows, 0};
