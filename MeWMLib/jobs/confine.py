"""Confine a worker before it starts: `python -I -S confine.py RULES.json COMMAND...` (standard library alone).

What the system offers is applied, then the command takes the place of this process. Each measure that could not be
taken is said in the file of the rules' `told`, so that the server can say what holds where, and which process it was:

- no new privileges, no core dumps, files only for the owner, limits of file size, open files and, where asked, memory;
- no network: a network namespace of its own (Linux), and no TCP by Landlock;
- files: Landlock (Linux 5.13 and later) leaves the program's own folders to be read and the slot's to be written.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import struct
import sys
import time
from typing import Any

_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_NO_NEW_PRIVILEGES = 38
#: Numbers of the system calls of Landlock, the same on every processor.
_CREATE, _ADD, _RESTRICT = 444, 445, 446
#: Rights of Landlock: execute, write, read file, read folder, then everything that changes a folder, and truncate.
_EXECUTE, _WRITE, _READ, _LIST, _TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
_CHANGE = sum(1 << bit for bit in range(4, 13))
_OF_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE
#: From which version of Landlock on there is a right: moving between folders, truncate, TCP.
_REFER, _TCP = 1 << 13, 0b11


class Refused(OSError):
    """The system does not offer it."""


def _call(libc: Any, *arguments: Any) -> int:
    found: int = libc.syscall(*arguments)
    if found < 0:
        number = ctypes.get_errno()
        raise Refused(number, os.strerror(number))
    return found


def limits(memory: int | None, largest: int) -> None:
    """Limit what this process and its children may take.

    Args:
        memory: bytes of address space; None where a graphics card needs more of it than memory.
        largest: bytes of a file.
    """
    import resource

    wanted = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, largest), (resource.RLIMIT_NOFILE, 1024)]
    if memory is not None:
        wanted.append((resource.RLIMIT_AS, memory))
    for which, most in wanted:
        _soft, hard = resource.getrlimit(which)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (most, most))


def no_network(libc: Any) -> None:
    """Leave this process a network of its own, in which there is nothing.

    Raises:
        Refused: namespaces are not allowed here.
    """
    user, group = os.getuid(), os.getgid()
    if libc.unshare(_NEW_NET) == 0:
        return
    if libc.unshare(_NEW_USER | _NEW_NET) != 0:
        number = ctypes.get_errno()
        raise Refused(number, os.strerror(number))
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as stream:  # noqa: PTH123
            stream.write(text)


def own_files(libc: Any, read: list[str], write: list[str]) -> int:
    """Take away every file but these; returns the version of Landlock.

    Args:
        read: files and folders that may be read and executed, absent ones are passed over.
        write: folders that may be changed.

    Raises:
        Refused: the kernel has no Landlock, or it is off.
    """
    version = _call(libc, _CREATE, None, ctypes.c_size_t(0), 1)
    rights = _EXECUTE | _WRITE | _READ | _LIST | _CHANGE
    rights |= (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    # of version 6 on: no signals to, and no abstract sockets of, anything outside
    rules = struct.pack("QQQ", rights, _TCP if version >= 4 else 0, 0b11 if version >= 6 else 0)
    rules = rules[: 24 if version >= 6 else 16 if version >= 4 else 8]
    ruleset = _call(libc, _CREATE, rules, ctypes.c_size_t(len(rules)), 0)
    for paths, allowed in ((read, _EXECUTE | _READ | _LIST), (write, rights)):
        for path in paths:
            try:
                handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                here = allowed if os.path.isdir(path) else allowed & _OF_FILES  # noqa: PTH112
                _call(libc, _ADD, ruleset, 1, struct.pack("=Qi", here & rights, handle), 0)
            finally:
                os.close(handle)
    _call(libc, _RESTRICT, ruleset, 0)
    os.close(ruleset)
    return version


def confine(rules: dict[str, Any]) -> dict[str, str]:
    """Apply everything that the system offers; returns what was applied, and why something was not."""
    told: dict[str, str] = {}
    os.umask(0o077)
    with contextlib.suppress(ImportError):  # Windows has none of this
        limits(rules["memory"], rules["largest"])
        told["limits"] = "applied"
    if not sys.platform.startswith("linux"):
        return {**told, "network": "not offered by this system", "files": "not offered by this system"}
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    try:
        no_network(libc)
        told["network"] = "none (a namespace of its own)"
    except OSError as error:
        told["network"] = f"open ({error.strerror})"
    try:
        version = own_files(libc, rules["read"], rules["write"])
        told["files"] = f"the slot's own (Landlock {version})"
        if version >= 4 and told["network"].startswith("open"):
            told["network"] = "no TCP (Landlock)"
    except OSError as error:
        told["files"] = f"open ({error.strerror})"
    return told


def _born() -> float:
    """When this process was started, as `core.living.born` tells it."""
    if not sys.platform.startswith("linux"):
        return time.time()
    with open("/proc/self/stat", "rb") as stream:  # noqa: PTH123
        return int(stream.read().rpartition(b")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")


def main(arguments: list[str]) -> None:
    """Confine this process and become the command."""
    with open(arguments[0], encoding="utf-8") as stream:  # noqa: PTH123
        rules = json.load(stream)
    # opened before: it lies where a confined process cannot write
    said = os.open(rules["told"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    process = {"pid": os.getpid(), "born": _born()}
    os.write(said, json.dumps({"process": process, "confined": confine(rules)}).encode())
    os.close(said)
    os.execve(arguments[1], arguments[1:], {**os.environ, **rules.get("environment", {})})


if __name__ == "__main__":
    main(sys.argv[1:])
