"""`make bench-docs`: writes the figures of the last `make bench` into docs/, between markers, and draws them.

Usage: python -m tests.benchmarks.documents [FIGURES.json]

The figures are kept beside the page, so that a test can tell whether page and figures agree.
"""

import argparse
import re
from pathlib import Path

from tests.benchmarks.arguments import PEERS, RESULTS
from tests.benchmarks.document_tables import TABLES
from tests.benchmarks.goals import OF_PEERS
from tests.benchmarks.picture import draw
from tests.benchmarks.report import Report

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "sizing" / "README.md"
FIGURES = DOCS / "sizing" / "figures.json"
PICTURE = DOCS / "images" / "benchmarks.svg"

MARKED = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def written(page: str, report: Report) -> str:
    """The page with these figures between its markers."""
    return MARKED.sub(lambda part: f"{part[1]}{TABLES[part[2]](report)}\n{part[3]}", page)


def main() -> None:
    """Take the figures, write the page and the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("figures", type=Path, nargs="?", default=RESULTS / "agentflow.json")
    asked = parser.parse_args()
    if not asked.figures.exists():
        raise SystemExit(f"There is no {asked.figures}: run make bench first.")
    report = Report.read(asked.figures)
    report.take(Report.read(PEERS), OF_PEERS)
    report.save(FIGURES)
    PAGE.write_text(written(PAGE.read_text(), report))
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw(report))
    print(f"wrote {PAGE}, {FIGURES} and {PICTURE}")


if __name__ == "__main__":
    main()
