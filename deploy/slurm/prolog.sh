#!/bin/bash
# Slurm prolog: begins a recording of this node for the job, in the background. It never keeps a job from starting.
# slurm.conf: Prolog=/etc/slurm/batchscope/prolog.sh  Epilog=/etc/slurm/batchscope/epilog.sh   (deploy/README.md)
batchscope=${BATCHSCOPE:-/usr/local/bin/batchscope}
folder=${BATCHSCOPE_FOLDER:-/var/log/batchscope}
state=${BATCHSCOPE_STATE:-/run/batchscope}
options=${BATCHSCOPE_OPTIONS:---period 1/6s}

[ -x "$batchscope" ] && [ -n "${SLURM_JOB_ID:-}" ] || exit 0
umask 077

# Nobody else may put a link where we write: from the folder up, all are ours or root's, and writable by nobody else,
# or only where nobody can remove another's (/tmp).
is_safe() { # FOLDER
  local at owner mode
  [ ! -L "$1" ] || return 1
  at=$(realpath "$1") || return 1
  read -r owner mode < <(stat -c '%u %a' "$at")
  [ "$owner" -eq "$(id -u)" ] && ((!(8#$mode & 8#022))) || return 1
  while [ "$at" != / ]; do
    at=$(dirname "$at")
    read -r owner mode < <(stat -c '%u %a' "$at")
    [ "$owner" -eq 0 ] || [ "$owner" -eq "$(id -u)" ] || return 1
    ((!(8#$mode & 8#022) || 8#$mode & 8#1000)) || return 1
  done
}

for each in "$folder" "$state"; do
  mkdir -p "$each" && is_safe "$each" && continue
  logger -t batchscope "$each is not a folder that only $(id -un) can write to: job $SLURM_JOB_ID is not recorded" 2>/dev/null
  exit 0
done
chmod 0711 "$folder" # users reach their own files by name, and do not see others'
name=$folder/$SLURM_JOB_ID.${SLURMD_NODENAME:-$(hostname -s)}
# A job that was requeued has a file of before, which is its user's by now: that is not written to.
file=$name
for ((i = 1; i < 100; ++i)); do
  [ -e "$file.bscope" ] || [ -L "$file.bscope" ] || [ -e "$file.log" ] || [ -L "$file.log" ] || break
  file=$name-$i
done
set -o noclobber
# shellcheck disable=SC2086  # options are words
setsid "$batchscope" record $options -o "$file.bscope" </dev/null >"$file.log" 2>&1 &
rm -f "$state/$SLURM_JOB_ID.pid"
printf '%s\n%s\n' $! "$file" >"$state/$SLURM_JOB_ID.pid"
exit 0
