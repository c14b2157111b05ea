"""Statistics, tables and records of search_vs_peers; the plots are in search_plots.py.

usage, to make the tables and plots of runs again: search_report.py last.json [later.json …] [--record]
Runs of different sizes become one line.
"""

import json
import statistics
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "peers"))

import peer_record  # noqa: E402
from peer_record import ratios, rounded  # noqa: E402

GOAL = 0.99  # recall@10
NEAR = 2.0  # a peer nearer than that is named
TITLES = {
    "nestor-index": "Nestor, the index",
    "nestor-database": "Nestor, the database",
    "faiss-pq256": "faiss PQ fastscan, first 256",
    "faiss-pq": "faiss PQ fastscan",
    "faiss-rabitq": "faiss RaBitQ fastscan",
    "faiss-hnsw": "faiss HNSW",
    "faiss-flat": "faiss flat",
    "hnswlib": "hnswlib",
    "usearch": "usearch",
    "zvec": "zvec HNSW",
    "zvec-rabitq": "zvec HNSW RaBitQ",
    "qdrant-edge": "Qdrant Edge",
    "lancedb": "LanceDB",
    "chroma": "Chroma",
    "sqlite-vec": "sqlite-vec",
}


def is_nestor(figures):
    return figures["name"].startswith("nestor-")


def title(name):
    return TITLES[name]


def short(value):
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def quantile(values, share):
    values = sorted(values)
    return values[round(share * (len(values) - 1))]


def curve(measured):
    """Of {setting: {"rounds": milliseconds a round, "shares"}}: a point a setting, in the order they came."""
    points = []
    for setting, figures in measured.items():
        every = [value for one_round in figures["rounds"] for value in one_round]
        points.append(
            {
                "setting": setting,
                "recall": round(statistics.fmean(figures["shares"]), 4),
                "p50_ms": rounded(statistics.median(every)),
                "p95_ms": rounded(quantile(every, 0.95)),
                "questions": len(every),
                "round_ms": [rounded(statistics.median(one_round)) for one_round in figures["rounds"]],
            }
        )
    return points


def chosen(figures):
    """The fastest setting that reaches the goal; None where none does.

    By its best round: what else runs on the machine only ever adds. The figures shown are medians all the same.
    """
    able = [point for point in figures["curve"] if point["recall"] >= GOAL]
    return min(able, key=lambda point: min(point["round_ms"])) if able else None


def shown(figures):
    """What stands in the table: the chosen setting, else the one that finds most."""
    return chosen(figures) or max(figures["curve"], key=lambda point: (point["recall"], -point["p50_ms"]))


def times(peer, nestor):
    """How many times faster Nestor is than this peer, each at its chosen setting: the median of the rounds."""
    if not (chosen(peer) and chosen(nestor)):
        return None
    return rounded(statistics.median(ratios(chosen(nestor)["round_ms"], [chosen(peer)["round_ms"]], False)))


def summaries(everyone):
    """One record a participant, bytes a vector in place of bytes."""
    lines = []
    for figures in everyone:
        count = figures["rows"]
        line = {key: figures[key] for key in ("name", "version", "about")}
        line |= {key: rounded(figures[key]) for key in ("build_s", "build_cpu_s", "open_s")}
        line |= {f"{kind}_bytes": rounded(bytes_ / count) for kind, bytes_ in figures["memory"].items()}
        line["disk_bytes"] = rounded(figures["disk_bytes"] / count)
        line["curve"] = figures["curve"]
        if figures.get("batch_per_second"):
            line["batch_per_second"] = rounded(statistics.median(figures["batch_per_second"]))
        lines.append(line)
    for line in lines:
        if not is_nestor(line):
            found = {nestor["name"]: times(line, nestor) for nestor in lines if is_nestor(nestor)}
            line["nestor_is_faster"] = {name: value for name, value in found.items() if value}
    return lines


def by_speed(participants):
    """Nestor first, then those that reach the goal by their speed, then the others."""
    return sorted(
        participants, key=lambda one: (not is_nestor(one), chosen(one) is None, shown(one)["p50_ms"])
    )


def cells_of(one):
    point = shown(one)
    recall = f"{point['recall']:.3f}"
    factors = one.get("nestor_is_faster", {})
    return [
        f"**{title(one['name'])}**" if is_nestor(one) else title(one["name"]),
        point["setting"],
        recall if chosen(one) else f"{recall} (short of {GOAL:g})",
        f"{short(point['p50_ms'])} ms",
        f"{short(point['p95_ms'])} ms",
        *(f"{short(factors[name])}x" if name in factors else "" for name in ("nestor-index", "nestor-database")),
        f"{short(one['build_s'])} s ({short(one['build_cpu_s'])})",
        f"{one['anonymous_bytes']:,.0f} + {one['mapped_bytes']:,.0f}",
        f"{one['disk_bytes']:,.0f}",
        f"{short(one['open_s'] * 1e3)} ms",
    ]


HEAD = ["", "setting", "recall@10", "p50", "p95", "index is faster", "database is faster", "build (processor)"]
HEAD += ["memory a vector, own + mapped", "disk a vector", "open"]


def table(participants):
    rows = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    return rows + ["| " + " | ".join(cells_of(one)) + " |" for one in by_speed(participants)]


def verdict(size):
    """The sentences below a table: who is near, who reaches nothing, who is missing."""
    participants, lines = size["participants"], []
    for nestor in filter(is_nestor, participants):
        near = []
        for one in by_speed(participants):
            factor = one.get("nestor_is_faster", {}).get(nestor["name"])
            if factor and factor < NEAR:
                near.append(f"{title(one['name'])} ({factor:.2f}x)")
        text = "nobody" if not near else ", ".join(near)
        lines.append(f"Nearer than twice to {title(nestor['name'])}: {text}.")
    if size["missing"]:
        lines.append("Left out: " + "; ".join(f"{title(m['name'])}: {m['reason']}" for m in size["missing"]) + ".")
    return " ".join(lines)


def not_run(size, sizes):
    """Who was measured at another size and is neither here nor among the missing."""
    everyone = dict.fromkeys(one["name"] for other in sizes for one in other["participants"])
    here = {one["name"] for one in size["participants"] + size["missing"]}
    names = [title(name) for name in everyone if name not in here]
    return f" Not run at this size: {', '.join(names)}." if names else ""


def growth_table(sizes):
    """p50 at the goal by size, a row a participant."""
    names = dict.fromkeys(one["name"] for size in sizes for one in by_speed(size["participants"]))
    rows = ["| p50 at recall .99, ms | " + " | ".join(f"{size['rows']:,}" for size in sizes) + " |"]
    rows.append("|" + "---|" * (len(sizes) + 1))
    for name in names:
        cells = []
        for size in sizes:
            found = next((one for one in size["participants"] if one["name"] == name), None)
            point = chosen(found) if found else None
            cells.append(f"{short(point['p50_ms'])}" if point else (f"({shown(found)['recall']:.3f})" if found else ""))
        rows.append(f"| {title(name)} | " + " | ".join(cells) + " |")
    return rows


def batch_table(size, line):
    able = sorted((one for one in size["participants"] if "batch_per_second" in one), key=lambda o: -o["batch_per_second"])
    if not able:
        return []
    rows = [f"64 questions at once over {size['rows']:,} rows, {line['batch_threads']} threads, at the same settings:", ""]
    rows += ["| | questions a second |", "|---|---|"]
    return rows + [f"| {title(one['name'])} | {one['batch_per_second']:,.0f} |" for one in able] + [""]


def document(line):
    """The section of FIGURES.md."""
    out = [
        f"Searching beside peers, {line['date']}, commit {line['commit']}: the same f32 vectors of 768, k = 10, one question at a",
        f"time on one processor, rounds in turns of {line['questions_a_round']} questions; each at the fastest of its settings with "
        f"recall {GOAL:g}.",
        "`is faster`: Nestor's index and database to this peer, median of the ratios within a round. Builds on "
        f"{line['build_threads']} processors,",
        f"at most {line['limit_seconds']:g} s. In brackets: recall where nothing reached the goal. Empty: left out, see below.",
        *([line["note"]] if line.get("note") else []),
        "",
        *growth_table(line["sizes"]),
        "",
    ]
    for size in line["sizes"]:
        rounds = len(size["participants"][0]["curve"][0]["round_ms"])
        out += [f"{size['rows']:,} rows, {rounds} rounds:", "", *table(size["participants"]), "", verdict(size) + not_run(size, line["sizes"]), "", *batch_table(size, line)]
    about = {one["name"]: f"{one['version']} ({one['about']})" for size in line["sizes"] for one in size["participants"]}
    out += ["Peers: " + "; ".join(text for name, text in about.items() if not name.startswith("nestor-")) + "."]
    return "\n".join(out)


def draw(line, folder):
    import search_plots

    search_plots.draw(line, folder)


def record(line, benchmarks):
    pictures = "![Recall, time and memory](search_vs_peers.png)\n\n![Growth](search_vs_peers_growth.png)"
    peer_record.record(line, document(line) + "\n\n" + pictures, benchmarks)
    draw(line, benchmarks)


def joined(lines):
    """One line of several runs, each with sizes of its own; the later run of a size counts."""
    sizes = {size["rows"]: size for line in lines for size in line["sizes"]}
    return lines[-1] | {"sizes": [sizes[rows] for rows in sorted(sizes)]}


if __name__ == "__main__":
    files = [Path(word) for word in sys.argv[1:] if not word.startswith("--")]
    made = joined([json.loads(file.read_text(encoding="utf-8")) for file in files])
    if "--record" in sys.argv:
        record(made, HERE.parent)
    else:
        print(document(made))
        draw(made, files[-1].parent)
