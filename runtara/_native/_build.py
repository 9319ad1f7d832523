"""Describes the C extension to CFFI; ``setup.py`` runs it. Nothing imports it at run time.

The extension is optional: where it cannot be compiled, the install goes on and Runtara uses ``_python``.
"""

from __future__ import annotations

from pathlib import Path

import cffi

SOURCE_FOLDER = "runtara/_native/src"
SOURCES = ("crc32c.c", "envelope.c", "frames.c")
HEADERS = ("crc32c.h", "envelope.h", "frames.h")

# What Python calls, in the words of the headers (the compiler refuses the build when the two disagree).
DECLARATIONS = """
typedef enum { RT_CUT_ALL, RT_CUT_FULL, RT_CUT_TOO_LONG } rt_cut_status;
typedef struct { size_t count; size_t consumed; } rt_cut;
rt_cut_status rt_cut_frames(const uint8_t *buffer, size_t size, uint32_t frame_bytes_max,
                            size_t *ends, size_t ends_max, rt_cut *cut);

enum { RT_ENVELOPE_VERSION, RT_ENVELOPE_HEADER_BYTES, RT_CODEC_RAW, RT_CODEC_ZSTD, ... };
typedef enum { RT_SOUND, RT_TOO_SHORT, RT_UNKNOWN_VERSION, RT_UNKNOWN_CODEC, RT_WRONG_LENGTH, RT_WRONG_SUM } rt_verdict;
uint32_t rt_crc32c(uint32_t sum, const uint8_t *data, size_t size);
uint32_t rt_crc32c_portable(uint32_t sum, const uint8_t *data, size_t size);
const char *rt_crc32c_kind(void);
void rt_seal(const uint8_t *stored, const uint32_t *sizes, const uint8_t *codecs, const uint32_t *raw_sizes,
             size_t count, uint8_t *headers);
rt_verdict rt_inspect_one(const uint8_t *envelope, size_t size, uint32_t raw_bytes_max);
void rt_inspect(const uint8_t *envelopes, const uint32_t *sizes, size_t count,
                uint32_t raw_bytes_max, uint8_t *verdicts);
"""

builder = cffi.FFI()
builder.cdef(DECLARATIONS)
builder.set_source(
    "runtara._native._runtara_native",
    "".join(f'#include "{header}"\n' for header in HEADERS),
    sources=[f"{SOURCE_FOLDER}/{source}" for source in SOURCES],
    depends=[f"{SOURCE_FOLDER}/{header}" for header in (*HEADERS, "bytes.h")],
    include_dirs=[SOURCE_FOLDER],
    extra_compile_args=["-O2"],
    optional=True,
)

if __name__ == "__main__":
    builder.compile(tmpdir=str(Path(__file__).parents[2]), verbose=True)
