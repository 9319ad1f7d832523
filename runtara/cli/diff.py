"""What a deploy does to parked instances, possible ones or live ones, by the rules of ``runtara.compiler.deploy``."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from runtara.cli.app import EXIT_FAILED
from runtara.cli.children import child_option, read_children
from runtara.cli.compile import compilation_of, show_refusal
from runtara.cli.output import emit_json, note, table
from runtara.cli.session import Session, asking
from runtara.client import Client, Image, Instance
from runtara.errors import ScenarioInvalid

if TYPE_CHECKING:
    from runtara.compiler import Translation
    from runtara.compiler.deploy import Deploy, Verdict
    from runtara.dsl.children import Child

__all__ = ("diff_command",)

_CHECKPOINTS_READ: Final = 1000
"""Of each instance, the newest: where it is parked is among them."""

_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True)
class _Parked:
    instance: Instance
    verdict: Verdict


@click.command()
@click.argument("old", type=_file)
@click.argument("new", type=_file)
@child_option
@click.option(
    "--old-child",
    "old_children",
    multiple=True,
    metavar="ID[@VERSION]=FILE",
    callback=read_children,
    help="A child as OLD has it, where that is another.",
)
@click.option("--live", is_flag=True, help="Ask the server which suspended instances of OLD there are, and where.")
@asking
async def diff_command(
    session: Session,
    *,
    old: Path,
    new: Path,
    children: tuple[Child, ...],
    old_children: tuple[Child, ...],
    live: bool,
) -> int:
    """Say what it does to parked instances when the scenario in OLD is replaced by that in NEW.

    For each step on which an instance of OLD can sit (a Delay, a WaitForSignal, the wait before another try, a
    breakpoint): safe, needs a mapping, or unsafe, and why. With --live for each suspended instance. Exit code 1 when
    anything is unsafe.
    """
    from runtara.compiler.deploy import compare

    try:
        before = _translated(old, (*children, *old_children))
        after = _translated(new, children)
    except ScenarioInvalid as error:
        return show_refusal(error, as_json=session.as_json)
    deploy = compare(before.program, after.program)
    if not live:
        return _tell_spots(session, deploy.verdicts)
    async with session.connect() as client:
        parked = [each async for each in _parked(client, deploy, before.layer.manifest.source_digest)]
    return _tell_parked(session, parked)


def _translated(file: Path, children: tuple[Child, ...]) -> Translation:
    from runtara.compiler import translate_scenario

    return translate_scenario(compilation_of(file, children=children))


# ---- what could be parked


def _tell_spots(session: Session, verdicts: Sequence[Verdict]) -> int:
    if session.as_json:
        emit_json({"worst": _worst(verdicts), "spots": [_described(verdict) for verdict in verdicts]})
    else:
        rows = chain.from_iterable(_rows((each.spot.key, each.spot.kind), each) for each in verdicts)
        table(("step", "waits for", "deploy", "why"), rows)
        _summary(verdicts, "steps")
    return _exit_code(verdicts)


# ---- what is parked


async def _parked(client: Client, deploy: Deploy, digest: str) -> AsyncIterator[_Parked]:
    """The suspended instances of all images that were made of that scenario."""
    images = [image async for image in client.list_images() if _digest_of(image) == digest]
    if not images:
        note("The server has no image of OLD as it is written in the file.")
    for image in images:
        rows = client.list_instances(statuses=("suspended",), image=image.image_id, tenant_id=image.tenant_id)
        async for instance in rows:
            yield _Parked(instance, await _verdict_on(client, deploy, instance))


def _digest_of(image: Image) -> Any:
    artifact = image.metadata.get("artifact")
    return artifact.get("sourceDigest") if isinstance(artifact, Mapping) else None


async def _verdict_on(client: Client, deploy: Deploy, instance: Instance) -> Verdict:
    from runtara.compiler.parked import verdict_on

    keys: list[str] = []
    async for row in client.checkpoints(instance.instance_id, tenant_id=instance.tenant_id):
        keys.append(row.key)
        if len(keys) == _CHECKPOINTS_READ:
            break
    return verdict_on(deploy, keys, instance.termination_reason)


def _tell_parked(session: Session, parked: Sequence[_Parked]) -> int:
    verdicts = [each.verdict for each in parked]
    if session.as_json:
        found = [{"instance_id": each.instance.instance_id, **_described(each.verdict)} for each in parked]
        emit_json({"worst": _worst(verdicts), "counts": _counts(verdicts), "instances": found})
    else:
        ordered = sorted(parked, key=lambda each: -each.verdict.risk)
        rows = chain.from_iterable(
            _rows((each.instance.instance_id, each.verdict.spot.key), each.verdict) for each in ordered
        )
        table(("instance_id", "sits on", "deploy", "why"), rows)
        _summary(verdicts, "instances")
    return _exit_code(verdicts)


# ---- both


def _rows(columns: tuple[str, str], verdict: Verdict) -> Iterator[tuple[str, ...]]:
    """A row for each reason, and one where there is none."""
    reasons = [finding.message for finding in verdict.findings]
    for reason in reasons or ["-"]:
        yield (*columns, verdict.risk.label, reason)


def _summary(verdicts: Sequence[Verdict], what: str) -> None:
    counts = _counts(verdicts)
    note(f"{what}: " + ", ".join(f"{count} {label}" for label, count in counts.items()))


def _counts(verdicts: Sequence[Verdict]) -> dict[str, int]:
    from runtara.compiler.deploy import Risk

    found = Counter(verdict.risk for verdict in verdicts)
    return {risk.label: found[risk] for risk in Risk}


def _worst(verdicts: Sequence[Verdict]) -> str:
    from runtara.compiler.deploy import Risk

    return max((verdict.risk for verdict in verdicts), default=Risk.SAFE).label


def _described(verdict: Verdict) -> dict[str, Any]:
    return {
        "step": verdict.spot.key or None,
        "waits_for": verdict.spot.kind,
        "deploy": verdict.risk.label,
        "findings": [
            {"rule": finding.rule, "deploy": finding.risk.label, "site": finding.site, "message": finding.message}
            for finding in verdict.findings
        ],
    }


def _exit_code(verdicts: Sequence[Verdict]) -> int:
    from runtara.compiler.deploy import Risk

    return EXIT_FAILED if any(verdict.risk is Risk.UNSAFE for verdict in verdicts) else 0
