"""Where rows come from: arrays and memmaps, their scaling, and the named real data sets (`load`, `load_table`)."""

from __future__ import annotations

from aefast.data.datasets import NAMES, Dataset, load
from aefast.data.scaling import Scaling
from aefast.data.tables import TABLE_NAMES, Table, load_table

__all__ = ["NAMES", "TABLE_NAMES", "Dataset", "Scaling", "Table", "load", "load_table"]
