"""How often the name of a file alone says rightly whether it is a metabolite map.

The names were listed by someone who knew the field's programs and habits, but not the rules that are judged here.
"""

from __future__ import annotations

import json
from pathlib import Path

from benchmark import Context
from mrsikit.runtime.file_names import read_name
from result_tables import Table

CONDITION, LEFT_OUT = "file names", "left out, %"
KINDS = {"no_maps": "masks, bounds, MRIs, quality maps and the like", "maps": "metabolite maps (false alarms)"}


def file_names(context: Context) -> None:
    """Share of names that are left out of a run, 100 of files that are no maps and 100 of maps."""
    names = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    for key, kind in KINDS.items():
        context.add("any", CONDITION, kind, LEFT_OUT, [100.0 * bool(read_name(name).kind) for name in names[key]])


PARTS = {"file names": file_names}

TABLES = [
    Table("Files that are no maps, by their names", CONDITION, {LEFT_OUT: "%.0f"},
          "100 names each. What is left out is listed before a run, with the reason. Files that hold only 0 and 1 are "
          "left out whatever their name."),
]  # fmt: skip
