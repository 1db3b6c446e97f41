/** Linux's TCP rules that do not depend on how a tracker stores its connections: tables, timeouts, options. */

export const NONE = 0
export const SYN_SENT = 1
export const SYN_RECV = 2
export const ESTABLISHED = 3
export const FIN_WAIT = 4
export const CLOSE_WAIT = 5
export const LAST_ACK = 6
export const TIME_WAIT = 7
export const CLOSE = 8
export const SYN_SENT2 = 9
export const IGNORE = 10
export const INVALID = 11

export const KIND_SYN = 0
export const KIND_SYNACK = 1
export const KIND_FIN = 2
export const KIND_ACK = 3
export const KIND_RST = 4
export const KIND_NONE = 5

const NAMES: Readonly<Record<string, number>> = {
  SS: SYN_SENT, SR: SYN_RECV, ES: ESTABLISHED, FW: FIN_WAIT, CW: CLOSE_WAIT, LA: LAST_ACK, TW: TIME_WAIT, CL: CLOSE,
  S2: SYN_SENT2, ig: IGNORE, iv: INVALID,
}

// Rows: SYN, SYN/ACK, FIN, ACK, RST. Columns: NONE SYN_SENT SYN_RECV ESTABLISHED FIN_WAIT CLOSE_WAIT LAST_ACK TIME_WAIT
// CLOSE SYN_SENT2.
const ORIGINAL = `
  SS SS ig ig ig ig ig SS SS S2
  iv iv SR iv iv iv iv iv iv SR
  iv iv FW FW LA LA LA TW CL iv
  ES iv ES ES CW CW TW TW CL iv
  iv CL CL CL CL CL CL CL CL CL`
const REPLY = `
  iv S2 iv iv iv iv iv SS iv S2
  iv SR ig ig ig ig ig ig ig SR
  iv iv FW FW LA LA LA TW CL iv
  iv ig SR ES CW CW TW TW CL ig
  iv CL CL CL CL CL CL CL CL CL`

/** New state at `direction * 50 + kind * 10 + state`. */
export const TRANSITIONS = Uint8Array.from(`${ORIGINAL} ${REPLY}`.trim().split(/\s+/), (name) => NAMES[name])

/** Milliseconds by state. */
export const TIMEOUTS = Float64Array.of(0, 120e3, 60e3, 432_000e3, 120e3, 60e3, 30e3, 120e3, 10e3, 120e3)
/** For repeated acknowledgements, a closed window, and data that is not acknowledged. */
export const SHORT_TIMEOUT = 300e3
export const MAX_RETRANSMISSIONS = 3

/** Flags of a side. */
export const WINDOW_SCALE = 1
export const SACK_PERMITTED = 2
export const CLOSE_INIT = 4
export const LIBERAL = 8
export const UNACKNOWLEDGED = 16
export const MAX_ACK_SET = 32
/** Flags of the last ignored SYN and of the connection. */
export const CHALLENGE_ACK = 64
export const SIMULTANEOUS_OPEN = 128

/** How far behind an acknowledgement may at least be. */
export const MAX_ACK_WINDOW = 66_000

/** What a window check, or a whole TCP machine, answers apart from a reason (which is above 0). */
export const ACCEPT = 0
export const ACCEPT_IGNORED = -1
/** The entry is to be destroyed and the packet looked up again. */
export const REPEAT = -2
/** The packet passes and the entry is destroyed. */
export const ACCEPT_DESTROYED = -3

/** What the rules about resets answer: check the window, do not, check it but stay in the state, or INVALID. */
export const RESET_CHECKED = 0
export const RESET_UNCHECKED = 1
export const RESET_STAYS = 2
export const RESET_INVALID = 3

/** Sequence numbers are compared by the sign of their difference. */
export const before = (a: number, b: number): boolean => ((a - b) | 0) < 0
export const after = (a: number, b: number): boolean => ((b - a) | 0) < 0

/** The options of a SYN: window scale in the low 8 bits, `WINDOW_SCALE` and `SACK_PERMITTED` above them. */
export function synOptions(view: DataView, at: number, length: number): number {
  let found = 0
  const end = at + length
  while (at < end) {
    const kind = view.getUint8(at)
    if (kind === 0) break
    if (kind === 1) {
      at += 1
      continue
    }
    const size = optionSize(view, at, end)
    if (size === 0) break
    if (kind === 4 && size === 2) found |= SACK_PERMITTED << 8
    if (kind === 3 && size === 3) found = (found & ~0xff) | Math.min(view.getUint8(at + 2), 14) | (WINDOW_SCALE << 8)
    at += size
  }
  return found
}

/** Bytes of the option at `at`, 0 if it does not fit. */
function optionSize(view: DataView, at: number, end: number): number {
  if (end - at < 2) return 0
  const size = view.getUint8(at + 1)
  return size < 2 || size > end - at ? 0 : size
}

/** The highest right edge of the selective acknowledgements, or `ack` if none lies beyond it. */
export function highestSack(view: DataView, at: number, length: number, ack: number): number {
  // Nearly every packet: the timestamps option alone.
  if (length === 0 || (length === 12 && view.getInt32(at) === 0x0101080a)) return ack
  const end = at + length
  while (at < end) {
    const kind = view.getUint8(at)
    if (kind === 0) break
    if (kind === 1) {
      at += 1
      continue
    }
    const size = optionSize(view, at, end)
    if (size === 0) break
    if (kind === 5 && size >= 10 && (size - 2) % 8 === 0) return highestEdge(view, at, size, ack)
    at += size
  }
  return ack
}

function highestEdge(view: DataView, at: number, size: number, ack: number): number {
  for (let edge = at + 6; edge < at + size; edge += 8) {
    const right = view.getInt32(edge)
    if (after(right, ack)) ack = right
  }
  return ack
}
