"""A handshake of our own with a cluster, before Ray is asked: Ray hangs for over 30 s where it is refused, without a reason.

Ray speaks gRPC, which is HTTP/2, with or without TLS. A server of HTTP/2 sends its settings as the first frame. With TLS 1.3 it
refuses a client's certificate only after the client's side of the handshake, so this waits for that frame in any case.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gym_gazebo2.algos.security.addresses import split_address
from gym_gazebo2.algos.security.admission import ADVICE
from gym_gazebo2.algos.security.credentials import Credentials
from gym_gazebo2.errors import RunError, WorkerError

__all__ = ["probe"]

CONNECT_TIMEOUT_S = 4.0
"""Longest wait for a connection [s]."""
ANSWER_TIMEOUT_S = 3.0
"""Longest wait for each answer after that [s]."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""First bytes of a client of HTTP/2 (RFC 9113, 3.4): the preface, and a frame of empty settings."""
HEADER_SIZE, SETTINGS = 9, 4
"""Bytes of a frame's header, and the type of the first frame of a server, its fourth byte (RFC 9113, 4.1 and 6.5)."""
TLS_RECORDS = (0x15, 0x16)
"""First byte of a TLS alert or handshake: the answer of a server with TLS to plain bytes."""


def probe(address: str, credentials: Credentials) -> None:
    """Check that a server of gRPC answers at an address, and takes our certificate. The token is checked later.

    Args:
        address: HOST:PORT.
        credentials: Ours.

    Raises:
        InvalidArgumentError: The address has another form.
        RunError: The certificates cannot be read.
        WorkerError: Nothing answers, something else does, or one side refuses the other's certificate.
    """
    host, port = split_address(address)
    try:
        connection = socket.create_connection((host, port), CONNECT_TIMEOUT_S)
    except OSError as error:
        start = f"Start a cluster there with: gym-gazebo2 cluster head --address {host} --port {port}"
        raise WorkerError(f"No Ray cluster answers at {address}: {error}. {start}") from error
    with connection:
        connection.settimeout(ANSWER_TIMEOUT_S)
        if credentials.has_tls:
            _probe_tls(connection, host, address, credentials)
        else:
            _probe_plain(connection, address)


def _probe_plain(connection: socket.socket, address: str) -> None:
    answer = _exchange(connection, address)
    if not answer or answer[0] in TLS_RECORDS:
        raise WorkerError(f"The server at {address} closes connections without a certificate. {ADVICE}")
    _check_answer(answer, address)


def _probe_tls(connection: socket.socket, host: str, address: str, credentials: Credentials) -> None:
    try:
        with _make_context(credentials) as context, context.wrap_socket(connection, server_hostname=host) as secure:
            answer = _exchange(secure, address)
            if not answer:
                raise WorkerError(f"The cluster at {address} refuses the certificate of {credentials.source}. {ADVICE}")
            _check_answer(answer, address)
    except ssl.SSLCertVerificationError as error:
        own = f"the CA of {credentials.source}"
        raise WorkerError(
            f"The certificate of the cluster at {address} is not valid for {own}: {error.verify_message}. {ADVICE}"
        ) from error
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).lower().replace("_", " ")
        if any(word in reason for word in ("wrong version", "record layer", "http request", "unexpected eof", "packet length")):
            sentence = f"The server at {address} does not use TLS. Check the address; without TLS the token would be readable."
            raise WorkerError(sentence) from error
        raise WorkerError(
            f"The cluster at {address} refuses the certificate of {credentials.source}: {reason}. {ADVICE}"
        ) from error
    except TimeoutError as error:
        raise _make_silent(address) from error
    except OSError as error:
        raise WorkerError(f"The server at {address} closed the connection: {error}. {ADVICE}") from error


def _exchange(connection: socket.socket, address: str) -> bytes:
    """Send the first bytes of a client, and return the first bytes of the server; none where it closes the connection."""
    try:
        connection.sendall(PREFACE)
        return connection.recv(HEADER_SIZE)
    except TimeoutError as error:
        raise _make_silent(address) from error
    except (ConnectionError, BrokenPipeError):
        return b""


def _check_answer(answer: bytes, address: str) -> None:
    if len(answer) < HEADER_SIZE or answer[3] != SETTINGS:
        raise WorkerError(f"Another program than Ray answers at {address}. Check host and port.")


def _make_silent(address: str) -> WorkerError:
    sentence = f"No Ray cluster answers at {address}: connected, but nothing came within {ANSWER_TIMEOUT_S:g} s."
    return WorkerError(f"{sentence} Check host, port and certificates.")


@contextlib.contextmanager
def _make_context(credentials: Credentials) -> Iterator[ssl.SSLContext]:
    """Yield a context that checks the server, and shows our certificate. Python reads that from a file only."""
    context = ssl.create_default_context(cadata=credentials.authority)
    context.set_alpn_protocols(["h2"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "own.pem"  # in a folder of mode 0700
        path.write_text(credentials.certificate + credentials.key)
        try:
            context.load_cert_chain(path)
        except (ssl.SSLError, OSError) as error:
            raise RunError(f"{credentials.source} has no valid certificate and key. {ADVICE}") from error
    yield context
