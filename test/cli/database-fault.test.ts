import { expect, it } from "vitest"
import { explainGoneDatabase } from "../../cli/database-fault.ts"

const errorOf = (message: string, rest: object = {}): Error => Object.assign(new Error(message), rest)

it.each([
  errorOf("Connection terminated unexpectedly"),
  errorOf("terminating connection due to administrator command", { code: "57P01" }),
  errorOf("the database system is starting up", { code: "57P03" }),
  errorOf("connect ECONNREFUSED 127.0.0.1:5432", { code: "ECONNREFUSED", syscall: "connect" }),
  errorOf("read ECONNRESET", { code: "ECONNRESET", syscall: "read" }),
])("field A4: $message is one line that says the database went away", (error) => {
  expect(explainGoneDatabase(error)?.message).toBe(`the database went away: ${error.message}`)
})

it.each([
  errorOf("duplicate key value violates unique constraint", { code: "23505" }),
  errorOf("write EPIPE", { code: "EPIPE", syscall: "open" }),
  errorOf("something else"),
  "Connection terminated",
])("%s is not a database that went away", (error) => {
  expect(explainGoneDatabase(error)).toBeNull()
})
