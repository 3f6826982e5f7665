#!/bin/sh
# Takes down what `up.sh DIR` has set up: jobs first, then the three daemons. The packages stay.
set -u
dir=$(cd "$1" && pwd)
export SLURM_CONF="$dir/slurm.conf"
scancel --signal=KILL --full --me 2>/dev/null
scancel --me 2>/dev/null
for file in "$dir/slurmd.pid" "$dir/slurmctld.pid" "$dir/munge/pid"; do
    pid=$(cat "$file" 2>/dev/null) || continue
    kill "$pid" 2>/dev/null
    tries=0
    while kill -0 "$pid" 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -gt 50 ] && kill -9 "$pid" 2>/dev/null
        sleep 0.1
    done
done
