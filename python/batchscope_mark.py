"""Writes phases of this program into the recording that runs around it (batchscope record -- PROGRAM).

    with batchscope_mark.phase("prefill"): ...      @batchscope_mark.phase("step")      batchscope_mark.mark("loaded")

Python's own library is all that is needed. Nothing blocks or raises; without a recording nothing happens.
"""
import contextlib, itertools, os, socket, threading, time

_channel = None  # the socket, False when there is no recording, None before the first mark
_lock = threading.Lock()
_sequence, _ids = itertools.count(1), itertools.count(1)


def _after_fork():
    global _channel, _lock, _sequence
    _channel, _lock, _sequence = None if _channel else _channel, threading.Lock(), itertools.count(1)


os.register_at_fork(after_in_child=_after_fork)


def _connect():
    path = os.environ.get("BATCHSCOPE_MARKS")
    if not path:
        return False
    try:
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        channel.setblocking(False)
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        channel.connect(path)
        return channel
    except OSError:
        return False


def _send(kind, name, id=""):
    global _channel
    if _channel is False:
        return
    now, thread = time.monotonic_ns(), threading.get_native_id()
    text = "".join(c if c >= " " else " " for c in str(name)).encode(errors="replace")[:400]
    with _lock:
        if _channel is None:
            _channel = _connect()
        if not _channel:
            return
        message = f"{kind}\t{next(_sequence)}\t{now}\t{now}\t{thread}\t\t{id}\t".encode() + text + b"\t"
        try:
            _channel.send(message, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            pass  # the recording does not keep up; it counts what is lost
        except OSError:
            _channel = False


def mark(name):
    """A point in time."""
    _send("point", name)


def begin(name):
    """Begins a phase of this thread; end(name) ends the last one of that name."""
    _send("begin", name)


def end(name):
    _send("end", name)


@contextlib.contextmanager
def phase(name):
    """The time inside a with statement, or of a decorated function; phases of one name may overlap."""
    id = str(next(_ids))
    _send("begin", name, id)
    try:
        yield
    finally:
        _send("end", name, id)
