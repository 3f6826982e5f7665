#!/bin/sh
# A single-node SLURM with four pretend GPUs, for tests, from Debian's packages; needs root. Everything of it lies in DIR.
#   up.sh DIR      then: export SLURM_CONF=DIR/slurm.conf       take it down with: down.sh DIR
set -eu
dir=$1
mkdir -p "$dir/state" "$dir/spool" "$dir/munge"
dir=$(cd "$dir" && pwd)
chmod 755 "$dir" "$dir/munge"

if ! command -v slurmctld >/dev/null || ! command -v slurmd >/dev/null || ! command -v munged >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        slurmctld slurmd slurm-client munge slurm-wlm-basic-plugins >"$dir/apt.log" 2>&1
fi

host=$(hostname -s)
cat >"$dir/slurm.conf" <<CONF
ClusterName=vaesweep
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${SLURM_TEST_PORT:-26817}
SlurmdPort=$((${SLURM_TEST_PORT:-26817} + 1))
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket,cred_expire=5
CryptoType=crypto/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=1,sched_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
JobRequeue=1
KillWait=5
MinJobAge=60
ReturnToService=2
AccountingStorageType=accounting_storage/none
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 Gres=gpu:4 State=UNKNOWN
PartitionName=low Nodes=$host Default=YES PriorityTier=1 GraceTime=20 State=UP
PartitionName=high Nodes=$host PriorityTier=10 PreemptMode=OFF State=UP
CONF
echo "Name=gpu File=/dev/tty[10-13]" >"$dir/gres.conf"
export SLURM_CONF="$dir/slurm.conf"

[ -f "$dir/munge/key" ] || (umask 077 && dd if=/dev/urandom of="$dir/munge/key" bs=1 count=1024 2>/dev/null)
munged --force --socket="$dir/munge/socket" --key-file="$dir/munge/key" --pid-file="$dir/munge/pid" \
    --log-file="$dir/munge/log" --seed-file="$dir/munge/seed" --num-threads=2
slurmctld -c
slurmd

tries=0
until [ "$(sinfo -h -o %T 2>/dev/null | sort -u)" = idle ]; do
    tries=$((tries + 1))
    if [ $tries -gt 120 ]; then
        echo "SLURM did not come up:" >&2
        tail -n 20 "$dir/slurmctld.log" "$dir/slurmd.log" >&2
        exit 1
    fi
    sleep 0.5
done
