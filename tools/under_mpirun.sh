#!/usr/bin/env bash
# Runs a program as several processes of this machine; 77, which ctest takes for skipped, where there is no mpirun.
# usage: tools/under_mpirun.sh PROCESSES PROGRAM [ARGUMENT…]
set -euo pipefail
# OpenMPI keeps memory until the end, which is no leak of ours.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
processes=$1
shift
if ! command -v mpirun >/dev/null; then
  echo "there is no mpirun here (Debian: openmpi-bin)"
  exit 77
fi
if [ ! -e "$(dirname "$1")/libbatchscope_mpi.so" ]; then
  echo "this build has no libbatchscope_mpi.so (Debian: libopenmpi-dev)"
  exit 77
fi
# More processes than CPUs, and as root, as containers run tests.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
exec mpirun --bind-to none -n "$processes" "$@"
