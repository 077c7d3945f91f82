"""The compiled module as the process set it up: whoever needs it loads it from here. ImportError where there is none."""

from aefast import _cpu as module
from aefast import threads

__all__ = ["module"]

threads.adopt(module)
