"""Fixtures of the log page's tests: a real browser, which watches what the page does.

`visit` opens a collector's page. When the test ends, nothing may have gone wrong in any page: no
exception, no complaint of the Content-Security-Policy, no dialog, no request to another place.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright


# Not for longer: while Playwright runs, no other test could use asyncio.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium")
    with sync_playwright() as playwright:
        # Chromium refuses to run as root in its sandbox.
        browser = playwright.chromium.launch(
            executable_path=chromium, chromium_sandbox=os.geteuid() != 0
        )
        yield browser
        browser.close()


class Watch:
    """What goes wrong in a page, as it happens."""

    def __init__(self) -> None:
        self.wrong: list[str] = []

    def follow(self, page: Page, origin: str) -> None:
        def note_console(message: ConsoleMessage) -> None:
            # The browser notes there which requests failed, too; tests make some fail.
            if message.type == "error" and not message.text.startswith("Failed to load resource"):
                self.wrong.append(message.text)

        def note_request(request: Request) -> None:
            if not request.url.startswith(f"{origin}/"):
                self.wrong.append(f"request: {request.url}")

        page.on("console", note_console)
        page.on("request", note_request)
        page.on("pageerror", lambda error: self.wrong.append(f"exception: {error}"))
        page.on("dialog", lambda dialog: self.wrong.append(f"dialog: {dialog.message}"))
        page.on("popup", lambda popup: self.wrong.append(f"window: {popup.url}"))


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """A function: opens `url` in a browser of its own; options are those of a browser context."""
    watch = Watch()
    contexts = []

    def open_page(url: str, **options: Any) -> Page:
        context = browser.new_context(timezone_id="UTC", locale="en-GB", **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        watch.follow(page, url.partition("/#")[0])
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert watch.wrong == []
