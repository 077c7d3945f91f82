"""Where, with what and how a measurement was taken: kept with every result."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any


def describe(arguments: argparse.Namespace) -> dict[str, Any]:
    """The result document without its rows."""
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "command": "python -m bench " + shlex.join(sys.argv[1:]),
        "machine": cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "instruction_sets": instruction_sets(),
        "threads": arguments.threads,
        "isa_override": os.environ.get("AEFAST_ISA", ""),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
        "backend": arguments.backend,
        "note": arguments.note,
        "rounds": arguments.rounds,
        "rows": [],
    }


def lines(document: dict[str, Any]) -> list[str]:
    """The document's origin as a Markdown list."""
    return [
        f"- command: `{document['command']}`",
        f"- machine: {document['machine']}, {document['cores']} cores, {document['system']}, "
        f"{' '.join(document['instruction_sets'])}; load before {document['load_before']:.2f}",
        f"- date: {document['date']}; commit: {document['commit']}",
        *([f"- note: {document['note']}"] if document["note"] else []),
    ]


def write(document: dict[str, Any], markdown: str, folder: Path, stem: str) -> list[Path]:
    """STEM.json and STEM.md."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{stem}.json", folder / f"{stem}.md"]
    paths[0].write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    paths[1].write_text(markdown, encoding="utf-8")
    return paths


def cpu_name() -> str:
    fields = dict.fromkeys(("model name", "vendor_id", "cpu family", "model"), "")
    for line in _cpuinfo():
        key, _, value = line.partition(":")
        if key.strip() in fields:
            fields[key.strip()] = value.strip()
    name = fields["model name"] or platform.processor() or platform.machine()
    # Virtual machines hide the model behind a bare brand; family and model tell the microarchitecture.
    return (
        f"{name} (family {fields['cpu family']}, model {fields['model']})" if fields["cpu family"] else name
    )


def instruction_sets() -> list[str]:
    wanted = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve")
    flags = next((line for line in _cpuinfo() if line.lower().startswith(("flags", "features"))), "").split()
    return [name for name in wanted if name in flags]


def _cpuinfo() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []


def commit() -> str:
    def git(*command: str) -> str:
        root = Path(__file__).parent.parent
        done = subprocess.run(["git", "-C", str(root), *command], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    head = git("rev-parse", "--short=12", "HEAD")
    if not head:
        return "unknown"
    # The results themselves are written into the checkout, so they don't make it dirty.
    return head + (" and changes" if git("status", "--porcelain", "--", ".", ":!bench/results") else "")
