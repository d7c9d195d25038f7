"""The kernel's DMA heap below picamera2's own allocator: the same ioctl calls, answered with a memfd."""

from __future__ import annotations

import fcntl
import importlib
import os
from collections.abc import Callable
from typing import Any


class _KernelWithDmaHeap:
    """Stands where picamera2's DMA modules see `fcntl`; every other call goes to the kernel."""

    def __init__(self, picamera2_dma_heap: Any, await_memory: Callable[[], None]) -> None:
        self._library = picamera2_dma_heap
        self._await_memory = await_memory
        self._alloc = picamera2_dma_heap.DMA_HEAP_IOCTL_ALLOC
        self._no_effect = {picamera2_dma_heap.DMA_BUF_SET_NAME, picamera2_dma_heap.DMA_BUF_IOCTL_SYNC}

    def ioctl(self, fd: int, request: int, argument: Any = 0) -> Any:
        """Allocate for `DMA_HEAP_IOCTL_ALLOC`; naming and cache synchronisation always succeed, the latter in time."""
        if request == self._alloc:
            argument.fd = os.memfd_create("sim-dma-heap", os.MFD_CLOEXEC)
            os.ftruncate(argument.fd, argument.len)
            return 0
        if request == self._library.DMA_BUF_IOCTL_SYNC and argument.flags == self._library.DMA_BUF_SYNC_RW:
            self._await_memory()  # the flag of a beginning is 0
        return 0 if request in self._no_effect else fcntl.ioctl(fd, request, argument)


def install(await_memory: Callable[[], None]) -> None:
    """Give picamera2 a heap, whose memory may be written to when `await_memory` returns.

    Imports picamera2, so the simulated `libcamera` must stand in `sys.modules` already.
    """
    dma_heap = importlib.import_module("picamera2.dma_heap")
    allocator = importlib.import_module("picamera2.allocators.dmaallocator")
    dma_heap.heapNames[:] = [os.devnull]
    kernel = _KernelWithDmaHeap(dma_heap, await_memory)
    vars(dma_heap)["fcntl"] = vars(allocator)["fcntl"] = kernel
