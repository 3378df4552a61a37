"""Which modules of the library a file imports, read from the sources."""

import ast
from functools import cache
from pathlib import Path

SOURCE = Path("src")


def module_file(name: str) -> Path | None:
    base = SOURCE / Path(*name.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


@cache
def imports(path: Path) -> frozenset[Path]:
    """Modules that a file imports when it runs, in functions too; not those for type checkers alone."""
    names = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("each.part", "experiment.part"):  # of all
            parts = SOURCE.glob(f"sidetrip/experiments/*/{ast.literal_eval(node.args[0])}.py")
            names |= {f"sidetrip.experiments.{part.parent.name}.{part.stem}" for part in parts}
    packages = {".".join(name.split(".")[:i]) for name in names for i in range(1, len(name.split(".")))}
    found = (module_file(name) for name in names | packages if name.startswith("sidetrip"))
    return frozenset(file for file in found if file and not is_empty_package(file))


def is_empty_package(path: Path) -> bool:
    """Whether a file is a package's __init__ that runs nothing: it changes no result."""
    return path.name == "__init__.py" and len(ast.parse(path.read_text(encoding="utf-8")).body) <= 1
