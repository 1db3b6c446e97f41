/**
 * The sieve passes over rules, and nobody can tell: random rulesets judge random packets twice, once with a watcher, for whom
 * every rule is tested. Decisions, counters and what is in the table are the same, one packet at a time and in batches.
 */
import { packetBatch } from 'conntrack-wasm'
import { createFirewall, parseRules, type Decision, type Firewall, type Watcher } from 'conntrack-wasm/rules'
import { describe, expect, test } from 'vitest'
import { PacketGenerator } from '../support/generator.js'
import { Random } from '../support/random.js'
import { randomRuleset } from '../support/rules-generator.js'

const RULESETS = 80
const PACKETS = 60
const START = 1_700_000_000_000_000_000n
const STEP = 40_000_000n

const NOBODY: Watcher = { chain: () => {}, rule: () => {}, policy: () => {} }
const INTERFACES = { eth0: ['10.0.0.1/32', '2001:db8:a::/48'], eth1: ['0.0.0.0/0', '::/0'] }

interface Sent {
  readonly data: Uint8Array
  readonly originalLength: number
  readonly time: bigint
}

/** Some are short, some have no time to live, and of some not all was captured. */
function randomPackets(random: Random, family: 4 | 6): Sent[] {
  const generator = new PacketGenerator(random.next(), { kinds: ['tcp', 'udp', 'udplite', 'icmp', 'sctp', 'gre', 'generic', 'error', 'fragment'] })
  const sent: Sent[] = []
  while (sent.length < PACKETS) {
    const packet = generator.next()
    if (packet[0] >> 4 !== family) continue
    if (random.chance(10)) packet[family === 4 ? 8 : 7] = 1
    const data = random.chance(6) ? shorter(random, packet) : packet
    const captured = random.chance(8) ? data.subarray(0, random.below(data.length)) : data
    sent.push({ data: captured, originalLength: data.length, time: START + BigInt(sent.length) * STEP })
  }
  return sent
}

function shorter(random: Random, packet: Uint8Array): Uint8Array {
  const header = packet[0] >> 4 === 4 ? 20 : 40
  const short = packet.slice(0, Math.min(packet.length, header + random.below(24)))
  const view = new DataView(short.buffer)
  if (header === 40) view.setUint16(4, short.length - 40)
  else view.setUint16(2, short.length)
  return short
}

function machine(random: Random, text: string, family: 4 | 6): () => Firewall {
  const local = random.chance(2) ? [] : ['10.0.0.3', '2001:db8:c::3']
  const hook = random.pick(['forward', 'input', 'output'] as const)
  const interfaces = random.chance(3) ? {} : INTERFACES
  const tracker = { hashSeed: 1, checksum: 'ignore', batchSize: 16, maxConnections: 4 } as const
  return () => createFirewall(parseRules(text, { family }), { local, hook, interfaces, tracker })
}

/** What there is to compare, as text. */
function outcome(firewall: Firewall, decisions: readonly Decision[], family: 4 | 6): string {
  const counters = firewall.counters(family)
    .map(({ table, chain, rule, packets, bytes }) => [table, chain, rule?.number ?? 0, packets, bytes])
  const table = [...firewall.tracker.connections()]
  firewall.close()
  const lines = [...decisions.map(({ rule, ...rest }) => ({ ...rest, rule: rule?.line ?? null })), ...counters, ...table]
  return lines.map(line => JSON.stringify(line, (_, value: unknown) => typeof value === 'bigint' ? String(value) : value)).join('\n')
}

describe('rules that are passed over would have had no effect', () => {
  const seen = { actions: new Set<string | null>(), by: new Set<string>() }

  test(`${RULESETS} rulesets of ${PACKETS} packets`, () => {
    for (let seed = 1; seed <= RULESETS; seed++) {
      const random = new Random(seed)
      const family = random.chance(3) ? 6 : 4
      const text = randomRuleset(random, family)
      const make = machine(random, text, family)
      const packets = randomPackets(random, family)
      const [watched, sifted, batched] = [make(), make(), make()]
      const every = packets.map(({ data, ...info }) => watched.judge(data, { ...info, watcher: NOBODY }))
      const some = packets.map(({ data, ...info }) => sifted.judge(data, info))
      const many = batched.judgeBatch(packetBatch(packets))
      for (const { action, by } of every) {
        seen.actions.add(action)
        seen.by.add(by)
      }
      const wanted = outcome(watched, every, family)
      expect(outcome(sifted, some, family), `seed ${seed}\n${text}`).toBe(wanted)
      expect(outcome(batched, many, family), `seed ${seed}, in batches\n${text}`).toBe(wanted)
    }
  }, 600_000)

  test('of all kinds', () => {
    expect([...seen.actions].sort()).toEqual(['ACCEPT', 'DROP', 'REJECT', null])
    expect([...seen.by].sort()).toEqual(['malformed', 'no-rules', 'not-judged', 'policy', 'rule', 'tracker', 'ttl'])
  })
})
