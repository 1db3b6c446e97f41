/** Flags of a TCP side and of the last ignored SYN; `TCP_FLAGS` in src/names.ts has their names in this order. */

/** It offered window scaling. */
export const WINDOW_SCALE: u8 = 0x01
export const SACK_PERM: u8 = 0x02
/** It sent the first FIN. */
export const CLOSE_INIT: u8 = 0x04
/** Picked up in the middle: what is out of its window is accepted. */
export const BE_LIBERAL: u8 = 0x08
/** It sent data that is not acknowledged. */
export const UNACKNOWLEDGED: u8 = 0x10
/** Its `maxAck` is valid. */
export const MAXACK_SET: u8 = 0x20
/** Of the last ignored SYN: the answer may be a challenge. */
export const CHALLENGE_ACK: u8 = 0x40
/** Of the connection: both sides sent a SYN. */
export const SIMULTANEOUS_OPEN: u8 = 0x80
