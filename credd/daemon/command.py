"""The command `credd`: the daemon in the foreground, or a check of its configuration.

Rules: options only fill in the environment's variables. Whatever stops it before it serves ends in
a sentence, a remedy, and the exit status of the contract.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import credd
from credd.core.config import BadConfig, Finding
from credd.daemon import logs
from credd.daemon.configuration import Configuration
from credd.daemon.places import find_places
from credd.daemon.running import run
from credd.errors import CreddError, Misconfigured
from credd.providers.catalog import load_catalog
from credd.world.hardening import harden

EXAMPLES = """\
examples:
  credd                             serve, as the user's service manager starts it
  credd --check                     say what is wrong with config.toml, and exit 0 or 9
  credd --home /tmp/try --log-level debug
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    options = _parser().parse_args(arguments)
    environ = _environment(options)
    try:
        return _check(options, environ) if options.check else _serve(options, environ)
    except CreddError as error:
        return _say(error)
    except OSError as error:
        return _say(Misconfigured(f"{error.strerror}: {error.filename or ''}".rstrip(": ")))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="credd",
        description="Hold refresh tokens sealed, and always have a good access token.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", metavar="FILE", help="config.toml (CREDD_CONFIG)")
    parser.add_argument("--home", metavar="DIR", help="one folder for everything (CREDD_HOME)")
    parser.add_argument("--socket", metavar="PATH", help="where to listen (CREDD_SOCK)")
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"))
    parser.add_argument("--log-format", choices=("text", "json"))
    parser.add_argument("--check", action="store_true", help="check the configuration and exit")
    parser.add_argument("--json", action="store_true", help="with --check: findings as JSON")
    parser.add_argument("--version", action="version", version=f"credd {credd.__version__}")
    return parser


def _environment(options: argparse.Namespace) -> dict[str, str]:
    environ = dict(os.environ)
    given = {
        "CREDD_CONFIG": options.config,
        "CREDD_HOME": options.home,
        "CREDD_SOCK": options.socket,
    }
    for variable, value in given.items():
        if value is not None:
            environ[variable] = os.path.abspath(value)
    return environ


def _serve(options: argparse.Namespace, environ: dict[str, str]) -> int:
    faults = harden()
    logs.set_up(options.log_level or "info", options.log_format or "text")
    places = find_places(environ)
    catalog = load_catalog()
    configuration = Configuration(places.config, catalog.catalog)
    if not configuration.load():
        _refuse(configuration.findings)
    _set_up_logs(options, configuration)
    for finding in (*catalog.findings, *faults):
        logs.warn(str(finding))
    return asyncio.run(run(places, configuration, environ))


def _set_up_logs(options: argparse.Namespace, configuration: Configuration) -> None:
    """The command line wins over config.toml, now and at every reload."""
    settings = configuration.current.daemon
    if options.log_level:
        logs.pin_level(options.log_level)
    logs.set_up(settings.log_level, options.log_format or settings.log_format)


def _refuse(findings: Sequence[Finding]) -> NoReturn:
    raise Misconfigured(
        "config.toml has mistakes:\n" + "\n".join(f"  {finding}" for finding in findings),
        remedy="credd --check",
    )


# --- --check ---------------------------------------------------------------------------------


def _check(options: argparse.Namespace, environ: dict[str, str]) -> int:
    places = find_places(environ)
    catalog = load_catalog()
    configuration = Configuration(places.config, catalog.catalog)
    try:
        configuration.read()
        findings = list(catalog.findings)
    except BadConfig as bad:
        findings = [*catalog.findings, *bad.findings]
    _show(findings, str(places.config), as_json=options.json)
    return Misconfigured.exit_code if findings else 0


def _show(findings: Sequence[Finding], path: str, *, as_json: bool) -> None:
    if as_json:
        plain: dict[str, Any] = {
            "schema": 1,
            "config": path,
            "findings": [finding.to_wire() for finding in findings],
        }
        print(json.dumps(plain, indent=2))
        return
    for finding in findings:
        print(f"{path}: {finding}", file=sys.stderr)
        if finding.remedy:
            print(f"  {finding.remedy}", file=sys.stderr)
    if not findings:
        print(f"{path}: nothing wrong")


def _say(error: CreddError) -> int:
    print(f"credd: {error.detail}", file=sys.stderr)
    if error.remedy:
        print(error.remedy, file=sys.stderr)
    return error.exit_code
