"""python tiny_gguf.py FILE: writes a language model of half a megabyte with random weights.

A real engine runs it as it runs any other: llama architecture, two layers, a vocabulary of bytes. It
knows nothing, so what it says is noise; but an engine that holds it to a grammar makes it say valid
JSON, and tool calls whose arguments fit their schema. That is a test of everything between a session
and a model's tokens that needs no download of weights. Weights come from a fixed seed: equal files.

The format is GGUF 3: a header, metadata, the list of tensors, and their data, each at a multiple of 32.
"""

import random
import struct
import sys

WIDTH = 64
HIDDEN = 128
LAYERS = 2
HEADS = 4
CONTEXT = 8192

UINT32, FLOAT32, STRING, ARRAY = 4, 6, 8, 9
INT32 = 5
TENSOR_F32 = 0
ALIGNMENT = 32

UNKNOWN, CONTROL, NORMAL, BYTE = 2, 3, 1, 6  # kinds of tokens


def vocabulary():
    """Tokens with their scores and kinds: three special ones, every byte, printable ASCII."""
    tokens = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL)]
    tokens += [(f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)]
    tokens.append(("\u2581", -1.0, NORMAL))  # how the tokenizer writes a space
    tokens += [(chr(code), -1.0, NORMAL) for code in range(33, 127)]
    return tokens


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def scalar(kind, value):
    if kind == STRING:
        return text(value)
    return struct.pack({UINT32: "<I", INT32: "<i", FLOAT32: "<f"}[kind], value)


def pair(key, kind, value):
    return text(key) + struct.pack("<I", kind) + scalar(kind, value)


def list_pair(key, kind, values):
    head = text(key) + struct.pack("<IIQ", ARRAY, kind, len(values))
    return head + b"".join(scalar(kind, value) for value in values)


def metadata(tokens):
    return [
        pair("general.architecture", STRING, "llama"),
        pair("general.name", STRING, "noise"),
        pair("llama.context_length", UINT32, CONTEXT),
        pair("llama.embedding_length", UINT32, WIDTH),
        pair("llama.feed_forward_length", UINT32, HIDDEN),
        pair("llama.block_count", UINT32, LAYERS),
        pair("llama.attention.head_count", UINT32, HEADS),
        pair("llama.attention.head_count_kv", UINT32, HEADS),
        pair("llama.attention.layer_norm_rms_epsilon", FLOAT32, 1e-5),
        pair("llama.rope.dimension_count", UINT32, WIDTH // HEADS),
        pair("tokenizer.ggml.model", STRING, "llama"),
        list_pair("tokenizer.ggml.tokens", STRING, [token for token, _, _ in tokens]),
        list_pair("tokenizer.ggml.scores", FLOAT32, [score for _, score, _ in tokens]),
        list_pair("tokenizer.ggml.token_type", INT32, [kind for _, _, kind in tokens]),
        pair("tokenizer.ggml.bos_token_id", UINT32, 1),
        pair("tokenizer.ggml.eos_token_id", UINT32, 2),
        pair("tokenizer.ggml.unknown_token_id", UINT32, 0),
    ]


def tensors(words):
    """Names and shapes, the fastest dimension first."""
    yield "token_embd.weight", (WIDTH, words)
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        yield block + "attn_norm.weight", (WIDTH,)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield block + name + ".weight", (WIDTH, WIDTH)
        yield block + "ffn_norm.weight", (WIDTH,)
        yield block + "ffn_gate.weight", (WIDTH, HIDDEN)
        yield block + "ffn_up.weight", (WIDTH, HIDDEN)
        yield block + "ffn_down.weight", (HIDDEN, WIDTH)
    yield "output_norm.weight", (WIDTH,)
    yield "output.weight", (WIDTH, words)


def weights(name, shape, source):
    count = 1
    for size in shape:
        count *= size
    values = [1.0] * count if "norm" in name else [source.gauss(0, 0.2) for _ in range(count)]
    return struct.pack(f"<{count}f", *values)


def padding(length):
    return b"\0" * (-length % ALIGNMENT)


def model():
    tokens = vocabulary()
    pairs = metadata(tokens)
    source = random.Random(1)
    listing, data = b"", b""
    shapes = list(tensors(len(tokens)))
    for name, shape in shapes:
        listing += text(name) + struct.pack("<I", len(shape))
        listing += b"".join(struct.pack("<Q", size) for size in shape)
        listing += struct.pack("<IQ", TENSOR_F32, len(data))
        piece = weights(name, shape, source)
        data += piece + padding(len(piece))
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(pairs)) + b"".join(pairs) + listing
    return head + padding(len(head)) + data


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(sys.argv[1], "wb") as file:
        file.write(model())
