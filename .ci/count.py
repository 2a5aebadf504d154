"""Prints what a CI run passed and failed: the stages, and each test case that they ran.

Reads RESULTS/stages ("name ok|FAILED" lines) and the JUnit files RESULTS/*.xml. Exits 1 if anything
failed.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scripts"))
import test_report


def main():
    results = pathlib.Path(sys.argv[1])
    total, left_out = test_report.read(sorted(results.glob("*.xml")))
    for line in (results / "stages").read_text().splitlines():
        total["passed" if line.endswith(" ok") else "failed"] += 1
    for reason, programs in left_out.items():
        print(f"skipped: {', '.join(dict.fromkeys(programs))}: {reason}")
    skipped = f", {total['skipped']} skipped" if total["skipped"] else ""
    print(f"{total['passed']} passed, {total['failed']} failed{skipped}")
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
