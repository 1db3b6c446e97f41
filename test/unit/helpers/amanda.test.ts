import { describe, expect, test } from 'vitest'
import { amanda, type AmandaOptions } from '../../../src/helpers/amanda.js'
import { ExpectationTable } from '../../support/expectation-table.js'
import { HelpedSession, type SessionOptions } from '../../support/helped-session.js'

const NOTHING = { verdict: 'accept', expected: [] }
const expects = (...ports: number[]) => ({
  verdict: 'accept', expected: ports.map(port => `tcp 10.0.0.1 -> 10.0.0.2:${port}`),
})

function asked(options?: AmandaOptions, session?: SessionOptions): HelpedSession {
  const open = new HelpedSession(amanda(options), session)
  open.client('Amanda 2.4 REQ HANDLE 0 SEQ 1\n')
  return open
}

describe('the answer', () => {
  test.each([
    ['three ports', 'Amanda 2.4 REP SEQ 1\nCONNECT DATA 5000 MESG 5001 INDEX 5002\n', expects(5000, 5001, 5002)],
    ['four ports', 'CONNECT DATA 5000 MESG 5001 INDEX 5002 STATE 5003\n', expects(5000, 5001, 5002, 5003)],
    ['another order', 'CONNECT STATE 5003 DATA 5000\n', expects(5000, 5003)],
    ['a stream named twice', 'CONNECT DATA 5000 DATA 5001\n', expects(5000)],
    ['a port named twice', 'CONNECT DATA 5000 MESG 5000\n', expects(5000, 5000)],
    ['six digits', 'CONNECT DATA 500000\n', expects(50000)],
    ['within a word', 'CONNECT XDATA 5000\n', expects(5000)],
    ['99999 loses its high bits', 'CONNECT DATA 99999\n', expects(34463)],
    ['no line feed', 'CONNECT DATA 5000', NOTHING],
    ['port 0 ends the list', 'CONNECT DATA 0 MESG 5001\n', NOTHING],
    ['65536 is 0', 'CONNECT DATA 65536 MESG 5001\n', NOTHING],
    ['no number', 'CONNECT DATA x MESG 5001\n', NOTHING],
    ['two spaces', 'CONNECT DATA  5000\n', NOTHING],
    ['nothing behind the stream', 'CONNECT DATA \n', NOTHING],
    ['lower case', 'connect data 5000\n', NOTHING],
    ['in the next line', 'CONNECT \nDATA 5000\n', NOTHING],
    ['in the second CONNECT', 'CONNECT x\nCONNECT DATA 5000\n', NOTHING],
    ['no CONNECT', 'DATA 5000\n', NOTHING],
    ['empty', '', NOTHING],
  ])('%s: %j', (_, payload, answer) => expect(asked().server(payload)).toEqual(answer))

  test('with `strict`, a number above 65535 is no port', () => {
    expect(asked({ strict: true }).server('CONNECT DATA 99999 MESG 5001\n')).toEqual(NOTHING)
    expect(asked({ strict: true }).server('CONNECT DATA 65535 MESG 5001\n')).toEqual(expects(65535, 5001))
  })

  test('over IPv6', () => {
    const { expected } = asked({}, { family: 6 }).server('CONNECT DATA 5000\n')
    expect(expected).toEqual(['tcp 2001:db8:a::1 -> 2001:db8:b::2:5000'])
  })

  test('keeps its connection for 300 seconds, whatever it says', () => {
    const session = asked()
    expect(session.table.timeouts.size).toBe(0)
    session.server('')
    expect(session.table.timeouts.get(1)).toBe(300)
  })

  test('or for `masterTimeout`', () => {
    const session = asked({ masterTimeout: 60 })
    session.server('x')
    expect(session.table.timeouts.get(1)).toBe(60)
  })
})

test('the request is not read', () => {
  expect(asked().client('CONNECT DATA 5000\n')).toEqual(NOTHING)
})

test('expectations stand for 180 seconds', () => {
  const session = asked()
  session.server('CONNECT DATA 5000\n')
  session.table.now = 179
  expect(session.table.all).toHaveLength(1)
  session.table.now = 180
  expect(session.table.all).toHaveLength(0)
})

test('a port that another connection expects: dropped, the other ports expected all the same', () => {
  const table = new ExpectationTable()
  asked({}, { table }).server('CONNECT DATA 5000\n')
  const answer = asked({}, { table, id: 2, sport: 1001 }).server('CONNECT DATA 5000 MESG 5001\n')
  expect(answer).toEqual({ ...expects(5001), verdict: 'drop' })
})

test.each([['masterTimeout', { masterTimeout: 0 }], ['strict', { strict: 0 }], ['ports', { ports: [1.5] }]])(
  'a bad %s is refused', (name, options) => {
    expect(() => amanda(options as object)).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
    expect(() => amanda(options as object)).toThrow(name)
  })
