"""What every test may ask for: a package or a backend; a visible skip or, by AEFAST_REQUIRE, a failure."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from aefast import backends
from aefast.testing.require import skip_or_fail

# bench/ isn't installed, but tested from a checkout. Behind everything else: an installed aefast goes before the sources.
ROOT = Path(__file__).parent.parent
if (ROOT / "bench" / "__init__.py").is_file():
    sys.path.append(str(ROOT))


def require(name: str) -> ModuleType:
    """The module `name`."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != name.partition(".")[0]:
            raise
        skip_or_fail(name, "it isn't installed")


@pytest.fixture(scope="session")
def torch() -> Any:
    module: Any = require("torch")
    module.set_num_threads(1)  # its pool costs more than it gives at the sizes of tests
    return module


@pytest.fixture(params=backends.NAMES)
def backend(request: pytest.FixtureRequest) -> str:
    """Every backend by name; those that can't run here are skipped with their reason."""
    support = backends.available(request.param)
    if not support:
        skip_or_fail(request.param, support.reason)
    name: str = request.param
    return name
