/**
 * `npm run bench:rules`: nanoseconds a packet with 10, 100 and 1,000 rules around the tracker, beside the tracker alone. Packets
 * are of 200 established TCP connections, forwarded; `judge` and `track` take one at a time, `judgeBatch` and `trackBatch`
 * all of them.
 *
 * No rule fits, so that every packet has to get past all of them to the policy. `any` rules are of four kinds in turn: addresses,
 * ports, a state with a port, multiport. `blind` rules ask for what the sieve of rules knows nothing of (marks, lengths, an
 * address that it must not have), so that each is tested. `ESTABLISHED first` is what people run: the first rule
 * lets the packet pass.
 */
import { createTracker, packetBatch, type PacketBatch } from 'conntrack-wasm'
import { createFirewall, parseRules, type Decision } from 'conntrack-wasm/rules'
import { conversation, exchange, handshake } from 'conntrack-wasm/testing'
import { parseArgs } from 'node:util'
import { quartiles } from './statistics.js'

const { values: options } = parseArgs({ options: { quick: { type: 'boolean' }, json: { type: 'boolean' } } })
const ROUNDS = options.quick ? 15 : 121
const WARM_UP = 20
const CONNECTIONS = 200
/** Times that the packets are taken in a sample: a millisecond at least, which the clock of CPU time can tell. */
const PASSES = 4
const START = 1_700_000_000_000_000_000n

type Kind = (i: number) => string

const ANY: readonly Kind[] = [
  i => `-s 10.${i >> 8 & 255}.${i & 255}.0/24 -j DROP`,
  i => `-p tcp -m tcp --dport ${10_000 + i} -j DROP`,
  i => `-p tcp -m conntrack --ctstate NEW -m tcp --dport ${20_000 + i} -j ACCEPT`,
  i => `-p tcp -m multiport --dports ${30_000 + i},${40_000 + i} -j ACCEPT`,
]
const BLIND: readonly Kind[] = [
  i => `-m mark --mark ${i + 1} -j DROP`,
  i => `-m length --length ${20_000 + i} -j DROP`,
  () => '! -s 192.0.0.0/2 -j DROP',
]
const ESTABLISHED_FIRST = '-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT'

function ruleset(count: number, kinds: readonly Kind[], first: readonly string[] = []): string {
  const rules = [...first, ...Array.from({ length: count - first.length }, (_, i) => kinds[i % kinds.length](i))]
  return `*filter\n:FORWARD ACCEPT [0:0]\n${rules.map(rule => `-A FORWARD ${rule}\n`).join('')}COMMIT\n`
}

const talks = Array.from({ length: CONNECTIONS }, (_, i) => conversation(`client:${20_000 + i} > server:80`))
const opening = talks.flatMap(talk => handshake(talk)).map(({ bytes }) => bytes)
const data = talks.flatMap(talk => exchange(talk, 'x'.repeat(100), 'y'.repeat(100))).map(({ bytes }) => bytes)

function batchOf(packets: readonly Uint8Array[]): PacketBatch {
  return packetBatch(packets.map(data => ({ data, time: START })))
}

const batch = batchOf(data)

/** Takes all the packets, a millisecond after the last time. */
interface Contestant {
  readonly name: string
  /** Whose time it is set beside. */
  readonly alone: string
  readonly rules: number
  readonly take: (round: number) => void
  readonly samples: number[]
}

/** Sums up what it is given, so that no result is for nothing. */
let sum = 0

function one(take: (bytes: Uint8Array, time: bigint) => { readonly packet: number }): Contestant['take'] {
  for (const bytes of opening) take(bytes, START)
  return round => {
    const time = START + BigInt(round) * 1_000_000n
    for (const bytes of data) sum += take(bytes, time).packet
  }
}

function many(track: (packets: PacketBatch) => unknown): Contestant['take'] {
  track(batchOf(opening))
  return round => {
    batch.nanoseconds.fill(round * 1_000_000)
    track(batch)
  }
}

const NO_RULES = '*filter\nCOMMIT\n'
const RULESETS: readonly (readonly [string, number, string])[] = [
  ['no rules', 0, NO_RULES],
  ...[10, 100, 1000].map(count => [`${count} rules`, count, ruleset(count, ANY)] as const),
  ['1000 rules, ESTABLISHED first', 0, ruleset(1000, ANY, [ESTABLISHED_FIRST])],
  ...[100, 1000].map(count => [`${count} blind rules`, count, ruleset(count, BLIND)] as const),
]

function contestants(): Contestant[] {
  const tracker = () => createTracker({ hashSeed: 1, batchSize: data.length })
  const firewall = (text: string) => createFirewall(parseRules(text), { tracker: { hashSeed: 1 } })
  const [single, batched] = [tracker(), tracker()]
  return [
    { name: 'track', alone: 'track', rules: 0, take: one((bytes, time) => single.track(bytes, { time })), samples: [] },
    ...RULESETS.map(([name, rules, text]): Contestant => {
      const machine = firewall(text)
      return { name: `judge, ${name}`, alone: 'track', rules, take: one((bytes, time) => machine.judge(bytes, { time })), samples: [] }
    }),
    { name: 'trackBatch', alone: 'trackBatch', rules: 0, take: many(packets => batched.trackBatch(packets)), samples: [] },
    ...RULESETS.map(([name, rules, text]): Contestant => {
      const machine = firewall(text)
      const decide = (packets: PacketBatch) => machine.judgeBatch(packets).forEach(({ packet }: Decision) => { sum += packet })
      return { name: `judgeBatch, ${name}`, alone: 'trackBatch', rules, take: many(decide), samples: [] }
    }),
  ]
}

/** Nanoseconds of CPU time: what others do with the core meanwhile is not counted. */
function clock(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) * 1000
}

const all = contestants()
for (let round = 0; round < WARM_UP + ROUNDS; round++) {
  for (let i = 0; i < all.length; i++) {
    const { take, samples } = all[(i + round) % all.length]
    const start = clock()
    for (let pass = 1; pass <= PASSES; pass++) take(round * PASSES + pass)
    if (round >= WARM_UP) samples.push((clock() - start) / (data.length * PASSES))
  }
}
if (!(sum > 0)) throw new Error('no packet was judged')

const byName = new Map(all.map(each => [each.name, each]))
const rows = all.map(({ name, alone, rules, samples }) => {
  const beside = byName.get(alone)!.samples
  const bare = byName.get(`${name.split(',')[0]}, no rules`)?.samples
  return {
    name, time: quartiles(samples), more: quartiles(samples.map((time, i) => time - beside[i])),
    rule: rules === 0 || bare === undefined ? null : quartiles(samples.map((time, i) => (time - bare[i]) / rules)),
  }
})
if (options.json) console.log(JSON.stringify({ rounds: ROUNDS, packets: data.length * PASSES, rows }))
else {
  console.log('| | ns a packet (25th to 75th percentile) | over the tracker alone | a rule that does not fit |\n|---|--:|--:|--:|')
  for (const { name, time, more, rule } of rows) {
    console.log(`| ${name} | ${time.p50.toFixed(0)} (${time.p25.toFixed(0)}–${time.p75.toFixed(0)}) | ${more.p50.toFixed(0)} | ${rule === null ? '' : rule.p50.toFixed(2)} |`)
  }
}
