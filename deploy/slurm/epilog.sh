#!/bin/bash
# Slurm epilog: ends the recording that prolog.sh began and gives the file to the job's user. It never fails a node.
folder=${BATCHSCOPE_FOLDER:-/var/log/batchscope}
state=${BATCHSCOPE_STATE:-/run/batchscope}
longest_wait_s=10 # for the last second of samples to be written

[ -n "${SLURM_JOB_ID:-}" ] || exit 0
pid_file=$state/$SLURM_JOB_ID.pid
pid=$(cat "$pid_file" 2>/dev/null) || exit 0
rm -f "$pid_file"
node=${SLURMD_NODENAME:-$(hostname -s)}
file=$folder/$SLURM_JOB_ID.$node.bscope
# Only that process: its number may be another's by now.
is_ours() { tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qxF "$file"; }
is_ours && kill -INT "$pid"
for ((i = 0; i < 10 * longest_wait_s; ++i)); do
  is_ours || break
  sleep 0.1
done
[ -z "${SLURM_JOB_UID:-}" ] || chown "$SLURM_JOB_UID" "$file" "${file%.bscope}.log" 2>/dev/null
exit 0
