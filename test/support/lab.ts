/** Captures of the lab network: what the tracker says of each frame against the state that the kernel gave it. */
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import type { createTracker as CreateTracker, Helper, Tracker, Verdict } from 'conntrack-wasm'
import { expectationEventLine } from 'conntrack-wasm/format'
import { differencesInBatches, type TimedPacket } from './batched.js'
import { TICK_MS } from './compare.js'
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

/** What a tracker told of an expectation. */
export interface ToldExpectation {
  /** As the tool prints it, without its time. */
  readonly line: string
  readonly timeoutMs: number
}

/**
 * What the kernel told of expectations, one line each as the tool prints it. Left out are the times in front: when the
 * tool read the event, and without the zeros at the beginning of the microseconds.
 */
export function readExpectations(url: URL): string[] {
  return readFileSync(url, 'utf8').trimEnd().split('\n').map(line => line.replace(/^\S+ /, ''))
}

/** What a tracker tells of expectations from now on. */
function toldExpectations(tracker: Tracker): ToldExpectation[] {
  const told: ToldExpectation[] = []
  for (const kind of ['expectation-new', 'expectation-destroy'] as const) {
    tracker.on(kind, event => told.push({
      line: expectationEventLine(event, {}).trim(), timeoutMs: event.expectation.timeoutMs,
    }))
  }
  return told
}

/**
 * Where the two tell different things, event by event in their order: every word of the kernel's lines counts. It
 * counts the seconds left in ticks: of an expectation that ends it may have counted one more or less than have passed.
 */
export function compareExpectations(ours: readonly ToldExpectation[], kernels: readonly string[]): string[] {
  return Array.from({ length: Math.max(ours.length, kernels.length) }, (_, i) => i)
    .filter(i => !isSameEvent(ours[i], kernels[i]))
    .map(i => `expectation event ${i + 1}: ${ours[i]?.line ?? 'none'}, kernel ${kernels[i] ?? 'none'}`)
}

function isSameEvent(ours: ToldExpectation | undefined, kernels: string | undefined): boolean {
  if (ours === undefined || kernels === undefined) return false
  const within = [-TICK_MS, 0, TICK_MS].map(ms => String(Math.floor((ours.timeoutMs + ms) / 1000)))
  const seconds = /^\[DESTROY\] (\d+) /.exec(kernels)?.[1]
  const line = seconds !== undefined && within.includes(seconds)
    ? ours.line.replace(/^(\[DESTROY\]) \d+ /, `$1 ${seconds} `) : ours.line
  return line === kernels
}

export interface LabAgreement {
  readonly compared: number
  /** Of these, the packets that the kernel found RELATED. */
  readonly related: number
  readonly left: number
  readonly differences: readonly string[]
  readonly expectations: readonly ToldExpectation[]
  /** The capture has only the beginning of some packets. */
  readonly isCut: boolean
}

/**
 * Tracks a capture and compares. `left` counts frames that hold no IP packet, and those whose announcement was not
 * captured.
 *
 * @param unchecked the kernel did not look at transport checksums
 */
export function compareStates(
  createTracker: typeof CreateTracker, frames: readonly Frame[], states: readonly FrameState[], unchecked: boolean,
  helpers: readonly Helper[] = [],
): LabAgreement {
  const make = () => createTracker({ sysctl: { checksum: unchecked ? 0 : 1 }, helpers, hashSeed: 1 })
  const tracker = make()
  const packets: TimedPacket[] = []
  const verdicts: Verdict[] = []
  const expectations = toldExpectations(tracker)
  const isCut = frames.some(({ bytes, wireLength }) => bytes.length < wireLength)
  const differences: string[] = []
  let compared = 0
  let related = 0
  let left = 0
  if (frames.length !== states.length) differences.push(`${frames.length} packets read, ${states.length} recorded`)
  frames.forEach(({ bytes, time, linkType, wireLength, packet }, i) => {
    const verdict = tracker.track(bytes, { time, linkType, originalLength: wireLength })
    packets.push({ data: bytes, time, linkType, originalLength: wireLength })
    verdicts.push(verdict)
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
    if (state === 'RELATED') related++
    const ours = `${verdict.state} ${verdict.direction ?? '-'}`
    const kernels = `${state} ${direction}`
    if (ours !== kernels) differences.push(`packet ${i + 1}: ${ours} (${verdict.reason}), kernel ${kernels}`)
  })
  differences.push(...differencesInBatches(packets, verdicts, tracker, make()))
  return { compared, related, left, differences, expectations, isCut }
}
