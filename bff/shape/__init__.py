"""`_shape`: which fields of a JSON document a caller wants, and the projection that keeps them.

`grammar` reads text into an immutable `Shape`, `project` applies it to a document, `named` holds
the reviewed shapes that `_shape=@name` stands for.
"""

from bff.shape.columns import Columns
from bff.shape.grammar import DEFAULT_LIMITS, Limits, Shape, Tree, parse
from bff.shape.named import DEFAULTS, NamedShapes
from bff.shape.project import project

__all__ = [
    "DEFAULTS",
    "DEFAULT_LIMITS",
    "Columns",
    "Limits",
    "NamedShapes",
    "Shape",
    "Tree",
    "parse",
    "project",
]
