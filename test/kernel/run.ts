/** One run: packets through the kernel and through the tracker, and where the two differ. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createTracker } from 'conntrack-wasm'
import type { Frame } from '../support/frames.js'
import type { GoldenPacket, Recording } from '../support/golden.js'
import { askKernel } from '../support/oracle.js'
import { rawCapture } from '../support/raw-capture.js'
import { ATTEMPTS, isAboutTimeouts, replay, type Finding } from '../support/replay.js'
import type { NamedSetting } from './settings.js'

/** A packet to send, before the pause or after it. */
export interface Sent {
  readonly bytes: Uint8Array
  readonly later: boolean
}

export interface Outcome {
  readonly findings: readonly Finding[]
  /** Packets compared: all, or those before the machine fell behind. */
  readonly compared: readonly GoldenPacket[]
  /** How often it was sent again because timeouts alone differed. */
  readonly repeated: number
}

/**
 * The kernel's clock ticks and the tracker's does not, so a packet that comes two seconds after another, give or take a
 * tick, may be on the other side of a limit (UDP's streams, the shortest timeouts). Within one part of a run no two
 * packets are that far apart; the pause is so long that what is two or three seconds is over behind it, and what is ten
 * is not.
 */
const PART_MS = 1900
const PAUSE_NS = 5_500_000_000n

/** Runs packets, more than once where only timeouts differ. The folder keeps `packets.pcap` and `kernel.jsonl`. */
export async function run(folder: string, setting: NamedSetting, packets: readonly Sent[]): Promise<Outcome> {
  const path = writeCapture(folder, packets)
  let outcome = await send(path, folder, setting, packets)
  for (let attempt = 1; attempt < ATTEMPTS && isAboutTimeouts(outcome); attempt++) {
    outcome = { ...await send(path, folder, setting, packets), repeated: attempt }
  }
  return outcome
}

async function send(path: string, folder: string, setting: NamedSetting, packets: readonly Sent[]): Promise<Outcome> {
  const paced = packets.some(({ later }) => later !== packets[0].later)
  const recording = inTime(await askKernel(path, join(folder, 'kernel.jsonl'), setting, paced), packets)
  const frames = recording.packets.map(({ index }) => frameOf(packets[index].bytes))
  const { findings, differences } = replay(createTracker, recording, frames)
  if (findings.length === 0 && differences.length > 0) throw new Error(differences.join('\n'))
  return { findings, compared: recording.packets, repeated: 0 }
}

/** The same in a folder that is removed again. */
export async function tryOut(setting: NamedSetting, packets: readonly Sent[]): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'conntrack-wasm-'))
  try {
    return await run(folder, setting, packets)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function writeCapture(folder: string, packets: readonly Sent[]): string {
  const path = join(folder, 'packets.pcap')
  writeFileSync(path, rawCapture(packets.map(({ bytes }) => bytes), i => packets[i].later ? PAUSE_NS : 0n))
  return path
}

/** The recording up to where the machine fell behind, which it does under load. */
function inTime(recording: Recording, packets: readonly Sent[]): Recording {
  const start = recording.packets[0].ts
  const isLate = ({ index, ts }: GoldenPacket) => {
    const pause = packets[index].later && !packets[0].later ? Number(PAUSE_NS) : 0
    return (ts - start - pause) / 1e6 > PART_MS
  }
  const late = recording.packets.findIndex(isLate)
  return late < 0 ? recording : { ...recording, packets: recording.packets.slice(0, late) }
}

function frameOf(bytes: Uint8Array): Frame {
  return { bytes, packet: bytes, time: 0n, linkType: 101, wireLength: bytes.length }
}
