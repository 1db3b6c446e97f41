"""Reading pcap and pcapng captures (optionally gzipped) down to IP packets."""
import gzip, struct

VLANS = (0x8100, 0x88A8, 0x9100)


def read(path):
    """Yield (timestamp in ns, link type, bytes, original length) for each packet of a capture."""
    with (gzip.open if str(path).endswith(".gz") else open)(path, "rb") as f:
        magic = f.read(4)
        if magic == b"\x0a\x0d\x0d\x0a":
            yield from _pcapng(f)
            return
        for order in "<>":
            scale = {0xA1B2C3D4: 1000, 0xA1B23C4D: 1}.get(struct.unpack(order + "I", magic)[0]) \
                if len(magic) == 4 else None
            if scale:
                break
        else:
            raise ValueError(f"{path}: not a pcap or pcapng file")
        link = struct.unpack(order + "16xI", f.read(20))[0] & 0xFFFF
        while len(head := f.read(16)) == 16:
            sec, frac, caplen, length = struct.unpack(order + "IIII", head)
            yield sec * 10**9 + frac * scale, link, f.read(caplen), length


def _pcapng(f):
    f.seek(0)
    order, links = "<", []
    while len(head := f.read(8)) == 8:
        if head[:4] == b"\x0a\x0d\x0d\x0a":
            bom = f.read(4)
            order, links = "<" if bom == b"\x4d\x3c\x2b\x1a" else ">", []
            f.read(struct.unpack(order + "4xI", head)[0] - 12)
            continue
        kind, size = struct.unpack(order + "II", head)
        body = f.read(size - 8)[:-4]
        if kind == 1:                                                # interface description
            link, resol, offset, pos = struct.unpack_from(order + "H", body)[0], 10**6, 0, 8
            while pos + 4 <= len(body):
                code, n = struct.unpack_from(order + "HH", body, pos)
                if code == 9:
                    resol = 2 ** (body[pos + 4] & 127) if body[pos + 4] & 128 else 10 ** body[pos + 4]
                elif code == 14:
                    offset = struct.unpack_from(order + "q", body, pos + 4)[0]
                elif code == 0:
                    break
                pos += 4 + (n + 3 & ~3)
            links.append((link, resol, offset))
        elif kind in (2, 6):                                         # (obsolete/enhanced) packet
            i, hi, lo, caplen, length = struct.unpack_from(order + ("IIIII" if kind == 6 else
                                                                     "HxxIIII"), body)
            link, resol, offset = links[i]
            ts = (hi << 32 | lo) * 10**9 // resol + offset * 10**9
            yield ts, link, body[20:20 + caplen], length
        elif kind == 3:                                              # simple packet, no time
            length, = struct.unpack_from(order + "I", body)
            yield 0, links[0][0], body[4:4 + length], length


def ip_packet(link, data):
    """The IP packet inside a captured frame, or None."""
    if link in (12, 14, 101, 228, 229):                              # RAW
        return data or None
    if link in (0, 108):                                             # NULL, LOOP
        return data[4:] if len(data) > 4 and data[4] >> 4 in (4, 6) else None
    if link == 1:
        proto, pos = data[12:14], 14
    elif link == 113:                                                # LINUX_SLL
        proto, pos = data[14:16], 16
    elif link == 276:                                                # LINUX_SLL2
        proto, pos = data[0:2], 20
    else:
        return None
    while len(proto) == 2 and struct.unpack("!H", proto)[0] in VLANS:
        proto, pos = data[pos + 2:pos + 4], pos + 4
    if proto == b"\x88\x64":                                         # PPPoE session
        proto = {b"\0\x21": b"\x08\0", b"\0\x57": b"\x86\xdd"}.get(data[pos + 6:pos + 8])
        pos += 8
    return data[pos:] or None if proto in (b"\x08\0", b"\x86\xdd") else None

