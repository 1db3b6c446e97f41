/** `conntrack-wasm/testing`: packets and conversations in a line of text, and what rules must do with them. */
export {
  assertDecidedBy, assertPasses, AssertionError, assertStopped, firewall, TestFirewall, type RuleName, type Sent,
} from './testing/assert.js'
export { close, conversation, exchange, handshake, type Conversation } from './testing/conversation.js'
export { HOSTS, packet, packets, type Hosts, type TestPacket } from './testing/line.js'
export { ConntrackError, type ConntrackErrorCode } from './errors.js'
