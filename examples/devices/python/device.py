#!/usr/bin/env python3
"""A Tidemark device: each line of standard input, a heart rate, becomes one signed statement that is delivered.
Usage: device.py ID KEY.pem OUTBOX [HOST [PORT]]
The key is Ed25519 or P-256. OUTBOX is a folder that survives a loss of power: each statement is a file there until it
is known to be stored. Ends when the input has ended and all of it is stored. Each reason not to go on is said once.

The log, TLS and the login are set in the environment. An OUTBOX belongs to one log: give another log another folder.
  TIDEMARK_LOG=VKEY       the log's verifier key, as /log/policy shows it; without it the first log that answers is taken
  TIDEMARK_CA=FILE        TLS; the service's certificate must be of this CA (PEM), or of the machine's with "system"
  TIDEMARK_ORIGIN=ORIGIN  log in by a JWT of the device's own key; ORIGIN is the log's, and the clock must be right
  TIDEMARK_TOKEN=TOKEN    log in by the token that `tidemark device token create ID` printed
"""
import base64, hashlib, json, os, queue, random, re, sys, threading, time
import cbor2, paho.mqtt.client as mqtt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

IN_FLIGHT_MAX = 100
CLOCK_MIN = 1735689600  # a clock before 2025 was never set
P256_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
CA, ORIGIN, TOKEN, LOG = (os.environ.get(f"TIDEMARK_{name}") for name in ("CA", "ORIGIN", "TOKEN", "LOG"))
REFUSALS = {
    10: "malformed: see `tidemark inspect FILE`", 11: "too large: a statement has at most 65,535 bytes",
    12: "wrong device: client id, topic and iss must all be this device's id",
    13: "unknown key: the device is not enrolled, or with another key; see `tidemark device show`",
    14: "revoked: the key or the device was revoked", 40: "suspended: an operator has suspended the device",
    15: "bad signature: see `tidemark inspect FILE --key KEY.pem`", 17: "high s: replace s by n - s",
    20: "gap: a statement is missing before this one", 21: "broken: prev is not the entry of the one before",
    22: "fork: another statement of this key is stored in this place",
}
if len(sys.argv) < 4: sys.exit(__doc__)
if CA not in (None, "system") and not os.path.isfile(CA): sys.exit(f"TIDEMARK_CA: there is no file {CA}")
ME, KEY_FILE, OUTBOX, HOST, PORT = (sys.argv[1:] + ["127.0.0.1", "8883" if CA else "1883"][len(sys.argv) - 4:])[:5]

# Where the chain begins in this log (FORMAT.md §4, genesis): a statement for it links in no other.
GENESIS = hashlib.sha256(b"tidemark/genesis" + cbor2.dumps([LOG, ME])).digest() if LOG else None
said = None

def tell(line):
    """Says why it does not go on; the same reason is not repeated while it lasts."""
    global said
    if line != said and line is not None: print(line, file=sys.stderr, flush=True)
    said = line

def entry_of(statement):
    return hashlib.sha256(statement).digest()

class Key:
    def __init__(self, path):
        try: self.secret = serialization.load_pem_private_key(open(path, "rb").read(), None)
        except (OSError, ValueError, TypeError) as error: sys.exit(f"{path}: no private key in PEM: {error}")
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

    def jwt(self):
        """A login by the device's own key, for one connection: the service takes it for ten minutes."""
        now, part = int(time.time()), lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")
        claims = {"iss": ME, "sub": ME, "aud": ORIGIN, "iat": now, "exp": now + 600}
        head = {"alg": "EdDSA" if self.alg == -19 else "ES256", "typ": "JWT"}
        signed = b".".join(part(json.dumps(one).encode()) for one in (head, claims))
        return (signed + b"." + part(self.sign(signed))).decode()

class Chain:
    """What must not be forgotten: `waiting`, statements that are not known to be stored, and `stored`, the last that is."""
    def __init__(self, key):
        self.key, self.lock = key, threading.RLock()
        try: os.makedirs(OUTBOX, exist_ok=True)
        except FileExistsError:
            sys.exit(f"{OUTBOX} is a file, and this outbox is a folder: the kit in Node keeps a file. Give each its own")
        files = {name: open(os.path.join(OUTBOX, name), "rb").read() for name in sorted(os.listdir(OUTBOX))}
        foreign = [name for name in files if not re.fullmatch(r"head|new|\d{10}\.cose", name)]
        if foreign or not re.fullmatch(rb"\d+ [0-9a-f]{64}", files.get("head", b"0 " + b"0" * 64)):
            sys.exit(f"{OUTBOX} has {(foreign or ['a head'])[0]}, which is not of this program: give it a folder of its own")
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
    if ORIGIN or TOKEN: client.username_pw_set(ME, chain.key.jwt() if ORIGIN else TOKEN)
    if CA: client.tls_set(ca_certs=None if CA == "system" else CA)
    client.max_inflight_messages_set(IN_FLIGHT_MAX)
    client.on_connect = lambda _client, _, flags, reason, *rest: told.put(f"{reason}") if reason.is_failure else \
        client.subscribe(f"v1/{ME}/receipts")  # a question: where is my head?
    client.on_message = lambda _client, _, message: told.put(cbor2.loads(message.payload))
    client.on_disconnect = lambda *_: told.put(None)
    client.on_connect_fail = lambda *_: told.put(None)
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
            if receipt is None:
                # Without TLS towards a TLS port, and the other way round, a service just closes.
                if sent is None: tell(f"{HOST}:{PORT} closed the connection before it answered: is this its port for "
                                      f"{'TLS' if CA else 'plain TCP (TIDEMARK_CA turns TLS on)'}?")
                return None
            if isinstance(receipt, str):
                shown = (f"a JWT: is this key enrolled, is {ORIGIN} the log's origin, is the clock right?" if ORIGIN else
                         "a token: is it of this device, has it expired?" if TOKEN else
                         "no login: set TIDEMARK_ORIGIN or TIDEMARK_TOKEN.")
                tell(f"the service refused the connection of {ME}: {receipt}. It showed {shown} The service counts the reason")
                return None
            code, seq, head, entry, now = receipt
            clock.setdefault("offset", 0 if time.time() > CLOCK_MIN else now - time.time())
            if code >= 10:
                tell(f"refused with {code}, seq {seq}, head {head}: {REFUSALS.get(code, 'see FORMAT.md §4')}")
                return code
            if code == 0 and ((head == 0 and GENESIS not in (None, entry)) or
                              (chain.known and head == chain.stored[0] and entry != chain.stored[1]) or
                              (chain.known and head > chain.stored[0] and entry_of(chain.waiting.get(head, b"")) != entry)):
                sys.exit(f"alarm: another log answers, or {OUTBOX} is an old copy: the head {head} is not of this chain. "
                         "Nothing was signed for it")
            if code == 0 and head < chain.stored[0]:
                sys.exit(f"alarm: the service has lost data: its head is {head}, and {chain.stored[0]} was stored")
            if code == 0:
                chain.forget(head, entry)
                chain.relink(anew)
                sent = head
                tell(None)
            elif seq in chain.waiting:  # 1 to 4: stored
                chain.forget(seq, entry_of(chain.waiting[seq]) if code != 2 or seq != head else entry)
        return "done"
    finally:
        client.disconnect(), client.loop_stop()

def listen(chain, ended, clock):
    for line in sys.stdin:
        while not chain.known or (time.time() < CLOCK_MIN and "offset" not in clock):
            time.sleep(0.1)  # no clock: the first receipt brings one
        if not re.fullmatch(r"\d{1,9}\s*", line):
            print("not a heart rate: passed over", file=sys.stderr)
            continue
        at = int(time.time() + clock.get("offset", 0))
        chain.say(cbor2.dumps([{0: "heart-rate", 1: "beat/min", 2: int(line), 6: at}]), at)
    ended.set()

chain, ended, clock, code, delay, remade = Chain(Key(KEY_FILE)), threading.Event(), {}, None, 1, None
threading.Thread(target=listen, args=(chain, ended, clock), daemon=True).start()
while code != "done":
    before = chain.stored
    try: code = converse(chain, code in (10, 11, 15, 17), ended, clock)
    except OSError as error:
        trusted = "a CA of this machine" if CA == "system" else f"the CA in {CA}"
        hint = (f". The service's certificate must be of {trusted}, for this name" if "CERTIFICATE" in str(error) else
                ". Is this its port for TLS?" if "SSL" in str(error) else "")
        code = tell(f"no connection to {HOST}:{PORT}: {error}{hint}")
    # 12 configuration, 14 revoked, 22 another history of this key; the others once: a second time it is the encoder.
    if code in (12, 14, 22) or (code in (10, 11, 15, 17) and remade == chain.stored):
        sys.exit(f"stop: a person must look at this, refused with {code}")
    remade = chain.stored if code in (10, 11, 15, 17) else None
    # 13 and 40 wait for an operator, for minutes; after 20, 21 and a lost connection the head tells how to go on.
    delay = 1 if chain.stored != before else min(2 * delay, 300 if code in (13, 40) else 30)
    if code != "done": time.sleep(delay * (1 + random.random()))  # with jitter, and never more than once a second
