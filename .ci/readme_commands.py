"""Prints a command of README.md's start section: `readme_commands.py README.md 1` the first, 2 the second.

The start section has exactly two `sh` blocks, each one command that is complete after a clone.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path


def start_commands(readme: str) -> list[str]:
    """The `sh` blocks of the section "Start", verbatim; ValueError unless there are two."""
    section = re.search(r"^## Start\n(.*?)(?=^## )", readme, re.MULTILINE | re.DOTALL)
    if section is None:
        raise ValueError("README.md has no section '## Start'")
    blocks: list[str] = re.findall(r"^```sh\n(.*?)^```$", section.group(1), re.MULTILINE | re.DOTALL)
    if len(blocks) != 2:
        raise ValueError(f"the start section must have exactly two sh blocks, but has {len(blocks)}")
    return blocks


if __name__ == "__main__":
    print(start_commands(Path(sys.argv[1]).read_text())[int(sys.argv[2]) - 1], end="")
