/* CRC-32C (Castagnoli), the checksum of iSCSI, SCTP and ext4: reflected polynomial 0x82F63B78, all bits inverted before
 * and after. Source: RFC 3720, section 12.1 and appendix B.4 (whose vectors are in the tests).
 *
 * A sum is continued by passing it on: rt_crc32c(rt_crc32c(0, a), b) is the sum of a followed by b.
 */
#ifndef RUNTARA_CRC32C_H
#define RUNTARA_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* By the processor's own instruction where there is one (SSE4.2, ARMv8 CRC; asked at run time), else portable. */
uint32_t rt_crc32c(uint32_t sum, const uint8_t *data, size_t size);

/* The same numbers on any machine. */
uint32_t rt_crc32c_portable(uint32_t sum, const uint8_t *data, size_t size);

/* Which way rt_crc32c takes on this machine: "sse4.2", "armv8" or "portable". A constant; never freed. */
const char *rt_crc32c_kind(void);

#endif
