/** The benchmark's answer in words. */
import { cpus, release, type as osName } from 'node:os'
import type { Costs } from './costs.js'
import type { Measured } from './measure.js'

export interface Report {
  readonly machine: Machine
  readonly quick: boolean
  readonly rows: readonly { readonly name: string; readonly candidates: readonly Measured[] }[]
  /** Null where the package was not built. */
  readonly package: Costs | null
  readonly peerBytesPerConnection: { readonly typed: number; readonly map: number }
}

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly node: string
  readonly v8: string
  readonly system: string
}

export function machine(): Machine {
  const all = cpus()
  return {
    cpu: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    node: process.versions.node,
    v8: process.versions.v8,
    system: `${osName()} ${release()} ${process.arch}`,
  }
}

/** One Markdown table, and what a tracker costs before the first packet. */
export function text(report: Report): string {
  const { cpu, cores, node, system } = report.machine
  return [
    `${cpu}, ${cores} cores, ${system}, Node ${node}${report.quick ? ', quick run' : ''}`,
    '',
    'Nanoseconds a packet, from raw bytes to verdict: median (25th to 75th percentile), and the time relative to the',
    'best plain JavaScript with the same checksum setting.',
    '',
    ...table(report),
    '',
    ...beforeTheFirstPacket(report),
  ].join('\n')
}

function table(report: Report): string[] {
  const names = [...new Set(report.rows.flatMap((row) => row.candidates.map((candidate) => candidate.name)))]
  const head = ['', ...report.rows.map((row) => row.name)]
  const body = names.map((name) => [name, ...report.rows.map((row) => cell(row.candidates, name))])
  const widths = head.map((_, column) => Math.max(...[head, ...body].map((line) => line[column].length)))
  const line = (cells: readonly string[]) => `| ${cells.map((text, i) => pad(text, widths[i], i)).join(' | ')} |`
  const rule = `|${widths.map((width, i) => `${'-'.repeat(width + 1)}${i === 0 ? '-' : ':'}`).join('|')}|`
  return [line(head), rule, ...body.map(line)]
}

const pad = (text: string, width: number, column: number) => (column === 0 ? text.padEnd(width) : text.padStart(width))

function cell(all: readonly Measured[], name: string): string {
  const found = all.find((candidate) => candidate.name === name)
  if (!found) return '–'
  const { p25, p50, p75 } = found.latency
  return `${round(p50)} (${round(p25)}–${round(p75)}) ×${found.ratio.toFixed(2)}`
}

const round = (value: number) => value.toFixed(0)

function beforeTheFirstPacket(report: Report): string[] {
  const { typed, map } = report.peerBytesPerConnection
  const peers = `Memory a connection of the peers: typed arrays ${round(typed)} bytes, Map ${round(map)} bytes.`
  const costs = report.package
  if (!costs) return [peers]
  const mebibytes = (costs.memoryBytes / 2 ** 20).toFixed(1)
  const { compileMs } = costs
  return [
    compileMs === null ? '' : `Compiling the module (${costs.coreBytes} bytes): ${compileMs.toFixed(2)} ms.`,
    `Creating a tracker for ${costs.maxConnections} connections: ${costs.createMs.toFixed(2)} ms.`,
    `Its memory: ${mebibytes} MiB reserved, ${round(costs.bytesPerConnection)} bytes a connection.`,
    peers,
  ].filter((line) => line !== '')
}
