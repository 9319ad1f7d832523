/* Checks the C code on any input, against a second opinion written in the plainest way.
 *
 * LLVMFuzzerTestOneInput is what libFuzzer calls (clang -fsanitize=fuzzer,address,undefined fuzz.c SRC/[a-z]*.c).
 * With -DRT_FUZZ_MAIN the file has its own main, which makes inputs from a seed: fuzz SEED ROUNDS. Every buffer is
 * allocated with its exact size, so that AddressSanitizer sees a read or write one byte past it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "crc32c.h"
#include "envelope.h"
#include "frames.h"

#define EXPECT(condition)                                                         \
    do {                                                                          \
        if (!(condition)) {                                                       \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                              \
        }                                                                         \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Situations that a run must have reached; else it proved nothing. */
static struct {
    unsigned long cut_all, cut_full, cut_too_long, frames, sound, unsound;
} reached;

static void *exactly(size_t size)
{
    void *memory = calloc(size > 0 ? size : 1, 1);
    EXPECT(memory != NULL);
    return memory;
}

static uint8_t *copy_exactly(const uint8_t *data, size_t size)
{
    uint8_t *copy = exactly(size);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

/* ---- frames */

static rt_cut_status plain_cut(const uint8_t *buffer, size_t size, uint32_t frame_bytes_max, size_t ends_max,
                               size_t *count, uint64_t *consumed)
{
    *count = 0;
    *consumed = 0;
    for (;;) {
        if (*consumed + 4 > size)
            return RT_CUT_ALL;
        const uint64_t length = rt_read_u32(buffer + *consumed);
        if (length > frame_bytes_max)
            return RT_CUT_TOO_LONG;
        if (*consumed + 4 + length > size)
            return RT_CUT_ALL;
        if (*count == ends_max)
            return RT_CUT_FULL;
        *consumed += 4 + length;
        ++*count;
    }
}

static void check_frames(const uint8_t *data, size_t size, uint32_t frame_bytes_max, size_t ends_max)
{
    uint8_t *buffer = copy_exactly(data, size);
    size_t *ends = exactly(ends_max * sizeof *ends);
    rt_cut cut;
    const rt_cut_status status = rt_cut_frames(buffer, size, frame_bytes_max, ends, ends_max, &cut);

    size_t count;
    uint64_t consumed;
    EXPECT(status == plain_cut(buffer, size, frame_bytes_max, ends_max, &count, &consumed));
    EXPECT(cut.count == count && cut.consumed == consumed && consumed <= size);
    for (size_t i = 0, start = 0; i < count; start = ends[i++])
        EXPECT(ends[i] - start == 4 + (size_t)rt_read_u32(buffer + start));
    EXPECT(count == 0 || ends[count - 1] == cut.consumed);

    reached.frames += count;
    reached.cut_all += status == RT_CUT_ALL;
    reached.cut_full += status == RT_CUT_FULL;
    reached.cut_too_long += status == RT_CUT_TOO_LONG;
    free(ends);
    free(buffer);
}

/* ---- checksums and envelopes */

static uint32_t plain_crc32c(const uint8_t *data, size_t size)
{
    uint32_t sum = 0xFFFFFFFF;
    for (size_t i = 0; i < size * 8; i++) {
        const uint32_t bit = (sum ^ (uint32_t)data[i / 8] >> i % 8) & 1;
        sum = sum >> 1 ^ (bit ? 0x82F63B78 : 0);
    }
    return ~sum;
}

static void check_crc32c(const uint8_t *data, size_t size)
{
    uint8_t *copy = copy_exactly(data, size);
    const uint32_t expected = plain_crc32c(copy, size);
    const size_t half = size / 2;
    EXPECT(rt_crc32c(0, copy, size) == expected);
    EXPECT(rt_crc32c_portable(0, copy, size) == expected);
    EXPECT(rt_crc32c(rt_crc32c(0, copy, half), copy + half, size - half) == expected);
    free(copy);
}

/* Whatever the bytes are, inspecting them reads nothing beyond them and calls them sound only if their sum says so. */
static void check_inspect(const uint8_t *data, size_t size)
{
    uint8_t *envelope = copy_exactly(data, size);
    const uint32_t sizes[] = {(uint32_t)size};
    uint8_t verdict = 255;
    rt_inspect(envelope, sizes, 1, 1 << 24, &verdict);
    EXPECT(rt_inspect_one(envelope, size, 1 << 24) == verdict);
    EXPECT(verdict <= RT_WRONG_SUM);
    EXPECT((verdict == RT_TOO_SHORT) == (size < RT_ENVELOPE_HEADER_BYTES));
    free(envelope);
}

/* Seals the input in two parts, then damages a byte of one of them: only that one may be found. */
static void check_seal(const uint8_t *data, size_t size, size_t damaged_at)
{
    const uint32_t sizes[] = {(uint32_t)(size / 3), (uint32_t)(size - size / 3)};
    const uint8_t codecs[] = {RT_CODEC_RAW, RT_CODEC_RAW};
    uint8_t *stored = copy_exactly(data, size);
    uint8_t *headers = exactly(2 * RT_ENVELOPE_HEADER_BYTES);
    rt_seal(stored, sizes, codecs, sizes, 2, headers);

    const uint32_t envelope_sizes[] = {RT_ENVELOPE_HEADER_BYTES + sizes[0], RT_ENVELOPE_HEADER_BYTES + sizes[1]};
    const size_t total = (size_t)envelope_sizes[0] + envelope_sizes[1];
    uint8_t *envelopes = exactly(total);
    memcpy(envelopes, headers, RT_ENVELOPE_HEADER_BYTES);
    memcpy(envelopes + RT_ENVELOPE_HEADER_BYTES, stored, sizes[0]);
    memcpy(envelopes + envelope_sizes[0], headers + RT_ENVELOPE_HEADER_BYTES, RT_ENVELOPE_HEADER_BYTES);
    memcpy(envelopes + envelope_sizes[0] + RT_ENVELOPE_HEADER_BYTES, stored + sizes[0], sizes[1]);

    uint8_t *verdicts = exactly(2);
    rt_inspect(envelopes, envelope_sizes, 2, 1 << 24, verdicts);
    EXPECT(verdicts[0] == RT_SOUND && verdicts[1] == RT_SOUND);

    damaged_at %= total;
    envelopes[damaged_at] ^= (uint8_t)(1 + damaged_at % 255);
    rt_inspect(envelopes, envelope_sizes, 2, 1 << 24, verdicts);
    EXPECT((verdicts[0] == RT_SOUND) == (damaged_at >= envelope_sizes[0]));
    EXPECT((verdicts[1] == RT_SOUND) == (damaged_at < envelope_sizes[0]));

    reached.sound += 2;
    reached.unsound += 1;
    free(verdicts);
    free(envelopes);
    free(headers);
    free(stored);
}

/* The first bytes choose the limits, the rest is the buffer. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4)
        return 0;
    const uint32_t frame_bytes_max = data[0] & 1 ? UINT32_MAX : data[1];
    const size_t ends_max = data[2] & 1 ? 1024 : data[2] / 32;
    const size_t damaged_at = data[3];
    data += 4, size -= 4;
    check_frames(data, size, frame_bytes_max, ends_max);
    check_crc32c(data, size);
    check_inspect(data, size);
    check_seal(data, size, damaged_at);
    return 0;
}

#ifdef RT_FUZZ_MAIN

static uint64_t random_state;

static uint32_t draw(uint32_t below) /* xorshift64* */
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * 2685821657736338717ULL >> 33) % below);
}

/* Noise, or frames of noise whose lengths are now and then a lie. */
static size_t make_input(uint8_t *input, size_t size_max)
{
    const size_t size = draw((uint32_t)size_max);
    for (size_t i = 0; i < size; i++)
        input[i] = (uint8_t)draw(256);
    if (draw(4) == 0)
        return size;
    for (size_t at = 4; at + 4 <= size;) {
        const uint32_t length = draw(20) == 0 ? (uint32_t)-1 - draw(8) : draw(40);
        rt_write_u32(input + at, length);
        at += 4 + (size_t)(length % 64);
    }
    return size;
}

int main(int argc, char **argv)
{
    EXPECT(argc == 3);
    random_state = strtoull(argv[1], NULL, 10) * 2 + 1;
    uint8_t input[1500];
    for (unsigned long round = strtoul(argv[2], NULL, 10); round > 0; round--)
        LLVMFuzzerTestOneInput(input, make_input(input, sizeof input));
    printf("%lu frames, %lu all, %lu full, %lu too long, %lu sound, %lu unsound, crc32c by %s\n", reached.frames,
           reached.cut_all, reached.cut_full, reached.cut_too_long, reached.sound, reached.unsound, rt_crc32c_kind());
    EXPECT(reached.frames && reached.cut_all && reached.cut_full && reached.cut_too_long);
    return 0;
}

#endif
