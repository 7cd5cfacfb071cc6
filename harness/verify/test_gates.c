/* What `bench gates` says of a memory's gates, from what `bench surprise` says of every token. Commands run in processes
 * of their own. */
#include "bench/bench.h"
#include "command/command.h"
#include "ledger.h"
#include "terminal/options.h"
#include "test_reference.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LENGTH = 200, LAYERS = 2, WORDS = 16 };
extern const Command command_train;
extern const Bench bench_gates, bench_surprise;
static char folder[64];

static void enter_folder(void) {
    snprintf(folder, sizeof folder, "/tmp/titans-gates-XXXXXX");
    cr_assert(mkdtemp(folder) && !chdir(folder));
    omp_set_num_threads(1);
}

static void leave_folder(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert(!system(command));
}

/* The exit code of a command with these words. */
static int ends_with(int (*run)(int argc, char **argv), const char *text) {
    char copy[512], *words[WORDS + 1] = {0}, *rest = copy;
    int count = 0, status;
    const pid_t child = fork();
    cr_assert(child >= 0);
    if (child) {
        cr_assert(waitpid(child, &status, 0) == child);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    cr_assert(freopen("said", "w", stderr) != NULL);
    snprintf(copy, sizeof copy, "%s", text);
    while (count < WORDS && (words[count] = strsep(&rest, " "))) count++;
    alarm(60);
    exit(run(count, words));
}

static int says(const char *wanted) {
    static char text[1 << 12];
    FILE *f = fopen("said", "r");
    cr_assert(f != NULL);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    return strstr(text, wanted) != NULL;
}

/* Of a layer with one head: forgetting, tokens that it keeps for, step, largest step at the needle. */
typedef struct {
    double alpha, keeps, theta, needle;
} Gates;

/* The middle half of the tokens in the mean; the needle stands before it. */
static void from_tokens(Gates gates[LAYERS]) {
    char line[256];
    long layer, position;
    double alpha, theta;
    FILE *f = fopen("surprise.tsv", "r");
    cr_assert(f != NULL);
    for (int i = 0; i < LAYERS; i++) gates[i] = (Gates){0};
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%ld %ld %*s %*s %lf %lf", &layer, &position, &alpha, &theta) != 4) continue;
        Gates *g = &gates[layer];
        if (position < LENGTH / 4) g->needle = fmax(g->needle, theta);
        if (position < LENGTH / 4 || position >= 3 * LENGTH / 4) continue;
        g->alpha += alpha * 2.0 / LENGTH;
        g->keeps -= log1p(-alpha) * 2.0 / LENGTH;
        g->theta += theta * 2.0 / LENGTH;
    }
    fclose(f);
    for (int i = 0; i < LAYERS; i++) gates[i].keeps = 1.0 / gates[i].keeps;
}

static int from_table(Gates gates[LAYERS]) {
    char line[512];
    long layer;
    int rows = 0;
    Gates g;
    FILE *f = fopen("gates.tsv", "r");
    cr_assert(f != NULL);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "lmm passkey %*s %ld 0 64 200 1 %lf %lf %lf %lf", &layer, &g.alpha, &g.keeps,
                   &g.theta, &g.needle) == 5)
            gates[layer] = g, rows++;
    fclose(f);
    return rows;
}

/* The tables have four and six digits. */
static int near(double x, double y) { return fabs(x - y) <= 1e-3 * fabs(y); }

Test(gates, are_means_over_the_haystack, .init = enter_folder, .fini = leave_folder) {
    Gates tokens[LAYERS], table[LAYERS];
    cr_assert(
        !ends_with(command_train.run,
                   "train --set heads=1 --set alpha_bias=-3 --set curriculum=64:30 --out a.safetensors"));
    cr_assert(
        !ends_with(bench_surprise.run, "surprise a.safetensors --length 200 --depth 0 -o surprise.tsv"));
    cr_assert(!ends_with(bench_gates.run, "gates a.safetensors --length 200 --samples 1 -o gates.tsv"));
    from_tokens(tokens);
    cr_assert(from_table(table) == LAYERS);
    for (int i = 0; i < LAYERS; i++) {
        const Gates *a = &tokens[i], *b = &table[i];
        cr_assert(a->alpha > 0.01 && a->theta > 0.0);
        cr_assert(near(b->alpha, a->alpha) && near(b->keeps, a->keeps), "layer %d: alpha %g, not %g", i,
                  b->alpha, a->alpha);
        cr_assert(near(b->theta, a->theta) && near(b->needle, a->needle), "layer %d: theta %g, not %g", i,
                  b->theta, a->theta);
    }
    cr_assert(ends_with(bench_gates.run, "gates a.safetensors nothing.safetensors -o b.tsv") == 1 &&
              says("nothing.safetensors") && access("b.tsv", F_OK));
    cr_assert(!ends_with(command_train.run, "train --mixer swa --steps 1 --out swa.safetensors"));
    cr_assert(ends_with(bench_gates.run, "gates swa.safetensors -o b.tsv") == 1 &&
              says("no memory to look into") && access("b.tsv", F_OK));
    ledger_record("gates", "means", 9, 0);
}
