/** `events`: what happened to connections, as `conntrack -E` prints it, in the order and time of the capture. */
import { eventLine } from '../format/conntrack.js'
import { expectationEventLine } from '../format/expectation.js'
import { eventJson, expectationEventJson } from '../format/json.js'
import { outputFlags } from './labels.js'
import { runTracker, type CommandTracker, type Run } from './run.js'

export async function events(run: Run): Promise<void> {
  const listen = run.invocation.expectations ? listenToExpectations : listenToConnections
  await runTracker(run, { start: tracker => listen(tracker, run) })
}

function listenToConnections(tracker: CommandTracker, { output, invocation: { json, output: words }, notice }: Run): void {
  const flags = outputFlags(words, notice)
  for (const kind of ['new', 'update', 'destroy'] as const) {
    tracker.on(kind, event => output.write((json ? eventJson(event) : eventLine(event, flags)) + '\n'))
  }
}

function listenToExpectations(tracker: CommandTracker, { output, invocation: { json, output: words } }: Run): void {
  for (const kind of ['expectation-new', 'expectation-destroy'] as const) {
    tracker.on(kind, event => output.write((json ? expectationEventJson(event) : expectationEventLine(event, { timestamp: words.timestamp })) + '\n'))
  }
}
