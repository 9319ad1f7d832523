#include "frames.h"

#include "bytes.h"

rt_cut_status rt_cut_frames(const uint8_t *buffer, size_t size, uint32_t frame_bytes_max,
                            size_t *ends, size_t ends_max, rt_cut *cut)
{
    cut->count = 0;
    cut->consumed = 0;
    while (size - cut->consumed >= RT_FRAME_HEADER_BYTES) {
        const uint32_t length = rt_read_u32(buffer + cut->consumed);
        if (length > frame_bytes_max)
            return RT_CUT_TOO_LONG;
        /* Compare with what is left instead of adding: on a 32-bit size_t, header + length could wrap around. */
        const size_t left = size - cut->consumed - RT_FRAME_HEADER_BYTES;
        if (length > left)
            return RT_CUT_ALL;
        if (cut->count == ends_max)
            return RT_CUT_FULL;
        cut->consumed += RT_FRAME_HEADER_BYTES + length;
        ends[cut->count++] = cut->consumed;
    }
    return RT_CUT_ALL;
}
