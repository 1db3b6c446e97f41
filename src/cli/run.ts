/**
 * What every command does: read the capture, track it batch by batch, and say at the end what a reader of the results
 * should know. In: an invocation and its surroundings. Out: calls of the command's own functions.
 */
import type { PacketBatch } from '../batch.js'
import { ConntrackError } from '../errors.js'
import type { CaptureOptions } from '../capture/reader.js'
import { toNanoseconds } from '../format/time.js'
import type { ConnectionListener, ExpectationListener, Tracker, TrackerOptions } from '../index.js'
import { REASONS } from '../names.js'
import type { ConnectionEventKind, ExpectationEventKind, VerdictBatch } from '../types.js'
import { InputError, UsageError } from './errors.js'
import { isLinkTypeRead, linkTypeNotices } from './notices.js'
import type { Invocation } from './options.js'
import type { Output } from './output.js'
import type { Progress } from './progress.js'

/** The part of a tracker that commands use. */
export type CommandTracker = Pick<
  Tracker, 'trackBatch' | 'connections' | 'expectations' | 'entry' | 'statistics' | 'advance' | 'explain' | 'sysctl' | 'close' | 'expire' | 'withCore'
> & {
  on(kind: ConnectionEventKind, listener: ConnectionListener): () => void
  on(kind: ExpectationEventKind, listener: ExpectationListener): () => void
}

/** What the command line takes from the rest of the package, so that tests can put something else in its place. */
export interface Sdk {
  readonly createTracker: (options?: TrackerOptions) => CommandTracker
  readonly readCapture: (pathOrDash: string, options: CaptureOptions, regular: boolean) => AsyncIterable<PacketBatch>
}

/** Packets in a batch: what a batch costs is a nanosecond a packet then, and its bytes are still in the processor's cache. */
export const CLI_BATCH = 1024

/** Everything a command works with. */
export interface Run {
  readonly sdk: Sdk
  readonly invocation: Invocation
  readonly output: Output
  readonly progress: Progress
  /** The capture is a file on disk, not a pipe or a terminal. */
  readonly regular: boolean
  /** Write what there is after every batch: somebody is watching. */
  readonly live: boolean
  readonly colour: boolean
  /** A line on standard error. */
  readonly notice: (text: string) => void
}

/** What a command does with the packets; all of it may be left out. */
export interface Work {
  /** The tracker has been made; no packet has been read. */
  readonly start?: (tracker: CommandTracker) => void
  /** A batch has been tracked; `false` stops reading. */
  readonly batch?: (
    batch: PacketBatch, verdicts: VerdictBatch, firstPacket: number, tracker: CommandTracker,
  ) => boolean | void
  /**
   * All that could be read has been tracked. `packets`: how many; `time`: of the last one, nanoseconds since 1970. The
   * answer is a last line for standard error.
   */
  readonly end?: (tracker: CommandTracker, packets: number, time: bigint) => Promise<string | void> | string | void
}

const NOT_IP = REASONS.indexOf('not-ip')

/**
 * Tracks the capture. A capture that is damaged somewhere still gets to `work.end` with what was before; the
 * `InputError` is thrown after that.
 */
export async function runTracker(run: Run, work: Work): Promise<void> {
  const tracker = newTracker(run)
  try {
    work.start?.(tracker)
    const { packets, time, unread, failure } = await trackCapture(run, work, tracker)
    run.progress.end()
    const closing = await work.end?.(tracker, packets, time)
    await run.output.flush()
    if (typeof closing === 'string') run.notice(closing)
    if (run.invocation.command !== 'explain') giveNotices(run, tracker, unread)
    if (failure !== null) throw failure
  } finally {
    run.progress.end()
    tracker.close()
  }
}

/** The tracker; what it does not like about its options was on the command line. */
function newTracker({ sdk, invocation }: Run): CommandTracker {
  try {
    return sdk.createTracker({ ...invocation.tracker, batchSize: CLI_BATCH })
  } catch (error) {
    throw error instanceof ConntrackError ? new UsageError(error.message) : error
  }
}

interface Tracked {
  readonly packets: number
  /** Of the last packet; 0 without any. */
  readonly time: bigint
  /** Packets of link types that are not read, by number. */
  readonly unread: ReadonlyMap<number, number>
  readonly failure: InputError | null
}

async function trackCapture(run: Run, work: Work, tracker: CommandTracker): Promise<Tracked> {
  const unread = new Map<number, number>()
  const read = await readPackets(run, (batch, firstPacket) => {
    const verdicts = tracker.trackBatch(batch)
    countUnread(batch, verdicts, unread)
    return work.batch?.(batch, verdicts, firstPacket, tracker)
  })
  // Entries whose time was up before the capture ended are not in the table at its end.
  if (read.packets > 0 && !read.stopped) tracker.advance(read.time)
  return { ...read, unread }
}

/**
 * Reads the capture batch by batch, with progress and output as they should be.
 *
 * @param take is given each batch and the number of its first packet; `false` stops reading
 */
export async function readPackets(
  run: Run, take: (batch: PacketBatch, firstPacket: number) => boolean | void,
): Promise<Omit<Tracked, 'unread'> & { readonly stopped: boolean }> {
  let packets = 0
  let time = 0n
  let failure: InputError | null = null
  try {
    for await (const batch of readable(run.sdk.readCapture(run.invocation.capture, { batchSize: CLI_BATCH }, run.regular))) {
      if (batch.count === 0) continue
      const goOn = take(batch, packets + 1)
      packets += batch.count
      time = toNanoseconds(batch.seconds[batch.count - 1], batch.nanoseconds[batch.count - 1])
      run.progress.add(batch)
      if (run.live || run.output.full) await run.output.flush()
      if (goOn === false) return { packets, time, failure, stopped: true }
    }
  } catch (error) {
    if (!(error instanceof InputError)) throw error
    failure = error
  }
  return { packets, time, failure, stopped: false }
}

/** The batches; an error of the reader comes out as `InputError`, one of the loop's body is left alone. */
async function* readable(batches: AsyncIterable<PacketBatch>): AsyncGenerator<PacketBatch> {
  try {
    yield* batches
  } catch (error) {
    throw inputError(error)
  }
}

function inputError(error: unknown): unknown {
  if (error instanceof ConntrackError) {
    const place = error.offset === undefined || error.message.includes(String(error.offset))
      ? '' : ` (at byte ${error.offset})`
    return new InputError(error.message + place)
  }
  // A file that is not there or may not be read: errors of the system have a code.
  return error instanceof Error && 'code' in error && 'syscall' in error ? new InputError(error.message) : error
}

function countUnread(batch: PacketBatch, verdicts: VerdictBatch, unread: Map<number, number>): void {
  for (let i = 0; i < batch.count; i++) {
    if (verdicts.reason[i] !== NOT_IP || isLinkTypeRead(batch.linkType[i])) continue
    unread.set(batch.linkType[i], (unread.get(batch.linkType[i]) ?? 0) + 1)
  }
}

function giveNotices(run: Run, tracker: CommandTracker, unread: ReadonlyMap<number, number>): void {
  noticeOffloaded(tracker, run.notice)
  for (const text of linkTypeNotices(unread)) run.notice(text)
}

/** Says how many checksums nobody has looked at. */
export function noticeOffloaded(tracker: Pick<Tracker, 'statistics'>, notice: Run['notice']): void {
  const offloaded = tracker.statistics().offloadedChecksums
  if (offloaded === 0) return
  notice(`checksums of ${offloaded === 1 ? '1 packet' : `${offloaded} packets`} had been left to the capturing host's`
    + ' network card and were taken as right; --checksum verify looks at them')
}
