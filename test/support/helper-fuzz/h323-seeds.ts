/** Writes messages of H.225.0 and H.245 in aligned PER, as far as conversations for the fuzzer of helpers need them. */
import { addressBytes } from '../../../src/match.js'
import type { At } from '../h323-messages.js'
import { PerWriter } from '../per-writer.js'

const per = () => new PerWriter()
const PROTOCOL = [6, 0, 8, 0x91, 0x4a, 0, 2]

/** H.225.0's transport address: the fourth alternative is IPv6. */
const h225At = ({ address, port }: At) => (to: PerWriter) => {
  const ip6 = address.includes(':')
  to.bits(ip6 ? 6 : 0, ip6 ? 5 : 4).octets(...addressBytes(address)).word(port)
}

/** H.245's: a unicast address, of which the third alternative is IPv6. */
const h245At = ({ address, port }: At) => (to: PerWriter) => {
  to.bits(0, 3).bits(address.includes(':') ? 2 : 0, 3).bits(0, 1).octets(...addressBytes(address)).word(port)
}

/** An endpoint type with nothing in it. */
const endpointType = (to: PerWriter) => { to.bits(0, 9) }
const vendor = (to: PerWriter) => { to.bits(0, 4).octets(0xb5, 0, 0, 1) }
/** An identifier of two characters. */
const identifier = (to: PerWriter) => { to.bits(1, 7).octets(0, 0x31, 0, 0x32) }
/** Additions of which only the last of `count` is there. */
const lastOf = (count: number, inner: PerWriter) => (to: PerWriter) => {
  to.bits(count - 1, 7).bits(1, count).open(inner)
}
/** timeToLive, and an empty list of tokens behind it: at the very end Linux takes it for cut. */
const timeToLive = (seconds: number) => (to: PerWriter) => {
  if (seconds) to.bits(2, 7).bits(0b011, 3).open(per().bits(1, 2).word(seconds - 1)).sized([0])
}

/** RAS messages; a `ttl` is in the additions. */
export const RAS = {
  gatekeeperConfirm: (at: At) => per().bits(1, 6).bits(0, 3).word(0).octets(...PROTOCOL).with(h225At(at)).bytes(),
  registrationRequest: (at: At, ttl = 0) => per().bits(3, 6).bits(ttl ? 8 : 0, 4).word(0).octets(...PROTOCOL).bits(1, 1)
    .octets(1).with(h225At(at)).octets(1).with(h225At({ ...at, port: 1719 })).with(endpointType).with(vendor)
    .with(timeToLive(ttl)).bytes(),
  registrationConfirm: (at: At, ttl = 0) => per().bits(4, 6).bits(ttl ? 8 : 0, 4).word(0).octets(...PROTOCOL)
    .octets(1).with(h225At(at)).with(identifier).with(timeToLive(ttl)).bytes(),
  unregistrationRequest: (at: At) => per().bits(6, 6).bits(0, 4).word(0).octets(1).with(h225At(at)).bytes(),
  admissionConfirm: (at: At) => per().bits(10, 6).bits(0, 3).word(0).bits(0, 2).octets(100).bits(0, 2)
    .with(h225At(at)).bytes(),
  locationConfirm: (at: At) => per().bits(19, 6).bits(0, 2).word(0).with(h225At(at)).with(h225At(at)).bytes(),
}

/** Both channels of a medium. */
const h2250 = (rtp: At, rtcp: At) => per().bits(0b0_0010_1000_00, 11).octets(1).with(h245At(rtp)).with(h245At(rtcp))

/** openLogicalChannel for G.711. */
const openAudio = (rtp: At, rtcp: At) => (to: PerWriter) => {
  to.bits(0, 2).word(100).bits(0, 2).bits(3, 4).bits(1, 5).octets(29).bits(0x80, 8).open(h2250(rtp, rtcp))
}

/** For T.120, with a separate stack. */
const openT120 = (at: At) => (to: PerWriter) => {
  const stack = per().bits(0, 3).bits(2, 3).with(h245At(at)).bits(0, 1)
  to.bits(2, 2).word(100).bits(0, 2).bits(4, 4).bits(0, 1).bits(1, 5).bits(0x83, 8).octets(1, 0)
  to.bits(0, 2).octets(100).bits(0x81, 8).octets(1, 0).with(lastOf(1, stack))
}

/** H.245 messages without TPKT. */
export const H245 = {
  openAudio: (rtp: At, rtcp: At) => per().bits(0, 3).bits(3, 5).with(openAudio(rtp, rtcp)).bytes(),
  openT120: (at: At) => per().bits(0, 3).bits(3, 5).with(openT120(at)).bytes(),
  acknowledge: (rtp: At, rtcp: At) => per().bits(1, 3).bits(5, 6).bits(2, 2).word(100).with(lastOf(2,
    per().bits(0, 1).bits(0b001110, 6).bits(1, 8).with(h245At(rtp)).with(h245At(rtcp)))).bytes(),
}

/** Lists with an open type for each element. */
const openList = (...elements: readonly Uint8Array[]) => elements.reduce(
  (to, bytes) => to.open(per().octets(...bytes)), per().octets(elements.length))

/** Call signalling: a Q.931 message in a TPKT. `index` is the alternative of the body. */
function call(
  type: number, index: number, body: (to: PerWriter) => void, controls: readonly Uint8Array[] = [],
): Uint8Array {
  const information = per().bits(0, 2).bits(controls.length > 0 ? 2 : 0, 2).bits(index, 4).with(body)
  if (controls.length > 0) lastOf(3, openList(...controls))(information)
  const bytes = information.bytes()
  const length = bytes.length + 1
  return tpkt([8, 2, 0, 1, type, 4, 3, 0x80, 0x90, 0xa3, 0x7e, length >> 8, length & 255, 5, ...bytes])
}

export function tpkt(message: readonly number[] | Uint8Array): Uint8Array {
  return Uint8Array.of(3, 0, message.length + 4 >> 8, message.length + 4 & 255, ...message)
}

const guid = Array.from({ length: 16 }, (_, i) => i)

export const CALL = {
  setup: (control: At, rtp: At) => call(5, 0, to => {
    const audio = per().with(openAudio(rtp, { ...rtp, port: rtp.port + 1 })).bytes()
    to.bits(1, 1).bits(0x40, 7).octets(...PROTOCOL).with(h225At(control)).with(endpointType)
    to.bits(0, 1).octets(...guid).bits(0, 6).with(lastOf(7, openList(audio)))
  }),
  connect: (control: At, controls: readonly Uint8Array[] = []) => call(7, 2, to => {
    to.bits(0, 1).bits(1, 1).octets(...PROTOCOL).with(h225At(control)).with(endpointType).octets(...guid)
  }, controls),
  forward: (to: At) => call(0x62, 6, writer => {
    writer.bits(0, 1).bits(4, 3).octets(...PROTOCOL).with(h225At(to)).bits(1, 3)
  }),
  facility: (control: At) => call(0x62, 6, to => {
    to.bits(1, 1).bits(0, 3).octets(...PROTOCOL).bits(3, 3).with(lastOf(7, per().with(h225At(control))))
  }),
}
