"""With a spool: what a dead process has left arrives once, and a disk that fails costs nothing
silently.

The applications here are processes of their own (reliability/puppet.py), so that they can be
killed and limited. ./run soak has the same at random instants and under load.
"""

from __future__ import annotations

import logging
import os
import signal
import struct
import time

import pytest

from log_aggregator_handler import LogAggregatorHandler
from reliability.disks import small_disk
from reliability.puppet import Puppet, identity

SOAK = int(os.environ.get("LOG_AGGREGATOR_SOAK", "1"))
NOBODY = "http://127.0.0.1:9/api/logs"
SEGMENT_BYTES = 1 << 16
TEXT = "x" * 400


def wait_for(condition, what, timeout=30.0):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
        time.sleep(0.01)


def drain(endpoint, spool, records):
    """A next start, until it has delivered so many of others; returns its stats and its stderr."""
    with Puppet(endpoint, spool_dir=spool) as app:
        app.do("handler()\nlogger.info('next start')")

        def done():
            stats = app.stats()
            return stats["adopted_delivered"] + stats["adopted_dropped"] >= records

        wait_for(done, "the orphans")
        # Its own record is another batch than theirs.
        wait_for(lambda: journals(spool) <= 1, "the end of the orphans")
        return app.close(), app.errors()


def journals(spool):
    return sum(path.is_dir() for path in spool.iterdir())


def numbers(records):
    """Of what log() has logged, in order of arrival."""
    return [int(r["message"].split()[0]) for r in records if r["message"] != "next start"]


def shop_records(log_api):
    """Without the handler's own, which tell of drops."""
    return [r for r in log_api.records if r["logger_name"] == "shop.orders"]


def gaps(collector, query="all=1"):
    return collector.request("GET", f"/api/gaps?{query}").json()["journals"]


# ---- the last words


@pytest.mark.parametrize("durability", ["process", "power"])
def test_what_a_killed_process_has_logged_is_delivered_by_the_next_start_in_order_and_once(
    puppet, collector, spool, durability
):
    app = puppet(NOBODY, spool_dir=spool, durability=durability)
    app.log(3000 * SOAK, TEXT)
    app.kill()
    stats, _ = drain(collector.endpoint, spool, 3000 * SOAK)
    assert (stats["adopted_delivered"], stats["adopted_dropped"]) == (3000 * SOAK, 0)
    assert numbers(collector.records()) == list(range(3000 * SOAK))
    assert all(journal["missing"] == [] for journal in gaps(collector))
    assert journals(spool) == 0


def test_the_last_record_before_a_kill_is_there_without_any_pause(puppet, log_api, spool):
    for i in range(5):
        app = puppet(NOBODY, spool_dir=spool)
        app.send(f"handler()\nlogger.info('{i} last words'); os.kill(os.getpid(), 9)")
        assert app.process.wait(30) == -signal.SIGKILL
    drain(log_api.endpoint, spool, 5)
    assert sorted(numbers(log_api.records)) == list(range(5))


def test_what_close_could_not_deliver_stays_and_the_next_start_delivers_it(puppet, log_api, spool):
    app = puppet(NOBODY, spool_dir=spool, close_timeout=0.2)
    app.log(500, TEXT)
    stats = app.close()
    identity("close without an API", stats)
    assert (stats["pending"], sum(stats["dropped"].values())) == (500, 0)
    assert "500 records stay in the spool for the next start" in app.errors()
    drain(log_api.endpoint, spool, 500)
    assert numbers(log_api.records) == list(range(500))


def test_a_handler_that_delivered_everything_leaves_nothing_in_its_spool(puppet, log_api, spool):
    app = puppet(log_api.endpoint, spool_dir=spool)
    app.log(100, TEXT)
    assert app.flush()
    app.close()
    assert list(spool.iterdir()) == []


# ---- an API that does not take them


@pytest.mark.parametrize("fault", ["stop", "reset", "hang", "408", "429", "500", "503"])
def test_an_endpoint_that_is_gone_costs_no_record_and_is_told_of_once(
    log_api, make_handler, logger, spool, fault
):
    lines = []
    fallback = logging.Logger("fallback")
    fallback.addHandler(collect := logging.Handler())
    collect.emit = lambda record: lines.append(record.getMessage())
    handler = make_handler(spool_dir=spool, retry_attempts=1, timeout=0.2, fallback_logger=fallback)
    if fault.isdigit():
        log_api.respond(int(fault))
    else:
        getattr(log_api, fault)()
    logger.addHandler(handler)
    for i in range(200):
        logger.info("%d", i)
    wait_for(lambda: lines, "the report")
    # Many more failed attempts than retry_attempts.
    since = time.monotonic()
    wait_for(lambda: time.monotonic() - since > 0.5, "further attempts")
    assert not handler.flush(0)
    identity(f"endpoint gone ({fault})", stats := handler.stats())
    assert (stats["pending"], sum(stats["dropped"].values())) == (200, 0)
    log_api.start() if fault == "stop" else log_api.recover()
    assert handler.flush(30)
    assert numbers(log_api.records) == list(range(200))
    assert len(lines) == 1
    assert "records are kept in the spool until they can be delivered" in lines[0]


def test_while_401_is_answered_records_are_held_and_a_new_token_delivers_them(
    start_collector, make_handler, logger, spool, tmp_path, capfd
):
    token = tmp_path / "token"
    token.write_text("the-new-token\n")
    token.chmod(0o600)
    collector = start_collector("--token-file", str(token))
    asked = []
    current = {"token": "the-old-token"}

    def auth():
        asked.append(current["token"])
        return {"Authorization": f"Bearer {current['token']}"}

    handler = make_handler(collector.endpoint, spool_dir=spool, auth=auth, retry_attempts=0)
    logger.addHandler(handler)
    for i in range(100):
        logger.info("%d", i)
    wait_for(lambda: len(asked) > 5, "several refusals")
    identity("401", stats := handler.stats())
    assert (stats["delivered"], stats["pending"]) == (0, 100)
    current["token"] = "the-new-token"
    assert handler.flush(30), handler.stats()
    records = collector.records(headers={"Authorization": "Bearer the-new-token"})
    assert numbers(records) == list(range(100))
    assert "the-old-token" not in capfd.readouterr().err


@pytest.mark.parametrize("status", [400, 404, 422])
def test_records_that_the_api_refuses_are_dropped_with_a_spool_too(
    log_api, make_handler, logger, spool, status
):
    log_api.respond(status)
    handler = make_handler(spool_dir=spool)
    logger.addHandler(handler)
    for i in range(3):
        logger.info("%d", i)
    assert not handler.flush()
    identity(f"refused ({status})", stats := handler.stats())
    assert stats["dropped"]["refused"] == 3


# ---- overload


def test_what_did_not_fit_is_counted_by_level_and_told_to_the_api_once(puppet, collector, spool):
    os.kill(collector.pid, signal.SIGSTOP)
    app = puppet(collector.endpoint, spool_dir=spool, spool_max_bytes=1 << 20, timeout=60)
    app.log(4000, TEXT, level="debug")
    app.log(4000, TEXT, level="info")
    app.log(20, TEXT, level="error", first=90_000)
    stats = app.stats()
    assert stats["dropped"] == {**stats["dropped"], "queue_full": sum(stats["dropped"].values())}
    by_level = stats["dropped_by_level"]
    assert by_level["DEBUG"] > 1000
    assert by_level["INFO"] == 4000
    assert by_level["ERROR"] == 0
    os.kill(collector.pid, signal.SIGCONT)
    app.flush()
    after = app.close()
    identity("overload", after)
    records = collector.records()
    notices = [r for r in records if r["logger_name"] == "log_aggregator.dropped"]
    assert [r["level"] for r in notices] == ["WARNING"]
    expected = {level: count for level, count in by_level.items() if count}
    assert notices[0]["extra"]["dropped"] == {"queue_full": expected}
    arrived = [r for r in records if r not in notices]
    assert sum(r["level"] == "ERROR" for r in arrived) == 20
    assert len(arrived) == 8020 - sum(by_level.values())
    # A record that was not taken has no number: nothing is missing.
    assert [journal["missing"] for journal in gaps(collector)] == [[]]


@pytest.mark.parametrize("with_spool", [True, False], ids=["spool", "memory"])
def test_what_was_evicted_is_declared_to_the_collector_which_misses_nothing(
    puppet, collector, spool, with_spool
):
    options = (
        {"spool_dir": spool, "spool_max_bytes": 1 << 20} if with_spool else {"queue_bytes": 1 << 20}
    )
    app = puppet(collector.endpoint, overflow="drop_oldest", timeout=60, **options)
    app.log(10, TEXT)
    assert app.flush()
    os.kill(collector.pid, signal.SIGSTOP)
    app.log(8000, TEXT, first=10)
    evicted = app.stats()["dropped"]["evicted"]
    assert evicted > 4000
    os.kill(collector.pid, signal.SIGCONT)
    app.flush()
    identity("drop_oldest", app.close())
    [journal] = gaps(collector)
    assert journal["missing"] == []
    assert journal["skipped_count"] == evicted
    assert numbers(collector.records(logger="shop.orders"))[-1] == 8009
    [notice] = collector.records(logger="log_aggregator.dropped")
    assert notice["extra"]["dropped"] == {"evicted": {"INFO": evicted}}


# ---- a spool that was damaged while nobody was there


def leave_behind(puppet, collector, spool):
    """700 records that were delivered and 1300 that were not, of one journal; its directory."""
    app = puppet(collector.endpoint, spool_dir=spool, segment_bytes=SEGMENT_BYTES, timeout=60)
    app.log(700, TEXT)
    assert app.flush()
    collector.kill()
    app.log(1300, TEXT, first=700)
    app.kill()
    collector.start()
    [directory] = [path for path in spool.iterdir() if path.is_dir()]
    return directory


def segments(journal):
    """Path and first sequence number of each, as docs/journal-format.md has them, in order."""
    found = []
    for path in sorted(journal.glob("*.segment")):
        header = path.read_bytes()[:64]
        if header[:8] == b"LogASeg1":
            found.append((path, struct.unpack_from("<Q", header, 40)[0]))
    return found


def damage_cursor(journal, slots):
    cursor = bytearray((journal / "cursor").read_bytes())
    generations = [struct.unpack_from("<Q", cursor, at)[0] for at in (0, 4096)]
    newest = generations.index(max(generations))
    for slot in [newest] if slots == "newest" else [0, 1]:
        cursor[4096 * slot + 8] ^= 0x10
    (journal / "cursor").write_bytes(cursor)


@pytest.mark.parametrize("damage", ["newest slot", "both slots", "no cursor at all"])
def test_a_cursor_that_is_damaged_loses_nothing_and_nothing_is_stored_twice(
    puppet, collector, spool, damage
):
    journal = leave_behind(puppet, collector, spool)
    if damage == "no cursor at all":
        (journal / "cursor").unlink()
    else:
        damage_cursor(journal, damage.split()[0])
    stats, errors = drain(collector.endpoint, spool, 1300)
    assert stats["adopted_dropped"] == 0
    assert sorted(numbers(collector.records())) == list(range(2000))
    assert all(each["missing"] == [] for each in gaps(collector))
    assert "lost" not in errors


def test_a_segment_that_was_removed_is_a_gap_of_exactly_its_records(puppet, collector, spool):
    journal = leave_behind(puppet, collector, spool)
    found = segments(journal)
    middle = len(found) // 2
    first, behind = found[middle][1], found[middle + 1][1]
    assert 700 < first < behind
    found[middle][0].unlink()
    lost = behind - first
    stats, errors = drain(collector.endpoint, spool, 1300)
    assert stats["adopted_dropped"] == lost
    expected = [i for i in range(2000) if not first <= i + 1 < behind]
    assert numbers(collector.records(logger="shop.orders")) == expected
    [gap] = gaps(collector, "")
    assert gap["journal"] == journal.name
    assert gap["missing"] == [[first, behind - 1]]
    assert f"{lost} records of an earlier process are lost" in errors
    assert (
        f"{journal.name} in the spool are damaged or incomplete, numbers {first}-{behind - 1}"
        in (errors)
    )


# ---- disks that fail

DISKS = ["tmpfs", "ext2", "ext4", "btrfs"]


@pytest.mark.parametrize("kind", DISKS)
def test_a_disk_that_is_full_loses_nothing_silently_and_drains_when_it_is_mended(
    puppet, log_api, tmp_path, kind
):
    with small_disk(kind, tmp_path) as disk:
        log_api.hang()
        app = puppet(log_api.endpoint, spool_dir=disk.spool, queue_bytes=2 << 20)
        app.log(100, TEXT)
        disk.fill()
        app.log(20_000, TEXT, first=100)
        stats = app.stats()
        identity(f"full {kind}", stats)
        assert stats["accepted"] == 20_100
        assert stats["dropped"]["queue_full"] > 0
        wait_for(lambda: "trouble with the spool" in app.errors(), "the report")
        disk.mend()
        log_api.recover()
        app.flush()
        app.log(100, TEXT, first=50_000)
        assert app.flush() is False  # some were dropped
        after = app.close()
        arrived = shop_records(log_api)
        identity(f"full {kind}, mended", after)
        assert len(arrived) == 20_200 - sum(after["dropped"].values())
        assert numbers(arrived)[-100:] == list(range(50_000, 50_100))
        assert numbers(arrived) == sorted(set(numbers(arrived)))
        app.kill()


def test_a_disk_that_fills_while_records_are_logged_does_no_harm(puppet, log_api, tmp_path):
    with small_disk("tmpfs", tmp_path) as disk:
        log_api.hang()
        app = puppet(
            log_api.endpoint,
            spool_dir=disk.spool,
            segment_bytes=SEGMENT_BYTES,
            queue_bytes=1 << 20,
        )
        app.log(20_000 * SOAK, TEXT)
        stats = app.stats()
        identity("4 MiB tmpfs", stats)
        assert stats["dropped"]["queue_full"] > 1000
        assert stats["pending"] > 4000
        log_api.recover()
        app.flush()
        after = app.close()
        identity("4 MiB tmpfs, drained", after)
        assert after["pending"] == 0
        app.kill()


def test_files_that_may_not_grow_are_counted_and_used_again_when_they_may(puppet, log_api, spool):
    log_api.hang()
    app = puppet(log_api.endpoint, spool_dir=spool, queue_bytes=1 << 20)
    app.do("handler()\nresource.setrlimit(resource.RLIMIT_FSIZE, (1000, -1))")
    app.log(5000, TEXT)
    identity("RLIMIT_FSIZE", stats := app.stats())
    assert stats["dropped"]["queue_full"] > 1000
    assert stats["pending"] > 1000
    app.do("resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))")
    log_api.recover()
    app.flush()
    app.log(100, TEXT, first=50_000)
    app.flush()
    identity("RLIMIT_FSIZE, mended", after := app.close())
    assert after["pending"] == 0
    assert after["dropped"] == stats["dropped"]
    assert {*range(50_000, 50_100)} < {*numbers(shop_records(log_api))}


def test_a_process_without_free_descriptors_keeps_records_and_delivers_them_later(
    puppet, log_api, spool
):
    app = puppet(log_api.endpoint, spool_dir=spool)
    app.do(
        """
handler()
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 1000))
taken = []
try:
    while True:
        taken.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
"""
    )
    app.log(2000, TEXT)
    identity("EMFILE", stats := app.stats())
    assert (stats["accepted"], stats["delivered"]) == (2000, 0)
    assert sum(stats["dropped"].values()) == 0
    app.do("for each in taken: os.close(each)")
    assert app.flush(), app.stats()
    identity("EMFILE, mended", app.close())
    assert numbers(log_api.records) == list(range(2000))


def test_a_disk_that_becomes_read_only_is_counted_and_used_again_when_it_is_mended(
    puppet, log_api, tmp_path
):
    with small_disk("tmpfs", tmp_path) as disk:
        log_api.hang()
        app = puppet(log_api.endpoint, spool_dir=disk.spool, queue_bytes=1 << 20)
        app.do("handler()")
        disk.remount("ro")
        app.log(5000, TEXT)
        identity("read-only", stats := app.stats())
        assert stats["dropped"]["queue_full"] > 1000
        wait_for(lambda: "Read-only file system" in app.errors(), "the report")
        disk.remount("rw")
        log_api.recover()
        app.flush()
        app.log(100, TEXT, first=50_000)
        app.flush()
        identity("read-only, mended", after := app.close())
        assert (after["pending"], after["dropped"]) == (0, stats["dropped"])
        assert {*range(50_000, 50_100)} < {*numbers(shop_records(log_api))}
        app.kill()


# ---- memory


@pytest.mark.parametrize("when", ["before the first record", "while it runs"])
@pytest.mark.parametrize("with_spool", [True, False], ids=["spool", "memory"])
def test_a_process_without_memory_lives_on_and_counts_what_it_could_not_take(
    puppet, log_api, spool, with_spool, when
):
    options = {"spool_dir": spool} if with_spool else {"queue_bytes": 1 << 30}
    app = puppet(log_api.endpoint, timeout=0.5, retry_attempts=1000, **options)
    app.do("handler()")
    if when == "while it runs":
        app.log(1, TEXT)
        assert app.flush()
    log_api.hang()
    given = app.do(
        f"""
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + {8 << 20}, -1))
text = {"y" * 1000!r}
record = logging.LogRecord("shop.orders", 20, "f", 1, text, (), None)
h = handler()
answer = 0
for i in range(100_000):
    try:
        h.handle(record)
        answer += 1
    except MemoryError:
        answer += 1
        raised = True
"""
    )
    assert given == 100_000
    identity(f"RLIMIT_AS {when}", stats := app.stats())
    assert stats["accepted"] >= 100_000
    if not with_spool:
        assert stats["dropped"]["out_of_memory"] > 1000
    app.do("resource.setrlimit(resource.RLIMIT_AS, (-1, -1))")
    assert app.do("answer = 'raised' in globals()") is False
    log_api.recover()
    app.log(10, "after it")
    app.flush()
    after = app.close()
    identity(f"RLIMIT_AS {when}, mended", after)
    assert after["pending"] == 0
    assert [r for r in log_api.records if r["message"].endswith("after it")]


# ---- directories that cannot be used


def missing_parent(directory):
    return directory / "nowhere" / "spool"


def a_file(directory):
    (directory / "spool").write_text("")
    return directory / "spool"


def below_a_file(directory):
    (directory / "file").write_text("")
    return directory / "file" / "spool"


def a_name_that_is_too_long(directory):
    return directory / ("s" * 300)


@pytest.mark.parametrize(
    "make",
    [missing_parent, a_file, below_a_file, a_name_that_is_too_long],
    ids=lambda m: m.__name__,
)
def test_a_spool_directory_that_cannot_be_used_is_refused_at_construction(tmp_path, make):
    with pytest.raises(ValueError, match=r"^spool_dir: .*/(spool|s{300})"):
        LogAggregatorHandler(NOBODY, spool_dir=make(tmp_path))


@pytest.mark.parametrize("exists", [True, False])
def test_a_spool_on_a_disk_that_is_read_only_is_refused_at_construction(tmp_path, exists):
    with small_disk("tmpfs", tmp_path) as disk:
        if exists:
            disk.spool.mkdir(mode=0o700)
        disk.remount("ro")
        with pytest.raises(ValueError, match=r"^spool_dir: .*spool"):
            LogAggregatorHandler(NOBODY, spool_dir=disk.spool)


def test_a_spool_directory_is_made_for_its_owner_only(spool, make_handler, logger, log_api):
    log_api.hang()
    logger.addHandler(make_handler(spool_dir=spool, close_timeout=0.1))
    logger.info("x")
    modes = {path.stat().st_mode & 0o077 for path in [spool, *spool.rglob("*")]}
    assert len(list(spool.rglob("*"))) >= 3
    assert modes == {0}
