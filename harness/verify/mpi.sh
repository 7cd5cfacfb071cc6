#!/bin/sh
# Ranks of MPI, where there is one: 1, 2 and 4 give the bits of the plain program; what does not fit is said once; a rank
# that is killed or told to stop costs nothing that was saved, and any number of ranks goes on; a sweep shares its jobs;
# the Slurm scripts run. Usage: mpi.sh BUILD
export LC_ALL=C
build=$1
command -v mpicc >/dev/null 2>&1 && command -v mpirun >/dev/null 2>&1 ||
    { echo "mpi: NOT CHECKED, there is no mpicc or no mpirun (make deps-mpi)"; exit 0; }
root=$(pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0
complain() { echo "mpi: $1" >&2; status=1; }
make -s BUILD="$build" "$build/mpi/titans" >"$work/log" 2>&1 || { cat "$work/log" >&2; echo "mpi: the program does not build" >&2; exit 1; }
alone=$(realpath "$build/titans") titans=$(realpath "$build/mpi/titans")
more=
case $(mpirun --version 2>&1) in *"Open MPI"*) more=--oversubscribe ;; esac
[ "$(id -u)" -ne 0 ] || export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
unset SLURM_PROCID
cd "$work" || exit 1
among() { n=$1; shift; timeout -k 5 60 mpirun $more -n "$n" "$@"; } # among RANKS COMMAND..
rows() { grep -v '^#' "$1" | cut -f1-9,11; }                     # all of a log but its rate
same() { # same NAME: the checkpoint and the log are those of the plain program
    cmp -s "$1.st" one.st || complain "$1: other bits than one process gives"
    rows "$1.tsv" >rows.many
    cmp -s rows.many rows.one || complain "$1: another log than one process gives"
}
recipe="--set width=16 --set ffn=16 --set chunk=16 --set batch=8 --set shards=4 --set curriculum=64:60 --set save_every=5 --set penalty=0.1 --set penalty_from=0"

"$alone" train $recipe --out one.st --log one.tsv 2>log || { cat log >&2; complain "one process does not train"; }
rows one.tsv >rows.one
for ranks in 1 2 4; do
    OMP_NUM_THREADS=$((1 + ranks % 4 / 2)) among $ranks "$titans" train $recipe --out many.st --log many.tsv >log 2>&1 || { cat log >&2; complain "$ranks ranks do not train"; }
    [ $ranks -eq 1 ] || grep -q ", $ranks ranks" log || complain "$ranks ranks were not at work"
    same many
    rm -f many.*
done

# What does not fit: said once, by rank 0, with its exit code.
refused() { # refused RANKS CODE MESSAGE COMMAND..
    ranks=$1 code=$2 wanted=$3
    shift 3
    among "$ranks" "$@" >log 2>&1
    got=$?
    [ $got -eq "$code" ] && [ "$(grep -c "$wanted" log)" -eq 1 ] || { cat log >&2; complain "$ranks ranks: ended with $got, '$wanted' is wanted once"; }
    [ ! -e x.st ] || complain "$ranks ranks that do not fit wrote a checkpoint"
}
refused 3 1 '3 ranks cannot train one model: 1, 2, 4, 8' "$titans" train $recipe --out x.st
refused 4 1 '4 ranks share the "shards" of a batch, of which there are 2' "$titans" train $recipe --set shards=2 --out x.st
refused 2 2 'unrecognized option' "$titans" train --wings
ldd "$alone" | grep -q libmpi || refused 2 1 'built without MPI (make MPI=1)' "$alone" train $recipe --out x.st

# Two ranks, of which the second gets a signal once there is a checkpoint: hit SIGNAL NAME COMMAND..
hit() {
    signal=$1 begun=$2
    shift 2
    rm -f pid.*
    among 2 sh -c 'echo $$ >pid.${OMPI_COMM_WORLD_RANK:-$PMI_RANK}; exec "$@"' sh "$@" >log 2>&1 &
    launcher=$!
    for i in $(seq 600); do
        [ -s "$begun" ] && [ -s pid.1 ] && break
        sleep 0.02
    done
    kill -"$signal" "$(cat pid.1)" 2>/dev/null
    wait $launcher
}
long="--set curriculum=64:6000 --steps 300" # one that is not over before the signal
"$alone" train $recipe $long --out one.st --log one.tsv --force 2>log
rows one.tsv >rows.one
for again in 1 2 3 4; do # where it has ended before the signal came
    rm -f kill.*
    hit KILL kill.st "$titans" train $recipe $long --out kill.st --log kill.tsv
    got=$?
    [ $got -eq 0 ] || break
done
[ $got -ne 0 ] || complain "ended with 0 although a rank was killed"
grep -qiE 'signal 9|EXIT CODE: 9|killed' log || { cat log >&2; complain "nothing is said of the rank that was killed"; }
[ -z "$(find . -name '.titans-*')" ] || complain "a half-written file is left"
steps=$("$alone" info kill.st | sed -n 's/^steps: //p')
[ "${steps:-300}" -lt 300 ] || complain "the rank was killed too late: $steps steps"
among 4 "$titans" train --resume --out kill.st --log kill.tsv 2>log || { cat log >&2; complain "four ranks do not go on"; }
same kill
for again in 1 2 3 4; do
    rm -f term.*
    hit TERM term.st "$titans" train $recipe $long --out term.st --log term.tsv
    got=$?
    [ $got -eq 0 ] || break
done
[ $got -eq 143 ] && grep -q 'stopped at step .* of 300; go on with --resume' log || { cat log >&2; complain "a signal to rank 1: ended with $got"; }
"$alone" train --resume --out term.st --log term.tsv 2>log || { cat log >&2; complain "one process does not go on"; }
same term

# A sweep: rank 1 is killed, two others do the rest.
echo '{"width": 16, "ffn": 16, "chunk": 16, "batch": 4, "curriculum": "64:200", "save_every": 5}' >small.json
echo '{"recipes": ["small.json", {"recipe": "small.json", "name": "one", "set": {"layers": 1}}], "seeds": [0, 1], "folder": "out"}' >sweep.json
"$alone" sweep sweep.json >log 2>&1 || { cat log >&2; complain "the sweep fails"; }
mv out whole
hit KILL out/small-s1.safetensors "$titans" sweep sweep.json
among 2 "$titans" sweep sweep.json >log 2>&1 || { cat log >&2; complain "two ranks do not end the sweep"; }
[ "$(grep -c ' done ' log)" -eq 4 ] || { cat log >&2; complain "a sweep of four jobs has another table"; }
for job in small-s0 small-s1 one-s0 one-s1; do cmp -s whole/$job.safetensors out/$job.safetensors || complain "sweep: $job has other bits"; done

# The Slurm scripts, with an srun that starts two ranks.
mkdir bin
sed 's/"batch": 4/"batch": 8/; s/:200/:20/' small.json >eight.json
printf '#!/bin/sh\nwhile [ "${1#--}" != "$1" ]; do shift; done\nexec mpirun %s -n 2 "$@"\n' "$more" >bin/srun
chmod +x bin/srun
PATH=$work/bin:$PATH TITANS=$titans RECIPE=eight.json OUT=slurm sh "$root/harness/example/slurm-train.sh" >log 2>&1 || { cat log >&2; complain "slurm-train.sh"; }
PATH=$work/bin:$PATH TITANS=$titans RECIPE=eight.json OUT=slurm sh "$root/harness/example/slurm-train.sh" 2>&1 | grep -q 'trained 0 steps' || complain "slurm-train.sh does not go on"
PATH=$work/bin:$PATH TITANS=$titans sh "$root/harness/example/slurm-sweep.sh" sweep.json 2>&1 | grep -q '^one .* done ' || complain "slurm-sweep.sh"

[ $status -ne 0 ] || echo "mpi: 1, 2 and 4 ranks and one process the same bits, also after SIGKILL and SIGTERM to a rank; a sweep shared;" \
    "$(mpirun --version 2>&1 | grep -m1 -iE 'open mpi|version' | sed 's/^ *//')"
exit $status
