#!/usr/bin/env python3
"""A Tidemark device: each line of standard input, a heart rate, becomes one signed statement that is delivered.
Usage: device.py ID KEY.pem OUTBOX [HOST [PORT]]
The key is Ed25519 or P-256. OUTBOX is a folder that survives a loss of power: each statement is a file there until it
is known to be stored. Ends when the input has ended and all of it is stored. TIDEMARK_TOKEN is sent as the password.
"""
import hashlib, os, queue, random, sys, threading, time
import cbor2, paho.mqtt.client as mqtt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

IN_FLIGHT_MAX = 100
CLOCK_MIN = 1735689600  # a clock before 2025 was never set
P256_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ME, KEY_FILE, OUTBOX, HOST, PORT = (sys.argv[1:] + ["127.0.0.1", "1883"][len(sys.argv) - 4:])[:5]

def entry_of(statement):
    return hashlib.sha256(statement).digest()

class Key:
    def __init__(self, path):
        with open(path, "rb") as file:
            self.secret = serialization.load_pem_private_key(file.read(), None)
        public = self.secret.public_key()
        if isinstance(public, ed25519.Ed25519PublicKey):
            self.alg, cose = -19, {1: 1, -1: 6, -2: public.public_bytes_raw()}
        else:
            x, y = (n.to_bytes(32, "big") for n in (public.public_numbers().x, public.public_numbers().y))
            self.alg, cose = -9, {1: 2, -1: 1, -2: x, -3: y}
        self.kid = hashlib.sha256(cbor2.dumps(cose, canonical=True)).digest()[:8]

    def sign(self, message):
        if self.alg == -19: return self.secret.sign(message)
        r, s = decode_dss_signature(self.secret.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + min(s, P256_N - s).to_bytes(32, "big")  # a high s is refused with 17

class Chain:
    """What must not be forgotten: `waiting`, statements that are not known to be stored, and `stored`, the last that is."""
    def __init__(self, key):
        self.key, self.lock = key, threading.RLock()
        os.makedirs(OUTBOX, exist_ok=True)
        files = {name: open(os.path.join(OUTBOX, name), "rb").read() for name in sorted(os.listdir(OUTBOX))}
        self.waiting = {int(name[:-5]): statement for name, statement in files.items() if name.endswith(".cose")}
        self.known = "head" in files  # an outbox that is new signs nothing before it has asked for the head
        seq, entry = files.get("head", b"0 " + bytes(32).hex().encode()).split()
        self.stored = int(seq), bytes.fromhex(entry.decode())

    def write(self, name, content):
        with open(os.path.join(OUTBOX, "new"), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(file.name, os.path.join(OUTBOX, name))
        os.sync()  # the folder too

    def say(self, payload, iat):
        """Signs once and stores the bytes; only then are they published."""
        with self.lock:
            last = max(self.waiting, default=0)
            seq, prev = (last, entry_of(self.waiting[last])) if last else self.stored
            claims = {1: ME, 2: ME, 6: iat, -65537: seq + 1, -65538: prev}
            header = cbor2.dumps({1: self.key.alg, 3: 112, 4: self.key.kid, 15: claims}, canonical=True)
            signature = self.key.sign(cbor2.dumps(["Signature1", header, b"", payload]))
            statement = cbor2.dumps(cbor2.CBORTag(18, [header, {}, payload, signature]))
            self.write(f"{seq + 1:010}.cose", statement)
            self.waiting[seq + 1] = statement

    def forget(self, seq, entry):
        """It is stored, and with it everything before it."""
        with self.lock:
            if seq > self.stored[0] or not self.known: self.write("head", f"{seq} {entry.hex()}".encode())
            self.stored, self.known = max(self.stored, (seq, entry)), True
            for old in [old for old in self.waiting if old <= seq]:
                os.remove(os.path.join(OUTBOX, f"{old:010}.cose"))
                del self.waiting[old]

    def relink(self, anew):
        """Where what waits does not link to the head, or was refused, all of it is made anew from its readings."""
        with self.lock:
            place, old = self.stored, [(seq, cbor2.loads(one)) for seq, one in self.waiting.items()]
            for seq, statement in old:
                anew = anew or seq != place[0] + 1 or cbor2.loads(statement.value[0])[15][-65538] != place[1]
                place = seq, entry_of(self.waiting[seq])
            if anew:
                self.waiting = {}
                for _, statement in old:
                    self.say(statement.value[2], cbor2.loads(statement.value[0])[15][6])
                for seq in [seq for seq, _ in old if seq not in self.waiting]:
                    os.remove(os.path.join(OUTBOX, f"{seq:010}.cose"))

def converse(chain, anew, ended, clock):
    """One connection: asks for the head, then sends. Gives the code that ended it, "done", or None where it was lost."""
    told = queue.Queue()  # everything is decided in this thread
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=ME)
    client.username_pw_set(ME, os.environ.get("TIDEMARK_TOKEN"))
    client.max_inflight_messages_set(IN_FLIGHT_MAX)
    client.on_connect = lambda *_: client.subscribe(f"v1/{ME}/receipts")  # a question: where is my head?
    client.on_message = lambda _client, _, message: told.put(cbor2.loads(message.payload))
    client.on_disconnect = lambda *_: told.put(None)
    client.connect(HOST, int(PORT), keepalive=30)
    client.loop_start()
    sent = None  # the last seq that is in flight; none before the head is known
    try:
        while sent is None or not ended.is_set() or chain.waiting:
            while sent is not None and sent + 1 in chain.waiting and sent - chain.stored[0] < IN_FLIGHT_MAX:
                sent += 1
                client.publish(f"v1/{ME}/statements", chain.waiting[sent], qos=1)
            try: receipt = told.get(timeout=0.1)
            except queue.Empty: continue
            if receipt is None: return None
            code, seq, head, entry, now = receipt
            clock.setdefault("offset", 0 if time.time() > CLOCK_MIN else now - time.time())
            if code >= 10:
                print(f"refused with {code}: seq {seq}, head {head}", file=sys.stderr)
                return code
            if code == 0 and head < chain.stored[0]:
                sys.exit(f"alarm: the service has lost data: its head is {head}, and {chain.stored[0]} was stored")
            if code == 0:
                chain.forget(head, entry)
                chain.relink(anew)
                sent = head
            elif seq in chain.waiting:  # 1 to 4: stored
                chain.forget(seq, entry_of(chain.waiting[seq]) if code != 2 or seq != head else entry)
        return "done"
    finally:
        client.disconnect(), client.loop_stop()

def listen(chain, ended, clock):
    for line in sys.stdin:
        while not chain.known or (time.time() < CLOCK_MIN and "offset" not in clock):
            time.sleep(0.1)  # no clock: the first receipt brings one
        at = int(time.time() + clock.get("offset", 0))
        chain.say(cbor2.dumps([{0: "heart-rate", 1: "beat/min", 2: int(line), 6: at}]), at)
    ended.set()

chain, ended, clock, code, delay, remade = Chain(Key(KEY_FILE)), threading.Event(), {}, None, 1, None
threading.Thread(target=listen, args=(chain, ended, clock), daemon=True).start()
while code != "done":
    before = chain.stored
    try: code = converse(chain, code in (10, 11, 15, 17), ended, clock)
    except OSError as error: code = print(f"no connection: {error}", file=sys.stderr)
    # 12 configuration, 14 revoked, 22 another history of this key; the others once: a second time it is the encoder.
    if code in (12, 14, 22) or (code in (10, 11, 15, 17) and remade == chain.stored):
        sys.exit(f"stop: a person must look at this, refused with {code}")
    remade = chain.stored if code in (10, 11, 15, 17) else None
    # 13 and 40 wait for an operator, for minutes; after 20, 21 and a lost connection the head tells how to go on.
    delay = 1 if chain.stored != before else min(2 * delay, 300 if code in (13, 40) else 30)
    if code != "done": time.sleep(delay * (1 + random.random()))  # with jitter, and never more than once a second
