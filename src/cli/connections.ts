/** `connections`: the table at the end of the capture, as `conntrack -L` or /proc/net/nf_conntrack has it. */
import { connectionLine } from '../format/conntrack.js'
import { connectionJson } from '../format/json.js'
import { procLine } from '../format/proc.js'
import type { Connection } from '../types.js'
import { outputFlags } from './labels.js'
import { runTracker, type CommandTracker, type Run } from './run.js'

export async function connections(run: Run): Promise<void> {
  const { output, invocation: { filter } } = run
  const lineOf = lineMaker(run)
  await runTracker(run, {
    async end(tracker, _packets, time) {
      let shown = 0
      for (const connection of tracker.connections()) {
        if (!filter(connection)) continue
        output.write(lineOf(connection, tracker, time) + '\n')
        shown++
        if (output.full) await output.flush()
      }
      // The one message that `conntrack` itself gives, with this program's name.
      return `${shown} flow entries have been shown.`
    },
  })
}

type LineMaker = (connection: Connection, tracker: CommandTracker, now: bigint) => string

function lineMaker({ invocation: { json, format, output: words }, notice }: Run): LineMaker {
  if (json) return connectionJson
  if (format === 'proc') {
    return (connection, tracker, now) => procLine(connection, {
      now, greTimeout: tracker.sysctl('gre_timeout'), greTimeoutStream: tracker.sysctl('gre_timeout_stream'),
    })
  }
  const flags = outputFlags(words, notice)
  return (connection, _tracker, now) => connectionLine(connection, flags, now)
}
