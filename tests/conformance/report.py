# SPDX-License-Identifier: Apache-2.0
"""docs/operators.md out of a run of all cases."""
import collections
import re

HEAD = """# Operators

What Hearth runs of ONNX, by ONNX's own cases on the CPU device: `tests/conformance/run --write` writes
this page. An operator that has no row of its own runs by its function, where ONNX defines one. A case is
unsupported when Hearth refuses its model by name; none gives a wrong answer.

{summary}

| operator | passed | unsupported | why not |
|---|---:|---:|---|
"""
LEFT_OUT = """
## Left out

{rows}
"""


def reason_of(entry, why):
    """In a few words, equal for equal reasons."""
    if entry["left_out"]:
        return entry["left_out"]
    why = re.sub(r"^\w+: EUNSUPPORTED: ", "", why)
    why = re.sub(r"^\w+: \w+: ", "", why)
    why = re.sub(r"^node (\d+ )?('[^']*' )?(\([^)]*\):? ?)?", "", why)
    why = re.sub(r"; [^;]*$", "", why)  # what to do about it
    why = re.sub(r"\[[?\d,]*\]", "[...]", why)
    return re.sub(r"\s+", " ", why).replace("|", "\\|").strip(" :")[:90]


def write(path, index, results):
    operators = collections.defaultdict(lambda: [0, 0, collections.Counter()])
    left_out = collections.Counter()
    sources = collections.defaultdict(collections.Counter)
    for i, (state, why) in results.items():
        entry = index[i]
        sources[entry["source"], entry["kind"]][state] += 1
        row = operators[entry["operator"]]
        if state == "passed":
            row[0] += 1
        elif state == "unsupported":
            row[1] += 1
            row[2][reason_of(entry, why)] += 1
            if entry["left_out"]:
                left_out[entry["left_out"]] += 1
    summary = "\n".join(
        f"- {source}/{kind}: {n['passed']} pass, {n['failed']} fail, {n['unsupported']} unsupported"
        for (source, kind), n in sorted(sources.items(), reverse=True))
    rows = "".join(
        f"| {name} | {passed} | {unsupported or ''} | "
        f"{'; '.join(r for r, _ in reasons.most_common(2))} |\n"
        for name, (passed, unsupported, reasons) in sorted(operators.items()))
    path.write_text(HEAD.format(summary=summary) + rows + LEFT_OUT.format(
        rows="\n".join(f"- {reason}: {n} cases" for reason, n in left_out.most_common())))
