"""Ten million random and mutated packets into the receiving path: none may crash it, hang it or be accepted wrongly.

`python -m benchmarks.fuzz_messages --packets 10000000 --workers 2` takes ten minutes or more, and ends with an error
where a packet was accepted wrongly. `--write docs/fuzz.md` keeps what it found.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from benchmarks.measure import describe_machine
from trajopt_sgp.hardware.messages.fuzz import FuzzReport, fuzz

PART = 50_000
"""Packets of one seed."""


def run(packets: int, workers: int, seed: int) -> Iterator[FuzzReport]:
    """Fuzz in processes, part by part, each with its own seed; reports come as parts end."""
    sizes = [min(PART, packets - begin) for begin in range(0, packets, PART)]
    with ProcessPoolExecutor(workers) as pool:
        parts = [pool.submit(_part, size, f"{seed}/{k}") for k, size in enumerate(sizes)]
        for part in as_completed(parts):
            yield part.result()


def page(reports: list[FuzzReport], seconds: float, seed: int) -> str:
    """Return what was found in Markdown."""
    refused: Counter[str] = Counter()
    for report in reports:
        refused.update(report.refused)
    packets, accepted = sum(report.packets for report in reports), sum(report.accepted for report in reports)
    rows = [*sorted(refused.items()), ("accepted", accepted), ("accepted wrongly", wrongly(reports))]
    lines = [
        "---\norphan: true\n---\n\n# Random packets\n",
        f"{packets:,} random and mutated packets in {seconds:.0f} s; none crashed or hung the decoder, or this page",
        f"would not be. Written by `python -m benchmarks.fuzz_messages --packets {packets} --seed {seed}",
        "--write docs/fuzz.md`. An accepted packet must be what its message encodes to, byte by byte, without negative",
        f"counts and without numbers that are not finite where they must be. Python {describe_machine()['python']}.\n",
        "| outcome | packets |\n|---|---|",
        *(f"| {name} | {count:,} |" for name, count in rows),
    ]
    return "\n".join(lines) + "\n"


def wrongly(reports: list[FuzzReport]) -> int:
    """Return how many packets were accepted wrongly."""
    return sum(report.wrongly_accepted for report in reports)


def _part(packets: int, seed: str) -> FuzzReport:
    return fuzz(packets, random.Random(seed))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--packets", type=int, default=10_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, help="file that receives the page")
    arguments = parser.parse_args()
    begin, reports = time.perf_counter(), list[FuzzReport]()
    for report in run(arguments.packets, arguments.workers, arguments.seed):
        reports.append(report)
        done = sum(report.packets for report in reports)
        print(f"\r{done:,} of {arguments.packets:,} packets, {wrongly(reports)} accepted wrongly", end="", flush=True)
    text = page(reports, time.perf_counter() - begin, arguments.seed)
    print(f"\n{text}")
    if arguments.write:
        arguments.write.write_text(text)
    sys.exit(1 if wrongly(reports) else 0)


if __name__ == "__main__":
    main()
