#!/bin/sh
# One model trained by several ranks under Slurm: sbatch harness/example/slurm-train.sh. Needs `make MPI=1`, and a folder that
# all nodes see. Two minutes before its time is over the job is told to stop, saves, and is put into the queue again; it
# goes on where it stopped, also after a node was lost, and ends in the bits that one rank gives.
#SBATCH --job-name=titans
#SBATCH --ntasks=4
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
export LC_ALL=C
export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"
titans=${TITANS:-build/titans} recipe=${RECIPE:-harness/recipe/lmm-passkey.json} out=${OUT:-model}

# The ranks are a power of two and at most the shards; with the same shards their number may change from job to job.
if [ -e "$out.safetensors" ]; then set -- --resume; else set -- --config "$recipe" --set shards=8; fi
srun --cpus-per-task="$OMP_NUM_THREADS" "$titans" train --out "$out.safetensors" --log "$out.tsv" "$@"
status=$?
if [ $status -eq 143 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit $status
