/** PPTP and H.323: a call's life through the tracker is in the conformance suites; here that no payload does harm. */
import { describe, expect, test } from 'vitest'
import { h323, pptp, sip, type Helper, type HelperTable, type NewExpectation } from '../../../src/helpers/index.js'
import { RAS } from '../../support/helper-fuzz/h323-seeds.js'
import { HelpedSession } from '../../support/helped-session.js'
import { Random } from '../../support/random.js'

const CONNECTION = {
  id: 1, family: 4, protocol: 6, expected: false,
  original: { family: 4, protocol: 6, src: '10.0.0.1', dst: '10.0.0.2', sport: 1000, dport: 1720 },
  reply: { family: 4, protocol: 6, src: '10.0.0.2', dst: '10.0.0.1', sport: 1720, dport: 1000 },
} as const

/** Beginnings of messages: PPTP's headers, TPKT with Q.931, a RAS registration, SIP. */
const BEGINNINGS = [
  [0, 156, 0, 1, 0x1a, 0x2b, 0x3c, 0x4d, 0, 8, 0, 0], [0, 156, 0, 1, 0x1a, 0x2b, 0x3c, 0x4d, 0, 2, 0, 0],
  [3, 0, 0, 40, 8, 2, 0, 1, 5, 4, 3, 0x80, 0x90, 0xa3, 0x7e, 0, 20, 5, 0x20], [3, 0, 0, 4], [3, 0, 0, 3, 8],
  [0x0e, 0x40, 0, 5, 6, 0, 8, 0x91, 0x4a, 0], [...new TextEncoder().encode('INVITE sip:a@10.0.0.2 SIP/2.0\r\nCSeq: 1 INVITE\r\n')],
]

function all(): Helper[] {
  const listed = [pptp(), sip(), ...h323()]
  return [...listed, ...listed.flatMap(helper => helper.assigns ?? [])]
}

function recordingTable(added: NewExpectation[]): HelperTable {
  return {
    expect: expectation => {
      added.push(expectation)
      return 'added'
    },
    own: () => [], find: () => null, remove: () => {}, activate: () => {}, setTimeout: () => {}, mapGreKeys: () => true,
    unmapGreKeys: () => {}, destroyGre: () => {},
  }
}

describe.each(all().map(helper => [helper.name, helper] as const))('%s', (_, helper) => {
  test('any payload is accepted or dropped, and announces only what an expectation can be', () => {
    const random = new Random(5)
    const added: NewExpectation[] = []
    const table = recordingTable(added)
    let state = helper.state?.()
    for (let i = 0; i < 20_000; i++) {
      if (i % 20 === 0) state = helper.state?.()
      const beginning = random.pick(BEGINNINGS).slice(0, random.chance(10) ? random.below(12) : 99)
      const payload = Uint8Array.from([...beginning, ...Array.from({ length: random.below(120) }, () => random.below(256))])
      if (random.chance(3) && payload.length > 4) payload[random.below(payload.length)] = random.pick([0, 0x80, 0xff])
      const direction = random.chance(2) ? 'original' : 'reply'
      const verdict = helper.inspect({ payload, direction, established: true, seq: i, connection: CONNECTION, state }, table)
      expect(['accept', 'drop']).toContain(verdict)
    }
    for (const { dst, dport } of added) {
      expect(dst).toMatch(/^10\.0\.0\.[12]$/)
      expect(Number.isInteger(dport) && dport >= 0 && dport <= 65535).toBe(true)
    }
  })
})

describe('a registration', () => {
  test.each([
    [4, '10.0.0.1'], [6, '2001:db8:a::1'],
  ] as const)('over IPv%i lives as long as its confirmation says', (family, address) => {
    const [ras] = h323({ gkRoutedOnly: false })
    const session = new HelpedSession(ras, { family })
    const at = { address, port: 1720 }
    const { expected } = session.client(Uint8Array.from(RAS.registrationRequest(at)))
    expect(expected).toEqual([`tcp any -> ${address}:1720 permanent for Q.931`])
    session.server(Uint8Array.from(RAS.registrationConfirm(at, 900)))
    expect(session.table.timeouts.get(1)).toBe(900)
    session.table.now = 899
    expect(session.table.all).toHaveLength(1)
    session.table.now = 900
    expect(session.table.all).toHaveLength(0)
  })
})
