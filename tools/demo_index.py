"""Index page of the demo: every report and picture, with the time that each part took."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from string import Template
from urllib.parse import quote

from mrsikit.io.atomic import write_text_atomically

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Demo of mrsikit</title>
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 0 auto; padding: 1rem; }
img { display: block; max-width: 100%; height: auto; background: #fff; }
</style>
</head>
<body>
<h1>Demo of mrsikit</h1>
<p>Every bundle at work on virtual patients. For research use only; not for diagnosis or treatment.</p>
$parts
</body>
</html>
""")


def write_index(output: Path, seconds: Mapping[str, float]) -> Path:
    """Write ``index.html``, which links all reports and shows all pictures below the folder of each bundle.

    Args:
        output: folder of the demo.
        seconds: time (s) that each finished bundle took, in the order of the page.

    Returns:
        Path of the page.
    """
    page = output / "index.html"
    parts = [_part(output, name, taken) for name, taken in seconds.items()]
    write_text_atomically(page, PAGE.substitute(parts="\n".join(parts)))
    return page


def _part(output: Path, name: str, seconds: float) -> str:
    found = {kind: sorted((output / name).rglob(kind)) for kind in ("report.html", "*.png")}
    links = [
        f'<a href="{_link(output, path)}">Report: {html.escape(path.parent.name)}</a>' for path in found["report.html"]
    ]
    pictures = [
        f'<img src="{_link(output, path)}" alt="{html.escape(f"{name}: {path.stem}")}">' for path in found["*.png"]
    ]
    return "\n".join([f"<h2>{name}</h2>", f"<p>{' · '.join([*links, f'{seconds:.0f} s'])}</p>", *pictures])


def _link(output: Path, path: Path) -> str:
    return quote(path.relative_to(output).as_posix())
