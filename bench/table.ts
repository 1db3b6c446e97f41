/** `npm run bench:table`: the table under a SYN flood, and the longest call at a million entries. */
import { flood, type FloodTracker } from './flood.js'
import { pauses, type PausesTracker } from './pauses.js'
import { machine } from './report.js'
import { quartiles } from './statistics.js'
import { parseArgs } from 'node:util'

const { values } = parseArgs({ options: { quick: { type: 'boolean' }, json: { type: 'boolean' } } })
const quick = values.quick ?? false

interface Package {
  createTracker(options: object): FloodTracker & PausesTracker
}

const { createTracker } = (await import(new URL('../../dist/index.js', import.meta.url).href)) as Package

function floodReport() {
  const started = process.memoryUsage().rss
  const { underFlood, inPeace, ...result } = flood(createTracker({ maxConnections: 65_536 }), 10_000, quick ? 1e6 : 1e7)
  return {
    ...result, rssGrowthMiB: (process.memoryUsage().rss - started) / 2 ** 20,
    underFlood: quartiles(underFlood), inPeace: quartiles(inPeace),
  }
}

const report = {
  machine: machine(), quick,
  flood: floodReport(),
  pauses: pauses(
    () => createTracker({ maxConnections: 2 ** 21 }), 1_000_000, quick ? 4_000 : 12_000, quick ? 2 : 5),
}

function text(): string {
  const { flood: f, pauses: p } = report
  const ns = ({ p25, p50, p75 }: typeof f.underFlood) => `${p50.toFixed(0)} ns a packet (${p25.toFixed(0)}–${p75.toFixed(0)})`
  return [
    `SYN flood: ${f.floodPackets.toLocaleString('en')} SYNs and ${f.livePackets.toLocaleString('en')} packets of 10,000 connections,`
      + ' a table of 65,536',
    `  connections kept ${f.kept.toLocaleString('en')}, evicted ${f.earlyDrops.toLocaleString('en')}, turned away`
      + ` ${f.turnedAway.toLocaleString('en')}; counters added up at every batch`,
    `  under flood ${ns(f.underFlood)}, live traffic alone ${ns(f.inPeace)}, ×${(f.underFlood.p50 / f.inPeace.p50).toFixed(2)}`,
    `Longest call: ${p.entries.toLocaleString('en')} entries, ${p.expired.toLocaleString('en')} expired, ${p.batches} batches of 256`,
    `  median ${p.median.toFixed(1)} µs, longest in each repetition ${p.longest.map(time => time.toFixed(0)).join(', ')} µs`,
    `  longest, disturbances of the machine taken out: ${p.longestOfShortest.toFixed(1)} µs, ×${(p.longestOfShortest / p.median).toFixed(2)}`,
  ].join('\n')
}

console.log(values.json ? JSON.stringify(report) : text())
