"""Who is at the other end of a Unix socket, as the kernel vouches for it."""

import socket
import struct

_UCRED = struct.Struct("3i")
"""struct ucred: pid, uid, gid. Source: unix(7), SO_PEERCRED."""


def credentials(peer: socket.socket) -> tuple[int, int]:
    """Return pid and user id of the process that connected or listened. Raises OSError."""
    pid, uid, _gid = _UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return pid, uid
