#!/usr/bin/env bash
# A real Slurm of several "nodes" on this one machine, from Debian's packages (slurmctld, slurmd, slurm-client, munge), for
# as long as a command runs in it. It touches nothing outside of a temporary folder, and needs root, as slurmd does.
# usage: tools/slurm_test_cluster.sh [--nodes N] COMMAND [ARGUMENT…]      77: it cannot be had here, and why
#   for example: tools/slurm_test_cluster.sh srun -N 2 -n 4 --mpi=pmix build/release/batchscope eval --parallel tp4
set -euo pipefail
nodes=2
if [ "${1:-}" = --nodes ]; then
  nodes=$2
  shift 2
fi
[ $# -gt 0 ] || { sed -n '2,5s/^# //p' "$0"; exit 2; }
PATH=$PATH:/usr/sbin

lacks() {
  echo "no Slurm here: $1" >&2
  exit 77
}
for program in slurmctld slurmd munged srun sinfo; do
  command -v "$program" >/dev/null || lacks "$program is not installed (Debian: slurmctld slurmd slurm-client munge)"
done
[ "$(id -u)" = 0 ] || lacks "slurmd needs root"

folder=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$folder"
}
trap finish EXIT

# Credentials of this cluster alone; munge wants folders that nobody else may write to.
chmod 755 "$folder"
dd if=/dev/urandom of="$folder/munge.key" bs=128 count=1 status=none
chmod 600 "$folder/munge.key"
munged --foreground --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --log-file="$folder/munge.log" \
  --pid-file="$folder/munge.pid" --seed-file="$folder/munge.seed" >"$folder/munged.out" 2>&1 &
pids+=($!)

free_ports() { # COUNT
  python3 -c 'import socket, sys
sockets = [socket.socket() for _ in range(int(sys.argv[1]))]
for s in sockets: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))' "$1"
}
read -ra ports < <(free_ports $((nodes + 1)))
cpus=$(nproc)
{
  cat <<END
ClusterName=test
SlurmctldHost=localhost
SlurmctldPort=${ports[0]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool.%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
MpiDefault=pmix
ReturnToService=2
KillWait=2
SlurmdParameters=config_overrides
TmpFS=$folder/tmp.%n
END
  for ((i = 1; i <= nodes; ++i)); do
    # As many CPUs as jobs of tests may want: this is no measurement.
    echo "NodeName=node$i NodeHostname=localhost NodeAddr=127.0.0.1 Port=${ports[$i]} CPUs=$((cpus > 8 ? cpus : 8))"
  done
  echo "PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=YES"
} >"$folder/slurm.conf"
# Named, since not every machine has one that is found; nothing here uses it.
echo "CgroupPlugin=cgroup/v1" >"$folder/cgroup.conf"
mkdir "$folder/state"
export SLURM_CONF=$folder/slurm.conf

for ((i = 0; i < 50; ++i)); do [ -S "$folder/munge.socket" ] && break; sleep 0.1; done
[ -S "$folder/munge.socket" ] || { cat "$folder/munged.out" >&2; lacks "munged does not start"; }
slurmctld -D -i >"$folder/slurmctld.out" 2>&1 &
pids+=($!)
for ((i = 1; i <= nodes; ++i)); do
  mkdir "$folder/spool.node$i" "$folder/tmp.node$i"
  slurmd -D -N "node$i" -f "$folder/slurm.conf" >"$folder/slurmd.$i.out" 2>&1 &
  pids+=($!)
done
ready=0
for ((i = 0; i < 200; ++i)); do
  ready=$(sinfo -h -N -t idle -o %N 2>/dev/null | wc -l) || ready=0
  [ "$ready" -ge "$nodes" ] && break
  sleep 0.2
done
if [ "$ready" -lt "$nodes" ]; then
  tail -n 5 "$folder"/*.out "$folder"/*.log >&2
  lacks "its nodes do not come up"
fi
# "Nodes" of one machine would take each other's shared memory for their own: between them, as between real ones, TCP.
export OMPI_MCA_btl=self,tcp OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_pml=ob1
"$@"
