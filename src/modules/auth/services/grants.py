"""Every grant of ``/token``, by what it exchanges."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modules.auth.services.id_token_grant import IdTokenSignIn
    from modules.auth.services.password_grant import SignIn
    from modules.auth.services.pkce import PkceExchange
    from modules.auth.services.refresh_grant import Refresh
    from modules.auth.services.web3_grant import Web3SignIn


class Grants:
    """What opens or renews a session. No Struct: Litestar would take it for a body."""

    def __init__(
        self,
        *,
        password: SignIn,
        refresh: Refresh,
        pkce: PkceExchange,
        id_token: IdTokenSignIn,
        web3: Web3SignIn,
    ) -> None:
        self.password = password
        self.refresh = refresh
        self.pkce = pkce
        self.id_token = id_token
        self.web3 = web3
