#!/usr/bin/env python3
"""Asks this machine's kernel what iptables makes of packets. Root; iptables, nftables, iproute2.

One JSON object a line on standard input, one a line on standard output:

    in   {"tool": "legacy" | "nft", "family": 4 | 6, "rules": text, "interfaces": {name: [prefix]}, "local": [address],
          "addresses": {address: name}, "ethernet": bool, "packets": [{"bytes": hex, "way": "forward" | "input" | "output" | "loopback", "in": name, "at": ns,
          "ticks": number}], "pace": bool, "list": bool, "sysctl": {name: value}}
    out  {"saved": text of iptables-save -c, "times": [ns], "torn": bool, "lists": {table: text}}
         or {"refused": what iptables-restore said}

A case can ask how rules are read instead of what they count:

    in   {"tool", "family", "spellings": [{"table": name, "chains": [":NAME - [0:0]"], "lines": [text]}], "together": bool}
    out  {"lines": [[{"refused": text} | {"unread": [saved]} | {"saved": [text], "listed": [text], "again": [text]}]] a line of a table,
          "plain": text of iptables-save, "saved": of iptables-save -c, "lists": {table: text}}

Each line is loaded alone, but for "together", where all are right. "again": what is listed when that is loaded which was saved. The texts are of all lines together
of which "listed" and "again" are the same.

Linux's clock ticks every few milliseconds. A packet is sent so many ticks after the one before it at least, early in a
tick, and its time tells the tick: ticks are 4 ms long there, whatever they are here. "torn": a tick ended while a packet
was on its way, so that nobody knows which one rules saw.

Each case has a network namespace of its own, which has no link to anywhere. Packets come in by TUN devices (TAP where
they have Ethernet headers) or leave by raw sockets; whatever else the namespace itself would send is dropped before any
rule sees it. Connection tracking and reassembly are always on.
"""
import ctypes, fcntl, json, os, socket, struct, subprocess, sys, time

IFF_TUN, IFF_TAP, IFF_NO_PI, TUNSETIFF = 1, 2, 0x1000, 0x400454CA
CLONE_NEWNET = 0x40000000
SO_MARK, IPV6_HDRINCL, OURS = 36, 36, 0x4EAD
LONGEST = 65521                                                    # no packet is too long for the next link

GUARD = """
table inet guard {
  chain out { type filter hook output priority -350; meta mark != %d drop; meta mark set 0; }
  chain tracked { type filter hook prerouting priority 500; ct state established accept; }
}
""" % OURS


def run(*words, text=None, check=True):
    done = subprocess.run(words, input=text, capture_output=True, text=True)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done


def sysctl(name, value):
    with open("/proc/sys/" + name.replace(".", "/"), "w") as f:
        f.write(str(value))


def device(name, ethernet):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), (IFF_TAP if ethernet else IFF_TUN) | IFF_NO_PI))
    run("ip", "link", "set", "dev", name, *(["arp", "off"] if ethernet else []), "txqueuelen", "10000",
        "mtu", str(LONGEST), "up")
    return fd


class Lab:
    def __init__(self, case):
        self.ethernet = case.get("ethernet", False)
        self.prefix = "ip" if case["family"] == 4 else "ip6"
        self.command = f"{self.prefix}tables-{case['tool']}"
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        for way in ("all", "default"):
            for name, value in (("rp_filter", 0), ("accept_local", 1), ("send_redirects", 0), ("route_localnet", 1)):
                sysctl(f"net.ipv4.conf.{way}.{name}", value)
            sysctl(f"net.ipv6.conf.{way}.accept_dad", 0)
            sysctl(f"net.ipv6.conf.{way}.accept_ra", 0)
        sysctl("net.ipv4.ip_forward", 1)
        sysctl("net.ipv6.conf.all.forwarding", 1)
        for name, value in case.get("sysctl", {}).items():
            sysctl(name if "." in name else "net.netfilter.nf_conntrack_" + name, value)
        run("nft", "-f", "-", text=GUARD)
        run("ip", "link", "set", "lo", "up")
        self.devices, self.hardware = {}, {}
        for name, prefixes in case.get("interfaces", {}).items():
            self.devices[name] = device(name, self.ethernet)
            if self.ethernet:
                [link] = json.loads(run("ip", "-j", "link", "show", "dev", name).stdout)
                self.hardware[name] = bytes.fromhex(link["address"].replace(":", ""))
            for prefix in prefixes:
                run("ip", "-6" if ":" in prefix else "-4", "route", "add", prefix, "dev", name)
        for address, name in [*((local, "lo") for local in case.get("local", [])), *case.get("addresses", {}).items()]:
            run("ip", "addr", "add", address, "dev", name, *(["nodad"] if ":" in address else []))
            while ":" in address and f"local {address.split('/')[0]} " not in run("ip", "-6", "route", "show", "table", "local").stdout:
                time.sleep(0.001)                                  # the kernel does that later, on a thread of its own
        self.raw4 = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.raw6 = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.raw6.setsockopt(socket.IPPROTO_IPV6, IPV6_HDRINCL, 1)
        for raw in (self.raw4, self.raw6):
            raw.setsockopt(socket.SOL_SOCKET, SO_MARK, OURS)

    def send(self, packet):
        data = bytes.fromhex(packet["bytes"])
        if packet["way"] in ("forward", "input"):
            name = packet["in"]
            if self.ethernet:
                data = self.hardware[name] + data[6:]
            try:
                os.write(self.devices[name], data)
            except OSError:
                pass                                               # not even an IP version
            return
        ip = data[14:] if self.ethernet else data
        try:
            if ip[0] >> 4 == 4:
                self.raw4.sendto(ip, (socket.inet_ntop(socket.AF_INET, ip[16:20]), 0))
            else:
                self.raw6.sendto(ip, (socket.inet_ntop(socket.AF_INET6, ip[24:40]), 0))
        except OSError:
            pass                                                   # a rule dropped it

    def saved(self):
        return run(self.command + "-save", "-c").stdout


CLOCK_MONOTONIC_COARSE = 6                                         # what the time was in the last tick
TOLD_TICK = 4_000_000


class Ticks:
    """The coarse clock goes on with each tick; how far it is behind the fine one says nothing, so ticks are watched for."""
    def __init__(self):
        self.length = time.clock_getres(CLOCK_MONOTONIC_COARSE)
        self.first = self.current = self.seen = 0
        self.watch()
        self.first = self.current

    def coarse(self):
        return time.clock_gettime_ns(CLOCK_MONOTONIC_COARSE)

    def watch(self):
        before = self.coarse()
        while self.coarse() == before:
            pass
        self.current, self.seen = self.coarse(), time.monotonic()

    def wait(self, count):
        """So many ticks, and for the next one unless this has just begun."""
        while count > 0 or self.is_torn() or time.monotonic() - self.seen > self.length / 2:
            time.sleep(max(0, self.seen + self.length * 0.9 - time.monotonic()))
            self.watch()
            count -= 1

    def is_torn(self):
        return self.coarse() != self.current

    def now(self):
        gone = round((self.current - self.first) / 1e9 / self.length)
        return gone * TOLD_TICK + min(int((time.monotonic() - self.seen) * 1e9), TOLD_TICK - 1)


class Spellings:
    """What iptables makes of lines of rules."""
    def __init__(self, command, tables):
        self.command, self.tables = command, tables

    def text(self, lines_of):
        return "".join(f"*{t['table']}\n" + "".join(line + "\n" for line in t["chains"] + lines_of(i)) + "COMMIT\n"
                       for i, t in enumerate(self.tables))

    def load(self, lines_of):
        done = run(self.command + "-restore", text=self.text(lines_of), check=False)
        return None if done.returncode == 0 else done.stderr.strip()

    def alone(self, place, lines):
        return self.load(lambda i: lines if i == place else [])

    def saved(self, place):
        text = run(self.command + "-save", "-t", self.tables[place]["table"]).stdout
        return [line for line in text.splitlines() if line.startswith("-A ")]

    def lists(self):
        return {t["table"]: run(self.command, "-t", t["table"], "-L", "-v", "-n").stdout for t in self.tables}

    def listed(self, place):
        """Rules alone: of each chain the lines behind the titles, up to an empty one."""
        text = run(self.command, "-t", self.tables[place]["table"], "-L", "-v", "-n").stdout
        return [line for chain in text.split("\n\n") for line in chain.splitlines()[2:]]

    def ask(self, place, line):
        refused = self.alone(place, [line])
        if refused is not None:
            return {"refused": refused}
        saved, listed = self.saved(place), self.listed(place)
        if saved == [line]:
            return {"saved": saved, "listed": listed, "again": listed}
        if self.alone(place, saved) is not None:
            return {"unread": saved}
        return {"saved": saved, "listed": listed, "again": self.listed(place)}

    def answer(self, together):
        if together:
            return self.together([table["lines"] for table in self.tables], [])
        lines = [[self.ask(i, line) for line in table["lines"]] for i, table in enumerate(self.tables)]
        kept = [[line for line, made in zip(table["lines"], answers) if "saved" in made and made["listed"] == made["again"]]
                for table, answers in zip(self.tables, lines)]
        return self.together(kept, lines)

    def together(self, kept, lines):
        refused = self.load(lambda i: kept[i])
        if refused is not None:
            raise RuntimeError("together: " + refused)
        save = self.command + "-save"
        return {"lines": lines, "plain": run(save).stdout, "saved": run(save, "-c").stdout, "lists": self.lists()}


def answer(case):
    lab = Lab(case)
    if "spellings" in case:
        return Spellings(lab.command, case["spellings"]).answer(case.get("together", False))
    done = run(lab.command + "-restore", text=case["rules"], check=False)
    if done.returncode:
        return {"refused": done.stderr.strip()}
    times, torn, ticks, start = [], False, Ticks(), time.monotonic_ns()
    first = case["packets"][0].get("at", 0) if case["packets"] else 0
    for packet in case["packets"]:
        if case.get("pace"):
            wait = packet.get("at", 0) - first - (time.monotonic_ns() - start)
            if wait > 0:
                time.sleep(wait / 1e9)
        if "ticks" in packet:
            ticks.wait(packet["ticks"])
            times.append(ticks.now())
        else:
            times.append(time.monotonic_ns() - start)
        lab.send(packet)
        torn |= "ticks" in packet and ticks.is_torn()
    out = {"saved": lab.saved(), "times": times, "torn": torn}
    if case.get("list"):
        tables = ("raw", "mangle", "filter")
        out["lists"] = {t: run(lab.command, "-t", t, "-L", "-v", "-n").stdout for t in tables}
    return out


def in_child(case):
    """Each case in a process of its own, whose namespace ends with it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 0
        try:
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})    # connlimit asks on which processor an entry was made
            if "spellings" not in case:
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)) # nobody comes between a packet and its tick
            os.close(reader)
            with os.fdopen(writer, "w") as out:
                try:
                    json.dump(answer(case), out)
                except Exception as error:                         # told to whoever asked
                    json.dump({"failed": f"{type(error).__name__}: {error}"}, out)
        except BaseException:
            status = 1
        os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as back:
        text = back.read()
    os.waitpid(pid, 0)
    return text


for line in sys.stdin:
    print(in_child(json.loads(line)), flush=True)
