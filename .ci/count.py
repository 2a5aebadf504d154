"""Prints what a CI run passed and failed: the stages, and each test case that they ran.

Reads RESULTS/stages ("name ok|FAILED" lines) and JUnit files RESULTS/*.xml: pytest's, and ctest's, whose
programs print GoogleTest's or pytest's own totals. A program without totals counts as one case.
Exits 1 if anything failed.
"""

import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

TOTALS = {
    "passed": re.compile(r"\[  PASSED  \] (\d+) test|\b(\d+) passed\b.* in "),
    "failed": re.compile(r"\[  FAILED  \] (\d+) test|\b(\d+) failed\b.* in "),
    "skipped": re.compile(r"\[  SKIPPED \] (\d+) test|\b(\d+) skipped\b.* in "),
}


def cases(program):
    """{"passed": n, "failed": n, "skipped": n} of one entry."""
    output = program.findtext("system-out") or ""
    counts = dict.fromkeys(TOTALS, 0)
    status = program.get("status")
    if status is None:  # pytest's own report
        bad = program.find("failure") is not None or program.find("error") is not None
        counts["failed" if bad else "skipped" if program.find("skipped") is not None else "passed"] = 1
        return counts
    if status not in ("run", "fail"):  # ctest skipped it: its output may tell of unmet needs
        counts["skipped"] = 1
        return counts
    for kind, pattern in TOTALS.items():
        for match in pattern.finditer(output):
            counts[kind] += int(match[1] or match[2])
    if status == "fail":
        counts["failed"] = max(counts["failed"], 1)
    elif not any(counts.values()):
        counts["passed"] = 1
    return counts


def main():
    results = pathlib.Path(sys.argv[1])
    total = dict.fromkeys(TOTALS, 0)
    for line in (results / "stages").read_text().splitlines():
        total["passed" if line.endswith(" ok") else "failed"] += 1
    for report in sorted(results.glob("*.xml")):
        for program in ElementTree.parse(report).iter("testcase"):
            for kind, count in cases(program).items():
                total[kind] += count
            if program.get("status") not in ("run", "fail", None):
                reason = (program.findtext("system-out") or "").strip().splitlines()[-1:]
                print(f"skipped: {program.get('name')}", *reason)
    skipped = f", {total['skipped']} skipped" if total["skipped"] else ""
    print(f"{total['passed']} passed, {total['failed']} failed{skipped}")
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
