#!/usr/bin/env bash
# For a machine with a GPU: builds without network and without build isolation, and runs the tests.
# The contract suite runs the Triton backend on CuPy arrays and fails where it can't: AEFAST_REQUIRE=triton. Needs an environment
# with the build requirements of pyproject.toml and the extras "test" and "gpu-cu13" (or "gpu-cu12"). Nothing is timed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON=${PYTHON:-python3}
target=$(mktemp -d)
trap 'rm -rf "$target"' EXIT
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null || echo "no GPU seen"
AEFAST_CPU=${AEFAST_CPU:-auto} "$PYTHON" -m pip install -q --no-index --no-deps --no-build-isolation --target "$target" .
PYTHONPATH=$target "$PYTHON" -c 'import aefast; print(aefast.__file__); print(aefast.backends())'
unset TRITON_INTERPRET
export PYTHONPATH=$target AEFAST_REQUIRE=triton
# First what touches the GPU, so that its failures come before an hour of the rest.
"$PYTHON" -P -m pytest -q -p no:cacheprovider tests/test_triton.py tests/test_triton_available.py tests/test_triton_compiled.py
"$PYTHON" -P -m pytest -q -p no:cacheprovider -k triton tests/test_ops.py
"$PYTHON" -P -m pytest -q -p no:cacheprovider tests
