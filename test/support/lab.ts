/** Captures of the lab network: what the tracker says of each frame against the state that the kernel gave it. */
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import type { createTracker as CreateTracker, Helper, Tracker } from 'conntrack-wasm'
import { expectationEventLine } from 'conntrack-wasm/format'
import type { Frame } from './frames.js'

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

/** What the kernel told of expectations, one line each as the tool prints it, without their times. */
export function readExpectations(url: URL): string[] {
  return readFileSync(url, 'utf8').trimEnd().split('\n').map(line => line.replace(/^\S+ /, ''))
}

/** What a tracker tells of expectations from now on, likewise. */
export function expectationLines(tracker: Tracker): string[] {
  const lines: string[] = []
  for (const kind of ['expectation-new', 'expectation-destroy'] as const) {
    tracker.on(kind, event => lines.push(expectationEventLine(event, {}).trim()))
  }
  return lines
}

/**
 * Where two lists of such lines differ. The seconds left of one that ends may be one more with the kernel: it counts
 * ticks, of which none may have passed between the announcement and its end.
 */
export function compareExpectations(ours: readonly string[], kernels: readonly string[]): string[] {
  const withoutSeconds = (line = '') => line.replace(/^(\[DESTROY\]) \d+/, '$1')
  const seconds = (line = '') => Number(/^\[\w+\] (\d+)/.exec(line)?.[1] ?? 0)
  return Array.from({ length: Math.max(ours.length, kernels.length) }, (_, i) => i)
    .filter(i => withoutSeconds(ours[i]) !== withoutSeconds(kernels[i]) || ![0, 1].includes(seconds(kernels[i]) - seconds(ours[i])))
    .map(i => `expectation event ${i + 1}: ${ours[i] ?? 'none'}, kernel ${kernels[i] ?? 'none'}`)
}

/**
 * Tracks a capture and compares. `left` counts frames that hold no IP packet, and those whose announcement was not captured.
 *
 * @param unchecked the kernel did not look at transport checksums
 */
export function compareStates(
  createTracker: typeof CreateTracker, frames: readonly Frame[], states: readonly FrameState[], unchecked: boolean,
  helpers: readonly Helper[] = [],
): { compared: number; left: number; differences: string[]; expectations: string[]; isCut: boolean } {
  const tracker = createTracker({ sysctl: { checksum: unchecked ? 0 : 1 }, helpers })
  const expectations = expectationLines(tracker)
  const isCut = frames.some(({ bytes, wireLength }) => bytes.length < wireLength)
  const differences: string[] = []
  let compared = 0
  let left = 0
  if (frames.length !== states.length) differences.push(`${frames.length} packets read, ${states.length} recorded`)
  frames.forEach(({ bytes, time, linkType, wireLength, packet }, i) => {
    const verdict = tracker.track(bytes, { time, linkType, originalLength: wireLength })
    const { state, direction } = states[i]
    if (state === '-') return
    if (!packet) {
      left++
      return
    }
    // What announced it may be in the part that the capture has not.
    if (isCut && state === 'RELATED' && verdict.state === 'NEW') {
      left++
      return
    }
    compared++
    const ours = `${verdict.state} ${verdict.direction ?? '-'}`
    if (ours !== `${state} ${direction}`) differences.push(`packet ${i + 1}: ${ours} (${verdict.reason}), kernel ${state} ${direction}`)
  })
  return { compared, left, differences, expectations, isCut }
}
