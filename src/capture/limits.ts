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

/**
 * What gzip may decompress to: so much whatever it is made of, beyond that so many times the compressed bytes read by
 * then, and so much in all. Captures of real traffic come to a twentieth, of one repeated packet to a hundredth; a bomb to
 * a thousandth.
 */
export const GZIP_FREE = 256 * 1024 * 1024
export const GZIP_MOST_TIMES = 200
export const GZIP_MOST = 2 ** 40
