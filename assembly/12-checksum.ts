/**
 * The Internet checksum (RFC 1071), sixteen bytes at a time.
 *
 * Sums are kept in the byte order of memory: one's complement addition does not care, and the comparison with "all
 * ones" reads the same either way.
 */

/**
 * Whether a sum over data and its checksum is right. All ones is what RFC 1071 asks for; the other zero of one's
 * complement comes only from data that is all zero, such as an empty echo reply with a checksum of 0, and Linux takes it.
 */
// @ts-ignore: decorator
@inline export function isRight(total: u32): bool {
  return total == 0xffff || total == 0
}

/** Sum of 16-bit words, folded to 16 bits; an odd last byte counts as the first of a word. */
export function sum(at: u32, length: u32, start: u32): u32 {
  let total: u64 = start
  const end = at + length
  if (length >= 16) {
    let lanes = i32x4.splat(0)
    // 2^16 / 16 rounds of 2 * 65535 stay below 2^32.
    for (; at + 16 <= end; at += 16) lanes = i32x4.add(lanes, i32x4.extadd_pairwise_i16x8_u(v128.load(at)))
    total += u64(u32(i32x4.extract_lane(lanes, 0))) + u64(u32(i32x4.extract_lane(lanes, 1)))
    total += u64(u32(i32x4.extract_lane(lanes, 2))) + u64(u32(i32x4.extract_lane(lanes, 3)))
  }
  for (; at + 4 <= end; at += 4) total += u64(load<u32>(at))
  if (at + 2 <= end) {
    total += u64(load<u16>(at))
    at += 2
  }
  if (at < end) total += u64(load<u8>(at))
  return fold(total)
}

function fold(total: u64): u32 {
  total = (total & 0xffffffff) + (total >> 32)
  total = (total & 0xffff) + ((total >> 16) & 0xffff) + (total >> 32)
  total = (total & 0xffff) + (total >> 16)
  total = (total & 0xffff) + (total >> 16)
  return u32(total)
}

/** Sum of the pseudo header of an IP packet: addresses, protocol and transport length. */
export function pseudoSum(network: u32, family: u32, protocol: u32, length: u32): u32 {
  const addresses = family == 4 ? u64(load<u32>(network, 12)) + u64(load<u32>(network, 16)) : u64(sum(network + 8, 32, 0))
  return fold(addresses + u64(bswap<u16>(u16(protocol))) + u64(bswap<u32>(length)))
}
