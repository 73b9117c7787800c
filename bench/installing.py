"""credd as a user has it: in an environment of its own, with byte code, and nothing else at work.

A developer's environment runs other packages' start-up code in every process (the `.pth` file of
an old setuptools costs 0.4 ms), and may keep no byte code. The libraries of the daemon are taken
from the environment that runs the benchmark, without its start-up code.
"""

from __future__ import annotations

import compileall
import shutil
import sys
import sysconfig
import venv
from pathlib import Path

from bench.measuring import ROOT

SCRIPT = """\
#!{python}
import sys
from {module} import main
if __name__ == '__main__':
    sys.argv[0] = sys.argv[0].removesuffix('.exe')
    sys.exit(main())
"""
"""What pip 26 makes of an entry point."""

COMMANDS = {
    "credd": "credd.__main__",
    "credd-ctl": "credd.ctl.__main__",
    "credd-token": "credd.client.token_command",
}


class Installed:
    """An environment under `folder`, made by looking at this one."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder)
        self.bin = folder / "bin"
        self.python = self.bin / "python"
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self._put_in(folder / "lib" / version / "site-packages")
        for name, module in COMMANDS.items():
            self._write_script(name, module)

    def _put_in(self, packages: Path) -> None:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "credd", packages / "credd", ignore=ignored)
        compileall.compile_dir(packages / "credd", quiet=1)
        # A line that is a path is only added to sys.path; the .pth files over there are not read.
        (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")

    def _write_script(self, name: str, module: str) -> None:
        script = self.bin / name
        script.write_text(SCRIPT.format(python=self.python, module=module), "utf-8")
        script.chmod(0o755)

    def command(self, name: str) -> str:
        """The path of an installed command."""
        return str(self.bin / name)


def interpreter_of(script: str) -> str:
    """The Python that the script's first line names."""
    return Path(script).read_text("utf-8").partition("\n")[0][2:].strip()
