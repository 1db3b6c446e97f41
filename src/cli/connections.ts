/**
 * `connections`: the table at the end of the capture, as `conntrack -L` or /proc/net/nf_conntrack has it, or what helpers
 * still expect then, as `conntrack -L expect` or /proc/net/nf_conntrack_expect has it.
 */
import { ConnectionLines } from '../format/connection-lines.js'
import { connectionLine, countChildren } from '../format/conntrack.js'
import { expectationLine, expectationProcLine } from '../format/expectation.js'
import { expectationJson } from '../format/json.js'
import { procLine } from '../format/proc.js'
import type { Connection, Expectation } from '../types.js'
import { outputFlags } from './labels.js'
import { runTracker, type CommandTracker, type Run } from './run.js'

export async function connections(run: Run): Promise<void> {
  const list = run.invocation.expectations ? listExpectations : listConnections
  await runTracker(run, { end: (tracker, _packets, time) => list(run, tracker, time) })
}

/** Returns the one message that `conntrack` itself gives, with this program's name. */
async function listConnections(run: Run, tracker: CommandTracker, now: bigint): Promise<string> {
  const { output, invocation: { filter, json } } = run
  if (json) return listAsJson(run, tracker)
  const lineOf = connectionLines(run, tracker, now)
  let shown = 0
  for (const connection of tracker.connections()) {
    if (!filter(connection)) continue
    output.write(lineOf(connection) + '\n')
    shown++
    if (output.full) await output.flush()
  }
  return shownText(shown)
}

async function listAsJson({ output, invocation: { filter } }: Run, tracker: CommandTracker): Promise<string> {
  const lines = new ConnectionLines()
  let shown = 0
  for (const connection of tracker.connections()) {
    if (!filter(connection)) continue
    lines.add(connection)
    shown++
    if (!lines.full) continue
    output.writeBytes(lines.take())
    await output.flush()
  }
  output.writeBytes(lines.take())
  await output.flush()
  return shownText(shown)
}

const shownText = (entries: number) => `${entries} flow entries have been shown.`

function connectionLines(run: Run, tracker: CommandTracker, now: bigint): (connection: Connection) => string {
  const { invocation: { format, output: words, tracker: options }, notice } = run
  const children = options.helpers?.length ? countChildren(tracker.connections()) : new Map<number, number>()
  if (format === 'proc') {
    const timeouts = { greTimeout: tracker.sysctl('gre_timeout'), greTimeoutStream: tracker.sysctl('gre_timeout_stream') }
    return connection => procLine(connection, { now, ...timeouts, children: children.get(connection.id) })
  }
  const flags = outputFlags(words, notice)
  return connection => connectionLine(connection, flags, now, children.get(connection.id))
}

async function listExpectations(run: Run, tracker: CommandTracker, now: bigint): Promise<string> {
  const lineOf = expectationLines(run, now)
  const expectations = tracker.expectations()
  for (const expectation of expectations) run.output.write(lineOf(expectation) + '\n')
  return `${expectations.length} expectations have been shown.`
}

function expectationLines({ invocation: { json, format, output: words } }: Run, now: bigint): (expectation: Expectation) => string {
  if (json) return expectationJson
  return format === 'proc' ? expectationProcLine : expectation => expectationLine(expectation, { timestamp: words.timestamp }, now)
}
