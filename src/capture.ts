/** `conntrack-wasm/capture`: captures from anything that holds bytes, in any JavaScript runtime. */
export { BATCH_SIZE, type Packet, type PacketBatch, packetBatch } from './batch.js'
export { type CaptureOptions, readCapture } from './capture/reader.js'
export type { CaptureSource } from './capture/source.js'
export { ConntrackError, type ConntrackErrorCode } from './errors.js'
export { LINK_TYPES, type LinkTypeName, linkTypeNumber } from './link-types.js'
