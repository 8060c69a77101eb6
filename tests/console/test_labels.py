"""Labels by page and by CSV: what is shown, what is written, who may write, what the judge makes of it."""

import asyncio
import base64
import csv
import html
import http.client
import json
import re
import threading
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner

from hapenny.cli.main import main
from hapenny.config import load
from hapenny.console.queue import Queue
from hapenny.console.site import Console
from hapenny.core.clock import RealClock
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.gateway.gateway import Gateway
from tests.server.test_audits import TwoMinds
from tests.settling import settled

KEY = base64.b64encode(b"k" * 32).decode()
OTHER = "I <b>cannot</b> say & will not."


def written(tmp_path, share=1.0, count=4):
    """A configuration file whose ledger and content store hold some answers, audited."""
    file = tmp_path / "h.yaml"
    file.write_text(
        f"""
backends: {{simulated: {{kind: simulated}}}}
ledger: {{path: {tmp_path / "ledger.db"}}}
content: {{path: {tmp_path / "content.db"}, options: {{key: {KEY}, sample: 1.0, routes: [default]}}}}
routes: {{default: {{preset: demo, holdout: 0, audit_share: {share}, max_quality_loss: 0.95, audit_judge: "",
  stages: {{semantic: "off"}}}}}}
stages: {{semantic: {{embedder: hashed}}}}
"""
    )

    async def serve():
        async with Gateway(load(str(file)), backends={"simulated": TwoMinds(OTHER)}) as gateway:
            for number in range(count):
                request = Request(
                    protocol="openai",
                    model="auto",
                    messages=(Message("user", (Text(f"Hello, what is <the> toll, bridge {number}?"),)),),
                    parameters=Parameters(max_tokens=50),
                )
                await gateway.complete(request, Context())
                await settled(gateway)

    asyncio.run(serve())
    return file


@pytest.fixture
def visit(tmp_path):
    """(file, get, post): a console over audited answers."""
    file = written(tmp_path)
    console = Console(load(str(file)), RealClock())
    port = console.listen("127.0.0.1", 0)
    thread = threading.Thread(target=console.run)
    thread.start()

    def ask(method, path, form=None, cookie=""):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}
        connection.request(method, path, urlencode(form) if form is not None else None, headers)
        answer = connection.getresponse()
        found = answer.status, answer.read().decode(), dict(answer.getheaders())
        connection.close()
        return found

    yield file, lambda path, cookie="": ask("GET", path, None, cookie), lambda form: ask("POST", "/labels", form)
    console.stop()
    thread.join()


def hidden(page):
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))


def quality_of(file, id):
    queue = Queue(load(str(file)), RealClock())
    try:
        return queue.row(id).scores["quality"]
    finally:
        queue.close()


def test_pairs_are_shown_blind_escaped_and_labelled_by_name(visit):
    file, get, post = visit
    status, page, headers = get("/labels")
    assert (status, "Who is labelling?" in page) == (200, True)
    _, page, headers = get("/labels?who=ann")
    assert headers["Set-Cookie"].startswith("who=ann;")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "0 of 4 labelled by ann" in page
    assert html.escape(OTHER) in page
    assert "<b>cannot" not in page
    assert "half a penny" in page
    for word in ("haiku", "sonnet", "baseline", "candidate"):
        assert word not in page.lower().split("<main")[1]
    fields = hidden(page)
    assert quality_of(file, fields["id"]) != 0.25
    # the right answer is the baseline's: whoever prefers it, finds that the served one lost
    better = "a" if page.index("half a penny") < page.index("cannot") else "b"
    status, _, headers = post({**fields, "said": better})
    assert (status, headers["Location"]) == (303, "/labels")
    assert quality_of(file, fields["id"]) == 0.0
    _, page, _ = get("/labels", "who=ann")
    assert "1 of 4 labelled by ann" in page
    assert hidden(page)["id"] != fields["id"]
    # a second person's label is averaged with the first one's
    assert post({**fields, "who": "bob", "said": "tie"})[0] == 303
    assert quality_of(file, fields["id"]) == 0.5


def test_a_form_from_elsewhere_or_without_sense_is_refused(visit):
    _, get, post = visit
    fields = hidden(get("/labels?who=ann")[1])
    assert post({**fields, "token": "0" * 64, "said": "tie"})[0] == 403
    assert post({"said": "tie"})[0] == 403
    status, page, _ = post({**fields, "said": "splendid"})
    assert (status, "a, b or tie" in page) == (400, True)
    assert post({**fields, "id": "req_of_nobody", "said": "tie"})[0] == 400
    assert "0 of 4 labelled" in get("/labels?who=ann")[1]
    assert get("/secret")[0] == 404


def test_skipped_ones_come_last_and_the_overview_compares_judge_and_people(visit):
    _, get, post = visit
    seen = []
    while "Everything is labelled" not in (page := get("/labels?who=ann")[1]):
        fields = hidden(page)
        seen.append(fields["id"])
        post({**fields, "said": "skip" if len(seen) == 1 else "tie"})
    assert len(set(seen)) == len(seen) == 4
    page = html.unescape(get("/learning?range=all")[1])
    assert "On 3 pairs that people labelled" in page
    assert "agrees with them on 0%" in page  # the judge found every answer worse, people none
    assert "3 answers have a person's label" in page


def test_answers_without_a_second_one_are_labelled_alone(tmp_path):
    file = written(tmp_path, share=0.0)
    queue = Queue(load(str(file)), RealClock())
    one = queue.next("ann")
    assert len(one.answers) == 1
    with pytest.raises(ValueError, match="right, partly, wrong"):
        queue.say(one.id, "a", "ann")
    assert queue.say(one.id, "partly", "ann") == 0.5
    assert queue.counts("ann") == (1, 4)
    assert queue.row(one.id).scores["quality"] == 0.5
    queue.close()


def test_labels_travel_by_csv_and_the_judge_is_compared(tmp_path):
    file, sheet, run = written(tmp_path, count=40), tmp_path / "labels.csv", CliRunner()
    refused = run.invoke(main, ["labels", "export", "-c", str(file), "--out", str(sheet)])
    assert (refused.exit_code, "--consent" in refused.output) == (1, True)
    assert run.invoke(main, ["labels", "export", "-c", str(file), "--consent", "--out", str(sheet)]).exit_code == 0
    with sheet.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 40
    for row in rows:
        row["said"] = "a" if "penny" in row["answer_a"] else "b"
    with sheet.open("w", newline="") as out:
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    done = run.invoke(main, ["labels", "import", str(sheet), "-c", str(file), "--who", "ann"])
    assert done.output == "40 labels by ann\n"
    assert quality_of(file, rows[0]["request_id"]) == 0.0
    found = json.loads(run.invoke(main, ["labels", "judge", "-c", str(file), "--json"]).output)
    assert found["now"]["pairs"] == 40
    assert found["best"]["agreed"] == 1.0
    # plain scores, too
    sheet.write_text(f"request_id,score\n{rows[1]['request_id']},up\n")
    assert "1 labels" in run.invoke(main, ["labels", "import", str(sheet), "-c", str(file), "--who", "bob"]).output
    assert quality_of(file, rows[1]["request_id"]) == 0.5
    sheet.write_text("request_id,score\nreq_nobody,up\n")
    wrong = run.invoke(main, ["labels", "import", str(sheet), "-c", str(file), "--who", "bob"])
    assert (wrong.exit_code, "line 2: no request" in wrong.output) == (1, True)


def test_without_texts_there_is_nothing_to_label(tmp_path):
    file = tmp_path / "h.yaml"
    file.write_text(f"ledger: {{path: {tmp_path / 'ledger.db'}}}\n")
    found = CliRunner().invoke(main, ["labels", "judge", "-c", str(file)])
    assert (found.exit_code, "Fix: set content" in found.output) == (1, True)
    console = Console(load(str(file)), RealClock())
    assert "labels need texts" in console.show("/labels", {}, "")[1]


def test_audits_and_labels_become_outcomes_that_train_a_router(tmp_path):
    file, out, run = written(tmp_path, count=60), tmp_path / "o.jsonl", CliRunner()
    assert "--consent" in run.invoke(main, ["train", "outcomes", "-c", str(file), "--out", str(out)]).output
    queue = Queue(load(str(file)), RealClock())
    first = queue.items()[0]
    queue.say(first.id, "tie", "ann")
    queue.close()
    done = run.invoke(main, ["train", "outcomes", "-c", str(file), "--consent", "--out", str(out)])
    assert "60 prompts" in done.output
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    weak, strong = sorted(rows[0]["models"])
    assert {row["models"][strong]["score"] for row in rows} == {1.0}
    assert sorted(row["models"][weak]["score"] for row in rows) == [0.0] * 59 + [1.0]
    assert all(row["models"][weak]["cost"] > 0 for row in rows)
    made = ["train", "router", "--outcomes", str(out), "--weak", weak, "--strong", strong, "--out", str(tmp_path / "r")]
    assert "fitted on" in run.invoke(main, made).output
