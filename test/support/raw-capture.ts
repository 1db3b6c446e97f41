/** Raw IP packets, or frames of another link type, as a nanosecond pcap; a millisecond apart unless their times (nanoseconds) are given. */
export function rawCapture(
  packets: readonly Uint8Array[], timeOf: (i: number) => bigint = i => BigInt(i) * 1_000_000n, linkType = 101,
): Uint8Array {
  const size = packets.reduce((total, packet) => total + 16 + packet.length, 24)
  const file = new Uint8Array(size)
  const view = new DataView(file.buffer)
  ;[0xa1b23c4d, 0x0004_0002, 0, 0, 262_144, linkType].forEach((value, i) => view.setUint32(i * 4, value, true))
  let at = 24
  packets.forEach((packet, i) => {
    const time = timeOf(i)
    const header = [Number(time / 1_000_000_000n), Number(time % 1_000_000_000n), packet.length, packet.length]
    header.forEach((value, field) => view.setUint32(at + field * 4, value, true))
    file.set(packet, at + 16)
    at += 16 + packet.length
  })
  return file
}
