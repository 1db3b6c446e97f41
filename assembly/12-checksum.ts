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
export function sum(at: u32, length: u32, start: u64): u32 {
  return sumOf(at, length, start)
}

/** The same, inlined. */
// @ts-ignore: decorator
@inline export function sumOf(at: u32, length: u32, start: u64): u32 {
  let total = start
  const end = at + length
  if (length >= 16) {
    let lanes = i32x4.splat(0)
    // 2^16 / 16 rounds of 2 * 65535 stay below 2^32.
    for (; at + 16 <= end; at += 16) lanes = i32x4.add(lanes, i32x4.extadd_pairwise_i16x8_u(v128.load(at)))
    const halves = i64x2.add(i64x2.extend_low_i32x4_u(lanes), i64x2.extend_high_i32x4_u(lanes))
    total += u64(i64x2.extract_lane(halves, 0)) + u64(i64x2.extract_lane(halves, 1))
  }
  for (; at + 4 <= end; at += 4) total += u64(load<u32>(at))
  if (at + 2 <= end) {
    total += u64(load<u16>(at))
    at += 2
  }
  if (at < end) total += u64(load<u8>(at))
  return fold(total)
}

/** Whether the checksum of an IPv4 header without options is right. */
// @ts-ignore: decorator
@inline export function isRightHeader(at: u32): bool {
  const addresses = u64(load<u32>(at, 12)) + u64(load<u32>(at, 16))
  return isRight(fold(u64(load<u32>(at)) + u64(load<u32>(at, 4)) + u64(load<u32>(at, 8)) + addresses))
}

// @ts-ignore: decorator
@inline export function fold(total: u64): u32 {
  total = (total & 0xffffffff) + (total >> 32)
  total = (total & 0xffff) + ((total >> 16) & 0xffff) + (total >> 32)
  total = (total & 0xffff) + (total >> 16)
  total = (total & 0xffff) + (total >> 16)
  return u32(total)
}

/** Sum of the pseudo header of an IP packet, not folded: addresses, protocol and transport length. */
// @ts-ignore: decorator
@inline export function pseudoSum(network: u32, family: u32, protocol: u32, length: u32): u64 {
  const addresses = family == 4 ? u64(load<u32>(network, 12)) + u64(load<u32>(network, 16)) : addressesOfIpv6(network)
  return addresses + u64(bswap<u16>(u16(protocol))) + u64(bswap<u32>(length))
}

// @ts-ignore: decorator
@inline function addressesOfIpv6(network: u32): u64 {
  let total: u64 = 0
  for (let at = network + 8; at < network + 40; at += 4) total += u64(load<u32>(at))
  return total
}
