"""A strict reader of Prometheus' text format 0.0.4: whatever it doesn't know is an error.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\S+)")
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?|\+Inf|-Inf|NaN")
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}

Labels = tuple[tuple[str, str], ...]


@dataclass
class Family:
    kind: str
    help: str
    samples: dict[tuple[str, Labels], float] = field(default_factory=dict)


def parse(text: str) -> dict[str, Family]:
    """The families by name. Raises AssertionError for anything that is not as it should be."""
    assert text.endswith("\n")
    found: dict[str, Family] = {}
    name, said = "", ""
    for line in text.removesuffix("\n").split("\n"):
        if line.startswith("# HELP "):
            _, _, name, said = line.split(" ", 3)
            assert re.fullmatch(NAME, name), line
            assert name not in found, f"{name} comes twice"
        elif line.startswith("# TYPE "):
            _, _, typed, kind = line.split(" ")
            assert typed == name, "TYPE follows the HELP of the same family"
            assert kind in SUFFIXES, line
            found[name] = Family(kind, said)
        else:
            _add(found[name], name, line)
    for name, family in found.items():
        _check(name, family)
    return found


def _add(family: Family, name: str, line: str) -> None:
    match = SAMPLE.fullmatch(line)
    assert match, f"no sample: {line!r}"
    assert match[1] in [name + suffix for suffix in SUFFIXES[family.kind]], line
    labels = tuple(
        (key, value.replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\"))
        for key, value in re.findall(LABEL, match[2] or "")
    )
    assert len(dict(labels)) == len(labels), f"a label comes twice: {line}"
    number = line.rpartition(" ")[2]
    assert NUMBER.fullmatch(number), line
    key = (match[1].removeprefix(name), labels)
    assert key not in family.samples, f"a sample comes twice: {line}"
    family.samples[key] = float(number)


def _check(name: str, family: Family) -> None:
    assert family.samples, f"{name} has no sample"
    assert name.startswith("credd_")
    assert family.help.endswith(".")
    if family.kind == "counter":
        assert name.endswith("_total")
        assert all(value >= 0 for value in family.samples.values())
    if family.kind == "histogram":
        counts = [value for (suffix, _), value in family.samples.items() if suffix == "_bucket"]
        assert counts == sorted(counts), "buckets are cumulative"
        assert counts[-1] == family.samples["_count", ()]
        last = [labels for suffix, labels in family.samples if suffix == "_bucket"][-1]
        assert last == (("le", "+Inf"),)
