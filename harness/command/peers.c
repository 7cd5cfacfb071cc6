/* Vectors of other people's packages against the reference, or against the kernels of an instruction set. */
#include "command/command.h"
#include "terminal/options.h"
#include "base/dispatch.h"
#include "peer/shared/judge.h"

#include <argp.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES = 256 };
typedef struct {
    const char *folder, *impl, *name[NAMES];
    int names;
} PeersOptions;

enum { OPTION_IMPL = 256 };
static const struct argp_option options[] = {{"impl", OPTION_IMPL, "NAME", 0,
                                              "reference (default, in double), the kernels of an instruction "
                                              "set (scalar, avx2, avx512, amx, neon), or kernels: those "
                                              "that this machine uses",
                                              0},
                                             {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    PeersOptions *o = state->input;
    switch (key) {
    case OPTION_IMPL:
        o->impl = arg;
        break;
    case ARGP_KEY_ARG:
        if (!o->folder)
            o->folder = arg;
        else if (o->names < NAMES)
            o->name[o->names++] = arg;
        else
            argp_error(state, "more than %d names", NAMES);
        break;
    case ARGP_KEY_END:
        if (!o->folder) argp_error(state, "which folder?");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

typedef struct {
    int count[JUDGE_SKIP + 1];
} Tally;

static void report(Tally *tally, const char *system, const char *name, Judgement j, const char *text) {
    static const char *const word[] = {"PASS", "FAIL", "SKIP"};
    tally->count[j]++;
    printf("%s %s%s%s  %s\n", word[j], system, *name ? "/" : "", name, text);
    fflush(stdout);
}

static const Peer *peer_named(const char *system) {
    for (int i = 0; peer_at(i); i++)
        if (!strcmp(peer_at(i)->system, system)) return peer_at(i);
    return 0;
}

/* Asked for on the command line. */
static int is_named(const PeersOptions *o, const char *system) {
    for (int i = 0; i < o->names; i++)
        if (!strcmp(o->name[i], system)) return 1;
    return 0;
}

static void judge_system(const PeersOptions *o, const char *system, Tally *tally) {
    const Peer *peer = peer_named(system);
    Vectors v;
    VectorCase c;
    char text[JUDGE_TEXT];
    if (!peer && is_named(o, system) && vectors_missing(o->folder, system, text, sizeof text)) {
        report(tally, system, "", JUDGE_FAIL, text);
        return;
    }
    if (!peer) {
        report(tally, system, "", JUDGE_SKIP, "no equation of ours is known for this system");
        return;
    }
    if (vectors_open(&v, o->folder, system, text, sizeof text)) {
        report(tally, system, "", JUDGE_FAIL, text);
        return;
    }
    int i = 0;
    for (; vectors_case(&v, i, &c); i++)
        report(tally, system, c.name, judge_case(peer, &c, o->impl, text), text);
    if (!i) report(tally, system, "", JUDGE_FAIL, "the file has no cases");
    if (vectors_strangers(&v, text, sizeof text)) report(tally, system, "", JUDGE_FAIL, text);
    vectors_close(&v);
}

/* NAME.safetensors, or the NAME.json of a system that is known; cuts its ending off. */
static int system_of(char *file) {
    char *end = strrchr(file, '.');
    if (!end || end == file) return 0;
    const int tensors = !strcmp(end, ".safetensors"), json = !strcmp(end, ".json");
    *end = '\0';
    return tensors || (json && peer_named(file));
}

/* Every system of the folder, in the order of the alphabet: its two files stand one after the other. 0, or -1: it cannot be
 * read or has none. */
static int judge_folder(const PeersOptions *o, Tally *tally) {
    struct dirent **entry;
    char last[NAME_MAX + 1] = "";
    const int n = scandir(o->folder, &entry, 0, alphasort);
    if (n < 0) return -1;
    for (int i = 0; i < n; i++) {
        char *name = entry[i]->d_name;
        if (system_of(name) && strcmp(name, last) != 0) {
            snprintf(last, sizeof last, "%s", name);
            judge_system(o, name, tally);
        }
        free(entry[i]);
    }
    free(entry);
    return *last ? 0 : -1;
}

static int run(int argc, char **argv) {
    const struct argp argp = {
        options,
        parse,
        "FOLDER [SYSTEM..]",
        "Compare vectors of other people's packages with ours: SYSTEM.safetensors and SYSTEM.json of FOLDER, "
        "outputs and "
        "gradients; a line for every case and a sum. docs/peers.md describes the files."
        "\vExamples:\n  titans peers vectors\n  titans peers vectors mamba gla --impl avx2",
        0,
        0,
        0};
    PeersOptions o = {.impl = "reference"};
    Tally tally = {0};
    char message[MESSAGE];
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &o);
    if (strcmp(o.impl, "reference") && strcmp(o.impl, "kernels") &&
        kernels_select(o.impl, message, sizeof message))
        return say("titans peers", message), 2;
    for (int i = 0; i < o.names; i++) judge_system(&o, o.name[i], &tally);
    if (!o.names && judge_folder(&o, &tally)) {
        snprintf(message, sizeof message, "%s: no folder with vectors (NAME.safetensors and NAME.json)",
                 o.folder);
        return say("titans peers", message), 1;
    }
    printf("passed=%d failed=%d skipped=%d\n", tally.count[JUDGE_PASS], tally.count[JUDGE_FAIL],
           tally.count[JUDGE_SKIP]);
    return tally.count[JUDGE_FAIL] > 0;
}

const Command command_peers = {"peers", "vectors of other people's packages against ours", run};
