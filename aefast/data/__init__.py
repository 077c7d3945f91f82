"""Where rows come from: arrays and memmaps, their scaling, and the named real data sets (`load`)."""

from __future__ import annotations

from aefast.data.datasets import NAMES, Dataset, load
from aefast.data.scaling import Scaling

__all__ = ["NAMES", "Dataset", "Scaling", "load"]
