#!/bin/sh
# Recipes x seeds under Slurm: sbatch harness/example/slurm-sweep.sh sweep.json. Needs no MPI. Every task takes the next job that is
# free; what was killed or stopped goes on when the script is submitted again, which it does itself as long as jobs are left.
#SBATCH --job-name=titans-sweep
#SBATCH --ntasks=16
#SBATCH --cpus-per-task=1
#SBATCH --time=04:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
export LC_ALL=C
titans=${TITANS:-build/titans} file=${1:?which sweep? sbatch slurm-sweep.sh FILE}

srun --kill-on-bad-exit=0 "$titans" sweep "$file" --threads "${SLURM_CPUS_PER_TASK:-1}"
status=$?
if [ $status -eq 143 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit $status
