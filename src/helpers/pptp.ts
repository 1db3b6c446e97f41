/**
 * PPTP (RFC 2637): the control connection announces the GRE connection that carries the data, with a call id for each
 * direction. As Linux 6.18 reads it: one message a segment, at its start; the original side is the client (PNS).
 */
import { defineHelper } from './define.js'
import type { GreTuple, Helper, HelperPacket, HelperTable } from './helper.js'
import { checkFields } from './options.js'

/** What `pptp` takes. */
export interface PptpOptions {
  /** Ports of control connections; default 1723. */
  readonly ports?: readonly number[]
}

/** How far the session (its own states) and the call are; the call ids of client and server. */
export interface PptpState {
  session: number
  call: number
  pns: number
  pac: number
}

const SESSION = { none: 0, error: 1, stopRequested: 2, requested: 3, confirmed: 4 } as const
const CALL = { none: 0, outRequested: 2, outConfirmed: 3, inRequested: 4, inReplied: 5, inConfirmed: 6, clearRequested: 7 } as const

/** Bytes that each message type (1 to 15) needs behind the headers; shorter ones are ignored. */
const LEAST = [0, 144, 144, 4, 4, 0, 0, 156, 20, 208, 12, 16, 4, 136, 28, 12]
const HEADERS = 12
const COOKIE = 0x1a2b3c4d
const CONTROL = 1
/** Result code of success, in every message that has one. */
const OK = 1
const GRE = 47

export function pptp(options: PptpOptions = {}): Helper<PptpState> {
  checkFields('pptp', options, ['ports'])
  return defineHelper({
    name: 'pptp', protocol: 'tcp', families: [4], ports: options.ports ?? [1723],
    classes: [{ name: '', limit: 2, timeout: 300 }],
    state: () => ({ session: SESSION.none, call: CALL.none, pns: 0, pac: 0 }),
    inspect(packet, table) {
      const message = readMessage(packet.payload)
      if (packet.established && message) {
        if (packet.direction === 'reply') fromServer(message, packet, table)
        else fromClient(message, packet.state)
      }
      return 'accept'
    },
  })
}

interface Message {
  readonly type: number
  byte(at: number): number
  word(at: number): number
}

function readMessage(payload: Uint8Array): Message | null {
  if (payload.length < HEADERS) return null
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length)
  if (view.getUint16(2) !== CONTROL || view.getUint32(4) !== COOKIE) return null
  const type = view.getUint16(8)
  if (type >= 1 && type <= 15 && payload.length - HEADERS < LEAST[type]) return null
  return { type, byte: at => view.getUint8(HEADERS + at), word: at => view.getUint16(HEADERS + at) }
}

function fromClient({ type, byte, word }: Message, state: PptpState): void {
  switch (type) {
    case 1: // start session request
      if (state.session === SESSION.none) state.session = SESSION.requested
      break
    case 3: // stop session request
      state.session = SESSION.stopRequested
      break
    case 7: // outgoing call request
      if (state.session !== SESSION.confirmed) break
      state.call = CALL.outRequested
      state.pns = word(0)
      break
    case 10: // incoming call reply
      if ((state.call !== CALL.inRequested && state.call !== CALL.inReplied) || word(2) !== state.pac) break
      if (byte(4) === OK) {
        state.call = CALL.inReplied
        state.pns = word(0)
      } else {
        state.call = CALL.none
      }
      break
    case 12: // call clear request
      if (state.session === SESSION.confirmed) state.call = CALL.clearRequested
  }
}

function fromServer({ type, byte, word }: Message, packet: HelperPacket<PptpState>, table: HelperTable): void {
  const { state } = packet
  switch (type) {
    case 2: // start session reply
      if (state.session >= SESSION.requested) state.session = byte(2) === OK ? SESSION.confirmed : SESSION.error
      break
    case 4: // stop session reply
      if (state.session <= SESSION.stopRequested) state.session = byte(0) === OK ? SESSION.none : SESSION.error
      break
    case 8: // outgoing call reply
      if (state.session !== SESSION.confirmed || word(2) !== state.pns) break
      if (state.call !== CALL.outRequested && state.call !== CALL.outConfirmed) break
      if (byte(4) === OK) {
        state.call = CALL.outConfirmed
        state.pac = word(0)
        expectGre(packet, table)
      } else {
        state.call = CALL.none
      }
      break
    case 9: // incoming call request
      if (state.session !== SESSION.confirmed) break
      state.call = CALL.inRequested
      state.pac = word(0)
      break
    case 11: // incoming call connected
      if (state.session !== SESSION.confirmed || word(0) !== state.pns) break
      if (state.call !== CALL.inReplied && state.call !== CALL.inConfirmed) break
      state.call = CALL.inConfirmed
      expectGre(packet, table)
      break
    case 13: // call disconnect notify
      state.call = CALL.none
      endGre(packet, table)
  }
}

/** The two directions of the call's data. */
function tuples({ connection: { original }, state: { pns, pac } }: HelperPacket<PptpState>): [GreTuple, GreTuple] {
  const { src: client, dst: server } = original
  return [
    { src: client, srcKey: pns, dst: server, dstKey: pac },
    { src: server, srcKey: pac, dst: client, dstKey: pns },
  ]
}

/** Both directions are announced, whichever comes first takes the other along; one that cannot be takes both back. */
function expectGre(packet: HelperPacket<PptpState>, table: HelperTable): void {
  const both = tuples(packet)
  const added = both.every(({ src, srcKey, dst, dstKey }) => {
    const result = table.expect({ protocol: GRE, src, sport: srcKey, dst, dport: dstKey })
    return result === 'added' || result === 'already'
  })
  const mapped = added && table.mapGreKeys('original', both[0]) && table.mapGreKeys('reply', both[1])
  if (mapped) return
  for (const expectation of table.own()) {
    if (both.some(({ src, dst, srcKey, dstKey }) => expectation.src === src && expectation.dst === dst
      && expectation.sport === srcKey && expectation.dport === dstKey)) table.remove(expectation)
  }
}

/** The call is over, and so are its GRE connection or what is left of its announcement. */
function endGre(packet: HelperPacket<PptpState>, table: HelperTable): void {
  table.unmapGreKeys()
  for (const tuple of tuples(packet)) table.destroyGre(tuple)
}
