/* The binary as a user meets it: what it prints and how it ends on good and on bad command lines. */
#include "base/dispatch.h"
#include "equation/adapter.h"
#include "equation/describe.h"
#include "ledger.h"
#include "file/safetensors.h"
#include "test_reference.h"

#include <libgen.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64], binary[4096];

/* The binary lies beside the test program. */
static void enter_folder(void) {
    char self[4096];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    cr_assert(n > 0);
    self[n] = 0;
    snprintf(binary, sizeof binary, "%.4000s/titans", dirname(self));
    snprintf(folder, sizeof folder, "/tmp/titans-commands-XXXXXX");
    cr_assert(mkdtemp(folder) != NULL && !chdir(folder));
}

static void leave_folder(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert(!system(command));
}

/* Runs `titans ARGUMENTS`, both streams into text; returns the exit code. */
static int titans(const char *arguments, char *text, size_t size) {
    char command[8192];
    snprintf(command, sizeof command, "%s %s 2>&1", binary, arguments);
    FILE *pipe = popen(command, "r");
    cr_assert(pipe != NULL);
    const size_t n = fread(text, 1, size - 1, pipe);
    text[n] = 0;
    const int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void expect(const char *arguments, int code, const char *wanted) {
    static char text[1 << 16];
    const int got = titans(arguments, text, sizeof text);
    cr_assert(got == code, "titans %s ended with %d, not %d:\n%s", arguments, got, code, text);
    cr_assert(strstr(text, wanted) != NULL, "titans %s: '%s' is wanted in:\n%s", arguments, wanted, text);
}

Test(commands, say_how_they_are_used, .init = enter_folder, .fini = leave_folder) {
    expect("--help", 0, "train");
    expect("train --help", 0, "--resume");
    expect("train --help", 0, "theta_max");
    expect("eval --help", 0, "--depth");
    expect("info --help", 0, "checkpoint");
    expect("bench --help", 0, "needle");
    expect("bench needle --help", 0, "--lengths");
    expect("bench scaling --help", 0, "--lengths");
    expect("bench kernels --help", 0, "--rounds");
    expect("bench surprise --help", 0, "--depth");
    expect("bench denormals --help", 0, "--rounds");
    expect("info", 0, "passkey");
    ledger_record("commands", "help", 11, 0);
}

Test(commands, refuse_bad_command_lines, .init = enter_folder, .fini = leave_folder) {
    expect("", 2, "Usage");
    expect("fly", 2, "unknown command \"fly\"");
    expect("train", 2, "--out");
    expect("train --out x.safetensors --steps many", 2, "'many' is not a number");
    expect("train --out x.safetensors --steps 0", 2, "not a number from 1");
    expect("train --out x.safetensors surplus", 2, "surplus");
    expect("train --out x.safetensors --wings", 2, "unrecognized option");
    expect("eval", 2, "which checkpoint");
    expect("eval a b --length 64", 2, "more than one");
    expect("eval a", 2, "--length");
    expect("eval a --length 64 --depth 2", 2, "'2' is not a number from 0 to 1");
    expect("eval a --length 99999999999999999999", 2, "not a number");
    expect("bench", 2, "Usage");
    expect("bench fly", 2, "unknown measurement");
    expect("bench needle --limit 3", 2, "--limit comes after");
    expect("bench needle --set rope_scaling=ntk", 2, "--set comes after");
    expect("bench difference a b", 2, "two groups are wanted");
    expect("bench difference a --against b --against c", 2, "--against stands once");
    ledger_record("commands", "bad command lines", 16, 0);
}

Test(commands, refuse_what_the_outside_world_gets_wrong, .init = enter_folder, .fini = leave_folder) {
    expect("eval nothing.safetensors --length 64", 1, "nothing.safetensors: cannot open");
    expect("info /dev/null", 1, "too short");
    expect("train --mixer fly --task passkey --out x.safetensors", 1, "unknown mixer \"fly\"");
    expect("train --mixer lmm --task fly --out x.safetensors", 1, "unknown task \"fly\"");
    expect("train --config nothing.json --out x.safetensors", 1, "nothing.json");
    cr_assert(!system("echo '{\"wings\": 2}' > bad.json"));
    expect("train --config bad.json --out x.safetensors", 1, "unknown key \"wings\"");
    cr_assert(!system("echo '{\"width\": 2.5}' > bad.json"));
    expect("train --config bad.json --out x.safetensors", 1, "\"width\" must be a whole number");
    cr_assert(!system("echo '{\"width\": ' > bad.json"));
    expect("train --config bad.json --out x.safetensors", 1, "not valid JSON");
    expect("train --set wings=2 --out x.safetensors", 1, "unknown key \"wings\"");
    expect("train --set taps=many --out x.safetensors", 1, "\"taps\" must be a whole number");
    expect("train --set taps --out x.safetensors", 1, "KEY=VALUE");
    expect("train --mixer attention --set chunk=8 --out x.safetensors", 1, "unknown key \"chunk\"");
    expect("train --mixer lmm --set segmnt=8 --set width=8 --out x.safetensors", 1, "unknown key \"segmnt\"");
    expect("train --mixer mac --set segmnt=8 --out x.safetensors", 1, "\"segment\"");
    cr_assert(!system("echo '{\"curriculum\": \"64\"}' > bad.json"));
    expect("train --config bad.json --out x.safetensors", 1, "must read like");
    cr_assert(!system("echo '{\"curriculum\": \"16:5\"}' > bad.json"));
    expect("train --config bad.json --out x.safetensors", 1, "at least 64 tokens");
    expect("train --resume --out nothing.safetensors", 1, "nothing.safetensors");
    expect("train --task passkey --steps 1 --out /nonexistent/x.safetensors", 1,
           "/nonexistent/x.safetensors");
    cr_assert(!setenv("TITANS_ISA", "mmx", 1));
    expect("info", 2, "instruction set 'mmx' is unknown");
    cr_assert(!unsetenv("TITANS_ISA"));
    ledger_record("commands", "bad files", 19, 0);
}

Test(commands, train_evaluate_and_measure_end_to_end, .init = enter_folder, .fini = leave_folder) {
    expect("train --mixer lmm --task passkey --steps 4 --seed 3 --threads 2 --out a.safetensors --log a.tsv",
           0, "trained 4 steps");
    expect("train --mixer lmm --task passkey --steps 4 --seed 3 --threads 1 --out b.safetensors", 0,
           "trained 4 steps");
    cr_assert(!system("cmp a.safetensors b.safetensors"), "threads changed the checkpoint");
    cr_assert(!setenv("TITANS_ISA", kernels_at(0)->isa, 1));
    expect("train --mixer lmm --task passkey --steps 4 --seed 3 --threads 2 --out c.safetensors", 0,
           " kernels");
    cr_assert(!unsetenv("TITANS_ISA"));
    cr_assert(!system("cmp a.safetensors c.safetensors"), "the instruction set changed the checkpoint");
    expect("info a.safetensors", 0, "layer.1.mixer.m0");
    expect("train --resume --out a.safetensors --log a.tsv", 0, "trained 0 steps");
    cr_assert(!system("test $(grep -c '^lmm' a.tsv) -eq 1"), "resuming lost the log");
    expect("train --resume --out a.safetensors --steps 9", 2, "--resume goes on with");
    expect("eval a.safetensors --task passkey --length 200 --samples 3 --seed 1 --depth 0.5 -q", 0,
           "correct=0 total=3 accuracy=0.0000");
    expect("eval a.safetensors --task niah1 --length 2000", 1, "token classes");
    expect("eval a.safetensors --length 200 --set rope_scaling=ntk", 1, "no key that a trained model");
    expect("eval a.safetensors --task passkey --length 10", 1, "at least 64");
    expect("bench needle a.safetensors --lengths 100,200 --samples 2 -o n.tsv", 0, "length");
    expect("bench needle a.safetensors --lengths 100,200 --samples 2 --answers -o n4.tsv", 0, "length");
    cr_assert(!system("test $(grep -c 'checkpoint.answers$' n4.tsv) -eq 1 && test $(grep -c "
                      "'safetensors.0.0000$' n4.tsv) -eq 6"));
    expect("bench difference a.safetensors --against a.safetensors --lengths 100 --samples 4 -o d.tsv", 0,
           "0.0 points, 0.0 to 0.0 over samples");
    expect("bench needle a.safetensors --lengths 10 --samples 2 -o n3.tsv", 1, "at least 64");
    cr_assert(!system("test ! -e n3.tsv && test ! -e n3.tsv.tmp"));
    expect("bench needle a.safetensors --task niah1 --lengths 512 --samples 1 -o n2.tsv", 1, "token classes");
    expect("bench scaling a.safetensors --lengths 64,128,256 -o s.tsv", 0, "tokens/s");
    expect("bench surprise a.safetensors --length 100 -o u.tsv", 0, "");
    expect("bench writes a.safetensors --length 100 --samples 2 -o w.tsv", 0, "of 100 tokens written");
    expect("bench writes a.safetensors nothing.safetensors --length 100 -o w2.tsv", 1, "nothing.safetensors");
    cr_assert(!system("test ! -e w2.tsv && test ! -e w2.tsv.tmp && test $(grep -c ^lmm w.tsv) -eq 2"));
    cr_assert(!system("grep -q '^# isa:' n.tsv && grep -q '^# commit:' s.tsv && grep -q '^layer' u.tsv && "
                      "grep -q '^lmm' a.tsv"));
    expect("eval a.safetensors --length 200 --samples 3 -q > /dev/full", 1, "");
    ledger_record("commands", "end to end", 25, 0);
}

Test(commands, stop_and_go_on_with_the_same_state, .init = enter_folder, .fini = leave_folder) {
    cr_assert(!system("echo '{\"mixer\": \"mac\", \"segment\": 32, \"persistent\": 2}' > mac.json"));
    expect("train --config mac.json --task passkey --steps 2 --out a.safetensors", 0, "trained 2 steps");
    expect("eval a.safetensors --length 3000 --samples 3 --batch 2 --save-state whole.safetensors", 0,
           "total=3");
    expect(
        "eval a.safetensors --length 3000 --samples 3 --batch 2 --save-state half.safetensors --stop-at 777",
        1, "--load-state half.safetensors");
    expect(
        "eval a.safetensors --length 3000 --samples 3 --batch 2 --load-state half.safetensors --save-state "
        "rest.safetensors",
        0, "total=3");
    cr_assert(!system("cmp whole.safetensors rest.safetensors"), "the split changed the state");
    expect("eval a.safetensors --length 4000 --samples 3 --batch 2 --load-state half.safetensors", 1,
           "another evaluation");
    expect("eval a.safetensors --length 3000 --stop-at 5", 2, "--save-state");
    expect("eval a.safetensors --length 3000 --load-state a.safetensors", 1, "not a state");
    expect("train --task passkey --steps 1 --seed 4 --config mac.json --out b.safetensors", 0, "trained");
    expect("eval b.safetensors --length 3000 --samples 3 --batch 2 --load-state half.safetensors", 1,
           "other weights");
    cr_assert(!system("head -c 5000 half.safetensors > cut.safetensors"));
    expect("eval a.safetensors --length 3000 --samples 3 --batch 2 --load-state cut.safetensors", 1,
           "cut.safetensors");
    ledger_record("commands", "state files", 11, 0);
}

Test(commands, write_text_and_show_surprise, .init = enter_folder, .fini = leave_folder) {
    static char one[1 << 12], two[1 << 12];
    cr_assert(!system("yes 'The grass is green. The sky is blue.' | head -c 4000 > text.txt"));
    expect("train --mixer lmm --task text --haystack text.txt --steps 2 --out a.safetensors", 0,
           "trained 2 steps");
    cr_assert(
        !titans("generate a.safetensors --prompt 'The grass' --tokens 40 --seed 5 --top-k 20 --top-p 0.9",
                one, sizeof one));
    cr_assert(
        !titans("generate a.safetensors --prompt 'The grass' --tokens 40 --seed 5 --top-k 20 --top-p 0.9",
                two, sizeof two));
    cr_assert(!strcmp(one, two), "the same seed gave another text");
    cr_assert(
        !titans("generate a.safetensors --prompt-file text.txt --tokens 9 --temperature 0", one, sizeof one));
    cr_assert(!titans("generate a.safetensors --tokens 9 --temperature 0 < text.txt", two, sizeof two));
    cr_assert(!strcmp(one, two), "a file and standard input gave different texts");
    expect("eval a.safetensors --length 300 --samples 1", 0, "prose: text.txt");
    expect("bench needle a.safetensors --lengths 300 --samples 1 -o n.tsv", 0, "text");
    cr_assert(!system("grep -q '^# prose of a.safetensors: text.txt' n.tsv"));
    expect("generate a.safetensors --prompt ''", 1, "");
    expect("generate a.safetensors --prompt-file nothing.txt", 1, "nothing.txt");
    expect("generate a.safetensors --top-p 2", 2, "not a number");
    expect("surprise text.txt --checkpoint a.safetensors -o s.tsv --top 2", 0, "[");
    cr_assert(!system("grep -q '^position' s.tsv && test $(grep -vc '^#' s.tsv) -eq 4001"));
    expect("surprise nothing.txt --checkpoint a.safetensors", 1, "nothing.txt");
    expect("surprise text.txt", 2, "--checkpoint");
    expect("export a.safetensors -o w.safetensors", 0, "");
    expect("generate w.safetensors --prompt 'The' --tokens 3", 0, "");
    expect("train --resume --out w.safetensors", 1, "no optimizer state");
    expect("train --set from=w.safetensors --mixer mac --task text --haystack text.txt --set rate=0 --steps "
           "3 --out "
           "f.safetensors",
           0, "trained 3 steps");
    expect("export f.safetensors -o v.safetensors", 0, "");
    cr_assert(!titans("generate w.safetensors --prompt 'The' --tokens 30 --seed 2", one, sizeof one));
    cr_assert(!titans("generate v.safetensors --prompt 'The' --tokens 30 --seed 2", two, sizeof two));
    cr_assert(!strcmp(one, two), "a training that learns nothing changed the weights it started from");
    expect("train --set from=nothing.safetensors --steps 1 --out g.safetensors", 1, "nothing.safetensors");
    expect("train --mixer lmm --task passkey --steps 1 --out p.safetensors", 0, "trained");
    expect("generate p.safetensors --prompt a", 1, "byte-level");
    expect("surprise text.txt --checkpoint p.safetensors", 1, "byte-level");
    ledger_record("commands", "text", 22, 0);
}

/* Input file of memory_read with one layer of 3 x 2: y = q M. */
static void write_read_case(const char *path, double last, int64_t count) {
    const double M[] = {1, 2, 3, 4, 5, last}, q[] = {0.5, 0.25, 2};
    const SafeTensor tensors[] = {
        {.name = "M", .type = SAFE_F64, .dims = 2, .shape = {3, count / 3}, .count = count, .data = M},
        {.name = "q", .type = SAFE_F64, .dims = 1, .shape = {3}, .count = 3, .data = q}};
    const SafeMetadata about[] = {{"dims", "L=1 n0=3 n1=2"}};
    char message[512];
    cr_assert(!safetensors_write(path, tensors, 2, about, 1, message, sizeof message), "%s", message);
}

static double read_number(const char *path, const char *name, int64_t i) {
    SafeFile f;
    char message[512];
    cr_assert(!safetensors_read(&f, path, message, sizeof message), "%s", message);
    const SafeTensor *t = safetensors_find(&f, name);
    cr_assert(t && t->type == SAFE_F64 && i < t->count, "%s in %s", name, path);
    const double x = ((const double *)t->data)[i];
    safetensors_close(&f);
    return x;
}

/* Tensors of a list of arguments are in the file, in the shape that is described; of a gradient those that are
 * computed, and no other. */
static int64_t check_written(const SafeFile *f, const Dims *d, const Argument *list, const char *prefix,
                             int kernels) {
    int64_t checks = 0;
    for (int i = 0; list[i].name; i++, checks++) {
        int64_t shape[EQUATION_RANK], size = 1;
        char name[96];
        const int rank = dims_shape(d, &list[i], shape);
        for (int k = 0; k < rank; k++) size *= shape[k];
        snprintf(name, sizeof name, "%s%s", prefix, list[i].name);
        const SafeTensor *t = safetensors_find(f, name);
        const int left_out =
            size == 0 || (*prefix && (role_is_index(list[i].role) ||
                                      (kernels && !kernel_gradient_is_computed(d->equation, i))));
        cr_assert((t == NULL) == left_out, "%s: %s is %s", d->equation->name, name, t ? "there" : "missing");
        cr_assert(!t || (t->dims == rank && !memcmp(t->shape, shape, (size_t)rank * sizeof *shape)),
                  "%s: %s is in another shape", d->equation->name, name);
    }
    return checks;
}

/* One run on the example's file: outputs and, where there are some, gradients. */
static int64_t check_example(const Dims *d, int kernels, int gradient) {
    const Equation *e = d->equation;
    char line[256], message[512];
    SafeFile f;
    snprintf(line, sizeof line, "equation %s --in e.safetensors --out o.safetensors %s --impl %s", e->name,
             gradient ? "--grad e.safetensors" : "", kernels ? kernels_at(0)->isa : "reference");
    const int limited = kernels && gradient && argument_find(e->in, "theta_max") >= 0;
    expect(line, 0, limited ? "grad/theta_max is not computed by the kernels and left out" : "");
    cr_assert(!safetensors_read(&f, "o.safetensors", message, sizeof message), "%s", message);
    int64_t checks = check_written(&f, d, e->out, "", kernels);
    if (gradient) checks += check_written(&f, d, e->in, "grad/", kernels);
    safetensors_close(&f);
    return checks;
}

Test(commands, every_equations_example_runs, .init = enter_folder, .fini = leave_folder) {
    int64_t checks = 0;
    for (int i = 0; oracle_at(i); i++) {
        const Equation *e = oracle_at(i);
        KernelAdapter adapter;
        char line[128], text[512], message[512];
        Dims d;
        cr_assert(equation_example(e, text, sizeof text));
        cr_assert(!dims_read(&d, e->name, text, message, sizeof message), "%s", message);
        snprintf(line, sizeof line, "equation %s --example e.safetensors", e->name);
        expect(line, 0, "");
        checks += check_example(&d, 0, 1);
        if (!kernel_adapter_find(e->name, &adapter)) continue;
        checks += check_example(&d, 1, kernel_differentiable(&adapter, &d));
    }
    ledger_record("commands", "examples of equations", checks, 0);
}

Test(commands, run_an_equation_on_the_users_numbers, .init = enter_folder, .fini = leave_folder) {
    const double cotangent[] = {1, 10};
    const SafeTensor y = {
        .name = "y", .type = SAFE_F64, .dims = 1, .shape = {2}, .count = 2, .data = cotangent};
    char message[512];
    write_read_case("in.safetensors", 6, 6);
    cr_assert(!safetensors_write("cot.safetensors", &y, 1, 0, 0, message, sizeof message), "%s", message);
    expect("equation --list", 0, "mixer_mac");
    expect("equation --describe memory_read", 0, "memory_layers (L)");
    char kernel[32];
    snprintf(kernel, sizeof kernel, "--impl %s", kernels_at(0)->isa);
    const char *const how[] = {
        "--precision float", "--precision double", "--precision long_double", "--precision quad", kernel, ""};
    for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
        char line[256];
        snprintf(line, sizeof line,
                 "equation memory_read --in in.safetensors --out out.safetensors --grad cot.safetensors %s",
                 how[i]);
        expect(line, 0, "");
        cr_assert(read_number("out.safetensors", "y", 0) == 11.25 &&
                  read_number("out.safetensors", "y", 1) == 14.0);
        cr_assert(read_number("out.safetensors", "grad/q", 1) == 43.0 &&
                  read_number("out.safetensors", "grad/M", 5) == 20.0);
    }
    expect("equation memory_read --in in.safetensors --out out.safetensors --dims L=1,n0=2,n1=3", 1,
           "dimensions want 2");
    expect("equation memory_read --in in.safetensors --out out.safetensors --dims L=1,wings=2", 1,
           "no dimension 'wings'");
    expect("equation memory_read --in in.safetensors --out out.safetensors --dims L=one", 1,
           "'one' is not a number");
    static const char *const refused[][2] = {
        {"memory_read --dims L=9,n0=2,n1=2", "memory_layers (L) is 9"},
        {"memory_read --dims L=2,n0=2,n1=2", "widths n0 to nL"},
        {"memory_read --dims L=1,n0=2,n1=3,residual=1", "n0 equal"},
        {"memory_read --dims L=1,n0=100000,n1=100000", "more than"},
        {"memory_read --dims L=4,n0=1000000,n1=1000000,n2=1000000,n3=1000000,n4=1000000", "far too large"},
        {"mixer_lmm --dims T=4,D=6,H=0,b=1,L=1,e=1", "heads (H) is 0"},
        {"mixer_lmm --dims T=4,D=6,H=4,b=1,L=1,e=1", "heads (H) must divide width (D)"},
        {"mixer_mag --dims T=4,D=6,H=2,b=1,L=1,e=1", "even"},
        {"mixer_mac --dims T=4,D=4,H=2,b=1,L=1,e=1", "segment"},
        {"language_model --dims T=3,V=4,D=4,H=2,layers=1,F=3,mixer=9", "no mixer '9'"},
        {"window_attention --dims T=9,S=3,dh=2", "at least tokens"},
        {"rope --dims T=3,H=1,dh=3", "must be even"}};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char line[256];
        snprintf(line, sizeof line, "equation %s --in in.safetensors --out out.safetensors", refused[i][0]);
        expect(line, 1, refused[i][1]);
    }
    expect("equation fly --in in.safetensors --out out.safetensors", 1, "no equation 'fly'");
    expect("equation chunk_linear --in in.safetensors --out out.safetensors --dims T=1,n0=1,n1=1", 1,
           "missing");
    expect("equation silu --in in.safetensors --out out.safetensors --impl mmx --dims n=3", 1, "missing");
    expect("equation memory_read --in in.safetensors --out out.safetensors --impl mmx", 1, "mmx");
    write_read_case("nan.safetensors", NAN, 6);
    expect("equation memory_read --in nan.safetensors --out out.safetensors", 1, "not finite");
    const double z[3] = {0.3, 0.5, -0.2};
    double theta_max = 0;
    const SafeTensor gates[] = {
        {.name = "z", .type = SAFE_F64, .dims = 1, .shape = {3}, .count = 3, .data = z},
        {.name = "theta_max", .type = SAFE_F64, .dims = 1, .shape = {1}, .count = 1, .data = &theta_max}};
    cr_assert(!safetensors_write("g.safetensors", gates, 2, 0, 0, message, sizeof message), "%s", message);
    expect("equation gates --in g.safetensors --out out.safetensors --dims T=1,H=1", 1, "a number above 0");
    theta_max = 1e4;
    cr_assert(!safetensors_write("g.safetensors", gates, 2, 0, 0, message, sizeof message), "%s", message);
    expect("equation gates --in g.safetensors --out out.safetensors --dims T=1,H=1", 0, "");
    expect("equation", 2, "NAME, --in FILE");
    expect("info --config nothing.json", 1, "nothing.json");
    cr_assert(!system("echo '{\"preset\": \"neurips 170m\"}' > p.json"));
    expect("info --config p.json", 0, "134105856 weights");
    cr_assert(!system("echo '{\"preset\": \"170b\"}' > p.json"));
    expect("info --config p.json", 1, "unknown preset \"170b\"");
    cr_assert(!system("echo '{\"mixer\": \"lmm\", \"chunk\": 8}' > r.json"));
    expect("bench scaling r.json --lengths 64,128 -o s.tsv", 0, "tokens/s");
    expect("bench denormals -c r.json --mixers lmm --tokens 64 --rounds 1 -o d.tsv", 0, "flushed");
    expect("bench scaling --mixers lmm,attention r.json --limit 64 --lengths 64,128 -o s.tsv --force", 0,
           "tokens/s");
    cr_assert(!system("grep -q '^# crossover: lmm .*beat.* attention in memory' s.tsv"));
    expect("bench scaling r.json --lengths 128,64 -o s.tsv --force", 2, "must grow");
    expect("bench scaling --mixers lnn r.json --lengths 64 -o s.tsv --force", 1, "lnn");
    expect("bench scaling r.json --mixers lmm", 2, "--mixers comes before");
    expect("bench training -c r.json --mixers lmm,mac --lengths 64 --tokens 64 --repeats 1 -o t.tsv", 0,
           "of FMA peak");
    ledger_record("commands", "equation", 38, 0);
}

/* The interpreter of `bench peers` may be anything. */
Test(commands, say_what_is_wrong_with_the_packages_side, .init = enter_folder, .fini = leave_folder) {
    expect("bench peers", 1, "run it from the top of the tree");
    cr_assert(!system("mkdir -p harness/bench/peer && touch harness/bench/peer/serve.py"));
    expect("bench peers --python ./none", 1, "./none: cannot be run");
    expect("bench peers --python false", 1, "false: has ended with code 1");
    expect("bench peers --python echo", 1, "answers with 1 fields of a case");
    cr_assert(!system("printf '#!/bin/sh\nkill -9 $$\n' >killed && chmod +x killed"));
    expect("bench peers --python ./killed", 1, "was killed by signal 9");
    cr_assert(access("peers.tsv", F_OK), "a table of nothing is left");
    ledger_record("commands", "packages' side", 6, 0);
}

Test(commands, describe_an_equation_or_a_mixer, .init = enter_folder, .fini = leave_folder) {
    static char described[1 << 16], option[1 << 16];
    expect("describe mac", 0, "mixer_mac: eqs 21-25");
    expect("describe memory_chunk", 0, "[tokens][n0]: keys");
    expect("describe nonsense", 1, "no equation or mixer 'nonsense'");
    expect("describe", 2, "which equation or mixer?");
    expect("describe lmm mac", 2, "more than one equation");
    cr_assert(!titans("describe memory_chunk", described, sizeof described));
    cr_assert(!titans("equation --describe memory_chunk", option, sizeof option));
    cr_assert_str_eq(described, option);
}
