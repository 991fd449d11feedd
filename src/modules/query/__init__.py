"""The compiler of data requests: what is asked → plan → one statement → its result. No HTTP.

Front ends build a `Read`, hand it to `Compiler.compile` with the caller's
rules, and run the statement with `execute_read`. REST is one; others will follow.
"""

from modules.query.ast import (
    MAX_EMBED_DEPTH,
    AllColumns,
    Column,
    Condition,
    Connective,
    Count,
    Direction,
    Embed,
    Field,
    Filter,
    Is,
    IsValue,
    Item,
    Join,
    Logic,
    Nulls,
    Operator,
    Order,
    Quantifier,
    Read,
    Selection,
    Shape,
    Step,
)
from modules.query.catalog import Catalog, Relation, TableColumn
from modules.query.compiler import Compiled, Compiler
from modules.query.errors import (
    CatalogMissing,
    EmbedNotSelected,
    NotOneRow,
    OffsetBeyondEnd,
    QueryProblem,
    RelationClosed,
    RelationNotFound,
    RelationshipNotFound,
)
from modules.query.execute import DataSource, ResultSet, Transaction, execute_read
from modules.query.exposure import Exposure
from modules.query.live import LiveCatalog, live_catalog

__all__ = [
    "MAX_EMBED_DEPTH",
    "AllColumns",
    "Catalog",
    "CatalogMissing",
    "Column",
    "Compiled",
    "Compiler",
    "Condition",
    "Connective",
    "Count",
    "DataSource",
    "Direction",
    "Embed",
    "EmbedNotSelected",
    "Exposure",
    "Field",
    "Filter",
    "Is",
    "IsValue",
    "Item",
    "Join",
    "LiveCatalog",
    "Logic",
    "NotOneRow",
    "Nulls",
    "OffsetBeyondEnd",
    "Operator",
    "Order",
    "Quantifier",
    "QueryProblem",
    "Read",
    "Relation",
    "RelationClosed",
    "RelationNotFound",
    "RelationshipNotFound",
    "ResultSet",
    "Selection",
    "Shape",
    "Step",
    "TableColumn",
    "Transaction",
    "execute_read",
    "live_catalog",
]
