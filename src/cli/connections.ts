/** `connections`: the table at the end of the capture, as `conntrack -L` prints it. */
import { connectionLine } from '../format/conntrack.js'
import { runTracker, type Run } from './run.js'

export async function connections(run: Run): Promise<void> {
  const { output, invocation: { json, filter, output: flags } } = run
  await runTracker(run, {
    async end(tracker) {
      let shown = 0
      for (const connection of tracker.connections()) {
        if (!filter(connection)) continue
        output.write((json ? JSON.stringify(connection) : connectionLine(connection, flags)) + '\n')
        shown++
        if (output.full) await output.flush()
      }
      // The one message that `conntrack` itself gives, with this program's name.
      return `${shown} flow entries have been shown.`
    },
  })
}
