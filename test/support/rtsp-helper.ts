/** The example of docs/helpers.md, as it stands there. */
import { defineHelper } from '../../src/helpers/define.js'

/**
 * RTSP (RFC 2326): a client that sets up a stream says on which pair of UDP ports it wants the server to send it:
 * `Transport: RTP/AVP;unicast;client_port=4588-4589`
 */
export const rtsp = defineHelper({
  name: 'rtsp',
  protocol: 'tcp',
  ports: [554, 8554],
  classes: [{ name: 'media', limit: 8, timeout: 30 }],
  inspect({ payload, direction, established, connection }, table) {
    if (!established || direction !== 'original') return 'accept'
    const text = new TextDecoder('latin1').decode(payload)
    if (!text.startsWith('SETUP ')) return 'accept'
    const ports = /^Transport:.*;client_port=(\d{4,5})-(\d{4,5})/im.exec(text)
    const [rtp, rtcp] = [Number(ports?.[1]), Number(ports?.[2])]
    // Ports of services, odd ones and ranges are none that RTP uses; nor is it this packet's fault.
    if (!(rtp >= 1024 && rtp % 2 === 0 && rtcp === rtp + 1 && rtcp <= 65535)) return 'accept'
    // From the server's address and any of its ports, to the client's.
    const { src, dst } = connection.reply
    for (const dport of [rtp, rtcp]) {
      const added = table.expect({ protocol: 17, src, dst, dport })
      // Another connection has the port already: the server could not reach this client.
      if (added === 'busy' || added === 'full') return 'drop'
    }
    return 'accept'
  },
})
