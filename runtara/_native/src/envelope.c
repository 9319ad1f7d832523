#include "envelope.h"

#include "bytes.h"
#include "crc32c.h"

enum {
    CODEC_AT = 1,
    RAW_LENGTH_AT = 2,
    SUM_AT = 6
};

static uint32_t sum_of(const uint8_t *header, const uint8_t *stored, size_t stored_size)
{
    return rt_crc32c(rt_crc32c(0, header, SUM_AT), stored, stored_size);
}

void rt_seal(const uint8_t *stored, const uint32_t *sizes, const uint8_t *codecs, const uint32_t *raw_sizes,
             size_t count, uint8_t *headers)
{
    for (size_t i = 0; i < count; i++) {
        headers[0] = RT_ENVELOPE_VERSION;
        headers[CODEC_AT] = codecs[i];
        rt_write_u32(headers + RAW_LENGTH_AT, raw_sizes[i]);
        rt_write_u32(headers + SUM_AT, sum_of(headers, stored, sizes[i]));
        headers += RT_ENVELOPE_HEADER_BYTES;
        stored += sizes[i];
    }
}

rt_verdict rt_inspect_one(const uint8_t *envelope, size_t size, uint32_t raw_bytes_max)
{
    if (size < RT_ENVELOPE_HEADER_BYTES)
        return RT_TOO_SHORT;
    if (envelope[0] != RT_ENVELOPE_VERSION)
        return RT_UNKNOWN_VERSION;
    const uint8_t codec = envelope[CODEC_AT];
    if (codec != RT_CODEC_RAW && codec != RT_CODEC_ZSTD)
        return RT_UNKNOWN_CODEC;
    const uint32_t raw_size = rt_read_u32(envelope + RAW_LENGTH_AT);
    const size_t stored_size = size - RT_ENVELOPE_HEADER_BYTES;
    if (raw_size > raw_bytes_max || (codec == RT_CODEC_RAW ? raw_size != stored_size : raw_size <= stored_size))
        return RT_WRONG_LENGTH;
    if (rt_read_u32(envelope + SUM_AT) != sum_of(envelope, envelope + RT_ENVELOPE_HEADER_BYTES, stored_size))
        return RT_WRONG_SUM;
    return RT_SOUND;
}

void rt_inspect(const uint8_t *envelopes, const uint32_t *sizes, size_t count, uint32_t raw_bytes_max,
                uint8_t *verdicts)
{
    for (size_t i = 0; i < count; i++) {
        verdicts[i] = (uint8_t)rt_inspect_one(envelopes, sizes[i], raw_bytes_max);
        envelopes += sizes[i];
    }
}
