import { describe, expect, test } from 'vitest'
import { ftp, type FtpOptions } from '../../../src/helpers/ftp.js'
import { ExpectationTable } from '../../support/expectation-table.js'
import { HelpedSession, type SessionOptions } from '../../support/helped-session.js'

const A = '10.0.0.1'
const B = '10.0.0.2'
const A6 = '2001:db8:a::1'
const B6 = '2001:db8:b::2'
const ACTIVE = `tcp ${B} -> ${A}`
const ACTIVE6 = `tcp ${B6} -> ${A6}`
const PASSIVE = `tcp ${A} -> ${B}`
const PASSIVE6 = `tcp ${A6} -> ${B6}`

const NOTHING = { verdict: 'accept', expected: [] }
const DROP = { verdict: 'drop', expected: [] }
const expects = (...expected: string[]) => ({ verdict: 'accept', expected })

/** A control connection in which both sides have said a line. */
function control(options: FtpOptions = {}, session: SessionOptions = {}): HelpedSession {
  const open = new HelpedSession(ftp(options), session)
  open.server('220 hi\r\n')
  open.client('USER x\r\n')
  return open
}

type Row = readonly [title: string, payload: string, answer: object]

function rows(
  direction: 'client' | 'server', list: readonly Row[], options?: FtpOptions, session?: SessionOptions,
): void {
  test.each(list)('%s: %j', (_, payload, answer) => {
    expect(control(options, session)[direction](payload)).toEqual(answer)
  })
}

describe('the client announces', () => rows('client', [
  ['own address', 'PORT 10,0,0,1,19,136\r\n', expects(`${ACTIVE}:5000`)],
  ['lower case', 'port 10,0,0,1,19,136\r\n', expects(`${ACTIVE}:5000`)],
  ['text between the word and the space', 'PORTxyz 10,0,0,1,19,136\r\n', expects(`${ACTIVE}:5000`)],
  ['a carriage return alone', 'PORT 10,0,0,1,19,136\r', expects(`${ACTIVE}:5000`)],
  ['empty numbers are zero', 'PORT 10,,,1,19,136\r\n', expects(`${ACTIVE}:5000`)],
  ['more lines behind it', 'PORT 10,0,0,1,19,136\r\nPORT 10,0,0,1,19,137\r\n', expects(`${ACTIVE}:5000`)],
  ['port 0', 'PORT 10,0,0,1,0,0\r\n', expects(`${ACTIVE}:0`)],
  ['another address: accepted, nothing expected', 'PORT 10,0,0,3,19,136\r\n', NOTHING],
  ['EPRT', 'EPRT |1|10.0.0.1|5000|\r\n', expects(`${ACTIVE}:5000`)],
  ['EPRT without line end', 'EPRT |1|10.0.0.1|5000|', expects(`${ACTIVE}:5000`)],
  ['EPRT with commas', 'EPRT ,1,10.0.0.1,5000,\r\n', expects(`${ACTIVE}:5000`)],
  ['EPRT of another address', 'EPRT |1|10.0.0.3|5000|\r\n', NOTHING],
  ['another command', 'PWD\r\n', NOTHING],
  ['an answer', '227 10,0,0,1,19,136\r\n', NOTHING],
  ['in the middle of a segment', 'NOOP\r\nPORT 10,0,0,1,19,136\r\n', NOTHING],
]))

describe('a malformed command is dropped', () => rows('client', [
  ['line feed only', 'PORT 10,0,0,1,19,136\n', DROP],
  ['no line end', 'PORT 10,0,0,1,19,136', DROP],
  ['two spaces', 'PORT  10,0,0,1,19,136\r\n', DROP],
  ['five numbers', 'PORT 10,0,0,1,19\r\n', DROP],
  ['seven numbers', 'PORT 10,0,0,1,19,136,1\r\n', DROP],
  ['cut short', 'PORT 10,0,0,', DROP],
  ['nothing behind the space', 'PORT ', DROP],
  ['no space', 'PORTx', DROP],
  ['the word alone', 'PORT', DROP],
  ['its beginning', 'PO', DROP],
  ['its first letter', 'P', DROP],
  ['another one\'s first letter', 'e', DROP],
  ['a beginning with a line end is another word', 'PO\n', NOTHING],
  ['EPRT of the wrong family', 'EPRT |2|2001:db8:a::1|5000|\r\n', DROP],
  ['EPRT with a digit for delimiter', 'EPRT 111110.0.0.1150001\r\n', DROP],
  ['EPRT with a control character for delimiter', 'EPRT \x1f1\x1f10.0.0.1\x1f5000\x1f\r\n', DROP],
  ['EPRT with DEL for delimiter', 'EPRT \x7f1\x7f10.0.0.1\x7f5000\x7f\r\n', DROP],
  ['EPRT with dots for delimiter', 'EPRT .1.10.0.0.1.5000.\r\n', DROP],
  ['EPRT with three numbers', 'EPRT |1|10.0.1|5000|\r\n', DROP],
  ['EPRT with port 0', 'EPRT |1|10.0.0.1|0|\r\n', DROP],
  ['EPRT with port 65536, which is 0', 'EPRT |1|10.0.0.1|65536|\r\n', DROP],
  ['EPRT with a port that is no number', 'EPRT |1|10.0.0.1|5a|\r\n', DROP],
  ['EPRT without its last delimiter', 'EPRT |1|10.0.0.1|5000\r\n', DROP],
  ['EPRT cut short', 'EPRT |1|', DROP],
]))

describe('the server announces', () => rows('server', [
  ['227 with parentheses', '227 Entering Passive Mode (10,0,0,2,19,137)\r\n', expects(`${PASSIVE}:5001`)],
  ['227 without', '227 Entering Passive Mode 10,0,0,2,19,137\r\n', expects(`${PASSIVE}:5001`)],
  ['227 with a letter behind', '227 10,0,0,2,19,137x', expects(`${PASSIVE}:5001`)],
  ['227 of another address', '227 (10,0,0,3,19,137)\r\n', NOTHING],
  ['227-', '227-10,0,0,2,19,137\r\n', NOTHING],
  ['229', '229 Entering Extended Passive Mode (|||5001|)\r\n', expects(`${PASSIVE}:5001`)],
  ['229 without the closing parenthesis', '229 (|||5001|\r\n', expects(`${PASSIVE}:5001`)],
  ['a command', 'PORT 10,0,0,2,19,136\r\n', NOTHING],
  ['another answer', '200 ok\r\n', NOTHING],
  ['227 nothing', '227 nothing\r\n', DROP],
  ['227 and another number first', '227 4 streams (10,0,0,2,19,137)\r\n', DROP],
  ['227 with nothing behind the port', '227 10,0,0,2,19,137', DROP],
  ['22', '22', DROP],
  ['229 without parenthesis', '229 |||5001|\r\n', DROP],
  ['229 with an address', '229 (|1|10.0.0.2|5001|)\r\n', DROP],
  ['229 with port 0', '229 (|||0|)\r\n', DROP],
  ['229 without its last delimiter', '229 (|||5001)\r\n', DROP],
]))

describe('over IPv6', () => {
  rows('client', [
    ['EPRT', 'EPRT |2|2001:db8:a::1|5000|\r\n', expects(`${ACTIVE6}:5000`)],
    ['any spelling', 'EPRT |2|2001:0DB8:a:0:0:0:0.0.0.1|5000|\r\n', expects(`${ACTIVE6}:5000`)],
    ['any count of leading zeros', 'EPRT |2|2001:db8:a::000001|5000|\r\n', expects(`${ACTIVE6}:5000`)],
    ['a NUL instead of a delimiter', 'EPRT |2|2001:db8:a::1\x005000|\r\n', expects(`${ACTIVE6}:5000`)],
    ['another address', 'EPRT |2|2001:db8:a::2|5000|\r\n', NOTHING],
    ['EPRT 1', 'EPRT |1|10.0.0.1|5000|\r\n', DROP],
    ['an IPv4 address', 'EPRT |2|10.0.0.1|5000|\r\n', DROP],
    ['no address', 'EPRT |2||5000|\r\n', DROP],
    ['a zone', 'EPRT |2|2001:db8:a::1%eth0|5000|\r\n', DROP],
    ['cut short', 'EPRT |2|2001:db8:a::1', DROP],
    ['PORT', 'PORT 10,0,0,1,19,136\r\n', NOTHING],
    ['PORT with the first bytes of the own address', 'PORT 32,1,13,184,19,136\r\n', expects(`${ACTIVE6}:5000`)],
  ], {}, { family: 6 })
  rows('server', [
    ['229', '229 Entering Extended Passive Mode (|||5001|)\r\n', expects(`${PASSIVE6}:5001`)],
    ['227 with the first bytes of the own address', '227 (32,1,13,184,19,136)\r\n', expects(`${PASSIVE6}:5000`)],
  ], {}, { family: 6 })
})

describe('numbers that are too large overflow, as in Linux 6.18', () => {
  rows('client', [
    ['low byte of the port', 'PORT 10,0,0,1,4,257\r\n', expects(`${ACTIVE}:1281`)],
    ['high byte of the port', 'PORT 10,0,0,1,256,1\r\n', expects(`${ACTIVE}:1`)],
    ['2^32 + 10', 'PORT 4294967306,0,0,1,19,136\r\n', expects(`${ACTIVE}:5000`)],
    ['address', 'PORT 9,256,0,1,19,136\r\n', NOTHING],
    ['port of EPRT', 'EPRT |1|10.0.0.1|66560|\r\n', expects(`${ACTIVE}:1024`)],
  ])
  rows('server', [['port of 229', '229 (|||70537|)\r\n', expects(`${PASSIVE}:5001`)]])
})

describe('with `strict`, numbers that are too large are dropped, as from Linux 7.2 on', () => {
  rows('client', [
    ['low byte of the port', 'PORT 10,0,0,1,4,257\r\n', DROP],
    ['2^32 + 10', 'PORT 4294967306,0,0,1,19,136\r\n', DROP],
    ['address of EPRT', 'EPRT |1|10.0.0.257|5000|\r\n', DROP],
    ['port of EPRT', 'EPRT |1|10.0.0.1|66560|\r\n', DROP],
    ['the largest ones', 'PORT 10,0,0,1,255,255\r\n', expects(`${ACTIVE}:65535`)],
    ['the largest port', 'EPRT |1|10.0.0.1|65535|\r\n', expects(`${ACTIVE}:65535`)],
  ], { strict: true })
  rows('server', [['port of 229', '229 (|||70537|)\r\n', DROP]], { strict: true })
})

describe('with `loose`, another address is expected', () => {
  rows('client', [['PORT', 'PORT 10,0,0,3,19,136\r\n', expects(`tcp ${B} -> 10.0.0.3:5000`)]], { loose: true })
  rows('server', [['227', '227 (10,0,0,3,19,137)\r\n', expects(`tcp ${A} -> 10.0.0.3:5001`)]], { loose: true })
})

describe('lines', () => {
  test('the first segment of a direction is not read, and the next one is', () => {
    const session = new HelpedSession(ftp())
    expect(session.client('PORT 10,0,0,1,19,136\r\n')).toEqual(NOTHING)
    expect(session.client('PORT 10,0,0,1,19,137\r\n')).toEqual(expects(`${ACTIVE}:5001`))
  })

  test('NOOP without a line feed, then PORT: not read', () => {
    const session = control()
    session.client('NOOP')
    expect(session.client('PORT 10,0,0,1,19,136\r\n')).toEqual(NOTHING)
    expect(session.client('PORT 10,0,0,1,19,137\r\n')).toEqual(expects(`${ACTIVE}:5001`))
  })

  test('after a dropped segment nothing is read until a line has ended', () => {
    const session = control()
    expect(session.client('PORT 10,0,0,1,19\r\n')).toEqual(DROP)
    expect(session.client('PORT 10,0,0,')).toEqual(NOTHING)
    expect(session.client('1,19,136\r\n')).toEqual(NOTHING)
    expect(session.client('PORT 10,0,0,1,19,137\r\n')).toEqual(expects(`${ACTIVE}:5001`))
  })

  test('a PORT sent again replaces its own expectation', () => {
    const session = control()
    const seq = session.next('original')
    session.client('PORT 10,0,0,1,19,136\r\n')
    const again = session.say('original', 'PORT 10,0,0,1,19,136\r\n', seq)
    expect(again).toEqual(expects(`${ACTIVE}:5000`))
    expect(session.table.all).toHaveLength(1)
  })

  test('only the two latest line ends are remembered', () => {
    const session = control()
    const seq = session.next('original')
    for (const command of ['PWD\r\n', 'TYPE I\r\n', 'SYST\r\n']) session.client(command)
    expect(session.say('original', 'PORT 10,0,0,1,19,136\r\n', seq)).toEqual(NOTHING)
  })

  test('sequence numbers wrap', () => {
    const session = new HelpedSession(ftp())
    session.say('original', 'USER x\r\n', 0xffff_fff8)
    expect(session.next('original')).toBe(0)
    expect(session.client('PORT 10,0,0,1,19,136\r\n')).toEqual(expects(`${ACTIVE}:5000`))
  })

  test('segments without data and those before ESTABLISHED are not looked at', () => {
    const session = control()
    expect(session.client('')).toEqual(NOTHING)
    session.established = false
    expect(session.say('original', 'P', session.next('original'))).toEqual(NOTHING)
  })

  test('its memory is plain JSON', () => {
    const { state } = control()
    expect(JSON.parse(JSON.stringify(state))).toEqual(state)
  })
})

describe('beside other expectations', () => {
  test('a second PORT replaces the first', () => {
    const session = control()
    session.client('PORT 10,0,0,1,19,136\r\n')
    session.client('PORT 10,0,0,1,19,137\r\n')
    expect(session.table.all.map(one => one.dport)).toEqual([5001])
  })

  test('another control connection announcing the same endpoint is dropped, and its line end remembered', () => {
    const table = new ExpectationTable()
    control({}, { table }).client('PORT 10,0,0,1,19,136\r\n')
    const other = control({}, { table, id: 2, sport: 1001 })
    expect(other.client('PORT 10,0,0,1,19,136\r\n')).toEqual(DROP)
    expect(other.client('PORT 10,0,0,1,19,137\r\n')).toEqual(expects(`${ACTIVE}:5001`))
  })

  test('where the table is full the segment is dropped', () => {
    expect(control({}, { table: new ExpectationTable(0) }).client('PORT 10,0,0,1,19,136\r\n')).toEqual(DROP)
  })

  test('it stands for 300 seconds', () => {
    const { table } = control()
    const session = control({}, { table })
    session.client('PORT 10,0,0,1,19,136\r\n')
    table.now = 299
    expect(table.all).toHaveLength(1)
    table.now = 300
    expect(table.all).toHaveLength(0)
  })

  test('it is matched from any port of the server, by TCP to that port of the client, once', () => {
    const { table } = (() => {
      const session = control()
      session.client('PORT 10,0,0,1,19,136\r\n')
      return session
    })()
    expect(table.match(6, '10.0.0.3', 20, A, 5000)).toBeNull()
    expect(table.match(6, B, 20, A, 5001)).toBeNull()
    expect(table.match(17, B, 20, A, 5000)).toBeNull()
    expect(table.match(6, B, 20, A, 5000)).not.toBeNull()
    expect(table.match(6, B, 20, A, 5000)).toBeNull()
  })
})

describe('behind address translation', () => {
  test('the expectation is of what the outside sees', () => {
    const session = control({}, { clientSeenAs: '192.0.2.1' })
    expect(session.client('PORT 10,0,0,1,19,136\r\n')).toEqual(expects(`tcp ${B} -> 192.0.2.1:5000`))
  })
})

describe('NAT slipstreaming (a web page lets its browser send a form to port 21)', () => {
  const POST = `POST / HTTP/1.1\r\nHost: ${B}:21\r\n\r\n`

  test('a command in the middle of the form is not seen', () => {
    expect(control().client(`${POST}PORT 10,0,0,1,19,136\r\n`)).toEqual(NOTHING)
  })

  test('one at the start of a segment that follows a line feed is, as on Linux', () => {
    const session = new HelpedSession(ftp())
    session.client(POST)
    expect(session.client('PORT 10,0,0,1,1,189\r\n')).toEqual(expects(`${ACTIVE}:445`))
  })

  test('it opens no other host', () => {
    expect(control().client('PORT 10,0,0,9,1,189\r\n')).toEqual(NOTHING)
  })

  test('and with `minPort` no service', () => {
    expect(control({ minPort: 1024 }).client('PORT 10,0,0,1,1,189\r\n')).toEqual(NOTHING)
    expect(control({ minPort: 1024 }).client('PORT 10,0,0,1,4,0\r\n')).toEqual(expects(`${ACTIVE}:1024`))
  })
})

test.each([
  ['ports', { ports: [0] }], ['ports', { ports: 21 }], ['loose', { loose: 1 }], ['strict', { strict: 'yes' }],
  ['minPort', { minPort: 65536 }], ['port', { port: 21 }],
])('a bad %s is refused', (name, options) => {
  expect(() => ftp(options as FtpOptions)).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
  expect(() => ftp(options as FtpOptions)).toThrow(name)
})
