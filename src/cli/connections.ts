/**
 * `connections`: the table at the end of the capture, as `conntrack -L` or /proc/net/nf_conntrack has it, or what helpers
 * still expect then, as `conntrack -L expect` or /proc/net/nf_conntrack_expect has it.
 */
import { ConnectionLines, type LineWriter } from '../format/connection-lines.js'
import { connectionLine, countChildren, TOOL_STYLE } from '../format/conntrack.js'
import { expectationLine, expectationProcLine } from '../format/expectation.js'
import { connectionJson, expectationJson } from '../format/json.js'
import { PROC_STYLE, procLine } from '../format/proc.js'
import type { Expectation } from '../types.js'
import { outputFlags } from './labels.js'
import { runTracker, type CommandTracker, type Run } from './run.js'

export async function connections(run: Run): Promise<void> {
  const list = run.invocation.expectations ? listExpectations : listConnections
  await runTracker(run, { end: (tracker, _packets, time) => list(run, tracker, time) })
}

/** Returns the one message that `conntrack` itself gives, with this program's name. */
async function listConnections(run: Run, tracker: CommandTracker, now: bigint): Promise<string> {
  const { output, invocation: { filter } } = run
  const writer = lineWriter(run, tracker, now)
  tracker.expire()
  const { core, slots } = tracker.withCore(it => ({ core: it, slots: it.slots() }))
  const lines = new ConnectionLines(core.inside, writer)
  let shown = 0
  for (let i = 0; i < slots.length; i += 2) {
    if (filter !== null && !filter(core.connection(slots[i]))) continue
    lines.add(slots[i])
    shown++
    if (!lines.full) continue
    output.writeBytes(lines.take())
    await output.flush()
  }
  output.writeBytes(lines.take())
  await output.flush()
  return `${shown} flow entries have been shown.`
}

function lineWriter(run: Run, tracker: CommandTracker, now: bigint): LineWriter {
  const { invocation: { json, format, output: words, tracker: options }, notice } = run
  if (json) return { line: connectionJson }
  const apart = options.helpers?.length ? countChildren(tracker.connections()) : new Map<number, number>()
  if (format === 'proc') {
    const timeouts = { greTimeout: tracker.sysctl('gre_timeout'), greTimeoutStream: tracker.sysctl('gre_timeout_stream') }
    return { line: connection => procLine(connection, { now, ...timeouts, children: apart.get(connection.id) }), apart, ...PROC_STYLE }
  }
  const flags = outputFlags(words, notice)
  return { line: connection => connectionLine(connection, flags, now, apart.get(connection.id)), apart, ...TOOL_STYLE }
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
