"""A strict reader of OpenMetrics 1.0.0 text: anything that the specification forbids is an AssertionError.

It shares nothing with the program. Only what the program may write is known: gauge, counter, summary and info, without
time stamps and exemplars.
"""
import math
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
NUMBER = re.compile(r"-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Inf)|\+Inf")
SUFFIXES = {"gauge": [""], "counter": ["_total"], "summary": ["", "_sum", "_count"], "info": ["_info"]}


def labels_of(text):
    labels, at = {}, 0
    while at < len(text):
        match = LABEL.match(text, at)
        assert match, f"not a label: {text[at:]}"
        assert match[1] not in labels, f"label {match[1]} twice: {text}"
        labels[match[1]] = re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], match[2])
        at = match.end()
        if at < len(text):
            assert text[at] == "," and at + 1 < len(text), f"expected a comma: {text[at:]}"
            at += 1
    return labels


class Family:
    def __init__(self, name):
        self.name, self.type, self.unit, self.help, self.samples = name, None, None, None, []


def read(text):
    """Families by name; a sample is (name, labels, value)."""
    assert text.endswith("# EOF\n"), "the last line is not # EOF"
    assert "\r" not in text
    lines = text[: -len("# EOF\n")].splitlines()
    families, current = {}, None
    seen, points = set(), []
    for line in lines:
        assert line and line == line.strip(), f"blanks: {line!r}"
        if line.startswith("#"):
            match = re.fullmatch(rf"# (TYPE|UNIT|HELP) ({NAME})(?: (.*))?", line)
            assert match, f"not TYPE, UNIT or HELP: {line}"
            kind, name, value = match.groups()
            if current is None or current.name != name:
                assert name not in families, f"family {name} is not in one piece"
                current = families[name] = Family(name)
                points = []
            assert not current.samples, f"{kind} of {name} behind its samples"
            assert getattr(current, kind.lower()) is None, f"second {kind} of {name}"
            if kind == "TYPE":
                assert value in SUFFIXES, f"type {value}"
                current.type = value
            elif kind == "UNIT":
                assert value and name.endswith("_" + value), f"{name} does not end with its unit {value}"
                current.unit = value
            else:
                assert re.fullmatch(r'(?:[^"\\]|\\[\\n"])*', value or ""), f"help is not escaped: {value}"
                current.help = value
            continue
        match = SAMPLE.fullmatch(line)
        assert match, f"not a sample: {line}"
        name, text_of_labels, value = match.groups()
        labels = labels_of(text_of_labels) if text_of_labels is not None else {}
        assert current and current.type, f"a sample without a family: {line}"
        assert name in [current.name + suffix for suffix in SUFFIXES[current.type]], f"{name} in {current.name}"
        assert NUMBER.fullmatch(value), f"not a number: {line}"
        number = float(value)
        if current.type == "summary" and name == current.name:
            assert 0 <= float(labels["quantile"]) <= 1, line
            assert labels["quantile"] == repr(float(labels["quantile"])), f"quantile is not canonical: {line}"
        if current.type == "counter" or name.endswith("_count"):
            assert number >= 0 and not math.isinf(number), line
        if current.type == "info":
            assert number == 1, line
            assert current.unit is None
        key = (name, tuple(sorted(labels.items())))
        assert key not in seen, f"twice: {line}"
        seen.add(key)
        point = tuple(sorted((k, v) for k, v in labels.items() if k != "quantile"))
        if not points or points[-1] != point:
            assert point not in points, f"samples of one metric are not together: {line}"
            points.append(point)
        current.samples.append((name, labels, number))
    for family in families.values():
        assert family.type and family.help, f"{family.name} lacks TYPE or HELP"
        assert family.samples, f"{family.name} has no sample"
        for other in families.values():
            for suffix in SUFFIXES[family.type]:
                assert other is family or other.name != family.name + suffix, f"{other.name} clashes with {family.name}"
    return families


def samples(families):
    """All samples as {name: [(labels, value)]}."""
    out = {}
    for family in families.values():
        for name, labels, value in family.samples:
            out.setdefault(name, []).append((labels, value))
    return out
