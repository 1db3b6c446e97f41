/** What the benchmark uses of the package, which it loads as users get it: built. */
import type { PacketBatch } from '../src/batch.js'
import type { Helper } from '../src/helpers/helper.js'
import type { Statistics, Verdict, VerdictBatch } from '../src/types.js'

export interface Tracker {
  trackBatch(batch: PacketBatch): VerdictBatch
  track(bytes: Uint8Array, options: { readonly time: bigint; readonly linkType: 'ethernet' }): Verdict
  statistics(): Statistics
  close(): void
}

export interface Sdk {
  createTracker(options: {
    readonly maxConnections: number
    readonly checksum?: 'verify' | 'ignore'
    readonly hashSeed?: bigint
    readonly batchSize?: number
    readonly helpers?: readonly Helper[]
    readonly sysctl?: Readonly<Record<string, number>>
  }): Tracker
}

/** `url` is that of the built main entry. */
export async function loadSdk(url: URL): Promise<Sdk> {
  return (await import(url.href)) as Sdk
}
