"""What this machine can't run is a visible skip; `AEFAST_REQUIRE=numba,cpu,torch` turns those skips into failures."""

from __future__ import annotations

import os
from typing import NoReturn

VARIABLE = "AEFAST_REQUIRE"


def required(name: str) -> bool:
    """Whether AEFAST_REQUIRE (names, comma-separated) turns this skip into a failure."""
    return name in {part.strip() for part in os.environ.get(VARIABLE, "").split(",")}


def skip_or_fail(name: str, reason: str) -> NoReturn:
    """Skips the running test that needs `name`, or fails it where the environment requires it."""
    import pytest

    if required(name):
        pytest.fail(f"{name} is required by {VARIABLE}, but {reason}", pytrace=False)
    pytest.skip(f"{name}: {reason}", allow_module_level=True)
