/**
 * Every scenario of the oracle, with the helpers that it names: the tracker is fed the packets at the
 * recorded times and must agree with the kernel on each: verdict, direction, state, ASSURED, timeout, counters and every
 * window variable.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { createTracker, type Tracker } from 'conntrack-wasm'
import { afterAll, describe, expect, test } from 'vitest'
import { EventComparison } from '../support/compare-events.js'
import { differences, entryOf, isAskable } from '../support/compare.js'
import { readRecording, SHARED, sharedIsThere, type GoldenPacket } from '../support/golden.js'
import { helpersOf } from '../support/helpers.js'
import { matchOf, settingsOf, zoneOf } from '../support/replay.js'
import { Tally } from '../support/tally.js'

interface Scenario {
  readonly packets: readonly (string | { readonly sysctl?: Readonly<Record<string, number>> })[]
}

const tally = new Tally('scenarios')

describe.runIf(sharedIsThere)('scenarios of the oracle', () => {
  const names = sharedIsThere
    ? readdirSync(new URL('oracle/golden/', SHARED)).map(name => name.replace('.jsonl', ''))
    : []
  for (const name of names) {
    test(name, () => {
      const result = play(name)
      tally.add(name, result.packets, result.differences.length)
      expect(result.differences).toEqual([])
    })
  }
  afterAll(() => tally.print())
})

if (!sharedIsThere) test.skip('../shared is not there: scenarios are not compared (skipped)', () => {})

function play(name: string): { packets: number; differences: string[] } {
  const recording = readRecording(new URL(`oracle/golden/${name}.jsonl`, SHARED))
  const scenario = JSON.parse(readFileSync(new URL(`oracle/scenarios/${name}.json`, SHARED), 'utf8')) as Scenario
  const tracker = createTracker({
    sysctl: { ...settingsOf(recording), acct: 1 },
    notrack: recording.options.notrack.map(matchOf),
    drop: recording.options.drops.map(matchOf),
    helpers: helpersOf(recording.options.helpers),
    zone: recording.options.zones.map(zoneOf),
  })
  const events = new EventComparison(tracker)
  const found: string[] = []
  let next = 0
  for (const item of scenario.packets) {
    if (typeof item === 'object' && item.sysctl) {
      for (const [key, value] of Object.entries(item.sysctl)) tracker.setSysctl(key, Number(value))
      continue
    }
    if (typeof item === 'string' && /^\+[\d.]+$/.test(item)) continue
    // A line may make several fragments.
    do found.push(...compare(tracker, events, recording.packets[next]))
    while (!isLastPiece(recording.packets[next++]))
  }
  if (next !== recording.packets.length) found.push(`${recording.packets.length - next} packets of the recording were not fed`)
  return { packets: next, differences: found }
}

function compare(tracker: Tracker, events: EventComparison, golden: GoldenPacket): string[] {
  const bytes = Uint8Array.from(Buffer.from(golden.hex!, 'hex'))
  const verdict = tracker.track(bytes, { time: BigInt(golden.ts) })
  const askable = isAskable(golden, bytes)
  const entry = verdict.connection !== null ? tracker.entry(0) : askable ? entryOf(tracker, bytes) : null
  const found = [...differences(golden, verdict, entry, askable), ...events.since(golden.events)]
  return found.map(difference => `packet ${golden.index}: ${difference}`)
}

function isLastPiece({ piece = '1/1' }: GoldenPacket): boolean {
  const [number, of] = piece.split('/')
  return number === of
}
