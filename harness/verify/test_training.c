/* Training that is killed and resumed, and checkpoints that are not what they should be. */
#include "learn/evaluate.h"
#include "ledger.h"
#include "file/safetensors.h"
#include "test_reference.h"
#include "learn/trainer.h"

#include <glob.h>
#include <omp.h>
#include <stdio.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char folder[64];

static void enter_folder(void) {
    snprintf(folder, sizeof folder, "/tmp/titans-verify-XXXXXX");
    cr_assert(mkdtemp(folder) != NULL);
    cr_assert(!chdir(folder));
    omp_set_num_threads(1); /* these tests fork */
}

static void leave_folder(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert(!system(command));
}

static Recipe small_recipe(const char *mixer, const char *curriculum) {
    static Recipe recipe;
    char first[64], second[128], message[512];
    const char *const word[] = {first,     second,     "width=16",    "ffn=16",        "chunk=16",
                                "batch=2", "warmup=5", "penalty=0.1", "penalty_from=0"};
    snprintf(first, sizeof first, "mixer=%s", mixer);
    snprintf(second, sizeof second, "curriculum=%s", curriculum);
    cr_assert(!recipe_open(&recipe, 0, word, sizeof word / sizeof *word, 1, message, sizeof message), "%s",
              message);
    return recipe;
}
static const char short_run[] = "64:20 80:20";

/* 0, or -1 with the message on stderr: also used in child processes, where an assertion would reach nobody.
 */
static int train_to_the_end(Trainer *t, const char *path, int pause_ms) {
    char message[512];
    StepReport report;
    int failed = 0;
    while (!failed && t->progress.step < t->steps) {
        failed = trainer_step(t, &report, message, sizeof message);
        if (pause_ms) nanosleep(&(struct timespec){0, pause_ms * 1000000L}, 0);
        if (!failed && path && t->progress.step % 3 == 0)
            failed = trainer_save(t, path, message, sizeof message);
    }
    if (!failed && path) failed = trainer_save(t, path, message, sizeof message);
    if (failed) fprintf(stderr, "%s\n", message);
    return failed;
}

static char *file_bytes(const char *path, int64_t *n) {
    FILE *f = fopen(path, "rb");
    cr_assert(f != NULL, "%s is missing", path);
    char *bytes = malloc(1 << 20);
    *n = (int64_t)fread(bytes, 1, 1 << 20, f);
    fclose(f);
    return bytes;
}

static void expect_same_files(const char *a, const char *b) {
    int64_t na, nb;
    char *x = file_bytes(a, &na), *y = file_bytes(b, &nb);
    cr_assert(na == nb && na < 1 << 20 && !memcmp(x, y, (size_t)na), "%s and %s differ", a, b);
    free(x);
    free(y);
}

/* A child trains and saves; it is killed without warning at the given moment, twice, and resumed each time.
 */
static void kill_and_resume(const char *mixer, int first_ms) {
    const Recipe recipe = small_recipe(mixer, short_run);
    static Trainer t;
    char message[512];
    for (int attempt = 0; attempt < 3; attempt++) {
        const pid_t child = fork();
        cr_assert(child >= 0, "no child process");
        if (child == 0) {
            const int resume = !access("killed.safetensors", R_OK);
            const int failed = resume ? trainer_load(&t, "killed.safetensors", 0, message, sizeof message)
                                      : trainer_create(&t, &recipe, message, sizeof message);
            if (failed) _exit(7);
            _exit(train_to_the_end(&t, "killed.safetensors", attempt < 2 ? 4 : 0) ? 8 : 0);
        }
        int status;
        if (attempt < 2) {
            nanosleep(&(struct timespec){0, (first_ms + 31 * attempt) * 1000000L}, 0);
            kill(child, SIGKILL);
        }
        waitpid(child, &status, 0);
        if (attempt == 2)
            cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the resumed run ended with %d", status);
    }
    cr_assert(!trainer_create(&t, &recipe, message, sizeof message), "%s", message);
    cr_assert(!train_to_the_end(&t, "whole.safetensors", 0));
    trainer_free(&t);
    expect_same_files("killed.safetensors", "whole.safetensors");
}

static void write_lines(const char *path, const char *line, int times) {
    FILE *f = fopen(path, "w");
    cr_assert(f != NULL);
    for (int i = 0; i < times; i++) fputs(line, f);
    fclose(f);
}

/* A run belongs to its texts, by what they are and not by their name, and to the task's version. */
Test(training, a_run_goes_on_with_its_own_texts_only, .init = enter_folder, .fini = leave_folder) {
    static const char *const word[] = {"task=niah2", "haystack=prose.txt", "curriculum=512:2", "width=8",
                                       "ffn=8",      "layers=1",           "batch=1"};
    static Recipe recipe;
    static Trainer t;
    char message[8192];
    write_lines("prose.txt", "A quiet day. ", 200);
    write_lines("moved.txt", "A quiet day. ", 200);
    write_lines("other.txt", "A quiet day! ", 200);
    cr_assert(!recipe_open(&recipe, 0, word, sizeof word / sizeof *word, 0, message, sizeof message), "%s",
              message);
    cr_assert(!trainer_create(&t, &recipe, message, sizeof message), "%s", message);
    cr_assert(!trainer_save(&t, "a.st", message, sizeof message), "%s", message);
    trainer_free(&t);
    cr_assert(!trainer_load(&t, "a.st", "moved.txt", message, sizeof message), "%s", message);
    trainer_free(&t);
    cr_assert(trainer_load(&t, "a.st", "other.txt", message, sizeof message) &&
              strstr(message, "not those of"));
    cr_assert(!unlink("prose.txt") && trainer_load(&t, "a.st", 0, message, sizeof message) &&
              strstr(message, "prose.txt"));
    cr_assert(!rename("other.txt", "prose.txt") && trainer_load(&t, "a.st", 0, message, sizeof message));
    recipe.task_version = recipe.task->version + 2;
    snprintf(recipe.prose_hash, sizeof recipe.prose_hash, "%s", "");
    cr_assert(trainer_create(&t, &recipe, message, sizeof message) && strstr(message, "version"));
    ledger_record("training", "texts", 5, 0);
}

Test(training, a_killed_run_resumes_to_the_same_bits, .init = enter_folder, .fini = leave_folder) {
    int runs = 0;
    for (int i = 0; mixer_at(i); i++)
        for (int ms = 5; ms <= 95; ms += 45, runs++) {
            unlink("killed.safetensors");
            kill_and_resume(mixer_at(i)->name, ms);
        }
    ledger_record("training", "resume after SIGKILL", runs, 0);
}

static void save_small(const char *path) {
    const Recipe recipe = small_recipe("lmm", short_run);
    static Trainer t;
    char message[512];
    cr_assert(!trainer_create(&t, &recipe, message, sizeof message), "%s", message);
    cr_assert(!trainer_save(&t, path, message, sizeof message), "%s", message);
    trainer_free(&t);
}

static void write_bytes(const char *path, const char *bytes, int64_t n) {
    FILE *f = fopen(path, "wb");
    cr_assert(f && fwrite(bytes, 1, (size_t)n, f) == (size_t)n && !fclose(f));
}

/* The file must be refused, with a message that names it and holds `wanted`. */
static void expect_refused(const char *bytes, int64_t n, const char *wanted) {
    Trainer t;
    char message[512] = "";
    write_bytes("bad.safetensors", bytes, n);
    cr_assert(trainer_load(&t, "bad.safetensors", 0, message, sizeof message) != 0,
              "accepted a file that should say '%s'", wanted);
    cr_assert(strstr(message, "bad.safetensors") && strstr(message, wanted), "'%s' is wanted in: %s", wanted,
              message);
}

Test(training, truncated_files_are_refused, .init = enter_folder, .fini = leave_folder) {
    int64_t n, checks = 0;
    save_small("good.safetensors");
    char *bytes = file_bytes("good.safetensors", &n);
    for (int64_t cut = 0; cut < n; cut += cut < 16 ? 1 : n / 37, checks++) expect_refused(bytes, cut, "");
    expect_refused(bytes, 5, "too short");
    expect_refused(bytes, 100, "truncated");
    expect_refused(bytes, n - 4, "truncated");
    free(bytes);
    ledger_record("training", "truncated files", checks + 3, 0);
}

/* The header with one piece of text replaced by another of the same length. */
static void expect_replaced(const char *bytes, int64_t n, const char *from, const char *to,
                            const char *wanted) {
    char *copy = malloc((size_t)n);
    memcpy(copy, bytes, (size_t)n);
    char *at = memmem(copy, (size_t)n, from, strlen(from));
    cr_assert(at != NULL && strlen(from) == strlen(to), "'%s' is not in the header", from);
    memcpy(at, to, strlen(to));
    expect_refused(copy, n, wanted);
    free(copy);
}

Test(training, damaged_files_are_refused, .init = enter_folder, .fini = leave_folder) {
    int64_t n;
    save_small("good.safetensors");
    char *bytes = file_bytes("good.safetensors", &n);
    expect_replaced(bytes, n, "checkpoint 1", "checkpoint 9", "not a checkpoint of this program");
    expect_replaced(bytes, n, "\"layer.0.norm2\"", "\"layer.0.norm1\"", "twice");
    expect_replaced(bytes, n, "\"layer.0.norm2\"", "\"layer.0.norm3\"", "missing");
    expect_replaced(bytes, n, "\"dtype\":\"F32\"", "\"dtype\":\"I32\"", "is I32");
    expect_replaced(bytes, n, "[1,16]", "[16,1]", "the configuration wants");
    expect_replaced(bytes, n, "[1,16]", "[1,17]", "do not fit its shape");
    expect_replaced(bytes, n, "[1,16]", "[1,-1]", "not a size");
    expect_replaced(bytes, n, "\\\"width\\\":16", "\\\"width\\\":32", "the configuration wants");
    expect_replaced(bytes, n, "\\\"heads\\\":2", "\\\"heads\\\":7", "multiple");
    expect_replaced(bytes, n, "\\\"mixer\\\":\\\"lmm", "\\\"mixer\\\":\\\"lmn", "unknown mixer");
    expect_replaced(bytes, n, "\\\"batch\\\"", "\\\"botch\\\"", "unknown key");
    expect_replaced(bytes, n, "\"step\":\"0\"", "\"step\":\"x\"", "step");
    expect_replaced(bytes, n, "{\"__metadata__\"", "[\"__metadata__\"", "JSON");
    expect_replaced(bytes, n, "\"data_offsets\":[0,", "\"data_offsets\":[4,", "");
    char *longer = calloc(1, (size_t)n + 8);
    memcpy(longer, bytes, (size_t)n);
    expect_refused(longer, n + 8, "follow the last tensor");
    const float nan = NAN;
    memcpy(longer + n - 4, &nan, 4);
    expect_refused(longer, n, "not finite");
    memset(longer, 0xff, 8);
    expect_refused(longer, n, "not a safetensors file");
    free(longer);
    free(bytes);
    ledger_record("training", "damaged files", 17, 0);
}

Test(training, a_full_disk_leaves_the_old_file, .init = enter_folder, .fini = leave_folder) {
    Recipe recipe = small_recipe("lmm", short_run);
    static Trainer t;
    char message[512];
    int64_t before, after;
    save_small("kept.safetensors");
    char *old = file_bytes("kept.safetensors", &before);
    recipe.seed = 9;
    cr_assert(!trainer_create(&t, &recipe, message, sizeof message), "%s", message);
    signal(SIGXFSZ, SIG_IGN);
    cr_assert(!setrlimit(RLIMIT_FSIZE, &(struct rlimit){4096, RLIM_INFINITY}));
    cr_assert(trainer_save(&t, "kept.safetensors", message, sizeof message) != 0);
    cr_assert(!setrlimit(RLIMIT_FSIZE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY}));
    cr_assert(strstr(message, "kept.safetensors") && strstr(message, "untouched"), "%s", message);
    char *now = file_bytes("kept.safetensors", &after);
    cr_assert(before == after && !memcmp(old, now, (size_t)after));
    cr_assert(access("kept.safetensors.tmp", F_OK), "the temporary file was left behind");
    trainer_free(&t);
    free(old);
    free(now);
    ledger_record("training", "full disk", 4, 0);
}

Test(training, what_is_not_finite_stops_the_run_and_names_it) {
    const Recipe recipe = small_recipe("lmm", short_run);
    static Trainer t;
    StepReport report;
    char message[512];
    cr_assert(!trainer_create(&t, &recipe, message, sizeof message), "%s", message);
    t.model.weights[t.model.list.items[t.model.list.count - 1].offset] = NAN;
    float before = t.model.weights[0];
    cr_assert(trainer_step(&t, &report, message, sizeof message) != 0);
    cr_assert(strstr(message, "step 0") && strstr(message, "not finite"), "%s", message);
    cr_assert(t.progress.step == 0 && t.model.weights[0] == before && t.optimizer.step == 0);
    trainer_free(&t);
    ledger_record("training", "not finite", 3, 0);
}

/* AdamW against its formulas in double, step by step from the float state: the error is that of one step. */
Test(training, adamw_follows_its_formulas) {
    enum { N = 37 };
    float w[N], m[N] = {0}, v[N] = {0}, g[N];
    uint64_t state = 3;
    double worst = 0.0;
    for (int i = 0; i < N; i++) w[i] = (float)(2 * uniform(&state) - 1);
    for (int step = 1; step <= 20; step++) {
        double want[N];
        const double c1 = 1 / (1 - pow(0.9, step)), c2 = 1 / (1 - pow(0.98, step));
        const AdamwStep s = {0.01f, 0.9f, 0.98f, 1e-8f, 0.1f, (float)c1, (float)c2, 0.5f};
        for (int i = 0; i < N; i++) {
            g[i] = (float)(2 * uniform(&state) - 1);
            const double scaled = 0.5 * (double)g[i];
            const double m1 = 0.9 * (double)m[i] + 0.1 * scaled,
                         v1 = 0.98 * (double)v[i] + 0.02 * scaled * scaled;
            want[i] = (double)w[i] - 0.01 * (m1 * c1 / (sqrt(v1 * c2) + 1e-8) + 0.1 * (double)w[i]);
        }
        kernel->adamw->update(N, &s, g, w, m, v);
        for (int i = 0; i < N; i++) {
            /* |step| <= 0.01 (c1 + 0.1): twenty roundings of it, those of the moments amplified by 1/(1 -
             * beta2), one of w */
            const double bound = 0x1p-24 * (fabs(want[i]) + 0.01 * (c1 + 0.1) * 20 / (1 - 0.98));
            const double ratio = fabs((double)w[i] - want[i]) / bound;
            cr_assert(ratio <= 1.0, "step %d, weight %d: %.9g, want %.9g", step, i, (double)w[i], want[i]);
            worst = fmax(worst, ratio);
        }
    }
    ledger_record("training", "adamw", 20 * N, worst);
}

Test(training, the_schedule_warms_up_and_ends_where_it_says) {
    OptimizerOptions t = small_recipe("lmm", short_run).optimizer;
    t.rate = 1.0, t.warmup = 10, t.final_rate = 0.1;
    cr_assert(fabs(optimizer_rate(&t, 0, 100) - 0.1) < 1e-12);
    cr_assert(fabs(optimizer_rate(&t, 9, 100) - 1.0) < 1e-12);
    cr_assert(fabs(optimizer_rate(&t, 10, 100) - 1.0) < 1e-12);
    cr_assert(fabs(optimizer_rate(&t, 55, 100) - 0.55) < 1e-12);
    cr_assert(fabs(optimizer_rate(&t, 100, 100) - 0.1) < 1e-12);
    cr_assert(curriculum_steps("64:1200 128:400") == 1600 && curriculum_steps("64") == -1 &&
              curriculum_steps("") == -1);
    cr_assert(curriculum_length("64:10 128:10", 9, 20) == 64 &&
              curriculum_length("64:10 128:10", 10, 20) == 128);
    cr_assert(curriculum_length("64:10 128:10", 4, 10) == 64 &&
              curriculum_length("64:10 128:10", 5, 10) == 128);
    ledger_record("training", "schedule", 12, 0);
}

Test(training, streaming_evaluation_does_not_depend_on_batch_or_segment) {
    const Recipe recipe = small_recipe("lmm", "64:60");
    static Trainer t;
    static Trained held;
    char message[512];
    unsigned char a[6], b[6];
    cr_assert(!trainer_create(&t, &recipe, message, sizeof message), "%s", message);
    cr_assert(!train_to_the_end(&t, 0, 0));
    held = (Trained){.model = t.model, .recipe = t.recipe, .task = t.task};
    held.library = library_model(&held.model);
    const EvaluateOptions one = {1, 100, 6, 6, 512, -1.0, 1}, two = {1, 100, 6, 4, 7, -1.0, 1};
    Evaluated x = {.correct = a}, y = {.correct = b};
    cr_assert(!evaluate(&held, &one, 0, &x, message, sizeof message), "%s", message);
    cr_assert(!evaluate(&held, &two, 0, &y, message, sizeof message), "%s", message);
    cr_assert(!memcmp(a, b, sizeof a) && x.right == y.right && x.sum.right == y.sum.right &&
              x.sum.asked == 42);
    trainer_free(&t);
    ledger_record("training", "evaluation split", 9, 0);
}

/* What earlier versions wrote: every committed checkpoint, of which the first have the keys of all mixers. */
Test(training, committed_checkpoints_load) {
    glob_t found;
    cr_assert(!glob("results/checkpoints/*.safetensors", 0, 0, &found) && found.gl_pathc > 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        static Trained t;
        char message[1024];
        cr_assert(!trained_open(&t, found.gl_pathv[i], &(Asked){0}, 0, message, sizeof message), "%s",
                  message);
        cr_assert(t.progress.step > 0 && t.model.config.mixer == t.model.mixer);
        trained_close(&t);
    }
    ledger_record("training", "committed checkpoints", (int64_t)found.gl_pathc, 0);
    globfree(&found);
}
