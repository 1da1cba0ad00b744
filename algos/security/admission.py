"""Which credentials belong to an address, and whether they suffice, before anything is sent there."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

from gym_gazebo2.algos.security.addresses import has_address, is_loopback, split_address
from gym_gazebo2.algos.security.certificates import get_expiry
from gym_gazebo2.algos.security.credentials import Credentials, read_environment, read_invite
from gym_gazebo2.algos.security.head_folder import HeadFolder, find_default_folder
from gym_gazebo2.errors import RunError, WorkerError

__all__ = ["ADVICE", "find_credentials"]

ADVICE = "Make an invite on the head with `gym-gazebo2 cluster invite ADDRESS`, and give it with --invite FILE."


def find_credentials(address: str, invite: str | os.PathLike[str] | None = None, insecure: bool = False) -> Credentials:
    """Return the credentials for a cluster: of an invite, of Ray's environment variables, or of a head on this machine.

    Args:
        address: HOST:PORT of the cluster.
        invite: File of ``cluster invite``.
        insecure: Accept a connection without TLS, because a VPN encrypts it.

    Raises:
        InvalidArgumentError: The address has another form.
        RunError: The invite cannot be read.
        WorkerError: Token or certificate are missing, or the certificate has expired.
    """
    host, _ = split_address(address)
    found = read_invite(Path(invite)) if invite is not None else read_environment(os.environ) or _find_own(address)
    _check_expiry(found)
    if is_loopback(host):
        return found
    if not found.token:
        raise WorkerError(f"There is no token for the cluster at {address}. {ADVICE}")
    if not found.has_tls and not (insecure or found.insecure):
        sentence = f"There is no certificate for the cluster at {address}: its traffic would be readable. {ADVICE}"
        raise WorkerError(f"{sentence} If a VPN encrypts it, use --insecure.")
    return found


def _find_own(address: str) -> Credentials:
    """Return the credentials of a head of this user on this machine, else Ray's own token for this machine's clusters."""
    try:
        head = HeadFolder(find_default_folder()).read()
    except RunError:
        head = Credentials()
    host, port = split_address(address)
    if head.address and (head.address == address or (is_loopback(host) and split_address(head.address)[1] == port)):
        return head
    path = Path.home() / ".ray" / "auth_token"
    is_here = is_loopback(host) or has_address(host)
    token = path.read_text().strip() if is_here and path.is_file() else ""
    return Credentials(token=token, source=str(path))


def _check_expiry(credentials: Credentials) -> None:
    """Check a certificate's time here: the other side would only close the connection."""
    if not credentials.certificate:
        return
    ended = get_expiry(credentials.certificate)
    if ended <= datetime.datetime.now(datetime.timezone.utc):
        raise WorkerError(f"The certificate of {credentials.source} expired on {ended:%Y-%m-%d}. {ADVICE}")
