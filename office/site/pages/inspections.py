"""Inspection (rule 26), facts of rule 27, who looks after which camera (rule 7), what is to be handed in (rule 19)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.responses import Response

from office import conduct, custody, inspection, inspection_acts, inspection_report
from office.duties import deadlines, describe
from office.facts import suggested
from office.inspection import Plan
from office.inspection_report import Report
from office.person import Role
from office.site import period
from office.site.actions import Action
from office.site.call import Call
from office.site.fields import DEVICE, Field
from office.site.pages.activities import KEEPERS, LOOKERS
from office.site.text import Text
from office.words import MISCONDUCT, QUESTIONS

_INSPECTORS: Final = frozenset({Role.INSPECTOR, Role.DIRECTOR})
_INSPECTION: Final = Field("inspection", Text("检查编号", "Inspection"), "number")
_VERDICTS: Final = {
    "met": Text("符合", "Met"),
    "unmet": Text("不符合", "Not met"),
    "not-judged": Text("不评", "Not judged"),
}
_QUESTIONS: Final = (
    Text(QUESTIONS[0], "Was what must be recorded recorded?"),
    Text(QUESTIONS[1], "Was it recorded without a break?"),
    Text(QUESTIONS[2], "Hand-in, care and use"),
)
_STATES: Final = {
    "overdue": Text("已逾期", "Overdue"),
    "warning": Text("即将到期", "Near"),
    "away": Text("异地未返", "Away"),
    "open": Text("未到期", "Open"),
    "late": Text("逾期移交", "Late"),
    "met": Text("按时移交", "In time"),
}
_MARKS: Final = {"overdue": "bad", "late": "bad", "warning": "warn", "met": "ok"}
_WORK: Final = {
    name: Text(zh, en)
    for (name, zh), en in zip(
        custody.WORK.items(), ("Registered", "Checked", "Repaired", "Updated", "Replenished", "Retired"), strict=True
    )
}


def _inspections(call: Call) -> Response:
    with call.archive.database.read() as db:
        found = inspection_acts.all_of_them(db)
    return call.page("inspection/inspections.html", {"inspections": found, "nonce": None})


def _inspection(call: Call) -> Response:
    report = inspection_report.read(call.archive, call["inspection"])
    items = [
        {
            "item": one["item"],
            "section": one["section"],
            "name": report.names.get(one["item"], ""),
            "questions": [
                {
                    "question": number,
                    "facts": [fact for fact in report.facts.get(one["item"], []) if fact.question == number],
                    "suggested": suggested(report.facts.get(one["item"], []), number),
                    "finding": report.findings.get((one["item"], number)),
                }
                for number in range(1, len(QUESTIONS) + 1)
            ],
        }
        for one in report.sample
    ]
    return call.page(
        "inspection/inspection.html",
        {
            "inspection": report.row,
            "items": items,
            "scores": report.scores,
            "questions": _QUESTIONS,
            "verdicts": _VERDICTS,
            "left": sum(question["finding"] is None for one in items for question in one["questions"]),
        },
    )


def _announce(call: Call) -> Response:
    since, until = period.of(call)
    plan = Plan(since, until, call["permille"], call["least"])
    leaf, nonce = inspection.announce(call.archive, call.person.account, plan, call["commitment"])
    if nonce is None or call.wants_json:
        told = Text("已公告，请以随机数抽取", "Announced: draw it with the nonce")
        return (
            call.done(_address(call, leaf), told)
            if nonce is None
            else call.page("", {"inspection": leaf, "nonce": nonce})
        )
    with call.archive.database.read() as db:
        found = inspection_acts.all_of_them(db)
    return call.page("inspection/inspections.html", {"inspections": found, "nonce": nonce, "announced": leaf})


def _draw(call: Call) -> Response:
    inspection.draw_sample(call.archive, call.person.account, call["inspection"], call["nonce"])
    return call.done(_address(call, call["inspection"]), Text("已抽取", "Drawn"))


def _find(call: Call) -> Response:
    inspection.find(
        call.archive,
        call.person.account,
        call["inspection"],
        call["item"],
        int(call["question"]),
        call["verdict"],
        call["remark"],
    )
    return call.done(f"{_address(call, call['inspection'])}#{call['item']}", Text("结论已存", "The finding is kept"))


def _close(call: Call) -> Response:
    inspection.close(call.archive, call.person.account, call["inspection"])
    return call.done(_address(call, call["inspection"]), Text("检查已办结", "The inspection is closed"))


def _report(form: Callable[[Report], bytes], kind: str, suffix: str) -> Callable[[Call], Response]:
    def answer(call: Call) -> Response:
        data = form(inspection_report.read(call.archive, call["inspection"]))
        name = f'attachment; filename="inspection-{call["inspection"]}{suffix}"'
        return Response(data, media_type=kind, headers={"Content-Disposition": name})

    return answer


def _frame(call: Call) -> Response:
    with call.archive.database.read() as db:
        row = inspection_acts.one(db, call["inspection"])
    name = f'attachment; filename="{row["frame"]}.tsv"'
    return Response(
        inspection.read_frame(call.archive, row),
        media_type="text/tab-separated-values; charset=utf-8",
        headers={"Content-Disposition": name},
    )


def _conduct(call: Call) -> Response:
    found = conduct.facts(call.archive, *period.of(call))
    kinds = [
        {"number": number, "words": words, "facts": [dataclasses.asdict(one) for one in found if one.kind == number]}
        for number, words in enumerate(MISCONDUCT, 1)
    ]
    return call.page(
        "inspection/conduct.html", {"kinds": kinds, "chosen": {"since": call["since"], "until": call["until"]}}
    )


def _custody(call: Call) -> Response:
    with call.archive.database.read() as db:
        found = custody.at(db)
    return call.page("inspection/custody.html", {"custody": [*found.values()]})


def _camera(call: Call) -> Response:
    with call.archive.database.read() as db:
        found = custody.history(db, call["device"])
    return call.page("inspection/camera.html", {"device": call["device"], "history": found, "work": _WORK})


def _assign(call: Call) -> Response:
    words = (call["device"], call["custodian"], call["section"], call["head"])
    custody.assign(call.archive.book, call.person.account, *words, call.frame.zone, call["since"])
    return call.done(call.table["custody"].address(), Text("已登记", "Entered"))


def _maintain(call: Call) -> Response:
    words = (call["device"], call["work"], call["detail"])
    custody.maintain(call.archive.book, call.person.account, *words, call.frame.zone, call["done"])
    return call.done(call.table["custody-camera"].address(device=call["device"]), Text("已登记", "Entered"))


def _deadlines(call: Call) -> Response:
    config, now = call.archive.config, datetime.now(UTC)
    warn, since = timedelta(hours=config.warn_hours), now - timedelta(days=period.DAYS)
    found = deadlines(call.archive.catalogue, now, config.zone, warn, done_since=since if call["done"] else None)
    return call.page(
        "inspection/deadlines.html",
        {
            "deadlines": [*map(describe, found)],
            "states": _STATES,
            "marks": _MARKS,
            "chosen": {"done": call["done"]},
        },
    )


def _address(call: Call, number: int) -> str:
    return call.table["inspection"].address(inspection=number)


_PERIOD: Final = (period.SINCE, period.UNTIL)
_WHEN: Final = Text("不填：现在", "Empty: now")
ACTIONS: Final = (
    Action(
        "deadlines",
        "GET",
        "/deadlines",
        Text("移交期限", "Deadlines"),
        LOOKERS,
        _deadlines,
        menu=48,
        fields=(
            Field("done", Text("含近30日已移交", "Also what was handed in within 30 days"), "flag", required=False),
        ),
    ),
    Action("inspections", "GET", "/inspections", Text("抽查", "Inspection"), LOOKERS, _inspections, menu=50),
    Action(
        "inspection",
        "GET",
        "/inspections/{inspection}",
        Text("抽查", "Inspection"),
        LOOKERS,
        _inspection,
        fields=(_INSPECTION,),
    ),
    Action(
        "inspection-announce",
        "POST",
        "/inspections",
        Text("公告抽查", "Announce an inspection"),
        _INSPECTORS,
        _announce,
        fields=(
            *_PERIOD,
            Field("permille", Text("比例（千分之）", "Share, in thousandths"), "number", between=(1, 1000)),
            Field("least", Text("每科室至少", "Of each section at least"), "number", between=(1, 100)),
            Field(
                "commitment",
                Text("随机数的 SHA-256", "SHA-256 of your nonce"),
                required=False,
                pattern="[0-9a-f]{64}",
                hint=Text(
                    "自己掷骰子得一串数，先报其 SHA-256；不填则由系统产生随机数，并在日志中注明",
                    "Of dice that you threw, by sha256sum; empty: the office makes one, and its log says so",
                ),
            ),
        ),
    ),
    Action(
        "inspection-draw",
        "POST",
        "/inspections/{inspection}/draw",
        Text("抽取", "Draw"),
        _INSPECTORS,
        _draw,
        fields=(_INSPECTION, Field("nonce", Text("随机数", "Nonce"), pattern=r"[\x21-\x7e]{8,128}")),
    ),
    Action(
        "inspection-find",
        "POST",
        "/inspections/{inspection}/findings",
        Text("结论", "Finding"),
        _INSPECTORS,
        _find,
        fields=(
            _INSPECTION,
            Field("item", Text("抽取项", "Item"), "hidden", limit=100),
            Field("question", Text("事项", "Question"), "hidden", pattern="[1-3]"),
            Field("verdict", Text("结论", "Verdict"), "choice", choices=tuple(_VERDICTS.items())),
            Field("remark", Text("说明（不符合、不评时必填）", "Remark, owed unless met"), required=False),
        ),
    ),
    Action(
        "inspection-close",
        "POST",
        "/inspections/{inspection}/close",
        Text("办结", "Close it"),
        _INSPECTORS,
        _close,
        fields=(_INSPECTION,),
    ),
    Action(
        "inspection-csv",
        "GET",
        "/inspections/{inspection}/report.csv",
        Text("下载表格", "As a table"),
        LOOKERS,
        _report(inspection_report.as_csv, "text/csv; charset=utf-8", ".csv"),
        fields=(_INSPECTION,),
        answers="text/csv",
    ),
    Action(
        "inspection-pdf",
        "GET",
        "/inspections/{inspection}/report.pdf",
        Text("打印报告", "To print"),
        LOOKERS,
        _report(inspection_report.as_pdf, "application/pdf", ".pdf"),
        fields=(_INSPECTION,),
        answers="application/pdf",
    ),
    Action(
        "inspection-frame",
        "GET",
        "/inspections/{inspection}/frame.tsv",
        Text("下载抽样框", "What could be drawn"),
        LOOKERS,
        _frame,
        fields=(_INSPECTION,),
        answers="text/tab-separated-values",
    ),
    Action(
        "conduct",
        "GET",
        "/conduct",
        Text("第二十七条事实", "Facts of rule 27"),
        _INSPECTORS,
        _conduct,
        fields=_PERIOD,
        menu=52,
    ),
    Action("custody", "GET", "/custody", Text("设备保管", "Custody"), LOOKERS | {Role.TECHNICIAN}, _custody, menu=54),
    Action(
        "custody-camera",
        "GET",
        "/custody/{device}",
        Text("设备保管", "Custody"),
        LOOKERS | {Role.TECHNICIAN},
        _camera,
        fields=(DEVICE,),
    ),
    Action(
        "custody-assign",
        "POST",
        "/custody",
        Text("指定保管人", "Name a custodian"),
        KEEPERS,
        _assign,
        fields=(
            DEVICE,
            Field("custodian", Text("保管人", "Custodian")),
            Field("section", Text("科室", "Section")),
            Field("head", Text("科室负责人", "Head of section")),
            Field("since", Text("自", "From"), "time", required=False, hint=_WHEN),
        ),
    ),
    Action(
        "maintain",
        "POST",
        "/custody/{device}/work",
        Text("登记维护", "Enter what was done"),
        KEEPERS | {Role.TECHNICIAN},
        _maintain,
        fields=(
            DEVICE,
            Field("work", Text("事项", "Work"), "choice", choices=tuple(_WORK.items())),
            Field("detail", Text("内容", "Detail"), "lines"),
            Field("done", Text("时间", "When"), "time", required=False, hint=_WHEN),
        ),
    ),
)
REFUSALS: Final = {
    "inspection-unknown": Text("没有这次检查", "There is no such inspection"),
    "inspection-early": Text("检查期间尚未结束，不得抽取", "The period is not over: nothing can be drawn"),
    "inspection-empty": Text("该期间没有可抽查的内容", "The period has nothing to be drawn"),
    "inspection-large": Text(
        "抽取过多，请缩短期间或降低比例", "That is too many: a shorter period, or a smaller share"
    ),
    "inspection-closed": Text("检查已办结", "The inspection is closed"),
    "nonce": Text("随机数与公告的承诺值不符", "This is not the nonce that was announced"),
    "drawn": Text("已抽取，不得重抽", "Nothing is drawn twice"),
    "not-drawn": Text("该项不在抽取之列", "This was not drawn"),
    "not-judged": Text("尚有未评的事项", "Findings are missing"),
    "frame-changed": Text("抽样框已被改动，请告知技术员", "What could be drawn was changed since: tell the technician"),
}
