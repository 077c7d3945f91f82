#!/usr/bin/env bash
# For a machine with a GPU: builds without network and without build isolation, and runs the tests.
# There is no GPU backend yet, so this only shows that the CPU and Numba backends hold on such a machine; nothing here
# touches the GPU. Needs an environment with the build requirements of pyproject.toml and the extra "test".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON=${PYTHON:-python3}
target=$(mktemp -d)
trap 'rm -rf "$target"' EXIT
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null || echo "no GPU seen"
AEFAST_CPU=${AEFAST_CPU:-auto} "$PYTHON" -m pip install -q --no-index --no-deps --no-build-isolation --target "$target" .
PYTHONPATH=$target "$PYTHON" -c 'import aefast; print(aefast.__file__); print(aefast.backends())'
PYTHONPATH=$target "$PYTHON" -P -m pytest -q -p no:cacheprovider tests
echo "no GPU backend exists: nothing ran on the GPU"
