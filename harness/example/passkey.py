"""The same as passkey.c from Python: ctypes and numpy. Usage: passkey.py CHECKPOINT

The library is found as libtitans.so.1, or where TITANS_LIBRARY says."""
import ctypes
import os
import sys

import numpy as np

KEY, DIGIT, WORD, FILLER, FILLERS, TOKENS, NEEDLE = 1, 4, 14, 46, 128, 4000, 1234


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("message", ctypes.c_char * 512)]


class StreamOptions(ctypes.Structure):
    _fields_ = [("batch", ctypes.c_int64), ("capacity", ctypes.c_int64), ("segment", ctypes.c_int64)]


lib = ctypes.CDLL(os.environ.get("TITANS_LIBRARY", "libtitans.so.1"))
lib.titans_model_number.restype = ctypes.c_double
for name in ("titans_model_open", "titans_stream_new", "titans_stream_snapshot"):
    getattr(lib, name).restype = ctypes.c_void_p


def stop(error):
    sys.exit("passkey.py: " + error.message.decode())


def read(stream, tokens, logits):
    error = Error()
    tokens = np.ascontiguousarray(tokens, dtype=np.int32)
    where = logits.ctypes.data_as(ctypes.c_void_p) if logits is not None else None
    if lib.titans_read(stream, tokens.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(len(tokens)), where,
                       ctypes.byref(error)):
        stop(error)


def ask(stream, logits):
    digits = []
    read(stream, [KEY, WORD], logits)
    for _ in range(7):
        best = int(np.argmax(logits))
        digits.append(best - DIGIT)
        read(stream, [best], logits)
    return digits


def main():
    if len(sys.argv) != 2:
        sys.exit("Usage: passkey.py CHECKPOINT")
    error = Error()
    model = lib.titans_model_open(sys.argv[1].encode(), None, ctypes.byref(error))
    if not model:
        stop(error)
    model = ctypes.c_void_p(model)
    vocab = int(lib.titans_model_number(model, b"vocab"))
    stream = lib.titans_stream_new(model, ctypes.byref(StreamOptions(1, TOKENS + 64, 0)), ctypes.byref(error))
    if not stream:
        stop(error)
    stream = ctypes.c_void_p(stream)
    seed, text = 1, []
    for _ in range(TOKENS):
        seed = (seed * 1664525 + 1013904223) % 2**32
        text.append(FILLER + (seed >> 25) % FILLERS)
    hidden = [3, 1, 4, 1, 5, 9, 2]
    text[NEEDLE:NEEDLE + 9] = [KEY, WORD] + [DIGIT + d for d in hidden]
    logits = np.empty(vocab, dtype=np.float32)
    read(stream, text, None)
    before = ctypes.c_void_p(lib.titans_stream_snapshot(stream, ctypes.byref(error)))
    print("hidden    ", *hidden)
    print("recalled  ", *ask(stream, logits))
    if lib.titans_stream_rollback(stream, before, ctypes.byref(error)):
        stop(error)
    print("again     ", *ask(stream, logits))
    lib.titans_snapshot_free(before)
    lib.titans_stream_free(stream)
    lib.titans_model_close(model)


main()
