import type { VerdictBatch } from '../types.js'

/** Verdicts that nobody else writes to. */
export function emptyVerdicts(count: number): VerdictBatch {
  const byte = () => new Uint8Array(count)
  const word = () => new Uint32Array(count)
  return {
    count, timeoutNs: new Float64Array(count), connection: word(), networkOffset: word(), transportOffset: word(), state: byte(),
    direction: byte(), reason: byte(), protocolState: byte(), flags: byte(), protocol: byte(), family: byte(),
  }
}
