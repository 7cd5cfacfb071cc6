/* libFuzzer target: every kind of file the program opens, READER in the environment says which. Whatever the bytes, the
 * readers must refuse with a message or accept a whole, consistent file: no crash, no leak, no undefined behaviour. */
#include "base/check.h"
#include "command/command.h"
#include "task/shared/data.h"
#include "task/shared/needle.h"
#include "task/shared/prose.h"
#include "equation/dims.h"
#include "golden/golden.h"
#include "file/checkpoint.h"
#include "file/state.h"
#include "learn/recipe.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[64];
extern const Command command_equation, command_generate;
static int fd = -1;
static Model small;

/* A file in memory that readers can open by name. */
static void file_set(const uint8_t *bytes, size_t size) {
    if (fd < 0) {
        fd = memfd_create("fuzz", 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    CHECK(!ftruncate(fd, 0) && pwrite(fd, bytes, size, 0) == (ssize_t)size, "memory file of %zu bytes", size);
}

static void read_checkpoint(int with_optimizer) {
    Model model;
    Optimizer optimizer;
    char *train;
    Progress progress;
    char message[1024] = "";
    if (checkpoint_load(path, 0, &model, with_optimizer ? &optimizer : 0, &train, &progress, message,
                        sizeof message)) {
        CHECK(*message, "refused without a message");
        return;
    }
    free(train);
    if (with_optimizer) optimizer_free(&optimizer);
    model_free(&model);
}

static void read_state(void) {
    SafeFile file;
    State state = {.batch = 0};
    char message[1024] = "";
    if (!small.list.count) {
        Config config;
        CHECK(!config_defaults(&config, "lmm", message, sizeof message), "%s", message);
        config.vocab = 4, config.width = 4, config.heads = 2, config.layers = 1, config.ffn = 4;
        CHECK(!config_set(&config, "chunk", "2", message, sizeof message), "%s", message);
        CHECK(!model_create(&small, &config, 1, message, sizeof message), "%s", message);
    }
    if (safetensors_read(&file, path, message, sizeof message)) return;
    if (!state_load(&file, &state, &small, message, sizeof message)) state_free(&state);
    safetensors_close(&file);
}

static void read_config(void) {
    static Recipe recipe;
    char message[1024] = "";
    if (recipe_open(&recipe, path, 0, 0, 0, message, sizeof message))
        CHECK(*message, "refused without a message");
}

static void read_text(void) {
    char message[1024] = "";
    Prose prose;
    if (!prose_open(&prose, path, SIDE_TEST, message, sizeof message)) prose_close(&prose);
}

static void read_golden(void) {
    char message[1024] = "";
    GoldenTotals totals;
    golden_check("results/golden", path, 0, &totals, message, sizeof message);
}

/* Some equation on the file's tensors and its metadata "dims". */
static void read_equation(void) {
    static const char *const names[] = {"memory_chunk", "language_model", "mixer_mac", "window_attention"};
    static int next;
    char *argv[] = {"equation", (char *)(uintptr_t)names[next++ % 4], "--in", path, "--out", "/dev/null", 0};
    command_equation.run(6, argv);
}

/* The file as both word lists of a data folder. */
static void read_words(void) {
    static char folder[] = "/tmp/titans-fuzz-XXXXXX";
    static int made;
    char message[1024] = "";
    Words words;
    if (!made) {
        char list[96];
        CHECK(mkdtemp(folder) && !setenv("TITANS_DATA", folder, 1), "a folder in /tmp");
        snprintf(list, sizeof list, "%s/wordlists", folder);
        CHECK(!mkdir(list, 0700), "%s", list);
        for (int i = 0; i < 2; i++) {
            snprintf(list, sizeof list, "%s/wordlists/%s.txt", folder, i ? "nounlist" : "adjectivelist");
            CHECK(!symlink(path, list), "%s", list);
        }
        made = 1;
    }
    if (words_open(&words, WORDS_LISTS, SIDE_TEST, message, sizeof message)) {
        CHECK(*message, "refused without a message");
        return;
    }
    NeedleText text;
    for (uint64_t i = 0; i < 4; i++)
        needle_text(&words, 1, i, &(NeedleKind){i % 2 ? NEEDLE_UUID : NEEDLE_NUMBER, 1, 1, 1}, 0, &text);
    words_close(&words);
}

/* The file as all files of the packages. */
static void read_packages(void) {
    static const char *const names[] = {"bible.data", "index.adj", "index.noun"};
    static char folder[] = "/tmp/titans-fuzz-XXXXXX";
    static int made;
    char message[1024] = "";
    Prose prose;
    Words words;
    if (!made) {
        CHECK(mkdtemp(folder) && !setenv("TITANS_PACKAGES", folder, 1), "a folder in /tmp");
        for (int i = 0; i < 3; i++) {
            char name[96];
            snprintf(name, sizeof name, "%s/%s", folder, names[i]);
            CHECK(!symlink(path, name), "%s", name);
        }
        made = 1;
    }
    if (prose_open(&prose, "bible", SIDE_TEST, message, sizeof message))
        CHECK(*message, "refused without a message");
    else
        prose_close(&prose);
    if (words_open(&words, WORDS_WORDNET, SIDE_TRAIN, message, sizeof message))
        CHECK(*message, "refused without a message");
    else
        words_close(&words);
}

/* A few bytes generated behind the file as a prompt, by the tiny byte-level model that TINY names. */
static void read_prompt(void) {
    char *argv[] = {"generate", getenv("TINY"), "-f", path, "-n", "3", 0};
    CHECK(argv[1], "TINY names no checkpoint");
    command_generate.run(6, argv);
}

/* Lines of the file as assignments of --set, and each as the curriculum and the dimensions of an equation. */
static void read_options(void) {
    enum { MOST = 16 };
    static Recipe recipe;
    static char text[4096];
    const char *line[MOST];
    char message[1024] = "", *rest = text;
    int count = 0;
    const ssize_t n = pread(fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = 0;
    while (count < MOST && rest) line[count++] = strsep(&rest, "\n");
    if (recipe_open(&recipe, 0, line, count, 0, message, sizeof message))
        CHECK(*message, "refused without a message");
    for (int i = 0; i < count; i++) {
        Dims dims;
        int64_t shortest, longest;
        const int64_t steps = curriculum_steps(line[i]);
        if (steps > 0) {
            curriculum_bounds(line[i], &shortest, &longest);
            CHECK(shortest >= 1 && longest <= CURRICULUM_LENGTH, "lengths from %ld to %ld", shortest,
                  longest);
            CHECK(curriculum_length(line[i], steps - 1, steps) <= longest, "a length beyond the longest");
            CHECK(curriculum_tokens(line[i], 0, steps) >= steps, "fewer tokens than steps");
        }
        if (!dims_read(&dims, "mixer_mac", line[i], message, sizeof message)) dims_objection(&dims);
    }
}

static void read_weights(void) { read_checkpoint(0); }
static void read_training(void) { read_checkpoint(1); }

static const struct {
    const char *name;
    void (*read)(void);
} readers[] = {{"weights", read_weights},   {"training", read_training}, {"state", read_state},
               {"config", read_config},     {"text", read_text},         {"golden", read_golden},
               {"equation", read_equation}, {"gzip", read_text},         {"words", read_words},
               {"packages", read_packages}, {"prompt", read_prompt},     {"options", read_options}};
static void (*reader)(void);

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    const char *wanted = getenv("READER");
    (void)argc, (void)argv;
    for (size_t i = 0; wanted && i < sizeof readers / sizeof *readers; i++)
        if (!strcmp(readers[i].name, wanted)) reader = readers[i].read;
    CHECK(reader, "READER names no reader: %s", wanted ? wanted : "(unset)");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    file_set(bytes, size);
    reader();
    return 0;
}
