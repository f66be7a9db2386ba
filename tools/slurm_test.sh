#!/usr/bin/env bash
# A job over two nodes of a real Slurm has the answers of threads, and names both; a rank that is killed ends it.
# usage: tools/slurm_test.sh PROGRAM      77: there is no Slurm here, and why
set -euo pipefail
program=$(realpath "$1")
here=$(realpath "$(dirname "$0")")
if [ "${2:-}" != inside ]; then exec "$here/slurm_test_cluster.sh" "$here/slurm_test.sh" "$program" inside; fi
[ -e "$(dirname "$program")/libbatchscope_mpi.so" ] || { echo "this build has no libbatchscope_mpi.so"; exit 77; }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
flags=(--limit 12 --batch 8 --threads 1)
"$program" eval --parallel tp4 "${flags[@]}" --items threads.jsonl >/dev/null
BATCHSCOPE=$program sbatch --wait --quiet "$here/../deploy/slurm/eval.sbatch" "${flags[@]}" || { cat batchscope-*.log; exit 1; }
cmp threads.jsonl batchscope-*.jsonl
python3 - batchscope-*.json <<'END'
import json, sys
result = json.load(open(sys.argv[1]))
names = [device["name"] for device in result["devices"]]
assert names == ["node1/cpu:0", "node1/cpu:1", "node2/cpu:0", "node2/cpu:1"], names
for device in result["devices"]:
    link, memory = device["links"][0], device["memory"]
    assert link["predicted_tx_bytes"] == link["counted_tx_bytes"] == link["link_tx_bytes"] > 0, link
    assert memory["planned_bytes"] == memory["peak_bytes"], memory
END
echo "same answers over two nodes"

# A long one, of which a rank is killed.
srun -N 2 --ntasks-per-node=2 --mpi=pmix --kill-on-bad-exit=1 "$program" eval --parallel tp4 --threads 1 \
  --requests 2000 --prompt-tokens 20 --output-tokens 40 --batch 4 >killed.log 2>&1 &
job=$!
for ((i = 0; i < 100; ++i)); do
  mapfile -t ranks < <(grep -slzx -- 'eval' /proc/[0-9]*/cmdline | while read -r file; do
    tr '\0' '\n' <"${file%cmdline}environ" | grep -qx "SLURM_CONF=$SLURM_CONF" &&
      tr '\0' '\n' <"${file%cmdline}environ" | grep -q '^PMIX_RANK=' && basename "${file%/cmdline}"
  done 2>/dev/null)
  [ ${#ranks[@]} -eq 4 ] && break
  sleep 0.1
done
[ ${#ranks[@]} -eq 4 ] || { cat killed.log; echo "the ranks do not start: ${ranks[*]}"; exit 1; }
sleep 1
kill -KILL "${ranks[2]}"
begin=$SECONDS
wait "$job" && { echo "a job of which a rank was killed went well"; exit 1; }
[ $((SECONDS - begin)) -le 6 ] || { echo "it took $((SECONDS - begin)) s to end"; exit 1; }
grep -q "^batchscope: rank [0-3] (process ${ranks[2]} on node[12]) has died" killed.log || { cat killed.log; exit 1; }
for pid in "${ranks[@]}"; do [ ! -e "/proc/$pid" ] || { echo "process $pid is left"; exit 1; }; done
echo "a rank that was killed ended the others"
