"""The log page in headless Chromium, on the real collector."""

from __future__ import annotations

import re
import urllib.parse
from datetime import datetime, timedelta, timezone

import pytest
from playwright.sync_api import Error, Locator, Page, Route, expect

expect.set_options(timeout=20_000)


def rows(page: Page) -> Locator:
    return page.locator("tr.row")


def messages(page: Page) -> list[str]:
    """Of all rows, the newest first."""
    return page.locator("tr.row .message").all_text_contents()


def live(page: Page) -> Page:
    expect(page.get_by_role("status")).to_have_text("Live")
    return page


def search(page: Page, query: str) -> None:
    page.get_by_role("searchbox").fill(query)
    page.get_by_role("searchbox").press("Enter")


def open_row(page: Page, text: str) -> Locator:
    """The opened part of the row that holds `text`."""
    row = rows(page).filter(has_text=text)
    row.click()
    detail = page.locator(f"#{row.get_by_role('button').get_attribute('aria-controls')}")
    expect(detail.locator("dl")).to_be_visible()
    return detail


def numbered(first: int, last: int, **fields) -> list[dict]:
    return [{"message": f"record {i}", **fields} for i in range(first, last + 1)]


def names(first: int, last: int) -> list[str]:
    """What `messages` shows of `numbered(first, last)`."""
    return [f"record {i}" for i in range(last, first - 1, -1)]


def test_records_appear_as_they_arrive(collector, visit):
    collector.post({"message": "was there", "level": "INFO"})
    page = live(visit(collector.url))
    collector.post({"message": "just came", "level": "ERROR", "logger_name": "app", "host": "h1"})
    expect(rows(page)).to_have_count(2)
    assert messages(page) == ["just came", "was there"]
    newest = rows(page).first
    expect(newest).to_contain_text(re.compile("ERROR.*app.*h1"))
    expect(newest).to_have_class("row error")


def test_an_empty_store_shows_the_first_record(collector, visit):
    page = live(visit(collector.url))
    expect(page.get_by_text("No records yet")).to_be_visible()
    collector.post({"message": "the first"})
    expect(rows(page)).to_have_count(1)


def test_levels_are_told_apart_by_severity_also_under_other_names(collector, visit):
    levels = ["TRACE", "info", "WARN", "ERR", "FATAL", "Level 35", "42", "AUDIT", "toString"]
    severities = [
        "debug",
        "info",
        "warning",
        "error",
        "critical",
        "warning",
        "error",
        "other",
        "other",
    ]
    collector.post([{"message": level, "level": level} for level in levels])
    page = live(visit(collector.url))
    for level, severity in zip(levels, severities, strict=True):
        row = rows(page).filter(has=page.get_by_text(level, exact=True)).first
        expect(row).to_have_class(f"row {severity}")


def test_a_search_finds_what_is_there_and_what_arrives(collector, visit):
    collector.post([{"message": "pump started"}, {"message": "valve open"}])
    page = live(visit(collector.url))
    search(page, "pump")
    expect(rows(page)).to_have_count(1)
    live(page)
    collector.post([{"message": "valve shut"}, {"message": "pump stopped"}])
    expect(rows(page)).to_have_count(2)
    assert messages(page) == ["pump stopped", "pump started"]


def test_the_address_holds_the_search_and_back_undoes_it(collector, visit):
    collector.post([{"message": "a b"}, {"message": "c"}])
    page = live(visit(collector.url))
    search(page, '"a b"')
    expect(rows(page)).to_have_count(1)
    other = live(visit(page.url))
    expect(other.get_by_role("searchbox")).to_have_value('"a b"')
    assert messages(other) == ["a b"]
    page.go_back()
    expect(rows(page)).to_have_count(2)
    expect(page.get_by_role("searchbox")).to_have_value("")


def test_a_wrong_query_shows_where(collector, visit):
    page = live(visit(collector.url))
    search(page, '😀x error "unclosed')
    alert = page.get_by_role("search").get_by_role("alert")
    expect(alert).to_contain_text("quote")
    expect(alert.locator("code")).to_have_text('😀x error "unclosed')
    expect(alert.locator("mark")).to_have_text('"')
    search(page, "error")
    expect(alert).to_be_empty()
    live(page)


def test_a_row_opens_to_the_whole_record(collector, visit):
    collector.post(
        {
            "message": "first line\nsecond line",
            "exception": "Traceback (most recent call last):\n  ValueError: bad",
            "extra": {"user_id": 12345678901234567890, "rate": 1.0, "request": {"path": "/a b"}},
        }
    )
    page = live(visit(collector.url))
    detail = open_row(page, "first line")
    expect(detail.get_by_label("Message")).to_have_text("first line\nsecond line")
    expect(detail.get_by_label("Exception")).to_contain_text("\n  ValueError: bad")
    fields = detail.locator(".field")
    expect(fields.filter(has_text="user_id")).to_contain_text("12345678901234567890")
    expect(fields.filter(has_text="rate")).to_contain_text("1.0")
    expect(fields.filter(has_text="request.path")).to_contain_text("/a b")
    rows(page).click()
    expect(detail).to_have_count(0)


def test_a_field_of_an_opened_row_narrows_the_search(collector, visit):
    for path in ("/a b", '/"c"'):
        collector.post({"message": f"GET {path}", "extra": {"request": {"path": path}}})
    page = live(visit(collector.url))
    detail = open_row(page, 'GET /"c"')
    detail.get_by_role("button", name="Only records with request.path").click()
    expect(rows(page)).to_have_count(1)
    assert messages(page) == ['GET /"c"']
    detail = open_row(page, 'GET /"c"')
    page.get_by_role("searchbox").fill("")
    page.get_by_role("searchbox").press("Enter")
    expect(rows(page)).to_have_count(2)
    detail = open_row(page, 'GET /"c"')
    detail.get_by_role("button", name="Only records without request.path").click()
    expect(rows(page)).to_have_count(1)
    assert messages(page) == ["GET /a b"]


def test_while_paused_the_table_stays_and_new_records_are_counted(collector, visit):
    collector.post(numbered(1, 1))
    page = live(visit(collector.url))
    page.get_by_role("button", name="Pause").click()
    collector.post(numbered(2, 3))
    go_on = page.get_by_role("button", name="Go on: 2 new records")
    expect(go_on).to_be_visible()
    assert messages(page) == names(1, 1)
    go_on.click()
    expect(rows(page)).to_have_count(3)
    assert messages(page) == names(1, 3)


def test_keys_reach_the_search_and_the_pause(collector, visit):
    collector.post({"message": "p / p"})
    page = live(visit(collector.url))
    page.keyboard.press("p")
    expect(page.get_by_role("status")).to_have_text("Paused")
    page.keyboard.press("p")
    live(page)
    page.keyboard.press("/")
    page.keyboard.type("p / x")
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(0)
    page.keyboard.press("Escape")
    expect(rows(page)).to_have_count(1)
    live(page)


def test_older_records_are_loaded_page_by_page_and_the_table_pauses(collector, visit):
    collector.post(numbered(1, 450))
    page = live(visit(collector.url))
    older = page.get_by_role("button", name="Load older records")
    expect(rows(page)).to_have_count(200)
    older.click()
    expect(rows(page)).to_have_count(400)
    expect(page.get_by_role("status")).to_have_text("Paused")
    older.click()
    expect(page.get_by_text("These are all.")).to_be_visible()
    assert messages(page) == names(1, 450)


def test_the_table_keeps_the_newest_thousand_and_leads_on_to_older_ones(collector, visit):
    page = live(visit(collector.url))
    for first in range(1, 6001, 500):
        collector.post(numbered(first, first + 499))
    expect(rows(page).first).to_contain_text("record 6000")
    expect(rows(page)).to_have_count(1000)
    assert messages(page) == names(5001, 6000)
    page.get_by_role("button", name="Load older records").click()
    expect(rows(page)).to_have_count(1200)
    assert messages(page) == names(4801, 6000)


def test_an_opened_row_is_not_taken_away_by_new_ones(collector, visit):
    collector.post({"message": "being read"})
    page = live(visit(collector.url))
    detail = open_row(page, "being read")
    collector.post(numbered(1, 1500))
    expect(page.get_by_role("status")).to_have_text("Paused")
    expect(detail).to_be_visible()
    page.get_by_role("button", name="Go on").click()
    expect(rows(page)).to_have_count(1000)
    assert messages(page) == names(501, 1500)


def test_after_a_restart_of_the_collector_nothing_is_missing(collector, visit):
    collector.post(numbered(1, 3))
    page = live(visit(collector.url))
    collector.kill()
    expect(page.get_by_role("status")).to_have_text("Reconnecting")
    collector.start()
    collector.post(numbered(4, 9))
    expect(rows(page)).to_have_count(9)
    live(page)
    collector.post(numbered(10, 10))
    expect(rows(page)).to_have_count(10)
    assert messages(page) == names(1, 10)


def test_what_arrives_between_the_first_page_and_the_stream_is_not_missing(collector, visit):
    collector.post(numbered(1, 2))
    page = live(visit(collector.url))

    def arrive_first(route: Route) -> None:
        collector.post(numbered(3, 4))
        route.continue_()

    page.route("**/api/logs/stream*", arrive_first, times=1)
    page.reload()
    expect(rows(page)).to_have_count(4)
    assert messages(page) == names(1, 4)


def test_records_that_the_collector_left_out_of_the_stream_are_told_of(collector, visit):
    page = live(visit(collector.url))
    # As the collector says it. Chromium keeps so much that no test would come to it.
    missed = 'id: 0\n\nevent: missed\ndata: {"missed":17}\n\n'
    page.route(
        "**/api/logs/stream*",
        lambda route: route.fulfill(body=missed, content_type="text/event-stream"),
        times=1,
    )
    page.reload()
    expect(page.get_by_text("17 records left out")).to_be_visible()
    live(page)


def test_a_stream_that_is_refused_is_asked_for_again_from_where_it_was(collector, visit):
    collector.post(numbered(1, 2))
    page = live(visit(collector.url))
    page.route("**/api/logs/stream*", lambda route: route.fulfill(status=503), times=1)
    page.reload()
    expect(page.get_by_text("the collector takes no further stream")).to_be_visible()
    collector.post(numbered(3, 4))
    expect(rows(page)).to_have_count(4)
    live(page)
    assert messages(page) == names(1, 4)


def place_in_chart(page: Page, share: float) -> tuple[float, float]:
    """So far from the beginning of its time to the end."""
    box = page.locator(".u-over").bounding_box()
    assert box is not None
    return box["x"] + box["width"] * share, box["y"] + box["height"] / 2


def test_the_histogram_counts_and_a_click_selects_a_time(collector, visit):
    now = datetime.now(timezone.utc)
    early, late = now - timedelta(minutes=40), now - timedelta(minutes=10)
    collector.post(numbered(1, 2, level="INFO", timestamp=early.isoformat()))
    collector.post(numbered(3, 3, level="ERROR", timestamp=late.isoformat()))
    page = live(visit(collector.url))
    chart = page.get_by_role("img")
    expect(chart).to_have_accessible_name("3 records, 1 of them errors")
    expect(page.get_by_role("list", name="Records by severity")).to_have_text("error 1info 2")
    # The span ends now: ten minutes ago is at five sixths of its hour.
    page.mouse.click(*place_in_chart(page, 5 / 6))
    expect(chart).to_have_accessible_name("1 records, 1 of them errors")
    expect(rows(page)).to_have_count(1)
    assert messages(page) == ["record 3"]
    expect(page.get_by_role("status")).to_have_text("Not live")
    page.get_by_role("button", name="Back to live").click()
    expect(rows(page)).to_have_count(3)
    live(page)


def test_a_drag_over_the_histogram_selects_what_it_touches(collector, visit):
    now = datetime.now(timezone.utc)
    for minutes in (50, 30, 20, 5):
        timestamp = (now - timedelta(minutes=minutes)).isoformat()
        collector.post({"message": f"{minutes} minutes ago", "timestamp": timestamp})
    page = live(visit(collector.url))
    expect(page.get_by_role("img")).to_have_accessible_name(re.compile("^4 records"))
    page.mouse.move(*place_in_chart(page, 0.3))
    page.mouse.down()
    page.mouse.move(*place_in_chart(page, 0.8), steps=5)
    page.mouse.up()
    expect(rows(page)).to_have_count(2)
    assert messages(page) == ["20 minutes ago", "30 minutes ago"]


def test_all_reaches_back_to_the_first_record(collector, visit):
    collector.post({"message": "long ago", "timestamp": "2001-02-03T04:05:06Z", "level": "INFO"})
    page = live(visit(collector.url))
    chart = page.get_by_role("img")
    expect(chart).to_have_accessible_name("0 records, 0 of them errors")
    page.get_by_role("button", name="all").click()
    expect(chart).to_have_accessible_name("1 records, 0 of them errors")


HOSTILE = [
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "\"><svg onload='window.hacked = 1'>",
    "<iframe srcdoc='<script>parent.hacked = 1</script>'></iframe>",
    "javascript:window.hacked = 1",
    "</pre></td></table><style>*{display:none}</style><base href=//example.com>",
    "\x1b[31mred\x1b]0;title\x07\x9b2J\r\n\x00",
    "\u202eevil\u2066 \u200f\u2069\u061c\ufeff\u200b\u2028",
    "__proto__",
    "constructor",
]
INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)


MARKUP = ":is(main, form) :is(script, img, svg, iframe, style, base, object, embed, form)"


def hostile_record(text: str) -> dict:
    names = ("message", "level", "logger_name", "host", "module", "exception", "stack_info")
    nested = {text: [text, {text: text}], "deep": {text: {text: text}}}
    return dict.fromkeys(names, text) | {text: text, "extra": {text: text, **nested}}


def test_hostile_text_in_every_field_and_key_is_only_text(collector, visit):
    page = live(visit(collector.url))
    assert collector.post([hostile_record(text) for text in HOSTILE]).status == 200
    expect(rows(page)).to_have_count(len(HOSTILE))
    for i in range(len(HOSTILE)):
        rows(page).nth(i).click()
    opened = page.locator("tr.detail:has(dl)")
    expect(opened).to_have_count(len(HOSTILE))
    assert page.evaluate("window.hacked") is None
    assert page.title() == "Log records"
    assert page.locator(MARKUP).count() == 0
    for i, text in enumerate(reversed(HOSTILE)):
        row = rows(page).nth(i).text_content() or ""
        detail = opened.nth(i).inner_text()
        assert not INVISIBLE.search(row + detail)
        if text.isprintable():
            # The name of a field is part of a path, too.
            assert (row.count(text), detail.count(text) >= 10) == (4, True), text


def test_what_is_invisible_or_turns_text_around_is_escaped(collector, visit):
    collector.post(
        {"message": "\x1b[31m\u202eevil\u2066\t\n\x00", "extra": {"\u202ek": "a\u200bb"}}
    )
    page = live(visit(collector.url))
    expect(rows(page).locator(".message")).to_have_text(r"\x1b[31m\u202eevil\u2066\t\n\x00")
    detail = open_row(page, "evil")
    expect(detail.get_by_label("Message")).to_contain_text(r"\x1b[31m\u202eevil\u2066")
    expect(detail.locator(".field").filter(has_text=r"\u202ek")).to_contain_text(r"a\u200bb")


def test_hostile_searches_in_the_address_are_only_text(collector, visit):
    page = live(visit(collector.url))
    for text in HOSTILE:
        with page.expect_response(re.compile(r"/api/logs\?")) as asked:
            page.goto(f"{collector.url}/#query={urllib.parse.quote(text)}")
        shown = page.get_by_role("alert") if asked.value.status == 400 else page.locator(".end")
        expect(shown.first).not_to_be_empty()
        assert page.evaluate("window.hacked") is None
        assert page.locator(MARKUP).count() == 0


def test_a_line_of_a_megabyte_is_shown_in_part_until_the_whole_is_asked_for(collector, visit):
    line = "x" * 1_000_000 + " the end"
    collector.post([{"message": line, "extra": {"blob": line}}, {"message": "after"}])
    page = live(visit(collector.url))
    row = rows(page).nth(1)
    assert len(row.inner_text()) < 1000
    row.click()
    message = page.get_by_label("Message", exact=True)
    expect(message).to_contain_text("Show all 1.0 MB")
    assert 60_000 < len(message.inner_text()) < 70_000
    message.get_by_role("button").click()
    expect(message).to_contain_text("the end")
    collector.post({"message": "still alive"})
    expect(rows(page).first).to_contain_text("still alive")


def test_the_browser_itself_refuses_markup_and_foreign_scripts(collector, browser):
    page = browser.new_page()
    page.goto(collector.url)
    with pytest.raises(Error, match="TrustedHTML"):
        page.evaluate("document.body.innerHTML = '<b>bold</b>'")
    with pytest.raises(Error):
        page.evaluate("fetch('http://127.0.0.2:9/')")
    page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.append("window.hacked = 1");
          try { document.body.append(script); } catch {}
        }"""
    )
    assert page.evaluate("window.hacked") is None
    page.close()


def test_with_tokens_the_page_asks_for_one(start_collector, visit, browser, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("secret-token\n")
    collector = start_collector("--token-file", str(tokens))
    for path in ("/", "/app.js", "/app.css", "/icon.svg"):
        answer = collector.request("GET", path)
        assert answer.status == 401
    credentials = {"username": "anyone", "password": "secret-token"}
    page = live(visit(collector.url, http_credentials=credentials))
    headers = {"Authorization": "Bearer secret-token"}
    collector.post({"message": "only for some"}, headers=headers)
    expect(rows(page)).to_have_count(1)


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/app.css", "text/css; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ],
)
def test_the_files_of_the_page_come_under_its_policy(collector, path, content_type):
    answer = collector.request("GET", path)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == content_type
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    policy = answer.headers["Content-Security-Policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path", ["/index.html", "/../etc/passwd", "/%2e%2e/etc/passwd", "//app.js", "/app.js/", "/src/"]
)
def test_nothing_else_is_served(collector, path):
    assert collector.request("GET", path).status in (400, 404)


def test_the_script_carries_the_licences_of_what_it_holds(collector):
    script = collector.request("GET", "/app.js").body.decode()
    for words in ("preact", "uplot", "Permission is hereby granted", "Copyright"):
        assert words in script
