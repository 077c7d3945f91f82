"""python -m aefast: the same as the command `aefast`."""

from __future__ import annotations

import sys

from aefast.cli import main

if __name__ == "__main__":
    sys.exit(main())
