"""Statistics, tables and the plot of encode_vs_peers.

Needs the standard library only, but for draw(). usage, to draw a line again: peer_report.py results.jsonl plot.png
"""

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "peers"))

import peer_record  # noqa: E402
from peer_record import ratios, rounded  # noqa: E402

LATENCIES = ("one256", "query16")
TITLES = {
    "openvino-bf16": "OpenVINO bf16",
    "openvino-int8": "OpenVINO int8 (NNCF)",
    "onnxruntime-int8": "ONNX Runtime int8",
    "onnxruntime-fp32": "ONNX Runtime fp32",
    "torch-bf16": "torch bf16",
    "llamacpp-q8_0": "llama.cpp Q8_0",
}


def is_nestor(figures):
    return figures["name"].startswith("nestor-")


def title(name):
    return TITLES.get(name) or "Nestor " + name.removeprefix("nestor-")


def summary(figures, everyone):
    """Medians and bests over the rounds; for Nestor also the median of the ratios to the best peer."""
    peers = [other for other in everyone if not is_nestor(other)]
    rates = figures["tokens_per_second"]
    line = {key: figures[key] for key in ("name", "version", "about", "setting", "peak_rss_mb")}
    line |= {key: rounded(figures[key]) for key in ("load_s", "model_mb")}
    line |= {key: round(figures[key], 6) for key in ("cosine_mean", "cosine_min")}
    line["tokens_per_second"] = {"median": rounded(statistics.median(rates)), "best": rounded(max(rates))}
    for case in LATENCIES:
        line[case] = {
            "median_ms": rounded(statistics.median(turn["median_ms"] for turn in figures[case])),
            "best_ms": rounded(min(turn["best_ms"] for turn in figures[case])),
        }
    if is_nestor(figures) and peers:
        of_peers = [peer["tokens_per_second"] for peer in peers]
        line["times_best_peer"] = {"tokens_per_second": rounded(statistics.median(ratios(rates, of_peers, True)))}
        for case in LATENCIES:
            own, *others = [[turn["median_ms"] for turn in one[case]] for one in (figures, *peers)]
            line["times_best_peer"][case] = rounded(statistics.median(ratios(own, others, False)))
    return line


def table(participants):
    rows = ["| | tokens/s | 256 tokens | 16 tokens | peak RSS | open | cosine to fp32: mean, min |", "|---|---|---|---|---|---|---|"]
    for one in participants:
        rate, text, query = one["tokens_per_second"], one["one256"], one["query16"]
        cells = [
            f"**{title(one['name'])}**" if is_nestor(one) else title(one["name"]),
            f"{rate['median']:,.0f} (best {rate['best']:,.0f})",
            f"{text['median_ms']:.1f} ms ({text['best_ms']:.1f})",
            f"{query['median_ms']:.1f} ms ({query['best_ms']:.1f})",
            f"{one['peak_rss_mb']:,} MB",
            f"{one['load_s'] * 1e3:,.0f} ms",
            f"{one['cosine_mean']:.5f}, {one['cosine_min']:.5f}",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    for one in participants:
        if times := one.get("times_best_peer"):
            cells = [f"{times[key]:.2f}x" for key in ("tokens_per_second", *LATENCIES)]
            rows.append(f"| {title(one['name'])} to the best peer | " + " | ".join(cells) + " | | | |")
    return rows


def document(line):
    """The section of FIGURES.md; its tables are what the README shows."""
    out = [f"Nestor and its peers, {line['date']}, commit {line['commit']}: {line['texts']}; {line['rounds']} rounds in turns,"]
    out += [f"{line['passages_a_round']} passages each, the same weights and ids; medians, bests in brackets, ratios within a round."]
    for run in line["runs"]:
        out += ["", f"With {run['threads']} threads:" if run["threads"] > 1 else "With one thread:", "", *table(run["participants"])]
    settings = [f"{p['version']} ({p['about']}; mix: {p['setting']})" for p in line["runs"][-1]["participants"] if not is_nestor(p)]
    out += ["", "Peers, each at the fastest of its settings: " + "; ".join(settings) + "."]
    return "\n".join(out)


def draw(line, path):
    pyplot = peer_record.pyplot()
    participants = line["runs"][-1]["participants"][::-1]
    panels = [
        ("tokens/s, more is better", lambda p: (p["tokens_per_second"]["median"], p["tokens_per_second"]["best"])),
        ("256 tokens, ms", lambda p: (p["one256"]["median_ms"], p["one256"]["best_ms"])),
        ("16 tokens, ms", lambda p: (p["query16"]["median_ms"], p["query16"]["best_ms"])),
        ("peak RSS, MB", lambda p: (p["peak_rss_mb"], p["peak_rss_mb"])),
    ]
    colors = [peer_record.NESTOR_COLOR if is_nestor(p) else peer_record.PEER_COLOR for p in participants]
    figure, axes = pyplot.subplots(1, len(panels), figsize=(11, 0.6 + 0.34 * len(participants)), sharey=True)
    for axis, (label, values) in zip(axes, panels):
        pairs = [values(p) for p in participants]
        axis.barh([title(p["name"]) for p in participants], [median for median, _ in pairs], color=colors, height=0.65)
        axis.plot([best for _, best in pairs], range(len(pairs)), "|", color=peer_record.INK, markersize=9)
        for at, (median, best) in enumerate(pairs):
            axis.text(max(median, best), at, f"  {median:,.0f}" if median >= 20 else f"  {median:.1f}", va="center", fontsize=7)
        axis.set_title(label, fontsize=9)
        axis.set_xlim(0, 1.3 * max(max(pair) for pair in pairs))
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    figure.text(0.995, 0.01, f"{line['runs'][-1]['threads']} threads; bars: medians, ticks: bests", ha="right", fontsize=6)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def record(line, benchmarks):
    peer_record.record(line, document(line) + "\n\n![Nestor and its peers](encode_vs_peers.png)", benchmarks)
    draw(line, benchmarks / "encode_vs_peers.png")


if __name__ == "__main__":
    draw(peer_record.last_line(Path(sys.argv[1]), "encode_vs_peers"), sys.argv[2])
