"""``/rest/v1``: PostgREST's wire over `modules.query`."""

from modules.rest.asgi import DataApi
from modules.rest.assembly import data_service
from modules.rest.head import PREFIX
from modules.rest.rehearsal import Explained, Outcome, Prepared, refused, rehearse
from modules.rest.request import ApiRequest
from modules.rest.settings import RestSettings

__all__ = [
    "PREFIX",
    "ApiRequest",
    "DataApi",
    "Explained",
    "Outcome",
    "Prepared",
    "RestSettings",
    "data_service",
    "refused",
    "rehearse",
]
