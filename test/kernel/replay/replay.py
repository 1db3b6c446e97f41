#!/usr/bin/env python3
"""Sends a capture's packets through this machine's kernel and writes down what it makes of each, as JSON lines.

All happens in a network namespace of its own (lab.py), which ends with the process.  The first line tells the kernel and
its settings, the last one (`end`) how many packets there were; between them one line a packet: verdict, direction and
the entry behind it, with the variables of the TCP window where the kernel's types can be read (window.py).

Exit status: 0 good; 2 it cannot run (not root, no conntrack, a bad option or file; the reason is printed); 3 an answer
did not belong to the packet sent.
"""
import argparse, collections, json, os, signal, sys, time

sys.dont_write_bytecode = True
import capture
from lab import Lab, LabError, check_host


def settings(args):
    """Command line options as arguments for Lab."""
    sysctls = {}
    for item in args.sysctl:
        key, eq, value = item.partition("=")
        if not eq:
            raise LabError(f"--sysctl {item}: expected NAME=VALUE")
        sysctls[key] = value
    return {"sysctls": sysctls, "helpers": [h for spec in args.helpers for h in spec.split(",")],
            "notrack": args.notrack, "zones": args.zone, "drops": args.drop, "events": args.events, "window": args.window}


def replay(args):
    counts, first = collections.Counter(), None
    options = settings(args)
    with Lab(**options) as lab, open(args.output, "w") as sink:
        emit = lambda record: sink.write(json.dumps(record, separators=(",", ":")) + "\n")
        emit({"replay": os.path.basename(args.capture), "kernel": os.uname().release.split("-")[0],
              "tick_ms": time.clock_getres(6) * 1000, "config": lab.config, "options": options})
        start = time.monotonic_ns()
        for index, (cap_ts, link, data, length) in enumerate(capture.read(args.capture)):
            first = cap_ts if first is None else first
            pkt = capture.ip_packet(link, data)
            record = {"index": index, "ts": time.monotonic_ns() - start, "cap_ts": cap_ts}
            if pkt is None or len(data) < length:
                record.update(verdict="skipped", reason="not-ip" if pkt is None else "truncated")
            else:
                wait = cap_ts - first + start - time.monotonic_ns() if args.pace == "real" else 0
                if wait > 0:
                    time.sleep(wait / 1e9)
                record.update(lab.inject(pkt, True, args.full))
                record["ts"] -= start
            counts[record["verdict"]] += 1
            emit(record)
        emit({"end": {"packets": sum(counts.values()), "verdicts": dict(counts)}})
    return 3 if counts["mismatch"] else 0


def main():
    ap = argparse.ArgumentParser(prog="replay.py", description=__doc__)
    add = ap.add_argument
    add("capture", help="pcap or pcapng, plain or .gz")
    add("-o", "--output", required=True)
    add("--sysctl", action="append", default=[], metavar="NAME=VALUE", help="names without nf_conntrack_, or whole")
    add("--helpers", action="append", default=[], metavar="NAME[:PORT],...", help="assigned to new connections")
    add("--notrack", action="append", default=[], metavar="MATCH", help="nft match left untracked")
    add("--zone", action="append", default=[], metavar="MATCH=N", help="nft match put in conntrack zone N")
    add("--drop", action="append", default=[], metavar="MATCH", help="nft match dropped before its entry is confirmed")
    add("--pace", default="none", choices=["none", "real"], help="follow the capture's clock")
    add("--full", action="store_true", help="add the whole entry to each line")
    add("--events", action="store_true", help="add ctnetlink events to each line")
    add("--window", action="store_true", help="add the TCP window (needs BTF)")
    args = ap.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *a: sys.exit(143))
    try:
        check_host()
        return replay(args)
    except (LabError, OSError, ValueError) as e:
        print(f"replay: {e}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
