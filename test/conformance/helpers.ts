/**
 * `npm run conformance:helpers`: what helpers find in the public captures of their protocols, as a table in Markdown.
 *
 * Each capture is tracked as when Linux's answers to it were recorded: the same helpers, settings and times. A row is
 * the same as Linux where every packet is: state, direction, dropped or not, timeout and the TCP window. Which
 * connections have a helper and what was announced is what the tracker says; of that the recordings hold no more than
 * that packets are RELATED. Frames that are no IP, or cut short, were not shown to Linux and are not tracked.
 *
 * Exits 1 where something differs, 2 where there is nothing to compare with.
 */
import { createTracker, type Verdict } from 'conntrack-wasm'
import { readFrames, type Frame } from '../support/frames.js'
import { captureRecording, captureUrl, helpedCaptures, sharedIsThere, type GoldenPacket } from '../support/golden.js'
import { describePacket, isIcmp } from '../support/packet.js'
import { replay } from '../support/replay.js'

/** Counts by name. */
type Counts = Map<string, number>

/** What was found in a capture, or in several. */
interface Found {
  readonly frames: number
  /** Of them, those that the recording kernel was shown. */
  readonly packets: number
  /** By helper. */
  readonly helped: Counts
  /** By helper and class of expectations. */
  readonly announced: Counts
  /** Connections that were opened as announced. */
  readonly opened: number
  readonly related: number
  readonly kernelsRelated: number
  readonly icmpRelated: number
  readonly dropped: number
  readonly invalid: number
  /** Packets that differ from what Linux said of them. */
  readonly differing: number
  /** Of them, those that are RELATED here or there alone. */
  readonly differingRelated: number
}

const COLUMNS: readonly (readonly [title: string, cell: (found: Found) => string | number])[] = [
  ['packets', ({ frames, packets }) => frames === packets ? packets : `${packets} of ${frames}`],
  ['connections with a helper', ({ helped }) => countsText(helped)],
  ['announced', ({ announced }) => countsText(announced)],
  ['opened as announced', ({ opened }) => opened],
  ['packets RELATED', ({ related }) => related],
  ['with Linux', ({ kernelsRelated }) => kernelsRelated],
  ['of these ICMP errors', ({ icmpRelated }) => icmpRelated],
  ['dropped by a helper', ({ dropped }) => dropped],
  ['INVALID', ({ invalid }) => invalid],
  ['same as Linux', sameText],
]

async function look(name: string): Promise<Found> {
  const frames = await readFrames(captureUrl(name).pathname)
  const [helped, announced]: Counts[] = [new Map(), new Map()]
  const seen: (readonly [Verdict, GoldenPacket, Frame])[] = []
  const listening: typeof createTracker = options => {
    const tracker = createTracker(options)
    tracker.on('new', ({ connection: { helper } }) => helper !== null && count(helped, helper))
    tracker.on('expectation-new', ({ expectation: { helper, className } }) =>
      count(announced, className === '' ? helper : `${helper}/${className}`))
    return tracker
  }
  const { findings } = replay(listening, captureRecording(name), frames, (...packet) => seen.push(packet))
  const related = seen.filter(([verdict]) => verdict.state === 'RELATED')
  const errors = related.filter(([, , frame]) => isIcmp(describePacket(frame.packet!).protocol))
  const expected = related.filter(packet => !errors.includes(packet))
  return {
    frames: frames.length, packets: seen.length, helped, announced, related: related.length, icmpRelated: errors.length,
    opened: new Set(expected.map(([{ connection }]) => connection)).size,
    kernelsRelated: seen.filter(([, golden]) => isRelated(golden)).length,
    dropped: seen.filter(([verdict]) => verdict.dropped).length,
    invalid: seen.filter(([verdict]) => verdict.state === 'INVALID').length,
    differing: findings.length,
    differingRelated: seen.filter(([{ state }, golden]) => (state === 'RELATED') !== isRelated(golden)).length,
  }
}

function isRelated({ verdict }: GoldenPacket): boolean {
  return verdict === 'related'
}

function sum(all: readonly Found[]): Found {
  const total = (field: keyof Found) => all.reduce((so, found) => so + Number(found[field]), 0)
  const merged = (field: 'helped' | 'announced') => {
    const counts: Counts = new Map()
    for (const found of all) for (const [name, n] of found[field]) count(counts, name, n)
    return counts
  }
  return {
    frames: total('frames'), packets: total('packets'), helped: merged('helped'), announced: merged('announced'),
    opened: total('opened'), related: total('related'), kernelsRelated: total('kernelsRelated'),
    icmpRelated: total('icmpRelated'), dropped: total('dropped'), invalid: total('invalid'),
    differing: total('differing'), differingRelated: total('differingRelated'),
  }
}

function count(counts: Counts, name: string, n = 1): void {
  counts.set(name, (counts.get(name) ?? 0) + n)
}

function countsText(counts: Counts): string {
  return [...counts].sort(([a], [b]) => a < b ? -1 : 1).map(([name, n]) => `${name} ${n}`).join(', ') || '0'
}

function sameText({ packets, differing, differingRelated }: Found): string {
  if (differing === 0 && differingRelated === 0) return `all ${packets}`
  return `${packets - differing} of ${packets} (RELATED: ${differingRelated} differ)`
}

function line(cells: readonly (string | number)[]): string {
  return `| ${cells.join(' | ')} |\n`
}

if (!sharedIsThere) {
  process.stderr.write('../shared is not there: no captures to look into\n')
  process.exit(2)
}
process.stdout.write(line(['capture', ...COLUMNS.map(([title]) => title)]))
process.stdout.write(line(['---', ...COLUMNS.map(([, cell]) => cell === sameText ? '---' : '---:')]))
const all: Found[] = []
for (const name of helpedCaptures()) {
  const found = await look(name)
  all.push(found)
  process.stdout.write(line([name, ...COLUMNS.map(([, cell]) => cell(found))]))
}
const total = sum(all)
process.stdout.write(line([`${all.length} captures`, ...COLUMNS.map(([, cell]) => cell(total))]))
if (total.differing > 0 || total.differingRelated > 0) process.exit(1)
