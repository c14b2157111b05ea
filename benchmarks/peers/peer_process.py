"""One participant of a comparison as a process of its own, which answers requests: a JSON object a line.

The driver's side is Participant, the peer's is serve(). Everyone stays loaded; all but the one whose turn it is are
stopped (SIGSTOP), so that no idle thread pool takes a core. A peer that ends or hangs takes down only itself.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path


class Failed(Exception):
    """A participant that ended or hangs."""


class Participant:
    def __init__(self, name, command, patience_seconds=300):
        self.name, self.command, self.patience, self.process = name, command, patience_seconds, None

    def start(self, log, **environment):
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | environment,
        )

    def ask(self, op, patience_seconds=None, **request):
        """The answer; the process runs only meanwhile. An answer {"error": why} is a failure too."""
        patience = patience_seconds or self.patience
        try:
            self.process.send_signal(signal.SIGCONT)
            self.process.stdin.write(json.dumps({"op": op, **request}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError as gone:
            raise Failed(f"{self.name}: its process ended with {self.process.wait()}; the log says why") from gone
        if not select.select([self.process.stdout], [], [], patience)[0]:
            self.process.kill()
            self.process.wait()
            raise Failed(f"{self.name}: no answer to {op} within {patience:g} s")
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"{self.name}: its process ended with {self.process.wait()}; the log says why")
        self.process.send_signal(signal.SIGSTOP)
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(f"{self.name}: {answer['error']}")
        return answer

    def pin(self, processors):
        """All of its threads onto these processors: what they start later inherits that."""
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):  # a thread that ended meanwhile
                os.sched_setaffinity(int(task.name), processors)

    def stop(self):
        """Ends the process, if need be by force."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:  # a library's own threads keep it
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process = None


def status_bytes(*fields):
    """The sum of fields of /proc/self/status, such as VmHWM, RssAnon, RssFile."""
    total = 0
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in fields:
            total += int(rest.split()[0]) * 1024
    return total


def serve(worker):
    """Answers the requests on standard input by the methods of `worker` that their "op" names, until it ends.

    An exception becomes {"error": why}; its traceback goes to standard error.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not stand among the answers
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request["op"])(request)
        except Exception as error:  # of any library, of any kind: the driver leaves it out
            import traceback

            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), file=answers, flush=True)
