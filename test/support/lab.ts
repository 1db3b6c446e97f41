/** Captures of the lab network: what the tracker says of each frame against the state that the kernel gave it. */
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import type { createTracker as CreateTracker } from 'conntrack-wasm'
import type { Frame } from './frames.js'
import { describePacket, isIcmp, type PacketDescription } from './packet.js'

const GRE = 47

/** State and direction of a frame, `-` for none. */
export interface FrameState {
  readonly state: string
  readonly direction: string
}

/** The recorded states of a capture's frames. */
export function readStates(url: URL): FrameState[] {
  const bytes = readFileSync(url)
  const text = (url.pathname.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString()
  const rows = text.trimEnd().split('\n').slice(1).filter(line => !line.startsWith('#'))
  return rows.map(line => {
    const [, , state, direction] = line.split('\t')
    return { state, direction }
  })
}

/**
 * Tracks a capture and compares. `left` counts frames that need parts which are not built yet.
 *
 * @param unchecked the kernel did not look at transport checksums
 */
export function compareStates(
  createTracker: typeof CreateTracker, frames: readonly Frame[], states: readonly FrameState[], unchecked: boolean,
): { compared: number; left: number; differences: string[] } {
  const tracker = createTracker({ sysctl: { checksum: unchecked ? 0 : 1 } })
  const needing = whatNeedsMore(frames, states)
  const differences: string[] = []
  let compared = 0
  let left = 0
  if (frames.length !== states.length) differences.push(`${frames.length} packets read, ${states.length} recorded`)
  frames.forEach(({ bytes, time, linkType, wireLength, packet }, i) => {
    const verdict = tracker.track(bytes, { time, linkType, originalLength: wireLength })
    const { state, direction } = states[i]
    if (state === '-') return
    const described = packet && describePacket(packet)
    if (!described || needing.has(hosts(described)) || needing.has(connection(described))) {
      left++
      return
    }
    compared++
    const ours = `${verdict.state} ${verdict.direction ?? '-'}`
    if (ours !== `${state} ${direction}`) differences.push(`packet ${i + 1}: ${ours} (${verdict.reason}), kernel ${state} ${direction}`)
  })
  return { compared, left, differences }
}

/** Connections that a helper announced; hosts, where it was GRE. */
function whatNeedsMore(frames: readonly Frame[], states: readonly { state: string }[]): Set<string> {
  const needing = new Set<string>()
  frames.forEach(({ packet }, i) => {
    if (!packet) return
    const described = describePacket(packet)
    if (states[i].state === 'RELATED' && !isIcmp(described.protocol)) {
      // What PPTP announces is GRE in both directions, with two call ids.
      needing.add(described.protocol === GRE ? hosts(described) : connection(described))
    }
  })
  return needing
}

function hosts({ protocol, src, dst }: PacketDescription): string {
  return [protocol, ...[src, dst].sort()].join()
}

function connection({ protocol, src, dst, ports }: PacketDescription): string {
  return [protocol, ...[`${src} ${ports[0]}`, `${dst} ${ports[1]}`].sort()].join()
}

