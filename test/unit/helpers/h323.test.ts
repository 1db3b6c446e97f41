/** The H.323 helpers by the rules of Linux 6.18; the rows of these tables were asked of the kernel. */
import { describe, expect, test } from 'vitest'
import { h245Helper } from '../../../src/helpers/h245.js'
import { h323, type H323Options } from '../../../src/helpers/h323.js'
import { ExpectationTable } from '../../support/expectation-table.js'
import {
  admissionConfirm, admissionRequest, alerting, call, callProceeding, connect, endSession, facility, gatekeeperConfirm,
  gatekeeperRequest, infoRequest, infoRequestResponse, information, locationConfirm, locationRequest, masterSlave, open,
  openAck, openLogicalChannel, progress, q931, registrationConfirm, registrationReject, registrationRequest,
  releaseComplete, requestInProgress, setup, statusInquiry, tpkt, unregistrationConfirm, unregistrationRequest,
  userInformation, type CallBody, type CallFields,
} from '../../support/h323-messages.js'
import { encode, number } from '../../support/per-writer.js'
import { HelpedSession, type Heard, type SessionOptions } from '../../support/helped-session.js'

const A = '192.0.2.1'
const B = '198.51.100.2'
const C = '203.0.113.3'
const A6 = '2001:db8:a::1'
const B6 = '2001:db8:b::2'
const C6 = '2001:db8:c::3'

const NOTHING: Heard = { verdict: 'accept', expected: [] }
const DROP: Heard = { verdict: 'drop', expected: [] }
const expects = (...expected: string[]): Heard => ({ verdict: 'accept', expected })

/** RTP and RTCP to A. */
const rtp = (port: number) => [`udp ${B} -> ${A}:${port}`, `udp ${B} -> ${A}:${port + 1}`]
const control = (port: number) => `tcp ${B} -> ${A}:${port} for H.245`
const channel = (port: number, at = A) => openLogicalChannel({ forward: { control: `${at}:${port}` } })

const [ras, signalling] = h323()
const withOptions = (options: H323Options) => h323(options)
type Change = SessionOptions

/** Call signalling of A to B; H.245 of A to B; A registers at B. */
const calling = (options: Change = {}, helper = signalling) =>
  new HelpedSession(helper, { client: A, server: B, ...options })
const controlling = (options: Change = {}) =>
  new HelpedSession(h245Helper, { client: A, server: B, sport: 2000, dport: 3000, ...options })
const registering = (options: Change = {}, helper = ras) =>
  new HelpedSession(helper, { client: A, server: B, sport: 1719, ...options })
const OVER_IPV6 = { family: 6, client: A6, server: B6 } as const

/** A RAS message with so many additions, of which none is there. */
function withAdditions(message: Uint8Array, count: number): Uint8Array {
  const extended = Uint8Array.of(...message, ...encode(number(count - 1, 7), number(0, count)))
  extended[0] |= 2
  return extended
}

type Row = readonly [title: string, payload: Uint8Array, answer: Heard]

function rows(start: () => HelpedSession, direction: 'client' | 'server', list: readonly Row[]): void {
  test.each(list)('%s', (_, payload, answer) => expect(start()[direction](payload)).toEqual(answer))
}

/** Messages that can have an H.245 address and fast start. */
const ANSWERS: readonly (readonly [string, (fields?: CallFields) => CallBody])[] = [
  ['setup', setup], ['callProceeding', callProceeding], ['connect', connect], ['alerting', alerting],
  ['facility', facility], ['progress', progress],
]

test.each([
  ['RAS', ras, 'udp', [1719], 32], ['Q.931', signalling, 'tcp', [1720], 20], ['H.245', h245Helper, 'tcp', [], 18],
] as const)('%s announces itself as Linux does', (name, helper, protocol, ports, limit) => {
  expect([helper.name, helper.protocol, helper.families, helper.ports]).toEqual([name, protocol, [4, 6], ports])
  expect(helper.classes).toEqual([{ name: '', limit, timeout: 240 }])
})

describe('call signalling', () => {
  describe('the H.245 address', () => {
    rows(calling, 'client', [
      ...ANSWERS.map(([name, message]) =>
        [`in ${name}`, call(message({ h245Address: `${A}:5000` })), expects(control(5000))] as const),
      ['of another host: nothing', call(setup({ h245Address: `${C}:5000` })), NOTHING],
      ['of the other side: nothing', call(setup({ h245Address: `${B}:5000` })), NOTHING],
      ['port 0: nothing', call(setup({ h245Address: `${A}:0` })), NOTHING],
      ['port 65535', call(setup({ h245Address: `${A}:65535` })), expects(control(65535))],
      ['of IPv6 in a connection of IPv4: nothing', call(setup({ h245Address: `[${A6}]:5000` })), NOTHING],
      ['none in setup', call(setup()), NOTHING],
      ['none in information', call(information()), NOTHING],
      ['none in releaseComplete', call(releaseComplete()), NOTHING],
      ['other addresses in setup announce nothing',
        call(setup({ destination: `${B}:1720`, source: `${A}:1720` })), NOTHING],
      ['not in a message of a later version', call(statusInquiry), NOTHING],
    ])

    rows(calling, 'server', [
      ['of the called side', call(connect({ h245Address: `${B}:5000` })), expects(`tcp ${A} -> ${B}:5000 for H.245`)],
      ['of the caller, said by the called side: nothing', call(connect({ h245Address: `${A}:5000` })), NOTHING],
    ])

    test('is read in no segment before ESTABLISHED', () => {
      const session = calling()
      session.established = false
      expect(session.client(call(setup({ h245Address: `${A}:5000` })))).toEqual(NOTHING)
    })
  })

  describe('fast start', () => {
    const both = { fastStart: [channel(5001), channel(5003)] }
    rows(calling, 'client', [
      ...ANSWERS.map(([name, message]) =>
        [`in ${name}`, call(message(both)), expects(...rtp(5000), ...rtp(5002))] as const),
      ['in information: Linux does not look at it', call(information(both)), NOTHING],
      ['beside an H.245 address', call(setup({ h245Address: `${A}:4000`, ...both })),
        expects(control(4000), ...rtp(5000), ...rtp(5002))],
      ['a channel of another host is passed over', call(setup({ fastStart: [channel(5001, C), channel(5003)] })),
        expects(...rtp(5002))],
      ['none at all', call(setup({ fastStart: [] })), NOTHING],
      ['a broken element breaks the message', call(setup({
        h245Address: `${A}:4000`, fastStart: [channel(5001), Uint8Array.of(0xff)],
      })), NOTHING],
      ['so does an empty one', call(setup({ fastStart: [new Uint8Array(0), channel(5003)] })), NOTHING],
      ['and a last one cut short', call(setup({ fastStart: [channel(5001).slice(0, -3)] })), NOTHING],
      ['an element cut short is read on into the next one, as Linux does: port 0x1312', call(setup({
        fastStart: [channel(0x1388).slice(0, -1), channel(5003)],
      })), expects(...rtp(0x1312), ...rtp(5002))],
    ])

    test.each([29, 30, 31, 40])('of %i channels no more than 30 are announced', count => {
      const fastStart = Array.from({ length: count }, (_, i) => channel(5001 + 2 * i))
      expect(calling().client(call(setup({ fastStart }))).expected).toHaveLength(2 * Math.min(count, 30))
    })

    test('a broken element behind the thirtieth breaks the message too', () => {
      const fastStart = [...Array.from({ length: 30 }, (_, i) => channel(5001 + 2 * i)), Uint8Array.of(0xff)]
      expect(calling().client(call(setup({ fastStart })))).toEqual(NOTHING)
    })
  })

  describe('tunnelled H.245', () => {
    const opened = [open({ forward: { control: `${A}:5001` } })]
    rows(calling, 'client', [
      ...[...ANSWERS, ['information', information] as const, ['releaseComplete', releaseComplete] as const]
        .map(([name, message]) => [`in ${name}`, call(message(), opened), expects(...rtp(5000))] as const),
      ['in a message of a later version', call(statusInquiry, opened), expects(...rtp(5000))],
      ['an acknowledgement', call(facility(), [openAck({ forward: { media: `${A}:5000` } })]), expects(...rtp(5000))],
      ['several', call(facility(), [masterSlave(), ...opened, open({ forward: { control: `${A}:5003` } })]),
        expects(...rtp(5000), ...rtp(5002))],
      ['an empty list', call(facility(), []), NOTHING],
      ['a broken one breaks the message', call(setup({ h245Address: `${A}:4000` }), [...opened, Uint8Array.of(0x0f)]),
        NOTHING],
      ['of six the first four',
        call(setup(), [1, 3, 5, 7, 9, 11].map(n => open({ forward: { control: `${A}:${5000 + n}` } }))),
        expects(...rtp(5000), ...rtp(5002), ...rtp(5004), ...rtp(5006))],
      ['beside an H.245 address', call(connect({ h245Address: `${A}:4000` }), opened),
        expects(control(4000), ...rtp(5000))],
    ])
  })

  describe('a call that is forwarded', () => {
    const forward = (alternativeAddress?: string, reason: 'callForwarded' | 'routeCallToMC' = 'callForwarded') =>
      call(facility({ reason, alternativeAddress }))
    rows(calling, 'server', [
      ['goes on to the other host', forward(`${C}:1720`), expects(`tcp ${A} -> ${C}:1720 for Q.931`)],
      ['at any port', forward(`${C}:80`), expects(`tcp ${A} -> ${C}:80 for Q.931`)],
      ['also to the sender itself', forward(`${B}:1721`), expects(`tcp ${A} -> ${B}:1721 for Q.931`)],
      ['not to the caller, who needs no help to reach itself', forward(`${A}:1720`), NOTHING],
      ['not to port 0', forward(`${C}:0`), NOTHING],
      ['not without an address', forward(), NOTHING],
      ['not to IPv6 from IPv4', forward(`[${C6}]:1720`), NOTHING],
      ['not for another reason', forward(`${C}:1720`, 'routeCallToMC'), NOTHING],
      ['and its H.245 address is not read',
        call(facility({ reason: 'callForwarded', h245Address: `${B}:5000` })), NOTHING],
    ])

    rows(calling, 'client', [
      ['by the caller, for the called side', forward(`${C}:1720`), expects(`tcp ${B} -> ${C}:1720 for Q.931`)],
    ])

    test('with `callForwardFilter: false` also to the caller', () => {
      const session = calling({}, withOptions({ callForwardFilter: false })[1])
      expect(session.server(forward(`${A}:1720`))).toEqual(expects(`tcp ${A} -> ${A}:1720 for Q.931`))
    })
  })

  describe('over IPv6', () => {
    rows(() => calling(OVER_IPV6), 'client', [
      ['an H.245 address', call(setup({ h245Address: `[${A6}]:5000` })), expects(`tcp ${B6} -> ${A6}:5000 for H.245`)],
      ['of another host', call(setup({ h245Address: `[${C6}]:5000` })), NOTHING],
      ['of IPv4', call(setup({ h245Address: `${A}:5000` })), NOTHING],
      ['fast start', call(setup({ fastStart: [channel(5001, `[${A6}]`)] })),
        expects(`udp ${B6} -> ${A6}:5000`, `udp ${B6} -> ${A6}:5001`)],
      ['a forwarded call', call(facility({ reason: 'callForwarded', alternativeAddress: `[${C6}]:1720` })),
        expects(`tcp ${B6} -> ${C6}:1720 for Q.931`)],
    ])
  })
})

describe('Q.931', () => {
  const user = userInformation(setup({ h245Address: `${A}:5000` }))
  const message = (fields: Parameters<typeof q931>[1]) => tpkt(q931(user, fields))
  rows(calling, 'client', [
    ['no other element', message({ elements: [] }), expects(control(5000))],
    ['a call reference of no octets', message({ reference: [] }), expects(control(5000))],
    ['a call reference of 15 octets', message({ reference: Array<number>(15).fill(1) }), expects(control(5000))],
    ['elements behind the user-user element', message({ trailing: [0x28, 1, 0x41] }), expects(control(5000))],
    ['an empty element', message({ elements: [0x28, 0] }), expects(control(5000))],
    ['another protocol discriminator: nothing', message({ protocol: 9 }), NOTHING],
    ['an element that is too long: nothing', message({ elements: [0x28, 255] }), NOTHING],
    ['no user-user element: nothing', tpkt(Uint8Array.of(8, 2, 0, 1, 5, 4, 2, 0x88, 0x90)), NOTHING],
    ['a call reference that is too long: nothing', tpkt(Uint8Array.of(8, 200, 0, 1, 5, ...user)), NOTHING],
    ['its first octet alone', tpkt(Uint8Array.of(8)), NOTHING],
    ['nothing in a TPKT', tpkt(new Uint8Array(0)), NOTHING],
    ['an element of one octet (sending complete)', message({ elements: [0xa1] }), expects(control(5000))],
    ['the protocol discriminator of the user information is not looked at', message({ discriminator: 4 }),
      expects(control(5000))],
  ])
})

describe('CVE-2026-23455: the length of a user-user element is checked before it is reduced', () => {
  const user = userInformation(setup({ h245Address: `${A}:5000` }))
  test.each([
    ['of 0', q931(user, { length: 0 })],
    ['of 0, with nothing behind it', q931(new Uint8Array(0), { length: 0 }).slice(0, -1)],
    ['of 1: the discriminator alone', q931(user, { length: 1 })],
    ['of 2: not enough for a message', q931(user, { length: 2 })],
    ['one octet too small', q931(user, { length: user.length })],
    ['one octet too large', q931(user, { length: user.length + 2 })],
    ['of 65535', q931(user, { length: 65535 })],
    ['of which one octet is there', q931(new Uint8Array(0)).slice(0, -2)],
    ['which is not there', q931(new Uint8Array(0)).slice(0, -3)],
  ])('a length %s: accepted, and nothing is announced', (_, message) => {
    expect(calling().client(tpkt(message))).toEqual(NOTHING)
  })

  test('nothing is read behind a length of 0, where a whole message follows in the same segment', () => {
    const empty = tpkt(q931(user, { length: 0 }))
    expect(calling().client(Uint8Array.of(...empty, ...user, ...user))).toEqual(NOTHING)
  })
})

describe('a message that is cut short anywhere is accepted and announces nothing', () => {
  const asCall = (bytes: Uint8Array) => calling().client(tpkt(q931(bytes)))
  const fields = { h245Address: `${A}:4000`, fastStart: [channel(5001), channel(5003)] }
  const [channels, opened] = [{ media: `${A}:5000`, control: `${A}:5003` }, open({ forward: { control: `${A}:5001` } })]
  test.each<readonly [string, Uint8Array, (bytes: Uint8Array) => Heard]>([
    ...ANSWERS.map(([name, message]) => [name, userInformation(message(fields)), asCall] as const),
    ['tunnelled H.245', userInformation(facility(), [opened, opened]), asCall],
    ['Q.931', q931(userInformation(setup(fields))), bytes => calling().client(tpkt(bytes))],
    ['openLogicalChannel', open({ forward: channels, reverse: { media: `${A}:5004` } }),
      bytes => controlling().client(tpkt(bytes))],
    ['openLogicalChannelAck', openAck({ forward: channels, reverse: { media: `${A}:5004` } }),
      bytes => controlling().client(tpkt(bytes))],
    ['T.120', open({ data: 't120', separateStack: `${A}:1503` }), bytes => controlling().client(tpkt(bytes))],
    ['gatekeeperConfirm', gatekeeperConfirm(`${C}:1719`), bytes => registering().server(bytes)],
    ['registrationRequest', registrationRequest({ calls: [`${A}:1720`] }), bytes => registering().client(bytes)],
    ['admissionConfirm', admissionConfirm(`${C}:1720`), bytes => registering().server(bytes)],
    ['locationConfirm', locationConfirm(`${C}:1720`, `${C}:1719`), bytes => registering().server(bytes)],
  ])('%s', (_, message, say) => {
    expect(say(message).expected.length).toBeGreaterThan(0)
    for (let size = 0; size < message.length; size++) {
      expect([size, say(message.slice(0, size))]).toEqual([size, NOTHING])
    }
  })
})

describe('TPKT', () => {
  const first = call(setup({ h245Address: `${A}:5000` }))
  const second = call(facility({ h245Address: `${A}:5002` }))
  const join = (...parts: readonly Uint8Array[]) => Uint8Array.from(parts.flatMap(bytes => [...bytes]))
  const broken = tpkt(Uint8Array.of(8, 2, 0, 1, 5))

  rows(calling, 'client', [
    ['two in a segment', join(first, second), expects(control(5000), control(5002))],
    ['something else behind it', join(first, Uint8Array.of(1, 2, 3)), expects(control(5000))],
    ['the beginning of another behind it', join(first, second.slice(0, 40)), expects(control(5000))],
    ['behind a broken message: nothing is read', join(broken, second), NOTHING],
    ['before a broken message', join(first, broken), expects(control(5000))],
    ['something else before it: nothing', join(Uint8Array.of(0), first), NOTHING],
    ['version 2: nothing', join(Uint8Array.of(2), first.slice(1)), NOTHING],
    ['its reserved octet is 1: nothing', join(Uint8Array.of(3, 1), first.slice(2)), NOTHING],
    ['longer than the segment: nothing', first.slice(0, -1), NOTHING],
    ['an empty segment', new Uint8Array(0), NOTHING],
    ['three octets', Uint8Array.of(3, 0, 0), NOTHING],
    ['one that says it is shorter than its header', join(Uint8Array.of(3, 0, 0, 3), second), NOTHING],
    ['an empty one before another', join(Uint8Array.of(3, 0, 0, 4), second), NOTHING],
  ])

  test('a message split in its middle is not read, nor is the rest of it', () => {
    const session = calling()
    expect(session.client(first.slice(0, 20))).toEqual(NOTHING)
    expect(session.client(first.slice(20))).toEqual(NOTHING)
    expect(session.client(second)).toEqual(expects(control(5002)))
  })

  describe('a header that travels alone', () => {
    const [header, rest] = [first.slice(0, 4), first.slice(4)]
    const talk = (...parts: readonly Uint8Array[]) => {
      const session = calling()
      return parts.map(part => session.client(part)).at(-1)
    }

    test('its message is read in the next segment', () => {
      expect(talk(header, rest)).toEqual(expects(control(5000)))
    })
    test('so are messages behind that', () => {
      expect(talk(header, join(rest, second))).toEqual(expects(control(5000), control(5002)))
    })
    test('its message is not read behind an empty segment', () => {
      expect(talk(header, new Uint8Array(0), rest)).toEqual(NOTHING)
    })
    test('the other side\'s next segment is not its message', () => {
      const session = calling()
      session.client(header)
      expect(session.server(rest)).toEqual(NOTHING)
      expect(session.client(rest)).toEqual(expects(control(5000)))
    })
    test('a next segment with less than was announced is not read, and that is forgotten', () => {
      expect(talk(header, rest.slice(0, -1))).toEqual(NOTHING)
      expect(talk(header, rest.slice(0, -1), rest)).toEqual(NOTHING)
    })
    test('nor one of which only an element that nobody needs is missing', () => {
      const all = tpkt(q931(userInformation(setup({ h245Address: `${A}:5000` })), { trailing: [0x28, 1, 0x41] }))
      expect(talk(all.slice(0, 4), all.slice(4, -1))).toEqual(NOTHING)
      expect(talk(all.slice(0, 4), all.slice(4))).toEqual(expects(control(5000)))
    })
    test('a whole message in the next segment is read as one of its own', () => {
      expect(talk(header, second)).toEqual(expects(control(5002)))
    })
    test('a message with a header of its own, or the beginning of one, takes its place', () => {
      expect(talk(header, second, rest)).toEqual(NOTHING)
      expect(talk(header, second.slice(0, 20), rest)).toEqual(NOTHING)
    })
    test('at the end of a segment with another message it is lost', () => {
      expect(talk(join(first, second.slice(0, 4)), second.slice(4))).toEqual(NOTHING)
    })
    test('one that announces nothing', () => {
      expect(talk(Uint8Array.of(3, 0, 0, 4), rest)).toEqual(NOTHING)
    })
    test('one that is said twice', () => {
      expect(talk(header, header, rest)).toEqual(expects(control(5000)))
    })
  })

  test('its memory is plain JSON', () => {
    const session = calling()
    session.client(first.slice(0, 4))
    expect(JSON.parse(JSON.stringify(session.state))).toEqual(session.state)
  })
})

describe('H.245', () => {
  const segment = (...messages: readonly Uint8Array[]) => tpkt(...messages)
  const at = (port: number, host = A) => `${host}:${port}`

  describe('openLogicalChannel', () => rows(controlling, 'client', [
    ['media control channel', segment(open({ forward: { control: at(5001) } })), expects(...rtp(5000))],
    ['media channel', segment(open({ forward: { media: at(5000) } })), expects(...rtp(5000))],
    ['media channel at an odd port: the pair is the same', segment(open({ forward: { media: at(5001) } })),
      expects(...rtp(5000))],
    ['both channels announce the pair twice', segment(open({ forward: { media: at(5000), control: at(5001) } })),
      expects(...rtp(5000), ...rtp(5000))],
    ['two pairs', segment(open({ forward: { media: at(5000), control: at(5003) } })),
      expects(...rtp(5000), ...rtp(5002))],
    ['port 65535', segment(open({ forward: { control: at(65535) } })), expects(...rtp(65534))],
    ['port 1', segment(open({ forward: { control: at(1) } })), expects(...rtp(0))],
    ['port 0: nothing', segment(open({ forward: { control: at(0) } })), NOTHING],
    ['another host: nothing', segment(open({ forward: { control: at(5001, C) } })), NOTHING],
    ['the other side: nothing', segment(open({ forward: { control: at(5001, B) } })), NOTHING],
    ['a group: nothing', segment(open({ forward: { media: at(5001), multicast: true } })), NOTHING],
    ['IPv6 in a connection of IPv4: nothing', segment(open({ forward: { control: `[${A6}]:5001` } })), NOTHING],
    ['no address', segment(open({ forward: {} })), NOTHING],
    ['no parameters', segment(open({})), NOTHING],
    ['the reverse channel', segment(open({ reverse: { media: at(5000) } })), expects(...rtp(5000))],
    ['both directions', segment(open({ forward: { control: at(5001) }, reverse: { media: at(5002) } })),
      expects(...rtp(5000), ...rtp(5002))],
    ['the reverse channel of data that is none', segment(open({ data: 'none', reverse: { media: at(5000) } })),
      expects(...rtp(5000))],
  ]))

  describe('T.120', () => rows(controlling, 'client', [
    ['over a separate stack', segment(open({ data: 't120', separateStack: at(1503) })),
      expects(`tcp ${B} -> ${A}:1503 permanent`)],
    ['over a separate stack of another host: nothing', segment(open({ data: 't120', separateStack: at(1503, C) })),
      NOTHING],
    ['at port 0: nothing', segment(open({ data: 't120', separateStack: at(0) })), NOTHING],
    ['without a stack: nothing', segment(open({ data: 't120' })), NOTHING],
    ['over another protocol: nothing', segment(open({ data: 't120Transparent', separateStack: at(1503) })), NOTHING],
    ['a separate stack for audio: nothing', segment(open({ separateStack: at(1503) })), NOTHING],
    ['acknowledged with a separate stack', segment(openAck({ separateStack: at(1503) })),
      expects(`tcp ${B} -> ${A}:1503 permanent`)],
  ]))

  describe('openLogicalChannelAck', () => {
    rows(controlling, 'client', [
      ['the forward channel', segment(openAck({ forward: { media: at(5000), control: at(5001) } })),
        expects(...rtp(5000), ...rtp(5000))],
      ['media alone', segment(openAck({ forward: { media: at(5000) } })), expects(...rtp(5000))],
      ['control alone', segment(openAck({ forward: { control: at(5001) } })), expects(...rtp(5000))],
      ['the reverse channel', segment(openAck({ reverse: { media: at(5000) } })), expects(...rtp(5000))],
      ['both, the reverse one first', segment(openAck({ forward: { media: at(5000) }, reverse: { media: at(5002) } })),
        expects(...rtp(5002), ...rtp(5000))],
      ['another host: nothing', segment(openAck({ forward: { media: at(5000, C) } })), NOTHING],
      ['nothing', segment(openAck({})), NOTHING],
    ])
    rows(controlling, 'server', [
      ['of the other side', segment(openAck({ forward: { media: at(5000, B) } })),
        expects(`udp ${A} -> ${B}:5000`, `udp ${A} -> ${B}:5001`)],
    ])
  })

  describe('ports that another connection has announced', () => {
    const opened = segment(open({ forward: { control: at(5001) } }))

    test('drop the segment, and messages behind are not read', () => {
      const table = new ExpectationTable()
      controlling({ table }).client(opened)
      const other = controlling({ table, id: 2, sport: 2001 })
      expect(other.client(opened)).toEqual(DROP)
      expect(other.client(Uint8Array.of(...opened, ...segment(open({ forward: { control: at(5003) } }))))).toEqual(DROP)
    })

    test('if it is the second of the pair, the first is withdrawn', () => {
      const table = new ExpectationTable()
      controlling({ table }).client(opened)
      table.match(17, B, 7000, A, 5000)
      expect(controlling({ table, id: 2, sport: 2001 }).client(opened).verdict).toBe('drop')
      expect(table.all.map(one => [one.master, one.dport])).toEqual([[1, 5001]])
    })
  })

  test('is read in no segment before ESTABLISHED', () => {
    const session = controlling()
    session.established = false
    expect(session.client(segment(open({ forward: { control: at(5001) } })))).toEqual(NOTHING)
  })

  describe('other messages', () => rows(controlling, 'client', [
    ['masterSlaveDetermination', segment(masterSlave()), NOTHING],
    ['endSessionCommand', segment(endSession()), NOTHING],
    ['several',
      segment(masterSlave(), open({ forward: { control: at(5001) } }), open({ forward: { control: at(5003) } })),
      expects(...rtp(5000), ...rtp(5002))],
    ['behind a broken one: nothing is read', segment(Uint8Array.of(0x0f), open({ forward: { control: at(5001) } })),
      NOTHING],
    ['behind one cut short', segment(open({ forward: { control: at(5003) } }).slice(0, -1),
      open({ forward: { control: at(5001) } })), NOTHING],
    ['behind an empty one', segment(new Uint8Array(0), open({ forward: { control: at(5001) } })), NOTHING],
    ['behind one of a later version whose contents are cut short',
      segment(Uint8Array.of(0x10, 0x00, 9), open({ forward: { control: at(5001) } })), expects(...rtp(5000))],
    ['behind one of a version that Linux does not know whose contents are cut short: nothing is read',
      segment(Uint8Array.of(0x10, 0x80, 99), open({ forward: { control: at(5001) } })), NOTHING],
    ['behind a response of a later version whose contents are cut short',
      segment(Uint8Array.of(0x30, 0x80, 9), open({ forward: { control: at(5001) } })), expects(...rtp(5000))],
    ['behind a response of a version that Linux does not know whose contents are cut short: nothing is read',
      segment(Uint8Array.of(0x30, 0xa0, 99), open({ forward: { control: at(5001) } })), NOTHING],
    ['octets behind a message do not matter',
      segment(Uint8Array.of(...open({ forward: { control: at(5001) } }), 1, 2)), expects(...rtp(5000))],
  ]))

  describe('over IPv6', () => rows(() => controlling(OVER_IPV6), 'client', [
    ['a channel', segment(open({ forward: { control: `[${A6}]:5001` } })),
      expects(`udp ${B6} -> ${A6}:5000`, `udp ${B6} -> ${A6}:5001`)],
    ['an acknowledged channel', segment(openAck({ forward: { media: `[${A6}]:5000` } })),
      expects(`udp ${B6} -> ${A6}:5000`, `udp ${B6} -> ${A6}:5001`)],
    ['T.120', segment(open({ data: 't120', separateStack: `[${A6}]:1503` })),
      expects(`tcp ${B6} -> ${A6}:1503 permanent`)],
    ['another host: nothing', segment(open({ forward: { control: `[${C6}]:5001` } })), NOTHING],
    ['IPv4: nothing', segment(open({ forward: { control: at(5001) } })), NOTHING],
  ]))
})

describe('RAS', () => {
  const CALLS = `tcp ${B} -> ${A}:1720 permanent for Q.931`
  const callTo = (host: string, port = 1720) => `tcp ${A} -> ${host}:${port} permanent for Q.931`

  describe('a gatekeeper that is found', () => {
    rows(registering, 'server', [
      ['is where it was asked for', gatekeeperConfirm(`${B}:1719`), NOTHING],
      ['is at another port', gatekeeperConfirm(`${B}:1720`), expects(`udp ${A} -> ${B}:1720 for RAS`)],
      ['is another host', gatekeeperConfirm(`${C}:1719`), expects(`udp ${A} -> ${C}:1719 for RAS`)],
      ['is at port 0', gatekeeperConfirm(`${C}:0`), expects(`udp ${A} -> ${C}:0 for RAS`)],
      ['says more in 32 additions', withAdditions(gatekeeperConfirm(`${C}:1719`), 32),
        expects(`udp ${A} -> ${C}:1719 for RAS`)],
      ['says more in 33 additions, which is too much for Linux',
        withAdditions(gatekeeperConfirm(`${C}:1719`), 33), NOTHING],
      ['has an address of IPv6', gatekeeperConfirm(`[${C6}]:1719`), NOTHING],
    ])
    test('by a connection that was announced itself announces no other', () => {
      expect(registering({ expected: true }).server(gatekeeperConfirm(`${C}:1719`))).toEqual(NOTHING)
    })
  })

  describe('a registration', () => {
    rows(registering, 'client', [
      ['announces calls by the gatekeeper', registrationRequest({ calls: [`${A}:1720`] }), expects(CALLS)],
      ['at any port', registrationRequest({ calls: [`${A}:5000`] }),
        expects(`tcp ${B} -> ${A}:5000 permanent for Q.931`)],
      ['with a time to live', registrationRequest({ calls: [`${A}:1720`], ttl: 60 }), expects(CALLS)],
      ['cut short behind its time to live', registrationRequest({ calls: [`${A}:1720`], ttl: 60 }).slice(0, -3),
        expects(CALLS)],
      ['with a time to live at its very end, which Linux 6.18 takes for cut short',
        registrationRequest({ calls: [`${A}:1720`], ttl: 60, ttlLast: true }), NOTHING],
      ['of ten addresses, the last of which is its own',
        registrationRequest({ calls: [...Array<string>(9).fill(`${C}:1720`), `${A}:1720`] }), expects(CALLS)],
      ['an eleventh address is not looked at',
        registrationRequest({ calls: [...Array<string>(10).fill(`${C}:1720`), `${A}:1720`] }), NOTHING],
      ['its RAS address does not matter', registrationRequest({ calls: [`${A}:1720`], ras: [`${C}:1719`] }),
        expects(CALLS)],
      ['of another host: nothing', registrationRequest({ calls: [`${C}:1720`] }), NOTHING],
      ['of no address: nothing', registrationRequest({ calls: [] }), NOTHING],
      ['of port 0: nothing', registrationRequest({ calls: [`${A}:0`] }), NOTHING],
      ['of several, the first that is its own', registrationRequest({
        calls: ['ipx', `[${A6}]:1720`, `${C}:1720`, `${A}:0`, `${A}:1721`, `${A}:1722`],
      }), expects(`tcp ${B} -> ${A}:1721 permanent for Q.931`)],
    ])

    test('with `gkRoutedOnly: false` announces calls by anybody', () => {
      const session = registering({}, withOptions({ gkRoutedOnly: false })[0])
      expect(session.client(registrationRequest({ calls: [`${A}:1720`] })))
        .toEqual(expects(`tcp any -> ${A}:1720 permanent for Q.931`))
    })

    test('sent again refreshes its own announcement', () => {
      const session = registering()
      session.client(registrationRequest({ calls: [`${A}:1720`] }))
      expect(session.client(registrationRequest({ calls: [`${A}:1720`] }))).toEqual(expects(CALLS))
      expect(session.table.all).toHaveLength(1)
    })

    test('of what another one has announced is dropped', () => {
      const table = new ExpectationTable()
      registering({ table }).client(registrationRequest({ calls: [`${A}:1720`] }))
      const other = registering({ table, id: 2, sport: 1718 })
      expect(other.client(registrationRequest({ calls: [`${A}:1720`] }))).toEqual(DROP)
    })
  })

  describe('a registration that is confirmed', () => {
    const confirmed = (request?: number, confirm?: number, helper = ras) => {
      const session = registering({}, helper)
      session.client(registrationRequest({ calls: [`${A}:1720`], ttl: request }))
      expect(session.server(registrationConfirm({ calls: [`${B}:1720`], ttl: confirm }))).toEqual(NOTHING)
      return session.table
    }

    test.each([
      ['as long as the confirmation says', 60, 90, 90], ['or else the request', 60, undefined, 60],
      ['or else 300 seconds', undefined, undefined, 300], ['also if that is very long', 60, 4_000_000, 4_000_000],
      ['no longer if that is too long: it is over at once, as 32 bits of ticks have it', 60, 9_000_000, 0],
      ['and too long by far: it begins anew', 60, 20_000_000, 2_820_130.816],
    ])('keeps its connection %s', (_, request, confirm, seconds) => {
      expect(confirmed(request, confirm).timeouts.get(1)).toBe(seconds)
    })

    test('`defaultRrqTtl` is what it lives unless it says', () => {
      const [helper] = withOptions({ defaultRrqTtl: 40 })
      expect(confirmed(undefined, undefined, helper).timeouts.get(1)).toBe(40)
      expect(confirmed(60, undefined, helper).timeouts.get(1)).toBe(60)
    })

    test('keeps nothing if it lives 0 seconds', () => {
      expect(confirmed(undefined, undefined, withOptions({ defaultRrqTtl: 0 })[0]).timeouts.get(1)).toBeUndefined()
    })

    test('with a time to live at its very end keeps nothing, as Linux 6.18 takes that for cut short', () => {
      const session = registering()
      session.client(registrationRequest({ calls: [`${A}:1720`] }))
      session.server(registrationConfirm({ calls: [`${B}:1720`], ttl: 90, ttlLast: true }))
      expect(session.table.timeouts.get(1)).toBeUndefined()
    })

    test('with a time to live of 2^32 seconds, which is 0, keeps nothing', () => {
      expect(confirmed(60, 2 ** 32).timeouts.get(1)).toBeUndefined()
    })

    test('of whose request nothing was seen keeps nothing', () => {
      const session = registering()
      expect(session.server(registrationConfirm({ calls: [`${B}:1720`] }))).toEqual(NOTHING)
      expect(session.table.timeouts.get(1)).toBeUndefined()
    })

    test('of calls by the gatekeeper only does not prolong their announcement, as on Linux', () => {
      const table = confirmed(60, 900)
      table.now = 239
      expect(table.all).toHaveLength(1)
      table.now = 240
      expect(table.all).toHaveLength(0)
    })

    test('of calls by anybody does prolong it', () => {
      const table = confirmed(60, 900, withOptions({ gkRoutedOnly: false })[0])
      table.now = 899
      expect(table.all).toHaveLength(1)
      table.now = 900
      expect(table.all).toHaveLength(0)
    })

    test('of calls by anybody does prolong it over IPv6', () => {
      const session = registering(OVER_IPV6, withOptions({ gkRoutedOnly: false })[0])
      session.client(registrationRequest({ calls: [`[${A6}]:1720`], ttl: 60 }))
      session.server(registrationConfirm({ calls: [], ttl: 900 }))
      session.table.now = 899
      expect(session.table.all).toHaveLength(1)
    })
  })

  describe('the end of a registration', () => {
    const registered = () => {
      const session = registering()
      session.client(registrationRequest({ calls: [`${A}:1720`], ttl: 60 }))
      session.server(registrationConfirm({ calls: [`${B}:1720`] }))
      session.client(admissionRequest(`${C}:1720`))
      session.server(admissionConfirm(`${C}:1720`))
      expect(session.table.all).toHaveLength(2)
      return session
    }

    test('takes all announcements along and leaves the connection 30 seconds', () => {
      const session = registered()
      expect(session.client(unregistrationRequest([`${A}:1720`]))).toEqual(NOTHING)
      expect(session.table.all).toEqual([])
      expect(session.table.timeouts.get(1)).toBe(30)
      expect(session.server(unregistrationConfirm())).toEqual(NOTHING)
    })

    test('may be the gatekeeper\'s wish', () => {
      const session = registered()
      expect(session.server(unregistrationRequest([`${A}:1720`]))).toEqual(NOTHING)
      expect(session.table.all).toEqual([])
    })

    test('that is cut short does nothing', () => {
      const session = registered()
      expect(session.client(unregistrationRequest([`${A}:1720`]).slice(0, 4))).toEqual(NOTHING)
      expect(session.table.all).toHaveLength(2)
    })

    test('is no rejected registration: the announcement stands', () => {
      const session = registering()
      session.client(registrationRequest({ calls: [`${A}:1720`] }))
      expect(session.server(registrationReject())).toEqual(NOTHING)
      expect(session.table.all).toHaveLength(1)
    })
  })

  describe('a call that is admitted or located', () => {
    rows(registering, 'server', [
      ['admitted to another host', admissionConfirm(`${C}:1720`), expects(callTo(C))],
      ['admitted to the gatekeeper', admissionConfirm(`${B}:1720`), expects(callTo(B))],
      ['admitted to any port', admissionConfirm(`${C}:80`), expects(callTo(C, 80))],
      ['admitted to port 0', admissionConfirm(`${C}:0`), expects(callTo(C, 0))],
      ['admitted to the one who asked, who is called: nothing', admissionConfirm(`${A}:1720`), NOTHING],
      ['located', locationConfirm(`${C}:1720`, `${C}:1719`), expects(callTo(C))],
      ['located at the gatekeeper', locationConfirm(`${B}:1720`, `${B}:1719`), expects(callTo(B))],
      ['located at port 0', locationConfirm(`${C}:0`, `${C}:1719`), expects(callTo(C, 0))],
      ['located at the one who asked', locationConfirm(`${A}:1720`, `${C}:1719`), expects(callTo(A))],
      ['located in IPv6, asked in IPv4: nothing', locationConfirm(`[${C6}]:1720`, `${C}:1719`), NOTHING],
    ])

    test('that another connection has announced is dropped', () => {
      const table = new ExpectationTable()
      registering({ table }).server(admissionConfirm(`${C}:1720`))
      expect(registering({ table, id: 2, sport: 1718 }).server(admissionConfirm(`${C}:1720`))).toEqual(DROP)
      expect(registering({ table, id: 3, sport: 1717 }).server(locationConfirm(`${C}:1720`, `${B}:1719`))).toEqual(DROP)
    })
  })

  describe('messages that announce nothing', () => rows(registering, 'client', [
    ['gatekeeperRequest', gatekeeperRequest(`${C}:1719`), NOTHING],
    ['admissionRequest', admissionRequest(`${C}:1720`), NOTHING],
    ['locationRequest', locationRequest(`${C}:1719`), NOTHING],
    ['infoRequest', infoRequest(`${C}:1719`), NOTHING],
    ['infoRequestResponse', infoRequestResponse(`${A}:1719`, [`${A}:1720`]), NOTHING],
    ['requestInProgress', requestInProgress(), NOTHING],
    ['an empty datagram', new Uint8Array(0), NOTHING],
    ['a single octet', Uint8Array.of(0x0e), NOTHING],
    ['no message at all', new Uint8Array(40).fill(0xff), NOTHING],
  ]))

  describe('over IPv6', () => {
    rows(() => registering(OVER_IPV6), 'client', [
      ['a registration', registrationRequest({ calls: [`${A}:1720`, `[${A6}]:1720`] }),
        expects(`tcp ${B6} -> ${A6}:1720 permanent for Q.931`)],
    ])
    rows(() => registering(OVER_IPV6), 'server', [
      ['a gatekeeper', gatekeeperConfirm(`[${C6}]:1719`), expects(`udp ${A6} -> ${C6}:1719 for RAS`)],
      ['an admission', admissionConfirm(`[${C6}]:1720`), expects(`tcp ${A6} -> ${C6}:1720 permanent for Q.931`)],
      ['an admission in IPv4: nothing', admissionConfirm(`${C}:1720`), NOTHING],
      ['a location', locationConfirm(`[${C6}]:1720`, `[${C6}]:1719`),
        expects(`tcp ${A6} -> ${C6}:1720 permanent for Q.931`)],
    ])
  })

  test('a packet that is not yet ESTABLISHED is read', () => {
    const session = registering()
    session.established = false
    expect(session.client(registrationRequest({ calls: [`${A}:1720`] }))).toEqual(expects(CALLS))
  })
})
