"""Drives Nestor and its peers in turns and writes down what came out. Run through encode_vs_peers/run.

Every participant is a process of its own that stays loaded; all but the one whose turn it is are stopped (SIGSTOP), so
that no idle thread pool takes a core. In each round everyone gets the same texts right after one another; ratios are
made within a round, for the machine itself moves by a factor of two between rounds.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "peers"))

import peer_record  # noqa: E402
import peer_report  # noqa: E402
from peer_process import Failed, Participant  # noqa: E402

# Turns of the single texts: (case, calls that count); one more before them warms the caches.
SINGLES = [("one256", 5), ("query16", 15)]
PEERS = "openvino-bf16 openvino-int8 onnxruntime-int8 onnxruntime-fp32 torch-bf16 llamacpp-q8_0".split()
PATIENCE_SECONDS = 300


class Encoder(Participant):
    """A participant with the settings it runs the mix and the single texts at."""

    def __init__(self, name, command):
        super().__init__(name, command, PATIENCE_SECONDS)
        self.about, self.variant, self.single = {}, None, None

    def open(self, inputs, log):
        self.start(log)
        self.about = self.ask("load", inputs=str(inputs))
        self.variant = self.single = self.about["variants"][0]

    def run(self, case, indices, variant=None, repeat=1):
        variant = variant or (self.variant if case == "mix" else self.single)
        return self.ask("run", case=case, indices=indices, variant=variant, repeat=repeat)


def participants(options, threads):
    worker = [str(options.build / "benchmarks/encode_worker"), "--threads", str(threads), "--precision"]
    for precision in options.precisions.split(","):
        yield Encoder(f"nestor-{precision}", [*worker, precision])
    common = ["--out", str(options.scratch), "--model", str(options.model), "--threads", str(threads)]
    for kind in options.peers.split(","):
        yield Encoder(kind, [sys.executable, "-B", str(HERE / "peer_worker.py"), kind, *common])


def tune(participant, texts):
    """Every peer at its best: the variant with the highest rate over `texts` passages, best of two runs."""
    seconds = {}
    for variant in participant.about["variants"]:
        participant.run("mix", texts[:2], variant)
        seconds[variant] = min(participant.run("mix", texts, variant, repeat=2)["seconds"])
    participant.variant = min(seconds, key=seconds.get)


def rows_of(participant, case, indices, variant):
    with tempfile.NamedTemporaryFile() as file:
        participant.ask("vectors", case=case, indices=indices, variant=variant, file=file.name)
        return np.fromfile(file.name, np.float32).reshape(len(indices), -1)


def prepare(participant, options, inputs, log):
    """Opened twice: the second time is from a warm page cache. Memory is read at the leanest variant."""
    participant.open(options.scratch / "inputs.json", log)
    participant.stop()
    participant.open(options.scratch / "inputs.json", log)
    texts = list(range(len(inputs["mix"])))
    counted = participant.run("mix", texts[: options.slice])["tokens"]
    if counted != [len(item["ids"]) for item in inputs["mix"][: options.slice]]:
        raise SystemExit(f"{participant.name}: other tokens than the rest: {counted}")
    figures = {
        "name": participant.name,
        "version": participant.about["version"],
        "about": participant.about["about"],
        "load_s": participant.about["load_s"],
        "model_mb": participant.about["model_mb"],
        "peak_rss_mb": participant.ask("memory")["peak_rss_mb"],
    }
    tune(participant, texts[: options.tune_texts])
    reference = np.load(options.scratch / "reference" / "reference.npz")
    found = rows_of(participant, "mix", texts[: options.quality_texts], participant.variant)
    cosines = (found * reference["mix"][: len(found)]).sum(1)
    single = [rows_of(participant, case, [0], participant.single)[0] @ reference[case][0] for case, _ in SINGLES]
    figures |= {
        "setting": participant.variant,
        "cosine_mean": float(cosines.mean()),
        "cosine_min": float(min(cosines.min(), *single)),
        "one256": [],
        "query16": [],
        "tokens_per_second": [],
    }
    return figures


def turn(participant, figures, indices):
    answer = participant.run("mix", indices)
    figures["tokens_per_second"].append(sum(answer["tokens"]) / answer["seconds"][0])
    for case, repeat in SINGLES:
        seconds = sorted(participant.run(case, [0], repeat=repeat + 1)["seconds"][1:])
        figures[case].append({"median_ms": 1e3 * seconds[len(seconds) // 2], "best_ms": 1e3 * seconds[0]})


def compare(options, threads, inputs, log):
    """The figures of each, round by round, with this many threads."""
    count, everyone = len(inputs["mix"]), []
    with contextlib.ExitStack() as running:
        figures = []
        for one in participants(options, threads):
            running.callback(one.stop)
            try:
                figures.append(prepare(one, options, inputs, log))
            except Failed as failure:
                if one.name.startswith("nestor-"):
                    raise SystemExit(str(failure)) from failure
                print(f"  LEFT OUT: {failure}", flush=True)
                continue
            everyone.append(one)
            print(f"  {one.name}: {one.variant}, cosine {figures[-1]['cosine_mean']:.5f}", flush=True)
        machine = everyone[0].about["machine"]
        for number in range(options.rounds):
            indices = [(number * options.slice + i) % count for i in range(options.slice)]
            order = range(len(everyone)) if number % 2 == 0 else reversed(range(len(everyone)))
            for at in order:
                turn(everyone[at], figures[at], indices)
            print(f"  round {number + 1} of {options.rounds}", flush=True)
    return figures, machine


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scratch", type=Path, required=True, help="what peer_prepare.py made")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--build", type=Path, default=Path("build/release"))
    parser.add_argument("--precisions", default="f32", help="Nestor's, such as int8,bf16")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--threads", default="2", help="such as 1,2; one after the other")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--slice", type=int, default=40, help="passages of the mix a round")
    parser.add_argument("--tune-texts", type=int, default=16)
    parser.add_argument("--quality-texts", type=int, default=120)
    parser.add_argument("--record", action="store_true", help="write results.jsonl, FIGURES.md and the plot")
    return parser.parse_args()


def main():
    options = arguments()
    # Ended from outside it must still wake and end those that wait.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    inputs = json.loads((options.scratch / "inputs.json").read_text(encoding="utf-8"))
    runs, machine = [], {}
    with (options.scratch / "peers.log").open("w") as log:
        for threads in map(int, options.threads.split(",")):
            print(f"{threads} threads", flush=True)
            figures, machine = compare(options, threads, inputs, log)
            runs.append({"threads": threads, "participants": [peer_report.summary(f, figures) for f in figures]})
    lengths = [len(item["ids"]) for item in inputs["mix"]]
    line = {
        "benchmark": "encode_vs_peers",
        "date": peer_record.today(),
        "commit": runs[0]["participants"][0]["version"],
        "machine": machine,
        "texts": f"{len(lengths)} passages, {min(lengths)} to {max(lengths)} tokens, {sum(lengths)} in all",
        "rounds": options.rounds,
        "passages_a_round": options.slice,
        "runs": runs,
    }
    print(peer_report.document(line))
    if options.record:
        peer_report.record(line, HERE.parent)
    else:
        (options.scratch / "last.json").write_text(json.dumps(line))
        peer_report.draw(line, options.scratch / "encode_vs_peers.png")
        print(f"not recorded; the line is {options.scratch / 'last.json'}, the plot is beside it")


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
