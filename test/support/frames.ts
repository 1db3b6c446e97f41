/** A capture's packets in memory, with the IP packet in each. */
import { ConntrackError, createTracker } from 'conntrack-wasm'
import { readCapture } from 'conntrack-wasm/node'

export interface Frame {
  readonly bytes: Uint8Array
  readonly time: bigint
  readonly linkType: number
  readonly wireLength: number
  /** The IP packet in it; `null` where there is none. */
  readonly packet: Uint8Array | null
}

/** All packets of a capture, up to where it is damaged. */
export async function readFrames(path: string): Promise<Frame[]> {
  const frames: Frame[] = []
  const reader = createTracker({ maxConnections: 1024 })
  try {
    for await (const batch of readCapture(path)) {
      const { family, networkOffset } = reader.trackBatch(batch)
      for (let i = 0; i < batch.count; i++) {
        const bytes = batch.data.slice(batch.offset[i], batch.offset[i] + batch.length[i])
        const packet = family[i] ? bytes.subarray(networkOffset[i]) : null
        const time = BigInt(batch.seconds[i]) * 1_000_000_000n + BigInt(batch.nanoseconds[i])
        frames.push({ bytes, time, packet, linkType: batch.linkType[i], wireLength: batch.originalLength[i] })
      }
    }
  } catch (error) {
    if (!(error instanceof ConntrackError)) throw error
  }
  return frames
}
