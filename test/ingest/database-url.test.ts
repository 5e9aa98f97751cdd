import { describe, expect, it } from "vitest"
import {
  DatabaseUrlFault,
  hintOfConnection,
  readDatabaseUrl,
  withSchemaPath,
} from "../../ingest/database/url.ts"

const secret = "hunter2"

function faultOf(text: string): DatabaseUrlFault {
  try {
    readDatabaseUrl(text)
  } catch (error) {
    if (error instanceof DatabaseUrlFault) return error
    throw error
  }
  throw new Error("it was taken")
}

describe("field S19: a mistake in DATABASE_URL is named, with the right form and without the password", () => {
  it.each([
    [
      "libpq's keywords",
      "host=db.example.org user=tidemark password=hunter2",
      /keyword form/,
      /as a URL: postgres:/,
    ],
    ["JDBC", "jdbc:postgresql://db/tidemark?user=t&password=hunter2", /JDBC/, /leave jdbc: out/],
    ["another scheme", "mysql://t:hunter2@db/tidemark", /scheme is mysql/, /postgres:\/\//],
    ["no scheme", "t:hunter2@db/tidemark", /no URL/, /postgres:\/\//],
    ["one slash", "postgres:/t:hunter2@db/tidemark", /no URL/, /postgres:\/\//],
    ["quotes", '"postgres://t:hunter2@db/tidemark"', /quotes/, /without quotes/],
    ["a / in the password", "postgres://t:hunter2/ss@db/tidemark", /ends it too early/, /%2F/],
    ["an @ and a / in the password", "postgres://t:hunter2@a/ss@db/tidemark", /ends it too early/, /%40/],
    ["a ? in the password", "postgres://t:hunter2?ss@db/tidemark", /ends it too early/, /%3F/],
    ["an @ and a ? in the password", "postgres://t:hunter2@a?ss@db/tidemark", /ends it too early/, /%3F/],
    ["an = too", "postgres://t:a@b?hunter2=ss@db/tidemark", /ends it too early|not known/, /%3F/],
    ["a # in the password", "postgres://t:hunter2#ss@db/tidemark", /ends it too early/, /%23/],
    ["an @ and a # in the password", "postgres://t:hunter2@a#ss@db/tidemark", /ends it too early/, /%23/],
    ["a % in the password", "postgres://t:hunter2%ss@db/tidemark", /begins no code/, /%25/],
    ["a space in the password", "postgres://t:hunter2 ss@db/tidemark", /space/, /%20/],
    ["no host", "postgres:///tidemark", /names no host/, /localhost/],
    ["no host behind a password", "postgres://t:hunter2@/tidemark", /names no host/, /localhost/],
    ["several hosts", "postgres://t:hunter2@a:5432,b:5432/tidemark", /several hosts/, /name one/],
    ["a port that is none", "postgres://t:hunter2@db:54x2/tidemark", /host or port/, /5432/],
    [
      "an unknown sslmode",
      "postgres://t:hunter2@db/tidemark?sslmode=on",
      /sslmode is not known/,
      /verify-full/,
    ],
    [
      "a parameter nearly right",
      "postgres://t:hunter2@db/tidemark?ssl_mode=require",
      /not known/,
      /^write sslmode$/,
    ],
    ["a parameter of Prisma", "postgres://t:hunter2@db/tidemark?schema=log", /another client/, /search_path/],
    ["an unknown parameter", "postgres://t:hunter2@db/tidemark?hunter2=1", /not known/, /known are host/],
    [
      "a CA that is not there",
      "postgres://t:hunter2@db/x?sslrootcert=/no/ca.pem",
      /sslrootcert .*ENOENT/,
      /PEM/,
    ],
    [
      "options that are none",
      "postgres://t:hunter2@db/x?options=hunter2",
      /options cannot be read/,
      /-c%20name/,
    ],
  ])("%s", (_, text, rule, hint) => {
    const fault = faultOf(text)
    expect(fault.message).toMatch(rule)
    expect(fault.hint).toMatch(hint)
    expect(`${fault.message} ${fault.hint}`).not.toContain(secret)
  })

  it.each([
    ["plain", "postgres://t:hunter2@db:5433/tidemark", "postgres://t:hunter2@db:5433/tidemark"],
    ["spaces around it", " postgres://t@db/tidemark\n", "postgres://t@db/tidemark"],
    ["an @ in the password, which is the last but one", "postgres://t:a@b@db/x", "postgres://t:a%40b@db/x"],
    ["a socket in a parameter", "postgres://t@/x?host=/run", "postgres://t@localhost/x?host=%2Frun"],
    ["a socket's folder", "/run/postgresql tidemark", "/run/postgresql tidemark"],
    ["IPv6", "postgres://t@[::1]:5432/x", "postgres://t@[::1]:5432/x"],
    [
      "what sets our settings",
      "postgres://t@db/x?statement_timeout=5&client_encoding=latin1",
      "postgres://t@db/x",
    ],
    ["TLS", "postgres://t@db/x?sslmode=require", "postgres://t@db/x?sslmode=verify-full"],
    ["TLS as libpq has it", "postgres://t@db/x?sslmode=require&uselibpqcompat=true", undefined],
    [
      "the CAs of the system",
      "postgres://t@db/x?sslmode=verify-full&sslrootcert=system",
      "postgres://t@db/x?sslmode=verify-full",
    ],
    ["a provider's", "postgres://t@db/x?channel_binding=require", undefined],
  ])("and is taken: %s", (_, text, taken = text) => {
    expect(readDatabaseUrl(text).connectionString).toBe(taken)
  })

  it("options are read: search_path is the log's schema, ours are ours, others are kept", () => {
    const url = "postgres://t@db/x?options=-c%20search_path%3Dlog%20--work-mem%3D64MB%20-cjit%3Doff"
    expect(readDatabaseUrl(url).settings).toEqual({
      schemaPath: "log",
      others: [
        { name: "work_mem", value: "64MB" },
        { name: "jit", value: "off" },
      ],
    })
    expect(readDatabaseUrl(withSchemaPath(url, "a, b")).settings.schemaPath).toBe("a, b")
  })

  it.each([
    ["SELF_SIGNED_CERT_IN_CHAIN", /sslrootcert/],
    ["ERR_TLS_CERT_ALTNAME_INVALID", /another name/],
    ["ENOTFOUND", /no machine has that name/],
    ["28P01", /password/],
    ["3D000", /create database/],
    ["53300", /no connection left/],
  ])("a connection that fails by %s says what would mend it", (code, hint) => {
    expect(hintOfConnection(Object.assign(new Error("…"), { code }))).toMatch(hint)
  })
})
