/**
 * `npm run bench:rules`: nanoseconds a packet with 10, 100 and 1,000 rules around the tracker, beside the tracker alone, packet
 * by packet too. Rounds of all are interleaved; medians. Packets are of 200 established TCP connections, forwarded.
 *
 * Rules are of four kinds in turn (addresses, ports, state, multiport); none fits, so that every packet walks them all to the
 * policy. `ESTABLISHED first` is what people run: the first rule lets the packet pass.
 */
import { createTracker } from 'conntrack-wasm'
import { createFirewall, parseRules } from 'conntrack-wasm/rules'
import { conversation, exchange, handshake } from 'conntrack-wasm/testing'
import { parseArgs } from 'node:util'

const { values } = parseArgs({ options: { quick: { type: 'boolean' } } })
const ROUNDS = values.quick ? 5 : 31
const CONNECTIONS = 200
const START = 1_700_000_000_000_000_000n

const KINDS = [
  (i: number) => `-s 10.${i >> 8 & 255}.${i & 255}.0/24 -j DROP`,
  (i: number) => `-p tcp -m tcp --dport ${10_000 + i} -j DROP`,
  (i: number) => `-p tcp -m conntrack --ctstate NEW -m tcp --dport ${20_000 + i} -j ACCEPT`,
  (i: number) => `-p tcp -m multiport --dports ${30_000 + i},${40_000 + i} -j ACCEPT`,
]

function ruleset(count: number, first: readonly string[] = []): string {
  const rules = [...first, ...Array.from({ length: count - first.length }, (_, i) => KINDS[i % KINDS.length](i))]
  return `*filter\n:FORWARD ACCEPT [0:0]\n${rules.map(rule => `-A FORWARD ${rule}\n`).join('')}COMMIT\n`
}

const talks = Array.from({ length: CONNECTIONS }, (_, i) => conversation(`client:${20_000 + i} > server:80`))
const opening = talks.flatMap(talk => handshake(talk)).map(({ bytes }) => bytes)
const data = talks.flatMap(talk => exchange(talk, 'x'.repeat(100), 'y'.repeat(100))).map(({ bytes }) => bytes)

/** Takes a packet at a time. */
type Take = (bytes: Uint8Array, time: bigint) => unknown

function contestants(): [string, Take][] {
  const tracker = createTracker({ hashSeed: 1 })
  const among = (text: string): Take => {
    const firewall = createFirewall(parseRules(text), { tracker: { hashSeed: 1 } })
    return (bytes, time) => firewall.judge(bytes, { time })
  }
  return [
    ['the tracker alone', (bytes, time) => tracker.track(bytes, { time })],
    ['no rules', among('*filter\nCOMMIT\n')],
    ...[10, 100, 1000].map(count => [`${count} rules`, among(ruleset(count))] as [string, Take]),
    ['1000 rules, ESTABLISHED first', among(ruleset(1000, ['-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT']))],
  ]
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]
}

const all = contestants().map(([name, take]) => ({ name, take, times: [] as number[] }))
for (const { take } of all) for (const bytes of opening) take(bytes, START)
for (let round = -2; round < ROUNDS; round++) {
  for (const { take, times } of all) {
    const time = START + BigInt(round + 3) * 1_000_000n
    const start = performance.now()
    for (const bytes of data) take(bytes, time)
    if (round >= 0) times.push((performance.now() - start) * 1e6 / data.length)
  }
}
const alone = median(all[0].times)
console.log('| | ns a packet | times the tracker alone |\n|---|---:|---:|')
for (const { name, times } of all) console.log(`| ${name} | ${median(times).toFixed(0)} | ×${(median(times) / alone).toFixed(2)} |`)
