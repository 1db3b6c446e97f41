/**
 * A progress bar on standard error, for people who wait: only on a terminal, only after the work has taken a while,
 * and gone without a trace when it ends. The command line may look at the clock; the library never does.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import type { PacketBatch } from '../batch.js'

const FIRST_AFTER_MS = 1000
const EVERY_MS = 100
const BAR_WIDTH = 30
/** Bytes of a record's header in a pcap file; pcapng's are a little larger. */
const RECORD_HEADER = 16
const ERASE_LINE = '\r\x1b[K'

/** What is known of the capture before it is read. */
export interface CaptureFile {
  /** A file on disk, not a pipe or a terminal: nothing is waiting for the next packet. */
  readonly regular: boolean
  /** Bytes of it that packets fill; 0 where that cannot be known (pipes, compressed files). */
  readonly size: number
}

/** Where a bar is drawn, a part of `tty.WriteStream`. */
export interface ProgressStream {
  write(text: string): unknown
}

/** Looks at a path or `-`. A file that cannot be opened is reported by whoever reads it. */
export function captureFile(path: string): CaptureFile {
  try {
    return path === '-' ? fileOf(0) : withOpen(path, fileOf)
  } catch {
    return { regular: false, size: 0 }
  }
}

function withOpen<T>(path: string, use: (descriptor: number) => T): T {
  const descriptor = openSync(path, 'r')
  try {
    return use(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

function fileOf(descriptor: number): CaptureFile {
  const stat = fstatSync(descriptor)
  if (!stat.isFile()) return { regular: false, size: 0 }
  const magic = new Uint8Array(2)
  // Read at a stated place, standard input keeps its own.
  readSync(descriptor, magic, 0, 2, 0)
  const gzip = magic[0] === 0x1f && magic[1] === 0x8b
  return { regular: true, size: gzip ? 0 : stat.size }
}

export class Progress {
  #packets = 0
  #bytes = 0
  #drawnAt: number
  #visible = false

  /**
   * @param stream where to draw, `null` for nowhere
   * @param size bytes of the capture, 0 if unknown
   * @param now milliseconds of a clock
   */
  constructor(readonly stream: ProgressStream | null, readonly size: number, readonly now: () => number) {
    this.#drawnAt = now() + FIRST_AFTER_MS - EVERY_MS
  }

  /** A batch has been processed. */
  add(batch: PacketBatch): void {
    if (this.stream === null) return
    this.#packets += batch.count
    for (let i = 0; i < batch.count; i++) this.#bytes += batch.length[i] + RECORD_HEADER
    const now = this.now()
    if (now - this.#drawnAt < EVERY_MS) return
    this.#drawnAt = now
    this.#visible = true
    this.stream.write(ERASE_LINE + progressLine(this.#packets, this.#bytes, this.size))
  }

  /** Takes the bar away. */
  end(): void {
    if (this.#visible) this.stream?.write(ERASE_LINE)
    this.#visible = false
  }
}

/** The bar as text; without a size only the count. */
export function progressLine(packets: number, bytes: number, size: number): string {
  const count = `${packets} packets`
  if (size === 0) return count
  // The sum leaves out what formats put around packets, so it may stop short of the size but never passes it.
  const share = Math.min(bytes / size, 1)
  const filled = Math.round(share * BAR_WIDTH)
  const percent = String(Math.floor(share * 100)).padStart(3)
  return `[${'#'.repeat(filled)}${'.'.repeat(BAR_WIDTH - filled)}] ${percent}%  ${count}`
}
