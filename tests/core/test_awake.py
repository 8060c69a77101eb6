"""A loop whose time stands still with its process, stopped and continued for real."""

import asyncio
import signal
import subprocess
import sys

from hapenny.core.awake import AwakeClock, AwakeLoop
from tests.settling import until

READER = """
import asyncio, sys
from hapenny.core.awake import AwakeClock, AwakeLoop

async def read(loop):
    clock = AwakeClock(loop)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    began = clock.now()
    print("waiting", flush=True)
    try:
        async with asyncio.timeout(3.0):
            line = (await reader.readline()).decode().strip()
    except TimeoutError:
        line = "given up"
    print(line, clock.now() - began < 3.0, loop.stopped > 2.0, flush=True)

with asyncio.Runner(loop_factory=AwakeLoop) as runner:
    runner.run(read(runner.get_loop()))
"""


def state(process):
    with open(f"/proc/{process.pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0]


def test_what_came_while_the_process_was_stopped_is_read_before_its_time_is_over():
    child = subprocess.Popen([sys.executable, "-c", READER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline().strip() == "waiting"
    child.send_signal(signal.SIGSTOP)
    until(lambda: state(child) == "T")
    child.stdin.write("the answer\n")
    child.stdin.flush()
    asyncio.run(asyncio.sleep(4.0))  # longer than it would have waited
    child.send_signal(signal.SIGCONT)
    said, _ = child.communicate(timeout=20)
    assert said.split("\n")[0] == "the answer True True"


def test_a_time_limit_ends_as_on_any_loop():
    async def limited(loop):
        try:
            async with asyncio.timeout(0.05):
                await asyncio.Event().wait()
        except TimeoutError:
            return AwakeClock(loop).now() - began
        return None

    with asyncio.Runner(loop_factory=AwakeLoop) as runner:
        loop = runner.get_loop()
        began = loop.time()
        assert runner.run(limited(loop)) >= 0.05
