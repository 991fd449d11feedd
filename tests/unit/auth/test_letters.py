"""Templates: what they print, what they escape, what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from modules.auth.flows import check_templates
from modules.auth.messages.letters import NAMES, TemplateError, Templates, Variables, render
from modules.auth.settings import AuthSettings
from monohull.kernel.configuration import load
from monohull.kernel.settings import SettingsError

VARIABLES = Variables(
    confirmation_url="https://api.example.com/verify?token=x&type=signup",
    token="123456",
    email="ada@example.com",
    new_email="grace@example.com",
    old_email="old@example.com",
    phone="4915112345",
    site_url="https://app.example.com",
    data={"name": "<b>Ada</b>\nBcc: everybody", "nested": {"age": 36}},
)


@pytest.mark.parametrize("name", NAMES)
def test_ours_print_what_they_are_about(name: str) -> None:
    letter = Templates().write(name, VARIABLES)
    assert letter.subject
    assert "{{" not in letter.subject + letter.text + letter.html
    linked = ("confirmation", "recovery", "magic_link", "invite", "email_change", "email_change_current")
    if "notification" not in name:
        has_code = name != "team_invite"  # whoever joins a team is signed in, and follows the link
        assert ("123456" in letter.text) is ("123456" in letter.html) is has_code
    if name in (*linked, "team_invite"):
        assert VARIABLES.confirmation_url in letter.text
        assert 'href="https://api.example.com/verify?token=x&amp;type=signup"' in letter.html


def test_files_replace_ours(tmp_path: Path) -> None:
    (tmp_path / "confirmation.txt").write_text("Subject: Hi {{ .Data.name }}\n\n{{ .Data.nested.age }}\n")
    (tmp_path / "confirmation.html").write_text(
        "<p>{{.Data.name}} {{- .Data.nothing -}} {{ .SendingTo }}</p>"
    )
    templates = Templates(tmp_path)
    letter = templates.write("confirmation", VARIABLES)
    assert letter.subject == "Hi <b>Ada</b> Bcc: everybody"
    assert letter.text == "36\n"
    assert letter.html == "<p>&lt;b&gt;Ada&lt;/b&gt;\nBcc: everybody  grace@example.com</p>"
    assert "Reset" in templates.write("recovery", VARIABLES).subject


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{{ if .Data.name }}yes{{ else }}no{{ end }}", "yes"),
        ("{{ if .Data.nothing }}yes{{ else }}no{{ end }}", "no"),
        ("{{if .Token}}a{{if .Data.nothing}}b{{else}}c{{end}}d{{end}}e", "acde"),
        ("{{ if .Data.nothing }}a{{ if .Token }}b{{ else }}c{{ end }}d{{ end }}e", "e"),
        ("{{ .Data }}", ""),
    ],
)
def test_conditions(text: str, shown: str) -> None:
    assert render(text, VARIABLES.named(), str) == shown


@pytest.mark.parametrize(
    "text",
    [
        "{{ range .Data }}",
        "{{ .Token | html }}",
        "{{ end }}",
        "{{ else }}",
        "{{ if .Token }}",
        "{{}}",
        "{{ if }}x{{ end }}",
    ],
)
def test_what_is_not_known_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "recovery.html").write_text(text)
    with pytest.raises(TemplateError, match=r"recovery\.html"):
        Templates(tmp_path)


def test_a_broken_file_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "invite.html").write_text("{{ range .Data }}")
    loaded = load({"MONOHULL_AUTH_MAILER_TEMPLATES": str(tmp_path)}, project=tmp_path)
    with pytest.raises(SettingsError, match=r"MONOHULL_AUTH_MAILER_TEMPLATES.*invite\.html"):
        check_templates(loaded.settings)


def test_a_text_without_a_subject_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recovery.txt").write_text("Hello")
    with pytest.raises(TemplateError, match="Subject"):
        Templates(tmp_path)


def test_a_setting_replaces_a_subject_and_prints_what_templates_print() -> None:
    loaded = load(
        {"MONOHULL_AUTH_MAILER_SUBJECTS_EMAIL_CHANGE": "{{ .Token }} for {{ .Data.name }}"}, project=Path("/")
    )
    templates = Templates(None, loaded.settings.of(AuthSettings).subject)
    for name in ("email_change", "email_change_current"):
        assert templates.write(name, VARIABLES).subject == "123456 for <b>Ada</b> Bcc: everybody"
    assert templates.write("recovery", VARIABLES) == Templates().write("recovery", VARIABLES)


def test_every_mail_has_a_subject_that_can_be_set() -> None:
    for name in NAMES:
        setting = "email_change" if name == "email_change_current" else name
        loaded = load({f"MONOHULL_AUTH_MAILER_SUBJECTS_{setting.upper()}": "Ours"}, project=Path("/"))
        templates = Templates(None, loaded.settings.of(AuthSettings).subject)
        assert templates.write(name, VARIABLES).subject == "Ours"


def test_a_broken_subject_stops_the_start() -> None:
    loaded = load({"MONOHULL_AUTH_MAILER_SUBJECTS_INVITE": "{{ range .Data }}"}, project=Path("/"))
    with pytest.raises(SettingsError, match=r"MONOHULL_AUTH_MAILER_SUBJECTS_INVITE.*invite"):
        check_templates(loaded.settings)
