"""What a test run passed, failed and left out, from its JUnit files.

Usage: test_report.py FILE...
Reads ctest's files, whose programs print GoogleTest's or pytest's own totals, and pytest's. A program
without totals counts as one case. Says in words what was not run. Exits 1 if a case failed, or was
skipped for another reason than those excused here, which are hardware: a missing tool is a failure.
"""

import collections
import re
import sys
import xml.etree.ElementTree as ElementTree

TOTALS = {
    "passed": re.compile(r"\[  PASSED  \] (\d+) test|\b(\d+) passed\b.* in "),
    "failed": re.compile(r"\[  FAILED  \] (\d+) test|\b(\d+) failed\b.* in "),
    "skipped": re.compile(r"\[  SKIPPED \] (\d+) test|\b(\d+) skipped\b.* in "),
}
REASON = re.compile(
    r"^(this machine does not have ITEMCROP_CPU_ISA.*)$"  # a program of ours
    r"|: Skipped\n(.*)$"  # GoogleTest
    r"|^SKIPPED \[\d+\] \S+: (.*)$",  # pytest -rs
    re.M,
)
EXCUSED = re.compile(
    r"ITEMCROP_CPU_ISA|instruction set|does not run (bf16|fp16)|no GPU|one GPU|kernels need a GPU"
    r"|no kubectl 1.21"  # no package brings it
)


def cases(program):
    """Counter of "passed", "failed" and "skipped", and the reasons of what was skipped."""
    output = program.findtext("system-out") or ""
    status = program.get("status")
    if status is None:  # pytest's own report
        left_out = program.find("skipped")
        if program.find("failure") is not None or program.find("error") is not None:
            return collections.Counter(failed=1), []
        if left_out is not None:
            return collections.Counter(skipped=1), [left_out.get("message", "")]
        return collections.Counter(passed=1), []
    reasons = [next(filter(None, match.groups()), "") for match in REASON.finditer(output)]
    if status not in ("run", "fail"):  # ctest skipped it, or found no program
        message = program.find("skipped")
        unknown = "no reason given" if message is None else message.get("message", "")
        return collections.Counter(skipped=1), reasons[:1] or [unknown]
    counts = collections.Counter()
    for kind, pattern in TOTALS.items():
        for match in pattern.finditer(output):
            counts[kind] += int(match[1] or match[2])
    if status == "fail":
        counts["failed"] = max(counts["failed"], 1)
    elif not counts.total():
        counts["passed"] = 1
    if counts["skipped"] and not reasons:
        reasons = ["no reason given"]
    return counts, reasons


def read(files):
    """The sum of all counts, and {reason: names of the programs}."""
    total, left_out = collections.Counter(), collections.defaultdict(list)
    for file in files:
        for program in ElementTree.parse(file).iter("testcase"):
            counts, reasons = cases(program)
            total += counts
            for reason in dict.fromkeys(reasons):
                left_out[reason].append(program.get("name"))
    return total, left_out


def main():
    total, left_out = read(sys.argv[1:])
    names = {
        program.get("name") for file in sys.argv[1:] for program in ElementTree.parse(file).iter("testcase")
    }
    print(f"{total['passed']} tests passed, {total['failed']} failed.", end=" ")
    print("Not run here:")
    for reason, programs in left_out.items():
        print(f"  {', '.join(dict.fromkeys(programs))}: {reason}")
    print("  the GPU's kernels and executor on a device: they need an NVIDIA GPU (scripts/gpu.sh)")
    if "parity_garments_test" not in names:
        print("  comparisons on garment photos: the photos are not in this repository (ITEMCROP_GARMENTS)")
    unexcused = [reason for reason in left_out if not EXCUSED.search(reason)]
    for reason in unexcused:
        print(f"FAILED: skipped though no hardware is missing: {reason}")
    return 1 if total["failed"] or unexcused else 0


if __name__ == "__main__":
    sys.exit(main())
