/** `conntrack-wasm`: Linux connection tracking, wherever JavaScript runs. */
export { createTracker, restoreTracker, Tracker } from './tracker.js'
export type { ConnectionListener, ExpectationListener, PacketInfo } from './tracker.js'
export type { ChecksumMode, HelperRule, Shard, TrackerOptions } from './tracker-options.js'
export type { RestoreOptions } from './description.js'
export { BATCH_SIZE, packetBatch } from './batch.js'
export type { PacketBatch } from './batch.js'
export { ConntrackError } from './errors.js'
export type { ConntrackErrorCode } from './errors.js'
export { LINK_TYPES } from './link-types.js'
export type { LinkTypeName } from './link-types.js'
export {
  DIRECTIONS, EVENTS, PROTOCOL_NUMBERS, protocolName, REASONS, SCTP_STATE_BASE, SCTP_STATES, sctpStateName,
  STATES, STATUS_BITS, TCP_FLAGS, TCP_STATES, tcpStateName, VERDICT_ASSURED, VERDICT_DROPPED, VERDICT_ELSEWHERE,
  VERDICT_SEEN_REPLY,
} from './names.js'
export type { Reason, State } from './names.js'
export { SYSCTLS } from './sysctl.js'
export type { Sysctl } from './sysctl.js'
export type * from './helpers/helper.js'
export type * from './types.js'
