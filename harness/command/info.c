#include "command/command.h"
#include "terminal/options.h"
#include "task/shared/data.h"
#include "base/hash.h"
#include "file/checkpoint.h"
#include "file/state.h"
#include "learn/recipe.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *file, *other, *config;
} InfoOptions;

static const struct argp_option options[] = {
    {"config", 'c', "FILE", 0, "weights, state and costs that a configuration makes, for every mixer", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    InfoOptions *o = state->input;
    switch (key) {
    case 'c':
        o->config = arg;
        break;
    case ARGP_KEY_ARG:
        if (o->other) argp_error(state, "more than two files: '%s'", arg);
        *(o->file ? &o->other : &o->file) = arg;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* What a configuration makes of one mixer: weights, and costs of a token when `context` tokens went before. */
static void about_mixer(const char *path, const char *mixer) {
    enum { CONTEXT = 4096 };
    static Recipe recipe;
    char message[MESSAGE], name[64];
    const char *const over[] = {name};
    Model model = {.list = {0}};
    snprintf(name, sizeof name, "mixer=%s", mixer);
    if (recipe_open(&recipe, path, over, 1, 1, message, sizeof message)) {
        printf("  %-12s %s\n", mixer, message);
        return;
    }
    if (!recipe.model.vocab) recipe.model.vocab = recipe.task->vocab;
    int64_t weights;
    if (config_settle(&recipe.model, message, sizeof message) ||
        model_count(&recipe.model, &weights, message, sizeof message)) {
        printf("  %-12s %s\n", mixer, message);
        return;
    }
    model.config = recipe.model, model.mixer = recipe.model.mixer;
    double bytes = 0.0;
    for (int layer = 0; layer < model.config.layers; layer++)
        bytes += model.mixer->bytes(&model.config, layer, CONTEXT);
    printf("  %-12s %12lld weights, %.3g Mflop a token, state %.3g MiB, of which a token moves %.3g\n", mixer,
           (long long)weights, model_flops(&model, CONTEXT, 1) * 1e-6,
           (double)model_state_floats(&model, CONTEXT) * sizeof(float) / (1 << 20), bytes / (1 << 20));
}

static int about_config(const char *path) {
    static Recipe recipe;
    char message[MESSAGE];
    if (recipe_open(&recipe, path, 0, 0, 1, message, sizeof message)) {
        say("titans info", message);
        return 1;
    }
    const Config *c = &recipe.model;
    printf("%lld blocks x %lld x %lld heads, %lld tokens; costs after 4096 tokens\n", (long long)c->layers,
           (long long)c->width, (long long)c->heads, (long long)(c->vocab ? c->vocab : recipe.task->vocab));
    for (int i = 0; mixer_at(i); i++) about_mixer(path, mixer_at(i)->name);
    return 0;
}

static void about_program(void) {
    printf("instruction sets:");
    for (int i = 0; kernels_at(i); i++)
        printf(" %s%s", kernels_at(i)->isa,
               kernels_at(i) == kernel            ? " (in use)"
               : kernels_supported(kernels_at(i)) ? ""
                                                  : " (not on this CPU)");
    printf("\ndata folder: %s\n\nmixers:\n", data_folder());
    for (int i = 0; mixer_at(i); i++) printf("  %-18s %s\n", mixer_at(i)->name, mixer_at(i)->summary);
    printf("\ntasks:\n");
    for (int i = 0; task_at(i); i++) printf("  %-18s %s\n", task_at(i)->name, task_at(i)->summary);
}

static int fail(const char *message) {
    say("titans info", message);
    return 1;
}

static void print_entry(const char *name, const char *value) {
    if (!value) return;
    printf("%s: ", name);
    print_plain(stdout, value);
    putchar('\n');
}

static int about_checkpoint(const char *path, const SafeFile *f) {
    Model model;
    Progress progress;
    char message[MESSAGE], hash[HASH_TEXT], *train;
    if (checkpoint_read(f, 0, &model, 0, &train, &progress, message, sizeof message)) {
        char named[2 * MESSAGE];
        snprintf(named, sizeof named, "%s: %s", path, message);
        return fail(named);
    }
    char *config = settings_of_model(&model.config);
    hash_text(hash, state_weights_hash(&model));
    print_plain(stdout, path);
    printf("\nweights: %lld, hash %s\nsteps: %lld\nrecent exact match: %.3f\n", (long long)model.list.floats,
           hash, (long long)progress.step, progress.match);
    print_entry("model", config);
    print_entry("training", train);
    putchar('\n');
    for (int i = 0; i < model.list.count; i++) {
        const Parameter *p = &model.list.items[i];
        printf("  %-24s %6lld x %-6lld\n", p->name, (long long)p->rows, (long long)p->cols);
    }
    free(config);
    free(train);
    model_free(&model);
    return 0;
}

/* What a state says of itself; whether it is whole is seen when it is gone on from. */
static int about_state(const char *path, const SafeFile *f) {
    static const char *const keys[] = {"position", "batch", "capacity", "weights", "config", "evaluation"};
    static const char *const names[] = {"tokens read", "sequences", "capacity", "of the weights with hash",
                                        "model",       "evaluation"};
    printf("%s\na state of sequences in progress\n", path);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        print_entry(names[i], safetensors_metadata(f, keys[i]));
    for (int i = 0; i < f->tensor_count; i++)
        printf("  %-24s %s, %lld numbers\n", f->tensors[i].name, safetensors_type(f->tensors[i].type),
               (long long)f->tensors[i].count);
    return 0;
}

static int about_tensors(const char *path) {
    SafeFile f;
    char message[MESSAGE];
    if (safetensors_read(&f, path, message, sizeof message)) return fail(message);
    const char *format = safetensors_metadata(&f, "format");
    const int state = format && !strncmp(format, "titans.c state", 14);
    const int status = state ? about_state(path, &f) : about_checkpoint(path, &f);
    safetensors_close(&f);
    return status;
}

static int same_tensor(const SafeTensor *x, const SafeTensor *y) {
    return !strcmp(x->dtype, y->dtype) && x->dims == y->dims &&
           !memcmp(x->shape, y->shape, sizeof x->shape) && x->bytes == y->bytes &&
           !memcmp(x->data, y->data, (size_t)x->bytes);
}

/* Tensors of `a` that are not in `b` with the same type, shape and bits. */
static int differences(const SafeFile *a, const SafeFile *b, const char *name) {
    int count = 0;
    for (int i = 0; i < a->tensor_count; i++) {
        const SafeTensor *x = &a->tensors[i], *y = safetensors_find(b, x->name);
        if (y && same_tensor(x, y)) continue;
        printf("  %-24s %s\n", x->name, y ? "differs" : name);
        count++;
    }
    return count;
}

/* Two files of tensors: 0 when they hold the same bits, whatever their metadata say. */
static int compare(const char *first, const char *second) {
    SafeFile a, b;
    char message[MESSAGE];
    if (safetensors_read(&a, first, message, sizeof message)) return fail(message);
    if (safetensors_read(&b, second, message, sizeof message)) return safetensors_close(&a), fail(message);
    int count = differences(&a, &b, "only in the first");
    for (int i = 0; i < b.tensor_count; i++)
        if (!safetensors_find(&a, b.tensors[i].name)) {
            printf("  %-24s only in the second\n", b.tensors[i].name);
            count++;
        }
    if (count)
        printf("%d tensors differ\n", count);
    else
        printf("the same %d tensors, bit for bit\n", a.tensor_count);
    safetensors_close(&a);
    safetensors_close(&b);
    return count ? 1 : 0;
}

static int run(int argc, char **argv) {
    const struct argp argp = {options,
                              parse,
                              "[FILE [OTHER]]",
                              "What this program can do, what a checkpoint or a state holds, or whether two "
                              "files hold the same tensors."
                              "\vExamples:\n  titans info\n  titans info m.safetensors\n  titans info "
                              "a.safetensors b.safetensors\n  titans info --config recipe.json",
                              0,
                              0,
                              0};
    InfoOptions o = {0};
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &o);
    if (o.config) return about_config(o.config);
    if (o.other) return compare(o.file, o.other);
    if (o.file) return about_tensors(o.file);
    about_program();
    return 0;
}

const Command command_info = {"info", "what the program can do, or what a checkpoint holds", run};
