"""Drives Nestor and its peers in turns over the same vectors and writes down what came out. Run through run_search.

For every size: each builds its index in a process of its own (all processors), then another process opens it, twice, so
that the second opening is from a warm page cache; its settings are tried on a few questions; then the rounds: in each,
everyone gets the same questions at each of its settings, one at a time, on one processor. A peer that ends, hangs or is
missing is left out with the reason.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "peers"))

import peer_record  # noqa: E402
import search_report  # noqa: E402
import search_vectors  # noqa: E402
from peer_process import Failed, Participant  # noqa: E402

NESTOR = ["nestor-index", "nestor-database"]
PEERS = (
    "faiss-pq256 faiss-pq faiss-rabitq faiss-hnsw faiss-flat hnswlib usearch zvec zvec-rabitq qdrant-edge lancedb "
    "chroma sqlite-vec"
).split()
WARMING = 5  # questions before those that count, in every turn
TRIED, TRY_SECONDS = 50, 3
ENOUGH, USELESS = 0.9985, 0.75  # recall: no costlier setting is tried; a setting is not measured
BATCH, BATCH_SIZE, BATCH_ROUNDS, BATCH_REPEATS = 64, 100_000, 7, 3
# Libraries that start a thread a processor start one; a turn is pinned to one processor anyway.
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "RAYON")} | {"TOKIO_WORKER_THREADS": "1"}
# OpenMP's threads would spin at every barrier: beside anything else on the machine that takes ten times as long.
PATIENT = {"OMP_WAIT_POLICY": "PASSIVE"}
HOPELESS = 1.5  # times the limit that a build is expected to take, by the one before it


class Searcher(Participant):
    def __init__(self, name, options):
        if name in NESTOR:
            command = [str(options.build / "benchmarks/search_worker"), name.removeprefix("nestor-")]
        else:
            command = [sys.executable, "-B", str(HERE / "search_peer_worker.py"), name]
        super().__init__(name, command, options.limit_seconds)
        self.limit = options.limit_seconds
        self.scratch = options.scratch
        self.last_build = None  # (rows, seconds) of the size before
        self.figures, self.place = {}, {}

    def begin(self, log, **environment):
        self.stop()
        self.start(log, **PATIENT, **environment)
        return self.ask("about", patience_seconds=120)

    def build(self, count, threads, log):
        """The figures of the building; what is there from an earlier run of a peer's same version is taken."""
        if self.last_build:
            expected = self.last_build[1] * count / self.last_build[0]
            if expected > HOPELESS * self.limit:
                raise Failed(
                    f"{self.name}: {self.last_build[0]:,} rows took {self.last_build[1]:.0f} s to build; {count:,} would "
                    f"take {expected:.0f} s, the limit is {self.limit:g} s"
                )
        folder = self.scratch / "indexes" / f"{self.name}-{count}"
        self.place = {"vectors": str(self.scratch / "rows.f32"), "count": count, "folder": str(folder)}
        about = self.begin(log)
        known = folder / "built.json"
        built = json.loads(known.read_text()) if known.is_file() else {}
        identity = {"version": about["version"], "about": about["about"], "build_threads": threads}
        if self.name in NESTOR or not identity.items() <= built.items():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            texts = str(self.scratch / "texts.jsonl")
            built = identity | self.ask("build", **self.place, texts=texts, threads=threads)
            self.stop()  # what it writes when it ends counts
            built["disk_bytes"] = built.pop("rows_bytes", 0) + sum(
                file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file()
            )
            known.write_text(json.dumps(built))
        self.stop()
        self.last_build = (count, built["build_s"])
        self.figures = {"name": self.name, "rows": count, **built}
        return about

    def _open(self, log):
        self.begin(log, **ONE_THREAD)
        queries = str(self.scratch / "queries.f32")
        return self.ask("open", **self.place, queries=queries, patience_seconds=120)

    def open(self, log):
        """A new process that has the index open, the second of two, and its settings."""
        self._open(log)
        opened = self._open(log)
        self.figures |= {"open_s": opened["open_s"], "batches": opened["batches"]}
        return opened["settings"]

    def memory(self, questions, log):
        """What a new process grows by that opens the index and answers with the setting of the table."""
        self._open(log)
        self.search(search_report.shown(self.figures)["setting"], list(range(questions)), TRY_SECONDS)
        memory = self.ask("memory")
        self.stop()
        return memory

    def search(self, setting, queries, budget_s):
        found = self.ask("run", setting=setting, queries=queries, budget_s=budget_s, patience_seconds=120)
        return found["ms"], found["ids"]


class Questions:
    """The exact answers, and what an answer is worth."""

    def __init__(self, scratch, count):
        self.rows = search_vectors.rows_of(scratch, count)
        self.queries = search_vectors.queries_of(scratch, -1)
        self.tenth = search_vectors.tenth_scores(self.rows, self.queries)

    def share(self, number, ids):
        return search_vectors.found_share(self.rows, self.queries[number], ids, self.tenth[number])


def try_settings(one, settings, questions):
    """The settings worth measuring: none after the first that finds practically all, none that finds little."""
    kept = []
    for setting in settings:
        one.search(setting, list(range(WARMING)), TRY_SECONDS)
        _, ids = one.search(setting, list(range(TRIED)), TRY_SECONDS)
        recall = sum(questions.share(i, found) for i, found in enumerate(ids)) / len(ids)
        if recall >= USELESS or setting == settings[-1]:
            kept.append(setting)
        if recall >= ENOUGH and setting != "default":
            break
    return kept


def turn(one, numbers, questions, budget_s):
    warming = [(numbers[0] - 1 - i) % len(questions.queries) for i in range(WARMING)]
    # What these questions read from files is in memory for every setting, not for all but the first.
    one.search(next(iter(one.figures["curve"])), numbers, budget_s)
    for setting, curve in one.figures["curve"].items():
        one.search(setting, warming, budget_s)
        ms, ids = one.search(setting, numbers, budget_s)
        curve["rounds"].append(ms)
        curve["shares"] += [questions.share(number, found) for number, found in zip(numbers, ids)]


def in_rounds(everyone, options, questions, leave_out):
    total = len(questions.queries)
    processors = sorted(os.sched_getaffinity(0))
    for round_number in range(options.rounds):
        numbers = [(round_number * options.slice + i) % total for i in range(options.slice)]
        for one in everyone[:: 1 if round_number % 2 == 0 else -1]:
            try:
                one.pin({processors[round_number % len(processors)]})
                turn(one, numbers, questions, options.budget_seconds)
            except Failed as failure:
                leave_out(one, failure)
        print(f"  round {round_number + 1} of {options.rounds}", flush=True)


def in_batches(everyone, threads, leave_out):
    """Questions a second of 64 at once, for those that can, at the setting that search_report takes for them."""
    able = [one for one in everyone if one.figures["batches"] and search_report.chosen(one.figures)]
    for one in able:
        one.pin(os.sched_getaffinity(0))
        one.figures["batch_per_second"] = []
    for _ in range(BATCH_ROUNDS):
        for one in list(able):
            setting = search_report.chosen(one.figures)["setting"]
            try:
                seconds = one.ask(
                    "batch", setting=setting, queries=list(range(BATCH)), threads=threads, repeat=BATCH_REPEATS
                )["seconds"]
                one.figures["batch_per_second"].append(BATCH / sorted(seconds)[len(seconds) // 2])
            except Failed as failure:
                leave_out(one, failure)
                able.remove(one)


def measure(everyone, count, options, log):
    """The figures of one size, and the reasons of those that are left out. Whoever failed leaves `everyone`."""
    missing = []

    def leave_out(one, failure):
        print(f"  LEFT OUT: {failure}", flush=True)
        missing.append({"name": one.name, "reason": str(failure).removeprefix(f"{one.name}: ")})
        one.stop()
        everyone.remove(one)

    questions = Questions(options.scratch, count)
    with contextlib.ExitStack() as running:
        for one in list(everyone):
            running.callback(one.stop)
            try:
                one.build(count, options.build_threads, log)
                settings = try_settings(one, one.open(log), questions)
                one.figures["curve"] = {setting: {"rounds": [], "shares": []} for setting in settings}
                print(f"  {one.name}: built in {one.figures['build_s']:.1f} s, {len(settings)} settings", flush=True)
            except Failed as failure:
                leave_out(one, failure)
        in_rounds(everyone, options, questions, leave_out)
        for one in everyone:
            one.figures["curve"] = search_report.curve(one.figures["curve"])
        if count == BATCH_SIZE:
            in_batches(everyone, options.batch_threads, leave_out)
        for one in list(everyone):
            try:
                one.figures["memory"] = one.memory(options.rounds * options.slice, log)
            except Failed as failure:
                leave_out(one, failure)
    return {
        "rows": count,
        "participants": search_report.summaries([one.figures for one in everyone]),
        "missing": missing,
    }


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scratch", type=Path, required=True, help="what search_vectors.py made")
    parser.add_argument("--build", type=Path, default=Path("build/release"))
    parser.add_argument("--sizes", default="13887,25000,100000,500000")
    parser.add_argument("--nestor", default=",".join(NESTOR))
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--slice", type=int, default=40, help="questions a round")
    parser.add_argument("--limit-seconds", type=float, default=300, help="for a build; who needs more is left out from there on")
    parser.add_argument("--budget-seconds", type=float, default=2, help="for a turn with one setting; the slow get fewer questions")
    parser.add_argument("--build-threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--batch-threads", type=int, default=2)
    parser.add_argument("--note", help="a sentence about the circumstances, kept with the figures")
    parser.add_argument("--record", action="store_true", help="write results.jsonl, FIGURES.md and the plots")
    return parser.parse_args()


def main():
    options = arguments()
    # Ended from outside it must still wake and end those that wait.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    names = [name for name in f"{options.nestor},{options.peers}".split(",") if name]
    everyone = [Searcher(name, options) for name in names]
    sizes = []
    with (options.scratch / "peers.log").open("w") as log:
        probe = Searcher(NESTOR[0], options)
        about = probe.begin(log)
        probe.stop()
        line = {
            "benchmark": "search_vs_peers",
            "date": peer_record.today(),
            "commit": about["version"],
            "machine": about["machine"],
            "rounds": options.rounds,
            "questions_a_round": options.slice,
            "build_threads": options.build_threads,
            "batch_threads": options.batch_threads,
            "limit_seconds": options.limit_seconds,
            "note": options.note,
            "sizes": sizes,
        }
        for count in map(int, options.sizes.split(",")):
            print(f"{count:,} rows", flush=True)
            sizes.append(measure(everyone, count, options, log))
            (options.scratch / "last.json").write_text(json.dumps(line))
    print(search_report.document(line))
    if options.record:
        search_report.record(line, HERE.parent)
    else:
        search_report.draw(line, options.scratch)
        print(f"not recorded; the line is {options.scratch / 'last.json'}, the plots are beside it")


if __name__ == "__main__":
    main()
