/**
 * What bounds the memory of reading a capture. In: nothing. Out: numbers that the other files of this folder share.
 * Each bound is on what a file may claim; buffers grow only as bytes arrive.
 */

/** Captured bytes of a packet that are taken without the file's header asking for more (libpcap's MAXIMUM_SNAPLEN). */
export const MAX_CAPTURED = 262_144

/** The most one record may take that has to be in memory whole: 16 MiB, libpcap's bound for pcapng blocks. */
export const MAX_RECORD = 16 * 1024 * 1024

/** Interfaces of one pcapng section: as many as the obsolete packet block, with its 16-bit field, can name. */
export const MAX_INTERFACES = 65_536

/** A batch ends before the packet that would take its bytes (and what lies between them) past this. */
export const MAX_BATCH_BYTES = 1024 * 1024

/** Chunks up to this size are joined with a record that was begun before them; from larger ones only its rest is. */
export const SMALL_CHUNK = 16 * 1024
