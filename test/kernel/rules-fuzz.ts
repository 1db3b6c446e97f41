/**
 * `npm run fuzz:rules:kernel`: random rulesets and packets through the kernel's iptables and through the built package; counters
 * of every rule and policy are compared. A difference that is not our doing is put to the test (`rules-causes.ts`) and counted by
 * its cause; of the first that has none, the fewest packets and rules that show it are told.
 *
 *     npm run fuzz:rules:kernel -- --seed 7 --rulesets 500 --packets 200
 *
 * `--only N` runs one of them, `--show` prints the rulesets that differ. Exits 1 where a difference has no cause, 2 where the
 * kernel cannot be asked.
 */
import { parseArgs } from 'node:util'
import { PacketGenerator } from '../support/generator.js'
import { minimise } from '../support/reduce.js'
import { Random } from '../support/random.js'
import { randomRuleset } from '../support/rules-generator.js'
import { askLab, whatLabMisses, type LabAnswer } from '../support/rules-lab.js'
import { CAUSES, causeOf } from './rules-causes.js'
import { compare, type Trial } from './rules-trial.js'

const INTERFACES = {
  eth0: ['10.0.0.1/32', '10.0.0.254/32', '2001:db8:a::/48', '2001:db8:f::/48'],
  eth1: ['10.0.0.2/32', '10.0.0.3/32', '2001:db8:b::/48', '2001:db8:c::/48'],
}
const LOCAL = { 4: '10.0.0.3', 6: '2001:db8:c::3' } as const
const CHUNK = 25
/** Differences that are reduced to the fewest packets: that takes a minute each. */
const TOLD = 1

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' }, rulesets: { type: 'string', default: '100' }, packets: { type: 'string', default: '200' },
    tool: { type: 'string', default: 'legacy' }, only: { type: 'string' }, show: { type: 'boolean' },
  },
})

interface Fuzzed extends Trial {
  readonly number: number
}

function make(number: number): Fuzzed {
  const random = new Random(Number(values.seed) * 100_003 + number)
  const family = random.chance(3) ? 6 : 4
  const rules = randomRuleset(random, family)
  const local = random.chance(2) ? [] : [LOCAL[family]]
  const bytes = randomPackets(random, family, local.length > 0)
  const interfaces = Object.fromEntries(Object.entries(INTERFACES).map(([name, prefixes]) =>
    [name, prefixes.filter(prefix => prefix.includes(':') === (family === 6) && !(local.length > 0 && prefix.startsWith('10.0.0.3')))]))
  // `limit` and `connlimit` count in clock ticks.
  const isTicking = rules.includes('limit')
  const packets = bytes.map((packet, i) => ({
    bytes: Buffer.from(packet).toString('hex'), way: wayOf(packet, local.length > 0), in: comesBy(packet), at: i,
    ...(isTicking ? { ticks: random.pick([0, 0, 0, 1, 1, 2]) } : {}),
  }))
  return { number, bytes, given: { tool: values.tool as 'legacy' | 'nft', family, rules, interfaces, local, packets } }
}

function wayOf(packet: Uint8Array, someLocal: boolean): string {
  const [source, destination] = packet[0] >> 4 === 4 ? [packet[15] === 3, packet[19] === 3] : [packet[13] === 0x0c, packet[29] === 0x0c]
  if (!someLocal || (!source && !destination)) return 'forward'
  return source && destination ? 'loopback' : source ? 'output' : 'input'
}

function comesBy(packet: Uint8Array): string {
  const host = packet[0] >> 4 === 4 ? packet[15] : packet[13]
  return host === 1 || host === 254 || host === 0x0a || host === 0x0f ? 'eth0' : 'eth1'
}

/** Some are cut, so that headers are shorter than their protocols have them. */
function randomPackets(random: Random, family: 4 | 6, someLocal: boolean): Uint8Array[] {
  const generator = new PacketGenerator(random.next(), { kinds: ['tcp', 'udp', 'udplite', 'icmp', 'sctp', 'gre', 'generic', 'error', 'fragment'] })
  const packets: Uint8Array[] = []
  while (packets.length < Number(values.packets)) {
    const packet = generator.next()
    const isRight = packet[0] >> 4 === family && (family === 4 || packet[8] !== 0xfe)
    if (isRight) packets.push(random.chance(20) && !(someLocal && fromLocal(packet)) ? cut(random, packet) : packet)
  }
  return packets
}

function fromLocal(packet: Uint8Array): boolean {
  return packet[0] >> 4 === 4 ? packet[15] === 3 : packet[13] === 0x0c
}

function cut(random: Random, packet: Uint8Array): Uint8Array {
  const header = packet[0] >> 4 === 4 ? 20 : 40
  const shorter = packet.slice(0, Math.min(packet.length, header + random.below(24)))
  const view = new DataView(shorter.buffer)
  if (header === 40) {
    view.setUint16(4, shorter.length - 40)
    return shorter
  }
  view.setUint16(2, shorter.length)
  view.setUint16(10, 0)
  let sum = 0
  for (let at = 0; at < 20; at += 2) sum += view.getUint16(at)
  view.setUint16(10, ~(sum % 0xffff) & 0xffff)
  return shorter
}

/** The case with some of its packets and lines of its rules. */
function part(fuzzed: Fuzzed, packets: readonly number[], lines: readonly string[]): Fuzzed {
  const { bytes, given } = fuzzed
  return {
    ...fuzzed, bytes: packets.map(i => bytes[i]),
    given: { ...given, packets: packets.map(i => given.packets[i]), rules: lines.join('\n') + '\n' },
  }
}

/** The fewest packets and rules that still differ. */
async function reduce(fuzzed: Fuzzed): Promise<Fuzzed> {
  const differs = (packets: readonly number[], lines: readonly string[]) => {
    const shorter = part(fuzzed, packets, lines)
    const [answer] = askLab([shorter.given])
    return Promise.resolve(answer.refused === undefined && compare(shorter, answer).length > 0)
  }
  const lines = fuzzed.given.rules.trimEnd().split('\n')
  const packets = await minimise(fuzzed.bytes.map((_, i) => i), some => differs(some, lines))
  const isRule = (line: string) => line.startsWith('-A')
  const rules = await minimise(lines.filter(isRule), some => differs(packets, lines.filter(line => !isRule(line) || some.includes(line))))
  return part(fuzzed, packets, lines.filter(line => !isRule(line) || rules.includes(line)))
}

async function explain(fuzzed: Fuzzed): Promise<string> {
  const least = await reduce(fuzzed)
  const [answer] = askLab([least.given])
  const lines = [
    ...compare(least, answer), ...least.given.rules.trimEnd().split('\n').filter(line => !line.endsWith(' ACCEPT [0:0]')),
    ...least.given.packets.map(({ bytes, way }, i) => `${answer.times[i] / 4_000_000} ${way} ${bytes}`),
  ]
  return lines.map(line => `    ${line}`).join('\n')
}

const missing = whatLabMisses()
if (missing !== null) {
  console.error(`fuzz:rules:kernel needs ${missing}`)
  process.exit(2)
}
const numbers = values.only === undefined ? Array.from({ length: Number(values.rulesets) }, (_, i) => i) : [Number(values.only)]
const explained = { kernel: 0, sent: 0, hash: 0 }
let unexplained = 0
for (let at = 0; at < numbers.length; at += CHUNK) {
  const cases = numbers.slice(at, at + CHUNK).map(make)
  for (const [i, answer] of askLab(cases.map(({ given }) => given)).entries()) await report(cases[i], answer)
}
const counted = Object.entries(explained).filter(([, count]) => count > 0)
for (const [cause, count] of counted) console.log(`${count} explained: ${CAUSES[cause as keyof typeof CAUSES]}`)
console.log(`${numbers.length} rulesets of ${values.packets} packets: ${unexplained} differ without a cause`)
process.exitCode = unexplained > 0 ? 1 : 0

async function report(fuzzed: Fuzzed, answer: LabAnswer): Promise<void> {
  const differences = compare(fuzzed, answer)
  if (differences.length === 0) return
  console.log(`ruleset ${fuzzed.number} (IPv${fuzzed.given.family}): ${differences.length} counters differ`)
  for (const difference of differences.slice(0, 4)) console.log(`  ${difference}`)
  if (values.show) console.log(fuzzed.given.rules)
  const cause = causeOf(fuzzed, answer)
  console.log(`  ${cause === null ? 'no cause is known' : CAUSES[cause]}`)
  if (cause !== null) explained[cause]++
  else if (unexplained++ < TOLD && answer.refused === undefined) console.log(await explain(fuzzed))
}
