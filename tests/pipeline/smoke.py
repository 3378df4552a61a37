"""A repository of its own with the smoke variant, and what its runs leave."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ACTIVE = "active: [fashion_mnist, fashion_mnist_cosine]"


def environment(**changes: str) -> dict[str, str]:
    here = str(Path(sys.executable).parent)
    return {
        **os.environ,
        "PATH": f"{here}:{os.environ['PATH']}",
        "PYTHONPATH": "src",
        "DVC_NO_ANALYTICS": "1",
        **changes,
    }


def clone(folder: Path, *changes: tuple[str, str]) -> Path:
    """Copy what git would take into a repository of its own, with params.yaml changed."""
    listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True)
    for name in listed.splitlines():
        if (ROOT / name).is_file() and not name.startswith("reports/") and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    params = (folder / "params.yaml").read_text()
    for old, new in ((ACTIVE, "active: [smoke]"), *changes):
        assert old in params
        params = params.replace(old, new)
    (folder / "params.yaml").write_text(params)
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    return folder


def dvc(folder: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["dvc", *arguments], cwd=folder, env=environment(**changes), capture_output=True, text=True, check=False
    )


def digests(folder: Path, *parts: str) -> dict[str, str]:
    """Digest of every file of the parts (files or folders) of a repository."""
    files = []
    for part in map(folder.joinpath, parts):
        files += [path for path in part.rglob("*") if path.is_file()] if part.is_dir() else [part]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}
