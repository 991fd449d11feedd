"""An explanation for a terminal: the reason first, then everything that was asked, as a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modules.policy.findings import Culprit, Explanation, Step

MARKS: Final = {
    "passes": "ok ",
    "refuses": "NO ",
    "removes": "out",
    "skipped": " - ",
    "unknown": " ? ",
    "info": "   ",
}


def printed(explanation: Explanation) -> str:
    """Return an explanation as lines."""
    return "\n".join(_lines(explanation))


def _lines(explanation: Explanation) -> Iterator[str]:
    caller, outcome = explanation.caller, explanation.outcome
    who = caller.subject or caller.key_id
    yield f"{explanation.request}"
    yield f"as {caller.kind}{f' {who}' if who else ''}, database role {caller.role}"
    answer = f"{outcome.status}"
    if outcome.code is not None:
        answer += f" {outcome.code} {outcome.message}"
    elif outcome.rows is not None:
        answer += f", {outcome.rows} {'row' if outcome.rows == 1 else 'rows'}"
    yield f"gives {answer}"
    yield ""
    if not explanation.culprits:
        yield explanation.summary
    for culprit in explanation.culprits:
        yield from _culprit(culprit)
    yield ""
    for step in explanation.steps:
        yield from _step(step, 0)
    for note in explanation.notes:
        yield ""
        yield f"note: {note}"


def _culprit(culprit: Culprit) -> Iterator[str]:
    yield f"why: {culprit.message}"
    if culprit.path:
        yield f"     at the embed {'.'.join(culprit.path)}"
    if culprit.expression is not None:
        yield f"     {culprit.clause}: {_on_one_line(culprit.expression)}"
    for name, value in culprit.values.items():
        yield f"     {name} = {'null' if value is None else value}"
    if culprit.rows > 1:
        yield f"     {culprit.rows} of the rows that were examined"
    if culprit.hint is not None:
        yield f"     hint: {culprit.hint}"


def _step(step: Step, depth: int) -> Iterator[str]:
    indent = "  " * depth
    yield f"{MARKS[step.verdict]} {indent}{step.title}"
    expression = step.evidence.get("expression")
    if expression is not None:
        yield f"    {indent}  {_on_one_line(expression)}"
        for name, value in step.evidence.get("values", {}).items():
            yield f"    {indent}  {name} = {'null' if value is None else value}"
    for inner in step.steps:
        yield from _step(inner, depth + 1)


def _on_one_line(expression: str) -> str:
    """PostgreSQL breaks the lines of selects."""
    return " ".join(expression.split())
