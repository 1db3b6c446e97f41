/**
 * `classify` for people: one packet a line in columns.
 *
 * Columns grow to the widest value seen and never shrink, so lines stay aligned while a live capture runs.
 */
import type { PacketBatch } from '../batch.js'
import { DIRECTIONS, REASONS, sctpStateName, STATES, tcpStateName, type State } from '../names.js'
import type { VerdictBatch } from '../types.js'
import {
  destinationText, KIND_ICMP, KIND_PORTS, PROTOCOL_KINDS, PROTOCOL_NAMES, read16, sourceText, transportStart,
} from './packet.js'
import { nanosecondsText, toNanoseconds } from './time.js'

/** A table being written: `lines` is called for one batch after the other. */
export interface ClassifyTable {
  /** The columns' names, ended by a line feed. */
  header(): string
  /** The lines of a batch; arguments as for `classifyLines`. */
  lines(batch: PacketBatch, verdicts: VerdictBatch, firstPacketNumber: number): string
}

interface Column {
  readonly title: string
  readonly right: boolean
  readonly width: number
}

const COLUMNS: readonly Column[] = [
  { title: 'packet', right: true, width: 6 },
  { title: 'time', right: true, width: 10 },
  { title: 'state', right: false, width: 11 },
  { title: 'direction', right: false, width: 9 },
  { title: 'protocol', right: false, width: 8 },
  { title: 'packet from > to', right: false, width: 42 },
  { title: 'tcp state', right: false, width: 11 },
  { title: 'timeout', right: true, width: 7 },
  { title: 'reason', right: false, width: 0 },
]
const STATE_COLUMN = 2

/** SGR colour numbers of the states; what a rule would let through is green, what it would stop is red. */
const COLOURS: Readonly<Record<State, number>> = {
  NEW: 36, ESTABLISHED: 32, RELATED: 34, INVALID: 31, UNTRACKED: 33,
}

/**
 * @param colour write the states in colour, the header in bold
 */
export function createTable(colour: boolean): ClassifyTable {
  const widths = COLUMNS.map(column => Math.max(column.width, column.title.length))
  let start: bigint | null = null
  return {
    header() {
      const line = row(COLUMNS.map(column => column.title), widths)
      return colour ? `\x1b[1m${line}\x1b[0m\n` : `${line}\n`
    },
    lines(batch, verdicts, firstPacketNumber) {
      if (batch.count > 0) start ??= toNanoseconds(batch.seconds[0], batch.nanoseconds[0])
      const rows: string[][] = []
      for (let i = 0; i < batch.count; i++) rows.push(cells(batch, verdicts, i, firstPacketNumber + i, start ?? 0n))
      for (const cell of rows) widen(widths, cell)
      return rows.map((texts, i) => row(texts, widths, colour ? STATES[verdicts.state[i]] : null) + '\n').join('')
    },
  }
}

function cells(batch: PacketBatch, verdicts: VerdictBatch, i: number, packet: number, start: bigint): string[] {
  const hasEntry = verdicts.connection[i] !== 0
  const protocolState = verdicts.protocolState[i]
  return [
    String(packet),
    relative(toNanoseconds(batch.seconds[i], batch.nanoseconds[i]) - start),
    STATES[verdicts.state[i]] ?? '-',
    DIRECTIONS[verdicts.direction[i]] ?? '-',
    verdicts.family[i] === 0 ? '-' : PROTOCOL_NAMES[verdicts.protocol[i]],
    endpoints(batch, verdicts, i),
    (hasEntry ? tcpStateName(protocolState) ?? sctpStateName(protocolState) : null) ?? '-',
    hasEntry ? String(Math.floor(verdicts.timeoutNs[i] / 1e9)) : '-',
    REASONS[verdicts.reason[i]] ?? '',
  ]
}

/** Six places are what people read; the rest is in `--json`. */
function relative(time: bigint): string {
  return nanosecondsText(time).slice(0, -3)
}

function endpoints(batch: PacketBatch, verdicts: VerdictBatch, i: number): string {
  const src = sourceText(batch, verdicts, i)
  const dst = destinationText(batch, verdicts, i)
  if (src === null || dst === null) return '-'
  const kind = PROTOCOL_KINDS[verdicts.protocol[i]]
  const at = kind === KIND_PORTS ? transportStart(batch, verdicts, i, 4) : transportStart(batch, verdicts, i, 2)
  if (kind === KIND_PORTS && at >= 0) {
    return `${withPort(src, read16(batch.data, at))} > ${withPort(dst, read16(batch.data, at + 2))}`
  }
  const icmp = kind === KIND_ICMP && at >= 0 ? ` type ${batch.data[at]} code ${batch.data[at + 1]}` : ''
  return `${src} > ${dst}${icmp}`
}

function withPort(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

function widen(widths: number[], texts: readonly string[]): void {
  for (let i = 0; i < widths.length; i++) widths[i] = Math.max(widths[i], texts[i].length)
}

/** One line without its line feed; nothing is padded at its end. */
function row(texts: readonly string[], widths: readonly number[], state: State | null = null): string {
  const padded = texts.map((text, i) => COLUMNS[i].right ? text.padStart(widths[i]) : text.padEnd(widths[i]))
  // Colour is put around the padded text: escape sequences have no width.
  if (state !== null) padded[STATE_COLUMN] = `\x1b[${COLOURS[state]}m${padded[STATE_COLUMN]}\x1b[0m`
  return padded.join('  ').trimEnd()
}
