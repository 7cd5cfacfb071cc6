/* Threads on a machine that others use: given up, tried again, and no bit and no mode different for it. Time and the losses of a core
 * are told, so that every turn is tried at once. */
#include "base/parallel.h"
#include "base/quota.h"
#include "base/share.h"
#include "base/work.h"
#include "ledger.h"
#include "library/library.h"
#include "test_model.h"

#include <math.h>
#include <string.h>

enum { MOST = 3, SEQUENCES = 2, COUNT = 70, ROWS = SEQUENCES * COUNT };

static double told_seconds;
static long told_taken;
static double tell_seconds(void) { return told_seconds; }
static long tell_taken(void) { return told_taken; }
static const ShareSource told = {tell_seconds, tell_taken};

/* The next window, in which threads were taken off their cores so often; the number of threads for it. */
static int after(double seconds, long taken) {
    told_seconds += seconds;
    told_taken += taken;
    return share_threads(MOST);
}

static void begin(void) {
    share_source = told;
    told_seconds = 1e6;
    cr_assert_eq(share_threads(MOST), MOST);
}

Test(share, gives_threads_up_where_they_are_taken_off_their_cores, .init = begin) {
    cr_assert_eq(after(0.12, 0), MOST, "nothing was taken");
    cr_assert_eq(after(0.12, 7), MOST, "chance says nothing");
    cr_assert_eq(after(1.0, 30), MOST, "a quiet system's own work");
    cr_assert_eq(after(0.02, 12), MOST, "within a window nothing changes");
    cr_assert_eq(after(0.1, 0), 2, "12 in 120 ms are another process");
    cr_assert_eq(after(0.12, 12), 1);
    cr_assert_eq(after(0.12, 12), 1, "one thread always works");
    cr_assert_eq(share_threads(1), 1);
    ledger_record("share", "given up", 8, 0);
}

Test(share, tries_again_ever_more_rarely_and_recovers, .init = begin) {
    double last = 0.0, waited = 0.0, longest = 0.0;
    for (int failures = 0; failures < 12; failures++) {
        cr_assert_eq(after(0.12, 12), MOST - 1, "failure %d", failures);
        for (waited = 0.0; after(0.12, 0) < MOST; waited += 0.12)
            cr_assert_lt(waited, 3.0, "never tried again after failure %d", failures);
        cr_assert_geq(waited, last - 0.13, "waited %.2f s after %.2f", waited, last);
        last = waited;
        if (waited > longest) longest = waited;
    }
    cr_assert(longest > 1.8 && longest < 2.1, "waits of %.2f s at most", longest);
    cr_assert_eq(after(0.12, 0), MOST, "a quiet window with all of them");
    cr_assert_eq(after(0.12, 12), MOST - 1);
    for (waited = 0.0; after(0.12, 0) < MOST;) waited += 0.12;
    cr_assert_lt(waited, 0.1, "patience is short again, not %.2f s", waited);
    ledger_record("share", "tried again", 27, 0);
}

Test(share, counts_what_was_given_up, .init = begin) {
    cr_assert_eq(share_given_up(), 0.0);
    after(0.12, 12);
    for (int i = 0; i < 100; i++) after(0.12, 12);
    /* Two of three threads in all windows but the first two. */
    cr_assert_float_eq(share_given_up(), 2.0 / 3.0, 0.02, "%.3f", share_given_up());
    ledger_record("share", "counted", 2, 0);
}

static int least, greatest;
static long watched_taken(void) {
    const int threads = parallel_threads();
    if (threads < least) least = threads;
    if (threads > greatest) greatest = threads;
    return restless.taken();
}

typedef struct {
    float *grads, *logits;
    int64_t grad_count, logit_count;
} Outcome;

static int small_model(int i, Model *m) {
    char message[512];
    if (!mixer_at(i)) return 0;
    const Recipe recipe = settings(mixer_at(i)->name, every, "");
    cr_assert(!model_create(m, &recipe.model, 1, message, sizeof message), "%s", message);
    return 1;
}

/* Gradients of a recorded pass, and logits of one that is not. */
static Outcome outcome(int variant) {
    static int32_t tokens[ROWS], rows[ROWS], best[ROWS];
    Model m;
    char message[256];
    if (!small_model(variant, &m)) return (Outcome){0};
    Arena arena = {0};
    Tape tape = {&arena, 1, 0}, plain = {&arena, 0, 0};
    random_tokens(ROWS, 2, tokens);
    for (int32_t r = 0; r < ROWS; r++) rows[r] = r;
    cr_assert(!model_gradients(&m, message, sizeof message), "%s", message);
    ModelInput input = {
        .tokens = tokens, .batch = SEQUENCES, .count = COUNT, .rows = rows, .row_count = ROWS};
    op_cross_entropy(&tape, model_forward(&tape, &m, 0, &input), tokens, 1.0, best);
    tape_backward(&tape);
    const Tensor *logits = model_forward(&plain, &m, 0, &input);
    const int64_t numbers = logits->rows * logits->cols;
    Outcome o = {malloc((size_t)m.list.floats * sizeof(float)), malloc((size_t)numbers * sizeof(float)),
                 m.list.floats, numbers};
    memcpy(o.grads, m.grads, (size_t)m.list.floats * sizeof(float));
    memcpy(o.logits, logits->data, (size_t)numbers * sizeof(float));
    arena_free(&arena);
    model_free(&m);
    return o;
}

Test(share, changes_no_bit_wherever_the_number_of_threads_changes) {
    int64_t checks = 0;
    for (int i = 0;; i++) {
        parallel_limit(1);
        Outcome one = outcome(i);
        if (!one.grads) break;
        parallel_limit(MOST);
        share_source = (ShareSource){restless.seconds, watched_taken};
        least = MOST, greatest = 1;
        Outcome many = outcome(i);
        cr_assert(!memcmp(one.grads, many.grads, (size_t)one.grad_count * sizeof(float)),
                  "variant %d: gradients differ", i);
        cr_assert(!memcmp(one.logits, many.logits, (size_t)one.logit_count * sizeof(float)),
                  "variant %d: logits differ", i);
        cr_assert(least == 1 && greatest == MOST, "variant %d: %d to %d threads were tried", i, least,
                  greatest);
        cr_assert_eq(parallel_threads(), MOST, "the caller's number is its own");
        checks += one.grad_count + one.logit_count;
        free(one.grads), free(one.logits), free(many.grads), free(many.logits);
    }
    ledger_record("share", "changing threads memcmp", checks, 0);
}

static void lay(const char *root, const char *path, const char *text) {
    char at[512], command[600];
    snprintf(at, sizeof at, "%s/%s", root, path);
    snprintf(command, sizeof command, "mkdir -p \"$(dirname '%s')\"", at);
    cr_assert(!system(command));
    FILE *file = fopen(at, "w");
    cr_assert(file && fputs(text, file) >= 0 && !fclose(file), "%s", at);
}

Test(share, knows_the_quota_of_containers_and_batch_systems) {
    char root[] = "/tmp/titans-quota-XXXXXX", command[64];
    cr_assert(mkdtemp(root) != NULL);
    cr_assert_eq(quota_processors(root), INFINITY, "no control groups");
    lay(root, "proc/self/cgroup", "0::/batch/job\n");
    cr_assert_eq(quota_processors(root), INFINITY, "no limits");
    lay(root, "sys/fs/cgroup/batch/job/cpu.max", "max 100000\n");
    cr_assert_eq(quota_processors(root), INFINITY);
    lay(root, "sys/fs/cgroup/batch/cpu.max", "250000 100000\n");
    cr_assert_eq(quota_processors(root), 2.5, "of the group above");
    lay(root, "sys/fs/cgroup/cpu.max", "150000 100000\n");
    cr_assert_eq(quota_processors(root), 1.5, "a container's own group");
    lay(root, "proc/self/cgroup", "4:memory:/x\n3:cpu,cpuacct:/y/z\n1:cpuset:/batch\n");
    cr_assert_eq(quota_processors(root), INFINITY, "version 1, no limits");
    lay(root, "sys/fs/cgroup/cpu,cpuacct/y/z/cpu.cfs_quota_us", "-1\n");
    lay(root, "sys/fs/cgroup/cpu,cpuacct/y/z/cpu.cfs_period_us", "100000\n");
    cr_assert_eq(quota_processors(root), INFINITY, "-1 is none");
    lay(root, "sys/fs/cgroup/cpu,cpuacct/y/cpu.cfs_quota_us", "50000\n");
    lay(root, "sys/fs/cgroup/cpu,cpuacct/y/cpu.cfs_period_us", "100000\n");
    cr_assert_eq(quota_processors(root), 0.5);
    lay(root, "proc/self/cgroup", "nonsense\n:\n::\n");
    lay(root, "sys/fs/cgroup/cpu.max", "nonsense\n");
    cr_assert_eq(quota_processors(root), INFINITY, "nonsense is no limit");
    cr_assert_geq(quota_threads(), 1);
    snprintf(command, sizeof command, "rm -r %s", root);
    cr_assert(!system(command));
    ledger_record("share", "quota", 10, 0);
}

/* What a caller asks for holds also where threads might be tried again. */
Test(share, a_call_has_the_threads_that_it_asks_for_within_another, .init = begin) {
    parallel_limit(MOST);
    const int outer = work_begin();
    cr_assert_eq(parallel_threads(), MOST);
    const LibraryCall call = library_enter(1);
    work_pause();
    cr_assert_eq(parallel_threads(), 1, "one thread was asked for");
    library_leave(call);
    told_seconds += 1.0;
    work_pause();
    cr_assert_eq(parallel_threads(), MOST, "the caller has its own again");
    work_end(outer);
    ledger_record("share", "asked for", 3, 0);
}
