/** Batches where workers cannot look at the same memory: each is sent a copy, and sends back its own packets' verdicts. */
import type { PacketBatch } from '../batch.js'
import { VERDICT_COLUMNS, type Piece } from '../border.js'
import type { VerdictBatch } from '../types.js'
import type { Member } from './member.js'
import { COLUMNS } from './place.js'
import { batchIn, verdictsIn, type TrackedCopy } from './protocol.js'
import { emptyVerdicts } from './verdicts.js'

export async function trackApart(
  batch: PacketBatch, piece: Piece, members: readonly Member[], into: VerdictBatch | null,
): Promise<VerdictBatch> {
  const count = piece.to - piece.from
  const answers = members.map(member => sendCopy(member, batch, piece))
  const verdicts = into ?? emptyVerdicts(count)
  for (const { buffer, count: own } of await Promise.all(answers)) scatter(verdictsIn(own, buffer), verdicts, into ? piece.from : 0)
  return verdicts
}

function sendCopy(member: Member, batch: PacketBatch, { from, to, low, high }: Piece): Promise<TrackedCopy> {
  const [count, bytes] = [to - from, high - low]
  const copy = batchIn(count, bytes)
  copy.data.set(batch.data.subarray(low, high))
  for (const name of COLUMNS) copy[name].set(batch[name].subarray(from, to))
  for (let i = 0; i < count; i++) copy.offset[i] -= low
  const buffer = copy.data.buffer as ArrayBuffer
  return member.ask(id => ({ kind: 'trackCopy', id, buffer, count, bytes }), [buffer]) as Promise<TrackedCopy>
}

/** Brings verdicts to the rows that they are of, `from` rows further on. */
function scatter(part: VerdictBatch & { readonly rows: Uint32Array }, verdicts: VerdictBatch, from: number): void {
  const { rows } = part
  for (const name of VERDICT_COLUMNS) {
    const [source, target] = [part[name], verdicts[name]]
    for (let i = 0; i < rows.length; i++) target[from + rows[i]] = source[i]
  }
}
