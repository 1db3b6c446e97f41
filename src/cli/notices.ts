/** What is said on standard error about packets of link types that are not read. */
import { LINK_TYPES } from '../link-types.js'

/** Those with a name in the SDK. */
const READ: ReadonlySet<number> = new Set<number>(Object.values(LINK_TYPES))

/** Names, without LINKTYPE_, of link types that captures have and that are not read (the registry of tcpdump.org). */
const NAMES: Readonly<Record<number, string>> = {
  3: 'AX25', 6: 'IEEE802_5', 7: 'ARCNET_BSD', 8: 'SLIP', 10: 'FDDI', 100: 'ATM_RFC1483', 105: 'IEEE802_11',
  107: 'FRELAY', 114: 'LTALK', 117: 'PFLOG', 119: 'IEEE802_11_PRISM', 122: 'IP_OVER_FC', 123: 'SUNATM',
  127: 'IEEE802_11_RADIOTAP', 129: 'ARCNET_LINUX', 138: 'APPLE_IP_OVER_IEEE1394', 139: 'MTP2_WITH_PHDR', 140: 'MTP2',
  141: 'MTP3', 142: 'SCCP', 143: 'DOCSIS', 144: 'LINUX_IRDA', 147: 'USER0', 163: 'IEEE802_11_AVS', 177: 'LINUX_LAPD',
  187: 'BLUETOOTH_HCI_H4', 189: 'USB_LINUX', 192: 'PPI', 195: 'IEEE802_15_4_WITHFCS', 197: 'ERF',
  201: 'BLUETOOTH_HCI_H4_WITH_PHDR', 203: 'LAPD', 220: 'USB_LINUX_MMAPPED', 227: 'CAN_SOCKETCAN',
  230: 'IEEE802_15_4_NOFCS', 239: 'NFLOG', 240: 'NETANALYZER', 249: 'USBPCAP', 251: 'BLUETOOTH_LE_LL',
  252: 'WIRESHARK_UPPER_PDU', 253: 'NETLINK', 254: 'BLUETOOTH_LINUX_MONITOR', 258: 'PKTAP',
}

/** Whether packets of a link type can be read at all. */
export function isLinkTypeRead(linkType: number): boolean {
  return READ.has(linkType)
}

/** One text a link type, most packets first. */
export function linkTypeNotices(counts: ReadonlyMap<number, number>): string[] {
  return [...counts].sort((a, b) => b[1] - a[1]).map(([linkType, count]) => {
    const name = Object.hasOwn(NAMES, linkType) ? `${linkType} (${NAMES[linkType]})` : String(linkType)
    return `${counted(count)} link type ${name}, which is not read: state null, reason not-ip`
  })
}

function counted(count: number): string {
  return count === 1 ? '1 packet has' : `${count} packets have`
}
