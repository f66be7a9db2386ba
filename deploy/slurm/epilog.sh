#!/bin/bash
# Slurm epilog: ends the recording that prolog.sh began and gives the file to the job's user. It never fails a node.
state=${BATCHSCOPE_STATE:-/run/batchscope}
longest_wait_s=10 # for the last second of samples to be written

[ -n "${SLURM_JOB_ID:-}" ] || exit 0
pid_file=$state/$SLURM_JOB_ID.pid
[ -f "$pid_file" ] && [ ! -L "$pid_file" ] && [ "$(stat -c %u "$pid_file")" -eq "$(id -u)" ] || exit 0
{ read -r pid && read -r file; } 2>/dev/null <"$pid_file"
rm -f "$pid_file"
[ -n "$pid" ] && [ -n "$file" ] || exit 0
# Only that process: its number may be another's by now.
is_ours() { tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qxF "$file.bscope"; }
is_ours && kill -TERM "$pid"  # not INT, which a shell has what it starts in the background ignore
for ((i = 0; i < 10 * longest_wait_s; ++i)); do
  is_ours || break
  sleep 0.1
done
if [ -n "${SLURM_JOB_UID:-}" ]; then
  for each in "$file.bscope" "$file.bscope-wal" "$file.bscope-shm" "$file.log"; do
    # What is a link, or has another name too, is none of ours.
    [ -f "$each" ] && [ ! -L "$each" ] && [ "$(stat -c %h "$each")" -eq 1 ] && chown -h "$SLURM_JOB_UID" "$each"
  done 2>/dev/null
fi
exit 0
