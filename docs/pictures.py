"""Take a picture out of a report, for a page of the documentation.

    python docs/pictures.py runs/beam field docs/worlds/beam.svg
    python docs/pictures.py runs/heater field docs/worlds/heater-in-step.svg --number 2

The words name the folder of a run, the section of its report (as in the address of the
section) and the file to write.
"""

import argparse
import base64
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes


SOURCE = re.compile(r'src="data:image/svg\+xml([^,"]*),([^"]*)"')


def pictures(page: str, section: str) -> list[bytes]:
    """Return the pictures of one section of a report.

    Args:
        page: The report.
        section: Identifier of the section.
    """
    start = page.index(f'<section id="{section}"')
    part = page[start : page.index("</section>", start)]
    return [
        base64.b64decode(data) if "base64" in kind else unquote_to_bytes(data)
        for kind, data in SOURCE.findall(part)
    ]


def main() -> None:
    """Write one picture of one report to a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("section")
    parser.add_argument("out", type=Path)
    parser.add_argument("--number", type=int, default=0, help="from 0")
    options = parser.parse_args()
    page = (options.run / "report.html").read_text()
    options.out.write_bytes(pictures(page, options.section)[options.number])


if __name__ == "__main__":
    main()
