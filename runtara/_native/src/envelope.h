/* The envelope of a checkpoint: what makes a stored state recognizable and a damaged one visible.
 *
 *     0         1         2             6             10
 *     +---------+---------+-------------+-------------+-- ... -------------+
 *     | version | codec   | raw length  | sum         | stored bytes       |
 *     | 0xE1    | 0 or 1  | u32, BE     | u32, BE     | to the end         |
 *     +---------+---------+-------------+-------------+-- ... -------------+
 *     '------ covered by the sum -------'             '-- covered, too ----'
 *
 * The codec says what the stored bytes are: 0 the state itself (raw length = stored length), 1 the state compressed by
 * Zstandard (raw length > stored length, else it would have been stored as it is). The sum is CRC-32C.
 *
 * Batches are laid end to end in one buffer, with their sizes beside it. All memory belongs to the caller.
 */
#ifndef RUNTARA_ENVELOPE_H
#define RUNTARA_ENVELOPE_H

#include <stddef.h>
#include <stdint.h>

enum {
    RT_ENVELOPE_VERSION = 0xE1,
    RT_ENVELOPE_HEADER_BYTES = 10,
    RT_CODEC_RAW = 0,
    RT_CODEC_ZSTD = 1
};

/* What is wrong with an envelope; the first that applies, in this order. */
typedef enum {
    RT_SOUND,
    RT_TOO_SHORT,       /* not even a header */
    RT_UNKNOWN_VERSION,
    RT_UNKNOWN_CODEC,
    RT_WRONG_LENGTH,    /* raw and stored length do not go together, or the raw length is over the limit */
    RT_WRONG_SUM
} rt_verdict;

/* Writes `count` headers of 10 bytes each to `headers`: header i goes in front of the sizes[i] bytes that follow those
 * of i - 1 in `stored`. The sizes must add up to the bytes that `stored` has. */
void rt_seal(const uint8_t *stored, const uint32_t *sizes, const uint8_t *codecs, const uint32_t *raw_sizes,
             size_t count, uint8_t *headers);

/* The verdict on one envelope; it needs no buffers, which are most of what a crossing from Python costs. */
rt_verdict rt_inspect_one(const uint8_t *envelope, size_t size, uint32_t raw_bytes_max);

/* Writes one rt_verdict a byte to `verdicts`. The sizes must add up to the bytes that `envelopes` has. */
void rt_inspect(const uint8_t *envelopes, const uint32_t *sizes, size_t count, uint32_t raw_bytes_max,
                uint8_t *verdicts);

#endif
