/** What the project wants to reach, next to what was measured. */
import { CORE } from './candidates.js'
import type { Report } from './report.js'
import { IPV6_ROW } from './rows.js'

export interface Target {
  readonly name: string
  readonly unit: string
  readonly limit: number
  /** The limit is the most; else the least. */
  readonly most: boolean
  readonly value: number
  readonly met: boolean
}

/** Those of which something was measured. */
export function targets(report: Report): Target[] {
  return [...ofRows(report), ...ofFiles(report), ...ofCosts(report)]
}

function atMost(name: string, limit: number, value: number, unit: string): Target {
  return { name, unit, limit, most: true, value, met: value <= limit }
}

function atLeast(name: string, limit: number, value: number, unit: string): Target {
  return { name, unit, limit, most: false, value, met: value >= limit }
}

function ofRows({ rows }: Report): Target[] {
  const found: Target[] = []
  for (const row of rows) {
    const named = (start: string, version: number) => row.candidates.find((candidate) => {
      return candidate.name.startsWith(start) && candidate.version === version
    })
    if (row.name === IPV6_ROW) {
      found.push(atMost('IPv6 to IPv4, core', 1.15, named(CORE, 6)?.ratio ?? NaN, '×'))
      continue
    }
    found.push(atMost(`trackBatch to the core, ${row.name}`, 1.5, named('trackBatch', 4)?.ratio ?? NaN, '×'))
    const single = named('track,', 4)
    if (row.name === '1,000' && single) found.push(atMost('track, 1,000', 250, single.latency.p50, 'ns'))
  }
  return found
}

function ofFiles({ files }: Report): Target[] {
  if (!files) return []
  return files.programs.flatMap((program) => {
    const { name, toCore, lines, seconds, peakBytes, peakBytesOfQuarter } = program
    if (!name.startsWith('conntrack-wasm')) return []
    const command = name.slice('conntrack-wasm '.length)
    return [
      ...(name.endsWith('statistics') ? [atMost('statistics to the core', 1.5, toCore, '×')] : []),
      ...(name.includes('classify') ? [atLeast('NDJSON lines of classify', 1e6, lines / seconds.p50, 'a second')] : []),
      // The memory of a table grows with its connections.
      name.includes('connections')
        ? atLeast(`lines of ${command}`, 1e6, lines / seconds.p50, 'a second')
        : atMost(`memory for four times the file, ${command}`, 1.1, peakBytes / peakBytesOfQuarter, '×'),
    ]
  })
}

function ofCosts({ package: costs }: Report): Target[] {
  return [
    atMost('memory a connection, index included', 150, costs.bytesPerConnection, 'bytes'),
    atMost('creating a default tracker', 2, costs.createMs, 'ms'),
    atMost('compiling the core', 3, costs.compileMs, 'ms'),
    atMost('core, gzipped', 25, costs.coreGzipBytes / 1000, 'KB'),
    atMost('main entry, gzipped', 45, costs.entryGzipBytes / 1000, 'KB'),
  ]
}
