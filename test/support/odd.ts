/** What a packet's headers may look like though hardly any do: options, extension headers, wrong lengths and sums. */
import { checksum, isFragment } from './build.js'
import type { Random } from './random.js'

/** A packet with one oddity more; a new one, the packet stays as it is. */
export function odd(random: Random, packet: Uint8Array): Uint8Array {
  const v6 = packet[0] >> 4 === 6
  switch (random.below(v6 ? 8 : 9)) {
    case 0: case 1: case 2: return v6 ? extended(random, packet) : withOptions(random, packet)
    case 3: return flipped(random, packet)
    case 4: return trailed(random, packet)
    case 5: return shortened(random, packet)
    case 6: return promising(random, packet)
    case 7: return marked(random, packet)
    default: return wrongSum(random, packet)
  }
}

/** IPv4 options that every router passes on: padding, a route to record, a stamp, an alert. */
const OPTIONS4 = [
  [1, 1, 1, 1], [1, 1, 1, 0], [7, 7, 8, 0, 0, 0, 0, 0], [68, 8, 5, 0, 0, 0, 0, 0], [148, 4, 0, 0],
]
/** Padding, an alert, an option to be passed over and one that is not to be passed on. */
const OPTIONS6 = [[1, 4], [1, 4], [0, 0], [5, 2, 0, 0, 1, 0], [30, 4, 1, 2, 3, 4], [190, 4]]

function withOptions(random: Random, packet: Uint8Array): Uint8Array {
  const options = random.pick(OPTIONS4)
  const header = (packet[0] & 15) * 4
  if (header + options.length > 60) return packet
  const longer = Uint8Array.of(...packet.subarray(0, header), ...options, ...packet.subarray(header))
  longer[0] += options.length / 4
  return resized(longer)
}

/** An IPv6 extension header in front of the others; some say that they are longer than the packet. */
function extended(random: Random, packet: Uint8Array): Uint8Array {
  // The oracle does not see a fragment behind AH as one.
  const type = random.pick([0, 0, 43, isFragment(packet) ? 43 : 51, 60, 60, 44])
  const units = random.chance(6) ? 1 : 0
  const body = new Uint8Array(type === 51 ? 8 + 4 * units : 8 + 8 * units)
  body[0] = packet[6]
  body[1] = type === 44 ? 0 : units + Number(random.chance(25)) * (1 + random.below(40))
  if (type === 0 || type === 60) body.set(random.pick(OPTIONS6), 2)
  if (type === 0 && units) body.set([1, 6], 8)
  if (type === 44) new DataView(body.buffer).setUint32(4, random.below(1000))
  const longer = Uint8Array.of(...packet.subarray(0, 40), ...body, ...packet.subarray(40))
  longer[6] = type
  return resized(longer)
}

/** One bit behind the addresses is another: mostly a wrong checksum. */
function flipped(random: Random, packet: Uint8Array): Uint8Array {
  const changed = Uint8Array.from(packet)
  const from = packet[0] >> 4 === 6 ? 40 : (packet[0] & 15) * 4
  if (packet.length > from) changed[from + random.below(packet.length - from)] ^= 1 << random.below(8)
  return changed
}

/** Bytes behind the end that the IP header tells. */
function trailed(random: Random, packet: Uint8Array): Uint8Array {
  return Uint8Array.of(...packet, ...Array<number>(1 + random.below(8)).fill(0xee))
}

/** The end is missing, and the IP header knows. */
function shortened(random: Random, packet: Uint8Array): Uint8Array {
  const from = packet[0] >> 4 === 6 ? 40 : (packet[0] & 15) * 4
  return resized(packet.slice(0, Math.max(from, packet.length - 1 - random.below(24))))
}

/** The end is missing, and the IP header does not know. */
function promising(random: Random, packet: Uint8Array): Uint8Array {
  const from = packet[0] >> 4 === 6 ? 40 : (packet[0] & 15) * 4
  return packet.slice(0, Math.max(from, packet.length - 1 - random.below(8)))
}

/** Another traffic class, or hop limit. */
function marked(random: Random, packet: Uint8Array): Uint8Array {
  const changed = Uint8Array.from(packet)
  const v6 = packet[0] >> 4 === 6
  if (random.chance(2)) changed[v6 ? 7 : 8] = random.pick([0, 1, 2, 255])
  else if (v6) changed[0] = 0x60 | random.below(16)
  else changed[1] = random.below(256)
  return v6 ? changed : resummed(changed)
}

/** A wrong checksum of the IPv4 header. */
function wrongSum(random: Random, packet: Uint8Array): Uint8Array {
  const changed = Uint8Array.from(packet)
  changed[10] ^= 1 << random.below(8)
  return changed
}

/** Sets the IP header's length field to the packet's length. */
function resized(packet: Uint8Array): Uint8Array {
  const v6 = packet[0] >> 4 === 6
  new DataView(packet.buffer).setUint16(v6 ? 4 : 2, packet.length - (v6 ? 40 : 0))
  return v6 ? packet : resummed(packet)
}

function resummed(packet: Uint8Array): Uint8Array {
  const header = packet.subarray(0, (packet[0] & 15) * 4)
  header.set([0, 0], 10)
  new DataView(packet.buffer).setUint16(10, checksum(header))
  return packet
}
