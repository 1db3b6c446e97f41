/**
 * Formats that are recognised only to be named in the error. In: the first bytes. Out: what they are, in words.
 */

const COMPRESSED: readonly (readonly [name: string, bytes: readonly number[]])[] = [
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['zip', [0x50, 0x4b, 0x03, 0x04]],
  ['lz4', [0x04, 0x22, 0x4d, 0x18]],
  ['7z', [0x37, 0x7a, 0xbc, 0xaf]],
  ['compress', [0x1f, 0x9d]],
]

const OTHER_CAPTURES: readonly (readonly [name: string, bytes: readonly number[]])[] = [
  ['snoop', [0x73, 0x6e, 0x6f, 0x6f, 0x70, 0]],
  ['Microsoft Network Monitor', [0x47, 0x4d, 0x42, 0x55]],
]

/** Bytes from the start of a file that tell its format. */
export const MAGIC_BYTES = 6

/** Is this gzip (RFC 1952, section 2.3.1)? */
export function isGzip(head: Uint8Array): boolean {
  return head[0] === 0x1f && head[1] === 0x8b
}

/** Why these bytes begin no capture. */
export function whyNotACapture(head: Uint8Array): string {
  if (head.length === 0) return 'the input is empty'
  if (isGzip(head)) return 'the input is compressed with gzip twice; decompress it first'
  const compressed = COMPRESSED.find(([, bytes]) => startsWith(head, bytes))
  if (compressed) return `the input is compressed with ${compressed[0]}, which is not read; decompress it first`
  const other = OTHER_CAPTURES.find(([, bytes]) => startsWith(head, bytes))
  if (other) return `the input is a ${other[0]} capture, which is not read; convert it to pcapng first`
  return 'the input is neither pcap nor pcapng'
}

function startsWith(head: Uint8Array, bytes: readonly number[]): boolean {
  return bytes.every((byte, i) => head[i] === byte)
}
