"""Payloads of Sparkplug B as bytes, written here so that nothing of the server's is trusted."""

import struct

from wire import read_var

TYPES = {name: code for code, name in enumerate(
    "Int8 Int16 Int32 Int64 UInt8 UInt16 UInt32 UInt64 Float Double Boolean String DateTime Text UUID DataSet Bytes File "
    "Template PropertySet PropertySetList Int8Array Int16Array Int32Array Int64Array UInt8Array UInt16Array UInt32Array "
    "UInt64Array FloatArray DoubleArray BooleanArray StringArray DateTimeArray".split(), 1)}
NAMES = {code: name for name, code in TYPES.items()}
FIELDS = {10: "int", 11: "long", 12: "float", 13: "double", 14: "boolean", 15: "string", 16: "bytes"}


def varint(n):
    out = bytearray()
    while True:
        n, low = n >> 7, n & 0x7F
        out.append(low | (0x80 if n else 0))
        if not n:
            return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value)


def block(field, value):
    data = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(data)) + data


def metric(name=None, kind=None, value=None, alias=None, at=None, historical=False):
    """One metric; without a kind its value decides the field, as data without types has it."""
    out = block(1, name) if name is not None else b""
    out += number(2, alias) if alias is not None else b""
    out += number(3, at) if at is not None else b""
    out += number(4, TYPES[kind]) if kind else b""
    out += number(5, 1) if historical else b""
    if value is None:
        return out + number(7, 1)
    if isinstance(value, bool):
        return out + number(14, int(value))
    if isinstance(value, float) and kind == "Float":
        return out + varint(12 << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, float):
        return out + varint(13 << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, str):
        return out + block(15, value)
    if isinstance(value, bytes):
        return out + block(16, value)
    wide = kind in ("Int64", "UInt64", "DateTime")
    return out + number(11 if wide else 10, value % 2**64 if wide else value % 2**32)


def payload(*metrics, seq=None, at=None):
    out = number(1, at) if at is not None else b""
    out += b"".join(block(2, it) for it in metrics)
    return out + (number(3, seq) if seq is not None else b"")


def fields(data):
    at = 0
    while at < len(data):
        tag, at = read_var(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = read_var(data, at)
        elif kind == 2:
            size, at = read_var(data, at)
            value, at = data[at:at + size], at + size
        else:
            size = 8 if kind == 1 else 4
            value, at = struct.unpack("<d" if kind == 1 else "<f", data[at:at + size])[0], at + size
        yield tag >> 3, value


def command(data):
    """What a command says: name or alias, type, field and value. It has a time and no number."""
    parts = list(fields(data))
    numbers = [field for field, _ in parts]
    # tck-id-payloads-ncmd-timestamp, tck-id-payloads-dcmd-timestamp
    assert numbers == [1, 2], f"a time and one metric, not {numbers}"
    found = dict(fields(parts[1][1]))
    assert 3 in found, "the metric has a time, too"
    (field, value), = ((field, value) for field, value in found.items() if field in FIELDS)
    value = value.decode() if field == 15 else bool(value) if field == 14 else value
    name = found[1].decode() if 1 in found else found[2]
    assert (1 in found) != (2 in found), "tck-id-payloads-alias-data-cmd-requirement"
    return name, NAMES[found[4]], FIELDS[field], value
