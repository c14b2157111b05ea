"""The plots of search_vs_peers: recall against milliseconds and against bytes, and milliseconds against rows."""

import peer_record
import search_report

SHOWN_AT = 100_000  # rows of the first plot, where they were measured; else the last size
LEAST_RECALL = 0.8
WITHIN_MS = 1  # of the second plot
COLORS = "#2563eb #0891b2 #16a34a #65a30d #475569 #7c3aed #c026d3 #db2777 #f472b6 #ca8a04 #78716c #0d9488 #a16207".split()
MARKS = "os^vD<>PhpdHX"


def looks(names):
    """Color and mark of each, the same in every plot: Nestor's two in its own color."""
    found = {}
    known = [name for name in search_report.TITLES if not name.startswith("nestor-")]
    for name in names:
        if name.startswith("nestor-"):
            found[name] = {"color": peer_record.NESTOR_COLOR, "marker": "*" if name == "nestor-index" else "X"}
            found[name] |= {"markersize": 11, "linewidth": 2.2, "zorder": 5}
        else:
            at = known.index(name)
            found[name] = {"color": COLORS[at % len(COLORS)], "marker": MARKS[at % len(MARKS)]}
            found[name] |= {"markersize": 5.5, "linewidth": 1.2}
    return found


def misses(recall):
    """Recall is shown by what is missing to 1, so that .99 and .999 are as far apart as .9 and .99."""
    return max(1 - recall, 5e-4)


def recall_axis(axis):
    ticks = [0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999]
    axis.set_yscale("log")
    axis.set_ylim(1 - LEAST_RECALL, 4e-4)
    axis.set_yticks([1 - tick for tick in ticks], [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.axhline(1 - search_report.GOAL, color=peer_record.INK, linewidth=0.6, linestyle=":")
    axis.set_ylabel("recall@10 (up is better)", fontsize=9)


def tidy(axis):
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(True, color="#e2e8f0", linewidth=0.6)
    axis.set_axisbelow(True)


def plain_ticks(axis, ticks):
    """Numbers instead of powers of ten, at those of `ticks` that are in sight."""
    low, high = axis.get_view_interval()
    seen = [tick for tick in ticks if low <= tick <= high]
    axis.set_ticks(seen, [f"{tick:,g}" for tick in seen])
    axis.axes.minorticks_off()


def front(curve):
    """The settings that no other beats in both recall and time, fastest first."""
    kept = []
    for point in sorted(curve, key=lambda p: (p["p50_ms"], -p["recall"])):
        if point["recall"] >= LEAST_RECALL and (not kept or point["recall"] > kept[-1]["recall"]):
            kept.append(point)
    return kept


def recall_and_time(axis, participants, styles):
    for one in participants:
        points = front(one["curve"])
        axis.plot([p["p50_ms"] for p in points], [misses(p["recall"]) for p in points], **styles[one["name"]])
    axis.set_xscale("log")
    axis.set_xlabel("milliseconds a question, p50 (left is better)", fontsize=9)
    recall_axis(axis)
    tidy(axis)


def recall_and_bytes(axis, participants, styles):
    """What is found within WITHIN_MS; hollow, with its time: who is never that fast."""
    for one in participants:
        quick = [p for p in one["curve"] if p["p50_ms"] <= WITHIN_MS]
        point = max(quick, key=lambda p: p["recall"]) if quick else search_report.shown(one)
        at = (one["anonymous_bytes"] + one["mapped_bytes"], misses(point["recall"]))
        style = styles[one["name"]] | {"linestyle": "", "clip_on": False}
        axis.plot(*at, **(style if quick else style | {"fillstyle": "none"}))
        if not quick:
            axis.annotate(f"{search_report.short(point['p50_ms'])} ms", at, (7, -3), textcoords="offset points", fontsize=7)
    axis.set_xscale("log")
    axis.set_xlabel(f"bytes a vector in memory, own and mapped (left is better), within {WITHIN_MS} ms", fontsize=9)
    axis.set_title("Nestor's index: without the f32 rows, which stay in the store's file; hollow: slower", fontsize=7)
    recall_axis(axis)
    tidy(axis)


def first_plot(size, path):
    pyplot = peer_record.pyplot()
    participants = search_report.by_speed(size["participants"])
    styles = looks([one["name"] for one in participants])
    figure, axes = pyplot.subplots(1, 2, figsize=(12, 6))
    recall_and_time(axes[0], participants, styles)
    recall_and_bytes(axes[1], participants, styles)
    ticks = [digit * 10.0**power for power in range(-2, 7) for digit in (1, 2, 5)]
    plain_ticks(axes[0].xaxis, [tick for tick in ticks if tick < 1000])
    plain_ticks(axes[1].xaxis, ticks)
    handles = [pyplot.Line2D([], [], label=search_report.title(name), **style) for name, style in styles.items()]
    figure.legend(handles=handles, ncol=5, loc="lower center", fontsize=8, frameon=False)
    figure.suptitle(f"{size['rows']:,} vectors of 768, one question at a time on one thread", fontsize=11)
    figure.tight_layout(rect=(0, 0.11, 1, 1))
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def growth_plot(sizes, path):
    pyplot = peer_record.pyplot()
    figure, axis = pyplot.subplots(figsize=(8.5, 5.2))
    names = dict.fromkeys(one["name"] for size in sizes for one in search_report.by_speed(size["participants"]))
    styles = looks(list(names))
    for name in names:
        points = []
        for size in sizes:
            found = next((one for one in size["participants"] if one["name"] == name), None)
            if found and search_report.chosen(found):
                points.append((size["rows"], search_report.chosen(found)["p50_ms"]))
        if points:
            axis.plot(*zip(*points), label=search_report.title(name), **styles[name])
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xticks([size["rows"] for size in sizes], [f"{size['rows']:,}" for size in sizes])
    plain_ticks(axis.yaxis, [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000])
    axis.set_xlabel("vectors of 768", fontsize=9)
    axis.set_ylabel(f"ms a question at recall {search_report.GOAL:g}, p50 (down is better)", fontsize=9)
    axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    tidy(axis)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def draw(line, folder):
    sizes = line["sizes"]
    first_plot(next((size for size in sizes if size["rows"] == SHOWN_AT), sizes[-1]), folder / "search_vs_peers.png")
    growth_plot(sizes, folder / "search_vs_peers_growth.png")
