"""The pulse between a process and its supervisor, over a real socket pair."""

import asyncio
import uuid
from datetime import timedelta

from scheduling.instants import boottime
from workers import pulse as pulses
from workers.links import Link
from workers.pulse import Pulse


def make_pulse(link, boot_id, *, abort_after=5.0, hear=None):
    return Pulse(
        link.theirs,
        boot_id=boot_id,
        abort_after=timedelta(seconds=abort_after),
        report=lambda: {"running": 1, "free": 3},
        hear=hear or (lambda message: None),
    )


def greeted():
    link = Link("worker-1")
    boot_id = link.welcome(4711, supervisor_id=uuid.uuid4(), now=0.0)
    pulses.receive(link.theirs)
    return link, boot_id


def test_a_tick_tells_the_supervisor_how_it_stands():
    link, boot_id = greeted()
    pulse = make_pulse(link, boot_id)
    pulse.register(boottime())

    pulse.tick()
    link.read(now=1.0)

    assert (link.number, link.report["running"], link.wants_beat) == (1, 1, True)


def test_a_process_that_is_not_registered_wants_no_beat():
    link, boot_id = greeted()

    make_pulse(link, boot_id).tick()
    link.read(now=1.0)

    assert not link.wants_beat


def test_time_counts_from_when_the_acknowledged_tick_was_sent(monkeypatch):
    link, boot_id = greeted()
    now = [100.0]
    monkeypatch.setattr(pulses, "boottime", lambda: now[0])
    pulse = make_pulse(link, boot_id)
    pulse.register(100.0)
    pulse.tick()
    link.read(now=0.0)
    now[0] = 104.0

    link.acknowledge(1)
    pulse._read()
    now[0] = 105.5

    assert pulse.is_late


def test_an_acknowledgement_that_slept_with_its_process_does_not_revive_it(monkeypatch):
    link, boot_id = greeted()
    now = [100.0]
    monkeypatch.setattr(pulses, "boottime", lambda: now[0])
    pulse = make_pulse(link, boot_id)
    pulse.register(100.0)
    pulse.tick()
    link.read(now=0.0)
    link.acknowledge(1)
    now[0] = 1000.0

    pulse._read()

    assert pulse.is_late


def test_messages_for_the_process_before_are_passed_over():
    link, boot_id = greeted()
    heard: list[pulses.Message] = []
    pulse = make_pulse(link, boot_id, hear=heard.append)

    link.tell({"type": "lost"})
    link.welcome(4712, supervisor_id=uuid.uuid4(), now=0.0)
    late = make_pulse(link, link.boot_id, hear=heard.append)
    late._read()

    assert not late.is_late
    assert not pulse.is_late


def test_a_process_that_was_declared_lost_stops():
    link, boot_id = greeted()
    pulse = make_pulse(link, boot_id)
    pulse.register(boottime())

    async def run():
        link.tell({"type": "lost"})
        async with asyncio.timeout(5):
            await pulse.run()

    asyncio.run(run())

    assert pulse.is_late


def test_a_loop_that_stands_still_is_killed_and_one_that_ticks_is_not(monkeypatch):
    link, boot_id = greeted()
    killed = []
    monkeypatch.setattr("workers.links.os.kill", lambda pid, number: killed.append(pid))
    pulse = make_pulse(link, boot_id)
    pulse.tick()
    link.read(now=100.0)

    link.kill_if_stuck(now=109.0, abort_after=10.0)
    assert killed == []

    link.kill_if_stuck(now=111.0, abort_after=10.0)
    assert killed == [4711]


def test_counts_of_a_process_that_ended_stay_in_the_sum():
    link, boot_id = greeted()
    link.report = {"counts": {"claimed": 3}}

    assert link.part() == boot_id
    assert link.past_counts["claimed"] == 3
