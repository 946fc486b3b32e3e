#!/usr/bin/env python3
"""Verifies an exported log by docs/reference/audit-format.md alone.

usage: verify_export.py EXPORT [ANCHORS]

ANCHORS is a file with an anchor a line, kept elsewhere. Prints what was found; exits with 0 when
all is well, with 1 when it is not.
"""
import base64
import hashlib
import json
import sys


class Bad(Exception):
    """What is wrong, and at which position."""


def leaf_of(line):
    return base64.b64encode(hashlib.sha256(line).digest())[:32].decode()


def digest_of(line):
    return hashlib.sha256(line).hexdigest()


def runs_of(flat):
    return list(zip(flat[0::2], flat[1::2]))


def lines_of(path):
    with open(path, "rb") as file:
        return [line for line in file.read().split(b"\n") if line]


def verify(export, anchors):
    lines = lines_of(export)
    if not lines or lines[0] != b'{"cadre":"log","format":1}':
        raise Bad("line 1: no export of a log")
    rows, seals, end = {}, [], None
    removed = set()
    last = 0
    for line in lines[1:]:
        value = json.loads(line)
        if line.startswith(b'{"position":'):
            if value["position"] <= last:
                raise Bad(f"position {value['position']}: out of order")
            last = value["position"]
            rows[last] = leaf_of(line)
            event = value["event"]
            if value.get("stream") == "audit/removals" and event["type"] == "log.removed":
                for first, to in runs_of(event["payload"]["positions"]):
                    removed.update(range(first, to + 1))
        elif line.startswith(b'{"seal":'):
            seals.append((value, digest_of(line)))
        elif line.startswith(b'{"anchor":'):
            end = value
        else:
            raise Bad("a line that is no row, seal or anchor")

    number, to, digest = 0, 0, "0" * 64
    found = {}
    gone = 0
    for seal, own in seals:
        if seal["seal"] != number + 1 or seal["from"] != to + 1 or seal["prev"] != digest:
            raise Bad(f"position {to + 1}: seal {number + 1} does not continue the chain")
        number, to, digest = seal["seal"], seal["to"], own
        found[number] = (to, digest)
        places = [place for a, b in runs_of(seal["rows"]) for place in range(a, b + 1)]
        leaves = seal["leaves"]
        if len(leaves) != 32 * len(places):
            raise Bad(f"position {seal['from']}: seal {number} has not a leaf for each row")
        listed = {place: leaves[32 * at : 32 * at + 32] for at, place in enumerate(places)}
        for place in range(seal["from"], to + 1):
            if place not in listed:
                if place in rows:
                    raise Bad(f"position {place}: inserted")
            elif place not in rows:
                if place not in removed:
                    raise Bad(f"position {place}: removed")
                gone += 1
            elif rows[place] != listed[place]:
                raise Bad(f"position {place}: changed")

    expected = {"anchor": number, "to": to, "hash": digest} if seals else None
    if end != expected:
        raise Bad(f"position {to + 1}: the end of the chain is not its last seal")
    for anchor in anchors:
        if anchor["anchor"] > number:
            raise Bad(f"position {last + 1}: the log was cut")
        if found[anchor["anchor"]] != (anchor["to"], anchor["hash"]):
            raise Bad(f"position {anchor['to']}: not the log that was anchored")
    behind = sum(1 for place in rows if place > to)
    return f"good up to {to}: {number} seals, {gone} rows removed by rule, {behind} not sealed yet"


def main():
    anchors = [json.loads(line) for line in lines_of(sys.argv[2])] if len(sys.argv) > 2 else []
    try:
        print(verify(sys.argv[1], anchors))
    except Bad as problem:
        print(problem)
        sys.exit(1)


if __name__ == "__main__":
    main()
