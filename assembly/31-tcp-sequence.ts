/**
 * Comparison of sequence numbers, modulo 2^32 (RFC 9293, section 3.4). The only place where they are compared by order.
 */

// @ts-ignore: decorator
@inline export function before(a: u32, b: u32): bool {
  return i32(a - b) < 0
}

// @ts-ignore: decorator
@inline export function after(a: u32, b: u32): bool {
  return i32(b - a) < 0
}
