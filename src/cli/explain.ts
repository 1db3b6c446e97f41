/** `explain --packet N`: the story of one packet's verdict. */
import type { Explanation } from '../types.js'
import { UsageError } from './errors.js'
import { runTracker, type Run } from './run.js'

export async function explain(run: Run): Promise<void> {
  const { output, invocation: { json, packet } } = run
  let read = 0
  let found = false
  await runTracker(run, {
    batch(batch, _verdicts, firstPacket, tracker) {
      if (packet >= firstPacket + batch.count) return true
      const explanation = tracker.explain(packet)
      output.write(json ? JSON.stringify(explanation) + '\n' : explanationText(explanation))
      found = true
      return false
    },
    end(_tracker, packets) {
      read = packets
    },
  })
  if (!found) throw new UsageError(`there is no packet ${packet}: the capture has ${read}`)
}

/** The sentence that answers, then how it came to it. */
export function explanationText({ text, steps, setBy, sysctl }: Explanation): string {
  return [
    text,
    ...steps.map((step, i) => `  ${i + 1}. ${step}`),
    ...(setBy.length > 0 ? [`set by packet ${setBy.join(', ')}`] : []),
    ...(sysctl === null ? [] : [`sysctl that would change it: ${sysctl}`]),
  ].join('\n') + '\n'
}
