/** `events`: what happened to connections, as `conntrack -E` prints it, in the order and time of the capture. */
import { eventJson, eventLine } from '../format/conntrack.js'
import type { ConnectionEvent } from '../types.js'
import { runTracker, type Run } from './run.js'

export async function events(run: Run): Promise<void> {
  const { output, invocation: { json, output: flags } } = run
  const write = (event: ConnectionEvent) => output.write((json ? eventJson(event) : eventLine(event, flags)) + '\n')
  await runTracker(run, {
    start(tracker) {
      for (const kind of ['new', 'update', 'destroy'] as const) tracker.on(kind, write)
    },
  })
}
