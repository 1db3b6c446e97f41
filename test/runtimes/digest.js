/**
 * What is run everywhere: a capture's verdicts, its connections and the counters, as text, and that text's SHA-256. Only
 * what every runtime has.
 */
import { createTracker } from 'conntrack-wasm'
import { readCapture } from 'conntrack-wasm/capture'
import { classifyLines, connectionJson } from 'conntrack-wasm/format'

export async function digest(capture) {
  const tracker = createTracker({ checksum: 'offload', sysctl: { acct: 1, timestamp: 1 } })
  let text = ''
  let packet = 1
  for await (const batch of readCapture(capture)) {
    text += classifyLines(batch, tracker.trackBatch(batch), packet)
    packet += batch.count
  }
  for (const connection of tracker.connections()) text += `${connectionJson(connection)}\n`
  text += `${JSON.stringify(tracker.statistics())}\n`
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))
  return { packets: packet - 1, sha256: Array.from(new Uint8Array(hash), byte => byte.toString(16).padStart(2, '0')).join('') }
}
