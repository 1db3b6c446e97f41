/** The benchmark's answer in words. */
import { cpus, release, totalmem, type as osName } from 'node:os'
import type { Costs } from './costs.js'
import { REST, type FilesReport } from './files.js'
import type { Measured } from './measure.js'
import { IPV6_ROW } from './rows.js'
import { targets } from './targets.js'

export interface Report {
  readonly machine: Machine
  readonly quick: boolean
  readonly rows: readonly MeasuredRow[]
  readonly package: Costs
  readonly peerBytesPerConnection: { readonly typed: number; readonly map: number } | null
  readonly files: FilesReport | null
}

export interface MeasuredRow {
  readonly name: string
  readonly candidates: readonly Measured[]
}

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryBytes: number
  readonly node: string
  readonly v8: string
  readonly system: string
  /** Of the lines in C; null where there is no gcc. */
  readonly compiler: string | null
}

export function machine(compiler: string | null = null): Machine {
  const all = cpus()
  return {
    cpu: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    memoryBytes: totalmem(),
    node: process.versions.node,
    v8: process.versions.v8,
    system: `${osName()} ${release()} ${process.arch}`,
    compiler,
  }
}

export function text(report: Report): string {
  const { cpu, cores, memoryBytes, node, system, compiler } = report.machine
  const memory = `${(memoryBytes / 2 ** 30).toFixed(0)} GiB`
  return [
    `${cpu}, ${cores} cores, ${memory}, ${system}, Node ${node}${report.quick ? ', quick run' : ''}`,
    compiler ? `C: ${compiler}` : 'There is no gcc here: the lines in C are left out.',
    ...(report.rows.length > 0 ? ['', ...rowsText(report)] : []),
    ...(report.files ? ['', ...filesText(report.files)] : []),
    '',
    ...beforeTheFirstPacket(report),
    '',
    ...targetsText(report),
  ].join('\n')
}

function rowsText(report: Report): string[] {
  const versions = report.rows.find((row) => row.name === IPV6_ROW)
  const others = report.rows.filter((row) => row !== versions)
  return [
    'Nanoseconds a packet, from raw bytes to verdict: median, ± half of the middle half\'s width, and × the time of the',
    'core alone with the same checksum setting. Columns: established connections with 66-byte packets at random; new',
    'connections that open and close; whole short lives; 1,000 connections with 1,460 bytes of data.',
    '',
    ...(others.length > 0 ? table(rowTable(others)) : []),
    ...(versions ? ['', ...versionsText(versions)] : []),
  ]
}

function rowTable(rows: readonly MeasuredRow[]): string[][] {
  const names = [...new Set(rows.flatMap((row) => row.candidates.map((candidate) => candidate.name)))]
  return [['', ...rows.map((row) => row.name)], ...names.map((name) => [name, ...rows.map((row) => cell(row, name))])]
}

function cell(row: MeasuredRow, name: string): string {
  const found = row.candidates.find((candidate) => candidate.name === name)
  if (!found) return '–'
  const { p25, p50, p75 } = found.latency
  return `${round(p50)} ±${round((p75 - p25) / 2)} ×${found.ratio.toFixed(2)}`
}

function versionsText({ candidates }: MeasuredRow): string[] {
  const lines = candidates.filter(({ version }) => version === 6).map(({ name, latency, ratio }) => {
    const ipv4 = candidates.find((other) => other.version === 4 && other.name === name)?.latency.p50 ?? NaN
    return [name, round(ipv4), round(latency.p50), `×${ratio.toFixed(2)}`]
  })
  return table([['100,000 connections', 'IPv4', 'IPv6', 'IPv6 to IPv4'], ...lines])
}

function filesText({ packets, bytes, core, programs, connections }: FilesReport): string[] {
  const head = [
    'whole process', 'seconds', 'ns a packet', 'to the core', 'a further one', 'to the core', 'lines/s', 'further lines/s', 'peak MiB',
    'a quarter',
  ]
  const lines = programs.map((program) => [
    program.name, program.seconds.p50.toFixed(2), round(program.nsPerPacket), `×${program.toCore.toFixed(2)}`,
    round(program.nsPerFurtherPacket), `×${(program.nsPerFurtherPacket / core.p50).toFixed(2)}`,
    program.lines ? count(program.lines / program.seconds.p50) : '–',
    program.lines ? count(program.lines * REST / program.secondsOfRest.p50) : '–',
    mebibytes(program.peakBytes), mebibytes(program.peakBytesOfQuarter),
  ])
  return [
    `A capture file of ${count(packets)} packets of short lives (${mebibytes(bytes)} MiB); the core alone takes`,
    `${round(core.p50)} ns a packet of it. Medians of ${programs[0].seconds.samples}; a further packet, or line, is what the file takes`,
    'more than a quarter of it: start and end are out. Peak memory with the file, and with a quarter of it. The file of',
    `\`connections\` is one of ${count(connections)} handshakes: there is a line for each at its end.`,
    '',
    ...table([head, ...lines]),
  ]
}

function beforeTheFirstPacket({ package: costs, peerBytesPerConnection: peers }: Report): string[] {
  const { compileMs, coreBytes, coreGzipBytes, entryGzipBytes, createMs, maxConnections, memoryBytes } = costs
  return [
    `Compiling the module (${count(coreBytes)} bytes, ${kilobytes(coreGzipBytes)} KB gzipped): ${compileMs.toFixed(2)} ms.`
      + ` Main entry: ${kilobytes(entryGzipBytes)} KB gzipped.`,
    `Creating a tracker for ${count(maxConnections)} connections: ${createMs.toFixed(2)} ms. Its memory:`
      + ` ${mebibytes(memoryBytes)} MiB reserved; each connection more ${round(costs.bytesPerConnection)} bytes, index included.`,
    ...(peers ? [`Memory a connection: typed arrays ${round(peers.typed)} bytes, Map ${round(peers.map)} bytes.`] : []),
  ]
}

function targetsText(report: Report): string[] {
  const lines = targets(report).map(({ name, unit, limit, most, value, met }) => [
    name, `${most ? '≤' : '≥'} ${count(limit)} ${unit}`, `${amount(value)} ${unit}`, met ? 'yes' : 'no',
  ])
  return table([['aim', 'limit', 'measured', 'met'], ...lines])
}

const round = (value: number) => value.toFixed(0)
const count = (value: number) => value.toLocaleString('en', { maximumFractionDigits: 2 })
const amount = (value: number) => (value < 100 ? value.toFixed(2) : count(Math.round(value)))
const mebibytes = (bytes: number) => (bytes / 2 ** 20).toFixed(0)
const kilobytes = (bytes: number) => (bytes / 1000).toFixed(1)

/** A Markdown table whose first line is the head; all columns but the first are set to the right. */
function table(lines: readonly (readonly string[])[]): string[] {
  const [head, ...body] = lines
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column].length)))
  const written = (cells: readonly string[]) => `| ${cells.map((text, i) => pad(text, widths[i], i)).join(' | ')} |`
  const rule = `|${widths.map((width, i) => `${'-'.repeat(width + 1)}${i === 0 ? '-' : ':'}`).join('|')}|`
  return [written(head), rule, ...body.map(written)]
}

const pad = (text: string, width: number, column: number) => (column === 0 ? text.padEnd(width) : text.padStart(width))
