"""The office's day with its people, in real programs: office, keyd and a Chromium for each person.

Somebody asks, the director reviews, the leader signs in his browser, the keeper registers, the picture moves; and the
office's own process has neither the identity nor a key that was not approved.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyotp
import pytest

from evidence import age, bech32
from evidence.certificate import Role as DeviceRole
from tests.chromium import NewTab, Tab, chromium
from tests.footage import Camera
from tests.keyd_kit import KeydKit
from tests.office_kit import OfficeKit, running

pytestmark = [pytest.mark.net, pytest.mark.slow]
PASSWORD = "六个好记的词，连成一句话"  # noqa: S105 - of tests
PEOPLE = {"zhang": "officer", "li": "case_leader", "qian": "keeper"}


@dataclass
class Bureau:
    """An office that runs with keyd beside it, one recording that was handed in, and people with browsers."""

    kit: KeydKit
    camera: Camera
    recording: str
    unseen: str  # another recording, which nobody is approved to watch
    tab: NewTab
    page: str = ""
    factors: dict[str, str] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    tabs: dict[str, Tab] = field(default_factory=dict)

    def account(self, *arguments: str, said: str = "") -> str:
        done = self.kit.office.call("account", *arguments, said=said)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def digits(self, account: str) -> str:
        """A code that was not used yet: of the present step, or of the one before or after."""
        now = int(datetime.now(UTC).timestamp()) // 30
        step = max(self.used.get(account, 0) + 1, now - 1)
        assert step <= now + 1, "no code is left for this minute"
        self.used[account] = step
        return pyotp.TOTP(self.factors[account]).generate_otp(step)

    def picture(self, tab: Tab, name: str) -> None:
        """Keep what it looks like, to be looked at."""
        if "BODYCAM_PICTURES" in os.environ:
            tab.picture(Path(os.environ["BODYCAM_PICTURES"]) / f"people-{name}.png")

    def open(self, account: str, path: str) -> Tab:
        tab = self.tabs[account]
        tab.open(f"{self.page}{path}")
        return tab

    def log_in(self, account: str) -> Tab:
        tab = self.tabs[account] = self.tab(alone=True)
        tab.open(f"{self.page}/log-in")
        fill(tab, "log-in-local", account=account, password=PASSWORD, digits=self.digits(account))
        tab.wait("location.pathname === '/'")
        return tab


def fill(tab: Tab, action: str, **values: str) -> None:
    """Fill the form of an action in, and send it."""
    for name, value in values.items():
        tab.wait(f"document.getElementById({json.dumps(f'{action}-{name}')}) !== null")
        tab.run(f"document.getElementById({json.dumps(f'{action}-{name}')}).value = {json.dumps(value)}")
    first = next(iter(values))
    tab.run(
        f"document.getElementById({json.dumps(f'{action}-{first}')}).form.querySelector('button:not([type])').click()"
    )


def complaints(tab: Tab) -> list[str]:
    """What the browser objected to; not what it would like better."""
    return [one for one in tab.complaints() if json.loads(one).get("entry", {}).get("level") != "verbose"]


def press(tab: Tab, path: str) -> None:
    """Press the button of the form that goes there."""
    tab.run(f"document.querySelector('form[action={json.dumps(path)}] button').click()")


@pytest.fixture(scope="module")
def bureau(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bureau]:
    kit = KeydKit(OfficeKit(tmp_path_factory.mktemp("o")))
    office = kit.office
    certificate, key = office.agency.issue(DeviceRole.OFFICE, "OFFICE-1").write(office.folder, "page")
    settings = {
        "page_address": "127.0.0.1", "page_port": 0, "page_certificate": certificate.name, "page_key": key.name
    }  # fmt: skip
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
    office.config.write_text(lines + office.config.read_text())
    kit.prepare()
    camera = Camera(office.agency, [kit.recipient, age.recipient_of(age.generate_identity())])
    names = []
    for _ in range(2):
        names.append(camera.start())
        camera.film(names[-1], 1, 0, list(range(8)))
        camera.film(names[-1], 1, 1, list(range(8)))
        camera.end(names[-1], 1, 2)
    with ExitStack() as stack:
        stack.enter_context(running(office))
        tab = stack.enter_context(chromium())
        stack.enter_context(kit.running())
        client = office.client()
        client.hand_in_journal(camera.device, camera.journal)
        for name, data in camera.segments.items():
            assert client.patch(client.segment(camera.device, name, data), 0, data).status == 204
        yield Bureau(kit, camera, names[0], names[1], tab, f"https://{office.await_log('ready')['page']}")


def enrol(bureau: Bureau, account: str, code: str) -> None:
    """Take an account over, in a browser."""
    tab = bureau.tab(alone=True)
    tab.open(f"{bureau.page}/take-over")
    fill(tab, "factor", account=account, code=code)
    bureau.factors[account] = tab.wait("document.querySelector('figcaption .mono')?.textContent")
    assert tab.run("document.querySelector('figure svg') !== null")
    bureau.picture(tab, "factor")
    fill(tab, "enrol", password=PASSWORD, digits=bureau.digits(account))
    tab.wait("location.pathname === '/log-in'")
    assert complaints(tab) == []


def enter_people(bureau: Bureau) -> None:
    """The technician and the director at the machine; the others on the page, by those two."""
    for account in ("wu", "wang"):
        told = bureau.account("add", account, "--name", f"{account} 某", "--section", "办公室")
        enrol(bureau, account, told.split()[-1])
    assert "technician" in bureau.account("roles", "wu", "technician")
    asked = re.search("--asked ([0-9]+)", bureau.account("roles", "wang", "director"))
    assert asked is not None
    bureau.account("confirm", "wu", "--asked", asked[1], said=f"{PASSWORD}\n{bureau.digits('wu')}\n")
    bureau.log_in("wu")
    bureau.log_in("wang")
    for account, role in PEOPLE.items():
        tab = bureau.open("wu", "/people")
        fill(tab, "person-add", account=account, name=f"{account} 某", section="执法一科")
        code = tab.wait("document.getElementById('code')?.textContent")
        tab = bureau.open("wu", f"/people/{account}")
        tab.run(f"document.querySelector('input[value={role}]').click()")
        press(tab, f"/people/{account}/roles")
        tab.wait("location.pathname === '/people'")
        enrol(bureau, account, code)
    for _ in range(2):  # the leader in charge and the keeper
        tab = bureau.open("wang", "/people")
        bureau.picture(tab, "people")
        tab.run("document.querySelector('form[action$=\"/confirm\"] button').click()")
        tab.wait("document.querySelector('.note.ok') !== null")
    assert bureau.open("wang", "/people").run("document.querySelector('form[action$=\"/confirm\"]') === null")


def enter_key(bureau: Bureau) -> None:
    """The leader makes a key; the director confirms it; the technician lets it into keyd's roster."""
    tab = bureau.log_in("li")
    bureau.open("li", "/me")
    press(tab, "/me/key")
    tab.wait("document.querySelector('.note.ok') !== null")
    tab.wait("document.getElementById('own-fingerprint').textContent.length > 30")
    bureau.picture(tab, "me")
    own = tab.run("document.getElementById('own-fingerprint').textContent")
    tab = bureau.open("wang", "/people")
    assert own in tab.run("document.body.innerText")
    tab.run("document.querySelector('form[action^=\"/approver-keys/\"] button').click()")
    tab.wait("document.querySelector('.note.ok') !== null")
    card = bureau.kit.office.folder / "card.json"
    bureau.account("card", "li", "--out", str(card))
    done = bureau.kit.call("enrol", "--card", str(card), "--fingerprint", own)
    assert done.returncode == 0, done.stderr


def approve(bureau: Bureau) -> str:
    """Ask, review, sign, register; the path of the request."""
    place = f"/recordings/{bureau.camera.device}/{bureau.recording}"
    tab = bureau.log_in("zhang")
    bureau.open("zhang", place)
    bureau.picture(tab, "recording")
    tab.run(f"document.querySelector('a[href=\"{place}/ask\"]').click()")
    tab.wait("document.getElementById('ask-reason') !== null")
    bureau.picture(tab, "ask")
    fill(tab, "ask", reason="核对现场取证经过", purpose="case", case="承县应急罚〔2026〕17号")
    request = str(tab.wait("location.pathname.startsWith('/requests/') && location.pathname"))
    tab = bureau.open("wang", request)
    bureau.picture(tab, "review")
    fill(tab, "review", note="与案件有关", accepted="yes")
    tab.wait("document.querySelector('.note.ok') !== null")
    tab = bureau.open("li", f"{request}/approve?hours=2")
    tab.wait("document.querySelector('[data-member=requester]').textContent === 'zhang'")
    bureau.picture(tab, "approve")
    assert tab.run("document.getElementById('approver-problem').hidden")
    press(tab, f"{request}/approve")
    tab.wait("document.querySelector('.note.ok') !== null")
    tab = bureau.log_in("qian")
    bureau.open("qian", request)
    press(tab, f"{request}/register")
    tab.wait("document.querySelector('.note.ok') !== null")
    bureau.picture(tab, "registered")
    return request


def watch(bureau: Bureau) -> None:
    """The picture moves."""
    place = f"/recordings/{bureau.camera.device}/{bureau.recording}"
    tab = bureau.open("zhang", place)
    press(tab, "/watch")
    tab.wait("location.pathname.startsWith('/watch/') && document.querySelector('video') !== null")
    tab.wait("document.querySelector('video').readyState > 0")  # the page's script has said what to load
    tab.run("document.querySelector('video').play()")
    tab.wait("document.querySelector('video').currentTime > 0.5")
    bureau.picture(tab, "watch")


def test_a_viewing_from_the_first_account_to_the_picture(bureau: Bureau) -> None:
    enter_people(bureau)
    enter_key(bureau)
    request = approve(bureau)
    watch(bureau)
    given = bureau.kit.given()
    number = int(request.rpartition("/")[2])
    assert {(one["viewer"], one["recording"], one["request"]) for one in given} == {("zhang", bureau.recording, number)}
    leaves = [json.loads(line) for line in (bureau.kit.office.data / "log" / "leaves.jsonl").read_text().splitlines()]
    acts = [leaf["act"] for leaf in leaves]
    for act in ("person", "roles-asked", "roles", "log-in", "approver-key-confirmed", "view-asked", "view-reviewed",
                "view-approved", "view-registered", "viewing"):  # fmt: skip
        assert act in acts, act
    for account, tab in bureau.tabs.items():
        assert complaints(tab) == [], account
    nothing_that_opens_footage(bureau)


def nothing_that_opens_footage(bureau: Bureau) -> None:
    """In the memory and files of the office: neither the identity, nor the key of what nobody may watch."""
    identity = bureau.kit.identity
    secret = bech32.decode("age-secret-key-", identity.lower(), "age-identity")
    unseen = [data for (recording, _), data in bureau.camera.segments.items() if recording == bureau.unseen]
    keys = [age.unwrap(age.parse_header(data), identity) for data in unseen]
    wanted = [identity.encode(), identity.lower().encode(), secret, secret.hex().encode(), *keys]
    process = bureau.kit.office.process
    assert process is not None
    seen = b""
    for found, data in [*memory_of(process.pid), *files_in(bureau.kit.office.data)]:
        for one in wanted:
            assert one not in data, found
        if bureau.recording.encode() in data:
            seen = data
    assert seen, "what was searched is not this office's"
    assert bureau.kit.process is not None
    own = [data for _, data in memory_of(bureau.kit.process.pid)]
    assert any(secret in data or identity.encode() in data for data in own), "the search finds what is there"


def memory_of(pid: int) -> Iterator[tuple[str, bytes]]:
    """All that a process can write to."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights, *_ = line.split()
            if not rights.startswith("rw"):
                continue
            start, end = (int(place, 16) for place in span.split("-"))
            try:
                memory.seek(start)
                yield line, memory.read(end - start)
            except (OSError, OverflowError):
                continue  # a region that the kernel keeps for itself


def files_in(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file() and "segments" not in path.parts:
            yield str(path), path.read_bytes()
