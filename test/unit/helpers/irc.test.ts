import { describe, expect, test } from 'vitest'
import { irc, type IrcOptions } from '../../../src/helpers/irc.js'
import { ExpectationTable } from '../../support/expectation-table.js'
import { HelpedSession, type SessionOptions } from '../../support/helped-session.js'

const A = '10.0.0.1'
/** A as one number. */
const OWN = 167772161
const OFFER = `tcp any -> ${A}:5000`
const NOTHING = { verdict: 'accept', expected: [] }
const DROP = { verdict: 'drop', expected: [] }
const expects = (...expected: string[]) => ({ verdict: 'accept', expected })
const dcc = (request: string) => `PRIVMSG al :\x01DCC ${request}\x01\r\n`

const open = (options?: IrcOptions, session?: SessionOptions) => new HelpedSession(irc(options), session)

type Row = readonly [title: string, payload: string, answer: object]

function rows(list: readonly Row[], options?: IrcOptions): void {
  test.each(list)('%s: %j', (_, payload, answer) => expect(open(options).client(payload)).toEqual(answer))
}

describe('keywords', () => rows([
  ['SEND', dcc(`SEND file ${OWN} 5000 1000`), expects(OFFER)],
  ['CHAT', dcc(`CHAT chat ${OWN} 5000`), expects(OFFER)],
  ['MOVE', dcc(`MOVE file ${OWN} 5000 1000`), expects(OFFER)],
  ['TSEND', dcc(`TSEND file ${OWN} 5000 1000`), expects(OFFER)],
  ['SCHAT', dcc(`SCHAT chat ${OWN} 5000`), expects(OFFER)],
  ['RESUME', dcc(`RESUME file ${OWN} 5000 1000`), NOTHING],
  ['lower case', dcc(`send file ${OWN} 5000 1000`), NOTHING],
]))

describe('messages', () => rows([
  ['privmsg', `privmsg al :\x01DCC SEND f ${OWN} 5000 1\x01\r\n`, expects(OFFER)],
  ['leading blanks', ` \r\n ${dcc(`SEND f ${OWN} 5000 1`)}`, expects(OFFER)],
  ['LF only after the port', `PRIVMSG al :\x01DCC SEND f ${OWN} 5000\n`, expects(OFFER)],
  ['several spaces before the port', dcc(`SEND f ${OWN}   5000 1`), expects(OFFER)],
  ['nothing between PRIVMSG and the text', `PRIVMSG  :\x01DCC SEND f ${OWN} 5000 1\x01\r\n`, expects(OFFER)],
  ['an unknown request first', `PRIVMSG al :\x01DCC RESUME f 1 :\x01DCC SEND g ${OWN} 5000 1\x01\r\n`, expects(OFFER)],
  ['NOTICE first', `NOTICE al :\x01DCC SEND f ${OWN} 5000 1\x01\r\n`, NOTHING],
  ['a source first', `:me PRIVMSG al :\x01DCC SEND f ${OWN} 5000 1\x01\r\n`, NOTHING],
  ['text first', `PRIVMSG al :see :\x01DCC SEND f ${OWN} 5000 1\x01\r\n`, NOTHING],
  ['no CTCP', `PRIVMSG al :DCC SEND f ${OWN} 5000 1 and more\r\n`, NOTHING],
  ['foreign address', dcc('SEND f 167772163 5000 1'), NOTHING],
  ['the server\'s address', dcc('SEND f 167772162 5000 1'), NOTHING],
  ['port 0', dcc(`SEND f ${OWN} 0 1`), NOTHING],
  ['port x', dcc(`SEND f ${OWN} x 1`), NOTHING],
  ['no LF', `PRIVMSG al :\x01DCC SEND f ${OWN} 5000 1\x01\r`, NOTHING],
  ['file name with a blank', dcc(`SEND a b ${OWN} 5000 1`), NOTHING],
  ['two spaces before the address', dcc(`SEND f  ${OWN} 5000 1`), NOTHING],
  ['blanks only', ' '.repeat(60), NOTHING],
  ['too short', 'PRIVMSG a :\x01DCC SEND f 1 2\n', NOTHING],
]))

describe('numbers that are too large lose their high bits, as in Linux', () => rows([
  ['port 65616 is 80', dcc(`SEND f ${OWN} 65616 1`), expects(`tcp any -> ${A}:80`)],
  ['address + 2^32', dcc(`SEND f ${OWN + 2 ** 32} 5000 1`), expects(OFFER)],
  ['address + 2^64', dcc('SEND f 18446744073877323777 5000 1'), expects(OFFER)],
  ['leading zeros', dcc(`SEND f 000000${OWN} 005000 1`), expects(OFFER)],
]))

describe('with `strict` they announce nothing', () => rows([
  ['port 65616', dcc(`SEND f ${OWN} 65616 1`), NOTHING],
  ['address + 2^32', dcc(`SEND f ${OWN + 2 ** 32} 5000 1`), NOTHING],
  ['port 65535', dcc(`SEND f ${OWN} 65535 1`), expects(`tcp any -> ${A}:65535`)],
], { strict: true }))

describe('what is looked at', () => {
  test('no more than 4095 bytes', () => {
    const padded = (size: number) => `PRIVMSG ${'x'.repeat(size)} :\x01DCC SEND f ${OWN} 5000 1\x01\r\n`
    const rest = padded(0).length
    expect(open().client(padded(4095 - rest))).toEqual(expects(OFFER))
    expect(open().client(padded(4096 - rest))).toEqual(NOTHING)
  })

  test('nothing that the server says', () => {
    expect(open().server(dcc(`SEND f ${OWN} 5000 1`))).toEqual(NOTHING)
  })

  test('nothing before ESTABLISHED', () => {
    const session = open()
    session.established = false
    expect(session.client(dcc(`SEND f ${OWN} 5000 1`))).toEqual(NOTHING)
  })

  test('inner and outer address behind address translation; the outer one is expected', () => {
    const outer = { clientSeenAs: '192.0.2.1' }
    expect(open({}, outer).client(dcc(`SEND f ${OWN} 5000 1`))).toEqual(expects('tcp any -> 192.0.2.1:5000'))
    expect(open({}, outer).client(dcc('SEND f 3221225985 5000 1'))).toEqual(expects('tcp any -> 192.0.2.1:5000'))
  })
})

describe('limits', () => {
  test('the ninth offer evicts the oldest of eight', () => {
    const session = open()
    for (let port = 5000; port < 5009; port++) session.client(dcc(`SEND f ${OWN} ${port} 1`))
    expect(session.table.all.map(one => one.dport)).toEqual([5008, 5007, 5006, 5005, 5004, 5003, 5002, 5001])
  })

  test('`maxDccChannels` and `dccTimeout`', () => {
    const session = open({ maxDccChannels: 1, dccTimeout: 5 })
    for (const port of [5000, 5001]) session.client(dcc(`SEND f ${OWN} ${port} 1`))
    expect(session.table.all.map(one => one.dport)).toEqual([5001])
    session.table.now = 5
    expect(session.table.all).toEqual([])
  })

  test('an endpoint that another connection has announced: dropped', () => {
    const table = new ExpectationTable()
    open({}, { table }).client(dcc(`SEND f ${OWN} 5000 1`))
    expect(open({}, { table, id: 2 }).client(dcc(`SEND f ${OWN} 5000 1`))).toEqual(DROP)
  })
})

describe('known holes', () => {
  test('VU#230307: an offer opens one port of the client\'s own address by TCP, once, though to anybody', () => {
    const { table } = (() => {
      const session = open()
      session.client(dcc(`SEND f ${OWN} 5000 1`))
      return session
    })()
    expect(table.match(6, '203.0.113.9', 4000, '10.0.0.9', 5000)).toBeNull()
    expect(table.match(6, '203.0.113.9', 4000, A, 5001)).toBeNull()
    expect(table.match(17, '203.0.113.9', 4000, A, 5000)).toBeNull()
    expect(table.match(6, '203.0.113.9', 4000, A, 5000)).not.toBeNull()
    expect(table.match(6, '203.0.113.9', 4000, A, 5000)).toBeNull()
  })

  test('VU#230307: with `peers` only to these', () => {
    const session = open({ peers: '192.0.2.77/24' })
    expect(session.client(dcc(`SEND f ${OWN} 5000 1`))).toEqual(expects(`tcp 192.0.2.0/255.255.255.0 -> ${A}:5000`))
    expect(session.table.match(6, '203.0.113.9', 4000, A, 5000)).toBeNull()
    expect(session.table.match(6, '192.0.2.9', 4000, A, 5000)).not.toBeNull()
  })

  test.each([
    ['a second keyword', dcc(`SEND CHAT foo ${OWN} 5000 1000`)],
    ['a second offer', `PRIVMSG al :\x01DCC SEND f x :\x01DCC SEND g ${OWN} 5000 1\x01\r\n`],
    ['an address cut short', `PRIVMSG al :\x01DCC SEND ffffffff 16777\n${OWN} 5000`],
    ['a name without end', `PRIVMSG al :\x01DCC SEND ${'f'.repeat(40)}\r\n`],
  ])('CVE-2026-53268: nothing is read behind an offer that cannot be read (%s)', (_, payload) => {
    expect(open().client(payload)).toEqual(NOTHING)
  })

  test.each([
    ['in a web page\'s form', `POST / HTTP/1.1\r\n\r\nPRIVMSG al :\x01DCC SEND f ${OWN} 445 1\x01\r\n`],
    ['in somebody\'s text', `PRIVMSG al :look: PRIVMSG x :\x01DCC SEND f ${OWN} 445 1\x01\r\n`],
    ['in a topic', `TOPIC #x :\x01DCC SEND f ${OWN} 445 1\x01\r\n`],
  ])('CVE-2022-2663: an offer that is not a message of its own is not seen (%s)', (_, payload) => {
    expect(open().client(payload)).toEqual(NOTHING)
  })

  test('NAT slipstreaming: a message at the start of a segment is read, as on Linux; `minPort` guards services', () => {
    const payload = dcc(`SEND f ${OWN} 445 1`)
    expect(open().client(payload)).toEqual(expects(`tcp any -> ${A}:445`))
    expect(open({ minPort: 1024 }).client(payload)).toEqual(NOTHING)
  })
})

test.each([
  ['ports', { ports: ['irc'] }], ['maxDccChannels', { maxDccChannels: 0 }], ['maxDccChannels', { maxDccChannels: 256 }],
  ['dccTimeout', { dccTimeout: 0.5 }], ['peers', { peers: '192.0.2.0' }], ['peers', { peers: '2001:db8::/32' }],
  ['strict', { strict: 1 }], ['minPort', { minPort: -1 }], ['channels', { channels: 1 }],
])('a bad %s is refused', (name, options) => {
  expect(() => irc(options as IrcOptions)).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
  expect(() => irc(options as IrcOptions)).toThrow(name)
})
