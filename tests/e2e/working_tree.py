"""Copies of the working tree, as a clone of it would be once committed."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# For the environment of a command that installs packages: it takes a third less processor time where only those modules
# are compiled that are imported later. pip turns its options in `no-` on by a falsy value: 1 would have it compile.
WITHOUT_COMPILING = {"PIP_NO_COMPILE": "0"}


def copy_working_tree(target: Path) -> None:
    """Copy every file that is under version control or about to be; ignored files, such as environments, stay out."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, listing.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
