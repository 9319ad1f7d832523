/* Cutting a received buffer into frames.
 *
 *     0           4            4+n         8+n
 *     +-----------+-- ... ----+-----------+-- ... ----+-----------
 *     | length n  | payload   | length m  | payload   | the start of
 *     | u32, BE   | n bytes   | u32, BE   | m bytes   | the next one
 *     +-----------+-- ... ----+-----------+-- ... ----+-----------
 *                             ^ ends[0]               ^ ends[1] = consumed
 *
 * The buffer and the table belong to the caller; nothing is kept, nothing is allocated, no payload is read.
 */
#ifndef RUNTARA_FRAMES_H
#define RUNTARA_FRAMES_H

#include <stddef.h>
#include <stdint.h>

enum {
    RT_FRAME_HEADER_BYTES = 4
};

typedef enum {
    RT_CUT_ALL,      /* No whole frame is left; what follows `consumed` is the start of one, or nothing. */
    RT_CUT_FULL,     /* The table is full; call again with what follows `consumed`. */
    RT_CUT_TOO_LONG  /* The frame at `consumed` announces more than `frame_bytes_max`; those before it are cut. */
} rt_cut_status;

typedef struct {
    size_t count;     /* how many entries of `ends` were written */
    size_t consumed;  /* bytes of the frames that were cut; equals ends[count - 1], or 0 */
} rt_cut;

/* Frame i is payload from (i ? ends[i - 1] : 0) + 4 up to ends[i]. Both members of `cut` hold after every status. */
rt_cut_status rt_cut_frames(const uint8_t *buffer, size_t size, uint32_t frame_bytes_max,
                            size_t *ends, size_t ends_max, rt_cut *cut);

#endif
