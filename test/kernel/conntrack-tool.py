"""Packets through this machine's kernel, and what the tools print about them.

    conntrack-tool.py ORACLE < script.json > answer.json

ORACLE is the folder of the kernel oracle, whose modules make the namespace and write the packets.  The script:

    sysctl   settings without nf_conntrack_
    rules    an nft ruleset, or ""
    helpers  which the kernel is to have, in the oracle's words
    names    the text of connlabel.conf, or null for a machine without
    events   the words of conntrack -E -o
    of       what the events are about: conntrack or expect
    steps    a packet in the oracle's words, {"hex": bytes}, {"pause": seconds} or {"run": [command, ...]}

The answer: {"steps": [...], "events": text, "late": whether the kernel's clock ticked while it had a packet, so that an
event may tell a second less than the packet set}; a step is {"packets": [[ns since 1970, hex], ...]} or {"time": ns,
"text"}, null for a pause.

A remaining time is printed in whole seconds, rounded down, and the kernel counts in ticks: within a tick of a full
second the answer may be either.  So packets are sent early in a second, those behind a pause or a question a little
later in it than those before, and questions are asked in its second half.
"""
import ctypes, json, os, signal, subprocess, sys, time

sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import craft
from kernel import Lab, OracleError, check_host, command, jiffy

FIRST, LAST, GAP = 0.05, 0.5, 0.02
ASK_FROM, ASK_TO = 0.6, 0.85


def wait_within(begin, end):
    while not begin <= time.time() % 1 < end:
        time.sleep((begin - time.time()) % 1 or 0.001)


def name_labels(text):
    """An /etc of this process's own, with connlabel.conf."""
    if ctypes.CDLL(None).unshare(0x20000):                           # CLONE_NEWNS
        raise OracleError("unshare(CLONE_NEWNS)")
    command("mount", "--make-rprivate", "/")
    command("mount", "-t", "tmpfs", "tmpfs", "/mnt")
    for name in ("etc/xtables", "work"):
        os.makedirs(f"/mnt/{name}")
    with open("/mnt/etc/xtables/connlabel.conf", "w") as f:
        f.write(text)
    command("mount", "-t", "overlay", "overlay", "-o", "lowerdir=/etc,upperdir=/mnt/etc,workdir=/mnt/work", "/etc")


def listen(of, words):
    """conntrack -E, once the kernel knows of it."""
    buffer = ["-b", "8388608"] if of == "conntrack" else []          # the only kind that takes a size
    child = subprocess.Popen(["conntrack", "-E", of, *buffer, "-o", words], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True)
    for _ in range(500):
        with open("/proc/net/netlink") as f:
            if any(row[1] == "12" and int(row[3], 16) for row in (line.split() for line in list(f)[1:])):
                return child
        time.sleep(0.01)
    raise OracleError("conntrack -E does not listen")


def packets_of(step, sent):
    if isinstance(step, dict) and "hex" in step:
        return [bytes.fromhex(step["hex"])]
    return craft.build(craft.parse_line(step) if isinstance(step, str) else {"words": [], **step}, None, sent)


def ask(args):
    wait_within(ASK_FROM, ASK_TO)
    now = time.time_ns()
    done = subprocess.run(args, capture_output=True, text=True)
    return {"time": str(now), "text": done.stdout}


def perform(lab, steps):
    waits = [isinstance(step, dict) and ("pause" in step or "run" in step) for step in steps]
    width = (LAST - FIRST) / (1 + sum(wait and not again for wait, again in zip(waits, waits[1:] + [False])))
    begin, sent, answers, late = FIRST, [], [], False
    for step, wait, before in zip(steps, waits, [False] + waits):
        if wait and not before:
            begin += width
        if isinstance(step, dict) and "pause" in step:
            time.sleep(step["pause"])
            answers.append(None)
        elif isinstance(step, dict) and "run" in step:
            answers.append(ask(step["run"]))
        else:
            packets = []
            for packet in packets_of(step, sent):
                wait_within(begin, begin + width - GAP)
                lab.wait_tick()
                tick = jiffy()
                packets.append([str(time.time_ns()), packet.hex()])
                lab.inject(packet, False)
                late |= jiffy() != tick
                sent.append(packet)
            answers.append({"packets": packets})
    return answers, late


def main():
    script = json.load(sys.stdin)
    check_host()
    if script["names"] is not None:
        name_labels(script["names"])
    with Lab(sysctls={"acct": 0, "timestamp": 0, **script["sysctl"]}, helpers=script["helpers"]) as lab:
        if script["rules"]:
            command("nft", "-f", "-", stdin=script["rules"])
        listener = listen(script["of"], script["events"])
        try:
            answers, late = perform(lab, script["steps"])
            time.sleep(0.2)                                          # the last events are on their way
        finally:
            listener.send_signal(signal.SIGINT)
        json.dump({"steps": answers, "events": listener.communicate()[0], "late": late}, sys.stdout)


if __name__ == "__main__":
    try:
        main()
    except (OracleError, OSError, ValueError) as e:
        sys.exit(f"conntrack-tool.py: {e}")
