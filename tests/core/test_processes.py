"""Whether another process of this machine has ended."""

import os
import signal
import subprocess
import sys

import pytest

from hapenny.core.processes import gone, identity
from tests.settling import until

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/ns/pid"), reason="not run: no Linux /proc here")

SAYS = "from hapenny.core.processes import identity; print(identity(), flush=True); input()"


def test_a_stopped_process_is_there_and_a_killed_one_is_gone():
    child = subprocess.Popen([sys.executable, "-c", SAYS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    name = child.stdout.readline().strip()
    assert not gone(name)
    child.send_signal(signal.SIGSTOP)
    assert not gone(name)
    child.kill()
    assert until(lambda: gone(name)), "also before its parent has waited for it"
    child.communicate()
    assert gone(name)


def test_this_process_is_there():
    assert not gone(identity())


def test_a_later_process_of_the_same_number_is_another_one():
    place, number, started = identity().rsplit(" ", 2)
    assert gone(f"{place} {number} {int(started) - 1}")


@pytest.mark.parametrize("name", ["", "nonsense", "boot/1 2 3", "another-boot/4026531836 1 1"])
def test_of_what_is_not_known_nothing_is_told(name):
    assert not gone(name)
