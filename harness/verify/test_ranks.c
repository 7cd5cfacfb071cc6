/* Training by several ranks: processes that exchange bytes over sockets here, over MPI in harness/verify/mpi.sh. */
#include "base/hash.h"
#include "base/random.h"
#include "ledger.h"
#include "learn/training.h"
#include "learn/tree.h"
#include "terminal/interrupt.h"
#include "terminal/options.h"
#include "task/shared/plain.h"
#include "test_reference.h"

#include <omp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_RANKS = 8, PATIENCE = 60 /* seconds: ranks that wait for each other end red, not never */ };
static char folder[64];

static void enter_folder(void) {
    snprintf(folder, sizeof folder, "/tmp/titans-ranks-XXXXXX");
    cr_assert(mkdtemp(folder) && !chdir(folder));
    omp_set_num_threads(1); /* these tests fork */
}

static void leave_folder(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert(!system(command));
}

/* ---- ranks that are processes of this machine ---- */

typedef struct {
    int socket[MOST_RANKS]; /* to each other rank */
} Mesh;

/* Both ways at once: two that only wrote would wait for each other. */
static int mesh_exchange(const Ranks *r, int peer, const void *out, void *in, size_t bytes, char *message,
                         size_t size) {
    const int fd = ((const Mesh *)r->link)->socket[peer];
    size_t sent = 0, got = 0;
    while (sent < bytes || got < bytes) {
        struct pollfd wait = {fd, (short)((sent < bytes ? POLLOUT : 0) | (got < bytes ? POLLIN : 0)), 0};
        poll(&wait, 1, -1);
        const ssize_t w =
            sent < bytes ? send(fd, (const char *)out + sent, bytes - sent, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
        const ssize_t n = got < bytes ? recv(fd, (char *)in + got, bytes - got, MSG_DONTWAIT) : 0;
        if (n == 0 && got < bytes) return snprintf(message, size, "rank %d is gone", peer), -1;
        sent += w > 0 ? (size_t)w : 0;
        got += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* work(ranks, context) in `count` processes; the number of those that ended with 0. */
static int among(int count, int (*work)(const Ranks *ranks, void *context), void *context) {
    static Mesh mesh[MOST_RANKS];
    pid_t child[MOST_RANKS];
    int well = 0, status;
    for (int i = 0; i < count; i++)
        for (int j = i + 1; j < count; j++) {
            int pair[2];
            cr_assert(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
            mesh[i].socket[j] = pair[0], mesh[j].socket[i] = pair[1];
        }
    for (int i = 0; i < count; i++) {
        child[i] = fork();
        cr_assert(child[i] >= 0);
        if (child[i]) continue;
        const Ranks ranks = {i, count, mesh_exchange, &mesh[i]};
        for (int j = 0; j < count; j++) /* the ends of others: who is gone must be seen to be */
            for (int k = 0; j != i && k < count; k++)
                if (k != j) close(mesh[j].socket[k]);
        alarm(PATIENCE);
        _exit(work(&ranks, context));
    }
    for (int i = 0; i < count; i++)
        for (int j = 0; j < count; j++)
            if (i != j) close(mesh[i].socket[j]);
    for (int i = 0; i < count; i++)
        well += waitpid(child[i], &status, 0) == child[i] && WIFEXITED(status) && !WEXITSTATUS(status);
    return well;
}

/* ---- the tree ---- */

enum { FLOATS = 37, MOST_LEAVES = 64 };
static float leaf[MOST_LEAVES][FLOATS];

static void fill_leaves(uint64_t seed) {
    for (int i = 0; i < MOST_LEAVES; i++)
        for (int j = 0; j < FLOATS; j++)
            leaf[i][j] = (float)ldexp((2 * uniform(&seed) - 1) / 3, (int)(12 * uniform(&seed)) - 6);
}

/* The definition: the sum of leaves [from, from + count), halved until one is left. */
static float sum_of(int from, int count, int j) {
    if (count == 1) return leaf[from][j];
    const float left = sum_of(from, count / 2, j), right = sum_of(from + count / 2, count / 2, j);
    return left + right;
}

static void sum_leaves(int from, int count, float *sum, double losses[TREE_LOSSES]) {
    static float waiting[TREE_LEVELS][FLOATS];
    Tree tree = {.floats = FLOATS, .leaves = count};
    for (int i = 0; i < TREE_LEVELS; i++) tree.waiting[i] = waiting[i];
    memset(sum, 0, FLOATS * sizeof *sum);
    losses[0] = losses[1] = 0.0;
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < FLOATS; j++) sum[j] += leaf[from + i][j];
        for (int k = 0; k < TREE_LOSSES; k++) losses[k] = (double)leaf[from + i][k];
        tree_add(&tree, sum, losses);
    }
}

/* One rank's part of `count` leaves; 0 when the sum of all is that of the definition. */
static int sum_with_others(const Ranks *r, void *context) {
    const int count = *(const int *)context, mine = count / r->count;
    float sum[FLOATS];
    double losses[TREE_LOSSES];
    char message[MESSAGE];
    int wrong = 0;
    sum_leaves(r->rank * mine, mine, sum, losses);
    if (tree_floats(r, FLOATS, sum, message, sizeof message) ||
        tree_reals(r, TREE_LOSSES, losses, message, sizeof message))
        return 2;
    for (int j = 0; j < FLOATS; j++) wrong += sum[j] != sum_of(0, count, j);
    for (int k = 0; k < TREE_LOSSES; k++) /* in double the losses' sum is exact to far below a float's ulp */
        wrong += !(fabs(losses[k] - (double)sum_of(0, count, k)) <= 0x1p-10);
    return wrong != 0;
}

Test(ranks, add_in_the_order_of_one_tree) {
    int checks = 0, counts = 0;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        fill_leaves(seed);
        for (int count = 1; count <= MOST_LEAVES; count *= 2)
            for (int ranks = 1; ranks <= MOST_RANKS && ranks <= count; ranks *= 2, counts++) {
                const int well = among(ranks, sum_with_others, &count);
                cr_assert(well == ranks, "%d leaves on %d ranks: %d have the sum of the tree", count, ranks,
                          well);
                checks += ranks * FLOATS;
            }
    }
    /* the inputs can tell orders apart */
    int other = 0;
    for (int j = 0; j < FLOATS; j++) {
        float row = 0.0f;
        for (int i = 0; i < MOST_LEAVES; i++) row += leaf[i][j];
        other += row != sum_of(0, MOST_LEAVES, j);
    }
    cr_assert(other > FLOATS / 4, "%d of %d sums depend on the order", other, FLOATS);
    ledger_record("ranks", "tree", checks, 0);
}

/* ---- training ---- */

/* Asks for one to seven tokens, by the sample's index: leaves of a batch differ in what they are asked. */
static void uneven_sample(const void *instance, uint64_t seed, uint64_t index, int64_t length, double depth,
                          Sample *s) {
    static const char word[] = {14, 4, 5, 6, 7, 8, 9, 10, 0};
    (void)instance, (void)depth;
    Random random = random_stream(seed, index, 0x756e6576);
    sample_filler(s, random_bits(&random), 46, 100, length - 8);
    sample_answer(s, length - 7, 1 + (int64_t)(index % 7));
    sample_text(s, word);
}
static const Task uneven = {.name = "passkey",
                            .metric = METRIC_EXACT,
                            .vocab = 174,
                            .min_length = 16,
                            .open = plain_open,
                            .close = plain_close,
                            .sample = uneven_sample};

/* The same with rows of two numbers, and two to predict. */
static void numbers_read(const void *instance, const Sample *s, int64_t from, int64_t count,
                         const SampleRows *rows) {
    (void)instance;
    for (int64_t i = 0; i < count; i++) {
        Random random = random_stream(s->seed, (uint64_t)(from + i), 0x6e756d62);
        const float x = (float)random_uniform(&random), y = (float)random_uniform(&random);
        const int asked = from + i >= s->length - 1 - (int64_t)(s->seed % 7);
        rows->features[2 * i] = x, rows->features[2 * i + 1] = y;
        rows->targets[i] = asked ? 0 : -1;
        rows->values[2 * i] = y, rows->values[2 * i + 1] = x - y;
    }
}
static void numbers_sample(const void *instance, uint64_t seed, uint64_t index, int64_t length, double depth,
                           Sample *s) {
    (void)instance, (void)depth;
    s->seed = seed * 1000 + index;
    s->length = length;
}
static const Task numbers = {.name = "passkey",
                             .metric = METRIC_SQUARED,
                             .vocab = 2,
                             .features = 2,
                             .min_length = 16,
                             .open = plain_open,
                             .close = plain_close,
                             .sample = numbers_sample,
                             .read = numbers_read};

static Recipe small_recipe(const char *mixer, int shards, const Task *task) {
    static Recipe recipe;
    char first[64], second[64], message[MESSAGE];
    const char *const word[] = {first,       second,           "width=16",      "ffn=16",
                                "chunk=16",  "batch=8",        "warmup=2",      "curriculum=64:2 80:2",
                                "penalty=1", "penalty_from=0", "lm_weight=0.5", "save_every=2"};
    snprintf(first, sizeof first, "mixer=%s", mixer);
    snprintf(second, sizeof second, "shards=%d", shards);
    cr_assert(!recipe_open(&recipe, 0, word, sizeof word / sizeof *word, 1, message, sizeof message), "%s",
              message);
    if (task) recipe.task = task;
    return recipe;
}

typedef struct {
    const Recipe *recipe;
    const char *out, *log;
    int threads, resume;
    int64_t stop; /* one of the ranks gets a signal after that step; 0: none */
} Run;

static void signal_after(void *context, const Trainer *t) {
    const Run *run = context;
    if (t->progress.step == run->stop && t->ranks.rank == t->ranks.count / 2) raise(SIGTERM);
}

static int train_here(const Ranks *ranks, void *context) {
    static Trainer t;
    Run *run = context;
    Tsv log = {0};
    char message[MESSAGE], *argv[] = {"titans train"};
    const TrainingOptions training = {"test", run->out, &log, run->resume, 1, signal_after, run};
    omp_set_num_threads(run->threads);
    if (run->stop) interrupt_catch();
    int status = run->resume ? trainer_load(&t, run->out, 0, message, sizeof message)
                             : trainer_create(&t, run->recipe, message, sizeof message);
    if (!status && !ranks->rank)
        status = training_log(&log, run->log, run->resume ? TSV_RESUME : TSV_FORCE, 1, argv, message,
                              sizeof message);
    status = trainer_ranks(&t, ranks, status, message, sizeof message);
    if (!status) status = training_run(&t, &training, message, sizeof message);
    if (status < 0) fprintf(stderr, "rank %d: %s\n", ranks->rank, message);
    if (log.file && tsv_close(&log, message, sizeof message)) status = -1;
    return status == (run->stop > 0) && (!run->stop || t.progress.step == run->stop) ? 0 : 3;
}

static void train_among(int ranks, const Run *run) {
    Run copy = *run;
    const int well = among(ranks, train_here, &copy);
    cr_assert(well == ranks, "%s: %d of %d ranks ended as they should", run->out, well, ranks);
}

/* The checkpoint and the log's rows but for their rate are those of one rank. */
static void expect_same_run(const char *out, const char *log, const char *what) {
    char command[512];
    snprintf(
        command, sizeof command,
        "cmp one.st %s && grep -v '^#' one.tsv | cut -f1-9,11 >one.rows && grep -v '^#' %s | cut -f1-9,11 | "
        "cmp - one.rows",
        out, log);
    cr_assert(!system(command), "%s: not the bits of one rank", what);
}

Test(ranks, any_number_trains_the_same_bits, .init = enter_folder, .fini = leave_folder) {
    static const char *const mixers[] = {"lmm", "mac", "swa"};
    int checks = 0;
    for (int m = 0; m < 6; m++) {
        const Task *task = m == 3 ? &uneven : m == 4 ? &numbers : 0;
        const Recipe recipe = small_recipe(mixers[m % 3], m == 5 ? 8 : 4, task);
        train_among(1, &(Run){&recipe, "one.st", "one.tsv", .threads = 1});
        for (int ranks = 1; ranks <= recipe.shards; ranks *= 2, checks++) {
            train_among(ranks, &(Run){&recipe, "many.st", "many.tsv", .threads = 1 + ranks % 2});
            expect_same_run("many.st", "many.tsv", mixers[m % 3]);
        }
    }
    ledger_record("ranks", "training", checks, 0);
}

Test(ranks, stop_at_one_step_and_go_on_with_any_number, .init = enter_folder, .fini = leave_folder) {
    const Recipe recipe = small_recipe("lmm", 4, 0);
    int checks = 0;
    train_among(1, &(Run){&recipe, "one.st", "one.tsv", .threads = 1});
    for (int before = 1; before <= 4; before *= 2)
        for (int after = 1; after <= 4; after *= 2, checks++) {
            train_among(before, &(Run){&recipe, "many.st", "many.tsv", .threads = 1, .stop = 3});
            train_among(after, &(Run){&recipe, "many.st", "many.tsv", .threads = 1, .resume = 1});
            expect_same_run("many.st", "many.tsv", "stopped and resumed");
        }
    ledger_record("ranks", "stopped and resumed", checks, 0);
}

/* One step; the optimizer's first moment is then a tenth of the gradient. */
static StepReport first_step(Trainer *t, int shards, const Task *task) {
    Recipe recipe = small_recipe("lmm", shards, task);
    char message[MESSAGE];
    StepReport report;
    recipe.optimizer.clip = 0.0;
    cr_assert(!trainer_create(t, &recipe, message, sizeof message), "%s", message);
    cr_assert(!trainer_step(t, &report, message, sizeof message), "%s", message);
    return report;
}

/* Rows of sequences do not depend on their batch, so losses are the same numbers, added otherwise: n of them in double,
 * and six operations of the shares. Gradients are sums over rows: in any order they agree normwise to u for each row. */
Test(ranks, shards_give_the_mean_over_the_batch) {
    static Trainer one, many;
    double worst = 0.0;
    int checks = 0;
    for (int of = 0; of < 3; of++)
        for (int shards = 2; shards <= 8; shards *= 2, checks += 3) {
            const Task *task = of == 1 ? &uneven : of == 2 ? &numbers : 0;
            const StepReport a = first_step(&one, 1, task), b = first_step(&many, shards, task);
            const double rows = 8 * 64, loss = fabs(a.loss - b.loss) / (a.loss * (rows + 6) * 0x1p-53);
            double difference = 0.0, norm = 0.0;
            for (int64_t i = 0; i < one.model.list.floats; i++) {
                const double x = (double)one.optimizer.m[i], y = (double)many.optimizer.m[i];
                difference += (x - y) * (x - y);
                norm += x * x;
            }
            const double gradient = sqrt(difference / norm) / (rows * 0x1p-24);
            cr_assert(norm > 0.0 && loss <= 1.0 && gradient <= 1.0 && a.match == b.match,
                      "task %d, %d shards: loss %g, gradient %g of the bound", of, shards, loss, gradient);
            worst = fmax(worst, fmax(loss, gradient));
            trainer_free(&one);
            trainer_free(&many);
        }
    ledger_record("ranks", "shards", checks, worst);
}

/* ---- what goes wrong ---- */

static int agree_here(const Ranks *r, void *context) {
    const int *bad = context;
    char message[MESSAGE] = "", wanted[64];
    int other;
    if (r->rank >= *bad) snprintf(message, sizeof message, "no bread on %d", r->rank);
    snprintf(wanted, sizeof wanted, *bad ? "rank %d: no bread on %d" : "no bread on %d", *bad, *bad);
    if (tree_agree(r, r->rank >= *bad ? -1 : 0, message, sizeof message) != -1 || strcmp(message, wanted))
        return 1;
    if (tree_agree(r, 0, message, sizeof message)) return 2;
    if (tree_differs(r, r->rank >= *bad ? 7 : 9, &other, message, sizeof message) || other != *bad) return 3;
    int64_t most = r->rank == *bad ? 15 : 0;
    return tree_most(r, &most, message, sizeof message) || most != 15;
}

Test(ranks, know_what_has_happened_to_the_lowest) {
    int checks = 0;
    for (int ranks = 2; ranks <= MOST_RANKS; ranks *= 2)
        for (int bad = 0; bad < ranks; bad++, checks += 4)
            cr_assert(among(ranks, agree_here, &bad) == ranks, "rank %d of %d", bad, ranks);
    ledger_record("ranks", "agreement", checks, 0);
}

/* Rank 2 of 4 begins with another seed, or ends without a word. */
static int misfit_here(const Ranks *r, void *context) {
    static Trainer t;
    const int gone = *(const int *)context;
    char message[MESSAGE];
    Recipe recipe = small_recipe("lmm", 4, 0);
    if (!gone && r->rank == 2) recipe.seed = 5;
    if (trainer_create(&t, &recipe, message, sizeof message)) return 1;
    const int status = trainer_ranks(&t, r, 0, message, sizeof message);
    if (!gone) return status != -1 || !strstr(message, "rank 2 begins with another");
    if (status || r->rank == 2) return status;
    StepReport report;
    const uint64_t before =
        hash_bytes(HASH_START, t.model.weights, (size_t)t.model.list.floats * sizeof(float));
    if (trainer_step(&t, &report, message, sizeof message) != TREE_LOST || t.progress.step) return 2;
    return before != hash_bytes(HASH_START, t.model.weights, (size_t)t.model.list.floats * sizeof(float));
}

Test(ranks, that_do_not_fit_or_are_gone_change_nothing) {
    static Trainer t;
    char message[MESSAGE];
    for (int gone = 0; gone < 2; gone++)
        cr_assert(among(4, misfit_here, &gone) == 4, "%s", gone ? "a rank that is gone" : "another seed");
    const Recipe recipe = small_recipe("lmm", 2, 0);
    cr_assert(!trainer_create(&t, &recipe, message, sizeof message), "%s", message);
    cr_assert(trainer_ranks(&t, &(Ranks){.count = 3}, 0, message, sizeof message) == -1 &&
              strstr(message, "1, 2, 4, 8"));
    trainer_free(&t);
    for (int shards = 3; shards <= 16; shards += 13) {
        const Recipe wrong = small_recipe("lmm", shards, 0);
        cr_assert(trainer_create(&t, &wrong, message, sizeof message) && strstr(message, "power of two"),
                  "%s", message);
    }
    ledger_record("ranks", "misfits", 11, 0);
}
