#!/bin/bash
# Slurm prolog: begins a recording of this node for the job, in the background. It never keeps a job from starting.
# slurm.conf: Prolog=/etc/slurm/batchscope/prolog.sh  Epilog=/etc/slurm/batchscope/epilog.sh   (deploy/README.md)
batchscope=${BATCHSCOPE:-/usr/local/bin/batchscope}
folder=${BATCHSCOPE_FOLDER:-/var/log/batchscope}
state=${BATCHSCOPE_STATE:-/run/batchscope}
options=${BATCHSCOPE_OPTIONS:---period 1/6s}

[ -x "$batchscope" ] && [ -n "${SLURM_JOB_ID:-}" ] || exit 0
umask 077
mkdir -p "$folder" "$state" || exit 0
node=${SLURMD_NODENAME:-$(hostname -s)}
# shellcheck disable=SC2086  # options are words
setsid "$batchscope" record $options --append -o "$folder/$SLURM_JOB_ID.$node.bscope" \
  </dev/null >"$folder/$SLURM_JOB_ID.$node.log" 2>&1 &
echo $! >"$state/$SLURM_JOB_ID.pid"
exit 0
