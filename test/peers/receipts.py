"""Checks a statement, its COSE Receipt and the Transparent Statement by a COSE library of others.

usage: receipts.py FOLDER DEVICE_KEY    with keys.cbor, statement, receipt and transparent in FOLDER; a COSE_Key in hex
"""
import hashlib
import sys
from pathlib import Path

import cbor2
from cwt import COSE, COSEKey


def key_of(cose_key, kid, algorithm):
    return COSEKey.new({**cose_key, 2: kid, 3: algorithm, 4: [2]})


def root_of(entry, size, index, path):
    """RFC 9162, 2.1.3.2."""
    node = hashlib.sha256(b"\x00" + entry).digest()
    fn, sn = index, size - 1
    for sibling in path:
        if fn % 2 == 1 or fn == sn:
            node = hashlib.sha256(b"\x01" + sibling + node).digest()
            while fn % 2 == 0 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            node = hashlib.sha256(b"\x01" + node + sibling).digest()
        fn, sn = fn >> 1, sn >> 1
    assert sn == 0, "the path is too short"
    return node


folder, device_key = Path(sys.argv[1]), cbor2.loads(bytes.fromhex(sys.argv[2]))
statement, receipt, transparent = [(folder / name).read_bytes() for name in ("statement", "receipt", "transparent")]
(log_key,) = cbor2.loads((folder / "keys.cbor").read_bytes())
cose = COSE.new(verify_kid=True)

header = cbor2.loads(cbor2.loads(statement).value[0])
signer = key_of(device_key, header[4], header[1])
for name, message in (("statement", statement), ("transparent statement", transparent)):
    cose.decode(message, signer)
    print(name, "is signed")

protected, unprotected, _, _ = cbor2.loads(receipt).value
size, index, path = cbor2.loads(unprotected[396][-1][0])
assert cbor2.loads(protected)[-65539] == size, "the size is not signed"
root = root_of(hashlib.sha256(statement).digest(), size, index, path)
log = key_of({label: log_key[label] for label in (1, -1, -2)}, log_key[2], -19)
cose.decode(receipt, log, detached_payload=root)
print("receipt is signed: leaf", index, "of", size)
assert cbor2.loads(transparent).value[1][394] == [receipt]

for name, message, key, payload in (
    ("statement", statement[:-1] + bytes([statement[-1] ^ 1]), signer, None),
    ("receipt", receipt, log, hashlib.sha256(root).digest()),
):
    try:
        cose.decode(message, key, detached_payload=payload) if payload else cose.decode(message, key)
    except Exception:
        print("a changed", name, "is refused")
    else:
        sys.exit(f"a changed {name} is accepted")
