"""Where the links of mails lead when the project has a page of its own for them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from tests.factories.auth import PASSWORD
from tests.integration.auth.post import CONFIRMING, new_email, running_post

if TYPE_CHECKING:
    from monohull.kernel.home import Connections

PATHS = {
    "auth_mailer_urlpaths_confirmation": "/welcome?lang=de",
    "auth_mailer_urlpaths_recovery": "https://app.example.com/come-in",
    "auth_mailer_subjects_confirmation": "{{ .Token }} confirms {{ .Email }}",
}


async def test_links_lead_where_the_settings_say(connections: Connections) -> None:
    async with running_post(connections, **(CONFIRMING | PATHS)) as post:
        email = new_email()
        await post.call("POST", "/signup", email=email, password=PASSWORD)
        letter = await post.letter(email)
        link = urlsplit(letter["link"])
        query = parse_qs(link.query)
        assert (link.path, query["lang"], query["type"]) == ("/welcome", ["de"], ["signup"])
        assert letter["subject"] == f"{letter['code']} confirms {email}"
        assert letter["link"] in letter["text"]
        answer = await post.call("POST", "/verify", type="signup", token_hash=query["token"][0])
        assert answer.status_code == 200, answer.text
        for number, path in ((2, "/otp"), (3, "/recover")):
            await post.call("POST", path, email=email)
            link = urlsplit((await post.letter(email, number=number))["link"])
            assert f"{link.scheme}://{link.netloc}{link.path}" == "https://app.example.com/come-in"
