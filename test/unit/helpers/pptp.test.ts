/** The PPTP helper by the rules of Linux 6.18; the conversations were asked of the kernel. */
import { createTracker } from 'conntrack-wasm'
import { describe, expect, test } from 'vitest'
import { pptp, type PptpOptions, type PptpState } from '../../../src/helpers/pptp.js'
import { gre, tcp } from '../../support/build.js'
import { ExpectationTable } from '../../support/expectation-table.js'
import { HelpedSession, type Heard, type SessionOptions } from '../../support/helped-session.js'

const A = '192.0.2.1'
const B = '198.51.100.2'

const NOTHING: Heard = { verdict: 'accept', expected: [] }
/** Both directions of the data, with the call ids of client and server. */
const expects = (pns: number, pac: number): Heard =>
  ({ verdict: 'accept', expected: [`gre ${A}:${pns} -> ${B}:${pac}`, `gre ${B}:${pac} -> ${A}:${pns}`] })

/** Octets of the message types 1 to 15 behind their headers (RFC 2637). */
const SIZES = [0, 144, 144, 4, 4, 4, 8, 156, 20, 208, 12, 16, 4, 136, 28, 12]

interface Fields {
  /** Octets behind the headers. */
  readonly size?: number
  readonly packetType?: number
  readonly cookie?: number
  /** What the length field says. */
  readonly length?: number
}

/** A message with these 16-bit numbers behind the headers. */
function message(type: number, words: readonly number[] = [], fields: Fields = {}): Uint8Array {
  const { size = SIZES[type] ?? 0, packetType = 1, cookie = 0x1a2b3c4d } = fields
  const view = new DataView(new ArrayBuffer(12 + size))
  view.setUint16(0, fields.length ?? 12 + size)
  view.setUint16(2, packetType)
  view.setUint32(4, cookie)
  view.setUint16(8, type)
  words.slice(0, size >> 1).forEach((word, i) => view.setUint16(12 + 2 * i, word))
  return new Uint8Array(view.buffer)
}

/** In the high octet of a word. */
const high = (octet: number) => octet << 8

const START = message(1, [0x0100])
const started = (result = 1) => message(2, [0x0100, high(result)])
const STOP = message(3, [0x0100])
const stopped = (result = 1) => message(4, [high(result)])
const call = (id: number) => message(7, [id, 1])
const answer = (id: number, peer: number, result = 1) => message(8, [id, peer, high(result)])
const incoming = (id: number) => message(9, [id, 1])
const incomingReply = (id: number, peer: number, result = 1) => message(10, [id, peer, high(result)])
const connected = (peer: number) => message(11, [peer])
const CLEAR = message(12, [77])
const disconnected = (id: number) => message(13, [id])
const WAN_ERROR = message(14, [77])
const LINK_INFO = message(15, [88])

/** A message of the client, or (in an array) of the server. */
type Said = Uint8Array | readonly [Uint8Array]

const open = (options: SessionOptions = {}) => new HelpedSession(pptp(), { client: A, server: B, ...options })

const SESSION: readonly Said[] = [START, [started()]]
/** The client's call with the id 77, not yet answered. */
const CALLING: readonly Said[] = [...SESSION, call(77)]
/** Answered with the id 88. */
const TALKING: readonly Said[] = [...CALLING, [answer(88, 77)]]
/** The server's call with the id 88, accepted with 77. */
const CALLED: readonly Said[] = [...SESSION, [incoming(88)], incomingReply(77, 88)]

function play(session: HelpedSession, messages: readonly Said[]): Heard {
  const heard = messages.map(said => said instanceof Uint8Array ? session.client(said) : session.server(said[0]))
  return heard[heard.length - 1]
}

/** A title, what was said, what its last message announces. */
type Row = readonly [title: string, messages: readonly Said[], answer: Heard]
const rows = (list: readonly Row[]) =>
  test.each(list)('%s', (_, messages, answer) => expect(play(open(), messages)).toEqual(answer))

describe('an outgoing call', () => rows([
  ['is announced when the server answers it', TALKING, expects(77, 88)],
  ['that is answered twice is announced twice', [...TALKING, [answer(88, 77)]], expects(77, 88)],
  ['with the largest ids', [...SESSION, call(65535), [answer(65534, 65535)]], expects(65535, 65534)],
  ['with ids of 0', [...SESSION, call(0), [answer(0, 0)]], expects(0, 0)],
  ['asked for twice has the second id', [...CALLING, call(78), [answer(88, 78)]], expects(78, 88)],
  ['asked for twice is not known by its first id', [...CALLING, call(78), [answer(88, 77)]], NOTHING],
  ['answered for another call: nothing', [...CALLING, [answer(88, 78)]], NOTHING],
  ['refused: nothing', [...CALLING, [answer(88, 77, 2)]], NOTHING],
  ['refused, then answered: nothing', [...CALLING, [answer(88, 77, 4)], [answer(88, 77)]], NOTHING],
  ['answered with result 0: nothing', [...CALLING, [answer(88, 77, 0)]], NOTHING],
  ['answered unasked: nothing', [...SESSION, [answer(88, 0)]], NOTHING],
  ['answered by the client: nothing', [...CALLING, answer(88, 77)], NOTHING],
  ['asked for by the server: nothing', [...SESSION, [call(77)], [answer(88, 77)]], NOTHING],
  ['asked for again, then answered again', [...TALKING, call(77), [answer(88, 77)]], expects(77, 88)],
  ['answered after the client has cleared it: nothing', [...CALLING, CLEAR, [answer(88, 77)]], NOTHING],
  ['asked for before the session is confirmed: nothing', [START, call(77), [started()], [answer(88, 77)]], NOTHING],
  ['that is cleared in a session not yet confirmed is not cleared',
    [...CALLING, STOP, [stopped()], START, CLEAR, [started()], [answer(88, 77)]], expects(77, 88)],
  ['asked for anew after it was cleared', [...CALLING, CLEAR, call(78), [answer(88, 78)]], expects(78, 88)],
  ['is not disturbed by echoes, link info and a WAN error',
    [...CALLING, message(5, [1, 2]), [message(6, [1, 2])], [message(5)], message(6), LINK_INFO, [LINK_INFO],
      [WAN_ERROR], [answer(88, 77)]], expects(77, 88)],
  ['is not disturbed by messages of no known type',
    [...CALLING, message(0), message(16), [message(99)], [answer(88, 77)]], expects(77, 88)],
]))

describe('the session that a call needs', () => rows([
  ['was not asked for', [[started()], call(77), [answer(88, 77)]], NOTHING],
  ['was not confirmed', [START, call(77), [answer(88, 77)]], NOTHING],
  ['was refused', [START, [started(2)], call(77), [answer(88, 77)]], NOTHING],
  ['was refused and cannot be asked for again', [START, [started(2)], START, [started()], call(77), [answer(88, 77)]],
    NOTHING],
  ['was asked for twice', [START, START, [started()], call(77), [answer(88, 77)]], expects(77, 88)],
  ['was confirmed twice', [...SESSION, [started()], call(77), [answer(88, 77)]], expects(77, 88)],
  ['was confirmed, then refused', [...SESSION, [started(3)], call(77), [answer(88, 77)]], NOTHING],
  ['was asked for by the server', [[START], started(), call(77), [answer(88, 77)]], NOTHING],
  ['was to be stopped: no new call', [...SESSION, STOP, call(77), [answer(88, 77)]], NOTHING],
  ['was to be stopped: no answer', [...CALLING, STOP, [answer(88, 77)]], NOTHING],
  ['was to be stopped, and a late confirmation does not matter',
    [...SESSION, STOP, [started()], call(77), [answer(88, 77)]], NOTHING],
  ['was stopped', [...SESSION, STOP, [stopped()], call(77), [answer(88, 77)]], NOTHING],
  ['was stopped and asked for again', [...SESSION, STOP, [stopped()], ...CALLING, [answer(88, 77)]], expects(77, 88)],
  ['could not be stopped, and cannot be asked for again',
    [...SESSION, STOP, [stopped(2)], ...CALLING, [answer(88, 77)]], NOTHING],
  ['was "stopped" by an answer to nothing', [...SESSION, [stopped()], call(77), [answer(88, 77)]], expects(77, 88)],
  ['was "stopped" by the server\'s request', [...SESSION, [STOP], call(77), [answer(88, 77)]], expects(77, 88)],
  ['was refused, and that was "stopped"',
    [START, [started(2)], [stopped()], ...CALLING, [answer(88, 77)]], expects(77, 88)],
]))

describe('an incoming call', () => rows([
  ['is announced when the server connects it', [...CALLED, [connected(77)]], expects(77, 88)],
  ['connected twice is announced twice', [...CALLED, [connected(77)], [connected(77)]], expects(77, 88)],
  ['accepted twice', [...CALLED, incomingReply(77, 88), [connected(77)]], expects(77, 88)],
  ['accepted with another id at last', [...CALLED, incomingReply(78, 88), [connected(78)]], expects(78, 88)],
  ['not accepted: nothing', [...SESSION, [incoming(88)], [connected(0)]], NOTHING],
  ['accepted for another call: nothing', [...SESSION, [incoming(88)], incomingReply(77, 89), [connected(77)]], NOTHING],
  ['refused: nothing', [...SESSION, [incoming(88)], incomingReply(77, 88, 2), [connected(77)]], NOTHING],
  ['refused, then accepted: nothing',
    [...SESSION, [incoming(88)], incomingReply(77, 88, 2), incomingReply(77, 88), [connected(77)]], NOTHING],
  ['connected for another call: nothing', [...CALLED, [connected(78)]], NOTHING],
  ['connected by the client: nothing', [...CALLED, connected(77)], NOTHING],
  ['accepted unasked: nothing', [...SESSION, incomingReply(77, 0), [connected(77)]], NOTHING],
  ['accepted again after it was connected: nothing changes',
    [...CALLED, [connected(77)], incomingReply(78, 88), [connected(77)]], expects(77, 88)],
  ['before the session is confirmed: nothing',
    [START, [incoming(88)], [started()], incomingReply(77, 88), [connected(77)]], NOTHING],
  ['without a session: nothing', [[incoming(88)], incomingReply(77, 88), [connected(77)]], NOTHING],
  ['cleared before it is connected: nothing', [...CALLED, CLEAR, [connected(77)]], NOTHING],
  ['in a session that is to be stopped: nothing', [...CALLED, STOP, [connected(77)]], NOTHING],
  ['accepted in a session that is to be stopped, then nothing',
    [...SESSION, [incoming(88)], STOP, incomingReply(77, 88), [connected(77)]], NOTHING],
]))

describe('a message', () => {
  const last = (bytes: Uint8Array): readonly Said[] => [...CALLING, [bytes]]
  const whole = answer(88, 77)
  rows([
    ['without its last octet: ignored', last(whole.slice(0, -1)), NOTHING],
    ['with more behind it', last(Uint8Array.of(...whole, 1, 2, 3)), expects(77, 88)],
    ['behind another in one segment: ignored', last(Uint8Array.of(...message(5), ...whole)), NOTHING],
    ['before another in one segment', last(Uint8Array.of(...whole, ...message(5))), expects(77, 88)],
    ['behind an octet: ignored', last(Uint8Array.of(0, ...whole)), NOTHING],
    ['whose length field is 0: it is not looked at', last(message(8, [88, 77, high(1)], { length: 0 })),
      expects(77, 88)],
    ['whose length field is too large: likewise', last(message(8, [88, 77, high(1)], { length: 65535 })),
      expects(77, 88)],
    ['of packet type 2: ignored', last(message(8, [88, 77, high(1)], { packetType: 2 })), NOTHING],
    ['with another cookie: ignored', last(message(8, [88, 77, high(1)], { cookie: 0x1a2b3c4e })), NOTHING],
    ['of headers alone: ignored', last(whole.slice(0, 12)), NOTHING],
    ['of half its headers: ignored', last(whole.slice(0, 9)), NOTHING],
    ['of one octet: ignored', last(Uint8Array.of(0)), NOTHING],
  ])

  test('split over two segments is ignored', () => {
    const session = open()
    play(session, CALLING)
    expect(session.server(whole.slice(0, 16))).toEqual(NOTHING)
    expect(session.server(whole.slice(16))).toEqual(NOTHING)
  })

  test.each([
    [1, 144], [2, 144], [3, 4], [4, 4], [5, 0], [6, 0], [7, 156], [8, 20], [9, 208], [10, 12], [11, 16], [12, 4],
    [13, 136], [14, 28], [15, 12],
  ])('of type %i needs %i octets behind its headers', (type, least) => {
    // Each conversation in which the type matters ends with a message whose effect shows that it was read.
    const cut = (bytes: Uint8Array, size: number) => bytes.slice(0, 12 + size)
    const conversations: Readonly<Record<number, (size: number) => readonly Said[]>> = {
      1: size => [cut(START, size), [started()], call(77), [answer(88, 77)]],
      2: size => [START, [cut(started(), size)], call(77), [answer(88, 77)]],
      3: size => [...SESSION, cut(STOP, size), call(77), [answer(88, 77)]],
      4: size => [...SESSION, STOP, [cut(stopped(), size)], ...CALLING, [answer(88, 77)]],
      7: size => [...SESSION, cut(call(77), size), [answer(88, 77)]],
      8: size => [...CALLING, [cut(answer(88, 77), size)]],
      9: size => [...SESSION, [cut(incoming(88), size)], incomingReply(77, 88), [connected(77)]],
      10: size => [...SESSION, [incoming(88)], cut(incomingReply(77, 88), size), [connected(77)]],
      11: size => [...CALLED, [cut(connected(77), size)]],
      12: size => [...CALLING, cut(CLEAR, size), [answer(88, 77)]],
      13: size => [...CALLING, [cut(disconnected(77), size)], [answer(88, 77)]],
    }
    const conversation = conversations[type]
    if (!conversation) {
      expect(play(open(), [...CALLING, [message(type)], [answer(88, 77)]])).toEqual(expects(77, 88))
      return
    }
    // Stop, clear and disconnect take something away when they are read; the others make it possible.
    const [read, ignored] = [3, 12, 13].includes(type) ? [NOTHING, expects(77, 88)] : [expects(77, 88), NOTHING]
    expect(play(open(), conversation(least))).toEqual(read)
    expect(play(open(), conversation(least - 1))).toEqual(ignored)
  })

  test('in a packet that is not yet ESTABLISHED is ignored', () => {
    const session = open()
    session.established = false
    play(session, TALKING)
    expect(session.state).toEqual(open().state)
    expect(session.table.added).toEqual([])
  })
})

describe('GRE keys', () => {
  const KEYS = {
    original: { src: A, srcKey: 77, dst: B, dstKey: 88 }, reply: { src: B, srcKey: 88, dst: A, dstKey: 77 },
  }

  test('are known with the call', () => {
    const session = open()
    play(session, CALLING)
    expect(session.table.greKeys.get(1)).toBeUndefined()
    session.server(answer(88, 77))
    expect(session.table.greKeys.get(1)).toEqual(KEYS)
    expect(session.table.all).toHaveLength(2)
  })

  test('of a second call in the same session: there are none, and its announcement is withdrawn', () => {
    const session = open()
    play(session, [...TALKING, call(79), [answer(90, 79)]])
    expect(session.table.greKeys.get(1)).toEqual(KEYS)
    expect(session.table.all).toEqual([])
  })

  test('of a second call after the first one has ended', () => {
    const session = open()
    expect(play(session, [...TALKING, [disconnected(88)], call(79), [answer(90, 79)]])).toEqual(expects(79, 90))
    expect(session.table.greKeys.get(1)?.original).toEqual({ src: A, srcKey: 79, dst: B, dstKey: 90 })
    expect(session.table.all).toHaveLength(2)
  })

  test('that another connection between the same hosts has announced: accepted, and both are withdrawn', () => {
    const table = new ExpectationTable()
    play(open({ table }), TALKING)
    const other = open({ table, id: 2, sport: 1001 })
    expect(play(other, TALKING)).toEqual(NOTHING)
    expect(table.all.map(one => one.master)).toEqual([1, 1])
    expect(table.greKeys.get(2)).toBeUndefined()
  })

  test('of which one direction is in the way of another call: the other direction is withdrawn', () => {
    const table = new ExpectationTable()
    play(open({ table }), TALKING)
    table.match(47, A, 77, B, 88)
    const other = open({ table, id: 2, sport: 1001 })
    expect(play(other, TALKING).verdict).toBe('accept')
    expect(table.all.map(one => one.master)).toEqual([1])
  })

  test('stand for 300 seconds unused', () => {
    const session = open()
    play(session, TALKING)
    session.table.now = 299
    expect(session.table.all).toHaveLength(2)
    session.table.now = 300
    expect(session.table.all).toEqual([])
  })
})

describe('the end of a call', () => {
  const both = [{ src: A, srcKey: 77, dst: B, dstKey: 88 }, { src: B, srcKey: 88, dst: A, dstKey: 77 }]

  test('is the server\'s notification: GRE of both directions goes, and its announcement', () => {
    const session = open()
    play(session, [...TALKING, [disconnected(88)]])
    expect(session.table.destroyedGre).toEqual(both)
    expect(session.table.greKeys.get(1)).toBeUndefined()
    expect(session.table.all).toEqual([])
  })

  test.each<readonly [string, Said]>([
    ['the client\'s request to clear it', CLEAR], ['a notification by the client', disconnected(88)],
    ['a WAN error', [WAN_ERROR]], ['the request to stop the session', STOP],
    ['the answer that the session is stopped', [stopped()]],
  ])('is not %s', (_, said) => {
    const session = open()
    play(session, [...TALKING, said])
    expect(session.table.destroyedGre).toEqual([])
    expect(session.table.greKeys.get(1)).toBeDefined()
    expect(session.table.all).toHaveLength(2)
  })

  test('may be notified with any id, and in any state', () => {
    const session = open()
    play(session, [...TALKING, STOP, [disconnected(12345)]])
    expect(session.table.destroyedGre).toEqual(both)
    expect(session.table.all).toEqual([])
  })

  test('leaves no call that could be answered', () => {
    expect(play(open(), [...CALLING, [disconnected(88)], [answer(88, 77)]])).toEqual(NOTHING)
  })
})

test('it announces itself as Linux does', () => {
  const { name, protocol, families, ports, classes } = pptp()
  expect([name, protocol, families, ports]).toEqual(['pptp', 'tcp', [4], [1723]])
  expect(classes).toEqual([{ name: '', limit: 2, timeout: 300 }])
})

describe('the state of a connection', () => {
  test('is plain JSON', () => {
    const { state } = open()
    expect(JSON.parse(JSON.stringify(state))).toEqual(state)
  })

  test('is its own', () => {
    const helper = pptp()
    const [one, other] = [helper.state!(), helper.state!()] as [PptpState, PptpState]
    one.pns = 1
    expect(other.pns).toBe(0)
  })
})

describe('in a tracker', () => {
  const SECOND = 1_000_000_000n
  const at = { src: A, dst: B, sport: 1000, dport: 1723 }
  const back = { src: B, dst: A, sport: 1723, dport: 1000 }
  const data = (from: string, to: string, id: number) =>
    gre({ src: from, dst: to }, 0x3001, 0x880b, [0, 4, id >> 8, id & 255, 0, 0, 0, 1])

  function talking(messages: readonly Said[] = TALKING) {
    const tracker = createTracker({ maxConnections: 64, hashSeed: 1, helpers: [pptp()] })
    const seq = { client: 1001, server: 5001 }
    const track = (bytes: Uint8Array, seconds = 0) => tracker.track(bytes, { time: BigInt(seconds) * SECOND })
    track(tcp(at, { flags: 'S', seq: 1000 }))
    track(tcp(back, { flags: 'SA', seq: 5000, ack: 1001 }))
    track(tcp(at, { flags: 'A', seq: 1001, ack: 5001 }))
    const say = (said: Said) => {
      const client = said instanceof Uint8Array
      const payload = client ? said : said[0]
      const [own, peer] = client ? [seq.client, seq.server] : [seq.server, seq.client]
      seq[client ? 'client' : 'server'] += payload.length
      return { ...track(tcp(client ? at : back, { flags: 'PA', seq: own, ack: peer, payload })) }
    }
    messages.forEach(say)
    return { tracker, track, say, close: () => track(tcp(at, { flags: 'R', seq: seq.client, ack: seq.server })) }
  }
  const greOf = (tracker: ReturnType<typeof createTracker>) =>
    [...tracker.connections()].filter(({ original }) => original.protocol === 47)

  test.each([['client', A, B, 88, 77], ['server', B, A, 77, 88]] as const)(
    'the first GRE packet, of the %s, is RELATED, and what answers it belongs to the same connection',
    (_, from, to, id, other) => {
      const { tracker, track } = talking()
      expect(track(data(from, to, id))).toMatchObject({ state: 'RELATED', direction: 'original', connection: 2 })
      expect(track(data(to, from, other))).toMatchObject({ state: 'ESTABLISHED', direction: 'reply', connection: 2 })
      expect(track(data(from, to, id))).toMatchObject({ state: 'ESTABLISHED', direction: 'original', connection: 2 })
      expect(tracker.connection(2)).toMatchObject({ master: 1 })
      expect(tracker.expectations()).toEqual([])
    })

  test('GRE with another call id is a connection of its own', () => {
    const { track } = talking()
    expect(track(data(A, B, 89))).toMatchObject({ state: 'NEW', connection: 2 })
  })

  test('the disconnected call takes its GRE connection along; GRE with the same ids is NEW then', () => {
    const { tracker, track, say } = talking()
    track(data(A, B, 88))
    track(data(B, A, 77))
    expect(greOf(tracker)).toHaveLength(1)
    say([disconnected(88)])
    expect(greOf(tracker)).toEqual([])
    expect(track(data(A, B, 88))).toMatchObject({ state: 'NEW', direction: 'original' })
    expect(track(data(B, A, 77))).toMatchObject({ state: 'NEW', direction: 'original' })
  })

  test('so does the end of the control connection', () => {
    const { tracker, track, close } = talking()
    track(data(A, B, 88))
    close()
    expect(greOf(tracker)).toHaveLength(1)
    track(data(B, A, 77), 11)
    expect(greOf(tracker).map(({ master }) => master)).not.toContain(1)
  })

  test('a call in a session that was refused announces nothing: GRE is NEW', () => {
    const { track } = talking([START, [started(2)], call(77), [answer(88, 77)]])
    expect(track(data(A, B, 88))).toMatchObject({ state: 'NEW' })
  })
})

test.each([
  ['ports', { ports: [0] }], ['ports', { ports: 1723 }], ['port', { port: 1723 }],
])('a bad %s is refused', (name, options) => {
  expect(() => pptp(options as PptpOptions)).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
  expect(() => pptp(options as PptpOptions)).toThrow(name)
})
