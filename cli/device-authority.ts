/** `tidemark device ca`: certificate authorities by whose certificates devices are enrolled. */
import { X509Certificate } from "node:crypto"
import type { Command } from "commander"
import { formatHex } from "../chain/bytes.ts"
import { sha256 } from "../chain/hash.ts"
import { changeRegistry, readAuthorities } from "../ingest/registry.ts"
import { withLog } from "./data-folder.ts"
import { CommandFault } from "./fault.ts"
import { addCommand, dataOption, jsonOption, readNamedFile } from "./option.ts"
import { print } from "./output.ts"
import { formatTable } from "./table.ts"

export function addAuthority(device: Command): void {
  const authority = addCommand(device, "ca", "CAs whose devices are enrolled at their first connect")
  addCommand(authority, "trust", "enrol whatever device comes with a certificate of this CA")
    .argument("<name>", "what the CA is called from now on")
    .requiredOption("--cert <file>", "the CA's certificate, PEM or DER")
    .addOption(dataOption())
    .action((name: string, options: { data: string; cert: string }) => trust(name, options))
  addCommand(authority, "distrust", "enrol no more devices by this CA; those that it enrolled stay")
    .argument("<name>")
    .option("--reason <text>", "why; it is signed with the rest, and stays")
    .addOption(dataOption())
    .action((name: string, options: { data: string; reason?: string }) => distrust(name, options))
  addCommand(authority, "list", "all CAs that were ever trusted")
    .addOption(dataOption())
    .addOption(jsonOption())
    .action(list)
}

async function trust(name: string, { data, cert }: { data: string; cert: string }): Promise<void> {
  const certificate = readAuthority(await readNamedFile(cert, "the certificate"), cert)
  await withLog(data, async ({ pool, keys }) => {
    const [result] = await changeRegistry(pool, keys, [{ action: "trust-ca", device: name, certificate }])
    if (result?.kind !== "changed") throw new CommandFault(`CA ${name} was not trusted: ${result?.rule}`)
    print(`trusted   CA ${name}`)
    print(`digest    ${formatHex(sha256(certificate))}`)
  })
}

/** The DER of a CA's certificate. */
function readAuthority(file: Uint8Array, path: string): Uint8Array {
  let certificate: X509Certificate
  try {
    certificate = new X509Certificate(file)
  } catch (error) {
    throw new CommandFault(`${path} is no X.509 certificate in PEM or DER`, null, { cause: error })
  }
  if (!certificate.ca)
    throw new CommandFault(
      `${path} is no CA's certificate: its basic constraints do not say so`,
      "a device's own key is enrolled with tidemark device enroll",
    )
  return Uint8Array.from(certificate.raw)
}

async function distrust(name: string, { data, reason }: { data: string; reason?: string }): Promise<void> {
  await withLog(data, async ({ pool, keys }) => {
    const [result] = await changeRegistry(pool, keys, [
      { action: "distrust-ca", device: name, ...(reason === undefined ? {} : { reason }) },
    ])
    if (result?.kind !== "changed") throw new CommandFault(`CA ${name} was not distrusted: ${result?.rule}`)
    print(`distrusted CA ${name}; the devices that it enrolled stay`)
  })
}

async function list({ data, json }: { data: string; json: boolean }): Promise<void> {
  await withLog(data, async ({ pool }) => {
    const { rows } = await pool.query<{ digest: string; devices: number; certificate: Uint8Array }>(
      `select encode(c.digest, 'hex') as digest, c.certificate,
              (select count(*) from devices d where d.ca_digest = c.digest) as devices
       from certificate_authorities c`,
    )
    const byDigest = new Map(rows.map((row) => [row.digest, row]))
    const authorities = [...(await readAuthorities(pool)).values()].map(({ name, digest, isTrusted }) => {
      const row = byDigest.get(formatHex(digest))
      return {
        name,
        trusted: isTrusted,
        devices: row?.devices ?? 0,
        subject: row === undefined ? null : subjectOf(row.certificate),
        digest: formatHex(digest),
      }
    })
    if (json) for (const authority of authorities) print(JSON.stringify(authority))
    else if (authorities.length === 0)
      print("no CA was ever trusted: tidemark device ca trust NAME --cert FILE")
    else
      print(
        formatTable(
          ["name", "trusted", "devices", "subject", "digest"],
          authorities.map(({ name, trusted, devices, subject, digest }) => [
            name,
            trusted ? "yes" : "no",
            devices,
            subject ?? "",
            digest,
          ]),
        ),
      )
  })
}

/** On one line. Null where the bytes are no certificate: a test's, or what somebody changed. */
function subjectOf(certificate: Uint8Array): string | null {
  try {
    return new X509Certificate(certificate).subject.replaceAll("\n", ", ")
  } catch {
    return null
  }
}
