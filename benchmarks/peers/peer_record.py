"""What becomes of a comparison's figures: rounding, ratios, the marked section of FIGURES.md, the line of results.jsonl,
and the looks of the plots. Needs the standard library only, but for pyplot().
"""

import datetime
import json

NESTOR_COLOR, PEER_COLOR, INK = "#c2410c", "#94a3b8", "#0f172a"


def rounded(value):
    return float(f"{value:.4g}")


def today():
    return datetime.datetime.now(datetime.timezone.utc).date().isoformat()


def ratios(own, peers, higher_is_better):
    """How many times better than the best peer of the same round, round by round."""
    found = []
    for number, value in enumerate(own):
        of_peers = [peer[number] for peer in peers]
        found.append(value / max(of_peers) if higher_is_better else min(of_peers) / value)
    return found


def marks(name):
    return f"<!-- {name} begins -->", f"<!-- {name} ends -->"


def replaced(text, name, section):
    """The text with what stands between the marks exchanged, or with a marked section at its end."""
    begin, end = marks(name)
    marked = f"{begin}\n{section}\n{end}"
    if begin not in text:
        return text.rstrip("\n") + "\n\n" + marked + "\n"
    head, rest = text.split(begin, 1)
    return head + marked + rest.split(end, 1)[1]


def record(line, section, benchmarks):
    """Appends the line to results.jsonl and puts the section into FIGURES.md."""
    with (benchmarks / "results.jsonl").open("a", encoding="utf-8") as results:
        results.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
    figures = benchmarks / "FIGURES.md"
    figures.write_text(replaced(figures.read_text(encoding="utf-8"), line["benchmark"], section), encoding="utf-8")


def last_line(path, name):
    """The newest line of that benchmark in a results.jsonl."""
    lines = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["benchmark"] == name][-1]


def pyplot():
    """matplotlib's, for files only."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plots

    return plots
