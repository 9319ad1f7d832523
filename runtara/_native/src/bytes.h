/* Numbers in network byte order, written byte by byte: right on every machine, at any alignment, and compilers turn
 * each into one instruction. */
#ifndef RUNTARA_BYTES_H
#define RUNTARA_BYTES_H

#include <stdint.h>

static inline uint32_t rt_read_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | (uint32_t)at[3];
}

static inline void rt_write_u32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

static inline void rt_write_u64(uint8_t *at, uint64_t value)
{
    rt_write_u32(at, (uint32_t)(value >> 32));
    rt_write_u32(at + 4, (uint32_t)value);
}

#endif
