#!/usr/bin/env bash
# Checks this machine's GPU, and measures it: the tests that need CUDA, parity with the CPU, the precisions, the coreset.
# Writes one JSON; the exit code is 0 if all of it holds. Takes the PyTorch that is installed, and under 8 minutes.
#
#   benchmarks/gpu_check.sh [RESULT.json]                 default: outputs/gpu_check.json
#   DEVICE=cpu benchmarks/gpu_check.sh [RESULT.json]      dry run without a GPU, on little data, in seconds
#   PYTHON=/path/to/python benchmarks/gpu_check.sh        default: .venv/bin/python, else python3
set -euo pipefail
case ${1:-} in
    -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac
result=$(realpath -m "${1:-outputs/gpu_check.json}")
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
command -v "$python" >/dev/null || python=python3
device=${DEVICE:-cuda}
export OMP_WAIT_POLICY=PASSIVE
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# On a CPU these tests skip themselves; a dry run leaves them out.
tests="not run"
if [ "$device" != cpu ]; then
    tests=failed
    timeout 150 "$python" -m pytest -q -rs tests/models/test_memory_bank.py tests/models/test_coreset.py \
        tests/models/runtime/test_device.py >"$log" 2>&1 && tests=passed
    tail -n 5 "$log"
fi
timeout 300 "$python" benchmarks/gpu_check.py --device "$device" --tests "$tests" --json "$result"
