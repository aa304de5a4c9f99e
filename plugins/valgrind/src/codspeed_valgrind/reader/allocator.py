"""Which functions are memory allocators, by name.

glibc's allocator decides by the state of its heap, so its cost depends on all that ran before: with
everything else held still it moved one benchmark by 8.7 %, and the rest of it by 0.09 %. So there
is a count of instructions without what these functions cost by themselves. Names: glibc 2.31 to
2.41, malloc/malloc.c; CPython 3.9 to 3.14, Objects/obmalloc.c. Compilers append `.isra.0`,
`.constprop.0`, `.part.0` and `.cold`.

An executor that hides interpreter functions from callgrind (`--fn-skip`) must let CPython's pass,
or their cost is counted for whoever called them.
"""

from __future__ import annotations

from typing import Final

GLIBC: Final = frozenset(
    {
        "malloc",
        "calloc",
        "realloc",
        "free",
        "cfree",
        "memalign",
        "aligned_alloc",
        "posix_memalign",
        "valloc",
        "pvalloc",
        "__libc_malloc",
        "__libc_calloc",
        "__libc_realloc",
        "__libc_free",
        "__libc_memalign",
        "__malloc_arena_thread_freeres",
        "_int_malloc",
        "_int_calloc",
        "_int_free",
        "_int_free_chunk",
        "_int_free_create_chunk",
        "_int_free_maybe_consolidate",
        "_int_free_merge_chunk",
        "_int_memalign",
        "_int_realloc",
        "_mid_memalign",
        "alloc_perturb",
        "arena_get2",
        "checked_request2size",
        "free_perturb",
        "grow_heap",
        "heap_trim",
        "malloc2",
        "malloc_consolidate",
        "mremap_chunk",
        "munmap_chunk",
        "new_heap",
        "ptmalloc_init",
        "realloc_check",
        "sysmalloc",
        "sysmalloc_mmap",
        "systrim",
        "tcache_calloc_init",
        "tcache_free_init",
        "tcache_init",
        "tcache_malloc_init",
        "tcache_key_initialize",
        "unlink_chunk",
    }
)
CPYTHON: Final = frozenset(
    {
        "PyMem_Calloc",
        "PyMem_Free",
        "PyMem_Malloc",
        "PyMem_RawCalloc",
        "PyMem_RawFree",
        "PyMem_RawMalloc",
        "PyMem_RawRealloc",
        "PyMem_Realloc",
        "PyObject_Calloc",
        "PyObject_Free",
        "PyObject_Malloc",
        "PyObject_Realloc",
        "_PyMem_RawCalloc",
        "_PyMem_RawFree",
        "_PyMem_RawMalloc",
        "_PyMem_RawRealloc",
        "_PyObject_Calloc",
        "_PyObject_Free",
        "_PyObject_Malloc",
        "_PyObject_Realloc",
        "address_in_range",
        "allocate_from_new_pool",
        "arena_map_get",
        "arena_map_mark_used",
        "insert_to_freepool",
        "insert_to_usedpool",
        "new_arena",
        "pymalloc_alloc",
        "pymalloc_free",
        "pymalloc_pool_extend",
        "pymalloc_realloc",
    }
)
_ALL: Final = GLIBC | CPYTHON


def is_allocator(function: str) -> bool:
    """Whether a function, as a symbol table names it, is part of an allocator."""
    return function.partition(".")[0].partition("@")[0] in _ALL
