"""Which connection a packet is about."""
import struct

ICMP_ERRORS = (3, 4, 5, 11, 12)


def is_fragment(pkt):
    if pkt[0] >> 4 == 4:
        return len(pkt) >= 20 and (pkt[6] & 0x3F or pkt[7]) != 0
    if pkt[0] >> 4 != 6 or len(pkt) < 48:
        return False
    nxt, pos = pkt[6], 40
    while nxt in (0, 43, 60) and pos + 8 <= len(pkt):
        nxt, pos = pkt[pos], pos + (pkt[pos + 1] + 1) * 8
    return nxt == 44


def tuple_of(pkt, inner=False):
    """(4 or 6, src, dst, proto, a, b, c): ports, or ICMP id, type, code; an ICMP error's is its inner one's."""
    if len(pkt) >= 20 and pkt[0] >> 4 == 4:
        proto, src, dst, pos = pkt[9], pkt[12:16], pkt[16:20], (pkt[0] & 15) * 4
        version = 4
    elif len(pkt) >= 40 and pkt[0] >> 4 == 6:
        proto, src, dst, pos, version = pkt[6], pkt[8:24], pkt[24:40], 40, 6
        while proto in (0, 43, 44, 51, 60) and pos + 8 <= len(pkt):
            step = 8 if proto == 44 else (pkt[pos + 1] + 2) * 4 if proto == 51 else (pkt[pos + 1] + 1) * 8
            proto, pos = pkt[pos], pos + step
    else:
        return None
    l4 = pkt[pos:]
    a = b = c = None
    if proto in (6, 17, 132, 136):
        if len(l4) < 4:
            return None
        a, b = struct.unpack_from("!HH", l4)
    elif proto == 1 and version == 4 or proto == 58 and version == 6:
        if len(l4) < 8:
            return None
        if l4[0] in ICMP_ERRORS if version == 4 else l4[0] < 128:
            return None if inner else tuple_of(l4[8:], True)
        a, b, c = l4[4] << 8 | l4[5], l4[0], l4[1]
    elif proto == 47:
        a = b = 0
        if len(l4) >= 8 and l4[1] & 7 == 1:
            b = l4[6] << 8 | l4[7]
    return version, src, dst, proto, a, b, c
