"""``/rest/v1``: PostgREST's wire over `modules.query`."""

from modules.rest.asgi import DataApi
from modules.rest.settings import RestSettings

__all__ = ["DataApi", "RestSettings"]
