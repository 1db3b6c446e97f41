/** CRC-32 as gzip has it (RFC 1952, section 8), four bytes a step. In: bytes, the sum so far. Out: the sum. */

const TABLES = makeTables()

/** Four tables of 256 in one array: table k is for a byte that k more bytes follow. */
function makeTables(): Int32Array {
  const tables = new Int32Array(1024)
  for (let i = 0; i < 256; i++) {
    let sum = i
    for (let bit = 0; bit < 8; bit++) sum = (sum & 1) !== 0 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1
    tables[i] = sum
  }
  for (let i = 256; i < 1024; i++) tables[i] = tables[tables[i - 256] & 0xff] ^ (tables[i - 256] >>> 8)
  return tables
}

/**
 * @param bytes what to add
 * @param sum of what came before, 0 at first
 * @returns the sum as an unsigned 32-bit number
 */
export function crc32(bytes: Uint8Array, sum: number): number {
  const t = TABLES
  const steps = bytes.length & ~3
  let crc = ~sum
  let i = 0
  for (; i < steps; i += 4) {
    crc ^= bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24)
    crc = t[768 + (crc & 0xff)] ^ t[512 + ((crc >>> 8) & 0xff)] ^ t[256 + ((crc >>> 16) & 0xff)] ^ t[crc >>> 24]
  }
  for (; i < bytes.length; i++) crc = t[(crc ^ bytes[i]) & 0xff] ^ (crc >>> 8)
  return ~crc >>> 0
}
