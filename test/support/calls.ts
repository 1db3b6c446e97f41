/**
 * Calls of PPTP and H.323 in rows: what the two sides say, and what is expected then. The unit tests hold the tracker
 * against them, the kernel's comparison holds Linux against the tracker on the same packets.
 *
 * A is the client, B the server. `>` is what A says, `<` what B says.
 */
import { tcp, udpWith } from './build.js'
import { pptpMessage } from './helped-trace.js'
import {
  admissionConfirm, alerting, call, callProceeding, connect, facility, gatekeeperConfirm, locationConfirm, open, openAck,
  openLogicalChannel, q931, registrationConfirm, registrationRequest, setup, tpkt, unregistrationRequest, userInformation,
} from './h323-messages.js'

/** Who speaks, and what. */
type Spoken = readonly ['>' | '<', Uint8Array]

export interface Call {
  readonly name: string
  /** As recordings name it. */
  readonly helper: 'pptp' | 'h323' | 'h323-ras'
  readonly family?: 4 | 6
  readonly said: readonly Spoken[]
  /** A second connection, from A to this port of B, which the first one announced. */
  readonly then?: { readonly dport: number, readonly said: readonly Spoken[] }
  /** `protocol source[:port] > destination:port [flags] [helper]`, oldest first. */
  readonly expected: readonly string[]
  /** The last packet is dropped. */
  readonly dropped?: boolean
}

const HOSTS = { 4: ['10.0.0.1', '10.0.0.2', '10.0.0.3'], 6: ['2001:db8:a::1', '2001:db8:b::2', '2001:db8:c::3'] } as const
const [A, B, C] = HOSTS[4]
const [A6, B6] = HOSTS[6]

// PPTP (RFC 2637)

const word = (value: number) => [value >> 8, value & 255]
const START = pptpMessage(1, 156, [])
const startReply = (result: number) => pptpMessage(2, 156, [0, 0, result])
const outgoing = (pns: number) => pptpMessage(7, 168, word(pns))
const outgoingReply = (pac: number, pns: number, result = 1) => pptpMessage(8, 32, [...word(pac), ...word(pns), result])
const incoming = (pac: number) => pptpMessage(9, 220, word(pac))
const incomingReply = (pns: number, pac: number, result = 1) => pptpMessage(10, 24, [...word(pns), ...word(pac), result])
const incomingConnected = (pns: number) => pptpMessage(11, 28, word(pns))
const CLEAR = pptpMessage(12, 16, word(77))
const DISCONNECT = pptpMessage(13, 148, word(88))

const STARTED: readonly Spoken[] = [['>', START], ['<', startReply(1)]]
const OUT: readonly Spoken[] = [...STARTED, ['>', outgoing(77)]]
const BOTH_WAYS = [`gre ${A}:77 > ${B}:88`, `gre ${B}:88 > ${A}:77`]

function changed(message: Uint8Array, at: number, value: number): Uint8Array {
  const copy = message.slice()
  copy[at] = value
  return copy
}

const PPTP: readonly Omit<Call, 'helper'>[] = [
  { name: 'an outgoing call', said: [...OUT, ['<', outgoingReply(88, 77)]], expected: BOTH_WAYS },
  { name: 'an answer that comes twice', said: [...OUT, ['<', outgoingReply(88, 77)], ['<', outgoingReply(88, 77)]], expected: BOTH_WAYS },
  { name: 'an answer to another call', said: [...OUT, ['<', outgoingReply(88, 78)]], expected: [] },
  { name: 'a call that is refused', said: [...OUT, ['<', outgoingReply(88, 77, 2)]], expected: [] },
  { name: 'an answer after a refusal', said: [...OUT, ['<', outgoingReply(88, 77, 2)], ['<', outgoingReply(88, 77)]], expected: [] },
  { name: 'an answer that nobody asked for', said: [...STARTED, ['<', outgoingReply(88, 0)]], expected: [] },
  { name: 'an answer without a session', said: [['>', outgoing(77)], ['<', outgoingReply(88, 77)]], expected: [] },
  {
    name: 'a session that is refused', expected: [],
    said: [['>', START], ['<', startReply(2)], ['>', outgoing(77)], ['<', outgoingReply(88, 77)]],
  },
  {
    name: 'a session that was not asked for', expected: [],
    said: [['<', startReply(1)], ['>', outgoing(77)], ['<', outgoingReply(88, 77)]],
  },
  { name: 'a request by the server', said: [...STARTED, ['<', outgoing(77)], ['<', outgoingReply(88, 77)]], expected: [] },
  { name: 'an answer by the client', said: [...OUT, ['>', outgoingReply(88, 77)]], expected: [] },
  {
    name: 'an incoming call', expected: BOTH_WAYS,
    said: [...STARTED, ['<', incoming(88)], ['>', incomingReply(77, 88)], ['<', incomingConnected(77)]],
  },
  {
    name: 'an incoming call that the client refuses', expected: [],
    said: [...STARTED, ['<', incoming(88)], ['>', incomingReply(77, 88, 2)], ['<', incomingConnected(77)]],
  },
  {
    name: 'an incoming call that is connected for another', expected: [],
    said: [...STARTED, ['<', incoming(88)], ['>', incomingReply(77, 88)], ['<', incomingConnected(78)]],
  },
  { name: 'a call that is disconnected', said: [...OUT, ['<', outgoingReply(88, 77)], ['<', DISCONNECT]], expected: [] },
  { name: 'a call that is cleared before its answer', said: [...OUT, ['>', CLEAR], ['<', outgoingReply(88, 77)]], expected: [] },
  {
    name: 'a session that is stopped before the call', expected: [],
    said: [...STARTED, ['>', pptpMessage(3, 16, [1])], ['>', outgoing(77)], ['<', outgoingReply(88, 77)]],
  },
  {
    name: 'a second call beside the first, whose keys it cannot have: the first has been pushed out', expected: [],
    said: [...OUT, ['<', outgoingReply(88, 77)], ['>', outgoing(79)], ['<', outgoingReply(90, 79)]],
  },
  {
    name: 'a second call after the first', expected: [`gre ${A}:79 > ${B}:90`, `gre ${B}:90 > ${A}:79`],
    said: [...OUT, ['<', outgoingReply(88, 77)], ['<', DISCONNECT], ['>', outgoing(79)], ['<', outgoingReply(90, 79)]],
  },
  {
    name: 'two messages in one segment, of which the first is read', expected: [],
    said: [['>', START], ['<', startReply(1)], ['>', Buffer.concat([CLEAR, outgoing(77)])], ['<', outgoingReply(88, 77)]],
  },
  {
    name: 'a message that does not begin its segment', expected: [],
    said: [...STARTED, ['>', Buffer.concat([Uint8Array.of(0), outgoing(77)])], ['<', outgoingReply(88, 77)]],
  },
  { name: 'a wrong cookie', said: [...OUT, ['<', changed(outgoingReply(88, 77), 5, 0)]], expected: [] },
  { name: 'a message that is not of control', said: [...OUT, ['<', changed(outgoingReply(88, 77), 3, 2)]], expected: [] },
  { name: 'an answer that is a byte too short', said: [...OUT, ['<', outgoingReply(88, 77).subarray(0, 31)]], expected: [] },
  { name: 'an answer that is cut behind its headers', said: [...OUT, ['<', outgoingReply(88, 77).subarray(0, 12)]], expected: [] },
  { name: 'errors, link information and echoes in between', expected: BOTH_WAYS, said: [
    ...OUT, ['<', pptpMessage(14, 40, [])], ['<', pptpMessage(15, 24, [])], ['<', pptpMessage(5, 16, [])], ['>', pptpMessage(6, 20, [])],
    ['<', outgoingReply(88, 77)],
  ] },
]

// H.323: registration, admission, status

const at = (address: string, port: number) => address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`

const RAS: readonly Omit<Call, 'helper'>[] = [
  {
    name: 'a registration: calls of the gatekeeper', expected: [`tcp ${B} > ${A}:1720 PERMANENT Q.931`],
    said: [['>', registrationRequest({ calls: [at(A, 1720)] })]],
  },
  {
    name: 'a registration that lives so many seconds, and is confirmed', expected: [`tcp ${B} > ${A}:1720 PERMANENT Q.931`],
    said: [['>', registrationRequest({ calls: [at(A, 1720)], ttl: 600 })], ['<', registrationConfirm({ calls: [at(B, 1720)], ttl: 500 })]],
  },
  { name: 'a registration of another host', said: [['>', registrationRequest({ calls: [at(C, 1720)] })]], expected: [] },
  { name: 'a registration at port 0', said: [['>', registrationRequest({ calls: [at(A, 0)] })]], expected: [] },
  {
    name: 'a registration at the second of its addresses', expected: [`tcp ${B} > ${A}:1722 PERMANENT Q.931`],
    said: [['>', registrationRequest({ calls: [at(C, 1720), at(A, 1722)] })]],
  },
  {
    name: 'a registration at an address of the other IP version', said: [['>', registrationRequest({ calls: [at(A6, 1720)] })]], expected: [],
  },
  {
    name: 'a registration that ends', expected: [],
    said: [['>', registrationRequest({ calls: [at(A, 1720)] })], ['>', unregistrationRequest([at(A, 1720)])]],
  },
  {
    name: 'a gatekeeper that wants registrations elsewhere', expected: [`udp ${A} > ${C}:1800 RAS`],
    said: [['>', registrationRequest({ calls: [] })], ['<', gatekeeperConfirm(at(C, 1800))]],
  },
  {
    name: 'a gatekeeper that wants them where it is', expected: [],
    said: [['>', registrationRequest({ calls: [] })], ['<', gatekeeperConfirm(at(B, 1719))]],
  },
  {
    name: 'an admission', expected: [`tcp ${A} > ${C}:1720 PERMANENT Q.931`],
    said: [['>', registrationRequest({ calls: [] })], ['<', admissionConfirm(at(C, 1720))]],
  },
  {
    name: 'an admission to the requester itself', expected: [],
    said: [['>', registrationRequest({ calls: [] })], ['<', admissionConfirm(at(A, 1720))]],
  },
  {
    name: 'a location', expected: [`tcp ${A} > ${C}:1720 PERMANENT Q.931`],
    said: [['>', registrationRequest({ calls: [] })], ['<', locationConfirm(at(C, 1720), at(C, 1719))]],
  },
  {
    name: 'a registration that is cut', said: [['>', registrationRequest({ calls: [at(A, 1720)] }).subarray(0, 20)]], expected: [],
  },
  {
    name: 'a registration over IPv6', family: 6, expected: [`tcp ${B6} > ${A6}:1720 PERMANENT Q.931`],
    said: [['>', registrationRequest({ calls: [at(A6, 1720)] })]],
  },
]

// H.323: call signalling and H.245

const CONTROL = { h245Address: at(B, 2000) }
const ANSWER = userInformation(connect(CONTROL))
/** A TPKT that says it is of another length. */
const misjudged = (length: number) => Uint8Array.of(3, 0, length >> 8, length & 255, ...q931(ANSWER))
const H245 = [`tcp ${A} > ${B}:2000 H.245`]
const CHANNEL = { forward: { media: at(B, 5000), control: at(B, 5001) } }
const RTP = [`udp ${A} > ${B}:5000`, `udp ${A} > ${B}:5001`]
const SETUP: Spoken = ['>', call(setup())]

const Q931: readonly Omit<Call, 'helper'>[] = [
  { name: 'connect with a control address', said: [SETUP, ['<', call(connect(CONTROL))]], expected: H245 },
  { name: 'alerting with one', said: [SETUP, ['<', call(alerting(CONTROL))]], expected: H245 },
  { name: 'call proceeding with one', said: [SETUP, ['<', call(callProceeding(CONTROL))]], expected: H245 },
  {
    name: 'setup with one of the caller', expected: [`tcp ${B} > ${A}:2000 H.245`],
    said: [['>', call(setup({ h245Address: at(A, 2000) }))]],
  },
  { name: 'a control address of another host', said: [SETUP, ['<', call(connect({ h245Address: at(C, 2000) }))]], expected: [] },
  { name: 'a control address with port 0', said: [SETUP, ['<', call(connect({ h245Address: at(B, 0) }))]], expected: [] },
  { name: 'a control address of the other IP version', said: [SETUP, ['<', call(connect({ h245Address: at(B6, 2000) }))]], expected: [] },
  { name: 'fast start', said: [SETUP, ['<', call(connect({ fastStart: [openLogicalChannel(CHANNEL)] }))]], expected: RTP },
  {
    name: 'fast start to another host', expected: [],
    said: [SETUP, ['<', call(connect({ fastStart: [openLogicalChannel({ forward: { media: at(C, 5000) } })] }))]],
  },
  {
    name: 'fast start whose element cannot be read', expected: RTP,
    said: [SETUP, ['<', call(connect({ fastStart: [Uint8Array.of(1, 2), openLogicalChannel(CHANNEL)] }))]],
  },
  { name: 'tunnelled H.245', said: [SETUP, ['<', call(connect(), [open(CHANNEL)])]], expected: RTP },
  { name: 'a forwarded call', said: [SETUP, ['<', call(facility({ reason: 'callForwarded', alternativeAddress: at(C, 1730) }))]], expected: [`tcp ${A} > ${C}:1730 Q.931`] },
  { name: 'a call forwarded to the caller itself', said: [SETUP, ['<', call(facility({ reason: 'callForwarded', alternativeAddress: at(A, 1730) }))]], expected: [] },
  {
    name: 'two messages in one segment', expected: H245,
    said: [SETUP, ['<', Buffer.concat([call(alerting()), call(connect(CONTROL))])]],
  },
  {
    name: 'a header that travels alone', expected: H245,
    said: [SETUP, ['<', call(connect(CONTROL)).subarray(0, 4)], ['<', call(connect(CONTROL)).subarray(4)]],
  },
  {
    name: 'a message that is cut into two segments', expected: [],
    said: [SETUP, ['<', call(connect(CONTROL)).subarray(0, 20)], ['<', call(connect(CONTROL)).subarray(20)]],
  },
  {
    name: 'a message behind one that cannot be read', expected: [],
    said: [SETUP, ['<', Buffer.concat([tpkt(Uint8Array.of(9, 9, 9)), call(connect(CONTROL))])]],
  },
  { name: 'a TPKT shorter than its header', said: [SETUP, ['<', misjudged(3)]], expected: [] },
  { name: 'a TPKT longer than the segment', said: [SETUP, ['<', misjudged(500)]], expected: [] },
  // The length of the user-user element counts its discriminator and was reduced by one unchecked: 0 became 65,535.
  { name: 'CVE-2026-23455: a user-user element of length 0', said: [SETUP, ['<', tpkt(q931(ANSWER, { length: 0 }))]], expected: [] },
  { name: 'a user-user element of length 1', said: [SETUP, ['<', tpkt(q931(ANSWER, { length: 1 }))]], expected: [] },
  { name: 'a user-user element that is longer than the message', said: [SETUP, ['<', tpkt(q931(ANSWER, { length: 300 }))]], expected: [] },
  {
    name: 'over IPv6', family: 6, expected: [`tcp ${A6} > ${B6}:2000 H.245`],
    said: [SETUP, ['<', call(connect({ h245Address: at(B6, 2000) }))]],
  },
  {
    name: 'a channel that the control connection opens', expected: RTP,
    said: [SETUP, ['<', call(connect(CONTROL))]],
    then: { dport: 2000, said: [['<', tpkt(open(CHANNEL))]] },
  },
  {
    name: 'a channel that it acknowledges', expected: [`udp ${B} > ${A}:6000`, `udp ${B} > ${A}:6001`],
    said: [SETUP, ['<', call(connect(CONTROL))]],
    then: { dport: 2000, said: [['>', tpkt(openAck({ forward: { media: at(A, 6000) } }))]] },
  },
  {
    name: 'a channel at an odd port, which is taken for RTCP\'s', expected: [`udp ${B} > ${A}:6000`, `udp ${B} > ${A}:6001`],
    said: [SETUP, ['<', call(connect(CONTROL))]],
    then: { dport: 2000, said: [['>', tpkt(open({ forward: { media: at(A, 6001) } }))]] },
  },
  {
    name: 'a channel of another host', expected: [],
    said: [SETUP, ['<', call(connect(CONTROL))]],
    then: { dport: 2000, said: [['>', tpkt(open({ forward: { media: at(C, 6000) } }))]] },
  },
]

const ofHelper = (helper: Call['helper'], calls: readonly Omit<Call, 'helper'>[]) => calls.map(call => ({ ...call, helper }))

export const CALLS: readonly Call[] = [...ofHelper('pptp', PPTP), ...ofHelper('h323-ras', RAS), ...ofHelper('h323', Q931)]

const PORTS = { pptp: 1723, h323: 1720, 'h323-ras': 1719 } as const

/** The packets of a call, handshakes included. */
export function packetsOf({ helper, family = 4, said, then }: Call): Uint8Array[] {
  const [src, dst] = HOSTS[family]
  const first = connection(helper !== 'h323-ras', { src, dst, sport: 1000, dport: PORTS[helper] }, said)
  return then ? [...first, ...connection(true, { src, dst, sport: 1001, dport: then.dport }, then.said)] : first
}

type Sides = { src: string, dst: string, sport: number, dport: number }

function connection(isTcp: boolean, there: Sides, said: readonly Spoken[]): Uint8Array[] {
  const back = { src: there.dst, dst: there.src, sport: there.dport, dport: there.sport }
  if (!isTcp) return said.map(([who, payload]) => udpWith(who === '>' ? there : back, payload))
  const seq = { '>': 1001, '<': 5001 }
  return [
    tcp(there, { flags: 'S', seq: 1000 }), tcp(back, { flags: 'SA', seq: 5000, ack: 1001 }), tcp(there, { flags: 'A', seq: 1001, ack: 5001 }),
    ...said.map(([who, payload]) => {
      const other = who === '>' ? '<' : '>'
      const packet = tcp(who === '>' ? there : back, { flags: 'PA', seq: seq[who], ack: seq[other], payload })
      seq[who] += payload.length
      return packet
    }),
  ]
}
