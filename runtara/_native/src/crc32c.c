#include "crc32c.h"

#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define RT_CRC32C_X86 1
#include <nmmintrin.h>
#elif defined(__aarch64__) && defined(__linux__) && defined(__GNUC__)
#define RT_CRC32C_ARM 1
#include <sys/auxv.h>
#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1UL << 7)
#endif
#endif

/* The sums of the sixteen half-bytes: two look-ups a byte. Large tables are faster, and crowd the cache of a server. */
static const uint32_t HALF_BYTE[16] = {
    0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3, 0x61C69362, 0x7198540D,
    0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9, 0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75,
};

uint32_t rt_crc32c_portable(uint32_t sum, const uint8_t *data, size_t size)
{
    sum = ~sum;
    for (size_t i = 0; i < size; i++) {
        sum ^= data[i];
        sum = sum >> 4 ^ HALF_BYTE[sum & 15];
        sum = sum >> 4 ^ HALF_BYTE[sum & 15];
    }
    return ~sum;
}

#if RT_CRC32C_X86

static int has_instruction(void)
{
    return __builtin_cpu_supports("sse4.2") != 0;
}

__attribute__((target("sse4.2")))
static uint32_t by_instruction(uint32_t sum, const uint8_t *data, size_t size)
{
    uint64_t wide = ~sum;
    for (; size >= 8; data += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, data, 8); /* data may be unaligned */
        wide = _mm_crc32_u64(wide, word);
    }
    uint32_t narrow = (uint32_t)wide;
    for (; size > 0; data++, size--)
        narrow = _mm_crc32_u8(narrow, *data);
    return ~narrow;
}

#define INSTRUCTION "sse4.2"

#elif RT_CRC32C_ARM

static int has_instruction(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
}

/* As assembler, because compilers disagree on how an intrinsic of an optional extension is enabled for one function. */
__attribute__((target("+crc")))
static uint32_t by_instruction(uint32_t sum, const uint8_t *data, size_t size)
{
    sum = ~sum;
    for (; size >= 8; data += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, data, 8); /* data may be unaligned */
        __asm__("crc32cx %w0, %w0, %x1" : "+r"(sum) : "r"(word));
    }
    for (; size > 0; data++, size--)
        __asm__("crc32cb %w0, %w0, %w1" : "+r"(sum) : "r"((uint32_t)*data));
    return ~sum;
}

#define INSTRUCTION "armv8"

#else

static int has_instruction(void)
{
    return 0;
}

#define by_instruction rt_crc32c_portable
#define INSTRUCTION "portable"

#endif

uint32_t rt_crc32c(uint32_t sum, const uint8_t *data, size_t size)
{
    return has_instruction() ? by_instruction(sum, data, size) : rt_crc32c_portable(sum, data, size);
}

const char *rt_crc32c_kind(void)
{
    return has_instruction() ? INSTRUCTION : "portable";
}
