/** NetBIOS names and SNMP. */
import { describe, expect, test } from 'vitest'
import { netbiosNs } from '../../../src/helpers/netbios-ns.js'
import { snmp } from '../../../src/helpers/snmp.js'
import { HelpedSession, type SessionOptions } from '../../support/helped-session.js'

const NOTHING = { verdict: 'accept', expected: [] }
const NETWORKS = { networks: ['10.9.1.1/24', '203.0.113.2/25'] }
const QUESTION = { client: '10.9.1.1', server: '10.9.1.255', sport: 40000 }

describe.each([
  ['netbios-ns', netbiosNs, 137, 3],
  ['snmp', snmp, 161, 30],
] as const)('%s', (_, helper, port, seconds) => {
  const ask = (options: SessionOptions) => new HelpedSession(helper(NETWORKS), { ...QUESTION, ...options }).client('?')

  test('a broadcast of this host: any host of the network may answer from the port', () => {
    const session = new HelpedSession(helper(NETWORKS), QUESTION)
    expect(session.client('?').expected).toEqual([`udp 10.9.1.255/255.255.255.0:${port} -> 10.9.1.1:40000 permanent`])
    const { table } = session
    expect(table.match(17, '10.9.1.77', port, '10.9.1.1', 40000)).not.toBeNull()
    expect(table.match(17, '10.9.1.78', port, '10.9.1.1', 40000)).not.toBeNull()
    expect(table.match(17, '10.9.1.77', port + 1, '10.9.1.1', 40000)).toBeNull()
    expect(table.match(17, '10.9.2.77', port, '10.9.1.1', 40000)).toBeNull()
  })

  test('of a network of another size', () => {
    const { expected } = ask({ client: '203.0.113.2', server: '203.0.113.127' })
    expect(expected).toEqual([`udp 203.0.113.127/255.255.255.128:${port} -> 203.0.113.2:40000 permanent`])
  })

  test.each([
    ['forwarded', { client: '10.9.1.7' }],
    ['to one host', { server: '10.9.1.7' }],
    ['to all hosts', { server: '255.255.255.255' }],
    ['to another network', { server: '203.0.113.127' }],
  ])('%s: nothing', (_, options) => expect(ask(options)).toEqual(NOTHING))

  test('the answer of a broadcast: nothing', () => {
    expect(new HelpedSession(helper(NETWORKS), QUESTION).server('!')).toEqual(NOTHING)
  })

  test('by default, which is for forwarded packets: nothing', () => {
    const session = new HelpedSession(helper(), QUESTION)
    expect(session.client('?')).toEqual(NOTHING)
    expect(session.table.timeouts.size).toBe(0)
  })

  test(`stands for ${seconds} seconds, as does its connection`, () => {
    const session = new HelpedSession(helper(NETWORKS), QUESTION)
    session.client('?')
    expect(session.table.timeouts.get(1)).toBe(seconds)
    session.table.now = seconds - 1
    expect(session.table.all).toHaveLength(1)
    session.table.now = seconds
    expect(session.table.all).toHaveLength(0)
  })

  test('or for `timeout`', () => {
    const session = new HelpedSession(helper({ ...NETWORKS, timeout: 9 }), QUESTION)
    session.client('?')
    expect(session.table.timeouts.get(1)).toBe(9)
  })

  test('where it cannot be added, the packet passes', () => {
    const session = new HelpedSession(helper(NETWORKS), QUESTION)
    session.client('?')
    const other = new HelpedSession(helper(NETWORKS), { ...QUESTION, id: 2, table: session.table })
    expect(other.client('?')).toEqual(NOTHING)
  })

  test('a network of two addresses has no broadcast', () => {
    const session = new HelpedSession(helper({ networks: ['10.9.1.0/31'] }), { client: '10.9.1.0', server: '10.9.1.1' })
    expect(session.client('?')).toEqual(NOTHING)
  })

  test.each(['10.9.1.1', '10.9.1.1/33', '10.9.1/24', '2001:db8::1/64', 'x', 7])('network %j is refused', network => {
    const make = () => helper({ networks: [network as string] })
    expect(make).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
    expect(make).toThrow('networks')
  })
})
