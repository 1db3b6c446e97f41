/** `classify`: one line a packet, the verdict. */
import { ClassifyLines } from '../format/ndjson.js'
import { createTable } from '../format/table.js'
import { runTracker, type Run } from './run.js'

export async function classify(run: Run): Promise<void> {
  await (run.invocation.json ? classifyJson(run) : classifyTable(run))
}

async function classifyJson(run: Run): Promise<void> {
  const { output, invocation: { detail } } = run
  const lines = new ClassifyLines()
  await runTracker(run, {
    batch(batch, verdicts, firstPacket, tracker) {
      const entry = detail ? (index: number) => tracker.entry(index) : undefined
      output.writeBytes(lines.lines(batch, verdicts, firstPacket, entry))
    },
  })
}

async function classifyTable(run: Run): Promise<void> {
  const table = createTable(run.colour)
  await runTracker(run, {
    batch(batch, verdicts, firstPacket) {
      // Not before: where there is nothing to read, there is nothing to head.
      if (firstPacket === 1) run.output.write(table.header())
      run.output.write(table.lines(batch, verdicts, firstPacket))
    },
  })
}
