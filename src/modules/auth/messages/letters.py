"""Templates → subject, plain text and HTML.

    {{ .ConfirmationURL }}   {{ .Token }}   {{ .TokenHash }}   {{ .SiteURL }}   {{ .RedirectTo }}
    {{ .Email }}   {{ .NewEmail }}   {{ .OldEmail }}   {{ .Phone }}   {{ .FactorType }}   {{ .Provider }}
    {{ .Data.name }}

A template is a ``.txt`` whose first line is ``Subject: …``, and a ``.html``.
Variables are GoTrue's; its templates work here as far as they print variables
and test them: ``{{ if .Data.name }}…{{ else }}…{{ end }}``. Whatever is printed
into HTML is escaped, and a subject is one line whatever is in it.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

BUILTIN: Final = Path(__file__).parent / "templates"
MAX_SUBJECT_CHARACTERS: Final = 200

NAMES: Final = (
    "confirmation",
    "recovery",
    "magic_link",
    "invite",
    "team_invite",
    "email_change",
    "email_change_current",
    "reauthentication",
    "password_changed_notification",
    "email_changed_notification",
    "phone_changed_notification",
    "mfa_factor_enrolled_notification",
    "mfa_factor_unenrolled_notification",
    "identity_linked_notification",
    "identity_unlinked_notification",
    "webhook_disabled_notification",
)
"""Every mail there is; also the names of the files that replace ours."""

_TAG: Final = re.compile(
    r"\{\{-?\s*(?P<word>if|else|end)?\s*(?P<path>(?:\.[A-Za-z_][A-Za-z0-9_]*)+)?\s*-?\}\}"
)
_ANY_TAG: Final = re.compile(r"\{\{.*?\}\}", re.DOTALL)


class TemplateError(ValueError):
    """A template that cannot be read: says where and why."""


class Variables(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a message may print; empty where it does not apply. ``data`` is the user's metadata.

    ``user_id``, ``token_new`` and ``token_hash_new`` are for the hooks that send in our place. The last
    two are set when one call sends both mails of a change of address, and are then crossed as in
    GoTrue: ``token`` and ``token_hash_new`` go to the present address, the other two to the new one.
    """

    confirmation_url: str = ""
    token: str = ""
    token_hash: str = ""
    site_url: str = ""
    redirect_to: str = ""
    email: str = ""
    new_email: str = ""
    old_email: str = ""
    phone: str = ""
    user_id: str = ""
    token_new: str = ""
    token_hash_new: str = ""
    factor_type: str = ""
    provider: str = ""
    data: dict[str, Any] = {}

    def named(self) -> dict[str, Any]:
        """Return them under the names that templates use."""
        return {
            "ConfirmationURL": self.confirmation_url,
            "Token": self.token,
            "Code": self.token,
            "TokenHash": self.token_hash,
            "SiteURL": self.site_url,
            "RedirectTo": self.redirect_to,
            "Email": self.email,
            "NewEmail": self.new_email,
            "SendingTo": self.new_email or self.email,
            "OldEmail": self.old_email,
            "Phone": self.phone,
            "FactorType": self.factor_type,
            "Provider": self.provider,
            "Data": self.data,
        }


class Letter(Struct, frozen=True):
    """A mail, written."""

    subject: str
    text: str
    html: str


class Templates:
    """The templates of one process, checked when they are read.

    Args:
        folder: Where replacements may lie; a file that is missing there is ours.
        subject: Returns the subject that replaces the one of a mail, or None.

    Raises:
        TemplateError: A file of the folder, or a subject, is no template.
    """

    def __init__(
        self, folder: Path | None = None, subject: Callable[[str], str | None] = lambda _: None
    ) -> None:
        self._texts: dict[str, str] = {}
        self._subjects: dict[str, str] = {}
        for name in NAMES:
            if (line := subject(name)) is not None:
                self._subjects[name] = checked_subject(name, line)
            for kind in ("txt", "html"):
                file = f"{name}.{kind}"
                path = folder / file if folder is not None and (folder / file).is_file() else BUILTIN / file
                self._texts[file] = _checked(path)

    def write(self, name: str, variables: Variables) -> Letter:
        """Write the mail ``name``."""
        values = variables.named()
        head, _, text = self._texts[f"{name}.txt"].partition("\n")
        subject = render(self._subjects.get(name, head.partition(":")[2]), values, str)
        return Letter(
            subject=re.sub(r"[\x00-\x1f\x7f\s]+", " ", subject).strip()[:MAX_SUBJECT_CHARACTERS],
            text=render(text.lstrip("\n"), values, str),
            html=render(self._texts[f"{name}.html"], values, html.escape),
        )


def render(template: str, values: Mapping[str, Any], escape: Callable[[str], str]) -> str:
    """Print ``values`` into ``template``.

    >>> render("{{ if .Data.name }}Dear {{ .Data.name }}{{ else }}Hello{{ end }}", {"Data": {}}, str)
    'Hello'

    Raises:
        TemplateError: A tag is none of those that are known, or an ``if`` has no ``end``.
    """
    written: list[str] = []
    showing = [True]
    position = 0
    for found in _ANY_TAG.finditer(template):
        if all(showing):
            written.append(template[position : found.start()])
        position = found.end()
        word, path = _tag(found)
        if word == "if":
            showing.append(bool(_value(path, values)))
        elif word is not None and len(showing) == 1:
            raise TemplateError(f"{found[0]} has no {{{{ if }}}}")
        elif word == "else":
            showing[-1] = not showing[-1]
        elif word == "end":
            showing.pop()
        elif all(showing):
            written.append(escape(_value(path, values)))
    if len(showing) > 1:
        raise TemplateError("an {{ if }} has no {{ end }}")
    return "".join(written) + template[position:]


def _tag(found: re.Match[str]) -> tuple[str | None, str]:
    tag = _TAG.fullmatch(found[0])
    if tag is None or (tag["path"] is None) != (tag["word"] in ("else", "end")):
        raise TemplateError(f"{found[0]} is no tag that is known here; print variables, or test them with if")
    return tag["word"], tag["path"] or ""


def _value(path: str, values: Mapping[str, Any]) -> str:
    value: Any = values
    for name in path.split(".")[1:]:
        value = value.get(name) if isinstance(value, dict) else None
    return "" if value is None or isinstance(value, (dict, list)) or value is False else str(value)


def checked_subject(name: str, line: str) -> str:
    """Return ``line`` if it can be the subject of the mail ``name``.

    Raises:
        TemplateError: It is no template.
    """
    try:
        render(line, {}, str)
    except TemplateError as error:
        raise TemplateError(f"the subject of {name}: {error}") from error
    return line


def _checked(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
        render(text, {}, str)
    except (OSError, UnicodeDecodeError, TemplateError) as error:
        raise TemplateError(f"{path}: {error}") from error
    if path.suffix == ".txt" and not text.startswith("Subject:"):
        raise TemplateError(f"{path}: the first line is not Subject: …")
    return text
