# Two commands: `make verify` proves the numbers, `make bench` measures and draws. `make help` lists the rest.
# Registries come from folder listings (harness/make/generate.sh): to add a thing is to add its file.

MAKEFLAGS += --no-builtin-rules
ifeq ($(origin CC),default)
CC  := gcc
endif
ifeq ($(origin CXX),default)
CXX := g++
endif
OBJCOPY ?= objcopy
BUILD   ?= build
JOBS    ?= $(shell nproc)
OPT     ?= -O3
REF_OPT ?= -O1
OPENMP  ?= -fopenmp
export TITANS_DATA ?=
# Numbers are read and written with a point by every tool, whatever the caller speaks.
export LC_ALL := C

# ---- what is built ----------------------------------------------------------------------------------------------------
ARCH     := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))
ISAS     := $(if $(filter aarch64,$(ARCH)),scalar neon,scalar avx2 avx512)
VARIANTS := float double long_double quad complex_double complex_quad bound adjoint
GEN      := $(BUILD)/gen
# The matrix unit of x86, for products in bf16 alone; everything else of this instruction set is AVX-512's. Its compiler must
# know it.
FLAGS_amx := -mavx512f -mavx512bw -mavx512bf16 -mavx2 -mfma -mamx-tile -mamx-bf16
AMX      := $(if $(filter avx512,$(ISAS)),$(shell $(CC) $(FLAGS_amx) -E -x c /dev/null >/dev/null 2>&1 && echo amx))

objects   = $(patsubst %.c,$(BUILD)/%.o,$(1))
KERNELS  := $(notdir $(basename $(wildcard optimized/kernel/*.c)))
# The one source that knows MPI; with MPI=1 its other object is in build/titans.
RANKS_C  := harness/learn/ranks.c
RANKS_MPI := $(BUILD)/mpi/ranks.o
LIB_OBJ  := $(call objects,$(shell find optimized -name '*.c' ! -path 'optimized/kernel/*')) \
            $(foreach isa,$(ISAS),$(KERNELS:%=$(BUILD)/kernel/$(isa)/%.o)) $(AMX:%=$(BUILD)/kernel/%/bf16.o)
REF_OBJ  := $(VARIANTS:%=$(BUILD)/reference_%.o)
NAIVE    := $(BUILD)/naive_plain.o $(BUILD)/naive_tuned.o
HARNESS_ALONE := $(call objects,$(shell find harness -name '*.c' ! -path 'harness/verify/*' ! -path 'harness/example/*' ! -path 'harness/bench/naive/*' ! -path $(RANKS_C))) $(NAIVE)
HARNESS  := $(HARNESS_ALONE) $(call objects,$(RANKS_C))
SUITES_OBJ := $(call objects,$(wildcard harness/verify/*.c harness/verify/oracle/*.c harness/verify/oracle/*/*.c)) \
              $(BUILD)/kernel/tiles/bf16.o

WARNINGS := -Wall -Wextra -Werror -Wno-missing-field-initializers $(if $(OPENMP),,-Wno-unknown-pragmas -Wno-unused)
STRICT   := -std=c11 -D_GNU_SOURCE -ffp-contract=off -fno-math-errno $(WARNINGS)
INCLUDE  := -Ioptimized -Ireference -Iharness -Iharness/verify -I$(GEN)
CFLAGS   := $(STRICT) $(OPT) $(OPENMP) -fPIC -fvisibility=hidden $(EXTRA) -g -MMD -MP $(INCLUDE)
REF_FLAGS := $(REF_OPT) -g -MMD -MP $(WARNINGS) -Wconversion $(EXTRA) -ffp-contract=off -Ireference
# gcc would clone inner loops for unit strides and spill the register tiles; and follow variables through unrolled lanes for minutes.
KERNEL_FLAGS := -Wno-unused-function $(if $(findstring clang,$(shell $(CC) --version | head -1)),,-fno-version-loops-for-strides -fno-var-tracking)
FLAGS_avx2   := -mavx2 -mfma
FLAGS_avx512 ?= -mavx512f -mavx2 -mfma
PREFIX   ?= /usr/local
DESTDIR  ?=
NATIVE   := $(if $(filter x86_64,$(ARCH)),-march=native)
EMULATED_AVX512 ?= 0
LIBS     := -lcjson -lm
GSL      := -lgsl -lgslcblas -lz -ldl

# Of what `mpicc -show` says, Open MPI's and MPICH's alike, the flags; other compilers than its own may compile.
MPICC    ?= mpicc
MPI_SAYS  = $(shell $(MPICC) -show 2>/dev/null)
MPI_FLAGS = -DTITANS_MPI $(patsubst -I%,-isystem %,$(filter -I%,$(MPI_SAYS))) $(filter -pthread,$(MPI_SAYS))
MPI_LIBS  = $(filter -L% -l% -Wl% -pthread,$(MPI_SAYS))

# What is compiled with other flags is compiled again: objects depend on this file, which changes with them.
STAMP := $(GEN)/flags
$(shell harness/make/generate.sh $(GEN) "$(ISAS) $(AMX)" $(EMULATED_AVX512) \
  '$(subst ','\'',$(CC) $(CXX) $(CFLAGS) $(REF_FLAGS) $(KERNEL_FLAGS) $(FLAGS_avx2) $(FLAGS_avx512))' '$(if $(MPI),$(MPI_SAYS),none)')

.PHONY: all help deps deps-full deps-mpi library install uninstall verify verify-full verify-faults ledger mutants fuzz golden bench bench-full experiment reproduce plots publish lint format clean
all: $(BUILD)/titans

help:
	@echo 'make verify         every check (about seven minutes with what it builds; JOBS=n)'
	@echo 'make bench          find needles, measure speed, memory, kernels, draw (about 15 minutes; QUICK=1: half a minute)'
	@echo 'make install        program, library, header, man pages under PREFIX (DESTDIR honoured); make uninstall'
	@echo 'make plots          redraw results/figures from results/*.tsv (KINDS="svg png": pictures too)'
	@echo 'make experiment NAME=ablation         train and ask all that an experiment names, draw it (harness/experiment/)'
	@echo 'make reproduce NAME=lmm-passkey-s0    train a committed model again and compare every bit (that one: two minutes)'
	@echo 'make publish        copy what make bench has measured into results/ (for maintainers)'
	@echo 'make verify-faults  each seeded fault must turn a named check red'
	@echo 'make ledger         accepts what the last make verify used of its bounds (results/ledger.tsv)'
	@echo 'make mutants        small mutations of reference/ and optimized/kernel/ must be killed (MUTANTS=n, hours)'
	@echo 'make fuzz           every reader of files under libFuzzer (FUZZ=seconds each)'
	@echo 'make golden         writes results/golden again: inputs, outputs and gradients for other implementations'
	@echo 'make verify-full    gcc and clang, sanitizers, NEON under qemu, AVX-512 source, all 2^32 floats of exp'
	@echo 'make bench-full     trains every committed model again, needles to ten million tokens (hours)'
	@echo 'make MPI=1          build/titans for mpirun (make deps-mpi installs Open MPI)'
	@echo 'make lint format clean deps deps-full deps-mpi    (NODEPS=1: nothing is installed)'

DEPS      := gcc g++ make git locales bible-kjv-text wordnet-base libcriterion-dev libgsl-dev gnuplot-nox libcjson-dev zlib1g-dev libopenblas-dev pkg-config python3-numpy
DEPS_FULL := $(DEPS) clang libclang-rt-dev clang-format clang-tidy cppcheck libomp-dev qemu-user gcc-aarch64-linux-gnu g++-aarch64-linux-gnu \
             libc6-dev-arm64-cross libsimde-dev
DEPS_MPI  := libopenmpi-dev openmpi-bin
deps:      ; @harness/make/deps.sh $(DEPS)
deps-full: ; @harness/make/deps.sh $(DEPS_FULL)
deps-mpi:  ; @harness/make/deps.sh $(DEPS_MPI)

# ---- compilation ------------------------------------------------------------------------------------------------------
$(BUILD)/%.o: %.c Makefile $(STAMP)
	@mkdir -p $(@D)
	@echo '  CC    $<'
	@$(CC) $(CFLAGS) -c $< -o $@
# One unit for every kernel and instruction set.
define kernels_of
$(BUILD)/kernel/$(1)/%.o: optimized/kernel/%.c Makefile $$(STAMP)
	@mkdir -p $$(@D)
	@echo '  CC    $$< for $(1)'
	@$(CC) $(CFLAGS) $(KERNEL_FLAGS) $(FLAGS_$(1)) -DVEC_ISA=$(1) -DVEC_HEADER='"vec/$(1).h"' -c $$< -o $$@
endef
$(foreach isa,$(ISAS),$(eval $(call kernels_of,$(isa))))
# The product in bf16 for AMX; and the same source with tiles in plain C, for build/verify.
$(BUILD)/kernel/amx/bf16.o: TILES := $(FLAGS_amx) -DVEC_ISA=amx -DVEC_HEADER='"vec/avx512.h"' -DTILE_HEADER='"kernel/bf16/tiles.h"'
$(BUILD)/kernel/tiles/bf16.o: TILES := -DVEC_ISA=tiles -DVEC_HEADER='"vec/scalar.h"' -DTILE_HEADER='"amx/tiles.h"'
$(BUILD)/kernel/amx/bf16.o $(BUILD)/kernel/tiles/bf16.o: optimized/kernel/bf16/amx.c Makefile $(STAMP)
	@mkdir -p $(@D)
	@echo '  CC    $< with tiles of $(notdir $(@D))'
	@$(CC) $(CFLAGS) $(KERNEL_FLAGS) $(TILES) -c $< -o $@
$(BUILD)/naive_plain.o: NAIVE_FLAGS := -O2
$(BUILD)/naive_tuned.o: NAIVE_FLAGS := -O3 $(NATIVE) -ffast-math
$(NAIVE): $(BUILD)/%.o: harness/bench/naive/memory_naive.c Makefile $(STAMP)
	@echo '  CC    $* memory, $(NAIVE_FLAGS)'
	@$(CC) -std=c11 -D_GNU_SOURCE $(WARNINGS) $(NAIVE_FLAGS) $(INCLUDE) -DNAIVE_NAME=$* -c $< -o $@
# One unit for every arithmetic.
$(BUILD)/reference_bound.o $(BUILD)/reference_adjoint.o: $(BUILD)/reference_%.o: $(GEN)/reference.c Makefile $(STAMP)
	@echo '  CXX   reference in $*'
	@$(CXX) -std=gnu++17 -x c++ $(REF_FLAGS) -DREAL_$(shell echo $* | tr a-z A-Z) -c $< -o $@
$(BUILD)/reference_%.o: $(GEN)/reference.c Makefile $(STAMP)
	@echo '  CC    reference in $*'
	@$(CC) -std=c11 -D_GNU_SOURCE $(REF_FLAGS) -DREAL_$(shell echo $* | tr a-z A-Z) -c $< -o $@

link = echo '  LINK  $@' && $(CC) $(CFLAGS) $(filter %.o,$^) -o $@
# Linked again when MPI=1 comes or goes (gen/mpi); nothing else is compiled.
ifdef MPI
$(BUILD)/titans: $(HARNESS_ALONE) $(RANKS_MPI) $(LIB_OBJ) $(REF_OBJ) $(GEN)/mpi
	@$(link) $(GSL) $(LIBS) $(MPI_LIBS) -lstdc++
else
$(BUILD)/titans: $(HARNESS) $(LIB_OBJ) $(REF_OBJ) $(GEN)/mpi
	@$(link) $(GSL) $(LIBS) -lstdc++
endif
$(BUILD)/mpi/titans: $(HARNESS_ALONE) $(RANKS_MPI) $(LIB_OBJ) $(REF_OBJ)
	@$(link) $(GSL) $(LIBS) $(MPI_LIBS) -lstdc++
$(RANKS_MPI): $(RANKS_C) Makefile $(STAMP) $(GEN)/mpi
	@$(if $(MPI_SAYS),,echo 'make MPI=1: there is no $(MPICC); make deps-mpi installs Open MPI' >&2; exit 1)
	@mkdir -p $(@D)
	@echo '  CC    $< with MPI'
	@$(CC) $(CFLAGS) $(MPI_FLAGS) -c $< -o $@
$(BUILD)/verify: $(SUITES_OBJ) $(filter-out %/main.o,$(HARNESS)) $(LIB_OBJ) $(REF_OBJ)
	@$(link) -lcriterion $(GSL) $(LIBS) -lstdc++
$(BUILD)/fuzz: $(call objects,harness/verify/fuzz/fuzz.c) $(filter-out %/main.o,$(HARNESS)) $(LIB_OBJ) $(REF_OBJ)
	@$(link) -fsanitize=fuzzer $(GSL) $(LIBS) -lstdc++
# Programs without the harness's libraries, for compilers and CPUs where those are not: hashes of every kernel's bits and
# of the golden vectors.
EQUATIONS := $(call objects,$(shell find harness/equation -name '*.c'))
$(BUILD)/bits: $(call objects,harness/verify/bits/bits.c) $(EQUATIONS) $(filter-out $(BUILD)/optimized/file/% $(BUILD)/optimized/library/%,$(LIB_OBJ)) $(REF_OBJ)
	@$(link) -lstdc++ -lm
$(BUILD)/golden: $(call objects,harness/verify/bits/golden.c harness/golden/vectors.c harness/golden/cases.c \
                 $(patsubst %,harness/equation/%.c,cases dims oracle published)) $(REF_OBJ)
	@$(link) -lstdc++ -lm

# ---- the library: nothing but titans_* can be seen from outside --------------------------------------------------------
SONAME := libtitans.so.1
$(BUILD)/libtitans.a: $(LIB_OBJ)
	@echo '  AR    $@'
	@$(LD) -r -o $(BUILD)/libtitans.o $^
	@$(OBJCOPY) --localize-hidden $(BUILD)/libtitans.o
	@rm -f $@ && $(AR) rcs $@ $(BUILD)/libtitans.o
$(BUILD)/$(SONAME): $(LIB_OBJ)
	@$(link) -shared -Wl,-soname,$(SONAME),-z,defs $(LIBS)
library: $(BUILD)/libtitans.a $(BUILD)/$(SONAME)
install: library $(BUILD)/titans
	@harness/make/install.sh install $(BUILD) $(SONAME) "$(DESTDIR)" "$(PREFIX)" "$(LIBS) $(OPENMP)"
uninstall:
	@harness/make/install.sh uninstall $(BUILD) $(SONAME) "$(DESTDIR)" "$(PREFIX)"

# ---- verification -----------------------------------------------------------------------------------------------------
verify: deps
	@$(MAKE) --no-print-directory -j$(JOBS) $(BUILD)/verify $(BUILD)/titans library
	@harness/verify/run.sh $(BUILD) $(JOBS) $(SUITES)
	@$(if $(SUITES),:,harness/verify/others.sh $(BUILD) $(JOBS))

# What the last whole `make verify` used of every bound becomes what the next is held against.
ledger:
	@cp $(BUILD)/ledger.tsv results/ledger.tsv
	@echo "results/ledger.tsv: $$(($$(wc -l <results/ledger.tsv) - 1)) rows"

# Each seeded fault (harness/verify/faults.tsv) must turn the check it names red; FAULT=name for one of them.
verify-faults: deps
	@harness/verify/faults.sh "$(FAULT)"

# MUTANTS mutants drawn at random (or all), each built and held against the suites; MUTANT_SEED draws others, MUTANTS_OF
# (a regular expression) says in which files.
MUTANTS     ?= 300
MUTANT_SEED ?= 1
mutants: deps
	@harness/verify/mutants/run.sh $(MUTANTS) $(MUTANT_SEED) $(JOBS) "$(MUTANTS_OF)"

verify-full: deps-full
	@harness/verify/full.sh

# Every reader of files under libFuzzer, address and undefined-behaviour sanitizers; FUZZ=seconds for each.
FUZZ ?= 600
fuzz: deps-full
	@$(MAKE) --no-print-directory -j$(JOBS) BUILD=build/fuzz CC=clang CXX=clang++ OPT=-O1 ISAS=scalar build/fuzz/fuzz build/fuzz/titans \
	  EXTRA="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize=function,vptr -fno-sanitize-recover=undefined"
	@harness/verify/fuzz/run.sh build/fuzz $(FUZZ)

# Golden vectors for other implementations (docs/interop.md): the same bytes from every compiler and CPU.
golden: deps
	@$(MAKE) --no-print-directory -j$(JOBS) $(BUILD)/titans
	@mkdir -p results/golden
	@$(BUILD)/titans golden write results/golden
	@cd results/golden && sha256sum *.json *.safetensors > MANIFEST.sha256

# ---- benchmarks and plots ---------------------------------------------------------------------------------------------
bench: deps
	@$(MAKE) --no-print-directory -j$(JOBS) $(BUILD)/titans
	@harness/bench/run.sh $(BUILD) "$(QUICK)"
bench-full: deps
	@$(MAKE) --no-print-directory -j$(JOBS) $(BUILD)/titans
	@harness/bench/run.sh $(BUILD) full
plots: deps
	@harness/plot/draw.sh results "$(KINDS)"
# A committed model again, from its recipe and seed: the same tensors, bit for bit.
# Trains and asks what harness/experiment/NAME.json says, and draws it; goes on where it was stopped.
experiment: deps
	@$(MAKE) --no-print-directory -j$(JOBS) $(BUILD)/titans
	@harness/bench/experiment.sh $(BUILD) $(JOBS) "$(NAME)"
reproduce: deps
	@$(MAKE) --no-print-directory -j$(JOBS) $(BUILD)/titans
	@harness/bench/reproduce.sh $(BUILD) "$(NAME)"
# For maintainers: what make bench has measured becomes what is published.
publish:
	@harness/make/publish.sh $(BUILD)/bench results

# ---- style ------------------------------------------------------------------------------------------------------------
SOURCES := $(shell find reference optimized harness -name '*.[ch]')
format: ; clang-format -i $(SOURCES)
lint: deps-full
	@harness/make/lint.sh "$(INCLUDE)" "$(ARCH)" $(SOURCES)

ALL_OBJ := $(HARNESS) $(RANKS_MPI) $(LIB_OBJ) $(REF_OBJ) $(SUITES_OBJ) $(EQUATIONS) \
           $(call objects,harness/verify/fuzz/fuzz.c harness/verify/bits/bits.c harness/verify/bits/golden.c)
-include $(ALL_OBJ:.o=.d)

clean: ; rm -rf $(BUILD)
