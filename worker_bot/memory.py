"""Arranges the fork server's memory so that its workers share as much of it as they can, for as long as they can.

A page is shared until somebody writes to it. Two things write to pages full of old objects: the garbage collector,
which marks what it visits, and the allocator, which puts new objects into the holes between old ones.
"""

import ctypes
import gc
import os
import re
import sys

_CLASS = re.compile(rb"^\s*\d+\s+(?P<size>\d+)\s+\d+\s+\d+\s+(?P<free>\d+)\s*$", re.MULTILINE)
_BYTES_OVERHEAD = 33
"""Size of an empty `bytes` object: sys.getsizeof(b"")."""

_HEAP_SIZES = (65_536, 32_768, 16_384, 8192, 4096, 2048, 1536, 1024, 768, 640, 576, 545)
"""Of the blocks with which the heap is filled: CPython leaves those above 512 bytes to the C library."""

_PR_SET_MEMORY_MERGE = 67
"""Linux 6.4; inherited by children since 6.7. Source: prctl(2), linux/prctl.h."""

_filling: list[object] = []
_libc = ctypes.CDLL(None, use_errno=True)


def merge_identical_pages() -> bool:
    """Ask the kernel to merge identical pages of this process and of those it forks; return whether it will.

    It will not before Linux 6.4, without CAP_SYS_RESOURCE, or without KSM. Whether the kernel looks for such pages at
    all is a switch of the host: /sys/kernel/mm/ksm/run.
    """
    if sys.platform != "linux":
        return False
    return bool(_libc.prctl(_PR_SET_MEMORY_MERGE, 1, 0, 0, 0) == 0)


def freeze() -> None:
    """Keep the garbage collector and new objects off what lives now. Safe to repeat after more was imported."""
    gc.collect()
    fill_holes()
    fill_heap()
    gc.freeze()
    gc.disable()


def fill_holes() -> int:
    """Occupy every free block between live objects, and return how many bytes that took.

    A worker's own objects then come to lie on pages of their own instead of making copies of shared ones: measured on
    workers of this project it saves about half a megabyte each.
    """
    filled = 0
    for size, free in _free_blocks():
        _filling.extend(_object_of(size) for _ in range(free))
        filled += size * free
    return filled


class _MallInfo(ctypes.Structure):
    """What mallinfo2(3) returns: fordblks is what is free, keepcost the part of it at the heap's end."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def fill_heap() -> int:
    """Do the same for what the C library has free between larger blocks; return how many bytes that took.

    Measured on workers of this project: a third of a megabyte less each. Does nothing without glibc 2.33 or later.
    """
    if not hasattr(_libc, "mallinfo2"):
        return 0
    _libc.mallinfo2.restype = _MallInfo

    def free_between() -> int:
        info = _libc.mallinfo2()
        return int(info.fordblks - info.keepcost)

    filled = 0
    for size in _HEAP_SIZES:
        left = free_between()
        while left >= size:
            _filling.append(bytes(size - _BYTES_OVERHEAD))
            before, left = left, free_between()
            if before - left < size // 2:  # it came from the heap's end: there is no hole of that size
                break
            filled += size
    return filled


def _object_of(size: int) -> object:
    """Return a new object that takes exactly one block of `size` bytes: a multiple of 16, up to 512."""
    if size > _BYTES_OVERHEAD:
        return bytes(size - _BYTES_OVERHEAD)
    return object() if size == 16 else float(size)  # noqa: PLR2004 - sys.getsizeof(object()); a float takes 24 of 32


def _free_blocks() -> list[tuple[int, int]]:
    """Return (size, number of free blocks in pools that are in use) for each size class, as CPython tells on stderr."""
    if not hasattr(sys, "_debugmallocstats"):
        return []
    with os.fdopen(os.memfd_create("malloc-statistics"), "w+b") as report:
        stderr = os.dup(2)
        try:
            os.dup2(report.fileno(), 2)
            sys._debugmallocstats()  # noqa: SLF001 - documented for CPython, and only there
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
        report.seek(0)
        return [(int(row["size"]), int(row["free"])) for row in _CLASS.finditer(report.read())]


def use_one_heap() -> None:
    """Let all threads of this process take memory from one place: each would keep half a megabyte of its own."""
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(_ARENA_MAX, 1)


_ARENA_MAX = -8
"""M_ARENA_MAX of glibc's malloc.h; other C libraries refuse it."""


def give_back() -> None:
    """Return freed memory to the kernel, where the C library can: glibc keeps what much work at a time took."""
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)
