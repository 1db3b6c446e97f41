import { describe, expect, test } from 'vitest'
import { sane } from '../../../src/helpers/sane.js'
import { ExpectationTable } from '../../support/expectation-table.js'
import { HelpedSession, type SessionOptions } from '../../support/helped-session.js'

const NOTHING = { verdict: 'accept', expected: [] }
const expects = (port: number) => ({ verdict: 'accept', expected: [`tcp 10.0.0.1 -> 10.0.0.2:${port}`] })
const hex = (text: string) => Buffer.from(text, 'hex')

const START = hex('0000000700000001')
const CANCEL = hex('0000000800000001')
const ANSWER = hex('00000000000013880000000000000000')

function started(options?: SessionOptions): HelpedSession {
  const session = new HelpedSession(sane(), options)
  session.client(START)
  return session
}

describe('the answer to a start', () => {
  test.each([
    ['a port', ANSWER, expects(5000)],
    ['eight bytes', ANSWER.subarray(0, 8), expects(5000)],
    ['port 0', hex('0000000000000000'), expects(0)],
    ['status 1', hex('0000000100001388'), NOTHING],
    ['a port above 65535', hex('0000000000011388'), NOTHING],
    ['seven bytes', ANSWER.subarray(0, 7), NOTHING],
  ])('%s', (_, payload, answer) => expect(started().server(payload)).toEqual(answer))

  test.each([
    ['status 1', hex('0000000100001388')],
    ['seven bytes', ANSWER.subarray(0, 7)],
    ['the answer itself', ANSWER],
  ])('after %s the request is forgotten', (_, first) => {
    const session = started()
    session.server(first)
    expect(session.server(ANSWER)).toEqual(NOTHING)
  })

  test('over IPv6', () => {
    expect(started({ family: 6 }).server(ANSWER).expected).toEqual(['tcp 2001:db8:a::1 -> 2001:db8:b::2:5000'])
  })

  test('where another connection expects that endpoint: dropped', () => {
    const table = new ExpectationTable()
    started({ table }).server(ANSWER)
    expect(started({ table, id: 2 }).server(ANSWER)).toEqual({ verdict: 'drop', expected: [] })
  })
})

describe('between request and answer', () => {
  test.each([
    ['a segment without data changes nothing', (session: HelpedSession) => session.server(''), expects(5000)],
    ['a longer request changes nothing', (session: HelpedSession) => session.client('123456789'), expects(5000)],
    ['another request takes it back', (session: HelpedSession) => session.client(CANCEL), NOTHING],
  ])('%s', (_, say, answer) => {
    const session = started()
    say(session)
    expect(session.server(ANSWER)).toEqual(answer)
  })
})

test('without a request nothing is expected', () => {
  expect(new HelpedSession(sane()).server(ANSWER)).toEqual(NOTHING)
})

test('a request that is longer is none', () => {
  const session = new HelpedSession(sane())
  session.client(Buffer.concat([START, Buffer.from('x')]))
  expect(session.server(ANSWER)).toEqual(NOTHING)
})

test('its memory is plain JSON', () => {
  const { state } = started()
  expect(JSON.parse(JSON.stringify(state))).toEqual({ startRequested: true })
})

test('bad options are refused', () => {
  expect(() => sane({ ports: [-1] })).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
})
