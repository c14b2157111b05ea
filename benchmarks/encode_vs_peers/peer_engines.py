"""The peers: how each is loaded and fed. One class an engine; none imports what it does not use.

An engine has load(), files(), version(), about, variants() and encode(batches, mode): lists of id lists -> arrays
(texts, width) of unit rows. A variant is "MODE x SIZE": SIZE texts a call, padded to the longest where the engine
cannot do without. `single` is the mode for one text at once; the first variant is the leanest.
"""

import ctypes
import queue
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version as package_version

import numpy as np

SIZES = (1, 2, 4, 8)
NAMES = ["input_ids", "attention_mask"]


def padded(batch):
    length = max(map(len, batch))
    ids = np.zeros((len(batch), length), np.int64)
    mask = np.zeros((len(batch), length), np.int64)
    for row, text in enumerate(batch):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = 1
    return {NAMES[0]: ids, NAMES[1]: mask}


class Engine:
    package = ""
    modes = ("single",)

    def __init__(self, options):
        self.out, self.model, self.threads = options.out, options.model, options.threads

    def version(self):
        return f"{self.package} {package_version(self.package)}"

    def variants(self):
        modes = self.modes if self.threads > 1 else self.modes[:1]
        return [f"{mode} x {size}" for mode in modes for size in SIZES]


class OpenVino(Engine):
    """`single` is one request on all threads; `each` gives every thread a request of its own.

    That would be the throughput hint, but in 2026.4.1 the fused MLP it uses for bf16 on AMX (LLMMLP) divides by zero
    when a stream has a single thread. So there are as many compiled models as threads, and those of one thread are
    kept from the fusion: a doubled GELU does not match it, and its product is halved again.
    """

    package = "openvino"
    modes = ("single", "each")
    quantized = False

    def __init__(self, options, folder="openvino", about="bf16"):
        super().__init__(options)
        import openvino

        self.core = openvino.Core()
        self.path, self.about, self.requests = self.out / folder / "model.xml", about, {}

    def files(self):
        return [self.path, self.path.with_suffix(".bin")]

    def load(self):
        self.requests = {}
        self._requests("single")

    def _requests(self, mode):
        if mode not in self.requests:
            settings = {"INFERENCE_PRECISION_HINT": "bf16", "PERFORMANCE_HINT": "LATENCY"}
            settings["INFERENCE_NUM_THREADS"] = self.threads if mode == "single" else 1
            settings["ENABLE_CPU_PINNING"] = mode == "single"
            count = 1 if mode == "single" else self.threads
            graph = self.core.read_model(self.path)
            if settings["INFERENCE_NUM_THREADS"] == 1 and not self.quantized:
                self._keep_from_fusion(graph)
            models = [self.core.compile_model(graph, "CPU", settings) for _ in range(count)]
            self.requests[mode] = [model.create_infer_request() for model in models]
            for request in self.requests[mode]:  # two first calls at once wait for one another for ever
                request.infer(padded([[2, 1]]))
        return self.requests[mode]

    @staticmethod
    def _keep_from_fusion(graph):
        from openvino import opset13

        for gelu in [operation for operation in graph.get_ops() if operation.get_type_name() == "Gelu"]:
            (product,) = [target.get_node() for target in gelu.output(0).get_target_inputs()]
            behind = list(product.output(0).get_target_inputs())
            doubled = opset13.multiply(gelu.output(0), opset13.constant(np.float32(2)))
            for port in product.inputs():
                if port.get_source_output().get_node() == gelu:
                    port.replace_source_output(doubled.output(0))
            halved = opset13.multiply(product.output(0), opset13.constant(np.float32(0.5)))
            for port in behind:
                port.replace_source_output(halved.output(0))

    def encode(self, batches, mode):
        requests = self._requests(mode)
        if len(requests) == 1:
            return [requests[0].infer(padded(batch))[0].copy() for batch in batches]
        free = queue.SimpleQueue()
        for request in requests:
            free.put(request)

        def infer(batch):
            request = free.get()
            try:
                return request.infer(padded(batch))[0].copy()
            finally:
                free.put(request)

        with ThreadPoolExecutor(len(requests)) as pool:
            return list(pool.map(infer, batches))


class OpenVinoInt8(OpenVino):
    quantized = True

    def __init__(self, options):
        super().__init__(options, "openvino-int8", "int8 weights and activations (NNCF), rest bf16")


class OnnxRuntime(Engine):
    """`each` gives every thread its own text and no pool within: the same session options but for that."""

    package = "onnxruntime"
    modes = ("single", "each")

    def __init__(self, options, folder="onnx", about="fp32"):
        super().__init__(options)
        import onnxruntime

        self.library = onnxruntime
        self.folder, self.about, self.sessions = self.out / folder, about, {}

    def files(self):
        return [file for file in self.folder.iterdir() if file.is_file()]

    def load(self):
        self.sessions = {}
        self._session("single")

    def _session(self, mode):
        if mode not in self.sessions:
            settings = self.library.SessionOptions()
            settings.intra_op_num_threads = self.threads if mode == "single" else 1
            settings.inter_op_num_threads = 1
            self.sessions[mode] = self.library.InferenceSession(
                str(self.folder / "model.onnx"), settings, providers=["CPUExecutionProvider"]
            )
        return self.sessions[mode]

    def encode(self, batches, mode):
        session = self._session(mode)
        if mode == "single":
            return [session.run(None, padded(batch))[0] for batch in batches]
        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(lambda batch: session.run(None, padded(batch))[0], batches))


class OnnxRuntimeInt8(OnnxRuntime):
    def __init__(self, options):
        super().__init__(options, "onnx-int8", "int8 weights, dynamic int8 activations")


class Torch(Engine):
    package = "torch"
    about = "bf16, sdpa"

    def __init__(self, options):
        super().__init__(options)
        import torch

        import peer_model

        self.library, self.make = torch, peer_model.Encoder
        torch.set_num_threads(self.threads)

    def files(self):
        return self.model.rglob("*.safetensors")

    def load(self):
        self.module = self.make(self.model, self.library.bfloat16)

    def encode(self, batches, _mode):
        tensor = self.library.from_numpy
        rows = []
        with self.library.inference_mode():
            for batch in batches:
                inputs = padded(batch)
                if inputs[NAMES[1]].all():
                    rows.append(self.module.forward_unpadded(tensor(inputs[NAMES[0]])).numpy())
                else:
                    rows.append(self.module(tensor(inputs[NAMES[0]]), tensor(inputs[NAMES[1]])).numpy())
        return rows


class LlamaCpp(Engine):
    """The library's own C interface, for its Python face takes text. Texts of a call stand unpadded in one batch."""

    package = "llama-cpp-python"
    about = "Q8_0"
    context_tokens = 512  # a text of the mix or less; more only makes its buffers larger

    def __init__(self, options):
        super().__init__(options)
        import llama_cpp

        self.library = llama_cpp
        self.path = self.out / "gguf" / "model.gguf"
        self.quiet = llama_cpp.llama_log_callback(lambda _level, _text, _data: None)
        llama_cpp.llama_log_set(self.quiet, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self.loaded, self.contexts = None, {}

    def files(self):
        return [self.path]

    def load(self):
        self.loaded = self.library.llama_model_load_from_file(
            str(self.path).encode(), self.library.llama_model_default_params()
        )
        if not self.loaded:
            raise SystemExit(f"{self.path}: llama.cpp does not load it")
        self.width = self.library.llama_model_n_embd(self.loaded)
        self._context(1)

    def _context(self, size):
        if size not in self.contexts:
            settings = self.library.llama_context_default_params()
            settings.n_ctx = settings.n_batch = settings.n_ubatch = self.context_tokens * size
            settings.n_seq_max = size
            settings.n_threads = settings.n_threads_batch = self.threads
            settings.embeddings = True
            settings.pooling_type = self.library.LLAMA_POOLING_TYPE_MEAN
            settings.kv_unified = True
            self.contexts[size] = self.library.llama_init_from_model(self.loaded, settings)
            if not self.contexts[size]:
                raise SystemExit(f"llama.cpp gives no context for {size} texts of {self.context_tokens} tokens")
        return self.contexts[size]

    def _call(self, context, batch):
        library = self.library
        memory = library.llama_get_memory(context)
        if memory:
            library.llama_memory_clear(memory, True)
        tokens = library.llama_batch_init(sum(map(len, batch)), 0, len(batch))
        at = 0
        for sequence, text in enumerate(batch):
            for position, token in enumerate(text):
                tokens.token[at], tokens.pos[at], tokens.logits[at] = token, position, 1
                tokens.n_seq_id[at], tokens.seq_id[at][0] = 1, sequence
                at += 1
        tokens.n_tokens = at
        failed = library.llama_decode(context, tokens)
        library.llama_batch_free(tokens)
        if failed:
            raise SystemExit(f"llama_decode gave {failed} for {len(batch)} texts")
        found = [library.llama_get_embeddings_seq(context, i)[: self.width] for i in range(len(batch))]
        rows = np.array(found, np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def encode(self, batches, _mode):
        context = self._context(max(map(len, batches)))
        return [self._call(context, batch) for batch in batches]


PEERS = {
    "openvino-bf16": OpenVino,
    "openvino-int8": OpenVinoInt8,
    "onnxruntime-int8": OnnxRuntimeInt8,
    "onnxruntime-fp32": OnnxRuntime,
    "torch-bf16": Torch,
    "llamacpp-q8_0": LlamaCpp,
}
