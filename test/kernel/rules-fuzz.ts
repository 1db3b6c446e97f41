/**
 * `npm run fuzz:rules:kernel`: random rulesets and packets through the kernel's iptables and through the built package; counters
 * of every rule and policy are compared, and of each difference the first packet that shows it is told.
 *
 *     npm run fuzz:rules:kernel -- --seed 7 --rulesets 500 --packets 200
 *
 * `--only N` runs one of them, `--without WORD` leaves out rules that have it, `--show` prints the rulesets that differ. Exits 1 where the two differ, 2 where the kernel cannot be asked.
 */
import { parseArgs } from 'node:util'
import { createFirewall, parseRules } from 'conntrack-wasm/rules'
import { PacketGenerator } from '../support/generator.js'
import { minimise } from '../support/reduce.js'
import { Random } from '../support/random.js'
import { randomRuleset } from '../support/rules-generator.js'
import { askLab, compareCounters, ourCounters, savedCounters, whatLabMisses, type LabAnswer, type LabCase } from '../support/rules-lab.js'

const INTERFACES = {
  eth0: ['10.0.0.1/32', '10.0.0.254/32', '2001:db8:a::/48', '2001:db8:f::/48'],
  eth1: ['10.0.0.2/32', '10.0.0.3/32', '2001:db8:b::/48', '2001:db8:c::/48'],
}
const LOCAL = { 4: '10.0.0.3', 6: '2001:db8:c::3' } as const
const CHUNK = 25
const START = 1_700_000_000_000_000_000n

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' }, rulesets: { type: 'string', default: '100' }, packets: { type: 'string', default: '200' },
    tool: { type: 'string', default: 'legacy' }, only: { type: 'string' }, without: { type: 'string' }, show: { type: "boolean" }, explain: { type: "boolean" },
  },
})

interface Fuzzed {
  readonly number: number
  readonly given: LabCase
  readonly bytes: readonly Uint8Array[]
}

function make(number: number): Fuzzed {
  const random = new Random(Number(values.seed) * 100_003 + number)
  const family = random.chance(3) ? 6 : 4
  const { without } = values
  const rules = randomRuleset(random, family).split('\n').filter(line => without === undefined || !line.includes(without)).join('\n')
  const local = random.chance(2) ? [] : [LOCAL[family]]
  const bytes = randomPackets(random, family, local.length > 0)
  const interfaces = Object.fromEntries(Object.entries(INTERFACES).map(([name, prefixes]) =>
    [name, prefixes.filter(prefix => prefix.includes(':') === (family === 6) && !(local.length > 0 && prefix.startsWith('10.0.0.3')))]))
  const ticking = /limit/.test(rules)
  const packets = bytes.map((packet, i) => ({
    bytes: Buffer.from(packet).toString('hex'), way: wayOf(packet, local.length > 0), in: comesBy(packet), at: i,
    ...(ticking ? { ticks: random.pick([0, 0, 0, 1, 1, 2]) } : {}),
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

function judge({ given, bytes }: Fuzzed, times: readonly number[]): Map<string, string> {
  const { family, local, interfaces } = given
  const firewall = createFirewall(parseRules(given.rules, { family }), { local, interfaces, tracker: { hashSeed: 1 } })
  bytes.forEach((packet, i) => { firewall.judge(packet, { time: START + BigInt(times[i]) }) })
  const counters = ourCounters(firewall, family)
  firewall.close()
  return counters
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

function compare(fuzzed: Fuzzed, answer: LabAnswer): string[] {
  if (answer.refused !== undefined) return [`refused: ${answer.refused}`]
  return compareCounters(savedCounters(answer.saved), judge(fuzzed, answer.times))
}

const missing = whatLabMisses()
if (missing !== null) {
  console.error(`fuzz:rules:kernel needs ${missing}`)
  process.exit(2)
}
const numbers = values.only === undefined ? Array.from({ length: Number(values.rulesets) }, (_, i) => i) : [Number(values.only)]
let differing = 0
let told = 0
for (let at = 0; at < numbers.length; at += CHUNK) {
  const cases = numbers.slice(at, at + CHUNK).map(make)
  const answers = askLab(cases.map(({ given }) => given))
  for (const [i, answer] of answers.entries()) {
    const differences = compare(cases[i], answer)
    if (differences.length === 0) continue
    differing++
    console.log(`ruleset ${cases[i].number} (IPv${cases[i].given.family}): ${differences.length} counters differ`)
    if (values.show) console.log(cases[i].given.rules)
    if (values.explain && told++ < 6) console.log(answer.refused === undefined ? await explain(cases[i]) : differences[0])
  }
}
console.log(`${numbers.length} rulesets of ${values.packets} packets: ${differing} differ`)
process.exitCode = differing > 0 ? 1 : 0
