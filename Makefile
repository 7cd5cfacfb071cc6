# Two commands: `make verify` proves the numbers, `make bench` measures and draws. `make help` lists the rest.
# Registries come from folder listings: a kernel, mixer, task, subcommand or plot is added by adding its file.

MAKEFLAGS += --no-builtin-rules
BUILD ?= build
ifeq ($(origin CC),default)
CC    := gcc
endif
ifeq ($(origin CXX),default)
CXX   := g++
endif
JOBS  ?= $(shell nproc)
OPT   ?= -O3
REF_OPT ?= -O2
EXTRA ?=
RUN   ?=
QUICK ?=
export TITANS_DATA ?=

ARCH := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))
GEN  := $(BUILD)/gen

ISAS     := $(if $(filter aarch64,$(ARCH)),scalar neon,scalar avx2 avx512)
VARIANTS := float double long_double quad complex_double complex_quad bound
NATIVE   := $(if $(filter x86_64,$(ARCH)),-march=native)
IS_CLANG := $(findstring clang,$(shell $(CC) --version | head -1))

ISA_FLAGS_avx2   := -mavx2 -mfma
ISA_FLAGS_avx512 ?= -mavx512f -mavx2 -mfma
EMULATED_AVX512  ?= 0
OPENMP   ?= -fopenmp
WARNINGS := -Wall -Wextra -Werror -Wno-missing-field-initializers
STRICT   := -std=c11 -D_GNU_SOURCE -ffp-contract=off -fno-math-errno $(WARNINGS)
# gcc would clone inner loops for unit strides and spill the register tiles.
KERNEL   := $(if $(IS_CLANG),,-fno-version-loops-for-strides)
CFLAGS   := $(STRICT) $(OPT) $(OPENMP) $(EXTRA) -g -MMD -MP
INCLUDE  := -Ioptimized -Iharness -I$(GEN)

listing   = $(sort $(basename $(notdir $(wildcard $(1)/*.c))))
KERNELS  := $(call listing,optimized/kernel)
MIXERS   := $(call listing,optimized/mixer)
TASKS    := $(call listing,harness/task)
COMMANDS := $(call listing,harness/command)
BENCHES  := $(call listing,harness/bench)
REF      := $(sort $(notdir $(wildcard reference/*.c)))
REF_MIX  := $(call listing,reference/mixer)

OPT_SRC  := $(wildcard optimized/*.c optimized/autograd/*.c optimized/model/*.c optimized/branch/*.c \
  optimized/mixer/*.c)
HAR_SRC  := $(wildcard harness/*.c harness/task/*.c harness/command/*.c harness/bench/*.c)
VER_SRC  := $(wildcard harness/verify/*.c harness/verify/oracle/*.c)
VER_SHARED := harness/verify/oracle.c harness/verify/kernel_adapters.c
object    = $(patsubst %.c,$(BUILD)/%.o,$(1))
ISA_OBJ  := $(ISAS:%=$(BUILD)/kernels_%.o)
REF_OBJ  := $(VARIANTS:%=$(BUILD)/reference_%.o)
NAIVE_OBJ := $(BUILD)/naive_plain.o $(BUILD)/naive_tuned.o
LIB_OBJ  := $(call object,$(OPT_SRC)) $(ISA_OBJ)
LIBS     := -lcjson -lm
GSL      := -lgsl -lgslcblas -lz

.PHONY: all help deps deps-full verify verify-full verify-faults ledger mutants fuzz golden bench bench-full plots lint format clean
all: $(BUILD)/titans

help:
	@echo 'make verify         every numerical check (two minutes; JOBS=n)'
	@echo 'make bench          find needles with the committed models, measure speed, memory, kernels, draw (QUICK=1: two minutes)'
	@echo 'make plots          redraw results/figures from results/*.tsv'
	@echo 'make verify-faults  each seeded fault must turn a named check red'
	@echo 'make ledger         accepts what the last make verify used of its bounds (results/ledger.tsv)'
	@echo 'make mutants        small mutations of reference/ and optimized/kernel/ must be killed (MUTANTS=n, hours)'
	@echo 'make fuzz           every reader of files under libFuzzer (FUZZ=seconds each)'
	@echo 'make golden         writes results/golden again: inputs, outputs and gradients for other implementations'
	@echo 'make verify-full    gcc and clang, sanitizers, NEON under qemu, AVX-512 source, all 2^32 floats of exp'
	@echo 'make bench-full     trains every committed model again, needles to ten million tokens (hours)'
	@echo 'make lint format clean deps deps-full'

# ---- system packages ------------------------------------------------------------------------------------------------
DEPS      := gcc g++ make git libcriterion-dev libgsl-dev gnuplot-nox libcjson-dev zlib1g-dev libopenblas-dev
DEPS_FULL := $(DEPS) clang clang-format clang-tidy cppcheck libomp-dev qemu-user gcc-aarch64-linux-gnu g++-aarch64-linux-gnu libc6-dev-arm64-cross libsimde-dev
deps:      ; @harness/deps.sh $(DEPS)
deps-full: ; @harness/deps.sh $(DEPS_FULL)

# ---- generated registries (from folder listings) --------------------------------------------------------------------
$(GEN): ; @mkdir -p $@
# $(call registry,header,type,prefix,array,names): extern declarations and a NULL-terminated array.
registry = { printf 'extern const $(2)'; printf ' $(3)%s,' $(5) | sed 's/,$$/;\n/'; \
  printf 'static const $(2) *const $(4)[] = {'; printf '&$(3)%s, ' $(5); printf '0};\n'; } > $(GEN)/$(1)

$(GEN)/kernels.h: optimized/kernel Makefile | $(GEN)
	@{ echo '#pragma once'; for k in $(KERNELS); do echo "#include \"kernel/$$k.h\""; done; \
	  echo 'typedef struct {'; echo '    const char *isa;'; \
	  for k in $(KERNELS); do echo "    const struct $${k}_kernel *$$k;"; done; echo '} Kernels;'; } > $@
$(GEN)/kernel_tables.h: Makefile | $(GEN)
	@{ echo '#define EMULATED_AVX512 $(EMULATED_AVX512)'; echo '#define KERNELS_FIRST kernels_$(firstword $(ISAS))'; } > $@.1
	@$(call registry,kernel_tables.h.2,Kernels,kernels_,kernel_tables,$(ISAS))
	@cat $@.1 $@.2 > $@; rm $@.1 $@.2
$(GEN)/kernels_%.c: optimized/kernel Makefile | $(GEN)
	@{ echo '#include "vec/vec.h"'; echo '#include "kernels.h"'; \
	  for k in $(KERNELS); do echo "#include \"kernel/$$k.c\""; done; \
	  echo 'extern const Kernels kernels_$*;'; \
	  printf 'const Kernels kernels_$* = {"$*"'; for k in $(KERNELS); do printf ", &$${k}_kernel"; done; echo '};'; } > $@
$(GEN)/mixers.h: optimized/mixer Makefile | $(GEN)
	@$(call registry,mixers.h,Mixer,mixer_,mixers,$(MIXERS))
$(GEN)/tasks.h: harness/task Makefile | $(GEN)
	@$(call registry,tasks.h,Task,task_,tasks,$(TASKS))
$(GEN)/commands.h: harness/command Makefile | $(GEN)
	@$(call registry,commands.h,Command,command_,commands,$(COMMANDS))
$(GEN)/benches.h: harness/bench Makefile | $(GEN)
	@$(call registry,benches.h,Bench,bench_,benches,$(BENCHES))
$(GEN)/reference.c: reference reference/mixer Makefile | $(GEN)
	@{ echo '#include "reference.h"'; for f in $(REF); do echo "#include \"$$f\""; done; \
	  for f in $(REF_MIX); do echo "#include \"mixer/$$f.c\""; done; \
	  printf 'static const Equation *const equation_files[] = {'; \
	  printf '%s_equations, ' $(REF:.c=) $(REF_MIX:%=mixer_%); echo '0};'; \
	  echo 'REFERENCE_EXPORT(equation_files)'; } > $@
GENERATED := $(addprefix $(GEN)/,kernels.h kernel_tables.h mixers.h tasks.h commands.h benches.h)

# ---- compilation ----------------------------------------------------------------------------------------------------
$(BUILD)/%.o: %.c Makefile | $(GENERATED)
	@mkdir -p $(@D)
	@echo '  CC    $<'
	@$(CC) $(CFLAGS) $(INCLUDE) -c $< -o $@
$(BUILD)/kernels_%.o: $(GEN)/kernels_%.c Makefile | $(GENERATED)
	@echo '  CC    kernels for $*'
	@$(CC) $(CFLAGS) $(KERNEL) $(ISA_FLAGS_$*) $(INCLUDE) -DVEC_HEADER='"vec/$*.h"' -Wno-unused-function -c $< -o $@
$(BUILD)/naive_plain.o: harness/naive/memory_naive.c Makefile
	@echo '  CC    naive memory, plain'
	@$(CC) -std=c11 -D_GNU_SOURCE $(WARNINGS) -O2 -Iharness -DNAIVE_NAME=naive_plain -c $< -o $@
$(BUILD)/naive_tuned.o: harness/naive/memory_naive.c Makefile
	@echo '  CC    naive memory, with all that the compiler offers'
	@$(CC) -std=c11 -D_GNU_SOURCE $(WARNINGS) -O3 $(NATIVE) -ffast-math -Iharness -DNAIVE_NAME=naive_tuned -c $< -o $@
REF_WARN := $(WARNINGS) -Wconversion
$(BUILD)/reference_bound.o: $(GEN)/reference.c Makefile
	@echo '  CXX   reference with error bounds'
	@$(CXX) -std=gnu++17 -x c++ $(REF_OPT) -g -MMD -MP $(REF_WARN) $(EXTRA) -ffp-contract=off -Ireference -Iharness/verify -DREAL_BOUND -c $< -o $@
$(BUILD)/reference_%.o: $(GEN)/reference.c Makefile
	@echo '  CC    reference in $*'
	@$(CC) -std=c11 -D_GNU_SOURCE $(REF_OPT) -g -MMD -MP $(REF_WARN) $(EXTRA) -ffp-contract=off -Ireference -Iharness/verify \
	  -DREAL_$(shell echo $* | tr a-z A-Z) -c $< -o $@
$(call object,$(VER_SRC) harness/bench/drift.c harness/command/equation.c harness/equation_dims.c $(wildcard harness/golden*.c) harness/bits/golden.c): INCLUDE += -Ireference -Iharness/verify

$(BUILD)/titans: $(call object,$(HAR_SRC)) $(NAIVE_OBJ) $(LIB_OBJ) $(REF_OBJ) $(call object,$(VER_SHARED))
	@echo '  LINK  $@'
	@$(CC) $(CFLAGS) $^ -o $@ $(GSL) -ldl $(LIBS) -lstdc++
VERIFY_OBJ := $(call object,$(VER_SRC)) $(filter-out %/main.o,$(call object,$(HAR_SRC)))
$(BUILD)/verify: $(VERIFY_OBJ) $(NAIVE_OBJ) $(LIB_OBJ) $(REF_OBJ)
	@echo '  LINK  $@'
	@$(CC) $(CFLAGS) $^ -o $@ -lcriterion $(GSL) -ldl $(LIBS) -lstdc++


# ---- verification ---------------------------------------------------------------------------------------------------
# A program that hashes the bits of every kernel, for machines and compilers where the suites cannot run.
BITS_OBJ := $(call object,harness/bits/bits.c harness/verify/kernel_adapters.c optimized/dispatch.c \
  $(wildcard optimized/autograd/*.c optimized/branch/*.c optimized/mixer/*.c) optimized/model/model.c optimized/model/config.c) \
  $(ISA_OBJ) $(BUILD)/reference_double.o
$(call object,harness/bits/bits.c): INCLUDE += -Ireference -Iharness/verify
$(BUILD)/bits: $(BITS_OBJ)
	@echo '  LINK  $@'
	@$(CC) $(CFLAGS) $^ -o $@ -lm

# The same for the golden vectors.
GOLDEN_OBJ := $(call object,harness/bits/golden.c harness/golden_vectors.c harness/golden_cases.c harness/verify/oracle.c) $(REF_OBJ)
$(BUILD)/golden: $(GOLDEN_OBJ)
	@echo '  LINK  $@'
	@$(CC) $(CFLAGS) $^ -o $@ -lstdc++ -lm

verify: deps
	@$(MAKE) --no-print-directory -j$(JOBS) $(BUILD)/verify $(BUILD)/titans
	@harness/verify/run.sh $(BUILD) $(JOBS) $(SUITES)
SUITES ?=

# What the last whole `make verify` used of every bound becomes what the next is held against.
ledger:
	@cp $(BUILD)/ledger.tsv results/ledger.tsv
	@echo "results/ledger.tsv: $$(($$(wc -l <results/ledger.tsv) - 1)) rows"

# Each seeded fault (harness/verify/faults.tsv) must turn the check it names red; FAULT=name for one of them.
verify-faults: deps
	@harness/verify/faults.sh "$(FAULT)"
FAULT ?=

# MUTANTS mutants drawn at random (or all), each built and held against the suites; MUTANT_SEED draws others.
MUTANTS     ?= 300
MUTANT_SEED ?= 1
mutants: deps
	@harness/mutants/run.sh $(MUTANTS) $(MUTANT_SEED) $(JOBS)

verify-full: deps-full
	@harness/verify/full.sh

# Every reader of files under libFuzzer, address and undefined-behaviour sanitizers; FUZZ=seconds for each.
FUZZ ?= 600
FUZZ_MAKE := $(MAKE) --no-print-directory -j$(JOBS) BUILD=build/fuzz CC=clang CXX=clang++ OPT=-O1 ISAS=scalar
fuzz: deps-full
	@$(FUZZ_MAKE) EXTRA="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize=function,vptr -fno-sanitize-recover=undefined" build/fuzz/fuzz build/fuzz/titans
	@harness/fuzz/run.sh build/fuzz $(FUZZ)
$(BUILD)/fuzz: $(call object,harness/fuzz/fuzz.c $(filter-out harness/main.c,$(HAR_SRC))) $(NAIVE_OBJ) $(LIB_OBJ) $(REF_OBJ) \
  $(call object,$(VER_SHARED))
	@echo '  LINK  $@'
	@$(CC) $(CFLAGS) -fsanitize=fuzzer $^ -o $@ $(GSL) -ldl $(LIBS) -lstdc++

# Golden vectors for other implementations (docs/interop.md): the same bytes from every compiler and CPU.
golden: deps
	@$(MAKE) --no-print-directory -j$(JOBS) $(BUILD)/titans
	@mkdir -p results/golden
	@$(BUILD)/titans golden write results/golden
	@cd results/golden && sha256sum *.json *.safetensors > MANIFEST.sha256

# ---- benchmarks and plots -------------------------------------------------------------------------------------------
bench: deps
	@$(MAKE) --no-print-directory -j$(JOBS) $(BUILD)/titans
	@harness/bench.sh $(BUILD)/titans "$(QUICK)"
bench-full: deps
	@$(MAKE) --no-print-directory -j$(JOBS) $(BUILD)/titans
	@harness/bench.sh $(BUILD)/titans full
plots: deps
	@harness/plots.sh results

# ---- style ----------------------------------------------------------------------------------------------------------
SOURCES := $(wildcard reference/*.[ch] reference/*/*.[ch] optimized/*.[ch] optimized/*/*.[ch] optimized/*/*/*.[ch] harness/*.[ch] harness/*/*.[ch] \
  harness/verify/oracle/*.[ch])
format: ; clang-format -i $(SOURCES)
lint: deps-full $(GENERATED) $(ISAS:%=$(GEN)/kernels_%.c)
	@harness/lint.sh "$(INCLUDE) -Ireference -Iharness/verify" "$(ARCH)" $(SOURCES)

-include $(wildcard $(BUILD)/*.d $(BUILD)/*/*.d $(BUILD)/*/*/*.d $(BUILD)/*/*/*/*.d)

clean: ; rm -rf $(BUILD)
