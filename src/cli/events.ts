/** `events`: what happened to connections, as `conntrack -E` prints it, in the order and time of the capture. */
import { eventLine } from '../format/conntrack.js'
import { eventJson } from '../format/json.js'
import type { ConnectionEvent } from '../types.js'
import { outputFlags } from './labels.js'
import { runTracker, type Run } from './run.js'

export async function events(run: Run): Promise<void> {
  const { output, invocation: { json, output: words }, notice } = run
  const flags = outputFlags(words, notice)
  const write = (event: ConnectionEvent) => output.write((json ? eventJson(event) : eventLine(event, flags)) + '\n')
  await runTracker(run, {
    start(tracker) {
      for (const kind of ['new', 'update', 'destroy'] as const) tracker.on(kind, write)
    },
  })
}
