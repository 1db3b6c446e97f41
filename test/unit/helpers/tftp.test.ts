import { describe, expect, test } from 'vitest'
import { tftp } from '../../../src/helpers/tftp.js'
import { ExpectationTable } from '../../support/expectation-table.js'
import { HelpedSession } from '../../support/helped-session.js'

const NOTHING = { verdict: 'accept', expected: [] }
const ANSWER = { verdict: 'accept', expected: ['udp 10.0.0.2 -> 10.0.0.1:1000'] }
const request = (opcode: number) => Uint8Array.of(opcode >> 8, opcode & 255, ...Buffer.from('file\0octet\0'))

test.each([
  ['a read request', request(1), ANSWER],
  ['a write request', request(2), ANSWER],
  ['its opcode alone', Uint8Array.of(0, 1), ANSWER],
  ['opcode 0', request(0), NOTHING],
  ['data', request(3), NOTHING],
  ['an acknowledgement', request(4), NOTHING],
  ['an error', request(5), NOTHING],
  ['options', request(6), NOTHING],
  ['opcode 257', request(257), NOTHING],
  ['one byte', Uint8Array.of(1), NOTHING],
  ['nothing', new Uint8Array(0), NOTHING],
])('%s', (_, payload, answer) => expect(new HelpedSession(tftp()).client(payload)).toEqual(answer))

test('the first packet, which is not ESTABLISHED, is read', () => {
  const session = new HelpedSession(tftp())
  session.established = false
  expect(session.client(request(1))).toEqual(ANSWER)
})

test('a server that sends something like a read request makes an expectation too', () => {
  expect(new HelpedSession(tftp()).server(request(1))).toEqual(ANSWER)
})

test('over IPv6', () => {
  const { expected } = new HelpedSession(tftp(), { family: 6 }).client(request(1))
  expect(expected).toEqual(['udp 2001:db8:b::2 -> 2001:db8:a::1:1000'])
})

describe('the server', () => {
  test('answers from a new port, once', () => {
    const session = new HelpedSession(tftp())
    session.client(request(1))
    expect(session.table.match(17, '10.0.0.2', 40000, '10.0.0.1', 1000)).not.toBeNull()
    expect(session.table.match(17, '10.0.0.2', 40001, '10.0.0.1', 1000)).toBeNull()
  })

  test('is expected once however often it is asked', () => {
    const session = new HelpedSession(tftp())
    for (let i = 0; i < 3; i++) session.client(request(1))
    expect(session.table.all).toHaveLength(1)
  })
})

test('an endpoint that another connection expects: dropped', () => {
  const table = new ExpectationTable()
  new HelpedSession(tftp(), { table }).client(request(1))
  const other = new HelpedSession(tftp(), { table, id: 2, dport: 1069 })
  expect(other.client(request(1))).toEqual({ verdict: 'drop', expected: [] })
})

test('bad options are refused', () => {
  expect(() => tftp({ ports: [70000] })).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
  expect(() => tftp({ port: 69 } as object)).toThrow("unknown field 'port'")
})
