/** `statistics`: packets by state, by reason, by protocol; the counters of `conntrack -S`. */
import { statisticsText } from '../format/statistics.js'
import { runTracker, type Run } from './run.js'

export async function statistics(run: Run): Promise<void> {
  await runTracker(run, {
    end(tracker) {
      const counts = tracker.statistics()
      run.output.write(run.invocation.json ? JSON.stringify(counts) + '\n' : statisticsText(counts))
    },
  })
}
