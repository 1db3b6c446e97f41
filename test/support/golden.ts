/** What the kernel answered: lines of the oracle's recordings. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'

export const SHARED = new URL('../../../shared/', import.meta.url)
export const sharedIsThere = existsSync(SHARED)

export interface GoldenTuple {
  readonly src: string
  readonly dst: string
  readonly proto: number
  readonly sport?: number
  readonly dport?: number
  readonly type?: number
  readonly code?: number
  readonly id?: number
}

export interface GoldenSide {
  readonly end: number
  readonly maxend: number
  readonly maxwin: number
  readonly maxack: number
  readonly scale: number
  readonly flags: readonly string[]
}

/** An event since the packet before. */
export interface GoldenEvent {
  readonly event: string
  readonly ct?: number
  readonly status?: readonly string[]
  readonly tcp_state?: string
  /** Of an expectation: */
  readonly tuple?: GoldenTuple
  readonly mask?: GoldenTuple
  readonly master?: GoldenTuple
  readonly flags?: number
  readonly class?: number
  readonly helper?: string
}

/** One packet's answer. */
export interface GoldenPacket {
  readonly index: number
  readonly hex?: string
  readonly piece?: string
  readonly ts: number
  readonly verdict: string
  readonly direction: 'original' | 'reply' | null
  readonly reason?: string
  readonly remarks?: readonly string[]
  /** Where helpers are all that may have dropped it: whether one has. */
  readonly dropped?: boolean
  readonly ct?: number | null
  readonly tcp_state?: string
  readonly sctp_state?: string
  readonly assured?: boolean
  readonly seen_reply?: boolean
  readonly timeout?: number | null
  readonly late?: boolean
  readonly events?: readonly GoldenEvent[]
  readonly entry?: {
    readonly status: readonly string[]
    readonly orig: GoldenTuple
    readonly reply: GoldenTuple
    readonly packets?: readonly [number, number]
    readonly bytes?: readonly [number, number]
    readonly zone?: number
    readonly vtag?: readonly [number, number]
    readonly helper?: string
    readonly master?: GoldenTuple
  }
  readonly window?: {
    readonly timeout_ms: number
    readonly orig?: GoldenSide
    readonly reply?: GoldenSide
    readonly retrans?: number
    readonly last?: {
      readonly index: number; readonly dir: number; readonly seq: number; readonly ack: number
      readonly end: number; readonly win: number; readonly wscale: number; readonly flags: number
    }
    readonly stream_in_ms?: number
  }
}

export interface Recording {
  readonly config: Readonly<Record<string, number>>
  readonly options: {
    readonly helpers: readonly string[]
    readonly notrack: readonly string[]
    readonly zones: readonly string[]
    readonly drops: readonly string[]
    /** Settings that were asked for; in a replay only. */
    readonly sysctls?: Readonly<Record<string, string>>
  }
  readonly packets: readonly GoldenPacket[]
}

export function readRecording(url: URL): Recording {
  const bytes = readFileSync(url)
  const text = (url.pathname.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString()
  const lines = text.trimEnd().split('\n').map(line => JSON.parse(line))
  const { config, options } = lines[0]
  const packets = lines.slice(1).filter(line => !line.end).map(packet => withDropped(packet, options))
  return { config, options, packets }
}

/**
 * The recording does not say who dropped a packet that had its verdict: a helper, one of the recording's rules or the IP
 * layer behind it, for its options.
 */
function withDropped(packet: GoldenPacket, { helpers, drops }: Recording['options']): GoldenPacket {
  const byHelpers = helpers.length > 0 && drops.length === 0
  return { ...packet, dropped: byHelpers ? packet.dropped ?? false : undefined }
}

/** What helpers find is of interest in the captures of these folders: they were recorded with all helpers. */
const HELPED = ['ftp', 'irc', 'sip', 'tftp', 'pptp', 'netbios-snmp', 'h323']

/** The public captures that were recorded with helpers, by their names under `captures/`. */
export function helpedCaptures(): string[] {
  if (!sharedIsThere) return []
  return HELPED.flatMap(folder => readdirSync(new URL(`captures-golden/${folder}/`, SHARED)).sort()
    .map(file => `${folder}/${file.replace('.jsonl.gz', '')}`))
}

export function captureUrl(name: string): URL {
  return new URL(`captures/${name}`, SHARED)
}

export function captureRecording(name: string): Recording {
  return readRecording(new URL(`captures-golden/${name}.jsonl.gz`, SHARED))
}
