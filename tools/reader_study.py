"""Make a page on which readers score maps blindly in a browser, and evaluate their scores.

Usage::

    python tools/reader_study.py make --reference TRUTH --method spline=SPLINE --method ours=OUT --out study.html
    python tools/reader_study.py score scores_*.csv --key study.key.json --against spline --out results

``make`` writes one HTML file that needs no server and no network. Send it to the readers and keep the key. Each reader
opens the file, scores every map beside its reference by four criteria, and sends back the exported CSV.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from mrsikit.io import InputError
from mrsikit.io.extras import import_extra
from reader_studies.key import Key
from reader_studies.pages import make, minutes, parse_methods, parse_slices

logger = logging.getLogger("reader_study")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    page = commands.add_parser("make", help="write the page and its key")
    page.add_argument("--reference", required=True, help="folder of reference maps, or a pattern with {case}")
    page.add_argument(
        "--method", action="append", default=[], help="NAME=FOLDER, or NAME=pattern with {case}; once for each method"
    )
    page.add_argument("--out", type=Path, required=True, help="HTML file; the key lies beside it")
    page.add_argument("--slice", nargs="+", default=[], help="K, or CASE=K: place on the third axis (default: fullest)")
    page.add_argument("--seed", type=int, default=0, help="of codes and repeats, and with them of every reader's order")
    page.add_argument("--title", default="Reader study")
    found = commands.add_parser("score", help="unblind exported CSVs and judge them")
    found.add_argument("csv", nargs="+", help="one a reader")
    found.add_argument("--key", type=Path, required=True)
    found.add_argument("--against", help="method that others are tested against (default: the first of the key)")
    found.add_argument("--out", type=Path, required=True, help="folder of the results")
    found.add_argument("--seed", type=int, default=0, help="of the intervals")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        if options.command == "make":
            key = make(
                options.reference, parse_methods(options.method), options.out, seed=options.seed,
                slices=parse_slices(options.slice), title=options.title,
            )  # fmt: skip
            logger.info("a reader needs about %d minutes, at 5 s a score", minutes(key))
        else:
            if options.seed < 0:
                raise InputError(f"--seed {options.seed}: give a whole number from 0 on")
            import_extra("pandas", package="pandas", purpose="scores of readers", extra="reader-study")
            from reader_studies.scores import read_scores, write_results

            key = Key.read(options.key)
            scores = read_scores(options.csv, key)
            against = key.methods[0] if options.against is None else options.against
            logger.info("%s", write_results(scores, against, options.out, seed=options.seed))
    except (InputError, OSError) as error:
        logger.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
