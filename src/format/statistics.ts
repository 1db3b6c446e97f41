/** `statistics` for people. In: the SDK's counters. Out: text. */
import { PROTOCOL_NAMES } from './packet.js'
import { countersLine } from './conntrack.js'
import type { Statistics } from '../types.js'

/** The whole report, every line ended by a line feed. */
export function statisticsText(statistics: Statistics): string {
  const protocols = Object.entries(statistics.protocols)
    .map(([number, count]) => [protocolLabel(Number(number)), count] as const)
  return [
    `packets ${statistics.packets}`,
    ...section('by state', Object.entries(statistics.states)),
    ...section('by reason', Object.entries(statistics.reasons)),
    ...section('by protocol', protocols),
    `entries ${statistics.entries} of ${statistics.maxConnections}`,
    countersLine(statistics.counters),
  ].join('\n') + '\n'
}

function protocolLabel(number: number): string {
  const name = PROTOCOL_NAMES[number]
  return name === String(number) ? name : `${name} (${number})`
}

/** A heading and its counts, largest first; nothing where there are none. */
function section(title: string, counts: readonly (readonly [string, number])[]): string[] {
  const rows = counts.filter(([, count]) => count > 0).sort((a, b) => b[1] - a[1])
  if (rows.length === 0) return []
  const nameWidth = Math.max(...rows.map(([name]) => name.length))
  const countWidth = Math.max(...rows.map(([, count]) => String(count).length))
  return [title, ...rows.map(([name, count]) => `  ${name.padEnd(nameWidth)}  ${String(count).padStart(countWidth)}`)]
}
