from hapenny.core.errors import Failure, account_refused
from hapenny.core.exchange import Target
from hapenny.simulation import loop
from hapenny.telemetry.refusals import Refusals
from tests.log_lines import log_lines

HERE = Target("gpt-4o", "openai")


def test_the_operator_is_told_what_to_do_once_a_minute():
    async def main(clock):
        refusals = Refusals(clock)
        spent = account_refused("add credit", "spent", upstream_status=429, upstream_type="insufficient_quota")
        with log_lines() as lines:
            refusals.tell(Failure("rate_limited", "slow"), HERE)
            for _ in range(9):
                refusals.tell(spent, HERE)
            refusals.tell(spent, Target("gpt-4o-mini", "openai"))
            await clock.sleep(61)
            refusals.tell(spent, HERE)
        return lines

    lines = loop.run(main)
    assert [line["model"] for line in lines] == ["gpt-4o", "gpt-4o-mini", "gpt-4o"]
    assert lines[0]["level"] == "warning"
    assert (lines[0]["backend"], lines[0]["status"], lines[0]["reason"]) == ("openai", 429, "insufficient_quota")
    assert lines[0]["fix"] == "add credit (it says: spent)"


def test_what_is_remembered_of_refusals_is_bounded():
    async def main(clock):
        refusals = Refusals(clock)
        with log_lines() as lines:
            for n in range(1_000):
                refusals.tell(account_refused("add credit"), Target(f"m{n}", "b"))
        return lines

    assert len(loop.run(main)) == 1_000
