"""`python .ci/inner_loops.py [--objdump PROGRAM] build/CMakeFiles/kernels_*.dir/csrc/cpu/{gemm,conv}_micro.cpp.o`

Prints the innermost loop of every micro-kernel: instructions, multiply-adds, loads, and accesses of the stack, of which
there must be none (spilled accumulators): exit code 1 where there are.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys

ARITHMETIC = re.compile(r"vfn?m(add|sub)\d+ps|vdpbf16ps|mulps|fml[as]|bfdot")
LOAD = re.compile(r"v?mov[ua]ps|v?movss|vbroadcastss|vbroadcastsd|vpbroadcastd|ld[1-4]r?|ldr|ldp|ldur")
# A micro-kernel's name: dense, by operands, height and vectors, or over rows of the kernel, by taps and height.
DENSE = re.compile(r"micro<.*::(\w+), (\d+), (\d+), (true|false)>")
CONVOLUTION = re.compile(r"conv_micro<.*Operands\)(\d), (\d+)>")
ROWS = re.compile(r"conv_rows<(\d+), (\d+)>")
OPERANDS = ("broadcast", "lanes", "pixels")  # conv_micro.cpp
STACK = re.compile(r"%[re][sb]p|\[(sp|x29)")

Instruction = tuple[int, str, str]


def functions(listing: str) -> dict[str, list[Instruction]]:
    """Address, operation and operands of the instructions, by function."""
    found: dict[str, list[Instruction]] = {}
    name = ""
    for line in listing.splitlines():
        if head := re.match(r"[0-9a-f]+ <(.*)>:$", line):
            name = head[1]
            found[name] = []
        elif body := re.match(r"\s*([0-9a-f]+):\s+(\S+)\s*(.*)", line):
            found[name].append((int(body[1], 16), body[2], body[3]))
    return found


def innermost(body: list[Instruction]) -> list[Instruction]:
    """The shortest loop with arithmetic in it; empty where there is none."""
    loops = []
    for address, operation, operands in body:
        target = re.search(r"\b([0-9a-f]+) <", operands)
        if not re.match(r"j|b\.|cb|tb", operation) or target is None or int(target[1], 16) >= address:
            continue
        loop = [one for one in body if int(target[1], 16) <= one[0] <= address]
        if any(ARITHMETIC.match(one[1]) for one in loop):
            loops.append(loop)
    return min(loops, key=len, default=[])


def label(name: str) -> str:
    """What a micro-kernel's function is; empty for other functions."""
    if shape := DENSE.search(name):
        return f"{shape[1]} {shape[2]:>2} x {shape[3]} {'columns' if shape[4] == 'true' else 'rows':8}"
    if shape := CONVOLUTION.search(name):
        return f"convolution {shape[2]:>2} {OPERANDS[int(shape[1])]:9}"
    if shape := ROWS.search(name):
        return f"convolution {shape[2]:>2} of {shape[1]} taps"
    return ""


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objdump", default="objdump")
    parser.add_argument("objects", nargs="+")
    chosen = parser.parse_args()
    spilled = kernels = 0
    for path in chosen.objects:
        command = [chosen.objdump, "-dC", "--no-show-raw-insn", path]
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 - its own command
        print(path)
        for name, body in functions(listing).items():
            kernel = label(name)
            if not kernel or not (loop := innermost(body)):
                continue
            kernels += 1
            count = {
                "instructions": len(loop),
                "multiply-adds": sum(bool(ARITHMETIC.match(one[1])) for one in loop),
                "loads": sum(bool(LOAD.match(one[1])) and bool(re.search(r"[(\[]", one[2])) for one in loop),
                "stack": sum(bool(STACK.search(one[2])) for one in loop),
            }
            spilled += count["stack"] > 0
            print(f"  {kernel}", *(f"{value:4} {what}" for what, value in count.items()))
    if kernels == 0:
        sys.exit("no micro-kernel found: are these *_micro.cpp.o?")
    return 1 if spilled else 0


if __name__ == "__main__":
    sys.exit(main())
