/**
 * `npm run bench`: nanoseconds a packet, of the built package, of C and of the same work in plain JavaScript, then whole
 * capture files. What rows and lines are is told in README.md.
 */
import { parseArgs } from 'node:util'
import { costs, peerBytesPerConnection } from './costs.js'
import { measureFiles } from './files.js'
import { load, type Loaded } from './load.js'
import { measure, type Row } from './measure.js'
import { machine, text, type MeasuredRow, type Report } from './report.js'
import { rows } from './rows.js'

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false }, json: { type: 'boolean' }, row: { type: 'string' },
      files: { type: 'boolean' },
    },
  })
  const { quick, row, files } = values
  const loaded = await load()
  const chosen = files ? [] : rows(quick).filter(({ name }) => row === undefined || name.startsWith(row))
  const report = await run(loaded, chosen, quick, row === undefined)
  console.log(values.json ? JSON.stringify(report) : text(report))
}

async function run(loaded: Loaded, chosen: readonly Row[], quick: boolean, withFiles: boolean): Promise<Report> {
  // First what is slower in a process that has done much: compiling and creating.
  const own = costs(loaded.sdk)
  const measured: MeasuredRow[] = []
  for (const row of chosen) {
    console.error(`${row.name} ...`)
    measured.push({ name: row.name, candidates: await measure(loaded, row) })
  }
  return {
    machine: machine(loaded.native?.compiler ?? null), quick, rows: measured, package: own,
    peerBytesPerConnection: chosen.length > 0 ? peerBytesPerConnection() : null,
    files: withFiles ? await measureFiles(loaded, quick) : null,
  }
}

await main()
