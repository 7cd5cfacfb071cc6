/* Sweeps: claims, what is done, what was killed. The command runs in processes of its own. */
#include "bench/bench.h"
#include "bench/shared/ask.h"
#include "command/command.h"
#include "learn/sweep.h"
#include "ledger.h"
#include "terminal/options.h"
#include "test_reference.h"

#include <fcntl.h>
#include <glob.h>
#include <omp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern const Command command_sweep;
extern const Bench bench_needle;
static char folder[64];

static void write_text(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    cr_assert(f && fputs(text, f) >= 0 && !fclose(f));
}

static void enter_folder(void) {
    snprintf(folder, sizeof folder, "/tmp/titans-sweep-XXXXXX");
    cr_assert(mkdtemp(folder) && !chdir(folder));
    omp_set_num_threads(1);
    write_text("small.json",
               "{\"width\": 16, \"ffn\": 16, \"chunk\": 16, \"batch\": 2, \"warmup\": 2, \"curriculum\": "
               "\"64:8\", \"save_every\": 2}");
    write_text(
        "plain.json",
        "{\"mixer\": \"attention\", \"width\": 16, \"ffn\": 16, \"batch\": 2, \"warmup\": 2, \"curriculum\": "
        "\"64:8\"}");
    write_text(
        "asking.json",
        "{\"question\": \"?\", \"recipes\": [\"small.json\", {\"recipe\": \"plain.json\", \"name\": "
        "\"two\", \"seeds\": [7]}], \"seeds\": [3, 4], \"folder\": \"out\", \"ask\": [{\"table\": "
        "\"needle\", \"models\": \"sm*\", \"lengths\": \"128,96\", \"samples\": 3, \"depths\": 2, \"seed\": "
        "9}, {\"table\": \"needle\", \"models\": \"two-s7\", \"set\": {\"log_scale\": 1}, \"lengths\": "
        "\"1K\", \"samples\": 1}, {\"table\": \"far\", \"lengths\": \"2K,4K\", \"limit\": \"2K\", "
        "\"samples\": 1}]}");
    write_text("sweep.json",
               "{\"recipes\": [\"small.json\", {\"recipe\": \"small.json\", \"name\": \"two\", \"set\": "
               "{\"layers\": 1}}], \"seeds\": [3, 4], \"folder\": \"out\", \"set\": {\"steps\": 6}}");
}

static void leave_folder(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert(!system(command));
}

/* `titans sweep FILE --jobs JOBS`, what it says in the file "said"; rank: as a launcher would number it, or NULL. */
static pid_t start(const char *file, const char *jobs, const char *rank) {
    const pid_t child = fork();
    cr_assert(child >= 0);
    if (child) return child;
    static char name[] = "titans sweep", option[] = "--jobs";
    char path[64], count[16], *argv[] = {name, path, option, count, 0};
    const int said = open("said", O_WRONLY | O_CREAT | O_TRUNC, 0666);
    snprintf(path, sizeof path, "%s", file);
    snprintf(count, sizeof count, "%s", jobs);
    if (rank) setenv("SLURM_PROCID", rank, 1);
    dup2(said, STDOUT_FILENO);
    dup2(said, STDERR_FILENO);
    alarm(60);
    exit(command_sweep.run(4, argv));
}

static int end(pid_t child) {
    int status;
    cr_assert(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void expect_said(const char *wanted) {
    static char text[1 << 14];
    FILE *f = fopen("said", "r");
    cr_assert(f != NULL);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    cr_assert(strstr(text, wanted) != NULL, "'%s' is wanted in: %s", wanted, text);
}

static void sweep_here(const char *file, const char *jobs, int code, const char *said) {
    const int got = end(start(file, jobs, 0));
    if (got != code) expect_said("an exit code");
    cr_assert(got == code, "ended with %d, not %d", got, code);
    expect_said(said);
}

static void expect_same_as(const char *whole) {
    char command[256];
    snprintf(command, sizeof command,
             "for i in small-s3 small-s4 two-s3 two-s4; do cmp out/$i.safetensors %s/$i.safetensors || exit "
             "1; done",
             whole);
    cr_assert(!system(command), "not the checkpoints of %s", whole);
}

static int there(const char *path) { return !access(path, F_OK); }

Test(sweep, trains_what_single_trainings_do, .init = enter_folder, .fini = leave_folder) {
    Sweep s;
    char message[MESSAGE];
    cr_assert(!sweep_open(&s, "sweep.json", 0, message, sizeof message), "%s", message);
    cr_assert(s.count == 4 && !strcmp(s.jobs[1].name, "small-s4") && !strcmp(s.jobs[2].name, "two-s3"));
    cr_assert(s.jobs[2].recipe.seed == 3 && s.jobs[2].recipe.model.layers == 1 && s.jobs[2].steps == 6 &&
              s.jobs[0].recipe.model.layers != 1);
    cr_assert(sweep_tokens(&s.jobs[0], 6) == 6 * 2 * 64 && sweep_tokens(&s.jobs[0], 2) == 2 * 2 * 64);
    sweep_here("sweep.json", "1", 0, "two                                   4 done             6");
    cr_assert(sweep_steps(&s.jobs[3], message, sizeof message) == 6, "%s", message);
    const SweepClaim c = sweep_claim(s.jobs[3].claim);
    cr_assert(c.step == 6 && !c.failed && c.written > 0.0);
    cr_assert(there("out/two-s4.tsv") && there("out/sweep.tsv"));
    cr_assert(!system("mv out whole"));
    sweep_here("sweep.json", "2", 0, "done");
    expect_same_as("whole");
    sweep_close(&s);
    ledger_record("sweep", "jobs", 16, 0);
}

/* Rank 1 of a launcher takes what is free and leaves, without a word about the rest. */
Test(sweep, leaves_a_claimed_job_alone, .init = enter_folder, .fini = leave_folder) {
    Sweep s;
    char message[MESSAGE];
    cr_assert(!sweep_open(&s, "sweep.json", 0, message, sizeof message), "%s", message);
    const int claim = sweep_take(s.jobs[2].claim, message, sizeof message);
    cr_assert(claim >= 0 && sweep_take(s.jobs[2].claim, message, sizeof message) == SWEEP_BUSY);
    cr_assert(end(start("sweep.json", "1", "1")) == 0);
    cr_assert(there("out/small-s3.safetensors") && there("out/two-s4.safetensors"));
    cr_assert(!there("out/two-s3.safetensors") && !there("out/two-s3.tsv") && !there("out/sweep.tsv"));
    close(claim);
    sweep_here("sweep.json", "1", 0, "two                                   3 done");
    cr_assert(there("out/two-s3.safetensors"));
    sweep_close(&s);
    ledger_record("sweep", "claims", 9, 0);
}

static int64_t modified(const char *path) {
    struct stat info;
    cr_assert(!stat(path, &info), "%s is missing", path);
    return info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
}

Test(sweep, keeps_what_is_done_and_refuses_what_is_another, .init = enter_folder, .fini = leave_folder) {
    sweep_here("sweep.json", "1", 0, "done");
    const int64_t before = modified("out/small-s3.safetensors");
    cr_assert(!system("rm out/two-s4.*"));
    sweep_here("sweep.json", "1", 0, "two-s4: trained 6 steps");
    cr_assert(modified("out/small-s3.safetensors") == before, "a job that is done was done again");
    cr_assert(!system("sed 's/\"layers\": 1/\"layers\": 3/' sweep.json > other.json"));
    sweep_here("other.json", "1", 1,
               "two-s3.safetensors is of another training (\"layers\" is 1 there, here it is 3)");
    expect_said("titans sweep: 2 of 4 failed");
    cr_assert(!system("sed 's/\"steps\": 6/\"rate\": 0.5/' sweep.json > other.json"));
    sweep_here("other.json", "1", 1, "is of another training");
    cr_assert(modified("out/small-s3.safetensors") == before);
    cr_assert(
        !system("sed 's/\"steps\": 6/\"from\": \"out\\/small-s3.safetensors\"/' sweep.json > other.json"));
    sweep_here("other.json", "1", 1,
               "is a key of the model, which is that of \"from\", out/small-s3.safetensors");
    ledger_record("sweep", "kept", 8, 0);
}

/* A file that is replaced leaves its number to the next: files of two jobs may seem to be one. */
Test(sweep, forgets_the_files_of_a_job_that_is_done, .init = enter_folder, .fini = leave_folder) {
    cr_assert(!system("mkdir out && touch out/small-s3.tsv && ln out/small-s3.tsv out/small-s4.tsv"));
    sweep_here("sweep.json", "1", 0, "small                                 4 done");
    ledger_record("sweep", "forgotten files", 2, 0);
}

/* Kills a sweep without warning once `begun` is there, before its last job; again where the machine gave it time to end. */
static void kill_in_the_middle(const char *jobs, const char *begun) {
    for (int attempt = 0; attempt < 20; attempt++) {
        cr_assert(!system("rm -rf out"));
        const pid_t child = start("long.json", jobs, 0);
        for (int i = 0; i < 4000 && !there(begun); i++) nanosleep(&(struct timespec){0, 5000000}, 0);
        kill(child, SIGKILL);
        if (end(child) == 137 && there(begun) && !there("out/two-s4.safetensors")) return;
        nanosleep(&(struct timespec){1, 0}, 0); /* the other process of two hears of it and saves */
    }
    cr_assert_fail("the sweep was never killed in the middle");
}

/* One process in its second job; the first of two, each in its own. */
Test(sweep, does_again_what_was_killed, .init = enter_folder, .fini = leave_folder) {
    int checks = 0;
    cr_assert(!system("sed 's/\"steps\": 6/\"steps\": 60/' sweep.json > long.json"));
    sweep_here("long.json", "1", 0, "done");
    cr_assert(!system("mv out whole"));
    for (int jobs = 1; jobs <= 2; jobs++, checks += 5) {
        const char *const count = jobs == 1 ? "1" : "2";
        kill_in_the_middle(count, jobs == 1 ? "out/small-s4.safetensors" : "out/small-s3.safetensors");
        sweep_here("long.json", count, 0, "two                                   4 done            60");
        expect_same_as("whole");
    }
    ledger_record("sweep", "killed", checks, 0);
}

/* ---- what is asked ---- */

/* The rows of the sweep's tables are those of `titans bench needle`, without "set" where that one has no such column. */
static void expect_rows_of_bench(const char *titans_needle, const char *ours) {
    char command[512];
    snprintf(
        command, sizeof command,
        "grep -v '^#' %s | cut -f1-12 | sort >one; grep -v '^#' %s | cut -f1-12 | sort >two; cmp one two",
        titans_needle, ours);
    cr_assert(!system(command), "not the rows of bench needle");
}

static void bench_here(int argc, char **argv) {
    const pid_t child = fork();
    cr_assert(child >= 0);
    if (!child) {
        dup2(open("said", O_WRONLY | O_CREAT | O_TRUNC, 0666), STDERR_FILENO);
        exit(bench_needle.run(argc, argv));
    }
    cr_assert(end(child) == 0);
}

static void expect_tables(void) {
    expect_rows_of_bench("needle.tsv", "out/needle.tsv");
    expect_rows_of_bench("far.tsv", "out/far.tsv");
    cr_assert(!system("test $(grep -c 'two-s7.safetensors\tlog_scale=1$' out/needle.tsv) -eq 2"));
    cr_assert(!system("grep -q 'small-s3.safetensors\t-$' out/needle.tsv"));
}

#define WORDS(...)                                                                                           \
    (char *[]) { __VA_ARGS__, 0 }
#define COUNT(...) ((int)(sizeof(char *[]){__VA_ARGS__} / sizeof(char *)))
#define BENCH(...) bench_here(COUNT(__VA_ARGS__), WORDS(__VA_ARGS__))
#define SMALL "out/small-s3.safetensors", "out/small-s4.safetensors"
#define TWO "out/two-s7.safetensors"

/* With one process and two; again, when all is there; and after a part of it is lost or half done. */
Test(sweep, asks_what_bench_needle_asks, .init = enter_folder, .fini = leave_folder) {
    sweep_here("asking.json", "1", 0, "small-s3: lmm        passkey  length      128  0 of 3 right");
    BENCH("bench needle", SMALL, "--lengths", "128,96", "--samples", "3", "--depths", "2", "--seed", "9",
          "-o", "a.tsv");
    BENCH("bench needle", TWO, "--set", "log_scale=1", "--lengths", "1K", "--samples", "1", "-o", "b.tsv");
    BENCH("bench needle", SMALL, TWO, "--lengths", "2K", "--samples", "1", "-o", "far.tsv");
    cr_assert(!system("(cat a.tsv; grep -v -e '^#' -e '^mixer' b.tsv) >needle.tsv"));
    expect_tables();
    sweep_here("asking.json", "1", 0, "done");
    cr_assert(system("grep -q 'right' said") != 0, "what is there was asked again");
    expect_tables();
    cr_assert(
        !system("rm out/needle/two-s7-1.tsv out/far.tsv && sed -i '/\t96\t/d' out/needle/small-s4-0.tsv"));
    sweep_here("asking.json", "2", 0, "two-s7: attention  passkey  length     1024");
    expect_said("small-s4: lmm        passkey  length       96");
    cr_assert(!system("test $(grep -c right said) -eq 2"), "more was asked than was lost");
    expect_tables();
    cr_assert(!system("rm -r out"));
    sweep_here("asking.json", "2", 0, "two                                   7 done");
    expect_tables();
    ledger_record("sweep", "asked", 17, 0);
}

/* Models that are there already: none is trained, one is missing, and nothing above the limit is asked. */
Test(sweep, asks_models_of_a_folder, .init = enter_folder, .fini = leave_folder) {
    sweep_here("asking.json", "2", 0, "done");
    cr_assert(!system("mv out models && rm models/small-s4.safetensors"));
    const pid_t child = fork();
    cr_assert(child >= 0);
    if (!child) {
        const int said = open("said", O_WRONLY | O_CREAT | O_TRUNC, 0666);
        dup2(said, STDOUT_FILENO);
        dup2(said, STDERR_FILENO);
        exit(command_sweep.run(8, WORDS("titans sweep", "asking.json", "--models", "models", "--folder",
                                        "other", "--limit", "100")));
    }
    cr_assert(end(child) == 0);
    expect_said("there is no models/small-s4.safetensors: it is not asked");
    cr_assert(!there("other/sweep.tsv") && !there("other/small-s3.safetensors"));
    cr_assert(!system(
        "test $(grep -c 'models/small-s3.safetensors' other/needle.tsv) -eq 4")); /* 2 depths, all, note */
    cr_assert(!system("test $(cut -f3 other/needle.tsv | grep -c -x 96) -eq 3"));
    cr_assert(!system("test $(grep -vc '^#' other/far.tsv) -eq 1"));
    ledger_record("sweep", "models of a folder", 8, 0);
}

/* A model that fails leaves nobody waiting for it. */
Test(sweep, asks_what_could_be_trained, .init = enter_folder, .fini = leave_folder) {
    cr_assert(!system("mkdir out && echo no >out/small-s4.safetensors"));
    sweep_here("asking.json", "2", 1, "titans sweep: 1 of 3 failed");
    cr_assert(there("out/needle/small-s3-0.tsv") && there("out/needle/two-s7-1.tsv") &&
              !there("out/needle/small-s4-0.tsv"));
    ledger_record("sweep", "asked where trained", 4, 0);
}

/* Whether an experiment trains the model of that name, NAME-sSEED. */
static int is_trained(const glob_t *experiments, const char *name) {
    char message[MESSAGE], folder_of[80];
    int found = 0;
    snprintf(folder_of, sizeof folder_of, "%s/all", folder);
    for (size_t k = 0; k < experiments->gl_pathc && !found; k++) {
        Sweep s;
        Ask ask;
        cr_assert(!sweep_open(&s, experiments->gl_pathv[k], folder_of, message, sizeof message), "%s",
                  message);
        cr_assert(!ask_open(&ask, experiments->gl_pathv[k], &s, INT64_MAX, message, sizeof message), "%s",
                  message);
        for (int i = 0; i < s.count; i++) found |= !strcmp(s.jobs[i].name, name);
        ask_close(&ask);
        sweep_close(&s);
    }
    return found;
}

/* What is committed says how it was made, and every experiment can be begun. */
Test(sweep, every_committed_model_is_of_an_experiment, .fini = leave_folder) {
    glob_t experiments, models;
    snprintf(folder, sizeof folder, "/tmp/titans-sweep-XXXXXX");
    cr_assert(mkdtemp(folder) != NULL);
    cr_assert(!glob("harness/experiment/*.json", 0, 0, &experiments) && experiments.gl_pathc > 5);
    cr_assert(!glob("results/checkpoints/*.safetensors", 0, 0, &models) && models.gl_pathc > 5);
    for (size_t i = 0; i < models.gl_pathc; i++) {
        char name[256];
        const char *base = strrchr(models.gl_pathv[i], '/') + 1;
        snprintf(name, sizeof name, "%.*s", (int)(strlen(base) - strlen(".safetensors")), base);
        cr_assert(is_trained(&experiments, name), "no experiment trains %s", name);
    }
    cr_assert(!is_trained(&experiments, "nobody-s0"));
    ledger_record("sweep", "experiments", (int64_t)models.gl_pathc + 1, 0);
    globfree(&experiments);
    globfree(&models);
}
