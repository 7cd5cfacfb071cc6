#include "golden/cases.h"
#include "base/check.h"

#include <stdio.h>
#include <string.h>

const GoldenFlag golden_flags[] = {
    {"Basic", "the equation itself: a sign, a transpose, a factor (the 2 of eq 12), a missing term"},
    {"OneToken", "the first token: what M_0, S_0 and an empty past mean"},
    {"GateZero",
     "alpha = 0 keeps everything: decay applied to the momentum, or alpha and 1 - alpha exchanged"},
    {"GateOne", "alpha = 1 clears the memory: division by beta (E3), decay before or after the write"},
    {"NoMomentum", "eta = 0: momentum carried over, or eta taken from the token before"},
    {"NoStep", "theta = 0: keys and values must not matter"},
    {"PartialChunk", "the last chunk is shorter: t' off by one (E2), state not closed"},
    {"LongChunkUnderflow", "strong decay over a long chunk: beta_t / beta_i is 0 / 0 (E3)"},
    {"ChunkOfOne", "b = 1 is the sequential rule (E15)"},
    {"Confluent", "rho = eta: the closed kernel is 0 / 0 (E17)"},
    {"RepeatedKey", "equal keys: errors of the write add up"},
    {"TinyNorm", "keys near 0: the eps of the l2 norm, inside the root (E14)"},
    {"LargeLogits", "large scores: softmax without subtracting the maximum"},
    {"DeepMemory", "more than one layer: sigma' missing, or layers in the wrong order"},
    {"NormResidual", "layer norm and residual of the memory: the norm left out of the inner gradient (E20)"},
    {"PerLayerGates", "gates per memory layer: those of layer 1 used for all"},
    {"ChannelGates", "alpha per channel: rows and columns exchanged (E22)"},
    {"Causal", "the mask: off by one, or the future of the segment (E6, E7)"},
    {"Literal", "MAC read literally: the default must NOT give these numbers"},
    {"Window", "the window counts the token itself"},
    {"Prefix", "persistent tokens stay visible, and are written into the memory first"},
    {"Ablated", "a gate or the convolution left out"},
    {"HardGate", "the clamped gates (an option of ours)"},
    {"Relative", "a relative of Titans: decay and error exchanged, an eps outside the root, a gain per head, "
                 "a norm before the "
                 "gate, or the other way round"},
    {"Places",
     "positions beyond the training: a slope of another head, a prefix at a distance, the wrong pairs "
     "stretched, queries alone scaled by what is meant for keys too, the position in place of the count"},
    {"Published", "a relative as its package has it, where the mixer is another form: neighbours turned in "
                  "place of halves, "
                  "a sum too little in a norm, the future of a chunk or a bucket, what is held constant"},
    {"Rounded", "inputs that are no bf16: cut off, or ties rounded up or away from zero; one sum in place of "
                "two for every "
                "32 terms, or the rest of a depth joined to the block before"},
    {0, 0},
};

const GoldenFlag *golden_flag(const char *name) {
    for (const GoldenFlag *f = golden_flags; f->name; f++)
        if (!strcmp(f->name, name)) return f;
    return 0;
}

static int golden_read(const EquationCase *row, GoldenCase *c) {
    unsigned long long seed;
    if (!*row->golden) return 0;
    CHECK(sscanf(row->golden, "%31[^:]:%d:%llu", c->family, &c->number, &seed) == 3 && golden_flag(row->flag),
          "harness/case/%s.tsv: \"%s\" and \"%s\" are no FAMILY:NUMBER:SEED and flag", row->equation,
          row->golden, row->flag);
    c->seed = seed;
    c->row = row;
    return 1;
}

int golden_case(int i, GoldenCase *c) {
    for (int k = 0; case_at(k); k++)
        if (golden_read(case_at(k), c) && c->seed == (uint64_t)i + 1) return 1;
    return 0;
}

const char *golden_family(int i) {
    static GoldenCase c;
    for (int k = 0; golden_case(k, &c); k++)
        if (c.number == 1 && i-- == 0) return c.family;
    return 0;
}
