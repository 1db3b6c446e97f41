/** Messages of H.323 for the fuzzer's conversations, with addresses as those have them. */
import * as messages from '../h323-messages.js'

export interface At {
  readonly address: string
  readonly port: number
}

const text = ({ address, port }: At) => address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
const channels = (rtp: At, rtcp: At) => ({ forward: { media: text(rtp), control: text(rtcp) } })

/** RAS messages; a `ttl` of 0 is none. */
export const RAS = {
  gatekeeperConfirm: (at: At) => messages.gatekeeperConfirm(text(at)),
  registrationRequest: (at: At, ttl = 0) => messages.registrationRequest({
    calls: [text(at)], ras: [text({ ...at, port: 1719 })], ttl: ttl || undefined,
  }),
  registrationConfirm: (at: At, ttl = 0) => messages.registrationConfirm({ calls: [text(at)], ttl: ttl || undefined }),
  unregistrationRequest: (at: At) => messages.unregistrationRequest([text(at)]),
  admissionConfirm: (at: At) => messages.admissionConfirm(text(at)),
  locationConfirm: (at: At) => messages.locationConfirm(text(at), text(at)),
}

/** H.245 messages without TPKT. */
export const H245 = {
  openAudio: (rtp: At, rtcp: At) => messages.open(channels(rtp, rtcp)),
  openT120: (at: At) => messages.open({ data: 't120', separateStack: text(at) }),
  acknowledge: (rtp: At, rtcp: At) => messages.openAck(channels(rtp, rtcp)),
}

export const CALL = {
  setup: (control: At, rtp: At) => messages.call(messages.setup({
    h245Address: text(control),
    fastStart: [messages.openLogicalChannel(channels(rtp, { ...rtp, port: rtp.port + 1 }))],
  })),
  connect: (control: At, controls: readonly Uint8Array[] = []) =>
    messages.call(messages.connect({ h245Address: text(control) }), controls.length > 0 ? controls : undefined),
  forward: (to: At) => messages.call(messages.facility({ reason: 'callForwarded', alternativeAddress: text(to) })),
  facility: (control: At) => messages.call(messages.facility({ h245Address: text(control) })),
}

export const tpkt = (message: ArrayLike<number>) => messages.tpkt(Uint8Array.from(message))
