"""What a program logs in Python and in an extension module in C++ stands on the page as one log."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import expect

PROGRAM = Path(__file__).resolve().parents[2] / "examples" / "python_extension" / "shop.py"


def test_lines_of_python_and_of_its_extension_are_interleaved_as_they_were_logged(
    collector, visit, extensions
):
    subprocess.run(
        [sys.executable, str(PROGRAM), collector.endpoint],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*extensions, *sys.path])},
        check=True,
        timeout=60,
    )
    page = visit(collector.url)
    rows = page.locator("tr.row")
    expect(rows).to_have_count(10)
    shown = [tuple(row.locator(".logger, .message").all_text_contents()) for row in rows.all()]
    taken = [
        ("shop.orders", "order received"),
        ("shop.pricing", "order priced"),
        ("shop.orders", "order taken"),
    ]
    with_reduction = [taken[0], ("shop.pricing", "many items, price reduced"), *taken[1:]]
    assert shown[::-1] == [*taken, *with_reduction, *taken]
    priced = rows.filter(has_text="order priced").first
    priced.click()
    detail = page.locator(f"#{priced.get_by_role('button').get_attribute('aria-controls')}")
    expect(detail).to_contain_text("pricing.cc")
